//! Until when an ended lease cuts a connection: as long as this process holds a byte that was opened under it. An answer's body
//! is gone as soon as hyper has taken its last frame; what hyper and TLS still hold back then must not outlive the lease
//! either, or a client that reads late would get it hours after the customer said no.
//!
//! Two things see to it. The connection waits for the end, and is reset then, whether or not its client reads. And each write asks
//! the clocks before a byte goes to the kernel: on a busy machine timers and tasks are late, and what waited behind them must not
//! leave meanwhile.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::select_all;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::keys::LeaseEnd;

type Leases = watch::Receiver<Option<LeaseEnd>>;
type Answered = Arc<watch::Sender<Vec<LeaseEnd>>>;

/// A client that asks and asks without taking its answers is reset at so many.
const MOST_UNSENT: usize = 64;

/// Knows which lease a connection's bytes hang on.
#[derive(Clone)]
pub(super) struct Cut {
    /// The lease of the request under way, as [`crate::gateway::Connection`] has it.
    running: Leases,
    /// The leases of the answers that have not left, oldest first: TLS takes small ones whole, and hyper goes on to the next request.
    answered: Answered,
    /// Whether there are bytes on their way to the kernel.
    unsent: Arc<watch::Sender<bool>>,
}

impl Cut {
    pub(super) fn new(running: Leases) -> Self {
        Self {
            running,
            answered: Arc::default(),
            unsent: Arc::new(watch::Sender::new(false)),
        }
    }

    /// An answer begins: the lease that its body holds counts until it has left, even if hyper takes the body at once.
    pub(super) fn answers(&self) {
        let (lease, unsent) = (self.running.borrow().clone(), *self.unsent.borrow());
        self.answered.send_modify(|ends| {
            if !unsent {
                ends.clear();
            }
            if ends.len() == MOST_UNSENT {
                let over = CancellationToken::new();
                over.cancel();
                ends.push(over.into());
            }
            ends.extend(lease);
        });
    }

    /// The stream, watched for what has left.
    pub(super) fn watching<S>(&self, stream: S) -> Watched<S> {
        Watched {
            stream,
            running: self.running.clone(),
            answered: Arc::clone(&self.answered),
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
            let left = running.is_none() && !sending && !last.is_empty();
            if left {
                self.answered.send_replace(Vec::new());
                continue;
            }
            let changed = tokio::select! {
                biased;
                () = one_ends(running.as_slice()) => None,
                () = one_ends(&last) => None,
                changed = self.running.changed() => Some(changed),
                changed = answered.changed() => Some(changed),
                changed = unsent.changed(), if running.is_none() && !last.is_empty() => Some(changed),
            };
            let Some(changed) = changed else {
                match self.running.borrow().is_none() && !*unsent.borrow() {
                    // All had left before, and this had not been told yet.
                    true => continue,
                    false => return,
                }
            };
            if changed.is_err() {
                // The connection's last request is gone, and so is what could have been cut.
                return std::future::pending().await;
            }
        }
    }
}

async fn one_ends(leases: &[LeaseEnd]) {
    match leases {
        [] => std::future::pending().await,
        [lease] => lease.cancelled().await,
        leases => drop(select_all(leases.iter().map(|lease| Box::pin(lease.cancelled()))).await),
    }
}

/// A stream that tells whether all that was written to it has left. hyper tries to write as soon as it has something, and
/// flushes once it has nothing more. After the end of a lease that counts it takes no byte.
pub(super) struct Watched<S> {
    stream: S,
    running: Leases,
    answered: Answered,
    unsent: Arc<watch::Sender<bool>>,
}

impl<S> Watched<S> {
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// # Errors
    /// A lease that counts has ended, by the clocks. Whoever writes drops the connection, which resets it.
    fn may_send(&self) -> io::Result<()> {
        let over = self.running.borrow().as_ref().is_some_and(LeaseEnd::is_over)
            || self.answered.borrow().iter().any(LeaseEnd::is_over);
        match over {
            true => Err(io::Error::other("the lease has ended")),
            false => Ok(()),
        }
    }

    /// All has left: what is written next is of the answer under way at most.
    fn has_left(&self) {
        let under_way = usize::from(self.running.borrow().is_some());
        self.answered.send_if_modified(|ends| {
            let left = ends.len().saturating_sub(under_way);
            ends.drain(..left);
            left > 0
        });
    }

    /// # Errors
    /// As [`Self::may_send`], while TLS may hold bytes back.
    fn may_flush(&self) -> io::Result<()> {
        match *self.unsent.borrow() {
            true => self.may_send(),
            false => Ok(()),
        }
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
        self.may_send()?;
        self.is_sending(true);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.may_send()?;
        self.is_sending(true);
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.may_flush()?;
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.has_left();
        self.is_sending(false);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.may_flush()?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::io::AsyncWriteExt;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::gateway::Connection;

    fn connection() -> (Connection, Cut) {
        let (connection, leases) = Connection::new(([127, 0, 0, 1], 1).into(), false);
        (connection, Cut::new(leases))
    }

    /// The connection waits for nothing here: nobody has told it that the lease is over, and it finds out by itself.
    #[test]
    fn no_byte_is_written_after_the_end_of_a_lease_that_counts() {
        let (connection, cut) = connection();
        let mut stream = cut.watching(Vec::new());
        let lease = CancellationToken::new();
        let guard = connection.cut_when(lease.clone());
        cut.answers();
        assert!(matches!(stream.write(b"in time").now_or_never(), Some(Ok(7))));
        lease.cancel();
        assert!(matches!(stream.write(b"late").now_or_never(), Some(Err(_))));
        let slices = [IoSlice::new(b"late")];
        assert!(matches!(stream.write_vectored(&slices).now_or_never(), Some(Err(_))));
        assert!(
            matches!(stream.flush().now_or_never(), Some(Err(_))),
            "what TLS holds back"
        );
        // The body is gone, and what it gave has not left.
        drop(guard);
        assert!(matches!(stream.write(b"late").now_or_never(), Some(Err(_))));
        assert_eq!(stream.into_inner(), b"in time");
    }

    #[test]
    fn a_connection_outlives_the_lease_of_an_answer_that_has_left_whoever_is_told_of_it_first() {
        let (connection, cut) = connection();
        let mut stream = cut.watching(Vec::new());
        let lease = CancellationToken::new();
        let guard = connection.cut_when(lease.clone());
        cut.answers();
        assert!(matches!(stream.write(b"whole").now_or_never(), Some(Ok(5))));
        assert!(matches!(stream.flush().now_or_never(), Some(Ok(()))));
        let mut ends = Box::pin(cut.lease_ends());
        assert!(ends.as_mut().now_or_never().is_none());
        drop(guard);
        lease.cancel();
        assert!(ends.as_mut().now_or_never().is_none());
    }

    /// TLS took the first answer, and hyper the next request.
    #[test]
    fn an_answer_that_has_not_left_counts_beside_the_next() {
        let (connection, cut) = connection();
        let mut stream = cut.watching(Vec::new());
        let lease = CancellationToken::new();
        let guard = connection.cut_when(lease.clone());
        cut.answers();
        assert!(matches!(stream.write(b"unsent").now_or_never(), Some(Ok(6))));
        drop(guard);
        // The next one stands under no lease.
        cut.answers();
        lease.cancel();
        assert!(matches!(stream.write(b"late").now_or_never(), Some(Err(_))));
        assert!(matches!(stream.flush().now_or_never(), Some(Err(_))));
        assert!(matches!(stream.shutdown().now_or_never(), Some(Err(_))));
        assert!(cut.lease_ends().now_or_never().is_some());
    }

    #[test]
    fn a_client_that_takes_none_of_many_answers_is_reset() {
        let (connection, cut) = connection();
        let mut stream = cut.watching(Vec::new());
        for number in 0..=MOST_UNSENT {
            assert!(cut.clone().lease_ends().now_or_never().is_none(), "{number}");
            let guard = connection.cut_when(CancellationToken::new());
            cut.answers();
            assert!(number == MOST_UNSENT || stream.write(b"unsent").now_or_never().is_some_and(|sent| sent.is_ok()));
            drop(guard);
        }
        assert!(cut.lease_ends().now_or_never().is_some());
    }

    #[test]
    fn what_follows_an_answer_that_has_left_is_written_whatever_became_of_its_lease() {
        let (connection, cut) = connection();
        let mut stream = cut.watching(Vec::new());
        let lease = CancellationToken::new();
        let guard = connection.cut_when(lease.clone());
        cut.answers();
        assert!(matches!(stream.write(b"whole, ").now_or_never(), Some(Ok(7))));
        drop(guard);
        assert!(matches!(stream.flush().now_or_never(), Some(Ok(()))));
        lease.cancel();
        // An interim answer to the next request, before that is answered.
        assert!(matches!(stream.write(b"continue").now_or_never(), Some(Ok(8))));
        assert_eq!(stream.into_inner(), b"whole, continue");
    }
}
