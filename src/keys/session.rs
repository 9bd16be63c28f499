//! The identity's clock. A token lives an hour and more, so a disabled or deleted application shows only when one is asked
//! for anew: no proof counts longer than `identity_bound` after the exchange of the token that carried it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::keys::Bounds;
use crate::keys::refusal::Refusal;
use crate::keys::service::{KeyVault, VaultSession};
use crate::telemetry::clock::{Clock, Moment};
use crate::telemetry::metrics;

/// After an exchange that failed, the next one waits this long, doubling up to [`Bounds::ask_again`], unless Entra asks for more.
const PAUSE_FIRST: Duration = Duration::from_secs(1);

/// The tenant's session with its vault, exchanged afresh in the background while it is in use.
pub(super) struct Sessions {
    vault: Box<dyn KeyVault>,
    clock: Clock,
    bounds: Bounds,
    state: Mutex<State>,
    /// One exchange at a time, however many proofs wait for it.
    exchanging: tokio::sync::Mutex<()>,
    refreshing: AtomicBool,
    /// Who is told of a definitive no of Entra's: every version of the tenant, whose leases it ends.
    listeners: Mutex<Vec<Listener>>,
}

type Listener = Box<dyn Fn(Refusal) + Send + Sync>;

#[derive(Default)]
struct State {
    live: Option<Live>,
    failure: Option<Failure>,
}

#[derive(Clone)]
struct Live {
    session: Arc<dyn VaultSession>,
    exchanged: Moment,
}

/// The last exchange, if it failed: it answers for Entra until the pause is over.
#[derive(Clone, Copy)]
struct Failure {
    heard: Moment,
    refusal: Refusal,
    /// What the next pause is reckoned from; Entra's own wish is not doubled.
    step: Duration,
    pause: Duration,
}

impl Sessions {
    pub(super) fn new(vault: Box<dyn KeyVault>, clock: Clock, bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            vault,
            clock,
            bounds,
            state: Mutex::default(),
            exchanging: tokio::sync::Mutex::new(()),
            refreshing: AtomicBool::new(false),
            listeners: Mutex::default(),
        })
    }

    /// Tells `listener` of every definitive no of Entra's from now on.
    pub(super) fn on_no(&self, listener: impl Fn(Refusal) + Send + Sync + 'static) {
        self.listeners().push(Box::new(listener));
    }

    /// A session whose token is younger than `identity_bound`, and when that token was asked for. From a third of the bound on,
    /// the next one is exchanged in the background, so that a throttled Entra shuts nobody out.
    ///
    /// # Errors
    /// Entra's answer, or its last one while it is to be left alone.
    pub(super) async fn current(self: &Arc<Self>) -> Result<(Arc<dyn VaultSession>, Moment), Refusal> {
        let now = self.clock.now();
        let live = self.state().live.clone();
        match live {
            Some(live) if self.usable(&live, now) => {
                if !self.fresh(&live, now) {
                    self.refresh_in_background(now);
                }
                Ok((live.session, live.exchanged))
            }
            _ => self.exchange().await,
        }
    }

    /// The vault does not take this session's token: the next proof exchanges another, unless this one is so new that another
    /// would fare no better.
    pub(super) fn distrust(&self, exchanged: Moment) {
        let mut state = self.state();
        if self.clock.now().since(exchanged) >= self.bounds.ask_again {
            state.live = state.live.take().filter(|live| live.exchanged != exchanged);
        }
    }

    fn usable(&self, live: &Live, now: Moment) -> bool {
        !live.exchanged.after(self.bounds.identity).reached(now) && now.wall < live.session.token_ends()
    }

    fn fresh(&self, live: &Live, now: Moment) -> bool {
        !live.exchanged.after(self.bounds.identity / 3).reached(now)
            && now.wall + self.bounds.revocation * 2 < live.session.token_ends()
    }

    async fn exchange(self: &Arc<Self>) -> Result<(Arc<dyn VaultSession>, Moment), Refusal> {
        let arrived = self.clock.now();
        let _one = self.exchanging.lock().await;
        let asked = self.clock.now();
        {
            let state = self.state();
            if let Some(live) = state.live.clone()
                && live.exchanged.boot >= arrived.boot
                && self.usable(&live, asked)
            {
                return Ok((live.session, live.exchanged));
            }
            if let Some(refusal) = state.paused(asked) {
                return Err(refusal);
            }
        }
        let answer = self.vault.session().await;
        metrics::token_exchange(answer.as_ref().map_or_else(|refusal| refusal.name(), |_| "yes"));
        match answer {
            Ok(session) => {
                *self.state() = State {
                    live: Some(Live {
                        session: Arc::clone(&session),
                        exchanged: asked,
                    }),
                    failure: None,
                };
                Ok((session, asked))
            }
            Err(refusal) => {
                self.hear_failure(refusal);
                Err(refusal)
            }
        }
    }

    fn hear_failure(&self, refusal: Refusal) {
        let no = matches!(refusal, Refusal::Revoked(_));
        let mut state = self.state();
        let step = state
            .failure
            .map_or(PAUSE_FIRST, |failure| (failure.step * 2).min(self.bounds.ask_again));
        state.failure = Some(Failure {
            heard: self.clock.now(),
            refusal,
            step,
            pause: step.max(refusal.retry_after().unwrap_or_default()),
        });
        if no {
            // The session it would have replaced is worth nothing any more.
            state.live = None;
        }
        drop(state);
        if no {
            self.listeners().iter().for_each(|listener| listener(refusal));
        }
    }

    fn refresh_in_background(self: &Arc<Self>, now: Moment) {
        if self.state().paused(now).is_some() || self.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(refusal) = this.exchange().await {
                tracing::warn!(reason = refusal.name(), "the token could not be exchanged anew");
            }
            this.refreshing.store(false, Ordering::Release);
        });
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<Listener>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn paused(&self, now: Moment) -> Option<Refusal> {
        let failure = self.failure?;
        (now.since(failure.heard) < failure.pause).then_some(failure.refusal)
    }
}
