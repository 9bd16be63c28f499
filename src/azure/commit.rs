//! How a blob of blocks comes to be: blocks sealed and put up one by one, and a block list that ends with the footer.

use http::header::{CONTENT_TYPE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, Response};
use hyper::body::Incoming;

use crate::azure::auth::{AuthError, Reach};
use crate::azure::checks::to_base64;
use crate::azure::condition;
use crate::azure::error::AzureError;
use crate::azure::exchange::{Ask, Exchange, query};
use crate::azure::headers;
use crate::azure::metadata::{self, Hidden};
use crate::azure::xml::Element;
use crate::body::{Plaintext, SealedBody};
use crate::keys::Lease;
use crate::seal::{
    Binding, BlockId, BlockPlace, Checksum, ChecksumKind, Checksums, Entry, MAX_CLIENT_ID, PlainLen, SealedLen, Table,
};
use crate::upstream::StoreBody;

/// What the gate names the one block of a long Put Blob. No client may: its blobs would lose a block from their lists.
pub const OF_PUT_BLOB: &[u8; MAX_CLIENT_ID] = b"portcullis: the one block of a blob in one piece";

/// A block on its way.
pub struct Sent {
    /// What it is called upstream.
    pub id: BlockId,
    /// What the table says of it, but for its number.
    pub entry: Entry,
    /// The CRC-64 that the client stated, verified.
    pub checksum: Option<crate::body::checksum::Checksum>,
}

/// Seals a block and puts it up.
///
/// # Errors
/// Refused by the key's owner, by a limit, by the store, or because the body is not what was stated about it.
pub async fn put_block(
    exchange: &Exchange<'_>,
    lease: Lease,
    client_id: &[u8],
    plaintext: impl Plaintext + 'static,
    len: PlainLen,
) -> Result<Sent, AzureError> {
    let place = BlockPlace {
        container: &exchange.container.sealed_as,
        name: &exchange.address.blob,
        client: client_id,
        time_ms: exchange.container.store.now_ms(),
    };
    let (id, header, sealer) = lease.seal_block(&place, len)?;
    let stored = len.segment().ok_or(AzureError::TooLarge { largest: 0 })?;
    let entry = Entry {
        binding: header.core().binding(),
        plain_len: len,
        number: 1,
    };
    let sealed = SealedBody::new(&header, sealer, plaintext, stored);
    let (fault, verified, permission) = (sealed.fault(), sealed.verified(), sealed.permission());
    let mut ask = Ask::new(Method::PUT, query(&[("comp", "block"), ("blockid", &id.to_base64())]));
    headers::copy(
        exchange.client(),
        &mut ask.headers,
        &["x-ms-lease-id", "x-ms-encryption-scope"],
    );
    ask.body = StoreBody::sealed(sealed);
    send(exchange, ask, permission, &fault).await?;
    Ok(Sent {
        id,
        entry,
        checksum: verified.get().copied(),
    })
}

/// Sends a sealed body, under the lease that it is sealed under. Why it stopped, the body knows better than the store; and a store that does not take it must not keep the
/// client waiting past the lease.
pub async fn send(
    exchange: &Exchange<'_>,
    ask: Ask,
    permission: Lease,
    fault: &crate::body::FaultSlot,
) -> Result<Response<Incoming>, AzureError> {
    let over = permission.over();
    let answer = tokio::select! {
        answer = exchange.ask(ask) => answer,
        () = over.cancelled() => Err(AzureError::StoreFailed),
    };
    match (answer, fault.take()) {
        (_, Some(fault)) => Err(fault.into()),
        (Err(AzureError::StoreFailed), None) if over.is_cancelled() => {
            match exchange.keys.to_write(&exchange.container.tenant).await {
                Err(refusal) => Err(refusal.into()),
                Ok(_) => Err(AzureError::StoreFailed),
            }
        }
        (answer, None) => answer,
    }
}

/// From which of the store's lists a block is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Committed,
    Uncommitted,
}

/// What a blob is made of.
pub struct Plan {
    /// The blocks in order, as the store names them.
    pub blocks: Vec<(Taken, BlockId)>,
    /// The same, as the table names them.
    pub entries: Vec<Entry>,
    /// How many bytes the client's ids have: the footer's must have as many.
    pub client_len: usize,
    /// The MD5 that clients are shown, and whether it was computed or only claimed.
    pub md5: Option<(ChecksumKind, Vec<u8>)>,
    /// The state of the blob that committed blocks are taken from.
    pub pin: Option<HeaderValue>,
}

/// Ends a blob: the footer, then the list of all, with everything that the client says about it.
///
/// # Errors
/// Refused by the key's owner, a limit or the store.
pub async fn commit(exchange: &Exchange<'_>, lease: Lease, plan: Plan) -> Result<Response<Incoming>, AzureError> {
    let mut entries = plan.entries;
    for (number, entry) in (1..).zip(&mut entries) {
        entry.number = number;
    }
    let mut checksums = Checksums::default();
    if let Some((kind, value)) = &plan.md5 {
        let md5 = Checksum {
            kind: *kind,
            parts: None,
            value,
        };
        let _ = checksums.add(md5);
    }
    let table = Table::new(None, entries, checksums).map_err(|_| AzureError::TooLarge {
        largest: crate::seal::MAX_PLAIN_LEN,
    })?;
    let mut tail = lease.again().seal_footer(&exchange.place(), &table)?;
    let core = *tail.get()?.header().core();
    let time_ms = exchange.container.store.now_ms();
    let id = BlockId::footer(plan.client_len, time_ms, &core).ok_or(AzureError::InvalidQuery { name: "blockid" })?;
    let mut hidden = Hidden {
        core: Some(core),
        ..Hidden::default()
    };
    if let Some((kind, md5)) = &plan.md5 {
        let opener = lease.opened(&core).ok_or(AzureError::StoreFailed)?;
        hidden.sums = metadata::sums(opener.metadata_key(), *kind, md5)?;
    }

    let mut ask = Ask::new(Method::PUT, query(&[("comp", "block"), ("blockid", &id.to_base64())]));
    headers::copy(
        exchange.client(),
        &mut ask.headers,
        &["x-ms-lease-id", "x-ms-encryption-scope"],
    );
    ask.body = StoreBody::footer(tail.get()?);
    exchange.ask(ask).await?;

    let mut list = Element::new("BlockList", "");
    for (taken, id) in &plan.blocks {
        let name = match taken {
            Taken::Committed => "Committed",
            Taken::Uncommitted => "Uncommitted",
        };
        list.children.push(Element::new(name, id.to_base64()));
    }
    list.children.push(Element::new("Uncommitted", id.to_base64()));
    let mut ask = Ask::new(Method::PUT, query(&[("comp", "blocklist")]));
    ask.headers = said(exchange, &hidden)?;
    if plan.pin.is_some() {
        condition::pin(plan.pin.as_ref(), &mut ask.headers);
    }
    ask.headers
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    ask.spelling = exchange.parts.extensions.clone();
    ask.body = StoreBody::control(list.document());
    told(exchange, exchange.ask(ask).await)
}

/// All that a client says about a blob that it writes, with what the gate adds, and the client's conditions.
///
/// # Errors
/// Metadata under a reserved name.
pub fn said(exchange: &Exchange<'_>, hidden: &Hidden) -> Result<HeaderMap, AzureError> {
    let mut to = HeaderMap::with_capacity(16);
    headers::copy(exchange.client(), &mut to, headers::CONDITIONS);
    headers::copy(exchange.client(), &mut to, headers::DESCRIBING);
    metadata::from_client(exchange.client(), &mut to)?;
    hidden.write(&mut to);
    only_new(exchange, &mut to);
    Ok(to)
}

/// A SAS that may create and not overwrite.
pub fn only_new(exchange: &Exchange<'_>, to: &mut HeaderMap) {
    if exchange.reach == Reach::NewOnly {
        to.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
    }
}

/// That there is such a blob already: to somebody who may only create, that it takes another permission to replace it.
pub fn exists(exchange: &Exchange<'_>) -> AzureError {
    if exchange.reach == Reach::NewOnly && !condition::is_new_only(exchange.client()) {
        return AuthError::Permission.into();
    }
    AzureError::AlreadyExists
}

/// The store's answer to what [`only_new`] was put on.
///
/// # Errors
/// The store's.
pub fn told<T>(exchange: &Exchange<'_>, answer: Result<T, AzureError>) -> Result<T, AzureError> {
    match answer {
        Err(AzureError::Store { code, .. }) if code == "BlobAlreadyExists" => Err(exists(exchange)),
        other => other,
    }
}

/// A block as the store lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What it is called.
    pub id: BlockId,
    /// Its stored size.
    pub stored: SealedLen,
}

impl Listed {
    /// What a table says of it, if it is a client's block of this very name: its binding follows from its id.
    pub fn entry(&self, exchange: &Exchange<'_>) -> Option<Entry> {
        Some(Entry {
            binding: Binding::block(
                &exchange.container.sealed_as,
                &exchange.address.blob,
                &self.id.to_bytes(),
            ),
            plain_len: self.stored.segment_plain()?,
            number: 1,
        })
    }
}

/// The store's lists of a blob's blocks.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    /// In the blob, the footer last. Empty where one of them is no gate's: the blob then has no blocks that could be used again.
    pub committed: Vec<Listed>,
    /// Put up, and in no blob yet. Those that no gate made are left out.
    pub uncommitted: Vec<Listed>,
    /// The head of the store's answer; empty where there is no blob.
    pub head: HeaderMap,
}

impl Lists {
    /// Asks the store.
    ///
    /// # Errors
    /// It said no. That there is no such blob is said by empty lists.
    pub async fn of(exchange: &Exchange<'_>, mut pairs: Vec<(String, String)>) -> Result<Self, AzureError> {
        pairs.extend(query(&[("comp", "blocklist")]));
        let mut ask = Ask::new(Method::GET, pairs);
        headers::copy(exchange.client(), &mut ask.headers, &["x-ms-lease-id"]);
        let (head, document) = crate::azure::exchange::document(exchange.ask(ask).await?).await?;
        let read = |list: &str| -> Vec<Option<Listed>> {
            let blocks = document.child(list).map(|list| list.children.iter());
            blocks
                .into_iter()
                .flatten()
                .map(|block| {
                    Some(Listed {
                        id: BlockId::from_base64(block.text_of("Name")).ok()?,
                        stored: SealedLen(block.text_of("Size").parse().ok()?),
                    })
                })
                .collect()
        };
        let committed: Option<Vec<Listed>> = read("CommittedBlocks").into_iter().collect();
        Ok(Self {
            committed: committed.unwrap_or_default(),
            uncommitted: read("UncommittedBlocks").into_iter().flatten().collect(),
            head,
        })
    }
}

/// A checksum of the body, for the answer.
pub fn echo(headers: &mut HeaderMap, name: http::HeaderName, value: &[u8]) {
    if let Ok(value) = HeaderValue::try_from(to_base64(value)) {
        headers.insert(name, value);
    }
}
