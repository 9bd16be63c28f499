//! Put Blob, Put Block and Append Block from a URL, and copies that the store can't make: the gate reads the source as its client
//! would, and seals what it reads for its new place.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::azure::append;
use crate::azure::block;
use crate::azure::checks;
use crate::azure::copy::rows;
use crate::azure::copy::source::{Origin, as_source};
use crate::azure::error::AzureError;
use crate::azure::exchange::Exchange;
use crate::azure::metadata::{self, META};
use crate::azure::put::{self, Source};
use crate::azure::range::Wanted;
use crate::azure::read::{self, Pieces, Read};
use crate::body::checksum::{Algorithm, Checksum, ChecksumError, Hasher};
use crate::body::{Fault, Plaintext};
use crate::keys::Lease;

/// Put Blob From URL.
///
/// # Errors
/// The source is not to be had, and as Put Blob.
pub async fn put_blob_from_url(exchange: &Exchange<'_>, lease: Lease) -> Result<Response<()>, AzureError> {
    let origin = Origin::of(exchange).await?;
    let (head, source) = open(exchange, &origin).await?;
    let keeps = exchange
        .client()
        .get("x-ms-copy-source-blob-properties")
        .is_none_or(|keeps| keeps != "false");
    let parts = like(exchange.parts, &head, keeps, false);
    put::put(&with(exchange, &parts), lease, source).await
}

/// Put Block From URL.
///
/// # Errors
/// The source is not to be had, and as Put Block.
pub async fn put_block_from_url(exchange: &Exchange<'_>, lease: Lease) -> Result<Response<()>, AzureError> {
    let origin = Origin::of(exchange).await?;
    let (_, source) = open(exchange, &origin).await?;
    block::put(exchange, lease, source).await
}

/// Append Block From URL.
///
/// # Errors
/// The source is not to be had, and as Append Block.
pub async fn append_from_url(exchange: &Exchange<'_>) -> Result<Response<()>, AzureError> {
    let origin = Origin::of(exchange).await?;
    let (_, source) = open(exchange, &origin).await?;
    append::append(exchange, source).await
}

/// A copy to another tenant or upstream account, or of an append blob: done when it is answered.
pub(super) async fn copy_through(exchange: &Exchange<'_>, origin: &Origin) -> Result<Response<()>, AzureError> {
    const TAGS: &str = "x-ms-copy-source-tag-option";
    if exchange.client().get(TAGS).is_some_and(|option| option == "COPY") {
        return Err(AzureError::UnsupportedHeader {
            what: format!("{TAGS}: COPY of a copy that the gate makes"),
        });
    }
    let (head, source) = open(exchange, origin).await?;
    if head
        .headers()
        .get("x-ms-blob-type")
        .is_some_and(|kind| kind == "AppendBlob")
    {
        if origin.is_at(exchange) {
            // It would be emptied before it is read.
            return Err(AzureError::UnsupportedHeader {
                what: "x-ms-copy-source: the append blob itself".into(),
            });
        }
        return Box::pin(rows::copy(exchange, &head, source)).await;
    }
    let lease = exchange.keys.to_write(&exchange.container.tenant).await?;
    let parts = like(exchange.parts, &head, true, !metadata::given(exchange.client()));
    let mut response = put::put(&with(exchange, &parts), lease, source).await?;
    *response.status_mut() = StatusCode::ACCEPTED;
    done(response.headers_mut())?;
    Ok(response)
}

/// Says that a copy is made. The store knows nothing of it; but clients ask about one by its id, and some take no answer without
/// (the SDK for Java): a UUID like any other, which the store will say is not under way.
pub(super) fn done(headers: &mut HeaderMap) -> Result<(), AzureError> {
    let mut id = [0; 16];
    aws_lc_rs::rand::fill(&mut id).map_err(|_| AzureError::StoreFailed)?;
    // RFC 9562 section 5.4: version 4, variant 10.
    (id[6], id[8]) = (id[6] & 0x0f | 0x40, id[8] & 0x3f | 0x80);
    let mut text = hex::encode(id);
    for dash in [8, 13, 18, 23] {
        text.insert(dash, '-');
    }
    let id = HeaderValue::try_from(text).map_err(|_| AzureError::StoreFailed)?;
    headers.insert("x-ms-copy-id", id);
    headers.insert("x-ms-copy-status", HeaderValue::from_static("success"));
    Ok(())
}

/// The client's request as if it said of the blob what its source has: properties that it does not state itself, and metadata.
pub(super) fn like(parts: &Parts, head: &Response<()>, properties: bool, metadata: bool) -> Parts {
    let (mut parts, source) = (parts.clone(), head.headers());
    for (theirs, own) in [
        ("content-type", "x-ms-blob-content-type"),
        ("content-encoding", "x-ms-blob-content-encoding"),
        ("content-language", "x-ms-blob-content-language"),
        ("content-disposition", "x-ms-blob-content-disposition"),
        ("cache-control", "x-ms-blob-cache-control"),
    ] {
        if let Some(value) = source
            .get(theirs)
            .filter(|_| properties && !parts.headers.contains_key(own))
        {
            parts.headers.insert(HeaderName::from_static(own), value.clone());
        }
    }
    if metadata {
        // The names as their writer spelt them.
        parts.extensions = head.extensions().clone();
        for (name, value) in source.iter().filter(|(name, _)| name.as_str().starts_with(META)) {
            parts.headers.append(name.clone(), value.clone());
        }
    }
    parts
}

pub(super) fn with<'a>(exchange: &Exchange<'a>, parts: &'a Parts) -> Exchange<'a> {
    Exchange { parts, ..*exchange }
}

/// Begins to read a source.
async fn open(exchange: &Exchange<'_>, origin: &Origin) -> Result<(Response<()>, Source), AzureError> {
    let client = exchange.client();
    let wanted = match client.get("x-ms-source-range") {
        None => None,
        Some(range) => {
            let range = range.to_str().ok().and_then(Wanted::parse);
            Some(range.ok_or(AzureError::InvalidHeader {
                name: "x-ms-source-range",
            })?)
        }
    };
    let stated = |name: &'static str, algorithm: Algorithm| {
        let Some(value) = client.get(name) else {
            return Ok(None);
        };
        let mut value = value.to_str().ok().and_then(checks::from_base64).unwrap_or_default();
        if algorithm == Algorithm::Crc64Nvme {
            value.reverse();
        }
        let checksum = Checksum::new(algorithm, &value);
        checksum.map(Some).ok_or(AzureError::InvalidHeader { name })
    };
    let md5 = stated("x-ms-source-content-md5", Algorithm::Md5)?;
    let crc = stated("x-ms-source-content-crc64", Algorithm::Crc64Nvme)?;
    let source = origin.exchange(exchange);
    let permission = exchange.keys.to_operate(&origin.container.tenant).await?;
    let Read { head, pieces } = read::again(&source, wanted).await.map_err(as_source)?;
    drop(permission);
    let pieces = pieces.ok_or(AzureError::SourceConditionNotMet)?;
    let len = head
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let len = len.ok_or(AzureError::StoreFailed)?;
    let blob = FromBlob {
        pieces,
        left: len,
        stated: md5
            .into_iter()
            .chain(crc)
            .map(|stated| (Hasher::new(stated.algorithm()), stated))
            .collect(),
        wanted: None,
    };
    // What is stated of the whole blob is believed only where it is also checked.
    Ok((head, Source::of_blob(blob, len)))
}

/// A blob's plaintext on its way into another seal.
pub struct FromBlob {
    pieces: Pieces,
    left: u64,
    stated: Vec<(Hasher, Checksum)>,
    wanted: Option<(Hasher, Arc<OnceLock<Checksum>>)>,
}

impl FromBlob {
    /// Computes a checksum of it, and leaves it here once it was read.
    pub fn want(&mut self, algorithm: Algorithm) -> Arc<OnceLock<Checksum>> {
        let slot = Arc::new(OnceLock::new());
        self.wanted = Some((Hasher::new(algorithm), Arc::clone(&slot)));
        slot
    }
}

#[async_trait]
impl Plaintext for FromBlob {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            let Some(piece) = self.pieces.next().await? else {
                return Ok(None);
            };
            if piece.is_empty() {
                continue;
            }
            self.left = self.left.checked_sub(piece.len() as u64).ok_or(Fault::TooLong)?;
            self.stated.iter_mut().for_each(|(hasher, _)| hasher.update(&piece));
            self.wanted.iter_mut().for_each(|(hasher, _)| hasher.update(&piece));
            return Ok(Some(piece));
        }
    }

    fn finish(self: Box<Self>) -> Result<Option<Checksum>, Fault> {
        if self.left > 0 {
            return Err(Fault::TooShort { missing: self.left });
        }
        for (hasher, stated) in self.stated {
            if hasher.finish() != stated {
                return Err(match stated.algorithm() {
                    Algorithm::Md5 => ChecksumError::ContentMd5Mismatch.into(),
                    other => ChecksumError::Mismatch(other).into(),
                });
            }
        }
        if let Some((hasher, slot)) = self.wanted {
            let _ = slot.set(hasher.finish());
        }
        Ok(None)
    }
}
