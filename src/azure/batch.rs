//! Blob Batch: a `multipart/mixed` body of requests, each with its own signature, and the answers in the same form.
//!
//! <https://learn.microsoft.com/rest/api/storageservices/blob-batch>: up to 256 requests, 4 MiB together; Delete Blob and Set Blob
//! Tier only.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::azure::error::AzureError;
use crate::azure::exchange::Exchange;
use crate::azure::list::Secure;
use crate::azure::put::Source;

/// The largest batch, in bytes.
const LARGEST: u64 = 4 << 20;
/// The most requests in one.
const MOST: usize = 256;

/// A batch as it came.
pub struct Batch {
    boundary: String,
    requests: Vec<(String, Result<Parts, AzureError>)>,
}

/// The answers so far.
pub struct Answers {
    boundary: String,
    body: Vec<u8>,
}

impl Batch {
    /// Reads the whole of it.
    ///
    /// # Errors
    /// Too long, too many, or not in the form of a batch.
    pub async fn read(exchange: &Exchange<'_>, body: Incoming) -> Result<Self, AzureError> {
        let source = Source::of(exchange.client(), body, false)?;
        if source.len > LARGEST {
            return Err(AzureError::TooLarge { largest: LARGEST });
        }
        let kind = exchange
            .client()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let boundary = kind
            .and_then(boundary)
            .ok_or(AzureError::InvalidHeader { name: "Content-Type" })?;
        let (document, _) = source.gather().await?;
        let mut requests = parse(&document, boundary).ok_or(AzureError::InvalidHeader { name: "Content-Type" })?;
        if requests.is_empty() || requests.len() > MOST {
            return Err(AzureError::InvalidHeader { name: "Content-Type" });
        }
        for (_, request) in requests.iter_mut() {
            if let Ok(parts) = request {
                // They came on the connection of the batch.
                if let Some(host) = exchange.client().get(HOST) {
                    parts.headers.insert(HOST, host.clone());
                }
                if exchange.parts.extensions.get::<Secure>().is_some() {
                    parts.extensions.insert(Secure);
                }
                if !fits(parts) {
                    *request = Err(AzureError::UnsupportedVerb);
                }
            }
        }
        if !of_one_kind(&requests) {
            // One answer for all of them, and nothing is done.
            requests = vec![(String::new(), Err(AzureError::MixedBatch))];
        }
        let boundary = format!("batchresponse_{}", boundary.trim_start_matches("batch_"));
        Ok(Self { boundary, requests })
    }

    /// The answer, with nothing in it yet.
    pub fn begin(&self) -> Answers {
        Answers {
            boundary: self.boundary.clone(),
            body: Vec::new(),
        }
    }

    /// Each request's `Content-ID`, and its head.
    pub fn requests(self) -> impl Iterator<Item = (String, Result<Parts, AzureError>)> {
        self.requests.into_iter()
    }
}

impl Answers {
    /// One request's answer.
    pub fn add(&mut self, number: &str, id: &str, answer: &Response<Bytes>) {
        let status = answer.status();
        let reason = answer
            .headers()
            .get("x-ms-error-code")
            .and_then(|code| code.to_str().ok());
        let reason = reason.or(status.canonical_reason()).unwrap_or("");
        let number = match number {
            "" => String::new(),
            number => format!("Content-ID: {number}\r\n"),
        };
        let mut head = format!(
            "--{}\r\nContent-Type: application/http\r\n{number}\r\nHTTP/1.1 {} {reason}\r\nx-ms-request-id: {id}\r\n",
            self.boundary,
            status.as_u16(),
        );
        for (name, value) in answer.headers() {
            if let Ok(value) = value.to_str() {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        if !answer.body().is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", answer.body().len()));
        }
        head.push_str("\r\n");
        self.body.extend_from_slice(head.as_bytes());
        self.body.extend_from_slice(answer.body());
        self.body.extend_from_slice(b"\r\n");
    }

    /// All of them.
    pub fn response(mut self) -> Response<Bytes> {
        self.body
            .extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        let mut response = Response::new(Bytes::from(self.body));
        *response.status_mut() = StatusCode::ACCEPTED;
        if let Ok(kind) = HeaderValue::try_from(format!("multipart/mixed; boundary={}", self.boundary)) {
            response.headers_mut().insert(CONTENT_TYPE, kind);
        }
        response
    }
}

/// Whether all do the same: Azure takes no other batch.
fn of_one_kind(requests: &[(String, Result<Parts, AzureError>)]) -> bool {
    let mut methods = requests
        .iter()
        .filter_map(|(_, request)| request.as_ref().ok())
        .map(|parts| &parts.method);
    let first = methods.next();
    methods.all(|method| Some(method) == first)
}

/// Delete Blob, and Set Blob Tier.
fn fits(parts: &Parts) -> bool {
    let tiers = parts
        .uri
        .query()
        .unwrap_or("")
        .split('&')
        .any(|pair| pair.eq_ignore_ascii_case("comp=tier"));
    match parts.method.as_str() {
        "DELETE" => !parts.uri.query().unwrap_or("").contains("restype="),
        "PUT" => tiers,
        _ => false,
    }
}

fn boundary(kind: &str) -> Option<&str> {
    let (kind, rest) = kind.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/mixed") {
        return None;
    }
    let parameters = rest.split(';').map(str::trim);
    let value = parameters
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case("boundary"));
    let value = value?.1.trim().trim_matches('"');
    (!value.is_empty()).then_some(value)
}

/// The requests between the boundaries; `None` where there are none.
fn parse(document: &[u8], boundary: &str) -> Option<Vec<(String, Result<Parts, AzureError>)>> {
    let text = std::str::from_utf8(document).ok()?.replace("\r\n", "\n");
    let mark = format!("--{boundary}");
    let mut parts = text.split(mark.as_str());
    parts.next()?;
    let mut requests = Vec::new();
    for part in parts {
        if part.starts_with("--") {
            return Some(requests);
        }
        let (head, request) = part.trim_start_matches('\n').split_once("\n\n")?;
        let id = head.lines().filter_map(|line| line.split_once(':'));
        let mut id = id
            .filter(|(name, _)| name.trim().eq_ignore_ascii_case("content-id"))
            .map(|(_, value)| value.trim());
        requests.push((id.next_back().unwrap_or_default().to_owned(), head_of(request)));
    }
    None
}

/// A request's head from its text.
fn head_of(text: &str) -> Result<Parts, AzureError> {
    const WRONG: AzureError = AzureError::InvalidUri;
    let mut lines = text.trim_start_matches('\n').lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target)) = (first.next(), first.next()) else {
        return Err(WRONG);
    };
    let mut request = Request::builder().method(method).uri(target);
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or(WRONG)?;
        let name = HeaderName::try_from(name.trim()).map_err(|_| WRONG)?;
        let value = HeaderValue::try_from(value.trim()).map_err(|_| WRONG)?;
        request = request.header(name, value);
    }
    let (parts, ()) = request.body(()).map_err(|_| WRONG)?.into_parts();
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "--batch_1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: 0\r\n\r\n\
        DELETE /acme/c/a%20b?snapshot=x HTTP/1.1\r\nx-ms-date: now\r\nAuthorization: SharedKey acme:x\r\nContent-Length: 0\r\n\r\n\r\n\
        --batch_1\r\nContent-Type: application/http\r\nContent-ID: 1\r\n\r\nPUT /acme/c/b?comp=tier HTTP/1.1\r\nx-ms-access-tier: Cool\r\n\r\n\
        --batch_1--\r\n";

    #[test]
    fn a_batch_is_taken_apart() {
        let requests = parse(BODY.as_bytes(), "batch_1").unwrap();
        let heads: Vec<_> = requests
            .iter()
            .map(|(id, request)| (id.as_str(), request.as_ref().unwrap()))
            .collect();
        assert_eq!(heads[0].0, "0");
        assert_eq!(heads[0].1.uri, "/acme/c/a%20b?snapshot=x");
        assert_eq!(heads[0].1.headers["authorization"], "SharedKey acme:x");
        assert_eq!((heads[1].0, heads[1].1.method.as_str()), ("1", "PUT"));
        assert!(heads.iter().all(|(_, parts)| fits(parts)));
        assert!(parse(BODY.as_bytes(), "batch_2").is_none());
    }

    #[test]
    fn nothing_but_deletion_and_tiers_is_in_a_batch() {
        for request in [
            "GET /acme/c/b HTTP/1.1\n",
            "PUT /acme/c/b HTTP/1.1\n",
            "DELETE /acme/c?restype=container HTTP/1.1\n",
        ] {
            assert!(!fits(&head_of(request).unwrap()), "{request}");
        }
        assert_eq!(boundary("multipart/mixed; boundary=\"x\""), Some("x"));
        assert_eq!(boundary("text/plain; boundary=x"), None);
    }
}
