//! What one S3 request carries through its operation, and what every operation needs: the store asked, its errors understood.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use hyper::body::Incoming;
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::keys::Keys;
use crate::s3::error::S3Error;
use crate::s3::operation::Address;
use crate::seal::{Domain, Place};
use crate::tenant::Container;
use crate::upstream::{Call, StoreBody, collect};

/// The largest error document read from a store.
const LARGEST_ERROR: usize = 64 * 1024;

/// One request for one tenant's bucket, verified and resolved.
pub struct Exchange<'a> {
    /// Its head, as received.
    pub parts: &'a Parts,
    /// What it is about.
    pub address: Address<'a>,
    /// The key, decoded; empty for the bucket itself.
    pub name: String,
    /// The bucket.
    pub container: &'a Arc<Container>,
    /// Every tenant's keys.
    pub keys: &'a Keys,
}

impl Exchange<'_> {
    /// Where the object is bound to lie.
    pub fn place(&self) -> Place<'_> {
        Place {
            domain: Domain::S3,
            container: &self.container.sealed_as,
            name: &self.name,
        }
    }

    /// Asks the store about this very bucket and key.
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
        let (bucket, key) = (self.container.name.as_str(), self.address.key);
        let answer = self
            .container
            .store
            .send(Call {
                method,
                bucket,
                key,
                query,
                headers,
                body,
            })
            .await?;
        let status = answer.status();
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            Ok(answer)
        } else {
            Err(understand(answer).await)
        }
    }
}

/// A store's no. What concerns the gate's own credential, or asks the gate to go elsewhere, is the operator's matter and tells
/// the client nothing.
async fn understand(answer: Response<Incoming>) -> S3Error {
    let (parts, body) = answer.into_parts();
    let body = collect(body, LARGEST_ERROR).await.unwrap_or_default();
    let (code, message) = read_error(&body);
    let code = code.unwrap_or_else(|| default_code(parts.status).to_owned());
    let ours = [
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "RequestTimeTooSkewed",
        "AuthorizationHeaderMalformed",
    ];
    if ours.contains(&code.as_str()) || parts.status.is_redirection() || parts.status.is_server_error() {
        tracing::error!(
            status = parts.status.as_u16(),
            code,
            "the store refused the gate itself"
        );
        return S3Error::StoreFailed;
    }
    S3Error::Store {
        status: parts.status,
        code,
        message: message.unwrap_or_default(),
    }
}

/// What a HEAD's bare status means.
fn default_code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "NoSuchKey",
        StatusCode::FORBIDDEN => "AccessDenied",
        StatusCode::PRECONDITION_FAILED => "PreconditionFailed",
        StatusCode::RANGE_NOT_SATISFIABLE => "InvalidRange",
        StatusCode::CONFLICT => "ConditionalRequestConflict",
        _ => "InvalidRequest",
    }
}

fn read_error(body: &[u8]) -> (Option<String>, Option<String>) {
    let mut reader = Reader::from_reader(body);
    let (mut code, mut message) = (None, None);
    let mut within = Vec::new();
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(tag) => within = tag.local_name().as_ref().to_vec(),
            Event::Text(text) => match (within.as_slice(), text.decode()) {
                // Entities come apart from the text around them; what is kept of a message is enough to read.
                (b"Code", Ok(text)) => code.get_or_insert_with(String::new).push_str(&text),
                (b"Message", Ok(text)) => message.get_or_insert_with(String::new).push_str(&text),
                _ => {}
            },
            Event::End(_) => within.clear(),
            Event::Eof => break,
            _ => {}
        }
    }
    (code, message)
}
