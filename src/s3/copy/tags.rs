//! The source's tags, for a copy that the store does not make: read as a document, stated as a query.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectTagging.html>

use http::{HeaderValue, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::Event;

use crate::s3::copy::asking_of_source;
use crate::s3::error::S3Error;
use crate::s3::object::Object;
use crate::s3::read::source::Verified;
use crate::upstream::{StoreBody, collect};

/// Ten tags of 128 and 256 characters, escaped.
const LARGEST: usize = 64 * 1024;

const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The tags of a source that has any, as `x-amz-tagging` states them.
///
/// Tags belong to a version: where there are versions, it is that of the source as it was verified.
///
/// # Errors
/// The store says how many there are, and not which.
pub(super) async fn of(
    from: &Object<'_>,
    client: &http::HeaderMap,
    source: &Verified,
) -> Result<Option<HeaderValue>, S3Error> {
    // Amazon counts the tags in a HEAD, if the caller may see them; some stores don't count.
    let mut from = from.clone();
    if let Some(version) = source.version().and_then(|version| version.to_str().ok()) {
        from.version = Some(utf8_percent_encode(version, QUERY).to_string().into());
    }
    let asking = asking_of_source(client);
    let answer = match from.ask(Method::GET, "tagging", asking, StoreBody::empty()).await {
        // A store that knows no tags has none to copy.
        Err(S3Error::Store { code, .. }) if code == "NotImplemented" || code == "NoSuchTagSet" => return Ok(None),
        answer => answer?,
    };
    let tags = parse(&collect(answer.into_body(), LARGEST).await?).ok_or(S3Error::StoreFailed)?;
    if tags.is_empty() {
        return Ok(None);
    }
    let encoded = |text: &str| utf8_percent_encode(text, QUERY).to_string();
    let pairs: Vec<_> = tags
        .iter()
        .map(|(key, value)| format!("{}={}", encoded(key), encoded(value)))
        .collect();
    HeaderValue::try_from(pairs.join("&"))
        .map(Some)
        .map_err(|_| S3Error::StoreFailed)
}

/// Keys and values; nothing of a document that is cut.
fn parse(document: &[u8]) -> Option<Vec<(String, String)>> {
    let mut reader = Reader::from_reader(document);
    let (mut tags, mut within) = (Vec::<(String, String)>::new(), Vec::new());
    let mut ended = false;
    let add = |tags: &mut Vec<(String, String)>, within: &[u8], text: &str| {
        let Some((key, value)) = tags.last_mut() else { return };
        match within {
            b"Key" => key.push_str(text),
            b"Value" => value.push_str(text),
            _ => {}
        }
    };
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => {
                within = tag.local_name().as_ref().to_vec();
                if within == b"Tag" {
                    tags.push(Default::default());
                }
            }
            Event::Empty(tag) => ended |= tag.local_name().as_ref() == b"Tagging",
            Event::Text(text) => add(&mut tags, &within, &text.decode().ok()?),
            Event::GeneralRef(reference) => {
                let entity = format!("&{};", reference.decode().ok()?);
                add(&mut tags, &within, &unescape(&entity).ok()?);
            }
            Event::End(tag) => {
                ended |= tag.local_name().as_ref() == b"Tagging";
                within.clear();
            }
            Event::Eof => return ended.then_some(tags),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_with_all_that_is_escaped() {
        let document = "<Tagging xmlns=\"x\"><TagSet><Tag><Key>a&amp;b</Key><Value>1 &lt; 2</Value></Tag>\
                        <Tag><Key>c</Key><Value/></Tag></TagSet></Tagging>";
        let wanted = vec![("a&b".to_owned(), "1 < 2".to_owned()), ("c".to_owned(), String::new())];
        assert_eq!(parse(document.as_bytes()), Some(wanted));
        assert_eq!(parse(b"<Tagging><TagSet/></Tagging>"), Some(Vec::new()));
        assert_eq!(parse(b"<Tagging><TagSet>"), None);
    }
}
