//! Towards the client: sealed chunks opened one by one, each only while the lease is live, none released before it is
//! authenticated. The last chunk of a whole read waits until padding and end were seen to be right.

use async_trait::async_trait;
use bytes::Bytes;

use crate::body::fault::Fault;
use crate::body::plaintext::Plaintext;
use crate::body::segments::Segments;
use crate::body::stored::Stored;
use crate::keys::{LeaseEnd, Leased};
use crate::seal::{ChunkIndex, ChunkSpan, Opener, Padding, Tampered};

/// A sealed object, or a range of one, on its way out as plaintext.
pub struct Opening(Form);

enum Form {
    Span(Box<Span>),
    Segments(Box<Segments>),
}

impl Opening {
    /// Opens `span` of an object of one segment, whose first chunk is the next thing that `stored` gives. With `padding`, the
    /// last chunk waits until exactly that follows, and then the end.
    pub fn new(stored: Stored, opener: Leased<Opener>, span: ChunkSpan, padding: Option<Padding>) -> Self {
        let next = span.first;
        Self(Form::Span(Box::new(Span {
            stored,
            opener,
            span,
            next,
            padding,
        })))
    }

    /// The next bytes of plaintext; `None` after the last. An empty object gives one empty piece.
    ///
    /// # Errors
    /// A lease ended, the store broke off, or what it sent is not what was sealed.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        match &mut self.0 {
            Form::Span(span) => {
                let version = span.opener.lease().version();
                span.next().await.map_err(|fault| fault.under(version))
            }
            Form::Segments(segments) => segments.next().await,
        }
    }

    /// The end of every lease that this stands under, also of those that it will.
    pub fn over(&self) -> LeaseEnd {
        match &self.0 {
            Form::Span(span) => span.opener.lease().ending(),
            Form::Segments(segments) => segments.over(),
        }
    }

    /// Whether nothing more comes.
    pub fn is_done(&self) -> bool {
        match &self.0 {
            Form::Span(span) => span.next > span.span.last,
            Form::Segments(segments) => segments.is_done(),
        }
    }
}

impl From<Segments> for Opening {
    fn from(segments: Segments) -> Self {
        Self(Form::Segments(Box::new(segments)))
    }
}

#[async_trait]
impl Plaintext for Opening {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            match Self::next(self).await? {
                Some(bytes) if bytes.is_empty() => {}
                next => return Ok(next),
            }
        }
    }
}

/// The chunks of a span of one segment, opened in order.
struct Span {
    stored: Stored,
    opener: Leased<Opener>,
    span: ChunkSpan,
    next: ChunkIndex,
    /// Checked before the last chunk is released, where the span reaches the object's stored end.
    padding: Option<Padding>,
}

impl Span {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
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
            sealed = self.stored.chunk(len) => sealed?,
            // A store that stalls holds nothing open either.
            () = over.cancelled() => {
                self.opener.get().map_err(Fault::Ended)?;
                return Err(Fault::StoreGone);
            }
        };
        let opener = self.opener.get().map_err(Fault::Ended)?;
        let plain = sealed.open(|chunk| Ok(self.span.wanted(index, opener.open_at(index, chunk)?)))?;
        if index == self.span.last
            && let Some(padding) = self.padding
        {
            self.stored.padding(padding).await?;
            self.opener.get().map_err(Fault::Ended)?;
        }
        self.next = ChunkIndex(index.0 + 1);
        Ok(Some(plain))
    }
}
