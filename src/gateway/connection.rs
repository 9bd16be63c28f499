//! What the gate knows of the connection a request came on, and the wire by which a running stream can have it cut.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use crate::keys::LeaseEnd;

/// One client connection, shared by its listener and the requests on it.
#[derive(Clone)]
pub struct Connection {
    /// The client's address.
    pub peer: SocketAddr,
    /// Whether the client speaks TLS to the gate.
    pub secure: bool,
    lease: Arc<watch::Sender<Option<LeaseEnd>>>,
}

impl Connection {
    /// A new connection, and what its listener watches: while it holds a lease's end, that cuts the connection.
    pub fn new(peer: SocketAddr, secure: bool) -> (Self, watch::Receiver<Option<LeaseEnd>>) {
        let (lease, cut) = watch::channel(None);
        (
            Self {
                peer,
                secure,
                lease: Arc::new(lease),
            },
            cut,
        )
    }

    /// From now on until the guard is dropped, the end of a lease resets this connection, whether or not the client reads:
    /// an answer's bytes have begun to leave, so no error can be told any more.
    #[must_use]
    pub fn cut_when(&self, end: impl Into<LeaseEnd>) -> CutGuard {
        self.lease.send_replace(Some(end.into()));
        CutGuard(Arc::clone(&self.lease))
    }
}

/// Keeps a connection tied to a lease until dropped.
pub struct CutGuard(Arc<watch::Sender<Option<LeaseEnd>>>);

impl Drop for CutGuard {
    fn drop(&mut self) {
        self.0.send_replace(None);
    }
}
