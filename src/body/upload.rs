//! A client's body as plaintext: out of its framing if it has one, counted, and held to everything the request
//! stated about it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::body::aws_chunked::{Decoder, Framing};
use crate::body::checksum::{Algorithm, Checksum, Expectations, Hasher};
use crate::body::fault::Fault;
use crate::body::structured;

/// A client that sends nothing of its body for this long is given up: it holds a connection, here and to the store, and keeps
/// the lease in use.
const SILENCE: Duration = Duration::from_secs(60);

/// A client's body, on its way in.
pub struct Upload {
    incoming: Incoming,
    decoder: Decoding,
    expectations: Expectations,
    /// Plaintext bytes still to come.
    missing: u64,
    /// Received, not yet decoded.
    pending: Bytes,
}

enum Decoding {
    None,
    AwsChunked(Decoder),
    Structured(Box<structured::Decoder>),
}

/// The framing around a body inside HTTP's own.
#[derive(Debug)]
pub enum Framed {
    No,
    AwsChunked(Framing),
    /// Azure's `x-ms-structured-body`.
    Structured,
}

/// A client's body that came whole into memory, and is what the request stated.
pub struct Held {
    pieces: VecDeque<Bytes>,
    checksum: Checksum,
}

/// So many bytes a body is given room for before they have come.
const AT_ONCE: usize = 1 << 20;
/// So many pieces of a held body stay as they came; what comes in more of them is put together, however small they are.
const PIECES: usize = 64;

impl Held {
    /// These bytes, which nothing was stated about.
    pub fn of(bytes: Bytes) -> Self {
        Self::with(bytes, None)
    }

    /// These bytes, whose checksum was verified if one was stated.
    pub fn with(bytes: Bytes, stated: Option<Checksum>) -> Self {
        Self::of_pieces([bytes].into(), stated)
    }

    fn of_pieces(pieces: VecDeque<Bytes>, stated: Option<Checksum>) -> Self {
        let checksum = stated.unwrap_or_else(|| {
            let mut hasher = Hasher::new(Algorithm::Crc64Nvme);
            pieces.iter().for_each(|piece| hasher.update(piece));
            hasher.finish()
        });
        Self { pieces, checksum }
    }

    /// How many bytes are not yet read of it.
    pub fn plain_len(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len() as u64).sum()
    }

    /// The next bytes that are not yet read of it, never empty.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        std::iter::from_fn(|| self.pieces.pop_front()).find(|piece| !piece.is_empty())
    }

    /// The checksum that the client sent; with none sent, CRC64NVME, which S3 computes itself then:
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>.
    pub const fn checksum(&self) -> Checksum {
        self.checksum
    }
}

impl Upload {
    /// `len` is the plaintext's length, in bytes, as the request announced it.
    pub fn new(incoming: Incoming, framing: Option<Framing>, expectations: Expectations, len: u64) -> Self {
        let framing = framing.map_or(Framed::No, Framed::AwsChunked);
        Self::framed(incoming, framing, expectations, len)
    }

    /// [`Upload::new`] for any framing.
    pub fn framed(incoming: Incoming, framing: Framed, expectations: Expectations, len: u64) -> Self {
        let decoder = match framing {
            Framed::No => Decoding::None,
            Framed::AwsChunked(framing) => Decoding::AwsChunked(Decoder::new(framing)),
            Framed::Structured => Decoding::Structured(Box::default()),
        };
        Self {
            incoming,
            decoder,
            expectations,
            missing: len,
            pending: Bytes::new(),
        }
    }

    /// The next plaintext bytes, never empty; `None` at the body's end, which does not yet mean that it may be believed: see
    /// [`Upload::finish`].
    ///
    /// # Errors
    /// The client went away, fell silent, sent more than announced, or broke the framing.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            if let Some(bytes) = self.decode()? {
                let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                self.missing = self.missing.checked_sub(len).ok_or(Fault::TooLong)?;
                self.expectations.update(&bytes);
                return Ok(Some(bytes));
            }
            match timeout(SILENCE, self.incoming.frame()).await {
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.pending = data;
                    }
                }
                Ok(Some(Err(_))) => return Err(Fault::ClientGone),
                Ok(None) => return Ok(None),
                Err(_) => return Err(Fault::ClientSilent),
            }
        }
    }

    /// Receives all of it before any of it is used, so that what comes last, a trailer, is known first. Only where it is small.
    ///
    /// # Errors
    /// As [`Upload::next`] and [`Upload::finish`].
    pub async fn hold(mut self) -> Result<Held, Fault> {
        let mut pieces = VecDeque::new();
        while pieces.len() < PIECES
            && let Some(piece) = self.next().await?
        {
            pieces.push_back(piece);
        }
        if pieces.len() == PIECES {
            pieces.push_back(self.rest().await?);
        }
        Ok(Held::of_pieces(pieces, self.finish()?))
    }

    /// All of it, once it may be believed, and the checksum that was stated. Only where it is small.
    ///
    /// # Errors
    /// As [`Upload::next`] and [`Upload::finish`].
    pub async fn gather(mut self) -> Result<(Bytes, Option<Checksum>), Fault> {
        let bytes = self.rest().await?;
        Ok((bytes, self.finish()?))
    }

    /// All that is still to come, in one piece.
    async fn rest(&mut self) -> Result<Bytes, Fault> {
        let first = self.next().await?.unwrap_or_default();
        let Some(second) = self.next().await? else {
            return Ok(first);
        };
        // Room for all of it at once, but not on a client's mere word.
        let most = usize::try_from(self.missing).unwrap_or(usize::MAX).min(AT_ONCE);
        let mut bytes = BytesMut::with_capacity(first.len() + second.len() + most);
        bytes.extend_from_slice(&first);
        bytes.extend_from_slice(&second);
        while let Some(more) = self.next().await? {
            bytes.extend_from_slice(&more);
        }
        Ok(bytes.freeze())
    }

    /// Says, once the body has ended, whether it is what the request stated. Returns the checksum to keep and to echo.
    ///
    /// # Errors
    /// Too short, a signature or checksum that does not match.
    pub fn finish(self) -> Result<Option<Checksum>, Fault> {
        let trailers = match self.decoder {
            Decoding::AwsChunked(decoder) => decoder.finish()?,
            _ if self.missing > 0 => return Err(Fault::TooShort { missing: self.missing }),
            Decoding::Structured(decoder) => {
                decoder.finish()?;
                HeaderMap::new()
            }
            Decoding::None => HeaderMap::new(),
        };
        Ok(self.expectations.finish(&trailers)?)
    }

    fn decode(&mut self) -> Result<Option<Bytes>, Fault> {
        if self.pending.is_empty() {
            return Ok(None);
        }
        let decoded = match &mut self.decoder {
            Decoding::None => Some(std::mem::take(&mut self.pending)),
            Decoding::AwsChunked(decoder) => decoder.decode(&mut self.pending)?,
            Decoding::Structured(decoder) => decoder.decode(&mut self.pending)?,
        };
        Ok(decoded.filter(|bytes| !bytes.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::Response;
    use http_body_util::Empty;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::AsyncWriteExt;
    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn held_pieces_are_one_body() {
        let parts = ["", "12345", "", "6789"].map(|piece| Bytes::from_static(piece.as_bytes()));
        let mut held = Held::of_pieces(parts.into(), None);
        assert_eq!(held.checksum(), Checksum::of(Algorithm::Crc64Nvme, b"123456789"));
        assert_eq!(held.plain_len(), 9);
        assert_eq!(held.next().as_deref(), Some(&b"12345"[..]));
        assert_eq!(held.plain_len(), 4);
        assert_eq!(held.next().as_deref(), Some(&b"6789"[..]));
        assert_eq!(held.next(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_falls_silent_is_given_up() {
        let (mut client, gate) = tokio::io::duplex(1024);
        let (faults, mut fault) = mpsc::channel(1);
        let service = service_fn(move |request: http::Request<Incoming>| {
            let faults = faults.clone();
            async move {
                let expectations = Expectations::new(request.headers(), None).unwrap();
                let mut upload = Upload::new(request.into_body(), None, expectations, 10);
                let first = upload.next().await.unwrap();
                let next = upload.next().await;
                faults.send((first, next)).await.unwrap();
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(gate), service));
        client
            .write_all(b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345")
            .await
            .unwrap();
        let (first, next) = fault.recv().await.unwrap();
        assert_eq!(first.as_deref(), Some(&b"12345"[..]));
        assert!(matches!(next, Err(Fault::ClientSilent)), "{next:?}");
    }
}
