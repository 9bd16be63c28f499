//! The keyring in a store's system container: small JSON records in two folders.
//!
//! ```text
//! keyring/<tenant>/<epoch>/<dek id>                 a DEK as it was made: what a fleet shares and seals with
//! keyring-by-dek/<tenant>/<dek id>/<key version>    the same DEK under a later version of the CMK: what a rewrap left
//!
//! {"version":1,"dek":"<32 hex>","envelope":"<base64 of 568 bytes>"}
//! ```
//! The second folder is asked by names that follow from an object's header, so that a DEK is found at the cost of one GET and
//! not of a search. Records of one DEK stand beside each other, so that a rewrap takes nothing from a gate that runs.
//!
//! What lies there is not trusted: `crate::keys` believes a record only by its envelope's origin.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode};
use quick_xml::Reader;
use quick_xml::events::Event;
use serde::{Deserialize, Serialize};

use crate::keys::service::{Epoch, Keyring, KeyringError, Record};
use crate::seal::{DekId, Envelope, KeyVersion};
use crate::upstream::answer::collect;
use crate::upstream::azure::{AzureCall, AzureStore};
use crate::upstream::body::StoreBody;
use crate::upstream::store::{Call, Caller, Store};

/// A record is under 1 KiB; a page of their names under 512 KiB.
const LARGEST_ANSWER: usize = 512 * 1024;
/// More records than this in one epoch of one tenant are not read: a fleet makes a handful.
const MOST_RECORDS: usize = 1000;
/// More pages of records than this a tenant can't have: a hundred thousand DEKs.
const MOST_PAGES: usize = 100;

/// A keyring that lies in a store.
pub struct StoreKeyring {
    shelf: Shelf,
}

/// Where it lies: in an S3 store's system container, or in that of an Azure store.
enum Shelf {
    S3(Arc<Store>),
    Azure { store: Arc<AzureStore>, container: String },
}

/// What is asked of the store.
enum Ask<'a> {
    Read(&'a str),
    Write(&'a str, &'a [u8]),
    /// The records below a folder, behind where the page before ended.
    List(&'a str, Option<&'a str>),
    MakeContainer,
}

#[derive(Default)]
struct Page {
    keys: Vec<String>,
    truncated: bool,
    /// Azure's own mark of where the page ends; S3's pages end at their last name.
    marker: String,
}

#[derive(Serialize, Deserialize)]
struct Document {
    version: u8,
    dek: String,
    envelope: String,
}

impl StoreKeyring {
    /// The keyring in this store's system container.
    pub fn new(store: Arc<Store>) -> Self {
        Self {
            shelf: Shelf::S3(store),
        }
    }

    /// The keyring in an Azure store's system container; `None` where it has none.
    pub fn azure(store: Arc<AzureStore>) -> Option<Self> {
        let container = store.system_container()?.to_owned();
        Some(Self {
            shelf: Shelf::Azure { store, container },
        })
    }

    async fn call(&self, ask: Ask<'_>) -> Result<(StatusCode, Bytes), KeyringError> {
        let mut headers = HeaderMap::new();
        let answer = match &self.shelf {
            Shelf::S3(store) => {
                let call = Call {
                    method: ask.method(),
                    bucket: store.system_container(),
                    key: ask.key(),
                    query: &ask.of_s3(),
                    caller: &Caller::Gate,
                    headers,
                    body: ask.body(),
                };
                store.send(call).await
            }
            Shelf::Azure { store, container } => {
                if matches!(ask, Ask::Write(..)) {
                    headers.insert("x-ms-blob-type", HeaderValue::from_static("BlockBlob"));
                }
                let call = AzureCall {
                    method: ask.method(),
                    secondary: false,
                    container,
                    blob: ask.key(),
                    query: &ask.of_azure(),
                    headers,
                    spelling: Extensions::new(),
                    body: ask.body(),
                };
                store.send(call).await
            }
        };
        let answer = answer.map_err(|_| KeyringError)?;
        let status = answer.status();
        let body = collect(answer.into_body(), LARGEST_ANSWER).await;
        Ok((status, body.map_err(|_| KeyringError)?))
    }

    async fn read(&self, key: &str) -> Result<Option<Record>, KeyringError> {
        let (status, body) = self.call(Ask::Read(key)).await?;
        match status {
            StatusCode::OK => Ok(parse(&body)),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(refused("get", status)),
        }
    }

    async fn read_all(&self, keys: Vec<String>) -> Result<Vec<Record>, KeyringError> {
        let mut records = Vec::with_capacity(keys.len());
        for key in keys {
            records.extend(self.read(&key).await?);
        }
        Ok(records)
    }

    /// A page of names.
    async fn page(&self, folder: &str, after: Option<&str>) -> Result<Page, KeyringError> {
        let (status, body) = self.call(Ask::List(folder, after)).await?;
        match status {
            StatusCode::OK => {
                let mut page = page(&body).ok_or(KeyringError)?;
                // A name that no gate gives is none of a record, and is not to stand in a request's path.
                page.keys
                    .retain(|key| key.starts_with(folder) && key.bytes().all(is_plain));
                Ok(page)
            }
            // No container yet: it is made with the first record.
            StatusCode::NOT_FOUND => Ok(Page::default()),
            status => Err(refused("list", status)),
        }
    }

    async fn store_record(&self, key: &str, record: &Record) -> Result<(), KeyringError> {
        let document = Document {
            version: 1,
            dek: record.dek.to_string(),
            envelope: BASE64_STANDARD.encode(record.envelope.to_bytes()),
        };
        let document = serde_json::to_vec(&document).map_err(|_| KeyringError)?;
        let mut status = self.write(key, &document).await?;
        if status == StatusCode::NOT_FOUND {
            self.call(Ask::MakeContainer).await?;
            status = self.write(key, &document).await?;
        }
        if status.is_success() {
            Ok(())
        } else {
            Err(refused("put", status))
        }
    }

    async fn write(&self, key: &str, document: &[u8]) -> Result<StatusCode, KeyringError> {
        let (status, _) = self.call(Ask::Write(key, document)).await?;
        Ok(status)
    }
}

impl Ask<'_> {
    fn method(&self) -> Method {
        match self {
            Self::Read(_) | Self::List(..) => Method::GET,
            Self::Write(..) | Self::MakeContainer => Method::PUT,
        }
    }

    fn key(&self) -> &str {
        match self {
            Self::Read(key) | Self::Write(key, _) => key,
            Self::List(..) | Self::MakeContainer => "",
        }
    }

    fn body(&self) -> StoreBody {
        match self {
            Self::Write(_, document) => StoreBody::document(document.to_vec()),
            Self::Read(_) | Self::List(..) | Self::MakeContainer => StoreBody::empty(),
        }
    }

    /// The query for S3. By `start-after`, which unlike a continuation token needs no encoding here.
    fn of_s3(&self) -> String {
        let Self::List(folder, after) = self else {
            return String::new();
        };
        let after = after.map(|after| format!("&start-after={after}")).unwrap_or_default();
        format!("list-type=2&max-keys={MOST_RECORDS}&prefix={folder}{after}")
    }

    /// The query for Azure.
    fn of_azure(&self) -> Vec<(String, String)> {
        let most = MOST_RECORDS.to_string();
        let mut pairs = match self {
            Self::Read(_) | Self::Write(..) => Vec::new(),
            Self::MakeContainer => vec![("restype", "container")],
            Self::List(folder, _) => vec![
                ("restype", "container"),
                ("comp", "list"),
                ("maxresults", &most),
                ("prefix", folder),
            ],
        };
        if let Self::List(_, Some(marker)) = self {
            pairs.push(("marker", marker));
        }
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        pairs.into_iter().map(own).collect()
    }
}

#[async_trait]
impl Keyring for StoreKeyring {
    async fn list(&self, tenant: &str, epoch: Epoch) -> Result<Vec<Record>, KeyringError> {
        let page = self.page(&folder(tenant, epoch), None).await?;
        self.read_all(page.keys).await
    }

    async fn put(&self, tenant: &str, epoch: Epoch, record: &Record) -> Result<(), KeyringError> {
        let key = format!("{}{}", folder(tenant, epoch), record.dek);
        self.store_record(&key, record).await
    }

    async fn rewrapped(&self, tenant: &str, dek: DekId, version: KeyVersion) -> Result<Option<Record>, KeyringError> {
        self.read(&format!("{}{version}", folder_of(tenant, dek))).await
    }

    async fn rewrapped_under(&self, tenant: &str, dek: DekId) -> Result<Vec<KeyVersion>, KeyringError> {
        let page = self.page(&folder_of(tenant, dek), None).await?;
        let version = |key: &String| key.rsplit_once('/')?.1.parse().ok();
        Ok(page.keys.iter().filter_map(version).collect())
    }

    async fn put_rewrapped(&self, tenant: &str, record: &Record) -> Result<(), KeyringError> {
        let key = format!("{}{}", folder_of(tenant, record.dek), record.envelope.version());
        self.store_record(&key, record).await
    }

    async fn all(&self, tenant: &str) -> Result<Vec<Record>, KeyringError> {
        let mut records = Vec::new();
        for folder in [format!("keyring/{tenant}/"), format!("keyring-by-dek/{tenant}/")] {
            let mut after: Option<String> = None;
            for number in 1.. {
                let page = self.page(&folder, after.as_deref()).await?;
                after = page.next();
                records.extend(self.read_all(page.keys).await?);
                match (page.truncated, &after) {
                    (false, _) => break,
                    (true, Some(_)) if number < MOST_PAGES => {}
                    // A part is not all of them, and whoever asked takes it for that.
                    (true, _) => return Err(KeyringError),
                }
            }
        }
        Ok(records)
    }
}

impl Page {
    /// What the next page begins behind.
    fn next(&self) -> Option<String> {
        match self.marker.is_empty() {
            true => self.keys.last().cloned(),
            false => Some(self.marker.clone()),
        }
    }
}

/// Tenants' names are letters, digits, `-` and `_` (the configuration sees to it), so they need no encoding.
fn folder(tenant: &str, epoch: Epoch) -> String {
    format!("keyring/{tenant}/{epoch}/")
}

/// What rewraps left of one DEK.
fn folder_of(tenant: &str, dek: DekId) -> String {
    format!("keyring-by-dek/{tenant}/{dek}/")
}

fn parse(body: &[u8]) -> Option<Record> {
    let document: Document = serde_json::from_slice(body).ok()?;
    let dek: DekId = document.dek.parse().ok()?;
    let envelope = BASE64_STANDARD.decode(document.envelope).ok()?;
    (document.version == 1).then_some(())?;
    Some(Record {
        dek,
        envelope: Envelope::parse(&envelope).ok()?,
    })
}

/// A page of a listing: the text of every `Key` element, and whether more come after them.
fn page(body: &[u8]) -> Option<Page> {
    let mut reader = Reader::from_reader(body);
    let mut page = Page::default();
    let mut within = Vec::new();
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => within = tag.local_name().as_ref().to_vec(),
            Event::Text(text) => match within.as_slice() {
                b"Key" => page.keys.push(text.decode().ok()?.into_owned()),
                // Azure's. S3 has the bucket's name there, which is no record's.
                b"Name" => page.keys.push(text.decode().ok()?.into_owned()),
                b"NextMarker" => {
                    page.truncated = true;
                    page.marker = text.decode().ok()?.into_owned();
                }
                b"IsTruncated" => page.truncated = text.decode().ok()?.trim() == "true",
                _ => {}
            },
            Event::End(_) => within.clear(),
            Event::Eof => return Some(page),
            _ => {}
        }
    }
}

/// What names of records are made of.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/')
}

fn refused(what: &'static str, status: StatusCode) -> KeyringError {
    tracing::warn!(what, status = status.as_u16(), "the store refused a keyring request");
    KeyringError
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_a_listing() {
        let body = br#"<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Prefix>keyring/a/</Prefix><Contents><Key>keyring/a/000688/x</Key><Size>3</Size></Contents><Contents><Key>keyring/a/000688/y</Key></Contents></ListBucketResult>"#;
        let read = page(body).unwrap();
        assert_eq!(read.keys, ["keyring/a/000688/x", "keyring/a/000688/y"]);
        assert!(!read.truncated);
        assert!(page(b"<a><IsTruncated>true</IsTruncated></a>").unwrap().truncated);
        assert!(page(b"<a><Key>x</a>").is_none(), "malformed");
        let azure = page(
            b"<EnumerationResults ContainerName=\"s\"><Prefix>keyring/a/</Prefix><Blobs><Blob><Name>keyring/a/000688/x</Name><Properties>\
              <Etag>1</Etag></Properties></Blob></Blobs><NextMarker>2!4!x</NextMarker></EnumerationResults>",
        );
        let azure = azure.unwrap();
        assert_eq!((azure.keys.len(), azure.next().as_deref()), (1, Some("2!4!x")));
        assert!(azure.truncated);
        let last = page(b"<EnumerationResults><Blobs /><NextMarker /></EnumerationResults>").unwrap();
        assert!(!last.truncated && last.next().is_none());
    }

    #[test]
    fn what_is_no_record_is_left_out() {
        assert_eq!(parse(b"{}"), None);
        assert_eq!(parse(br#"{"version":1,"dek":"00","envelope":""}"#), None);
    }
}
