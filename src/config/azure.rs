//! Azure's part: `[store.…]` of kind `azure`, and `[account.…]`, the accounts that clients address.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use http::Uri;
use http::uri::{Authority, Scheme};

use crate::config::Tenant;
use crate::config::mistake::Fault;
use crate::config::outside::Outside;
use crate::config::section::{Entry, Section};
use crate::config::value;
use crate::upstream::AzureOptions;
use crate::upstream::shared_key::AccountKey;

/// `[account.…]`.
pub struct AzureAccount {
    /// Its name, to clients.
    pub name: String,
    /// Its keys: one at least.
    pub keys: Vec<AccountKey>,
    /// The store that its containers lie in; it exists, and is of kind `azure`.
    pub store: String,
    /// Host names of its own.
    pub domains: Vec<String>,
    /// Its containers, the most exact pattern first.
    pub rules: Vec<AzureRule>,
}

/// `[account.….container.…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureRule {
    /// A container's name, or the beginning of names and `*`.
    pub pattern: String,
    /// Whose blobs lie there.
    pub tenant: Arc<str>,
    /// The account's part of the name that blobs are bound to.
    pub sealed_as: String,
}

/// The rest of a store of kind `azure`.
pub(super) fn store(mut section: Section<'_, '_>, outside: &Outside<'_>) -> Option<AzureOptions> {
    let endpoint = section.need("endpoint").and_then(|entry| entry.parsed(endpoint));
    let account = section
        .need("account")
        .and_then(|entry| entry.parsed(|name| account_name(name).map(|()| name.to_owned())));
    let key = match section.need("account_key") {
        None => None,
        Some(entry) => key(entry, &section, "account_key", outside),
    };
    let roots = match section.take("ca_file") {
        None => Some(None),
        Some(entry) => outside.roots(&entry).map(|(_, roots)| Some(roots)),
    };
    let (scheme, authority, in_path) = endpoint?;
    let account = account?;
    if in_path.as_ref().is_some_and(|in_path| *in_path != account) {
        section.wrong(
            "endpoint",
            Fault::Form("an endpoint whose path, if it has one, is the account's name"),
        );
        return None;
    }
    Some(AzureOptions {
        scheme,
        authority,
        path_style: in_path.is_some(),
        account,
        key: key?,
        roots: roots?,
    })
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
            let keys = section.need("keys").and_then(Entry::list).map(|entries| {
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
                keys: keys??,
                store: store?,
                domains: domains?,
                rules,
            })
        })
        .collect()
}

/// Which containers of a real account are whose, and where that is said.
struct Claim<'s> {
    store: &'s AzureOptions,
    pattern: String,
    tenant: String,
    place: String,
}

impl Claim<'_> {
    /// Whether one container could be two tenants'.
    fn contradicts(&self, other: &Self) -> bool {
        self.tenant != other.tenant && is_one(self.store, other.store) && overlap(&self.pattern, &other.pattern)
    }
}

/// Whether two stores are one account. Its name alone says so, whatever it is reached by; emulators may each have one of that name.
fn is_one(a: &AzureOptions, b: &AzureOptions) -> bool {
    let emulators = a.path_style && b.path_style;
    a.account == b.account && (!emulators || a.authority == b.authority)
}

/// Whether there is a name that both patterns fit.
fn overlap(a: &str, b: &str) -> bool {
    match (a.strip_suffix('*'), b.strip_suffix('*')) {
        (None, None) => a == b,
        (Some(begin), None) => b.starts_with(begin),
        (None, Some(begin)) => a.starts_with(begin),
        (Some(a), Some(b)) => a.starts_with(b) || b.starts_with(a),
    }
}

fn rules<'s>(
    sections: Vec<(String, Section<'_, '_>)>,
    sealed_as: Option<&str>,
    tenants: &BTreeMap<String, Option<Tenant>>,
    store: Option<&'s AzureOptions>,
    claims: &mut Vec<Claim<'s>>,
) -> Vec<AzureRule> {
    let mut rules: Vec<AzureRule> = sections
        .into_iter()
        .filter_map(|(pattern, mut section)| {
            let begins = pattern.strip_suffix('*').unwrap_or(&pattern);
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'$');
            if !begins.bytes().all(plain) || pattern.is_empty() || pattern.len() > 64 {
                section.wrong("", Fault::Form("a container's name, or how names begin and \"*\""));
            }
            let tenant = section.need("tenant").and_then(|entry| entry.one_of("tenant", tenants));
            if let (Some(store), Some(tenant)) = (store, &tenant) {
                let claim = Claim {
                    store,
                    pattern: pattern.clone(),
                    tenant: tenant.clone(),
                    place: section.place_of(""),
                };
                // Whichever rule came first would decide whose key seals, and either tenant could delete the other's blobs.
                if let Some(earlier) = claims.iter().find(|earlier| earlier.contradicts(&claim)) {
                    let by = format!("another tenant's {}", earlier.place);
                    section.wrong("", Fault::Taken { by });
                }
                claims.push(claim);
            }
            Some(AzureRule {
                pattern,
                tenant: Arc::from(tenant?),
                sealed_as: sealed_as?.to_owned(),
            })
        })
        .collect();
    // A name before a pattern, a longer pattern before a shorter one.
    rules.sort_by_key(|rule| (rule.pattern.ends_with('*'), std::cmp::Reverse(rule.pattern.len())));
    rules
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

    #[test]
    fn patterns_overlap_where_one_name_fits_both() {
        for (a, b, expected) in [
            ("a", "a", true),
            ("a", "b", false),
            ("a*", "ab", true),
            ("a*", "b", false),
            ("a*", "ab*", true),
            ("ab*", "ac*", false),
            ("*", "x", true),
            ("*", "$root", true),
            ("ab*", "a", false),
        ] {
            assert_eq!((overlap(a, b), overlap(b, a)), (expected, expected), "{a} {b}");
        }
    }
}
