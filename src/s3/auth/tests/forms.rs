//! Hoisted headers, requests of nobody, and signed forms.

use http::HeaderValue;
use http::header::AUTHORIZATION;

use super::*;
use crate::upstream::sigv4::Timestamp;

/// A URL presigned as the JS SDK does: `query` holds its headers. Signed with the captured request's credential.
fn presigned(query: &str, headers: &[&str]) -> Parts {
    let unsigned = format!(
        "PUT /b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20261123%2Fus-east-1%2Fs3%2Faws4_request\
         &X-Amz-Date=20261123T180824Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&{query}"
    );
    let request = head(&unsigned, &["host: h"]);
    let canonical = CanonicalRequest {
        method: &request.method,
        uri: &request.uri,
        headers: &request.headers,
        signed_headers: "host",
        left_out_of_query: None,
        payload: "UNSIGNED-PAYLOAD",
    };
    let scope = Scope::parse("20261123/us-east-1/s3/aws4_request").unwrap();
    let key = example().signing_key(&scope);
    let signature = key.sign(&Timestamp::at(at(CAPTURED)), scope.text, &canonical.hash().unwrap());
    let headers: Vec<&str> = std::iter::once("host: h").chain(headers.iter().copied()).collect();
    head(&format!("{unsigned}&X-Amz-Signature={}", signature.as_str()), &headers)
}

fn hoisted(query: &str, headers: &[&str]) -> Result<Vec<(String, String)>, AuthError> {
    let request = presigned(query, headers);
    let verified = authenticator().verify(&request, at(CAPTURED)).unwrap();
    let headers = verified.hoisted(&request)?;
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Ok(headers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect())
}

#[test]
fn presigned_urls_state_headers() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    for (query, expected) in [
        ("x-id=PutObject", vec![]),
        ("x-amz-meta-note=a%20b%2B+c", vec![pair("x-amz-meta-note", "a b+ c")]),
        (
            "X-Amz-Storage-Class=STANDARD_IA",
            vec![pair("x-amz-storage-class", "STANDARD_IA")],
        ),
        ("x-amz-tagging=a%3Db%26c%3Dd", vec![pair("x-amz-tagging", "a=b&c=d")]),
        (
            "x-amz-copy-source=b%2Fother",
            vec![pair("x-amz-copy-source", "b/other")],
        ),
        (
            "x-amz-checksum-mode=ENABLED",
            vec![pair("x-amz-checksum-mode", "ENABLED")],
        ),
        (
            "x-amz-object-lock-mode=COMPLIANCE",
            vec![pair("x-amz-object-lock-mode", "COMPLIANCE")],
        ),
        // Of the empty body that the SDK presigned.
        (
            "x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32",
            vec![],
        ),
        ("x-amz-user-agent=aws-sdk-js&x-amz-date=x", vec![]),
        ("x-amz-meta-%C3%BC=1", vec![]),
    ] {
        let found = hoisted(query, &[]);
        if query.contains("%C3") {
            assert_eq!(found, Err(AuthError::Hoisted("x-amz-meta-ü".to_owned())));
        } else {
            assert_eq!(found, Ok(expected), "{query}");
        }
    }
}

#[test]
fn a_header_that_is_stated_otherwise_is_refused() {
    let twice = Err(AuthError::Hoisted("x-amz-meta-a".to_owned()));
    assert_eq!(hoisted("x-amz-meta-a=1&X-Amz-Meta-A=2", &[]), twice);
    assert_eq!(hoisted("x-amz-meta-a=%0d%0ax", &[]), twice);
    let typed = |header: &'static str| hoisted("content-type=text%2Fplain", &[header]);
    assert_eq!(typed("content-type: text/plain"), Ok(vec![]));
    assert_eq!(
        typed("content-type: text/html"),
        Err(AuthError::Hoisted("content-type".to_owned()))
    );
    // A header of the request's own must be signed as such.
    let unsigned = presigned("x-amz-meta-a=1", &["x-amz-meta-a: 1"]);
    assert_eq!(refusal(&unsigned), AuthError::UnsignedHeader("x-amz-meta-a".to_owned()));
}

#[test]
fn headers_are_not_taken_from_a_query_that_does_not_sign() {
    let mut request = head("PUT /b/k?x-amz-meta-a=1", &["host: h", "x-amz-date: 20261123T180824Z"]);
    request
        .headers
        .insert("x-amz-content-sha256", HeaderValue::from_static("UNSIGNED-PAYLOAD"));
    sign_by_hand(&mut request, "UNSIGNED-PAYLOAD");
    let verified = authenticator().verify(&request, at(CAPTURED)).unwrap();
    assert!(verified.hoisted(&request).unwrap().is_empty());
}

#[test]
fn nobody_may_say_how_a_body_comes() {
    let identify = |headers: &[&str]| authenticator().identify(&head("PUT /b/k?Expires=1", headers), at(CAPTURED));
    let plain = identify(&["host: h"]);
    assert!(matches!(plain, Ok(Identity::Anonymous(Payload::Unsigned))), "{plain:?}");
    let empty = identify(&["host: h", "authorization: "]);
    assert!(matches!(empty, Ok(Identity::Anonymous(_))), "{empty:?}");
    let framed = identify(&[
        "host: h",
        "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length: 5",
    ]);
    match framed {
        Ok(Identity::Anonymous(Payload::AwsChunked(framing))) => {
            assert!(framing.signed.is_none() && framing.trailer && framing.decoded_len == 5);
        }
        other => panic!("{other:?}"),
    }
    let hash = format!("x-amz-content-sha256: {}", "00".repeat(32));
    assert!(matches!(
        identify(&["host: h", &hash]),
        Ok(Identity::Anonymous(Payload::Signed(_)))
    ));
    for half in [
        "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "x-amz-security-token: t",
    ] {
        let refused = identify(&["host: h", "x-amz-decoded-content-length: 5", half]);
        assert_eq!(refused.err(), Some(AuthError::Missing), "{half}");
    }
    for query in [
        "X-Amz-Credential=A",
        "X-Amz-SignedHeaders=host",
        "X-Amz-Security-Token=t",
    ] {
        let refused = authenticator().identify(&head(&format!("GET /b/k?{query}"), &["host: h"]), at(CAPTURED));
        assert!(refused.is_err(), "{query}");
    }
    let mut other = head("GET /b/k", &["host: h"]);
    other
        .headers
        .insert(AUTHORIZATION, HeaderValue::from_static("Basic dTpw"));
    assert_eq!(refusal(&other), AuthError::UnsupportedAlgorithm(Unsupported::Other));
}

/// botocore 1.44.5's `generate_presigned_post`: SigV2, SigV4, SigV4 with a session token. The policies differ in what they name.
const POSTED: [&[(&str, &str)]; 3] = [
    &[
        ("AWSAccessKeyId", "AKIDEXAMPLE"),
        ("policy", POLICY_V2),
        ("signature", "Jx/lhhPE370SLSGTfHi3aIB5rPI="),
    ],
    &[
        ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
        ("x-amz-credential", "AKIDEXAMPLE/20261123/us-east-1/s3/aws4_request"),
        ("x-amz-date", "20261123T180824Z"),
        ("policy", POLICY_V4),
        (
            "x-amz-signature",
            "56468433fcb6deaf93e1cf3a287386b2a3a9b5f9a559cb9c9c11c53810db7df7",
        ),
    ],
    &[
        ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
        ("x-amz-credential", "AKIDEXAMPLE/20261123/us-east-1/s3/aws4_request"),
        ("x-amz-date", "20261123T180824Z"),
        ("x-amz-security-token", "the/session+token=="),
        ("policy", POLICY_TOKEN),
        (
            "x-amz-signature",
            "cf65d866bc0f40390daa30df099a0049257b855cebac06f7fd88eeda8560fac2",
        ),
    ],
];
const POLICY_V2: &str = "eyJleHBpcmF0aW9uIjogIjIwMjYtMTEtMjNUMTk6MDg6MjRaIiwgImNvbmRpdGlvbnMiOiBbeyJhY2wiOiAicHJpdmF0ZSJ9LCBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAidGV4dC8iXSwgeyJzdWNjZXNzX2FjdGlvbl9zdGF0dXMiOiAiMjAxIn0sIFsiY29udGVudC1sZW5ndGgtcmFuZ2UiLCAxLCAxMDQ4NTc2XSwgeyJidWNrZXQiOiAiYiJ9LCBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAiZGlyLyJdXX0=";
const POLICY_V4: &str = "eyJleHBpcmF0aW9uIjogIjIwMjYtMTEtMjNUMTk6MDg6MjRaIiwgImNvbmRpdGlvbnMiOiBbeyJhY2wiOiAicHJpdmF0ZSJ9LCBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAidGV4dC8iXSwgeyJzdWNjZXNzX2FjdGlvbl9zdGF0dXMiOiAiMjAxIn0sIFsiY29udGVudC1sZW5ndGgtcmFuZ2UiLCAxLCAxMDQ4NTc2XSwgeyJidWNrZXQiOiAiYiJ9LCBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAiZGlyLyJdLCB7IngtYW16LWFsZ29yaXRobSI6ICJBV1M0LUhNQUMtU0hBMjU2In0sIHsieC1hbXotY3JlZGVudGlhbCI6ICJBS0lERVhBTVBMRS8yMDI2MTEyMy91cy1lYXN0LTEvczMvYXdzNF9yZXF1ZXN0In0sIHsieC1hbXotZGF0ZSI6ICIyMDI2MTEyM1QxODA4MjRaIn1dfQ==";
const POLICY_TOKEN: &str = "eyJleHBpcmF0aW9uIjogIjIwMjYtMTEtMjNUMTk6MDg6MjRaIiwgImNvbmRpdGlvbnMiOiBbeyJhY2wiOiAicHJpdmF0ZSJ9LCBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAidGV4dC8iXSwgeyJzdWNjZXNzX2FjdGlvbl9zdGF0dXMiOiAiMjAxIn0sIFsiY29udGVudC1sZW5ndGgtcmFuZ2UiLCAxLCAxMDQ4NTc2XSwgeyJidWNrZXQiOiAiYiJ9LCBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAiZGlyLyJdLCB7IngtYW16LWFsZ29yaXRobSI6ICJBV1M0LUhNQUMtU0hBMjU2In0sIHsieC1hbXotY3JlZGVudGlhbCI6ICJBS0lERVhBTVBMRS8yMDI2MTEyMy91cy1lYXN0LTEvczMvYXdzNF9yZXF1ZXN0In0sIHsieC1hbXotZGF0ZSI6ICIyMDI2MTEyM1QxODA4MjRaIn0sIHsieC1hbXotc2VjdXJpdHktdG9rZW4iOiAidGhlL3Nlc3Npb24rdG9rZW49PSJ9XX0=";

fn fields(pairs: &[(&str, &str)]) -> Fields {
    let pair = |(name, value): &(&str, &str)| (name.to_ascii_lowercase(), (*value).to_owned());
    pairs.iter().map(pair).collect()
}

#[test]
fn forms_signed_by_botocore_verify() {
    let token = example().with_session_token(SecretKey::new("the/session+token=="));
    let temporary = Authenticator::new(one(token), Regions::Any);
    for (i, form) in POSTED.into_iter().enumerate() {
        let (with, without) = if i == 2 {
            (&temporary, &authenticator())
        } else {
            (&authenticator(), &temporary)
        };
        let identity = with.identify_form(&fields(form), at(CAPTURED));
        match identity {
            Ok(Identity::Verified(verified)) => assert_eq!(verified.form(), Form::Post),
            other => panic!("{other:?}"),
        }
        let refused = without.identify_form(&fields(form), at(CAPTURED));
        assert_eq!(refused.err(), Some(AuthError::InvalidToken));
        for name in form.iter().map(|(name, _)| *name) {
            let mut partial = fields(form);
            partial.remove(&name.to_ascii_lowercase());
            let refused = with.identify_form(&partial, at(CAPTURED)).unwrap_err();
            let expected = match name {
                "x-amz-security-token" => AuthError::InvalidToken,
                "policy" => AuthError::MissingField("policy"),
                "AWSAccessKeyId" => AuthError::MissingField("AWSAccessKeyId"),
                "signature" => AuthError::MissingField("signature"),
                "x-amz-algorithm" => AuthError::MissingField("x-amz-algorithm"),
                "x-amz-credential" => AuthError::MissingField("x-amz-credential"),
                "x-amz-date" => AuthError::MissingField("x-amz-date"),
                _ => AuthError::MissingField("x-amz-signature"),
            };
            assert_eq!(refused, expected, "without {name}");
        }
        let mut changed = fields(form);
        changed.insert("policy".to_owned(), POLICY_V2.replace("eyJl", "eyJm"));
        let refused = with.identify_form(&changed, at(CAPTURED)).err();
        assert_eq!(refused, Some(AuthError::SignatureMismatch));
    }
}

#[test]
fn forms_are_refused_by_name() {
    let refusal = |pairs: &[(&str, &str)]| authenticator().identify_form(&fields(pairs), at(CAPTURED)).err();
    assert_eq!(refusal(&[("key", "k")]), None);
    assert_eq!(
        refusal(&[("policy", "e30=")]),
        Some(AuthError::MissingField("AWSAccessKeyId"))
    );
    assert_eq!(refusal(&[POSTED[0], POSTED[1]].concat()), Some(AuthError::Several));
    let replaced = |name: &'static str, value: &'static str| [POSTED[1], &[(name, value)]].concat();
    for (form, expected) in [
        (
            replaced("x-amz-algorithm", "AWS4-ECDSA-P256-SHA256"),
            AuthError::UnsupportedAlgorithm(Unsupported::SigV4a),
        ),
        (
            replaced("x-amz-credential", "AKIDEXAMPLE"),
            AuthError::MalformedField("x-amz-credential"),
        ),
        (replaced("x-amz-date", "today"), AuthError::MalformedField("x-amz-date")),
        (
            replaced("x-amz-date", "20261122T180824Z"),
            AuthError::WrongDate { form: Form::Post },
        ),
        (replaced("x-amz-date", "20261123T190824Z"), AuthError::NotYetValid),
        (replaced("x-amz-signature", "zz"), AuthError::SignatureMismatch),
        (
            replaced("x-amz-credential", "OTHER/20261123/us-east-1/s3/aws4_request"),
            AuthError::UnknownAccessKey {
                access_key: "OTHER".to_owned(),
            },
        ),
    ] {
        assert_eq!(refusal(&form), Some(expected));
    }
    let v2 = authenticator()
        .with_sig_v2(SigV2::Nowhere)
        .identify_form(&fields(POSTED[0]), at(CAPTURED));
    assert_eq!(v2.err(), Some(AuthError::UnsupportedAlgorithm(Unsupported::SigV2)));
}
