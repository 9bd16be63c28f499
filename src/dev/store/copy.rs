//! CopyObject, and the copying of bytes that it shares with multipart uploads.

use std::fs::File;
use std::io::{self, Read, Write as _};

use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{
    ChecksumType, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, MetadataDirective, TaggingDirective,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use crate::dev::store::Store;
use crate::dev::store::checksum::{Algorithm, Hasher, set_checksum};
use crate::dev::store::claims::known;
use crate::dev::store::condition::Conditions;
use crate::dev::store::disk::Staged;
use crate::dev::store::objects::{Finished, WriteConditions};
use crate::dev::store::receive::{MAX_BODY, Received};
use crate::dev::store::record::Attributes;
use crate::dev::store::request::{attributes, refuse_unknown};

/// Bytes copied at a time.
const BLOCK: usize = 256 * 1024;

impl Store {
    pub async fn copy_object_impl(&self, req: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        let mut input = req.input;
        refuse_unknown!(input)?;
        let replace = match input.metadata_directive.as_ref().map(MetadataDirective::as_str) {
            None | Some(MetadataDirective::COPY) => false,
            Some(MetadataDirective::REPLACE) => true,
            Some(_) => return Err(s3_error!(InvalidArgument, "Unknown metadata directive.")),
        };
        let replace_tags = match input.tagging_directive.as_ref().map(TaggingDirective::as_str) {
            None | Some(TaggingDirective::COPY) => false,
            Some(TaggingDirective::REPLACE) => true,
            Some(_) => return Err(s3_error!(InvalidArgument, "Unknown tagging directive.")),
        };
        let (source_bucket, source_key, source_version) = source(&input.copy_source)?;
        let conditions = Conditions {
            matches: input.copy_source_if_match.take(),
            none_match: input.copy_source_if_none_match.take(),
            modified_since: input.copy_source_if_modified_since.take(),
            unmodified_since: input.copy_source_if_unmodified_since.take(),
        };
        let given = attributes!(input)?;
        self.index().bucket(&input.bucket)?;
        let (record, mut file) = self.open_object(source_bucket, source_key, source_version)?;
        conditions.check_copy(&record)?;
        let onto_itself = source_bucket == input.bucket && source_key == input.key;
        if onto_itself && !replace && given.storage_class.is_none() && given.website_redirect_location.is_none() {
            return Err(s3_error!(
                InvalidRequest,
                "This copy request is illegal because it is trying to copy an object to itself without changing the \
                 object's metadata, storage class, website redirect location or encryption attributes."
            ));
        }
        if record.size > MAX_BODY {
            return Err(s3_error!(
                InvalidRequest,
                "The specified copy source is larger than the maximum allowable size for a copy source: {MAX_BODY}"
            ));
        }

        // The copy is one piece, so its ETag and checksum are of all its bytes, whatever the source's were of.
        let asked = input
            .checksum_algorithm
            .as_ref()
            .map(|name| known(name.as_str()))
            .transpose()?;
        let algorithm = asked.unwrap_or(record.checksum.algorithm);
        let copied = copying(self.disk().stage(), algorithm, move |copy| {
            copy.append(&mut file, u64::MAX)
        });
        let copied = copied.await.map_err(S3Error::internal_error)?;
        let finished = Finished {
            key: input.key,
            staged: copied.staged,
            size: copied.size,
            etag: copied.etag,
            checksum: copied.checksum,
            attributes: merge(given, &record.attributes, replace, replace_tags),
            parts: Vec::new(),
            upload: None,
        };
        let record = self.publish(&input.bucket, finished, &WriteConditions::default())?;
        let mut result = CopyObjectResult {
            e_tag: Some(record.etag()),
            last_modified: Some(record.last_modified()),
            checksum_type: Some(ChecksumType::from_static(record.checksum.kind.as_str())),
            ..CopyObjectResult::default()
        };
        set_checksum!(result, &record.checksum);
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(result),
            ..CopyObjectOutput::default()
        }))
    }
}

/// Bucket, key and version of a copy's source.
pub fn source(source: &CopySource) -> S3Result<(&str, &str, Option<&str>)> {
    match source {
        CopySource::Bucket {
            bucket,
            key,
            version_id,
        } => Ok((bucket, key, version_id.as_deref())),
        CopySource::AccessPoint { .. } | CopySource::Outpost { .. } => {
            Err(s3_error!(NotImplemented, "This store has no access points"))
        }
    }
}

/// What the copy says of itself. Storage class and redirect are never copied.
fn merge(given: Attributes, source: &Attributes, replace: bool, replace_tags: bool) -> Attributes {
    let tags = if replace_tags {
        given.tags.clone()
    } else {
        source.tags.clone()
    };
    if replace {
        return Attributes { tags, ..given };
    }
    Attributes {
        storage_class: given.storage_class,
        website_redirect_location: given.website_redirect_location,
        tags,
        ..source.clone()
    }
}

/// A file being put together, with its digests.
pub struct Copy {
    target: File,
    md5: Md5,
    hasher: Hasher,
    size: u64,
    block: Vec<u8>,
}

impl Copy {
    /// Adds the next `length` bytes of `from`, or all there are.
    pub fn append(&mut self, from: &mut File, length: u64) -> io::Result<()> {
        let mut from = from.take(length);
        loop {
            let read = from.read(&mut self.block)?;
            let bytes = self.block.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(());
            }
            self.md5.update(bytes);
            self.hasher.update(bytes);
            self.target.write_all(bytes)?;
            self.size = self.size.saturating_add(bytes.len() as u64);
        }
    }
}

/// Puts a file together on a thread that may block.
pub async fn copying(
    staged: Staged,
    algorithm: Algorithm,
    work: impl FnOnce(&mut Copy) -> io::Result<()> + Send + 'static,
) -> io::Result<Received> {
    let work = move || {
        let mut copy = Copy {
            target: File::create(staged.path())?,
            md5: Md5::new(),
            hasher: Hasher::new(algorithm),
            size: 0,
            block: vec![0; BLOCK],
        };
        work(&mut copy)?;
        let Copy { md5, hasher, size, .. } = copy;
        Ok(Received {
            staged,
            size,
            etag: hex::encode(md5.finalize()),
            checksum: hasher.finish(),
        })
    };
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
