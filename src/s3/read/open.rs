//! The ways to an object's bytes, each with as few questions as it can be done with.
//!
//! | what is read | of a whole object | of a multipart object |
//! |---|---|---|
//! | all of it | one question; the header comes first | the same, and its footer if it is not known |
//! | a range, its DEK in memory | one question | header and range side by side, once its footer is known; one where the range begins with its segment |
//! | a range, cold | the header too | footer too, and the question that showed the form |
//!
//! What is asked second is asked of the same object: under its ETag.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::body::{Opening, Segments, Stored};
use crate::keys::{Lease, Leased};
use crate::s3::error::S3Error;
use crate::s3::range::Wanted;
use crate::s3::read::ask::{Asking, Facts, bytes, no_object, tampered, within};
use crate::s3::read::form::{Form, Known};
use crate::seal::{
    CHUNK_LEN, Checksums, ChunkIndex, ChunkSpan, Core, Footer, HEADER_LEN, Header, Kind, MAX_PLAIN_LEN, MultipartRead,
    Opener, Padding, PlainRange, StoredAsk, StoredRange, Tampered, stored_ask,
};

/// What came of asking for an object.
pub(super) enum Looked {
    /// It is as the reader has it already: 304.
    Unchanged(HeaderMap),
    Found(Box<Found>),
}

/// An object, checked as far as can be before a chunk is, and its bytes to come.
pub(super) struct Found {
    pub(super) facts: Facts,
    pub(super) form: Form,
    /// Which part of it; none of the whole.
    pub(super) range: Option<PlainRange>,
    /// The plaintext's checksums, where the reader wants them and all of it comes.
    pub(super) checksums: Option<Checksums>,
    /// None for a part without a byte.
    pub(super) opening: Option<Opening>,
    /// Under which its keys were derived.
    pub(super) lease: Lease,
}

/// The one chunk of an empty object, which holds nothing but its tag.
const EMPTY: ChunkSpan = ChunkSpan {
    first: ChunkIndex(0),
    last: ChunkIndex(0),
    stored: StoredRange {
        first: HEADER_LEN as u64,
        last: (HEADER_LEN + 15) as u64,
    },
    skip: 0,
    keep: 0,
};

/// A stored body of which nothing is read yet, or whose header is.
enum Begun {
    At(Stored),
    Behind(Box<Header>, Stored),
}

impl Asking<'_> {
    /// All of it.
    pub(super) async fn all(&self) -> Result<Looked, S3Error> {
        let answer = self.first(Method::GET, None).await?;
        if answer.status() == StatusCode::NOT_MODIFIED {
            return Ok(Looked::Unchanged(answer.headers().clone()));
        }
        let (head, body) = answer.into_parts();
        let facts = Facts::of_whole(head.headers)?;
        let mut stored = Stored::new(body);
        let header = stored.header().await?;
        match header.core().kind() {
            Kind::Whole => {
                let lease = self.lease(&header).await?;
                let span = match PlainRange::all(facts.len) {
                    Some(all) => facts.len.span(all).ok_or(S3Error::Unsealed)?,
                    None => EMPTY,
                };
                let padding = facts.len.whole_padding();
                self.chunks(facts, header.core(), lease, stored, None, span, padding)
            }
            Kind::Part => {
                let (footer, opener) = self.footer(&facts).await?;
                let begun = Begun::Behind(Box::new(header), stored);
                self.segments(facts, footer, opener, None, begun)
            }
            found @ (Kind::Block | Kind::Append | Kind::Footer) => Err(no_object(found)),
        }
    }

    /// A range of it.
    pub(super) async fn range(&self, wanted: Wanted) -> Result<Looked, S3Error> {
        let (first, last) = match wanted {
            Wanted::Whole => return self.all().await,
            Wanted::From { first, last } => (first, last),
            Wanted::Suffix(_) => (0, None),
        };
        if let Some((etag, footer)) = self.remembered()
            && let Some(range) = wanted.within(footer.layout().plain_len())
            && let Some(looked) = self.by_memory(&etag, footer, range).await?
        {
            return Ok(looked);
        }
        if let Wanted::Suffix(_) = wanted {
            return Box::pin(self.suffix(wanted)).await;
        }
        self.blind(first, last, None).await
    }

    /// A range of an object whose footer is known, if it is still the same object.
    pub(super) async fn by_memory(
        &self,
        etag: &HeaderValue,
        footer: Arc<Footer>,
        range: PlainRange,
    ) -> Result<Option<Looked>, S3Error> {
        match Box::pin(self.pieces(None, footer, range, etag)).await {
            Err(S3Error::Store {
                status: StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::NOT_FOUND,
                ..
            }) => {
                self.object.layouts.forget(self.object);
                Ok(None)
            }
            looked => looked.map(Some),
        }
    }

    /// Where a suffix begins follows from the length, which the law can't tell beforehand: a HEAD first, and the range pinned to
    /// the object that it spoke of.
    async fn suffix(&self, wanted: Wanted) -> Result<Looked, S3Error> {
        let answer = self.first(Method::HEAD, None).await?;
        if answer.status() == StatusCode::NOT_MODIFIED {
            return Ok(Looked::Unchanged(answer.headers().clone()));
        }
        let facts = Facts::of_whole(answer.into_parts().0.headers)?;
        let size = facts.len;
        let range = wanted.within(size).ok_or(S3Error::InvalidRange { size })?;
        if facts.is_multipart() {
            return self.by_footer(&facts, range).await;
        }
        self.blind(range.first(), Some(range.last()), facts.etag()).await
    }

    /// A range of an object whose length and form are not known: asked for where it lies in a whole object, whose chunks are
    /// then the answer. A range that begins in the first chunk takes the header along.
    pub(super) async fn blind(
        &self,
        first: u64,
        last: Option<u64>,
        pin: Option<&HeaderValue>,
    ) -> Result<Looked, S3Error> {
        // The header comes along where it costs nothing but itself.
        let with_header = first < CHUNK_LEN as u64;
        // No object reaches so far: clients ask for 2^63 and the like to say "to the end".
        let last = last.filter(|last| *last < MAX_PLAIN_LEN);
        let Some(asked) = stored_ask(first, last).filter(|_| first < MAX_PLAIN_LEN) else {
            return self.past_the_end().await;
        };
        let (start, end) = match asked {
            StoredAsk::From(start) => (start, u64::MAX),
            StoredAsk::Between(stored) => (stored.first, stored.last),
        };
        let start = if with_header { 0 } else { start };
        let text = match asked {
            StoredAsk::From(_) => format!("bytes={start}-"),
            StoredAsk::Between(_) => format!("bytes={start}-{end}"),
        };
        let answer = match pin {
            Some(etag) => self.pinned(&text, Some(etag)).await,
            None => self.first(Method::GET, Some(&text)).await,
        };
        let answer = match answer {
            Err(S3Error::Store {
                status: StatusCode::RANGE_NOT_SATISFIABLE,
                ..
            }) => {
                return self.past_the_end().await;
            }
            answer => answer?,
        };
        if answer.status() == StatusCode::NOT_MODIFIED {
            return Ok(Looked::Unchanged(answer.headers().clone()));
        }
        let (head, body) = answer.into_parts();
        let facts = Facts::of_range(head)?;
        let size = facts.len;
        let range = Wanted::From { first, last }.within(size);
        let range = range.ok_or(S3Error::InvalidRange { size })?;
        let mut stored = Stored::new(body);
        let core = facts.core();
        let (core, lease) = if with_header {
            let header = stored.header().await?;
            if header.core().kind() == Kind::Part {
                return Box::pin(self.beginning(facts, header, stored, range, end)).await;
            }
            (*header.core(), self.lease(&header).await?)
        } else if facts.is_multipart() {
            drop(stored);
            return self.by_footer(&facts, range).await;
        } else if let Some(core) = core
            && let Some(lease) = self.object.keys.warm(&self.object.container.tenant, core.dek_id())
        {
            (core, lease)
        } else {
            let header = self.header(facts.etag()).await?;
            if header.core().kind() == Kind::Part {
                return self.by_footer(&facts, range).await;
            }
            (*header.core(), self.lease(&header).await?)
        };
        let span = size.span(range).ok_or(S3Error::InvalidRange { size })?;
        // The stored end was asked for only if the last chunk was: padding behind it stays unread.
        self.chunks(facts, &core, lease, stored, Some(range), span, None)
    }

    /// A range of a multipart object that begins in the object's first chunk, which lies where a whole object's does: the answer
    /// that showed the form is the right one too, if it reaches far enough.
    async fn beginning(
        &self,
        facts: Facts,
        header: Header,
        stored: Stored,
        range: PlainRange,
        end: u64,
    ) -> Result<Looked, S3Error> {
        let (footer, opener) = self.footer(&facts).await?;
        let read = MultipartRead::new(Arc::clone(footer.layout()), Some(range));
        let body = read.as_ref().and_then(MultipartRead::body);
        if body.is_some_and(|body| body.first == 0 && body.last <= end) {
            let begun = Begun::Behind(Box::new(header), stored);
            return self.segments(facts, footer, opener, Some(range), begun);
        }
        drop(stored);
        self.by_footer(&facts, range).await
    }

    /// A range of the multipart object that `facts` are about.
    pub(super) async fn by_footer(&self, facts: &Facts, range: PlainRange) -> Result<Looked, S3Error> {
        let (footer, opener) = self.footer(facts).await?;
        let none = HeaderValue::from_static("");
        let etag = facts.etag().unwrap_or(&none);
        Box::pin(self.pieces(Some(opener), footer, range, etag)).await
    }

    /// Asks for the range's segments, and for the header of the first where the range begins behind it, side by side. Without
    /// the footer's own keys at hand, this is the first question about the object.
    async fn pieces(
        &self,
        opener: Option<Leased<Opener>>,
        footer: Arc<Footer>,
        range: PlainRange,
        etag: &HeaderValue,
    ) -> Result<Looked, S3Error> {
        let size = footer.layout().plain_len();
        let read = MultipartRead::new(Arc::clone(footer.layout()), Some(range));
        let read = read.ok_or(S3Error::InvalidRange { size })?;
        let body = read.body().ok_or(S3Error::InvalidRange { size })?;
        let text = bytes(body);
        let pin = Some(etag).filter(|etag| !etag.is_empty());
        let first = opener.is_none();
        let asking = async {
            match pin {
                Some(etag) if first => self.first_pinned(&text, etag).await,
                pin => self.pinned(&text, pin).await,
            }
        };
        let beside = async {
            match read.apart() {
                Some(header) => {
                    let answer = self.pinned(&bytes(header), pin).await?;
                    let (head, body) = answer.into_parts();
                    Facts::of_range(head)?;
                    let header = Stored::new(body).header().await.map_err(within)?;
                    Ok::<_, S3Error>(Some(Box::new(header)))
                }
                None => Ok(None),
            }
        };
        let keys = async {
            match opener {
                Some(opener) => Ok(opener),
                None => self.again(&footer).await,
            }
        };
        let (answer, header, opener) = tokio::join!(asking, beside, keys);
        let answer = answer?;
        if answer.status() == StatusCode::NOT_MODIFIED {
            return Ok(Looked::Unchanged(answer.headers().clone()));
        }
        let (head, body) = answer.into_parts();
        let facts = Facts::of_range(head)?;
        if facts.len != size {
            return Err(tampered(Tampered::Size { found: facts.stored.0 }));
        }
        let (header, opener) = (header?, opener?);
        let stored = Stored::new(body);
        let begun = match header {
            Some(header) => Begun::Behind(header, stored),
            None => Begun::At(stored),
        };
        self.segments(facts, footer, opener, Some(range), begun)
    }

    fn segments(
        &self,
        facts: Facts,
        footer: Arc<Footer>,
        mut opener: Leased<Opener>,
        range: Option<PlainRange>,
        begun: Begun,
    ) -> Result<Looked, S3Error> {
        let read = MultipartRead::new(Arc::clone(footer.layout()), range);
        let read = read.ok_or_else(|| tampered(Tampered::Unexpected))?;
        let (apart, stored) = match begun {
            Begun::At(stored) => (None, stored),
            Begun::Behind(header, stored) => (Some(*header), stored),
        };
        let form = Form::Multipart(footer);
        let checksums = match range {
            None => self.opened_checksums(&facts, &form, &mut opener)?,
            Some(_) => None,
        };
        let leases = self.object.keys.of(&self.object.container.tenant);
        let len = range.map_or(facts.len, PlainRange::plain_len).0;
        let lease = opener.lease().again();
        // All of it was asked for in one: zeros and footer follow, which the body's own end leaves out.
        let behind = match range {
            None => read
                .body()
                .map_or(0, |body| facts.stored.0.saturating_sub(body.last + 1)),
            Some(_) => 0,
        };
        let segments = Segments::new(stored, apart, read, len, leases, opener.lease().again()).with_rest(behind);
        Ok(Looked::Found(Box::new(Found {
            facts,
            form,
            range,
            checksums,
            opening: Some(segments.into()),
            lease,
        })))
    }

    #[allow(clippy::too_many_arguments)] // one thing each, from two places
    fn chunks(
        &self,
        facts: Facts,
        core: &Core,
        lease: Lease,
        stored: Stored,
        range: Option<PlainRange>,
        span: ChunkSpan,
        padding: Option<Padding>,
    ) -> Result<Looked, S3Error> {
        let mut opener = self.whole(&facts, core, lease)?;
        let form = Form::Whole(Box::new(*core));
        let checksums = match range {
            None => self.opened_checksums(&facts, &form, &mut opener)?,
            Some(_) => None,
        };
        let lease = opener.lease().again();
        let opening = Opening::new(stored, opener, span, padding);
        Ok(Looked::Found(Box::new(Found {
            facts,
            form,
            range,
            checksums,
            opening: Some(opening),
            lease,
        })))
    }

    /// What is known of the plaintext's checksums, where the reader wants to know: in metadata, under the whole object's key, or
    /// in the footer's table.
    pub(super) fn opened_checksums(
        &self,
        facts: &Facts,
        form: &Form,
        opener: &mut Leased<Opener>,
    ) -> Result<Option<Checksums>, S3Error> {
        if !self.checksums {
            return Ok(None);
        }
        let opener = opener.get()?;
        match (form, facts.checksums()) {
            (Form::Multipart(footer), _) => Ok(Some(footer.layout().table().checksums().clone())),
            (Form::Whole(_), Some(text)) => opener.metadata_key().open_checksums(text).map(Some).map_err(tampered),
            (Form::Whole(_), None) => Ok(None),
        }
    }

    /// A range that begins behind the object's last byte: 416 with the length, unless a condition or the object's absence is the
    /// better answer.
    async fn past_the_end(&self) -> Result<Looked, S3Error> {
        let answer = self.first(Method::HEAD, None).await?;
        if answer.status() == StatusCode::NOT_MODIFIED {
            return Ok(Looked::Unchanged(answer.headers().clone()));
        }
        let size = Facts::of_whole(answer.into_parts().0.headers)?.len;
        Err(S3Error::InvalidRange { size })
    }

    /// The part with this number, or of an object of one piece all of it as part 1.
    pub(super) async fn part(&self, number: u32) -> Result<Looked, S3Error> {
        if let Some((etag, footer)) = self.remembered()
            && let Some(Some(range)) = footer.layout().part(number)
            && let Some(looked) = self.by_memory(&etag, footer, range).await?
        {
            return Ok(looked);
        }
        let answer = self.first(Method::HEAD, None).await?;
        if answer.status() == StatusCode::NOT_MODIFIED {
            return Ok(Looked::Unchanged(answer.headers().clone()));
        }
        let facts = Facts::of_whole(answer.into_parts().0.headers)?;
        let Known { form, opener } = self.form(&facts).await?;
        let Form::Multipart(footer) = &form else {
            return match (number, PlainRange::all(facts.len)) {
                (1, Some(all)) => self.blind(0, Some(all.last()), facts.etag()).await,
                (1, None) => self.all().await,
                _ => Err(S3Error::InvalidPartNumber { number }),
            };
        };
        match footer.layout().part(number) {
            Some(Some(range)) => self.by_footer(&facts, range).await,
            // Nothing to ask the store for: that the segment lies there was seen when the footer was opened.
            Some(None) => Ok(Looked::Found(Box::new(Found {
                facts,
                form,
                range: None,
                checksums: None,
                opening: None,
                lease: opener.lease().again(),
            }))),
            None => Err(S3Error::InvalidPartNumber { number }),
        }
    }
}
