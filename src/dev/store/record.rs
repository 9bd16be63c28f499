//! What the store keeps about an object beside its bytes, as JSON on disk.

use std::collections::BTreeMap;

use s3s::dto::{ETag, Timestamp};
use serde::{Deserialize, Serialize};

use crate::dev::store::checksum::Checksum;

/// One object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The key itself: the file name may have lost it.
    pub key: String,
    /// Bytes of the body.
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    /// Unix seconds: S3's Last-Modified has no finer grain, and conditions compare it.
    pub modified: i64,
    /// What the client said about it.
    #[serde(flatten)]
    pub attributes: Attributes,
    /// S3 keeps one for every object: CRC64NVME if the client chose none.
    pub checksum: Checksum,
    /// The parts it was completed from; empty for an object put in one piece.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Piece>,
    /// The upload it was completed from, so that a client that lost the answer may complete it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<String>,
    /// The name under `tmp/` its body was received as, which tells a restart whether the body had been moved yet.
    pub staged: String,
}

/// One part of a completed object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Piece {
    /// 1 to 10000.
    pub number: i32,
    /// Bytes.
    pub size: u64,
    /// As the part was uploaded.
    pub checksum: Checksum,
}

/// What a client sets when it creates an object or an upload, returned as it was given.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Attributes {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub content_language: Option<String>,
    pub content_disposition: Option<String>,
    pub cache_control: Option<String>,
    /// Unix seconds.
    pub expires: Option<i64>,
    pub website_redirect_location: Option<String>,
    /// A label only: objects of every class can be read at once.
    pub storage_class: Option<String>,
    /// Lower-case names without `x-amz-meta-`.
    pub metadata: BTreeMap<String, String>,
    pub tags: Vec<(String, String)>,
}

impl Record {
    /// As the wire has it.
    pub fn etag(&self) -> ETag {
        ETag::Strong(self.etag.clone())
    }

    pub fn last_modified(&self) -> Timestamp {
        timestamp(self.modified)
    }

    /// `STANDARD` when none was asked for.
    pub fn storage_class(&self) -> String {
        self.attributes
            .storage_class
            .clone()
            .unwrap_or_else(|| "STANDARD".to_owned())
    }
}

/// The store's clock, in Unix seconds. It is the real one, as a store outside would have: tests that move the gate's clock
/// do not move the world's.
pub fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

pub fn timestamp(unix: i64) -> Timestamp {
    time::OffsetDateTime::from_unix_timestamp(unix)
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
        .into()
}

pub fn unix(at: Timestamp) -> i64 {
    time::OffsetDateTime::from(at).unix_timestamp()
}

/// Sizes as `s3s` has them: no file is longer than `i64` counts.
pub fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
