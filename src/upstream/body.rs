//! What may go to a store. There is no way to make one of these from a client's bytes but through the seal.

use std::fmt::Write;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use quick_xml::escape::escape;

use crate::body::SealedBody;
use crate::upstream::expect::{Hold, Question, Verdict};
use crate::upstream::sigv4::PayloadHash;
use crate::upstream::trailer::Framed;

/// A request body to the store.
pub struct StoreBody {
    kind: Kind,
    progress: Arc<Progress>,
    /// Until the store wants it.
    hold: Option<Hold>,
}

/// How far a body has come, told to whoever waits for the store: a slow client is not the store's silence.
#[derive(Default)]
pub(super) struct Progress {
    /// Pieces that the connection to the store has taken.
    taken: AtomicU64,
    /// The connection would take another piece, and there is none yet.
    waits_for_client: AtomicBool,
    /// Bytes that the connection has not taken yet.
    left: AtomicU64,
}

enum Kind {
    /// Nothing; a document of the gate's own making that holds no client's content; or one that sets something up.
    Document(Bytes),
    Sealed(SealedBody),
    /// With a checksum behind it.
    Framed {
        body: Framed,
        len: u64,
    },
}

impl StoreBody {
    /// No body.
    pub fn empty() -> Self {
        Self::new(Kind::Document(Bytes::new()))
    }

    /// A sealed object.
    pub fn sealed(body: SealedBody) -> Self {
        Self::new(Kind::Sealed(body))
    }

    /// A keyring record, or another document that the gate made itself.
    pub(super) fn document(bytes: Vec<u8>) -> Self {
        Self::new(Kind::Document(bytes.into()))
    }

    /// What ends an upload of the gate's own: its parts, from the first on, each by its ETag, and by its checksum where the store
    /// has named one (`x-amz-checksum-crc64nvme`).
    pub fn completion<'a>(parts: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Self {
        let numbered = (1_u32..).zip(parts);
        Self::completion_of(numbered.map(|(number, (etag, checksum))| (number, etag, checksum)))
    }

    /// What ends an upload: its parts' numbers and ETags, and checksums where the store has named them.
    pub fn completion_of<'a>(parts: impl IntoIterator<Item = (u32, &'a str, Option<&'a str>)>) -> Self {
        let mut text = String::from("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
        for (number, etag, checksum) in parts {
            let etag = escape(etag);
            let _ = write!(text, "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>");
            if let Some(checksum) = checksum.map(escape) {
                let _ = write!(text, "<ChecksumCRC64NVME>{checksum}</ChecksumCRC64NVME>");
            }
            text.push_str("</Part>");
        }
        text.push_str("</CompleteMultipartUpload>");
        Self::document(text.into_bytes())
    }

    /// A client's document that sets up a bucket or labels an object: an ACL, tags, a policy, names to delete. The operations whose
    /// bodies pass so are listed by name (`s3::passed`); no object's content is in any of them.
    pub fn passed(document: Bytes) -> Self {
        Self::new(Kind::Document(document))
    }

    fn new(kind: Kind) -> Self {
        let body = Self {
            kind,
            progress: Arc::default(),
            hold: None,
        };
        let len = body.size_hint().lower();
        body.progress.left.store(len, Ordering::Relaxed);
        body
    }

    /// The same with a checksum behind it, where it is a sealed object; and then how long that is, in bytes.
    pub(super) fn with_trailer(self) -> (Self, Option<u64>) {
        match self.kind {
            Kind::Sealed(body) => {
                let len = body.stored_len().0;
                let kind = Kind::Framed {
                    body: Framed::new(body),
                    len: Framed::framed_len(len),
                };
                (Self::new(kind), Some(len))
            }
            kind => (Self::new(kind), None),
        }
    }

    /// Keeps it back until the store wants it. Only of an object's bytes is it worth a question: all else is short.
    pub(super) fn expecting(&mut self) -> Option<Question> {
        match &self.kind {
            Kind::Document(_) => None,
            Kind::Sealed(_) | Kind::Framed { .. } => {
                let question = Question::new();
                self.hold = Some(question.hold());
                Some(question)
            }
        }
    }

    /// The same once more, if it can be sent once more: a document can, a client's bytes are gone.
    pub(super) fn again(&self) -> Option<Self> {
        match &self.kind {
            Kind::Document(bytes) => Some(Self::new(Kind::Document(bytes.clone()))),
            Kind::Sealed(_) | Kind::Framed { .. } => None,
        }
    }

    /// Follows this body once it is on its way.
    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// What the signature says of it. A sealed chunk carries its own tag, so hashing it again would prove nothing more.
    pub(super) fn payload_hash(&self) -> PayloadHash {
        match &self.kind {
            Kind::Document(bytes) => PayloadHash::of(bytes),
            Kind::Sealed(_) => PayloadHash::Unsigned,
            Kind::Framed { .. } => PayloadHash::UnsignedTrailer,
        }
    }
}

impl Progress {
    /// Returns once the store has been silent this long, give or take an eighth: it took no piece that there was, and began no
    /// answer.
    pub(super) async fn silence(&self, long: Duration) {
        let mut quiet = 0;
        let mut before = self.taken.load(Ordering::Relaxed);
        while quiet < 8 {
            tokio::time::sleep(long / 8).await;
            let taken = self.taken.load(Ordering::Relaxed);
            let moved = taken != before || self.waits_for_client.load(Ordering::Relaxed);
            quiet = if moved { 0 } else { quiet + 1 };
            before = taken;
        }
    }

    /// Whether the connection has taken the body to its last byte. A store that says it has the object before is not believed:
    /// it can't know whether the end will come.
    pub(super) fn handed_over(&self) -> bool {
        self.left.load(Ordering::Acquire) == 0
    }

    fn note(&self, pending: bool, bytes: usize) {
        self.waits_for_client.store(pending, Ordering::Relaxed);
        if !pending {
            self.taken.fetch_add(1, Ordering::Relaxed);
        }
        // Only the body's own poll writes it.
        let left = self.left.load(Ordering::Relaxed).saturating_sub(bytes as u64);
        self.left.store(left, Ordering::Release);
    }
}

impl Body for StoreBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(hold) = &mut self.hold {
            match hold.poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Verdict::Go) => self.hold = None,
                Poll::Ready(Verdict::Refused) => {
                    // The client's connection is in there.
                    self.kind = Kind::Document(Bytes::new());
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(Verdict::Over) => return Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into()))),
            }
        }
        let piece = match &mut self.kind {
            Kind::Document(bytes) if bytes.is_empty() => Poll::Ready(None),
            Kind::Document(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Kind::Sealed(body) => Pin::new(body).poll_frame(context),
            Kind::Framed { body, .. } => body.poll_frame(context),
        };
        let bytes = match &piece {
            Poll::Ready(Some(Ok(frame))) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        self.progress.note(piece.is_pending(), bytes);
        piece
    }

    fn is_end_stream(&self) -> bool {
        self.hold.is_none() && matches!(&self.kind, Kind::Document(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Document(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Sealed(body) => body.size_hint(),
            Kind::Framed { len, .. } => SizeHint::with_exact(*len),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(120);

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_is_not_the_stores_silence() {
        let progress = Progress::default();
        progress.note(true, 0);
        let waited = tokio::time::timeout(LONG * 10, progress.silence(LONG)).await;
        assert!(waited.is_err(), "there was nothing that the store could have taken");
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_takes_pieces_slowly_is_not_silent() {
        let progress = Progress::default();
        let takes = async {
            for _ in 0..20 {
                tokio::time::sleep(LONG / 2).await;
                progress.note(false, 0);
            }
        };
        tokio::select! {
            () = progress.silence(LONG) => panic!("it took a piece every minute"),
            () = takes => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_takes_and_says_nothing_is_given_up() {
        let progress = Progress::default();
        progress.note(false, 0);
        let begun = tokio::time::Instant::now();
        progress.silence(LONG).await;
        assert!(begun.elapsed() >= LONG && begun.elapsed() <= LONG + LONG / 4);
    }
}
