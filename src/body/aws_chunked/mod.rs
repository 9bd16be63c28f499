//! Decodes `aws-chunked`, the framing that S3 clients put around a body inside HTTP's own: frames of data, signed or not, and
//! trailers behind them.
//!
//! ```text
//! signed      10000;chunk-signature=<64 hex>\r\n <data> \r\n  …  0;chunk-signature=<64 hex>\r\n  [trailers]  \r\n
//! unsigned    10000\r\n <data> \r\n  …  0\r\n  trailers  \r\n
//! ```
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html> and `sigv4-streaming-trailers.html` beside it.

mod verifier;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

pub use verifier::FrameVerifier;

/// Longest line before a frame, in bytes; signed frames need 88. As MinIO has it.
const LONGEST_LINE: usize = 4 << 10;
/// Largest frame, in bytes of data. As MinIO has it; SDKs use 64 KiB to 1 MiB.
const LARGEST_FRAME: u64 = 16 << 20;
/// All trailers together, in bytes.
const LONGEST_TRAILERS: usize = 16 << 10;

const CHUNK_SIGNATURE: &str = "chunk-signature=";
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";

/// Which of the framings a request announced, and how long the decoded body is to be.
#[derive(Debug)]
pub struct Framing {
    /// Verifies every frame, and the trailers; `None` where they are unsigned.
    pub signed: Option<Box<FrameVerifier>>,
    /// Whether trailers follow the last frame.
    pub trailer: bool,
    /// `x-amz-decoded-content-length`, in bytes.
    pub decoded_len: u64,
}

/// Why a body was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    #[error("a frame is malformed")]
    MalformedFrame,
    #[error("a line before a frame is over {LONGEST_LINE} bytes")]
    LineTooLong,
    #[error("a frame of {size} bytes is over {LARGEST_FRAME}")]
    FrameTooLarge { size: u64 },
    #[error("the signature of a frame or of the trailers is wrong")]
    SignatureMismatch,
    #[error("a trailer is malformed")]
    MalformedTrailer,
    #[error("the trailers are over {LONGEST_TRAILERS} bytes")]
    TrailersTooLong,
    /// More data than `x-amz-decoded-content-length` said.
    #[error("the body is longer than the {decoded_len} bytes announced")]
    TooLong { decoded_len: u64 },
    /// The body ended early: before the announced length, or before its own end was said.
    #[error("the body ended {missing} bytes early, or without its end")]
    Incomplete { missing: u64 },
    #[error("something follows the end of the body")]
    TrailingBytes,
}

/// Takes a body in whatever pieces it comes, and gives its data back without copying.
///
/// Data of a signed frame is given out before the frame's signature can be checked. So the body counts as the client's only
/// once [`Decoder::finish`] said so: whoever stores it holds its end back until then.
#[derive(Debug)]
pub struct Decoder {
    signed: Option<Box<FrameVerifier>>,
    trailer: bool,
    decoded_len: u64,
    /// Bytes of data that are still to come.
    missing: u64,
    state: State,
    /// A line that is not complete yet.
    line: Vec<u8>,
    trailers: Trailers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before or within the line that opens a frame.
    Line,
    /// Within a frame's data, of which this much is left.
    Data(u64),
    /// Before the line break that closes a frame's data.
    DataEnd,
    /// Behind the last frame, within the trailers.
    Trailers,
    /// Behind the last frame, before the line break that closes a body without trailers.
    LastBreak,
    Done,
}

#[derive(Debug, Default)]
struct Trailers {
    /// Bytes read, for the limit.
    read: usize,
    /// The last line ended in a bare line feed: a line break may follow that belongs to it.
    half_broken: bool,
    headers: HeaderMap,
    signature: Option<String>,
}

impl Decoder {
    pub fn new(framing: Framing) -> Self {
        Self {
            signed: framing.signed,
            trailer: framing.trailer,
            decoded_len: framing.decoded_len,
            missing: framing.decoded_len,
            state: State::Line,
            line: Vec::with_capacity(128),
            trailers: Trailers::default(),
        }
    }

    /// Takes from the front of `input` until there is data to give out; `None` once `input` is used up.
    ///
    /// # Errors
    /// The first thing wrong with the body. The decoder is of no use afterwards.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, FramingError> {
        while !input.is_empty() {
            match self.state {
                State::Line => {
                    if self.read_line(input, LONGEST_LINE, FramingError::LineTooLong)? {
                        self.open_frame()?;
                    }
                }
                State::Data(left) => return self.take_data(input, left).map(Some),
                State::DataEnd => {
                    if self.read_line(input, 2, FramingError::MalformedFrame)? {
                        self.close_line(FramingError::MalformedFrame)?;
                        self.state = State::Line;
                    }
                }
                State::Trailers => {
                    let left = LONGEST_TRAILERS.saturating_sub(self.trailers.read);
                    if self.read_line(input, left, FramingError::TrailersTooLong)? {
                        self.take_trailer()?;
                    }
                }
                State::LastBreak => {
                    if self.read_line(input, 2, FramingError::TrailingBytes)? {
                        self.close_line(FramingError::TrailingBytes)?;
                        self.state = State::Done;
                    }
                }
                State::Done => return Err(FramingError::TrailingBytes),
            }
        }
        Ok(None)
    }

    /// Says, once the input has ended, whether the whole body came, bore its signatures, and had the length announced.
    /// Returns the trailers; whether they are the ones announced, and right, is for `crate::body::checksum` to say.
    ///
    /// # Errors
    /// [`FramingError::Incomplete`] if the body did not end.
    pub fn finish(self) -> Result<HeaderMap, FramingError> {
        match self.state {
            State::Done => Ok(self.trailers.headers),
            _ => Err(FramingError::Incomplete { missing: self.missing }),
        }
    }

    /// Moves bytes up to the next line feed into `self.line`; true once that is reached.
    fn read_line(&mut self, input: &mut Bytes, limit: usize, too_long: FramingError) -> Result<bool, FramingError> {
        let left = limit.saturating_sub(self.line.len());
        let end = input.iter().take(left).position(|byte| *byte == b'\n');
        let taken = end.map_or(input.len(), |end| end + 1);
        if taken > left {
            return Err(too_long);
        }
        self.line.extend_from_slice(&input.split_to(taken));
        Ok(end.is_some())
    }

    /// Reads the complete line in `self.line` as the opening of a frame: size, and signature where frames are signed.
    fn open_frame(&mut self) -> Result<(), FramingError> {
        let line = std::mem::take(&mut self.line);
        let text = line
            .strip_suffix(b"\r\n")
            .and_then(|line| std::str::from_utf8(line).ok());
        let text = text.ok_or(FramingError::MalformedFrame)?;
        let size = match &mut self.signed {
            None => frame_size(text)?,
            Some(verifier) => {
                let (size, extension) = text.split_once(';').ok_or(FramingError::MalformedFrame)?;
                let signature = extension
                    .strip_prefix(CHUNK_SIGNATURE)
                    .ok_or(FramingError::MalformedFrame)?;
                verifier.open_frame(signature)?;
                frame_size(size)?
            }
        };
        self.line = line;
        self.line.clear();
        if size > self.missing {
            return Err(FramingError::TooLong {
                decoded_len: self.decoded_len,
            });
        }
        self.missing -= size;
        self.state = State::Data(size);
        match size {
            0 => self.close_last_frame(),
            _ => Ok(()),
        }
    }

    fn close_last_frame(&mut self) -> Result<(), FramingError> {
        if self.missing > 0 {
            return Err(FramingError::Incomplete { missing: self.missing });
        }
        if let Some(verifier) = &mut self.signed {
            verifier.close_frame()?;
        }
        self.state = if self.trailer {
            State::Trailers
        } else {
            State::LastBreak
        };
        Ok(())
    }

    fn take_data(&mut self, input: &mut Bytes, left: u64) -> Result<Bytes, FramingError> {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let data = input.split_to(taken);
        let left = left.saturating_sub(taken as u64);
        if let Some(verifier) = &mut self.signed {
            verifier.update(&data);
            if left == 0 {
                verifier.close_frame()?;
            }
        }
        self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
        Ok(data)
    }

    fn close_line(&mut self, otherwise: FramingError) -> Result<(), FramingError> {
        let closes = self.line == b"\r\n";
        self.line.clear();
        closes.then_some(()).ok_or(otherwise)
    }

    /// Reads the complete line in `self.line` as a trailer, or as the empty line that ends them.
    ///
    /// AWS's page and minio-go break these lines with `\n\r\n`, SDKs of AWS with `\r\n`.
    fn take_trailer(&mut self) -> Result<(), FramingError> {
        let line = std::mem::take(&mut self.line);
        self.trailers.read += line.len();
        if std::mem::take(&mut self.trailers.half_broken) && line == b"\r\n" {
            return Ok(());
        }
        let text = match line.strip_suffix(b"\r\n") {
            Some(text) => text,
            None => {
                self.trailers.half_broken = true;
                line.strip_suffix(b"\n").unwrap_or(&line)
            }
        };
        if text.is_empty() {
            return self.close_trailers();
        }
        let text = std::str::from_utf8(text).map_err(|_| FramingError::MalformedTrailer)?;
        let (name, value) = text.split_once(':').ok_or(FramingError::MalformedTrailer)?;
        let (name, value) = (name.to_ascii_lowercase(), value.trim_matches([' ', '\t']));
        if self.trailers.signature.is_some() {
            return Err(FramingError::MalformedTrailer);
        }
        if name == TRAILER_SIGNATURE && self.signed.is_some() {
            self.trailers.signature = Some(value.to_owned());
            return Ok(());
        }
        let name = HeaderName::try_from(name).map_err(|_| FramingError::MalformedTrailer)?;
        let value = HeaderValue::try_from(value).map_err(|_| FramingError::MalformedTrailer)?;
        match self.trailers.headers.try_append(name, value) {
            Ok(_) => Ok(()),
            Err(_) => Err(FramingError::TrailersTooLong),
        }
    }

    fn close_trailers(&mut self) -> Result<(), FramingError> {
        match (&self.signed, &self.trailers.signature) {
            (Some(_), None) => return Err(FramingError::MalformedTrailer),
            (Some(verifier), Some(signature)) => verifier.check_trailers(&self.trailers.headers, signature)?,
            (None, _) => {}
        }
        self.state = State::Done;
        Ok(())
    }
}

/// `Content-Encoding` without `aws-chunked`, which frames the transfer and says nothing of the object: `aws-chunked,gzip`
/// becomes `gzip`. `None` if nothing is left.
pub fn stored_encoding(content_encoding: &str) -> Option<String> {
    let kept: Vec<&str> = content_encoding
        .split(',')
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

/// Hexadecimal, in either case: Rust's SDK writes upper-case digits, boto's lower-case ones.
fn frame_size(text: &str) -> Result<u64, FramingError> {
    if text.is_empty() || text.len() > 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(FramingError::MalformedFrame);
    }
    let size = u64::from_str_radix(text, 16).map_err(|_| FramingError::MalformedFrame)?;
    if size > LARGEST_FRAME {
        Err(FramingError::FrameTooLarge { size })
    } else {
        Ok(size)
    }
}

#[cfg(test)]
mod tests;
