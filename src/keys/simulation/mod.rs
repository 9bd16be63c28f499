//! The lease against everything that can go wrong at once, thousands of times: gates over one keyring, tenants whose keys
//! are revoked, restored and rotated, vaults that fail, dawdle and answer out of order, an Entra that throttles, clocks that
//! are set and machines that sleep; now and then a crowd of tenants in one vault whose budget is as small as is allowed, one of
//! which wants all of it. The code is the real one; only time, the vault and the store are not. Everything follows
//! from a seed.
//!
//! `PORTCULLIS_SEEDS=100000 cargo test --lib simulation` runs more seeds, `PORTCULLIS_SEED=4711` replays one.

mod chaos;
mod clients;
mod judge;
mod scale;
mod vault;

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::keys::budget::{Budgets, Calls};
use crate::keys::simulation::judge::{Judge, Trouble};
use crate::keys::simulation::vault::{Ring, Truth};
use crate::keys::{Bounds, Expired, Keys, TenantKey, Terms};
use crate::seal::{CmkRef, OriginSecrets};
use crate::telemetry::clock::{Clock, Skew};

/// How many seeds an ordinary run takes.
const SEEDS: u64 = 2000;

#[test]
fn no_chunk_passes_later_than_promised_and_no_healthy_tenant_is_refused() {
    if let Some(seed) = wanted("PORTCULLIS_SEED") {
        let ran = simulate(seed);
        assert!(ran.chunks > 0, "the seed's clients did nothing: {ran:?}");
        assert_eq!(ran.failure, None);
        return;
    }
    let seeds = wanted("PORTCULLIS_SEEDS").unwrap_or(SEEDS);
    let (next, total) = (AtomicU64::new(0), Mutex::new(Ran::default()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds || total.lock().unwrap().failure.is_some() {
                        return;
                    }
                    let ran = simulate(seed);
                    total.lock().unwrap().add(ran);
                }
            });
        }
    });
    let total = total.into_inner().unwrap();
    if let Some(failure) = &total.failure {
        panic!(
            "{failure}\nreplay: PORTCULLIS_SEED={} cargo test --lib simulation",
            total.seed
        );
    }
    // A simulation in which nothing happens proves nothing.
    assert!(total.chunks > seeds * 20, "{total:?}");
    assert!(total.refusals > seeds && total.cuts > seeds / 4, "{total:?}");
    assert!(total.exhausted > seeds / 8, "no crowd was refused a call: {total:?}");
}

#[test]
fn a_seed_replays_exactly() {
    let crowd = (0..).find(|seed| crowd(*seed)).unwrap();
    for seed in [3, 14, 159, crowd] {
        assert_eq!(simulate(seed), simulate(seed));
    }
}

fn wanted<T: FromStr>(variable: &str) -> Option<T> {
    std::env::var(variable).ok()?.parse().ok()
}

/// What happened under a seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    pub seed: u64,
    pub chunks: u64,
    pub refusals: u64,
    pub cuts: u64,
    /// Requests that the budget had no room for.
    pub exhausted: u64,
    pub calls: u64,
    pub failure: Option<String>,
}

impl Ran {
    fn add(&mut self, other: Self) {
        self.chunks += other.chunks;
        self.refusals += other.refusals;
        self.cuts += other.cuts;
        self.exhausted += other.exhausted;
        self.calls += other.calls;
        if self.failure.is_none() && other.failure.is_some() {
            (self.seed, self.failure) = (other.seed, other.failure);
        }
    }
}

fn simulate(seed: u64) -> Ran {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = World::new(seed);
        chaos::unleash(&world);
        clients::start(&world);
        let mut left = world.length.as_secs();
        while left > 0 && world.judge.failure().is_none() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            left -= 1;
        }
        world.judge.count_calls(&world);
        world.judge.ran(seed)
    })
}

/// Whether a seed's tenants share a vault.
fn crowd(seed: u64) -> bool {
    Dice::new(seed, 2).below(8) == 0
}

/// One fleet and its customers.
pub struct World {
    pub seed: u64,
    pub bounds: Bounds,
    pub length: Duration,
    /// Nothing at all goes wrong under such a seed.
    pub calm: bool,
    /// All tenants' keys are in one vault. The first of them has many versions, and asks for one DEK after the other.
    pub crowd: bool,
    pub budgets: Budgets,
    /// Where dates count they are asked for, which must hurt nobody.
    pub terms: Terms,
    pub origin: Arc<OriginSecrets>,
    pub tenants: Vec<Arc<Truth>>,
    pub gates: Vec<Arc<Gate>>,
    pub ring: Arc<Ring>,
    pub judge: Arc<Judge>,
}

/// A machine: its clocks stay when the process on it is started anew.
pub struct Gate {
    pub number: usize,
    pub clock: Clock,
    pub skew: Arc<Skew>,
    running: Mutex<(Life, Arc<Keys>)>,
}

/// One run of a gate's process. A new one has heard nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life {
    pub gate: usize,
    pub birth: usize,
}

impl Gate {
    pub fn running(&self) -> (Life, Arc<Keys>) {
        let running = self.running.lock().unwrap();
        (running.0, Arc::clone(&running.1))
    }
}

impl World {
    fn new(seed: u64) -> Arc<Self> {
        let mut dice = Dice::new(seed, 0);
        let bound = Duration::from_secs(*dice.one_of(&[5, 5, 5, 7, 12]));
        let identity = bound * *dice.one_of(&[2, 3, 6, 20]);
        let clocks: Vec<_> = (0..1 + dice.below(3))
            .map(|number| Clock::virtual_time(seed.wrapping_mul(31).wrapping_add(number)))
            .collect();
        let judge = Arc::new(Judge::new(clocks.iter().map(|(clock, _)| clock.clone()).collect()));
        let crowd = crowd(seed);
        let tenants: Vec<_> = match crowd {
            false => (0..1 + dice.below(2))
                .map(|number| Truth::new(number, seed, format!("vault-{number}"), 1))
                .collect(),
            true => (0..3 + dice.below(6))
                .map(|number| {
                    let versions = if number == 0 { *dice.one_of(&[1, 3, 9, 25]) } else { 1 };
                    Truth::new(number, seed, "vault".to_owned(), versions)
                })
                .collect(),
        };
        let budgets = match crowd {
            false => Budgets::default(),
            true => Budgets {
                vault: Calls::least(tenants.len(), bound).unwrap(),
                entra: Calls::least(tenants.len(), identity).unwrap(),
            },
        };
        let gates: Vec<_> = (0..).zip(clocks).collect();
        let mut world = Self {
            seed,
            bounds: Bounds::new(bound, identity),
            length: bound * 12,
            calm: dice.below(16) == 0,
            crowd,
            budgets,
            terms: Terms {
                expired: *Dice::new(seed, 3).one_of(&[Expired::Allow, Expired::Deny]),
                ..Terms::default()
            },
            origin: Arc::new(OriginSecrets::new([[9_u8; 32]]).unwrap()),
            tenants,
            gates: Vec::new(),
            ring: Arc::new(Ring::new(seed)),
            judge,
        };
        world.judge.set_bounds(world.bounds, world.budgets);
        if crowd {
            // It may hurt itself, and nobody else.
            world.judge.trouble(Trouble::Tenant(0), world.length * 2);
        }
        for (number, (clock, skew)) in gates {
            let life = Life { gate: number, birth: 0 };
            let keys = world.process(life, &clock);
            world.gates.push(Arc::new(Gate {
                number,
                clock,
                skew,
                running: Mutex::new((life, keys)),
            }));
        }
        Arc::new(world)
    }

    fn process(&self, life: Life, clock: &Clock) -> Arc<Keys> {
        let tenants = self.tenants.iter().map(|truth| TenantKey {
            tenant: truth.name.as_str().into(),
            cmk: CmkRef::of(&truth.name),
            terms: self.terms,
            vault: Box::new(truth.door(life, clock.clone(), &self.judge)),
        });
        let ring = Arc::clone(&self.ring) as Arc<dyn crate::keys::service::Keyring>;
        Arc::new(Keys::new(
            tenants.collect(),
            &self.origin,
            &ring,
            clock,
            self.bounds,
            self.budgets,
        ))
    }

    /// Kills a gate's process and starts another.
    pub fn restart(&self, gate: &Gate) {
        let mut running = gate.running.lock().unwrap();
        running.0.birth += 1;
        running.1 = self.process(running.0, &gate.clock);
    }
}

/// Chance that follows from a seed (SplitMix64). Each actor has dice of its own.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64, actor: u64) -> Self {
        let mut dice = Self(seed ^ actor.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        dice.next();
        dice
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let index = self.below(choices.len() as u64);
        &choices[usize::try_from(index).unwrap()]
    }

    pub fn between(&mut self, from: Duration, to: Duration) -> Duration {
        let span = u64::try_from(to.saturating_sub(from).as_millis()).unwrap();
        from + Duration::from_millis(self.below(span + 1))
    }
}
