//! Buckets: create, delete, head, list, location, versioning's state.

use s3s::dto::{
    Bucket as BucketEntry, BucketLocationConstraint, CreateBucketInput, CreateBucketOutput, DeleteBucketInput,
    DeleteBucketOutput, GetBucketLocationInput, GetBucketLocationOutput, GetBucketVersioningInput,
    GetBucketVersioningOutput, HeadBucketInput, HeadBucketOutput, ListBucketsInput, ListBucketsOutput, Owner,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use crate::dev::store::Store;
use crate::dev::store::index::{Bucket, BucketRecord};
use crate::dev::store::record::{now, timestamp};

/// S3's limit, and its default.
const MAX_BUCKETS: i32 = 10_000;
/// Where S3 keeps a bucket created without a region.
const DEFAULT_REGION: &str = "us-east-1";

impl Store {
    pub fn create_bucket_impl(&self, req: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        let input = req.input;
        if input.object_lock_enabled_for_bucket == Some(true) {
            return Err(s3_error!(NotImplemented, "This store has no object lock"));
        }
        if input.acl.as_ref().is_some_and(|acl| acl.as_str() != "private") {
            return Err(s3_error!(
                AccessControlListNotSupported,
                "The bucket does not allow ACLs"
            ));
        }
        let region = input
            .create_bucket_configuration
            .and_then(|asked| asked.location_constraint)
            .map(|region| region.as_str().to_owned());
        let made = BucketRecord { created: now(), region };
        let mut index = self.index_mut();
        if index.buckets.contains_key(&input.bucket) {
            return Err(S3Error::with_message(
                S3ErrorCode::BucketAlreadyOwnedByYou,
                "Your previous request to create the named bucket succeeded and you already own it.",
            ));
        }
        self.disk()
            .create_bucket(&input.bucket, &made)
            .map_err(S3Error::internal_error)?;
        let location = format!("/{}", input.bucket);
        index.buckets.insert(
            input.bucket,
            Bucket {
                made,
                ..Bucket::default()
            },
        );
        Ok(S3Response::new(CreateBucketOutput {
            location: Some(location),
        }))
    }

    pub fn delete_bucket_impl(&self, req: S3Request<DeleteBucketInput>) -> S3Result<S3Response<DeleteBucketOutput>> {
        let name = req.input.bucket;
        let mut index = self.index_mut();
        let bucket = index.bucket_mut(&name)?;
        if !bucket.objects.is_empty() {
            return Err(s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty"));
        }
        // S3 drops the uploads in progress with the bucket.
        for (_, upload) in std::mem::take(&mut bucket.uploads) {
            self.disk().remove_upload(&upload.id).map_err(S3Error::internal_error)?;
        }
        self.disk().remove_bucket(&name).map_err(S3Error::internal_error)?;
        index.buckets.remove(&name);
        Ok(S3Response::new(DeleteBucketOutput {}))
    }

    pub fn head_bucket_impl(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        let index = self.index();
        let bucket = index.bucket(&req.input.bucket)?;
        let region = bucket.made.region.clone().unwrap_or_else(|| DEFAULT_REGION.to_owned());
        Ok(S3Response::new(HeadBucketOutput {
            bucket_region: Some(region),
            ..HeadBucketOutput::default()
        }))
    }

    pub fn list_buckets_impl(&self, req: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let input = req.input;
        let max = input.max_buckets.unwrap_or(MAX_BUCKETS);
        if !(1..=MAX_BUCKETS).contains(&max) {
            return Err(s3_error!(
                InvalidArgument,
                "max-buckets must be between 1 and {MAX_BUCKETS}"
            ));
        }
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = input.continuation_token.unwrap_or_default();
        let index = self.index();
        let mut found = index
            .buckets
            .iter()
            .filter(|(name, _)| name.starts_with(&prefix) && **name > after);
        let mut entries = Vec::new();
        for (name, bucket) in found.by_ref().take(usize::try_from(max).unwrap_or_default()) {
            entries.push(BucketEntry {
                name: Some(name.clone()),
                creation_date: Some(timestamp(bucket.made.created)),
                bucket_region: Some(bucket.made.region.clone().unwrap_or_else(|| DEFAULT_REGION.to_owned())),
            });
        }
        let continuation_token = found
            .next()
            .and_then(|_| entries.last())
            .and_then(|last| last.name.clone());
        Ok(S3Response::new(ListBucketsOutput {
            buckets: Some(entries),
            continuation_token,
            owner: Some(owner()),
            prefix: input.prefix,
        }))
    }

    pub fn get_bucket_location_impl(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        let index = self.index();
        let bucket = index.bucket(&req.input.bucket)?;
        // Nothing stands for us-east-1.
        let region = bucket.made.region.clone().map(BucketLocationConstraint::from);
        Ok(S3Response::new(GetBucketLocationOutput {
            location_constraint: region,
        }))
    }

    /// Never enabled: the answer of a bucket whose versioning was never touched.
    pub fn get_bucket_versioning_impl(
        &self,
        req: S3Request<GetBucketVersioningInput>,
    ) -> S3Result<S3Response<GetBucketVersioningOutput>> {
        self.index().bucket(&req.input.bucket)?;
        Ok(S3Response::new(GetBucketVersioningOutput::default()))
    }
}

/// Everything here belongs to one owner, whichever credential wrote it.
pub fn owner() -> Owner {
    Owner {
        display_name: Some("store".to_owned()),
        id: Some("store".to_owned()),
    }
}
