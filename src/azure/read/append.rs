//! Append blobs: read forward, block by block. There is no table, so where a byte lies follows from the blocks before it; a range
//! far from the start is looked for ([`AppendSearch`]), which costs some short reads instead of all that lies before it.
//!
//! Logs are read while they are written. So a look is not held to the ETag of the first answer: nothing that it meets is believed, and
//! what it finds is kept where the last read comes too late, so that the next try needs no looks.

use http::response::Parts;
use http::{HeaderMap, Response, StatusCode};
use hyper::body::Incoming;

use crate::azure::error::AzureError;
use crate::azure::exchange::Exchange;
use crate::azure::range::Wanted;
use crate::azure::read::head::{Described, answer_head};
use crate::azure::read::open::tampered;
use crate::azure::read::{Pieces, Read, meant, pinned};
use crate::body::{Appended, Stored};
use crate::seal::{AppendRead, AppendSearch, CORE_LEN, Mark, PlainLen, PlainRange, SealedLen};

/// Opens an append blob of so many stored bytes and bytes of plaintext in so many blocks, or a range of it. `begin` is where an
/// earlier try found that reading begins, and where this one did.
pub(super) async fn append(
    exchange: &Exchange<'_>,
    answer: Response<Incoming>,
    (stored, len, count): (SealedLen, PlainLen, u64),
    wanted: Option<Wanted>,
    begin: &mut Option<Mark>,
) -> Result<Read, AzureError> {
    let range = meant(wanted, len)?;
    let (parts, body) = answer.into_parts();
    let head = answer_head(exchange, &parts, &Described { len, md5: None }, range);
    let place = &exchange.container.sealed_as;
    let reader = AppendRead::new(place, &exchange.address.blob, stored, count, range);
    let mut reader = reader.map_err(|what| tampered(&what))?;
    let body = match range {
        None => Stored::new(body),
        Some(range) => {
            drop(body);
            let (begin, body) = ranged(exchange, &parts, count, len, range, begin).await?;
            reader = reader.begun(begin).map_err(|what| tampered(&what))?;
            body
        }
    };
    let lease = exchange.keys.to_operate(&exchange.container.tenant).await?;
    let leases = exchange.keys.of(&exchange.container.tenant);
    let appended = Appended::new(body, reader, leases, lease);
    Ok(Read {
        head,
        pieces: Some(Pieces::appended(appended)),
    })
}

/// Where reading begins for a range, and the stored bytes from there on.
async fn ranged(
    exchange: &Exchange<'_>,
    parts: &Parts,
    count: u64,
    len: PlainLen,
    range: PlainRange,
    kept: &mut Option<Mark>,
) -> Result<(Mark, Stored), AzureError> {
    let (place, name) = (&exchange.container.sealed_as, &exchange.address.blob);
    let mut search = AppendSearch::new(place, name, count, len, range.first());
    let known = kept.take().filter(|mark| search.known(*mark));
    while let Some(look) = search.look() {
        let text = format!("bytes={}-{}", look.first, look.last);
        let ask = pinned(exchange, &HeaderMap::new(), &text)?;
        let answer = match exchange.ask(ask).await {
            // So much is not there any more.
            Err(AzureError::Store {
                status: StatusCode::RANGE_NOT_SATISFIABLE,
                ..
            }) => return Err(AzureError::ConditionNotMet),
            answer => answer?,
        };
        let mut body = Stored::new(partial(answer)?);
        // A store may send on and on.
        let mut left = usize::try_from((look.last - look.first).saturating_add(1)).unwrap_or(usize::MAX);
        loop {
            let read = if left > 0 { body.some().await? } else { None };
            let Some(mut read) = read else {
                search.missed();
                break;
            };
            read.truncate(left);
            left -= read.len();
            if search.push(&read) {
                break;
            }
        }
    }
    let begin = search.begin();
    *kept = Some(begin);
    let end = search.end(range.last());
    let text = format!("bytes={}-{}", begin.stored(), end.saturating_sub(1));
    let answer = exchange.ask(pinned(exchange, &parts.headers, &text)?).await?;
    let mut body = Stored::new(partial(answer)?);
    // Found in what was there before: not in this blob, if another took its place since.
    if known.is_some() && !begin.is_before(place, name, &body.front(CORE_LEN).await?) {
        *kept = None;
        return Err(AzureError::ConditionNotMet);
    }
    Ok((begin, body))
}

/// The bytes that were asked for. A store that answers 200 has ignored the range.
fn partial(answer: Response<Incoming>) -> Result<Incoming, AzureError> {
    match answer.status() {
        StatusCode::PARTIAL_CONTENT => Ok(answer.into_body()),
        _ => Err(AzureError::StoreFailed),
    }
}
