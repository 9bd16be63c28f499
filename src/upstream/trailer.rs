//! A sealed body with its checksum behind it, in S3's unsigned aws-chunked framing: frames of a length that is known beforehand,
//! so that the whole request has a Content-Length, which some stores demand.
//!
//! ```text
//! 100000\r\n <1 MiB> \r\n  …  2c0\r\n <the rest> \r\n  0\r\n  x-amz-checksum-crc64nvme:<base64>\r\n  \r\n
//! ```
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html>

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_ENCODING};
use http_body::{Body, Frame};

use crate::body::SealedBody;
use crate::body::checksum::{Algorithm, Hasher};

/// The checksum that S3 itself computes where none is sent; so it also fits the parts of an upload that named none.
pub(super) const ALGORITHM: Algorithm = Algorithm::Crc64Nvme;
/// Data of a frame, in bytes. Amazon wants 8 KiB at least of all but the last; SDKs use 64 KiB to 1 MiB.
const FRAME: u64 = 1 << 20;

/// A sealed body, framed.
pub(super) struct Framed {
    body: SealedBody,
    hasher: Option<Hasher>,
    /// Data still to come of the body, in bytes.
    left: u64,
    /// Data still to come of this frame.
    in_frame: u64,
    /// Ready to go out.
    ready: VecDeque<Bytes>,
}

impl Framed {
    pub(super) fn new(body: SealedBody) -> Self {
        let left = body.stored_len().0;
        let (in_frame, opens) = open(left);
        Self {
            body,
            hasher: Some(Hasher::new(ALGORITHM)),
            left,
            in_frame,
            ready: VecDeque::from([opens]),
        }
    }

    /// Bytes of `len` bytes of data with everything around them.
    pub(super) fn framed_len(len: u64) -> u64 {
        let (full, rest) = (len / FRAME, len % FRAME);
        let around = |data: u64| format!("{data:x}").len() as u64 + 4;
        let rest = if rest == 0 { 0 } else { around(rest) + rest };
        let trailer = ALGORITHM.header().as_str().len() + 1 + base64_len(ALGORITHM.value_len()) + 2;
        full * (around(FRAME) + FRAME) + rest + "0\r\n".len() as u64 + trailer as u64 + 2
    }

    /// What the request's head says of such a body.
    pub(super) fn announce(len: u64, headers: &mut HeaderMap) {
        headers.insert(
            HeaderName::from_static("x-amz-decoded-content-length"),
            HeaderValue::from(len),
        );
        let trailer = HeaderValue::from_static("x-amz-checksum-crc64nvme");
        headers.insert(HeaderName::from_static("x-amz-trailer"), trailer);
        // Behind the object's own encodings, on the same line: the last one applied, and the store takes it off again.
        let mut encodings: Vec<u8> = Vec::new();
        for encoding in headers.get_all(CONTENT_ENCODING) {
            encodings.extend_from_slice(encoding.as_bytes());
            encodings.push(b',');
        }
        encodings.extend_from_slice(b"aws-chunked");
        if let Ok(encodings) = HeaderValue::try_from(encodings) {
            headers.insert(CONTENT_ENCODING, encodings);
        }
    }

    fn take(&mut self, mut data: Bytes) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&data);
        }
        while !data.is_empty() {
            let here = usize::try_from(self.in_frame).unwrap_or(usize::MAX).min(data.len());
            if here == 0 {
                // More than was announced: hyper would refuse it too.
                return;
            }
            self.ready.push_back(data.split_to(here));
            self.in_frame -= here as u64;
            self.left -= here as u64;
            if self.in_frame == 0 {
                self.ready.push_back(Bytes::from_static(b"\r\n"));
                if self.left > 0 {
                    let (in_frame, opens) = open(self.left);
                    self.in_frame = in_frame;
                    self.ready.push_back(opens);
                }
            }
        }
        if self.left == 0
            && let Some(hasher) = self.hasher.take()
        {
            let (name, value) = (ALGORITHM.header(), hasher.finish().to_base64());
            self.ready
                .push_back(Bytes::from(format!("0\r\n{name}:{value}\r\n\r\n")));
        }
    }

    pub(super) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => self.take(frame.into_data().unwrap_or_default()),
                other => return other,
            }
        }
    }
}

/// The data of the next frame where `left` bytes are left, and the line that opens it.
fn open(left: u64) -> (u64, Bytes) {
    let data = left.min(FRAME);
    (data, Bytes::from(format!("{data:x}\r\n")))
}

const fn base64_len(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_known_beforehand() {
        let trailer = "0\r\nx-amz-checksum-crc64nvme:AAAAAAAAAAA=\r\n\r\n".len() as u64;
        assert_eq!(Framed::framed_len(720), "2d0\r\n".len() as u64 + 720 + 2 + trailer);
        assert_eq!(
            Framed::framed_len(FRAME),
            "100000\r\n".len() as u64 + FRAME + 2 + trailer
        );
        let two = "100000\r\n".len() as u64 + FRAME + 2 + "1\r\n".len() as u64 + 1 + 2 + trailer;
        assert_eq!(Framed::framed_len(FRAME + 1), two);
    }

    #[test]
    fn the_objects_own_encodings_stand_before_the_transfers() {
        let mut headers = HeaderMap::new();
        headers.append(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.append(CONTENT_ENCODING, HeaderValue::from_static("br"));
        Framed::announce(7, &mut headers);
        assert_eq!(
            headers.get_all(CONTENT_ENCODING).iter().collect::<Vec<_>>(),
            ["gzip,br,aws-chunked"]
        );
        assert_eq!(headers["x-amz-decoded-content-length"], "7");
    }
}
