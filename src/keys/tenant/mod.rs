//! One tenant's keys: which DEK to seal with, and the lease for any envelope that names this tenant's CMK.

mod opening;
mod recheck;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::keys::Bounds;
use crate::keys::deks::{NoDek, SharedDeks};
use crate::keys::lease::Lease;
use crate::keys::refusal::{KeyRefusal, Refusal, Revoked, Unavailable};
use crate::keys::rewrapped::Rewrapped;
use crate::keys::service::{Epoch, KeyState, KeyVault, Keyring};
use crate::keys::session::{Sessions, Shares};
use crate::keys::terms::{CleanUp, Expired, Terms, WhenRevoked};
use crate::keys::version::Version;
use crate::seal::{CmkRef, DekId, Envelope, KeyVersion, OriginSecrets};
pub use recheck::Recheck;

use crate::telemetry::audit::{self, Event};
use crate::telemetry::clock::{Clock, Moment};

/// How often the vault is asked which version is the newest, while the tenant writes.
const LOOK_FOR_ROTATION: Duration = Duration::from_secs(60);

/// After a search for a DEK to write with that failed, the next one waits this long, doubling up to [`Bounds::ask_again`].
const SEARCH_AGAIN_FIRST: Duration = Duration::from_secs(1);

/// How many of a key's versions are tried, the newest first, before the tenant is refused.
const VERSIONS_TRIED: usize = 3;

/// What a tenant's keys are made of.
pub struct TenantKey {
    /// The tenant's name, as it stands in derivations and in the keyring.
    pub tenant: Arc<str>,
    /// Which CMK its envelopes must name.
    pub cmk: CmkRef,
    /// What holds beyond the vault's own yes and no.
    pub terms: Terms,
    /// How the vault is reached.
    pub vault: Box<dyn KeyVault>,
}

pub(super) struct TenantKeys {
    name: Arc<str>,
    cmk: CmkRef,
    terms: Terms,
    clock: Clock,
    bounds: Bounds,
    origin: Arc<OriginSecrets>,
    pub(super) deks: SharedDeks,
    pub(super) rewrapped: Rewrapped,
    pub(super) sessions: Arc<Sessions>,
    versions: Mutex<BTreeMap<KeyVersion, Arc<Version>>>,
    writing: Mutex<Option<Writing>>,
    /// One search for the DEK to write with, however many requests wait for it.
    choosing: Arc<tokio::sync::Mutex<()>>,
    looking: AtomicBool,
    rechecked: Mutex<Option<Moment>>,
    refused: Mutex<Option<Refused>>,
}

/// The DEK to seal with.
#[derive(Clone)]
struct Writing {
    version: Arc<Version>,
    dek: DekId,
    envelope: Arc<Envelope>,
    epoch: Epoch,
    key: KeyState,
    /// Found in the keyring; what was made here may have lost a race to a smaller one, which shows at the next look.
    settled: bool,
    looked: Moment,
}

/// A search that failed. It answers for the next ones until the pause is over, so that a crowd of requests does not become
/// a crowd of calls; no longer than the version whose refusal it was does so itself.
struct Refused {
    heard: Moment,
    refusal: KeyRefusal,
    step: Duration,
    pause: Duration,
    by: Option<Arc<Version>>,
}

impl TenantKeys {
    pub(super) fn new(
        key: TenantKey,
        origin: Arc<OriginSecrets>,
        keyring: Arc<dyn Keyring>,
        clock: Clock,
        bounds: Bounds,
        shares: Shares,
    ) -> Arc<Self> {
        let sessions = Sessions::new(key.vault, clock.clone(), bounds, shares);
        let rewrapped = Rewrapped {
            tenant: Arc::clone(&key.tenant),
            cmk: key.cmk,
            clock: clock.clone(),
            origin: Arc::clone(&origin),
            keyring: Arc::clone(&keyring),
            look_again: bounds.ask_again,
            known: Mutex::default(),
            searching: tokio::sync::Mutex::default(),
        };
        Arc::new(Self {
            name: Arc::clone(&key.tenant),
            cmk: key.cmk,
            terms: key.terms,
            deks: SharedDeks {
                tenant: key.tenant,
                cmk: key.cmk,
                clock: clock.clone(),
                origin: Arc::clone(&origin),
                keyring,
                sessions: Arc::clone(&sessions),
                unrecorded: Mutex::default(),
            },
            rewrapped,
            sessions,
            clock,
            bounds,
            origin,
            versions: Mutex::default(),
            writing: Mutex::default(),
            choosing: Arc::default(),
            looking: AtomicBool::new(false),
            rechecked: Mutex::default(),
            refused: Mutex::default(),
        })
    }

    /// A lease to seal with.
    pub(super) async fn to_write(self: &Arc<Self>) -> Result<Lease, KeyRefusal> {
        let (lease, writing) = self.lease_written_with().await?;
        let now = self.clock.now();
        let Err(no) = writing.key.sealable(now) else {
            return Ok(lease);
        };
        // The customer may have rotated the key, or moved its dates, since the vault was last asked about it.
        drop(lease);
        if writing.key.sealable(writing.looked).is_ok() || now.since(writing.looked) >= self.bounds.ask_again {
            self.look_now(&writing).await;
        }
        let (lease, writing) = self.lease_written_with().await?;
        match writing.key.sealable(self.clock.now()) {
            Ok(()) => Ok(lease),
            Err(_) => Err(Refusal::from(no).of(writing.version.id)),
        }
    }

    /// The permission for what has no key version of its own (LIST, DELETE).
    pub(super) async fn to_operate(self: &Arc<Self>) -> Result<Lease, KeyRefusal> {
        self.lease_written_with().await.map(|(lease, _)| lease)
    }

    /// The permission for what neither reads nor writes an object: the lease, or by the tenant's terms the customer's own no.
    pub(super) async fn to_clean_up(self: &Arc<Self>) -> Result<CleanUp, KeyRefusal> {
        match (self.to_operate().await, self.terms.when_revoked) {
            (Ok(lease), _) => Ok(CleanUp::Lease(lease)),
            (Err(refusal), WhenRevoked::DenyData) => match refusal.why {
                Refusal::Revoked(no) => Ok(CleanUp::Revoked {
                    no,
                    version: refusal.version,
                }),
                Refusal::Unavailable(_) | Refusal::BadEnvelope => Err(refusal),
            },
            (Err(refusal), WhenRevoked::Deny) => Err(refusal),
        }
    }

    /// A lease on a DEK that is in memory already.
    pub(super) fn warm(&self, dek: DekId) -> Option<Lease> {
        let versions: Vec<_> = self.versions().values().map(Arc::clone).collect();
        versions.iter().find_map(|version| version.warm(dek))
    }

    /// A lease on the DEK last written with, and what is known of its key; one is chosen if there is none.
    async fn lease_written_with(self: &Arc<Self>) -> Result<(Lease, Writing), KeyRefusal> {
        if let Some(warm) = self.warm_written_with() {
            return Ok(warm);
        }
        self.recently_refused()?;
        let one = Arc::clone(&self.choosing).lock_owned().await;
        // Whoever chose before may have brought the answer, whichever it was.
        if let Some(warm) = self.warm_written_with() {
            return Ok(warm);
        }
        self.recently_refused()?;
        // In a task of its own: a client that goes away must not take the others' answer with it.
        let this = Arc::clone(self);
        let search = tokio::spawn(async move {
            let _one = one;
            let chosen = this.choose().await;
            this.note(chosen)
        });
        search.await.unwrap_or(Err(Unavailable::Lapsed.into()))
    }

    fn warm_written_with(self: &Arc<Self>) -> Option<(Lease, Writing)> {
        let writing = self.writing().clone()?;
        let lease = writing.version.warm(writing.dek)?;
        let now = self.clock.now();
        if now.since(writing.looked) > LOOK_FOR_ROTATION || writing.epoch != Epoch::of(now) {
            self.look_for_rotation();
        }
        Some((lease, writing))
    }

    /// Finds the DEK to write with: the one used before if its version still opens it, else one of the newest version that
    /// works. The customer may have rotated the key and disabled the old version at once, or disabled the newest.
    async fn choose(self: &Arc<Self>) -> Result<(Lease, Writing), NoDek> {
        let mut first_no = None;
        let mut tried = Vec::new();
        let before = self.writing().clone();
        if let Some(before) = before {
            match before.version.lease(before.dek, &before.envelope).await {
                Ok(lease) => return Ok((lease, before)),
                Err(refusal) => {
                    tried.push(before.version.id);
                    first_no = Some(another_version_may_do(refusal, before.version)?);
                }
            }
        }
        let mut candidates = self.newest(&tried).await;
        while tried.len() < VERSIONS_TRIED {
            let key = match candidates {
                Ok(Some(key)) => key,
                Ok(None) => break,
                Err(failed) => return Err(first_no.unwrap_or(failed)),
            };
            match self.write_with(key).await {
                Err(NoDek::Version(refusal, version)) => {
                    let no = another_version_may_do(refusal, version)?;
                    first_no.get_or_insert(no);
                }
                chosen => return chosen,
            }
            tried.push(key.version);
            candidates = self.newest(&tried).await;
        }
        Err(first_no.unwrap_or(NoDek::Asked(Revoked::KeyDisabled.into())))
    }

    /// The version that DEKs are to be wrapped under: the newest that something may be sealed with.
    pub(super) async fn to_rewrap_under(&self) -> Result<KeyVersion, Refusal> {
        let newest = self.newest(&[]).await.map_err(NoDek::refusal)?;
        let key = newest.ok_or(Revoked::KeyDisabled)?;
        key.sealable(self.clock.now())?;
        Ok(key.version)
    }

    /// The newest version that is enabled and within its dates, save those that have been tried. Where there is none, one that
    /// has begun, whose older DEKs still prove something, comes before one that has not.
    async fn newest(&self, tried: &[KeyVersion]) -> Result<Option<KeyState>, NoDek> {
        let session = self.sessions.policy().await.map_err(NoDek::Session)?;
        let now = self.clock.now();
        let enabled = |key: &KeyState| key.enabled && !tried.contains(&key.version);
        let begun = |key: &KeyState| enabled(key) && key.not_before.is_none_or(|start| now.wall >= start);
        let fit = |key: &KeyState| enabled(key) && key.sealable(now).is_ok();
        let asked = |no: Refusal| NoDek::Asked(no.into());
        let current = session.current().await.map_err(asked)?;
        if fit(&current) {
            return Ok(Some(current));
        }
        let versions = session.versions().await.map_err(asked)?;
        let first = |which: &dyn Fn(&KeyState) -> bool| versions.iter().find(|key| which(key)).copied();
        Ok(first(&fit).or_else(|| first(&begun)).or_else(|| first(&enabled)))
    }

    /// Adopts the epoch's DEK of this version from the keyring, or makes one. Under a key that may seal nothing new none is
    /// made, and an older one serves to prove that the customer has not revoked it.
    async fn write_with(self: &Arc<Self>, key: KeyState) -> Result<(Lease, Writing), NoDek> {
        let looked = self.clock.now();
        let epoch = Epoch::of(looked);
        let version = self.version(key.version);
        version.learn(&key, looked);
        // The vault calls a record bad but once: then the next one is the smallest.
        loop {
            let found = match key.sealable(looked) {
                Ok(()) => self.deks.recorded(&version, epoch).await?,
                Err(no @ Revoked::KeyExpired) if self.terms.expired == Expired::Deny => {
                    return Err(NoDek::Asked(Refusal::from(no).of(key.version)));
                }
                Err(no) => {
                    let found = self.deks.recorded_of_late(&version, epoch).await?;
                    Some(found.ok_or(NoDek::Asked(Refusal::from(no).of(key.version)))?)
                }
            };
            let settled = found.is_some();
            let record = match found {
                Some(record) => record,
                None => self.deks.make(&version, epoch).await?,
            };
            let envelope = Arc::new(record.envelope);
            let lease = match version.lease(record.dek, &envelope).await {
                Err(Refusal::BadEnvelope) => continue,
                lease => lease,
            };
            let writing = Writing {
                version: Arc::clone(&version),
                dek: record.dek,
                envelope,
                epoch,
                key,
                settled,
                looked,
            };
            let lease = lease.map_err(|refusal| NoDek::Version(refusal, version))?;
            *self.writing() = Some(writing.clone());
            return Ok((lease, writing));
        }
    }

    /// Asks in the background whether there is a newer version or a new epoch, and moves there once its DEK is ready.
    fn look_for_rotation(self: &Arc<Self>) {
        if self.looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let before = this.writing().clone();
            if let Some(before) = before {
                this.look_now(&before).await;
            }
            this.looking.store(false, Ordering::Release);
        });
    }

    async fn look_now(self: &Arc<Self>, before: &Writing) {
        let _one = self.choosing.lock().await;
        let now = self.clock.now();
        match self.writing().as_mut() {
            // Whatever comes of it, this was a look.
            Some(writing) if writing.looked == before.looked => writing.looked = now,
            // Somebody else has looked meanwhile.
            _ => return,
        }
        if let Some(version) = self.rotate(before, now).await {
            audit::record(&Event::Rotated {
                tenant: &self.name,
                version: &version,
            });
        }
    }

    /// Moves to a newer version than the one written with, or to the new epoch's DEK, if there is one that works.
    async fn rotate(self: &Arc<Self>, before: &Writing, now: Moment) -> Option<KeyVersion> {
        let key = self.newest(&[]).await.ok()??;
        if key.version == before.version.id {
            if let Some(writing) = self.writing().as_mut() {
                writing.key = key;
            }
            before.version.learn(&key, now);
            let in_place = before.epoch == Epoch::of(now) && before.settled;
            if in_place || key.sealable(now).is_err() {
                return None;
            }
        }
        self.write_with(key).await.ok()?;
        (key.version != before.version.id).then_some(key.version)
    }

    fn version(&self, id: KeyVersion) -> Arc<Version> {
        let mut versions = self.versions();
        let version = versions.entry(id).or_insert_with(|| {
            Version::new(
                id,
                Arc::clone(&self.name),
                self.clock.clone(),
                self.bounds,
                self.terms.expired,
                Arc::clone(&self.sessions),
            )
        });
        Arc::clone(version)
    }

    fn recently_refused(&self) -> Result<(), KeyRefusal> {
        match self.refused().as_ref() {
            Some(last)
                if self.clock.now().since(last.heard) < last.pause
                    && last.by.as_ref().is_none_or(|version| version.refuses().is_some()) =>
            {
                Err(last.refusal)
            }
            _ => Ok(()),
        }
    }

    /// Remembers how a search ended. What was itself only remembered begins no new pause.
    fn note<T>(&self, search: Result<T, NoDek>) -> Result<T, KeyRefusal> {
        let mut refused = self.refused();
        let (refusal, by) = match search {
            Ok(found) => {
                *refused = None;
                return Ok(found);
            }
            Err(NoDek::Session(refusal)) => return Err(refusal.into()),
            // Nobody was asked, and to wait for the budget was pause enough.
            Err(NoDek::Asked(
                refusal @ KeyRefusal {
                    why: Refusal::Unavailable(Unavailable::BudgetExhausted { .. }),
                    ..
                },
            )) => return Err(refusal),
            Err(NoDek::Version(refusal, version)) => (refusal.of(version.id), Some(version)),
            Err(NoDek::Asked(refusal)) => (refusal, None),
        };
        let step = refused
            .as_ref()
            .map_or(SEARCH_AGAIN_FIRST, |last| (last.step * 2).min(self.bounds.ask_again));
        *refused = Some(Refused {
            heard: self.clock.now(),
            refusal,
            step,
            pause: step.max(refusal.why.retry_after().unwrap_or_default()),
            by,
        });
        Err(refusal)
    }

    fn versions(&self) -> MutexGuard<'_, BTreeMap<KeyVersion, Arc<Version>>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> MutexGuard<'_, Option<Writing>> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self) -> MutexGuard<'_, Option<Refused>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A no that is about one version lets the next be tried; every other failure would be the same there.
fn another_version_may_do(refusal: Refusal, version: Arc<Version>) -> Result<NoDek, NoDek> {
    match of_one_version(refusal) {
        true => Ok(NoDek::Version(refusal, version)),
        false => Err(NoDek::Version(refusal, version)),
    }
}

/// Whether this is about a version of the key and leaves the others as they are.
pub(super) fn of_one_version(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Revoked(
            Revoked::KeyDisabled | Revoked::KeyNotFound | Revoked::OperationForbidden | Revoked::KeyExpired,
        )
    )
}
