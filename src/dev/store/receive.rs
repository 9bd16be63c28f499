//! Bodies on their way in: to a temporary file, checked on the way against everything the client claimed.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _};
use http::HeaderMap;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3ErrorCode, S3Result, StdError, TrailingHeaders, s3_error};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use crate::dev::store::checksum::{Algorithm, Checksum, Hasher};
use crate::dev::store::claims::Claims;
use crate::dev::store::disk::{Disk, Staged};

/// The largest body of one request: 5 GiB.
pub const MAX_BODY: u64 = 5 << 30;

/// A body that arrived whole and is what it was said to be.
#[derive(Debug)]
pub struct Received {
    pub staged: Staged,
    /// Bytes.
    pub size: u64,
    /// MD5 in hex.
    pub etag: String,
    pub checksum: Checksum,
}

/// Receives a body of `length` bytes.
///
/// # Errors
/// S3's: IncompleteBody, BadDigest, XAmzContentSHA256Mismatch, EntityTooLarge.
pub async fn receive(
    disk: &Disk,
    body: Option<StreamingBlob>,
    length: Option<u64>,
    claims: Claims,
    trailers: Option<TrailingHeaders>,
) -> S3Result<Received> {
    let too_large = || s3_error!(EntityTooLarge, "Your proposed upload exceeds the maximum allowed size");
    if length.is_some_and(|length| length > MAX_BODY) {
        return Err(too_large());
    }
    let staged = disk.stage();
    let mut file = File::create(staged.path()).await.map_err(S3Error::internal_error)?;
    let mut md5 = Md5::new();
    let mut hasher = Hasher::new(claims.algorithm.unwrap_or(claims.otherwise));
    let mut size: u64 = 0;
    if let Some(mut body) = body.map(Box::pin) {
        while let Some(bytes) = next(body.as_mut()).await {
            let bytes = bytes.map_err(broken_body)?;
            size = size.saturating_add(bytes.len() as u64);
            if size > MAX_BODY {
                return Err(too_large());
            }
            md5.update(&bytes);
            hasher.update(&bytes);
            file.write_all(&bytes).await.map_err(S3Error::internal_error)?;
        }
    }
    file.flush().await.map_err(S3Error::internal_error)?;
    if length.is_some_and(|length| length != size) {
        return Err(incomplete());
    }
    let md5 = md5.finalize();
    if claims.md5.is_some_and(|claimed| claimed != md5) {
        return Err(s3_error!(
            BadDigest,
            "The Content-MD5 you specified did not match what we received."
        ));
    }
    let checksum = hasher.finish();
    if let Some(algorithm) = claims.algorithm {
        let claimed = match claims.value {
            Some(value) => value,
            None => trailer(algorithm, trailers)?,
        };
        if claimed != checksum.value {
            return Err(bad_checksum(algorithm));
        }
    }
    Ok(Received {
        staged,
        size,
        etag: hex::encode(md5),
        checksum,
    })
}

/// The bytes the object will have: those inside the aws-chunked framing if there is one. `s3s` counts neither.
pub fn declared_length(content_length: Option<i64>, headers: &HeaderMap) -> S3Result<Option<u64>> {
    let decoded = headers
        .get("x-amz-decoded-content-length")
        .and_then(|value| value.to_str().ok());
    match decoded {
        Some(value) => value
            .parse()
            .map(Some)
            .map_err(|_| s3_error!(InvalidArgument, "x-amz-decoded-content-length")),
        None => Ok(content_length.and_then(|length| u64::try_from(length).ok())),
    }
}

/// BadDigest, as S3 words it.
pub fn bad_checksum(algorithm: Algorithm) -> S3Error {
    s3_error!(
        BadDigest,
        "The {} you specified did not match the calculated checksum.",
        algorithm.as_str()
    )
}

async fn next<S: Stream>(mut stream: Pin<&mut S>) -> Option<S::Item> {
    stream.next().await
}

/// The value that followed the body, which `s3s` hands on without a look.
fn trailer(algorithm: Algorithm, trailers: Option<TrailingHeaders>) -> S3Result<String> {
    let name = algorithm.header();
    let value = trailers
        .and_then(|trailers| trailers.take())
        .and_then(|trailers| {
            trailers
                .get(&name)
                .and_then(|value| value.to_str().ok().map(str::to_owned))
        })
        .ok_or_else(|| bad_request("MalformedTrailerError", "The announced trailer was not sent"))?;
    algorithm.check(&value)?;
    Ok(value)
}

/// For the codes `s3s` has no name for.
fn bad_request(code: &'static str, message: &'static str) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message);
    error.set_status_code(http::StatusCode::BAD_REQUEST);
    error
}

fn incomplete() -> S3Error {
    S3Error::with_message(
        S3ErrorCode::IncompleteBody,
        "You did not provide the number of bytes specified by the Content-Length HTTP header",
    )
}

/// `s3s` checks hashes and signatures as the body flows and keeps the types of those errors to itself; their text is all
/// there is to tell them apart by.
fn broken_body(error: StdError) -> S3Error {
    let text = error.to_string();
    let mut answer = if text.contains("Sha256Mismatch") {
        bad_request(
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )
    } else if text.contains("SignatureMismatch") {
        s3_error!(
            SignatureDoesNotMatch,
            "The signature of a part of the body does not match"
        )
    } else {
        incomplete()
    };
    answer.set_source(error);
    answer
}
