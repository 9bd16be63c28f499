//! The judge. It knows what the vault and Entra said and when each was asked, what the customer meant by it, and when the
//! world was well; it knows nothing of leases. Every chunk and every refusal is brought before it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::keys::Bounds;
use crate::keys::budget::{Budgets, WINDOW};
use crate::keys::refusal::{Refusal, Unavailable};
use crate::keys::simulation::vault::State;
use crate::keys::simulation::{Life, Ran, World};
use crate::seal::KeyVersion;
use crate::telemetry::clock::{Clock, Moment};

/// How long a handful of calls to services that are well may take, one after the other.
const A_FEW_CALLS: Duration = Duration::from_millis(2500);

pub struct Judge {
    clocks: Vec<Clock>,
    record: Mutex<Book>,
}

/// A yes: when it was asked for, and when its token was.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    pub asked: Moment,
    pub exchanged: Moment,
}

/// What a process asked for a tenant: to unwrap with a version, or Entra for a token.
pub type Asked = (Life, usize, Option<KeyVersion>);

#[derive(Default)]
struct Book {
    bounds: Option<Bounds>,
    budgets: Budgets,
    /// When a process called a service within the last ten seconds, by boot time.
    recent: BTreeMap<(Life, String), VecDeque<Duration>>,
    yes: BTreeMap<(Life, usize, KeyVersion), Vec<Said>>,
    no: BTreeMap<(Life, usize, KeyVersion), Moment>,
    entra_no: BTreeMap<(Life, usize), Moment>,
    /// Since when the customer means no, by every gate's clocks.
    revoked: BTreeMap<(usize, KeyVersion), Vec<Moment>>,
    disabled_app: BTreeMap<usize, Vec<Moment>>,
    /// Until when something was wrong for a tenant, for its writers only, and for a gate.
    trouble: BTreeMap<Trouble, Instant>,
    calls: BTreeMap<Asked, u64>,
    /// Until when nobody is to be asked, by boot time.
    alone: BTreeMap<Asked, Duration>,
    ran: Ran,
}

/// Whom something going wrong may hurt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    Tenant(usize),
    Writers(usize),
    /// All tenants' cold writers: who is warm must not notice.
    Keyring,
    Version(usize, KeyVersion),
    Gate(usize),
}

impl Judge {
    pub fn new(clocks: Vec<Clock>) -> Self {
        Self {
            clocks,
            record: Mutex::default(),
        }
    }

    pub fn set_bounds(&self, bounds: Bounds, budgets: Budgets) {
        let mut book = self.book();
        book.bounds = Some(bounds);
        book.budgets = budgets;
    }

    /// A process calls a vault, or Entra, whatever for: never more often than its budget allows.
    pub fn called(&self, life: Life, host: &str) {
        let now = self.clocks[life.gate].now().boot;
        let mut book = self.book();
        let budget = match host {
            "entra" => book.budgets.entra,
            _ => book.budgets.vault,
        };
        let recent = book.recent.entry((life, host.to_owned())).or_default();
        recent.push_back(now);
        while recent.front().is_some_and(|first| now - *first > WINDOW) {
            recent.pop_front();
        }
        let calls = recent.len();
        if calls > usize::try_from(budget.number()).unwrap() {
            book.fail(format!("{life:?}: {calls} calls to {host} in ten seconds"));
        }
    }

    pub fn said_yes(&self, life: Life, tenant: usize, version: KeyVersion, said: Said) {
        let mut book = self.book();
        book.yes.entry((life, tenant, version)).or_default().push(said);
    }

    pub fn said_no(&self, life: Life, tenant: usize, version: KeyVersion) {
        let now = self.clocks[life.gate].now();
        self.book().no.insert((life, tenant, version), now);
    }

    pub fn entra_said_no(&self, life: Life, tenant: usize) {
        let now = self.clocks[life.gate].now();
        self.book().entra_no.insert((life, tenant), now);
    }

    /// The customer changed something: from now on these versions are refused and those are not.
    pub fn customer_means(&self, tenant: usize, state: &State) {
        let now: Vec<_> = self.clocks.iter().map(Clock::now).collect();
        let mut book = self.book();
        for (version, _) in &state.versions {
            match state.verdict(*version) {
                Ok(()) => _ = book.revoked.remove(&(tenant, *version)),
                Err(_) => _ = book.revoked.entry((tenant, *version)).or_insert_with(|| now.clone()),
            }
        }
        match state.app_disabled {
            false => _ = book.disabled_app.remove(&tenant),
            true => _ = book.disabled_app.entry(tenant).or_insert(now),
        }
    }

    /// Something is wrong for `span` from now on.
    pub fn trouble(&self, whose: Trouble, span: Duration) {
        let until = Instant::now() + span;
        let mut book = self.book();
        let known = book.trouble.entry(whose).or_insert(until);
        *known = until.max(*known);
    }

    /// A process asks the vault to unwrap with a version, or Entra for a token.
    pub fn asked(&self, asked: Asked) {
        let now = self.clocks[asked.0.gate].now();
        let mut book = self.book();
        *book.calls.entry(asked).or_default() += 1;
        if book.alone.get(&asked).is_some_and(|until| now.boot < *until) {
            book.fail(format!(
                "{asked:?} at {now:?}: asked again sooner than it was to be left alone"
            ));
        }
    }

    /// It was answered, with a yes or with this: after a no nobody asks again for a second, nor for as long as a service that
    /// throttles wants, nor at once after any other failure.
    pub fn answered(&self, asked: Asked, failure: Option<Refusal>) {
        let now = self.clocks[asked.0.gate].now();
        let mut book = self.book();
        let least = book.bounds.map_or(Duration::ZERO, |bounds| bounds.revocation / 50);
        let pause = failure.map(|refusal| match refusal {
            Refusal::Revoked(_) => Duration::from_secs(1),
            _ => refusal.retry_after().unwrap_or_default().max(least),
        });
        match pause {
            Some(pause) => _ = book.alone.insert(asked, now.boot + pause),
            None => _ = book.alone.remove(&asked),
        }
    }

    /// A chunk was just sealed or opened.
    pub fn chunk(&self, life: Life, tenant: usize, version: KeyVersion) {
        let now = self.clocks[life.gate].now();
        let mut book = self.book();
        book.ran.chunks += 1;
        if let Some(wrong) = book.wrong_with_chunk(life, tenant, version, now) {
            book.fail(format!(
                "{life:?} tenant {tenant} version {version} at {now:?}: {wrong}"
            ));
        }
    }

    /// A request was refused, or a stream cut, that nothing had happened to before `since`.
    pub fn refused(&self, life: Life, troubles: &[Trouble], since: Instant, why: Refusal, what: &str) {
        let mut book = self.book();
        match what {
            "stream" => book.ran.cuts += 1,
            _ => book.ran.refusals += 1,
        }
        let exhausted = matches!(why, Refusal::Unavailable(Unavailable::BudgetExhausted { .. }));
        if exhausted && what != "stream" {
            // Whose lease is not live waits for the budget like others, also in vain. A stream shows that it was.
            book.ran.exhausted += 1;
            return;
        }
        let Some(bounds) = book.bounds else { return };
        let mine = [Trouble::Gate(life.gate)];
        let last = troubles
            .iter()
            .chain(&mine)
            .filter_map(|trouble| book.trouble.get(trouble))
            .max();
        let well = match last {
            None => true,
            Some(last) => since > *last + bounds.revocation.max(bounds.ask_again) + A_FEW_CALLS,
        };
        if well {
            let last = last.map(|last| since.saturating_duration_since(*last));
            book.fail(format!(
                "{life:?} {troubles:?}: a {what} was refused ({why}), but all had been well for {last:?} before"
            ));
        }
    }

    /// Something that must never happen did.
    pub fn fail(&self, what: String) {
        self.book().fail(what);
    }

    pub fn failure(&self) -> Option<String> {
        self.book().ran.failure.clone()
    }

    /// The vault and Entra were not asked more often than time, versions and processes account for, whatever clients wanted.
    pub fn count_calls(&self, world: &World) {
        let bound = world.bounds.revocation;
        let mut book = self.book();
        for (asked, calls) in book.calls.clone() {
            if world.crowd && asked.1 == 0 {
                continue;
            }
            // Well: a renewal in a third of the bound, less its jitter; a token in a third of its own. In trouble: a renewal
            // in a tenth at most, and what pauses allow.
            let (every, first) = match (asked.2, world.calm) {
                (Some(_), true) => (bound.mul_f64(0.27), 6),
                (Some(_), false) => (bound / 12, 6),
                (None, true) => (world.bounds.identity / 3, 2),
                (None, false) => (Duration::from_millis(900), 2),
            };
            let most = first + u64::try_from(world.length.as_millis() / every.as_millis()).unwrap();
            book.ran.calls += calls;
            if calls > most {
                book.fail(format!("{asked:?}: {calls} calls, more than {most}"));
            }
        }
    }

    pub fn ran(&self, seed: u64) -> Ran {
        let ran = self.book().ran.clone();
        Ran { seed, ..ran }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.record.lock().unwrap()
    }
}

/// Less than `bound` later on the one clock and on the other. Reckoned here, so that the code's own reckoning is judged too.
fn within(then: Moment, bound: Duration, now: Moment) -> bool {
    now.boot < then.boot + bound && now.wall < then.wall + bound
}

impl Book {
    fn wrong_with_chunk(&self, life: Life, tenant: usize, version: KeyVersion, now: Moment) -> Option<&'static str> {
        let bounds = self.bounds?;
        let Some(yes) = self.yes.get(&(life, tenant, version)) else {
            return Some("a chunk without any yes");
        };
        let in_time = |said: &&Said| within(said.asked, bounds.revocation, now);
        let known = |said: &&Said| within(said.exchanged, bounds.identity, now);
        let after = |no: Option<&Moment>, said: &&Said| no.is_none_or(|no| said.asked.boot > no.boot);
        let no = self.no.get(&(life, tenant, version));
        let entra_no = self.entra_no.get(&(life, tenant));
        if !yes.iter().any(|said| in_time(&said)) {
            return Some("a chunk later than the last yes and the bound");
        }
        if !yes.iter().any(|said| in_time(&said) && known(&said)) {
            return Some("a chunk later than the last exchange and its bound");
        }
        let counts = |said: &&Said| in_time(said) && known(said) && after(no, said) && after(entra_no, said);
        if !yes.iter().any(|said| counts(&said)) {
            return Some("a chunk after a no, without a yes that was asked for after it");
        }
        // The same once more from what the customer meant, whatever was said.
        let revoked = self.revoked.get(&(tenant, version)).and_then(|at| at.get(life.gate));
        if revoked.is_some_and(|at| now.since(*at) >= bounds.revocation) {
            return Some("a chunk later than the customer's no and the bound");
        }
        let disabled = self.disabled_app.get(&tenant).and_then(|at| at.get(life.gate));
        if disabled.is_some_and(|at| now.since(*at) >= bounds.identity) {
            return Some("a chunk later than the customer's no at Entra and its bound");
        }
        None
    }

    fn fail(&mut self, what: String) {
        self.ran.failure.get_or_insert(what);
    }
}
