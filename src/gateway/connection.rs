//! What the gate knows of the connection a request came on, and the wire by which a running stream can have it cut.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio_util::sync::CancellationToken;

/// One client connection, shared by its listener and the requests on it.
#[derive(Clone)]
pub struct Connection {
    /// The client's address.
    pub peer: SocketAddr,
    /// Whether the client speaks TLS to the gate.
    pub secure: bool,
    tie: Arc<Tie>,
}

impl Connection {
    /// A new connection, and what its listener watches: while it holds a token, the end of that token cuts the connection.
    pub fn new(peer: SocketAddr, secure: bool) -> (Self, Arc<Tie>) {
        let tie = Arc::new(Tie::default());
        let own = Self {
            peer,
            secure,
            tie: Arc::clone(&tie),
        };
        (own, tie)
    }

    /// From now on until the guard is dropped, the end of `lease` resets this connection, whether or not the client reads:
    /// an answer's bytes have begun to leave, so no error can be told any more.
    #[must_use]
    pub fn cut_when(&self, lease: CancellationToken) -> CutGuard {
        self.tie.set(Some(lease));
        CutGuard(Arc::clone(&self.tie))
    }
}

/// Keeps a connection tied to a lease until dropped.
pub struct CutGuard(Arc<Tie>);

impl Drop for CutGuard {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

/// The lease that the request under way hangs on. Requests change it while the listener polls them, and then it looks by itself
/// before it sleeps: only whoever changes it from elsewhere has to wake it. A channel would wake it each time.
#[derive(Default)]
pub struct Tie(Mutex<Tied>);

#[derive(Default)]
struct Tied {
    lease: Option<CancellationToken>,
    /// How often it was changed.
    changes: u64,
    listener: Option<Waker>,
    asleep: bool,
}

impl Tie {
    /// The lease, if it was changed since there were `seen` changes; and how many there are now. The listener is awake from now on.
    pub fn look(&self, seen: u64) -> (u64, Option<Option<CancellationToken>>) {
        let mut tied = self.tied();
        tied.asleep = false;
        let lease = (tied.changes != seen).then(|| tied.lease.clone());
        (tied.changes, lease)
    }

    /// The lease.
    pub fn lease(&self) -> Option<CancellationToken> {
        self.tied().lease.clone()
    }

    /// The listener sleeps until a change after `seen` changes. False if there was one.
    pub fn sleep(&self, seen: u64, listener: &Waker) -> bool {
        let mut tied = self.tied();
        if tied.changes != seen {
            return false;
        }
        tied.asleep = true;
        if tied.listener.as_ref().is_none_or(|waker| !waker.will_wake(listener)) {
            tied.listener = Some(listener.clone());
        }
        true
    }

    fn set(&self, lease: Option<CancellationToken>) {
        let mut tied = self.tied();
        tied.lease = lease;
        tied.changes = tied.changes.wrapping_add(1);
        if std::mem::take(&mut tied.asleep)
            && let Some(listener) = &tied.listener
        {
            listener.wake_by_ref();
        }
    }

    fn tied(&self) -> MutexGuard<'_, Tied> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
