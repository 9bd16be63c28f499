//! Towards the store: header, sealed chunks, padding. The only body with client bytes that `upstream` takes.
//!
//! The last chunk leaves only after the whole plaintext was believed (signatures, checksums, length), so that whatever is
//! wrong with it leaves nothing stored: the store gets fewer bytes than its Content-Length says, and drops them.

use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream::{poll_fn, try_unfold};
use futures_util::{Stream, StreamExt};
use http_body::{Body, Frame, SizeHint};
use tokio_util::sync::CancellationToken;

use crate::body::buffer::Buffer;
use crate::body::checksum::{Algorithm, Checksum};
use crate::body::fault::{Fault, FaultSlot};
use crate::body::plaintext::Plaintext;
use crate::keys::{Lease, Leased};
use crate::seal::{Header, SealedLen, Sealer, TAG_LEN};

/// Padding leaves in pieces of this many bytes.
const PADDING_PIECE: usize = 16 * 1024;

type Sealed = Pin<Box<dyn Stream<Item = Result<Bytes, Fault>> + Send>>;

/// A sealed object on its way to the store, or a piece of one.
pub struct SealedBody {
    len: u64,
    stream: Sealed,
    slot: FaultSlot,
    checksum: Arc<OnceLock<Checksum>>,
    permission: Lease,
}

/// A sealed object that is cut into bodies of their own, one after the other: for a store that takes no more in one request.
pub struct Pieces {
    rest: Arc<Mutex<Rest>>,
    slot: FaultSlot,
    checksum: Arc<OnceLock<Checksum>>,
    permission: Lease,
}

/// What no piece has taken yet.
struct Rest {
    stream: Sealed,
    /// What came of the stream beyond the last piece's end.
    ahead: Bytes,
}

struct Sealing {
    plaintext: Option<Box<dyn Plaintext>>,
    sealer: Leased<Sealer>,
    over: CancellationToken,
    /// Plaintext that did not fit the chunk before.
    rest: Bytes,
    /// What goes out before the next chunk: the header at first.
    head: Bytes,
    padding: u64,
    checksum: Arc<OnceLock<Checksum>>,
}

impl SealedBody {
    /// Seals `plaintext` under `sealer`, which promised the length that makes `len` stored bytes.
    pub fn new(header: &Header, sealer: Leased<Sealer>, plaintext: impl Plaintext + 'static, len: SealedLen) -> Self {
        let checksum = Arc::new(OnceLock::new());
        let permission = sealer.lease().again();
        let sealing = Sealing {
            plaintext: Some(Box::new(plaintext)),
            sealer,
            over: permission.over(),
            rest: Bytes::new(),
            head: Bytes::copy_from_slice(&header.to_bytes()),
            padding: 0,
            checksum: Arc::clone(&checksum),
        };
        let stream = try_unfold(sealing, |mut sealing| async move {
            let next = sealing.next().await?;
            Ok(next.map(|bytes| (bytes, sealing)))
        });
        Self {
            len: len.0,
            stream: Box::pin(stream),
            slot: FaultSlot::default(),
            checksum,
            permission,
        }
    }

    /// What `stream` gives, `len` bytes of it, sealed under the lease `permission`.
    pub(super) fn of(
        len: SealedLen,
        stream: impl Stream<Item = Result<Bytes, Fault>> + Send + 'static,
        permission: Lease,
    ) -> Self {
        Self {
            len: len.0,
            stream: Box::pin(stream),
            slot: FaultSlot::default(),
            checksum: Arc::default(),
            permission,
        }
    }

    /// The lease under which this is sealed, held once more: whoever waits for the store's answer keeps it until then. The body
    /// itself is gone as soon as its last byte is on its way.
    pub fn permission(&self) -> Lease {
        self.permission.again()
    }

    /// Stored bytes.
    pub fn stored_len(&self) -> SealedLen {
        SealedLen(self.len)
    }

    /// The same, all of it in memory already, with its MD5: for a store that asks for one beforehand. Only where it is small.
    ///
    /// # Errors
    /// The body stopped early.
    pub async fn gathered(mut self) -> Result<(Self, Checksum), Fault> {
        let mut whole = BytesMut::new();
        while let Some(bytes) = self.stream.next().await {
            whole.extend_from_slice(&bytes?);
        }
        let whole = whole.freeze();
        let md5 = Checksum::of(Algorithm::Md5, &whole);
        self.stream = Box::pin(futures_util::stream::iter([Ok(whole)]));
        Ok((self, md5))
    }

    /// To be cut into pieces.
    pub fn into_pieces(self) -> Pieces {
        Pieces {
            rest: Arc::new(Mutex::new(Rest {
                stream: self.stream,
                ahead: Bytes::new(),
            })),
            slot: self.slot,
            checksum: self.checksum,
            permission: self.permission,
        }
    }

    /// Where the reason stands if this body stops early.
    pub fn fault(&self) -> FaultSlot {
        self.slot.clone()
    }

    /// The plaintext's checksum that the client sent, set once it has been verified.
    pub fn verified(&self) -> Arc<OnceLock<Checksum>> {
        Arc::clone(&self.checksum)
    }
}

impl Pieces {
    /// The next `len` bytes as a body of their own, streamed. To be asked for once the piece before has gone out whole: what that
    /// one leaves unread comes with this one.
    pub fn piece(&self, len: u64) -> SealedBody {
        let (rest, mut missing) = (Arc::clone(&self.rest), len);
        let stream = poll_fn(move |context| {
            let mut rest = rest.lock().unwrap_or_else(PoisonError::into_inner);
            if missing == 0 {
                return Poll::Ready(None);
            }
            if rest.ahead.is_empty() {
                match rest.stream.as_mut().poll_next(context) {
                    Poll::Ready(Some(Ok(bytes))) => rest.ahead = bytes,
                    other => return other,
                }
            }
            let most = usize::try_from(missing).unwrap_or(usize::MAX).min(rest.ahead.len());
            missing -= most as u64;
            Poll::Ready(Some(Ok(rest.ahead.split_to(most))))
        });
        SealedBody {
            len,
            stream: Box::pin(stream),
            slot: self.slot.clone(),
            checksum: Arc::clone(&self.checksum),
            permission: self.permission.again(),
        }
    }
}

impl Sealing {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        if self.plaintext.is_none() {
            return Ok(self.pad());
        }
        let Some(len) = self.sealer.get().map_err(Fault::Ended)?.next_len() else {
            return Ok(self.pad());
        };
        let head = std::mem::take(&mut self.head);
        let mut out = Buffer::with_room(head.len() + len + TAG_LEN);
        out.extend(&head);
        self.gather(&mut out, len).await?;
        out.grow(TAG_LEN);
        let last = self.sealer.get().map_err(Fault::Ended)?;
        last.seal_in_place(out.from(head.len()))?;
        if last.next_len().is_none() {
            self.believe().await?;
            self.padding = self.sealer.get().map_err(Fault::Ended)?.padding().0;
        }
        Ok(Some(out.freeze_sealed()))
    }

    /// Appends the chunk's `len` bytes of plaintext to `out`.
    async fn gather(&mut self, out: &mut Buffer, len: usize) -> Result<(), Fault> {
        let mut missing = len;
        while missing > 0 {
            if self.rest.is_empty() {
                self.rest = self.receive().await?.ok_or(Fault::TooShort {
                    missing: missing as u64,
                })?;
            }
            let taken = self.rest.split_to(missing.min(self.rest.len()));
            missing -= taken.len();
            out.extend(&taken);
        }
        Ok(())
    }

    /// The body's end: nothing may follow, and all that was stated about it must hold.
    async fn believe(&mut self) -> Result<(), Fault> {
        if self.rest.has_remaining() || self.receive().await?.is_some() {
            return Err(Fault::TooLong);
        }
        if let Some(plaintext) = self.plaintext.take()
            && let Some(checksum) = plaintext.finish()?
        {
            let _ = self.checksum.set(checksum);
        }
        Ok(())
    }

    /// The client's next bytes, or the end of the lease, whichever comes first: a client that stalls holds nothing open.
    async fn receive(&mut self) -> Result<Option<Bytes>, Fault> {
        let Some(plaintext) = &mut self.plaintext else {
            return Ok(None);
        };
        let received = tokio::select! {
            received = plaintext.next() => Some(received?),
            () = self.over.cancelled() => None,
        };
        match received {
            Some(received) => Ok(received),
            None => {
                self.sealer.get().map_err(Fault::Ended)?;
                Err(Fault::ClientGone)
            }
        }
    }

    fn pad(&mut self) -> Option<Bytes> {
        zeros(&mut self.padding)
    }
}

/// The next piece of padding, of which so many bytes are `left`.
pub(super) fn zeros(left: &mut u64) -> Option<Bytes> {
    static ZEROS: [u8; PADDING_PIECE] = [0; PADDING_PIECE];
    if *left == 0 {
        return None;
    }
    let piece = usize::try_from(*left).unwrap_or(PADDING_PIECE).min(PADDING_PIECE);
    *left -= piece as u64;
    Some(Bytes::from_static(&ZEROS).slice(..piece))
}

impl Body for SealedBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.stream.as_mut().poll_next(context).map(|item| match item? {
            Ok(bytes) => Some(Ok(Frame::data(bytes))),
            Err(fault) => Some(Err(self.slot.leave(fault))),
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len)
    }
}
