//! Towards the client: sealed chunks opened one by one, each only while the lease is live, none released before it is
//! authenticated. The last chunk of a whole read waits until padding and end were seen to be right.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::body::fault::Fault;
use crate::keys::Leased;
use crate::seal::{ChunkIndex, ChunkSpan, HEADER_LEN, Header, Opener, Padding, Tampered};

/// A store that sends nothing for this long, while it is being read from, sends nothing more.
const SILENCE: Duration = Duration::from_secs(120);

/// Bytes as the store sends them.
pub struct Stored {
    incoming: Incoming,
    pending: Bytes,
}

impl Stored {
    /// The body of a store's answer.
    pub fn new(incoming: Incoming) -> Self {
        Self {
            incoming,
            pending: Bytes::new(),
        }
    }

    /// The header at the front of an object.
    ///
    /// # Errors
    /// The store broke off, or these are no sealed object's bytes.
    pub async fn header(&mut self) -> Result<Header, Fault> {
        let bytes = self.exactly(HEADER_LEN).await?;
        Ok(Header::parse(&bytes)?)
    }

    /// The next `len` bytes, contiguous.
    async fn exactly(&mut self, len: usize) -> Result<Bytes, Fault> {
        if self.pending.is_empty() {
            self.receive().await?;
        }
        if self.pending.len() >= len {
            return Ok(self.pending.split_to(len));
        }
        let mut whole = BytesMut::with_capacity(len);
        loop {
            let taken = self.pending.split_to(self.pending.len().min(len - whole.len()));
            whole.extend_from_slice(&taken);
            if whole.len() == len {
                return Ok(whole.freeze());
            }
            if !self.receive().await? {
                return Err(Fault::StoreGone);
            }
        }
    }

    /// Reads on; false at the end.
    async fn receive(&mut self) -> Result<bool, Fault> {
        while self.pending.is_empty() {
            match timeout(SILENCE, self.incoming.frame()).await {
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.pending = data;
                    }
                }
                Ok(Some(Err(_))) | Err(_) => return Err(Fault::StoreGone),
                Ok(None) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Zeros, exactly this many, and then the end.
    async fn padding(&mut self, padding: Padding) -> Result<(), Fault> {
        let mut missing = padding.0;
        while missing > 0 {
            if !self.receive().await? {
                return Err(Fault::StoreGone);
            }
            let len = usize::try_from(missing).unwrap_or(usize::MAX).min(self.pending.len());
            let piece = self.pending.split_to(len);
            if piece.iter().any(|byte| *byte != 0) {
                return Err(Tampered::Padding.into());
            }
            missing -= len as u64;
        }
        if self.pending.has_remaining() || self.receive().await? {
            return Err(Tampered::Unexpected.into());
        }
        Ok(())
    }
}

/// The chunks of a span, opened in order.
pub struct Opening {
    stored: Stored,
    opener: Leased<Opener>,
    span: ChunkSpan,
    next: ChunkIndex,
    /// Checked before the last chunk is released, where the span reaches the object's stored end.
    padding: Option<Padding>,
}

impl Opening {
    /// Opens `span`, whose first chunk is the next thing that `stored` gives.
    pub fn new(stored: Stored, opener: Leased<Opener>, span: ChunkSpan, padding: Option<Padding>) -> Self {
        let next = span.first;
        Self {
            stored,
            opener,
            span,
            next,
            padding,
        }
    }

    /// The next bytes of plaintext; `None` after the last. An empty object gives one empty piece.
    ///
    /// # Errors
    /// The lease ended, the store broke off, or the chunk is not what was sealed.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let index = self.next;
        if index > self.span.last {
            return Ok(None);
        }
        let len = self.opener.get().map_err(Fault::Ended)?.sealed_chunk_len(index);
        let len = len.ok_or(Tampered::ChunkLength {
            index: index.0,
            found: 0,
        })?;
        let over = self.opener.lease().over();
        let sealed = tokio::select! {
            sealed = self.stored.exactly(len) => sealed?,
            // A store that stalls holds nothing open either.
            () = over.cancelled() => {
                self.opener.get().map_err(Fault::Ended)?;
                return Err(Fault::StoreGone);
            }
        };
        let mut plain = BytesMut::with_capacity(len);
        self.opener
            .get()
            .map_err(Fault::Ended)?
            .open(index, &sealed, &mut plain)?;
        let wanted = self.span.wanted(index, plain.len());
        if index == self.span.last
            && let Some(padding) = self.padding
        {
            self.stored.padding(padding).await?;
            self.opener.get().map_err(Fault::Ended)?;
        }
        self.next = ChunkIndex(index.0 + 1);
        Ok(Some(plain.freeze().slice(wanted)))
    }

    /// Fires when the lease that this stands under ends.
    pub fn over(&self) -> CancellationToken {
        self.opener.lease().over()
    }

    /// Whether nothing more comes.
    pub fn is_done(&self) -> bool {
        self.next > self.span.last
    }
}
