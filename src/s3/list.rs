//! LIST with exact sizes at LIST's cost: the store's own answer, each size replaced by the plaintext's, which follows from it
//! alone, and each ETag marked. One request to the store, whatever the page holds.

use std::io;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response};
use memchr::{memchr, memchr_iter};
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
    let rewritten = plain(&page).map_or_else(|| rewrite(&page), Ok);
    let rewritten = rewritten.map_err(|error| {
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

/// [`rewrite`] for a page as S3 and its kin write it, at a fraction of the cost: elements without prefixes and attributes, no
/// comments, no CDATA, an `ETag` and a `Size` in every `Contents`. So every `<` begins a tag, and it is enough to go from one to the
/// next. `None` for any other page, and for one without objects.
fn plain(page: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(page.len() + page.len() / 16);
    let (mut done, mut entries) = (0, 0_u32);
    let (mut within, mut etag, mut size) = (false, false, false);
    for at in memchr_iter(b'<', page) {
        let tag = page.get(at + 1..)?;
        match (tag.first()?, within) {
            (b'/', false) => {}
            (b'/', true) => {
                if tag.starts_with(b"/Contents>") {
                    // What comes twice, or not at all, is for the careful reader.
                    if !(std::mem::take(&mut etag) && std::mem::take(&mut size)) {
                        return None;
                    }
                    (within, entries) = (false, entries + 1);
                }
            }
            (b'?', false) if at == 0 => {}
            (b'E', true) if tag.starts_with(b"ETag>") && !etag => {
                let text = text(page, at + "<ETag>".len())?;
                let bare = bare(text);
                if bare.contains('&') {
                    return None;
                }
                let end = at + "<ETag>".len() + (bare.as_ptr().addr() - text.as_ptr().addr()) + bare.len();
                out.extend_from_slice(page.get(done..end)?);
                out.extend_from_slice(etag::mark(bare).as_bytes());
                (etag, done) = (true, end);
            }
            (b'S', true) if tag.starts_with(b"Size>") && !size => {
                let start = at + "<Size>".len();
                let text = text(page, start)?;
                out.extend_from_slice(page.get(done..start)?);
                match plain_size(text) {
                    Some(plain) => push_number(&mut out, plain),
                    None => out.extend_from_slice(text.as_bytes()),
                }
                (size, done) = (true, start + text.len());
            }
            // Most of the others, at a glance.
            (b'C', false) if tag.starts_with(b"Contents>") => within = true,
            (b'K', true) if tag.starts_with(b"Key>") => {}
            (b'L', true) if tag.starts_with(b"LastModified>") => {}
            (b'S', true) if tag.starts_with(b"StorageClass>") => {}
            _ => {
                let name = tag.split(|byte| !byte.is_ascii_alphabetic()).next()?;
                match (name, tag.get(name.len())?) {
                    (b"Contents" | b"ETag" | b"Size", _) if within => return None,
                    (name, b'>') if !within || !name.starts_with(b"Checksum") => {}
                    // The document itself has a name space.
                    (name, b' ') if name.ends_with(b"Result") && entries == 0 && !within => {}
                    _ => return None,
                }
            }
        }
    }
    if within || entries == 0 || !page.trim_ascii_end().ends_with(b"Result>") {
        return None;
    }
    out.extend_from_slice(page.get(done..)?);
    Some(out)
}

/// The text that begins at `from`.
fn text(page: &[u8], from: usize) -> Option<&str> {
    let rest = page.get(from..)?;
    std::str::from_utf8(rest.get(..memchr(b'<', rest)?)?).ok()
}

/// What an ETag's quotes hold.
fn bare(etag: &str) -> &str {
    let etag = etag.strip_prefix("&quot;").unwrap_or(etag);
    let etag = etag.strip_suffix("&quot;").unwrap_or(etag);
    etag.trim_matches('"')
}

/// The number's digits.
fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    loop {
        #[allow(clippy::cast_possible_truncation)] // under 10
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.get_mut(start..).unwrap_or_default().reverse();
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
                    Within::Size => plain_size(&text).map(|plain| plain.to_string()),
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

fn plain_size(text: &str) -> Option<u64> {
    let stored: u64 = text.trim().parse().ok()?;
    SealedLen(stored).plain().map(|plain| plain.0)
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
    fn the_quick_reader_writes_what_the_careful_one_writes() {
        let page = |objects: &str| {
            format!(
                "<?xml version=\"1.0\"?><ListBucketResult><Name>b</Name>{objects}<Size>720</Size></ListBucketResult>"
            )
        };
        let quick = |objects: &str| plain(page(objects).as_bytes());
        for objects in [
            "<Contents><Key>a&amp;b</Key><ETag>&quot;9e107d9d372bb6826bd81d3542a419d6&quot;</ETag><Size>720</Size></Contents>",
            "<Contents><Size>731</Size><Key>a</Key><ETag>\"9e107d9d372bb6826bd81d3542a419d6\"</ETag></Contents>\n <Contents><ETag>9e107d9d372bb6826bd81d3542a419d6</ETag><Size>3</Size></Contents>",
            "<Contents><ETag>&quot;abc-2&quot;</ETag><Size>x</Size><Owner><ID>1</ID></Owner></Contents><CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>",
            "<Contents><ETag></ETag><Size></Size></Contents>",
        ] {
            // The careful reader spells a quote as an entity, the quick one as the store did.
            let text = |page: Vec<u8>| String::from_utf8(page).unwrap().replace("&quot;", "\"");
            let careful = rewrite(page(objects).as_bytes()).unwrap();
            assert_eq!(text(quick(objects).unwrap()), text(careful), "{objects}");
        }
        let object = "<ETag>\"9e107d9d372bb6826bd81d3542a419d6\"</ETag><Size>720</Size>";
        let named = format!(
            "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <Prefix>Contents/Size</Prefix><Contents><Key>Contents/ETag</Key>{object}</Contents></ListBucketResult>\n"
        );
        let expected = named.replace("d6\"", "d6-0\"").replace("<Size>720", "<Size>0");
        assert_eq!(plain(named.as_bytes()), Some(expected.into_bytes()), "as S3 writes it");
        for not_quick in [
            String::new(),
            format!("<Contents>{object}<!-- <Size>1</Size> --></Contents>"),
            format!("<Contents>{object}<ChecksumAlgorithm>CRC32</ChecksumAlgorithm></Contents>"),
            format!("<Contents>{object}</Contents><Contents a=\"b\">{object}</Contents>"),
            format!("<s3:Contents>{object}</s3:Contents><Contents>{object}</Contents>"),
            format!("<Contents>{object}<Size>721</Size></Contents>"),
            format!("<Contents>{object}"),
            "<Contents><Size>720</Size></Contents>".to_owned(),
            "<Contents><ETag>&#34;9e107d9d372bb6826bd81d3542a419d6&#34;</ETag><Size>720</Size></Contents>".to_owned(),
        ] {
            assert_eq!(quick(&not_quick), None, "{not_quick}");
        }
    }

    #[test]
    fn what_is_no_listing_is_refused() {
        assert!(rewrite(b"<a><b></a>").is_err());
    }
}
