//! One row, played once: the key is withdrawn under load, refused at both gates, given back, and served again; what the clients and the
//! vault saw is put together.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use http::StatusCode;
use portcullis::dev::standin::{Answer, Operation, Place};

use crate::cuts;
use crate::lag;
use crate::lane::{Lane, TENANTS};
use crate::load::What;
use crate::rows::Row;
use crate::{BOUND, IDENTITY, Problem};

/// No longer than this after the bound: for a kernel that hands over what it has, and a busy machine.
pub(crate) const GRACE: Duration = Duration::from_secs(1);
/// Nothing has come for so long: nothing more comes.
const QUIET: Duration = Duration::from_millis(1500);
/// How long the neighbour is watched before.
const BEFORE: Duration = Duration::from_secs(2);
/// A gate that is not served again by then never will be.
const PATIENCE: Duration = Duration::from_secs(90);

/// Whose yes counts, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Governed {
    /// The vault's unwrapKey, for `revocation_bound`.
    Vault,
    /// The token that it is asked with, for `identity_bound`.
    Identity,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Played {
    /// At each gate, from the last yes to the last byte of plaintext.
    pub(crate) after_yes: Vec<Duration>,
    /// At each gate, from the withdrawal to the last byte of plaintext.
    pub(crate) after_no: Vec<Duration>,
    /// At each gate, bytes of downloads that came after it had refused a request.
    pub(crate) after_refusal: Vec<usize>,
    /// At each gate that says so, from the last yes to its own cut.
    pub(crate) cut_after_yes: Vec<Duration>,
    /// Bytes after the bound and [`GRACE`]: a broken promise.
    pub(crate) late: usize,
    /// Each read a quarter of [`GRACE`] and more after the bound: who was late.
    pub(crate) beyond: Vec<Beyond>,
    /// Requests that were asked after the bound, and served: a broken promise.
    pub(crate) begun_late: usize,
    /// From the giving back to where each gate serves.
    pub(crate) recovery: Vec<Duration>,
    pub(crate) neighbour_before: Vec<Duration>,
    pub(crate) neighbour_during: Vec<Duration>,
    pub(crate) neighbour_refused: usize,
}

/// Bytes that were read after the bound; spans count from there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beyond {
    pub(crate) bytes: usize,
    pub(crate) read: Duration,
    /// How long before that its reader had looked last: they came at some moment between.
    pub(crate) since: Duration,
    /// When the gate cut, by its own word: positive is after the bound, in seconds.
    pub(crate) cut: Option<f64>,
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (read, since) = (self.read.as_millis(), self.since.as_millis());
        write!(
            f,
            "{} bytes read {read} ms after the bound, which came in the {since} ms before; ",
            self.bytes
        )?;
        match self.cut {
            Some(cut) => write!(f, "the gate cut {:+.0} ms after the bound", cut * 1000.0),
            None => f.write_str("the gate tells of no cut"),
        }
    }
}

impl fmt::Display for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = |spans: &[Duration]| spans.iter().max().map_or(0.0, Duration::as_secs_f64);
        write!(
            f,
            "{:.2} s after the last yes, {:.2} s after the withdrawal, back after {:.2} s{}",
            most(&self.after_yes),
            most(&self.after_no),
            most(&self.recovery),
            if self.late + self.begun_late > 0 {
                ", TOO LATE"
            } else {
                ""
            }
        )?;
        self.beyond.iter().try_for_each(|beyond| write!(f, "\n    {beyond}"))
    }
}

impl Governed {
    pub(crate) const fn bound(self) -> Duration {
        match self {
            Self::Vault => BOUND,
            Self::Identity => IDENTITY,
        }
    }
}

/// Plays the row.
pub(crate) async fn play(lane: &Lane, row: &Row, governed: Governed) -> Result<Played, Problem> {
    let stage = lane.stage();
    let settled = Instant::now();
    served(lane, settled, row.what).await?;
    neighbour_served(lane, settled, row.what).await?;
    // At any point between two renewals.
    let chance = Duration::from_millis(RandomState::new().build_hasher().finish() % 1_700);
    tokio::time::sleep(BEFORE + chance).await;

    let said = Instant::now();
    row.say(&stage);
    let latest = said + governed.bound() + GRACE * 8;
    while !refused(lane, said) && Instant::now() < latest {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let ended = Instant::now();
    let mut played = measured(lane, governed, said, ended)?;

    row.take_back(&stage);
    let back = Instant::now();
    played.recovery = served(lane, back, row.what).await?;
    for load in &lane.loads {
        load.forget(back);
    }
    Ok(played)
}

/// Each gate has refused acme, and nothing comes any more.
fn refused(lane: &Lane, said: Instant) -> bool {
    let good = |what: &What| matches!(what, What::Bytes { .. } | What::Served(_) | What::Taken(_));
    lane.loads.iter().all(|load| {
        load.last(said, good).is_none_or(|at| at.elapsed() > QUIET)
            && load.last(said, |what| matches!(what, What::Refused)).is_some()
    })
}

/// Each gate serves acme, small reads and the download; from `then` it took each so long.
async fn served(lane: &Lane, then: Instant, what: &str) -> Result<Vec<Duration>, Problem> {
    loop {
        let first = |load: &crate::load::Load| {
            let found = load.first(then, |what| matches!(what, What::Served(_)));
            found.map(|at| at - then)
        };
        let spans: Option<Vec<_>> = lane.loads.iter().map(first).collect();
        match spans {
            Some(spans) => return Ok(spans),
            None if then.elapsed() > PATIENCE => {
                let told = told_since(lane, then);
                return Err(Problem::new(format!(
                    "{what}: not served again within {PATIENCE:?}; {told}"
                )));
            }
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Each gate serves the other tenant: the row before may have been a fault of the machine's own identity, which both have.
async fn neighbour_served(lane: &Lane, then: Instant, what: &str) -> Result<(), Problem> {
    let is_served = |load: &crate::load::Load| load.first(then, |what| matches!(what, What::Neighbour(_))).is_some();
    while !lane.loads.iter().all(is_served) {
        if then.elapsed() > PATIENCE {
            return Err(Problem::new(format!(
                "{what}: before it, the other tenant is not served within {PATIENCE:?}"
            )));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// What keeps a gate from serving again: whether the vault said yes at all, and how late this process, in which the vault is, was itself.
fn told_since(lane: &Lane, then: Instant) -> String {
    let vault = Place::Vault("acme-vault".to_owned());
    let log = lane.standin.log();
    let asked = log
        .iter()
        .filter(|entry| entry.place == vault && entry.operation == Operation::UnwrapKey && entry.decided >= then);
    let (mut all, mut yes) = (0, 0);
    for entry in asked {
        all += 1;
        yes += usize::from(matches!(entry.answer, Answer::Status(StatusCode::OK, _)));
    }
    let late = lag::most(then, Instant::now()).as_millis();
    format!("the vault answered {all} times, {yes} times yes, and this process was late by {late} ms at the most")
}

fn measured(lane: &Lane, governed: Governed, said: Instant, ended: Instant) -> Result<Played, Problem> {
    let yes = last_yes(lane, governed).ok_or_else(|| Problem::new("nobody has ever said yes"))?;
    let ends = yes + governed.bound();
    let too_late = |at: Instant| at > ends + GRACE;
    let mut played = Played::default();
    for (load, log) in lane.loads.iter().zip(lane.logs()) {
        let cut = cuts::last(log, TENANTS[0], said, ended);
        played
            .cut_after_yes
            .extend(cut.map(|at| at.saturating_duration_since(yes)));
        let seen = load.since(said - BEFORE);
        let refused = seen
            .iter()
            .find(|(at, what)| *at >= said && matches!(what, What::Refused))
            .map_or(ended, |(at, _)| *at);
        // None at all where a busy machine's vault had kept the gate waiting past the bound before.
        let (mut last, mut after_refusal) = (None, 0);
        for (at, what) in seen {
            match what {
                What::Bytes { len, since } => {
                    last = last.max(Some(at));
                    after_refusal += if at > refused { len } else { 0 };
                    played.late += if too_late(at) { len } else { 0 };
                    if at > ends + GRACE / 4 {
                        played.beyond.push(Beyond {
                            bytes: len,
                            read: at - ends,
                            since: at - since,
                            cut: cut.map(|cut| from(ends, cut)),
                        });
                    }
                }
                // Whatever was late on the way, it was asked for when nothing might be opened or sealed any more.
                What::Served(began) | What::Taken(began) if began > ends => played.begun_late += 1,
                What::Neighbour(took) if at < said => played.neighbour_before.push(took),
                What::Neighbour(took) => played.neighbour_during.push(took),
                What::NeighbourRefused => played.neighbour_refused += 1,
                What::Taken(_) | What::Refused | What::Served(_) => {}
            }
        }
        played
            .after_yes
            .extend(last.map(|at| at.saturating_duration_since(yes)));
        played
            .after_no
            .extend(last.map(|at| at.saturating_duration_since(said)));
        played.after_refusal.push(after_refusal);
    }
    Ok(played)
}

/// From one moment to another, in seconds; negative if that was before.
fn from(one: Instant, other: Instant) -> f64 {
    other.saturating_duration_since(one).as_secs_f64() - one.saturating_duration_since(other).as_secs_f64()
}

/// When the authority that governs last said yes, to either gate.
fn last_yes(lane: &Lane, governed: Governed) -> Option<Instant> {
    let entra = Place::Entra(lane.standin.tenant_id("acme"));
    let (place, operation) = match governed {
        Governed::Vault => (Place::Vault("acme-vault".to_owned()), Operation::UnwrapKey),
        Governed::Identity => (entra, Operation::Token),
    };
    let log = lane.standin.log();
    let yes = log.iter().rfind(|entry| {
        entry.place == place
            && entry.operation == operation
            && matches!(entry.answer, Answer::Status(StatusCode::OK, _))
    });
    yes.map(|entry| entry.decided)
}
