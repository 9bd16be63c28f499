//! The copy that the store can't make: opened for one tenant and sealed for the other on its way through the gate, as a whole
//! object whatever the source was. Either key's owner can stop it, and then nothing is stored.

use bytes::Bytes;
use http::header::{DATE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue, Method, Response};
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

use crate::body::SealedBody;
use crate::keys::{Lease, UseError};
use crate::s3::copy::document::CopyResult;
use crate::s3::copy::object::Copying;
use crate::s3::copy::restate::{Directive, TAGGING};
use crate::s3::copy::{CopyError, asking_of_source, kept, of_source, pin, source_of, tags};
use crate::s3::error::S3Error;
use crate::s3::headers;
use crate::s3::put::{self, Writing};
use crate::s3::read::source::{Source, source};
use crate::upstream::StoreBody;

/// The most that S3 copies in one request is 5 GiB: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html>. Here
/// that is of plaintext.
const LARGEST: u64 = 5 << 30;

/// Copies through the gate.
pub(super) async fn copy(copying: &Copying<'_>, lease: Lease) -> Result<Response<Bytes>, S3Error> {
    let (from, to) = (copying.from, &copying.exchange.object);
    let mut verified = source_of(from, copying.client()).await?;
    let largest = LARGEST.min(put::largest(to.container.store.dialect()));
    let stored = verified.len.sealed().filter(|_| verified.len.0 <= largest);
    let stored = stored.ok_or(CopyError::TooLarge { largest })?;
    let kept = kept(&mut verified).map_err(|error| of_source(from, error))?;
    let (header, mut sealer) = lease.seal_whole(&to.place(), verified.len).map_err(unusable)?;
    let mut stated = copying.directives.restated(copying.client(), &verified.store)?;
    if copying.directives.tagging == Directive::Copy
        && let Some(tags) = tags::of(from, copying.client(), &verified).await?
    {
        stated.insert(TAGGING, tags);
    }
    let mut headers = headers::to_store(&stated, header.core())?;
    if !kept.is_empty() {
        let sealed = sealer.get()?.metadata_key().seal_checksums(&kept);
        let sealed = sealed.map_err(|error| S3Error::Body(error.into()))?;
        headers::keep_checksums(&sealed, &mut headers);
    }
    let (mut always, mut conditions) = (HeaderMap::new(), HeaderMap::new());
    headers::to_any(copying.client(), &mut always);
    headers::conditions(copying.client(), &mut conditions);
    let writing = Writing {
        object: to,
        always,
        headers,
        conditions,
    };

    // What was verified is what is read: pinned, and the form of what comes is proved anew.
    let opened = source(from, asking_of_source(copying.client()), pin(&verified), None).await;
    let Source { opening, .. } = opened.map_err(|error| of_source(from, error))?;
    let over = sealer.lease().over();
    let sealed = SealedBody::new(&header, sealer, opening, stored);
    let said = put::write(&writing, sealed).await.map_err(|error| match error {
        // Of the two leases, it is the one that ended.
        S3Error::Refused(_) if over.is_cancelled() => error,
        error => of_source(from, error),
    })?;
    let result = CopyResult {
        etag: text(&said, ETAG.as_str()).ok_or(S3Error::StoreFailed)?.to_owned(),
        modified: modified(copying, &said).await,
        checksums: kept,
    };
    Ok(copying.answer(&said, &verified.store, &result))
}

/// When the store says that the copy was made: of a PUT it only says when it answered.
async fn modified(copying: &Copying<'_>, said: &HeaderMap) -> String {
    let asked = copying
        .exchange
        .ask(Method::HEAD, "", HeaderMap::new(), StoreBody::empty())
        .await;
    let same = asked.ok().filter(|answer| answer.headers().get(ETAG) == said.get(ETAG));
    let found = same.and_then(|answer| iso(answer.headers().get(LAST_MODIFIED)?));
    found.or_else(|| iso(said.get(DATE)?)).unwrap_or_default()
}

/// A header's date as documents have it.
pub(super) fn iso(date: &HeaderValue) -> Option<String> {
    let date = OffsetDateTime::parse(date.to_str().ok()?, &Rfc2822).ok()?;
    let text = date.to_offset(time::UtcOffset::UTC).format(&Rfc3339).ok()?;
    Some(text.replace('Z', ".000Z"))
}

pub(super) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn unusable(error: UseError) -> S3Error {
    match error {
        UseError::Ended(refusal) => S3Error::Refused(refusal),
        UseError::Seal(error) => S3Error::Body(error.into()),
        UseError::Tampered { what, version } => S3Error::Tampered {
            what: what.to_string(),
            version: Some(version),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_as_documents_have_them() {
        let date = HeaderValue::from_static("Thu, 01 Jan 2026 00:00:09 GMT");
        assert_eq!(iso(&date).as_deref(), Some("2026-01-01T00:00:09.000Z"));
        assert_eq!(iso(&HeaderValue::from_static("now")), None);
    }
}
