//! CreateMultipartUpload and AbortMultipartUpload; `parts` and `complete` have what lies between.

use std::collections::BTreeMap;

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType, CreateMultipartUploadInput,
    CreateMultipartUploadOutput,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use crate::dev::store::Store;
use crate::dev::store::checksum::{Algorithm, Kind};
use crate::dev::store::claims::known;
use crate::dev::store::name::upload_id;
use crate::dev::store::record::now;
use crate::dev::store::request::{attributes, refuse_unknown};
use crate::dev::store::uploads::Upload;

impl Store {
    pub fn create_multipart_upload_impl(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let mut input = req.input;
        refuse_unknown!(input)?;
        let attributes = attributes!(input)?;
        let checksum = checksum_of_upload(input.checksum_algorithm.as_ref(), input.checksum_type.as_ref())?;
        let upload = Upload {
            id: upload_id(),
            bucket: input.bucket.clone(),
            key: input.key.clone(),
            initiated: now(),
            attributes,
            checksum,
            parts: BTreeMap::new(),
        };
        let output = CreateMultipartUploadOutput {
            bucket: Some(input.bucket.clone()),
            key: Some(input.key.clone()),
            upload_id: Some(upload.id.clone()),
            checksum_algorithm: checksum.map(|(algorithm, _)| ChecksumAlgorithm::from_static(algorithm.as_str())),
            checksum_type: checksum.map(|(_, kind)| ChecksumType::from_static(kind.as_str())),
            ..CreateMultipartUploadOutput::default()
        };
        let mut index = self.index_mut();
        let bucket = index.bucket_mut(&input.bucket)?;
        self.disk().create_upload(&upload).map_err(S3Error::internal_error)?;
        bucket.uploads.insert((input.key, upload.id.clone()), upload);
        Ok(S3Response::new(output))
    }

    pub fn abort_multipart_upload_impl(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = req.input;
        let mut index = self.index_mut();
        let bucket = index.bucket_mut(&input.bucket)?;
        bucket.upload(&input.key, &input.upload_id)?;
        self.disk()
            .remove_upload(&input.upload_id)
            .map_err(S3Error::internal_error)?;
        bucket.uploads.remove(&(input.key, input.upload_id));
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}

/// The checksum an upload is created with.
fn checksum_of_upload(
    algorithm: Option<&ChecksumAlgorithm>,
    kind: Option<&ChecksumType>,
) -> S3Result<Option<(Algorithm, Kind)>> {
    let kind = match kind.map(ChecksumType::as_str) {
        None => None,
        Some("COMPOSITE") => Some(Kind::Composite),
        Some("FULL_OBJECT") => Some(Kind::FullObject),
        Some(_) => {
            return Err(s3_error!(
                InvalidRequest,
                "Value for x-amz-checksum-type header is invalid."
            ));
        }
    };
    let Some(algorithm) = algorithm else {
        return match kind {
            None => Ok(None),
            Some(_) => Err(s3_error!(
                InvalidRequest,
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
            )),
        };
    };
    let algorithm = known(algorithm.as_str())?;
    let kind = kind.unwrap_or_else(|| algorithm.default_kind());
    if !algorithm.allows(kind) {
        return Err(s3_error!(
            InvalidRequest,
            "The {} checksum type cannot be used with the {} checksum algorithm.",
            kind.as_str(),
            algorithm.as_str()
        ));
    }
    Ok(Some((algorithm, kind)))
}
