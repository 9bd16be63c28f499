//! The sealed object format, version 1: what lies in the store, and nothing of how it gets there. Pure: no I/O, no
//! clock, no async, no HTTP; the one thing asked of the system is random bytes.
//!
//! A **segment** is a [`Header`] and its chunks. A whole object is one segment and its padding. A multipart object is
//! its parts' (on Azure: its blocks') segments in order, padding, and a footer: a segment whose content is the
//! [`Table`] and whose header stands last. An append blob is a row of segments.
//!
//! Read in this order: `law` (sizes), `header` and `envelope` (the bytes), `origin` (who made the DEK), `context`
//! (which object this is), `derive` (which keys follow), `chunk` and `segment` (sealing and opening), `range`; then
//! `table`, `multipart`, `layout` and `read` for objects of many segments, `append`; last the rules around them,
//! `upload` for S3 and `block_id` for Azure.

#![warn(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation
    )
)]

mod append;
mod block_id;
mod checksums;
mod chunk;
mod context;
mod dek;
mod derive;
mod envelope;
mod find;
#[doc(hidden)]
pub mod fuzz;
mod header;
mod law;
mod layout;
mod multipart;
mod origin;
mod random;
mod range;
mod read;
mod segment;
mod table;
mod upload;

pub use append::{AppendRead, seal_append};
pub use block_id::{BlockId, BlockKind, Choice, ChoiceError, Chosen, MAX_BLOCKS, MAX_CLIENT_ID, choose_blocks};
pub use checksums::{Checksum, ChecksumKind, ChecksumLength, Checksums};
pub use chunk::{Opener, SealError, SealedChunk, Sealer, Tampered};
pub use context::{Binding, Domain, Place};
pub use dek::{Dek, DekError, DekId};
pub use derive::{Alias, AliasKey, MetadataKey};
pub use envelope::{CmkRef, Envelope, EnvelopeError, KeyVersion, NotHex, WrapAlgorithm};
pub use find::{AppendSearch, Mark};
pub use header::{Core, Header, Kind, Malformed};
pub use law::{
    APPEND_OVERHEAD, CHUNK_LEN, CORE_LEN, ChunkIndex, HEADER_LEN, MAX_APPEND_BLOCKS, MAX_APPEND_LEN, MAX_PLAIN_LEN,
    Padding, PlainLen, SEALED_CHUNK_LEN, SealedLen, TAG_LEN,
};
pub use layout::{Footer, Layout, Segment, open_footer};
pub use multipart::{BlockPlace, Tail, seal_block, seal_footer, seal_part};
pub use origin::{FalseOrigin, OriginSecrets, WeakSecret};
pub use random::RandomError;
pub use range::{ChunkSpan, PlainRange, StoredAsk, StoredRange, stored_ask};
pub use read::{MultipartRead, Wants};
pub use segment::{open_bound, open_metadata, open_segment, open_whole, seal_whole};
pub use table::{Entry, Table, TableError, footer_ask, footer_len};
pub use upload::{
    CompleteError, Completion, ListedPart, MAX_PART_NUMBER, MIN_PART_LEN, PartHome, StoredPart, part_home,
    plan_complete,
};

#[cfg(test)]
mod tests;
