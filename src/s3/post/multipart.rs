//! `multipart/form-data` (RFC 7578) as it comes in: one part after the other, its head bounded, its data in pieces as they arrive.
//!
//! Written here since the crates for it read ahead of whoever reads them, without bound, as long as the client is faster.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use memchr::memmem::Finder;
use percent_encoding::percent_decode_str;
use tokio::time::timeout;

use crate::body::{Fault, FormFault};
use crate::s3::post::PostError;

/// All that may come before the file, in bytes: S3's own bound.
pub(super) const LARGEST_FIELDS: usize = 20 * 1024;
/// What is read and ignored behind the file, in bytes, so that the connection can be used again.
const LARGEST_REST: usize = 64 * 1024;
/// As for any other upload: a client that sends nothing for this long is given up.
const SILENCE: Duration = Duration::from_secs(60);
/// RFC 2046, section 5.1.1.
const LONGEST_BOUNDARY: usize = 70;

/// The head of a part.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) name: String,
    /// As the client has it, with its directories if it sends them. Empty if it names none.
    pub(super) filename: String,
}

/// A form's body.
pub(super) struct Multipart<B> {
    body: B,
    /// Received, not yet given out.
    buffer: BytesMut,
    /// What stands before every part but the first, where the line break may be missing.
    delimiter: Finder<'static>,
    /// Bytes that may still come before the file.
    left: usize,
}

/// The boundary that a `Content-Type` states; `None` unless it is `multipart/form-data` with a boundary that can be one.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let (essence, parameters) = content_type.split_once(';')?;
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(parameters, "boundary")?;
    let fits = (1..=LONGEST_BOUNDARY).contains(&boundary.len());
    (fits && boundary.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')).then_some(boundary)
}

impl<B> Multipart<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    pub(super) fn new(body: B, boundary: &str) -> Self {
        Self {
            body,
            // So that the first delimiter is like the others.
            buffer: BytesMut::from(&b"\r\n"[..]),
            delimiter: Finder::new(&[b"\r\n--", boundary.as_bytes()].concat()).into_owned(),
            left: LARGEST_FIELDS,
        }
    }

    /// Skips what stands before the first part; then [`Self::head`] reads that part's.
    pub(super) async fn begin(&mut self) -> Result<(), PostError> {
        while let Some(skipped) = self.next().await? {
            self.spend(skipped.len())?;
        }
        Ok(())
    }

    /// The head of the part whose delimiter was just read; `None` behind the last.
    pub(super) async fn head(&mut self) -> Result<Option<Head>, PostError> {
        while self.buffer.len() < 2 {
            self.fill().await?;
        }
        if self.buffer.starts_with(b"--") {
            return Ok(None);
        }
        // The line of the delimiter ends, perhaps after spaces; the head ends with an empty line, which may be all of it.
        let line = self.find(b"\r\n").await?;
        let padding = self.buffer.split_to(line);
        if padding.iter().any(|byte| !matches!(byte, b' ' | b'\t')) {
            return Err(PostError::Malformed);
        }
        let end = self.find(b"\r\n\r\n").await?;
        let head = self.buffer.split_to(end);
        self.buffer.advance(4);
        self.spend(line + end + 4)?;
        read_head(&head).map(Some).ok_or(PostError::Malformed)
    }

    /// The data of a field.
    pub(super) async fn value(&mut self) -> Result<String, PostError> {
        let mut value = Vec::new();
        while let Some(bytes) = self.next().await? {
            self.spend(bytes.len())?;
            value.extend_from_slice(&bytes);
        }
        String::from_utf8(value).map_err(|_| PostError::Malformed)
    }

    /// The next data of the part, never empty; `None` at its end, behind the delimiter.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let delimiter = self.delimiter.needle().len();
        loop {
            if let Some(at) = self.delimiter.find(&self.buffer) {
                if at > 0 {
                    return Ok(Some(self.buffer.split_to(at).freeze()));
                }
                self.buffer.advance(delimiter);
                return Ok(None);
            }
            // The end may be the beginning of a delimiter.
            let sure = self.buffer.len().saturating_sub(delimiter - 1);
            if sure > 0 {
                return Ok(Some(self.buffer.split_to(sure).freeze()));
            }
            self.fill().await?;
        }
    }

    /// Says whether the delimiter that was just read is one: what only begins like it would cut the file short unnoticed.
    pub(super) async fn check_delimiter(&mut self) -> Result<(), Fault> {
        while self.buffer.len() < 2 {
            self.fill().await?;
        }
        match self.buffer.as_ref() {
            [b'-', b'-', ..] | [b'\r', b'\n', ..] | [b' ' | b'\t', ..] => Ok(()),
            _ => Err(Fault::Form(FormFault::Malformed)),
        }
    }

    /// Reads to the body's end, if it is near. What is there, and whether it comes, is of no matter.
    pub(super) async fn skip_rest(&mut self) {
        let mut left = LARGEST_REST;
        while self.buffer.len() <= left {
            left -= self.buffer.len();
            self.buffer.clear();
            if self.fill().await.is_err() {
                return;
            }
        }
    }

    /// Where `what` stands in what is to come, received up to there.
    async fn find(&mut self, what: &[u8]) -> Result<usize, PostError> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.buffer, what) {
                return Ok(at);
            }
            if self.buffer.len() > self.left {
                return Err(PostError::FieldsTooLarge);
            }
            self.fill().await?;
        }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), PostError> {
        self.left = self.left.checked_sub(bytes).ok_or(PostError::FieldsTooLarge)?;
        Ok(())
    }

    async fn fill(&mut self) -> Result<(), Fault> {
        loop {
            match timeout(SILENCE, self.body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        self.buffer.extend_from_slice(&data);
                        return Ok(());
                    }
                }
                Ok(Some(Err(_))) => return Err(Fault::ClientGone),
                Ok(None) => return Err(Fault::Form(FormFault::Malformed)),
                Err(_) => return Err(Fault::ClientSilent),
            }
        }
    }
}

/// The name and the file's name, out of a part's headers.
fn read_head(head: &[u8]) -> Option<Head> {
    let text = std::str::from_utf8(head).ok()?;
    let mut disposition = None;
    for line in text.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        if name.trim().eq_ignore_ascii_case("content-disposition") && disposition.replace(value).is_some() {
            return None;
        }
    }
    let (kind, parameters) = disposition?.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return None;
    }
    let extended = parameter(parameters, "filename*").and_then(|value| {
        let (_, encoded) = value
            .strip_prefix("UTF-8'")
            .or_else(|| value.strip_prefix("utf-8'"))?
            .split_once('\'')?;
        percent_decode_str(encoded)
            .decode_utf8()
            .ok()
            .map(std::borrow::Cow::into_owned)
    });
    Some(Head {
        name: parameter(parameters, "name")?,
        filename: extended
            .or_else(|| parameter(parameters, "filename"))
            .unwrap_or_default(),
    })
}

/// The value of one of `; name=value; name="quoted value"`. In quotes, only a quotation mark is escaped: browsers send a backslash
/// as it is.
fn parameter(parameters: &str, wanted: &str) -> Option<String> {
    let mut rest = parameters;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';', '\r', '\n']);
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let (value, after) = after.split_once(';').unwrap_or((after, ""));
                (value.trim().to_owned(), after)
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = after;
    }
}

/// A quoted value whose opening mark was taken, and what follows its closing one.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = quoted.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, quoted.get(at + 1..)?)),
            '\\' if characters.peek().is_some_and(|(_, next)| *next == '"') => {
                characters.next();
                value.push('"');
            }
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_are_read() {
        for (content_type, expected) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("Multipart/Form-Data; charset=utf-8; Boundary=\"a b;c\"", Some("a b;c")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/mixed; boundary=abc", None),
            ("application/x-www-form-urlencoded; boundary=abc", None),
            ("multipart/form-data; boundary=\"a\nb\"", None),
        ] {
            assert_eq!(boundary(content_type).as_deref(), expected, "{content_type}");
        }
        assert_eq!(
            boundary(&format!("multipart/form-data; boundary={}", "a".repeat(71))),
            None
        );
    }

    #[test]
    fn heads_are_read() {
        let head = |text: &str| read_head(text.as_bytes()).map(|head| (head.name, head.filename));
        let named = |name: &str, filename: &str| Some((name.to_owned(), filename.to_owned()));
        for (text, expected) in [
            ("\r\nContent-Disposition: form-data; name=\"key\"", named("key", "")),
            (
                "Content-Type: x/y\r\ncontent-disposition:form-data;name=key",
                named("key", ""),
            ),
            (
                "Content-Disposition: form-data; name=\"file\"; filename=\"C:\\dir\\a \\\"b\\\".txt\"",
                named("file", "C:\\dir\\a \"b\".txt"),
            ),
            (
                "Content-Disposition: form-data; name=\"file\"; filename=\"x\"; filename*=UTF-8''%C3%BC.txt",
                named("file", "ü.txt"),
            ),
            (
                "Content-Disposition: form-data; filename=\"name=x\"; name=\"file\"",
                named("file", "name=x"),
            ),
            ("Content-Disposition: attachment; name=\"key\"", None),
            ("Content-Disposition: form-data", None),
            ("Content-Disposition: form-data; name=\"key", None),
            ("Content-Type: text/plain", None),
            ("nonsense", None),
            ("", None),
        ] {
            assert_eq!(head(text), expected, "{text}");
        }
    }
}
