//! Whether a store heeds conditions on writes. Some take `If-None-Match: *` and overwrite all the same, or heed it on one kind of
//! write and not on another; a client that relies on it would lose data, so the gate finds out, with an object of its own in the
//! system container, and refuses where it must.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use md5::Digest;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::upstream::answer::{collect, text_of};
use crate::upstream::body::StoreBody;
use crate::upstream::dialect::ConditionalWrites;
use crate::upstream::store::{Call, Caller, Store, StoreError};
use crate::upstream::trailer::ALGORITHM;

/// An answer to the probe is a few lines.
const LARGEST_ANSWER: usize = 64 * 1024;
/// No object has it.
const NO_ETAG: &str = "\"00000000000000000000000000000000\"";
/// No object is yet.
const FRESH: Condition = (IF_NONE_MATCH, "*");
/// The object is one that it can't be.
const OTHER: Condition = (IF_MATCH, NO_ETAG);

type Condition = (HeaderName, &'static str);

/// A kind of write on which a store heeds conditions, or passes them over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// PutObject.
    Put,
    /// CompleteMultipartUpload.
    Complete,
    /// DeleteObject.
    Delete,
}

/// Which conditions a store heeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heeded {
    /// `If-None-Match` of a PutObject.
    pub if_none_match: bool,
    /// `If-Match` of a PutObject.
    pub if_match: bool,
    /// `If-None-Match` of a CompleteMultipartUpload.
    pub complete_if_none_match: bool,
    /// `If-Match` of a CompleteMultipartUpload.
    pub complete_if_match: bool,
    /// `If-Match` of a DeleteObject.
    pub delete_if_match: bool,
    /// The `ETag` that a DeleteObjects names with a key.
    pub delete_objects_etag: bool,
}

impl Heeded {
    /// All of them, or none.
    pub const fn all(heeded: bool) -> Self {
        Self {
            if_none_match: heeded,
            if_match: heeded,
            complete_if_none_match: heeded,
            complete_if_match: heeded,
            delete_if_match: heeded,
            delete_objects_etag: heeded,
        }
    }

    /// What the store passes over, in words; empty if it heeds all.
    pub fn passed_over(&self) -> Vec<&'static str> {
        let every = [
            (self.if_none_match, "If-None-Match of PutObject"),
            (self.if_match, "If-Match of PutObject"),
            (self.complete_if_none_match, "If-None-Match of CompleteMultipartUpload"),
            (self.complete_if_match, "If-Match of CompleteMultipartUpload"),
            (self.delete_if_match, "If-Match of DeleteObject"),
            (self.delete_objects_etag, "ETag in DeleteObjects"),
        ];
        let passed = every.into_iter().filter(|(heeded, _)| !heeded);
        passed.map(|(_, what)| what).collect()
    }

    /// The first of these headers that the store would pass over, if a write of this kind had them.
    pub fn passes_over(&self, write: Write, headers: &HeaderMap) -> Option<HeaderName> {
        let (if_match, if_none_match) = match write {
            Write::Put => (self.if_match, self.if_none_match),
            Write::Complete => (self.complete_if_match, self.complete_if_none_match),
            Write::Delete => (self.delete_if_match, self.if_none_match),
        };
        let unheeded = [(IF_MATCH, if_match), (IF_NONE_MATCH, if_none_match)];
        let mut unheeded = unheeded.into_iter().filter(|(_, heeded)| !heeded);
        unheeded
            .find(|(name, _)| headers.contains_key(name))
            .map(|(name, _)| name)
    }
}

/// An answer to one try, read to its end, so that the connection serves again.
struct Tried {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Tried {
    /// It was done. A no may come late, behind a head that said 200.
    fn is_done(&self) -> bool {
        self.status.is_success() && text_of(&self.body, b"Code").is_none()
    }

    /// Whether it was not done because of its condition, or because the store knows none there: nobody is deceived about either.
    ///
    /// # Errors
    /// It was not done for another reason, which says nothing: too many requests, no permission.
    fn is_heeded(&self) -> Result<bool, StoreError> {
        if self.is_done() {
            return Ok(false);
        }
        let code = text_of(&self.body, b"Code").unwrap_or_default();
        let refused = [
            StatusCode::PRECONDITION_FAILED,
            StatusCode::CONFLICT,
            StatusCode::NOT_IMPLEMENTED,
        ];
        match refused.contains(&self.status)
            || ["PreconditionFailed", "ConditionalRequestConflict", "NotImplemented"].contains(&code.as_str())
        {
            true => Ok(true),
            false => {
                tracing::warn!(
                    status = self.status.as_u16(),
                    code,
                    "what the store makes of conditions can't be told"
                );
                Err(StoreError::Unspeakable)
            }
        }
    }
}

impl Store {
    /// Which conditions on writes this store heeds: as configured, or found out once.
    ///
    /// # Errors
    /// It had to be found out, and the store did not answer, or not as a store does; the next to ask tries again.
    pub async fn heeded(&self) -> Result<Heeded, StoreError> {
        match self.dialect().conditional_writes {
            ConditionalWrites::Heeded => Ok(Heeded::all(true)),
            ConditionalWrites::Ignored => Ok(Heeded::all(false)),
            ConditionalWrites::Probe => self.probed().get_or_try_init(|| self.probe()).await.copied(),
        }
    }

    /// Finds out which conditions on writes this store heeds, whatever is configured. Some twenty small requests.
    ///
    /// # Errors
    /// The store did not answer, or not as a store does.
    pub async fn probe(&self) -> Result<Heeded, StoreError> {
        let key = format!("probe/{:016x}", RandomState::new().hash_one(0_u8));
        let mut first = self.put(&key, None).await?;
        if first.status == StatusCode::NOT_FOUND {
            // No container yet: it is made, as with the first key's record.
            self.try_out(Method::PUT, ("", ""), None, StoreBody::empty()).await?;
            first = self.put(&key, None).await?;
        }
        if !first.is_done() {
            let status = first.status.as_u16();
            tracing::warn!(store = self.name(), status, "the store can't be probed");
            return Err(StoreError::Unspeakable);
        }
        let heeded = Heeded {
            if_none_match: self.put(&key, Some(FRESH)).await?.is_heeded()?,
            if_match: self.put(&key, Some(OTHER)).await?.is_heeded()?,
            complete_if_none_match: self.complete_heeds(&key, FRESH).await?,
            complete_if_match: self.complete_heeds(&key, OTHER).await?,
            delete_objects_etag: self.delete_objects_heeds(&key).await?,
            delete_if_match: {
                // A condition on what is not there tells nothing.
                self.put(&key, None).await?;
                self.delete(&key, "", Some(OTHER)).await?.is_heeded()?
            },
        };
        self.delete(&key, "", None).await?;
        match heeded.passed_over().as_slice() {
            [] => tracing::info!(store = self.name(), "the store heeds conditions on writes"),
            passed => {
                let passed = passed.join(", ");
                tracing::warn!(
                    store = self.name(),
                    passed,
                    "the store passes over conditions on writes: requests that need them are refused"
                );
            }
        }
        Ok(heeded)
    }

    /// Whether an upload does not become the object on a condition that does not hold. A store that makes no upload that could be
    /// understood is taken for one that passes over it.
    async fn complete_heeds(&self, key: &str, condition: Condition) -> Result<bool, StoreError> {
        let mut asking = HeaderMap::new();
        self.multipart_headers(&mut asking);
        let begun = self.ask(Method::POST, (key, "uploads="), asking, StoreBody::empty());
        let Some(id) = text_of(&begun.await?.body, b"UploadId") else {
            return Ok(false);
        };
        let upload = format!("uploadId={}", utf8_percent_encode(&id, NON_ALPHANUMERIC));
        let query = format!("partNumber=1&{upload}");
        let part = self.try_out(Method::PUT, (key, &query), None, probe_body()).await?;
        let text = |name: HeaderName| part.headers.get(name).and_then(|value| value.to_str().ok());
        let Some(etag) = text(ETAG).filter(|_| part.is_done()) else {
            self.delete(key, &upload, None).await?;
            return Ok(false);
        };
        let list = StoreBody::completion([(etag, text(ALGORITHM.header()))]);
        let completed = self
            .try_out(Method::POST, (key, &upload), Some(condition), list)
            .await?;
        if !completed.is_done() {
            self.delete(key, &upload, None).await?;
        }
        completed.is_heeded()
    }

    /// Whether a DeleteObjects leaves an object of another ETag than it names. Its answer is a list, and says no within.
    async fn delete_objects_heeds(&self, key: &str) -> Result<bool, StoreError> {
        let document = format!(
            "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Object><Key>{key}</Key><ETag>{NO_ETAG}</ETag></Object></Delete>"
        );
        let mut asking = HeaderMap::new();
        if let Ok(md5) = HeaderValue::try_from(STANDARD.encode(md5::Md5::digest(&document))) {
            asking.insert("content-md5", md5);
        }
        let body = StoreBody::document(document.into_bytes());
        self.ask(Method::POST, ("", "delete="), asking, body).await?.is_heeded()
    }

    async fn put(&self, key: &str, condition: Option<Condition>) -> Result<Tried, StoreError> {
        self.try_out(Method::PUT, (key, ""), condition, probe_body()).await
    }

    async fn delete(&self, key: &str, query: &str, condition: Option<Condition>) -> Result<Tried, StoreError> {
        let nothing = StoreBody::empty();
        self.try_out(Method::DELETE, (key, query), condition, nothing).await
    }

    async fn try_out(
        &self,
        method: Method,
        target: (&str, &str),
        condition: Option<Condition>,
        body: StoreBody,
    ) -> Result<Tried, StoreError> {
        let condition = condition.map(|(name, value)| (name, HeaderValue::from_static(value)));
        self.ask(method, target, condition.into_iter().collect(), body).await
    }

    /// Asks about a key of the system container, or with none about the container.
    async fn ask(
        &self,
        method: Method,
        (key, query): (&str, &str),
        headers: HeaderMap,
        body: StoreBody,
    ) -> Result<Tried, StoreError> {
        let call = Call {
            method,
            bucket: self.system_container(),
            key,
            query,
            caller: &Caller::Gate,
            headers,
            body,
        };
        let (head, body) = self.send(call).await?.into_parts();
        let body = collect(body, LARGEST_ANSWER).await.unwrap_or_default();
        match head.status.is_server_error() && head.status != StatusCode::NOT_IMPLEMENTED {
            true => Err(StoreError::Unreachable),
            false => Ok(Tried {
                status: head.status,
                headers: head.headers,
                body,
            }),
        }
    }
}

fn probe_body() -> StoreBody {
    StoreBody::document(b"probe".to_vec())
}
