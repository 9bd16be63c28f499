//! UploadPart, UploadPartCopy and ListParts.

use std::fs;
use std::io::{Seek as _, SeekFrom};

use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, CopyPartResult, ETag, ListPartsInput, ListPartsOutput, Part as PartEntry, Range,
    UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use crate::dev::store::Store;
use crate::dev::store::bucket::owner;
use crate::dev::store::checksum::{Algorithm, Kind, set_checksum};
use crate::dev::store::claims::{Claims, given_checksums};
use crate::dev::store::condition::Conditions;
use crate::dev::store::copy::{copying, source};
use crate::dev::store::name::random;
use crate::dev::store::page::page_size;
use crate::dev::store::read::resolve;
use crate::dev::store::receive::{MAX_BODY, Received, declared_length, receive};
use crate::dev::store::record::{now, signed, timestamp};
use crate::dev::store::uploads::{MAX_PARTS, Part, class, initiator};

impl Store {
    pub async fn upload_part_impl(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let S3Request {
            mut input,
            headers,
            trailing_headers,
            ..
        } = req;
        if input.sse_customer_algorithm.is_some() {
            return Err(s3_error!(NotImplemented, "This store has no server-side encryption"));
        }
        check_number(input.part_number)?;
        let mut claims = Claims::read(input.content_md5.as_deref(), given_checksums!(input), &headers)?;
        let length = declared_length(input.content_length, &headers)?;
        let wanted = self
            .index()
            .bucket(&input.bucket)?
            .upload(&input.key, &input.upload_id)?
            .checksum;
        check_algorithm(wanted, claims.algorithm)?;
        claims.otherwise = wanted.map_or(claims.otherwise, |(algorithm, _)| algorithm);
        let received = receive(self.disk(), input.body.take(), length, claims, trailing_headers).await?;
        let part = self.publish_part(&input.bucket, &input.key, &input.upload_id, input.part_number, received)?;
        let mut output = UploadPartOutput {
            e_tag: Some(ETag::Strong(part.etag.clone())),
            ..UploadPartOutput::default()
        };
        set_checksum!(output, &part.checksum);
        Ok(S3Response::new(output))
    }

    pub async fn upload_part_copy_impl(
        &self,
        req: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let mut input = req.input;
        check_number(input.part_number)?;
        let wanted = self
            .index()
            .bucket(&input.bucket)?
            .upload(&input.key, &input.upload_id)?
            .checksum;
        let (source_bucket, source_key, source_version) = source(&input.copy_source)?;
        let (record, mut file) = self.open_object(source_bucket, source_key, source_version)?;
        let conditions = Conditions {
            matches: input.copy_source_if_match.take(),
            none_match: input.copy_source_if_none_match.take(),
            modified_since: input.copy_source_if_modified_since.take(),
            unmodified_since: input.copy_source_if_unmodified_since.take(),
        };
        conditions.check_copy(&record)?;
        let bytes = copied_range(input.copy_source_range.as_deref(), record.size)?;
        let length = bytes.end - bytes.start;
        if length > MAX_BODY {
            return Err(s3_error!(
                InvalidRequest,
                "The specified copy source is larger than the maximum allowable size"
            ));
        }
        let algorithm = wanted.map_or(Algorithm::Crc64nvme, |(algorithm, _)| algorithm);
        let copied = copying(self.disk().stage(), algorithm, move |copy| {
            file.seek(SeekFrom::Start(bytes.start))?;
            copy.append(&mut file, length)
        });
        let copied = copied.await.map_err(S3Error::internal_error)?;
        let part = self.publish_part(&input.bucket, &input.key, &input.upload_id, input.part_number, copied)?;
        let mut result = CopyPartResult {
            e_tag: Some(ETag::Strong(part.etag.clone())),
            last_modified: Some(timestamp(part.modified)),
            ..CopyPartResult::default()
        };
        set_checksum!(result, &part.checksum);
        Ok(S3Response::new(UploadPartCopyOutput {
            copy_part_result: Some(result),
            ..UploadPartCopyOutput::default()
        }))
    }

    pub fn list_parts_impl(&self, req: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        let input = req.input;
        let max_parts = page_size(input.max_parts)?;
        let after = input.part_number_marker.unwrap_or(0);
        let index = self.index();
        let upload = index.bucket(&input.bucket)?.upload(&input.key, &input.upload_id)?;
        let mut found = upload.parts.values().filter(|part| part.number > after);
        let parts: Vec<_> = found
            .by_ref()
            .take(usize::try_from(max_parts).unwrap_or_default())
            .map(entry)
            .collect();
        let is_truncated = max_parts > 0 && found.next().is_some();
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket.clone()),
            key: Some(input.key.clone()),
            upload_id: Some(input.upload_id.clone()),
            max_parts: Some(max_parts),
            part_number_marker: Some(after),
            is_truncated: Some(is_truncated),
            next_part_number_marker: parts.last().and_then(|part| part.part_number).or(Some(0)),
            parts: Some(parts),
            checksum_algorithm: upload
                .checksum
                .map(|(algorithm, _)| ChecksumAlgorithm::from_static(algorithm.as_str())),
            checksum_type: upload
                .checksum
                .map(|(_, kind)| ChecksumType::from_static(kind.as_str())),
            storage_class: Some(class(upload)),
            owner: Some(owner()),
            initiator: Some(initiator()),
            ..ListPartsOutput::default()
        }))
    }

    /// Puts a part in its place. The body it replaces goes last, so that the part is there throughout.
    fn publish_part(&self, bucket: &str, key: &str, id: &str, number: i32, received: Received) -> S3Result<Part> {
        let Received {
            staged,
            size,
            etag,
            checksum,
        } = received;
        let part = Part {
            number,
            file: format!("{number:05}-{}", random()),
            size,
            etag,
            checksum,
            modified: now(),
        };
        let mut index = self.index_mut();
        let upload = index.bucket_mut(bucket)?.upload_mut(key, id)?;
        self.disk()
            .publish_part(id, &part, staged)
            .map_err(S3Error::internal_error)?;
        if let Some(replaced) = upload.parts.insert(number, part.clone()) {
            fs::remove_file(self.disk().part(id, &replaced)).map_err(S3Error::internal_error)?;
        }
        Ok(part)
    }
}

fn check_number(number: i32) -> S3Result<()> {
    if (1..=MAX_PARTS).contains(&number) {
        return Ok(());
    }
    Err(s3_error!(
        InvalidArgument,
        "Part number must be an integer between 1 and {MAX_PARTS}, inclusive"
    ))
}

/// A part's checksum must be of the upload's algorithm, and a composite upload wants one sent with each part.
fn check_algorithm(upload: Option<(Algorithm, Kind)>, sent: Option<Algorithm>) -> S3Result<()> {
    match (upload, sent) {
        (Some((wanted, _)), Some(sent)) if wanted != sent => Err(mismatch(wanted, sent.as_str())),
        (Some((wanted, Kind::Composite)), None) => Err(mismatch(wanted, "null")),
        _ => Ok(()),
    }
}

fn mismatch(wanted: Algorithm, sent: &str) -> S3Error {
    s3_error!(
        InvalidRequest,
        "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
        wanted.as_str().to_ascii_lowercase(),
        sent.to_ascii_lowercase()
    )
}

/// `x-amz-copy-source-range`, which knows only `bytes=first-last`, both within the source.
fn copied_range(range: Option<&str>, size: u64) -> S3Result<std::ops::Range<u64>> {
    let Some(text) = range else { return Ok(0..size) };
    let malformed = || {
        s3_error!(
            InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last"
        )
    };
    match Range::parse(text).map_err(|_| malformed())? {
        Range::Int { last: Some(last), .. } if last >= size => Err(s3_error!(
            InvalidRange,
            "Range specified is not valid for source object of size: {size}"
        )),
        range @ Range::Int { last: Some(_), .. } => resolve(range, size).ok_or_else(malformed),
        Range::Int { last: None, .. } | Range::Suffix { .. } => Err(malformed()),
    }
}

fn entry(part: &Part) -> PartEntry {
    let mut entry = PartEntry {
        part_number: Some(part.number),
        e_tag: Some(ETag::Strong(part.etag.clone())),
        size: Some(signed(part.size)),
        last_modified: Some(timestamp(part.modified)),
        ..PartEntry::default()
    };
    set_checksum!(entry, &part.checksum);
    entry
}
