//! The store's own Complete, and what the client is told of it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::body::checksum::{Algorithm, Checksum};
use crate::s3::error::{S3Error, UploadError};
use crate::s3::etag;
use crate::s3::headers;
use crate::s3::multipart::Upload;
use crate::s3::multipart::claims::Known;
use crate::s3::multipart::complete::Completing;
use crate::s3::multipart::xml::{Flat, NAMESPACE, element};
use crate::upstream::StoreBody;

/// A store that puts a large object together sends white space meanwhile; one that sends nothing for this long sends nothing more.
const SILENCE: Duration = Duration::from_secs(120);
/// What follows the white space is a few lines.
const LARGEST_ANSWER: usize = 64 * 1024;

/// How the store's Complete went.
pub(super) enum Finished {
    /// The object is there.
    Done(Done),
    /// The store has other parts by now than were listed.
    OtherParts,
}

/// What the store says of the object.
pub(super) struct Done {
    /// Without quotes.
    pub(super) etag: String,
    pub(super) headers: HeaderMap,
}

impl Done {
    /// Whether the object may be of these parts: where all ETags are as Amazon makes them, the object's is the MD5 of the parts', and
    /// their number. Of others nothing can be said.
    pub(super) fn is_of(&self, parts: &[(u32, &str)]) -> bool {
        let md5s: Option<Vec<Checksum>> = parts
            .iter()
            .map(|(_, etag)| Checksum::new(Algorithm::Md5, &hex::decode(etag).ok()?))
            .collect();
        let Some((own, count)) = self.etag.split_once('-') else {
            return true;
        };
        match md5s.and_then(|md5s| Checksum::of_values(&md5s)) {
            Some(expected) => {
                hex::encode(expected.value()).eq_ignore_ascii_case(own) && count == parts.len().to_string()
            }
            None => true,
        }
    }
}

impl Upload {
    /// Has the store put these parts together.
    pub(super) async fn finish(&self, parts: &[(u32, &str)], conditions: &HeaderMap) -> Result<Finished, S3Error> {
        let quoted: Vec<_> = parts
            .iter()
            .map(|(number, etag)| (*number, format!("\"{etag}\"")))
            .collect();
        let list = quoted.iter().map(|(number, etag)| (*number, etag.as_str(), None));
        let mut asking = conditions.clone();
        asking.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        let asked = self.ask(Method::POST, "", asking, StoreBody::completion_of(list)).await;
        let answer = match asked {
            Err(S3Error::Store { code, .. }) if code == "InvalidPart" => return Ok(Finished::OtherParts),
            answer => answer?,
        };
        let (head, body) = answer.into_parts();
        let document = patiently(body).await?;
        let document = Flat::read(document.trim_ascii_start(), "").ok_or(S3Error::StoreFailed)?;
        // A no may come late, behind a head that said 200.
        if document.root == "Error" {
            let text = |name: &str| document.get(name).unwrap_or_default().to_owned();
            return late(text("Code"), text("Message"));
        }
        let said = document.get("ETag").map(|etag| etag.trim().trim_matches('"'));
        let etag = match said.filter(|etag| !etag.is_empty()) {
            Some(etag) => etag.to_owned(),
            None => self.etag_now(&head.headers).await?,
        };
        Ok(Finished::Done(Done {
            etag,
            headers: head.headers,
        }))
    }

    /// The ETag of the object that a Complete with this answer has made: Ceph 16 leaves it out of its first one.
    async fn etag_now(&self, answer: &HeaderMap) -> Result<String, S3Error> {
        let query = headers::version_query(answer);
        let found = self.about_object(Method::HEAD, &query, HeaderMap::new(), StoreBody::empty());
        let found = found.await?;
        let etag = found.headers().get(ETAG).and_then(|etag| etag.to_str().ok());
        Ok(etag.ok_or(S3Error::StoreFailed)?.trim_matches('"').to_owned())
    }
}

/// An answer that may be long in coming, without the white space that it begins with.
async fn patiently(mut body: Incoming) -> Result<Bytes, S3Error> {
    let mut document = BytesMut::new();
    loop {
        match tokio::time::timeout(SILENCE, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    document.extend_from_slice(&data);
                }
            }
            Ok(Some(Err(_))) | Err(_) => return Err(S3Error::StoreFailed),
            Ok(None) => return Ok(document.freeze()),
        }
        if document.len() > LARGEST_ANSWER {
            return Err(S3Error::StoreFailed);
        }
    }
}

/// What an error means that came behind a 200.
fn late(code: String, message: String) -> Result<Finished, S3Error> {
    let status = match code.as_str() {
        "InvalidPart" => return Ok(Finished::OtherParts),
        "NoSuchUpload" | "NoSuchKey" => return Err(UploadError::NoSuchUpload.into()),
        "PreconditionFailed" => StatusCode::PRECONDITION_FAILED,
        "ConditionalRequestConflict" => StatusCode::CONFLICT,
        _ => {
            tracing::error!(code, message, "the store did not put the parts together");
            return Err(S3Error::StoreFailed);
        }
    };
    Err(S3Error::Store {
        status,
        code,
        message,
        about: Box::default(),
    })
}

impl Completing {
    /// What the client is told.
    pub(super) fn answer(&self, done: &Done, known: Option<Known>) -> Response<Bytes> {
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CompleteMultipartUploadResult xmlns=\"{NAMESPACE}\">"
        );
        element(&mut text, "Location", &self.location);
        element(&mut text, "Bucket", &self.bucket);
        element(&mut text, "Key", &self.upload.name);
        element(&mut text, "ETag", &format!("\"{}\"", etag::to_client(&done.etag)));
        if let Some(known) = known {
            known.tell(&mut text);
        }
        text.push_str("</CompleteMultipartUploadResult>");
        let mut response = Response::new(Bytes::from(text));
        let headers = response.headers_mut();
        let seen = headers::to_client(&done.headers);
        for name in ["x-amz-version-id", "x-amz-expiration", "x-amz-request-charged"] {
            if let Some(value) = seen.get(name) {
                headers.insert(name, value.clone());
            }
        }
        headers::sealed_under(&self.upload.container.key_url, headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_other_parts_is_told_by_its_etag() {
        let of = |etag: &str, parts: &[(u32, &str)]| {
            let headers = HeaderMap::new();
            let etag = etag.to_owned();
            Done { etag, headers }.is_of(parts)
        };
        let (one, two) = ("b026324c6904b2a9cb4b88d6d61c81d1", "26ab0db90d72e28ad0ba1e22ee510510");
        let both = "00000000000000000000000000000000-2";
        let made = Checksum::of(Algorithm::Md5, &hex::decode([one, two].concat()).unwrap());
        let right = format!("{}-2", hex::encode(made.value()));
        assert!(of(&right, &[(1, one), (4, two)]));
        assert!(!of(both, &[(1, one), (4, two)]));
        assert!(!of(&right, &[(1, one)]));
        assert!(of("opaque", &[(1, one)]) && of(both, &[(1, "opaque")]));
    }

    #[test]
    fn an_error_behind_a_200_is_one() {
        let late = |code: &str| late(code.to_owned(), String::new());
        assert!(matches!(late("InvalidPart"), Ok(Finished::OtherParts)));
        assert!(matches!(
            late("NoSuchUpload"),
            Err(S3Error::Upload(UploadError::NoSuchUpload))
        ));
        assert!(
            late("PreconditionFailed")
                .err()
                .is_some_and(|error| error.status() == 412)
        );
        assert!(late("InternalError").err().is_some_and(|error| error.status() == 503));
    }
}
