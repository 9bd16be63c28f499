//! Answers before they become HTTP: status, headers, JSON body, and the error code the log keeps.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;

/// One answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The service's own name of the error, where the answer is one.
    pub code: Option<String>,
}

impl Reply {
    /// A JSON answer as Azure's services label it.
    pub fn json(status: StatusCode, body: &Value) -> Self {
        Self::text(status, "application/json; charset=utf-8", body.to_string())
    }

    /// An answer of any media type.
    pub fn text(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Self {
        let reply = Self {
            status,
            headers: HeaderMap::new(),
            body: body.into(),
            code: None,
        };
        reply.with(CONTENT_TYPE, content_type)
    }

    /// The answer with a header. A value that HTTP can't carry is left out.
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// The answer under an error code.
    pub fn coded(mut self, code: &str) -> Self {
        self.code = Some(code.to_owned());
        self
    }

    /// As the server sends it.
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}
