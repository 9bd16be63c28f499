//! Put Blob: a blob in one piece. All that can be refused is refused from the head, before the client is asked for the body.
//!
//! The store keeps a blob's metadata from the request's head, and the plaintext's MD5, which belongs there, is only known at the
//! body's end. So a short body is read first; one whose MD5 the client states goes straight through, held to it; and a long one
//! goes up as a block, and is committed with its MD5 when it is all there.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;

use crate::azure::auth::Reach;
use crate::azure::checks::{self, CONTENT_CRC64, CONTENT_MD5, STRUCTURED};
use crate::azure::commit::{self, Listed, Lists, OF_PUT_BLOB, Plan, Taken};
use crate::azure::condition;
use crate::azure::copy::FromBlob;
use crate::azure::error::AzureError;
use crate::azure::exchange::{Ask, Exchange, query};
use crate::azure::headers;
use crate::azure::metadata::{self, Hidden};
use crate::body::checksum::{Algorithm, Checksum, Expectations};
use crate::body::{Fault, Framed, Plaintext, SealedBody, Upload};
use crate::keys::Lease;
use crate::seal::{ChecksumKind, PlainLen, SealedLen};
use crate::upstream::StoreBody;

/// Azure takes 5,000 MiB in one Put Blob, sealed: <https://learn.microsoft.com/rest/api/storageservices/put-blob>.
const LARGEST_STORED: u64 = 5000 << 20;
/// And 4,000 MiB in one Put Block, since a long blob without a stated MD5 goes up as one.
const LARGEST_BLOCK: u64 = 4000 << 20;
/// Up to this many bytes of plaintext are held in memory until their MD5 is known.
const HELD: u64 = 256 * 1024;

/// A body of known length, from a client or from where a client says.
pub struct Source {
    origin: Origin,
    /// How many bytes of content there are.
    pub len: u64,
    /// Their MD5, if it is stated, and will be checked.
    pub md5: Option<Vec<u8>>,
}

enum Origin {
    Client {
        body: Incoming,
        framing: Framed,
        expectations: Box<Expectations>,
    },
    Blob(Box<FromBlob>),
}

/// Plaintext that is in memory, and was held to everything that was stated about it.
pub struct Memory(Option<Bytes>);

impl Memory {
    /// All of it.
    pub fn new(plain: Bytes) -> Self {
        Self(Some(plain).filter(|plain| !plain.is_empty()))
    }
}

#[async_trait]
impl Plaintext for Memory {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        Ok(self.0.take())
    }
}

impl Source {
    /// The client's own body.
    ///
    /// # Errors
    /// What is stated about it can't be.
    pub fn of(client: &HeaderMap, body: Incoming, blob_md5: bool) -> Result<Self, AzureError> {
        let (framing, len) = checks::framing(client)?;
        let expectations = checks::expectations(client, blob_md5)?;
        let request = client
            .get(&CONTENT_MD5)
            .and_then(|value| checks::from_base64(value.to_str().ok()?));
        let own = if blob_md5 { checks::claimed_md5(client)? } else { None };
        let md5 = own.or(request);
        Ok(Self {
            origin: Origin::Client {
                body,
                framing,
                expectations: Box::new(expectations),
            },
            len,
            md5,
        })
    }

    /// Another blob's plaintext.
    pub fn of_blob(blob: FromBlob, len: u64) -> Self {
        Self {
            origin: Origin::Blob(Box::new(blob)),
            len,
            md5: None,
        }
    }

    /// Computes a checksum too, and leaves it here once all was believed.
    pub fn want(&mut self, algorithm: Algorithm) -> Arc<OnceLock<Checksum>> {
        match &mut self.origin {
            Origin::Client { expectations, .. } => expectations.want(algorithm),
            Origin::Blob(blob) => blob.want(algorithm),
        }
    }

    /// Its plaintext, piece by piece.
    pub fn into_plaintext(self) -> Box<dyn Plaintext> {
        match self.origin {
            Origin::Client {
                body,
                framing,
                expectations,
            } => Box::new(Upload::framed(body, framing, *expectations, self.len)),
            Origin::Blob(blob) => blob,
        }
    }

    /// All of it, which the caller has bounded, once it may be believed; and the checksum that was stated.
    ///
    /// # Errors
    /// It is not what was stated about it, or stopped.
    pub async fn gather(self) -> Result<(Bytes, Option<Checksum>), Fault> {
        let mut plaintext = self.into_plaintext();
        let mut whole = BytesMut::new();
        while let Some(piece) = plaintext.next().await? {
            whole.extend_from_slice(&piece);
        }
        Ok((whole.freeze(), plaintext.finish()?))
    }
}

/// Put Blob.
///
/// # Errors
/// Refused by the key's owner, by a limit, by the store, or because the body is not what was stated about it.
pub async fn put(exchange: &Exchange<'_>, lease: Lease, source: Source) -> Result<Response<()>, AzureError> {
    let len = PlainLen(source.len);
    let known = source.md5.is_some() || source.len <= HELD;
    let (sealed, largest) = match known {
        true => (len.sealed(), LARGEST_STORED),
        false => (len.segment(), LARGEST_BLOCK),
    };
    let stored = sealed
        .filter(|sealed| sealed.0 <= largest)
        .ok_or(AzureError::TooLarge {
            largest: largest - (largest >> 10),
        })?;
    // Refused before the body is asked for.
    metadata::from_client(exchange.client(), &mut HeaderMap::new())?;
    let (answer, md5, checksum) = if source.len <= HELD {
        let (plain, checksum) = under(&lease, source.gather()).await?;
        let md5 = Checksum::of(Algorithm::Md5, &plain).value().to_vec();
        let (answer, _) = straight(exchange, lease, Memory::new(plain), len, stored, Some(&md5)).await?;
        (answer, md5, checksum)
    } else if let Some(md5) = source.md5.clone() {
        let (answer, checksum) = straight(exchange, lease, source.into_plaintext(), len, stored, Some(&md5)).await?;
        (answer, md5, checksum)
    } else {
        as_block(exchange, lease, source).await?
    };
    let mut headers = headers::written(answer.headers());
    commit::echo(&mut headers, CONTENT_MD5, &md5);
    if let Some(crc) = checksum
        && let Ok(crc) = HeaderValue::try_from(checks::crc64_text(&crc))
    {
        headers.insert(CONTENT_CRC64, crc);
    }
    Ok(created(exchange, headers))
}

/// The answer to what created a blob, or a part of one.
pub fn created(exchange: &Exchange<'_>, mut headers: HeaderMap) -> Response<()> {
    headers::copy(exchange.client(), &mut headers, &[STRUCTURED.as_str()]);
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::CREATED;
    *response.headers_mut() = headers;
    response
}

/// What `work` comes to while the lease lasts.
async fn under(
    lease: &Lease,
    work: impl Future<Output = Result<(Bytes, Option<Checksum>), Fault>>,
) -> Result<(Bytes, Option<Checksum>), AzureError> {
    let over = lease.over();
    tokio::select! {
        done = work => Ok(done?),
        () = over.cancelled() => {
            lease.check()?;
            Err(AzureError::StoreFailed)
        }
    }
}

/// One segment in one request.
async fn straight(
    exchange: &Exchange<'_>,
    lease: Lease,
    plaintext: impl Plaintext + 'static,
    len: PlainLen,
    stored: SealedLen,
    md5: Option<&[u8]>,
) -> Result<(Response<Incoming>, Option<Checksum>), AzureError> {
    let (header, mut sealer) = lease.seal_whole(&exchange.place(), len)?;
    let mut hidden = Hidden {
        core: Some(*header.core()),
        ..Hidden::default()
    };
    if let Some(md5) = md5 {
        hidden.sums = metadata::sums(sealer.get()?.metadata_key(), ChecksumKind::Md5, md5)?;
    }
    let sealed = SealedBody::new(&header, sealer, plaintext, stored);
    let (fault, verified, permission) = (sealed.fault(), sealed.verified(), sealed.permission());
    let mut ask = Ask::new(Method::PUT, Vec::new());
    ask.headers = said(exchange, &hidden)?;
    ask.headers
        .insert("x-ms-blob-type", HeaderValue::from_static("BlockBlob"));
    ask.spelling = exchange.parts.extensions.clone();
    ask.body = StoreBody::sealed(sealed);
    let answer = commit::told(exchange, commit::send(exchange, ask, permission, &fault).await)?;
    Ok((answer, verified.get().copied()))
}

/// Over a blob that can have no blocks: straight, its MD5 told to this client only.
async fn without_md5(
    exchange: &Exchange<'_>,
    lease: Lease,
    mut source: Source,
) -> Result<(Response<Incoming>, Vec<u8>, Option<Checksum>), AzureError> {
    let computed = source.want(Algorithm::Md5);
    let len = PlainLen(source.len);
    let stored = len.sealed().ok_or(AzureError::TooLarge {
        largest: LARGEST_STORED,
    })?;
    let (answer, checksum) = straight(exchange, lease, source.into_plaintext(), len, stored, None).await?;
    let md5 = computed.get().ok_or(AzureError::StoreFailed)?;
    Ok((answer, md5.value().to_vec(), checksum))
}

/// The blocks that are put up for this name and in no blob yet; `None` where the blob is of a kind that has none.
async fn waiting(exchange: &Exchange<'_>) -> Result<Option<Vec<Listed>>, AzureError> {
    match Lists::of(exchange, query(&[("blocklisttype", "uncommitted")])).await {
        Ok(lists) => Ok(Some(lists.uncommitted)),
        Err(AzureError::Store { code, .. }) if code == "InvalidBlobType" => Ok(None),
        Err(AzureError::Store { status, code, .. })
            if status == StatusCode::NOT_FOUND && code != "ContainerNotFound" =>
        {
            Ok(Some(Vec::new()))
        }
        Err(other) => Err(other),
    }
}

/// Whether the client's conditions hold by now. The commit is held to all of them; this is for what went before it.
async fn check(exchange: &Exchange<'_>) -> Result<(), AzureError> {
    let client = exchange.client();
    let new_only = exchange.reach == Reach::NewOnly || condition::is_new_only(client);
    if !new_only && !headers::is_conditional(client) {
        return Ok(());
    }
    let mut ask = Ask::new(Method::HEAD, Vec::new());
    headers::copy(client, &mut ask.headers, condition::STATE);
    let there = match exchange.ask(ask).await {
        Ok(head) => Some(head),
        Err(AzureError::Store { status, .. }) if status == StatusCode::NOT_FOUND => None,
        Err(other) => return Err(other),
    };
    if there.is_some() && new_only {
        return Err(commit::exists(exchange));
    }
    condition::judge(client, there.as_ref().map(Response::headers))
}

/// As a block, which the footer turns into a blob.
async fn as_block(
    exchange: &Exchange<'_>,
    lease: Lease,
    mut source: Source,
) -> Result<(Response<Incoming>, Vec<u8>, Option<Checksum>), AzureError> {
    // Asked before the body is: a block that can't be committed would stay, and keep clients from blocks with shorter ids.
    check(exchange).await?;
    let Some(waiting) = waiting(exchange).await? else {
        return without_md5(exchange, lease, source).await;
    };
    // All ids of a blob have one length, those of blocks included that are put up and that Put Blob does away with.
    let id_len = waiting
        .first()
        .map_or(OF_PUT_BLOB.len(), |block| block.id.client().len());
    let name = OF_PUT_BLOB.get(..id_len).unwrap_or(OF_PUT_BLOB);
    let computed = source.want(Algorithm::Md5);
    let len = PlainLen(source.len);
    let sent = commit::put_block(exchange, lease, name, source.into_plaintext(), len).await?;
    let md5 = computed
        .get()
        .map(|md5| md5.value().to_vec())
        .ok_or(AzureError::StoreFailed)?;
    let lease = exchange.keys.to_write(&exchange.container.tenant).await?;
    let plan = Plan {
        blocks: vec![(Taken::Uncommitted, sent.id)],
        entries: vec![sent.entry],
        client_len: name.len(),
        md5: Some((ChecksumKind::Md5, md5.clone())),
        pin: None,
    };
    let answer = commit::commit(exchange, lease, plan).await?;
    Ok((answer, md5, sent.checksum))
}

/// What the client says about the blob; Put Blob takes some of it in standard headers too.
fn said(exchange: &Exchange<'_>, hidden: &Hidden) -> Result<HeaderMap, AzureError> {
    let mut to = commit::said(exchange, hidden)?;
    let mut described = HeaderMap::new();
    headers::describing(exchange.client(), &mut described);
    for (name, value) in described {
        if let Some(name) = name {
            to.insert(name, value);
        }
    }
    Ok(to)
}
