//! The keyring in a store's system container: `keyring/<tenant>/<epoch>/<dek id>`, one small JSON record a DEK.
//!
//! ```json
//! {"version":1,"dek":"<32 hex>","envelope":"<base64 of 568 bytes>"}
//! ```
//! What lies there is not trusted: `crate::keys` believes a record only by its envelope's origin.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use quick_xml::Reader;
use quick_xml::events::Event;
use serde::{Deserialize, Serialize};

use crate::keys::service::{Epoch, Keyring, KeyringError, Record};
use crate::seal::{DekId, Envelope};
use crate::upstream::answer::collect;
use crate::upstream::body::StoreBody;
use crate::upstream::store::{Call, Caller, Store};

/// A record is under 1 KiB; a page of their names under 512 KiB.
const LARGEST_ANSWER: usize = 512 * 1024;
/// More records than this in one epoch of one tenant are not read: a fleet makes a handful.
const MOST_RECORDS: usize = 1000;

/// A keyring that lies in a store.
pub struct StoreKeyring {
    store: Arc<Store>,
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
        Self { store }
    }

    async fn call(
        &self,
        method: Method,
        key: &str,
        query: &str,
        body: StoreBody,
    ) -> Result<(StatusCode, Bytes), KeyringError> {
        let bucket = self.store.system_container();
        let call = Call {
            method,
            bucket,
            key,
            query,
            caller: &Caller::Gate,
            headers: HeaderMap::new(),
            body,
        };
        let answer = self.store.send(call).await.map_err(|_| KeyringError)?;
        let status = answer.status();
        let body = collect(answer.into_body(), LARGEST_ANSWER).await;
        Ok((status, body.map_err(|_| KeyringError)?))
    }

    async fn read(&self, key: &str) -> Result<Option<Record>, KeyringError> {
        let (status, body) = self.call(Method::GET, key, "", StoreBody::empty()).await?;
        match status {
            StatusCode::OK => Ok(parse(&body)),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(refused("get", status)),
        }
    }

    async fn write(&self, key: &str, document: &[u8]) -> Result<StatusCode, KeyringError> {
        let (status, _) = self
            .call(Method::PUT, key, "", StoreBody::document(document.to_vec()))
            .await?;
        Ok(status)
    }
}

#[async_trait]
impl Keyring for StoreKeyring {
    async fn list(&self, tenant: &str, epoch: Epoch) -> Result<Vec<Record>, KeyringError> {
        let query = format!("list-type=2&max-keys={MOST_RECORDS}&prefix={}", folder(tenant, epoch));
        let (status, body) = self.call(Method::GET, "", &query, StoreBody::empty()).await?;
        let keys = match status {
            StatusCode::OK => keys(&body).ok_or(KeyringError)?,
            // No container yet: it is made with the first record.
            StatusCode::NOT_FOUND => return Ok(Vec::new()),
            status => return Err(refused("list", status)),
        };
        let mut records = Vec::with_capacity(keys.len());
        for key in keys {
            records.extend(self.read(&key).await?);
        }
        Ok(records)
    }

    async fn put(&self, tenant: &str, epoch: Epoch, record: &Record) -> Result<(), KeyringError> {
        let key = format!("{}{}", folder(tenant, epoch), record.dek);
        let document = Document {
            version: 1,
            dek: record.dek.to_string(),
            envelope: BASE64_STANDARD.encode(record.envelope.to_bytes()),
        };
        let document = serde_json::to_vec(&document).map_err(|_| KeyringError)?;
        let mut status = self.write(&key, &document).await?;
        if status == StatusCode::NOT_FOUND {
            self.call(Method::PUT, "", "", StoreBody::empty()).await?;
            status = self.write(&key, &document).await?;
        }
        if status.is_success() {
            Ok(())
        } else {
            Err(refused("put", status))
        }
    }
}

/// Tenants' names are letters, digits, `-` and `_` (the configuration sees to it), so they need no encoding.
fn folder(tenant: &str, epoch: Epoch) -> String {
    format!("keyring/{tenant}/{epoch}/")
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

/// The text of every `Key` element.
fn keys(body: &[u8]) -> Option<Vec<String>> {
    let mut reader = Reader::from_reader(body);
    let mut keys = Vec::new();
    let mut within = false;
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => within = tag.local_name().as_ref() == b"Key",
            Event::Text(text) if within => keys.push(text.decode().ok()?.into_owned()),
            Event::End(_) => within = false,
            Event::Eof => return Some(keys),
            _ => {}
        }
    }
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
        assert_eq!(keys(body).unwrap(), ["keyring/a/000688/x", "keyring/a/000688/y"]);
        assert_eq!(keys(b"<a><Key>x</a>"), None, "malformed");
    }

    #[test]
    fn what_is_no_record_is_left_out() {
        assert_eq!(parse(b"{}"), None);
        assert_eq!(parse(br#"{"version":1,"dek":"00","envelope":""}"#), None);
    }
}
