//! A blob's plaintext on its way to the client, from wherever it comes, in the framing that the client asked for.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::body::checksum::{Algorithm, Checksum};
use crate::body::structured::Encoder;
use crate::body::{Appended, Fault, Opening};
use crate::keys::LeaseEnd;

/// Plaintext to come.
pub struct Pieces {
    source: Source,
    encoder: Option<Encoder>,
    queue: VecDeque<Bytes>,
}

enum Source {
    /// One segment, or many with a footer.
    Sealed(Opening),
    /// An append blob.
    Appended(Box<Appended>),
    /// All of it was opened already; it leaves only while this lives.
    Held(Option<Bytes>, LeaseEnd),
}

impl Pieces {
    pub(super) fn sealed(opening: Opening) -> Self {
        Self::from(Source::Sealed(opening))
    }

    pub(super) fn appended(appended: Appended) -> Self {
        Self::from(Source::Appended(Box::new(appended)))
    }

    /// What is in memory already, to leave only before `over`.
    pub(super) fn held(plain: Bytes, over: LeaseEnd) -> Self {
        Self::from(Source::Held(Some(plain), over))
    }

    fn from(source: Source) -> Self {
        Self {
            source,
            encoder: None,
            queue: VecDeque::new(),
        }
    }

    /// Puts a structured body around it.
    pub(super) fn structured(self, encoder: Encoder) -> Self {
        Self {
            encoder: Some(encoder),
            ..self
        }
    }

    /// Reads all of it, which the caller has bounded, and gives its checksums: MD5 and CRC-64.
    pub(super) async fn hold(mut self) -> Result<(Self, Checksum, Checksum), Fault> {
        let mut all = BytesMut::new();
        while let Some(piece) = self.source.next().await? {
            all.extend_from_slice(&piece);
        }
        let (md5, crc) = (
            Checksum::of(Algorithm::Md5, &all),
            Checksum::of(Algorithm::Crc64Nvme, &all),
        );
        let held = Source::Held(Some(all.freeze()), self.over());
        Ok((Self { source: held, ..self }, md5, crc))
    }

    /// The next bytes; `None` after the last.
    ///
    /// # Errors
    /// A lease ended, the store broke off, or a chunk is not what was sealed.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            if let Some(piece) = self.queue.pop_front() {
                return Ok(Some(piece));
            }
            let Some(piece) = self.source.next().await? else {
                return Ok(None);
            };
            match &mut self.encoder {
                None => return Ok(Some(piece)),
                Some(encoder) => self.queue = encoder.encode(piece),
            }
        }
    }

    /// The end of the leases that the next bytes stand under. It may be another after each piece.
    pub fn over(&self) -> LeaseEnd {
        match &self.source {
            Source::Sealed(opening) => opening.over(),
            Source::Appended(appended) => appended.over(),
            Source::Held(_, over) => over.clone(),
        }
    }

    /// Whether nothing more comes.
    pub fn is_done(&self) -> bool {
        let done = match &self.source {
            Source::Sealed(opening) => opening.is_done(),
            Source::Appended(appended) => appended.is_done(),
            Source::Held(held, _) => held.is_none(),
        };
        done && self.queue.is_empty()
    }
}

impl Source {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        match self {
            Self::Sealed(opening) => opening.next().await,
            Self::Appended(appended) => appended.next().await,
            Self::Held(held, over) if !over.is_over() => Ok(held.take()),
            Self::Held(..) => Err(Fault::StoreGone),
        }
    }
}
