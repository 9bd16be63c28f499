//! PutObject, and the one place where an object is published.

use std::sync::Arc;

use s3s::dto::{ChecksumType, ETagCondition, PutObjectInput, PutObjectOutput};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use crate::dev::store::Store;
use crate::dev::store::checksum::{Checksum, set_checksum};
use crate::dev::store::claims::{Claims, given_checksums};
use crate::dev::store::condition::check_write;
use crate::dev::store::disk::Staged;
use crate::dev::store::index::Bucket;
use crate::dev::store::receive::{declared_length, receive};
use crate::dev::store::record::{Attributes, Piece, Record, now};
use crate::dev::store::request::{attributes, refuse_unknown};

/// All it takes to publish an object: a body under `tmp/` and what is known about it.
pub struct Finished {
    pub key: String,
    pub staged: Staged,
    /// Bytes.
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    pub checksum: Checksum,
    pub attributes: Attributes,
    pub parts: Vec<Piece>,
    /// The id of the upload it was completed from.
    pub upload: Option<String>,
}

/// The conditions of a write.
#[derive(Default)]
pub struct WriteConditions {
    pub matches: Option<ETagCondition>,
    pub none_match: Option<ETagCondition>,
}

impl Store {
    pub async fn put_object_impl(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let S3Request {
            mut input,
            headers,
            trailing_headers,
            ..
        } = req;
        refuse_unknown!(input)?;
        if input.write_offset_bytes.is_some() {
            return Err(s3_error!(NotImplemented, "Appending needs a directory bucket"));
        }
        let attributes = attributes!(input)?;
        let claims = Claims::read(input.content_md5.as_deref(), given_checksums!(input), &headers)?;
        let length = declared_length(input.content_length, &headers)?;
        // Asked before the body is read, so that a client that waits for 100 Continue need not send it.
        self.index().bucket(&input.bucket)?;
        let received = receive(self.disk(), input.body.take(), length, claims, trailing_headers).await?;
        let finished = Finished {
            key: input.key,
            staged: received.staged,
            size: received.size,
            etag: received.etag,
            checksum: received.checksum,
            attributes,
            parts: Vec::new(),
            upload: None,
        };
        let conditions = WriteConditions {
            matches: input.if_match,
            none_match: input.if_none_match,
        };
        let record = self.publish(&input.bucket, finished, &conditions)?;
        let mut output = PutObjectOutput {
            e_tag: Some(record.etag()),
            checksum_type: Some(ChecksumType::from_static(record.checksum.kind.as_str())),
            ..PutObjectOutput::default()
        };
        set_checksum!(output, &record.checksum);
        Ok(S3Response::new(output))
    }

    /// Publishes an object if its conditions hold at that moment.
    pub fn publish(&self, bucket: &str, finished: Finished, conditions: &WriteConditions) -> S3Result<Arc<Record>> {
        let mut index = self.index_mut();
        self.publish_in(index.bucket_mut(bucket)?, bucket, finished, conditions)
    }

    /// The same for a caller who holds the index, and has more to do in it at that moment.
    pub fn publish_in(
        &self,
        bucket: &mut Bucket,
        bucket_name: &str,
        finished: Finished,
        conditions: &WriteConditions,
    ) -> S3Result<Arc<Record>> {
        let Finished {
            key,
            staged,
            size,
            etag,
            checksum,
            attributes,
            parts,
            upload,
        } = finished;
        let current = bucket.objects.get(&key).map(AsRef::as_ref);
        check_write(current, conditions.matches.as_ref(), conditions.none_match.as_ref())?;
        let staged_as = staged.name();
        let record = Arc::new(Record {
            key,
            size,
            etag,
            modified: now(),
            attributes,
            checksum,
            parts,
            upload,
            staged: staged_as,
        });
        self.disk()
            .publish(bucket_name, &record, staged)
            .map_err(S3Error::internal_error)?;
        bucket.objects.insert(record.key.clone(), Arc::clone(&record));
        Ok(record)
    }
}
