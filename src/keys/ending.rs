//! The end of leases, as it concerns whoever holds bytes that were opened under them, and no DEK.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFuture};

use crate::keys::lease::{Grant, Lease};
use crate::keys::refusal::KeyRefusal;

/// When the first of some leases ends. To hold it is no use of them, and renews nothing.
///
/// It tells it in two ways: to who waits, once a keeper has seen the end, and to who asks, by the clocks, however late timers
/// and tasks of a busy machine are.
#[derive(Clone)]
pub struct LeaseEnd {
    /// Fires when one of them ends.
    over: CancellationToken,
    first: Option<Arc<Grant>>,
    more: Option<Arc<Further>>,
}

/// Leases that a stream went on to. Whoever holds the end of them hears of each one's, also once the stream itself is gone.
struct Further {
    grants: Mutex<Vec<Arc<Grant>>>,
    /// Fires when nobody asks any more.
    done: CancellationToken,
    _guard: DropGuard,
}

impl Further {
    fn new() -> Self {
        let done = CancellationToken::new();
        Self {
            grants: Mutex::default(),
            _guard: done.clone().drop_guard(),
            done,
        }
    }

    fn grants(&self) -> MutexGuard<'_, Vec<Arc<Grant>>> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LeaseEnd {
    pub(super) fn of(grant: &Arc<Grant>, over: CancellationToken) -> Self {
        Self {
            over,
            first: Some(Arc::clone(grant)),
            more: None,
        }
    }

    /// The same, for a stream that goes on to further leases: see [`Self::add`].
    #[must_use]
    pub fn growing(self) -> Self {
        Self {
            over: self.over.child_token(),
            more: Some(Arc::new(Further::new())),
            ..self
        }
    }

    /// From now on this lease counts too, for every clone of what is [`Self::growing`].
    pub fn add(&self, lease: &Lease) {
        let Some(more) = &self.more else { return };
        more.grants().push(lease.stretch());
        let (ends, any, done) = (lease.over(), self.over.clone(), more.done.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = ends.cancelled() => any.cancel(),
                () = done.cancelled() => {}
            }
        });
    }

    /// Whether one of them has ended, by the clocks. Whoever sees it first ends the lease.
    pub fn is_over(&self) -> bool {
        let ended = |grant: &Arc<Grant>| grant.live().is_err();
        self.over.is_cancelled()
            || self.first.as_ref().is_some_and(ended)
            || self.more.as_ref().is_some_and(|more| more.grants().iter().any(ended))
    }

    /// Why, if one of them has ended: the first that has, in the order they came to count.
    pub fn why(&self) -> Option<KeyRefusal> {
        let why = |grant: &Arc<Grant>| Some(grant.live().err()?.of(grant.version()));
        let of_more = || self.more.as_ref()?.grants().iter().find_map(why);
        self.first.as_ref().and_then(why).or_else(of_more)
    }

    /// Waits for it.
    pub fn cancelled(&self) -> WaitForCancellationFuture<'_> {
        self.over.cancelled()
    }
}

/// What stands under no lease, and ends when it is told to.
impl From<CancellationToken> for LeaseEnd {
    fn from(over: CancellationToken) -> Self {
        Self {
            over,
            first: None,
            more: None,
        }
    }
}
