//! `[keys]` and `[tenant.…]`: whose key, and how long a yes counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use azure_core::http::Url;

use crate::config::identity::Template;
use crate::config::mistake::Fault;
use crate::config::outside::{Outside, Secret};
use crate::config::section::{Entry, Section};
use crate::config::{Keys, Tenant, value};
use crate::keys::budget::{Budgets, Calls};
use crate::keys::identity::{Cloud, EntraId, Identity};
use crate::keys::key_url::{KeyUrl, VaultHosts};
use crate::keys::transport::TransportOptions;
use crate::keys::{Bounds, Expired, Terms, WhenRevoked};
use crate::seal::{OriginSecrets, WeakSecret};
use crate::upstream::{AzureOptions, StoreOptions};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The least of `revocation_bound`: a proof a third of it, and not more often, is what vaults bear.
const LEAST_REVOCATION: Duration = Duration::from_secs(5);
/// The least of `identity_bound`: Entra throttles those who exchange tokens more often.
const LEAST_IDENTITY: Duration = Duration::from_secs(300);
const LEAST_IDENTITY_DEV: Duration = Duration::from_secs(60);
/// What stand-ins for vaults on this machine are asked tokens for.
const LOCALHOST_SCOPE: &str = "https://vault.azure.net/.default";

/// `[keys]`, and which hosts may be a tenant's vault beside those of its identity's cloud.
pub(super) fn keys(
    section: &mut Section<'_, '_>,
    outside: &Outside<'_>,
    dev: bool,
    stores: &Stores<'_>,
) -> (Option<Keys>, Hosts) {
    let hosts = vault_hosts(section, dev);
    let bounds = bounds(section, dev);
    let budgets = budgets(section);
    let origin = section
        .need("origin_secrets")
        .and_then(Entry::list)
        .and_then(|secrets| origin(section, secrets, outside));
    let transport = transport(section, outside, dev, &bounds);
    let keyring = keyring(section, stores);
    let (Some(origin), Some(keyring)) = (origin, keyring) else {
        return (None, hosts);
    };
    let keys = Keys {
        bounds,
        budgets,
        origin: Arc::new(origin),
        transport,
        keyring,
    };
    (Some(keys), hosts)
}

/// Notes it where a budget is too small for one lease of every tenant. What a lease needs beyond that (a tenant whose objects
/// span several versions of its key) nobody knows beforehand.
pub(super) fn suffice(section: &Section<'_, '_>, keys: &Keys, tenants: &BTreeMap<String, Option<Tenant>>) {
    let mut vaults: BTreeMap<&str, usize> = BTreeMap::new();
    for tenant in tenants.values().flatten() {
        *vaults.entry(tenant.key.vault()).or_default() += 1;
    }
    let too_small = |key: &str, calls: Calls, tenants: usize, of: &str, bound: Duration, longer: &'static str| {
        if !calls.renew(tenants, bound) {
            let least = Calls::least(tenants, bound).map_or(Calls::MOST, Calls::number);
            let of = of.to_owned();
            let calls = calls.number();
            section.wrong(
                key,
                Fault::Budget {
                    calls,
                    tenants,
                    of,
                    least,
                    longer,
                },
            );
        }
    };
    let (budgets, bounds) = (keys.budgets, keys.bounds);
    if let Some((vault, tenants)) = vaults.into_iter().max_by_key(|(_, tenants)| *tenants) {
        let of = format!("in {vault}");
        too_small(
            "vault_budget",
            budgets.vault,
            tenants,
            &of,
            bounds.revocation,
            "revocation_bound",
        );
    }
    too_small(
        "entra_budget",
        budgets.entra,
        tenants.len(),
        "configured",
        bounds.identity,
        "identity_bound",
    );
}

/// The store of the keyring: the one that is named, or else the only one that has room for it.
fn keyring(section: &mut Section<'_, '_>, stores: &Stores<'_>) -> Option<String> {
    let azure = |name: &str| stores.azure.get(name).is_some();
    let has_room = |options: &Option<AzureOptions>| {
        // What is wrong with one is told already.
        options
            .as_ref()
            .is_none_or(|options| options.system_container.is_some())
    };
    if let Some(entry) = section.take("keyring") {
        let name = match entry.text() {
            Some(name) if azure(name) => entry.one_of("store", stores.azure)?,
            _ => return entry.one_of("store", stores.s3),
        };
        if !stores.azure.get(&name).is_some_and(has_room) {
            entry.wrong(Fault::Form("a store with a `system_container`"));
            return None;
        }
        return Some(name);
    }
    let azure = stores.azure.iter().filter(|(_, options)| has_room(options));
    let mut fit = stores.s3.keys().chain(azure.map(|(name, _)| name));
    match (fit.next(), fit.next()) {
        (Some(only), None) => Some(only.clone()),
        // That there is no store at all is told already.
        (None, _) if stores.azure.is_empty() => None,
        _ => {
            section.wrong("keyring", Fault::Missing);
            None
        }
    }
}

/// All stores, of both kinds.
pub(super) struct Stores<'a> {
    pub(super) s3: &'a BTreeMap<String, Option<StoreOptions>>,
    pub(super) azure: &'a BTreeMap<String, Option<AzureOptions>>,
}

fn bounds(section: &mut Section<'_, '_>, dev: bool) -> Bounds {
    let least_identity = if dev { LEAST_IDENTITY_DEV } else { LEAST_IDENTITY };
    let mut span = |key, least, most, default| {
        section
            .take(key)
            .and_then(|entry| entry.parsed(|text| value::span_within(text, least, most)))
            .unwrap_or(default)
    };
    let revocation = span("revocation_bound", LEAST_REVOCATION, HOUR, Duration::from_secs(30));
    let identity = span("identity_bound", least_identity, DAY, Duration::from_secs(600));
    if identity < revocation {
        section.wrong("identity_bound", Fault::Form("no shorter than revocation_bound"));
    }
    Bounds::new(revocation, identity)
}

fn budgets(section: &mut Section<'_, '_>) -> Budgets {
    let default = Budgets::default();
    let mut calls = |key, default| {
        section
            .take(key)
            .and_then(|entry| entry.number(Calls::LEAST, Calls::MOST))
            .and_then(Calls::new)
            .unwrap_or(default)
    };
    Budgets {
        vault: calls("vault_budget", default.vault),
        entra: calls("entra_budget", default.entra),
    }
}

fn origin(section: &Section<'_, '_>, entries: Vec<Entry<'_, '_>>, outside: &Outside<'_>) -> Option<OriginSecrets> {
    let secrets: Vec<_> = entries.into_iter().map(|entry| outside.secret(entry)).collect();
    // All of them, or the numbers would be off.
    let secrets: Vec<Secret> = secrets.into_iter().collect::<Option<_>>()?;
    let made = OriginSecrets::new(secrets.iter().map(Secret::bytes));
    made.map_err(|weak| match weak {
        WeakSecret::Missing => section.wrong("origin_secrets", Fault::Missing),
        WeakSecret::Short { number, .. } => {
            section.wrong(&format!("origin_secrets[{}]", number - 1), Fault::Origin(weak))
        }
        WeakSecret::Derivation => section.wrong("origin_secrets", Fault::Origin(weak)),
    })
    .ok()
}

fn transport(section: &mut Section<'_, '_>, outside: &Outside<'_>, dev: bool, bounds: &Bounds) -> TransportOptions {
    let default = TransportOptions::default();
    let deadline = section
        .take("deadline")
        .and_then(|entry| entry.parsed(|text| value::span_within(text, Duration::from_secs(1), bounds.revocation)))
        // A call that hangs must leave time for another before the lease ends.
        .unwrap_or(default.deadline.min(bounds.revocation / 2));
    let ca_pem = section.take("ca_file").and_then(|entry| outside.roots(&entry));
    let imds_endpoint = section.take("imds_endpoint").and_then(|entry| {
        if !dev {
            entry.wrong(Fault::DevOnly);
            return None;
        }
        entry.parsed(|text| {
            value::endpoint(text)?;
            Url::parse(text).map_err(|_| Fault::Form("an http URL"))
        })
    });
    TransportOptions {
        ca_pem: ca_pem.map(|(pem, _)| pem),
        connect_timeout: default.connect_timeout.min(deadline),
        deadline,
        imds_endpoint,
        ..default
    }
}

/// Which hosts may be a tenant's vault.
pub(super) struct Hosts {
    /// `vault_hosts`, which stands in the place of what the clouds have.
    named: Option<VaultHosts>,
    dev: bool,
}

impl Hosts {
    /// The vaults that any identity's token may be sent to.
    fn any(&self) -> VaultHosts {
        let all = || {
            Cloud::ALL
                .into_iter()
                .fold(VaultHosts::none(), |hosts, cloud| hosts.and(cloud.vaults()))
        };
        self.local(self.named.clone().unwrap_or_else(all))
    }

    /// The vaults that an identity's token may be sent to.
    fn of(&self, identity: &Template) -> VaultHosts {
        self.local(self.named.clone().unwrap_or_else(|| identity.cloud.vaults()))
    }

    fn local(&self, hosts: VaultHosts) -> VaultHosts {
        match self.dev {
            true => hosts.with_localhost(LOCALHOST_SCOPE),
            false => hosts,
        }
    }
}

fn vault_hosts(section: &mut Section<'_, '_>, dev: bool) -> Hosts {
    let named = section.take("vault_hosts").and_then(Entry::list).map(|entries| {
        entries
            .iter()
            .filter_map(|entry| entry.parsed(value::domain))
            .fold(VaultHosts::none(), |hosts, domain| {
                hosts.with(&domain, &format!("https://{domain}/.default"))
            })
    });
    Hosts { named, dev }
}

/// `[tenant.…]`; `None` where one has a mistake.
pub(super) fn tenants(
    sections: Vec<(String, Section<'_, '_>)>,
    identities: &BTreeMap<String, Option<Template>>,
    hosts: &Hosts,
) -> BTreeMap<String, Option<Tenant>> {
    sections
        .into_iter()
        .map(|(name, section)| {
            if let Err(fault) = value::name(&name) {
                section.wrong("", fault);
            }
            (name, tenant(section, identities, hosts))
        })
        .collect()
}

fn tenant(
    mut section: Section<'_, '_>,
    identities: &BTreeMap<String, Option<Template>>,
    hosts: &Hosts,
) -> Option<Tenant> {
    let key = section.need("key");
    let named = section
        .need("identity")
        .and_then(|entry| entry.one_of("identity", identities));
    let entra_tenant_entry = section.take("entra_tenant");
    let expired = match section.take("expired") {
        None => Some(Expired::default()),
        Some(entry) => entry.choice(&[("allow", Expired::Allow), ("deny", Expired::Deny)]),
    };
    let when_revoked = match section.take("when_revoked") {
        None => Some(WhenRevoked::default()),
        Some(entry) => entry.choice(&[("deny", WhenRevoked::Deny), ("deny-data", WhenRevoked::DenyData)]),
    };
    let template = named.and_then(|named| identities.get(&named)?.as_ref());
    // Without an identity there is no telling which hosts may be its vault: those of any cloud count as one.
    let hosts = template.map_or_else(|| hosts.any(), |template| hosts.of(template));
    let key = key.and_then(|entry| entry.parsed(|text| KeyUrl::parse(text, &hosts)));
    let identity = entra_tenant(&section, entra_tenant_entry, template?);
    Some(Tenant {
        key: key?,
        identity: identity?,
        terms: Terms {
            expired: expired?,
            when_revoked: when_revoked?,
        },
    })
}

/// An identity in the tenant that `entra_tenant` names, which some kinds need and others must not have.
pub(super) fn entra_tenant(
    section: &Section<'_, '_>,
    entry: Option<Entry<'_, '_>>,
    template: &Template,
) -> Option<Identity> {
    let given = entry.is_some();
    let tenant = entry.and_then(|entry| entry.parsed(str::parse::<EntraId>));
    match (template.is_of_its_own_tenant(), given) {
        (true, true) => section.wrong(
            "entra_tenant",
            Fault::Form("left out: a managed identity has a tenant of its own"),
        ),
        (false, false) => section.wrong("entra_tenant", Fault::Missing),
        _ => {}
    }
    template.within(tenant)
}
