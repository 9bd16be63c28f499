//! The origin to clients of Azure Blob: blobs in one piece and of blocks, a range, what is listed. The account is in the path, as
//! with an emulator.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, PoisonError};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, ETAG, LAST_MODIFIED, RANGE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper::body::Incoming;

use super::{Answer, MOMENT, Object, Origin, SINK, TAG, answer, receive};

/// What the path of every blob begins with.
pub(super) const ACCOUNT: &str = "/benchstore/";
const META: &str = "x-ms-meta-";
/// How many blobs a page has at most.
const PAGE: usize = 5000;

impl Origin {
    pub(super) async fn blob(&self, parts: &Parts, body: Incoming) -> Answer {
        let path = parts.uri.path();
        let query = parts.uri.query().unwrap_or_default();
        let mut answer = match (&parts.method, parameter(query, "comp")) {
            (&Method::PUT, None) => self.put_blob(path, &parts.headers, body).await,
            (&Method::PUT, Some("block")) => self.put_block(path, query, &parts.headers, body).await,
            (&Method::PUT, Some("blocklist")) => self.put_list(path, &parts.headers, body).await,
            // No block waits here for long, and no blob's blocks are used again.
            (&Method::GET, Some("blocklist")) => xml("<BlockList><UncommittedBlocks /></BlockList>"),
            (&Method::GET, Some("list")) => answer(StatusCode::OK, self.list_blobs(path, query)),
            (&Method::GET | &Method::HEAD, None) => self.get_blob(path, parts),
            _ => no(StatusCode::BAD_REQUEST, "UnsupportedHttpVerb", &parts.method),
        };
        let headers = answer.headers_mut();
        if let Some(version) = parts.headers.get("x-ms-version") {
            headers.insert("x-ms-version", version.clone());
        }
        let id = HeaderValue::from_static("9e107d9d-372b-b682-6bd8-1d3542a419d6");
        headers.insert("x-ms-request-id", id);
        answer
    }

    async fn put_blob(&self, path: &str, theirs: &HeaderMap, body: Incoming) -> Answer {
        let kept = !path.contains(SINK);
        match receive(theirs, body, kept).await {
            None => no(StatusCode::BAD_REQUEST, "IncompleteBody", &Method::PUT),
            Some(body) => {
                if kept {
                    self.keep(path, theirs, META, body);
                }
                created()
            }
        }
    }

    async fn put_block(&self, path: &str, query: &str, theirs: &HeaderMap, body: Incoming) -> Answer {
        let kept = !path.contains(SINK);
        let (Some(body), Some(id)) = (receive(theirs, body, kept).await, parameter(query, "blockid")) else {
            return no(StatusCode::BAD_REQUEST, "IncompleteBody", &Method::PUT);
        };
        if kept {
            let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
            blocks.entry(path.to_owned()).or_default().insert(decoded(id), body);
        }
        created()
    }

    /// A blob of the blocks that were put up for it.
    async fn put_list(&self, path: &str, theirs: &HeaderMap, body: Incoming) -> Answer {
        let Some(list) = receive(theirs, body, true).await else {
            return no(StatusCode::BAD_REQUEST, "IncompleteBody", &Method::PUT);
        };
        if path.contains(SINK) {
            return created();
        }
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = blocks.remove(path).unwrap_or_default();
        drop(blocks);
        match joined(&waiting, &String::from_utf8_lossy(&list)) {
            Some(whole) => {
                // Its type is the list's.
                let mut theirs = theirs.clone();
                theirs.remove(CONTENT_TYPE);
                self.keep(path, &theirs, META, whole);
                created()
            }
            None => no(StatusCode::BAD_REQUEST, "InvalidBlockList", &Method::PUT),
        }
    }

    fn get_blob(&self, path: &str, parts: &Parts) -> Answer {
        let Some(object) = self.find(path) else {
            return no(StatusCode::NOT_FOUND, "BlobNotFound", &parts.method);
        };
        let range = parts.headers.get("x-ms-range").or_else(|| parts.headers.get(RANGE));
        let mut answer = self.give(&object, range, parts.method == Method::HEAD);
        for (name, value) in [
            ("x-ms-blob-type", "BlockBlob"),
            ("x-ms-creation-time", MOMENT),
            ("x-ms-lease-state", "available"),
            ("x-ms-lease-status", "unlocked"),
            ("x-ms-server-encrypted", "true"),
        ] {
            let name = HeaderName::from_static(name);
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        answer
    }

    /// What lies below a prefix. What is listed is stored before it is first asked for, so a page is made once.
    fn list_blobs(&self, path: &str, query: &str) -> Bytes {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || {
            let prefix = decoded(parameter(query, "prefix").unwrap_or_default());
            let with_metadata = parameter(query, "include") == Some("metadata");
            let folder = format!("{path}/{prefix}");
            let objects = self.objects.read().unwrap_or_else(PoisonError::into_inner);
            let found = objects.range(folder.clone()..);
            let found = found.take_while(|(key, _)| key.starts_with(&folder)).take(PAGE);
            let found = found.map(|(key, object)| (&key[path.len() + 1..], object));
            page(path, &prefix, found, with_metadata)
        };
        pages.entry(format!("{path}?{query}")).or_insert_with(made).clone()
    }
}

/// The blocks that a list names, one behind the other.
fn joined(waiting: &BTreeMap<String, Bytes>, list: &str) -> Option<Bytes> {
    // `<Latest>id</Latest>`: an id is what stands between a tag and the next tag's end.
    let texts = list
        .split("</")
        .filter_map(|piece| Some(piece.rsplit_once('>')?.1.trim()));
    let blocks = texts.filter(|id| !id.is_empty()).map(|id| waiting.get(id));
    let blocks: Vec<&Bytes> = blocks.collect::<Option<_>>()?;
    let mut whole = BytesMut::with_capacity(blocks.iter().map(|block| block.len()).sum());
    blocks.iter().for_each(|block| whole.extend_from_slice(block));
    Some(whole.freeze())
}

/// A listing as Azure writes it: <https://learn.microsoft.com/rest/api/storageservices/list-blobs>.
fn page<'a>(
    path: &str,
    prefix: &str,
    blobs: impl Iterator<Item = (&'a str, &'a Arc<Object>)>,
    with_metadata: bool,
) -> Bytes {
    let container = path.rsplit('/').next().unwrap_or_default();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults \
         ServiceEndpoint=\"http://127.0.0.1{ACCOUNT}\" ContainerName=\"{container}\"><Prefix>{prefix}</Prefix><Blobs>"
    );
    for (name, blob) in blobs {
        let _ = write!(
            text,
            "<Blob><Name>{name}</Name><Properties><Creation-Time>{MOMENT}</Creation-Time>\
             <Last-Modified>{MOMENT}</Last-Modified><Etag>{etag}</Etag><Content-Length>{len}</Content-Length>\
             <Content-Type>application/octet-stream</Content-Type><Content-Encoding /><Content-Language /><Content-CRC64 />\
             <Content-MD5>nhB9nTcrtoJr2B01QqQZ1g==</Content-MD5><Cache-Control /><Content-Disposition />\
             <BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier><AccessTierInferred>true</AccessTierInferred>\
             <LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted>\
             </Properties>",
            etag = TAG.trim_matches('"'),
            len = blob.body.len()
        );
        if with_metadata {
            text.push_str("<Metadata>");
            for (name, value) in &blob.headers {
                // What the gate has there needs no escaping.
                if let (Some(name), Ok(value)) = (name.as_str().strip_prefix(META), value.to_str()) {
                    let _ = write!(text, "<{name}>{value}</{name}>");
                }
            }
            text.push_str("</Metadata>");
        }
        text.push_str("<OrMetadata /></Blob>");
    }
    text.push_str("</Blobs><NextMarker /></EnumerationResults>");
    text.into()
}

fn created() -> Answer {
    let mut answer = answer(StatusCode::CREATED, Bytes::new());
    let headers = answer.headers_mut();
    headers.insert(ETAG, HeaderValue::from_static(TAG));
    headers.insert(LAST_MODIFIED, HeaderValue::from_static(MOMENT));
    headers.insert("x-ms-request-server-encrypted", HeaderValue::from_static("true"));
    answer
}

fn no(status: StatusCode, code: &'static str, method: &Method) -> Answer {
    let text = match *method {
        Method::HEAD => String::new(),
        _ => format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code></Error>"),
    };
    let mut answer = answer(status, text.into());
    answer
        .headers_mut()
        .insert("x-ms-error-code", HeaderValue::from_static(code));
    answer
}

fn xml(document: &'static str) -> Answer {
    answer(StatusCode::OK, Bytes::from_static(document.as_bytes()))
}

/// A parameter of a query, as it stands there.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(own, _)| *own == name).map(|(_, value)| value)
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}
