//! What a form's fields say of the object, as the headers that a PutObject would have.

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::s3::auth::Fields;
use crate::s3::post::PostError;

/// Fields that are headers of the same name. `x-amz-*` come on top, without those that sign the form.
const HEADERS: [&str; 7] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-md5",
    "content-type",
    "expires",
];
const SIGNING: [&str; 5] = [
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-signature",
];
/// Headers that would make the form another operation, or its file another body.
const TURNING: [&str; 7] = [
    "x-amz-content-sha256",
    "x-amz-copy-source",
    "x-amz-decoded-content-length",
    "x-amz-rename-source",
    "x-amz-trailer",
    "x-amz-write-offset-bytes",
    "x-amz-mp-object-size",
];
/// Everything but what a URL never needs escaped.
pub(super) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The headers of a PutObject of the same object.
///
/// # Errors
/// [`PostError::InvalidField`] for a value that no header can have, or two fields for one header; [`PostError::MalformedXml`] for
/// tags that can't be read.
pub(super) fn headers(fields: &Fields) -> Result<HeaderMap, PostError> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let (header, value) = match name.as_str() {
            "acl" => ("x-amz-acl", value.clone()),
            "tagging" => ("x-amz-tagging", tagging(value)?),
            name if SIGNING.contains(&name) => continue,
            name if TURNING.contains(&name) => return Err(PostError::InvalidField(name.to_owned())),
            name if HEADERS.contains(&name) || name.starts_with("x-amz-") => (name, value.clone()),
            _ => continue,
        };
        let invalid = || PostError::InvalidField(name.clone());
        let header = HeaderName::try_from(header).map_err(|_| invalid())?;
        let value = HeaderValue::try_from(value.trim()).map_err(|_| invalid())?;
        if headers.insert(header, value).is_some() {
            return Err(invalid());
        }
    }
    Ok(headers)
}

/// `<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>` as `a=b`.
fn tagging(xml: &str) -> Result<String, PostError> {
    let mut reader = Reader::from_str(xml);
    let mut path: Vec<Vec<u8>> = Vec::new();
    let (mut key, mut value) = (String::new(), String::new());
    let mut tags = Vec::new();
    let malformed = |_| PostError::MalformedXml;
    loop {
        match reader.read_event().map_err(malformed)? {
            Event::Start(tag) => path.push(tag.local_name().as_ref().to_vec()),
            Event::End(_) => {
                if path.pop().as_deref() == Some(b"Tag") {
                    let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
                    tags.push(format!("{}={}", encode(&key), encode(&value)));
                    key.clear();
                    value.clear();
                }
            }
            event @ (Event::Text(_) | Event::CData(_) | Event::GeneralRef(_)) => {
                let place = match path.last().map(Vec::as_slice) {
                    Some(b"Key") => &mut key,
                    Some(b"Value") => &mut value,
                    _ => continue,
                };
                place.push_str(&text(&event)?);
            }
            Event::Eof if path.is_empty() && !tags.is_empty() => return Ok(tags.join("&")),
            Event::Eof => return Err(PostError::MalformedXml),
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            // Entities of its own are none of a tag's.
            Event::DocType(_) => return Err(PostError::MalformedXml),
        }
    }
}

fn text(event: &Event<'_>) -> Result<String, PostError> {
    let decoded = match event {
        Event::Text(text) => text.decode().map(std::borrow::Cow::into_owned),
        Event::CData(data) => data.decode().map(std::borrow::Cow::into_owned),
        Event::GeneralRef(reference) => {
            let name = reference.decode().map_err(|_| PostError::MalformedXml)?;
            let escaped = format!("&{name};");
            return quick_xml::escape::unescape(&escaped)
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| PostError::MalformedXml);
        }
        _ => return Ok(String::new()),
    };
    decoded.map_err(|_| PostError::MalformedXml)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn fields_are_headers() {
        let tags = "<Tagging><TagSet><Tag><Key>0</Key><Value>a &amp; b</Value></Tag><Tag><Key>1=</Key><Value/></Tag></TagSet></Tagging>";
        let found = headers(&fields(&[
            ("key", "k"),
            ("acl", "public-read"),
            ("content-type", "text/plain"),
            ("tagging", tags),
            ("x-amz-meta-foo", "barclamp"),
            ("x-amz-storage-class", "STANDARD_IA"),
            ("x-amz-checksum-crc32", "AAAAAA=="),
            ("x-amz-signature", "secret"),
            ("x-amz-security-token", "secret"),
            ("x-ignore-this", "x"),
            ("submit", "Upload"),
        ]))
        .unwrap();
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        assert_eq!(found.len(), 6, "{found:?}");
        for expected in [
            ("x-amz-acl", "public-read"),
            ("content-type", "text/plain"),
            ("x-amz-tagging", "0=a%20%26%20b&1%3D="),
            ("x-amz-meta-foo", "barclamp"),
            ("x-amz-storage-class", "STANDARD_IA"),
            ("x-amz-checksum-crc32", "AAAAAA=="),
        ] {
            assert!(found.contains(&expected), "{expected:?} in {found:?}");
        }
    }

    #[test]
    fn what_can_be_no_header_is_refused() {
        let refused = |pairs: &[(&str, &str)]| headers(&fields(pairs)).unwrap_err();
        let invalid = |name: &str| PostError::InvalidField(name.to_owned());
        assert_eq!(
            refused(&[("x-amz-meta-a", "1\r\nx-amz-acl: public-read")]),
            invalid("x-amz-meta-a")
        );
        assert_eq!(refused(&[("x-amz-meta-ü b", "1")]), invalid("x-amz-meta-ü b"));
        assert_eq!(
            refused(&[("acl", "private"), ("x-amz-acl", "public-read")]),
            invalid("x-amz-acl")
        );
        for xml in [
            "",
            "<Tagging>",
            "a=b",
            "<a></b>",
            "<!DOCTYPE x [<!ENTITY e \"x\">]><Tagging/>",
            "<Tagging/>",
        ] {
            assert_eq!(refused(&[("tagging", xml)]), PostError::MalformedXml, "{xml}");
        }
    }
}
