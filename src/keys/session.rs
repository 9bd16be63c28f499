//! The identity's clock. A token lives an hour and more, so a disabled or deleted application shows only when one is asked
//! for anew: no proof counts longer than `identity_bound` after the exchange of the token that carried it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::keys::Bounds;
use crate::keys::budget::{Purpose, Share};
use crate::keys::publisher::Publishers;
use crate::keys::refusal::{Refusal, Unavailable};
use crate::keys::service::{KeyState, KeyVault, VaultSession, Wrapped};
use crate::seal::KeyVersion;
use crate::telemetry::clock::{Clock, Moment};
use crate::telemetry::metrics;

/// After an exchange that failed, the next one waits this long, doubling up to [`Bounds::ask_again`], unless Entra asks for more.
const PAUSE_FIRST: Duration = Duration::from_secs(1);

/// How often it is looked whether a session is past its time: timers stand still while the machine sleeps.
const LOOK: Duration = Duration::from_secs(30);

/// The tenant's session with its vault, exchanged afresh in the background while it is in use.
pub(super) struct Sessions {
    vault: Box<dyn KeyVault>,
    clock: Clock,
    bounds: Bounds,
    shares: Shares,
    state: Mutex<State>,
    /// One exchange at a time, however many proofs wait for it.
    exchanging: tokio::sync::Mutex<()>,
    refreshing: AtomicBool,
    /// Who is told of a definitive no of Entra's: every version of the tenant, whose leases it ends.
    listeners: Mutex<Vec<Listener>>,
}

/// What the tenant shares with others: the budgets of its vault and of Entra, and perhaps its application.
pub(super) struct Shares {
    pub(super) vault: Share,
    pub(super) entra: Share,
    pub(super) publishers: Arc<Publishers>,
}

/// The calls that prove nothing, each made when the vault's budget lets it. It can't unwrap: that is [`Sessions::to_prove`]'s.
pub(super) struct Policy {
    session: Arc<dyn VaultSession>,
    share: Share,
    clock: Clock,
}

impl Policy {
    /// [`VaultSession::current`].
    pub(super) async fn current(&self) -> Result<KeyState, Refusal> {
        self.admit().await?;
        self.session.current().await
    }

    /// [`VaultSession::state`].
    pub(super) async fn state(&self, version: KeyVersion) -> Result<KeyState, Refusal> {
        self.admit().await?;
        self.session.state(version).await
    }

    /// [`VaultSession::versions`].
    pub(super) async fn versions(&self) -> Result<Vec<KeyState>, Refusal> {
        self.admit().await?;
        self.session.versions().await
    }

    /// [`VaultSession::wrap`].
    pub(super) async fn wrap(&self, version: KeyVersion, dek: &[u8; 32]) -> Result<Wrapped, Refusal> {
        self.admit().await?;
        self.session.wrap(version, dek).await
    }

    async fn admit(&self) -> Result<(), Refusal> {
        self.share.admit(Purpose::Other, self.clock.now()).await
    }
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
    /// The vault does not take its token.
    distrusted: bool,
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
    pub(super) fn new(vault: Box<dyn KeyVault>, clock: Clock, bounds: Bounds, shares: Shares) -> Arc<Self> {
        Arc::new(Self {
            vault,
            clock,
            bounds,
            shares,
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

    /// A session to unwrap with, once and now, and when its token was asked for: the vault's budget has let the call. What was
    /// wanted at `since` counts its patience from there.
    ///
    /// # Errors
    /// Entra's answer, or its last one while it is to be left alone; or a budget had no room.
    pub(super) async fn to_prove(
        self: &Arc<Self>,
        purpose: Purpose,
        since: Moment,
    ) -> Result<(Arc<dyn VaultSession>, Moment), Refusal> {
        match purpose {
            Purpose::Renewal => drop(self.current().await?),
            Purpose::Other => self.lasting().await?,
        }
        self.shares.vault.admit(purpose, since).await?;
        // Whatever was heard of Entra while this waited counts.
        let state = self.state();
        match (&state.live, state.failure) {
            (Some(live), _) => Ok((Arc::clone(&live.session), live.exchanged)),
            (None, Some(failure)) => Err(failure.refusal),
            (None, None) => Err(Unavailable::Lapsed.into()),
        }
    }

    /// Exchanges a token anew in the background, unless one is younger than `age`. The one there is goes on meanwhile, and if nobody
    /// answers.
    pub(super) fn recheck(self: &Arc<Self>, age: Duration) {
        let now = self.clock.now();
        let old = self
            .state()
            .live
            .as_ref()
            .is_some_and(|live| now.since(live.exchanged) >= age);
        if old {
            self.refresh_in_background(now);
        }
    }

    /// A session for what proves nothing.
    ///
    /// # Errors
    /// As [`Self::to_prove`].
    pub(super) async fn policy(self: &Arc<Self>) -> Result<Policy, Refusal> {
        Ok(Policy {
            session: self.current().await?,
            share: self.shares.vault.clone(),
            clock: self.clock.clone(),
        })
    }

    /// A session whose token is younger than `identity_bound`. From a third of the bound on, the next one is exchanged in the
    /// background, so that a throttled Entra shuts nobody out.
    async fn current(self: &Arc<Self>) -> Result<Arc<dyn VaultSession>, Refusal> {
        let now = self.clock.now();
        let live = self.state().live.clone();
        match live {
            Some(live) if self.usable(&live, now) => {
                if !self.fresh(&live, now) {
                    self.refresh_in_background(now);
                }
                Ok(live.session)
            }
            _ => self.exchange().await,
        }
    }

    /// Sees that a lease which is yet to begin lasts: a token in the last moments of its time, which a tenant that was idle may still
    /// have, is followed by another first. If there is none to be had, the old one goes on for what is left of it.
    async fn lasting(self: &Arc<Self>) -> Result<(), Refusal> {
        let now = self.clock.now();
        let live = self.state().live.clone();
        let ending = live.filter(|live| self.usable(live, now) && self.ends_within(live, now));
        if ending.is_none() || self.state().paused(now).is_some() {
            return self.current().await.map(drop);
        }
        let answer = self.exchange().await;
        let goes_on = |live: &Live| self.usable(live, self.clock.now());
        let old = self.state().live.as_ref().is_some_and(goes_on);
        if old { Ok(()) } else { answer.map(drop) }
    }

    /// Whether a proof with this session would end with its identity's time, before its own.
    fn ends_within(&self, live: &Live, now: Moment) -> bool {
        let least = self.bounds.revocation.min(self.bounds.identity / 3);
        live.exchanged
            .after(self.bounds.identity.saturating_sub(least))
            .reached(now)
    }

    /// The vault does not take this session's token: the next proof exchanges another, unless this one is so new that another
    /// would fare no better.
    pub(super) fn distrust(&self, exchanged: Moment) {
        if self.clock.now().since(exchanged) >= self.bounds.ask_again
            && let Some(live) = self.state().live.as_mut().filter(|live| live.exchanged == exchanged)
        {
            live.distrusted = true;
        }
    }

    fn usable(&self, live: &Live, now: Moment) -> bool {
        self.young(live, now) && now.wall < live.session.token_ends() && !live.distrusted
    }

    fn young(&self, live: &Live, now: Moment) -> bool {
        !live.exchanged.after(self.bounds.identity).reached(now)
    }

    fn fresh(&self, live: &Live, now: Moment) -> bool {
        !live.exchanged.after(self.bounds.identity / 3).reached(now)
            && now.wall + self.bounds.revocation * 2 < live.session.token_ends()
    }

    async fn exchange(self: &Arc<Self>) -> Result<Arc<dyn VaultSession>, Refusal> {
        let arrived = self.clock.now();
        let _one = self.exchanging.lock().await;
        let purpose = {
            let now = self.clock.now();
            let state = self.state();
            if let Some(live) = state.live.clone()
                && live.exchanged.boot >= arrived.boot
                && self.usable(&live, now)
            {
                return Ok(live.session);
            }
            if let Some(refusal) = state.paused(now) {
                return Err(refusal);
            }
            // Leases may live on the token before it.
            match &state.live {
                Some(live) if self.young(live, now) => Purpose::Renewal,
                _ => Purpose::Other,
            }
        };
        self.shares.entra.admit(purpose, arrived).await?;
        let asked = self.clock.now();
        let answer = self.vault.session().await;
        metrics::token_exchange(answer.as_ref().map_or_else(|refusal| refusal.name(), |_| "yes"));
        if let Some(application) = self.vault.application() {
            let told = answer.as_ref().map(|_| ()).map_err(|refusal| *refusal);
            let tenant = &self.shares.entra.tenant;
            self.shares
                .publishers
                .heard(application, tenant, told, self.clock.now());
        }
        match answer {
            Ok(session) => {
                *self.state() = State {
                    live: Some(Live {
                        session: Arc::clone(&session),
                        exchanged: asked,
                        distrusted: false,
                    }),
                    failure: None,
                };
                self.forget_in_time(asked);
                Ok(session)
            }
            Err(refusal) => {
                self.hear_failure(refusal);
                Err(refusal)
            }
        }
    }

    /// Drops the session, and its token with it, once no proof may be made with it: a tenant that nobody uses leaves no token in
    /// memory. One that is used has exchanged another long before.
    fn forget_in_time(self: &Arc<Self>, exchanged: Moment) {
        let (this, clock) = (Arc::downgrade(self), self.clock.clone());
        tokio::spawn(async move {
            while let Some(left) = this.upgrade().and_then(|this| this.forget_unless_young(exchanged)) {
                clock.sleep(left.clamp(Duration::from_millis(1), LOOK)).await;
            }
        });
    }

    /// How long a session may still be of use; `None` where it is another by now, or gone.
    fn forget_unless_young(&self, exchanged: Moment) -> Option<Duration> {
        let now = self.clock.now();
        let mut state = self.state();
        let live = state.live.as_ref().filter(|live| live.exchanged == exchanged)?;
        let ends = live.session.token_ends().saturating_sub(now.wall);
        let left = exchanged.after(self.bounds.identity).left(now).min(ends);
        if left.is_zero() {
            state.live = None;
            return None;
        }
        Some(left)
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
                let tenant = &this.shares.entra.tenant;
                tracing::warn!(%tenant, reason = refusal.name(), "the token could not be exchanged anew");
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
