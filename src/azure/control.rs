//! Operations that neither read nor write a blob's content: sent on as they are, signed anew, and their answers shown without what
//! is the gate's own.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use hyper::body::Incoming;

use crate::azure::address::Address;
use crate::azure::checks;
use crate::azure::error::AzureError;
use crate::azure::exchange::{Ask, Exchange, LARGEST_DOCUMENT};
use crate::azure::headers;
use crate::azure::list;
use crate::azure::metadata;
use crate::azure::operation::Operation;
use crate::azure::put::Source;
use crate::azure::xml::Element;
use crate::tenant::Within;
use crate::upstream::{StoreBody, collect};

/// The largest document that an operation of this kind takes; service properties and policies have a few KiB.
const LARGEST_SENT: u64 = 256 * 1024;

/// Sends the request on.
///
/// # Errors
/// The store said no, or nothing; a document that is none.
pub async fn pass(
    exchange: &Exchange<'_>,
    operation: Operation,
    body: Option<Incoming>,
) -> Result<Response<Bytes>, AzureError> {
    let mut ask = Ask::new(exchange.parts.method.clone(), exchange.passed_query());
    let client = exchange.client();
    for names in [headers::CONDITIONS, headers::DESCRIBING, headers::CONTROLLING] {
        headers::copy(client, &mut ask.headers, names);
    }
    metadata::from_client(client, &mut ask.headers)?;
    ask.spelling = exchange.parts.extensions.clone();
    let document = match body {
        Some(body) => gather(exchange.client(), body).await?,
        None => Bytes::new(),
    };
    if takes_document(operation) {
        if !document.is_empty() {
            // Whatever it is, it is a document of this kind, and not a blob's content.
            Element::parse(&document)?;
            ask.headers
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        }
        ask.body = StoreBody::control(document.to_vec());
    }
    let answer = exchange.ask(ask).await?;
    let (parts, body) = answer.into_parts();
    let body = collect(body, LARGEST_DOCUMENT).await?;
    let mut shown = body.clone();
    if let Some(page) = Some(&body)
        .filter(|body| !body.is_empty())
        .and_then(|body| Element::parse(body).ok())
    {
        shown = Bytes::from(show(exchange.parts, exchange.address, operation, page).document());
    }
    let mut response = Response::new(shown);
    *response.status_mut() = parts.status;
    *response.headers_mut() = headers::to_client(&parts.headers);
    *response.extensions_mut() = parts.extensions;
    for name in ["access-control-allow-origin", "vary"] {
        if let Some(value) = parts.headers.get(name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    if response.body().is_empty() && parts.status != StatusCode::OK {
        response.headers_mut().remove(CONTENT_TYPE);
    }
    Ok(response)
}

/// A document as its client sees it: the gate's own endpoint, and only what is the account's.
fn show<'d>(
    parts: &http::request::Parts,
    address: &Address,
    operation: Operation,
    mut page: Element<'d>,
) -> Element<'d> {
    let account = &address.account;
    list::set_endpoint(&mut page, &list::endpoint(parts, address));
    match operation {
        Operation::ListContainers => {
            if let Some(containers) = page.child_mut("Containers") {
                containers
                    .children
                    .retain(|entry| account.container(entry.text_of("Name"), Within::Itself).is_ok());
            }
        }
        Operation::FindBlobsByTags => {
            if let Some(blobs) = page.child_mut("Blobs") {
                blobs.children.retain(|entry| {
                    let within = Within::Key(entry.text_of("Name"));
                    account.container(entry.text_of("ContainerName"), within).is_ok()
                });
            }
        }
        _ => {}
    }
    page
}

fn takes_document(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::SetServiceProperties | Operation::SetContainerAcl | Operation::SetBlobTags
    )
}

/// Whether only somebody to whom all of the upstream account belongs may do it.
pub fn concerns_all(operation: Operation) -> bool {
    matches!(operation, Operation::SetServiceProperties)
}

/// What may be asked of a container that tenants share, as a whole: nothing that tells of blobs or concerns them.
pub fn is_safe_where_tenants_share(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::GetContainerProperties | Operation::GetAccountInformation | Operation::Batch
    )
}

/// A short body, held to what is stated about it.
///
/// # Errors
/// It is too long, or not what is stated.
pub async fn gather(client: &http::HeaderMap, body: Incoming) -> Result<Bytes, AzureError> {
    let stated = client.contains_key(http::header::CONTENT_LENGTH);
    if !stated && http_body::Body::is_end_stream(&body) {
        return Ok(Bytes::new());
    }
    let (_, len) = checks::framing(client)?;
    if len > LARGEST_SENT {
        return Err(AzureError::TooLarge { largest: LARGEST_SENT });
    }
    let source = Source::of(client, body, false)?;
    Ok(source.gather().await?.0)
}
