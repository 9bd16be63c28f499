//! What one request carries through its operation, and what every operation needs: the store asked, its errors understood.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::ORIGIN;
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, Method, Response, StatusCode};
use hyper::body::Incoming;

use crate::azure::account::{Accounts, Container};
use crate::azure::address::Address;
use crate::azure::auth::Reach;
use crate::azure::cors::Cors;
use crate::azure::error::AzureError;
use crate::azure::headers;
use crate::azure::layouts::Layouts;
use crate::azure::operation::is_sas;
use crate::azure::policy::Policies;
use crate::azure::xml::Element;
use crate::keys::Keys;
use crate::seal::{Domain, Place};
use crate::upstream::{AzureCall, StoreBody, collect};

/// The largest error document read from a store.
const LARGEST_ERROR: usize = 64 * 1024;
/// The largest document read from a store: a page of 5,000 blobs with all their metadata.
pub const LARGEST_DOCUMENT: usize = 64 << 20;

/// One request for one tenant's container, verified and resolved.
pub struct Exchange<'a> {
    /// Its head, as received.
    pub parts: &'a Parts,
    /// What it is about.
    pub address: &'a Address,
    /// The container.
    pub container: &'a Container,
    /// How far the client's permission goes.
    pub reach: Reach,
    /// The customer has said no, and its terms permit to clean up: nothing is opened, not even a checksum.
    pub keyless: bool,
    /// Who asks, and when.
    pub asker: Asker,
    /// What SAS leave to their containers.
    pub policies: &'a Policies,
    /// All accounts, for those that a copy names.
    pub accounts: &'a Accounts,
    /// The footers of blobs that were read of late.
    pub layouts: &'a Layouts,
    /// Every tenant's keys.
    pub keys: &'a Arc<Keys>,
}

/// Who sent a request.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// Whether the account's own key signed it.
    pub by_key: bool,
    /// Where it came from.
    pub peer: IpAddr,
    /// Whether it came over TLS.
    pub secure: bool,
    /// Whether tokens may come with it: over TLS, or on a machine where everything is.
    pub clear: bool,
    /// When.
    pub now: SystemTime,
}

/// One request to the store about this very blob or container.
pub struct Ask {
    /// Its method.
    pub method: Method,
    /// Its query.
    pub query: Vec<(String, String)>,
    /// Its headers, but for those of any request.
    pub headers: HeaderMap,
    /// Its body.
    pub body: StoreBody,
    /// How the client spelt its headers' names, if they go along.
    pub spelling: Extensions,
}

impl Ask {
    fn reads(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }

    /// Without headers and body.
    pub fn new(method: Method, query: Vec<(String, String)>) -> Self {
        Self {
            method,
            query,
            headers: HeaderMap::new(),
            body: StoreBody::empty(),
            spelling: Extensions::new(),
        }
    }
}

/// A query of one's own.
pub fn query(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

impl Exchange<'_> {
    /// The client's headers.
    pub fn client(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// Where the blob is bound to lie.
    pub fn place(&self) -> Place<'_> {
        Place {
            domain: Domain::Azure,
            container: &self.container.sealed_as,
            name: &self.address.blob,
        }
    }

    /// The client's query as the store is asked: without what makes a SAS, which is not its business.
    pub fn passed_query(&self) -> Vec<(String, String)> {
        passed_query(self.address)
    }

    /// Which version of the blob is meant: the snapshot or version that the client names, for every request about it.
    pub fn version_query(&self) -> Vec<(String, String)> {
        let named = |name: &str| {
            self.address
                .parameter(name)
                .map(|value| (name.to_owned(), value.to_owned()))
        };
        named("snapshot").into_iter().chain(named("versionid")).collect()
    }

    /// Asks the store about this very container or blob.
    ///
    /// # Errors
    /// No answer, or one that says no. 304 is an answer.
    pub async fn ask(&self, mut ask: Ask) -> Result<Response<Incoming>, AzureError> {
        headers::to_any(self.client(), self.address, &mut ask.headers);
        let cors = self.parts.extensions.get::<Cors>();
        if let (Some(_), Some(origin)) = (cors, self.client().get(ORIGIN)) {
            ask.headers.insert(ORIGIN, origin.clone());
        }
        let reads = ask.reads();
        let answer = ask_store(self.container, self.address.secondary, &self.address.blob, ask).await?;
        if let Some(cors) = cors {
            cors.note(answer.headers());
        }
        judged(answer, reads).await
    }
}

/// The client's query without what makes a SAS.
pub fn passed_query(address: &Address) -> Vec<(String, String)> {
    let ours = |name: &str| is_sas(name) || name.eq_ignore_ascii_case("api-version");
    address.query.iter().filter(|(name, _)| !ours(name)).cloned().collect()
}

/// Asks a store, and understands its no.
///
/// # Errors
/// No answer, or one that says no. 304 is an answer.
pub async fn send(
    container: &Container,
    secondary: bool,
    blob: &str,
    ask: Ask,
) -> Result<Response<Incoming>, AzureError> {
    let reads = ask.reads();
    judged(ask_store(container, secondary, blob, ask).await?, reads).await
}

async fn judged(answer: Response<Incoming>, reads: bool) -> Result<Response<Incoming>, AzureError> {
    let answer = understood(answer).await?;
    if answer.status() == StatusCode::NOT_MODIFIED && !reads {
        // For a writer a condition that does not hold is an error.
        return Err(AzureError::ConditionNotMet);
    }
    Ok(answer)
}

async fn ask_store(
    container: &Container,
    secondary: bool,
    blob: &str,
    ask: Ask,
) -> Result<Response<Incoming>, AzureError> {
    let call = AzureCall {
        method: ask.method,
        secondary,
        container: &container.name,
        blob,
        query: &ask.query,
        headers: ask.headers,
        spelling: ask.spelling,
        body: ask.body,
    };
    Ok(container.store.send(call).await?)
}

/// An answer, or the error it is.
///
/// # Errors
/// The store said no.
pub async fn understood(answer: Response<Incoming>) -> Result<Response<Incoming>, AzureError> {
    let status = answer.status();
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        return Ok(answer);
    }
    let (parts, body) = answer.into_parts();
    let body = collect(body, LARGEST_ERROR).await.unwrap_or_default();
    Err(judge(parts.status, &parts.headers, &body))
}

/// A store's no. What concerns the gate's own credential is the operator's matter and tells the client nothing.
fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> AzureError {
    const CODE: HeaderName = HeaderName::from_static("x-ms-error-code");
    let document = Element::parse(body).unwrap_or_default();
    let stated = headers.get(CODE).and_then(|value| value.to_str().ok());
    let code = stated.unwrap_or_else(|| document.text_of("Code"));
    let code = if code.is_empty() { default_code(status) } else { code };
    let ours = [
        "AuthenticationFailed",
        "AuthorizationFailure",
        "AuthorizationPermissionMismatch",
        "InvalidAuthenticationInfo",
        "NoAuthenticationInformation",
        "AccountIsDisabled",
        "InsufficientAccountPermissions",
    ];
    if ours.contains(&code) || status.is_redirection() {
        tracing::error!(status = status.as_u16(), code, "the store refused the gate itself");
        return AzureError::StoreFailed;
    }
    if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
        tracing::error!(status = status.as_u16(), code, "the store failed");
        return AzureError::StoreFailed;
    }
    // The store's own request id and time stand behind the first line.
    let message = document.text_of("Message").lines().next().unwrap_or_default();
    let message = if message.is_empty() {
        default_message(code)
    } else {
        message
    };
    AzureError::Store {
        status,
        code: code.to_owned(),
        message: message.to_owned(),
    }
}

/// What Azure says of a code. A HEAD's answer has no room for it, and the gate may ask by one for what its client asks otherwise.
/// <https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes>
fn default_message(code: &str) -> &'static str {
    match code {
        "BlobNotFound" => "The specified blob does not exist.",
        "ContainerNotFound" => "The specified container does not exist.",
        "ConditionNotMet" => "The condition specified using HTTP conditional header(s) is not met.",
        "LeaseIdMismatchWithBlobOperation" => "The lease ID specified did not match the lease ID for the blob.",
        "LeaseLost" => "A lease ID was specified, but the lease for the blob has expired.",
        "LeaseNotPresentWithBlobOperation" => "There is currently no lease on the blob.",
        _ => "",
    }
}

/// What a HEAD's bare status means.
fn default_code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "BlobNotFound",
        StatusCode::PRECONDITION_FAILED => "ConditionNotMet",
        StatusCode::RANGE_NOT_SATISFIABLE => "InvalidRange",
        StatusCode::CONFLICT => "Conflict",
        StatusCode::FORBIDDEN => "AuthorizationFailure",
        _ => "InvalidInput",
    }
}

/// A store's document.
///
/// # Errors
/// It is too long, breaks off, or can't be read.
pub async fn document(answer: Response<Incoming>) -> Result<(HeaderMap, Element<'static>), AzureError> {
    let (headers, body) = whole(answer).await?;
    Ok((headers, read(&body)?.into_owned()))
}

/// A store's document, to be [read](read()).
///
/// # Errors
/// It is too long, or breaks off.
pub async fn whole(answer: Response<Incoming>) -> Result<(HeaderMap, Bytes), AzureError> {
    let (parts, body) = answer.into_parts();
    Ok((parts.headers, collect(body, LARGEST_DOCUMENT).await?))
}

/// What a store's document says.
///
/// # Errors
/// It can't be read.
pub fn read(document: &[u8]) -> Result<Element<'_>, AzureError> {
    Element::parse(document).map_err(|_| {
        tracing::error!("the store's document can't be read");
        AzureError::StoreFailed
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(code: &str, message: &str) -> Vec<u8> {
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>").into_bytes()
    }

    #[test]
    fn what_the_store_says_of_the_gate_reaches_no_client() {
        for (status, code) in [
            (403, "AuthenticationFailed"),
            (403, ""),
            (500, "InternalError"),
            (307, "AccountIsDisabled"),
        ] {
            let judged = judge(
                StatusCode::from_u16(status).unwrap(),
                &HeaderMap::new(),
                &document(code, "x"),
            );
            assert!(matches!(judged, AzureError::StoreFailed), "{code}");
        }
    }

    #[test]
    fn a_code_without_words_is_given_azures() {
        let mut head = HeaderMap::new();
        head.insert("x-ms-error-code", "ContainerNotFound".parse().unwrap());
        for (headers, said) in [
            (HeaderMap::new(), "The specified blob does not exist."),
            (head, "The specified container does not exist."),
        ] {
            match judge(StatusCode::NOT_FOUND, &headers, b"") {
                AzureError::Store { message, .. } => assert_eq!(message, said),
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn what_the_store_says_of_the_request_is_passed_on() {
        let said = document(
            "BlobNotFound",
            "The specified blob does not exist.\nRequestId:1\nTime:2",
        );
        match judge(StatusCode::NOT_FOUND, &HeaderMap::new(), &said) {
            AzureError::Store { code, message, .. } => {
                assert_eq!(
                    (&*code, &*message),
                    ("BlobNotFound", "The specified blob does not exist.")
                );
            }
            other => panic!("{other}"),
        }
    }
}
