//! The accounts that clients address, and for which tenant each of their containers is.
//!
//! An account here is the gate's own: its name and keys are what clients are given, and the upstream account that its containers
//! lie in has another credential. So one upstream account can hold many tenants, each reached by an account of its own, and no
//! key or SAS of one opens another's containers.

use std::collections::HashMap;
use std::sync::Arc;

use crate::azure::auth::Directory;
use crate::azure::operation::Operation;
use crate::seal::OriginSecrets;
use crate::tenant::{Denied, Pattern, Within};
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
    /// Its keys: each of them signs, as Azure's two do, so that one can be replaced while the other is in use. None where it takes
    /// tokens only.
    pub keys: Vec<AccountKey>,
    /// Where its containers lie.
    pub store: Arc<AzureStore>,
    /// Which containers it has; the first rule that fits a name counts.
    pub rules: Vec<Rule>,
    /// Custom domains.
    pub domains: Vec<String>,
    /// Every tenant's CMK, as clients are shown it.
    pub key_urls: Arc<HashMap<Arc<str>, String>>,
    /// Whose tokens it takes, if any's.
    pub directory: Option<Directory>,
    /// What the fleet keeps secret, for the keys that are given out to those who show a token.
    pub fleet: Arc<OriginSecrets>,
}

/// Containers that one tenant has, or that each name or blob says the tenant of.
pub struct Rule {
    /// Their names.
    pub name: Pattern,
    /// Whose blobs lie there; the tenant that `name` or `prefix` captures, if `None`.
    pub tenant: Option<Arc<str>>,
    /// How the names of blobs begin that belong to the tenant; all do without.
    pub prefix: Option<Pattern>,
    /// The account's part of the name that blobs are bound to, by default its own: a copy of all containers under another account
    /// stays readable.
    pub sealed_as: String,
    /// What anybody may read.
    pub anonymous: Anonymous,
}

/// What of a container anybody may read, without a signature. The names are Azure's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// Nothing.
    #[default]
    Nothing,
    /// Blobs whose names they know.
    Blob,
    /// Blobs, and which there are.
    Container,
}

impl Anonymous {
    /// Whether anybody may do this
    /// (<https://learn.microsoft.com/azure/storage/blobs/anonymous-read-access-configure>).
    pub fn permits(self, operation: Operation) -> bool {
        use Operation as Op;
        match operation {
            Op::GetBlob | Op::GetBlobProperties | Op::GetBlobMetadata | Op::GetBlockList => self != Self::Nothing,
            Op::ListBlobs | Op::GetContainerProperties => self == Self::Container,
            _ => false,
        }
    }
}

/// A container that the gate serves.
#[derive(Clone)]
pub struct Container {
    /// Its name, to clients and in the store.
    pub name: String,
    /// Whose blobs lie in it; where tenants share it, whose the request is about: nobody's where it is about the container itself.
    pub tenant: Arc<str>,
    /// The tenant's CMK.
    pub key_url: String,
    /// The name that blobs are bound to: account and container, since containers of two accounts may have one name.
    pub sealed_as: String,
    /// Where it lies.
    pub store: Arc<AzureStore>,
    /// Whether it has blobs beside those that this tenant may reach: then nothing may be asked of it as a whole.
    pub shared: bool,
    /// What anybody may read of it.
    pub anonymous: Anonymous,
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
    /// The container of this name, for what is asked of it.
    ///
    /// # Errors
    /// It is none of this account's, or what is asked lies with no tenant.
    pub fn container(&self, name: &str, within: Within<'_>) -> Result<Container, Denied> {
        if self.store.system_container() == Some(name) {
            return Err(Denied::UnknownContainer);
        }
        let fits = |rule: &Rule| rule.name.whole(name).map(str::to_owned);
        let found = self.rules.iter().find_map(|rule| Some((rule, fits(rule)?)));
        let (rule, by_name) = found.ok_or(Denied::UnknownContainer)?;
        let (tenant, key_url) = match (&rule.prefix, within) {
            (None, _) => self.tenant(rule, &by_name).ok_or(Denied::UnknownContainer)?,
            (Some(prefix), Within::Key(key)) => {
                let by_prefix = prefix.beginning(key).ok_or(Denied::OutsidePrefix)?;
                let named = if by_name.is_empty() { by_prefix } else { &by_name };
                self.tenant(rule, named).ok_or(Denied::OutsidePrefix)?
            }
            (Some(_), Within::Itself) => (Arc::from(""), String::new()),
        };
        Ok(Container {
            name: name.to_owned(),
            tenant,
            key_url,
            sealed_as: format!("{}/{name}", rule.sealed_as),
            store: Arc::clone(&self.store),
            shared: rule.prefix.is_some(),
            anonymous: rule.anonymous,
        })
    }

    fn tenant(&self, rule: &Rule, captured: &str) -> Option<(Arc<str>, String)> {
        let named = rule.tenant.as_deref().unwrap_or(captured);
        let (tenant, key_url) = self.key_urls.get_key_value(named)?;
        Some((Arc::clone(tenant), key_url.clone()))
    }

    /// Whether every container of the upstream account is this account's: then it may also do what concerns all of them.
    pub fn is_sole(&self) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.name.as_str() == "*" && rule.prefix.is_none())
    }

    /// Every tenant that may have blobs here.
    pub fn tenants(&self) -> impl Iterator<Item = &Arc<str>> {
        let open = self.rules.iter().any(|rule| rule.tenant.is_none());
        let is_one =
            move |tenant: &Arc<str>| open || self.rules.iter().any(|rule| rule.tenant.as_ref() == Some(tenant));
        self.key_urls.keys().filter(move |tenant| is_one(tenant))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use http::uri::{Authority, Scheme};

    use super::*;
    use crate::azure::auth::{Role, Signers};
    use crate::keys::identity::EntraId;
    use crate::keys::transport::{Transport, TransportOptions};
    use crate::telemetry::clock::Clock;
    use crate::upstream::{AzureCredential, AzureOptions};

    pub(in crate::azure) const KEY: [u8; 64] = [7; 64];

    /// Where `o` reads and `w` writes.
    fn directory() -> Directory {
        let tenant: EntraId = "a0000000-0000-4000-8000-00000000000a".parse().unwrap();
        let transport = Transport::new(TransportOptions::default()).unwrap();
        let authority = "https://login.localhost".parse().unwrap();
        Directory {
            audiences: Vec::new(),
            roles: [("o".into(), Role::Reader), ("w".into(), Role::Contributor)].into(),
            signers: Arc::new(Signers::new(
                Box::new(transport),
                authority,
                tenant.clone(),
                Clock::system(),
            )),
            tenant,
        }
    }

    fn rule(name: &str, tenant: Option<&str>, prefix: Option<&str>) -> Rule {
        Rule {
            name: Pattern::parse(name).unwrap(),
            tenant: tenant.map(Arc::from),
            prefix: prefix.map(|prefix| Pattern::parse(prefix).unwrap()),
            sealed_as: "acme".into(),
            anonymous: Anonymous::Nothing,
        }
    }

    pub(in crate::azure) fn account() -> Account {
        let store = AzureStore::new(
            AzureOptions {
                scheme: Scheme::HTTP,
                authority: Authority::from_static("127.0.0.1:1"),
                path_style: true,
                account: "upstream".into(),
                credential: AzureCredential::Key(Box::new(AccountKey::of(&[1; 32]))),
                system_container: Some("isv-acme-system".into()),
                roots: None,
            },
            &Transport::new(TransportOptions::default()).unwrap(),
            Clock::system(),
        );
        let key_urls = ["acme", "globex"].map(|name| (Arc::from(name), format!("https://{name}/keys/k")));
        Account {
            name: "acme".into(),
            keys: vec![AccountKey::of(&[9; 64]), AccountKey::of(&KEY)],
            store: Arc::new(store.unwrap()),
            rules: vec![
                rule("shared", Some("globex"), None),
                rule("files", None, Some("customers/{tenant}/")),
                rule("acme-*", Some("acme"), None),
                rule("isv-{tenant}", None, None),
            ],
            domains: vec!["Files.Example.com".into()],
            key_urls: Arc::new(key_urls.into()),
            directory: Some(directory()),
            fleet: Arc::new(OriginSecrets::new([[3; 32]]).unwrap()),
        }
    }

    pub(in crate::azure) fn accounts() -> Accounts {
        Accounts::new(vec![account()])
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
        let account = account();
        let tenant = |name: &str| {
            let found = account.container(name, Within::Itself);
            found.map(|container| container.tenant.to_string())
        };
        assert_eq!(tenant("acme-1").as_deref(), Ok("acme"));
        assert_eq!(tenant("shared").as_deref(), Ok("globex"));
        assert_eq!(tenant("isv-globex").as_deref(), Ok("globex"));
        for nobodys in ["shared2", "isv-nobody", "isv-", "isv-acme-system"] {
            assert_eq!(tenant(nobodys), Err(Denied::UnknownContainer), "{nobodys}");
        }
        let sealed_as = account
            .container("acme-1", Within::Itself)
            .map(|container| container.sealed_as);
        assert_eq!(sealed_as.as_deref(), Ok("acme/acme-1"));
        assert!(!account.is_sole());
        assert_eq!(account.tenants().count(), 2);
    }

    #[test]
    fn anybody_reads_no_more_than_is_open() {
        use Operation as Op;
        for (open, blob, list) in [
            (Anonymous::Nothing, false, false),
            (Anonymous::Blob, true, false),
            (Anonymous::Container, true, true),
        ] {
            assert_eq!((open.permits(Op::GetBlob), open.permits(Op::ListBlobs)), (blob, list));
            for never in [
                Op::PutBlob,
                Op::DeleteBlob,
                Op::GetBlobTags,
                Op::GetContainerAcl,
                Op::ListContainers,
            ] {
                assert!(!open.permits(never), "{never:?}");
            }
        }
    }

    #[test]
    fn a_shared_container_is_walled_by_the_blobs_name() {
        let account = account();
        let tenant = |blob| {
            let found = account.container("files", Within::Key(blob));
            found.map(|container| (container.tenant.to_string(), container.shared))
        };
        assert_eq!(tenant("customers/acme/a"), Ok(("acme".into(), true)));
        assert_eq!(tenant("customers/globex/"), Ok(("globex".into(), true)));
        for outside in [
            "",
            "customers/",
            "customers/acme",
            "customers/nobody/a",
            "Customers/acme/a",
        ] {
            assert_eq!(tenant(outside), Err(Denied::OutsidePrefix), "{outside}");
        }
        assert!(
            account
                .container("files", Within::Itself)
                .is_ok_and(|it| it.tenant.is_empty())
        );
    }
}
