//! Append blobs: read forward, block by block. There is no table, so where a byte lies follows from the blocks before it; a range
//! far from the start is looked for ([`AppendSearch`]), which costs some short reads instead of all that lies before it.

use http::response::Parts;
use http::{Response, StatusCode};
use hyper::body::Incoming;

use crate::azure::error::AzureError;
use crate::azure::exchange::Exchange;
use crate::azure::range::Wanted;
use crate::azure::read::head::{Described, answer_head};
use crate::azure::read::open::tampered;
use crate::azure::read::{Pieces, Read, meant, pinned};
use crate::body::{Appended, Stored};
use crate::seal::{AppendRead, AppendSearch, Mark, PlainLen, PlainRange, SealedLen};

/// Opens an append blob of `stored` bytes in `count` blocks, or a range of it.
pub(super) async fn append(
    exchange: &Exchange<'_>,
    answer: Response<Incoming>,
    stored: SealedLen,
    len: PlainLen,
    count: u64,
    wanted: Option<Wanted>,
) -> Result<Read, AzureError> {
    let range = meant(wanted, len)?;
    let (parts, body) = answer.into_parts();
    let head = answer_head(exchange, &parts, &Described { len, md5: None }, range);
    let place = &exchange.container.sealed_as;
    let reader = AppendRead::new(place, &exchange.address.blob, stored, count, range);
    let mut reader = reader.map_err(|what| tampered(&what))?;
    let body = match range {
        None => body,
        Some(range) => {
            drop(body);
            let (begin, body) = ranged(exchange, &parts, count, len, range).await?;
            reader = reader.begun(begin).map_err(|what| tampered(&what))?;
            body
        }
    };
    let lease = exchange.keys.to_operate(&exchange.container.tenant).await?;
    let leases = exchange.keys.of(&exchange.container.tenant);
    let appended = Appended::new(Stored::new(body), reader, leases, lease);
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
) -> Result<(Mark, Incoming), AzureError> {
    let (place, name) = (&exchange.container.sealed_as, &exchange.address.blob);
    let mut search = AppendSearch::new(place, name, count, len, range.first());
    while let Some(look) = search.look() {
        let ask = pinned(exchange, &parts.headers, &format!("bytes={}-{}", look.first, look.last))?;
        let mut look = Stored::new(partial(exchange.ask(ask).await?)?);
        loop {
            let Some(read) = look.some().await? else {
                search.missed();
                break;
            };
            if search.push(&read) {
                break;
            }
        }
    }
    let begin = search.begin();
    let end = search.end(range.last());
    let text = format!("bytes={}-{}", begin.stored(), end.saturating_sub(1));
    let answer = exchange.ask(pinned(exchange, &parts.headers, &text)?).await?;
    Ok((begin, partial(answer)?))
}

/// The bytes that were asked for. A store that answers 200 has ignored the range.
fn partial(answer: Response<Incoming>) -> Result<Incoming, AzureError> {
    match answer.status() {
        StatusCode::PARTIAL_CONTENT => Ok(answer.into_body()),
        _ => Err(AzureError::StoreFailed),
    }
}
