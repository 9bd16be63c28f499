//! Azure's example loads, alone; every mistake in its part is told.

use super::tests::{EXAMPLE, Files};
use crate::azure::account::Anonymous;
use crate::azure::auth::Role;
use crate::upstream::AzureCredential;

const AZURE: &str = include_str!("../../config/azure.example.toml");

#[test]
fn a_gate_for_azure_alone_loads() {
    let files = Files::new("azure-example");
    assert_eq!(files.mistakes(AZURE), [""; 0]);
    let config = files.parse(AZURE).ok().unwrap();
    assert!(config.stores.is_empty() && config.buckets.is_empty() && config.listeners.is_empty());
    assert_eq!(
        (config.azure_listeners.len(), config.keys.keyring.as_str()),
        (1, "blob")
    );
    let store = &config.azure_stores["blob"];
    assert!(matches!(store.credential, AzureCredential::Identity(_)));
    assert_eq!(store.system_container.as_deref(), Some("portcullis-system"));
    let account = &config.accounts[0];
    let entra = account.entra.as_ref().unwrap();
    assert_eq!(entra.roles["6f1c0a52-4f5e-4d0b-9c57-0d6a4d1f7a11"], Role::Reader);
    assert_eq!(entra.roles.len(), 2);
    let rules: Vec<_> = account.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(rules, ["shared-files", "isv-{tenant}-files", "acme-*"]);
    assert!(account.rules.iter().all(|rule| rule.anonymous == Anonymous::Nothing));
    assert!(account.rules[0].prefix.is_some() && account.rules[0].tenant.is_none());
    for (other, is) in [
        ("sas = { file = \"secrets/isv-sas\" }", "a SAS"),
        ("account_key = { file = \"secrets/store-blob\" }", "a key"),
    ] {
        let said = AZURE.replacen("identity = \"own\"", other, 1);
        let config = files.parse(&said).ok().unwrap();
        let found = match config.azure_stores["blob"].credential {
            AzureCredential::Key(_) => "a key",
            AzureCredential::Sas(_) => "a SAS",
            AzureCredential::Identity(_) => "an identity",
        };
        assert_eq!(found, is);
    }
}

/// One change to the example, and the one mistake that it makes.
#[test]
#[rustfmt::skip] // a row a mistake
fn each_mistake_of_azures_part_is_told() {
    let files = Files::new("azure-mistakes");
    for (was, is, told) in [
        ("identity = \"own\"\n# sas", "# sas", "store.blob.account_key: is missing"),
        ("# account_key", "account_key", "store.blob: should be one of `account_key`, `sas` and `identity`"),
        ("identity = \"own\"\n# sas", "identity = \"none\"\n# sas", "store.blob.identity: there is no [identity.none]"),
        ("identity = \"own\"\n# sas", "identity = \"own\"\nentra_tenant = \"3c2b1a09-8d7e-4f6a-9b5c-4d3e2f1a0b9c\"\n# sas", "store.blob.entra_tenant: should be left out"),
        ("identity = \"own\"\n# sas", "sas = { file = \"secrets/origin\" }\n# sas", "store.blob.sas: should be a SAS"),
        ("\"https://isvfiles", "\"http://isvfiles", "store.blob.endpoint: should be an https URL"),
        ("system_container = \"portcullis-system\"", "", "keys.keyring: is missing"),
        ("system_container = \"portcullis-system\"", "system_container = \"-x\"", "store.blob.system_container: should be a container's name"),
        ("tenant = \"3c2b1a09-8d7e-4f6a-9b5c-4d3e2f1a0b9c\"", "tenant = \"contoso\"", "account.acme.entra.tenant: should be a GUID"),
        ("# owners = []", "owners = [\"6f1c0a52-4f5e-4d0b-9c57-0d6a4d1f7a11\"]", "account.acme.entra.owners[0]: is taken by another role"),
        ("# owners = []", "groups = []", "account.acme.entra.groups: is not known"),
        ("# anonymous = \"deny\"", "anonymous = \"allow\"", "container.acme-*.anonymous: should be one of"),
        ("\"isv-{tenant}-files\"", "\"isv-{other}-files\"", "should be text with `*`"),
        ("\"isv-{tenant}-files\"", "\"isv-files\"", "container.isv-files.tenant: should be `{tenant}` in the container's name or in its prefix"),
        ("\"isv-{tenant}-files\"", "\"acme-{tenant}\"", "is taken by another tenant's account.acme.container.acme-* already"),
        ("\"isv-{tenant}-files\"", "\"shared-*-{tenant}x\"", ""),
        ("container.\"acme-*\"", "container.\"portcullis-system\"", "is taken by the store's system_container already"),
    ] {
        assert!(AZURE.contains(was), "{was}");
        let said = files.mistakes(&AZURE.replacen(was, is, 1));
        match told.is_empty() {
            true => assert_eq!(said, [""; 0], "{is}"),
            false => assert!(said.len() == 1 && said[0].contains(told), "{is}: {said:#?}"),
        }
    }
}

/// A container of one real account is one tenant's, whichever store and account it is reached by.
#[test]
fn no_container_is_two_tenants() {
    let files = Files::new("walls");
    let store = |name: &str, endpoint: &str| {
        format!(
            "\n[store.{name}]\nkind = \"azure\"\nendpoint = \"{endpoint}\"\naccount = \"isvfiles\"\n\
             account_key = {{ file = \"secrets/store-blob\" }}\n"
        )
    };
    let account = |name: &str, store: &str, pattern: &str, tenant: &str| {
        format!(
            "\n[account.{name}]\nstore = \"{store}\"\nkeys = [{{ file = \"secrets/acme-azure\" }}]\n\
             [account.{name}.container.\"{pattern}\"]\ntenant = \"{tenant}\"\n"
        )
    };
    let stores = store("blob", "https://isvfiles.blob.core.windows.net") + &store("again", "https://files.example.com");
    let told = |accounts: &[String]| files.mistakes(&format!("{EXAMPLE}{stores}{}", accounts.concat()));
    let acme = account("acme", "blob", "acme-*", "acme");
    let globex = |store: &str, pattern: &str, tenant: &str| account("globex", store, pattern, tenant);
    for (store, pattern) in [("blob", "*"), ("blob", "acme-1"), ("again", "acme-*"), ("again", "a*")] {
        let told = told(&[acme.clone(), globex(store, pattern, "globex")]);
        let expected = format!(
            "account.globex.container.{pattern}: is taken by another tenant's account.acme.container.acme-* already"
        );
        assert!(told.len() == 1 && told[0].ends_with(&expected), "{told:#?}");
    }
    for (pattern, tenant) in [("globex-*", "globex"), ("acme", "globex"), ("acme-1", "acme")] {
        assert_eq!(
            told(&[acme.clone(), globex("blob", pattern, tenant)]),
            [""; 0],
            "{pattern}"
        );
    }
    // In one account too.
    let one = acme + "[account.acme.container.\"acme-9\"]\ntenant = \"globex\"\n";
    assert_eq!(told(&[one]).len(), 1);
}
