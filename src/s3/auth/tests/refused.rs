//! What must not verify.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method};
use proptest::prelude::*;

use super::*;
use crate::body::aws_chunked::Decoder;

#[test]
fn captured_upload_with_any_byte_changed_is_refused() {
    let (parts, body) = capture();
    // All of the framing, and some of the data: the frame's hash covers the rest in the same way.
    let framing =
        |at: &usize| *at < 100 || (65_536..65_800).contains(at) || *at > body.len() - 300 || at.is_multiple_of(997);
    for at_byte in (0..body.len()).filter(framing) {
        let mut body = body.clone();
        body[at_byte] ^= 1;
        let verified = authenticator().verify(&parts, at(CAPTURED)).unwrap();
        let Payload::AwsChunked(framing) = verified.into_payload() else {
            panic!("framed")
        };
        let mut decoder = Decoder::new(framing);
        let mut rest = Bytes::from(body);
        let refused = loop {
            match decoder.decode(&mut rest) {
                Ok(Some(_)) => {}
                Ok(None) => break decoder.finish().is_err(),
                Err(_) => break true,
            }
        };
        assert!(refused, "byte {at_byte}");
    }
}

#[test]
fn captured_head_with_any_signed_byte_changed_is_refused() {
    let (parts, _) = capture();
    let authorization = parts.headers[AUTHORIZATION].to_str().unwrap();
    let signed_headers = authorization.replace("SignedHeaders=", ";").replace(',', ";");
    for (name, value) in &parts.headers {
        let covered = format!(";{};", name.as_str());
        if !signed_headers.contains(&covered) && name != AUTHORIZATION {
            continue;
        }
        for at_byte in 0..value.len() {
            let mut value = value.as_bytes().to_vec();
            value[at_byte] ^= 1;
            let Ok(value) = HeaderValue::from_bytes(&value) else {
                continue;
            };
            let mut changed = parts.clone();
            changed.headers.insert(name, value);
            assert!(
                authenticator().verify(&changed, at(CAPTURED)).is_err(),
                "{name} at {at_byte}"
            );
        }
    }
    let mut changed = parts.clone();
    changed.method = Method::POST;
    assert_eq!(refusal(&changed), AuthError::SignatureMismatch);
    for uri in [
        "/b/dir/a%20b/../%C3%BC?x-id=PutObject",
        "/b/dir//a%20b/../%C3%BC?x-id=GetObject",
        "/b/%C3%BC?x-id=PutObject",
    ] {
        let mut changed = parts.clone();
        changed.uri = uri.parse().unwrap();
        assert_eq!(refusal(&changed), AuthError::SignatureMismatch);
    }
}

#[test]
fn unsigned_headers_that_matter_are_refused() {
    let (parts, _) = capture();
    let mut added = parts.clone();
    added.headers.insert("x-amz-meta-added", HeaderValue::from_static("1"));
    assert_eq!(
        refusal(&added),
        AuthError::UnsignedHeader("x-amz-meta-added".to_owned())
    );
    let mut harmless = parts.clone();
    harmless
        .headers
        .insert("x-amzn-trace-id", HeaderValue::from_static("a load balancer's"));
    assert!(authenticator().verify(&harmless, at(CAPTURED)).is_ok());
    let mut removed = parts.clone();
    removed.headers.remove("content-encoding");
    assert_eq!(
        refusal(&removed),
        AuthError::AbsentHeader("content-encoding".to_owned())
    );
    let mut two_hosts = parts;
    two_hosts.headers.append("host", HeaderValue::from_static("other"));
    assert_eq!(refusal(&two_hosts), AuthError::Malformed(Field::Host));
}

#[test]
fn strangers_and_wrong_secrets_are_told_apart() {
    let (parts, _) = capture();
    let stranger = Authenticator::new(|_| None, Regions::Any)
        .verify(&parts, at(CAPTURED))
        .unwrap_err();
    assert_eq!(
        stranger,
        AuthError::UnknownAccessKey {
            access_key: "AKIDEXAMPLE".to_owned()
        }
    );
    let wrong = Credential::new("AKIDEXAMPLE", SecretKey::new("wrong")).unwrap();
    let wrong = Authenticator::new(one(wrong), Regions::Any)
        .verify(&parts, at(CAPTURED))
        .unwrap_err();
    assert_eq!(wrong, AuthError::SignatureMismatch);
}

#[test]
fn clocks_may_differ_by_fifteen_minutes() {
    let (parts, _) = capture();
    let verify = |now: u64| authenticator().verify(&parts, at(now)).map(|_| ());
    for now in [CAPTURED - 900, CAPTURED + 900] {
        assert_eq!(verify(now), Ok(()));
    }
    for now in [CAPTURED - 901, CAPTURED + 901] {
        assert_eq!(
            verify(now),
            Err(AuthError::Skewed {
                request: at(CAPTURED),
                now: at(now)
            })
        );
    }
}

#[test]
fn region_is_checked_where_regions_are_given() {
    let (parts, _) = capture();
    let only = |regions: &[&str]| {
        let regions = Regions::Only(regions.iter().map(|region| (*region).to_owned()).collect());
        Authenticator::new(lookup, regions)
            .verify(&parts, at(CAPTURED))
            .map(|_| ())
    };
    assert_eq!(only(&["eu-central-1", "us-east-1"]), Ok(()));
    let wrong = AuthError::WrongRegion {
        form: Form::Header,
        given: "us-east-1".to_owned(),
        expected: "eu-central-1".to_owned(),
    };
    assert_eq!(only(&["eu-central-1"]), Err(wrong));
}

#[test]
fn every_way_not_to_sign_has_its_name() {
    let cases = [
        ("GET /b/k", None, AuthError::Missing),
        ("GET /b/k?list-type=2", None, AuthError::Missing),
        (
            "GET /b/k",
            Some("AWS AKID:c2lnbmF0dXJl"),
            AuthError::Malformed(Field::Date),
        ),
        ("GET /b/k?AWSAccessKeyId=A&Signature=x", None, AuthError::IncompleteV2),
        (
            "GET /b/k",
            Some("AWS4-ECDSA-P256-SHA256 Credential=A"),
            AuthError::UnsupportedAlgorithm(Unsupported::SigV4a),
        ),
        (
            "GET /b/k",
            Some("Bearer token"),
            AuthError::UnsupportedAlgorithm(Unsupported::Other),
        ),
        (
            "GET /b/k?X-Amz-Signature=x",
            Some("AWS4-HMAC-SHA256 x"),
            AuthError::Several,
        ),
        (
            "GET /b/k",
            Some("AWS4-HMAC-SHA256"),
            AuthError::Malformed(Field::Authorization),
        ),
        (
            "GET /b/k",
            Some("AWS4-HMAC-SHA256 Credential=A, Credential=A"),
            AuthError::Malformed(Field::Authorization),
        ),
        (
            "GET /b/k?X-Amz-Signature=x&X-Amz-Signature=y",
            None,
            AuthError::MalformedQuery(Field::Signature),
        ),
    ];
    for (target, authorization, expected) in cases {
        let mut request = head(target, &["host: h"]);
        if let Some(value) = authorization {
            request.headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
        }
        assert_eq!(refusal(&request), expected, "{target} {authorization:?}");
    }
}

#[test]
fn presigned_urls_last_a_week_at_most() {
    let refused = |expires: &str| {
        refusal(&head(
            &format!(
                "GET /b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A&X-Amz-Date=20261123T180824Z\
                 &X-Amz-Expires={expires}&X-Amz-SignedHeaders=host&X-Amz-Signature=x"
            ),
            &["host: h"],
        ))
    };
    for expires in ["0", "604801", "-1", "99999999999999999999"] {
        assert_eq!(refused(expires), AuthError::ExpiresOutOfRange, "{expires}");
    }
    for expires in ["", "+5", "-", "soon"] {
        assert_eq!(refused(expires), AuthError::MalformedQuery(Field::Expires), "{expires}");
    }
}

#[test]
fn signed_header_lists_are_in_strict_order() {
    for names in [
        "",
        "host;host",
        "x-amz-date;host",
        "host;",
        ";host",
        "host;x-amz-content-sha256;x-amz-content-sha256",
    ] {
        let value =
            format!("AWS4-HMAC-SHA256 Credential=A/20261123/r/s3/aws4_request,SignedHeaders={names},Signature=x");
        let mut request = head(
            "GET /b/k",
            &[
                "host: h",
                "x-amz-date: 20261123T180824Z",
                "x-amz-content-sha256: UNSIGNED-PAYLOAD",
            ],
        );
        request
            .headers
            .insert(AUTHORIZATION, HeaderValue::try_from(value).unwrap());
        assert_eq!(refusal(&request), AuthError::Malformed(Field::SignedHeaders), "{names}");
    }
}

proptest! {
    #[test]
    fn no_head_makes_it_panic(authorization in "[ -~]{0,80}", query in "[!-~]{0,80}") {
        if let Ok(uri) = format!("/b/k?{query}").parse() {
            let mut request = head("GET /", &["host: h", "x-amz-date: 20261123T180824Z", "x-amz-content-sha256: x"]);
            request.uri = uri;
            prop_assert!(authenticator().verify(&request, at(CAPTURED)).is_err());
            request.headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("AWS4-HMAC-SHA256 {authorization}")).unwrap());
            prop_assert!(authenticator().verify(&request, at(CAPTURED)).is_err());
        }
    }
}
