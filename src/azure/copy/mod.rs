//! Copies. Where source and destination are one tenant's and lie in one upstream account, the store copies sealed bytes, and the
//! copy's right to its new name is an alias in its metadata. Anything else, append blobs too, goes through the gate: opened, sealed
//! anew, and permitted on both sides.

mod from_url;
mod rows;
mod source;

use http::header::ETAG;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use std::sync::Arc;

pub use from_url::{FromBlob, append_from_url, put_blob_from_url, put_block_from_url};

use crate::azure::commit::{only_new, told};
use crate::azure::copy::source::{Origin, as_source};
use crate::azure::error::AzureError;
use crate::azure::exchange::{Ask, Exchange};
use crate::azure::headers;
use crate::azure::list;
use crate::azure::metadata::{self, Hidden, META};
use crate::azure::read::key_of;
use crate::azure::read::shape::stored_len;
use crate::seal::PlainLen;

/// What a client may say of a copy.
const SAID: &[&str] = &[
    "x-ms-access-tier",
    "x-ms-rehydrate-priority",
    "x-ms-tags",
    "x-ms-copy-source-tag-option",
    "x-ms-encryption-scope",
    "x-ms-immutability-policy-until-date",
    "x-ms-immutability-policy-mode",
    "x-ms-legal-hold",
    "x-ms-requires-sync",
];

/// Copy Blob, and Copy Blob From URL.
///
/// # Errors
/// The source is not to be had, the key's owner said no, or the store did.
pub async fn copy(exchange: &Exchange<'_>) -> Result<Response<()>, AzureError> {
    metadata::from_client(exchange.client(), &mut HeaderMap::new())?;
    let origin = Origin::of(exchange).await?;
    let one_store = Arc::ptr_eq(&origin.container.store, &exchange.container.store);
    if origin.container.tenant != exchange.container.tenant || !one_store {
        return from_url::copy_through(exchange, &origin).await;
    }
    let source = origin.exchange(exchange);
    let mut ask = Ask::new(Method::HEAD, source.version_query());
    headers::copy(source.client(), &mut ask.headers, headers::CONDITIONS);
    let (found, _) = source.ask(ask).await.map_err(as_source)?.into_parts();
    if found.status == StatusCode::NOT_MODIFIED {
        return Err(AzureError::SourceConditionNotMet);
    }
    if found
        .headers
        .get("x-ms-blob-type")
        .is_some_and(|kind| kind == "AppendBlob")
    {
        // Its blocks are bound to the name they were appended under, and no alias vouches for a row of them.
        return from_url::copy_through(exchange, &origin).await;
    }
    let stored = stored_len(found.status, &found.headers)?;
    let key = key_of(&source, &found.headers, stored).await?;
    let (core, mut opener) = key.ok_or(AzureError::Unsealed)?;
    let place = exchange.place();
    let alias =
        (!core.born_at(&place)).then(|| opener.get().map(|opener| opener.alias_key().alias(&place).to_string()));
    let hidden = Hidden {
        core: Some(core),
        alias: alias.transpose()?,
        ..Hidden::of(&found.headers)
    };

    let mut ask = Ask::new(Method::PUT, Vec::new());
    headers::copy(exchange.client(), &mut ask.headers, headers::CONDITIONS);
    headers::copy(exchange.client(), &mut ask.headers, SAID);
    if metadata::given(exchange.client()) {
        metadata::from_client(exchange.client(), &mut ask.headers)?;
        ask.spelling = exchange.parts.extensions.clone();
    } else {
        for (name, value) in found.headers.iter().filter(|(name, _)| name.as_str().starts_with(META)) {
            ask.headers.append(name.clone(), value.clone());
        }
        ask.spelling = found.extensions;
    }
    hidden.write(&mut ask.headers);
    only_new(exchange, &mut ask.headers);
    if let Some(etag) = found.headers.get(ETAG) {
        ask.headers.insert("x-ms-source-if-match", etag.clone());
    }
    headers::copy(exchange.client(), &mut ask.headers, &["x-ms-source-lease-id"]);
    let (name, blob) = (&origin.container.name, &origin.address.blob);
    let url = exchange.container.store.source(name, blob, &source.version_query());
    let url = HeaderValue::try_from(url).map_err(|_| AzureError::StoreFailed)?;
    ask.headers.insert("x-ms-copy-source", url);
    let answer = told(exchange, exchange.ask(ask).await)?;
    let mut response = Response::new(());
    *response.status_mut() = answer.status();
    *response.headers_mut() = headers::written(answer.headers());
    Ok(response)
}

/// What a client sees of where a blob was copied from: the gate's own address, and lengths of plaintext.
pub fn shown(exchange: &Exchange<'_>, store: &HeaderMap, len: PlainLen, headers: &mut HeaderMap) {
    let text = |name: &str| store.get(name).and_then(|value| value.to_str().ok());
    let source = text("x-ms-copy-source").map(|source| own_address(exchange, source));
    let progress = text("x-ms-copy-progress").and_then(|progress| plain_progress(progress, len.0));
    for (name, value) in [("x-ms-copy-source", source), ("x-ms-copy-progress", progress)] {
        if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
            headers.insert(name, value);
        }
    }
}

/// An address in the store as the client would write it.
pub fn own_address(exchange: &Exchange<'_>, source: &str) -> String {
    let (path, query) = source.split_once('?').unwrap_or((source, ""));
    let base = exchange.container.store.url("", "");
    let Some(rest) = path.strip_prefix(base.trim_end_matches('/')) else {
        return String::new();
    };
    let endpoint = list::endpoint(exchange.parts, exchange.address);
    let versions = query
        .split('&')
        .filter(|pair| pair.starts_with("snapshot=") || pair.starts_with("versionid="));
    let versions: Vec<&str> = versions.collect();
    // Their times have colons, which Azure shows as they are.
    let versions = percent_decode_str(&versions.join("&")).decode_utf8_lossy().into_owned();
    let query = if versions.is_empty() {
        String::new()
    } else {
        format!("?{versions}")
    };
    format!("{}{rest}{query}", endpoint.trim_end_matches('/'))
}

/// `done/all` in plaintext, of a blob of that length; `None` if it is no progress.
pub fn plain_progress(text: &str, len: u64) -> Option<String> {
    let (done, all) = text.split_once('/')?;
    let (done, all): (u64, u64) = (done.parse().ok()?, all.parse().ok()?);
    let done = if done >= all {
        len
    } else {
        u64::try_from(u128::from(len) * u128::from(done) / u128::from(all.max(1))).ok()?
    };
    Some(format!("{done}/{len}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_of_plaintext() {
        assert_eq!(plain_progress("720/720", 0).as_deref(), Some("0/0"));
        assert_eq!(plain_progress("360/720", 10).as_deref(), Some("5/10"));
        assert_eq!(plain_progress("0/0", 0).as_deref(), Some("0/0"));
        assert_eq!(plain_progress("x", 0), None);
    }
}
