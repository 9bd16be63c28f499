//! What a client says of a blob that is there: properties, metadata, snapshots. The gate keeps its own part in the metadata, so what
//! replaces metadata is read, merged and written, in one piece as far as the store's ETags can make it one.

use http::header::ETAG;
use http::{HeaderMap, Method, Response, StatusCode};
use hyper::body::Incoming;

use crate::azure::checks;
use crate::azure::condition;
use crate::azure::error::AzureError;
use crate::azure::exchange::{Ask, Exchange, query};
use crate::azure::headers;
use crate::azure::metadata::{self, Hidden, META};
use crate::azure::read::key_of;
use crate::azure::read::shape::{Shape, stored_len};
use crate::seal::{ChecksumKind, SealedLen};

/// How often a blob's metadata is read and written that changes each time, before the client is told to come again.
const TRIES: u32 = 8;

/// Set Blob Metadata.
///
/// # Errors
/// The store said no, or metadata has a reserved name.
pub async fn set_metadata(exchange: &Exchange<'_>) -> Result<Response<()>, AzureError> {
    let answer = merged(exchange, "metadata").await?;
    Ok(answered(&answer))
}

/// Snapshot Blob. With metadata of its own a snapshot does not have the blob's, the gate's part included.
///
/// # Errors
/// As [`set_metadata`].
pub async fn snapshot(exchange: &Exchange<'_>) -> Result<Response<()>, AzureError> {
    if metadata::given(exchange.client()) {
        return Ok(answered(&merged(exchange, "snapshot").await?));
    }
    let mut ask = Ask::new(Method::PUT, exchange.passed_query());
    headers::copy(exchange.client(), &mut ask.headers, headers::CONDITIONS);
    headers::copy(exchange.client(), &mut ask.headers, headers::DESCRIBING);
    Ok(answered(&exchange.ask(ask).await?))
}

/// A request that replaces a blob's metadata, with the gate's part put in.
async fn merged(exchange: &Exchange<'_>, comp: &str) -> Result<Response<Incoming>, AzureError> {
    let mut given = HeaderMap::new();
    metadata::from_client(exchange.client(), &mut given)?;
    for _ in 0..TRIES {
        let (store, _) = head(exchange).await?;
        let mut ask = Ask::new(Method::PUT, query(&[("comp", comp)]));
        ask.headers = given.clone();
        headers::copy(exchange.client(), &mut ask.headers, headers::CONDITIONS);
        Hidden::of(&store).write(&mut ask.headers);
        condition::pin(store.get(ETAG), &mut ask.headers);
        ask.spelling = exchange.parts.extensions.clone();
        if let Some(answer) = unless_raced(exchange.ask(ask).await)? {
            return Ok(answer);
        }
    }
    Err(AzureError::StoreFailed)
}

/// The blob's present state, which meets the client's conditions.
async fn head(exchange: &Exchange<'_>) -> Result<(HeaderMap, SealedLen), AzureError> {
    let mut ask = Ask::new(Method::HEAD, Vec::new());
    headers::copy(exchange.client(), &mut ask.headers, condition::STATE);
    let answer = exchange.ask(ask).await?;
    condition::judge(exchange.client(), Some(answer.headers()))?;
    let stored = stored_len(answer.status(), answer.headers())?;
    Ok((answer.headers().clone(), stored))
}

/// The store's answer to what was pinned to a state; nothing where the blob has left that state meanwhile.
fn unless_raced<T>(answer: Result<T, AzureError>) -> Result<Option<T>, AzureError> {
    match answer {
        Err(AzureError::Store {
            status: StatusCode::PRECONDITION_FAILED,
            code,
            ..
        }) if code == "ConditionNotMet" => Ok(None),
        other => other.map(Some),
    }
}

/// Set Blob Properties. The MD5 among them is the plaintext's, so it is kept sealed; one that is not given is cleared, as Azure
/// does it.
///
/// # Errors
/// The key's owner said no, or the store did.
pub async fn set_properties(exchange: &Exchange<'_>) -> Result<Response<()>, AzureError> {
    let client = exchange.client();
    let claimed = checks::claimed_md5(client)?;
    // Pages only.
    for name in [
        "x-ms-blob-content-length",
        "x-ms-sequence-number-action",
        "x-ms-blob-sequence-number",
    ] {
        if client.contains_key(name) {
            return Err(AzureError::UnsupportedHeader { what: name.to_owned() });
        }
    }
    let clears = client.keys().any(|name| {
        headers::DESCRIBING.contains(&name.as_str()) && name.as_str().starts_with("x-ms-blob-c")
            || *name == checks::BLOB_MD5
    });
    for _ in 0..TRIES {
        if let Some(answer) = set_once(exchange, claimed.as_deref(), clears).await? {
            return Ok(answer);
        }
    }
    Err(AzureError::StoreFailed)
}

/// Nothing where the blob changed meanwhile.
async fn set_once(
    exchange: &Exchange<'_>,
    claimed: Option<&[u8]>,
    clears: bool,
) -> Result<Option<Response<()>>, AzureError> {
    let (store, stored) = head(exchange).await?;
    let mut hidden = Hidden::of(&store);
    let before = hidden.sums.clone();
    if clears || claimed.is_some() {
        hidden.sums = match claimed {
            None => None,
            Some(_) if matches!(Shape::of(&store, stored)?, Shape::Append(..)) => {
                return Err(AzureError::UnsupportedHeader {
                    what: "x-ms-blob-content-md5 of an append blob".into(),
                });
            }
            Some(md5) => {
                let key = key_of(exchange, &store, stored).await?;
                let (core, mut opener) = key.ok_or(AzureError::Unsealed)?;
                hidden.core = Some(core);
                metadata::sums(opener.get()?.metadata_key(), ChecksumKind::ClaimedMd5, md5)?
            }
        };
    }
    let mut store = store;
    if hidden.sums != before {
        let mut ask = Ask::new(Method::PUT, query(&[("comp", "metadata")]));
        for (name, value) in store.iter().filter(|(name, _)| name.as_str().starts_with(META)) {
            ask.headers.append(name.clone(), value.clone());
        }
        hidden.write(&mut ask.headers);
        headers::copy(exchange.client(), &mut ask.headers, &["x-ms-lease-id"]);
        condition::pin(store.get(ETAG), &mut ask.headers);
        let Some(answer) = unless_raced(exchange.ask(ask).await)? else {
            return Ok(None);
        };
        store = answer.headers().clone();
    }
    let mut ask = Ask::new(Method::PUT, query(&[("comp", "properties")]));
    headers::copy(exchange.client(), &mut ask.headers, headers::DESCRIBING);
    headers::copy(exchange.client(), &mut ask.headers, condition::STATE);
    condition::pin(store.get(ETAG), &mut ask.headers);
    ask.spelling = exchange.parts.extensions.clone();
    Ok(unless_raced(exchange.ask(ask).await)?.as_ref().map(answered))
}

/// Get Blob Metadata.
///
/// # Errors
/// The store said no.
pub async fn get_metadata(exchange: &Exchange<'_>) -> Result<Response<()>, AzureError> {
    let mut ask = Ask::new(exchange.parts.method.clone(), exchange.passed_query());
    headers::copy(exchange.client(), &mut ask.headers, headers::CONDITIONS);
    Ok(answered(&exchange.ask(ask).await?))
}

fn answered(answer: &Response<Incoming>) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = answer.status();
    *response.headers_mut() = headers::written(answer.headers());
    response.headers_mut().remove("content-length");
    *response.extensions_mut() = answer.extensions().clone();
    response
}
