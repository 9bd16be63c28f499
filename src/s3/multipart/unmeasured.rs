//! An upload of the gate's own, for a file whose length nobody knows before its end: what a browser's form sends, if it is large.
//! One piece of it is in memory at a time.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue, Response};

use crate::body::{Held, Plaintext};
use crate::keys::Lease;
use crate::s3::error::S3Error;
use crate::s3::exchange::Exchange;
use crate::s3::headers;
use crate::s3::multipart::claims::Claims;
use crate::s3::multipart::complete::{Completing, Listed};
use crate::s3::multipart::create::{MARK, begin};
use crate::s3::multipart::part::{NewPart, store};
use crate::s3::multipart::xml::Flat;
use crate::s3::multipart::{Upload, abort};
use crate::seal::PlainLen;

/// Pieces of this many bytes of plaintext, the last one excepted: the least that a store takes, which every store takes. 10,000 of them
/// are ten times what S3 takes in a form.
pub const PIECE: usize = 5 << 20;

/// Stores `first` and what `file` goes on with as the exchange's object. Gives the headers that a PutObject is answered with.
///
/// # Errors
/// Those of Create, UploadPart and Complete, and what is wrong with the file: then nothing is stored.
pub async fn unmeasured(
    exchange: &Exchange<'_>,
    lease: Lease,
    first: Bytes,
    mut file: Box<dyn Plaintext>,
) -> Result<HeaderMap, S3Error> {
    let mut asking = headers::described(&exchange.parts.headers)?;
    asking.insert(MARK, HeaderValue::from_static("1"));
    exchange.container().store.multipart_headers(&mut asking);
    lease.check()?;
    let (_, id) = begin(exchange, asking).await?;
    let upload = Upload::named(exchange, id);
    let stored = parts(&upload, exchange, &lease, first, &mut file).await;
    let believed = match stored {
        Ok(listed) => file.finish().map(|_| listed).map_err(S3Error::from),
        Err(error) => Err(error),
    };
    match believed {
        Ok(listed) => {
            let completing = Completing {
                upload,
                lease,
                listed,
                claims: Claims::read(&HeaderMap::new())?,
                conditions: HeaderMap::new(),
                location: String::new(),
                bucket: exchange.container().name.clone(),
            };
            told(completing.complete().await?)
        }
        Err(error) => {
            // What can't be cleared away now is swept later.
            let _ = abort::clear(&upload).await;
            Err(error)
        }
    }
}

/// What a PutObject would be answered with: the ETag stands in the document.
fn told(done: Response<Bytes>) -> Result<HeaderMap, S3Error> {
    let (head, document) = done.into_parts();
    let mut headers = head.headers;
    headers.remove(CONTENT_TYPE);
    let etag = Flat::read(&document, "").and_then(|answer| answer.get("ETag").map(str::to_owned));
    let etag = etag.and_then(|etag| HeaderValue::try_from(etag).ok());
    headers.insert(ETAG, etag.ok_or(S3Error::StoreFailed)?);
    Ok(headers)
}

async fn parts(
    upload: &Upload,
    exchange: &Exchange<'_>,
    lease: &Lease,
    first: Bytes,
    file: &mut Box<dyn Plaintext>,
) -> Result<Vec<Listed>, S3Error> {
    let mut listed = Vec::new();
    let mut piece = first;
    let over = lease.over();
    loop {
        let number = u32::try_from(listed.len() + 1).unwrap_or(u32::MAX);
        let part = NewPart::new(
            number,
            PlainLen(piece.len() as u64),
            exchange.container().store.dialect(),
        )?;
        let last = piece.len() < PIECE;
        let put = store(upload, part, lease.again(), Box::new(Held::of(piece))).await?;
        listed.push(Listed::stored(number, &put.etag));
        if last {
            return Ok(listed);
        }
        piece = tokio::select! {
            gathered = gather(file, Bytes::new()) => gathered?,
            () = over.cancelled() => {
                lease.check()?;
                return Err(S3Error::StoreFailed);
            }
        };
        if piece.is_empty() {
            return Ok(listed);
        }
    }
}

/// The next [`PIECE`], or all that is left if that is less; `first` is the beginning of it.
///
/// # Errors
/// The file stopped, or is not what it should be.
pub async fn gather(file: &mut Box<dyn Plaintext>, first: Bytes) -> Result<Bytes, S3Error> {
    let mut piece = bytes::BytesMut::from(first);
    while piece.len() < PIECE {
        let Some(bytes) = file.next().await? else { break };
        piece.extend_from_slice(&bytes);
    }
    Ok(piece.freeze())
}
