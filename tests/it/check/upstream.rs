//! What is wrong with the store: down, unknown credential, missing bucket, clock, world-readable, or not giving back what it got.

use std::fs;

use http::header::{AUTHORIZATION, DATE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
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

#[tokio::test]
async fn a_store_that_passes_over_conditions_is_told_whatever_the_configuration_says() {
    let site = Site::start().await;
    let told = |say: &'static str| {
        move |text: String| {
            let system = format!("system_container = \"{SYSTEM}\"");
            text.replace(&system, &format!("{system}\n{say}"))
        }
    };
    let step = "conditional_writes";
    let report = site.check_with("acme", told("conditional_writes = false")).await;
    assert_eq!((report.status, report.verdict(step)), (0, "warning"), "{}", report.text);
    assert!(report.found(step).contains("heeded, though"), "{}", report.text);

    site.adversary.lie(SYSTEM, "*", Lie::deaf(IF_NONE_MATCH));
    for (say, status, verdict, words) in [
        (
            "conditional_writes = true",
            1,
            "failed",
            "though the configuration says it heeds them",
        ),
        (
            "conditional_writes = \"probe\"",
            0,
            "warning",
            "the gate refuses such requests",
        ),
        (
            "conditional_writes = false",
            0,
            "warning",
            "the gate refuses such requests",
        ),
    ] {
        let report = site.check_with("acme", told(say)).await;
        assert_eq!(
            (report.status, report.verdict(step)),
            (status, verdict),
            "{say}: {}",
            report.text
        );
        for words in [
            words,
            "If-None-Match of PutObject",
            "If-None-Match of CompleteMultipartUpload",
        ] {
            assert!(report.found(step).contains(words), "{say}: {words}: {}", report.text);
        }
        assert!(
            !report.found(step).contains("If-Match"),
            "those it heeds: {}",
            report.text
        );
    }
    let (_, left) = site.stored();
    assert!(left.iter().all(|name| name.contains("keyring")), "{left:?}");
}

#[tokio::test]
async fn a_system_container_that_cannot_be_made_or_written_is_told() {
    let site = Site::start().await;
    let no_writing = |missing: &'static str| {
        Lie::instead(move |asked| match asked.method {
            Method::GET | Method::HEAD => {
                Reply::new(StatusCode::NOT_FOUND, format!("<Error><Code>{missing}</Code></Error>"))
            }
            _ => Reply::new(StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code></Error>"),
        })
    };
    site.adversary.lie(SYSTEM, "", no_writing("NoSuchBucket"));
    let report = site.check("acme").await;
    assert_eq!(
        (report.status, report.verdict("system_container")),
        (1, "failed"),
        "{}",
        report.text
    );
    assert!(
        report.found("system_container").contains("403 AccessDenied"),
        "{}",
        report.text
    );
    assert!(
        report
            .fix("system_container")
            .contains("create-bucket --bucket portcullis-system")
    );
    for step in ["conditional_writes", "buckets", "keyring", "round_trip"] {
        assert_eq!(report.verdict(step), "skipped", "{step}: {}", report.text);
    }

    site.adversary.honest();
    site.make(SYSTEM).await;
    site.adversary.lie(SYSTEM, "", Lie::twist(|_, reply| reply));
    site.adversary.lie(SYSTEM, "*", no_writing("NoSuchKey"));
    let report = site.check("acme").await;
    assert_eq!(report.verdict("system_container"), "ok", "it is there: {}", report.text);
    assert_eq!(
        (report.status, report.verdict("conditional_writes")),
        (1, "failed"),
        "{}",
        report.text
    );
    assert!(
        report.found("conditional_writes").contains("can't be written to"),
        "{}",
        report.text
    );
    assert!(
        report
            .fix("conditional_writes")
            .contains("write and delete in the system container")
    );
    assert_eq!(report.verdict("round_trip"), "failed", "{}", report.text);
    assert_eq!(
        report.verdict("buckets"),
        "ok",
        "what is not concerned is still looked at"
    );
}
