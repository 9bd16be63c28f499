//! List Blobs with exact sizes and MD5s: the store's own page, asked for with the blobs' metadata, where the gate keeps both. No
//! further request but for append blobs, whose size follows from their number of blocks, and one for each DEK of the page that is
//! not in memory.

mod entry;
#[cfg(test)]
mod tests;
mod text;
mod tree;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response};

use crate::azure::copy;
use crate::azure::error::AzureError;
use crate::azure::exchange::{Ask, Exchange, read, whole};
use crate::azure::headers;
use crate::azure::list::text::Page;
use crate::azure::xml::Element;

/// List Blobs, flat or hierarchical.
///
/// # Errors
/// The store said no, or nothing.
pub async fn list(exchange: &Exchange<'_>) -> Result<Response<Bytes>, AzureError> {
    let mut pairs = exchange.passed_query();
    let own = exchange.address.parameter("include").unwrap_or("").to_owned();
    let asked = |what: &str| own.split(',').any(|one| one.trim().eq_ignore_ascii_case(what));
    let with_metadata = asked("metadata");
    if !with_metadata {
        pairs.retain(|(name, _)| !name.eq_ignore_ascii_case("include"));
        let separator = if own.is_empty() { "" } else { "," };
        pairs.push(("include".to_owned(), format!("{own}{separator}metadata")));
    }
    let mut ask = Ask::new(Method::GET, pairs);
    headers::copy(exchange.client(), &mut ask.headers, &["x-ms-lease-id"]);
    let endpoint = endpoint(exchange.parts, exchange.address);
    let source = |source: &str| copy::own_address(exchange, source);
    let (store, document) = whole(exchange.ask(ask).await?).await?;
    let shown = match Page::read(&document, with_metadata) {
        Some(page) => {
            let told = entry::told(exchange, page.entries()).await?;
            page.shown(&endpoint, &told, &source, &copy::plain_progress)
        }
        None => {
            let mut page = read(&document)?;
            let told = entry::told(exchange, &tree::listed(&page)).await?;
            set_endpoint(&mut page, &endpoint);
            tree::show(&mut page, &told, with_metadata, &source, &copy::plain_progress);
            page.document()
        }
    };
    let mut headers = headers::to_client(&store);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    let mut response = Response::new(Bytes::from(shown));
    *response.headers_mut() = headers;
    Ok(response)
}

/// The page says where it is from: the gate, as the client addressed it.
pub fn set_endpoint(page: &mut Element<'_>, endpoint: &str) {
    for (name, value) in &mut page.attributes {
        if name == "ServiceEndpoint" {
            endpoint.clone_into(value);
        }
    }
}

/// The gate's own endpoint, as this request's client addressed it.
pub fn endpoint(parts: &http::request::Parts, address: &crate::azure::address::Address) -> String {
    let host = parts
        .headers
        .get(http::header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("");
    let scheme = parts.extensions.get::<Secure>().map_or("http", |_| "https");
    if address.path_style {
        format!("{scheme}://{host}/{}", address.account.name)
    } else {
        format!("{scheme}://{host}/")
    }
}

/// Stands among a request's extensions if it came over TLS.
#[derive(Clone, Copy, Debug)]
pub struct Secure;
