//! CompleteMultipartUpload: the parts checked, put together and published as one object.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{ChecksumType, CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use crate::dev::store::Store;
use crate::dev::store::checksum::{Algorithm, Checksum, Kind, set_checksum};
use crate::dev::store::claims::{given_checksums, single};
use crate::dev::store::copy::copying;
use crate::dev::store::disk::Staged;
use crate::dev::store::objects::{Finished, WriteConditions};
use crate::dev::store::receive::{Received, bad_checksum};
use crate::dev::store::record::{Piece, Record, signed};
use crate::dev::store::uploads::{Part, Upload};

/// The least a part may have, unless it is the last: 5 MiB.
const MIN_PART: u64 = 5 << 20;

impl Store {
    pub async fn complete_multipart_upload_impl(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = req.input;
        let upload = match self.found(&input)? {
            Found::Upload(upload) => *upload,
            Found::Object(record) => return Ok(S3Response::new(completed(input.bucket, &record))),
        };
        let asked = input
            .multipart_upload
            .as_ref()
            .and_then(|list| list.parts.clone())
            .unwrap_or_default();
        let parts = choose(&upload, &asked)?;
        if input
            .mpu_object_size
            .is_some_and(|size| size != signed(parts.iter().map(|part| part.size).sum()))
        {
            return Err(s3_error!(
                InvalidRequest,
                "The provided 'x-amz-mp-object-size' header does not match."
            ));
        }

        // Copied outside the lock: no reader waits for it. The parts are looked at again once it is taken.
        let paths: Vec<PathBuf> = parts.iter().map(|part| self.disk().part(&upload.id, part)).collect();
        let (algorithm, kind) = upload.checksum.unwrap_or((Algorithm::Crc64nvme, Kind::FullObject));
        let joined = join(self.disk().stage(), paths, algorithm).await?;
        let checksum = match kind {
            Kind::FullObject => joined.checksum,
            Kind::Composite => Checksum::composite(algorithm, parts.iter().map(|part| &part.checksum))?,
        };
        check_claim(&input, &checksum)?;

        let finished = Finished {
            key: input.key.clone(),
            staged: joined.staged,
            size: joined.size,
            etag: etag(&parts)?,
            checksum,
            attributes: upload.attributes,
            parts: parts.iter().map(Piece::from).collect(),
            upload: Some(upload.id),
        };
        let conditions = WriteConditions {
            matches: input.if_match,
            none_match: input.if_none_match,
        };
        let mut index = self.index_mut();
        let bucket = index.bucket_mut(&input.bucket)?;
        let current = bucket.upload(&input.key, &input.upload_id)?;
        if parts.iter().any(|part| current.parts.get(&part.number) != Some(part)) {
            return Err(invalid_part());
        }
        let record = self.publish_in(bucket, &input.bucket, finished, &conditions)?;
        bucket.uploads.remove(&(input.key, input.upload_id.clone()));
        self.disk()
            .remove_upload(&input.upload_id)
            .map_err(S3Error::internal_error)?;

        Ok(S3Response::new(completed(input.bucket, &record)))
    }

    /// What a Complete speaks of. S3 answers a repeated one as it did the first, while that object is still there.
    fn found(&self, input: &CompleteMultipartUploadInput) -> S3Result<Found> {
        let index = self.index();
        let bucket = index.bucket(&input.bucket)?;
        match (
            bucket.upload(&input.key, &input.upload_id),
            bucket.objects.get(&input.key),
        ) {
            (Ok(upload), _) => Ok(Found::Upload(Box::new(upload.clone()))),
            (Err(_), Some(record)) if record.upload.as_ref() == Some(&input.upload_id) => {
                Ok(Found::Object(Arc::clone(record)))
            }
            (Err(error), _) => Err(error),
        }
    }
}

/// What an upload id leads to.
enum Found {
    Upload(Box<Upload>),
    /// It was completed before.
    Object(Arc<Record>),
}

fn completed(bucket: String, record: &Record) -> CompleteMultipartUploadOutput {
    let mut output = CompleteMultipartUploadOutput {
        location: Some(format!("/{}/{}", bucket, record.key)),
        bucket: Some(bucket),
        key: Some(record.key.clone()),
        e_tag: Some(record.etag()),
        checksum_type: Some(ChecksumType::from_static(record.checksum.kind.as_str())),
        ..CompleteMultipartUploadOutput::default()
    };
    set_checksum!(output, &record.checksum);
    output
}

/// The parts the client lists, checked in the order S3 does.
fn choose(upload: &Upload, asked: &[CompletedPart]) -> S3Result<Vec<Part>> {
    if asked.is_empty() {
        return Err(s3_error!(MalformedXML, "The list of parts is empty"));
    }
    let mut parts: Vec<Part> = Vec::with_capacity(asked.len());
    for one in asked {
        let number = one
            .part_number
            .ok_or_else(|| s3_error!(MalformedXML, "A part has no number"))?;
        if parts.last().is_some_and(|before| before.number >= number) {
            return Err(s3_error!(
                InvalidPartOrder,
                "The list of parts was not in ascending order. Parts must be ordered by part number."
            ));
        }
        let part = upload.parts.get(&number).ok_or_else(invalid_part)?;
        let etag = one.e_tag.as_ref().map(s3s::dto::ETag::value);
        if etag != Some(part.etag.as_str()) {
            return Err(invalid_part());
        }
        check_part_checksum(upload, one, part)?;
        parts.push(part.clone());
    }
    match parts.split_last() {
        Some((_, all_but_last)) if all_but_last.iter().any(|part| part.size < MIN_PART) => Err(s3_error!(
            EntityTooSmall,
            "Your proposed upload is smaller than the minimum allowed size"
        )),
        _ => Ok(parts),
    }
}

/// A composite upload must name each part's checksum; whatever is named must be right.
fn check_part_checksum(upload: &Upload, asked: &CompletedPart, part: &Part) -> S3Result<()> {
    let named = given_checksums!(asked)
        .into_iter()
        .find_map(|(algorithm, value)| Some((algorithm, value?)));
    match (named, upload.checksum) {
        (Some((algorithm, value)), _) if part.checksum.algorithm != algorithm || part.checksum.value != value => {
            Err(invalid_part())
        }
        (None, Some((algorithm, Kind::Composite))) => Err(s3_error!(
            InvalidRequest,
            "The upload was created using a {} checksum. The complete request must include the checksum for each part. \
             It was missing for part {} in the request.",
            algorithm.as_str().to_ascii_lowercase(),
            part.number
        )),
        _ => Ok(()),
    }
}

/// Compares the checksum a Complete may carry with what the object has. One of another algorithm is not looked at.
fn check_claim(input: &CompleteMultipartUploadInput, checksum: &Checksum) -> S3Result<()> {
    if input
        .checksum_type
        .as_ref()
        .is_some_and(|kind| kind.as_str() != checksum.kind.as_str())
    {
        return Err(s3_error!(
            InvalidRequest,
            "The x-amz-checksum-type does not match that of the upload."
        ));
    }
    // A composite value has its count behind it, which a client may leave out.
    let mut given = given_checksums!(input);
    for (_, value) in &mut given {
        if let Some(text) = value
            && let Some((bare, _count)) = text.split_once('-')
        {
            *text = bare.to_owned();
        }
    }
    let bare = checksum.value.split('-').next().unwrap_or_default();
    match single(given)? {
        Some((algorithm, value)) if algorithm != checksum.algorithm || value != bare => Err(bad_checksum(algorithm)),
        _ => Ok(()),
    }
}

/// MD5 of the parts' MD5s, and their number.
fn etag(parts: &[Part]) -> S3Result<String> {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(&hex::decode(&part.etag).map_err(S3Error::internal_error)?);
    }
    Ok(format!("{}-{}", hex::encode(md5.finalize()), parts.len()))
}

/// Copies files one behind the other.
async fn join(staged: Staged, paths: Vec<PathBuf>, algorithm: Algorithm) -> S3Result<Received> {
    let joined = copying(staged, algorithm, move |copy| {
        paths
            .into_iter()
            .try_for_each(|path| copy.append(&mut File::open(path)?, u64::MAX))
    });
    // A part that was replaced meanwhile has taken its file with it.
    joined.await.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => invalid_part(),
        _ => S3Error::internal_error(error),
    })
}

fn invalid_part() -> S3Error {
    s3_error!(
        InvalidPart,
        "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified \
         entity tag may not match the part's entity tag."
    )
}
