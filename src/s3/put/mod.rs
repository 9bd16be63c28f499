//! Writing an object, and deleting one. All that can be refused is refused from the head, before the client is asked for the
//! body; what the body itself gives away stops it before its last chunk leaves, so that nothing is stored.

mod pieces;
mod write;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, ETAG, EXPECT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;

pub use write::{Writing, ended, heeded, largest, write};

use crate::body::checksum::{Checksum, Expectations};
use crate::body::{Held, Plaintext, SealedBody, Upload};
use crate::keys::{Lease, Leased, UseError};
use crate::s3::auth::Payload;
use crate::s3::error::S3Error;
use crate::s3::exchange::Exchange;
use crate::s3::{headers, multipart};
use crate::seal::{MAX_PLAIN_LEN, PlainLen, SealError, SealedLen, Sealer};
use crate::upstream::{Caller, Dialect, Payload as Told, StoreBody, Write};

/// A body of this many bytes of plaintext is received whole before it goes on, so that a checksum that comes behind it, or that
/// is left to S3 to compute, can be kept with the object.
const LARGEST_HELD: u64 = 1 << 20;

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
    let object = &exchange.object;
    let dialect = object.container.store.dialect();
    let (len, stored) = lengths(&payload, client, dialect)?;
    let expectations =
        Expectations::new(client, payload.content_sha256()).map_err(|error| S3Error::Body(error.into()))?;
    let framing = match payload {
        Payload::AwsChunked(framing) => Some(framing),
        Payload::Signed(_) | Payload::Unsigned => None,
    };
    let mut conditions = HeaderMap::new();
    headers::conditions(client, &mut conditions);
    heeded(object, write::kind(stored, dialect), &conditions).await?;
    let (header, mut sealer) = lease.seal_whole(&exchange.place(), len).map_err(unusable)?;
    let mut headers = headers::to_store(client, header.core())?;
    let mut always = HeaderMap::new();
    headers::to_any(client, &mut always);

    // What stands in a header is kept before it is verified: if it does not hold, nothing is stored.
    let mut kept = expectations.stated().copied();
    // A store that takes no checksum behind a body that it shall lock asks for one before it.
    let with_md5 = headers::is_locking(&headers) && dialect.payload == Told::Unsigned;
    // A client that waits to be asked for its body, where nobody vouches for it: what the store refuses is not asked for.
    let expects = headers::expects(client);
    let vouched = !matches!(object.caller, Caller::Nobody);
    let held = len.0 <= LARGEST_HELD && (kept.is_none() || with_md5) && (vouched || !expects);
    if expects && !held && (!vouched || !conditions.is_empty() || len.0 > LARGEST_HELD) {
        always.insert(EXPECT, HeaderValue::from_static("100-continue"));
    }
    let upload = Upload::new(body, framing, expectations, len.0);
    let plaintext: Box<dyn Plaintext> = if held {
        let over = sealer.lease().over();
        let received = tokio::select! {
            received = upload.hold() => received?,
            () = over.cancelled() => return Err(ended(object).await),
        };
        kept = Some(received.checksum());
        Box::new(received)
    } else {
        Box::new(upload)
    };
    if let Some(checksum) = &kept {
        headers::keep_checksums(&keep(checksum, &mut sealer)?, &mut headers);
    }
    let mut sealed = SealedBody::new(&header, sealer, plaintext, stored);
    let verified = sealed.verified();
    if held && with_md5 {
        let (gathered, md5) = sealed.gathered().await?;
        sealed = gathered;
        headers::content_md5(&md5, &mut headers);
    }
    let writing = Writing {
        object,
        always,
        headers,
        conditions,
    };
    let answer = write(&writing, sealed).await?;
    let mut response = Response::new(());
    *response.headers_mut() = written(exchange, &answer);
    if let Some(checksum) = verified.get() {
        echo(checksum, response.headers_mut());
    }
    Ok(response)
}

/// Writes an object whose length nobody states: what fits a piece is held and written as any other, what does not becomes an upload
/// of the gate's own. Gives the headers that a PutObject is answered with.
///
/// # Errors
/// As [`put`].
pub async fn unmeasured(
    exchange: &Exchange<'_>,
    lease: Lease,
    mut file: Box<dyn Plaintext>,
) -> Result<HeaderMap, S3Error> {
    let over = lease.over();
    let first = tokio::select! {
        gathered = multipart::gather(&mut file, Bytes::new()) => gathered?,
        () = over.cancelled() => return Err(ended(&exchange.object).await),
    };
    if first.len() >= multipart::PIECE {
        return multipart::unmeasured(exchange, lease, first, file).await;
    }
    let held = Held::with(first, file.finish()?);
    let len = PlainLen(held.plain_len());
    let stored = len.sealed().ok_or(S3Error::StoreFailed)?;
    let (header, mut sealer) = lease.seal_whole(&exchange.place(), len).map_err(unusable)?;
    let mut headers = headers::to_store(&exchange.parts.headers, header.core())?;
    let checksum = held.checksum();
    headers::keep_checksums(&keep(&checksum, &mut sealer)?, &mut headers);
    let mut always = HeaderMap::new();
    headers::to_any(&exchange.parts.headers, &mut always);
    let writing = Writing {
        object: &exchange.object,
        always,
        headers,
        conditions: HeaderMap::new(),
    };
    let sealed = SealedBody::new(&header, sealer, held, stored);
    let mut answer = written(exchange, &write(&writing, sealed).await?);
    echo(&checksum, &mut answer);
    Ok(answer)
}

fn echo(checksum: &Checksum, headers: &mut HeaderMap) {
    if let Ok(value) = HeaderValue::try_from(checksum.to_base64()) {
        headers.insert(checksum.algorithm().header(), value);
        headers.insert("x-amz-checksum-type", HeaderValue::from_static("FULL_OBJECT"));
    }
}

fn unusable(error: UseError) -> S3Error {
    match error {
        UseError::Ended(refusal) => S3Error::Refused(refusal),
        UseError::Seal(error) => S3Error::Body(error.into()),
        UseError::Tampered { what, version } => S3Error::Tampered {
            what: what.to_string(),
            version: Some(version),
        },
    }
}

/// The checksum as it lies with the object: sealed under the object's own key.
fn keep(checksum: &Checksum, sealer: &mut Leased<Sealer>) -> Result<String, S3Error> {
    let sealed = checksum.sealed(sealer.get()?.metadata_key());
    sealed.map_err(|error: SealError| S3Error::Body(error.into()))
}

/// DeleteObject.
///
/// # Errors
/// The store said no, or nothing.
pub async fn delete(exchange: &Exchange<'_>) -> Result<Response<()>, S3Error> {
    let asking = headers::deleting(&exchange.parts.headers);
    let mut conditions = HeaderMap::new();
    headers::conditions(&exchange.parts.headers, &mut conditions);
    heeded(&exchange.object, Write::Delete, &conditions).await?;
    let answer = exchange.ask(Method::DELETE, "", asking, StoreBody::empty()).await?;
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::NO_CONTENT;
    *response.headers_mut() = headers::to_client(answer.headers());
    Ok(response)
}

fn lengths(payload: &Payload, client: &HeaderMap, dialect: &Dialect) -> Result<(PlainLen, SealedLen), S3Error> {
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
    let largest = largest(dialect);
    match PlainLen(len).sealed() {
        Some(stored) if stored.0 <= largest => Ok((PlainLen(len), stored)),
        _ => Err(S3Error::TooLarge {
            largest: largest_plain(largest),
        }),
    }
}

/// The largest plaintext whose sealed size is not over this.
fn largest_plain(largest: u64) -> u64 {
    let (mut low, mut high) = (0, largest.min(MAX_PLAIN_LEN));
    while low < high {
        let middle = u64::midpoint(low, high) + 1;
        if PlainLen(middle).sealed().is_some_and(|stored| stored.0 <= largest) {
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
    use crate::upstream::Provider;

    #[test]
    fn the_largest_object_is_the_last_that_fits() {
        for provider in [Provider::Aws, Provider::Other] {
            let most = largest(&Dialect::of(provider));
            let largest = largest_plain(most);
            assert!(PlainLen(largest).sealed().unwrap().0 <= most);
            assert!(PlainLen(largest + 1).sealed().unwrap().0 > most);
        }
        assert_eq!(largest(&Dialect::of(Provider::Other)), 5 << 40);
        assert_eq!(largest(&Dialect::of(Provider::Aws)), 10_000 * (5 << 30));
    }
}
