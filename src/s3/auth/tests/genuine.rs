//! What must verify: published requests, a captured one, botocore's and our own.

use bytes::Bytes;
use http::HeaderValue;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use proptest::prelude::*;

use super::*;
use crate::body::aws_chunked::Decoder;
use crate::body::checksum::Expectations;
use crate::upstream::sigv4::{PayloadHash, Signer, canonical_path, canonical_query};

const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn published_requests_verify() {
    let host = "host: examplebucket.s3.amazonaws.com";
    let date = "x-amz-date: 20130524T000000Z";
    let empty = format!("x-amz-content-sha256: {EMPTY_SHA256}");
    let signed = |names: &str, signature: &str| {
        format!(
            "authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders={names},Signature={signature}"
        )
    };
    let plain = "host;x-amz-content-sha256;x-amz-date";
    let requests = [
        head(
            "GET /test.txt",
            &[
                host,
                date,
                &empty,
                "range: bytes=0-9",
                &signed(
                    "host;range;x-amz-content-sha256;x-amz-date",
                    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
                ),
            ],
        ),
        head(
            "PUT /test$file.text",
            &[
                host,
                date,
                "date: Fri, 24 May 2013 00:00:00 GMT",
                "x-amz-storage-class: REDUCED_REDUNDANCY",
                "x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
                &signed(
                    "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                    "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
                ),
            ],
        ),
        head(
            "GET /?lifecycle",
            &[
                host,
                date,
                &empty,
                &signed(
                    plain,
                    "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
                ),
            ],
        ),
        head(
            "GET /?max-keys=2&prefix=J",
            &[
                host,
                date,
                &empty,
                &signed(
                    plain,
                    "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
                ),
            ],
        ),
    ];
    for request in &requests {
        let verified = authenticator().verify(request, at(PUBLISHED)).unwrap();
        assert_eq!(verified.credential().access_key(), "AKIAIOSFODNN7EXAMPLE");
        assert_eq!(verified.form(), Form::Header);
        assert!(verified.payload().content_sha256().is_some());
    }
}

#[test]
fn published_presigned_url_verifies_until_it_expires() {
    let request = head(
        "GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
         &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
         &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
        &["host: examplebucket.s3.amazonaws.com"],
    );
    let verify = |now: u64| authenticator().verify(&request, at(now));
    let verified = verify(PUBLISHED + 86_400).unwrap();
    assert_eq!(verified.form(), Form::Query);
    assert!(matches!(verified.into_payload(), Payload::Unsigned));
    assert_eq!(
        verify(PUBLISHED + 86_401).unwrap_err(),
        AuthError::Expired {
            at: at(PUBLISHED + 86_400)
        }
    );
    assert!(verify(PUBLISHED - 900).is_ok());
    assert_eq!(verify(PUBLISHED - 901).unwrap_err(), AuthError::NotYetValid);
}

/// Made by botocore 1.43.11, one of them with a session token.
#[test]
fn requests_signed_by_botocore_verify() {
    let put = head(
        "PUT /b/a%2Bb~c%21%27%28%29%2A",
        &[
            "host: b.example.com",
            "content-type: text/plain",
            "x-amz-meta-note:   two   words ",
            "content-md5: XrY7u+Ae7tCTyyK7j1rNww==",
            "x-amz-date: 20261123T180824Z",
            "x-amz-content-sha256: b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9",
            "authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/eu-central-1/s3/aws4_request, \
             SignedHeaders=content-md5;content-type;host;x-amz-content-sha256;x-amz-date;x-amz-meta-note, \
             Signature=5b97e000264f4ea6900805d525d1c8d5770b78ce7799ad95758e6c2b40fba5fc",
        ],
    );
    let presigned_get = head(
        "GET /b/dir//%C3%BC%20x?response-content-type=text%2Fplain&X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential=AKIDEXAMPLE%2F20261123%2Feu-central-1%2Fs3%2Faws4_request&X-Amz-Date=20261123T180824Z\
         &X-Amz-Expires=3600&X-Amz-SignedHeaders=host\
         &X-Amz-Signature=63a825ca54775b0782edf21fa2f23a5afbe0c576bb9086731f71ad20cee3963a",
        &["host: b.example.com"],
    );
    for request in [&put, &presigned_get] {
        assert!(authenticator().verify(request, at(CAPTURED)).is_ok());
    }

    let presigned_put = |acl: &str| {
        head(
            "PUT /b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIDEXAMPLE%2F20261123%2Feu-central-1%2Fs3%2Faws4_request&X-Amz-Date=20261123T180824Z\
             &X-Amz-Expires=604800&X-Amz-SignedHeaders=host%3Bx-amz-acl&X-Amz-Security-Token=the%2Fsession%2Btoken%3D%3D\
             &X-Amz-Signature=7b28ff9b543cf35d9dc14cda895a99747bcb27d202d66ddf4514c69782543c74",
            &["host: b.example.com", acl],
        )
    };
    let with_token =
        |token: &str| Authenticator::new(one(example().with_session_token(SecretKey::new(token))), Regions::Any);
    let (genuine, changed) = (
        presigned_put("x-amz-acl: private"),
        presigned_put("x-amz-acl: public-read"),
    );
    let verify = |token: &str, request: &Parts| with_token(token).verify(request, at(CAPTURED)).map(|_| ());
    assert_eq!(verify("the/session+token==", &genuine), Ok(()));
    assert_eq!(
        verify("the/session+token==", &changed),
        Err(AuthError::SignatureMismatch)
    );
    assert_eq!(verify("another", &genuine), Err(AuthError::InvalidToken));
    let without_token = authenticator().verify(&genuine, at(CAPTURED)).map(|_| ());
    assert_eq!(
        without_token,
        Err(AuthError::InvalidToken),
        "a token that the credential does not have"
    );
}

/// `tests/vectors/sigv4-trailer.bin`: signed frames and trailer, through all three layers.
#[test]
fn captured_upload_verifies_decodes_and_matches_its_checksum() {
    let (parts, body) = capture();
    let verified = authenticator().verify(&parts, at(CAPTURED)).unwrap();
    let mut expectations = Expectations::new(&parts.headers, verified.payload().content_sha256()).unwrap();
    let Payload::AwsChunked(framing) = verified.into_payload() else {
        panic!("framed")
    };
    assert_eq!((framing.decoded_len, framing.trailer), (66_000, true));
    let mut decoder = Decoder::new(framing);
    let mut body = Bytes::from(body);
    let mut length = 0;
    while !body.is_empty() {
        let mut piece = body.split_to(body.len().min(1500));
        while let Some(data) = decoder.decode(&mut piece).unwrap() {
            assert!(data.iter().all(|byte| *byte == b'x'));
            length += data.len();
            expectations.update(&data);
        }
    }
    assert_eq!(length, 66_000);
    let trailers = decoder.finish().unwrap();
    let checksum = expectations.finish(&trailers).unwrap().unwrap();
    assert_eq!(checksum.to_base64(), "+ZgB4Q==");
}

#[test]
fn framed_bodies_state_their_decoded_length() {
    let with = |content: &'static str, length: Option<&'static str>| {
        let mut request = head("PUT /b/k", &["host: h"]);
        // The signer sets its own payload hash, so the streaming one goes in as what is signed: by hand, below.
        request
            .headers
            .insert("x-amz-date", HeaderValue::from_static("20261123T180824Z"));
        request
            .headers
            .insert("x-amz-content-sha256", HeaderValue::from_static(content));
        if let Some(length) = length {
            request
                .headers
                .insert("x-amz-decoded-content-length", HeaderValue::from_static(length));
        }
        sign_by_hand(&mut request, content);
        authenticator()
            .verify(&request, at(CAPTURED))
            .map(Verified::into_payload)
    };
    let unsigned = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
    assert!(matches!(
        with(unsigned, Some("5")),
        Ok(Payload::AwsChunked(Framing {
            signed: None,
            trailer: true,
            decoded_len: 5
        }))
    ));
    assert!(matches!(
        with("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", Some("0")),
        Ok(Payload::AwsChunked(Framing {
            signed: Some(_),
            trailer: false,
            decoded_len: 0
        }))
    ));
    assert_eq!(with(unsigned, None).err(), Some(AuthError::MissingDecodedLength));
    for wrong in ["", "-1", "+1", "0x5", "99999999999999999999"] {
        let malformed = AuthError::Malformed(Field::DecodedContentLength);
        assert_eq!(with(unsigned, Some(wrong)).err(), Some(malformed), "{wrong}");
    }
    let v4a = with("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", Some("5")).err();
    assert_eq!(v4a, Some(AuthError::UnsupportedAlgorithm(Unsupported::SigV4a)));
    assert_eq!(
        with("STREAMING-OF-MINE", Some("5")).err(),
        Some(AuthError::Malformed(Field::ContentSha256))
    );
}

#[test]
fn date_header_may_stand_in_and_must_be_signed() {
    for date in ["Mon, 23 Nov 2026 18:08:24 GMT", "20261123T180824Z"] {
        let mut request = head("GET /b/k", &["host: h", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]);
        request.headers.insert("date", HeaderValue::from_static(date));
        sign_by_hand(&mut request, "UNSIGNED-PAYLOAD");
        assert!(authenticator().verify(&request, at(CAPTURED)).is_ok(), "{date}");
        let authorization = request.headers[AUTHORIZATION].to_str().unwrap().replace("date;", "");
        request
            .headers
            .insert(AUTHORIZATION, HeaderValue::try_from(authorization).unwrap());
        assert_eq!(refusal(&request), AuthError::UnsignedHeader("date".to_owned()));
    }
}

proptest! {
    #[test]
    fn what_is_signed_verifies(path in odd(), names in prop::collection::vec((odd(), prop::option::of(odd())), 0..4), note in "[ -~]{0,20}") {
        let query: Vec<String> = names
            .into_iter()
            .map(|(name, value)| value.map_or(name.clone(), |value| format!("{name}={value}")).replace('/', "%2f"))
            .collect();
        let mut request = head(&format!("PUT /{path}?{}", query.join("&")), &["host: b.example.com"]);
        request.headers.insert("x-amz-meta-note", HeaderValue::try_from(note).unwrap());
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let signer = Signer::new(Arc::new(example()), "eu-central-1", "s3");
        signer.sign(&mut request, PayloadHash::of(b"body"), at(CAPTURED)).unwrap();
        prop_assert!(authenticator().verify(&request, at(CAPTURED)).is_ok());

        // The canonical spelling of the same target is the same request.
        let canonical = format!(
            "{}?{}",
            canonical_path(request.uri.path()),
            canonical_query(request.uri.query().unwrap_or_default()),
        );
        request.uri = canonical.parse().unwrap();
        prop_assert!(authenticator().verify(&request, at(CAPTURED)).is_ok());
        request.uri = format!("{}x?{}", request.uri.path(), request.uri.query().unwrap_or_default()).parse().unwrap();
        prop_assert_eq!(refusal(&request), AuthError::SignatureMismatch);
    }
}

/// Path and query pieces that clients and stores disagree about.
fn odd() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/", "//", "..", ".", "a", "B9", "~", "-", "_", "+", "!", "'", "(", ")", "*", "$", "@", ":", ",", ";", "%20",
        "%2B", "%2F", "%C3%BC", "%c3%bc", "%25", "%41", "%", "%zz",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}
