//! A store's answer, read whole: listings, errors, and what is said of an upload.

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::upstream::store::{SILENCE, StoreError};

/// The whole body of an answer, of `most` bytes at the most. It may take long, as S3's own answers do that come behind white
/// space, but must not fall silent.
///
/// # Errors
/// It is longer, breaks off, or falls silent.
pub async fn collect(mut body: Incoming, most: usize) -> Result<Bytes, StoreError> {
    // Where the store says how long it is, there is room for it at once; grown piece by piece, it would be copied and wiped again
    // and again.
    let len = usize::try_from(body.size_hint().lower()).unwrap_or(most);
    let mut whole = BytesMut::with_capacity(len.min(most));
    loop {
        match tokio::time::timeout(SILENCE, body.frame()).await {
            Ok(Some(Ok(frame))) => whole.extend_from_slice(frame.data_ref().map_or(&[][..], |data| &**data)),
            Ok(None) => return Ok(whole.freeze()),
            Ok(Some(Err(error))) => {
                tracing::warn!(%error, "the store's answer can't be read");
                return Err(StoreError::Unreachable);
            }
            Err(_) => return Err(StoreError::Timeout),
        }
        if whole.len() > most {
            tracing::warn!(most, "the store's answer is too long");
            return Err(StoreError::Unreachable);
        }
    }
}
