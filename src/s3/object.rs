//! One object of a bucket, or the bucket itself, as the store is asked about it: by whom, in which version, and with the store's
//! errors understood.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{ALLOW, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, Method, Response, StatusCode};
use hyper::body::Incoming;

use crate::keys::Keys;
use crate::s3::cors::Cors;
use crate::s3::error::S3Error;
use crate::s3::headers;
use crate::s3::layouts::Layouts;
use crate::seal::{Domain, Place};
use crate::tenant::Container;
use crate::upstream::{Call, Caller, StoreBody, collect, text_of};

/// The largest error document read from a store.
const LARGEST_ERROR: usize = 64 * 1024;

/// Whom a request is about.
#[derive(Clone)]
pub struct Object<'a> {
    /// The bucket.
    pub container: &'a Arc<Container>,
    /// As whom the store is asked.
    pub caller: &'a Caller,
    /// Every tenant's keys.
    pub keys: &'a Keys,
    /// The footers of objects that were read of late.
    pub layouts: &'a Layouts,
    /// What the store says to browsers.
    pub cors: Arc<Cors>,
    /// The key, decoded; empty for the bucket itself.
    pub name: String,
    /// The key as it stands on the wire, percent-encoded.
    pub key: Cow<'a, str>,
    /// Which version of it, as it stands in a query; the newest with none.
    pub version: Option<Cow<'a, str>>,
}

impl Object<'_> {
    /// Where the object is bound to lie.
    pub fn place(&self) -> Place<'_> {
        Place {
            domain: Domain::S3,
            container: &self.container.sealed_as,
            name: &self.name,
        }
    }

    /// Asks the store about this very bucket, key and version.
    ///
    /// # Errors
    /// No answer, or one that says no. 304 is an answer.
    pub async fn ask(
        &self,
        method: Method,
        query: &str,
        headers: HeaderMap,
        body: StoreBody,
    ) -> Result<Response<Incoming>, S3Error> {
        let query = match &self.version {
            None => Cow::Borrowed(query),
            Some(version) if query.is_empty() => Cow::Owned(["versionId=", version].concat()),
            Some(version) => Cow::Owned([query, "&versionId=", version].concat()),
        };
        let answer = self
            .container
            .store
            .send(Call {
                method,
                bucket: &self.container.name,
                key: &self.key,
                query: &query,
                caller: self.caller,
                headers,
                body,
            })
            .await?;
        self.cors.note(answer.headers());
        understood(answer).await
    }
}

/// A store's answer, if it is no error. 304 is none.
///
/// # Errors
/// It says no.
pub(super) async fn understood(answer: Response<Incoming>) -> Result<Response<Incoming>, S3Error> {
    let status = answer.status();
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        Ok(answer)
    } else {
        Err(understand(answer).await)
    }
}

async fn understand(answer: Response<Incoming>) -> S3Error {
    let (parts, body) = answer.into_parts();
    let body = collect(body, LARGEST_ERROR).await.unwrap_or_default();
    match judge(parts.status, &body) {
        S3Error::Store {
            status, code, message, ..
        } => S3Error::Store {
            status,
            code,
            message,
            about: Box::new(about(&parts.headers)),
        },
        error => error,
    }
}

/// What a store says of an object along with its no: that a delete marker lies there, which version it is and of when.
fn about(store: &HeaderMap) -> HeaderMap {
    let said = headers::to_client(store);
    let mut about = HeaderMap::new();
    for name in [
        ETAG,
        LAST_MODIFIED,
        HeaderName::from_static("x-amz-delete-marker"),
        HeaderName::from_static("x-amz-version-id"),
    ] {
        if let Some(value) = said.get(&name) {
            about.insert(name, value.clone());
        }
    }
    if let Some(methods) = store.get(ALLOW) {
        about.insert(ALLOW, methods.clone());
    }
    about
}

/// A store's no. What concerns the gate's own credential, or asks the gate to go elsewhere, is the operator's matter and tells
/// the client nothing.
fn judge(status: StatusCode, body: &[u8]) -> S3Error {
    let (code, message) = (text_of(body, b"Code"), text_of(body, b"Message"));
    let code = code.unwrap_or_else(|| default_code(status).to_owned());
    let ours = [
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "RequestTimeTooSkewed",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidToken",
    ];
    // What the store can't do it says for good; all else that is its own fault may pass.
    let failed = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
    if code == "SlowDown" {
        return S3Error::SlowDown;
    }
    if let ("InvalidObjectState", Some(storage_class)) = (code.as_str(), text_of(body, b"StorageClass")) {
        return S3Error::Archived {
            storage_class,
            access_tier: text_of(body, b"AccessTier"),
        };
    }
    if ours.contains(&code.as_str()) || status.is_redirection() || failed {
        tracing::error!(status = status.as_u16(), code, "the store refused the gate itself");
        return S3Error::StoreFailed;
    }
    // AWS names the gate's own identity, account and policy in it.
    let message = if status == StatusCode::FORBIDDEN {
        tracing::warn!(code, message, "the store forbids it");
        "Access Denied".to_owned()
    } else {
        message.unwrap_or_default()
    };
    S3Error::Store {
        status,
        code,
        message,
        about: Box::default(),
    }
}

/// What a HEAD's bare status means.
fn default_code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "NoSuchKey",
        StatusCode::FORBIDDEN => "AccessDenied",
        StatusCode::PRECONDITION_FAILED => "PreconditionFailed",
        StatusCode::RANGE_NOT_SATISFIABLE => "InvalidRange",
        // Of a HEAD: the version asked for is a delete marker.
        StatusCode::METHOD_NOT_ALLOWED => "MethodNotAllowed",
        StatusCode::CONFLICT => "ConditionalRequestConflict",
        _ => "InvalidRequest",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(code: &str, message: &str) -> Vec<u8> {
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>").into_bytes()
    }

    #[test]
    fn what_the_store_says_of_the_gate_reaches_no_client() {
        let body = document(
            "AccessDenied",
            "User: arn:aws:iam::123456789012:user/gate is not authorized",
        );
        match judge(StatusCode::FORBIDDEN, &body) {
            S3Error::Store { code, message, .. } => assert_eq!((&*code, &*message), ("AccessDenied", "Access Denied")),
            other => panic!("{other}"),
        }
        for (status, code) in [
            (403, "SignatureDoesNotMatch"),
            (403, "InvalidAccessKeyId"),
            (400, "ExpiredToken"),
            (301, "PermanentRedirect"),
            (500, "InternalError"),
        ] {
            let judged = judge(StatusCode::from_u16(status).unwrap(), &document(code, "x"));
            assert!(matches!(judged, S3Error::StoreFailed), "{code}");
        }
    }

    #[test]
    fn a_store_that_is_asked_too_much_or_has_archived_the_object_says_so() {
        let slow = judge(StatusCode::SERVICE_UNAVAILABLE, &document("SlowDown", "Reduce it."));
        assert!(matches!(slow, S3Error::SlowDown));
        let archived =
            b"<Error><Code>InvalidObjectState</Code><Message>x</Message><StorageClass>GLACIER</StorageClass></Error>";
        let archived = judge(StatusCode::FORBIDDEN, archived);
        let answer = archived.response("", "/b/k", "1", false);
        assert_eq!(answer.status(), 403);
        let text = answer.into_body();
        assert!(
            text.contains("<Code>InvalidObjectState</Code>") && text.contains("<StorageClass>GLACIER</StorageClass>"),
            "{text}"
        );
        assert!(!text.contains("AccessTier"), "{text}");
    }

    #[test]
    fn what_the_store_says_of_the_request_is_passed_on() {
        match judge(
            StatusCode::NOT_FOUND,
            &document("NoSuchKey", "The specified key does not exist."),
        ) {
            S3Error::Store { code, message, .. } => {
                assert_eq!((&*code, &*message), ("NoSuchKey", "The specified key does not exist."));
            }
            other => panic!("{other}"),
        }
        match judge(StatusCode::PRECONDITION_FAILED, b"") {
            S3Error::Store { code, .. } => assert_eq!(code, "PreconditionFailed"),
            other => panic!("{other}"),
        }
    }
}
