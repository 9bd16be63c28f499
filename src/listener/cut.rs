//! Until when an ended lease cuts a connection: as long as this process holds a byte that was opened under it. An answer's body
//! is gone as soon as hyper has taken its last frame; what hyper and TLS still hold back then must not outlive the lease
//! either, or a client that reads late would get it hours after the customer said no.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::gateway::Tie;

/// Knows which lease a connection's bytes hang on. But for the tie, all of it is touched only while the connection is polled.
#[derive(Clone)]
pub(super) struct Cut {
    /// The lease of the request under way.
    running: Arc<Tie>,
    own: Arc<Own>,
}

#[derive(Default)]
struct Own {
    /// The lease of the last answer, until it has left.
    answered: Mutex<Option<CancellationToken>>,
    /// Whether there are bytes on their way to the kernel.
    unsent: AtomicBool,
    /// Either was changed since it was last looked at.
    changed: AtomicBool,
}

impl Cut {
    pub(super) fn new(running: Arc<Tie>) -> Self {
        Self {
            running,
            own: Arc::default(),
        }
    }

    /// An answer begins: the lease that its body holds counts until it has left, even if hyper takes the body at once.
    pub(super) fn answers(&self) {
        *self.own.answered() = self.running.lease();
        self.own.changed.store(true, Ordering::Relaxed);
    }

    /// The stream, watched for what has left.
    pub(super) fn watching<S>(&self, stream: S) -> Watched<S> {
        Watched {
            stream,
            own: Arc::clone(&self.own),
        }
    }

    /// Waits for the end of a lease that counts.
    pub(super) fn watch(self) -> Watch {
        Watch {
            cut: self,
            seen: 0,
            running: None,
            waits: Vec::new(),
        }
    }
}

impl Own {
    fn answered(&self) -> MutexGuard<'_, Option<CancellationToken>> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wait for the end of a lease that counts, polled before the connection is, and once more before it sleeps.
pub(super) struct Watch {
    cut: Cut,
    /// Changes of the tie that were looked at.
    seen: u64,
    running: Option<CancellationToken>,
    waits: Vec<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Watch {
    /// Ready once a lease has ended that counts now.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (changes, running) = self.cut.running.look(self.seen);
        self.seen = changes;
        let own_changed = self.cut.own.changed.swap(false, Ordering::Relaxed);
        if own_changed || running.is_some() {
            if let Some(running) = running {
                self.running = running;
            }
            let mut answered = self.cut.own.answered();
            if self.running.is_none() && !self.cut.own.unsent.load(Ordering::Relaxed) {
                *answered = None;
            }
            let counting = self.running.iter().chain(answered.as_ref());
            self.waits.clear();
            self.waits
                .extend(counting.map(|lease| Box::pin(lease.clone().cancelled_owned())));
        }
        match self.waits.iter_mut().any(|wait| wait.as_mut().poll(context).is_ready()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// As [`Watch::poll`], and the task is woken once that is to be asked again.
    pub(super) fn sleep(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.poll(context).is_ready() {
                return Poll::Ready(());
            }
            if self.cut.running.sleep(self.seen, context.waker()) {
                return Poll::Pending;
            }
        }
    }
}

/// A stream that tells whether all that was written to it has left. hyper tries to write as soon as it has something, and
/// flushes once it has nothing more.
pub(super) struct Watched<S> {
    stream: S,
    own: Arc<Own>,
}

impl<S> Watched<S> {
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    fn is_sending(&self, sending: bool) {
        if self.own.unsent.swap(sending, Ordering::Relaxed) != sending {
            self.own.changed.store(true, Ordering::Relaxed);
        }
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
