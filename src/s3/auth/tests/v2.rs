//! Signature Version 2: botocore 1.44.5's own requests, and what must not pass for one.

use http::HeaderValue;
use http::header::{AUTHORIZATION, CONTENT_TYPE};

use super::*;

const PATH_HOST: &str = "host: s3.example.com:9000";
const BUCKET_HOST: &str = "host: my-bucket.s3.example.com:9000";
const PRESIGNED_GET: &str = "GET /b/dir/a%20b%2B%C3%BC?response-content-type=text%2Fplain%3B%20x%3Dy&versionId=v%2B1%2F2\
                             &AWSAccessKeyId=AKIDEXAMPLE&Signature=E%2Fdpj%2FiMKjSQGGohQIc%2FTl%2FTg%2FU%3D&Expires=1795460904";
const PRESIGNED_PUT: &str = "PUT /b/k?AWSAccessKeyId=AKIDEXAMPLE&Signature=iq%2FRXtBCJHoLJjyE3uQhf5uR7L0%3D\
                             &content-type=text%2Fplain&x-amz-acl=private&x-amz-meta-note=two%20%20words%2B&Expires=1795460904";

fn everywhere() -> Authenticator {
    let domains = Domains::new(["s3.example.com"]).unwrap();
    authenticator().with_sig_v2(SigV2::Everywhere).with_domains(domains)
}

fn verify(request: &Parts) -> Result<(), AuthError> {
    everywhere().verify(request, at(CAPTURED)).map(|_| ())
}

#[test]
fn urls_presigned_by_botocore_verify() {
    for (request, host) in [
        (PRESIGNED_GET, PATH_HOST),
        (PRESIGNED_PUT, PATH_HOST),
        (
            "PUT /b/k?partNumber=3&uploadId=x~y&AWSAccessKeyId=AKIDEXAMPLE&Signature=0oV80Ez4%2BRuU2LnyOySMtjvjFsY%3D&Expires=1795460904",
            PATH_HOST,
        ),
        (
            "GET /dir/k?AWSAccessKeyId=AKIDEXAMPLE&Signature=9VSx8uCooTJYld8iiw7YOvUo54s%3D&Expires=1795457364",
            BUCKET_HOST,
        ),
        (
            "GET /?prefix=p&encoding-type=url&AWSAccessKeyId=AKIDEXAMPLE&Signature=6M4ia32rn44xBIXidjVagX833%2FY%3D&Expires=1795457364",
            BUCKET_HOST,
        ),
    ] {
        let request = head(request, &[host]);
        assert_eq!(verify(&request), Ok(()), "{}", request.uri);
        assert_eq!(
            Authenticator::new(lookup, Regions::Any)
                .with_sig_v2(SigV2::Nowhere)
                .verify(&request, at(CAPTURED))
                .err(),
            Some(AuthError::UnsupportedAlgorithm(Unsupported::SigV2))
        );
    }
}

#[test]
fn a_presigned_url_ends_when_it_says() {
    let request = head(PRESIGNED_GET, &[PATH_HOST]);
    let verify = |now: u64| authenticator().verify(&request, at(now)).map(|_| ());
    assert_eq!(verify(1_795_460_904), Ok(()), "taken unless told otherwise");
    assert_eq!(verify(1_795_460_905), Err(AuthError::Expired { at: at(1_795_460_904) }));
    for wrong in ["", "soon", "-5", "%2B5", "99999999999999999999"] {
        let target = PRESIGNED_GET.replace("Expires=1795460904", &format!("Expires={wrong}"));
        let refused = AuthError::MalformedQuery(Field::EndOfUrl);
        assert_eq!(refusal(&head(&target, &[PATH_HOST])), refused, "{wrong}");
    }
}

#[test]
fn a_changed_url_is_refused() {
    for (from, to) in [
        ("/b/dir", "/c/dir"),
        ("/dir/", "/dir%2F"),
        ("v%2B1", "v%2B2"),
        ("text%2Fplain", "text%2Fhtml"),
        ("1795460904", "1795460905"),
        ("GET ", "DELETE "),
        ("&versionId", "&acl&versionId"),
        ("&versionId", "&%61cl&versionId"),
        ("&versionId", "&retention&versionId"),
        ("&versionId", "&x-amz-acl=public-read&versionId"),
        ("&versionId", "&response-expires=0&versionId"),
        ("E%2Fdpj", "F%2Fdpj"),
        ("%2FU%3D", "%2FU"),
    ] {
        let changed = head(&PRESIGNED_GET.replacen(from, to, 1), &[PATH_HOST]);
        assert_eq!(verify(&changed), Err(AuthError::SignatureMismatch), "{from} {to}");
    }
    // A header that is not in the URL, and one that is and says something else.
    let added = head(PRESIGNED_GET, &[PATH_HOST, "x-amz-meta-a: b"]);
    assert_eq!(verify(&added), Err(AuthError::SignatureMismatch));
    let same = head(
        PRESIGNED_PUT,
        &[PATH_HOST, "x-amz-acl: private", "content-type: text/plain"],
    );
    assert_eq!(verify(&same), Ok(()));
    let other = head(PRESIGNED_PUT, &[PATH_HOST, "x-amz-acl: public-read"]);
    assert_eq!(verify(&other), Err(AuthError::Hoisted("x-amz-acl".to_owned())));
    // The path of one bucket on another's host.
    let moved = head(
        "GET /dir/k?AWSAccessKeyId=AKIDEXAMPLE&Signature=9VSx8uCooTJYld8iiw7YOvUo54s%3D&Expires=1795457364",
        &["host: other.s3.example.com:9000"],
    );
    assert_eq!(verify(&moved), Err(AuthError::SignatureMismatch));
}

#[test]
fn what_is_half_signed_is_not_anonymous() {
    for query in [
        "AWSAccessKeyId=A",
        "Signature=x",
        "AWSAccessKeyId=A&Expires=1",
        "AWSAccessKeyId=A&Signature=x",
        "AWSAccessKeyId=A&AWSAccessKeyId=B&Signature=x&Expires=1",
    ] {
        assert_eq!(
            refusal(&head(&format!("GET /b/k?{query}"), &["host: h"])),
            AuthError::IncompleteV2
        );
    }
    let both = "GET /b/k?AWSAccessKeyId=A&Signature=x&Expires=1&X-Amz-Signature=x";
    assert_eq!(refusal(&head(both, &["host: h"])), AuthError::Several);
}

#[test]
fn headers_signed_by_botocore_verify_where_told() {
    let date = "date: Mon, 23 Nov 2026 18:08:24 GMT";
    let put = head(
        "PUT /b/k",
        &[
            PATH_HOST,
            date,
            "content-type: text/plain",
            "content-length: 5",
            "x-amz-meta-note: x",
            "x-amz-checksum-crc32: NhCmhg==",
            "x-amz-sdk-checksum-algorithm: CRC32",
            "authorization: AWS AKIDEXAMPLE:isxraF2rqZvVun4TqX9rQB34fzk=",
        ],
    );
    let acl = head(
        "GET /b?acl",
        &[
            PATH_HOST,
            date,
            "authorization: AWS AKIDEXAMPLE:tsamSkUwoOCyRDLugn6TJ5Y4Ufo=",
        ],
    );
    for request in [&put, &acl] {
        assert_eq!(verify(request), Ok(()));
        assert_eq!(
            refusal(request),
            AuthError::UnsupportedAlgorithm(Unsupported::SigV2),
            "not unless told"
        );
        let late = everywhere().verify(request, at(CAPTURED + 901)).err();
        let (request, now) = (at(CAPTURED), at(CAPTURED + 901));
        assert_eq!(late, Some(AuthError::Skewed { request, now }));
    }
    for (name, value) in [
        ("content-type", "text/html"),
        ("x-amz-meta-note", "y"),
        ("date", "Mon, 23 Nov 2026 18:08:25 GMT"),
        ("content-md5", "XrY7u+Ae7tCTyyK7j1rNww=="),
        ("x-amz-acl", "public-read"),
    ] {
        let mut changed = put.clone();
        changed.headers.insert(name, HeaderValue::from_static(value));
        assert_eq!(verify(&changed), Err(AuthError::SignatureMismatch), "{name}");
    }
    // As sent, which is how other clients sign a bucket: HMAC-SHA1 by hand.
    let as_sent = head(
        "GET /b?acl",
        &[
            PATH_HOST,
            date,
            "authorization: AWS AKIDEXAMPLE:0JkEx4adluuSwbMgV4HpjRWa7lc=",
        ],
    );
    assert_eq!(verify(&as_sent), Ok(()));
    let mut framed = put;
    framed.headers.insert(
        "x-amz-content-sha256",
        HeaderValue::from_static("STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
    );
    assert_eq!(
        verify(&framed),
        Err(AuthError::SignatureMismatch),
        "framing is signed too"
    );

    let token = || example().with_session_token(SecretKey::new("the/session+token=="));
    let virtual_get = head(
        "GET /k",
        &[
            BUCKET_HOST,
            date,
            "x-amz-checksum-mode: ENABLED",
            "x-amz-security-token: the/session+token==",
            "authorization: AWS AKIDEXAMPLE:imOmHYjzvUlob9DNKqVnQOh4sn8=",
        ],
    );
    let presigned = head(
        "GET /b/k?AWSAccessKeyId=AKIDEXAMPLE&Signature=436VXzgyrB%2Bwyf0SpmGW1jlO1fs%3D\
         &x-amz-security-token=the%2Fsession%2Btoken%3D%3D&Expires=1795457364",
        &[PATH_HOST],
    );
    for request in [&virtual_get, &presigned] {
        let with_token = Authenticator::new(one(token()), Regions::Any)
            .with_sig_v2(SigV2::Everywhere)
            .with_domains(Domains::new(["s3.example.com"]).unwrap());
        assert!(with_token.verify(request, at(CAPTURED)).is_ok());
        assert_eq!(verify(request), Err(AuthError::InvalidToken));
    }
}

/// As ceph/s3-tests' test_headers.py has them.
#[test]
fn odd_dates_are_told_apart() {
    for (date, expected) in [
        ("Bad Date", None),
        ("", None),
        ("Tue, 07 Jul 1950 21:53:04 GMT", None),
        ("Tue, 07 Jul 2010 21:53:04 GMT", Some(1_278_539_584)),
        ("Tue, 07 Jul 9999 21:53:04 GMT", Some(253_387_000_384)),
    ] {
        let authorization = "authorization: AWS AKIDEXAMPLE:isxraF2rqZvVun4TqX9rQB34fzk=";
        let request = head("PUT /b/k", &["host: h", authorization, &format!("x-amz-date: {date}")]);
        let expected = expected.map_or(AuthError::Malformed(Field::Date), |seconds| AuthError::Skewed {
            request: at(seconds),
            now: at(CAPTURED),
        });
        assert_eq!(verify(&request), Err(expected), "{date}");
    }
    let undated = head("PUT /b/k", &["host: h", "authorization: AWS A:B"]);
    assert_eq!(verify(&undated), Err(AuthError::Malformed(Field::Date)));
    let mut garbage = undated;
    garbage
        .headers
        .insert(AUTHORIZATION, HeaderValue::from_static("AWS HAHAHA"));
    assert_eq!(verify(&garbage), Err(AuthError::MalformedV2));
}

#[test]
fn a_presigned_urls_headers_are_given_back() {
    let request = head(PRESIGNED_PUT, &[PATH_HOST, "x-amz-acl: private"]);
    let hoisted = authenticator()
        .verify(&request, at(CAPTURED))
        .unwrap()
        .hoisted(&request)
        .unwrap();
    let stated = |name: &str| hoisted.get(name).and_then(|value| value.to_str().ok());
    assert_eq!(stated("x-amz-meta-note"), Some("two  words+"));
    assert_eq!(stated(CONTENT_TYPE.as_str()), Some("text/plain"));
    assert_eq!(
        hoisted.len(),
        2,
        "what the request has itself is not added: {hoisted:?}"
    );
}
