//! `portcullis rewrap`: wraps tenants' DEKs again under the newest version of their keys, and says which versions can go.
//!
//! It runs beside gates, from any machine that has the gate's configuration and identity, and may be broken off and run again.
//! It goes by the keyring; `--scan` looks through a bucket's or a container's objects besides, for DEKs that the keyring has lost.
#![allow(clippy::print_stderr)] // progress, and a command's complaint

mod scan;
mod shelf;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::commands::hardening::harden;
use crate::commands::rewrap::scan::Scan;
use crate::commands::rewrap::shelf::Shelf;
use crate::commands::serve::{self, runtime};
use crate::commands::{Outcome, say};
use crate::config::{AzureAccount, Bucket, Config};
use crate::keys::rewrap::{Found, Rewrap, RewrapError};
use crate::keys::service::Record;
use crate::keys::transport::Transport;
use crate::keys::vault::Vault;
use crate::keys::{Keys, TenantKey};
use crate::seal::KeyVersion;
use crate::telemetry::audit::{self, Event};
use crate::telemetry::clock::Clock;
use crate::telemetry::logs;
use crate::telemetry::trail::{self, Writer};
use crate::upstream::{AzureStore, Store};

/// Progress is told so often.
const TOLD: Duration = Duration::from_secs(1);

/// What is to be done.
pub struct RewrapOptions<'a> {
    /// The gate's configuration file.
    pub config: &'a Path,
    /// One tenant, or all.
    pub tenant: Option<&'a str>,
    /// Only the DEKs under this version of the key; those under any older one, if `None`.
    pub from: Option<KeyVersion>,
    /// Buckets, and containers as `account/container`, whose objects are looked through for DEKs that the keyring does not have.
    pub scan: &'a [String],
}

/// Rewraps. The status is 1 if something is left under an older version, 2 if it could not run at all.
pub fn rewrap(options: &RewrapOptions<'_>) -> Outcome {
    let _ = harden();
    let ran = runtime().and_then(|runtime| runtime.block_on(run(options)));
    ran.unwrap_or_else(|error| {
        eprintln!("portcullis rewrap: {error}");
        Outcome::CannotRun
    })
}

async fn run(options: &RewrapOptions<'_>) -> Result<Outcome, String> {
    let config = Config::load(options.config).map_err(|mistakes| mistakes.to_string())?;
    let trail = config
        .trail
        .as_ref()
        .map(|options| trail::open(options, Writer::Rewrap));
    let trail = trail.transpose().map_err(|error| format!("audit: {error}"))?;
    logs::start(config.log.format, &config.log.filter, trail.clone());
    let outcome = rewrap_with(config, options).await;
    if let Some(trail) = trail {
        trail.flush();
    }
    outcome
}

async fn rewrap_with(config: Config, options: &RewrapOptions<'_>) -> Result<Outcome, String> {
    let clock = Clock::system();
    let parts = Parts::of(config, &clock).map_err(|error| error.to_string())?;
    if let Some(tenant) = options
        .tenant
        .filter(|tenant| !parts.tenants.iter().any(|it| &**it == *tenant))
    {
        return Err(format!("there is no tenant {tenant}"));
    }
    let mut outcome = Outcome::Done;
    let mut rewraps = BTreeMap::new();
    for tenant in parts
        .tenants
        .iter()
        .filter(|it| options.tenant.is_none_or(|tenant| &***it == tenant))
    {
        match parts.keys.rewrap(tenant).await {
            Some(Ok(rewrap)) => drop(rewraps.insert(Arc::clone(tenant), rewrap)),
            Some(Err(refusal)) => {
                audit::record(&Event::RequestRefused {
                    tenant,
                    version: None,
                    operation: "Rewrap",
                    reason: refusal.name(),
                });
                say(&format!("{tenant}: {refusal}"));
                outcome = Outcome::Found;
            }
            None => {}
        }
    }
    for place in options.scan {
        if !parts.scan(place, &mut rewraps).await? {
            outcome = Outcome::Found;
        }
    }
    for (tenant, rewrap) in &mut rewraps {
        if !of_tenant(tenant, rewrap, options.from).await {
            outcome = Outcome::Found;
        }
    }
    Ok(outcome)
}

/// Rewraps one tenant's DEKs, and says what is left. Whether nothing is.
async fn of_tenant(tenant: &str, rewrap: &mut Rewrap, from: Option<KeyVersion>) -> bool {
    let todo = rewrap.left(from);
    let (newest, older) = (rewrap.newest(), older(rewrap, from));
    audit::record(&Event::RewrapBegun {
        tenant,
        version: &newest,
        from: &older,
        deks: todo.len(),
    });
    say(&format!(
        "{tenant}: the newest version is {}; {} to wrap again under it",
        rewrap.newest(),
        deks(todo.len())
    ));
    if rewrap.disbelieved() > 0 {
        say(&format!(
            "{tenant}: not made by this fleet for this key, and left alone: {} of the keyring",
            counted(rewrap.disbelieved(), "record")
        ));
    }
    let mut told = Instant::now();
    let mut failures: BTreeMap<String, usize> = BTreeMap::new();
    for (number, dek) in todo.iter().enumerate() {
        if let Err(error) = rewrap.rewrap(*dek).await {
            *failures.entry(why(&error)).or_default() += 1;
        }
        if told.elapsed() >= TOLD {
            told = Instant::now();
            eprintln!("{tenant}: {} of {}", number + 1, todo.len());
        }
    }
    let failed = failures.values().sum();
    audit::record(&Event::RewrapFinished {
        tenant,
        version: &newest,
        from: &older,
        rewrapped: todo.len() - failed,
        failed,
        left: rewrap.left(None).len(),
    });
    for (why, number) in &failures {
        say(&format!("{tenant}: {} not wrapped again: {why}", deks(*number)));
    }
    let mut clean = true;
    for (version, under) in rewrap.versions() {
        if version == rewrap.newest() {
            continue;
        }
        clean &= under.left == 0;
        say(&match under.left {
            0 => format!(
                "{tenant}: version {version} can go: its {} under the newest version too",
                is_or_are(under.deks)
            ),
            left => format!(
                "{tenant}: version {version} is still needed: {} under it {} not under the newest",
                deks(left),
                if left == 1 { "is" } else { "are" }
            ),
        });
    }
    clean && failures.is_empty()
}

/// The versions that something is to be wrapped again from.
fn older(rewrap: &Rewrap, from: Option<KeyVersion>) -> String {
    let versions = rewrap.versions().into_iter();
    let meant = versions.filter(|(version, under)| under.left > 0 && from.is_none_or(|from| from == *version));
    meant
        .map(|(version, _)| version.to_string())
        .collect::<Vec<_>>()
        .join(",")
}

fn why(error: &RewrapError) -> String {
    match error {
        RewrapError::Refused(refusal) => format!("{refusal} ({}); run this again once that is mended", refusal.name()),
        RewrapError::NotOurs(what) => format!("{what}"),
    }
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn deks(number: usize) -> String {
    counted(number, "DEK")
}

fn is_or_are(number: usize) -> String {
    match number {
        1 => "1 DEK is".to_owned(),
        number => format!("{number} DEKs are"),
    }
}

/// What a configuration gives that a rewrap needs.
struct Parts {
    tenants: Vec<Arc<str>>,
    keys: Keys,
    stores: HashMap<String, Arc<Store>>,
    azure_stores: HashMap<String, Arc<AzureStore>>,
    buckets: Vec<Bucket>,
    accounts: Vec<AzureAccount>,
}

impl Parts {
    fn of(config: Config, clock: &Clock) -> io::Result<Self> {
        let mut stores = HashMap::new();
        for (name, options) in config.stores {
            stores.insert(name, Arc::new(Store::new(options, clock.clone())?));
        }
        let transport = Transport::new(config.keys.transport).map_err(io::Error::other)?;
        let azure_stores = serve::azure_stores(config.azure_stores, &transport, clock).map_err(io::Error::other)?;
        let ring = serve::keyring(&config.keys.keyring, &stores, &azure_stores).map_err(io::Error::other)?;
        let tenants = config.tenants.keys().cloned().collect();
        let keys = config.tenants.into_iter().map(|(name, tenant)| TenantKey {
            tenant: name,
            cmk: tenant.key.cmk(),
            terms: tenant.terms,
            vault: Box::new(Vault::new(tenant.key, tenant.identity, transport.clone())),
        });
        let (origin, bounds, budgets) = (&config.keys.origin, config.keys.bounds, config.keys.budgets);
        let keys = Keys::new(keys.collect(), origin, &ring, clock, bounds, budgets);
        Ok(Self {
            tenants,
            keys,
            stores,
            azure_stores,
            buckets: config.buckets,
            accounts: config.accounts,
        })
    }

    /// Looks through a bucket or a container and hands each tenant what it has there. Whether all of it was seen.
    async fn scan(&self, place: &str, rewraps: &mut BTreeMap<Arc<str>, Rewrap>) -> Result<bool, String> {
        let shelf = match place.split_once('/') {
            Some((account, container)) => self.container(account, container)?,
            None => self.bucket(place)?,
        };
        let (mut new, mut foreign) = (0_usize, 0_usize);
        let take = |record: Record| {
            let taken: Vec<Found> = rewraps.values_mut().map(|rewrap| rewrap.find(record.clone())).collect();
            new += usize::from(taken.contains(&Found::New));
            foreign += usize::from(taken.iter().all(|found| *found == Found::Disbelieved));
        };
        let mut told = Instant::now();
        let tell = |seen: scan::Seen| {
            if told.elapsed() >= TOLD {
                told = Instant::now();
                eprintln!("{place}: {} objects", seen.sealed + seen.other + seen.archived);
            }
        };
        let seen = Scan { shelf }.run(take, tell).await;
        let seen = seen.map_err(|error| format!("{place}: {error}"))?;
        let unseen = match shelf {
            Shelf::S3 { .. } => "older versions of objects, and uploads in parts that are still open",
            Shelf::Azure { .. } => {
                "snapshots and older versions of blobs, what is soft-deleted, and blocks that are not committed"
            }
        };
        say(&format!(
            "{place}: {} sealed and {} other objects looked at; {} that the keyring does not have, {} of other tenants. \
             Not looked at: {unseen}",
            seen.sealed,
            seen.other,
            deks(new),
            foreign
        ));
        if seen.archived > 0 {
            say(&format!(
                "{place}: {} in an archive can't be read: bring them back and run this again before a version of the key goes",
                counted(usize::try_from(seen.archived).unwrap_or(usize::MAX), "object")
            ));
        }
        Ok(seen.archived == 0)
    }

    fn bucket<'a>(&'a self, bucket: &'a str) -> Result<Shelf<'a>, String> {
        let is_meant = |it: &&Bucket| it.name.whole(bucket).is_some();
        // As in the gate, the name that fixes most counts.
        let configured = self.buckets.iter().filter(is_meant).max_by_key(|it| it.name.fixed());
        let configured = configured.ok_or_else(|| format!("no bucket {bucket} is configured"))?;
        let store = self.stores.get(&configured.store);
        let store = store.ok_or_else(|| format!("no store {} is configured", configured.store))?;
        Ok(Shelf::S3 { store, bucket })
    }

    fn container<'a>(&'a self, account: &str, container: &'a str) -> Result<Shelf<'a>, String> {
        let configured = self.accounts.iter().find(|it| it.name == account);
        let configured = configured.ok_or_else(|| format!("no account {account} is configured"))?;
        if !configured.rules.iter().any(|rule| rule.name.whole(container).is_some()) {
            return Err(format!("no container {container} of account {account} is configured"));
        }
        let store = self.azure_stores.get(&configured.store);
        let store = store.ok_or_else(|| format!("no store {} is configured", configured.store))?;
        Ok(Shelf::Azure { store, container })
    }
}
