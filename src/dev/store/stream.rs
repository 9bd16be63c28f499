//! Bodies on their way out: a stretch of a file as a stream of known length.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use s3s::StdError;
use s3s::stream::{ByteStream, RemainingLength};
use tokio::fs::File;
use tokio::io::{AsyncRead as _, ReadBuf};

/// Bytes read at a time.
const BLOCK: usize = 128 * 1024;

/// The next `left` bytes of a file that is open and positioned.
pub struct FileStream {
    file: File,
    left: u64,
    block: Vec<u8>,
}

impl FileStream {
    pub fn new(file: File, left: u64) -> Self {
        Self {
            file,
            left,
            block: Vec::new(),
        }
    }
}

impl Stream for FileStream {
    type Item = Result<Bytes, StdError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { file, left, block } = self.get_mut();
        if *left == 0 {
            return Poll::Ready(None);
        }
        let wanted = usize::try_from(*left).map_or(BLOCK, |left| left.min(BLOCK));
        block.resize(wanted, 0);
        let mut buffer = ReadBuf::new(block);
        ready!(Pin::new(file).poll_read(cx, &mut buffer))?;
        let read = buffer.filled().len();
        if read == 0 {
            // Cutting the connection is the only honest end: the client was promised more.
            return Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())));
        }
        *left = left.saturating_sub(read as u64);
        block.truncate(read);
        Poll::Ready(Some(Ok(std::mem::take(block).into())))
    }
}

impl ByteStream for FileStream {
    fn remaining_length(&self) -> RemainingLength {
        usize::try_from(self.left).map_or_else(|_| RemainingLength::unknown(), RemainingLength::new_exact)
    }
}
