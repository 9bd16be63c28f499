//! How many calls a fleet makes: counted over an hour of virtual time, with the real leases, for fleets of several sizes. By replica
//! and tenant they are the same for each; what docs/scale.md says of the fleets that no test can hold follows from that.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use crate::keys::budget::{Budgets, Calls};
use crate::keys::refusal::Refusal;
use crate::keys::service::{KeyState, KeyVault, Keyring, VaultSession, Wrapped};
use crate::keys::simulation::vault::{Ring, version, wrapped};
use crate::keys::{Bounds, Keys, TenantKey, Terms};
use crate::seal::{CmkRef, Dek, KeyVersion, OriginSecrets, WrapAlgorithm};
use crate::telemetry::clock::{Clock, Moment};

/// The defaults.
const BOUND: Duration = Duration::from_secs(30);
const IDENTITY: Duration = Duration::from_secs(600);
/// The way to a vault or to Entra and back.
const WAY: Duration = Duration::from_millis(40);

const WARM_UP: Duration = Duration::from_secs(120);
const HOUR: Duration = Duration::from_secs(3600);

/// Calls in an hour, of one replica for one tenant in use. docs/scale.md and docs/KEYS.md state them.
const UNWRAPS: RangeInclusive<f64> = 364.0..=424.0;
const LOOKS: RangeInclusive<f64> = 54.0..=60.0;
const TOKENS: RangeInclusive<f64> = 17.0..=18.5;

#[derive(Clone, Copy, Debug)]
struct Fleet {
    replicas: u64,
    tenants: u64,
    /// Each tenant asks each replica so often.
    every: Duration,
    /// All keys are in one vault.
    shared: bool,
}

/// What was asked of all vaults, and of Entra.
#[derive(Default)]
struct Asked {
    unwraps: AtomicU64,
    wraps: AtomicU64,
    looks: AtomicU64,
    tokens: AtomicU64,
    refused: AtomicU64,
}

#[derive(Clone)]
struct Site {
    host: String,
    clock: Clock,
    asked: Arc<Asked>,
}

struct Visit(Site, Moment);

#[test]
fn calls_follow_from_replicas_and_tenants_alone() {
    let fleet = Fleet {
        replicas: 2,
        tenants: 12,
        every: Duration::from_secs(5),
        shared: false,
    };
    let busy = Fleet {
        every: Duration::from_millis(50),
        ..fleet
    };
    let crowd = Fleet {
        tenants: 48,
        shared: true,
        ..fleet
    };
    for fleet in [fleet, Fleet { replicas: 10, ..fleet }, crowd, busy] {
        let (begun, hour) = played(fleet);
        let each = |calls: f64| calls / (fleet.replicas * fleet.tenants) as f64;
        let [unwraps, wraps, looks, tokens, refused] = hour;
        println!(
            "{} replicas, {} tenants, a request every {:?}: in an hour, for each: {:.1} unwrapKey, {:.1} getKey, {:.1} tokens; \
             wrapKey in all: {} at first, then {wraps}",
            fleet.replicas,
            fleet.tenants,
            fleet.every,
            each(unwraps),
            each(looks),
            each(tokens),
            begun[1],
        );
        assert!(UNWRAPS.contains(&each(unwraps)), "{fleet:?}: {unwraps} unwrapKey");
        assert!(LOOKS.contains(&each(looks)), "{fleet:?}: {looks} getKey");
        assert!(TOKENS.contains(&each(tokens)), "{fleet:?}: {tokens} tokens");
        assert_eq!(
            (wraps, refused),
            (0.0, 0.0),
            "{fleet:?}: nothing new is wrapped within an epoch, and nobody is refused"
        );
        // Replicas that race leave a spare record; no more than one each.
        let pairs = (fleet.replicas * fleet.tenants) as f64;
        assert!(
            (fleet.tenants as f64..=pairs).contains(&begun[1]),
            "{fleet:?}: {} wrapKey",
            begun[1]
        );
    }
}

#[test]
fn a_budget_for_ten_thousand_tenants_is_what_the_page_says() {
    assert_eq!(Calls::least(10_000, IDENTITY).map(Calls::number), Some(762));
}

/// Until all is warm, and in the hour after that: unwrapKey, wrapKey, getKey, tokens; requests refused.
fn played(fleet: Fleet) -> ([f64; 5], [f64; 5]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(async {
        let asked = Arc::new(Asked::default());
        let ring = Arc::new(Ring::new(fleet.replicas)) as Arc<dyn Keyring>;
        let origin = Arc::new(OriginSecrets::new([[9_u8; 32]]).unwrap());
        for replica in 0..fleet.replicas {
            let (clock, _) = Clock::virtual_time(replica);
            let keys = Arc::new(keys(fleet, &clock, &asked, &origin, &ring));
            for tenant in 0..fleet.tenants {
                tokio::spawn(ask(Arc::clone(&keys), tenant, fleet.every, Arc::clone(&asked)));
            }
        }
        sleep(WARM_UP).await;
        let begun = asked.so_far();
        sleep(HOUR).await;
        let ended = asked.so_far();
        (begun, std::array::from_fn(|at| ended[at] - begun[at]))
    })
}

fn keys(fleet: Fleet, clock: &Clock, asked: &Arc<Asked>, origin: &Arc<OriginSecrets>, ring: &Arc<dyn Keyring>) -> Keys {
    let tenants = (0..fleet.tenants).map(|number| {
        let host = if fleet.shared {
            "vault".to_owned()
        } else {
            format!("vault-{number}")
        };
        let vault = Site {
            host,
            clock: clock.clone(),
            asked: Arc::clone(asked),
        };
        TenantKey {
            tenant: name(number).into(),
            cmk: CmkRef::of(&name(number)),
            terms: Terms::default(),
            vault: Box::new(vault),
        }
    });
    let tenants: Vec<_> = tenants.collect();
    let in_one = if fleet.shared { tenants.len() } else { 1 };
    let budgets = Budgets {
        vault: Calls::least(in_one, BOUND).unwrap().max(Budgets::default().vault),
        entra: Calls::least(tenants.len(), IDENTITY)
            .unwrap()
            .max(Budgets::default().entra),
    };
    Keys::new(tenants, origin, ring, clock, Bounds::new(BOUND, IDENTITY), budgets)
}

fn name(tenant: u64) -> String {
    format!("tenant-{tenant}")
}

async fn ask(keys: Arc<Keys>, tenant: u64, every: Duration, asked: Arc<Asked>) {
    let name = name(tenant);
    loop {
        if keys.to_write(&name).await.is_err() {
            asked.refused.fetch_add(1, Ordering::Relaxed);
        }
        sleep(every).await;
    }
}

impl Asked {
    fn so_far(&self) -> [f64; 5] {
        let all = [&self.unwraps, &self.wraps, &self.looks, &self.tokens, &self.refused];
        all.map(|calls| calls.load(Ordering::Relaxed) as f64)
    }
}

async fn counted(calls: &AtomicU64) {
    calls.fetch_add(1, Ordering::Relaxed);
    sleep(WAY).await;
}

#[async_trait]
impl KeyVault for Site {
    fn host(&self) -> &str {
        &self.host
    }

    async fn session(&self) -> Result<Arc<dyn VaultSession>, Refusal> {
        let asked = self.clock.now();
        counted(&self.asked.tokens).await;
        Ok(Arc::new(Visit(self.clone(), asked)))
    }
}

#[async_trait]
impl VaultSession for Visit {
    fn token_ends(&self) -> Duration {
        self.1.wall + HOUR
    }

    async fn current(&self) -> Result<KeyState, Refusal> {
        self.state(version(1)).await
    }

    async fn state(&self, version: KeyVersion) -> Result<KeyState, Refusal> {
        counted(&self.0.asked.looks).await;
        Ok(KeyState {
            version,
            enabled: true,
            expires: None,
            not_before: None,
        })
    }

    async fn versions(&self) -> Result<Vec<KeyState>, Refusal> {
        self.current().await.map(|only| vec![only])
    }

    async fn wrap(&self, version: KeyVersion, dek: &[u8; 32]) -> Result<Wrapped, Refusal> {
        counted(&self.0.asked.wraps).await;
        Ok(Wrapped {
            algorithm: WrapAlgorithm::RsaOaep256,
            bytes: wrapped(version, dek),
        })
    }

    async fn unwrap(&self, _: KeyVersion, wrapped: &Wrapped) -> Result<Dek, Refusal> {
        counted(&self.0.asked.unwraps).await;
        Ok(Dek::from_bytes(&wrapped.bytes[16..]).unwrap())
    }
}
