//! What is said of a blob: Get Blob Properties, and the head of every answer that gives its bytes.

use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE};
use http::response::Parts;
use http::{HeaderValue, Response, StatusCode};

use crate::azure::checks::{BLOB_MD5, CONTENT_MD5};
use crate::azure::copy;
use crate::azure::error::AzureError;
use crate::azure::exchange::Exchange;
use crate::azure::headers;
use crate::azure::metadata::Hidden;
use crate::azure::read::open::{head_ask, key_of};
use crate::azure::read::shape::{Shape, stored_len};
use crate::azure::read::{Read, not_modified};
use crate::seal::{Kind, PlainLen, PlainRange};

/// A blob's plaintext, described.
pub struct Described {
    /// Its length.
    pub len: PlainLen,
    /// The MD5 that clients are shown, in base64.
    pub md5: Option<HeaderValue>,
}

/// Get Blob Properties: the same head that Get Blob would give.
///
/// # Errors
/// As [`super::get`], but what the body holds is not looked at.
pub async fn head(exchange: &Exchange<'_>) -> Result<Read, AzureError> {
    let (described, store) = describe(exchange, &exchange.passed_query()).await?;
    let Some(described) = described else {
        return Ok(not_modified(&store.headers));
    };
    Ok(Read {
        head: answer_head(exchange, &store, &described, None),
        pieces: None,
    })
}

/// Asks the store about the blob, under the client's conditions. Nothing described where it was not modified.
pub(super) async fn describe(
    exchange: &Exchange<'_>,
    query: &[(String, String)],
) -> Result<(Option<Described>, Parts), AzureError> {
    let (store, _) = exchange.ask(head_ask(exchange, query)).await?.into_parts();
    if store.status == StatusCode::NOT_MODIFIED {
        return Ok((None, store));
    }
    let stored = stored_len(store.status, &store.headers)?;
    let len = match Shape::of(&store.headers, stored)? {
        Shape::Whole(len) | Shape::Append(len, _) | Shape::Blocks(len, _) => Some(len),
        Shape::Unknown => None,
    };
    let hidden = Hidden::of(&store.headers);
    // The key is asked only where something is to be opened by it.
    if let Some(len) = len
        && (hidden.sums.is_none() || exchange.keyless)
    {
        return Ok((Some(Described { len, md5: None }), store));
    }
    let Some((core, mut opener)) = key_of(exchange, &store.headers, stored).await? else {
        return Err(AzureError::Unsealed);
    };
    if !matches!(core.kind(), Kind::Whole | Kind::Footer) {
        return Err(AzureError::Unsealed);
    }
    let md5 = hidden.md5(opener.get()?.metadata_key());
    let len = core.plain_len();
    Ok((Some(Described { len, md5 }), store))
}

/// The head of an answer about a blob.
pub(super) fn answer_head(
    exchange: &Exchange<'_>,
    store: &Parts,
    described: &Described,
    range: Option<PlainRange>,
) -> Response<()> {
    let mut head = Response::new(());
    let mut headers = headers::to_client(&store.headers);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let count = range.map_or(described.len, PlainRange::plain_len);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(count.0));
    if let Some(md5) = &described.md5 {
        // Of a range, `Content-MD5` would be the range's own.
        let name = if range.is_some() { BLOB_MD5 } else { CONTENT_MD5 };
        headers.insert(name, md5.clone());
    }
    if let Some(range) = range {
        *head.status_mut() = StatusCode::PARTIAL_CONTENT;
        let text = format!("bytes {}-{}/{}", range.first(), range.last(), described.len.0);
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(CONTENT_RANGE, value);
        }
    }
    copy::shown(exchange, &store.headers, described.len, &mut headers);
    headers::overridden(exchange.address, &mut headers);
    *head.headers_mut() = headers;
    // The store's spelling of the metadata's names.
    *head.extensions_mut() = store.extensions.clone();
    head
}
