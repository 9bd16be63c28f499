//! CopyObject, and the copy that the store makes: the source's own bytes, under metadata stated anew.
//!
//! The source is verified before the store is asked, and pinned by its ETag. That the pin holds is not left to the store: the
//! alias is under the key of the very segment that was verified, so whatever else comes to lie under the new name is refused
//! by its readers.

use http::header::{CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use bytes::Bytes;

use crate::keys::Lease;
use crate::s3::copy::document::{CopyResult, Of};
use crate::s3::copy::restate::{Directive, Directives, TAGGING, TAGGING_DIRECTIVE};
use crate::s3::copy::source::COPY_SOURCE;
use crate::s3::copy::{CHECKSUMS, CopyError, TRIES, kept, of_source, reseal, source_of};
use crate::s3::error::S3Error;
use crate::s3::exchange::Exchange;
use crate::s3::headers;
use crate::s3::object::Object;
use crate::s3::put;
use crate::s3::read::source::Verified;
use crate::upstream::{ConditionalWrites, StoreBody};

const ALIAS: HeaderName = HeaderName::from_static("x-amz-meta-portcullis-alias");
/// An object of many segments bears it, so that a reader asks for its footer first.
const MULTIPART: HeaderName = HeaderName::from_static("x-amz-meta-portcullis-multipart");
const TAGGING_COUNT: HeaderName = HeaderName::from_static("x-amz-tagging-count");
const SOURCE_OWNER: HeaderName = HeaderName::from_static("x-amz-source-expected-bucket-owner");
const VERSION_ID: HeaderName = HeaderName::from_static("x-amz-version-id");
const SOURCE_VERSION_ID: HeaderName = HeaderName::from_static("x-amz-copy-source-version-id");

/// A copy as it was asked for.
pub(super) struct Copying<'a> {
    pub(super) exchange: &'a Exchange<'a>,
    pub(super) from: &'a Object<'a>,
    pub(super) directives: Directives,
}

/// CopyObject: `from`, which the client may read, becomes the object that the request is for.
///
/// # Errors
/// Refused by either key's owner, by a limit, by a condition or by the store; or the source is not what was sealed.
pub async fn object(exchange: &Exchange<'_>, from: &Object<'_>, lease: Lease) -> Result<Response<Bytes>, S3Error> {
    let client = &exchange.parts.headers;
    let directives = Directives::of(client)?;
    let copying = Copying {
        exchange,
        from,
        directives,
    };
    // The store would not notice: it is always told to replace metadata. An older version of itself is another object.
    if copying.is_itself() && from.version.is_none() && !directives.change(client) {
        return Err(CopyError::Itself.into());
    }
    if copying.is_the_stores()
        && let Some(answer) = copying.by_the_store(&lease).await?
    {
        return Ok(answer);
    }
    reseal::copy(&copying, lease).await
}

impl Copying<'_> {
    pub(super) fn client(&self) -> &HeaderMap {
        &self.exchange.parts.headers
    }

    fn is_itself(&self) -> bool {
        let to = &self.exchange.object;
        self.from.container.name == to.container.name && self.from.name == to.name
    }

    /// Whether the store can copy the bytes as they are: they open under the same tenant's keys only, and it must have them.
    ///
    /// What it makes of a condition on the copy's own place is known of PUT only, unless it is known to heed them all: then a
    /// copy under one is a PUT.
    fn is_the_stores(&self) -> bool {
        let (from, to) = (self.from.container, self.exchange.container());
        let heeds = to.store.dialect().conditional_writes == ConditionalWrites::Heeded;
        let near = from.tenant == to.tenant && from.store.name() == to.store.name();
        near && (heeds || !self.is_conditional())
    }

    /// Whether the copy depends on what lies in its place.
    fn is_conditional(&self) -> bool {
        [IF_MATCH, IF_NONE_MATCH]
            .iter()
            .any(|name| self.client().contains_key(name))
    }

    /// Whether a copy of this source has tags that the store's own copy would lose.
    fn loses_tags(&self, source: &Verified) -> bool {
        let some = |tags: &HeaderValue, none: &[u8]| tags.as_bytes() != none;
        let tagged = match self.directives.tagging {
            Directive::Copy => source.store.get(&TAGGING_COUNT).is_some_and(|count| some(count, b"0")),
            Directive::Replace => self.client().get(&TAGGING).is_some_and(|tags| some(tags, b"")),
        };
        tagged && !self.exchange.container().store.dialect().copies_tags
    }

    /// `None`: the store can't, without loss.
    async fn by_the_store(&self, lease: &Lease) -> Result<Option<Response<Bytes>>, S3Error> {
        let mut refused = None;
        for _ in 0..TRIES {
            let source = source_of(self.from, self.client()).await?;
            if self.loses_tags(&source) {
                return Ok(None);
            }
            let pin = source.etag().cloned();
            // The same source once more: it is not the pin that failed.
            if let Some((failed, error)) = refused.take()
                && failed == pin
            {
                return Err(if self.is_conditional() {
                    error
                } else {
                    S3Error::StoreFailed
                });
            }
            match self.ask(source, lease).await {
                Err(error @ S3Error::Store { .. }) if error.status() == StatusCode::PRECONDITION_FAILED => {
                    refused = Some((pin, error));
                }
                done => return done.map(Some),
            }
        }
        Err(S3Error::StoreFailed)
    }

    async fn ask(&self, mut source: Verified, lease: &Lease) -> Result<Response<Bytes>, S3Error> {
        let to = &self.exchange.object;
        let asking = self.asking(&mut source).map_err(|error| of_source(self.from, error))?;
        let checksums = kept(&mut source).map_err(|error| of_source(self.from, error))?;
        let (over, source_over) = (lease.over(), source.opener.lease().over());
        let copying = async {
            let answer = self.exchange.ask(Method::PUT, "", asking, StoreBody::empty()).await?;
            let said = answer.headers().clone();
            Ok::<_, S3Error>((said, CopyResult::read(answer).await?))
        };
        let (said, result) = tokio::select! {
            biased;
            // What the store does later, it does to bytes that nobody reads without a lease.
            () = over.cancelled() => return Err(put::ended(to).await),
            () = source_over.cancelled() => {
                let live = source.opener.lease().check();
                return Err(live.map_or_else(|no| of_source(self.from, no.into()), |()| S3Error::StoreFailed));
            }
            copied = copying => copied?,
        };
        lease.check()?;
        Ok(self.answer(&said, &source.store, &CopyResult { checksums, ..result }))
    }

    /// What the store is asked: everything stated anew, the gate's own with it, and the source pinned.
    fn asking(&self, source: &mut Verified) -> Result<HeaderMap, S3Error> {
        let place = self.exchange.place();
        let stated = self.directives.restated(self.client(), &source.store)?;
        let mut asking = match source.core() {
            Some(core) => headers::to_store(&stated, core)?,
            None => headers::described(&stated)?,
        };
        match (source.core(), source.store.get(&CHECKSUMS)) {
            (None, _) => insert(&mut asking, MULTIPART, "1"),
            // Under a key that does not depend on the name.
            (Some(_), Some(sealed)) => {
                asking.insert(CHECKSUMS, sealed.clone());
            }
            (Some(_), None) => {}
        }
        if !source.opener.get()?.core().born_at(&place) {
            insert(&mut asking, ALIAS, &source.alias(&place)?.to_string());
        }
        asking.insert("x-amz-metadata-directive", HeaderValue::from_static("REPLACE"));
        insert(&mut asking, HeaderName::from_static(COPY_SOURCE), &header_of(self.from));
        if let Some(pin) = source.etag() {
            asking.insert("x-amz-copy-source-if-match", pin.clone());
        }
        for name in [TAGGING_DIRECTIVE, SOURCE_OWNER] {
            if let Some(value) = self.client().get(&name) {
                asking.insert(name, value.clone());
            }
        }
        headers::conditions(self.client(), &mut asking);
        Ok(asking)
    }

    /// The answer: what the store says of the copy, and which version of the source it is of.
    pub(super) fn answer(&self, said: &HeaderMap, source: &HeaderMap, result: &CopyResult) -> Response<Bytes> {
        answer(self.exchange, said, source, result, Of::Object)
    }
}

/// The answer to a copy, whose document it is.
pub(super) fn answer(
    exchange: &Exchange<'_>,
    said: &HeaderMap,
    source: &HeaderMap,
    result: &CopyResult,
    of: Of,
) -> Response<Bytes> {
    let mut response = Response::new(result.to_document(of));
    let mut seen = HeaderMap::new();
    for name in ["x-amz-expiration", "x-amz-request-charged"].map(HeaderName::from_static) {
        if let Some(value) = said.get(&name) {
            seen.insert(name, value.clone());
        }
    }
    if let (Of::Object, Some(version)) = (of, said.get(VERSION_ID)) {
        seen.insert(VERSION_ID, version.clone());
    }
    if let Some(version) = said.get(SOURCE_VERSION_ID).or_else(|| source.get(VERSION_ID)) {
        seen.insert(SOURCE_VERSION_ID, version.clone());
    }
    seen.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    headers::sealed_under(&exchange.container().key_url, &mut seen);
    *response.headers_mut() = seen;
    response
}

/// The source as the store is told of it.
fn header_of(from: &Object<'_>) -> String {
    let version = from.version.as_deref();
    let version = version.map_or_else(String::new, |version| ["?versionId=", version].concat());
    format!("/{}/{}{version}", from.container.name, from.key)
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
