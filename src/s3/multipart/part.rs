//! UploadPart. A part is sealed alone, by whichever replica it reaches. One that can only be the last waits in the system
//! container; the client sees no difference.

use http::header::{CONTENT_LENGTH, ETAG, EXPECT};
use http::{HeaderMap, HeaderValue, Method, Response};
use hyper::body::Incoming;

use crate::body::checksum::{Checksum, Expectations};
use crate::body::{Plaintext, SealedBody, Upload as Sent};
use crate::keys::{Lease, UseError};
use crate::s3::auth::Payload;
use crate::s3::error::{S3Error, UploadError};
use crate::s3::etag;
use crate::s3::exchange::Exchange;
use crate::s3::headers;
use crate::s3::multipart::{Upload, is_gone};
use crate::seal::{MAX_PART_NUMBER, PartHome, PlainLen, SealedLen, part_home};
use crate::upstream::{Dialect, StoreBody};

/// The most that padding and footer can have: what the size law keeps for 10,000 parts, and one more (`docs/FORMAT.md`).
const TAIL: u64 = 896 * (MAX_PART_NUMBER as u64 + 1);

/// A part that is to be stored: its place in the upload, and its plaintext's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewPart {
    number: u32,
    len: PlainLen,
    sealed: SealedLen,
    /// Its client holds the body back until it is asked for it: the store is asked first.
    expected: bool,
}

/// A part that is stored.
pub struct Put {
    /// As the client knows it, quoted.
    pub etag: String,
    /// The plaintext's checksum that came with it, verified.
    pub checksum: Option<Checksum>,
    /// What the store said.
    pub headers: HeaderMap,
}

impl NewPart {
    /// The part of a request's number, with so much plaintext.
    ///
    /// # Errors
    /// No such number; or longer, sealed, than the store takes in one request.
    pub fn of(exchange: &Exchange<'_>, len: PlainLen) -> Result<Self, S3Error> {
        let mut parameters = exchange.address.parameters();
        let number = parameters.find(|(name, _)| *name == "partNumber");
        let number = number.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
        Self::new(number, len, exchange.container().store.dialect())
    }

    pub(super) fn new(number: u32, len: PlainLen, dialect: &Dialect) -> Result<Self, S3Error> {
        if !(1..=MAX_PART_NUMBER).contains(&number) {
            return Err(S3Error::InvalidArgument {
                message: "Part number must be an integer between 1 and 10000, inclusive",
            });
        }
        // The footer goes up behind the last part that may be.
        let room = if number == MAX_PART_NUMBER { TAIL } else { 0 };
        let most = dialect.largest_put.saturating_sub(room);
        match len.segment() {
            Some(sealed) if sealed.0 <= most => Ok(Self {
                number,
                len,
                sealed,
                expected: false,
            }),
            _ => Err(S3Error::TooLarge {
                largest: SealedLen(most).largest_segment().0,
            }),
        }
    }
}

/// UploadPart.
///
/// # Errors
/// Refused by the key's owner, by a limit, by the store, or because the body is not what was stated about it; no such upload.
pub async fn put(
    exchange: &Exchange<'_>,
    lease: Lease,
    payload: Payload,
    body: Incoming,
) -> Result<Response<()>, S3Error> {
    let client = &exchange.parts.headers;
    headers::no_client_key(client)?;
    let upload = Upload::of(exchange)?;
    let part = NewPart::of(exchange, length(&payload, client)?)?;
    let expectations =
        Expectations::new(client, payload.content_sha256()).map_err(|error| S3Error::Body(error.into()))?;
    let framing = match payload {
        Payload::AwsChunked(framing) => Some(framing),
        Payload::Signed(_) | Payload::Unsigned => None,
    };
    let sent = Sent::new(body, framing, expectations, part.len.0);
    let part = NewPart {
        expected: headers::expects(client),
        ..part
    };
    let put = store(&upload, part, lease, Box::new(sent)).await;
    exchange.ask_cors().await;
    let put = put?;

    let mut response = Response::new(());
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::try_from(&put.etag) {
        headers.insert(ETAG, etag);
    }
    if let Some(checksum) = &put.checksum
        && let Ok(value) = HeaderValue::try_from(checksum.to_base64())
    {
        headers.insert(checksum.algorithm().header(), value);
    }
    if let Some(charged) = put.headers.get("x-amz-request-charged") {
        headers.insert("x-amz-request-charged", charged.clone());
    }
    headers::sealed_under(&exchange.container().key_url, headers);
    Ok(response)
}

/// Seals a part and stores it, where it belongs. Also for parts that are copied.
///
/// # Errors
/// The lease ended, the plaintext stopped or is not what it should be, no such upload, or the store said no, or nothing.
pub async fn store(
    upload: &Upload,
    part: NewPart,
    lease: Lease,
    plaintext: Box<dyn Plaintext>,
) -> Result<Put, S3Error> {
    let home = part_home(part.number, part.len);
    let (header, sealer) = lease
        .seal_part(upload.binding(part.number), part.len)
        .map_err(unusable)?;
    let sealed = SealedBody::new(&header, sealer, plaintext, part.sealed);
    let (fault, verified, permission) = (sealed.fault(), sealed.verified(), sealed.permission());
    let over = permission.over();
    let storing = async {
        match home {
            PartHome::Upstream => {
                let query = format!("partNumber={}&", part.number);
                let mut asking = HeaderMap::new();
                // Of a part that waits apart it is known without: whether the upload is there is asked before the body is.
                if part.expected {
                    asking.insert(EXPECT, HeaderValue::from_static("100-continue"));
                }
                let answer = upload
                    .ask(Method::PUT, &query, asking, StoreBody::sealed(sealed))
                    .await?;
                Ok(answer.into_parts().0.headers)
            }
            PartHome::Staged => staged(upload, part.number, sealed).await,
        }
    };
    let stored = tokio::select! {
        stored = storing => stored,
        // A store that does not take the body must not keep the client waiting past the lease.
        () = over.cancelled() => Err(S3Error::StoreFailed),
    };
    // The body knows better than the store why it stopped.
    let headers = match (stored, fault.take()) {
        (_, Some(fault)) => return Err(fault.into()),
        (Err(S3Error::StoreFailed), None) => {
            permission.check()?;
            // A store that has no such upload may say so and go, while the body is still being sent.
            upload.exists().await?;
            return Err(S3Error::StoreFailed);
        }
        (stored, None) => stored?,
    };
    let etag = headers.get(ETAG).and_then(|etag| etag.to_str().ok());
    Ok(Put {
        etag: etag::to_client(etag.ok_or(S3Error::StoreFailed)?).into_owned(),
        checksum: verified.get().copied(),
        headers,
    })
}

/// Keeps a part apart. The upload must be there, before and after: an upload that was aborted or completed meanwhile has had its
/// parts cleared away, and this one would be left over.
async fn staged(upload: &Upload, number: u32, sealed: SealedBody) -> Result<HeaderMap, S3Error> {
    upload.exists().await?;
    let staging = upload.staging();
    let headers = staging.put(upload, number, sealed).await?;
    match upload.exists().await {
        Err(error) if is_gone(&error) => {
            staging.remove_part(number).await;
            Err(UploadError::NoSuchUpload.into())
        }
        // It was there a moment ago, and the part is stored.
        _ => Ok(headers),
    }
}

fn length(payload: &Payload, client: &HeaderMap) -> Result<PlainLen, S3Error> {
    let len = match payload {
        Payload::AwsChunked(framing) => Some(framing.decoded_len),
        Payload::Signed(_) | Payload::Unsigned => {
            let stated = client.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
            stated.and_then(|text| text.parse().ok())
        }
    };
    len.map(PlainLen).ok_or(S3Error::MissingLength)
}

pub(super) fn unusable(error: UseError) -> S3Error {
    match error {
        UseError::Ended(refusal) => S3Error::Refused(refusal),
        UseError::Seal(error) => S3Error::Body(error.into()),
        UseError::Tampered { what, version } => S3Error::Tampered {
            what: what.to_string(),
            version: Some(version),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_judged_from_their_heads() {
        let dialect = Dialect::default();
        let part = |number, len| NewPart::new(number, PlainLen(len), &dialect);
        for number in [0, 10_001, u32::MAX] {
            assert!(
                matches!(part(number, 1), Err(S3Error::InvalidArgument { .. })),
                "{number}"
            );
        }
        assert!(part(1, 0).is_ok() && part(10_000, 0).is_ok());
        for number in [1, 9_999, 10_000] {
            let Err(S3Error::TooLarge { largest }) = part(number, 5 << 30) else {
                panic!("a sealed part of 5 GiB is more than the store takes");
            };
            assert!(part(number, largest).is_ok(), "{number}");
            assert!(part(number, largest + 1).is_err(), "{number}");
            assert!(largest > (5 << 30) - (16 << 20), "{number}: {largest}");
        }
    }
}
