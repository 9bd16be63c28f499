//! Asking the store about an object that is read: first as whoever reads it wants it, then about that very object only. And what
//! its answers say of it: how long it is, of what form it seems to be.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_MATCH, IF_UNMODIFIED_SINCE, RANGE};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;

use crate::body::{Fault, Stored};
use crate::keys::Lease;
use crate::s3::error::S3Error;
use crate::s3::headers;
use crate::s3::object::Object;
use crate::seal::{
    Alias, Core, Footer, HEADER_LEN, Header, Kind, PlainLen, PlainRange, SealedLen, StoredRange, Tampered,
};
use crate::upstream::StoreBody;

/// A multipart upload's object bears this from the start, so that a reader knows it before its first byte.
const MARK: &str = "x-amz-meta-portcullis-multipart";
const ALIAS: &str = "x-amz-meta-portcullis-alias";
const CHECKSUMS: &str = "x-amz-meta-portcullis-checksums";

/// Under this length of plaintext an upload's one part became a whole object.
const LEAST_MULTIPART: PlainLen = PlainLen(5 << 20);

/// How the store is asked for one reader.
pub(super) struct Asking<'a> {
    pub(super) object: &'a Object<'a>,
    /// What goes along with every request.
    pub(super) always: HeaderMap,
    /// What must hold of the object, as the store knows its ETags; it decides with the first answer.
    pub(super) conditions: HeaderMap,
    /// What the query wants of the answer's headers.
    pub(super) query: String,
    /// Whether the reader wants the plaintext's checksums.
    pub(super) checksums: bool,
}

/// What an answer says of the object.
pub(super) struct Facts {
    pub(super) headers: HeaderMap,
    pub(super) stored: SealedLen,
    pub(super) len: PlainLen,
}

impl Asking<'_> {
    /// The first question: under the reader's conditions.
    pub(super) async fn first(&self, method: Method, range: Option<&str>) -> Result<Response<Incoming>, S3Error> {
        let mut headers = self.conditions.clone();
        if let Some(range) = range.and_then(|range| HeaderValue::from_str(range).ok()) {
            headers.insert(RANGE, range);
        }
        self.send(method, headers).await
    }

    /// A question about some bytes of the object with this ETag; 412 if there is another one now.
    pub(super) async fn pinned(&self, range: &str, etag: Option<&HeaderValue>) -> Result<Response<Incoming>, S3Error> {
        let mut headers = HeaderMap::new();
        if let Some(etag) = etag {
            headers.insert(IF_MATCH, etag.clone());
        }
        if let Ok(range) = HeaderValue::from_str(range) {
            headers.insert(RANGE, range);
        }
        self.send(Method::GET, headers).await
    }

    /// The first question, about the object with this ETag: whether the reader's conditions hold is then decided along with it.
    pub(super) async fn first_pinned(&self, range: &str, etag: &HeaderValue) -> Result<Response<Incoming>, S3Error> {
        let mut headers = self.conditions.clone();
        headers.insert(IF_MATCH, etag.clone());
        if let Ok(range) = HeaderValue::from_str(range) {
            headers.insert(RANGE, range);
        }
        self.send(Method::GET, headers).await
    }

    async fn send(&self, method: Method, mut headers: HeaderMap) -> Result<Response<Incoming>, S3Error> {
        for (name, value) in &self.always {
            headers.append(name.clone(), value.clone());
        }
        self.object.ask(method, &self.query, headers, StoreBody::empty()).await
    }

    /// The header that the object with this ETag begins with.
    pub(super) async fn header(&self, etag: Option<&HeaderValue>) -> Result<Header, S3Error> {
        let answer = self.pinned(&bytes(HEADER), etag).await?;
        let (head, body) = answer.into_parts();
        Facts::of_range(head)?;
        Ok(Stored::new(body).header().await?)
    }

    /// The footer this object had when it was last read, if it can be asked for under its ETag without changing what the
    /// reader's own conditions mean: If-Unmodified-Since counts for nothing beside If-Match (RFC 9110 section 13.2.2).
    pub(super) fn remembered(&self) -> Option<(HeaderValue, Arc<Footer>)> {
        if self.conditions.contains_key(IF_UNMODIFIED_SINCE) {
            return None;
        }
        let (etag, footer) = self.object.layouts.last(self.object)?;
        let theirs = self.conditions.get(IF_MATCH);
        theirs.is_none_or(|theirs| *theirs == etag).then_some((etag, footer))
    }

    /// Whether a 412 may be the answer to the reader's own conditions.
    pub(super) fn is_conditional(&self) -> bool {
        self.conditions.contains_key(IF_MATCH) || self.conditions.contains_key(IF_UNMODIFIED_SINCE)
    }

    /// A lease on the DEK that a header names.
    pub(super) async fn lease(&self, header: &Header) -> Result<Lease, S3Error> {
        let (keys, tenant) = (self.object.keys, &self.object.container.tenant);
        let dek = header.core().dek_id();
        Ok(keys.to_open(tenant, dek, header.envelope()).await?)
    }
}

impl Facts {
    /// From the answer about a whole object. What has no sealed object's size bears no seal.
    pub(super) fn of_whole(headers: HeaderMap) -> Result<Self, S3Error> {
        let stored = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let stored = stored.and_then(|text| text.parse().ok()).ok_or(S3Error::StoreFailed)?;
        Self::new(headers, SealedLen(stored))
    }

    /// From the answer about a range. A store that answers 200 has ignored the range: its bytes are not the ones asked for.
    pub(super) fn of_range(answer: Parts) -> Result<Self, S3Error> {
        if answer.status != StatusCode::PARTIAL_CONTENT {
            return Err(S3Error::StoreFailed);
        }
        let total = answer
            .headers
            .get(CONTENT_RANGE)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.rsplit('/').next());
        let total = total.and_then(|text| text.parse().ok()).ok_or(S3Error::StoreFailed)?;
        Self::new(answer.headers, SealedLen(total))
    }

    fn new(headers: HeaderMap, stored: SealedLen) -> Result<Self, S3Error> {
        Ok(Self {
            headers,
            stored,
            len: stored.plain().ok_or(S3Error::Unsealed)?,
        })
    }

    pub(super) fn etag(&self) -> Option<&HeaderValue> {
        self.headers.get(ETAG)
    }

    /// The core in its metadata. Not believed before its commitment was checked.
    pub(super) fn core(&self) -> Option<Core> {
        headers::core(&self.headers)
    }

    /// A copy's right to its name, if it has one in its metadata.
    pub(super) fn alias(&self) -> Option<Alias> {
        self.text(ALIAS)?.parse().ok()
    }

    /// The plaintext's checksums, sealed.
    pub(super) fn checksums(&self) -> Option<&str> {
        self.text(CHECKSUMS)
    }

    /// Whether its metadata says that it ends in a footer. The seal decides; this saves asking for what would not be used.
    pub(super) fn is_multipart(&self) -> bool {
        self.is_marked() && self.len >= LEAST_MULTIPART
    }

    pub(super) fn is_marked(&self) -> bool {
        self.headers.contains_key(MARK)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

const HEADER: StoredRange = StoredRange {
    first: 0,
    last: HEADER_LEN as u64 - 1,
};

/// Stored bytes, as `Range` asks for them.
pub(super) fn bytes(range: StoredRange) -> String {
    format!("bytes={}-{}", range.first, range.last)
}

/// Bytes of plaintext as `Content-Range` names them.
pub(super) fn content_range(range: PlainRange, len: PlainLen) -> String {
    format!("bytes {}-{}/{}", range.first(), range.last(), len.0)
}

/// Refused because it is not what was sealed.
pub(super) fn tampered(what: Tampered) -> S3Error {
    S3Error::Tampered {
        what: what.to_string(),
        version: None,
    }
}

/// An object may begin with a whole object's segment or with a part's.
pub(super) fn no_object(found: Kind) -> S3Error {
    tampered(Tampered::Kind {
        expected: Kind::Whole,
        found,
    })
}

/// What is no header inside of an object that bears the tenant's seal is no object without one.
pub(super) fn within(fault: Fault) -> S3Error {
    match fault {
        Fault::Unsealed(what) => tampered(what.into()),
        fault => fault.into(),
    }
}
