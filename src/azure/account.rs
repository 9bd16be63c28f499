//! The accounts that clients address, and for which tenant each of their containers is.
//!
//! An account here is the gate's own: its name and keys are what clients are given, and the upstream account that its containers
//! lie in has another credential. So one upstream account can hold many tenants, each reached by an account of its own, and no
//! key or SAS of one opens another's containers.

use std::collections::HashMap;
use std::sync::Arc;

use crate::upstream::AzureStore;
use crate::upstream::shared_key::AccountKey;

/// All accounts of a gate, by name.
pub struct Accounts {
    accounts: HashMap<String, Arc<Account>>,
    /// Host names that are an account's own, in lower case.
    domains: HashMap<String, String>,
}

/// One account.
pub struct Account {
    /// Its name, to clients.
    pub name: String,
    /// Its keys: each of them signs, as Azure's two do, so that one can be replaced while the other is in use.
    pub keys: Vec<AccountKey>,
    /// Where its containers lie.
    pub store: Arc<AzureStore>,
    /// Which containers it has; the first rule that fits a name counts.
    pub rules: Vec<Rule>,
    /// Custom domains.
    pub domains: Vec<String>,
}

/// Containers of one tenant.
pub struct Rule {
    /// A container's name, or the beginning of names if it ends in `*`.
    pub pattern: String,
    /// Whose blobs lie there.
    pub tenant: Arc<str>,
    /// The tenant's CMK, as clients are shown it.
    pub key_url: String,
    /// The account's part of the name that blobs are bound to, by default its own: a copy of all containers under another account
    /// stays readable.
    pub sealed_as: String,
}

/// A container that the gate serves.
#[derive(Clone)]
pub struct Container {
    /// Its name, to clients and in the store.
    pub name: String,
    /// Whose blobs lie in it.
    pub tenant: Arc<str>,
    /// The tenant's CMK.
    pub key_url: String,
    /// The name that blobs are bound to: account and container, since containers of two accounts may have one name.
    pub sealed_as: String,
    /// Where it lies.
    pub store: Arc<AzureStore>,
}

impl Accounts {
    /// All accounts; of two with one name the later counts (`config` refuses that).
    pub fn new(accounts: Vec<Account>) -> Self {
        let domain = |account: &Account| {
            let name = account.name.clone();
            let domains = account.domains.clone().into_iter();
            domains.map(move |domain| (domain.to_ascii_lowercase(), name.clone()))
        };
        Self {
            domains: accounts.iter().flat_map(domain).collect(),
            accounts: accounts
                .into_iter()
                .map(|account| (account.name.clone(), Arc::new(account)))
                .collect(),
        }
    }

    /// The account of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Account>> {
        self.accounts.get(name)
    }

    /// The account that a host name stands for: `<account>.blob.…`, `<account>-secondary.blob.…`, or a custom domain; with whether
    /// it is the secondary.
    pub fn of_host(&self, host: &str) -> Option<(&Arc<Account>, bool)> {
        let host = host.to_ascii_lowercase();
        let host = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
        if let Some(name) = self.domains.get(host) {
            return Some((self.accounts.get(name)?, false));
        }
        self.of_name(host.split_once('.')?.0)
    }

    /// The account of a name as it stands in addresses, with whether it is the secondary.
    pub fn of_name(&self, name: &str) -> Option<(&Arc<Account>, bool)> {
        match (self.accounts.get(name), name.strip_suffix("-secondary")) {
            (Some(account), _) => Some((account, false)),
            (None, Some(name)) => Some((self.accounts.get(name)?, true)),
            (None, None) => None,
        }
    }
}

impl Account {
    /// The container of this name, if it is one of this account's.
    pub fn container(&self, name: &str) -> Option<Container> {
        let rule = self.rules.iter().find(|rule| rule.fits(name))?;
        Some(Container {
            name: name.to_owned(),
            tenant: Arc::clone(&rule.tenant),
            key_url: rule.key_url.clone(),
            sealed_as: format!("{}/{name}", rule.sealed_as),
            store: Arc::clone(&self.store),
        })
    }

    /// Whether every container of the upstream account is this account's: then it may also do what concerns all of them.
    pub fn is_sole(&self) -> bool {
        self.rules.iter().any(|rule| rule.pattern == "*")
    }

    /// A tenant that is asked where no container is named: that of the first rule.
    pub fn tenants(&self) -> impl Iterator<Item = &Arc<str>> {
        self.rules.iter().map(|rule| &rule.tenant)
    }
}

impl Rule {
    fn fits(&self, name: &str) -> bool {
        match self.pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => self.pattern == name,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use http::uri::{Authority, Scheme};

    use super::*;
    use crate::telemetry::clock::Clock;
    use crate::upstream::AzureOptions;

    pub(in crate::azure) const KEY: [u8; 64] = [7; 64];

    pub(in crate::azure) fn accounts() -> Accounts {
        let store = AzureStore::new(
            AzureOptions {
                scheme: Scheme::HTTP,
                authority: Authority::from_static("127.0.0.1:1"),
                path_style: true,
                account: "upstream".into(),
                key: AccountKey::of(&[1; 32]),
                roots: None,
            },
            Clock::system(),
        );
        let rule = |pattern: &str, tenant: &str| Rule {
            pattern: pattern.into(),
            tenant: tenant.into(),
            key_url: "https://v/keys/k".into(),
            sealed_as: "acme".into(),
        };
        Accounts::new(vec![Account {
            name: "acme".into(),
            keys: vec![AccountKey::of(&[9; 64]), AccountKey::of(&KEY)],
            store: Arc::new(store.unwrap()),
            rules: vec![rule("shared", "globex"), rule("acme-*", "acme")],
            domains: vec!["Files.Example.com".into()],
        }])
    }

    #[test]
    fn an_account_is_found_by_every_address() {
        let accounts = accounts();
        for (host, secondary) in [
            ("acme.blob.core.windows.net", false),
            ("ACME.blob.localhost:10000", false),
            ("acme-secondary.blob.core.windows.net", true),
            ("files.example.com:443", false),
        ] {
            let found = accounts
                .of_host(host)
                .map(|(account, secondary)| (account.name.as_str(), secondary));
            assert_eq!(found, Some(("acme", secondary)), "{host}");
        }
        for host in ["127.0.0.1:10000", "localhost", "globex.blob.core.windows.net", "acme"] {
            assert!(accounts.of_host(host).is_none(), "{host}");
        }
    }

    #[test]
    fn a_container_is_its_rules_tenants() {
        let accounts = accounts();
        let account = accounts.get("acme").unwrap();
        let tenant = |name: &str| account.container(name).map(|container| container.tenant.to_string());
        assert_eq!(tenant("acme-1").as_deref(), Some("acme"));
        assert_eq!(tenant("shared").as_deref(), Some("globex"));
        assert_eq!(tenant("shared2"), None);
        assert_eq!(account.container("acme-1").unwrap().sealed_as, "acme/acme-1");
        assert!(!account.is_sole());
    }
}
