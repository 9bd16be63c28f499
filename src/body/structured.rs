//! Azure's structured bodies, `XSM/1.0` (`x-ms-structured-body`): content in numbered segments, each with its CRC-64, and one
//! over all of it at the end. Read from clients, and written for those that ask for it.
//!
//! Little-endian, as the official SDKs write and read it (`_shared/streams.py` of azure-storage-blob 12.31):
//!
//! ```text
//! version 1 · message length 8 · flags 2 (1: CRC-64) · segments 2
//!   for each:  number 2 (from 1) · length 8 · data · CRC-64 of the data 8
//! CRC-64 of all data 8
//! ```

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};

use crate::body::aws_chunked::FramingError;
use crate::body::checksum::{Algorithm, ChecksumError, Hasher};
use crate::body::fault::Fault;

const VERSION: u8 = 1;
const HEAD: usize = 13;
const SEGMENT_HEAD: usize = 10;
const CRC: usize = 8;
/// What the SDKs' writers put into one segment, in bytes.
const SEGMENT: u64 = 4 << 20;

/// Reads a structured body in whatever pieces it comes. Its data is given out before its CRCs are checked: it counts once
/// [`Decoder::finish`] said so.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// Bytes of a head or a CRC that is not complete yet.
    gathered: Vec<u8>,
    /// As the message says.
    length: u64,
    seen: u64,
    checked: bool,
    segments: u16,
    number: u16,
    segment: Running,
    all: Running,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    SegmentHead,
    Data(u64),
    SegmentCrc,
    Crc,
    End,
}

/// A CRC-64 under way.
struct Running(Hasher);

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Running(…)")
    }
}

impl Running {
    fn new() -> Self {
        Self(Hasher::new(Algorithm::Crc64Nvme))
    }

    /// Its value, little-endian as Azure writes it.
    fn end(&mut self) -> [u8; CRC] {
        let hasher = std::mem::replace(&mut self.0, Hasher::new(Algorithm::Crc64Nvme));
        let mut value: [u8; CRC] = hasher.finish().value().try_into().unwrap_or_default();
        value.reverse();
        value
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            state: State::Head,
            gathered: Vec::with_capacity(HEAD),
            length: 0,
            seen: 0,
            checked: true,
            segments: 0,
            number: 0,
            segment: Running::new(),
            all: Running::new(),
        }
    }
}

impl Decoder {
    /// The next data, taken from the front of `input`; `None` once all of `input` is used up.
    ///
    /// # Errors
    /// The framing is malformed, or a CRC does not match.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, Fault> {
        while !input.is_empty() {
            if let State::Data(left) = self.state {
                let len = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                let data = input.split_to(len);
                self.seen += len as u64;
                if self.checked {
                    self.segment.0.update(&data);
                    self.all.0.update(&data);
                }
                self.state = State::Data(left - len as u64);
                self.after_data();
                return Ok(Some(data));
            }
            let wanted = match self.state {
                State::Head => HEAD,
                State::SegmentHead => SEGMENT_HEAD,
                State::SegmentCrc | State::Crc => CRC,
                State::Data(_) | State::End => return Err(FramingError::TrailingBytes.into()),
            };
            let len = (wanted - self.gathered.len()).min(input.len());
            self.gathered.extend_from_slice(&input.split_to(len));
            self.seen += len as u64;
            if self.gathered.len() == wanted {
                let gathered = std::mem::take(&mut self.gathered);
                self.step(&gathered)?;
            }
        }
        Ok(None)
    }

    /// Says, once the body has ended, whether it was all there.
    ///
    /// # Errors
    /// It was not.
    pub fn finish(&self) -> Result<(), Fault> {
        if self.state == State::End && self.seen == self.length {
            return Ok(());
        }
        let missing = self.length.saturating_sub(self.seen);
        Err(FramingError::Incomplete { missing }.into())
    }

    fn step(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        const MALFORMED: FramingError = FramingError::MalformedFrame;
        match self.state {
            State::Head => {
                let (version, rest) = bytes.split_first().ok_or(MALFORMED)?;
                self.length = number(rest.get(..8)).ok_or(MALFORMED)?;
                let flags = number(rest.get(8..10)).ok_or(MALFORMED)?;
                let segments = number(rest.get(10..12)).ok_or(MALFORMED)?;
                if *version != VERSION || flags > 1 {
                    return Err(MALFORMED.into());
                }
                self.checked = flags == 1;
                self.segments = u16::try_from(segments).map_err(|_| MALFORMED)?;
                self.next_segment();
            }
            State::SegmentHead => {
                let length = number(bytes.get(2..10)).ok_or(MALFORMED)?;
                self.number = self.number.wrapping_add(1);
                if number(bytes.get(..2)) != Some(u64::from(self.number)) {
                    return Err(MALFORMED.into());
                }
                self.state = State::Data(length);
                self.after_data();
            }
            State::SegmentCrc => {
                if self.segment.end() != bytes {
                    return Err(ChecksumError::Mismatch(Algorithm::Crc64Nvme).into());
                }
                self.next_segment();
            }
            State::Crc => {
                if self.all.end() != bytes {
                    return Err(ChecksumError::Mismatch(Algorithm::Crc64Nvme).into());
                }
                self.state = State::End;
            }
            State::Data(_) | State::End => return Err(MALFORMED.into()),
        }
        Ok(())
    }

    fn after_data(&mut self) {
        if self.state == State::Data(0) {
            if self.checked {
                self.state = State::SegmentCrc;
            } else {
                self.next_segment();
            }
        }
    }

    fn next_segment(&mut self) {
        self.state = match (self.number < self.segments, self.checked) {
            (true, _) => State::SegmentHead,
            (false, true) => State::Crc,
            (false, false) => State::End,
        };
    }
}

/// Little-endian, of up to 8 bytes.
fn number(bytes: Option<&[u8]>) -> Option<u64> {
    let mut eight = [0; 8];
    let bytes = bytes?;
    eight.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(u64::from_le_bytes(eight))
}

/// Writes content of a known length as a structured body.
pub struct Encoder {
    left: u64,
    /// Of the segment under way.
    segment_left: u64,
    number: u16,
    segment: Running,
    all: Running,
    head: Option<Bytes>,
}

impl Encoder {
    /// For `len` bytes of content; `None` where they take more segments than can be counted.
    pub fn new(len: u64) -> Option<Self> {
        let segments = u16::try_from(segments(len)).ok()?;
        let mut head = BytesMut::with_capacity(HEAD);
        head.put_u8(VERSION);
        head.put_u64_le(framed(len)?);
        head.put_u16_le(1);
        head.put_u16_le(segments);
        Some(Self {
            left: len,
            segment_left: 0,
            number: 0,
            segment: Running::new(),
            all: Running::new(),
            head: Some(head.freeze()),
        })
    }

    /// The framing and the data of one more piece of content, in order. The last piece brings the end of the body along.
    pub fn encode(&mut self, mut data: Bytes) -> VecDeque<Bytes> {
        let mut out: VecDeque<Bytes> = self.head.take().into_iter().collect();
        loop {
            if self.segment_left == 0 && (self.left > 0 || self.number == 0) {
                self.number = self.number.wrapping_add(1);
                self.segment_left = self.left.min(SEGMENT);
                let mut head = BytesMut::with_capacity(SEGMENT_HEAD);
                head.put_u16_le(self.number);
                head.put_u64_le(self.segment_left);
                out.push_back(head.freeze());
            } else if data.is_empty() {
                break;
            }
            let len = usize::try_from(self.segment_left).unwrap_or(usize::MAX).min(data.len());
            let piece = data.split_to(len);
            self.segment.0.update(&piece);
            self.all.0.update(&piece);
            self.left = self.left.saturating_sub(len as u64);
            self.segment_left = self.segment_left.saturating_sub(len as u64);
            if !piece.is_empty() {
                out.push_back(piece);
            }
            if self.segment_left == 0 {
                out.push_back(Bytes::copy_from_slice(&self.segment.end()));
                if self.left == 0 {
                    out.push_back(Bytes::copy_from_slice(&self.all.end()));
                    break;
                }
            }
        }
        out
    }
}

/// The length of a structured body around `len` bytes of content.
pub fn framed(len: u64) -> Option<u64> {
    let segments = segments(len).checked_mul((SEGMENT_HEAD + CRC) as u64)?;
    len.checked_add(segments)?.checked_add((HEAD + CRC) as u64)
}

fn segments(len: u64) -> u64 {
    len.div_ceil(SEGMENT).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `b"hello world"` as the Python SDK's own `StructuredMessageEncodeStream` frames it in segments of 6 bytes.
    const FROM_THE_SDK: &str = include_str!("structured.hex");

    fn read(bytes: &[u8], piece: usize) -> Result<Vec<u8>, Fault> {
        let mut decoder = Decoder::default();
        let mut data = Vec::new();
        for piece in bytes.chunks(piece) {
            let mut input = Bytes::copy_from_slice(piece);
            while let Some(bytes) = decoder.decode(&mut input)? {
                data.extend_from_slice(&bytes);
            }
        }
        decoder.finish()?;
        Ok(data)
    }

    fn write(content: &[u8], piece: usize) -> Vec<u8> {
        let mut encoder = Encoder::new(content.len() as u64).unwrap();
        let pieces: Vec<&[u8]> = if content.is_empty() {
            vec![&[]]
        } else {
            content.chunks(piece).collect()
        };
        let pieces = pieces
            .into_iter()
            .flat_map(|piece| encoder.encode(Bytes::copy_from_slice(piece)));
        pieces.flat_map(|bytes| bytes.to_vec()).collect()
    }

    #[test]
    fn what_the_sdk_writes_is_read() {
        let bytes = hex::decode(FROM_THE_SDK.trim()).unwrap();
        for piece in [1, 3, 1000] {
            assert_eq!(read(&bytes, piece).unwrap(), b"hello world");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = hex::decode(FROM_THE_SDK.trim()).unwrap();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(read(&flipped, 7).is_err(), "byte {at}");
            assert!(read(&bytes[..at], 7).is_err(), "cut at {at}");
        }
        assert!(read(&[bytes.as_slice(), b"x"].concat(), 7).is_err());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let segment = usize::try_from(SEGMENT).unwrap();
        for len in [0, 1, segment - 1, segment, segment + 1, 2 * segment + 5] {
            let content: Vec<u8> = (0..=250).cycle().take(len).collect();
            for piece in [65_536, segment + 3] {
                let framed_content = write(&content, piece);
                assert_eq!(framed_content.len() as u64, framed(len as u64).unwrap(), "{len}");
                assert_eq!(read(&framed_content, 70_000).unwrap(), content, "{len}");
            }
        }
    }
}
