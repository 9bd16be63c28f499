//! Of what form an object is, and its keys: a whole object's by its header, a multipart object's by its footer. All that can be
//! checked before a chunk is: kind, length, commitment, and that the object lies where it was sealed, or where an alias of its
//! own has it.

use std::sync::Arc;

use crate::body::Stored;
use crate::keys::{Lease, Leased, UseError};
use crate::s3::error::S3Error;
use crate::s3::read::ask::{Asking, Facts, bytes, no_object, tampered, within};
use crate::seal::{
    Core, Footer, HEADER_LEN, Header, Kind, Opener, PlainLen, StoredRange, Tampered, footer_ask, footer_len,
};

/// Of what an object is made.
#[derive(Clone, Debug)]
pub enum Form {
    /// Of one segment, with this core.
    Whole(Box<Core>),
    /// Of the segments that this footer names.
    Multipart(Arc<Footer>),
}

/// An object's form, and the keys of its aliases and of its sealed metadata.
pub(super) struct Known {
    pub(super) form: Form,
    pub(super) opener: Leased<Opener>,
}

impl Asking<'_> {
    /// The form of the object that `facts` are about, by its own seal and nothing else: one more question at least.
    pub(super) async fn form(&self, facts: &Facts) -> Result<Known, S3Error> {
        if facts.is_multipart() || self.kept(facts).is_some() {
            let (footer, opener) = self.footer(facts).await?;
            let form = Form::Multipart(footer);
            return Ok(Known { form, opener });
        }
        let header = self.header(facts.etag()).await?;
        match header.core().kind() {
            Kind::Whole => {
                let opener = self.whole(facts, header.core(), self.lease(&header).await?)?;
                let form = Form::Whole(Box::new(*header.core()));
                Ok(Known { form, opener })
            }
            Kind::Part => {
                let (footer, opener) = self.footer(facts).await?;
                let form = Form::Multipart(footer);
                Ok(Known { form, opener })
            }
            found @ (Kind::Block | Kind::Append | Kind::Footer) => Err(no_object(found)),
        }
    }

    /// The keys of a whole object with this core.
    pub(super) fn whole(&self, facts: &Facts, core: &Core, lease: Lease) -> Result<Leased<Opener>, S3Error> {
        if core.kind() != Kind::Whole {
            return Err(no_object(core.kind()).under(lease.version()));
        }
        same_length(core.plain_len(), facts).map_err(|error| error.under(lease.version()))?;
        let mut opener = lease.open_segment(core).map_err(unusable)?;
        let bound = opener.get()?.at(&self.object.place(), facts.alias().as_ref());
        bound.map_err(|what| tampered(what).under(opener.lease().version()))?;
        Ok(opener)
    }

    /// The footer of a multipart object, from memory or from its end.
    pub(super) async fn footer(&self, facts: &Facts) -> Result<(Arc<Footer>, Leased<Opener>), S3Error> {
        if let Some(footer) = self.kept(facts) {
            let opener = self.again(&footer).await?;
            return Ok((footer, opener));
        }
        let ask = footer_ask(Some(facts.stored));
        let end = facts.stored.0;
        let range = StoredRange {
            first: end - ask,
            last: end.saturating_sub(1),
        };
        let answer = self.pinned(&bytes(range), facts.etag()).await?;
        let size = || Tampered::Size { found: end };
        let (head, body) = answer.into_parts();
        if Facts::of_range(head)?.stored != facts.stored {
            return Err(tampered(size()));
        }
        let count = usize::try_from(ask).map_err(|_| tampered(size()))?;
        let end = Stored::new(body).exactly(count).await.map_err(within)?;
        let (before, header) = end.split_last_chunk::<HEADER_LEN>().ok_or_else(|| tampered(size()))?;
        let header = Header::parse(header).map_err(|what| tampered(what.into()))?;
        // The count is not yet authenticated, and names no more than was asked for, which holds all that the law permits.
        let table = usize::try_from(footer_len(header.core().segments()).0).unwrap_or(usize::MAX);
        let start = count.checked_sub(table).ok_or_else(|| tampered(size()))?;
        let sealed = before.get(start..).unwrap_or_default();
        let (place, alias) = (self.object.place(), facts.alias());
        let lease = self.lease(&header).await?;
        let opened = lease.open_footer(&place, alias.as_ref(), &header, sealed, facts.stored);
        let (footer, opener) = opened.map_err(unusable)?;
        let footer = Arc::new(footer);
        if let Some(etag) = facts.etag() {
            self.object.layouts.keep(self.object, etag, &footer);
        }
        Ok((footer, opener))
    }

    /// A footer that was opened before, under a live lease again.
    pub(super) async fn again(&self, footer: &Footer) -> Result<Leased<Opener>, S3Error> {
        let (keys, tenant) = (self.object.keys, &self.object.container.tenant);
        let lease = keys.to_open(tenant, footer.core().dek_id(), footer.envelope()).await?;
        lease.open_segment(footer.core()).map_err(unusable)
    }

    fn kept(&self, facts: &Facts) -> Option<Arc<Footer>> {
        let (etag, footer) = self.object.layouts.last(self.object)?;
        let same = facts.etag() == Some(&etag) && footer.layout().plain_len() == facts.len;
        same.then_some(footer)
    }
}

/// The length that an object's own seal names is the one that its stored size makes.
pub(super) fn same_length(own: PlainLen, facts: &Facts) -> Result<(), S3Error> {
    if own == facts.len {
        Ok(())
    } else {
        Err(tampered(Tampered::Size { found: facts.stored.0 }))
    }
}

pub(super) fn unusable(error: UseError) -> S3Error {
    match error {
        UseError::Ended(refusal) => S3Error::Refused(refusal),
        UseError::Tampered { what, version } => tampered(what).under(version),
        UseError::Seal(_) => S3Error::Unsealed,
    }
}
