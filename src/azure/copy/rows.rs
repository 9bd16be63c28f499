//! Copies of append blobs: opened, and appended anew under the new name, in blocks as long as they may be. Until the last of them the
//! copy bears a mark, and is neither read nor appended to: a row of blocks that stopped in the middle looks like a whole one. What
//! was there before is gone from the first, as a store has no way to put an append blob in another's place at once. Each step is held
//! to the state that the one before left: an append position alone does not tell the copy from what another client, or another copy,
//! has put there meanwhile.

use bytes::{Bytes, BytesMut};
use http::header::{ETAG, IF_MATCH};
use http::{HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;

use crate::azure::append;
use crate::azure::copy::from_url::{self, like, with};
use crate::azure::error::AzureError;
use crate::azure::exchange::{Ask, Exchange, query};
use crate::azure::headers;
use crate::azure::metadata::{self, Hidden};
use crate::azure::put::Source;
use crate::seal::{MAX_APPEND_LEN, Mark};

/// What goes along with every further request about the copy. Its conditions held when it was begun, over what was there.
const HELD: &[&str] = &["x-ms-lease-id"];
/// What would keep the gate itself from completing a copy that it began with them.
const HOLDS: &[&str] = &[
    "x-ms-immutability-policy-until-date",
    "x-ms-immutability-policy-mode",
    "x-ms-legal-hold",
];

/// Copies what `source` brings, of a blob of which the store said `head`.
///
/// # Errors
/// Either blob's key's owner said no, the source is not what was sealed, or the store said no. Once it is begun the copy stays, and
/// can't be read.
pub(super) async fn copy(
    exchange: &Exchange<'_>,
    head: &Response<()>,
    source: Source,
) -> Result<Response<()>, AzureError> {
    if let Some(hold) = HOLDS.iter().find(|name| exchange.client().contains_key(**name)) {
        return Err(AzureError::UnsupportedHeader {
            what: format!("{hold} of a copy of an append blob"),
        });
    }
    let parts = like(exchange.parts, head, true, !metadata::given(exchange.client()));
    let exchange = &with(exchange, &parts);
    let pending = Hidden {
        pending: true,
        ..Hidden::default()
    };
    let begun = append::begin(exchange, &pending).await?;
    let mut etag = named(&begun)?;
    let mut mark = Mark { index: 0, offset: 0 };
    let mut plaintext = source.into_plaintext();
    let most = usize::try_from(MAX_APPEND_LEN.0).map_err(|_| AzureError::StoreFailed)?;
    let mut block = BytesMut::new();
    while let Some(piece) = plaintext.next().await? {
        block.extend_from_slice(&piece);
        while block.len() >= most {
            let full = block.split_to(most).freeze();
            etag = extend(exchange, full, &mut mark, &etag).await?;
        }
    }
    plaintext.finish()?;
    if !block.is_empty() {
        etag = extend(exchange, block.freeze(), &mut mark, &etag).await?;
    }
    let done = whole(exchange, &etag).await.map_err(overtaken)?;
    let mut answer = Response::new(());
    *answer.status_mut() = StatusCode::ACCEPTED;
    *answer.headers_mut() = headers::written(done.headers());
    from_url::done(answer.headers_mut())?;
    Ok(answer)
}

/// What the store calls the blob after a step: what the next one is held to. A copy whose steps can't be held to one another could
/// be of two blobs.
fn named(answer: &Response<Incoming>) -> Result<HeaderValue, AzureError> {
    answer.headers().get(ETAG).cloned().ok_or(AzureError::StoreFailed)
}

/// One block more, if it is still the very blob that was written, and what the store calls the blob with it.
async fn extend(
    exchange: &Exchange<'_>,
    plain: Bytes,
    mark: &mut Mark,
    etag: &HeaderValue,
) -> Result<HeaderValue, AzureError> {
    let len = plain.len() as u64;
    let answer = append::extend(exchange, plain, *mark, HELD, Some(etag)).await;
    (mark.index, mark.offset) = (mark.index + 1, mark.offset + len);
    named(&answer.map_err(overtaken)?)
}

/// Takes the mark from a copy that is whole, if it is still the very blob that was written; and seals it, if that is asked for.
async fn whole(exchange: &Exchange<'_>, etag: &HeaderValue) -> Result<Response<Incoming>, AzureError> {
    let held = |ask: &mut Ask, etag: &HeaderValue| {
        headers::copy(exchange.client(), &mut ask.headers, HELD);
        ask.headers.insert(IF_MATCH, etag.clone());
    };
    let mut ask = Ask::new(Method::PUT, query(&[("comp", "metadata")]));
    metadata::from_client(exchange.client(), &mut ask.headers)?;
    headers::copy(exchange.client(), &mut ask.headers, &["x-ms-encryption-scope"]);
    ask.spelling = exchange.parts.extensions.clone();
    held(&mut ask, etag);
    let done = exchange.ask(ask).await?;
    let seals = exchange.client().get("x-ms-seal-blob");
    if seals.is_none_or(|seals| seals != "true") {
        return Ok(done);
    }
    let mut ask = Ask::new(Method::PUT, query(&[("comp", "seal")]));
    held(&mut ask, &named(&done)?);
    exchange.ask(ask).await
}

/// What the store says where the blob is another one than the step before left: it is somebody else's by now, or gone.
fn overtaken(error: AzureError) -> AzureError {
    const ANOTHER: [&str; 4] = [
        "ConditionNotMet",
        "AppendPositionConditionNotMet",
        "BlobNotFound",
        "InvalidBlobType",
    ];
    match error {
        AzureError::Store { code, .. } if ANOTHER.contains(&code.as_str()) => AzureError::Store {
            status: StatusCode::PRECONDITION_FAILED,
            code: "TargetConditionNotMet".into(),
            message: "The target condition specified using HTTP conditional header(s) is not met.".into(),
        },
        other => other,
    }
}
