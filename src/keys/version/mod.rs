//! One CMK version of one tenant: its proofs, in the order they were asked for, and the grant they keep alive.
//!
//! A proof is an unwrapKey. It counts from the moment it was asked for. A no ends the grant at once, and a yes that was asked
//! for before the no was heard counts for nothing. Silence changes nothing until the grant runs out by itself.

mod keeper;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::keys::Bounds;
use crate::keys::budget::Purpose;
use crate::keys::lease::{Grant, Lease};
use crate::keys::refusal::{Blocked, IdentityFault, Refusal, Revoked, Service, Unavailable};
use crate::keys::service::{KeyState, VaultSession, Wrapped};
use crate::keys::session::Sessions;
use crate::keys::terms::Expired;
use crate::seal::{Dek, DekId, Envelope, KeyVersion};
use crate::telemetry::audit::{self, Event};
use crate::telemetry::clock::{Clock, Moment};
use crate::telemetry::metrics;

/// After a no, the vault is asked again on demand, no sooner than this, doubling up to [`Bounds::ask_again`].
const ASK_AGAIN_FIRST: Duration = Duration::from_secs(1);

/// How often the vault is asked for the version's dates, where they count and the lease is in use.
const LOOK_AT_DATES: Duration = Duration::from_secs(60);

/// How many envelopes that the vault called bad are remembered, so that they cost it no second call.
const BAD_ENVELOPES: usize = 1024;

pub(super) struct Version {
    pub(super) id: KeyVersion,
    tenant: Arc<str>,
    clock: Clock,
    bounds: Bounds,
    expired: Expired,
    sessions: Arc<Sessions>,
    /// A look at the version's dates is under way.
    looking: AtomicBool,
    state: Mutex<State>,
    /// One unwrap for requests at a time, however many wait for it. A renewal does not wait for it: a request may be waiting for
    /// the vault's budget behind everybody's renewals.
    flight: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    grant: Option<Arc<Grant>>,
    /// The last definitive no since the last yes. A yes that was asked for before it was heard is too late.
    no: Option<Failure>,
    /// The last call without an answer since the last yes.
    silence: Option<Failure>,
    bad: HashSet<[u8; 32]>,
    dates: Option<Dates>,
}

/// What getKey said of the version, where its `exp` is heeded.
#[derive(Clone, Copy)]
struct Dates {
    expires: Option<Duration>,
    looked: Moment,
}

/// What was heard instead of a yes. Until the pause is over it answers for the vault, which is not asked.
#[derive(Clone, Copy)]
struct Failure {
    heard: Moment,
    refusal: Refusal,
    /// What the next pause is reckoned from; what the vault itself asked for is not doubled.
    step: Duration,
    pause: Duration,
}

impl Version {
    pub(super) fn new(
        id: KeyVersion,
        tenant: Arc<str>,
        clock: Clock,
        bounds: Bounds,
        expired: Expired,
        sessions: Arc<Sessions>,
    ) -> Arc<Self> {
        let version = Arc::new(Self {
            id,
            tenant,
            clock,
            bounds,
            expired,
            sessions: Arc::clone(&sessions),
            looking: AtomicBool::new(false),
            state: Mutex::default(),
            flight: Arc::new(tokio::sync::Mutex::new(())),
        });
        let listening = Arc::downgrade(&version);
        sessions.on_no(move |refusal| {
            if let Some(version) = listening.upgrade() {
                // It ends the lease like the vault's own. When Entra is asked again is not decided here.
                version.hear_no(refusal, Duration::ZERO);
            }
        });
        version
    }

    /// A lease on a DEK that is in memory under a live grant.
    pub(super) fn warm(&self, dek: DekId) -> Option<Lease> {
        let grant = self.state().grant.clone()?;
        grant.lease(dek, self.bounds.revocation / 6)
    }

    /// A lease on the DEK in this envelope, unwrapped by the vault if it is not in memory. The envelope's origin and CMK
    /// have been checked by the caller.
    pub(super) async fn lease(self: &Arc<Self>, dek: DekId, envelope: &Arc<Envelope>) -> Result<Lease, Refusal> {
        if let Some(lease) = self.warm(dek) {
            return Ok(lease);
        }
        self.may_ask(envelope)?;
        let since = self.clock.now();
        let flight = Arc::clone(&self.flight).lock_owned().await;
        // Whoever had the flight before may have brought the answer, whichever it was.
        if let Some(lease) = self.warm(dek) {
            return Ok(lease);
        }
        self.may_ask(envelope)?;
        // In a task of its own: a client that goes away must not take the others' answer with it.
        let (this, envelope) = (Arc::clone(self), Arc::clone(envelope));
        let proof = tokio::spawn(async move {
            let _flight = flight;
            this.heed_expiry(&envelope).await?;
            let session = this.session(Purpose::Other, since).await?;
            // A renewal may have heard a no meanwhile.
            this.may_ask(&envelope)?;
            this.prove(session, dek, &envelope).await
        });
        match proof.await {
            Ok(Ok(())) => self.warm(dek).ok_or(Unavailable::Lapsed.into()),
            Ok(Err(refusal)) => Err(refusal),
            Err(_) => Err(Unavailable::Lapsed.into()),
        }
    }

    /// Has a live grant proved at once. Whether there was one; if not, the vault's last no answers for it no longer.
    pub(super) fn recheck(&self) -> bool {
        self.live_or_forgetful().map(|grant| grant.want_proof()).is_some()
    }

    /// As [`Self::recheck`], and waits for what comes of it. `None` without a live grant.
    pub(super) async fn proved(&self) -> Option<Result<(), Refusal>> {
        let grant = self.live_or_forgetful()?;
        match self.refuses() {
            // It wishes to be left alone.
            Some(silence) => Some(Err(silence)),
            None => Some(grant.proved().await),
        }
    }

    fn live_or_forgetful(&self) -> Option<Arc<Grant>> {
        let mut state = self.state();
        let live = state.grant.clone().filter(|grant| grant.live().is_ok());
        if live.is_none()
            && let Some(no) = &mut state.no
        {
            no.pause = Duration::ZERO;
        }
        live
    }

    /// The last no or silence, while it answers for the vault.
    pub(super) fn refuses(&self) -> Option<Refusal> {
        let now = self.clock.now();
        let state = self.state();
        let standing = |failure: Option<Failure>| failure.filter(|it| now.since(it.heard) < it.pause);
        standing(state.no).or(standing(state.silence)).map(|it| it.refusal)
    }

    /// Heeds what getKey said of the version at `looked`, by the tenant's terms.
    pub(super) fn learn(&self, key: &KeyState, looked: Moment) {
        if self.expired == Expired::Allow {
            return;
        }
        let mut state = self.state();
        let expires = key.expires;
        state.dates = Some(Dates { expires, looked });
        if let Some(grant) = &state.grant {
            grant.expires(expires);
        }
    }

    /// Where an expired key opens nothing: knows the version's dates, a minute old at the most, and says no past its `exp`. The
    /// vault itself does not.
    async fn heed_expiry(&self, envelope: &Envelope) -> Result<(), Refusal> {
        if self.expired == Expired::Allow {
            return Ok(());
        }
        let now = self.clock.now();
        let known = self.state().dates;
        let past = |expires: Option<Duration>, now: Moment| expires.is_some_and(|expires| now.wall >= expires);
        // Of a date that is past the customer may have thought better since.
        if known.is_some_and(|dates| !past(dates.expires, now) && now.since(dates.looked) <= LOOK_AT_DATES) {
            return Ok(());
        }
        let policy = self.sessions.policy().await?;
        let asked = self.clock.now();
        let key = match policy.state(self.id).await {
            Ok(key) => key,
            // Nobody was asked.
            Err(refusal @ Refusal::Unavailable(Unavailable::BudgetExhausted { .. })) => return Err(refusal),
            Err(refusal) => {
                self.hear_failure(refusal, envelope);
                return Err(refusal);
            }
        };
        self.learn(&key, asked);
        if past(key.expires, self.clock.now()) {
            let expired = Revoked::KeyExpired.into();
            self.hear_no(expired, ASK_AGAIN_FIRST);
            return Err(expired);
        }
        Ok(())
    }

    /// Asks for the dates again while the lease goes on: a renewal never waits for it.
    fn look_at_dates(self: &Arc<Self>) {
        let now = self.clock.now();
        let old = |dates: Dates| now.since(dates.looked) > LOOK_AT_DATES;
        if !self.state().dates.is_some_and(old) || self.looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let asked = this.clock.now();
            let look = async { this.sessions.policy().await?.state(this.id).await };
            match look.await {
                Ok(key) => this.learn(&key, asked),
                // What unwrapKey answers decides.
                Err(refusal) => tracing::warn!(
                    tenant = %this.tenant, version = %this.id, reason = refusal.name(), "the key's dates can't be read"
                ),
            }
            this.looking.store(false, Ordering::Release);
        });
    }

    /// Whether the vault has called this envelope bad.
    pub(super) fn calls_bad(&self, envelope: &Envelope) -> bool {
        self.state().bad.contains(&fingerprint(envelope))
    }

    fn may_ask(&self, envelope: &Envelope) -> Result<(), Refusal> {
        if let Some(refusal) = self.refuses() {
            return Err(refusal);
        }
        if self.calls_bad(envelope) {
            return Err(Refusal::BadEnvelope);
        }
        Ok(())
    }

    /// A session to unwrap with now. The sessions keep their own pauses, and tell every version of a no.
    async fn session(&self, purpose: Purpose, since: Moment) -> Result<Session, Refusal> {
        let session = self.sessions.to_prove(purpose, since).await;
        if let (Err(refusal), Some(grant)) = (&session, &self.state().grant) {
            grant.heard_nothing(*refusal);
        }
        session
    }

    /// Unwraps the DEK in this envelope over the wire and draws the consequences.
    async fn prove(
        self: &Arc<Self>,
        (session, exchanged): Session,
        dek: DekId,
        envelope: &Arc<Envelope>,
    ) -> Result<(), Refusal> {
        let asked = self.clock.now();
        let wrapped = Wrapped {
            algorithm: envelope.algorithm(),
            bytes: envelope.wrapped().to_vec(),
        };
        let answer = session.unwrap(self.id, &wrapped).await.and_then(|unwrapped| {
            if unwrapped.id() == dek {
                Ok(unwrapped)
            } else {
                Err(Refusal::BadEnvelope)
            }
        });
        metrics::vault_proof(answer.as_ref().map_or_else(|refusal| refusal.name(), |_| "yes"));
        match answer {
            Ok(unwrapped) => {
                let good_until = asked
                    .after(self.bounds.revocation)
                    .earlier(exchanged.after(self.bounds.identity));
                self.hear_yes(unwrapped, envelope, asked, good_until)
            }
            Err(refusal) => {
                if token_refused(refusal) {
                    self.sessions.distrust(exchanged);
                }
                self.hear_failure(refusal, envelope);
                Err(refusal)
            }
        }
    }

    fn hear_yes(
        self: &Arc<Self>,
        dek: Dek,
        envelope: &Arc<Envelope>,
        asked: Moment,
        good_until: Moment,
    ) -> Result<(), Refusal> {
        let mut state = self.state();
        if let Some(no) = state.no
            && asked.boot <= no.heard.boot
        {
            audit::record(&Event::LateYesIgnored {
                tenant: &self.tenant,
                version: &self.id,
            });
            return Err(no.refusal);
        }
        if good_until.reached(self.clock.now()) {
            // A yes so late is no better than none.
            let late = Unavailable::Timeout { by: Service::Vault }.into();
            self.hear_silence(&mut state, late);
            return Err(late);
        }
        state.no = None;
        state.silence = None;
        if let Some(grant) = state.grant.as_ref().filter(|grant| grant.live().is_ok()) {
            // A proof by an older token may be good for less than the one before it.
            if good_until.boot >= grant.ends().boot {
                grant.extend(good_until);
            }
            grant.admit(dek, Arc::clone(envelope));
            audit::record(&Event::LeaseRenewed {
                tenant: &self.tenant,
                version: &self.id,
            });
        } else {
            let grant = Grant::begin(self.clock.clone(), Arc::clone(&self.tenant), self.id, good_until);
            grant.expires(state.dates.and_then(|dates| dates.expires));
            grant.admit(dek, Arc::clone(envelope));
            state.grant = Some(Arc::clone(&grant));
            audit::record(&Event::LeaseGranted {
                tenant: &self.tenant,
                version: &self.id,
            });
            tokio::spawn(keeper::keep(Arc::clone(self), grant));
        }
        Ok(())
    }

    fn hear_failure(&self, refusal: Refusal, envelope: &Envelope) {
        match refusal {
            Refusal::Revoked(_) => self.hear_no(refusal, ASK_AGAIN_FIRST),
            Refusal::Unavailable(_) => self.hear_silence(&mut self.state(), refusal),
            Refusal::BadEnvelope => {
                let mut state = self.state();
                if state.bad.len() >= BAD_ENVELOPES {
                    state.bad.clear();
                }
                state.bad.insert(fingerprint(envelope));
            }
        }
    }

    fn hear_no(&self, refusal: Refusal, first: Duration) {
        let mut state = self.state();
        let step = match state.no {
            Some(no) if !first.is_zero() => (no.step * 2).clamp(first, self.bounds.ask_again),
            _ => first,
        };
        state.no = Some(Failure {
            heard: self.clock.now(),
            refusal,
            step,
            pause: step,
        });
        // Under the lock, so that no proof comes between.
        let was_live = state
            .grant
            .take()
            .is_some_and(|grant| grant.live().is_ok() && grant.end(refusal) == refusal);
        drop(state);
        audit::record(&Event::Refused {
            tenant: &self.tenant,
            version: &self.id,
            reason: refusal.name(),
            was_live,
        });
    }

    fn hear_silence(&self, state: &mut State, refusal: Refusal) {
        tracing::warn!(tenant = %self.tenant, version = %self.id, reason = refusal.name(), "no answer from the key's vault");
        if let Some(grant) = &state.grant {
            grant.heard_nothing(refusal);
        }
        let bound = self.bounds.revocation;
        let step = state
            .silence
            .map_or(bound / 20, |silence| (silence.step * 2).min(bound / 4));
        let pause = step
            .mul_f64(1.0 - 0.3 * self.clock.chance())
            .max(refusal.retry_after().unwrap_or_default());
        state.silence = Some(Failure {
            heard: self.clock.now(),
            refusal,
            step,
            pause,
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The vault, or the clock, says that the token is no good: nothing about the key.
fn token_refused(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Unavailable(
            Unavailable::Blocked(Blocked::TokenRefused) | Unavailable::Identity(IdentityFault::SessionExpired)
        )
    )
}

fn fingerprint(envelope: &Envelope) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &envelope.to_bytes());
    let mut print = [0; 32];
    print.copy_from_slice(digest.as_ref());
    print
}

/// A session with the vault, and when its token was asked for.
type Session = (Arc<dyn VaultSession>, Moment);
