//! List Blobs with exact sizes and MD5s: the store's own page, asked for with the blobs' metadata, where the gate keeps both. No
//! further request but for append blobs, whose size follows from their number of blocks, and one for each DEK of the page that is
//! not in memory.

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response};

use crate::azure::error::AzureError;
use crate::azure::exchange::{Ask, Exchange, query, read, send, whole};
use crate::azure::headers;
use crate::azure::metadata::{Hidden, is_hidden_name};
use crate::azure::read::shape::{Shape, stored_len};
use crate::azure::xml::Element;
use crate::body::Stored;
use crate::keys::Lease;
use crate::seal::{Core, DekId, Domain, HEADER_LEN, Header, Kind, Place, SealedLen};

/// How many append blobs of a page are asked about at once.
const AT_ONCE: usize = 8;

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
    let (store, document) = whole(exchange.ask(ask).await?).await?;
    let mut page = read(&document)?;
    own_endpoint(exchange, &mut page);
    if let Some(blobs) = page.child_mut("Blobs") {
        let mut entries = std::mem::take(&mut blobs.children);
        let sizes = append_sizes(exchange, &entries).await?;
        let leases = leases(exchange, &entries).await?;
        let blobs_only = entries.iter_mut().filter(|entry| entry.name == "Blob");
        for (entry, size) in blobs_only.zip(sizes) {
            show(exchange, entry, size, &leases, with_metadata);
        }
        if let Some(blobs) = page.child_mut("Blobs") {
            blobs.children = entries;
        }
    }
    let mut headers = headers::to_client(&store);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    let mut response = Response::new(Bytes::from(page.document()));
    *response.headers_mut() = headers;
    Ok(response)
}

/// The page says where it is from: the gate, as the client addressed it.
pub fn own_endpoint(exchange: &Exchange<'_>, page: &mut Element<'_>) {
    let endpoint = endpoint(exchange.parts, exchange.address);
    set_endpoint(page, &endpoint);
}

/// The same, without an exchange.
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

/// One blob as its client sees it.
fn show(
    exchange: &Exchange<'_>,
    entry: &mut Element<'_>,
    append: Option<u64>,
    leases: &HashMap<DekId, Lease>,
    with_metadata: bool,
) {
    let name = entry.text_of("Name").to_owned();
    let hidden = hidden(entry);
    if with_metadata {
        if let Some(metadata) = entry.child_mut("Metadata") {
            metadata.children.retain(|pair| !is_hidden_name(&pair.name));
            if metadata.children.is_empty() {
                entry.remove("Metadata");
            }
        }
    } else {
        entry.remove("Metadata");
    }
    let Some(properties) = entry.child_mut("Properties") else {
        return;
    };
    properties.remove("Content-MD5");
    properties.remove("Content-CRC64");
    let stored = properties.text_of("Content-Length").parse().ok().map(SealedLen);
    let Some(stored) = stored else { return };
    let len = append.or_else(|| hidden.core.map(|core| core.plain_len().0));
    // Metadata that was stripped costs a blob of blocks its length here; one segment's follows from its size.
    let len = len.or_else(|| stored.plain().map(|plain| plain.0));
    let md5 = hidden.core.and_then(|core| {
        let opened = leases.get(&core.dek_id())?.opened(&core)?;
        let place = Place {
            domain: Domain::Azure,
            container: &exchange.container.sealed_as,
            name: &name,
        };
        opened.at(&place, hidden.alias().as_ref()).ok()?;
        Some(hidden.md5(opened.metadata_key())?.to_str().ok()?.to_owned())
    });
    if let Some(len) = len {
        properties.set("Content-Length", len.to_string());
    }
    if let Some(md5) = md5 {
        // Where Azure has it: behind what else is said of the content.
        let before = ["Content-Length", "Content-Type", "Content-Encoding", "Content-Language"];
        let is_before = |child: &Element<'_>| before.contains(&&*child.name);
        let at = properties.children.iter().rposition(is_before);
        let at = at.map_or(properties.children.len(), |at| at + 1);
        properties.children.insert(at, Element::new("Content-MD5", md5));
    }
    crate::azure::copy::shown_in_list(exchange, properties, stored, len);
}

fn hidden(entry: &Element<'_>) -> Hidden {
    let pairs = entry.child("Metadata").map(|metadata| metadata.children.iter());
    Hidden::listed(pairs.into_iter().flatten().map(|pair| (&*pair.name, &*pair.text)))
}

/// Which version of a blob an entry is.
fn version(entry: &Element<'_>) -> Vec<(String, String)> {
    let named = |element: &str, parameter: &str| {
        let value = entry.text_of(element);
        (!value.is_empty()).then(|| (parameter.to_owned(), value.to_owned()))
    };
    named("Snapshot", "snapshot")
        .into_iter()
        .chain(named("VersionId", "versionid"))
        .collect()
}

/// The lengths of the page's append blobs; nothing for the others.
async fn append_sizes(exchange: &Exchange<'_>, entries: &[Element<'_>]) -> Result<Vec<Option<u64>>, AzureError> {
    let blobs = entries.iter().filter(|entry| entry.name == "Blob");
    let is_append = |entry: &Element<'_>| {
        let properties = entry.child("Properties");
        let kind = properties.map_or("", |properties| properties.text_of("BlobType"));
        kind == "AppendBlob" && entry.text_of("Deleted") != "true"
    };
    let mut lens: Vec<Option<u64>> = Vec::new();
    let mut appended = Vec::new();
    for (at, entry) in blobs.enumerate() {
        lens.push(None);
        if is_append(entry) {
            appended.push((at, entry));
        }
    }
    let asked = appended.into_iter().map(|(at, entry)| async move {
        let mut ask = Ask::new(Method::HEAD, version(entry));
        headers::to_any(exchange.client(), exchange.address, &mut ask.headers);
        let answer = send(
            exchange.container,
            exchange.address.secondary,
            entry.text_of("Name"),
            ask,
        )
        .await;
        let Ok(answer) = answer else { return Ok((at, None)) };
        let stored = stored_len(answer.status(), answer.headers())?;
        let len = match Shape::of(answer.headers(), stored) {
            Ok(Shape::Append(len, _)) => Some(len.0),
            Ok(Shape::Whole(_) | Shape::Blocks(..) | Shape::Unknown) | Err(_) => None,
        };
        Ok((at, len))
    });
    let asked: Vec<_> = asked.collect();
    let found: Vec<Result<_, AzureError>> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    for found in found {
        let (at, len) = found?;
        if let Some(place) = lens.get_mut(at) {
            *place = len;
        }
    }
    Ok(lens)
}

/// Leases on the DEKs that the page's checksums are sealed under. One that is not in memory is had by the header of one blob that
/// it seals.
async fn leases(exchange: &Exchange<'_>, entries: &[Element<'_>]) -> Result<HashMap<DekId, Lease>, AzureError> {
    let mut leases = HashMap::new();
    if exchange.keyless {
        return Ok(leases);
    }
    for entry in entries
        .iter()
        .filter(|entry| entry.name == "Blob" && entry.text_of("Deleted") != "true")
    {
        let hidden = hidden(entry);
        let (Some(core), Some(_)) = (hidden.core, &hidden.sums) else {
            continue;
        };
        if leases.contains_key(&core.dek_id()) {
            continue;
        }
        let tenant = &exchange.container.tenant;
        let lease = match exchange.keys.warm(tenant, core.dek_id()) {
            Some(lease) => Some(lease),
            None => match header(exchange, entry, &core).await {
                Some(header) => Some(exchange.keys.to_open(tenant, core.dek_id(), header.envelope()).await?),
                None => None,
            },
        };
        if let Some(lease) = lease {
            leases.insert(core.dek_id(), lease);
        }
    }
    Ok(leases)
}

/// The header that a listed blob's core is of.
async fn header(exchange: &Exchange<'_>, entry: &Element<'_>, core: &Core) -> Option<Header> {
    let stored: u64 = entry.child("Properties")?.text_of("Content-Length").parse().ok()?;
    let at = match core.kind() {
        Kind::Footer => stored.checked_sub(HEADER_LEN as u64)?,
        _ => 0,
    };
    let mut pairs = version(entry);
    pairs.extend(query(&[]));
    let mut ask = Ask::new(Method::GET, pairs);
    headers::to_any(exchange.client(), exchange.address, &mut ask.headers);
    let range = format!("bytes={at}-{}", at + HEADER_LEN as u64 - 1);
    ask.headers.insert("x-ms-range", HeaderValue::try_from(range).ok()?);
    let answer = send(
        exchange.container,
        exchange.address.secondary,
        entry.text_of("Name"),
        ask,
    )
    .await
    .ok()?;
    let bytes = Stored::new(answer.into_body()).all(HEADER_LEN).await.ok()?;
    Header::parse(&bytes)
        .ok()
        .filter(|header| header.core().dek_id() == core.dek_id())
}
