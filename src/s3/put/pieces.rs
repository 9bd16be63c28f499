//! A PUT larger than the store takes in one request: a multipart upload of the gate's own, of one sealed object of kind whole cut
//! into equal pieces. Each is streamed; nothing of it is visible before the last one has been believed.

use std::sync::Arc;

use http::header::ETAG;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::body::SealedBody;
use crate::body::checksum::Algorithm;
use crate::s3::error::S3Error;
use crate::s3::headers;
use crate::s3::put::write::Writing;
use crate::tenant::Container;
use crate::upstream::{Call, Caller, StoreBody, collect, text_of};

/// S3's most parts of an upload.
pub(super) const MOST: u64 = 10_000;
/// A piece is this long unless there would be too many, or the store takes less at once.
const USUAL: u64 = 64 << 20;
/// The largest answer to what begins and ends an upload.
const LARGEST_ANSWER: usize = 64 * 1024;
/// So often an upload that came to nothing is cleared away, before it is left to the bucket's lifecycle.
const TRIES: u32 = 3;

/// Stores the object in pieces; gives the store's headers about it.
pub(super) async fn store(writing: &Writing<'_>, sealed: SealedBody) -> Result<HeaderMap, S3Error> {
    let (object, len) = (writing.object, sealed.stored_len().0);
    let each = piece_len(len, object.container.store.dialect().largest_put);
    let upload = Upload::begin(writing).await?;
    let pieces = sealed.into_pieces();
    let (mut parts, mut left) = (Vec::new(), len);
    while left > 0 {
        let next = left.min(each);
        let number = parts.len() + 1;
        let query = format!("partNumber={number}&uploadId={}", upload.id);
        let body = StoreBody::sealed(pieces.piece(next));
        let answer = object.ask(Method::PUT, &query, writing.always.clone(), body).await?;
        let text = |name: HeaderName| Some(answer.headers().get(name)?.to_str().ok()?.to_owned());
        let etag = text(ETAG).ok_or(S3Error::StoreFailed)?;
        parts.push((etag, text(Algorithm::Crc64Nvme.header())));
        left -= next;
    }
    upload.complete(writing, &parts).await
}

/// Equal pieces, as few as 10,000 and whole MiB, but for what the store takes at once.
fn piece_len(len: u64, largest: u64) -> u64 {
    const MIB: u64 = 1 << 20;
    let least = len.div_ceil(MOST).div_ceil(MIB) * MIB;
    USUAL.max(least).min(largest)
}

/// A piece that the store has: its ETag, and the checksum that the store names for it.
type Part = (String, Option<String>);

/// An upload at the store. Dropped before it is complete, it is cleared away, also when the client has gone.
struct Upload {
    container: Arc<Container>,
    caller: Caller,
    key: String,
    always: HeaderMap,
    /// As it stands in a query.
    id: String,
    complete: bool,
}

impl Upload {
    async fn begin(writing: &Writing<'_>) -> Result<Self, S3Error> {
        let object = writing.object;
        let mut asking = writing.headers.clone();
        headers::add(&writing.always, &mut asking);
        object.container.store.multipart_headers(&mut asking);
        let answer = object.ask(Method::POST, "uploads", asking, StoreBody::empty()).await?;
        let answer = collect(answer.into_body(), LARGEST_ANSWER).await?;
        let id = text_of(&answer, b"UploadId").ok_or(S3Error::StoreFailed)?;
        Ok(Self {
            container: Arc::clone(object.container),
            caller: object.caller.clone(),
            key: object.key.clone().into_owned(),
            always: writing.always.clone(),
            id: utf8_percent_encode(&id, NON_ALPHANUMERIC).to_string(),
            complete: false,
        })
    }

    async fn complete(mut self, writing: &Writing<'_>, parts: &[Part]) -> Result<HeaderMap, S3Error> {
        let mut asking = writing.always.clone();
        headers::add(&writing.conditions, &mut asking);
        let query = format!("uploadId={}", self.id);
        let parts = parts
            .iter()
            .map(|(etag, checksum)| (etag.as_str(), checksum.as_deref()));
        let body = StoreBody::completion(parts);
        let answer = writing.object.ask(Method::POST, &query, asking, body).await?;
        let (head, body) = answer.into_parts();
        let body = collect(body, LARGEST_ANSWER).await?;
        // A no may come late, behind a head that said 200.
        if let Some(code) = text_of(&body, b"Code") {
            return Err(late(code, text_of(&body, b"Message").unwrap_or_default()));
        }
        self.complete = true;
        let mut headers = head.headers;
        let etag = match text_of(&body, b"ETag").filter(|etag| !etag.trim_matches('"').is_empty()) {
            Some(etag) => HeaderValue::try_from(etag).map_err(|_| S3Error::StoreFailed)?,
            // Ceph 16 leaves it out of its first answer.
            None => etag_now(writing, &headers).await?,
        };
        headers.insert(ETAG, etag);
        Ok(headers)
    }
}

/// The ETag of the object that a Complete with this answer has made.
async fn etag_now(writing: &Writing<'_>, answer: &HeaderMap) -> Result<HeaderValue, S3Error> {
    let query = headers::version_query(answer);
    let asking = writing.always.clone();
    let found = writing.object.ask(Method::HEAD, &query, asking, StoreBody::empty());
    found.await?.headers().get(ETAG).cloned().ok_or(S3Error::StoreFailed)
}

impl Drop for Upload {
    fn drop(&mut self) {
        let (false, Ok(runtime)) = (self.complete, tokio::runtime::Handle::try_current()) else {
            return;
        };
        let container = Arc::clone(&self.container);
        let (caller, key) = (self.caller.clone(), std::mem::take(&mut self.key));
        let (always, query) = (std::mem::take(&mut self.always), format!("uploadId={}", self.id));
        runtime.spawn(async move {
            for _ in 0..TRIES {
                let call = Call {
                    method: Method::DELETE,
                    bucket: &container.name,
                    key: &key,
                    query: &query,
                    caller: &caller,
                    headers: always.clone(),
                    body: StoreBody::empty(),
                };
                match container.store.send(call).await {
                    Ok(answer) if answer.status().is_success() || answer.status() == StatusCode::NOT_FOUND => return,
                    _ => {}
                }
            }
            tracing::warn!(
                container = container.name,
                "an upload that came to nothing could not be cleared away: the bucket's lifecycle must"
            );
        });
    }
}

/// What an error means that came behind a 200.
fn late(code: String, message: String) -> S3Error {
    let status = match code.as_str() {
        "PreconditionFailed" => StatusCode::PRECONDITION_FAILED,
        "ConditionalRequestConflict" => StatusCode::CONFLICT,
        _ => {
            tracing::error!(code, message, "the store did not put the pieces together");
            return S3Error::StoreFailed;
        }
    };
    S3Error::Store {
        status,
        code,
        message,
        about: Box::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_equal_and_few_enough() {
        const GIB5: u64 = 5 << 30;
        assert_eq!(piece_len(GIB5 + 1, GIB5), USUAL);
        for len in [GIB5 + 1, 5 << 40, 10_000 * GIB5 - 1, 10_000 * GIB5] {
            let each = piece_len(len, GIB5);
            assert!(len.div_ceil(each) <= MOST && each <= GIB5, "{len} in {each}");
        }
        assert_eq!(piece_len(100 << 20, 6 << 20), 6 << 20);
    }

    #[test]
    fn an_error_behind_a_200_is_one() {
        let no = b"   <Error><Code>PreconditionFailed</Code></Error>";
        let error = late(text_of(no, b"Code").unwrap(), String::new());
        assert_eq!(error.status(), 412);
        assert!(matches!(
            late("InternalError".into(), String::new()),
            S3Error::StoreFailed
        ));
    }
}
