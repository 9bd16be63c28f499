//! Blobs of blocks: the footer, from the blob's end or from memory, then the blocks that it names.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ETAG, IF_MATCH};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use hyper::body::Incoming;

use crate::azure::error::AzureError;
use crate::azure::exchange::{Ask, Exchange};
use crate::azure::layouts::Known;
use crate::azure::metadata::Hidden;
use crate::azure::range::Wanted;
use crate::azure::read::head::{Described, answer_head};
use crate::azure::read::open::{header_at, lease, tampered};
use crate::azure::read::{Pieces, Read, meant, pinned};
use crate::body::{Segments, Stored};
use crate::keys::Leased;
use crate::seal::{
    Footer, HEADER_LEN, Header, Kind, MultipartRead, Opener, PlainRange, SealedLen, Tampered, footer_len,
};

/// What is known of a blob of blocks once its footer was opened.
pub struct Footing {
    pub footer: Arc<Footer>,
    pub opener: Leased<Opener>,
}

/// Reads and opens the footer of a blob of blocks.
///
/// # Errors
/// The key's owner said no, the store did, or it is no footer of this blob.
pub async fn footing(
    exchange: &Exchange<'_>,
    first: &HeaderMap,
    stored: SealedLen,
    segments: u32,
) -> Result<Footing, AzureError> {
    let etag = first.get(ETAG);
    if let Some(known) = exchange.layouts.last(exchange)
        && etag == Some(&known.etag)
        && stored == known.stored
    {
        return again(exchange, known.footer).await;
    }
    let mut segments = segments;
    // What metadata counted may be wrong; the footer's own header tells the truth.
    for _ in 0..2 {
        let len = footer_len(segments).0;
        let start = stored
            .0
            .checked_sub(len)
            .ok_or_else(|| tampered(&Tampered::Size { found: stored.0 }))?;
        let ask = pinned(exchange, first, &format!("bytes={start}-{}", stored.0 - 1))?;
        let answer = exchange.ask(ask).await?;
        let most = usize::try_from(len).map_err(|_| AzureError::Unsealed)?;
        let bytes = Stored::new(answer.into_body()).all(most).await?;
        let split = bytes.len().checked_sub(HEADER_LEN).ok_or(AzureError::Unsealed)?;
        let (sealed, header) = bytes.split_at(split);
        let header = Header::parse(header).map_err(|_| AzureError::Unsealed)?;
        if header.core().segments() != segments && header.core().kind() == Kind::Footer {
            segments = header.core().segments();
            continue;
        }
        let lease = lease(exchange, &header).await?;
        let alias = Hidden::of(first).alias();
        let (footer, opener) = lease.open_footer(&exchange.place(), alias.as_ref(), &header, sealed, stored)?;
        let footer = Arc::new(footer);
        if let Some(etag) = etag.cloned() {
            let footer = Arc::clone(&footer);
            exchange.layouts.keep(exchange, Known { etag, stored, footer });
        }
        return Ok(Footing { footer, opener });
    }
    Err(tampered(&Tampered::Table))
}

/// A footer that was opened before, under a live lease again.
async fn again(exchange: &Exchange<'_>, footer: Arc<Footer>) -> Result<Footing, AzureError> {
    let (dek, tenant) = (footer.core().dek_id(), &exchange.container.tenant);
    let lease = exchange.keys.to_open(tenant, dek, footer.envelope()).await?;
    let opener = lease.open_segment(footer.core())?;
    Ok(Footing { footer, opener })
}

/// A range of a blob whose footer is known: asked for at its own place at once, under the ETag that the footer belongs to. `None`
/// where the blob is another one by now, or where that ETag could change what the client's own conditions mean.
pub(super) async fn remembered(exchange: &Exchange<'_>, wanted: Wanted) -> Result<Option<Read>, AzureError> {
    let Some(known) = exchange.layouts.last(exchange) else {
        return Ok(None);
    };
    if !pins_alike(exchange.client(), &known.etag) {
        return Ok(None);
    }
    let Some(range) = wanted.within(known.footer.core().plain_len()) else {
        return Ok(None);
    };
    let Some(reader) = MultipartRead::new(Arc::clone(known.footer.layout()), Some(range)) else {
        return Ok(None);
    };
    let Some(stored) = reader.body() else {
        return Ok(None);
    };
    let footing = again(exchange, known.footer).await?;
    let first = HeaderMap::from_iter([(ETAG, known.etag)]);
    let mut ask = pinned(exchange, &first, &format!("bytes={}-{}", stored.first, stored.last))?;
    ask.query = exchange.passed_query();
    match both(exchange, &first, ask, &reader).await {
        Err(AzureError::Store {
            status: StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::NOT_FOUND,
            ..
        }) => {
            exchange.layouts.forget(exchange);
            Ok(None)
        }
        Err(other) => Err(other),
        Ok((answer, apart)) => {
            let (parts, body) = answer.into_parts();
            segments(exchange, footing, &parts, body, apart, reader, Some(range)).map(Some)
        }
    }
}

/// Whether a request asks for nothing but this state of a blob, or for any.
fn pins_alike(client: &HeaderMap, etag: &HeaderValue) -> bool {
    let others = [
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "x-ms-if-tags",
    ];
    let theirs = client.get(IF_MATCH);
    theirs.is_none_or(|theirs| theirs == etag) && !others.iter().any(|other| client.contains_key(*other))
}

/// The stored bytes of a range, and its first segment's header where it stands apart from them: asked for at once.
async fn both(
    exchange: &Exchange<'_>,
    first: &HeaderMap,
    ask: Ask,
    reader: &MultipartRead,
) -> Result<(Response<Incoming>, Option<Header>), AzureError> {
    let body = async {
        let answer = exchange.ask(ask).await?;
        // A store that answers 200 has ignored the range: its bytes are not the ones asked for.
        match answer.status() {
            StatusCode::PARTIAL_CONTENT => Ok(answer),
            _ => Err(AzureError::StoreFailed),
        }
    };
    let apart = async {
        match reader.apart() {
            Some(apart) => header_at(exchange, first, apart.first).await.map(Some),
            None => Ok(None),
        }
    };
    tokio::try_join!(body, apart)
}

/// Opens a blob of blocks whose footer is known.
pub(super) async fn blocks(
    exchange: &Exchange<'_>,
    answer: Response<Incoming>,
    footing: Footing,
    wanted: Option<Wanted>,
) -> Result<Read, AzureError> {
    let len = footing.footer.core().plain_len();
    let range = meant(wanted, len)?;
    let (parts, body) = answer.into_parts();
    let layout = Arc::clone(footing.footer.layout());
    if layout.segments().is_empty() {
        // An empty block list.
        let mut footing = footing;
        let md5 = Hidden::of(&parts.headers).md5(footing.opener.get()?.metadata_key());
        let head = answer_head(exchange, &parts, &Described { len, md5 }, range);
        let pieces = Some(Pieces::held(Bytes::new(), footing.opener.lease().ending()));
        return Ok(Read { head, pieces });
    }
    let reader = MultipartRead::new(layout, range).ok_or(AzureError::InvalidRange { size: len })?;
    let (body, apart) = match (wanted, reader.body()) {
        // The first answer is all of it, from its first segment on.
        (None, _) | (_, None) => (body, None),
        (Some(_), Some(stored)) => {
            drop(body);
            let range = format!("bytes={}-{}", stored.first, stored.last);
            let ask = pinned(exchange, &parts.headers, &range)?;
            let (answer, apart) = both(exchange, &parts.headers, ask, &reader).await?;
            (answer.into_body(), apart)
        }
    };
    segments(exchange, footing, &parts, body, apart, reader, range)
}

/// What `reader` makes of a body that begins where it says.
fn segments(
    exchange: &Exchange<'_>,
    mut footing: Footing,
    parts: &Parts,
    body: Incoming,
    apart: Option<Header>,
    reader: MultipartRead,
    range: Option<PlainRange>,
) -> Result<Read, AzureError> {
    let len = footing.footer.core().plain_len();
    let md5 = Hidden::of(&parts.headers).md5(footing.opener.get()?.metadata_key());
    let head = answer_head(exchange, parts, &Described { len, md5 }, range);
    let count = range.map_or(len, PlainRange::plain_len);
    let leases = exchange.keys.of(&exchange.container.tenant);
    let lease = footing.opener.lease().again();
    let segments = Segments::new(Stored::new(body), apart, reader, count.0, leases, lease);
    Ok(Read {
        head,
        pieces: Some(Pieces::sealed(segments.into())),
    })
}
