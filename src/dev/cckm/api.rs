//! The API over HTTP: tokens, keys, schedules; nothing that writes.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::dev::cckm::Site;
use crate::dev::cckm::book::Book;
use crate::dev::cckm::console::Console;

/// A sign-in is a few hundred bytes.
const LARGEST_REQUEST: usize = 16 * 1024;
/// Rows of a page unless asked for otherwise.
const PAGE: usize = 10;

/// Answers one request.
pub(super) async fn answer(site: Arc<Site>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    if let (Some(console), true) = (&site.console, Console::concerns(parts.uri.path())) {
        return Ok(console.answer(&site.book, &parts));
    }
    let body = Limited::new(body, LARGEST_REQUEST).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let bearer = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| value.strip_prefix("Bearer "));
    let (status, json) = decide(&site.book, &parts.method, &parts.uri, bearer, &body);
    let mut response = Response::new(Full::new(Bytes::from(json.to_string())));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

fn decide(book: &Book, method: &Method, uri: &http::Uri, bearer: Option<&str>, body: &[u8]) -> (StatusCode, Value) {
    if let Some(status) = book.failing() {
        return refused(status, "NCERRInternalServerError: Unexpected error");
    }
    let path: Vec<String> = uri
        .path()
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    if let (&Method::POST, ["api", "v1", "auth", "tokens"]) = (method, path.as_slice()) {
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        return match book.sign_in(&asked) {
            Some(tokens) => (StatusCode::OK, tokens),
            None => refused(
                StatusCode::UNAUTHORIZED,
                "NCERRAuthenticationFailed: Authentication failed",
            ),
        };
    }
    if !bearer.is_some_and(|bearer| book.knows(bearer)) {
        return refused(StatusCode::UNAUTHORIZED, "NCERRUnauthorized: Invalid or expired token");
    }
    if method != Method::GET {
        book.wrote();
        return refused(StatusCode::FORBIDDEN, "NCERRForbidden: Insufficient permissions");
    }
    let found = match path.as_slice() {
        ["api", "v1", "cckm", "azure", "keys"] => Some(page(book, uri.query().unwrap_or_default())),
        ["api", "v1", "cckm", "azure", "keys", id] => book.row(id),
        ["api", "v1", "scheduler", "job-configs", id] => book.job(id),
        _ => None,
    };
    match found {
        Some(json) => (StatusCode::OK, json),
        None => refused(StatusCode::NOT_FOUND, "NCERRResourceNotFound: Resource not found"),
    }
}

/// `{"skip":0,"limit":10,"total":1,"resources":[…]}`
fn page(book: &Book, query: &str) -> Value {
    let value = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let found = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next()?;
        Some(percent_decode_str(found).decode_utf8_lossy().into_owned())
    };
    let number = |name: &str, default| value(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (skip, limit): (usize, usize) = (number("skip", 0), number("limit", PAGE));
    let rows = book.rows(value("key_name").as_deref());
    let total = rows.len();
    let resources: Vec<Value> = rows.into_iter().skip(skip).take(limit).collect();
    json!({"skip": skip, "limit": limit, "total": total, "resources": resources})
}

fn refused(status: StatusCode, words: &str) -> (StatusCode, Value) {
    (status, json!({"code": status.as_u16(), "codeDesc": words}))
}
