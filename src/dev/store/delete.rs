//! DeleteObject and DeleteObjects.

use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETagCondition,
    Error as DeleteError, Timestamp,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use crate::dev::store::Store;
use crate::dev::store::condition::check_write;
use crate::dev::store::record::{signed, unix};

/// S3's limit for one DeleteObjects.
const MAX_KEYS: usize = 1000;

/// What a delete depends on.
struct DeleteConditions {
    matches: Option<ETagCondition>,
    /// Bytes; with the time, of directory buckets, but harmless to honour.
    size: Option<i64>,
    modified: Option<Timestamp>,
}

impl Store {
    pub fn delete_object_impl(&self, req: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = req.input;
        let conditions = DeleteConditions {
            matches: input.if_match,
            size: input.if_match_size,
            modified: input.if_match_last_modified_time,
        };
        self.delete(&input.bucket, &input.key, input.version_id.as_deref(), &conditions)?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    pub fn delete_objects_impl(&self, req: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = req.input;
        if input.delete.objects.is_empty() || input.delete.objects.len() > MAX_KEYS {
            return Err(s3_error!(MalformedXML, "DeleteObjects takes 1 to {MAX_KEYS} keys"));
        }
        self.index().bucket(&input.bucket)?;
        let quiet = input.delete.quiet.unwrap_or(false);
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for object in input.delete.objects {
            let conditions = DeleteConditions {
                matches: object.e_tag.map(ETagCondition::ETag),
                size: object.size,
                modified: object.last_modified_time,
            };
            match self.delete(&input.bucket, &object.key, object.version_id.as_deref(), &conditions) {
                Ok(()) if quiet => {}
                Ok(()) => deleted.push(DeletedObject {
                    key: Some(object.key),
                    version_id: object.version_id,
                    ..DeletedObject::default()
                }),
                Err(error) => errors.push(DeleteError {
                    code: Some(error.code().as_str().to_owned()),
                    key: Some(object.key),
                    message: error.message().map(str::to_owned),
                    version_id: object.version_id,
                }),
            }
        }
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted: Some(deleted),
            errors: Some(errors),
            ..DeleteObjectsOutput::default()
        }))
    }

    /// Deleting what is not there succeeds, unless a condition speaks of it.
    fn delete(&self, bucket: &str, key: &str, version: Option<&str>, conditions: &DeleteConditions) -> S3Result<()> {
        let mut index = self.index_mut();
        let entry = index.bucket_mut(bucket)?;
        let current = match entry.object(key, version) {
            Ok(record) => Some(record.as_ref()),
            Err(error) if *error.code() == S3ErrorCode::NoSuchKey => None,
            Err(error) => return Err(error),
        };
        check_write(current, conditions.matches.as_ref(), None)?;
        let Some(record) = current else { return Ok(()) };
        let as_expected = conditions.size.is_none_or(|size| size == signed(record.size))
            && conditions
                .modified
                .clone()
                .is_none_or(|time| unix(time) == record.modified);
        if !as_expected {
            return Err(s3_error!(
                PreconditionFailed,
                "At least one of the pre-conditions you specified did not hold"
            ));
        }
        self.disk().remove(bucket, key).map_err(S3Error::internal_error)?;
        entry.objects.remove(key);
        Ok(())
    }
}
