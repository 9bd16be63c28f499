//! Reading a blob: its shape from the store's answer, what derives its keys from metadata or its own header, its bytes opened on
//! the way.
//!
//! A blob of one segment is read with one request when its DEK is in memory. A blob of blocks needs its footer first, which is one
//! more, unless it was read of late; a range of it is then asked for at its own place. Azure has no ranges from the end, so the footer's place follows from
//! the size that the first answer tells. Every further request is pinned to the first one's ETag.

mod append;
mod blocks;
mod head;
mod open;
mod pieces;
pub mod shape;

use http::header::{ETAG, IF_MATCH};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;

pub use blocks::{Footing, footing};
pub use head::head;
pub use open::key_of;
pub use pieces::Pieces;

use crate::azure::checks::{self, CONTENT_CRC64, CONTENT_MD5, STRUCTURED, STRUCTURED_LENGTH};
use crate::azure::error::AzureError;
use crate::azure::exchange::{Ask, Exchange};
use crate::azure::headers;
use crate::azure::range::Wanted;
use crate::azure::read::shape::{Shape, stored_len};
use crate::body::structured::{Encoder, framed};
use crate::seal::{CHUNK_LEN, MAX_PLAIN_LEN, Mark, PlainLen, PlainRange, StoredAsk, stored_ask};

/// How often a blob is asked for that is replaced each time, before the client is told to come again.
const TRIES: u32 = 3;
/// The longest range whose checksum is computed; Azure's own bound.
const LARGEST_CHECKED: u64 = 4 << 20;

/// A blob on its way to the client.
pub struct Read {
    /// Head of the answer, complete.
    pub head: Response<()>,
    /// The plaintext to come; nothing for an answer without a body.
    pub pieces: Option<Pieces>,
}

/// Get Blob.
///
/// # Errors
/// The key's owner said no, the store did, or the blob is not what was sealed.
pub async fn get(exchange: &Exchange<'_>) -> Result<Read, AzureError> {
    let wanted = Wanted::of(exchange.client())?;
    let checked = checked_range(exchange.client(), wanted)?;
    let structured = checks::is_structured(exchange.client())?;
    let mut read = again(exchange, wanted).await?;
    let Some(mut pieces) = read.pieces.take() else {
        return Ok(read);
    };
    if checked != Checked::No {
        let (held, md5, crc) = pieces.hold().await?;
        pieces = held;
        let (name, value) = match checked {
            Checked::Crc64 => (CONTENT_CRC64, checks::crc64_text(&crc)),
            Checked::Md5 | Checked::No => (CONTENT_MD5, md5.to_base64()),
        };
        if let Ok(value) = HeaderValue::try_from(value) {
            read.head.headers_mut().insert(name, value);
        }
    }
    if structured {
        pieces = frame(&mut read.head, pieces)?;
    }
    read.pieces = Some(pieces);
    Ok(read)
}

/// The same, with a range of one's own: how the gate itself reads a source.
///
/// # Errors
/// As [`get`].
pub async fn again(exchange: &Exchange<'_>, wanted: Option<Wanted>) -> Result<Read, AzureError> {
    let conditional = headers::is_conditional(exchange.client());
    let mut begin = None;
    for _ in 0..TRIES {
        match read(exchange, wanted, &mut begin).await {
            Ok(Some(read)) => return Ok(read),
            Ok(None) => {}
            // The client asked for no such thing.
            Err(error) if !conditional && is_not_met(&error) => return Err(AzureError::StoreFailed),
            Err(error) => return Err(error),
        }
    }
    Err(AzureError::StoreFailed)
}

/// `None` where the blob was written to between two requests for one answer: it is the gate's own pin that failed, and whether the
/// client's conditions hold is asked anew.
async fn read(
    exchange: &Exchange<'_>,
    wanted: Option<Wanted>,
    begin: &mut Option<Mark>,
) -> Result<Option<Read>, AzureError> {
    if let Some(wanted) = wanted
        && let Some(read) = Box::pin(blocks::remembered(exchange, wanted)).await?
    {
        return Ok(Some(read));
    }
    let answer = match first(exchange, wanted).await {
        Ok(Some(answer)) => answer,
        Ok(None) => return past_the_end(exchange, wanted).await.map(Some),
        Err(error) => return Err(error),
    };
    if answer.status() == StatusCode::NOT_MODIFIED {
        return Ok(Some(not_modified(answer.headers())));
    }
    let stored = stored_len(answer.status(), answer.headers())?;
    let shape = Shape::of(answer.headers(), stored)?;
    match open::open(exchange, answer, stored, shape, wanted, begin).await {
        Err(error) if is_not_met(&error) => Ok(None),
        read => read.map(Some),
    }
}

fn is_not_met(error: &AzureError) -> bool {
    match error {
        AzureError::Store { status, code, .. } => {
            *status == StatusCode::PRECONDITION_FAILED && code == "ConditionNotMet"
        }
        AzureError::ConditionNotMet => true,
        _ => false,
    }
}

/// The first request: as for a whole object, which most are, or all that is stored where no range is wanted. `None` where nothing
/// is stored there.
async fn first(exchange: &Exchange<'_>, wanted: Option<Wanted>) -> Result<Option<Response<Incoming>>, AzureError> {
    let mut ask = Ask::new(Method::GET, exchange.passed_query());
    headers::copy(exchange.client(), &mut ask.headers, headers::CONDITIONS);
    if let Some(wanted) = wanted {
        let Some(range) = stored_range(wanted) else {
            return Ok(None);
        };
        let value = HeaderValue::try_from(range).map_err(|_| AzureError::StoreFailed)?;
        ask.headers.insert("x-ms-range", value);
    }
    match exchange.ask(ask).await {
        Err(AzureError::Store {
            status: StatusCode::RANGE_NOT_SATISFIABLE,
            ..
        }) => Ok(None),
        // A store may answer 206 only where a range was asked for.
        Ok(answer) if wanted.is_some() && answer.status() == StatusCode::OK => Err(AzureError::StoreFailed),
        answer => answer.map(Some),
    }
}

/// What to ask the store for if the blob is one segment. The header comes along where it costs nothing but itself.
fn stored_range(wanted: Wanted) -> Option<String> {
    let last = wanted.last.filter(|last| *last < MAX_PLAIN_LEN);
    let with_header = wanted.first < CHUNK_LEN as u64;
    let stored = stored_ask(wanted.first, last).filter(|_| wanted.first < MAX_PLAIN_LEN)?;
    Some(match stored {
        StoredAsk::From(_) if with_header => "bytes=0-".to_owned(),
        StoredAsk::From(start) => format!("bytes={start}-"),
        StoredAsk::Between(stored) if with_header => format!("bytes=0-{}", stored.last),
        StoredAsk::Between(stored) => format!("bytes={}-{}", stored.first, stored.last),
    })
}

/// A range that begins behind the blob's last byte: 416 with the length, unless a condition or the blob's absence is the better
/// answer.
async fn past_the_end(exchange: &Exchange<'_>, wanted: Option<Wanted>) -> Result<Read, AzureError> {
    let (described, _) = head::describe(exchange, &exchange.passed_query()).await?;
    let Some(described) = described else {
        return Err(AzureError::StoreFailed);
    };
    match wanted.and_then(|wanted| wanted.within(described.len)) {
        // It was there a moment ago, and is there now: the client asks again.
        Some(_) => Err(AzureError::StoreFailed),
        None => Err(AzureError::InvalidRange { size: described.len }),
    }
}

/// Which checksum of a range the client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checked {
    No,
    Md5,
    Crc64,
}

fn checked_range(client: &HeaderMap, wanted: Option<Wanted>) -> Result<Checked, AzureError> {
    let asked = |name: &str| {
        client
            .get(name)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
    };
    let checked = match (
        asked("x-ms-range-get-content-md5"),
        asked("x-ms-range-get-content-crc64"),
    ) {
        (false, false) => return Ok(Checked::No),
        (true, true) => {
            return Err(AzureError::InvalidHeader {
                name: "x-ms-range-get-content-crc64",
            });
        }
        (true, false) => Checked::Md5,
        (false, true) => Checked::Crc64,
    };
    let name = "x-ms-range-get-content-md5";
    let wanted = wanted.ok_or(AzureError::InvalidHeader { name })?;
    match wanted.last {
        Some(last) if last - wanted.first < LARGEST_CHECKED => Ok(checked),
        _ => Err(AzureError::RangeTooLong),
    }
}

/// The answer as a structured body.
fn frame(head: &mut Response<()>, pieces: Pieces) -> Result<Pieces, AzureError> {
    let headers = head.headers_mut();
    let len = headers
        .get(http::header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let len = len.ok_or(AzureError::StoreFailed)?;
    let (Some(encoder), Some(framed)) = (Encoder::new(len), framed(len)) else {
        return Err(AzureError::InvalidHeader {
            name: "x-ms-structured-body",
        });
    };
    headers.insert(STRUCTURED, HeaderValue::from_static("XSM/1.0; properties=crc64"));
    headers.insert(STRUCTURED_LENGTH, HeaderValue::from(len));
    headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(framed));
    Ok(pieces.structured(encoder))
}

fn not_modified(store: &HeaderMap) -> Read {
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::NOT_MODIFIED;
    *head.headers_mut() = headers::to_client(store);
    head.headers_mut()
        .insert("x-ms-error-code", HeaderValue::from_static("ConditionNotMet"));
    Read { head, pieces: None }
}

/// A further request about the very blob that an answer spoke of.
fn pinned(exchange: &Exchange<'_>, first: &HeaderMap, range: &str) -> Result<Ask, AzureError> {
    let mut ask = Ask::new(Method::GET, exchange.version_query());
    if let Some(etag) = first.get(ETAG) {
        ask.headers.insert(IF_MATCH, etag.clone());
    }
    let range = HeaderValue::try_from(range).map_err(|_| AzureError::StoreFailed)?;
    ask.headers.insert("x-ms-range", range);
    headers::copy(exchange.client(), &mut ask.headers, &["x-ms-lease-id"]);
    Ok(ask)
}

/// The bytes meant of a blob of this length; all where no range is wanted.
fn meant(wanted: Option<Wanted>, len: PlainLen) -> Result<Option<PlainRange>, AzureError> {
    match wanted {
        None => Ok(None),
        Some(wanted) => wanted
            .within(len)
            .map(Some)
            .ok_or(AzureError::InvalidRange { size: len }),
    }
}
