//! Writing an object, and deleting one. All that can be refused is refused from the head, before the client is asked for the
//! body; what the body itself gives away stops it before its last chunk leaves, so that nothing is stored.

use http::header::{CONTENT_LENGTH, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;

use crate::body::checksum::Expectations;
use crate::body::{SealedBody, Upload};
use crate::keys::{Lease, UseError};
use crate::s3::auth::Payload;
use crate::s3::error::S3Error;
use crate::s3::exchange::Exchange;
use crate::s3::headers;
use crate::seal::{PlainLen, SealedLen};
use crate::upstream::StoreBody;

/// S3 takes 5 GiB in one PUT, sealed: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html>.
const LARGEST_STORED: u64 = 5 << 30;

/// PutObject.
///
/// # Errors
/// Refused by the key's owner, by a limit, by the store, or because the body is not what was stated about it.
pub async fn put(
    exchange: &Exchange<'_>,
    lease: Lease,
    payload: Payload,
    body: Incoming,
) -> Result<Response<()>, S3Error> {
    let client = &exchange.parts.headers;
    let (len, stored) = lengths(&payload, client)?;
    let expectations =
        Expectations::new(client, payload.content_sha256()).map_err(|error| S3Error::Body(error.into()))?;
    let framing = match payload {
        Payload::AwsChunked(framing) => Some(framing),
        Payload::Signed(_) | Payload::Unsigned => None,
    };
    let over = lease.over();
    let (header, sealer) = lease.seal_whole(&exchange.place(), len).map_err(|error| match error {
        UseError::Ended(refusal) => S3Error::Refused(refusal),
        UseError::Seal(error) => S3Error::Body(error.into()),
        UseError::Tampered(what) => S3Error::Tampered { what: what.to_string() },
    })?;
    let mut headers = headers::to_store(client, header.core())?;
    headers::conditions(client, &mut headers);
    let upload = Upload::new(body, framing, expectations, len.0);
    let sealed = SealedBody::new(&header, sealer, upload, stored);
    let (fault, verified) = (sealed.fault(), sealed.verified());
    let asking = exchange.ask(Method::PUT, "", headers, StoreBody::sealed(sealed));
    let answer = tokio::select! {
        answer = asking => answer,
        // A store that does not take the body must not keep the client waiting past the lease.
        () = over.cancelled() => Err(S3Error::StoreFailed),
    };
    // The body knows better than the store why it stopped.
    let answer = match (answer, fault.take()) {
        (_, Some(fault)) => return Err(fault.into()),
        (Err(S3Error::StoreFailed), None) if over.is_cancelled() => return Err(ended(exchange).await),
        (answer, None) => answer?,
    };
    let mut response = Response::new(());
    *response.headers_mut() = written(exchange, answer.headers());
    if let Some(checksum) = verified.get()
        && let Ok(value) = HeaderValue::try_from(checksum.to_base64())
    {
        let whole = HeaderValue::from_static("FULL_OBJECT");
        response.headers_mut().insert(checksum.algorithm().header(), value);
        response.headers_mut().insert("x-amz-checksum-type", whole);
    }
    Ok(response)
}

/// DeleteObject.
///
/// # Errors
/// The store said no, or nothing.
pub async fn delete(exchange: &Exchange<'_>) -> Result<Response<()>, S3Error> {
    let asking = headers::deleting(&exchange.parts.headers);
    let answer = exchange.ask(Method::DELETE, "", asking, StoreBody::empty()).await?;
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::NO_CONTENT;
    *response.headers_mut() = headers::to_client(answer.headers());
    Ok(response)
}

/// Why the lease ended, asked of those who decide.
async fn ended(exchange: &Exchange<'_>) -> S3Error {
    match exchange.object.keys.to_write(&exchange.container().tenant).await {
        Err(refusal) => S3Error::Refused(refusal),
        Ok(_) => S3Error::StoreFailed,
    }
}

fn lengths(payload: &Payload, client: &HeaderMap) -> Result<(PlainLen, SealedLen), S3Error> {
    let len = match payload {
        Payload::AwsChunked(framing) => framing.decoded_len,
        Payload::Signed(_) | Payload::Unsigned => {
            let stated = client
                .get(CONTENT_LENGTH)
                .and_then(|value| value.to_str().ok())
                .and_then(|text| text.parse().ok());
            stated.ok_or(S3Error::MissingLength)?
        }
    };
    match PlainLen(len).sealed() {
        Some(stored) if stored.0 <= LARGEST_STORED => Ok((PlainLen(len), stored)),
        _ => Err(S3Error::TooLarge {
            largest: largest_plain(),
        }),
    }
}

/// The largest plaintext whose sealed size a single PUT may have.
fn largest_plain() -> u64 {
    let (mut low, mut high) = (0, LARGEST_STORED);
    while low < high {
        let middle = u64::midpoint(low, high) + 1;
        if PlainLen(middle)
            .sealed()
            .is_some_and(|stored| stored.0 <= LARGEST_STORED)
        {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

fn written(exchange: &Exchange<'_>, store: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let seen = headers::to_client(store);
    for name in [
        ETAG,
        HeaderName::from_static("x-amz-version-id"),
        HeaderName::from_static("x-amz-expiration"),
    ] {
        if let Some(value) = seen.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    headers::sealed_under(&exchange.container().key_url, &mut headers);
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_put_is_the_last_that_fits() {
        let largest = largest_plain();
        assert!(PlainLen(largest).sealed().unwrap().0 <= LARGEST_STORED);
        assert!(PlainLen(largest + 1).sealed().unwrap().0 > LARGEST_STORED);
        assert!(largest > (5 << 30) - (4 << 20), "within 4 MiB of the store's own limit");
    }
}
