//! Who reaches what: exact names, patterns, shared buckets, the world.

use http::uri::{Authority, Scheme};

use super::*;
use crate::telemetry::clock::Clock;
use crate::upstream::StoreOptions;
use crate::upstream::sigv4::SecretKey;

fn credential(access_key: &str) -> Arc<Credential> {
    Arc::new(Credential::new(access_key, SecretKey::new("a secret of some length")).unwrap())
}

fn store() -> Arc<Store> {
    let options = StoreOptions {
        name: "main".to_owned(),
        scheme: Scheme::HTTP,
        authority: Authority::from_static("127.0.0.1:1"),
        region: "us-east-1".to_owned(),
        credential: credential("GATE"),
        roots: None,
        system_container: "isv-system-files".to_owned(),
        dialect: crate::upstream::Dialect::default(),
    };
    Arc::new(Store::new(options, Clock::system()).unwrap())
}

fn rule(name: &str, tenant: Option<&str>, prefix: Option<&str>, anonymous: bool) -> Rule {
    Rule {
        name: Pattern::parse(name).unwrap(),
        tenant: tenant.map(Arc::from),
        prefix: prefix.map(|prefix| Pattern::parse(prefix).unwrap()),
        store: store(),
        sealed_as: None,
        anonymous,
    }
}

fn tenants() -> Tenants {
    let client = |key: &str, tenants: &[&str]| Client {
        credential: credential(key),
        tenants: tenants.iter().copied().map(Arc::from).collect(),
        upstream: HashMap::from([("main".to_owned(), store().caller(credential("OWN")))]),
    };
    let key_urls = ["acme", "globex", "system"].map(|name| (Arc::from(name), format!("https://{name}/keys/k")));
    Tenants::new(
        vec![client("ACME", &["acme"]), client("BOTH", &["globex", "acme", "system"])],
        Vec::new(),
    )
    .with_rules(
        vec![
            rule("isv-*", Some("globex"), None, false),
            rule("isv-{tenant}-files", None, None, false),
            rule("shared", None, Some("customers/{tenant}/"), false),
            rule("public", Some("acme"), None, true),
        ],
        key_urls.into(),
    )
}

fn resolve(who: Option<&str>, container: &str, within: Within<'_>) -> Result<String, Denied> {
    let credential = who.map(credential);
    let access = tenants().resolve(credential.as_deref(), container, within)?;
    Ok(access.container.tenant.to_string())
}

#[test]
fn a_name_that_fixes_more_counts_first() {
    let itself = Within::Itself;
    assert_eq!(resolve(Some("BOTH"), "isv-acme-files", itself).as_deref(), Ok("acme"));
    assert_eq!(resolve(Some("BOTH"), "isv-other", itself).as_deref(), Ok("globex"));
    assert_eq!(resolve(Some("ACME"), "isv-other", itself), Err(Denied::OtherTenant));
    assert_eq!(
        resolve(Some("BOTH"), "isv-nobody-files", itself),
        Err(Denied::UnknownContainer)
    );
    assert_eq!(resolve(Some("BOTH"), "other", itself), Err(Denied::UnknownContainer));
}

#[test]
fn no_pattern_reaches_the_system_container() {
    for within in [Within::Itself, Within::Key("x")] {
        assert_eq!(
            resolve(Some("BOTH"), "isv-system-files", within),
            Err(Denied::UnknownContainer)
        );
    }
}

#[test]
fn a_shared_bucket_is_walled_by_the_key() {
    let key = |who, key| resolve(Some(who), "shared", Within::Key(key));
    assert_eq!(key("ACME", "customers/acme/a").as_deref(), Ok("acme"));
    assert_eq!(key("BOTH", "customers/globex/a").as_deref(), Ok("globex"));
    assert_eq!(key("ACME", "customers/globex/a"), Err(Denied::OtherTenant));
    for outside in [
        "",
        "customers/",
        "customers/acme",
        "customers/nobody/a",
        "other",
        "customers//a",
    ] {
        assert_eq!(key("ACME", outside), Err(Denied::OutsidePrefix), "{outside}");
    }
    assert_eq!(resolve(Some("ACME"), "shared", Within::Itself).as_deref(), Ok("acme"));
}

#[test]
fn the_world_sees_what_is_open_to_it_as_nobody() {
    assert_eq!(
        resolve(None, "isv-acme-files", Within::Itself),
        Err(Denied::NotAnonymous)
    );
    assert_eq!(
        resolve(None, "shared", Within::Key("customers/acme/a")),
        Err(Denied::NotAnonymous)
    );
    let open = tenants().resolve(None, "public", Within::Itself).ok().unwrap();
    assert!(matches!(open.caller, Caller::Nobody));
    let own = tenants()
        .resolve(Some(&credential("ACME")), "public", Within::Itself)
        .ok()
        .unwrap();
    assert!(matches!(own.caller, Caller::Client(_)));
}
