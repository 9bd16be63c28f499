//! GetObjectAttributes: what is known of an object without its bytes, told of the plaintext. Parts and checksums come from the
//! object's own footer or sealed metadata; the store, which would tell of sealed bytes, is asked for no more than a HEAD.
//!
//! Words and shapes: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html>.

use std::fmt::Write;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use quick_xml::escape::escape;

use crate::keys::Lease;
use crate::s3::error::S3Error;
use crate::s3::exchange::Exchange;
use crate::s3::headers;
use crate::s3::read::{Described, Form, describe};
use crate::seal::Entry;

/// Names of attributes, separated by commas, on one line or several.
const WANTED: &str = "x-amz-object-attributes";
const MAX_PARTS: &str = "x-amz-max-parts";
const MARKER: &str = "x-amz-part-number-marker";
/// Parts told at once, at the most.
const LARGEST_PAGE: usize = 1000;

/// What a client wants to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wanted {
    etag: bool,
    checksum: bool,
    parts: bool,
    storage_class: bool,
    size: bool,
}

/// Which of the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    most: usize,
    after: u32,
}

/// GetObjectAttributes, for as long as `lease` is live.
///
/// # Errors
/// The client wants to know nothing, or what nobody knows; otherwise as [`head`](crate::s3::read::head).
pub async fn attributes(exchange: &Exchange<'_>, lease: Lease) -> Result<Response<Bytes>, S3Error> {
    let theirs = &exchange.parts.headers;
    let (wanted, page) = (Wanted::of(theirs)?, Page::of(theirs)?);
    let described = describe(exchange, wanted.checksum, wanted.parts).await?;
    let seen = headers::to_client(&described.store);
    let xml = document(wanted, page, &described, &seen);
    lease.check()?;
    let mut response = Response::new(Bytes::from(xml));
    let told = response.headers_mut();
    told.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    for name in [
        LAST_MODIFIED,
        HeaderName::from_static("x-amz-version-id"),
        HeaderName::from_static("x-amz-request-charged"),
    ] {
        if let Some(value) = seen.get(&name) {
            told.insert(name, value.clone());
        }
    }
    Ok(response)
}

impl Wanted {
    fn of(headers: &HeaderMap) -> Result<Self, S3Error> {
        let mut wanted = Self::default();
        for name in names(headers) {
            match name {
                "ETag" => wanted.etag = true,
                "Checksum" => wanted.checksum = true,
                "ObjectParts" => wanted.parts = true,
                "StorageClass" => wanted.storage_class = true,
                "ObjectSize" => wanted.size = true,
                _ => {
                    return Err(S3Error::InvalidArgument {
                        message: "Invalid attribute name specified.",
                    });
                }
            }
        }
        if wanted == Self::default() {
            return Err(S3Error::InvalidRequest {
                message: "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty",
            });
        }
        Ok(wanted)
    }
}

fn names(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(WANTED).iter();
    let names = lines.flat_map(|line| line.to_str().unwrap_or("?").split(','));
    names.map(str::trim).filter(|name| !name.is_empty())
}

impl Page {
    fn of(headers: &HeaderMap) -> Result<Self, S3Error> {
        let number = |name: &str| match headers.get(name) {
            None => Ok(None),
            Some(value) => {
                let number = value.to_str().ok().and_then(|text| text.trim().parse::<u32>().ok());
                number.map(Some).ok_or(())
            }
        };
        let most = number(MAX_PARTS).map_err(|()| S3Error::InvalidArgument {
            message: "Provided max-parts not an integer or within integer range",
        })?;
        let after = number(MARKER).map_err(|()| S3Error::InvalidArgument {
            message: "Provided part-number-marker not an integer or within integer range",
        })?;
        let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(LARGEST_PAGE);
        Ok(Self {
            most: most.min(LARGEST_PAGE),
            after: after.unwrap_or(0),
        })
    }
}

/// The elements in S3's order.
fn document(wanted: Wanted, page: Page, described: &Described, seen: &HeaderMap) -> String {
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <GetObjectAttributesResponse xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
    );
    let text = |name: HeaderName| seen.get(name).and_then(|value| value.to_str().ok());
    if wanted.etag
        && let Some(etag) = text(ETAG)
    {
        // Without the quotes that it has everywhere else.
        let _ = write!(xml, "<ETag>{}</ETag>", escape(etag.trim_matches('"')));
    }
    if let Some(checksum) = &described.checksum {
        xml.push_str(checksum);
    }
    if wanted.parts
        && let Some(Form::Multipart(footer)) = &described.form
    {
        parts(&mut xml, page, footer.layout().table().entries());
    }
    if wanted.storage_class {
        let class = text(HeaderName::from_static("x-amz-storage-class")).unwrap_or("STANDARD");
        let _ = write!(xml, "<StorageClass>{}</StorageClass>", escape(class));
    }
    if wanted.size {
        let _ = write!(xml, "<ObjectSize>{}</ObjectSize>", described.len.0);
    }
    xml.push_str("</GetObjectAttributesResponse>");
    xml
}

/// One page of the parts, by number.
fn parts(xml: &mut String, page: Page, entries: &[Entry]) {
    let behind = entries.partition_point(|entry| entry.number <= page.after);
    let rest = entries.get(behind..).unwrap_or_default();
    let told = rest.get(..page.most).unwrap_or(rest);
    let next = told.last().map_or(0, |entry| entry.number);
    let cut = page.most > 0 && told.len() < rest.len();
    let _ = write!(
        xml,
        "<ObjectParts><PartsCount>{}</PartsCount><PartNumberMarker>{}</PartNumberMarker>\
         <NextPartNumberMarker>{next}</NextPartNumberMarker><MaxParts>{}</MaxParts><IsTruncated>{cut}</IsTruncated>",
        entries.len(),
        page.after,
        page.most,
    );
    for entry in told {
        let _ = write!(
            xml,
            "<Part><PartNumber>{}</PartNumber><Size>{}</Size></Part>",
            entry.number, entry.plain_len.0
        );
    }
    xml.push_str("</ObjectParts>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::{Binding, PlainLen};

    fn wanted(lines: &[&'static str]) -> Result<Wanted, S3Error> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(WANTED, HeaderValue::from_static(line));
        }
        Wanted::of(&headers)
    }

    fn page(entries: &[Entry], most: usize, after: u32) -> String {
        let mut xml = String::new();
        parts(&mut xml, Page { most, after }, entries);
        xml
    }

    #[test]
    fn attributes_are_named_on_one_line_or_several() {
        let all = wanted(&["ETag,Checksum, ObjectParts", "StorageClass,ObjectSize"]).unwrap();
        assert!(all.etag && all.checksum && all.parts && all.storage_class && all.size);
        assert!(matches!(wanted(&[]), Err(S3Error::InvalidRequest { .. })));
        assert!(matches!(wanted(&[" , "]), Err(S3Error::InvalidRequest { .. })));
        assert!(matches!(wanted(&["ETag,Etag"]), Err(S3Error::InvalidArgument { .. })));
    }

    #[test]
    fn parts_are_told_page_by_page() {
        let entry = |number| Entry {
            binding: Binding::part("c", "n", "u", number),
            plain_len: PlainLen(u64::from(number)),
            number,
        };
        let entries = [entry(2), entry(3), entry(7)];
        let first = page(&entries, 2, 0);
        assert!(first.contains("<PartsCount>3</PartsCount>"), "{first}");
        assert!(
            first.contains("<NextPartNumberMarker>3</NextPartNumberMarker>"),
            "{first}"
        );
        assert!(first.contains("<IsTruncated>true</IsTruncated>"), "{first}");
        assert_eq!(first.matches("<Part>").count(), 2);
        let rest = page(&entries, 2, 3);
        assert!(
            rest.contains("<Part><PartNumber>7</PartNumber><Size>7</Size></Part>"),
            "{rest}"
        );
        assert!(rest.contains("<IsTruncated>false</IsTruncated>"), "{rest}");
        let none = page(&entries, 0, 0);
        assert!(!none.contains("<Part>") && none.contains("false"), "{none}");
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        for (name, value) in [(MAX_PARTS, "x"), (MAX_PARTS, "-1"), (MARKER, "99999999999")] {
            let headers = HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]);
            assert!(
                matches!(Page::of(&headers), Err(S3Error::InvalidArgument { .. })),
                "{name}: {value}"
            );
        }
        let headers = HeaderMap::from_iter([(HeaderName::from_static(MAX_PARTS), HeaderValue::from_static("5000"))]);
        assert_eq!(Page::of(&headers).unwrap().most, LARGEST_PAGE);
    }
}
