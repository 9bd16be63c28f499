//! Whose key seals an object is said wherever S3 says it of SSE-KMS: on every answer about an object's bytes. A client that knows it does not
//! take such an ETag for an MD5.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method};

use super::{headers, plain};
use crate::multipart::{MIB5, Upload, list};
use crate::world::World;
use crate::world::client::Answer;

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_about_bytes_names_the_key() {
    let world = World::start().await;
    let (acme, body) = (&world.acme, plain(MIB5 + 10));
    let send = async |method: Method, key: &str, said: &[(&str, &str)], body: &[u8]| {
        acme.send(method, key, headers(said), body).await
    };
    let names = |what: &str, answer: &Answer| {
        assert!(matches!(answer.status(), 200 | 204 | 206), "{what}: {answer:?}");
        let said = |name: &str| answer.headers.get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(said("x-amz-server-side-encryption"), ["aws:kms"], "{what}");
        let key = said("x-amz-server-side-encryption-aws-kms-key-id");
        assert_eq!(key, [world.standin.key_url("acme").as_str()], "{what}");
    };

    names("PUT", &send(Method::PUT, "k", &[], b"words").await);
    names("empty PUT", &send(Method::PUT, "empty", &[], b"").await);
    names("POST", &acme.post(headers(&[("content-type", FORM)]), form()).await);
    assert!(acme.get("posted").await.is(b"words"));
    names("copy", &send(Method::PUT, "copy", &[SOURCE], b"").await);
    let replaced = [SOURCE, ("x-amz-metadata-directive", "REPLACE")];
    names("copy onto itself", &send(Method::PUT, "k", &replaced, b"").await);
    // Between tenants the gate makes it: it is sealed under the other's key then, and from there on again under this one's.
    let both = |bucket: &str| world.both.at(bucket);
    let source = |from: &str| headers(&[("x-amz-copy-source", from)]);
    let theirs = both("globex-files")
        .send(Method::PUT, "k", source("acme-files/k"), b"")
        .await;
    let key = &theirs.headers["x-amz-server-side-encryption-aws-kms-key-id"];
    assert_eq!(key, world.standin.key_url("globex").as_str(), "{theirs:?}");
    let back = both("acme-files")
        .send(Method::PUT, "back", source("globex-files/k"), b"")
        .await;
    names("copy between tenants", &back);

    // In parts, above and below the size from which objects have footers.
    for (key, sizes) in [("large", &[MIB5, 10][..]), ("small", &[10])] {
        let begun = send(Method::POST, &format!("{key}?uploads"), &[], b"").await;
        names("Create", &begun);
        let id = crate::multipart::between(&begun, "UploadId");
        let upload = Upload { client: acme, key, id };
        let mut sent = Vec::new();
        for (number, len) in (1..).zip(sizes) {
            let part = upload.try_part(number, &body[..*len]).await;
            names("UploadPart", &part);
            sent.push((number, part.headers["etag"].to_str().unwrap().to_owned()));
        }
        let target = format!("{key}?partNumber=9&uploadId={}", upload.id);
        names("UploadPartCopy", &send(Method::PUT, &target, &[SOURCE], b"").await);
        names("Complete", &upload.complete(&sent).await);
        // Once more, as after an answer that was lost.
        let target = format!("{key}?uploadId={}", upload.id);
        names(
            "Complete again",
            &send(Method::POST, &target, &[], list(&sent).as_bytes()).await,
        );
    }

    for key in ["k", "empty", "posted", "copy", "back", "large", "small"] {
        names(&format!("GET {key}"), &acme.get(key).await);
        names(&format!("HEAD {key}"), &acme.head(key).await);
        if key != "empty" {
            names(&format!("range of {key}"), &acme.get_range(key, "1-3").await);
        }
        let part = acme
            .send(Method::HEAD, &format!("{key}?partNumber=1"), HeaderMap::new(), b"")
            .await;
        names(&format!("part of {key}"), &part);
    }
}

const SOURCE: (&str, &str) = ("x-amz-copy-source", "acme-files/k");
const FORM: &str = "multipart/form-data; boundary=xyz";

/// A browser's form, its policy signed with SigV2.
fn form() -> Vec<u8> {
    let policy = r#"{"expiration":"2100-01-01T00:00:00Z","conditions":[{"bucket":"acme-files"},{"key":"posted"}]}"#;
    let policy = STANDARD.encode(policy);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"acme-secret");
    let signature = STANDARD.encode(hmac::sign(&key, policy.as_bytes()));
    let fields = [
        ("key", "posted"),
        ("AWSAccessKeyId", "AKIDACME"),
        ("policy", &policy),
        ("signature", &signature),
        ("file", "words"),
    ];
    let part = |(name, value)| format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    format!("{}--xyz--\r\n", fields.map(part).concat()).into_bytes()
}
