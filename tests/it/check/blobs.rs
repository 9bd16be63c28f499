//! What is wrong with an Azure store: conditions that it passes over, containers that are missing, open, or not the gate's to list.

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderName, Method, StatusCode};

use super::Site;
use crate::world::adversary::{Lie, Reply};
use crate::world::blobs::{ACCOUNT, Blobs, FILES, SYSTEM};

/// A gate's configuration that names an Azure store alone.
async fn site() -> Option<(Site, Blobs)> {
    let site = Site::start().await;
    let blobs = Blobs::start(&site.data).await?;
    Some((site, blobs))
}

impl Site {
    async fn check_blobs(&self, tenant: &str, blobs: &Blobs) -> super::Report {
        let listen = ([127, 0, 0, 1], 0).into();
        self.check_with(tenant, |_| blobs.configuration(&self.standin, &self.data, listen, ""))
            .await
    }
}

/// Every right of an account SAS that matters here.
const ALL: &str = "rwdlac";

/// With a credential that signs no headers.
fn with_sas(site: &Site, blobs: &Blobs, rights: &str) -> String {
    std::fs::write(site.data.join("blob-sas"), Blobs::sas(rights)).unwrap();
    let text = blobs.configuration(&site.standin, &site.data, ([127, 0, 0, 1], 0).into(), "");
    text.replace(
        "account_key = { file = \"blob-store\" }",
        "sas = { file = \"blob-sas\" }",
    )
}

#[tokio::test]
async fn an_azure_set_up_in_order_holds_at_every_step() {
    let Some((site, blobs)) = site().await else { return };
    let report = site.check_blobs("acme", &blobs).await;
    assert_eq!(report.status, 0, "{}", report.text);
    for step in [
        "unwrap",
        "store",
        "store_clock",
        "system_container",
        "conditional_writes",
        "containers",
        "direct_access",
        "keyring",
        "round_trip",
    ] {
        assert_eq!(report.verdict(step), "ok", "{step}: {}", report.text);
    }
    let by_sas = site.check_with("acme", |_| with_sas(&site, &blobs, ALL)).await;
    assert_eq!(by_sas.status, 0, "{}", by_sas.text);
    assert!(!by_sas.text.contains("sig="), "{}", by_sas.text);
    assert_eq!(report.step("containers")["of"], "acme/acme-files");
    assert!(
        report.found("direct_access").contains("can't be seen from here"),
        "{}",
        report.text
    );
    let left = blobs.store().names(SYSTEM).await;
    assert!(left.iter().all(|name| name.starts_with("keyring")), "{left:?}");
    assert_eq!(
        blobs.store().names(FILES).await,
        [""; 0],
        "nothing is written into a customer's container"
    );

    let globex = site.check_blobs("globex", &blobs).await;
    assert_eq!(globex.verdict("containers"), "skipped", "a pattern: {}", globex.text);
    assert_eq!(globex.status, 0);
}

#[tokio::test]
async fn an_azure_store_that_passes_over_conditions_is_told_with_each() {
    let Some((site, blobs)) = site().await else { return };
    for (header, passed) in [
        (
            IF_NONE_MATCH,
            ["If-None-Match of Put Blob", "If-None-Match of Put Block List"].as_slice(),
        ),
        (
            IF_MATCH,
            &[
                "If-Match of Put Blob",
                "If-Match of Put Block List",
                "If-Match of Get Blob",
                "If-Match of Delete Blob",
            ],
        ),
        (
            HeaderName::from_static("x-ms-blob-condition-appendpos"),
            &["the position of Append Block"],
        ),
    ] {
        blobs.adversary.honest();
        blobs.adversary.lie(ACCOUNT, "*", Lie::deaf(header.clone()));
        let report = site.check_with("acme", |_| with_sas(&site, &blobs, ALL)).await;
        assert_eq!(
            (report.status, report.verdict("conditional_writes")),
            (1, "failed"),
            "{header}: {}",
            report.text
        );
        for what in passed {
            assert!(
                report.found("conditional_writes").contains(what),
                "{what}: {}",
                report.text
            );
        }
    }
}

#[tokio::test]
async fn a_missing_container_and_one_that_the_gate_may_not_list_are_told() {
    let Some((site, blobs)) = site().await else { return };
    let store = blobs.store();
    let gone = store.ask(Method::DELETE, (FILES, ""), &[("restype", "container")], &[], b"");
    assert_eq!(gone.await.unwrap().status, 202);
    let report = site.check_blobs("acme", &blobs).await;
    assert_eq!(
        (report.status, report.verdict("containers")),
        (0, "warning"),
        "{}",
        report.text
    );
    assert!(
        report.found("containers").contains("ContainerNotFound"),
        "{}",
        report.text
    );
    assert!(
        report.fix("containers").contains("az storage container create"),
        "{}",
        report.text
    );
    assert_eq!(report.verdict("direct_access"), "skipped");
    let code = HeaderName::from_static("x-ms-error-code");
    let refused =
        move |_: &_| Reply::new(StatusCode::FORBIDDEN, "").with(code.clone(), "AuthorizationPermissionMismatch");
    blobs.adversary.lie(ACCOUNT, FILES, Lie::instead(refused));
    let report = site.check_blobs("acme", &blobs).await;
    assert!(
        report
            .found("containers")
            .contains("403 AuthorizationPermissionMismatch"),
        "{}",
        report.text
    );
    assert!(
        report.fix("containers").contains("let the gate's credential list"),
        "{}",
        report.text
    );
    blobs.adversary.honest();

    // The gate may read its own container, and not write there.
    store.make(SYSTEM).await;
    let report = site.check_with("acme", |_| with_sas(&site, &blobs, "rl")).await;
    assert_eq!(report.verdict("system_container"), "ok", "{}", report.text);
    assert_eq!(report.verdict("conditional_writes"), "failed", "{}", report.text);
    assert!(
        report.found("conditional_writes").contains("can't be written to"),
        "{}",
        report.text
    );
    assert!(
        report.fix("conditional_writes").contains("system container"),
        "{}",
        report.text
    );
    assert_eq!(report.verdict("round_trip"), "failed", "{}", report.text);
}

#[tokio::test]
async fn a_container_that_is_open_to_the_world_is_told() {
    let Some((site, blobs)) = site().await else { return };
    let store = blobs.store();
    let open = |level| {
        let headers = [("x-ms-blob-public-access", level)];
        let query = [("restype", "container"), ("comp", "acl")];
        let store = &store;
        async move { drop(store.write((FILES, ""), &query, &headers, b"").await) }
    };
    open("blob").await;
    let report = site.check_blobs("acme", &blobs).await;
    assert_eq!(
        (report.status, report.verdict("direct_access")),
        (0, "warning"),
        "{}",
        report.text
    );
    assert!(
        report.found("direct_access").contains("once there are some"),
        "{}",
        report.text
    );
    store.put((FILES, "a & b"), b"anything").await;
    let report = site.check_blobs("acme", &blobs).await;
    assert!(
        report.found("direct_access").contains("anybody may read a blob"),
        "{}",
        report.text
    );
    assert!(!report.found("direct_access").contains("list it"), "{}", report.text);
    open("container").await;
    let report = site.check_blobs("acme", &blobs).await;
    assert!(
        report.found("direct_access").contains("anybody may list it, and"),
        "{}",
        report.text
    );
    assert!(
        report.fix("direct_access").contains("--allow-blob-public-access false"),
        "{}",
        report.text
    );
}

#[tokio::test]
async fn an_account_with_another_endpoint_is_told() {
    let Some((site, blobs)) = site().await else { return };
    let hierarchical = HeaderName::from_static("x-ms-is-hns-enabled");
    let twist = Lie::twist(move |asked, reply| match asked.query.contains("comp=properties") {
        true => reply.with(hierarchical.clone(), "true"),
        false => reply,
    });
    blobs.adversary.lie(ACCOUNT, "", twist);
    let report = site.check_blobs("acme", &blobs).await;
    assert_eq!(
        (report.status, report.verdict("direct_access")),
        (0, "warning"),
        "{}",
        report.text
    );
    assert!(
        report.found("direct_access").contains("dfs endpoint"),
        "{}",
        report.text
    );
}
