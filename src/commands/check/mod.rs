//! `portcullis check`: proves a tenant's set-up end to end, step by step, and says what to do about each step that does not hold.
//!
//! It uses the gate's own parts and the gate's own identity, so that what holds here holds for `serve`. It changes nothing of a
//! customer's: it reads the key's properties, wraps and unwraps a random DEK, looks into the tenant's buckets, and writes only
//! into the system container. Read on in [`azure`] for the key, [`store`], [`blob_store`] and [`blob_containers`] for the stores, [`round_trip`] for both together.
#![allow(clippy::print_stderr)] // a command's complaint

mod advice;
mod azure;
mod blob_conditions;
mod blob_containers;
mod blob_store;
mod cckm;
mod clock;
mod report;
mod round_trip;
mod shelf;
mod store;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::cckm::CckmOptions;
use crate::commands::check::azure::{Azure, KeyFindings};
use crate::commands::check::blob_containers::Meant;
use crate::commands::check::report::{Finding, Report, Step, Verdict};
use crate::commands::check::shelf::Shelf;
use crate::commands::fips::Module;
use crate::commands::hardening::harden;
use crate::commands::serve::{self, runtime};
use crate::commands::{Outcome, say};
use crate::config::{AzureAccount, Bucket, Config, Keys as KeyOptions, Mistakes, Tenant};
use crate::keys::transport::Transport;
use crate::keys::vault::Vault;
use crate::keys::{Keys, TenantKey};
use crate::telemetry::clock::Clock;
use crate::telemetry::logs::{self, Format};
use crate::upstream::{AzureStore, Store};

/// What is to be checked.
pub struct CheckOptions<'a> {
    /// The configuration file.
    pub config: &'a Path,
    /// One tenant, or all.
    pub tenant: Option<&'a str>,
    /// As JSON instead of a table.
    pub json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Answer {
    /// The worst of all tenants.
    verdict: Verdict,
    tenants: Vec<Report>,
}

/// Checks, and prints what was found. The status is 1 as soon as one step failed; warnings leave it at 0.
pub fn check(options: &CheckOptions<'_>) -> Outcome {
    // What the system refused is logged by whoever serves; here it would only disturb the table.
    let _ = harden();
    let reports = match Config::load(options.config) {
        Ok(config) => {
            if let Some(tenant) = options.tenant.filter(|name| !config.tenants.contains_key(*name)) {
                eprintln!(
                    "portcullis check: there is no tenant {tenant} in {}",
                    options.config.display()
                );
                return Outcome::CannotRun;
            }
            // Why a store gave no answer stands in the log, on standard error: a refused connection, a name, a certificate.
            logs::start(Format::Text, "error,portcullis::upstream::store=warn", None);
            match runtime().and_then(|runtime| runtime.block_on(examine(config, options.tenant))) {
                Ok(reports) => reports,
                Err(error) => {
                    eprintln!("portcullis check: {error}");
                    return Outcome::CannotRun;
                }
            }
        }
        Err(_) if !options.config.is_file() => {
            eprintln!("portcullis check: {} can't be read", options.config.display());
            return Outcome::CannotRun;
        }
        Err(mistakes) => vec![Report::new(options.tenant.unwrap_or("-"), misconfigured(&mistakes))],
    };
    let verdict = reports.iter().map(|report| report.verdict).max().unwrap_or(Verdict::Ok);
    match options.json {
        true => match serde_json::to_string_pretty(&Answer {
            verdict,
            tenants: reports,
        }) {
            Ok(text) => say(&text),
            Err(error) => {
                eprintln!("portcullis check: {error}");
                return Outcome::CannotRun;
            }
        },
        false => reports.iter().for_each(|report| say(&report.table())),
    }
    match verdict {
        Verdict::Failed => Outcome::Found,
        Verdict::Ok | Verdict::Skipped | Verdict::Warning => Outcome::Done,
    }
}

fn misconfigured(mistakes: &Mistakes) -> Vec<Finding> {
    let advice = "config/example.toml explains every setting".to_owned();
    let found = |mistake| Finding::failed(Step::Configuration, format!("{mistake}"));
    mistakes
        .iter()
        .map(found)
        .map(|finding| finding.fix([advice.clone()]))
        .collect()
}

/// The tenants one after the other; each store once, however many of them use it.
async fn examine(config: Config, tenant: Option<&str>) -> Result<Vec<Report>, String> {
    let clock = Clock::system();
    let module = Module::running().map_err(|error| error.to_string())?;
    let transport = Transport::new(config.keys.transport.clone()).map_err(|error| error.to_string())?;
    let mut stores = HashMap::new();
    for (name, options) in config.stores {
        let store = Store::new(options, clock.clone()).map_err(|error| format!("store {name}: {error}"))?;
        stores.insert(name, Arc::new(store));
    }
    let azure_stores =
        serve::azure_stores(config.azure_stores, &transport, &clock).map_err(|error| error.to_string())?;
    let mut fleet = Fleet {
        stores,
        azure_stores,
        keys: config.keys,
        cckm: config.cckm,
        transport,
        module,
        clock,
        examined: BTreeMap::new(),
    };
    let mut reports = Vec::new();
    for (name, settings) in &config.tenants {
        if tenant.is_none_or(|tenant| tenant == &**name) {
            let has = Has {
                buckets: config.buckets.iter().filter(|bucket| is_of(bucket, name)).collect(),
                containers: containers_of(&config.accounts, name).collect(),
            };
            reports.push(fleet.report(name, settings, &has).await);
        }
    }
    Ok(reports)
}

/// A bucket whose tenant its name or its prefix captures may be any tenant's.
fn is_of(bucket: &Bucket, tenant: &str) -> bool {
    bucket.tenant.as_deref().is_none_or(|of| of == tenant)
}

/// The containers that may be a tenant's.
fn containers_of<'a>(accounts: &'a [AzureAccount], tenant: &'a str) -> impl Iterator<Item = Meant<'a>> {
    accounts.iter().flat_map(move |account| {
        let rules = account.rules.iter();
        let own = rules.filter(move |rule| rule.tenant.as_deref().is_none_or(|of| of == tenant));
        own.map(move |rule| Meant { account, rule })
    })
}

/// What a tenant has.
struct Has<'a> {
    buckets: Vec<&'a Bucket>,
    containers: Vec<Meant<'a>>,
}

impl<'a> Has<'a> {
    /// The stores that it lies in.
    fn stores(&self) -> BTreeSet<&'a str> {
        let buckets = self.buckets.iter().map(|bucket| bucket.store.as_str());
        let containers = self.containers.iter().map(|meant| meant.account.store.as_str());
        buckets.chain(containers).collect()
    }
}

/// What the tenants share.
struct Fleet {
    stores: HashMap<String, Arc<Store>>,
    azure_stores: HashMap<String, Arc<AzureStore>>,
    keys: KeyOptions,
    cckm: Vec<CckmOptions>,
    transport: Transport,
    module: Module,
    clock: Clock,
    /// What was found of stores so far, and whether they can be written to.
    examined: BTreeMap<String, (Vec<Finding>, bool)>,
}

impl Fleet {
    async fn report(&mut self, name: &Arc<str>, tenant: &Tenant, has: &Has<'_>) -> Report {
        let vault = Vault::new(tenant.key.clone(), tenant.identity.clone(), self.transport.clone());
        let mut findings = vec![Finding::ok(
            Step::Configuration,
            format!("key {}; cryptography of {}", tenant.key, self.module),
        )];
        let azure = Azure { tenant, vault: &vault };
        let KeyFindings {
            findings: about_key,
            unwraps,
            usable,
        } = azure.examine().await;
        findings.extend(about_key);
        findings.extend(cckm::examine(&self.cckm, name, usable, &self.clock).await);

        let ring = self.keys.keyring.clone();
        let mut used = has.stores();
        used.insert(&ring);
        for store in used {
            findings.extend(self.of_store(store, has).await);
        }
        findings.extend(self.sealed(name, tenant, vault, unwraps).await);
        Report::new(name, findings)
    }

    /// The steps of one store, which is asked once however many use it, and of what the tenant has there.
    async fn of_store(&mut self, name: &str, has: &Has<'_>) -> Vec<Finding> {
        if !self.examined.contains_key(name) {
            let found = match (self.azure_stores.get(name), self.stores.get(name)) {
                (Some(store), _) => blob_store::examine(name, store).await,
                (None, Some(store)) => store::examine(store).await,
                (None, None) => return Vec::new(),
            };
            self.examined.insert(name.to_owned(), found);
        }
        let (mut findings, reached) = self.examined.get(name).cloned().unwrap_or_default();
        let buckets: Vec<_> = has.buckets.iter().copied().filter(|it| it.store == name).collect();
        let containers: Vec<_> = has
            .containers
            .iter()
            .copied()
            .filter(|it| it.account.store == name)
            .collect();
        match (self.azure_stores.get(name), self.stores.get(name)) {
            (Some(store), _) if reached => findings.extend(blob_containers::containers(store, name, &containers).await),
            (None, Some(store)) if reached => findings.extend(store::buckets(store, &buckets).await),
            _ => {
                findings.extend(containers.iter().flat_map(|meant| meant.skipped(Step::Store)));
                findings.extend(buckets.iter().flat_map(|bucket| {
                    let skipped = |step| Finding::skipped(step, Step::Store).of(bucket.name.as_str());
                    [Step::Buckets, Step::DirectAccess].map(skipped)
                }));
            }
        }
        findings
    }

    /// The keyring and a sealed round trip through its store.
    async fn sealed(&self, name: &Arc<str>, tenant: &Tenant, vault: Vault, unwraps: bool) -> [Finding; 2] {
        let skipped = |step, because| Finding::skipped(step, because);
        let reached = self
            .examined
            .get(&self.keys.keyring)
            .is_some_and(|(_, reached)| *reached);
        let ring = serve::keyring(&self.keys.keyring, &self.stores, &self.azure_stores);
        let (Ok(keyring), true) = (ring, reached) else {
            return [Step::Keyring, Step::RoundTrip].map(|step| skipped(step, Step::Store));
        };
        let own = (&tenant.key, &*self.keys.origin);
        let records = round_trip::keyring(&keyring, name, &self.clock, own).await;
        if !unwraps {
            return [records, skipped(Step::RoundTrip, Step::Unwrap)];
        }
        if records.verdict == Verdict::Failed {
            return [records, skipped(Step::RoundTrip, Step::Keyring)];
        }
        let ring = &self.keys.keyring;
        let blobs = self.azure_stores.get(ring);
        let blobs = blobs.and_then(|store| Some(Shelf::Azure(store, store.system_container()?)));
        let Some(shelf) = self.stores.get(ring).map(|store| Shelf::S3(store)).or(blobs) else {
            return [records, skipped(Step::RoundTrip, Step::Store)];
        };
        let key = TenantKey {
            tenant: Arc::clone(name),
            cmk: tenant.key.cmk(),
            terms: tenant.terms,
            vault: Box::new(vault),
        };
        let (bounds, budgets) = (self.keys.bounds, self.keys.budgets);
        let keys = Keys::new(vec![key], &self.keys.origin, &keyring, &self.clock, bounds, budgets);
        [records, round_trip::round_trip(&keys, name, shelf).await]
    }
}
