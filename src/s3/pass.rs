//! What passes to the store as it is, signed anew: the operations of [`passed`](crate::s3::passed), a browser's preflight, and the
//! deletion of many objects at once. What the client sends is a document, read whole and held to its signature and checksums
//! before the store sees it.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response};
use hyper::body::{Body, Incoming};
use quick_xml::events::{BytesText, Event};
use quick_xml::{Reader, Writer};

use crate::body::Upload;
use crate::body::checksum::Expectations;
use crate::s3::auth::Payload;
use crate::s3::error::S3Error;
use crate::s3::etag;
use crate::s3::exchange::Exchange;
use crate::s3::headers;
use crate::s3::passed::Passed;
use crate::upstream::{StoreBody, collect};

/// The largest document taken from a client. A DeleteObjects of 1,000 keys of 1,024 escaped bytes each is under this, and so is a
/// CompleteMultipartUpload of 10,000 parts with checksums.
const LARGEST_DOCUMENT: u64 = 8 << 20;
/// The largest one taken from the store.
const LARGEST_ANSWER: usize = 16 << 20;

/// How a listing begins, behind its declaration.
const LISTING: &[u8] = b"<ListBucketResult";
const LISTING_WITHIN: usize = 256;

/// Asks the store what the client asks, and answers what it answers.
///
/// # Errors
/// The store said no, or the document is not what was stated about it.
pub async fn pass(
    exchange: &Exchange<'_>,
    passed: &Passed,
    payload: Payload,
    body: Incoming,
) -> Result<Response<Bytes>, S3Error> {
    let client = &exchange.parts.headers;
    let mut asking = headers::configuring(client);
    let document = if passed.sends() {
        let document = document(client, payload, body).await?;
        if passed.may_select() && selects(&document) {
            return Err(S3Error::NotImplemented {
                what: "restoring by SELECT".to_owned(),
            });
        }
        checksums_of(&document, &mut asking);
        StoreBody::passed(document)
    } else {
        StoreBody::empty()
    };
    let query = exchange.address.passed_query();
    let method = exchange.parts.method.clone();
    let answer = exchange.ask(method, &query, asking, document).await?;
    let status = answer.status();
    let mut response = relay(answer).await?;
    if !exchange.parts.method.is_safe() || is_document(response.body()) {
        *response.status_mut() = status;
        return Ok(response);
    }
    Err(S3Error::NotImplemented {
        what: format!("{}, which the store behind this endpoint does not know", passed.name),
    })
}

/// Whether this is what a store says of a configuration: XML, or a policy's JSON. One that does not know what it is asked for may
/// answer with what is there: an object's sealed bytes, or, as Ceph 16, a listing of the bucket with sealed sizes.
fn is_document(answer: &[u8]) -> bool {
    let lists = answer
        .windows(LISTING.len())
        .take(LISTING_WITHIN)
        .any(|bytes| bytes == LISTING);
    !lists && matches!(answer.trim_ascii_start(), [] | [b'<' | b'{', ..])
}

/// A browser's preflight: the store knows the bucket's CORS rules.
///
/// # Errors
/// The store said no.
pub async fn preflight(exchange: &Exchange<'_>) -> Result<Response<Bytes>, S3Error> {
    let answer = exchange
        .ask(Method::OPTIONS, "", HeaderMap::new(), StoreBody::empty())
        .await?;
    relay(answer).await
}

/// The keys that a DeleteObjects names, and the document with the ETags that the store knows.
#[derive(Debug)]
pub struct Deletion {
    /// Decoded.
    pub keys: Vec<String>,
    /// A key is named with an ETag that it must have.
    by_etag: bool,
    /// A key is named with a size or a date that it must have.
    by_more: Option<&'static str>,
    document: Vec<u8>,
}

impl Deletion {
    /// Reads the client's document.
    ///
    /// # Errors
    /// It is no such document, or not what was stated about it.
    pub async fn read(client: &HeaderMap, payload: Payload, body: Incoming) -> Result<Self, S3Error> {
        let document = document(client, payload, body).await?;
        Self::parse(&document).ok_or(S3Error::MalformedXml)
    }

    fn parse(document: &[u8]) -> Option<Self> {
        let mut reader = Reader::from_reader(document);
        let mut writer = Writer::new(Vec::with_capacity(document.len()));
        let (mut keys, mut key, mut within) = (Vec::new(), None::<String>, Vec::new());
        let (mut by_etag, mut by_more) = (false, None);
        loop {
            let event = reader.read_event().ok()?;
            match &event {
                Event::Eof => break,
                Event::Start(tag) => {
                    within = tag.local_name().as_ref().to_vec();
                    match within.as_slice() {
                        b"Key" => key = Some(String::new()),
                        b"ETag" => by_etag = true,
                        b"Size" => by_more = Some("Size"),
                        b"LastModifiedTime" => by_more = Some("LastModifiedTime"),
                        _ => {}
                    }
                }
                Event::End(_) => {
                    keys.extend(key.take());
                    within.clear();
                }
                Event::Text(text) if within == b"ETag" => {
                    let etag = etag::to_store(&text.decode().ok()?);
                    writer.write_event(Event::Text(BytesText::from_escaped(etag))).ok()?;
                    continue;
                }
                Event::Text(text) => {
                    if let Some(key) = &mut key {
                        key.push_str(&text.decode().ok()?);
                    }
                }
                Event::CData(text) => {
                    if let Some(key) = &mut key {
                        key.push_str(&text.decode().ok()?);
                    }
                }
                Event::GeneralRef(entity) => {
                    if let Some(key) = &mut key {
                        key.push(resolve(entity)?);
                    }
                }
                // A document type could define entities that the store and the gate read differently.
                Event::DocType(_) => return None,
                _ => {}
            }
            writer.write_event(event).ok()?;
        }
        (!keys.is_empty()).then(|| Self {
            keys,
            by_etag,
            by_more,
            document: writer.into_inner(),
        })
    }

    /// DeleteObjects.
    ///
    /// # Errors
    /// The store said no. A key is named on a condition that the store passes over.
    pub async fn ask(self, exchange: &Exchange<'_>) -> Result<Response<Bytes>, S3Error> {
        if let Some(name) = self.by_more {
            // AWS knows them for directory buckets only (docs of ObjectIdentifier); the store's size is another than the client's.
            return Err(S3Error::NotImplemented {
                what: format!("the element {name} of DeleteObjects"),
            });
        }
        if self.by_etag && !exchange.container().store.heeded().await?.delete_objects_etag {
            return Err(S3Error::NotImplemented {
                what: "the element ETag of DeleteObjects, which the store behind this endpoint passes over".to_owned(),
            });
        }
        let mut asking = headers::deleting(&exchange.parts.headers);
        asking.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        let document = Bytes::from(self.document);
        required_md5(&document, &mut asking);
        let answer = exchange
            .ask(Method::POST, "delete=", asking, StoreBody::passed(document))
            .await?;
        relay(answer).await
    }
}

/// A character that stands for itself nowhere in XML.
fn resolve(entity: &quick_xml::events::BytesRef<'_>) -> Option<char> {
    if let Ok(Some(character)) = entity.resolve_char_ref() {
        return Some(character);
    }
    match &*entity.decode().ok()? {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}

/// The client's document, whole, once all that was stated about it holds.
///
/// # Errors
/// Its length is not stated, it is too large, or not what was stated.
pub async fn document(client: &HeaderMap, payload: Payload, body: Incoming) -> Result<Bytes, S3Error> {
    let hash = payload.content_sha256();
    let (len, framing) = match payload {
        Payload::AwsChunked(framing) => (framing.decoded_len, Some(framing)),
        Payload::Signed(_) | Payload::Unsigned => {
            let stated = client.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
            match stated.and_then(|text| text.parse().ok()) {
                Some(len) => (len, None),
                None if body.is_end_stream() => (0, None),
                None => return Err(S3Error::MissingLength),
            }
        }
    };
    if len > LARGEST_DOCUMENT {
        return Err(S3Error::TooLarge {
            largest: LARGEST_DOCUMENT,
        });
    }
    let expectations = Expectations::new(client, hash).map_err(|error| S3Error::Body(error.into()))?;
    let mut upload = Upload::new(body, framing, expectations, len);
    let mut document = BytesMut::new();
    while let Some(bytes) = upload.next().await? {
        document.extend_from_slice(&bytes);
    }
    upload.finish()?;
    Ok(document.freeze())
}

/// Whether a RestoreObject asks the store to read the object.
fn selects(document: &[u8]) -> bool {
    let mut reader = Reader::from_reader(document);
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag) | Event::Empty(tag)) if tag.local_name().as_ref() == b"SelectParameters" => {
                return true;
            }
            Ok(Event::Eof) => return false,
            Ok(_) => {}
            // What can't be read is not passed for harmless.
            Err(_) => return true,
        }
    }
}

/// The document's MD5, which S3 wants of most configurations, and which a client that sent a trailing checksum left out.
fn checksums_of(document: &Bytes, asking: &mut HeaderMap) {
    let has_any = asking
        .keys()
        .any(|name| name == "content-md5" || name.as_str().starts_with("x-amz-checksum-"));
    if !has_any && !document.is_empty() {
        required_md5(document, asking);
    }
}

fn required_md5(document: &Bytes, asking: &mut HeaderMap) {
    use base64::Engine;
    use md5::Digest;
    let md5 = base64::engine::general_purpose::STANDARD.encode(md5::Md5::digest(document));
    if let Ok(value) = HeaderValue::try_from(md5) {
        asking.insert("content-md5", value);
    }
}

async fn relay(answer: Response<Incoming>) -> Result<Response<Bytes>, S3Error> {
    let (parts, body) = answer.into_parts();
    let mut response = Response::new(collect(body, LARGEST_ANSWER).await?);
    *response.headers_mut() = headers::to_client(&parts.headers);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deletion_names_its_keys_as_they_are() {
        let document = br#"<?xml version="1.0"?><Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>a&amp;b&#x20;c</Key><ETag>"9e107d9d372bb6826bd81d3542a419d6-0"</ETag></Object><Object><Key><![CDATA[<x>]]></Key><VersionId>1</VersionId></Object><Quiet>true</Quiet></Delete>"#;
        let deletion = Deletion::parse(document).unwrap();
        assert_eq!(deletion.keys, ["a&b c", "<x>"]);
        assert!(deletion.by_etag && deletion.by_more.is_none());
        let text = String::from_utf8(deletion.document).unwrap();
        assert!(text.contains("<Key>a&amp;b&#x20;c</Key>"), "{text}");
        assert!(
            text.contains("<ETag>\"9e107d9d372bb6826bd81d3542a419d6\"</ETag>"),
            "{text}"
        );
    }

    #[test]
    fn what_is_no_deletion_is_refused() {
        for document in [
            &b""[..],
            b"<Delete></Delete>",
            b"<Delete><Object><Key>a</Object></Delete>",
            b"<!DOCTYPE x [<!ENTITY k 'b'>]><Delete><Object><Key>&k;</Key></Object></Delete>",
            b"<Delete><Object><Key>&k;</Key></Object></Delete>",
        ] {
            assert!(
                Deletion::parse(document).is_none(),
                "{}",
                String::from_utf8_lossy(document)
            );
        }
    }

    #[test]
    fn a_restore_that_reads_content_is_known() {
        assert!(selects(
            b"<RestoreRequest><Type>SELECT</Type><SelectParameters/></RestoreRequest>"
        ));
        assert!(selects(b"<RestoreRequest><a></b>"));
        assert!(!selects(b"<RestoreRequest><Days>1</Days></RestoreRequest>"));
    }
}
