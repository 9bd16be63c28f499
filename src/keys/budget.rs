//! How often a vault and Entra are called: in no ten seconds more than their budget allows, the renewals of live leases before
//! all else, and the tenants of one vault in turn, however much one of them wants.
//!
//! Their limits are the customers' and shared with whatever else uses them. Only a tenth of a budget may be called at once and
//! the rest comes evenly, so a renewal never finds a budget that others have used up: it waits for the renewals before it, and
//! for one other call in eight, which keep moving even where renewals ask for everything. A version has one renewal waiting at
//! most. So where [`Calls::renew`] holds, a round of all tenants takes less than a third of the bound, and a lease whose
//! renewal begins with two thirds left does not end for want of a call.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::keys::refusal::{Refusal, Service, Unavailable};
use crate::telemetry::clock::{Clock, Moment};
use crate::telemetry::metrics;

/// What budgets are counted in, as Azure counts its own limits (Azure Key Vault service limits).
pub const WINDOW: Duration = Duration::from_secs(10);

/// How long a call waits that renews no lease; then whoever wants it is refused and may ask again.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// One in so many calls is another than a renewal if any waits.
const OTHERS: u32 = 8;

/// The most renewals that a lease asks for within its bound, in tenths: one in 0.283 of it at the least.
const RENEWALS: u128 = 36;

/// The budgets of one gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Of each vault (`vault_budget`).
    pub vault: Calls,
    /// Of Entra (`entra_budget`): exchanges of tokens, for all tenants together.
    pub entra: Calls,
}

impl Default for Budgets {
    /// Of a vault: 100, so that two gates leave a customer's other applications a fifth of the smallest limit there is, 250 (keys
    /// of RSA-4096 in an HSM), and most of any other. Of Entra: 30; it publishes no limit, and asks to be left alone for a minute
    /// where it has one.
    fn default() -> Self {
        Self {
            vault: Calls(100),
            entra: Calls(30),
        }
    }
}

/// So many calls in any ten seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Calls(u32);

impl Calls {
    /// The smallest budget: one call at a time.
    pub const LEAST: u32 = 10;
    /// The largest: what no vault bears.
    pub const MOST: u32 = 100_000;

    /// A budget from [`Self::LEAST`] to [`Self::MOST`].
    pub fn new(calls: u32) -> Option<Self> {
        (Self::LEAST..=Self::MOST).contains(&calls).then_some(Self(calls))
    }

    /// The number.
    pub fn number(self) -> u32 {
        self.0
    }

    /// Whether it renews leases of so many tenants, one of each, that live no longer than `bound` without it.
    pub fn renew(self, tenants: usize, bound: Duration) -> bool {
        let evenly = u128::from(self.0 - self.at_once());
        let renewals = evenly * u128::from(OTHERS - 1) * bound.as_millis() * 10;
        let wanted = RENEWALS * WINDOW.as_millis() * u128::from(OTHERS);
        renewals >= wanted.saturating_mul(u128::try_from(tenants).unwrap_or(u128::MAX))
    }

    /// The least budget that does.
    pub fn least(tenants: usize, bound: Duration) -> Option<Self> {
        (Self::LEAST..=Self::MOST)
            .map(Self)
            .find(|calls| calls.renew(tenants, bound))
    }

    fn at_once(self) -> u32 {
        self.0 / 10
    }

    /// Between calls, where one waits for the other. Calls in ten seconds: those at once, and the rest at this interval.
    fn interval(self) -> Duration {
        let evenly = u64::from((self.0 - self.at_once()).max(1));
        Duration::from_nanos(10_000_000_000_u64.div_ceil(evenly))
    }
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A lease that is live goes on by it. Whoever wants it waits until it comes, or gives up with the lease.
    Renewal,
    /// A first proof, a look at the key, a new DEK. It waits for [`PATIENCE`].
    Other,
}

/// The calls to one service.
pub(super) struct Budget {
    to: Service,
    calls: Calls,
    clock: Clock,
    line: Mutex<Line>,
}

/// One tenant's part in a budget.
#[derive(Clone)]
pub(super) struct Share {
    pub(super) budget: Arc<Budget>,
    pub(super) tenant: Arc<str>,
}

impl Share {
    /// Returns when one call may be made, now. What was wanted at `since` counts its patience from there.
    ///
    /// # Errors
    /// [`Unavailable::BudgetExhausted`]; never for a renewal, unless the process ends.
    pub(super) async fn admit(&self, purpose: Purpose, since: Moment) -> Result<(), Refusal> {
        let budget = &self.budget;
        let Some(turn) = budget.join(&self.tenant, purpose) else {
            return Ok(());
        };
        metrics::held_back(budget.to.name(), "waited");
        let admitted = match purpose {
            Purpose::Renewal => turn.await.is_ok(),
            Purpose::Other => {
                let waited = budget.clock.now().since(since);
                tokio::select! {
                    biased;
                    turn = turn => turn.is_ok(),
                    () = budget.clock.sleep(PATIENCE.saturating_sub(waited)) => false,
                }
            }
        };
        if admitted {
            return Ok(());
        }
        metrics::held_back(budget.to.name(), "exhausted");
        Err(Unavailable::BudgetExhausted { to: budget.to }.into())
    }
}

impl Budget {
    pub(super) fn new(to: Service, calls: Calls, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            to,
            calls,
            clock,
            line: Mutex::default(),
        })
    }

    /// `None`: the call may be made at once. Otherwise it is told when it is its turn.
    fn join(self: &Arc<Self>, tenant: &Arc<str>, purpose: Purpose) -> Option<oneshot::Receiver<()>> {
        let mut line = self.line();
        if line.renewals.0.is_empty() && line.others.0.is_empty() && self.wait(&line).is_zero() {
            self.spend(&mut line);
            return None;
        }
        let (call, turn) = oneshot::channel();
        match purpose {
            Purpose::Renewal => line.renewals.join(tenant, call),
            Purpose::Other => line.others.join(tenant, call),
        }
        if !std::mem::replace(&mut line.served, true) {
            tokio::spawn(serve(Arc::clone(self)));
        }
        Some(turn)
    }

    /// Admits who may go now, and says how long until the next may; `None` when nobody waits.
    fn serve_now(&self) -> Option<Duration> {
        let mut line = self.line();
        loop {
            let wait = self.wait(&line);
            if !wait.is_zero() {
                return Some(wait);
            }
            let Some(call) = line.next() else {
                line.served = false;
                return None;
            };
            // Who has gone meanwhile costs nothing.
            if call.send(()).is_ok() {
                self.spend(&mut line);
            }
        }
    }

    fn wait(&self, line: &Line) -> Duration {
        let at_once = self.calls.interval() * self.calls.at_once().saturating_sub(1);
        line.spent_until.saturating_sub(self.clock.now().boot + at_once)
    }

    fn spend(&self, line: &mut Line) {
        line.spent_until = line.spent_until.max(self.clock.now().boot) + self.calls.interval();
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves the line while anybody stands in it.
async fn serve(budget: Arc<Budget>) {
    while let Some(wait) = budget.serve_now() {
        budget.clock.sleep(wait).await;
    }
}

/// Who waits.
#[derive(Default)]
struct Line {
    /// When all calls made so far would have been made, had they come one an interval (the generic cell rate algorithm), by
    /// boot time. It runs ahead of the clock by what may be called at once, and no further.
    spent_until: Duration,
    renewals: Turns,
    others: Turns,
    /// Renewals admitted while others waited.
    in_a_row: u32,
    /// A task is at work here.
    served: bool,
}

impl Line {
    fn next(&mut self) -> Option<oneshot::Sender<()>> {
        if self.in_a_row < OTHERS - 1
            && let Some(call) = self.renewals.next()
        {
            self.in_a_row = if self.others.0.is_empty() { 0 } else { self.in_a_row + 1 };
            return Some(call);
        }
        self.in_a_row = 0;
        self.others.next().or_else(|| self.renewals.next())
    }
}

/// The tenants that wait, each with its calls in their order. Turns go round the tenants, not the calls.
#[derive(Default)]
struct Turns(VecDeque<(Arc<str>, VecDeque<oneshot::Sender<()>>)>);

impl Turns {
    fn join(&mut self, tenant: &Arc<str>, call: oneshot::Sender<()>) {
        match self.0.iter_mut().find(|(name, _)| name == tenant) {
            Some((_, calls)) => {
                // Those who have given up would pile up where turns are rare.
                calls.retain(|call| !call.is_closed());
                calls.push_back(call);
            }
            None => self.0.push_back((Arc::clone(tenant), VecDeque::from([call]))),
        }
    }

    /// The next who still waits.
    fn next(&mut self) -> Option<oneshot::Sender<()>> {
        while let Some((tenant, mut calls)) = self.0.pop_front() {
            while let Some(call) = calls.pop_front() {
                if call.is_closed() {
                    continue;
                }
                if !calls.is_empty() {
                    self.0.push_back((tenant, calls));
                }
                return Some(call);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(calls: u32) -> (Arc<Budget>, Clock) {
        let (clock, _) = Clock::virtual_time(1);
        let budget = Budget::new(Service::Vault, Calls::new(calls).unwrap(), clock.clone());
        (budget, clock)
    }

    fn share(budget: &Arc<Budget>, tenant: &str) -> Share {
        Share {
            budget: Arc::clone(budget),
            tenant: tenant.into(),
        }
    }

    /// Starts `count` calls of a tenant; each notes when it was admitted, and for whom.
    fn want(share: &Share, purpose: Purpose, count: usize, admitted: &Arc<Mutex<Vec<(Duration, String)>>>) {
        for _ in 0..count {
            let (share, admitted) = (share.clone(), Arc::clone(admitted));
            tokio::spawn(async move {
                let clock = share.budget.clock.clone();
                if share.admit(purpose, clock.now()).await.is_ok() {
                    admitted
                        .lock()
                        .unwrap()
                        .push((clock.now().boot, share.tenant.to_string()));
                }
            });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_ten_seconds_hold_more_calls_than_the_budget() {
        for calls in [10, 37, 100, 4000] {
            let (budget, clock) = budget(calls);
            let admitted = Arc::default();
            let calls = usize::try_from(calls).unwrap();
            // An idle time in between must save up no more than a budget either.
            for pause in [0, 3, 25] {
                clock.sleep(Duration::from_secs(pause)).await;
                want(&share(&budget, "a"), Purpose::Renewal, calls * 2, &admitted);
                clock.sleep(Duration::from_secs(25)).await;
            }
            let times: Vec<_> = admitted.lock().unwrap().iter().map(|(at, _)| *at).collect();
            assert_eq!(times.len(), calls * 6, "all of them in time");
            for (first, one_too_many) in times.iter().zip(times.iter().skip(calls)) {
                assert!(*one_too_many - *first > WINDOW, "{calls}: {first:?} {one_too_many:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn renewals_come_first_and_one_call_in_eight_is_another() {
        let (budget, clock) = budget(100);
        let admitted = Arc::default();
        want(&share(&budget, "scans"), Purpose::Other, 80, &admitted);
        clock.sleep(Duration::from_secs(2)).await;
        let before = admitted.lock().unwrap().len();
        for tenant in 0..35 {
            want(
                &share(&budget, &format!("renews-{tenant}")),
                Purpose::Renewal,
                1,
                &admitted,
            );
        }
        clock.sleep(Duration::from_millis(4500)).await;
        let admitted = admitted.lock().unwrap();
        let since: Vec<_> = admitted.iter().skip(before).take(40).collect();
        let others = since.iter().filter(|(_, tenant)| tenant == "scans").count();
        assert_eq!((since.len(), others), (40, 5), "{since:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn tenants_take_turns_however_much_one_wants() {
        let (budget, clock) = budget(10);
        let admitted = Arc::default();
        want(&share(&budget, "greedy"), Purpose::Other, 500, &admitted);
        clock.sleep(Duration::from_millis(1)).await;
        want(&share(&budget, "modest"), Purpose::Other, 2, &admitted);
        clock.sleep(Duration::from_secs(6)).await;
        let admitted = admitted.lock().unwrap();
        let order: Vec<_> = admitted.iter().map(|(_, tenant)| tenant.as_str()).take(6).collect();
        assert_eq!(order, ["greedy", "greedy", "modest", "greedy", "modest", "greedy"]);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_and_who_has_gone_costs_nothing() {
        let (budget, clock) = budget(10);
        let admitted = Arc::default();
        let began = clock.now();
        want(&share(&budget, "greedy"), Purpose::Other, 500, &admitted);
        clock.sleep(Duration::from_millis(1)).await;
        let late = share(&budget, "greedy").admit(Purpose::Other, began).await;
        assert_eq!(
            late,
            Err(Unavailable::BudgetExhausted { to: Service::Vault }.into()),
            "behind five hundred of its own"
        );
        assert!(clock.now().since(began) <= PATIENCE + Duration::from_millis(2));
        // Whoever wants a call now waits for an interval, not for those who have given up.
        clock.sleep(Duration::from_secs(2)).await;
        let began = clock.now();
        share(&budget, "modest").admit(Purpose::Other, began).await.unwrap();
        assert!(clock.now().since(began) <= Duration::from_millis(1200));
    }

    #[test]
    fn a_budget_says_how_many_tenants_it_renews() {
        let default = Budgets::default();
        let bound = Duration::from_secs(30);
        assert!(default.vault.renew(65, bound) && !default.vault.renew(66, bound));
        let least = Duration::from_secs(5);
        assert!(default.vault.renew(10, least) && !default.vault.renew(11, least));
        assert!(default.entra.renew(393, Duration::from_secs(600)));
        let needed = Calls::least(66, bound).unwrap();
        assert!(needed.renew(66, bound) && needed > default.vault);
        assert!(!Calls(needed.0 - 1).renew(66, bound), "the least");
        assert_eq!(Calls::least(usize::MAX, bound), None);
    }
}
