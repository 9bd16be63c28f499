//! Accepts clients, plain or over TLS, and serves HTTP/1.1 on their connections; ends them cleanly, or with a reset.
//!
//! A connection is reset unless it is known to have ended well: its socket lingers for no time (`SO_LINGER` 0) from the
//! moment it is accepted until the last answer is whole. So whatever drops it (a lease that ended, an answer that failed,
//! the drain's deadline) throws away what the kernel has not sent yet, and a client never takes a part for the whole.

mod cut;
mod serve;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::gateway::{AnswerBody, Connection};

/// Connections that the kernel completes before they are accepted; `net.core.somaxconn` may lower it (listen(2)).
const BACKLOG: u32 = 1024;
/// The rest after a failed accept, which is most likely for want of file descriptors.
const AFTER_FAILURE: Duration = Duration::from_millis(50);

/// How clients reach the gate.
#[derive(Clone)]
pub struct ListenerOptions {
    /// Where to listen.
    pub address: SocketAddr,
    /// The certificate to show, with `http/1.1` for ALPN; plain HTTP when `None`.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Connections served at once. More wait in the kernel's backlog.
    pub max_connections: usize,
    /// `SO_SNDBUF` of client sockets, in bytes: with what the client's own window holds, the most that can still arrive
    /// once a connection is no longer fed. The kernel grants at most `net.core.wmem_max` and doubles it to make room for
    /// its own bookkeeping (socket(7)); a reset discards it whole.
    pub send_buffer: u32,
    /// How long running requests may take to end once the gate shuts down. Then they are reset.
    pub drain: Duration,
}

impl ListenerOptions {
    /// [`Self::max_connections`] unless configured.
    pub const MAX_CONNECTIONS: usize = 4096;
    /// [`Self::send_buffer`] unless configured, in bytes.
    pub const SEND_BUFFER: u32 = 256 * 1024;
    /// [`Self::drain`] unless configured.
    pub const DRAIN: Duration = Duration::from_secs(30);
}

/// A bound socket that does not accept yet.
pub struct Listener {
    socket: TcpListener,
    options: ListenerOptions,
    places: Arc<Semaphore>,
}

impl Listener {
    /// Binds the socket. Within a Tokio runtime only.
    ///
    /// # Errors
    /// The address is taken, not this machine's, or not allowed.
    pub fn bind(options: ListenerOptions) -> io::Result<Self> {
        let socket = match options.address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        // A restart must not wait for the last minute's connections to be forgotten (socket(7)).
        socket.set_reuseaddr(true)?;
        // Accepted sockets inherit it, and no longer grow it by themselves.
        socket.set_send_buffer_size(options.send_buffer)?;
        socket.bind(options.address)?;
        Ok(Self {
            socket: socket.listen(BACKLOG)?,
            places: Arc::new(Semaphore::new(options.max_connections)),
            options,
        })
    }

    /// Where it listens: the port that was chosen if 0 was asked for.
    ///
    /// # Errors
    /// The kernel's, which there is no reason to expect.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves clients until `shutdown`; then accepts no more, lets running requests end, and resets what is left at the
    /// drain's deadline. Returns when every connection is gone.
    pub async fn run<F, A>(self, answer: F, shutdown: CancellationToken)
    where
        F: Fn(Request<Incoming>, Connection) -> A + Send + Sync + 'static,
        A: Future<Output = Response<AnswerBody>> + Send + 'static,
    {
        let answer = Arc::new(answer);
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                accepted = self.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer, place)) => {
                    let (tls, answer) = (self.options.tls.clone(), Arc::clone(&answer));
                    let shutdown = shutdown.clone();
                    connections.spawn(async move {
                        serve::serve(stream, peer, tls, answer, shutdown).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
        drop(self.socket);
        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(self.options.drain, drained).await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "requests still run at the drain's deadline: reset"
            );
            connections.shutdown().await;
        }
    }

    /// The next client, once there is a place for it.
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let place = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let (stream, peer) = self.socket.accept().await?;
        Ok((stream, peer, place))
    }
}
