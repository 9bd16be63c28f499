//! The canonical request: what both sides hash, byte for byte.
//!
//! S3 differs from other AWS services: the path is encoded once, and neither `//` nor dot segments are folded, so it is taken
//! from the raw request target and never from a parsed URL.

use std::ops::Range;

use http::header::HOST;
use http::{HeaderMap, Method, Uri};

use crate::upstream::sigv4::sha256;

/// A request, with what its signature covers.
#[derive(Debug)]
pub struct CanonicalRequest<'a> {
    pub method: &'a Method,
    /// Path and query as on the wire, still encoded.
    pub uri: &'a Uri,
    pub headers: &'a HeaderMap,
    /// Lower-case names in ascending order, joined by `;`.
    pub signed_headers: &'a str,
    /// `X-Amz-Signature` in a presigned URL: the one parameter that the signature can't cover.
    pub left_out_of_query: Option<&'a str>,
    /// The payload hash, literally as `x-amz-content-sha256` has it.
    pub payload: &'a str,
}

/// A header that is said to be signed and is not there: most often, something between client and gate removed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the signed header {0} is absent")]
pub struct AbsentHeader(pub String);

impl CanonicalRequest<'_> {
    /// SHA-256 of the canonical request.
    ///
    /// # Errors
    /// [`AbsentHeader`] if a signed header is not in the request.
    pub fn hash(&self) -> Result<[u8; 32], AbsentHeader> {
        self.write().map(|text| sha256(&text))
    }

    fn write(&self) -> Result<Vec<u8>, AbsentHeader> {
        let mut out = Vec::with_capacity(1024);
        out.extend_from_slice(self.method.as_str().as_bytes());
        out.push(b'\n');
        write_path(&mut out, self.uri.path());
        out.push(b'\n');
        write_query(&mut out, self.uri.query().unwrap_or_default(), self.left_out_of_query);
        out.push(b'\n');
        for name in self.signed_headers.split(';') {
            self.write_header(&mut out, name)?;
        }
        out.push(b'\n');
        out.extend_from_slice(self.signed_headers.as_bytes());
        out.push(b'\n');
        out.extend_from_slice(self.payload.as_bytes());
        Ok(out)
    }

    /// `name:value`, values of a repeated header joined by commas, white space trimmed and runs of it made one space.
    fn write_header(&self, out: &mut Vec<u8>, name: &str) -> Result<(), AbsentHeader> {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), self.uri.authority()) {
            (Some(first), _) => write_value(out, first.as_bytes()),
            // A target in absolute form may stand in for Host (RFC 9112, 3.2.2).
            (None, Some(authority)) if name == HOST => out.extend_from_slice(authority.as_str().as_bytes()),
            (None, _) => return Err(AbsentHeader(name.to_owned())),
        }
        for value in values {
            out.push(b',');
            write_value(out, value.as_bytes());
        }
        out.push(b'\n');
        Ok(())
    }
}

/// A wire path in the one spelling that is signed: percent-decoded once, then everything but `A-Za-z0-9-._~/` encoded.
///
/// So `!'()*` left bare by a client count as encoded, as S3 sees them, and `+` is a plus sign.
pub fn canonical_path(raw: &str) -> String {
    let mut out = Vec::with_capacity(raw.len() + 16);
    write_path(&mut out, raw);
    ascii(out)
}

/// A wire query in the one spelling that is signed: sorted by name, then value; a bare name gets its `=`.
///
/// `+` means a space here, as in a form, which is how S3 reads it.
pub fn canonical_query(raw: &str) -> String {
    let mut out = Vec::with_capacity(raw.len() + 16);
    write_query(&mut out, raw, None);
    ascii(out)
}

fn write_path(out: &mut Vec<u8>, raw: &str) {
    if raw.is_empty() {
        out.push(b'/');
    }
    write_encoded(out, raw, Part::Path);
}

fn write_query(out: &mut Vec<u8>, raw: &str, left_out: Option<&str>) {
    if raw.is_empty() {
        return;
    }
    // Sorting goes by the encoded bytes, name first: `a=` stands before `a-b=` though '-' is below '='.
    let mut encoded = Vec::with_capacity(raw.len() + 16);
    let mut pairs = Vec::with_capacity(8);
    for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let start = encoded.len();
        write_encoded(&mut encoded, name, Part::Query);
        let middle = encoded.len();
        // The name left out has no character that would be encoded.
        if left_out.is_some_and(|left_out| encoded.get(start..) == Some(left_out.as_bytes())) {
            encoded.truncate(start);
            continue;
        }
        write_encoded(&mut encoded, value, Part::Query);
        pairs.push((start..middle, middle..encoded.len()));
    }
    let text = |range: &Range<usize>| encoded.get(range.clone()).unwrap_or_default();
    pairs.sort_unstable_by(|(a, x), (b, y)| (text(a), text(x)).cmp(&(text(b), text(y))));
    for (i, (name, value)) in pairs.iter().enumerate() {
        if i > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(text(name));
        out.push(b'=');
        out.extend_from_slice(text(value));
    }
}

fn write_value(out: &mut Vec<u8>, value: &[u8]) {
    let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    for (i, word) in words.enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

/// Where a text stands, which decides what `/` and `+` are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// `/` separates, `+` is itself.
    Path,
    /// `/` is data, `+` is a space.
    Query,
}

/// Percent-decodes once and encodes strictly, in one go. A `%` that starts no escape stands for itself.
fn write_encoded(out: &mut Vec<u8>, raw: &str, part: Part) {
    let mut rest = raw.as_bytes();
    loop {
        let bare = rest
            .iter()
            .position(|byte| !UNRESERVED[usize::from(*byte)])
            .unwrap_or(rest.len());
        let (run, tail) = rest.split_at(bare);
        out.extend_from_slice(run);
        let Some((&byte, tail)) = tail.split_first() else {
            return;
        };
        let (byte, tail) = match (byte, part, tail) {
            (b'%', _, [high, low, after @ ..]) => match (hex_value(*high), hex_value(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (byte, tail),
            },
            (b'+', Part::Query, _) => (b' ', tail),
            _ => (byte, tail),
        };
        rest = tail;
        if UNRESERVED[usize::from(byte)] || (byte == b'/' && part == Part::Path) {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// `A-Za-z0-9-._~`, by byte.
const UNRESERVED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        byte += 1;
    }
    table
};

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// Encoded text is ASCII by construction.
fn ascii(text: Vec<u8>) -> String {
    String::from_utf8(text).unwrap_or_default()
}
