//! Azure's part: `[store.…]` of kind `azure`, and `[account.…]`, the accounts that clients address. Which containers these have is
//! read in [`super::azure_rules`].

use std::collections::{BTreeMap, HashMap};

use http::Uri;
use http::uri::{Authority, Scheme};

use crate::azure::auth::Role;
use crate::config::Tenant;
use crate::config::azure_rules::{AzureRule, rules};
use crate::config::identity::Template;
use crate::config::keys::entra_tenant;
use crate::config::mistake::Fault;
use crate::config::outside::Outside;
use crate::config::section::{Entry, Section};
use crate::config::value;
use crate::keys::identity::{self, EntraId};
use crate::upstream::shared_key::AccountKey;
use crate::upstream::{AzureCredential, AzureOptions, StoreSas};

/// `[account.…]`.
pub struct AzureAccount {
    /// Its name, to clients.
    pub name: String,
    /// Its keys: one at least, unless it takes tokens.
    pub keys: Vec<AccountKey>,
    /// Whose tokens it takes.
    pub entra: Option<AzureDirectory>,
    /// The store that its containers lie in; it exists, and is of kind `azure`.
    pub store: String,
    /// Host names of its own.
    pub domains: Vec<String>,
    /// Its containers, the most exact pattern first.
    pub rules: Vec<AzureRule>,
}

/// `[account.….entra]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureDirectory {
    /// Whose tokens.
    pub tenant: EntraId,
    /// Where the tenant is.
    pub authority: identity::Authority,
    /// Audiences besides the storage service's own.
    pub audiences: Vec<String>,
    /// Who may do what, by object or application id.
    pub roles: HashMap<String, Role>,
}

/// The rest of a store of kind `azure`.
pub(super) fn store(
    mut section: Section<'_, '_>,
    outside: &Outside<'_>,
    dev: bool,
    identities: &BTreeMap<String, Option<Template>>,
) -> Option<AzureOptions> {
    let endpoint = section.need("endpoint").and_then(|entry| entry.parsed(endpoint));
    let account = section
        .need("account")
        .and_then(|entry| entry.parsed(|name| account_name(name).map(|()| name.to_owned())));
    let credential = credential(&mut section, outside, identities);
    let system_container = match section.take("system_container") {
        None => Some(None),
        Some(entry) => entry.parsed(|name| container_name(name).map(|()| Some(name.to_owned()))),
    };
    let roots = match section.take("ca_file") {
        None => Some(None),
        Some(entry) => outside.roots(&entry).map(|(_, roots)| Some(roots)),
    };
    let (scheme, authority, in_path) = endpoint?;
    let (account, credential) = (account?, credential?);
    if in_path.as_ref().is_some_and(|in_path| *in_path != account) {
        section.wrong(
            "endpoint",
            Fault::Form("an endpoint whose path, if it has one, is the account's name"),
        );
        return None;
    }
    // A key signs; a token or a SAS goes along with each request, for whoever listens.
    if !matches!(credential, AzureCredential::Key(_)) && scheme == Scheme::HTTP && !dev {
        section.wrong("endpoint", Fault::Form("an https URL: the credential is sent there"));
        return None;
    }
    Some(AzureOptions {
        scheme,
        authority,
        path_style: in_path.is_some(),
        account,
        credential,
        system_container: system_container?,
        roots: roots?,
    })
}

/// What the gate is to the store: one of `account_key`, `sas` and `identity`.
fn credential(
    section: &mut Section<'_, '_>,
    outside: &Outside<'_>,
    identities: &BTreeMap<String, Option<Template>>,
) -> Option<AzureCredential> {
    let tenant = section.take("entra_tenant");
    match (
        section.take("account_key"),
        section.take("sas"),
        section.take("identity"),
    ) {
        (Some(entry), None, None) => {
            key(entry, section, "account_key", outside).map(|key| AzureCredential::Key(Box::new(key)))
        }
        (None, Some(entry), None) => {
            let secret = outside.secret(entry)?;
            let sas = secret
                .text(24)
                .and_then(|text| StoreSas::parse(text).map_err(|_| Fault::Form("a SAS: `sv=…&…&sig=…`")));
            let sas = sas.map_err(|fault| section.wrong("sas", fault)).ok()?;
            Some(AzureCredential::Sas(sas))
        }
        (None, None, Some(entry)) => {
            let named = entry.one_of("identity", identities)?;
            let template = identities.get(&named)?.as_ref()?;
            let identity = entra_tenant(section, tenant, template);
            identity.map(AzureCredential::Identity)
        }
        (None, None, None) => {
            section.wrong("account_key", Fault::Missing);
            None
        }
        _ => {
            section.wrong("", Fault::Form("one of `account_key`, `sas` and `identity`"));
            None
        }
    }
}

/// `[account.…]`.
pub(super) fn accounts(
    sections: Vec<(String, Section<'_, '_>)>,
    outside: &Outside<'_>,
    tenants: &BTreeMap<String, Option<Tenant>>,
    stores: &BTreeMap<String, Option<AzureOptions>>,
) -> Vec<AzureAccount> {
    let mut taken = HashMap::new();
    let mut claims = Vec::new();
    sections
        .into_iter()
        .filter_map(|(name, mut section)| {
            if let Err(fault) = account_name(&name) {
                section.wrong("", fault);
            }
            let store = section.need("store").and_then(|entry| entry.one_of("store", stores));
            let entra = match section.take("entra") {
                None => Some(None),
                Some(entry) => entry.section().and_then(directory).map(Some),
            };
            let keys = match &entra {
                Some(None) => section.need("keys"),
                _ => section.take("keys"),
            };
            let given = keys.is_some();
            let keys = keys.and_then(Entry::list).map(|entries| {
                if entries.is_empty() {
                    section.wrong("keys", Fault::Form("one key at least"));
                }
                let keys = entries
                    .into_iter()
                    .map(|entry| key(entry, &section, "keys", outside))
                    .collect::<Vec<_>>();
                keys.into_iter().collect::<Option<Vec<_>>>()
            });
            let sealed_as = match section.take("sealed_as") {
                None => Some(name.clone()),
                Some(entry) => entry.parsed(|text| account_name(text).map(|()| text.to_owned())),
            };
            let domains = match section.take("domains") {
                None => Some(Vec::new()),
                Some(entry) => entry.list().map(|entries| {
                    let domains = entries.iter().filter_map(|entry| {
                        let domain = entry.text()?.to_ascii_lowercase();
                        match taken.insert(domain.clone(), section.place_of("domains")) {
                            Some(by) => {
                                entry.wrong(Fault::Taken { by });
                                None
                            }
                            None => Some(domain),
                        }
                    });
                    domains.collect()
                }),
            };
            let options = store.as_ref().and_then(|store| stores.get(store)?.as_ref());
            let rules = rules(
                section.named("container"),
                sealed_as.as_deref(),
                tenants,
                options,
                &mut claims,
            );
            Some(AzureAccount {
                name,
                keys: if given { keys?? } else { Vec::new() },
                entra: entra?,
                store: store?,
                domains: domains?,
                rules,
            })
        })
        .collect()
}

/// `[account.….entra]`: nobody may do anything who is not named.
fn directory(mut section: Section<'_, '_>) -> Option<AzureDirectory> {
    let tenant = section
        .need("tenant")
        .and_then(|entry| entry.parsed(str::parse::<EntraId>));
    let authority = match section.take("authority") {
        None => Some(identity::Authority::default()),
        Some(entry) => entry.parsed(str::parse),
    };
    let audiences = section.take("audiences").and_then(Entry::list).unwrap_or_default();
    let audiences = audiences
        .iter()
        .filter_map(|entry| Some(entry.text()?.to_owned()))
        .collect();
    let mut roles = HashMap::new();
    for (name, role) in [
        ("readers", Role::Reader),
        ("contributors", Role::Contributor),
        ("owners", Role::Owner),
    ] {
        for entry in section.take(name).and_then(Entry::list).unwrap_or_default() {
            let Some(id) = entry.parsed(str::parse::<EntraId>) else {
                continue;
            };
            if roles.insert(id.as_str().to_owned(), role).is_some() {
                let by = "another role".to_owned();
                entry.wrong(Fault::Taken { by });
            }
        }
    }
    Some(AzureDirectory {
        tenant: tenant?,
        authority: authority?,
        audiences,
        roles,
    })
}

/// An account's key; `name` is the setting of `section` that mistakes are told of.
fn key(entry: Entry<'_, '_>, section: &Section<'_, '_>, name: &str, outside: &Outside<'_>) -> Option<AccountKey> {
    let secret = outside.secret(entry)?;
    let key = secret
        .text(24)
        .and_then(|text| AccountKey::parse(text).map_err(|_| Fault::Form("base64 of 16 bytes at least")));
    key.map_err(|fault| section.wrong(name, fault)).ok()
}

/// A storage account's name, by Azure's rules.
fn account_name(text: &str) -> Result<(), Fault> {
    let clean = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    match clean && (3..=24).contains(&text.len()) {
        true => Ok(()),
        false => Err(Fault::Form("an account's name: 3 to 24 lower-case letters and digits")),
    }
}

/// A container's name, by Azure's rules, as far as a gate's own needs them.
fn container_name(text: &str) -> Result<(), Fault> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let edge = |b: Option<&u8>| b.is_some_and(|b| *b != b'-');
    let edges = edge(text.as_bytes().first()) && edge(text.as_bytes().last());
    match text.bytes().all(plain) && edges && !text.contains("--") && (3..=63).contains(&text.len()) {
        true => Ok(()),
        false => Err(Fault::Form(
            "a container's name: 3 to 63 lower-case letters, digits and single '-', none at its ends",
        )),
    }
}

/// A blob service's endpoint: an origin, and for emulators the account's name as its path.
fn endpoint(text: &str) -> Result<(Scheme, Authority, Option<String>), Fault> {
    let uri = text.parse::<Uri>().ok();
    let path = uri
        .as_ref()
        .map(|uri| uri.path().trim_matches('/').to_owned())
        .unwrap_or_default();
    let origin = match path.is_empty() {
        true => text,
        false => text
            .split_once(&path)
            .map_or(text, |(origin, _)| origin.trim_end_matches('/')),
    };
    let (scheme, authority) = value::endpoint(origin)?;
    match path.contains('/') {
        true => Err(Fault::Form(
            "an endpoint whose path, if it has one, is the account's name",
        )),
        false => Ok((scheme, authority, Some(path).filter(|path| !path.is_empty()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_may_have_the_account_in_its_path() {
        let (scheme, authority, account) = endpoint("http://127.0.0.1:10000/devstoreaccount1/").unwrap();
        assert_eq!((scheme, authority.as_str()), (Scheme::HTTP, "127.0.0.1:10000"));
        assert_eq!(account.as_deref(), Some("devstoreaccount1"));
        assert_eq!(endpoint("https://a.blob.core.windows.net").unwrap().2, None);
        assert!(endpoint("https://a.example/b/c").is_err());
        assert!(account_name("Acme").is_err() && account_name("acme1").is_ok());
    }
}
