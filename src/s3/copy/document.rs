//! The documents of a copy: the result as clients read it, and what the store says, which may be an error under the status 200:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html>.

use std::fmt::Write;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as STANDARD;
use bytes::Bytes;
use http::{Response, StatusCode};
use hyper::body::Incoming;
use quick_xml::Reader;
use quick_xml::escape::{escape, unescape};
use quick_xml::events::Event;

use crate::body::checksum::Algorithm;
use crate::s3::error::S3Error;
use crate::s3::etag;
use crate::seal::Checksums;
use crate::upstream::collect;

/// The largest document that a store says of a copy.
const LARGEST: usize = 64 * 1024;

/// What came of a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyResult {
    /// As the store spells it.
    pub etag: String,
    /// As S3 writes times in documents.
    pub modified: String,
    /// What is known of the plaintext.
    pub checksums: Checksums,
}

/// Which operation's result it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// CopyObject.
    Object,
    /// UploadPartCopy.
    Part,
}

impl CopyResult {
    /// Reads the store's answer to a copy that it did itself. It may take long, and keep the connection with white space meanwhile.
    ///
    /// # Errors
    /// The store said no in the body, or nothing that can be read.
    pub async fn read(answer: Response<Incoming>) -> Result<Self, S3Error> {
        Self::parse(&collect(answer.into_body(), LARGEST).await?)
    }

    fn parse(document: &[u8]) -> Result<Self, S3Error> {
        let said = elements(document).ok_or(S3Error::StoreFailed)?;
        let of = |name: &str| {
            said.iter()
                .find(|(said, _)| said == name)
                .map(|(_, text)| text.as_str())
        };
        if let Some(code) = of("Code") {
            return Err(refused(code, of("Message").unwrap_or_default()));
        }
        Ok(Self {
            etag: of("ETag").ok_or(S3Error::StoreFailed)?.to_owned(),
            modified: of("LastModified").ok_or(S3Error::StoreFailed)?.to_owned(),
            checksums: Checksums::default(),
        })
    }

    /// The document for the client.
    pub fn to_document(&self, of: Of) -> Bytes {
        let name = match of {
            Of::Object => "CopyObjectResult",
            Of::Part => "CopyPartResult",
        };
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{name} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <LastModified>{}</LastModified><ETag>{}</ETag>",
            escape(self.modified.as_str()),
            escape(etag::to_client(&self.etag).as_ref()),
        );
        let mut told = false;
        for checksum in self.checksums.iter().filter(|checksum| checksum.parts.is_none()) {
            if let Some(algorithm) = Algorithm::of_kind(checksum.kind) {
                let (element, value) = (algorithm.name(), STANDARD.encode(checksum.value));
                let _ = write!(text, "<Checksum{element}>{value}</Checksum{element}>");
                told = true;
            }
        }
        if told && of == Of::Object {
            text.push_str("<ChecksumType>FULL_OBJECT</ChecksumType>");
        }
        let _ = write!(text, "</{name}>");
        Bytes::from(text)
    }
}

/// A no under the status 200. What is wrong with the request keeps its code; all else is the store's own failure, after which
/// the client may ask again.
fn refused(code: &str, message: &str) -> S3Error {
    let status = match code {
        "PreconditionFailed" => StatusCode::PRECONDITION_FAILED,
        "NoSuchKey" | "NoSuchBucket" | "NoSuchVersion" | "NoSuchUpload" => StatusCode::NOT_FOUND,
        "AccessDenied" | "InvalidObjectState" => StatusCode::FORBIDDEN,
        "InvalidRequest" | "InvalidArgument" | "EntityTooLarge" => StatusCode::BAD_REQUEST,
        _ => {
            tracing::warn!(code, message, "the store gave a copy up");
            return S3Error::StoreFailed;
        }
    };
    let message = if status == StatusCode::FORBIDDEN {
        "Access Denied".to_owned()
    } else {
        message.to_owned()
    };
    S3Error::Store {
        status,
        code: code.to_owned(),
        message,
        about: Box::default(),
    }
}

/// The texts of a small document's elements; nothing of one that is cut or malformed.
fn elements(document: &[u8]) -> Option<Vec<(String, String)>> {
    let mut reader = Reader::from_reader(document);
    let mut said: Vec<(String, String)> = Vec::new();
    let mut depth = 0_usize;
    let mut ended = false;
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => {
                depth = depth.saturating_add(1);
                said.push((
                    String::from_utf8(tag.local_name().as_ref().to_vec()).ok()?,
                    String::new(),
                ));
            }
            Event::Text(text) => {
                if let Some((_, value)) = said.last_mut() {
                    value.push_str(&text.decode().ok()?);
                }
            }
            // quick-xml tells entities apart from the text around them.
            Event::GeneralRef(reference) => {
                if let Some((_, value)) = said.last_mut() {
                    let entity = format!("&{};", reference.decode().ok()?);
                    value.push_str(&unescape(&entity).ok()?);
                }
            }
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                ended = depth == 0;
            }
            Event::Eof => break,
            _ => {}
        }
    }
    ended.then_some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESULT: &str = "<?xml version=\"1.0\"?>   <CopyObjectResult><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
                          <ETag>&quot;9e107d9d372bb6826bd81d3542a419d6&#34;</ETag></CopyObjectResult>";

    #[test]
    fn a_result_comes_out_with_the_clients_etag() {
        let result = CopyResult::parse(RESULT.as_bytes()).unwrap();
        assert_eq!(result.etag, "\"9e107d9d372bb6826bd81d3542a419d6\"");
        let document = String::from_utf8(result.to_document(Of::Part).to_vec()).unwrap();
        assert!(document.contains("<CopyPartResult xmlns"), "{document}");
        assert!(
            document.contains("<ETag>&quot;9e107d9d372bb6826bd81d3542a419d6-0&quot;</ETag>"),
            "{document}"
        );
    }

    #[test]
    fn an_error_under_200_is_an_error() {
        let error = |code: &str| {
            CopyResult::parse(
                format!("<?xml version=\"1.0\"?>\n  <Error><Code>{code}</Code><Message>m</Message></Error>").as_bytes(),
            )
        };
        assert!(matches!(error("InternalError"), Err(S3Error::StoreFailed)));
        assert!(matches!(error("SlowDown"), Err(S3Error::StoreFailed)));
        match error("PreconditionFailed") {
            Err(S3Error::Store { status, code, .. }) => {
                assert_eq!((status.as_u16(), &*code), (412, "PreconditionFailed"))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn half_a_document_is_none() {
        for cut in [
            "",
            "   ",
            "<?xml version=\"1.0\"?>",
            &RESULT[..60],
            &RESULT[..RESULT.len() - 5],
        ] {
            assert!(
                matches!(CopyResult::parse(cut.as_bytes()), Err(S3Error::StoreFailed)),
                "{cut}"
            );
        }
    }
}
