//! Reading an object: its length from the store's answer, its core from metadata or its own header, its chunks opened on the way.
//!
//! A whole read asks the store once. A range asks once too, for the chunks that hold it, when the DEK is in memory; a range that
//! begins in the first chunk takes the header along. The first piece is opened before the answer begins, so that what is wrong
//! with the object is still an error with a name.

use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;

use crate::body::{Opening, Stored};
use crate::keys::{Lease, UseError};
use crate::s3::error::S3Error;
use crate::s3::exchange::Exchange;
use crate::s3::headers;
use crate::s3::range::Wanted;
use crate::seal::{
    CHUNK_LEN, ChunkIndex, ChunkSpan, Core, HEADER_LEN, Header, Kind, MAX_PLAIN_LEN, PlainLen, PlainRange, SealedLen,
    StoredAsk, StoredRange, Tampered, stored_ask,
};
use crate::upstream::StoreBody;

/// How often an object is asked for that is replaced each time, before the client is told to come again.
const TRIES: u32 = 3;

/// An object on its way to the client.
pub struct Read {
    /// Head of the answer, complete.
    pub head: Response<()>,
    /// The plaintext to come; nothing for an empty answer.
    pub opening: Option<Opening>,
}

/// GetObject.
///
/// # Errors
/// The key's owner said no, the store did, or the object is not what was sealed.
pub async fn get(exchange: &Exchange<'_>) -> Result<Read, S3Error> {
    let theirs = &exchange.parts.headers;
    let conditional = theirs.contains_key(IF_MATCH) || theirs.contains_key(IF_UNMODIFIED_SINCE);
    for _ in 0..TRIES {
        match read(exchange).await {
            // The client asked for no such thing: it is the gate's own pin that failed, for the object was replaced between two
            // requests for one answer.
            Err(S3Error::Store {
                status: StatusCode::PRECONDITION_FAILED,
                ..
            }) if !conditional => {}
            read => return read,
        }
    }
    Err(S3Error::StoreFailed)
}

async fn read(exchange: &Exchange<'_>) -> Result<Read, S3Error> {
    let wanted = wanted(exchange);
    match wanted {
        Wanted::Whole => whole(exchange).await,
        Wanted::From { first, last } => ranged(exchange, first, last, None).await,
        Wanted::Suffix(_) => suffix(exchange, wanted).await,
    }
}

/// Where a suffix begins follows from the length, which the law can't tell beforehand: a HEAD first, and the range pinned to
/// the object that it spoke of.
async fn suffix(exchange: &Exchange<'_>, wanted: Wanted) -> Result<Read, S3Error> {
    let answer = ask(exchange, Method::HEAD).await?;
    if answer.status() == StatusCode::NOT_MODIFIED {
        return Ok(not_modified(answer.headers()));
    }
    let len = plain_len(answer.headers())?;
    let range = wanted.within(len).ok_or(S3Error::InvalidRange { size: len })?;
    let pin = answer.headers().get(ETAG).cloned();
    ranged(exchange, range.first(), Some(range.last()), pin).await
}

/// HeadObject: the same head that GetObject would give. The length follows from the stored size by the law.
///
/// # Errors
/// As [`get`], but what the body holds is not looked at.
pub async fn head(exchange: &Exchange<'_>) -> Result<Read, S3Error> {
    let answer = ask(exchange, Method::HEAD).await?;
    if answer.status() == StatusCode::NOT_MODIFIED {
        return Ok(not_modified(answer.headers()));
    }
    let len = plain_len(answer.headers())?;
    let range = match wanted(exchange) {
        Wanted::Whole => None,
        wanted => Some(wanted.within(len).ok_or(S3Error::InvalidRange { size: len })?),
    };
    Ok(Read {
        head: answer_head(exchange, answer.headers(), len, range),
        opening: None,
    })
}

async fn whole(exchange: &Exchange<'_>) -> Result<Read, S3Error> {
    let answer = ask(exchange, Method::GET).await?;
    if answer.status() == StatusCode::NOT_MODIFIED {
        return Ok(not_modified(answer.headers()));
    }
    let len = plain_len(answer.headers())?;
    let head = answer_head(exchange, answer.headers(), len, None);
    let mut stored = Stored::new(answer.into_body());
    let header = stored.header().await?;
    let lease = lease(exchange, &header).await?;
    let span = match PlainRange::all(len) {
        Some(all) => len.span(all).ok_or(S3Error::Unsealed)?,
        None => EMPTY,
    };
    let opening = open(exchange, stored, lease, header.core(), len, span, true)?;
    Ok(Read {
        head,
        opening: Some(opening),
    })
}

/// The one chunk of an empty object, which holds nothing but its tag.
const EMPTY: ChunkSpan = ChunkSpan {
    first: ChunkIndex(0),
    last: ChunkIndex(0),
    stored: StoredRange {
        first: HEADER_LEN as u64,
        last: (HEADER_LEN + 15) as u64,
    },
    skip: 0,
    keep: 0,
};

async fn ranged(
    exchange: &Exchange<'_>,
    first: u64,
    last: Option<u64>,
    pin: Option<HeaderValue>,
) -> Result<Read, S3Error> {
    // The header comes along where it costs nothing but itself.
    let with_header = first < CHUNK_LEN as u64;
    // No object reaches so far: clients ask for 2^63 and the like to say "to the end".
    let last = last.filter(|last| *last < MAX_PLAIN_LEN);
    let Some(stored) = stored_ask(first, last).filter(|_| first < MAX_PLAIN_LEN) else {
        return past_the_end(exchange).await;
    };
    let asked = match stored {
        StoredAsk::From(_) if with_header => "bytes=0-".to_owned(),
        StoredAsk::From(start) => format!("bytes={start}-"),
        StoredAsk::Between(stored) if with_header => format!("bytes=0-{}", stored.last),
        StoredAsk::Between(stored) => format!("bytes={}-{}", stored.first, stored.last),
    };
    let mut asking = HeaderMap::new();
    headers::conditions(&exchange.parts.headers, &mut asking);
    if let Some(etag) = pin {
        asking.insert(IF_MATCH, etag);
    }
    if let Ok(asked) = HeaderValue::try_from(asked) {
        asking.insert(RANGE, asked);
    }
    let answer = match exchange
        .ask(
            Method::GET,
            &exchange.address.passed_query(),
            asking,
            StoreBody::empty(),
        )
        .await
    {
        Err(S3Error::Store {
            status: StatusCode::RANGE_NOT_SATISFIABLE,
            ..
        }) => {
            return past_the_end(exchange).await;
        }
        answer => answer?,
    };
    if answer.status() == StatusCode::NOT_MODIFIED {
        return Ok(not_modified(answer.headers()));
    }
    let len = ranged_plain_len(answer.status(), answer.headers())?;
    let range = Wanted::From { first, last }
        .within(len)
        .ok_or(S3Error::InvalidRange { size: len })?;
    let span = len.span(range).ok_or(S3Error::InvalidRange { size: len })?;
    let head = answer_head(exchange, answer.headers(), len, Some(range));
    let etag = answer.headers().get(ETAG).cloned();
    let warm = headers::core(answer.headers()).filter(|_| !with_header);
    let mut stored = Stored::new(answer.into_body());
    let (core, lease) = if with_header {
        let header = stored.header().await?;
        (*header.core(), lease(exchange, &header).await?)
    } else {
        core_and_lease(exchange, warm, etag).await?
    };
    // The stored end was asked for only if the last chunk was: padding behind it stays unread.
    let opening = open(exchange, stored, lease, &core, len, span, false)?;
    Ok(Read {
        head,
        opening: Some(opening),
    })
}

/// The core from metadata if its DEK is in memory; else the object's own header, by a request pinned to the same object.
async fn core_and_lease(
    exchange: &Exchange<'_>,
    core: Option<Core>,
    etag: Option<HeaderValue>,
) -> Result<(Core, Lease), S3Error> {
    if let Some(core) = core
        && let Some(lease) = exchange.object.keys.warm(&exchange.container().tenant, core.dek_id())
    {
        return Ok((core, lease));
    }
    let mut asking = HeaderMap::new();
    asking.insert(RANGE, HeaderValue::from_static("bytes=0-703"));
    if let Some(etag) = etag {
        asking.insert(IF_MATCH, etag);
    }
    let answer = exchange.ask(Method::GET, "", asking, StoreBody::empty()).await?;
    let header = Stored::new(answer.into_body()).header().await?;
    let lease = lease(exchange, &header).await?;
    Ok((*header.core(), lease))
}

async fn lease(exchange: &Exchange<'_>, header: &Header) -> Result<Lease, S3Error> {
    let dek = header.core().dek_id();
    Ok(exchange
        .object
        .keys
        .to_open(&exchange.container().tenant, dek, header.envelope())
        .await?)
}

/// Checks all that can be checked before a chunk: kind, length, commitment, and that the object lies where it was sealed.
fn open(
    exchange: &Exchange<'_>,
    stored: Stored,
    lease: Lease,
    core: &Core,
    len: PlainLen,
    span: ChunkSpan,
    to_the_end: bool,
) -> Result<Opening, S3Error> {
    if core.kind() != Kind::Whole {
        let what = Tampered::Kind {
            expected: Kind::Whole,
            found: core.kind(),
        };
        return Err(S3Error::Tampered { what: what.to_string() });
    }
    if core.plain_len() != len {
        let what = Tampered::Size {
            found: len.sealed().map_or(0, |stored| stored.0),
        };
        return Err(S3Error::Tampered { what: what.to_string() });
    }
    let mut opener = lease.open_segment(core).map_err(|error| match error {
        UseError::Ended(refusal) => S3Error::Refused(refusal),
        UseError::Tampered(what) => S3Error::Tampered { what: what.to_string() },
        UseError::Seal(_) => S3Error::Unsealed,
    })?;
    let bound = opener.get()?.at(&exchange.place(), None);
    bound.map_err(|what| S3Error::Tampered { what: what.to_string() })?;
    let padding = if to_the_end { len.whole_padding() } else { None };
    Ok(Opening::new(stored, opener, span, padding))
}

/// Asks the store about the whole object, under the client's conditions.
async fn ask(exchange: &Exchange<'_>, method: Method) -> Result<Response<Incoming>, S3Error> {
    let mut asking = HeaderMap::new();
    headers::conditions(&exchange.parts.headers, &mut asking);
    exchange
        .ask(method, &exchange.address.passed_query(), asking, StoreBody::empty())
        .await
}

/// A range that begins behind the object's last byte: 416 with the length, unless a condition or the object's absence is the
/// better answer.
async fn past_the_end(exchange: &Exchange<'_>) -> Result<Read, S3Error> {
    let answer = ask(exchange, Method::HEAD).await?;
    if answer.status() == StatusCode::NOT_MODIFIED {
        return Ok(not_modified(answer.headers()));
    }
    let size = plain_len(answer.headers())?;
    Err(S3Error::InvalidRange { size })
}

/// The plaintext's length from the stored one. What has no sealed object's size bears no seal.
fn plain_len(store: &HeaderMap) -> Result<PlainLen, S3Error> {
    let stored = number(store.get(CONTENT_LENGTH)).ok_or(S3Error::StoreFailed)?;
    SealedLen(stored).plain().ok_or(S3Error::Unsealed)
}

fn ranged_plain_len(status: StatusCode, store: &HeaderMap) -> Result<PlainLen, S3Error> {
    // A store that answers 200 has ignored the range: its bytes are not the ones asked for.
    if status != StatusCode::PARTIAL_CONTENT {
        return Err(S3Error::StoreFailed);
    }
    let total = store
        .get(CONTENT_RANGE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.rsplit('/').next());
    let total: u64 = total.and_then(|text| text.parse().ok()).ok_or(S3Error::StoreFailed)?;
    SealedLen(total).plain().ok_or(S3Error::Unsealed)
}

fn number(value: Option<&HeaderValue>) -> Option<u64> {
    value?.to_str().ok()?.parse().ok()
}

fn answer_head(exchange: &Exchange<'_>, store: &HeaderMap, len: PlainLen, range: Option<PlainRange>) -> Response<()> {
    let mut head = Response::new(());
    let mut headers = headers::to_client(store);
    headers::sealed_under(&exchange.container().key_url, &mut headers);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let count = range.map_or(len, PlainRange::plain_len);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(count.0));
    if let Some(range) = range {
        *head.status_mut() = StatusCode::PARTIAL_CONTENT;
        let text = format!("bytes {}-{}/{}", range.first(), range.last(), len.0);
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(CONTENT_RANGE, value);
        }
    }
    *head.headers_mut() = headers;
    head
}

fn not_modified(store: &HeaderMap) -> Read {
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::NOT_MODIFIED;
    *head.headers_mut() = headers::to_client(store);
    Read { head, opening: None }
}

fn wanted(exchange: &Exchange<'_>) -> Wanted {
    // Whether If-Range holds only the store knows, and it is asked for other bytes than the client's. The whole object is a
    // right answer either way (RFC 9110 section 14.2); a range of another object than the client's would not be.
    if exchange.parts.headers.contains_key(IF_RANGE) {
        return Wanted::Whole;
    }
    Wanted::parse(exchange.parts.headers.get(RANGE).and_then(|value| value.to_str().ok()))
}
