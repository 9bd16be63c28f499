//! Append blobs: each Append Block is one segment, bound to its index and to the plaintext before it, so the gate must know both
//! before it seals: from a HEAD, and held to by an append position. A race with another writer is run again, unless the client
//! itself asked for a position.

use bytes::Bytes;
use http::header::IF_MATCH;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;

use crate::azure::block::checksum;
use crate::azure::checks;
use crate::azure::commit;
use crate::azure::error::AzureError;
use crate::azure::exchange::{Ask, Exchange, query};
use crate::azure::headers;
use crate::azure::metadata::Hidden;
use crate::azure::put::{Memory, Source, created};
use crate::azure::read::shape::{Shape, stored_len};
use crate::body::SealedBody;
use crate::body::checksum::{Algorithm, Checksum};
use crate::seal::{Binding, MAX_APPEND_LEN, Mark, PlainLen};
use crate::upstream::StoreBody;

const APPEND_POSITION: HeaderName = HeaderName::from_static("x-ms-blob-condition-appendpos");
const MAX_SIZE: HeaderName = HeaderName::from_static("x-ms-blob-condition-maxsize");
const OFFSET: HeaderName = HeaderName::from_static("x-ms-blob-append-offset");
/// How often a race is run again, before the client is told to come again.
const TRIES: u32 = 32;

/// Put Blob with `x-ms-blob-type: AppendBlob`: an empty blob.
///
/// # Errors
/// The store said no; an MD5 was given, which has nothing to be sealed under before the first block.
pub async fn create(exchange: &Exchange<'_>) -> Result<Response<()>, AzureError> {
    if exchange.client().contains_key(checks::BLOB_MD5) {
        return Err(AzureError::UnsupportedHeader {
            what: "x-ms-blob-content-md5 of an append blob".into(),
        });
    }
    if exchange
        .client()
        .get(http::header::CONTENT_LENGTH)
        .is_some_and(|len| len != "0")
    {
        return Err(AzureError::InvalidHeader { name: "Content-Length" });
    }
    let answer = begin(exchange, &Hidden::default()).await?;
    Ok(created(exchange, headers::written(answer.headers())))
}

/// Begins an append blob, of which the client says all that it says of any blob.
///
/// # Errors
/// The store said no.
pub async fn begin(exchange: &Exchange<'_>, hidden: &Hidden) -> Result<Response<Incoming>, AzureError> {
    let mut ask = Ask::new(Method::PUT, Vec::new());
    ask.headers = commit::said(exchange, hidden)?;
    let mut described = HeaderMap::new();
    headers::describing(exchange.client(), &mut described);
    for (name, value) in described {
        if let Some(name) = name {
            ask.headers.insert(name, value);
        }
    }
    ask.headers
        .insert("x-ms-blob-type", HeaderValue::from_static("AppendBlob"));
    ask.spelling = exchange.parts.extensions.clone();
    commit::told(exchange, exchange.ask(ask).await)
}

/// Append Block.
///
/// # Errors
/// Refused by the key's owner, by a limit, by the store, or because the body is not what was stated about it.
pub async fn append(exchange: &Exchange<'_>, source: Source) -> Result<Response<()>, AzureError> {
    let len = PlainLen(source.len);
    if len > MAX_APPEND_LEN {
        return Err(AzureError::TooLarge {
            largest: MAX_APPEND_LEN.0,
        });
    }
    if source.len == 0 {
        return Err(AzureError::InvalidHeader { name: "Content-Length" });
    }
    let position = condition(exchange.client(), &APPEND_POSITION)?;
    let most = condition(exchange.client(), &MAX_SIZE)?;
    let stated = source.md5.clone();
    // Whether it may: before 4 MiB of it are held.
    let lease = exchange.keys.to_write(&exchange.container.tenant).await?;
    let over = lease.over();
    let (plain, _) = tokio::select! {
        gathered = source.gather() => gathered?,
        () = over.cancelled() => {
            lease.check()?;
            return Err(AzureError::StoreFailed);
        }
    };
    drop(lease);
    for _ in 0..TRIES {
        let (blob, _) = state(exchange).await?;
        let Shape::Append(before, index) = blob else {
            return Err(AzureError::Store {
                status: StatusCode::CONFLICT,
                code: "InvalidBlobType".into(),
                message: "The blob type is invalid for this operation.".into(),
            });
        };
        if position.is_some_and(|position| position != before.0) {
            return Err(AzureError::AppendPosition);
        }
        if most.is_some_and(|most| before.0.saturating_add(len.0) > most) {
            return Err(AzureError::MaxSize);
        }
        let mark = Mark {
            index,
            offset: before.0,
        };
        match extend(exchange, plain.clone(), mark, headers::CONDITIONS, None).await {
            Err(AzureError::Store { code, .. }) if code == "AppendPositionConditionNotMet" => {
                if position.is_some() {
                    return Err(AzureError::AppendPosition);
                }
            }
            answer => {
                let mut headers = headers::written(answer?.headers());
                headers.insert(OFFSET, HeaderValue::from(before.0));
                let crc = Checksum::of(Algorithm::Crc64Nvme, &plain);
                checksum(&mut headers, stated.as_deref(), Some(&crc));
                return Ok(created(exchange, headers));
            }
        }
    }
    Err(AzureError::StoreFailed)
}

/// Appends one block behind all that lies before `mark`, with those of the client's headers that are named; and only to the state of
/// the blob that has this ETag, where there is one.
///
/// # Errors
/// Refused by the key's owner, by a limit, or by the store: `AppendPositionConditionNotMet` where something else was appended,
/// `ConditionNotMet` where the ETag is another.
pub async fn extend(
    exchange: &Exchange<'_>,
    plain: Bytes,
    mark: Mark,
    named: &[&str],
    etag: Option<&HeaderValue>,
) -> Result<Response<Incoming>, AzureError> {
    let len = PlainLen(plain.len() as u64);
    let (place, name) = (&exchange.container.sealed_as, &exchange.address.blob);
    let binding = Binding::append(place, name, mark.index, mark.offset);
    let lease = exchange.keys.to_write(&exchange.container.tenant).await?;
    let (header, sealer) = lease.seal_append(binding, len)?;
    let sealed_len = len.append().ok_or(AzureError::StoreFailed)?;
    let sealed = SealedBody::new(&header, sealer, Memory::new(plain), sealed_len);
    let (fault, permission) = (sealed.fault(), sealed.permission());
    let mut ask = Ask::new(Method::PUT, query(&[("comp", "appendblock")]));
    headers::copy(exchange.client(), &mut ask.headers, named);
    headers::copy(exchange.client(), &mut ask.headers, &["x-ms-encryption-scope"]);
    ask.headers.insert(APPEND_POSITION, HeaderValue::from(mark.stored()));
    if let Some(etag) = etag {
        ask.headers.insert(IF_MATCH, etag.clone());
    }
    ask.body = StoreBody::sealed(sealed);
    commit::send(exchange, ask, permission, &fault).await
}

/// Append Blob Seal: no more blocks from then on.
///
/// # Errors
/// The store said no.
pub async fn seal(exchange: &Exchange<'_>) -> Result<Response<()>, AzureError> {
    let mut ask = Ask::new(Method::PUT, query(&[("comp", "seal")]));
    headers::copy(exchange.client(), &mut ask.headers, headers::CONDITIONS);
    if let Some(position) = condition(exchange.client(), &APPEND_POSITION)? {
        let (blob, stored) = state(exchange).await?;
        match blob {
            Shape::Append(before, _) if before.0 == position => {
                ask.headers.insert(APPEND_POSITION, HeaderValue::from(stored));
            }
            _ => return Err(AzureError::AppendPosition),
        }
    }
    let answer = exchange.ask(ask).await?;
    let mut response = Response::new(());
    *response.status_mut() = answer.status();
    *response.headers_mut() = headers::written(answer.headers());
    Ok(response)
}

/// What is there, and how many bytes are stored.
async fn state(exchange: &Exchange<'_>) -> Result<(Shape, u64), AzureError> {
    let mut ask = Ask::new(Method::HEAD, Vec::new());
    headers::copy(exchange.client(), &mut ask.headers, &["x-ms-lease-id"]);
    let answer = exchange.ask(ask).await?;
    let stored = stored_len(answer.status(), answer.headers())?;
    Ok((Shape::of(answer.headers(), stored)?, stored.0))
}

fn condition(client: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, AzureError> {
    let Some(value) = client.get(name) else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or(AzureError::InvalidHeader {
        name: if *name == MAX_SIZE {
            "x-ms-blob-condition-maxsize"
        } else {
            "x-ms-blob-condition-appendpos"
        },
    })
}
