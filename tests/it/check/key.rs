//! What is wrong between the gate and a tenant's key: identity, application, role, network, dates, versions.

use portcullis::dev::standin::{ISV_TENANT, Network, Operation, Role};

use super::Site;

#[tokio::test]
async fn a_missing_role_is_told_with_the_command_that_gives_it() {
    let site = Site::start().await;
    site.standin.customer("acme").remove_role().unwrap();
    let report = site.check("acme").await;
    report.fails("key", "role_missing", "Key Vault Crypto Service Encryption User");
    assert_eq!(report.verdict("unwrap"), "skipped");
    assert_eq!(report.verdict("round_trip"), "skipped");
    assert_eq!(
        report.verdict("store"),
        "ok",
        "what is not concerned is still looked at"
    );
    let reader = site.standin.customer("acme").grant(Role::Reader);
    assert!(reader.is_ok());
    let report = site.check("acme").await;
    assert_eq!(
        report.verdict("wrap"),
        "ok",
        "who may read the key may wrap: it proves nothing"
    );
    report.fails("unwrap", "role_missing", "az role assignment create");
}

#[tokio::test]
async fn a_disabled_key_is_told_by_the_vault_itself() {
    let site = Site::start().await;
    site.standin.customer("acme").disable_key().unwrap();
    let report = site.check("acme").await;
    report.fails("validity", "key_disabled", "--enabled true");
    report.fails(
        "unwrap",
        "key_disabled",
        "az keyvault key set-attributes --vault-name acme-vault --name acme-cmk",
    );
    assert_eq!(report.verdict("round_trip"), "skipped");
    assert_eq!(site.check("globex").await.status, 0, "another tenant's set-up holds");
}

#[tokio::test]
async fn a_disabled_newest_version_is_a_warning_where_an_older_one_serves() {
    let site = Site::start().await;
    let acme = site.standin.customer("acme");
    let old = acme.key_version().unwrap();
    acme.rotate_key().unwrap();
    acme.set_version_enabled(&acme.key_version().unwrap(), false).unwrap();
    let report = site.check("acme").await;
    assert_eq!(
        (report.status, report.verdict("validity")),
        (0, "warning"),
        "{}",
        report.text
    );
    assert!(report.found("validity").contains(&old), "{}", report.text);
    assert_eq!(report.verdict("round_trip"), "ok");
}

#[tokio::test]
async fn expiry_is_told_before_and_after() {
    let site = Site::start().await;
    let acme = site.standin.customer("acme");
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    acme.set_expiry(Some(now + 3 * 86_400)).unwrap();
    assert_eq!(site.check("acme").await.verdict("validity"), "warning");
    acme.set_expiry(Some(now - 1)).unwrap();
    let report = site.check("acme").await;
    report.fails("validity", "key_expired", "--expires");
    acme.set_expiry(None).unwrap();
    acme.set_not_before(Some(now + 3600)).unwrap();
    site.check("acme")
        .await
        .fails("validity", "key_not_yet_valid", "--not-before");
}

#[tokio::test]
async fn an_application_that_is_not_there_is_told_by_the_token() {
    let site = Site::start().await;
    let acme = site.standin.customer("acme");
    acme.forget_app().unwrap();
    let report = site.check("acme").await;
    report.fails("token", "app_not_installed", "az ad sp create --id");
    assert_eq!(report.verdict("identity"), "ok", "the assertion was had");
    assert_eq!(report.verdict("vault"), "ok", "the vault is there all the same");
    acme.disable_app().unwrap();
    site.check("acme")
        .await
        .fails("token", "app_disabled", "accountEnabled=true");
}

#[tokio::test]
async fn a_wrong_tenant_is_told_by_the_vault() {
    let site = Site::start().await;
    let report = site
        .check_with("acme", |text| text.replace(&site.standin.tenant_id("acme"), ISV_TENANT))
        .await;
    report.fails("vault", "other_tenant", "entra_tenant");
    let found = report.found("vault");
    assert!(
        found.contains(ISV_TENANT) && found.contains(&site.standin.tenant_id("acme")),
        "{found}"
    );
}

#[tokio::test]
async fn the_isvs_own_identity_is_told_apart_from_the_customers_application() {
    let site = Site::start().await;
    site.standin.assign_identity(false).unwrap();
    let report = site.check("acme").await;
    report.fails("identity", "identity_not_assigned", "az vm identity assign");
    assert_eq!(report.verdict("token"), "skipped");
    site.standin.assign_identity(true).unwrap();
    site.standin.federate(Some("somebody-else")).unwrap();
    let report = site.check("acme").await;
    report.fails("token", "federation_mismatch", "federated-credential create");
    assert_eq!(report.verdict("identity"), "ok");
}

#[tokio::test]
async fn the_vaults_network_is_told() {
    let site = Site::start().await;
    let acme = site.standin.customer("acme");
    for (network, reason, advice) in [
        (Network::Firewalled, "vault_firewall", "network-rule add"),
        (Network::PrivateOnly, "private_link_required", "private-endpoint"),
    ] {
        acme.set_network(network).unwrap();
        let report = site.check("acme").await;
        report.fails("vault", reason, advice);
        assert_eq!(report.verdict("key"), "skipped");
    }
}

#[tokio::test]
async fn more_rights_than_needed_are_a_warning_and_nothing_is_changed_to_see_them() {
    let site = Site::start().await;
    site.standin.customer("acme").grant(Role::CryptoOfficer).unwrap();
    let report = site.check("acme").await;
    assert_eq!(
        (report.status, report.verdict("rights")),
        (0, "warning"),
        "{}",
        report.text
    );
    assert!(
        report
            .fix("rights")
            .contains("role assignment delete --role \"Key Vault Crypto Officer\"")
    );
    let vault = site.standin.vault("acme-vault");
    for operation in [
        Operation::UpdateKey,
        Operation::CreateKey,
        Operation::RotateKey,
        Operation::DeleteKey,
        Operation::PurgeKey,
        Operation::RecoverKey,
    ] {
        assert_eq!(vault.count(operation), 0, "{operation:?}");
    }
}

#[tokio::test]
async fn a_key_that_cannot_wrap_is_told_and_nothing_is_asked_of_it() {
    let site = Site::start().await;
    let acme = site.standin.customer("acme");
    let vault = site.standin.vault("acme-vault");
    acme.rotate_key_to_elliptic().unwrap();
    let report = site.check("acme").await;
    assert_eq!((report.status, report.verdict("key")), (1, "failed"), "{}", report.text);
    assert!(report.found("key").contains("no key that wraps"), "{}", report.text);
    assert!(report.fix("key").contains("--kty RSA --size 3072"), "{}", report.text);
    acme.rotate_key_to_short_rsa().unwrap();
    let report = site.check("acme").await;
    assert_eq!((report.status, report.verdict("key")), (1, "failed"), "{}", report.text);
    assert!(report.found("key").contains("RSA of 1024 bits"), "{}", report.text);
    assert!(
        report.fix("key").contains("RSA of 2048 bits at least"),
        "{}",
        report.text
    );
    for step in ["wrap", "unwrap", "round_trip"] {
        assert_eq!(report.verdict(step), "skipped", "{step}: {}", report.text);
    }
    assert_eq!(
        report.verdict("recovery"),
        "warning",
        "what is not concerned is still looked at"
    );
    assert_eq!(vault.count(Operation::WrapKey) + vault.count(Operation::UnwrapKey), 0);
    acme.rotate_key().unwrap();
    assert_eq!(site.check("acme").await.status, 0);
}

#[tokio::test]
async fn purge_protection_is_told_on_and_off() {
    let site = Site::start().await;
    for (tenant, name) in [("acme", "acme-vault"), ("globex", "globex-vault")] {
        let report = site.check(tenant).await;
        assert_eq!(
            (report.status, report.verdict("recovery")),
            (0, "warning"),
            "{}",
            report.text
        );
        assert!(
            report.found("recovery").contains("Recoverable+Purgeable"),
            "{}",
            report.text
        );
        let advice = format!("az keyvault update --name {name} --enable-purge-protection true");
        assert!(report.fix("recovery").contains(&advice), "{}", report.text);
        site.standin.customer(tenant).set_purge_protection(true).unwrap();
        let report = site.check(tenant).await;
        assert_eq!(report.verdict("recovery"), "ok", "{}", report.text);
        assert_eq!(report.found("recovery"), "Recoverable: purge protection is on");
    }
}
