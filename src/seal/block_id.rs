//! Azure block ids as sent upstream. A client reuses its ids (`000001` …) from one version of a blob to the next; with
//! the time and a piece of the segment's salt in the id no two blocks ever share one, and the table, which binds the
//! whole id, pins the very segment.
//!
//! `client's id (1 to 48 bytes) ‖ kind and length 1 ‖ time in ms 6 ‖ first 9 bytes of the segment's salt`, big-endian.
//! Kind is the upper two bits (0 a client's block, 1 the footer), the client's length the lower six. Azure takes ids of
//! 64 bytes at most, and wants all ids of one blob equally long, so a footer's id holds as many zeros as its blob's
//! clients' ids hold bytes.

use std::collections::HashMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::seal::header::take;
use crate::seal::{Core, Malformed};

/// The longest id of a client's, in bytes before base64: what SDKs use.
pub const MAX_CLIENT_ID: usize = 48;
/// The most blocks a client may commit: Azure's 50,000 less the footer.
pub const MAX_BLOCKS: usize = 49_999;

const SUFFIX_LEN: usize = 16;
const TIME_BITS: u32 = 48;

/// Whose a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum BlockKind {
    Client = 0,
    Footer = 1,
}

/// An id as sent upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlockId {
    kind: BlockKind,
    client: Vec<u8>,
    time_ms: u64,
    salt: [u8; 9],
}

/// Which of a client's blocks a block list asks for (Put Block List's `Latest`, `Committed`, `Uncommitted`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    Latest,
    Committed,
    Uncommitted,
}

/// A block chosen from the upstream's lists, by its place there. A committed block's entry comes from the blob's table,
/// since it may have been sealed under another name before a copy; an uncommitted one's binding follows from its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Chosen {
    Committed(usize),
    Uncommitted(usize),
}

/// Why a block list can't be committed: Azure's `InvalidBlockList`, `BlockListTooLong`.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum ChoiceError {
    #[error("no such block: number {position} of the list")]
    Unknown { position: usize },
    #[error("{found} blocks; 49,999 are the most")]
    TooMany { found: usize },
}

impl BlockId {
    /// A client's block, sealed with this salt, at this time of the store's clock (Unix, in ms).
    pub(super) fn client_block(client: &[u8], time_ms: u64, salt: &[u8; 32]) -> Option<Self> {
        Self::of(BlockKind::Client, client.to_vec(), time_ms, salt)
    }

    /// The id of the footer with this core, in a blob whose clients' ids have `client_len` bytes; `None` when no id is
    /// that long.
    #[must_use]
    pub fn footer(client_len: usize, time_ms: u64, core: &Core) -> Option<Self> {
        let client = if client_len > MAX_CLIENT_ID {
            Vec::new()
        } else {
            vec![0; client_len]
        };
        Self::of(BlockKind::Footer, client, time_ms, core.salt())
    }

    /// Reads an upstream id's raw bytes.
    ///
    /// # Errors
    /// No gate made it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let (client, suffix) = bytes.split_last_chunk::<SUFFIX_LEN>().ok_or(Malformed::BlockId)?;
        let [first] = take(suffix, 0)?;
        let kind = match first >> 6 {
            0 => BlockKind::Client,
            1 => BlockKind::Footer,
            _ => return Err(Malformed::BlockId),
        };
        let fits = (1..=MAX_CLIENT_ID).contains(&client.len()) && usize::from(first & 0x3f) == client.len();
        if !fits || (kind == BlockKind::Footer && client.iter().any(|byte| *byte != 0)) {
            return Err(Malformed::BlockId);
        }
        let [a, b, c, d, e, f] = take(suffix, 1)?;
        let time_ms = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        Ok(Self {
            kind,
            client: client.to_vec(),
            time_ms,
            salt: take(suffix, 7)?,
        })
    }

    /// Reads the text of a block list.
    ///
    /// # Errors
    /// Not base64, or no gate made it.
    pub fn from_base64(text: &str) -> Result<Self, Malformed> {
        Self::parse(&BASE64_STANDARD.decode(text).map_err(|_| Malformed::BlockId)?)
    }

    /// The raw bytes, which the segment is bound to.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let length = u8::try_from(self.client.len()).unwrap_or_default(); // 48 at most, by construction
        let mut bytes = self.client.clone();
        bytes.push(((self.kind as u8) << 6) | length);
        bytes.extend(self.time_ms.to_be_bytes().iter().skip(2));
        bytes.extend_from_slice(&self.salt);
        bytes
    }

    /// As Put Block and Put Block List want it.
    #[must_use]
    pub fn to_base64(&self) -> String {
        BASE64_STANDARD.encode(self.to_bytes())
    }

    #[must_use]
    pub fn kind(&self) -> BlockKind {
        self.kind
    }

    /// The id the client gave, as raw bytes.
    #[must_use]
    pub fn client(&self) -> &[u8] {
        &self.client
    }

    #[must_use]
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    fn of(kind: BlockKind, client: Vec<u8>, time_ms: u64, salt: &[u8; 32]) -> Option<Self> {
        let fits = (1..=MAX_CLIENT_ID).contains(&client.len()) && time_ms.checked_shr(TIME_BITS) == Some(0);
        Some(Self {
            kind,
            client,
            time_ms,
            salt: take(salt, 0).ok()?,
        })
        .filter(|_| fits)
    }
}

/// Picks what a client's block list asks for from the upstream's. Of several blocks with one client's id the latest
/// counts (of two in the same millisecond the one with the greater salt, so that all replicas agree); footers are never
/// picked.
///
/// # Errors
/// A block that is not there, or too many of them.
pub fn choose_blocks(
    asked: &[(Choice, &[u8])],
    committed: &[BlockId],
    uncommitted: &[BlockId],
) -> Result<Vec<Chosen>, ChoiceError> {
    if asked.len() > MAX_BLOCKS {
        return Err(ChoiceError::TooMany { found: asked.len() });
    }
    let (committed, uncommitted) = (latest(committed), latest(uncommitted));
    let pick = |position, (choice, client): &(Choice, &[u8])| {
        let old = || committed.get(client).map(|(at, _)| Chosen::Committed(*at));
        let new = || uncommitted.get(client).map(|(at, _)| Chosen::Uncommitted(*at));
        let chosen = match choice {
            Choice::Latest => new().or_else(old),
            Choice::Committed => old(),
            Choice::Uncommitted => new(),
        };
        chosen.ok_or(ChoiceError::Unknown { position })
    };
    asked
        .iter()
        .enumerate()
        .map(|(position, one)| pick(position, one))
        .collect()
}

/// By client's id, the place of its latest block.
fn latest(blocks: &[BlockId]) -> HashMap<&[u8], (usize, &BlockId)> {
    let mut by_client = HashMap::new();
    for (at, block) in blocks
        .iter()
        .enumerate()
        .filter(|(_, block)| block.kind == BlockKind::Client)
    {
        let kept = by_client.entry(block.client.as_slice()).or_insert((at, block));
        if (block.time_ms, block.salt) > (kept.1.time_ms, kept.1.salt) {
            *kept = (at, block);
        }
    }
    by_client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(client: &str, time_ms: u64, salt: u8) -> BlockId {
        BlockId::client_block(client.as_bytes(), time_ms, &[salt; 32]).unwrap()
    }

    #[test]
    fn ids_round_trip_and_never_exceed_azures_64_bytes() {
        for len in [1, 2, 36, 48] {
            let id = BlockId::client_block(&vec![0xfe; len], (1 << 48) - 1, &[7; 32]).unwrap();
            assert_eq!(id.to_bytes().len(), len + 16);
            assert_eq!(BlockId::parse(&id.to_bytes()), Ok(id.clone()));
            assert_eq!(BlockId::from_base64(&id.to_base64()), Ok(id));
        }
        assert_eq!(BlockId::client_block(&[], 0, &[7; 32]), None);
        assert_eq!(BlockId::client_block(&[0; 49], 0, &[7; 32]), None);
        assert_eq!(BlockId::client_block(&[0; 48], 1 << 48, &[7; 32]), None);
    }

    #[test]
    fn ids_no_gate_made_are_refused() {
        let bytes = block("000001", 5, 7).to_bytes();
        let changed = |at: usize, with: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = with;
            BlockId::parse(&bytes)
        };
        for first in [5, 7, 0x46, 0x86, 0xc6, 0] {
            assert_eq!(changed(6, first), Err(Malformed::BlockId), "{first:#x}");
        }
        for len in [0, 1, 15, 16, 21] {
            assert_eq!(BlockId::parse(&bytes[..len]), Err(Malformed::BlockId), "{len}");
        }
    }

    #[test]
    fn latest_committed_and_uncommitted_are_chosen_as_azure_does() {
        let committed = [block("a", 1, 0), block("b", 1, 0), block("a", 1, 0)];
        let uncommitted = [block("a", 5, 1), block("a", 9, 0), block("a", 9, 2), block("c", 2, 0)];
        let choose = |asked: &[(Choice, &[u8])]| choose_blocks(asked, &committed, &uncommitted);
        let all = choose(&[
            (Choice::Latest, b"a"),
            (Choice::Committed, b"a"),
            (Choice::Latest, b"b"),
            (Choice::Uncommitted, b"c"),
            (Choice::Uncommitted, b"c"),
        ]);
        let expected = vec![
            Chosen::Uncommitted(2),
            Chosen::Committed(0),
            Chosen::Committed(1),
            Chosen::Uncommitted(3),
            Chosen::Uncommitted(3),
        ];
        assert_eq!(all, Ok(expected));
        for (choice, client) in [
            (Choice::Committed, b"c"),
            (Choice::Uncommitted, b"b"),
            (Choice::Latest, b"d"),
        ] {
            let asked: [(Choice, &[u8]); 2] = [(Choice::Latest, b"a"), (choice, client)];
            assert_eq!(choose(&asked), Err(ChoiceError::Unknown { position: 1 }));
        }
        assert_eq!(choose(&[]), Ok(vec![]));
        let many: Vec<(Choice, &[u8])> = vec![(Choice::Latest, b"a"); 50_000];
        assert_eq!(choose(&many), Err(ChoiceError::TooMany { found: 50_000 }));
    }
}
