//! Forms, whole: as ceph/s3-tests' test_post_object_* send them, as browsers do, and as neither does.

mod framing;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::{Value, json};

use super::*;
use crate::s3::auth::Regions;
use crate::upstream::sigv4::{Credential, SecretKey};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// 2026-11-23 18:08:24 UTC.
const NOW: u64 = 1_795_457_304;
const LATER: &str = "2026-11-23T19:48:24Z";

/// What became of a form: who, key, headers, and the file.
struct Taken {
    signed: bool,
    key: String,
    headers: HeaderMap,
    success: Success,
    file: Vec<u8>,
}

/// A form as Python's requests writes it: every part has a file name.
struct Sent {
    fields: Vec<(String, String)>,
    filename: String,
    file: Vec<u8>,
    behind: String,
    /// Bytes in each frame.
    pieces: usize,
}

impl Sent {
    fn new(fields: &[(&str, &str)]) -> Self {
        Self {
            fields: fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            filename: "file".to_owned(),
            file: b"bar".to_vec(),
            behind: "--xyz--\r\n".to_owned(),
            pieces: 1 << 16,
        }
    }

    /// The form of most of the tests, its policy signed with SigV2.
    fn signed(policy: &Value) -> Self {
        Self::new(&[("key", "foo.txt"), ("acl", "private"), ("Content-Type", "text/plain")]).sign(policy)
    }

    fn sign(self, policy: &Value) -> Self {
        let policy = STANDARD.encode(policy.to_string());
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, SECRET.as_bytes());
        let signature = STANDARD.encode(hmac::sign(&key, policy.as_bytes()));
        self.with("policy", &policy)
            .with("signature", &signature)
            .with("AWSAccessKeyId", "AKIDEXAMPLE")
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(taken, _)| taken != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(taken, _)| taken != name);
        self
    }

    fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (name, value) in &self.fields {
            let head = format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\n\r\n");
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(value.as_bytes());
            body.extend_from_slice(b"\r\n");
        }
        let head = "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"";
        body.extend_from_slice(format!("{head}{}\"\r\n\r\n", self.filename).as_bytes());
        body.extend_from_slice(&self.file);
        body.extend_from_slice(b"\r\n");
        body.extend_from_slice(self.behind.as_bytes());
        body
    }

    async fn post(&self) -> Result<Taken, S3Error> {
        post(&self.body(), self.pieces, "b").await
    }

    /// Status and code of the refusal.
    async fn refusal(&self) -> (StatusCode, String) {
        refusal(self.post().await)
    }
}

fn refusal(answer: Result<Taken, S3Error>) -> (StatusCode, String) {
    let error = answer.err().unwrap();
    let response = error.response("", "/b", "1", false);
    let code = response
        .body()
        .split("<Code>")
        .nth(1)
        .and_then(|rest| rest.split('<').next());
    (response.status(), code.unwrap().to_owned())
}

async fn post(body: &[u8], pieces: usize, bucket: &str) -> Result<Taken, S3Error> {
    let request = Request::post("/b").header("content-type", "multipart/form-data; boundary=xyz");
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let frames: Vec<_> = body
        .chunks(pieces)
        .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    let body = StreamBody::new(stream::iter(frames));
    let mut form = form(&parts, bucket, body, &authenticator(), now()).await?;
    let mut file = Vec::new();
    while let Some(bytes) = form.file.next().await? {
        assert!(!bytes.is_empty());
        file.extend_from_slice(&bytes);
    }
    form.file.finish()?;
    Ok(Taken {
        signed: matches!(form.identity, Identity::Verified(_)),
        key: form.key,
        headers: form.headers,
        success: form.success,
        file,
    })
}

fn authenticator() -> Authenticator {
    let credential = Arc::new(Credential::new("AKIDEXAMPLE", SecretKey::new(SECRET)).unwrap());
    let lookup = move |access_key: &str| (access_key == "AKIDEXAMPLE").then(|| Arc::clone(&credential));
    Authenticator::new(lookup, Regions::Any)
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

fn policy(more: &[Value]) -> Value {
    let mut conditions = vec![
        json!({"bucket": "b"}),
        json!(["starts-with", "$key", "foo"]),
        json!({"acl": "private"}),
        json!(["starts-with", "$Content-Type", "text/plain"]),
    ];
    conditions.extend_from_slice(more);
    json!({"expiration": LATER, "conditions": conditions})
}

fn with_length(range: &Value) -> Value {
    policy(std::slice::from_ref(range))
}

#[tokio::test]
async fn forms_are_taken() {
    let anonymous = Sent::new(&[
        ("key", "foo.txt"),
        ("acl", "public-read"),
        ("Content-Type", "text/plain"),
    ]);
    let taken = anonymous.post().await.unwrap();
    assert_eq!(
        (taken.signed, &*taken.key, &*taken.file),
        (false, "foo.txt", &b"bar"[..])
    );
    assert_eq!(taken.headers["x-amz-acl"], "public-read");
    assert_eq!(taken.headers["content-type"], "text/plain");
    assert_eq!(taken.success, Success::NoContent);

    let length = json!(["content-length-range", 0, 1024]);
    let signed = Sent::signed(&with_length(&length));
    let taken = signed.post().await.unwrap();
    assert_eq!(
        (taken.signed, &*taken.key, &*taken.file),
        (true, "foo.txt", &b"bar"[..])
    );

    // Names are nobody's case.
    let odd = json!({"expiration": LATER, "conditions": [
        {"bUcKeT": "b"}, ["StArTs-WiTh", "$KeY", "foo"], {"AcL": "private"},
        ["StArTs-WiTh", "$CoNtEnT-TyPe", "text/plain"], ["content-length-range", "0", "1024"],
    ]});
    let odd = Sent::new(&[("kEy", "foo.txt"), ("aCl", "private"), ("Content-Type", "text/plain")]).sign(&odd);
    assert_eq!(odd.post().await.unwrap().key, "foo.txt");

    // A backslash is one; S3's own escape is taken too.
    let escaped = Sent::signed(&json!({"expiration": LATER, "conditions": [
        {"bucket": "b"}, ["starts-with", "$key", "\\$foo"], {"acl": "private"}, ["eq", "$content-type", "text/plain"],
    ]}));
    assert_eq!(
        escaped.with("key", "\\$foo.txt").post().await.unwrap().key,
        "\\$foo.txt"
    );

    let ignored = Sent::signed(&policy(&[])).with("x-ignore-foo", "bar");
    assert!(ignored.post().await.is_ok());
    let meta = policy(&[json!(["starts-with", "$x-amz-meta-foo", "bar"])]);
    let meta = Sent::signed(&meta)
        .with("x-amz-meta-foo", "barclamp")
        .post()
        .await
        .unwrap();
    assert_eq!(meta.headers["x-amz-meta-foo"], "barclamp");
    let list = Sent::signed(&policy(&[]))
        .with("Content-Type", "text/plain, text/plain;x=y")
        .post()
        .await;
    assert!(list.is_ok());
    let redirect = policy(&[json!(["eq", "$success_action_redirect", "http://h/done"])]);
    let redirect = Sent::signed(&redirect)
        .with("success_action_redirect", "http://h/done")
        .post()
        .await
        .unwrap();
    assert_eq!(redirect.success, Success::Redirect("http://h/done".to_owned()));
}

#[tokio::test]
async fn the_files_name_may_be_the_keys() {
    for (filename, key) in [
        ("foo.txt", "foo.txt"),
        ("C:\\dir\\foo.txt", "foo.txt"),
        ("/home/foo é.txt", "foo é.txt"),
    ] {
        let mut sent = Sent::signed(&policy(&[])).with("key", "${filename}");
        filename.clone_into(&mut sent.filename);
        assert_eq!(sent.post().await.unwrap().key, key);
        filename.clone_into(&mut sent.filename);
        let sent = Sent {
            filename: "bar".to_owned(),
            ..sent
        };
        assert_eq!(sent.refusal().await, denied(), "judged as it will be");
    }
}

fn denied() -> (StatusCode, String) {
    (StatusCode::FORBIDDEN, "AccessDenied".to_owned())
}

#[tokio::test]
async fn a_policy_is_held() {
    let fine = || Sent::signed(&policy(&[]));
    for (what, sent) in [
        ("another key", fine().with("key", "bar.txt")),
        ("another acl", fine().with("acl", "public-read")),
        ("another type", fine().with("Content-Type", "text/html")),
        (
            "one other type of two",
            fine().with("Content-Type", "text/plain,text/html"),
        ),
        ("a field more", fine().with("x-amz-meta-foo", "barclamp")),
        ("a field less", fine().without("Content-Type")),
        (
            "nothing where something is",
            Sent::signed(&policy(&[json!(["eq", "$x-amz-meta-foo", ""])])).with("x-amz-meta-foo", "x"),
        ),
        (
            "no field for nothing",
            Sent::signed(&policy(&[json!(["starts-with", "$x-amz-meta-foo", ""])])),
        ),
        (
            "no bucket",
            Sent::signed(&json!({"expiration": LATER, "conditions": [
                ["starts-with", "$key", "foo"], {"acl": "private"}, ["starts-with", "$Content-Type", "text/plain"],
            ]})),
        ),
        (
            "no condition",
            Sent::signed(&json!({"expiration": LATER, "conditions": []})),
        ),
        (
            "the end",
            Sent::signed(&json!({"expiration": "2026-11-23T18:08:24.000Z", "conditions": []})),
        ),
    ] {
        assert_eq!(sent.refusal().await, denied(), "{what}");
    }
    // A field of the form does not say which bucket it is posted to.
    let elsewhere = fine().with("bucket", "b").body();
    assert_eq!(refusal(post(&elsewhere, 100, "other").await), denied());
    assert!(post(&elsewhere, 100, "b").await.is_ok());
}

#[tokio::test]
async fn a_policy_that_is_none_is_refused() {
    let conditions = json!([{"bucket": "b"}, ["starts-with", "$key", "foo"], {"acl": "private"}, ["starts-with", "$Content-Type", ""]]);
    for policy in [
        json!({"conditions": conditions}),
        json!({"EXPIRATION": LATER, "conditions": conditions}),
        json!({"expiration": "2026-11-23 19:48:24.123456+00:00", "conditions": conditions}),
        json!({"expiration": NOW, "conditions": conditions}),
        json!({"expiration": LATER}),
        json!({"expiration": LATER, "CONDITIONS": conditions}),
        json!({"expiration": LATER, "conditions": {"bucket": "b"}}),
        json!({"expiration": LATER, "conditions": [{}]}),
        json!({"expiration": LATER, "conditions": ["bucket"]}),
        json!([]),
        policy(&[json!({"a": "b", "c": "d"})]),
        policy(&[json!({"a": 1})]),
        policy(&[json!(["content-length-range", 0])]),
        policy(&[json!(["content-length-range", -1, 0])]),
        policy(&[json!(["content-length-range", "a", "b"])]),
        policy(&[json!(["eq", "key", "foo.txt"])]),
        policy(&[json!(["eq", "$key"])]),
        policy(&[json!(["ends-with", "$key", "txt"])]),
        policy(&[json!([])]),
    ] {
        let refused = Sent::signed(&policy).refusal().await;
        assert_eq!(
            refused,
            (StatusCode::BAD_REQUEST, "InvalidPolicyDocument".to_owned()),
            "{policy}"
        );
    }
}

#[tokio::test]
async fn a_file_is_held_to_its_length() {
    let mut sent = Sent::signed(&with_length(&json!(["content-length-range", 3, 5])));
    for (file, code) in [
        ("12", Some("EntityTooSmall")),
        ("123", None),
        ("12345", None),
        ("123456", Some("EntityTooLarge")),
    ] {
        sent.file = file.as_bytes().to_vec();
        match code {
            None => assert!(sent.post().await.is_ok(), "{file}"),
            Some(code) => assert_eq!(
                sent.refusal().await,
                (StatusCode::BAD_REQUEST, code.to_owned()),
                "{file}"
            ),
        }
    }
    let both = policy(&[
        json!(["content-length-range", 0, 100]),
        json!(["content-length-range", 0, 2]),
    ]);
    assert_eq!(
        Sent::signed(&both).refusal().await.1,
        "EntityTooLarge",
        "the narrower counts"
    );
}

#[tokio::test]
async fn a_file_is_held_to_its_checksum() {
    let sent = |crc32: &str| Sent::new(&[("key", "k"), ("x-amz-checksum-crc32", crc32)]);
    // Python's zlib.crc32(b"bar").
    assert!(sent("dv+Mqg==").post().await.is_ok());
    assert_eq!(sent("AAAAAA==").refusal().await.1, "BadDigest");
    assert_eq!(sent("no").refusal().await.1, "InvalidRequest");
}

#[tokio::test]
async fn signatures_are_checked() {
    let fine = || Sent::signed(&policy(&[]));
    let refused = |status: StatusCode, code: &str| (status, code.to_owned());
    for (sent, expected) in [
        (
            fine().with("signature", "AAAA"),
            refused(StatusCode::FORBIDDEN, "SignatureDoesNotMatch"),
        ),
        (
            fine().with("policy", "e30="),
            refused(StatusCode::FORBIDDEN, "SignatureDoesNotMatch"),
        ),
        (
            fine().with("AWSAccessKeyId", "foo"),
            refused(StatusCode::FORBIDDEN, "InvalidAccessKeyId"),
        ),
        (
            fine().without("signature"),
            refused(StatusCode::BAD_REQUEST, "InvalidArgument"),
        ),
        (
            fine().without("policy"),
            refused(StatusCode::BAD_REQUEST, "InvalidArgument"),
        ),
        (
            fine().without("key"),
            refused(StatusCode::BAD_REQUEST, "InvalidArgument"),
        ),
        (
            fine().with("key", ""),
            refused(StatusCode::BAD_REQUEST, "InvalidArgument"),
        ),
        (
            fine().with("Key", "foo2.txt"),
            refused(StatusCode::BAD_REQUEST, "InvalidArgument"),
        ),
    ] {
        assert_eq!(sent.refusal().await, expected);
    }
}
