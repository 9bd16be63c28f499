//! What the disk holds, in memory and in S3's order (by the bytes of the key).

use std::collections::BTreeMap;
use std::sync::Arc;

use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use serde::{Deserialize, Serialize};

use crate::dev::store::record::Record;
use crate::dev::store::uploads::Upload;

/// All buckets.
#[derive(Default)]
pub struct Index {
    pub buckets: BTreeMap<String, Bucket>,
}

/// One bucket. Versions would make `objects` a map to the versions of a key, newest first; everything reads and writes it
/// through [`Bucket::object`] and the two places that publish.
#[derive(Default)]
pub struct Bucket {
    pub made: BucketRecord,
    pub objects: BTreeMap<String, Arc<Record>>,
    /// By key, then by id, which sorts by age.
    pub uploads: BTreeMap<(String, String), Upload>,
}

/// What is kept about a bucket on disk.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct BucketRecord {
    /// Unix seconds.
    pub created: i64,
    /// As the client gave it.
    pub region: Option<String>,
}

impl Index {
    pub fn bucket(&self, name: &str) -> S3Result<&Bucket> {
        self.buckets.get(name).ok_or_else(no_such_bucket)
    }

    pub fn bucket_mut(&mut self, name: &str) -> S3Result<&mut Bucket> {
        self.buckets.get_mut(name).ok_or_else(no_such_bucket)
    }
}

impl Bucket {
    /// The object `key`, in the version asked for: an unversioned bucket has only `null`.
    pub fn object(&self, key: &str, version: Option<&str>) -> S3Result<&Arc<Record>> {
        if !matches!(version, None | Some("null")) {
            return Err(s3_error!(NoSuchVersion, "The specified version does not exist."));
        }
        self.objects.get(key).ok_or_else(no_such_key)
    }

    pub fn upload(&self, key: &str, id: &str) -> S3Result<&Upload> {
        self.uploads
            .get(&(key.to_owned(), id.to_owned()))
            .ok_or_else(no_such_upload)
    }

    pub fn upload_mut(&mut self, key: &str, id: &str) -> S3Result<&mut Upload> {
        self.uploads
            .get_mut(&(key.to_owned(), id.to_owned()))
            .ok_or_else(no_such_upload)
    }
}

fn no_such_bucket() -> S3Error {
    S3Error::with_message(S3ErrorCode::NoSuchBucket, "The specified bucket does not exist")
}

pub fn no_such_key() -> S3Error {
    S3Error::with_message(S3ErrorCode::NoSuchKey, "The specified key does not exist.")
}

pub fn no_such_upload() -> S3Error {
    S3Error::with_message(
        S3ErrorCode::NoSuchUpload,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or \
         completed.",
    )
}
