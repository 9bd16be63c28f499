//! AbortMultipartUpload.

use http::{HeaderMap, Method, Response, StatusCode};
use hyper::body::Incoming;

use crate::s3::error::S3Error;
use crate::s3::exchange::Exchange;
use crate::s3::multipart::create::answered;
use crate::s3::multipart::{Upload, is_gone};
use crate::upstream::StoreBody;

/// AbortMultipartUpload: the upload first, then what waits apart; a part that comes in between clears itself away.
///
/// # Errors
/// No such upload; the store said no, or nothing.
pub async fn abort(exchange: &Exchange<'_>) -> Result<Response<()>, S3Error> {
    let answer = clear(&Upload::of(exchange)?).await?;
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::NO_CONTENT;
    *response.headers_mut() = answered(answer.headers());
    Ok(response)
}

/// Clears an upload away.
///
/// # Errors
/// As [`abort`].
pub(super) async fn clear(upload: &Upload) -> Result<Response<Incoming>, S3Error> {
    let asked = upload
        .ask(Method::DELETE, "", HeaderMap::new(), StoreBody::empty())
        .await;
    let gone = asked.as_ref().err().is_some_and(is_gone);
    if asked.is_err() && !gone {
        return Err(asked.err().unwrap_or(S3Error::StoreFailed));
    }
    // What can't be found or cleared away now is swept later.
    let staging = upload.staging();
    if let Ok(found) = staging.list().await {
        for part in &found.parts {
            staging.remove_part(part.number).await;
        }
        // An upload that is gone may have been completed, and its client may ask for that once more.
        for attempt in found.attempts.iter().filter(|_| !gone) {
            staging.remove_attempt(attempt).await;
        }
    }
    asked
}
