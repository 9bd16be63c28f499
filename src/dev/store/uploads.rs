//! Multipart uploads in progress, as the index and the disk hold them, and ListMultipartUploads.

use std::collections::BTreeMap;

use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, Initiator, ListMultipartUploadsInput, ListMultipartUploadsOutput, MultipartUpload,
    StorageClass,
};
use s3s::{S3Request, S3Response, S3Result};
use serde::{Deserialize, Serialize};

use crate::dev::store::Store;
use crate::dev::store::bucket::owner;
use crate::dev::store::checksum::{Algorithm, Checksum, Kind};
use crate::dev::store::page::{Encoding, Query, common_prefix, common_prefixes, delimiter, page_size};
use crate::dev::store::record::{Attributes, Piece, timestamp};

/// S3's limit.
pub const MAX_PARTS: i32 = 10_000;

/// One upload. Its attributes become the object's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Upload {
    pub id: String,
    pub bucket: String,
    pub key: String,
    /// Unix seconds.
    pub initiated: i64,
    pub attributes: Attributes,
    /// The checksum asked for; without one S3 computes CRC64NVME of the whole.
    pub checksum: Option<(Algorithm, Kind)>,
    /// By number; on disk each has a file of its own.
    #[serde(skip)]
    pub parts: BTreeMap<i32, Part>,
}

/// One part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// 1 to [`MAX_PARTS`].
    pub number: i32,
    /// The name of its body in the upload's directory.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// MD5 in hex.
    pub etag: String,
    pub checksum: Checksum,
    /// Unix seconds.
    pub modified: i64,
}

impl Store {
    pub fn list_multipart_uploads_impl(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = req.input;
        let encode = Encoding::new(input.encoding_type.as_ref())?;
        let max_uploads = page_size(input.max_uploads)?;
        let key_marker = input.key_marker.as_deref().unwrap_or_default();
        // S3 ignores an upload id without a key.
        let id_marker = input.upload_id_marker.as_deref().filter(|_| !key_marker.is_empty());
        let query = Query {
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: delimiter(input.delimiter.as_deref()),
            after: key_marker,
            limit: usize::try_from(max_uploads).unwrap_or_default(),
        };
        let index = self.index();
        let (mut uploads, mut prefixes): (Vec<MultipartUpload>, Vec<String>) = Default::default();
        let (mut last, mut truncated) = (None, false);
        for ((key, id), upload) in &index.bucket(&input.bucket)?.uploads {
            let behind = key.as_str() > key_marker
                || (key == key_marker && id_marker.is_some_and(|marker| id.as_str() > marker));
            if !behind || !key.starts_with(query.prefix) {
                continue;
            }
            let common = common_prefix(key, &query);
            if common.is_some_and(|common| common <= key_marker || prefixes.last().is_some_and(|last| last == common)) {
                continue;
            }
            if uploads.len() + prefixes.len() >= query.limit {
                truncated = query.limit > 0;
                break;
            }
            match common {
                Some(common) => {
                    prefixes.push(common.to_owned());
                    last = Some((common.to_owned(), String::new()));
                }
                None => {
                    uploads.push(upload_entry(upload, encode));
                    last = Some((key.clone(), id.clone()));
                }
            }
        }
        let (next_key, next_id) = last.filter(|_| truncated).unzip();
        Ok(S3Response::new(ListMultipartUploadsOutput {
            bucket: Some(input.bucket.clone()),
            prefix: Some(encode.apply(query.prefix)),
            delimiter: query.delimiter.map(|delimiter| encode.apply(delimiter)),
            key_marker: Some(encode.apply(key_marker)),
            upload_id_marker: Some(id_marker.unwrap_or_default().to_owned()),
            max_uploads: Some(max_uploads),
            is_truncated: Some(truncated),
            next_key_marker: next_key.map(|key| encode.apply(&key)),
            next_upload_id_marker: next_id,
            uploads: Some(uploads),
            common_prefixes: Some(common_prefixes(&prefixes, encode)),
            encoding_type: input.encoding_type,
            ..ListMultipartUploadsOutput::default()
        }))
    }
}

impl From<&Part> for Piece {
    fn from(part: &Part) -> Self {
        Self {
            number: part.number,
            size: part.size,
            checksum: part.checksum.clone(),
        }
    }
}

fn upload_entry(upload: &Upload, encode: Encoding) -> MultipartUpload {
    MultipartUpload {
        key: Some(encode.apply(&upload.key)),
        upload_id: Some(upload.id.clone()),
        initiated: Some(timestamp(upload.initiated)),
        storage_class: Some(class(upload)),
        checksum_algorithm: upload
            .checksum
            .map(|(algorithm, _)| ChecksumAlgorithm::from_static(algorithm.as_str())),
        checksum_type: upload
            .checksum
            .map(|(_, kind)| ChecksumType::from_static(kind.as_str())),
        owner: Some(owner()),
        initiator: Some(initiator()),
    }
}

pub fn class(upload: &Upload) -> StorageClass {
    upload
        .attributes
        .storage_class
        .clone()
        .map_or(StorageClass::from_static(StorageClass::STANDARD), StorageClass::from)
}

pub fn initiator() -> Initiator {
    let owner = owner();
    Initiator {
        display_name: owner.display_name,
        id: owner.id,
    }
}
