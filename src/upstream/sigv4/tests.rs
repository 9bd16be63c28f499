//! Against botocore's signatures, and the canonical form's corners.

use std::time::Duration;

use http::{Method, Request};

use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// 2026-11-23 18:08:24 UTC.
const NOW: u64 = 1_795_457_304;

/// botocore 1.43.11's `S3SigV4Auth` over the same requests.
#[test]
fn signatures_are_those_of_botocore() {
    let get = signed(
        &signer(None),
        Method::GET,
        "http://b.example.com:9000/dir//a%20b/../%C3%BC?list-type=2&prefix=a%2Fb%20c&delimiter=",
    );
    assert_eq!(
        get.headers[AUTHORIZATION],
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/eu-central-1/s3/aws4_request, \
         SignedHeaders=host;x-amz-content-sha256;x-amz-date, \
         Signature=f8aa05dba493af1ea886d75e3fc7d81cd28465e097f53454e41a0e3312933f42"
    );
    let delete = signed(
        &signer(Some("the/session+token==")),
        Method::DELETE,
        "http://b.example.com/b/k?versionId=x.y-z&uploads",
    );
    assert_eq!(
        delete.headers[AUTHORIZATION],
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/eu-central-1/s3/aws4_request, \
         SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, \
         Signature=47c57f8c68f162770a6c398332d38a4cefd5d519b8e4e9aad66054284e35bd5e"
    );
    assert_eq!(delete.headers[X_AMZ_SECURITY_TOKEN], "the/session+token==");
}

#[test]
fn keys_are_derived_once_a_day_and_few_are_kept() {
    let credential = credential(None);
    let at = |day: u64| Timestamp::at(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW + day * 86_400));
    let sign = |day: u64| {
        let timestamp = at(day);
        let text = format!("{}/eu-central-1/s3/aws4_request", timestamp.date());
        let key = credential.signing_key(&Scope::parse(&text).unwrap());
        credential.remember(&text, &key);
        key.hmac()
    };
    assert!(Arc::ptr_eq(&sign(0), &sign(0)));
    let first = sign(0);
    (0..16).for_each(|day| _ = sign(day));
    assert!(Arc::ptr_eq(&first, &sign(0)), "sixteen days fit");
    sign(16);
    assert!(!Arc::ptr_eq(&first, &sign(0)), "the oldest made room");
}

#[test]
fn what_a_client_or_an_earlier_try_signed_is_replaced() {
    let mut parts = signed(&signer(None), Method::PUT, "http://store/b/k");
    let first = parts.headers.clone();
    parts
        .headers
        .insert(X_AMZ_SECURITY_TOKEN, HeaderValue::from_static("a client's"));
    let again = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    signer(None).sign(&mut parts, PayloadHash::of(b""), again).unwrap();
    assert_eq!(parts.headers, first);
}

#[test]
fn canonical_path_has_one_spelling() {
    for (raw, canonical) in [
        ("", "/"),
        ("/b/dir//a%20b/../%C3%BC", "/b/dir//a%20b/../%C3%BC"),
        ("/b/!'()*+", "/b/%21%27%28%29%2A%2B"),
        ("/b/%41%7e%2d", "/b/A~-"),
        ("/b/100%", "/b/100%25"),
        ("/b/%zz%2", "/b/%25zz%252"),
        ("/b/%2525", "/b/%2525"),
        ("/b/a%2fb", "/b/a/b"),
    ] {
        assert_eq!(canonical_path(raw), canonical, "{raw}");
        assert_eq!(canonical_path(&canonical_path(raw)), canonical, "{raw} again");
    }
}

#[test]
fn canonical_query_is_sorted_by_name_then_value() {
    for (raw, canonical) in [
        ("", ""),
        ("uploads", "uploads="),
        ("x-id=UploadPart&partNumber=1", "partNumber=1&x-id=UploadPart"),
        ("a-b=1&a=2&a=1", "a=1&a=2&a-b=1"),
        ("prefix=a/b c+d%2B&&k==", "k=%3D&prefix=a%2Fb%20c%20d%2B"),
        ("A=1&a=1", "A=1&a=1"),
    ] {
        assert_eq!(canonical_query(raw), canonical, "{raw}");
    }
}

#[test]
fn canonical_headers_are_trimmed_collapsed_and_joined() {
    let mut headers = http::HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("b.example.com"));
    headers.append("x-amz-meta-note", HeaderValue::from_static("  two \t  words "));
    headers.append("x-amz-meta-note", HeaderValue::from_static("three"));
    headers.append("x-amz-meta-empty", HeaderValue::from_static(""));
    let request = CanonicalRequest {
        method: &Method::GET,
        uri: &"/".parse().unwrap(),
        headers: &headers,
        signed_headers: "host;x-amz-meta-empty;x-amz-meta-note",
        left_out_of_query: None,
        payload: UNSIGNED_PAYLOAD,
    };
    let text = "GET\n/\n\nhost:b.example.com\nx-amz-meta-empty:\nx-amz-meta-note:two words,three\n\n\
                host;x-amz-meta-empty;x-amz-meta-note\nUNSIGNED-PAYLOAD";
    assert_eq!(request.hash(), Ok(sha256(text.as_bytes())));
    let absent = CanonicalRequest {
        signed_headers: "expect;host",
        ..request
    };
    assert_eq!(absent.hash(), Err(canonical::AbsentHeader("expect".to_owned())));
}

#[test]
fn timestamps_are_real_moments_in_one_form() {
    let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    let timestamp = Timestamp::at(moment + Duration::from_millis(999));
    assert_eq!((timestamp.as_str(), timestamp.date()), ("20261123T180824Z", "20261123"));
    assert_eq!(
        Timestamp::parse("20261123T180824Z").map(|parsed| parsed.moment()),
        Some(moment)
    );
    for wrong in [
        "",
        "20261123",
        "20261123t180824Z",
        "20261323T180824Z",
        "20260230T000000Z",
        "20261123T250000Z",
        "+0261123T180824Z",
        "2026112ü3T18082",
        "20261123T180824ZZ",
        "20261123T1808 4Z",
    ] {
        assert_eq!(Timestamp::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn scopes_have_four_components() {
    let scope = Scope::parse("20261123/eu-central-1/s3/aws4_request").unwrap();
    assert_eq!(
        (scope.date, scope.region, scope.service),
        ("20261123", "eu-central-1", "s3")
    );
    for wrong in [
        "",
        "20261123/s3/aws4_request",
        "20261123/r/s3/aws4",
        "20261123/r/s3/aws4_request/x",
    ] {
        assert_eq!(Scope::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!("{:?}", signer(Some("token")));
    assert!(!shown.contains(SECRET) && !shown.contains("token\""), "{shown}");
}

#[test]
fn access_keys_that_delimit_the_header_are_refused() {
    for wrong in ["", "a/b", "a,b", "a b", "ü", "a=b"] {
        assert_eq!(
            Credential::new(wrong, SecretKey::new("s")).err(),
            Some(InvalidCredential),
            "{wrong}"
        );
    }
}

fn credential(token: Option<&str>) -> Credential {
    let credential = Credential::new("AKIDEXAMPLE", SecretKey::new(SECRET)).unwrap();
    match token {
        Some(token) => credential.with_session_token(SecretKey::new(token)),
        None => credential,
    }
}

fn signer(token: Option<&str>) -> Signer {
    Signer::new(Arc::new(credential(token)), "eu-central-1", "s3")
}

fn signed(signer: &Signer, method: Method, uri: &str) -> Parts {
    let (mut parts, ()) = Request::builder()
        .method(method)
        .uri(uri)
        .body(())
        .unwrap()
        .into_parts();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    signer.sign(&mut parts, PayloadHash::of(b""), now).unwrap();
    parts
}
