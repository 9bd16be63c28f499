//! What the gate is told: a TOML file and what it refers to, read once, into values that need no further checks. The only
//! place that reads files and the environment. All mistakes are told at once, each with its place.
//!
//! `config/example.toml` explains every setting, `config/azure.example.toml` those of Azure's.

mod azure;
mod azure_rules;
#[cfg(test)]
mod azure_tests;
mod cckm;
mod identity;
mod keys;
mod mistake;
mod outside;
mod section;
mod serving;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod token_tests;
mod value;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use azure::{AzureAccount, AzureDirectory};
pub use azure_rules::AzureRule;
pub use mistake::{Fault, Mistake, Mistakes};

use zeroize::Zeroizing;

use crate::cckm::CckmOptions;
use crate::config::outside::Outside;
use crate::config::section::{Report, Section};
use crate::gateway::S3Options;
use crate::keys::budget::Budgets;
use crate::keys::identity::Identity;
use crate::keys::key_url::KeyUrl;
use crate::keys::transport::TransportOptions;
use crate::keys::{Bounds, Terms};
use crate::listener::ListenerOptions;
use crate::seal::OriginSecrets;
use crate::telemetry::logs::Format;
use crate::telemetry::trail::TrailOptions;
use crate::tenant::Pattern;
use crate::upstream::sigv4::Credential;
use crate::upstream::{AzureOptions, StoreOptions};

/// Where the admin listener is unless configured.
const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);

/// A configuration without a mistake.
pub struct Config {
    /// Whether stand-ins on this machine may take the place of vaults and of Entra.
    pub dev: bool,
    /// How log lines are written, and which.
    pub log: Log,
    /// Where the audit goes besides the log.
    pub trail: Option<TrailOptions>,
    /// Where health and metrics are served.
    pub admin: SocketAddr,
    /// Who may have keys proved at once: whoever shows this token.
    pub recheck_token: Option<Zeroizing<Vec<u8>>>,
    /// Where clients are served: one listener at least, no address twice.
    pub listeners: Vec<ListenerOptions>,
    /// How S3 is spoken.
    pub s3: S3Options,
    /// Where clients of Azure's dialect are served.
    pub azure_listeners: Vec<ListenerOptions>,
    /// The real stores of kind `azure`, by name.
    pub azure_stores: BTreeMap<String, AzureOptions>,
    /// The accounts that clients of Azure's dialect address.
    pub accounts: Vec<AzureAccount>,
    /// The real stores of kind `s3`, by name: one of either kind at least.
    pub stores: BTreeMap<String, StoreOptions>,
    /// What all tenants' keys have in common.
    pub keys: Keys,
    /// The tenants, by name: one at least.
    pub tenants: BTreeMap<Arc<str>, Tenant>,
    /// Who may ask in S3's dialect: one at least unless there are accounts, no access key twice, every tenant in `tenants`.
    pub clients: Vec<Client>,
    /// What there is to ask for: one at least unless there are accounts, in the order of their names; tenant and store exist.
    pub buckets: Vec<Bucket>,
    /// The CipherTrust Managers that are asked about tenants' keys; there may be none.
    pub cckm: Vec<CckmOptions>,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The form of a line.
    pub format: Format,
    /// A directive list that `tracing` can read.
    pub filter: String,
}

/// `[keys]`.
pub struct Keys {
    /// How long a yes counts.
    pub bounds: Bounds,
    /// How often one gate calls each vault, and Entra: often enough to renew a lease of every tenant.
    pub budgets: Budgets,
    /// The fleet's mark on its envelopes.
    pub origin: Arc<OriginSecrets>,
    /// How vaults, Entra and the managed identity endpoint are reached.
    pub transport: TransportOptions,
    /// The store whose system container holds the keyring; it exists.
    pub keyring: String,
}

/// `[tenant.…]`.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// The tenant's CMK, on an allowed host.
    pub key: KeyUrl,
    /// Who the gate is to the CMK's vault.
    pub identity: Identity,
    /// What holds beyond the vault's own yes and no.
    pub terms: Terms,
}

/// `[[credential]]`.
pub struct Client {
    /// What the client signs with.
    pub credential: Arc<Credential>,
    /// The tenants whose buckets it may use: one at least.
    pub tenants: Vec<Arc<str>>,
    /// Its own credentials at stores, by the store's name.
    pub upstream: BTreeMap<String, Arc<Credential>>,
}

/// `[bucket.…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its name, to clients and in the store, or those of many.
    pub name: Pattern,
    /// Whose objects lie in it; the tenant that the name or the prefix captures, if `None`.
    pub tenant: Option<Arc<str>>,
    /// How the keys begin that belong to the tenant; all do without.
    pub prefix: Option<Pattern>,
    /// The name of the store it lies in.
    pub store: String,
    /// The name that its objects are bound to; its own if `None`.
    pub sealed_as: Option<String>,
    /// Whether the store's word counts for requests that nobody signed.
    pub anonymous: bool,
}

impl Config {
    /// Reads a file; relative paths in it start at its directory.
    ///
    /// # Errors
    /// [`Mistakes`]: all there are. A file that can't be read is one.
    pub fn load(path: &Path) -> Result<Self, Mistakes> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let fault = Fault::File {
                path: path.display().to_string(),
                reason: error.to_string(),
            };
            let place = String::new();
            Mistakes::of(vec![Mistake {
                place,
                line: None,
                fault,
            }])
        })?;
        let base = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, base, |name| std::env::var(name).ok())
    }

    /// Reads a text; relative paths in it start at `base`, and `env` gives the value of an environment variable.
    ///
    /// # Errors
    /// [`Mistakes`]: all there are.
    pub fn parse(text: &str, base: &Path, env: impl Fn(&str) -> Option<String>) -> Result<Self, Mistakes> {
        let report = Report::new(text);
        let config = read(report.root(), &Outside { base, env: &env });
        match (report.into_mistakes(), config) {
            (mistakes, Some(config)) if mistakes.is_empty() => Ok(config),
            (mistakes, _) => Err(Mistakes::of(mistakes)),
        }
    }
}

/// The whole file, section by section; those that others refer to come first. `None` only with a mistake noted.
fn read(mut root: Section<'_, '_>, outside: &Outside<'_>) -> Option<Config> {
    let dev = root.take("dev").and_then(|entry| entry.flag()).unwrap_or(false);
    let drain = root
        .take("drain")
        .and_then(|entry| entry.parsed(|text| value::span_within(text, Duration::ZERO, Duration::from_secs(3600))))
        .unwrap_or(ListenerOptions::DRAIN);
    let log = log(root.section("log"));
    let trail = match root.take("audit") {
        None => Some(None),
        Some(entry) => entry.section().and_then(|section| trail(section, outside)).map(Some),
    };

    let mut taken = Vec::new();
    let mut section = root.section("admin");
    let recheck_token = recheck_token(&mut section, outside);
    let admin = admin(section, outside, &mut taken);
    let (listeners, azure_listeners) = serving::listeners(root.several("listener"), outside, drain, &mut taken);

    let s3 = serving::s3(root.section("s3"));
    let identities = identity::identities(root.named("identity"), outside, dev);
    let (stores, azure_stores) = serving::stores(root.named("store"), outside, dev, &identities);
    let mut key_section = root.section("keys");
    let both = keys::Stores {
        s3: &stores,
        azure: &azure_stores,
    };
    let (keys, hosts) = keys::keys(&mut key_section, outside, dev, &both);

    let tenants = keys::tenants(root.named("tenant"), &identities, &hosts);
    if let Some(keys) = &keys {
        keys::suffice(&key_section, keys, &tenants);
    }
    drop(key_section);
    let cckm = cckm::managers(root.maybe_named("cckm"), outside, dev, &tenants);
    // A gate for Azure alone has none of S3's.
    let azure_alone = root.has("account") && !root.has("credential") && !root.has("bucket");
    let (clients, buckets) = match azure_alone {
        true => (Vec::new(), Vec::new()),
        false => (
            serving::clients(root.several("credential"), outside, &tenants, &stores),
            serving::buckets(root.named("bucket"), &tenants, &stores),
        ),
    };
    let accounts = azure::accounts(root.maybe_named("account"), outside, &tenants, &azure_stores);

    let whole = |(name, value): (String, Option<_>)| Some((name, value?));
    let azure_whole = |(name, value): (String, Option<_>)| Some((name, value?));
    let tenants = tenants
        .into_iter()
        .map(|(name, tenant)| Some((Arc::from(name), tenant?)));
    Some(Config {
        dev,
        log: log?,
        trail: trail?,
        admin: admin?,
        recheck_token: recheck_token?,
        listeners,
        s3,
        azure_listeners,
        azure_stores: azure_stores.into_iter().map(azure_whole).collect::<Option<_>>()?,
        accounts,
        stores: stores.into_iter().map(whole).collect::<Option<_>>()?,
        keys: keys?,
        tenants: tenants.collect::<Option<_>>()?,
        clients,
        buckets,
        cckm,
    })
}

fn log(mut section: Section<'_, '_>) -> Option<Log> {
    let format = match section.take("format") {
        None => Some(Format::default()),
        Some(entry) => entry.choice(&[("json", Format::Json), ("text", Format::Text)]),
    };
    let filter = match section.take("filter") {
        None => Some("info".to_owned()),
        Some(entry) => entry.parsed(|text| {
            tracing_subscriber::EnvFilter::try_new(text)
                .map(|_| text.to_owned())
                .map_err(|_| Fault::Form("a filter, like \"info\" or \"info,portcullis=debug\""))
        }),
    };
    Some(Log {
        format: format?,
        filter: filter?,
    })
}

fn trail(mut section: Section<'_, '_>, outside: &Outside<'_>) -> Option<TrailOptions> {
    let directory = section
        .need("directory")
        .and_then(|entry| outside.text(entry))
        .map(|(text, _)| outside.base.join(text));
    let key = match section.take("key") {
        None => Some(None),
        Some(entry) => outside.secret(entry).and_then(|secret| {
            let long = secret.text(32).map(|text| Some(text.as_bytes().to_vec()));
            long.map_err(|fault| section.wrong("key", fault)).ok()
        }),
    };
    Some(TrailOptions {
        directory: directory?,
        key: key?,
    })
}

/// As long as no one guesses it.
fn recheck_token(section: &mut Section<'_, '_>, outside: &Outside<'_>) -> Option<Option<Zeroizing<Vec<u8>>>> {
    let Some(entry) = section.take("recheck_token") else {
        return Some(None);
    };
    let secret = outside.secret(entry)?;
    let long = secret
        .text(32)
        .map(|text| Some(Zeroizing::new(text.as_bytes().to_vec())));
    long.map_err(|fault| section.wrong("recheck_token", fault)).ok()
}

fn admin(
    mut section: Section<'_, '_>,
    outside: &Outside<'_>,
    taken: &mut Vec<(SocketAddr, String)>,
) -> Option<SocketAddr> {
    let place = section.place_of("address");
    match section.take("address") {
        Some(entry) => serving::address(entry, place, outside, taken),
        None => {
            taken.push((ADMIN, place));
            Some(ADMIN)
        }
    }
}
