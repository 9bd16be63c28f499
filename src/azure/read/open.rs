//! From a store's answer to plaintext: the keys derived, all checked that can be before the first chunk.

use http::{HeaderMap, Method, Response, StatusCode};
use hyper::body::Incoming;

use crate::azure::error::AzureError;
use crate::azure::exchange::{Ask, Exchange};
use crate::azure::metadata::Hidden;
use crate::azure::range::Wanted;
use crate::azure::read::append::append;
use crate::azure::read::blocks::{blocks, footing};
use crate::azure::read::head::{Described, answer_head};
use crate::azure::read::shape::Shape;
use crate::azure::read::{Pieces, Read, meant, pinned};
use crate::body::{Opening, Stored};
use crate::keys::{Lease, Leased};
use crate::seal::{
    CHUNK_LEN, ChunkIndex, ChunkSpan, Core, HEADER_LEN, Header, Kind, Mark, Opener, PlainLen, PlainRange, SealedLen,
    StoredRange, Tampered,
};

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

pub(super) fn tampered(what: &Tampered) -> AzureError {
    AzureError::Tampered {
        what: what.to_string(),
        version: None,
    }
}

/// Opens what the first answer brings, with further requests where it is not what was asked for.
pub(super) async fn open(
    exchange: &Exchange<'_>,
    answer: Response<Incoming>,
    stored: SealedLen,
    shape: Shape,
    wanted: Option<Wanted>,
    begin: &mut Option<Mark>,
) -> Result<Read, AzureError> {
    match shape {
        Shape::Whole(len) => whole(exchange, answer, len, wanted).await,
        Shape::Blocks(_, core) => {
            let footing = footing(exchange, answer.headers(), stored, core.segments()).await?;
            blocks(exchange, answer, footing, wanted).await
        }
        Shape::Append(len, count) => append(exchange, answer, (stored, len, count), wanted, begin).await,
        Shape::Unknown => {
            let header = header_at(exchange, answer.headers(), 0).await?;
            match header.core().kind() {
                Kind::Whole => {
                    let Shape::Whole(len) = Shape::of_core(header.core(), stored)? else {
                        return Err(AzureError::Unsealed);
                    };
                    whole(exchange, answer, len, wanted).await
                }
                Kind::Block | Kind::Footer => {
                    let segments = last_header(exchange, answer.headers(), stored).await?.core().segments();
                    let footing = footing(exchange, answer.headers(), stored, segments).await?;
                    blocks(exchange, answer, footing, wanted).await
                }
                Kind::Part | Kind::Append => Err(AzureError::Unsealed),
            }
        }
    }
}

async fn whole(
    exchange: &Exchange<'_>,
    answer: Response<Incoming>,
    len: PlainLen,
    wanted: Option<Wanted>,
) -> Result<Read, AzureError> {
    let range = meant(wanted, len)?;
    let (parts, body) = answer.into_parts();
    let hidden = Hidden::of(&parts.headers);
    let mut stored = Stored::new(body);
    let with_header = wanted.is_none_or(|wanted| wanted.first < CHUNK_LEN as u64);
    let (core, lease) = if with_header {
        let header = stored.header().await?;
        (*header.core(), lease(exchange, &header).await?)
    } else {
        match hidden.core.and_then(|core| Some((core, warm(exchange, &core)?))) {
            Some(found) => found,
            None => {
                let header = header_at(exchange, &parts.headers, 0).await?;
                (*header.core(), lease(exchange, &header).await?)
            }
        }
    };
    let mut opener = checked(exchange, lease, &core, len, &hidden)?;
    let md5 = hidden.md5(opener.get()?.metadata_key());
    let span = match range.or_else(|| PlainRange::all(len)) {
        Some(range) => len.span(range).ok_or(AzureError::Unsealed)?,
        None => EMPTY,
    };
    let described = Described { len, md5 };
    let head = answer_head(exchange, &parts, &described, range);
    let padding = if wanted.is_none() { len.whole_padding() } else { None };
    let opening = Opening::new(stored, opener, span, padding);
    Ok(Read {
        head,
        pieces: Some(Pieces::sealed(opening)),
    })
}

/// Checks all that can be checked before a chunk: kind, length, commitment, and that the blob lies where it was sealed.
fn checked(
    exchange: &Exchange<'_>,
    lease: Lease,
    core: &Core,
    len: PlainLen,
    hidden: &Hidden,
) -> Result<Leased<Opener>, AzureError> {
    if core.kind() != Kind::Whole || core.plain_len() != len {
        let found = core.kind();
        return Err(tampered(&Tampered::Kind {
            expected: Kind::Whole,
            found,
        })
        .under(lease.version()));
    }
    let mut opener = lease.open_segment(core)?;
    let bound = opener.get()?.at(&exchange.place(), hidden.alias().as_ref());
    bound.map_err(|what| tampered(&what).under(opener.lease().version()))?;
    Ok(opener)
}

/// What opens a blob's metadata: the keys of its whole segment or footer, from its core if the DEK is in memory, else by its own
/// header. `None` for a blob that has none.
///
/// # Errors
/// The key's owner said no, the store did, or the blob is not what was sealed.
pub async fn key_of(
    exchange: &Exchange<'_>,
    store: &HeaderMap,
    stored: SealedLen,
) -> Result<Option<(Core, Leased<Opener>)>, AzureError> {
    let hidden = Hidden::of(store);
    let shape = Shape::of(store, stored)?;
    if let Some(core) = hidden.core
        && let Some(lease) = warm(exchange, &core)
    {
        return located(exchange, lease, &core, &hidden).map(Some);
    }
    let header = match shape {
        Shape::Append(..) => return Ok(None),
        Shape::Whole(_) => header_at(exchange, store, 0).await?,
        Shape::Blocks(..) => last_header(exchange, store, stored).await?,
        Shape::Unknown => {
            let first = header_at(exchange, store, 0).await?;
            match first.core().kind() {
                Kind::Block => last_header(exchange, store, stored).await?,
                _ => first,
            }
        }
    };
    let lease = lease(exchange, &header).await?;
    located(exchange, lease, header.core(), &hidden).map(Some)
}

fn located(
    exchange: &Exchange<'_>,
    lease: Lease,
    core: &Core,
    hidden: &Hidden,
) -> Result<(Core, Leased<Opener>), AzureError> {
    let mut opener = lease.open_segment(core)?;
    let bound = opener.get()?.at(&exchange.place(), hidden.alias().as_ref());
    bound.map_err(|what| tampered(&what).under(opener.lease().version()))?;
    Ok((*core, opener))
}

/// A lease on a core's DEK, if it is in memory.
fn warm(exchange: &Exchange<'_>, core: &Core) -> Option<Lease> {
    exchange.keys.warm(&exchange.container.tenant, core.dek_id())
}

pub(super) async fn lease(exchange: &Exchange<'_>, header: &Header) -> Result<Lease, AzureError> {
    let dek = header.core().dek_id();
    Ok(exchange
        .keys
        .to_open(&exchange.container.tenant, dek, header.envelope())
        .await?)
}

/// The header that begins at a stored byte.
pub(super) async fn header_at(exchange: &Exchange<'_>, first: &HeaderMap, at: u64) -> Result<Header, AzureError> {
    let last = at.saturating_add(HEADER_LEN as u64 - 1);
    let ask = pinned(exchange, first, &format!("bytes={at}-{last}"))?;
    let answer = match exchange.ask(ask).await {
        // Shorter than any header.
        Err(AzureError::Store {
            status: StatusCode::RANGE_NOT_SATISFIABLE,
            ..
        }) => return Err(AzureError::Unsealed),
        answer => answer?,
    };
    let bytes = Stored::new(answer.into_body()).all(HEADER_LEN).await?;
    Header::parse(&bytes).map_err(|_| AzureError::Unsealed)
}

/// The header that ends a blob of blocks.
async fn last_header(exchange: &Exchange<'_>, first: &HeaderMap, stored: SealedLen) -> Result<Header, AzureError> {
    let at = stored.0.checked_sub(HEADER_LEN as u64).ok_or(AzureError::Unsealed)?;
    header_at(exchange, first, at).await
}

/// A HEAD of the blob, for those who have no answer yet.
pub(super) fn head_ask(exchange: &Exchange<'_>, query: &[(String, String)]) -> Ask {
    let mut ask = Ask::new(Method::HEAD, query.to_vec());
    crate::azure::headers::copy(exchange.client(), &mut ask.headers, crate::azure::headers::CONDITIONS);
    ask
}
