//! What a store sends, as bytes to be counted off: headers, chunks, padding. Read ahead of no further than a connection's buffer.

use std::ops::Range;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::body::buffer::{Buffer, Home};
use crate::body::crowd::Download;
use crate::body::fault::Fault;
use crate::seal::{HEADER_LEN, Header, Padding, SealedChunk, TAG_LEN, Tampered};

/// A store that sends nothing for this long, while it is being read from, sends nothing more.
const SILENCE: Duration = Duration::from_secs(120);

/// A sealed chunk, tag included.
pub(super) enum Sealed {
    /// In memory that is not ours to change: opened into a buffer of this stream's.
    Whole(Bytes, Home),
    /// In a buffer of ours: opened where it is.
    Gathered(Buffer),
}

impl Sealed {
    /// The part of its plaintext that `open` says. Nothing is left of one that does not open.
    pub(super) fn open(
        self,
        open: impl FnOnce(SealedChunk<'_>) -> Result<Range<usize>, Tampered>,
    ) -> Result<Bytes, Tampered> {
        let (kept, plain) = match self {
            Self::Whole(sealed, home) => {
                let len = sealed.len().saturating_sub(TAG_LEN);
                let mut buffer = home.with_room(len);
                let plaintext = buffer.grow(len);
                let sealed = &sealed;
                (open(SealedChunk::Apart { sealed, plaintext })?, buffer)
            }
            Self::Gathered(mut buffer) => (open(SealedChunk::Here(buffer.from(0)))?, buffer),
        };
        Ok(plain.freeze().slice(kept))
    }
}

/// Bytes as the store sends them.
pub struct Stored {
    incoming: Incoming,
    pending: Bytes,
    /// Of the plaintext that becomes of it.
    home: Home,
    _download: Download,
}

impl Stored {
    /// The body of a store's answer.
    pub fn new(incoming: Incoming) -> Self {
        Self {
            incoming,
            pending: Bytes::new(),
            home: Home::default(),
            _download: Download::begin(),
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
    ///
    /// # Errors
    /// The store broke off before.
    pub async fn exactly(&mut self, len: usize) -> Result<Bytes, Fault> {
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

    /// The next `len` bytes, which stay to be read.
    ///
    /// # Errors
    /// The store broke off before.
    pub async fn front(&mut self, len: usize) -> Result<Bytes, Fault> {
        let front = self.exactly(len).await?;
        let rest = std::mem::take(&mut self.pending);
        let mut whole = BytesMut::with_capacity(front.len() + rest.len());
        whole.extend_from_slice(&front);
        whole.extend_from_slice(&rest);
        self.pending = whole.freeze();
        Ok(front)
    }

    /// The next `len` bytes: as they came, where they came in one piece, or gathered in a buffer.
    ///
    /// # Errors
    /// The store broke off before.
    pub(super) async fn chunk(&mut self, len: usize) -> Result<Sealed, Fault> {
        if self.pending.is_empty() {
            self.receive().await?;
        }
        if self.pending.len() >= len {
            return Ok(Sealed::Whole(self.pending.split_to(len), self.home.clone()));
        }
        let mut whole = self.home.with_room(len);
        loop {
            let taken = self.pending.split_to(self.pending.len().min(len - whole.len()));
            whole.extend(&taken);
            if whole.len() == len {
                return Ok(Sealed::Gathered(whole));
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

    /// The next bytes as they come; `None` at the end.
    ///
    /// # Errors
    /// The store broke off before.
    pub async fn some(&mut self) -> Result<Option<Bytes>, Fault> {
        let any = self.receive().await?;
        Ok(any.then(|| std::mem::take(&mut self.pending)))
    }

    /// Passes over the next `len` bytes.
    pub(super) async fn skip(&mut self, mut len: u64) -> Result<(), Fault> {
        while len > 0 {
            if !self.receive().await? {
                return Err(Fault::StoreGone);
            }
            let piece = usize::try_from(len).unwrap_or(usize::MAX).min(self.pending.len());
            self.pending.advance(piece);
            len -= piece as u64;
        }
        Ok(())
    }

    /// All of it, of `most` bytes at the most.
    ///
    /// # Errors
    /// The store broke off, or there is more.
    pub async fn all(mut self, most: usize) -> Result<Bytes, Fault> {
        let mut whole = BytesMut::new();
        while self.receive().await? {
            let piece = std::mem::take(&mut self.pending);
            if whole.len() + piece.len() > most {
                return Err(Tampered::Unexpected.into());
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// Zeros, exactly this many, and then the end.
    pub(super) async fn padding(&mut self, padding: Padding) -> Result<(), Fault> {
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

    /// Takes what is left, if it is no more than this many bytes, so that the connection can be used again.
    pub(super) async fn drain(mut self, most: u64) {
        let mut taken = 0;
        while taken <= most {
            taken += self.pending.len() as u64;
            self.pending.clear();
            if !matches!(self.receive().await, Ok(true)) {
                return;
            }
        }
    }
}
