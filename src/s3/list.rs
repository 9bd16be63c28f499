//! LIST with exact sizes at LIST's cost: the store's own answer, each size replaced by the plaintext's, which follows from it
//! alone, and each ETag marked. One request to the store, whatever the page holds.

use std::io;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response};
use quick_xml::events::{BytesText, Event};
use quick_xml::{Reader, Writer};

use crate::s3::error::S3Error;
use crate::s3::etag;
use crate::s3::exchange::Exchange;
use crate::seal::SealedLen;
use crate::upstream::{StoreBody, collect};

/// A page of 1,000 keys of 1,024 escaped bytes each is under this.
const LARGEST_PAGE: usize = 16 << 20;

/// ListObjects, ListObjectsV2 and ListObjectVersions.
///
/// # Errors
/// The store said no, nothing, or something that is no listing.
pub async fn list(exchange: &Exchange<'_>) -> Result<Response<Bytes>, S3Error> {
    let answer = exchange
        .ask(
            Method::GET,
            &exchange.address.passed_query(),
            HeaderMap::new(),
            StoreBody::empty(),
        )
        .await?;
    let page = collect(answer.into_body(), LARGEST_PAGE).await?;
    let rewritten = rewrite(&page).map_err(|error| {
        tracing::error!(%error, "the store's listing can't be read");
        S3Error::StoreFailed
    })?;
    let mut response = Response::new(Bytes::from(rewritten));
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    Ok(response)
}

/// What holds one object: `Contents`, and `Version` in a listing of versions. Delete markers have neither size nor ETag.
fn is_entry(name: &[u8]) -> bool {
    matches!(name, b"Contents" | b"Version")
}

/// Replaces `Size` and `ETag` of every entry, and leaves out the checksum algorithm, which would be that of sealed bytes.
/// A size that no sealed object has stays: such an object lies there unsealed, and reading it is refused.
fn rewrite(page: &[u8]) -> Result<Vec<u8>, quick_xml::Error> {
    let mut reader = Reader::from_reader(page);
    let mut writer = Writer::new(Vec::with_capacity(page.len() + page.len() / 16));
    let mut within = Within::Elsewhere;
    let mut in_contents = false;
    loop {
        let event = reader.read_event()?;
        match &event {
            Event::Eof => return Ok(writer.into_inner()),
            Event::Start(tag) => {
                let name = tag.local_name();
                in_contents |= is_entry(name.as_ref());
                within = if in_contents {
                    Within::of(name.as_ref())
                } else {
                    Within::Elsewhere
                };
                if within == Within::Checksum {
                    reader.read_to_end(tag.name())?;
                    within = Within::Elsewhere;
                    continue;
                }
            }
            Event::End(tag) => {
                in_contents &= !is_entry(tag.local_name().as_ref());
                within = Within::Elsewhere;
            }
            Event::Text(text) => {
                let text = text.decode().map_err(|error| io::Error::other(error.to_string()))?;
                let replaced = match within {
                    Within::Size => plain_size(&text),
                    Within::ETag => Some(etag::to_client(&text).into_owned()),
                    Within::Elsewhere | Within::Checksum => None,
                };
                if let Some(replaced) = replaced {
                    writer.write_event(Event::Text(BytesText::new(&replaced)))?;
                    continue;
                }
            }
            // quick-xml gives `&quot;` apart from the text around it: an ETag's quotes come as they are.
            _ => {}
        }
        writer.write_event(event)?;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Size,
    ETag,
    Checksum,
    Elsewhere,
}

impl Within {
    fn of(name: &[u8]) -> Self {
        match name {
            b"Size" => Self::Size,
            b"ETag" => Self::ETag,
            b"ChecksumAlgorithm" | b"ChecksumType" => Self::Checksum,
            _ => Self::Elsewhere,
        }
    }
}

fn plain_size(text: &str) -> Option<String> {
    let stored: u64 = text.trim().parse().ok()?;
    SealedLen(stored).plain().map(|plain| plain.0.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_etags_are_the_plaintexts() {
        let page = br#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Size>720</Size><Contents><Key>a&amp;b</Key><ETag>&quot;9e107d9d372bb6826bd81d3542a419d6&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><Size>720</Size></Contents><Contents><Key>c</Key><ETag>"9e107d9d372bb6826bd81d3542a419d6"</ETag><Size>731</Size></Contents><Contents><Key>plain</Key><Size>3</Size></Contents></ListBucketResult>"#;
        let text = String::from_utf8(rewrite(page).unwrap()).unwrap();
        assert!(
            text.contains("<Name>b</Name><Size>720</Size>"),
            "not an object's: {text}"
        );
        assert!(text.contains("<Key>a&amp;b</Key>"), "{text}");
        assert!(
            text.contains("9e107d9d372bb6826bd81d3542a419d6-0&quot;</ETag><Size>0</Size>"),
            "{text}"
        );
        assert!(text.contains("d6-0&quot;</ETag><Size>11</Size>"), "{text}");
        assert!(text.contains("<Key>plain</Key><Size>3</Size>"), "{text}");
        assert!(!text.contains("CRC64NVME"), "{text}");
    }

    #[test]
    fn versions_are_entries_too() {
        let page = br#"<ListVersionsResult><Version><Key>a</Key><VersionId>v1</VersionId><ETag>&quot;9e107d9d372bb6826bd81d3542a419d6&quot;</ETag><Size>731</Size></Version><DeleteMarker><Key>a</Key><VersionId>v2</VersionId></DeleteMarker></ListVersionsResult>"#;
        let text = String::from_utf8(rewrite(page).unwrap()).unwrap();
        assert!(
            text.contains("d6-0&quot;</ETag><Size>11</Size></Version><DeleteMarker>"),
            "{text}"
        );
    }

    #[test]
    fn what_is_no_listing_is_refused() {
        assert!(rewrite(b"<a><b></a>").is_err());
    }
}
