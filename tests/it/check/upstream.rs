//! What is wrong with the store: down, unknown credential, missing bucket, clock, world-readable, or not giving back what it got.

use std::fs;

use http::header::{AUTHORIZATION, DATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::net::TcpListener;

use super::{SYSTEM, Site};
use crate::world::adversary::{End, Lie, Reply};

#[tokio::test]
async fn a_store_that_is_down_is_told_and_the_key_is_proved_nevertheless() {
    let mut site = Site::start().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    site.endpoint = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let report = site.check("acme").await;
    assert_eq!(
        (report.status, report.verdict("store")),
        (1, "failed"),
        "{}",
        report.text
    );
    assert!(report.beside.contains("Connection refused"), "{}", report.beside);
    assert_eq!(report.verdict("unwrap"), "ok");
    for step in ["system_container", "buckets", "keyring", "round_trip"] {
        assert_eq!(report.verdict(step), "skipped", "{step}");
    }
}

#[tokio::test]
async fn a_wrong_store_credential_is_told_by_name() {
    let site = Site::start().await;
    fs::write(site.data.join("store-secret"), "another-secret-0123456789").unwrap();
    let report = site.check("acme").await;
    assert_eq!(report.verdict("store"), "failed", "{}", report.text);
    assert!(
        report.found("store").contains("SignatureDoesNotMatch"),
        "{}",
        report.text
    );
    assert!(report.fix("store").contains("secret_access_key"), "{}", report.text);
    let report = site
        .check_with("acme", |text| text.replace("AKIDSTORE", "AKIDNOBODY"))
        .await;
    assert!(report.fix("store").contains("access_key_id"), "{}", report.text);
}

#[tokio::test]
async fn a_missing_bucket_a_wrong_clock_and_an_open_bucket_are_told() {
    let site = Site::start().await;
    let report = site
        .check_with("acme", |text| {
            text.replace("[bucket.acme-files]", "[bucket.no-such-files]")
        })
        .await;
    assert_eq!(report.verdict("buckets"), "failed", "{}", report.text);
    assert!(report.fix("buckets").contains("create-bucket --bucket no-such-files"));

    site.adversary.lie(
        SYSTEM,
        "",
        Lie::twist(|_, mut reply| {
            reply
                .headers
                .insert(DATE, HeaderValue::from_static("Tue, 15 Nov 1994 08:12:31 GMT"));
            reply
        }),
    );
    site.adversary.lie(
        "acme-files",
        "",
        Lie::instead(|asked| {
            let open = !asked.headers.contains_key(AUTHORIZATION);
            let listing = "<ListBucketResult></ListBucketResult>";
            Reply {
                status: if open { StatusCode::OK } else { StatusCode::FORBIDDEN },
                headers: HeaderMap::new(),
                body: listing.into(),
                end: End::Whole,
            }
        }),
    );
    let report = site.check("acme").await;
    assert_eq!(report.verdict("store_clock"), "failed", "{}", report.text);
    assert_eq!(
        report.verdict("buckets"),
        "failed",
        "a bucket that the gate may not list"
    );
    site.adversary.lie(
        "acme-files",
        "",
        Lie::instead(|_| Reply {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: "<ListBucketResult></ListBucketResult>".into(),
            end: End::Whole,
        }),
    );
    let report = site.check("acme").await;
    assert_eq!(report.verdict("direct_access"), "warning", "{}", report.text);
    assert!(report.fix("direct_access").contains("put-public-access-block"));
}

#[tokio::test]
async fn a_store_that_does_not_give_back_what_it_got_is_told() {
    let site = Site::start().await;
    site.adversary.lie(
        SYSTEM,
        "*",
        Lie::twist(|_, mut reply| {
            let mut body = reply.body.to_vec();
            if body.len() > 100_000 {
                body[700] ^= 1;
            }
            reply.body = body.into();
            reply
        }),
    );
    let report = site.check("acme").await;
    assert_eq!(
        (report.status, report.verdict("round_trip")),
        (1, "failed"),
        "{}",
        report.text
    );
}
