//! ListObjects, ListObjectsV2 and ListObjectVersions: one walk over the index (`page`), told in three ways.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, ListObjectVersionsInput, ListObjectVersionsOutput, ListObjectsInput,
    ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, Object, ObjectStorageClass, ObjectVersion,
    ObjectVersionStorageClass,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use crate::dev::store::Store;
use crate::dev::store::bucket::owner;
use crate::dev::store::page::{Encoding, Query, common_prefixes, delimiter, page, page_size};
use crate::dev::store::record::{Record, signed};

impl Store {
    pub fn list_objects_impl(&self, req: S3Request<ListObjectsInput>) -> S3Result<S3Response<ListObjectsOutput>> {
        let input = req.input;
        let encode = Encoding::new(input.encoding_type.as_ref())?;
        let max_keys = page_size(input.max_keys)?;
        let index = self.index();
        let query = Query {
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: delimiter(input.delimiter.as_deref()),
            after: input.marker.as_deref().unwrap_or_default(),
            limit: usize::try_from(max_keys).unwrap_or_default(),
        };
        let page = page(&index.bucket(&input.bucket)?.objects, &query);
        Ok(S3Response::new(ListObjectsOutput {
            name: Some(input.bucket.clone()),
            prefix: Some(encode.apply(query.prefix)),
            marker: Some(encode.apply(query.after)),
            max_keys: Some(max_keys),
            is_truncated: Some(page.next.is_some()),
            contents: Some(page.items.iter().map(|record| object(record, encode, true)).collect()),
            common_prefixes: Some(common_prefixes(&page.prefixes, encode)),
            delimiter: query.delimiter.map(|delimiter| encode.apply(delimiter)),
            // S3 sends it only with a delimiter; without one the last key serves.
            next_marker: page
                .next
                .as_deref()
                .filter(|_| query.delimiter.is_some())
                .map(|next| encode.apply(next)),
            encoding_type: input.encoding_type,
            ..ListObjectsOutput::default()
        }))
    }

    pub fn list_objects_v2_impl(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = req.input;
        let encode = Encoding::new(input.encoding_type.as_ref())?;
        let max_keys = page_size(input.max_keys)?;
        // An empty one is none.
        let token = input
            .continuation_token
            .as_deref()
            .filter(|token| !token.is_empty())
            .map(from_token)
            .transpose()?;
        let start_after = input.start_after.as_deref().unwrap_or_default();
        let index = self.index();
        let query = Query {
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: delimiter(input.delimiter.as_deref()),
            after: token.as_deref().unwrap_or(start_after),
            limit: usize::try_from(max_keys).unwrap_or_default(),
        };
        let page = page(&index.bucket(&input.bucket)?.objects, &query);
        let with_owner = input.fetch_owner.unwrap_or(false);
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket.clone()),
            prefix: Some(encode.apply(query.prefix)),
            max_keys: Some(max_keys),
            key_count: i32::try_from(page.items.len() + page.prefixes.len()).ok(),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next.as_deref().map(|next| BASE64_URL_SAFE_NO_PAD.encode(next)),
            contents: Some(
                page.items
                    .iter()
                    .map(|record| object(record, encode, with_owner))
                    .collect(),
            ),
            common_prefixes: Some(common_prefixes(&page.prefixes, encode)),
            delimiter: query.delimiter.map(|delimiter| encode.apply(delimiter)),
            encoding_type: input.encoding_type,
            start_after: input.start_after.as_deref().map(|start| encode.apply(start)),
            continuation_token: input.continuation_token.clone(),
            ..ListObjectsV2Output::default()
        }))
    }

    /// Of an unversioned bucket: every object is the latest version, `null`.
    pub fn list_object_versions_impl(
        &self,
        req: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        let input = req.input;
        let encode = Encoding::new(input.encoding_type.as_ref())?;
        let max_keys = page_size(input.max_keys)?;
        let index = self.index();
        let query = Query {
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: delimiter(input.delimiter.as_deref()),
            after: input.key_marker.as_deref().unwrap_or_default(),
            limit: usize::try_from(max_keys).unwrap_or_default(),
        };
        let page = page(&index.bucket(&input.bucket)?.objects, &query);
        Ok(S3Response::new(ListObjectVersionsOutput {
            name: Some(input.bucket.clone()),
            prefix: Some(encode.apply(query.prefix)),
            key_marker: Some(encode.apply(query.after)),
            version_id_marker: input.version_id_marker,
            max_keys: Some(max_keys),
            is_truncated: Some(page.next.is_some()),
            next_key_marker: page.next.as_deref().map(|next| encode.apply(next)),
            next_version_id_marker: page.next.as_ref().map(|_| "null".to_owned()),
            versions: Some(page.items.iter().map(|record| version(record, encode)).collect()),
            common_prefixes: Some(common_prefixes(&page.prefixes, encode)),
            delimiter: query.delimiter.map(|delimiter| encode.apply(delimiter)),
            encoding_type: input.encoding_type,
            ..ListObjectVersionsOutput::default()
        }))
    }
}

fn from_token(token: &str) -> S3Result<String> {
    let key = BASE64_URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    key.filter(|key| !key.is_empty())
        .ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))
}

fn object(record: &Record, encode: Encoding, with_owner: bool) -> Object {
    Object {
        key: Some(encode.apply(&record.key)),
        e_tag: Some(record.etag()),
        size: Some(signed(record.size)),
        last_modified: Some(record.last_modified()),
        storage_class: Some(ObjectStorageClass::from(record.storage_class())),
        checksum_algorithm: Some(vec![ChecksumAlgorithm::from_static(record.checksum.algorithm.as_str())]),
        checksum_type: Some(ChecksumType::from_static(record.checksum.kind.as_str())),
        owner: with_owner.then(owner),
        ..Object::default()
    }
}

fn version(record: &Record, encode: Encoding) -> ObjectVersion {
    ObjectVersion {
        key: Some(encode.apply(&record.key)),
        version_id: Some("null".to_owned()),
        is_latest: Some(true),
        e_tag: Some(record.etag()),
        size: Some(signed(record.size)),
        last_modified: Some(record.last_modified()),
        storage_class: Some(ObjectVersionStorageClass::from(record.storage_class())),
        checksum_algorithm: Some(vec![ChecksumAlgorithm::from_static(record.checksum.algorithm.as_str())]),
        checksum_type: Some(ChecksumType::from_static(record.checksum.kind.as_str())),
        owner: Some(owner()),
        ..ObjectVersion::default()
    }
}
