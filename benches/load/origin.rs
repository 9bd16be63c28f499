//! The store of the measurements: objects in memory, as fast as hyper gives them out, to clients of S3 and of Azure Blob. It keeps
//! what was PUT, but for what lies below `sink/`, of which it keeps only that it came; it signs nothing and asks for no signature.

// For those too who take this file by its path.
#[path = "blobs.rs"]
mod blobs;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED, RANGE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use super::serving;

/// The ETag of everything: nobody here compares any.
const TAG: &str = "\"9e107d9d372bb6826bd81d3542a419d6\"";
const MOMENT: &str = "Mon, 23 Nov 2026 12:00:00 GMT";
/// What lies below it is counted and dropped.
const SINK: &str = "/sink/";
/// Every upload's id.
const UPLOAD: &str = "<InitiateMultipartUploadResult><UploadId>an-upload</UploadId></InitiateMultipartUploadResult>";
/// The listing that is measured: 1,000 keys, made once.
const LISTING: &str = "prefix=listing";
/// Objects of this many bytes of plaintext stand in it: 720 more are stored (docs/FORMAT.md, the size law).
const LISTED: u64 = 4096 + 720;

#[derive(Default)]
struct Origin {
    objects: RwLock<BTreeMap<String, Arc<Object>>>,
    pages: Mutex<BTreeMap<String, Bytes>>,
    /// Azure's blocks that are in no blob yet, by the blob's path and their ids.
    blocks: Mutex<BTreeMap<String, BTreeMap<String, Bytes>>>,
    requests: AtomicU64,
    /// Bytes of bodies given out.
    given: AtomicU64,
}

struct Object {
    headers: HeaderMap,
    body: Bytes,
}

type Answer = Response<Full<Bytes>>;

/// Serves until killed. `said` is told the address.
pub(crate) async fn run(said: impl FnOnce(SocketAddr)) -> std::io::Result<()> {
    let origin = Arc::new(Origin::default());
    let answer = move |request| {
        let origin = Arc::clone(&origin);
        async move { Ok::<_, Infallible>(origin.answer(request).await) }
    };
    serving::serve(None, said, answer).await
}

impl Origin {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let query = parts.uri.query().unwrap_or_default();
        if path == "/stub/counts" {
            // Asked for by the harness, not counted.
            let text = format!(
                "{} {}",
                self.requests.load(Ordering::Relaxed),
                self.given.load(Ordering::Relaxed)
            );
            return answer(StatusCode::OK, text.into());
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        if path.starts_with(blobs::ACCOUNT) {
            return self.blob(&parts, body).await;
        }
        match parts.method {
            Method::PUT => self.put(path, &parts.headers, body).await,
            // Parts are objects of their own here, and no upload is ever completed.
            Method::POST if query.contains("uploads") => answer(StatusCode::OK, Bytes::from_static(UPLOAD.as_bytes())),
            Method::GET if query.contains("list-type=2") => answer(StatusCode::OK, self.list(path, query)),
            Method::GET | Method::HEAD => self.get(path, &parts.headers, parts.method == Method::HEAD),
            Method::DELETE => {
                self.write().remove(path);
                answer(StatusCode::NO_CONTENT, Bytes::new())
            }
            _ => answer(StatusCode::METHOD_NOT_ALLOWED, Bytes::new()),
        }
    }

    async fn put(&self, path: &str, theirs: &HeaderMap, body: Incoming) -> Answer {
        let kept = !path.contains(SINK);
        let Some(body) = receive(theirs, body, kept).await else {
            return answer(StatusCode::BAD_REQUEST, Bytes::new());
        };
        if kept {
            self.keep(path, theirs, "x-amz-meta-", body);
        }
        let mut answer = answer(StatusCode::OK, Bytes::new());
        answer.headers_mut().insert(ETAG, HeaderValue::from_static(TAG));
        answer
    }

    /// Keeps an object, with its metadata, whose names begin so.
    fn keep(&self, path: &str, theirs: &HeaderMap, metadata: &str, body: Bytes) {
        let is_kept = |name: &str| name.starts_with(metadata) || name == "content-type";
        let headers = theirs.iter().filter(|(name, _)| is_kept(name.as_str()));
        let object = Object {
            headers: headers.map(|(name, value)| (name.clone(), value.clone())).collect(),
            body,
        };
        self.write().insert(path.to_owned(), Arc::new(object));
    }

    fn get(&self, path: &str, theirs: &HeaderMap, head: bool) -> Answer {
        let Some(object) = self.find(path) else {
            let text = "<Error><Code>NoSuchKey</Code></Error>";
            let body = if head {
                Bytes::new()
            } else {
                Bytes::from_static(text.as_bytes())
            };
            return answer(StatusCode::NOT_FOUND, body);
        };
        self.give(&object, theirs.get(RANGE), head)
    }

    fn find(&self, path: &str) -> Option<Arc<Object>> {
        let objects = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        objects.get(path).cloned()
    }

    /// An object, or a range of it.
    fn give(&self, object: &Object, range: Option<&HeaderValue>, head: bool) -> Answer {
        let whole = object.body.len();
        let asked = range.and_then(|value| value.to_str().ok());
        let mut range = None;
        if let Some(asked) = asked {
            let asked = asked.trim_start_matches("bytes=").split_once('-');
            let (first, last) = asked.unwrap_or_default();
            let first = first.parse().unwrap_or(0);
            let last = last.parse().unwrap_or(usize::MAX).min(whole.saturating_sub(1));
            if first > last {
                return answer(StatusCode::RANGE_NOT_SATISFIABLE, Bytes::new());
            }
            range = Some((first, last));
        }
        let body = match range {
            _ if head => Bytes::new(),
            Some((first, last)) => object.body.slice(first..=last),
            None => object.body.clone(),
        };
        self.given.fetch_add(body.len() as u64, Ordering::Relaxed);
        let len = if head { whole } else { body.len() };
        let mut answer = answer(StatusCode::OK, body);
        let headers = answer.headers_mut();
        headers.extend(object.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        headers.insert(ETAG, HeaderValue::from_static(TAG));
        headers.insert(LAST_MODIFIED, HeaderValue::from_static(MOMENT));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
        if let Some((first, last)) = range.filter(|_| !head)
            && let Ok(value) = HeaderValue::try_from(format!("bytes {first}-{last}/{whole}"))
        {
            headers.insert(CONTENT_RANGE, value);
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        answer
    }

    fn list(&self, path: &str, query: &str) -> Bytes {
        if query.contains(LISTING) {
            let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
            let made = || {
                let keys = (0..1000).map(|n| (format!("listing/object-{n:04}.bin"), LISTED));
                page("listing/", keys)
            };
            return pages.entry(path.to_owned()).or_insert_with(made).clone();
        }
        let prefix = query.split('&').find_map(|pair| pair.strip_prefix("prefix="));
        let prefix = prefix.unwrap_or_default().replace("%2F", "/");
        let folder = format!("{path}/{prefix}");
        let objects = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        let found = objects.range(folder.clone()..).map_while(|(key, object)| {
            key.starts_with(&folder)
                .then(|| (key[path.len() + 1..].to_owned(), object.body.len() as u64))
        });
        page(&prefix, found.take(1000))
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<String, Arc<Object>>> {
        self.objects.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listing as S3 writes it.
fn page(prefix: &str, keys: impl Iterator<Item = (String, u64)>) -> Bytes {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult \
         xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bench</Name><Prefix>{prefix}</Prefix>\
         <MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>"
    );
    for (key, len) in keys {
        let _ = write!(
            text,
            "<Contents><Key>{key}</Key><LastModified>2026-11-23T12:00:00.000Z</LastModified>\
             <ETag>&quot;9e107d9d372bb6826bd81d3542a419d6&quot;</ETag><Size>{len}</Size>\
             <StorageClass>STANDARD</StorageClass></Contents>"
        );
    }
    text.push_str("</ListBucketResult>");
    text.into()
}

/// A request's content, of the length that it states; nothing of it where it is not kept. `None` if it is not whole.
async fn receive(theirs: &HeaderMap, mut body: Incoming, kept: bool) -> Option<Bytes> {
    let len = theirs
        .get(CONTENT_LENGTH)
        .and_then(|len| len.to_str().ok()?.parse().ok())
        .unwrap_or(0);
    let mut whole = BytesMut::with_capacity(if kept { len } else { 0 });
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            received += data.len();
            if kept {
                whole.extend_from_slice(&data);
            }
        }
    }
    (received == len).then(|| whole.freeze())
}

fn answer(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    if status == StatusCode::OK {
        answer
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    }
    answer
}
