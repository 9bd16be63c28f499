//! A store's answer, read whole: listings, errors, and what is said of an upload.

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::upstream::store::{SILENCE, StoreError};

/// The whole body of an answer, of `most` bytes at the most. It may take long, as S3's own answers do that come behind white
/// space, but must not fall silent.
///
/// # Errors
/// It is longer, breaks off, or falls silent.
pub async fn collect(mut body: Incoming, most: usize) -> Result<Bytes, StoreError> {
    // Where the store says how long it is, there is room for it at once; grown piece by piece, it would be copied and wiped again
    // and again.
    let len = usize::try_from(body.size_hint().lower()).unwrap_or(most);
    let mut whole = BytesMut::with_capacity(len.min(most));
    loop {
        match tokio::time::timeout(SILENCE, body.frame()).await {
            Ok(Some(Ok(frame))) => whole.extend_from_slice(frame.data_ref().map_or(&[][..], |data| &**data)),
            Ok(None) => return Ok(whole.freeze()),
            Ok(Some(Err(error))) => {
                tracing::warn!(%error, "the store's answer can't be read");
                return Err(StoreError::Unreachable);
            }
            Err(_) => return Err(StoreError::Timeout),
        }
        if whole.len() > most {
            tracing::warn!(most, "the store's answer is too long");
            return Err(StoreError::Unreachable);
        }
    }
}

/// The text of the first element of this name in an answer's document, with what is escaped in it resolved.
pub fn text_of(document: &[u8], name: &[u8]) -> Option<String> {
    let mut reader = Reader::from_reader(document);
    let mut found: Option<String> = None;
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) if tag.local_name().as_ref() == name => found = Some(String::new()),
            Event::Text(text) => {
                if let Some(found) = &mut found {
                    found.push_str(&text.decode().ok()?);
                }
            }
            Event::GeneralRef(entity) => {
                if let Some(found) = &mut found {
                    let name: &[u8] = entity.as_ref();
                    found.push_str(match name {
                        b"quot" | b"#34" => "\"",
                        b"amp" | b"#38" => "&",
                        b"apos" | b"#39" => "'",
                        b"lt" | b"#60" => "<",
                        b"gt" | b"#62" => ">",
                        _ => return None,
                    });
                }
            }
            Event::End(tag) if tag.local_name().as_ref() == name => return found.map(|text| text.trim().to_owned()),
            Event::Eof => return None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_with_what_is_escaped_in_them() {
        let begun = b"<?xml version=\"1.0\"?>\n<R xmlns=\"x\"><Bucket>b</Bucket><UploadId>a&amp;b+/=</UploadId></R>";
        assert_eq!(text_of(begun, b"UploadId").as_deref(), Some("a&b+/="));
        let done = b"<?xml version=\"1.0\"?>   \n <R><ETag>&quot;x-2&quot;</ETag></R>";
        assert_eq!(text_of(done, b"ETag").as_deref(), Some("\"x-2\""));
        assert_eq!(text_of(done, b"Code"), None);
        assert_eq!(text_of(b"<R><ETag/></R>", b"ETag"), None);
    }
}
