//! Tenants beside each other: what a quiet one's requests take before and while another is noisy, is revoked, or has a vault
//! that answers slowly; what a request costs among many tenants; and what all of it costs in calls to the vault.

use std::sync::Arc;
use std::time::Duration;

use portcullis::dev::standin::{Fault, Operation};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::client::{self, Connection, Kind, Target, Work};
use super::progress::Progress;
use super::suite::{KIB, MIB, Sample, median};
use super::world::{Side, World};
use super::{Options, Problem};

/// More tenants than these have a revocation bound of minutes (`configuration`), which no refused tenant or slow vault is measured with.
pub(crate) const FEW: usize = 100;
/// A slow vault's answers come this late: later than its leases last.
const SLOW: Duration = Duration::from_secs(8);

/// What came of it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Tenants {
    pub(crate) neighbours: Vec<Neighbour>,
    pub(crate) vault_calls: Vec<Calls>,
    pub(crate) many: Option<Many>,
}

/// A quiet tenant before, and while something happens to another.
#[derive(Debug, Serialize)]
pub(crate) struct Neighbour {
    pub(crate) what: String,
    pub(crate) side: String,
    pub(crate) before: Sample,
    pub(crate) during: Sample,
    /// What the other was answered meanwhile, and how often.
    pub(crate) other_served: u64,
    pub(crate) other_refused: u64,
}

/// Calls to vaults and Entra in equal spans of time.
#[derive(Debug, Serialize)]
pub(crate) struct Calls {
    pub(crate) connections: usize,
    pub(crate) seconds: f64,
    pub(crate) requests: u64,
    pub(crate) calls: u64,
}

/// One tenant against many active ones, at a gate that has all of them configured.
#[derive(Debug, Serialize)]
pub(crate) struct Many {
    pub(crate) configured: usize,
    pub(crate) active: usize,
    pub(crate) one: Sample,
    pub(crate) all: Sample,
    /// The median of the rounds' ratios of CPU per request.
    pub(crate) ratio: f64,
}

/// How many tenants the gate is given, beside acme and globex.
pub(crate) fn configured(options: &Options) -> usize {
    match (options.smoke(), options.full) {
        (true, _) => 4,
        (_, true) => 10_000,
        _ => FEW,
    }
}

pub(crate) async fn measure(world: &World, options: &Options) -> Result<Tenants, Problem> {
    let mut tenants = Tenants::default();
    let mut progress = Progress::new(7);
    let gate = &world.sides[0];
    for side in world.sides.iter().filter(|side| matches!(side.name, "gate" | "pass")) {
        progress.step(&format!("a noisy tenant, {}", side.name));
        let noise = match side.name {
            "gate" => world.tenant(side, "globex")?,
            _ => world.target(side, false)?,
        };
        let loud = work(Kind::Get, MIB, if options.smoke() { 2 } else { 64 });
        tenants
            .neighbours
            .push(beside(world, side, options, "noisy", noise, loud).await?);
    }

    progress.step("vault calls");
    for connections in [1, if options.smoke() { 2 } else { 64 }] {
        let before = world.vault_calls();
        let work = work(Kind::Get, 4 * KIB, connections);
        let span = if options.smoke() {
            options.span()
        } else {
            // Renewals come every few seconds, whatever is asked.
            Duration::from_secs(if options.quick { 4 } else { 10 })
        };
        let (outcome, ()) = client::run(&world.target(gate, false)?, work, span, || ()).await?;
        tenants.vault_calls.push(Calls {
            connections,
            seconds: outcome.elapsed.as_secs_f64(),
            requests: outcome.requests,
            calls: world.vault_calls() - before,
        });
    }

    progress.step("many tenants");
    tenants.many = Some(many(world, gate, options).await?);

    // Where the bound is minutes, a no and a silence act later than is waited for here.
    if configured(options) > FEW {
        progress.done();
        return Ok(tenants);
    }
    progress.step("a revoked tenant");
    let asking = work(Kind::Get, 4 * KIB, if options.smoke() { 1 } else { 16 });
    let customer = world.standin.customer("globex");
    customer.disable_key().map_err(Problem::new)?;
    let globex = world.tenant(gate, "globex")?;
    let revoked = beside(world, gate, options, "revoked", globex.clone(), asking).await;
    customer.enable_key().map_err(Problem::new)?;
    tenants.neighbours.push(revoked?);
    if !options.smoke() {
        progress.step("a slow vault");
        let vault = world.standin.vault("globex-vault");
        vault.fault(Fault::slow(SLOW).on(Operation::UnwrapKey));
        let slow = beside(world, gate, options, "slow vault", globex, asking).await;
        vault.clear_faults();
        tenants.neighbours.push(slow?);
    }
    progress.done();
    Ok(tenants)
}

fn work(kind: Kind, size: u64, connections: usize) -> Work {
    Work {
        kind,
        size,
        connections,
    }
}

/// The quiet tenant's requests alone, and then beside the other's.
async fn beside(
    world: &World,
    side: &Side,
    options: &Options,
    what: &str,
    other: Target,
    others: Work,
) -> Result<Neighbour, Problem> {
    let quiet = world.target(side, false)?;
    let work = work(Kind::Get, 4 * KIB, 4);
    let span = if options.smoke() {
        options.span()
    } else {
        options.span() * 5
    };
    let before = sample(&quiet, work, span, side).await?;
    let (stop, counts) = (CancellationToken::new(), Arc::new(Counts::default()));
    let mut noise = Vec::new();
    for number in 0..others.connections {
        let (other, stop, counts) = (other.clone(), stop.clone(), Arc::clone(&counts));
        noise.push(tokio::spawn(async move {
            while !stop.is_cancelled() {
                let Ok(mut connection) = Connection::open(&other, others, number).await else {
                    counts.refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    continue;
                };
                // A refusal may close the connection: then there is another.
                loop {
                    let asked = tokio::select! {
                        () = stop.cancelled() => break,
                        asked = connection.status() => asked,
                    };
                    let served = asked.as_ref().is_ok_and(http::StatusCode::is_success);
                    let count = if served { &counts.served } else { &counts.refused };
                    count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if asked.is_err() {
                        break;
                    }
                }
            }
        }));
    }
    let during = sample(&quiet, work, span, side).await;
    stop.cancel();
    for task in noise {
        task.await.map_err(Problem::new)?;
    }
    let count = |of: &std::sync::atomic::AtomicU64| of.load(std::sync::atomic::Ordering::Relaxed);
    Ok(Neighbour {
        what: what.to_owned(),
        side: side.name.to_owned(),
        before,
        during: during?,
        other_served: count(&counts.served),
        other_refused: count(&counts.refused),
    })
}

#[derive(Default)]
struct Counts {
    served: std::sync::atomic::AtomicU64,
    refused: std::sync::atomic::AtomicU64,
}

async fn sample(target: &Target, work: Work, span: Duration, side: &Side) -> Result<Sample, Problem> {
    let (outcome, before) = client::run(target, work, span, || side.process.cpu()).await?;
    let sample = Sample::of(&outcome, side.process.cpu().saturating_sub(before));
    match sample.errors {
        0 => Ok(sample),
        errors => Err(Problem::new(format!("the quiet tenant got {errors} wrong answers"))),
    }
}

/// PUTs, which need no object: one tenant's and many tenants' in turn.
async fn many(world: &World, gate: &Side, options: &Options) -> Result<Many, Problem> {
    let configured = configured(options);
    let active = configured.min(1000);
    let work = work(Kind::Put, 4 * KIB, if options.smoke() { 2 } else { 50 });
    let (one, all) = (world.many(gate, 1)?, world.many(gate, active)?);
    let (mut ones, mut alls) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds() {
        ones.push(sample(&one, work, options.span(), gate).await?);
        alls.push(sample(&all, work, options.span(), gate).await?);
    }
    let cost = |sample: &Sample| sample.cpu_microseconds_per_request;
    let ratios = alls.iter().zip(&ones).map(|(all, one)| cost(all) / cost(one)).collect();
    Ok(Many {
        configured,
        active,
        ratio: median(ratios).unwrap_or(0.0),
        one: ones.pop().unwrap_or_default(),
        all: alls.pop().unwrap_or_default(),
    })
}
