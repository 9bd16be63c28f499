//! What ends a multipart object on its way to the store: the last part, if it waited apart, as it was sealed; padding; footer.

use bytes::Bytes;
use futures_util::stream::try_unfold;

use crate::body::fault::Fault;
use crate::body::seal::{SealedBody, zeros};
use crate::body::stored::Stored;
use crate::keys::Leased;
use crate::seal::{HEADER_LEN, Header, SEALED_CHUNK_LEN, SealedLen, Tail};

/// A part that waited apart from the others, as the store gives it back.
pub struct Waiting {
    /// Its header, which was read and judged already.
    pub header: Header,
    /// What follows the header.
    pub rest: Stored,
    /// All of it, header included.
    pub len: SealedLen,
}

struct Ending {
    /// What goes out next, ahead of all else.
    head: Bytes,
    part: Option<Stored>,
    /// Of the part, in bytes.
    left: u64,
    padding: u64,
    footer: Option<Bytes>,
    tail: Leased<Tail>,
}

impl SealedBody {
    /// What ends a multipart object. The part's chunks pass as they were sealed: a store that changed them is found out by their
    /// tags, when they are read.
    ///
    /// # Errors
    /// The lease has ended.
    pub fn tail(part: Option<Waiting>, mut tail: Leased<Tail>) -> Result<Self, Fault> {
        let permission = tail.lease().again();
        let own = tail.get().map_err(Fault::Ended)?;
        let (padding, footer) = (own.padding().0, Bytes::copy_from_slice(own.footer()));
        let (head, len, rest) = match part {
            Some(part) => (
                Bytes::copy_from_slice(&part.header.to_bytes()),
                part.len.0,
                Some(part.rest),
            ),
            None => (Bytes::new(), 0, None),
        };
        let all = SealedLen(len + padding + footer.len() as u64);
        let ending = Ending {
            head,
            part: rest,
            left: len.saturating_sub(HEADER_LEN as u64),
            padding,
            footer: Some(footer),
            tail,
        };
        let stream = try_unfold(ending, |mut ending| async move {
            let next = ending.next().await?;
            Ok(next.map(|bytes| (bytes, ending)))
        });
        Ok(Self::of(all, stream, permission))
    }
}

impl Ending {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        self.tail.get().map_err(Fault::Ended)?;
        if !self.head.is_empty() {
            return Ok(Some(std::mem::take(&mut self.head)));
        }
        if let Some(part) = &mut self.part
            && self.left > 0
        {
            let most = usize::try_from(self.left)
                .unwrap_or(SEALED_CHUNK_LEN)
                .min(SEALED_CHUNK_LEN);
            let over = self.tail.lease().over();
            let bytes = tokio::select! {
                bytes = part.exactly(most) => bytes?,
                () = over.cancelled() => {
                    self.tail.get().map_err(Fault::Ended)?;
                    return Err(Fault::StoreGone);
                }
            };
            self.left -= most as u64;
            return Ok(Some(bytes));
        }
        Ok(zeros(&mut self.padding).or_else(|| self.footer.take()))
    }
}
