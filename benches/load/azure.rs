//! The same work as clients of Azure Blob ask for it: Get Blob, Put Blob, Put Block, Get Blob Properties, List Blobs, with
//! SharedKey's signature.

use http::header::{AUTHORIZATION, RANGE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};
use portcullis::upstream::http_date;
use portcullis::upstream::shared_key::{AccountKey, Order, Plus, Scheme, Signable};
use time::OffsetDateTime;

use super::Problem;
use super::client::Kind;

/// What SDKs of 2024 speak.
const VERSION: HeaderValue = HeaderValue::from_static("2023-11-03");
/// The id of every block, as it stands in a query: base64 of eight bytes, its `=` encoded.
const BLOCK: &str = "YmxvY2stMDE%3D";

/// Method and target; `container` stands behind its account.
pub(crate) fn line(kind: Kind, container: &str, name: &str) -> (Method, String) {
    let blob = || format!("/{container}/{name}");
    match kind {
        Kind::Get | Kind::Range => (Method::GET, blob()),
        Kind::Head => (Method::HEAD, blob()),
        Kind::Put => (Method::PUT, blob()),
        Kind::Part => (Method::PUT, format!("{}?comp=block&blockid={BLOCK}", blob())),
        Kind::List => {
            let query = "restype=container&comp=list&prefix=listing%2F";
            (Method::GET, format!("/{container}?{query}"))
        }
    }
}

/// What every request says, and its signature where there is a key.
pub(crate) fn sign(parts: &mut Parts, kind: Kind, account: &str, key: Option<&AccountKey>) -> Result<(), Problem> {
    const DATE: HeaderName = HeaderName::from_static("x-ms-date");
    const TYPE: HeaderName = HeaderName::from_static("x-ms-blob-type");
    let date = http_date(OffsetDateTime::now_utc()).ok_or_else(|| Problem::new("no date"))?;
    let headers = &mut parts.headers;
    headers.insert("x-ms-version", VERSION);
    headers.insert(DATE, date);
    if kind == Kind::Put {
        headers.insert(TYPE, HeaderValue::from_static("BlockBlob"));
    }
    // SDKs ask for ranges by the service's own header.
    if let Some(range) = headers.remove(RANGE) {
        headers.insert("x-ms-range", range);
    }
    let Some(key) = key else { return Ok(()) };
    let signable = Signable {
        method: &parts.method,
        headers: &parts.headers,
        account,
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
    };
    let text = signable.text(Scheme::SharedKey, Order::Collation, Plus::Space);
    let authorization = format!("SharedKey {account}:{}", key.sign(&text));
    let authorization = HeaderValue::try_from(authorization).map_err(Problem::new)?;
    parts.headers.insert(AUTHORIZATION, authorization);
    Ok(())
}
