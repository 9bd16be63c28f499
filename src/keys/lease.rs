//! The lease: permission to use the DEKs of one CMK version until a moment, and the only way to reach them.
//!
//! A `Grant` is one unbroken stretch of such permission. A proof (an unwrapKey over the wire that succeeded) begins it or
//! moves its end; once it has ended it stays ended, its DEKs are gone, and whoever still holds a [`Lease`] on it gets a
//! refusal. A later proof begins another grant: what was cut is never quietly resumed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::keys::ending::LeaseEnd;
use crate::keys::refusal::{KeyRefusal, Refusal, Revoked, Unavailable};
use crate::seal::{
    Alias, Binding, Core, Dek, DekId, Envelope, Footer, Header, KeyVersion, MultipartRead, Opener, Place, PlainLen,
    SealError, SealedLen, Sealer, Table, Tail, Tampered,
};
use crate::telemetry::clock::{Clock, Moment};

/// A DEK that a grant holds, with the envelope by which it can be proved again.
struct Held {
    dek: Dek,
    envelope: Arc<Envelope>,
}

/// One stretch of permission to use a CMK version's DEKs.
pub(super) struct Grant {
    clock: Clock,
    tenant: Arc<str>,
    version: KeyVersion,
    ends: Ends,
    /// The key's `exp` by wall time, in microseconds, where the tenant's terms make it an end; `u64::MAX` for none.
    expires: AtomicU64,
    /// Read by every request, which derives its keys meanwhile: requests must not wait for each other.
    deks: RwLock<HashMap<DekId, Held>>,
    /// Leases handed out and not yet dropped: open streams count as use.
    holders: AtomicUsize,
    /// Somebody asked for a lease since the last proof.
    touched: AtomicBool,
    /// How often somebody wanted a proof at once.
    wishes: AtomicU64,
    /// Up to which of those wishes something has come of it: a yes, a no or silence.
    heeded: watch::Sender<u64>,
    /// Wakes the keeper when a grant that nobody used is used again.
    pub(super) wake: tokio::sync::Notify,
    over: CancellationToken,
    /// Why no proof came since the last one, if one was asked for.
    silence: Mutex<Option<Refusal>>,
    why: OnceLock<Refusal>,
}

/// When a grant ends, readable without a lock: it is read for every chunk.
struct Ends {
    boot: AtomicU64,
    wall: AtomicU64,
}

impl Ends {
    fn load(&self) -> Moment {
        Moment {
            boot: Duration::from_micros(self.boot.load(Ordering::Acquire)),
            wall: Duration::from_micros(self.wall.load(Ordering::Acquire)),
        }
    }

    fn store(&self, end: Moment) {
        self.boot.store(micros(end.boot), Ordering::Release);
        self.wall.store(micros(end.wall), Ordering::Release);
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

impl Grant {
    pub(super) fn begin(clock: Clock, tenant: Arc<str>, version: KeyVersion, end: Moment) -> Arc<Self> {
        Arc::new(Self {
            clock,
            tenant,
            version,
            ends: Ends {
                boot: AtomicU64::new(micros(end.boot)),
                wall: AtomicU64::new(micros(end.wall)),
            },
            expires: AtomicU64::new(u64::MAX),
            deks: RwLock::default(),
            holders: AtomicUsize::new(0),
            touched: AtomicBool::new(true),
            wishes: AtomicU64::new(0),
            heeded: watch::Sender::new(0),
            wake: tokio::sync::Notify::new(),
            over: CancellationToken::new(),
            silence: Mutex::default(),
            why: OnceLock::new(),
        })
    }

    pub(super) fn version(&self) -> KeyVersion {
        self.version
    }

    /// Moves the end. Only ever called with the end that the newest proof gives, under the version's lock.
    pub(super) fn extend(&self, end: Moment) {
        self.ends.store(end);
        self.touched.store(false, Ordering::Release);
        *self.silence() = None;
    }

    /// Asked for a proof and got no answer: changes nothing, but is the reason if the end passes for want of one.
    pub(super) fn heard_nothing(&self, why: Refusal) {
        *self.silence() = Some(why);
    }

    /// From `exp` on, since the Unix epoch, it is over whatever the vault says.
    pub(super) fn expires(&self, exp: Option<Duration>) {
        self.expires.store(exp.map_or(u64::MAX, micros), Ordering::Release);
    }

    pub(super) fn ends(&self) -> Moment {
        self.ends.load()
    }

    /// Live right now, or why not. Whoever first sees the end pass ends the grant.
    pub(super) fn live(&self) -> Result<(), Refusal> {
        if let Some(why) = self.why.get() {
            return Err(*why);
        }
        let now = self.clock.now();
        if micros(now.wall) >= self.expires.load(Ordering::Acquire) {
            return Err(self.end(Revoked::KeyExpired.into()));
        }
        if self.ends.load().reached(now) {
            let silence = *self.silence();
            return Err(self.end(silence.unwrap_or(Unavailable::Lapsed.into())));
        }
        Ok(())
    }

    /// Ends the grant for good: DEKs zeroized, streams told. The first reason stands; it is returned.
    pub(super) fn end(&self, why: Refusal) -> Refusal {
        let why = *self.why.get_or_init(|| why);
        self.held_mut().clear();
        self.over.cancel();
        self.wake.notify_one();
        why
    }

    /// Has its keeper ask for a proof at once, in use or not. Which wish this is.
    pub(super) fn want_proof(&self) -> u64 {
        let wish = self.wishes.fetch_add(1, Ordering::AcqRel) + 1;
        self.wake.notify_one();
        wish
    }

    /// The last of those wishes.
    pub(super) fn wishes(&self) -> u64 {
        self.wishes.load(Ordering::Acquire)
    }

    /// The proof that was begun after this wish has come to its end.
    pub(super) fn heed(&self, wish: u64) {
        self.heeded.send_replace(wish);
    }

    /// Has its keeper ask for a proof at once, and waits for what comes of it, until the grant's own end at the longest.
    ///
    /// # Errors
    /// Why the grant is over, or why nobody answered: then it goes on.
    pub(super) async fn proved(&self) -> Result<(), Refusal> {
        let mut heeded = self.heeded.subscribe();
        let wish = self.want_proof();
        tokio::select! {
            () = self.over.cancelled() => {}
            _ = heeded.wait_for(|heeded| *heeded >= wish) => {}
        }
        self.live()?;
        let silence = *self.silence();
        silence.map_or(Ok(()), Err)
    }

    /// In use since the last proof, or held by a running stream now.
    pub(super) fn in_use(&self) -> bool {
        self.holders.load(Ordering::Acquire) > 0 || self.touched.load(Ordering::Acquire)
    }

    /// Takes in a DEK that the vault has just unwrapped. A grant that ended meanwhile takes nothing.
    pub(super) fn admit(&self, dek: Dek, envelope: Arc<Envelope>) {
        let mut held = self.held_mut();
        if self.why.get().is_none() {
            held.insert(dek.id(), Held { dek, envelope });
        }
    }

    /// An envelope whose DEK this grant holds: what a renewal asks the vault to unwrap.
    pub(super) fn canary(&self) -> Option<(DekId, Arc<Envelope>)> {
        self.held()
            .iter()
            .min_by_key(|(id, _)| **id)
            .map(|(id, held)| (*id, Arc::clone(&held.envelope)))
    }

    /// A lease on one of this grant's DEKs, if it is live and holds it. Not on one that nobody has used since the last proof
    /// and that ends within `soon`: its renewal would come too late for whoever begins now.
    pub(super) fn lease(self: &Arc<Self>, dek: DekId, soon: Duration) -> Option<Lease> {
        self.live().ok()?;
        if !self.in_use() && self.ends().left(self.clock.now()) < soon {
            return None;
        }
        let envelope = Arc::clone(&self.held().get(&dek)?.envelope);
        if !self.touched.swap(true, Ordering::AcqRel) {
            self.wake.notify_one();
        }
        self.holders.fetch_add(1, Ordering::AcqRel);
        Some(Lease {
            grant: Arc::clone(self),
            dek,
            envelope,
        })
    }

    fn silence(&self) -> MutexGuard<'_, Option<Refusal>> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> RwLockReadGuard<'_, HashMap<DekId, Held>> {
        self.deks.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn held_mut(&self) -> RwLockWriteGuard<'_, HashMap<DekId, Held>> {
        self.deks.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Permission to use one DEK while its CMK version's grant lives. Holding it counts as use, so the grant is renewed.
pub struct Lease {
    grant: Arc<Grant>,
    dek: DekId,
    pub(super) envelope: Arc<Envelope>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.grant.holders.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Lease {
    /// The CMK version whose permission this is.
    pub fn version(&self) -> KeyVersion {
        self.grant.version
    }

    /// The tenant it was given to.
    pub fn tenant(&self) -> &str {
        &self.grant.tenant
    }

    /// Whether it is live at this moment.
    ///
    /// # Errors
    /// Why the permission ended.
    pub fn check(&self) -> Result<(), KeyRefusal> {
        self.grant.live().map_err(|why| why.of(self.version()))
    }

    /// Fires when the permission ends, for those who wait on something else meanwhile (a client that does not read).
    pub fn over(&self) -> CancellationToken {
        self.grant.over.clone()
    }

    /// The same end, for whoever holds bytes that were opened under it until they have left.
    pub fn ending(&self) -> LeaseEnd {
        LeaseEnd::of(&self.grant, self.over())
    }

    /// The stretch of permission that it is on, without the use that a lease is.
    pub(super) fn stretch(&self) -> Arc<Grant> {
        Arc::clone(&self.grant)
    }

    /// Begins a whole object of exactly `len` bytes, to lie at `place`.
    ///
    /// # Errors
    /// The lease has ended, or the length is past the format's limit.
    pub fn seal_whole(self, place: &Place<'_>, len: PlainLen) -> Result<(Header, Leased<Sealer>), UseError> {
        let sealed = self.with_dek(|tenant, dek| crate::seal::seal_whole(dek, tenant, place, len, &self.envelope))?;
        let (header, sealer) = sealed.map_err(UseError::Seal)?;
        Ok((
            header,
            Leased {
                lease: self,
                inner: sealer,
            },
        ))
    }

    /// Begins a part of an S3 upload, of exactly `len` bytes, bound by [`Binding::part`].
    ///
    /// # Errors
    /// The lease has ended, or the length is past the format's limit.
    pub fn seal_part(self, binding: Binding, len: PlainLen) -> Result<(Header, Leased<Sealer>), UseError> {
        let sealed = self.with_dek(|tenant, dek| crate::seal::seal_part(dek, tenant, binding, len, &self.envelope))?;
        let (header, inner) = sealed.map_err(UseError::Seal)?;
        Ok((header, Leased { lease: self, inner }))
    }

    /// Seals what ends a multipart object at `place`: see [`crate::seal::seal_footer`], which this is under the lease.
    ///
    /// # Errors
    /// The lease has ended, or the size law has no room for the table's parts.
    pub fn seal_footer(self, place: &Place<'_>, table: &Table) -> Result<Leased<Tail>, UseError> {
        let sealed =
            self.with_dek(|tenant, dek| crate::seal::seal_footer(dek, tenant, place, table, &self.envelope))?;
        let inner = sealed.map_err(UseError::Seal)?;
        Ok(Leased { lease: self, inner })
    }

    /// Derives a segment's keys and checks its commitment.
    ///
    /// # Errors
    /// The lease has ended, or the core was not made under this DEK for this tenant.
    pub fn open_segment(self, core: &Core) -> Result<Leased<Opener>, UseError> {
        let opener = self.with_dek(|tenant, dek| crate::seal::open_segment(dek, tenant, core))?;
        let opener = opener.map_err(|what| self.tampered(what))?;
        Ok(Leased {
            lease: self,
            inner: opener,
        })
    }

    /// Opens the footer of a multipart object: see [`crate::seal::open_footer`], which this is under the lease. Its keys are those
    /// of the object's aliases and sealed metadata.
    ///
    /// # Errors
    /// The lease has ended, or this is no footer of an object of `stored` bytes at `place`.
    pub fn open_footer(
        self,
        place: &Place<'_>,
        alias: Option<&Alias>,
        header: &Header,
        sealed: &[u8],
        stored: SealedLen,
    ) -> Result<(Footer, Leased<Opener>), UseError> {
        let opened =
            self.with_dek(|tenant, dek| crate::seal::open_footer(dek, tenant, place, alias, header, sealed, stored))?;
        let (footer, inner) = opened.map_err(|what| self.tampered(what))?;
        Ok((footer, Leased { lease: self, inner }))
    }

    /// Has `read` enter the segment that it wants next, whose header this is: from here to the segment's end its chunks are
    /// opened under this lease.
    ///
    /// # Errors
    /// The lease has ended, or this is not the segment that the object's table names there.
    pub fn enter(self, mut read: MultipartRead, header: &Header) -> Result<Leased<MultipartRead>, UseError> {
        self.with_dek(|tenant, dek| read.enter(dek, tenant, header))?
            .map_err(|what| self.tampered(what))?;
        Ok(Leased {
            lease: self,
            inner: read,
        })
    }

    /// The same permission held once more: for a stream that goes on to another lease while what it opened under this one is
    /// still on its way.
    #[must_use]
    pub fn again(&self) -> Self {
        self.grant.holders.fetch_add(1, Ordering::AcqRel);
        Self {
            grant: Arc::clone(&self.grant),
            dek: self.dek,
            envelope: Arc::clone(&self.envelope),
        }
    }

    /// Whether both are of one stretch of permission, and so end together.
    pub fn ends_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.grant, &other.grant)
    }

    /// Which DEK it is on.
    #[cfg(test)]
    pub(super) fn named(&self) -> DekId {
        self.dek
    }

    /// Work with the DEK, if the lease is live at this moment.
    pub(super) fn with_dek<T>(&self, work: impl FnOnce(&str, &Dek) -> T) -> Result<T, UseError> {
        self.check().map_err(UseError::Ended)?;
        let held = self.grant.held();
        let Some(held) = held.get(&self.dek) else {
            let why = self.grant.why.get().copied().unwrap_or(Unavailable::Lapsed.into());
            return Err(UseError::Ended(why.of(self.version())));
        };
        Ok(work(&self.grant.tenant, &held.dek))
    }

    pub(super) fn tampered(&self, what: Tampered) -> UseError {
        UseError::Tampered {
            what,
            version: self.version(),
        }
    }
}

/// Something made from a DEK, reachable only while the lease it was made under is live.
pub struct Leased<T> {
    lease: Lease,
    inner: T,
}

impl<T> Leased<T> {
    pub(super) fn new(lease: Lease, inner: T) -> Self {
        Self { lease, inner }
    }

    /// The thing itself, if the lease is live at this moment. Ask anew for every chunk.
    ///
    /// # Errors
    /// Why the permission ended.
    pub fn get(&mut self) -> Result<&mut T, KeyRefusal> {
        self.lease.check()?;
        Ok(&mut self.inner)
    }

    /// The thing, for good, where only what is not secret is asked of it any more.
    pub fn into_inner(self) -> Result<T, KeyRefusal> {
        self.lease.check()?;
        Ok(self.inner)
    }

    /// The lease it stands under.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }
}

/// Why a DEK could not be used.
#[derive(Debug, thiserror::Error)]
pub enum UseError {
    /// The permission ended.
    #[error("the lease has ended: {0}")]
    Ended(KeyRefusal),
    /// What was to be sealed breaks a limit of the format.
    #[error(transparent)]
    Seal(SealError),
    /// What was to be opened is not what was sealed.
    #[error("{what}")]
    Tampered {
        /// What gave it away.
        what: Tampered,
        /// Whose lease it was to be opened under.
        version: KeyVersion,
    },
}
