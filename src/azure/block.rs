//! Put Block, Put Block List, Get Block List.
//!
//! A block is sealed alone, by whichever replica it reaches, under an upstream id of its own that begins with the client's. The
//! block list then pins the very blocks: they are the latest that the store has under the client's ids, or those of the blob that
//! is there, whose table vouches for them.

use std::collections::HashMap;

use http::header::{CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;

use crate::azure::auth::Reach;
use crate::azure::block_id;
use crate::azure::checks::{self, CONTENT_CRC64, CONTENT_MD5};
use crate::azure::commit::{self, Listed, Lists, OF_PUT_BLOB, Plan, Taken};
use crate::azure::condition;
use crate::azure::error::AzureError;
use crate::azure::exchange::{Ask, Exchange};
use crate::azure::headers;
use crate::azure::metadata;
use crate::azure::put::{Source, created};
use crate::azure::read::shape::stored_len;
use crate::azure::read::{Footing, footing};
use crate::azure::xml::Element;
use crate::body::checksum::{Algorithm, Checksum};
use crate::keys::Lease;
use crate::seal::{BlockId, ChecksumKind, Choice, ChoiceError, Chosen, MAX_CLIENT_ID, PlainLen, choose_blocks};

/// Azure takes 4,000 MiB in one Put Block, sealed: <https://learn.microsoft.com/rest/api/storageservices/put-block>.
const LARGEST_STORED: u64 = 4000 << 20;
/// A block list of 50,000 ids of 64 bytes has under 7 MB.
pub const LARGEST_LIST: usize = 8 << 20;
/// How often a list is made that is outrun each time by another, before the client is told to come again.
const TRIES: u32 = 3;

/// Put Block.
///
/// # Errors
/// Refused by the key's owner, by a limit, by the store, or because the body is not what was stated about it.
pub async fn put(exchange: &Exchange<'_>, lease: Lease, mut source: Source) -> Result<Response<()>, AzureError> {
    let id = block_id::read(exchange.address.parameter("blockid").unwrap_or(""))?;
    let len = PlainLen(source.len);
    if len.segment().is_none_or(|stored| stored.0 > LARGEST_STORED) {
        let largest = LARGEST_STORED - (LARGEST_STORED >> 10);
        return Err(AzureError::TooLarge { largest });
    }
    let stated = source.md5.take();
    let crc = stated.is_none().then(|| source.want(Algorithm::Crc64Nvme));
    commit::put_block(exchange, lease, &id, source.into_plaintext(), len).await?;
    let mut headers = HeaderMap::new();
    headers.insert("x-ms-request-server-encrypted", HeaderValue::from_static("true"));
    checksum(&mut headers, stated.as_deref(), crc.as_ref().and_then(|crc| crc.get()));
    Ok(created(exchange, headers))
}

/// The checksum of an answer: the MD5 that was stated, or else the CRC-64, as Azure has it since 2019-02-02.
pub fn checksum(headers: &mut HeaderMap, md5: Option<&[u8]>, crc: Option<&Checksum>) {
    match (md5, crc) {
        (Some(md5), _) => commit::echo(headers, CONTENT_MD5, md5),
        (None, Some(crc)) => {
            if let Ok(crc) = HeaderValue::try_from(checks::crc64_text(crc)) {
                headers.insert(CONTENT_CRC64, crc);
            }
        }
        (None, None) => {}
    }
}

/// Put Block List.
///
/// # Errors
/// Refused by the key's owner, by a limit or the store; a list that names what is not there.
pub async fn put_list(exchange: &Exchange<'_>, body: Incoming) -> Result<Response<()>, AzureError> {
    let source = Source::of(exchange.client(), body, false)?;
    if source.len > LARGEST_LIST as u64 {
        return Err(AzureError::TooLarge {
            largest: LARGEST_LIST as u64,
        });
    }
    let claimed = checks::claimed_md5(exchange.client())?;
    metadata::from_client(exchange.client(), &mut HeaderMap::new())?;
    let stated = source.md5.clone();
    let (document, _) = source.gather().await?;
    let asked = read_list(&document)?;
    let md5 = claimed.map(|md5| (ChecksumKind::ClaimedMd5, md5));
    let mut answer = None;
    for _ in 0..TRIES {
        let plan = plan(exchange, &asked, md5.clone()).await?;
        let pinned = plan.pin.is_some();
        let lease = exchange.keys.to_write(&exchange.container.tenant).await?;
        match commit::commit(exchange, lease, plan).await {
            // The blob whose blocks are used again was replaced meanwhile, or the blocks are gone with another commit.
            Err(AzureError::Store {
                status: StatusCode::PRECONDITION_FAILED,
                code,
                ..
            }) if pinned && code == "ConditionNotMet" => {}
            other => {
                answer = Some(other?);
                break;
            }
        }
    }
    let answer = answer.ok_or(AzureError::StoreFailed)?;
    let mut headers = headers::written(answer.headers());
    let crc = Checksum::of(Algorithm::Crc64Nvme, &document);
    checksum(&mut headers, stated.as_deref(), Some(&crc));
    Ok(created(exchange, headers))
}

/// What the client's list means, against what the store has now.
async fn plan(
    exchange: &Exchange<'_>,
    asked: &[(Choice, Vec<u8>)],
    md5: Option<(ChecksumKind, Vec<u8>)>,
) -> Result<Plan, AzureError> {
    let lists = match Lists::of(exchange, crate::azure::exchange::query(&[("blocklisttype", "all")])).await {
        // There is no blob, and no block for it: an empty list makes an empty blob.
        Err(AzureError::Store {
            status: StatusCode::NOT_FOUND,
            code,
            ..
        }) if code != "ContainerNotFound" => Lists::default(),
        lists => lists?,
    };
    let wanted: Vec<(Choice, &[u8])> = asked.iter().map(|(choice, id)| (*choice, id.as_slice())).collect();
    let ids = |listed: &[Listed]| listed.iter().map(|block| block.id.clone()).collect::<Vec<BlockId>>();
    let (committed, uncommitted) = (ids(&lists.committed), ids(&lists.uncommitted));
    let chosen = choose_blocks(&wanted, &committed, &uncommitted)?;
    let reuses = chosen.iter().any(|chosen| matches!(chosen, Chosen::Committed(_)));
    let (table, pin) = if reuses {
        table(exchange, &lists).await?
    } else {
        (None, None)
    };
    let mut blocks = Vec::with_capacity(chosen.len());
    let mut entries = Vec::with_capacity(chosen.len());
    for (position, chosen) in chosen.into_iter().enumerate() {
        let gone = || AzureError::BlockList(ChoiceError::Unknown { position });
        match chosen {
            Chosen::Committed(at) => {
                let listed = lists.committed.get(at).ok_or_else(gone)?;
                let footing = table.as_ref().ok_or_else(gone)?;
                let entry = footing.footer.layout().table().entries().get(at).ok_or_else(gone)?;
                blocks.push((Taken::Committed, listed.id.clone()));
                entries.push(*entry);
            }
            Chosen::Uncommitted(at) => {
                let listed = lists.uncommitted.get(at).ok_or_else(gone)?;
                blocks.push((Taken::Uncommitted, listed.id.clone()));
                entries.push(listed.entry(exchange).ok_or_else(gone)?);
            }
        }
    }
    let any = lists.uncommitted.first().or(lists.committed.first());
    let client_len = asked.first().map(|(_, id)| id.len());
    let client_len = client_len.or_else(|| any.map(|block| block.id.client().len()));
    Ok(Plan {
        blocks,
        entries,
        client_len: client_len.unwrap_or(MAX_CLIENT_ID),
        md5,
        pin,
    })
}

/// The table of the blob that is there, and the state that it is of.
async fn table(exchange: &Exchange<'_>, lists: &Lists) -> Result<(Option<Footing>, Option<HeaderValue>), AzureError> {
    let mut ask = Ask::new(Method::HEAD, Vec::new());
    headers::copy(exchange.client(), &mut ask.headers, &["x-ms-lease-id"]);
    let head = exchange.ask(ask).await?;
    let etag = head.headers().get(ETAG).cloned();
    if etag != lists.head.get(ETAG).cloned() {
        // It was replaced between the two: as if there were none of those blocks.
        return Ok((None, None));
    }
    let stored = stored_len(head.status(), head.headers())?;
    let segments = u32::try_from(lists.committed.len().saturating_sub(1)).map_err(|_| AzureError::Unsealed)?;
    if condition::is_new_only(exchange.client()) || exchange.reach == Reach::NewOnly {
        return Err(commit::exists(exchange));
    }
    condition::judge(exchange.client(), Some(head.headers()))?;
    let footing = footing(exchange, head.headers(), stored, segments).await?;
    Ok((Some(footing), etag))
}

/// The client's list: which block, from which of the two lists.
fn read_list(document: &[u8]) -> Result<Vec<(Choice, Vec<u8>)>, AzureError> {
    let list = Element::parse(document)?;
    if list.name != "BlockList" {
        return Err(AzureError::InvalidXml);
    }
    let wrong = |position| AzureError::BlockList(ChoiceError::Unknown { position });
    let read = |(position, block): (usize, &Element<'_>)| {
        let choice = match &*block.name {
            "Latest" => Choice::Latest,
            "Committed" => Choice::Committed,
            "Uncommitted" => Choice::Uncommitted,
            _ => return Err(AzureError::InvalidXml),
        };
        let id = block_id::read(block.text.trim()).map_err(|_| wrong(position))?;
        Ok((choice, id))
    };
    list.children.iter().enumerate().map(read).collect()
}

/// Get Block List: the client's own ids, with their plaintext's sizes.
///
/// # Errors
/// The store said no.
pub async fn get_list(exchange: &Exchange<'_>) -> Result<Response<Vec<u8>>, AzureError> {
    let passed = exchange.passed_query().into_iter().filter(|(name, _)| name != "comp");
    let lists = Lists::of(exchange, passed.collect()).await?;
    let shown = |name: &'static str, listed: &[Listed]| {
        let mut list = Element::new(name, "");
        let clients = listed
            .iter()
            .filter(|block| block.id.kind() == crate::seal::BlockKind::Client && block.id.client() != OF_PUT_BLOB);
        for block in clients {
            let mut element = Element::new("Block", "");
            element.set("Name", checks::to_base64(&block_id::shown(block.id.client())));
            let size = block.stored.segment_plain().map_or(block.stored.0, |plain| plain.0);
            element.set("Size", size.to_string());
            list.children.push(element);
        }
        list
    };
    let mut document = Element::new("BlockList", "");
    let kind = exchange
        .address
        .parameter("blocklisttype")
        .unwrap_or("committed")
        .to_ascii_lowercase();
    if kind != "uncommitted" {
        document.children.push(shown("CommittedBlocks", &lists.committed));
    }
    if kind != "committed" {
        // Of several attempts under one id the latest counts, and a client sees one.
        let mut latest: Vec<Listed> = Vec::with_capacity(lists.uncommitted.len());
        let mut places: HashMap<&[u8], usize> = HashMap::new();
        for block in &lists.uncommitted {
            match places.get(block.id.client()).and_then(|place| latest.get_mut(*place)) {
                Some(kept) if kept.id.time_ms() < block.id.time_ms() => *kept = block.clone(),
                Some(_) => {}
                None => {
                    places.insert(block.id.client(), latest.len());
                    latest.push(block.clone());
                }
            }
        }
        document.children.push(shown("UncommittedBlocks", &latest));
    }
    let mut headers = headers::to_client(&lists.head);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    if let Some(len) = plain_len(&lists) {
        headers.insert("x-ms-blob-content-length", HeaderValue::from(len));
    }
    let mut response = Response::new(document.document());
    *response.headers_mut() = headers;
    Ok(response)
}

/// The blob's length in plaintext, as far as the lists tell.
fn plain_len(lists: &Lists) -> Option<u64> {
    let stored = lists
        .head
        .get("x-ms-blob-content-length")?
        .to_str()
        .ok()?
        .parse::<u64>()
        .ok()?;
    if lists.committed.is_empty() {
        return Some(crate::seal::SealedLen(stored).plain().map_or(stored, |plain| plain.0));
    }
    let clients = lists
        .committed
        .iter()
        .filter(|block| block.id.kind() == crate::seal::BlockKind::Client);
    clients
        .map(|block| block.stored.segment_plain().map(|plain| plain.0))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_where_each_block_is_from() {
        let list = b"<?xml version=\"1.0\"?><BlockList><Latest>YQ==</Latest><Committed> Yg== </Committed><Uncommitted>Yw==</Uncommitted></BlockList>";
        let read = read_list(list).unwrap();
        let expected = [
            (Choice::Latest, b"a"),
            (Choice::Committed, b"b"),
            (Choice::Uncommitted, b"c"),
        ];
        assert_eq!(read, expected.map(|(choice, id)| (choice, id.to_vec())));
        assert_eq!(read_list(b"<BlockList/>").unwrap(), []);
        assert!(matches!(
            read_list(b"<BlockList><Newest>YQ==</Newest></BlockList>"),
            Err(AzureError::InvalidXml)
        ));
        assert!(matches!(read_list(b"<Other/>"), Err(AzureError::InvalidXml)));
        assert!(matches!(
            read_list(b"<BlockList><Latest>?</Latest></BlockList>"),
            Err(AzureError::BlockList(_))
        ));
    }
}
