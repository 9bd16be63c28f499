//! The operations this store knows, each handed to the file of its subject. `s3s` answers NotImplemented to every other,
//! and PostObject (a form's upload) through PutObject.

use s3s::{S3, S3Request as Request, S3Response as Response, S3Result as Answer, dto};

use crate::dev::store::Store;

#[async_trait::async_trait]
impl S3 for Store {
    async fn abort_multipart_upload(
        &self,
        req: Request<dto::AbortMultipartUploadInput>,
    ) -> Answer<Response<dto::AbortMultipartUploadOutput>> {
        self.abort_multipart_upload_impl(req)
    }
    async fn complete_multipart_upload(
        &self,
        req: Request<dto::CompleteMultipartUploadInput>,
    ) -> Answer<Response<dto::CompleteMultipartUploadOutput>> {
        self.complete_multipart_upload_impl(req).await
    }
    async fn copy_object(&self, req: Request<dto::CopyObjectInput>) -> Answer<Response<dto::CopyObjectOutput>> {
        self.copy_object_impl(req).await
    }
    async fn create_bucket(&self, req: Request<dto::CreateBucketInput>) -> Answer<Response<dto::CreateBucketOutput>> {
        self.create_bucket_impl(req)
    }
    async fn create_multipart_upload(
        &self,
        req: Request<dto::CreateMultipartUploadInput>,
    ) -> Answer<Response<dto::CreateMultipartUploadOutput>> {
        self.create_multipart_upload_impl(req)
    }
    async fn delete_bucket(&self, req: Request<dto::DeleteBucketInput>) -> Answer<Response<dto::DeleteBucketOutput>> {
        self.delete_bucket_impl(req)
    }
    async fn delete_object(&self, req: Request<dto::DeleteObjectInput>) -> Answer<Response<dto::DeleteObjectOutput>> {
        self.delete_object_impl(req)
    }
    async fn delete_object_tagging(
        &self,
        req: Request<dto::DeleteObjectTaggingInput>,
    ) -> Answer<Response<dto::DeleteObjectTaggingOutput>> {
        self.delete_object_tagging_impl(req)
    }
    async fn delete_objects(
        &self,
        req: Request<dto::DeleteObjectsInput>,
    ) -> Answer<Response<dto::DeleteObjectsOutput>> {
        self.delete_objects_impl(req)
    }
    async fn get_bucket_location(
        &self,
        req: Request<dto::GetBucketLocationInput>,
    ) -> Answer<Response<dto::GetBucketLocationOutput>> {
        self.get_bucket_location_impl(req)
    }
    async fn get_bucket_versioning(
        &self,
        req: Request<dto::GetBucketVersioningInput>,
    ) -> Answer<Response<dto::GetBucketVersioningOutput>> {
        self.get_bucket_versioning_impl(req)
    }
    async fn get_object(&self, req: Request<dto::GetObjectInput>) -> Answer<Response<dto::GetObjectOutput>> {
        self.get_object_impl(req).await
    }
    async fn get_object_attributes(
        &self,
        req: Request<dto::GetObjectAttributesInput>,
    ) -> Answer<Response<dto::GetObjectAttributesOutput>> {
        self.get_object_attributes_impl(req)
    }
    async fn get_object_tagging(
        &self,
        req: Request<dto::GetObjectTaggingInput>,
    ) -> Answer<Response<dto::GetObjectTaggingOutput>> {
        self.get_object_tagging_impl(req)
    }
    async fn head_bucket(&self, req: Request<dto::HeadBucketInput>) -> Answer<Response<dto::HeadBucketOutput>> {
        self.head_bucket_impl(req)
    }
    async fn head_object(&self, req: Request<dto::HeadObjectInput>) -> Answer<Response<dto::HeadObjectOutput>> {
        self.head_object_impl(req)
    }
    async fn list_buckets(&self, req: Request<dto::ListBucketsInput>) -> Answer<Response<dto::ListBucketsOutput>> {
        self.list_buckets_impl(req)
    }
    async fn list_multipart_uploads(
        &self,
        req: Request<dto::ListMultipartUploadsInput>,
    ) -> Answer<Response<dto::ListMultipartUploadsOutput>> {
        self.list_multipart_uploads_impl(req)
    }
    async fn list_object_versions(
        &self,
        req: Request<dto::ListObjectVersionsInput>,
    ) -> Answer<Response<dto::ListObjectVersionsOutput>> {
        self.list_object_versions_impl(req)
    }
    async fn list_objects(&self, req: Request<dto::ListObjectsInput>) -> Answer<Response<dto::ListObjectsOutput>> {
        self.list_objects_impl(req)
    }
    async fn list_objects_v2(
        &self,
        req: Request<dto::ListObjectsV2Input>,
    ) -> Answer<Response<dto::ListObjectsV2Output>> {
        self.list_objects_v2_impl(req)
    }
    async fn list_parts(&self, req: Request<dto::ListPartsInput>) -> Answer<Response<dto::ListPartsOutput>> {
        self.list_parts_impl(req)
    }
    async fn put_object(&self, req: Request<dto::PutObjectInput>) -> Answer<Response<dto::PutObjectOutput>> {
        self.put_object_impl(req).await
    }
    async fn put_object_tagging(
        &self,
        req: Request<dto::PutObjectTaggingInput>,
    ) -> Answer<Response<dto::PutObjectTaggingOutput>> {
        self.put_object_tagging_impl(req)
    }
    async fn upload_part(&self, req: Request<dto::UploadPartInput>) -> Answer<Response<dto::UploadPartOutput>> {
        self.upload_part_impl(req).await
    }
    async fn upload_part_copy(
        &self,
        req: Request<dto::UploadPartCopyInput>,
    ) -> Answer<Response<dto::UploadPartCopyOutput>> {
        self.upload_part_copy_impl(req).await
    }
}
