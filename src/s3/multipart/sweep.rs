//! What uploads leave over in the system container: parts that came after their upload was gone, and records of Completes.
//!
//! A folder's objects say which upload it is of. While the upload is there, nothing is touched, however old: S3's uploads stay until
//! they are completed or aborted. Once it is gone, its parts go, and its records a day after they were written, until when a client
//! may send its Complete again.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::s3::error::S3Error;
use crate::s3::multipart::PATH;
use crate::s3::multipart::staging::{self, Listed, OF, ROOT};
use crate::s3::object::understood;
use crate::upstream::{Call, Caller, Store, StoreBody};

/// How long a record outlasts its upload.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Clears away what uploads of this store have left over. Any replica may do so at any time, and several at once; once an hour is often
/// enough. Returns how many objects went.
///
/// # Errors
/// The store said no to a listing, or nothing.
pub async fn sweep(store: &Store, now: SystemTime) -> Result<usize, S3Error> {
    let (mut after, mut removed) = (None, 0);
    let mut folder = Folder::default();
    loop {
        let (page, next) = staging::list(store, ROOT, after.as_deref()).await?;
        for listed in page {
            let Some(path) = listed.key.strip_prefix(ROOT).and_then(|path| path.split_once('/')) else {
                continue;
            };
            if folder.hash != path.0 {
                folder = Folder {
                    hash: path.0.to_owned(),
                    gone: is_gone(store, &listed).await,
                };
            }
            if folder.gone && (path.1.starts_with("parts/") || is_old(&listed, now)) {
                staging::remove(store, &listed.key).await;
                removed += 1;
            }
        }
        match next {
            Some(token) => after = Some(token),
            None => return Ok(removed),
        }
    }
}

/// The folder that the listing is at.
#[derive(Default)]
struct Folder {
    hash: String,
    gone: bool,
}

/// Whether the upload that this is of is certainly gone.
async fn is_gone(store: &Store, listed: &Listed) -> bool {
    let head = staging::ask(
        store,
        Method::HEAD,
        &listed.key,
        "",
        HeaderMap::new(),
        StoreBody::empty(),
    )
    .await;
    let Ok(head) = head else { return false };
    let [container, name, id] = OF.map(|name| head.headers().get(name)?.to_str().ok());
    let decoded = |text: Option<&str>| {
        let bytes = URL_SAFE_NO_PAD.decode(text?).ok()?;
        String::from_utf8(bytes).ok()
    };
    let (Some(container), Some(name), Some(id)) = (container, decoded(name), decoded(id)) else {
        return false;
    };
    let call = Call {
        method: Method::GET,
        bucket: container,
        key: &utf8_percent_encode(&name, PATH).to_string(),
        query: &format!("max-parts=1&uploadId={}", utf8_percent_encode(&id, NON_ALPHANUMERIC)),
        caller: &Caller::Gate,
        headers: HeaderMap::new(),
        body: StoreBody::empty(),
    };
    let Ok(answer) = store.send(call).await else {
        return false;
    };
    // Only the store's plain word counts: a bucket that the gate may not look into is no reason.
    matches!(understood(answer).await, Err(S3Error::Store { code, .. }) if code == "NoSuchUpload" || code == "NoSuchBucket")
}

fn is_old(listed: &Listed, now: SystemTime) -> bool {
    let written = OffsetDateTime::parse(&listed.modified, &Rfc3339).map(SystemTime::from);
    written.is_ok_and(|written| now.duration_since(written).is_ok_and(|age| age > KEPT))
}
