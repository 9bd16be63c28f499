//! How many downloads are under way. While there are few, each may keep what makes it fast; among many, each keeps little.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::oneshot;

/// More downloads at once than this are a crowd. As many as this hold 170 MiB at the most. In a crowd a GB costs half as much CPU
/// again.
pub const MANY: usize = 320;

static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Whether there are so many downloads that each must be content with little memory.
pub fn is_crowded() -> bool {
    RUNNING.load(Ordering::Relaxed) > MANY
}

/// A download under way; counted until dropped.
pub struct Download;

impl Download {
    /// One more.
    #[must_use]
    pub fn begin() -> Self {
        RUNNING.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Fires when the bytes that it was made with are gone.
pub struct Gone(oneshot::Receiver<()>);

/// In a crowd, the same bytes, and what tells when they have left: the next piece is opened only then. Otherwise just the bytes,
/// with which the next piece may wait.
pub fn alone(bytes: Bytes) -> (Bytes, Option<Gone>) {
    if !is_crowded() {
        return (bytes, None);
    }
    let (gone, told) = oneshot::channel();
    (Bytes::from_owner(Told { bytes, _gone: gone }), Some(Gone(told)))
}

impl Gone {
    /// Waits until the bytes are gone.
    pub async fn wait(self) {
        // Nothing is ever sent: the other end is dropped.
        let _ = self.0.await;
    }
}

struct Told {
    bytes: Bytes,
    _gone: oneshot::Sender<()>,
}

impl AsRef<[u8]> for Told {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn in_a_crowd_the_next_piece_waits_for_the_last() {
        let crowd: Vec<Download> = (0..=MANY).map(|_| Download::begin()).collect();
        assert!(is_crowded());
        let (bytes, gone) = alone(Bytes::from_static(b"piece"));
        assert_eq!(bytes, "piece");
        let rest = bytes.slice(2..);
        drop(bytes);
        let mut waiting = tokio::spawn(gone.unwrap().wait());
        let still = tokio::time::timeout(std::time::Duration::from_secs(9), &mut waiting).await;
        assert!(still.is_err(), "some of it has not left yet");
        drop(rest);
        waiting.await.unwrap();
        drop(crowd);
    }
}
