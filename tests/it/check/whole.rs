//! The check as a whole: a set-up in order, exit statuses, and the page that explains each step.

use super::Site;

#[tokio::test]
async fn a_set_up_in_order_holds_at_every_step() {
    let site = Site::start().await;
    let report = site.check("acme").await;
    assert_eq!(report.status, 0, "{}", report.text);
    for step in [
        "configuration",
        "identity",
        "token",
        "vault",
        "key",
        "validity",
        "wrap",
        "unwrap",
        "rights",
        "vault_clock",
        "store",
        "store_clock",
        "system_container",
        "conditional_writes",
        "buckets",
        "direct_access",
        "keyring",
        "round_trip",
    ] {
        assert_eq!(report.verdict(step), "ok", "{step}: {}", report.text);
    }
    // The stand-in's vaults have no purge protection.
    assert_eq!(report.verdict("recovery"), "warning");
    assert!(
        report.found("system_container").contains("is made"),
        "the first one made it"
    );
    let again = site.check("acme").await;
    assert!(
        again.found("keyring").starts_with("1 DEK "),
        "the first one's: {}",
        again.text
    );
    let (lists, left) = site.stored();
    assert_eq!(lists, 0, "nothing is written into a customer's bucket");
    assert!(left.iter().all(|name| name.contains("keyring")), "{left:?}");

    let own = site.check("globex").await;
    assert_eq!(own.status, 0, "the ISV's own vault: {}", own.text);
    assert!(
        own.found("token").contains("managed identity's own tenant"),
        "{}",
        own.text
    );
}

#[tokio::test]
async fn what_it_cannot_run_on_and_what_is_wrong_have_their_own_statuses() {
    let site = Site::start().await;
    assert_eq!(site.run(&["check", "--config", "/nonexistent.toml"]).await.0, Some(2));
    let file = site.write(|text| text).display().to_string();
    assert_eq!(
        site.run(&["check", "--config", &file, "--tenant", "nobody"]).await.0,
        Some(2)
    );
    let report = site
        .check_with("acme", |text| text.replace("tenant = \"acme\"", "tenant = \"acmee\""))
        .await;
    assert_eq!(
        (report.status, report.verdict("configuration")),
        (1, "failed"),
        "{}",
        report.text
    );
    let (status, table) = site
        .run(&["check", "--config", &site.write(|text| text).display().to_string()])
        .await;
    assert_eq!(status, Some(0), "{table}");
    assert!(
        table.contains("tenant acme") && table.contains("tenant globex"),
        "{table}"
    );
    assert!(table.contains("  round trip") && table.contains("  ok "), "{table}");
}

#[tokio::test]
async fn every_step_is_explained() {
    let site = Site::start().await;
    let page = include_str!("../../../docs/onboarding.md");
    let table = page
        .split("| step | proves |")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    for step in site.check("acme").await.steps {
        let name = match step["step"].as_str().unwrap() {
            "wrap" => "wrapKey".to_owned(),
            "unwrap" => "unwrapKey".to_owned(),
            name => name.replace('_', " "),
        };
        assert!(table.contains(&name), "{name}");
    }
}
