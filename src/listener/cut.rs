//! Until when an ended lease cuts a connection: as long as this process holds a byte that was opened under it. An answer's body
//! is gone as soon as hyper has taken its last frame; what hyper and TLS still hold back then must not outlive the lease
//! either, or a client that reads late would get it hours after the customer said no.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

type Leases = watch::Receiver<Option<CancellationToken>>;

/// Knows which lease a connection's bytes hang on.
#[derive(Clone)]
pub(super) struct Cut {
    /// The lease of the request under way, as [`crate::gateway::Connection`] has it.
    running: Leases,
    /// The lease of the last answer, until it has left.
    answered: Arc<watch::Sender<Option<CancellationToken>>>,
    /// Whether there are bytes on their way to the kernel.
    unsent: Arc<watch::Sender<bool>>,
}

impl Cut {
    pub(super) fn new(running: Leases) -> Self {
        Self {
            running,
            answered: Arc::new(watch::Sender::new(None)),
            unsent: Arc::new(watch::Sender::new(false)),
        }
    }

    /// An answer begins: the lease that its body holds counts until it has left, even if hyper takes the body at once.
    pub(super) fn answers(&self) {
        self.answered.send_replace(self.running.borrow().clone());
    }

    /// The stream, watched for what has left.
    pub(super) fn watching<S>(&self, stream: S) -> Watched<S> {
        Watched {
            stream,
            unsent: Arc::clone(&self.unsent),
        }
    }

    /// Waits for the end of a lease that counts.
    pub(super) async fn lease_ends(mut self) {
        let (mut answered, mut unsent) = (self.answered.subscribe(), self.unsent.subscribe());
        loop {
            let running = self.running.borrow_and_update().clone();
            let sending = *unsent.borrow_and_update();
            let last = answered.borrow_and_update().clone();
            let left = running.is_none() && !sending && last.is_some();
            if left {
                self.answered.send_replace(None);
                continue;
            }
            let changed = tokio::select! {
                biased;
                () = ended(running.as_ref()) => return,
                () = ended(last.as_ref()) => return,
                changed = self.running.changed() => changed,
                changed = answered.changed() => changed,
                changed = unsent.changed(), if running.is_none() && last.is_some() => changed,
            };
            if changed.is_err() {
                // The connection's last request is gone, and so is what could have been cut.
                return std::future::pending().await;
            }
        }
    }
}

async fn ended(lease: Option<&CancellationToken>) {
    match lease {
        Some(lease) => lease.cancelled().await,
        None => std::future::pending().await,
    }
}

/// A stream that tells whether all that was written to it has left. hyper tries to write as soon as it has something, and
/// flushes once it has nothing more.
pub(super) struct Watched<S> {
    stream: S,
    unsent: Arc<watch::Sender<bool>>,
}

impl<S> Watched<S> {
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    fn is_sending(&self, sending: bool) {
        self.unsent
            .send_if_modified(|before| std::mem::replace(before, sending) != sending);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.is_sending(true);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_sending(true);
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.is_sending(false);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
