//! `portcullis check` with each kind of identity, configured as an operator does, and told what to do where one is not in order.

use std::fmt::Write as _;
use std::fs;

use portcullis::dev::standin::{APP_CLIENT, HOOLI_TENANT};

use super::super::check::Site;
use super::Pem;

const STEPS: [&str; 6] = ["identity", "token", "vault", "key", "wrap", "unwrap"];

#[tokio::test]
async fn a_certificate_is_checked() {
    let site = Site::start().await;
    let pem = Pem::new();
    let both = format!("{}{}", pem.key.serialize_pem(), pem.certificate);
    fs::write(site.data.join("gate.pem"), both).unwrap();
    let certified = |text: String| identity(text, "certificate", "certificate = \"gate.pem\"");
    let report = site.check_with("acme", certified).await;
    report.fails(
        "token",
        "certificate_unknown",
        &format!("az ad app credential reset --id {APP_CLIENT}"),
    );
    assert_eq!(report.verdict("identity"), "ok");
    site.standin.register_certificate(&pem.certificate).unwrap();
    let report = site.check_with("acme", certified).await;
    STEPS
        .iter()
        .for_each(|step| assert_eq!(report.verdict(step), "ok", "{}", report.text));
    assert!(report.found("identity").starts_with("certificate "), "{}", report.text);
}

#[tokio::test]
async fn a_service_account_is_checked_by_what_the_pod_is_told() {
    let site = Site::start().await;
    let file = site.data.join("token");
    fs::write(&file, site.standin.account_token().unwrap()).unwrap();
    let variable = ("AZURE_FEDERATED_TOKEN_FILE", file.to_str().unwrap());
    let workload = |text: String| identity(text, "workload", "");
    let report = site.check_on_host("acme", &[variable], workload).await;
    report.fails("token", "federation_mismatch", "system:serviceaccount:");
    site.standin.trust_cluster().unwrap();
    let report = site.check_on_host("acme", &[variable], workload).await;
    STEPS
        .iter()
        .for_each(|step| assert_eq!(report.verdict(step), "ok", "{}", report.text));
    fs::remove_file(&file).unwrap();
    let report = site.check_on_host("acme", &[variable], workload).await;
    report.fails("identity", "token_file_unreadable", "azure.workload.identity/use");
}

#[tokio::test]
async fn a_connected_machine_is_checked() {
    let site = Site::start().await;
    let machine = site.standin.connect_machine().await.unwrap();
    let connected = |challenges: String| {
        let agent = machine.endpoint().to_owned();
        move |text: String| {
            let settings = format!("[identity.own-tenant]\nkind = \"azure-arc\"\nagent = \"{agent}\"\n{challenges}");
            let (before, after) = text.split_once("[identity.own-tenant]").unwrap();
            let (_, rest) = after.split_once("[tenant.acme]").unwrap();
            format!("{before}{settings}[tenant.acme]{rest}")
        }
    };
    let here = format!("challenges = \"{}\"\n", machine.challenges().display());
    let report = site.check_with("globex", connected(here)).await;
    STEPS
        .iter()
        .for_each(|step| assert_eq!(report.verdict(step), "ok", "{}", report.text));
    let report = site.check_with("globex", connected(String::new())).await;
    report.fails(
        "identity",
        "arc_challenge_unreadable",
        "usermod --append --groups himds",
    );
}

/// App Service's form of managed identity, which Functions and Container Apps have too: the host says where, by two variables.
#[tokio::test]
async fn an_app_of_app_service_is_checked_by_what_the_host_tells() {
    let site = Site::start().await;
    let endpoint = site.standin.app_service_endpoint();
    let told = [
        ("IDENTITY_ENDPOINT", endpoint.as_str()),
        ("IDENTITY_HEADER", site.standin.app_service_header()),
    ];
    let without_imds = |text: String| {
        let lines = text.lines().filter(|line| !line.starts_with("imds_endpoint"));
        lines.fold(String::new(), |all, line| all + line + "\n")
    };
    for tenant in ["acme", "globex"] {
        let report = site.check_on_host(tenant, &told, without_imds).await;
        STEPS
            .iter()
            .for_each(|step| assert_eq!(report.verdict(step), "ok", "{}", report.text));
    }
    let wrong = [told[0], ("IDENTITY_HEADER", "somebody-elses")];
    let report = site.check_on_host("globex", &wrong, without_imds).await;
    assert_eq!(report.verdict("identity"), "failed", "{}", report.text);
    assert!(!report.text.contains("somebody-elses"));
    // Hosts that the SDK does not know how to ask, by the variables they are known by.
    for variables in [
        vec![told[0], told[1], ("IDENTITY_SERVER_THUMBPRINT", "00")],
        vec![told[0], ("IMDS_ENDPOINT", "http://127.0.0.1:1")],
    ] {
        let report = site.check_on_host("globex", &variables, without_imds).await;
        report.fails("identity", "identity_host_unsupported", "azure-arc");
    }
}

#[tokio::test]
async fn a_client_secret_is_for_trials() {
    let site = Site::start().await;
    fs::write(site.data.join("app-secret"), "a-trial-secret-0123456789").unwrap();
    let secret = |text: String| identity(text, "secret", "secret = { file = \"app-secret\" }");
    let report = site.check_with("acme", secret).await;
    assert_eq!(report.verdict("token"), "failed", "{}", report.text);
    site.standin.register_secret("a-trial-secret-0123456789").unwrap();
    let report = site.check_with("acme", secret).await;
    assert_eq!(
        (report.status, report.verdict("identity")),
        (0, "ok"),
        "{}",
        report.text
    );
    assert!(report.found("identity").contains("for trials only"), "{}", report.text);
    let report = site
        .check_with("acme", |text| secret(text).replace("dev = true", "dev = false"))
        .await;
    assert!(
        report
            .text
            .contains("identity.cross-tenant.kind: is only for dev = true"),
        "{}",
        report.text
    );
}

#[tokio::test]
async fn a_key_in_a_managed_hsm_is_checked() {
    let site = Site::start().await;
    let hsm = |text: String| {
        let mut text = text;
        let _ = write!(
            text,
            "[tenant.hooli]\nkey = \"{}\"\nidentity = \"cross-tenant\"\nentra_tenant = \"{HOOLI_TENANT}\"\n",
            site.standin.key_url("hooli"),
        );
        text.replace(
            "[bucket.globex-files]\ntenant = \"globex\"",
            "[bucket.globex-files]\ntenant = \"hooli\"",
        )
    };
    let report = site.check_with("hooli", hsm).await;
    for step in STEPS.into_iter().chain(["rights", "round_trip"]) {
        assert_eq!(report.verdict(step), "ok", "{step}: {}", report.text);
    }
    assert!(report.found("key").contains("oct-HSM"), "{}", report.text);
    assert!(
        report.found("wrap").contains("40 bytes wrapped, with A256KW"),
        "{}",
        report.text
    );
    site.standin.customer("hooli").remove_role().unwrap();
    let report = site.check_with("hooli", hsm).await;
    report.fails(
        "key",
        "role_missing",
        "az keyvault role assignment create --hsm-name hooli-hsm --role \"Managed HSM Crypto Service Encryption User\"",
    );
}

/// The configuration with another kind of identity for acme.
fn identity(text: String, kind: &str, setting: &str) -> String {
    let (before, after) = text.split_once("[identity.cross-tenant]").unwrap();
    let (of_identity, rest) = after.split_once("[identity.own-tenant]").unwrap();
    let kept: Vec<_> = of_identity
        .lines()
        .filter(|line| line.starts_with("app") || line.starts_with("authority"))
        .collect();
    format!(
        "{before}[identity.cross-tenant]\nkind = \"{kind}\"\n{}\n{setting}\n[identity.own-tenant]{rest}",
        kept.join("\n")
    )
}
