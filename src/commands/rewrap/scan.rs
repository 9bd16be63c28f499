//! A bucket's objects looked through for the DEKs that they name: what a keyring that was lost, or set back, no longer tells.
//!
//! No key is needed. Of a whole object its first 704 bytes are read, of one made of parts every part's header, each found by the
//! length in the one before it, and the footer's, which stands last. Nothing read is believed here.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::keys::service::Record;
use crate::seal::{DekId, HEADER_LEN, Header, Kind};
use crate::upstream::{Call, Caller, Store, StoreBody, StoreError, collect};

/// A page of 1,000 names of 1,024 characters, each escaped, is under this.
const LARGEST_PAGE: usize = 16 << 20;
/// Objects looked at at a time.
const AT_A_TIME: usize = 16;
/// A multipart object has no more segments than this, so a walk that is longer is a lie of the store's.
const MOST_SEGMENTS: usize = 50_000;

/// A bucket to look through.
pub struct Scan<'a> {
    pub store: &'a Store,
    pub bucket: &'a str,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Objects that bear a seal.
    pub sealed: u64,
    /// Objects that bear none, or none that this release reads.
    pub other: u64,
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

/// A page of names, as they stand in the store.
#[derive(Default)]
struct Page {
    names: Vec<String>,
    truncated: bool,
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
            let page = self.page(after.as_deref()).await?;
            let mut looks = stream::iter(&page.names)
                .map(|name| self.object(name))
                .buffer_unordered(AT_A_TIME);
            while let Some(records) = looks.next().await {
                let records = records?;
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
            let last = page.names.last().cloned();
            match (page.truncated, last) {
                (false, _) => return Ok(seen),
                // A store that repeats itself would never end.
                (true, Some(last)) if after.as_ref().is_none_or(|after| *after < last) => after = Some(last),
                (true, _) => return Err(ScanError::Listing),
            }
        }
    }

    async fn page(&self, after: Option<&str>) -> Result<Page, ScanError> {
        let after = after
            .map(|after| format!("&start-after={}", utf8_percent_encode(after, NON_ALPHANUMERIC)))
            .unwrap_or_default();
        let query = format!("list-type=2&encoding-type=url{after}");
        let (status, _, body) = self.ask("", &query, HeaderMap::new()).await?;
        match status {
            StatusCode::OK => page(&body).ok_or(ScanError::Listing),
            status => Err(ScanError::Status(status)),
        }
    }

    /// The DEKs of one object; none if it bears no seal, or went away.
    async fn object(&self, name: &str) -> Result<Vec<Record>, ScanError> {
        let Some((header, total)) = self.header(name, 0).await? else {
            return Ok(Vec::new());
        };
        let mut records = vec![record(&header)];
        let mut met: BTreeSet<DekId> = records.iter().map(|record| record.dek).collect();
        let mut add = |header: &Header| {
            if met.insert(header.core().dek_id()) {
                records.push(record(header));
            }
        };
        let lost = || ScanError::Object(name.to_owned());
        if !matches!(header.core().kind(), Kind::Part | Kind::Block) {
            return Ok(records);
        }
        let (mut at, mut header) = (0_u64, header);
        for _ in 0..MOST_SEGMENTS {
            let len = header.core().plain_len().segment().ok_or_else(lost)?;
            at = at.checked_add(len.0).ok_or_else(lost)?;
            match self.header(name, at).await? {
                Some((next, _)) if matches!(next.core().kind(), Kind::Part | Kind::Block) => {
                    add(&next);
                    header = next;
                }
                // Padding, and then the footer.
                _ => {
                    let footer = total.checked_sub(HEADER_LEN as u64).ok_or_else(lost)?;
                    let (footer, _) = self.header(name, footer).await?.ok_or_else(lost)?;
                    add(&footer);
                    return Ok(records);
                }
            }
        }
        Err(lost())
    }

    /// The header that begins at `at`, if one does, and the object's size.
    async fn header(&self, name: &str, at: u64) -> Result<Option<(Header, u64)>, ScanError> {
        let mut headers = HeaderMap::new();
        let last = at.saturating_add(HEADER_LEN as u64 - 1);
        let range = HeaderValue::from_str(&format!("bytes={at}-{last}"));
        headers.insert(RANGE, range.map_err(|_| ScanError::Object(name.to_owned()))?);
        let key = utf8_percent_encode(name, NON_ALPHANUMERIC).to_string();
        let (status, answer, body) = self.ask(&key, "", headers).await?;
        match status {
            StatusCode::PARTIAL_CONTENT => {
                let total = answer
                    .get(CONTENT_RANGE)
                    .and_then(|range| range.to_str().ok()?.rsplit_once('/')?.1.parse().ok())
                    .ok_or_else(|| ScanError::Object(name.to_owned()))?;
                Ok(Header::parse(&body).ok().map(|header| (header, total)))
            }
            // Empty, shorter than that, or deleted meanwhile.
            StatusCode::OK | StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::NOT_FOUND => Ok(None),
            status => Err(ScanError::Status(status)),
        }
    }

    async fn ask(
        &self,
        key: &str,
        query: &str,
        headers: HeaderMap,
    ) -> Result<(StatusCode, HeaderMap, Bytes), ScanError> {
        let call = Call {
            method: Method::GET,
            bucket: self.bucket,
            key,
            query,
            caller: &Caller::Gate,
            headers,
            body: StoreBody::empty(),
        };
        let (head, body) = self.store.send(call).await?.into_parts();
        let most = if key.is_empty() { LARGEST_PAGE } else { HEADER_LEN };
        // An answer to another question than for 704 bytes is not read.
        let body = match (key.is_empty(), head.status) {
            (true, _) | (_, StatusCode::PARTIAL_CONTENT) => collect(body, most).await?,
            _ => Bytes::new(),
        };
        Ok((head.status, head.headers, body))
    }
}

fn record(header: &Header) -> Record {
    Record {
        dek: header.core().dek_id(),
        envelope: header.envelope().clone(),
    }
}

/// The names of a listing that was asked for with `encoding-type=url`, where `+` is a space.
fn page(body: &[u8]) -> Option<Page> {
    let mut reader = Reader::from_reader(body);
    let mut page = Page::default();
    let mut within = Vec::new();
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => within = tag.local_name().as_ref().to_vec(),
            Event::Text(text) => {
                let text = text.decode().ok()?;
                match within.as_slice() {
                    b"Key" => {
                        let spaced = text.replace('+', " ");
                        page.names
                            .push(percent_decode_str(&spaced).decode_utf8().ok()?.into_owned());
                    }
                    b"IsTruncated" => page.truncated = text.trim() == "true",
                    _ => {}
                }
            }
            Event::End(_) => within.clear(),
            Event::Eof => return Some(page),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_as_s3_encodes_them() {
        let body =
            b"<R><IsTruncated>true</IsTruncated><Contents><Key>a+b%2Bc/%C3%A9</Key><Size>1</Size></Contents></R>";
        let page = page(body).unwrap();
        assert_eq!(page.names, ["a b+c/\u{e9}"]);
        assert!(page.truncated);
    }
}
