//! Where a scan looks: a bucket of an S3 store or a container of an Azure one, and how each tells its names and shows a few bytes.

use bytes::Bytes;
use http::header::{CONTENT_RANGE, RANGE};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::azure::xml::Element;
use crate::commands::rewrap::scan::ScanError;
use crate::upstream::{AzureCall, AzureStore, Call, Caller, Store, StoreBody, StoreError, collect, text_of};

/// A page of 1,000 names of 1,024 characters, each escaped, is under this; Azure's has 5,000, with what is said of each.
const LARGEST_PAGE: usize = 64 << 20;
/// An error is a few lines.
const LARGEST_ERROR: usize = 64 * 1024;
const ERROR_CODE: HeaderName = HeaderName::from_static("x-ms-error-code");

/// Something to look through.
#[derive(Clone, Copy)]
pub enum Shelf<'a> {
    /// On S3's side.
    S3 { store: &'a Store, bucket: &'a str },
    /// On Azure's.
    Azure { store: &'a AzureStore, container: &'a str },
}

/// A page of names, as they stand in the store.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub names: Vec<String>,
    /// What the next page is asked for by, if there is one.
    pub next: Option<String>,
}

/// What of an object is at a place.
pub enum Shown {
    /// These bytes, and how long the object is.
    Bytes(Bytes, u64),
    /// Nothing, or not so much; or the object went away.
    Nothing,
    /// The object lies in an archive.
    Archived,
}

impl Shelf<'_> {
    /// The first page of names, or the one behind `after`.
    ///
    /// # Errors
    /// The store did not answer, or not with a listing.
    pub async fn page(&self, after: Option<&str>) -> Result<Page, ScanError> {
        let answer = match self {
            Self::S3 { store, bucket } => {
                let after = after
                    .map(|after| format!("&start-after={}", utf8_percent_encode(after, NON_ALPHANUMERIC)))
                    .unwrap_or_default();
                let query = format!("list-type=2&encoding-type=url{after}");
                ask_s3(store, bucket, "", &query, HeaderMap::new()).await?
            }
            Self::Azure { store, container } => {
                let mut pairs = vec![("restype", "container"), ("comp", "list")];
                pairs.extend(after.map(|marker| ("marker", marker)));
                ask_azure(store, container, "", &pairs, HeaderMap::new()).await?
            }
        };
        let (head, body) = answer.into_parts();
        let body = collect(body, LARGEST_PAGE).await?;
        if head.status != StatusCode::OK {
            return Err(ScanError::Status(head.status));
        }
        let page = match self {
            Self::S3 { .. } => s3_page(&body),
            Self::Azure { .. } => azure_page(&body),
        };
        match (page, self) {
            // Asked for by its last name, so it must ascend.
            (Some(page), Self::S3 { .. })
                if page
                    .next
                    .as_deref()
                    .is_some_and(|next| after.is_some_and(|it| it >= next)) =>
            {
                Err(ScanError::Listing)
            }
            (page, _) => page.ok_or(ScanError::Listing),
        }
    }

    /// So many bytes of an object, from `at` on.
    ///
    /// # Errors
    /// The store did not answer, or refuses to show the object.
    pub async fn bytes(&self, name: &str, at: u64, len: usize) -> Result<Shown, ScanError> {
        let lost = || ScanError::Object(name.to_owned());
        let last = at.saturating_add(len as u64).saturating_sub(1);
        let range = HeaderValue::try_from(format!("bytes={at}-{last}")).map_err(|_| lost())?;
        let headers = HeaderMap::from_iter([(RANGE, range)]);
        let answer = match self {
            Self::S3 { store, bucket } => {
                let key = utf8_percent_encode(name, NON_ALPHANUMERIC).to_string();
                ask_s3(store, bucket, &key, "", headers).await?
            }
            Self::Azure { store, container } => ask_azure(store, container, name, &[], headers).await?,
        };
        let (head, body) = answer.into_parts();
        match head.status {
            StatusCode::PARTIAL_CONTENT => {
                let total = head.headers.get(CONTENT_RANGE);
                let total = total.and_then(|range| range.to_str().ok()?.rsplit_once('/')?.1.parse().ok());
                Ok(Shown::Bytes(collect(body, len).await?, total.ok_or_else(lost)?))
            }
            // Empty, shorter than that, or deleted meanwhile. An answer to another question than for a range is not read.
            StatusCode::OK | StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::NOT_FOUND => Ok(Shown::Nothing),
            status => {
                let body = collect(body, LARGEST_ERROR).await.unwrap_or_default();
                match is_archived(&head.headers, &body) {
                    true => Ok(Shown::Archived),
                    false => Err(ScanError::Status(status)),
                }
            }
        }
    }
}

/// S3's `InvalidObjectState` (GetObject of what lies in Glacier), Azure's `BlobArchived` and `BlobBeingRehydrated`.
fn is_archived(headers: &HeaderMap, body: &[u8]) -> bool {
    let code = headers.get(ERROR_CODE).and_then(|code| code.to_str().ok());
    let code = code.map(str::to_owned).or_else(|| text_of(body, b"Code"));
    matches!(
        code.as_deref(),
        Some("InvalidObjectState" | "BlobArchived" | "BlobBeingRehydrated")
    )
}

async fn ask_s3(
    store: &Store,
    bucket: &str,
    key: &str,
    query: &str,
    headers: HeaderMap,
) -> Result<Response<Incoming>, StoreError> {
    let call = Call {
        method: Method::GET,
        bucket,
        key,
        query,
        caller: &Caller::Gate,
        headers,
        body: StoreBody::empty(),
    };
    store.send(call).await
}

async fn ask_azure(
    store: &AzureStore,
    container: &str,
    blob: &str,
    pairs: &[(&str, &str)],
    headers: HeaderMap,
) -> Result<Response<Incoming>, StoreError> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let query: Vec<_> = pairs.iter().map(own).collect();
    let call = AzureCall {
        method: Method::GET,
        secondary: false,
        container,
        blob,
        query: &query,
        headers,
        spelling: Extensions::new(),
        body: StoreBody::empty(),
    };
    store.send(call).await
}

/// The names of a listing that was asked for with `encoding-type=url`, where `+` is a space.
fn s3_page(body: &[u8]) -> Option<Page> {
    let mut reader = Reader::from_reader(body);
    let (mut page, mut truncated) = (Page::default(), false);
    let mut within = Vec::new();
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => within = tag.local_name().as_ref().to_vec(),
            Event::Text(text) => {
                let text = text.decode().ok()?;
                match within.as_slice() {
                    b"Key" => {
                        let spaced = text.replace('+', " ");
                        page.names
                            .push(percent_decode_str(&spaced).decode_utf8().ok()?.into_owned());
                    }
                    b"IsTruncated" => truncated = text.trim() == "true",
                    _ => {}
                }
            }
            Event::End(_) => within.clear(),
            Event::Eof => break,
            _ => {}
        }
    }
    if truncated {
        page.next = Some(page.names.last()?.clone());
    }
    Some(page)
}

/// The names of a page of List Blobs. What XML can't hold is percent-encoded, and says so
/// (<https://learn.microsoft.com/rest/api/storageservices/list-blobs>, from version 2021-02-12 on).
fn azure_page(body: &[u8]) -> Option<Page> {
    let document = Element::parse(body).ok()?;
    let blobs = document.child("Blobs")?.children.iter();
    let names = blobs.filter(|entry| entry.name == "Blob").map(|entry| {
        let name = entry.child("Name")?;
        let encoded = name
            .attributes
            .iter()
            .any(|(name, value)| name == "Encoded" && value == "true");
        match encoded {
            true => Some(percent_decode_str(&name.text).decode_utf8().ok()?.into_owned()),
            false => Some(name.text.clone().into_owned()),
        }
    });
    let next = document.text_of("NextMarker");
    Some(Page {
        names: names.collect::<Option<_>>()?,
        next: (!next.is_empty()).then(|| next.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_as_s3_encodes_them() {
        let body =
            b"<R><IsTruncated>true</IsTruncated><Contents><Key>a+b%2Bc/%C3%A9</Key><Size>1</Size></Contents></R>";
        let page = s3_page(body).unwrap();
        assert_eq!(page.names, ["a b+c/\u{e9}"]);
        assert_eq!(page.next.as_deref(), Some("a b+c/\u{e9}"));
        assert_eq!(
            s3_page(b"<R><IsTruncated>true</IsTruncated></R>"),
            None,
            "truncated, and nothing on it"
        );
    }

    #[test]
    fn names_are_decoded_as_azure_encodes_them() {
        let body = b"<?xml version=\"1.0\"?><EnumerationResults><Blobs><Blob><Name>a&amp;b %41</Name></Blob>\
                     <Blob><Name Encoded=\"true\">x%EF%BF%BFy</Name></Blob></Blobs><NextMarker>2!4</NextMarker></EnumerationResults>";
        let page = azure_page(body).unwrap();
        assert_eq!(page.names, ["a&b %41", "x\u{ffff}y"]);
        assert_eq!(page.next.as_deref(), Some("2!4"));
        let last = azure_page(b"<EnumerationResults><Blobs /><NextMarker /></EnumerationResults>");
        assert_eq!(last, Some(Page::default()));
    }

    #[test]
    fn what_lies_in_an_archive_is_known_by_its_code() {
        let none = HeaderMap::new();
        assert!(is_archived(&none, b"<Error><Code>InvalidObjectState</Code></Error>"));
        assert!(!is_archived(&none, b"<Error><Code>AccessDenied</Code></Error>"));
        let azure = HeaderMap::from_iter([(ERROR_CODE, HeaderValue::from_static("BlobArchived"))]);
        assert!(is_archived(&azure, b""));
    }
}
