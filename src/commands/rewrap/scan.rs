//! A bucket's or a container's objects looked through for the DEKs that they name: what a keyring that was lost, or set back, no
//! longer tells.
//!
//! No key is needed. Of a whole object its first 704 bytes are read, of one made of parts or blocks every segment's header, each
//! found by the length in the one before it, and the footer's, which stands last; of an append blob every block's. Nothing read is
//! believed here.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use http::StatusCode;

use crate::commands::rewrap::shelf::{Shelf, Shown};
use crate::keys::service::Record;
use crate::seal::{DekId, HEADER_LEN, Header, KeyVersion, Kind};
use crate::upstream::StoreError;

/// Objects looked at at a time.
const AT_A_TIME: usize = 16;
/// No object has more segments than this, so a walk that is longer is a lie of the store's.
const MOST_SEGMENTS: usize = 50_000;

/// Something to look through.
pub struct Scan<'a> {
    pub shelf: Shelf<'a>,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Objects that bear a seal.
    pub sealed: u64,
    /// Objects that bear none, or none that this release reads.
    pub other: u64,
    /// Objects that the store does not show before they are brought back from an archive. What they name is not known.
    pub archived: u64,
}

/// What one object named.
enum Look {
    Records(Vec<Record>),
    Archived,
}

/// Why a bucket could not be looked through.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store answered {0}")]
    Status(StatusCode),
    #[error("the store's listing can't be read")]
    Listing,
    #[error("{0}: the object's headers lead nowhere")]
    Object(String),
}

impl Scan<'_> {
    /// Looks through the bucket and hands each DEK's envelope to `found`, once for every version of the CMK that it is met under.
    /// `told` hears how many objects have been looked at, page by page.
    ///
    /// # Errors
    /// [`ScanError`]: what was found so far has been handed out, but it need not be all.
    pub async fn run(&self, mut found: impl FnMut(Record), mut told: impl FnMut(Seen)) -> Result<Seen, ScanError> {
        let (mut seen, mut after) = (Seen::default(), None::<String>);
        let mut met = BTreeSet::new();
        loop {
            let page = self.shelf.page(after.as_deref()).await?;
            let mut looks = stream::iter(&page.names)
                .map(|name| self.object(name))
                .buffer_unordered(AT_A_TIME);
            while let Some(look) = looks.next().await {
                let records = match look? {
                    Look::Records(records) => records,
                    Look::Archived => {
                        seen.archived += 1;
                        continue;
                    }
                };
                match records.is_empty() {
                    true => seen.other += 1,
                    false => seen.sealed += 1,
                }
                for record in records {
                    if met.insert((record.dek, record.envelope.version())) {
                        found(record);
                    }
                }
            }
            drop(looks);
            told(seen);
            match page.next {
                None => return Ok(seen),
                // A store that repeats itself would never end.
                next if next == after => return Err(ScanError::Listing),
                next => after = next,
            }
        }
    }

    /// The DEKs of one object; none if it bears no seal, or went away.
    async fn object(&self, name: &str) -> Result<Look, ScanError> {
        let (header, total) = match self.header(name, 0).await? {
            Seal::Header(header, total) => (header, total),
            Seal::None => return Ok(Look::Records(Vec::new())),
            Seal::Archived => return Ok(Look::Archived),
        };
        let mut records = vec![record(&header)];
        let mut met: BTreeSet<_> = records.iter().map(key).collect();
        let mut add = |header: &Header| {
            let record = record(header);
            if met.insert(key(&record)) {
                records.push(record);
            }
        };
        let lost = || ScanError::Object(name.to_owned());
        let kind = header.core().kind();
        if matches!(kind, Kind::Whole | Kind::Footer) {
            return Ok(Look::Records(records));
        }
        let (mut at, mut header) = (0_u64, header);
        for _ in 0..MOST_SEGMENTS {
            let len = header.core().plain_len();
            let len = if kind == Kind::Append {
                len.append()
            } else {
                len.segment()
            };
            at = at.checked_add(len.ok_or_else(lost)?.0).ok_or_else(lost)?;
            if kind == Kind::Append && at >= total {
                return Ok(Look::Records(records));
            }
            match self.header(name, at).await? {
                Seal::Header(next, _) if next.core().kind() == kind => {
                    add(&next);
                    header = next;
                }
                // A blob of blocks that are none of a gate's, or that went away.
                Seal::Header(..) | Seal::None if kind == Kind::Append => return Err(lost()),
                // Padding, and then the footer.
                Seal::Header(..) | Seal::None => {
                    let footer = total.checked_sub(HEADER_LEN as u64).ok_or_else(lost)?;
                    match self.header(name, footer).await? {
                        Seal::Header(footer, _) => add(&footer),
                        Seal::None | Seal::Archived => return Err(lost()),
                    }
                    return Ok(Look::Records(records));
                }
                Seal::Archived => return Ok(Look::Archived),
            }
        }
        Err(lost())
    }

    /// The header that begins at `at`, if one does, and the object's size.
    async fn header(&self, name: &str, at: u64) -> Result<Seal, ScanError> {
        Ok(match self.shelf.bytes(name, at, HEADER_LEN).await? {
            Shown::Bytes(bytes, total) => {
                Header::parse(&bytes).map_or(Seal::None, |header| Seal::Header(Box::new(header), total))
            }
            Shown::Nothing => Seal::None,
            Shown::Archived => Seal::Archived,
        })
    }
}

/// What stands at a place of an object.
enum Seal {
    /// A header, and how long the object is.
    Header(Box<Header>, u64),
    None,
    Archived,
}

fn record(header: &Header) -> Record {
    Record {
        dek: header.core().dek_id(),
        envelope: header.envelope().clone(),
    }
}

fn key(record: &Record) -> (DekId, KeyVersion) {
    (record.dek, record.envelope.version())
}
