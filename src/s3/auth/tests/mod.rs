//! Credentials and requests to verify, genuine and not.

mod forms;
mod genuine;
mod refused;
mod v2;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Request};

use super::*;
use crate::upstream::sigv4::Timestamp;

/// Of the requests in S3's API reference: 2013-05-24 00:00:00 UTC.
const PUBLISHED: u64 = 1_369_353_600;
/// Of the captured request, and botocore's: 2026-11-23 18:08:24 UTC.
const CAPTURED: u64 = 1_795_457_304;

fn authenticator() -> Authenticator {
    Authenticator::new(lookup, Regions::Any)
}

fn lookup(access_key: &str) -> Option<Arc<Credential>> {
    let secret = match access_key {
        "AKIAIOSFODNN7EXAMPLE" => "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "AKIDEXAMPLE" => "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        _ => return None,
    };
    Credential::new(access_key, SecretKey::new(secret)).ok().map(Arc::new)
}

fn one(credential: Credential) -> impl Fn(&str) -> Option<Arc<Credential>> {
    let credential = Arc::new(credential);
    move |access_key| (access_key == credential.access_key()).then(|| Arc::clone(&credential))
}

fn example() -> Credential {
    Credential::new(
        "AKIDEXAMPLE",
        SecretKey::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
    )
    .unwrap()
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn refusal(parts: &Parts) -> AuthError {
    authenticator().verify(parts, at(CAPTURED)).unwrap_err()
}

/// `GET /path` and header lines.
fn head(request: &str, headers: &[&str]) -> Parts {
    let (method, target) = request.split_once(' ').unwrap();
    let mut parts = Request::builder()
        .method(method)
        .uri(target)
        .body(())
        .unwrap()
        .into_parts()
        .0;
    for line in headers {
        let (name, value) = line.split_once(':').unwrap();
        parts.headers.append(
            name.parse::<HeaderName>().unwrap(),
            HeaderValue::from_str(value.trim_start()).unwrap(),
        );
    }
    parts
}

/// Signs all headers with the captured request's credential and time, which must be among them.
fn sign_by_hand(request: &mut Parts, payload: &str) {
    let mut names: Vec<&str> = request.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let names = names.join(";");
    let canonical = CanonicalRequest {
        method: &request.method,
        uri: &request.uri,
        headers: &request.headers,
        signed_headers: &names,
        left_out_of_query: None,
        payload,
    };
    let scope = Scope::parse("20261123/us-east-1/s3/aws4_request").unwrap();
    let timestamp = Timestamp::at(at(CAPTURED));
    let signature = example()
        .signing_key(&scope)
        .sign(&timestamp, scope.text, &canonical.hash().unwrap());
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{}, SignedHeaders={names}, Signature={}",
        scope.text,
        signature.as_str()
    );
    request
        .headers
        .insert(AUTHORIZATION, HeaderValue::try_from(authorization).unwrap());
}

fn capture() -> (Parts, Vec<u8>) {
    let bytes = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/sigv4-trailer.bin"));
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let lines = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = lines.split("\r\n");
    let request = lines.next().unwrap().strip_suffix(" HTTP/1.1").unwrap();
    (head(request, &lines.collect::<Vec<_>>()), bytes[end + 4..].to_vec())
}
