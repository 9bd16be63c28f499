//! GetObject and HeadObject.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::ops::Range as Bytes;
use std::sync::Arc;

use http::HeaderMap;
use http::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderValue};
use s3s::dto::{
    ChecksumMode, ChecksumType, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, Metadata, Range,
    StorageClass, StreamingBlob,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use crate::dev::store::Store;
use crate::dev::store::checksum::{Checksum, set_checksum};
use crate::dev::store::condition::Conditions;
use crate::dev::store::record::{Record, signed, timestamp};
use crate::dev::store::stream::FileStream;

/// The stretch of an object a read is about.
struct Selection {
    bytes: Bytes<u64>,
    /// `Content-Range`, when it is not the whole.
    content_range: Option<String>,
    /// What the checksum headers may say: a whole object's checksum on a part of it makes every SDK fail.
    checksum: Option<Checksum>,
    parts_count: Option<i32>,
}

/// The headers GET and HEAD share, which `s3s` has in two types.
macro_rules! describe {
    ($output:ident, $record:expr, $selection:expr, $mode:expr) => {{
        let record: &Record = $record;
        let selection: &Selection = $selection;
        let attributes = &record.attributes;
        let mut output = $output {
            accept_ranges: Some("bytes".to_owned()),
            cache_control: attributes.cache_control.clone(),
            content_disposition: attributes.content_disposition.clone(),
            content_encoding: attributes.content_encoding.clone(),
            content_language: attributes.content_language.clone(),
            content_length: Some(signed(selection.bytes.end - selection.bytes.start)),
            content_range: selection.content_range.clone(),
            // What S3 says of an object whose writer named no type.
            content_type: Some(
                attributes
                    .content_type
                    .clone()
                    .unwrap_or_else(|| "binary/octet-stream".to_owned()),
            ),
            e_tag: Some(record.etag()),
            expires: attributes.expires.map(timestamp),
            last_modified: Some(record.last_modified()),
            metadata: Some(Metadata::from_iter(attributes.metadata.clone())),
            parts_count: selection.parts_count,
            // S3 leaves the header out for STANDARD.
            storage_class: attributes
                .storage_class
                .clone()
                .filter(|class| class != "STANDARD")
                .map(StorageClass::from),
            website_redirect_location: attributes.website_redirect_location.clone(),
            ..$output::default()
        };
        if let Some(checksum) = &selection.checksum
            && $mode
                .as_ref()
                .is_some_and(|mode: &ChecksumMode| mode.as_str() == ChecksumMode::ENABLED)
        {
            set_checksum!(output, checksum);
            output.checksum_type = Some(ChecksumType::from_static(record.checksum.kind.as_str()));
        }
        output
    }};
}

impl Store {
    pub async fn get_object_impl(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        let conditions = Conditions {
            matches: input.if_match,
            none_match: input.if_none_match,
            modified_since: input.if_modified_since,
            unmodified_since: input.if_unmodified_since,
        };
        let (record, mut file) = self.open_object(&input.bucket, &input.key, input.version_id.as_deref())?;
        conditions.check_read(&record)?;
        let selection = select(&record, input.range, input.part_number)?;
        let mut output = describe!(GetObjectOutput, &record, &selection, input.checksum_mode);
        if !record.attributes.tags.is_empty() {
            output.tag_count = i32::try_from(record.attributes.tags.len()).ok();
        }
        file.seek(SeekFrom::Start(selection.bytes.start))
            .map_err(S3Error::internal_error)?;
        let length = selection.bytes.end - selection.bytes.start;
        output.body = Some(StreamingBlob::new(FileStream::new(file.into(), length)));
        Ok(S3Response::new(output))
    }

    pub fn head_object_impl(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = req.input;
        let conditions = Conditions {
            matches: input.if_match,
            none_match: input.if_none_match,
            modified_since: input.if_modified_since,
            unmodified_since: input.if_unmodified_since,
        };
        let record = self.find(&input.bucket, &input.key, input.version_id.as_deref())?;
        conditions.check_read(&record)?;
        let selection = select(&record, input.range, input.part_number)?;
        let output = describe!(HeadObjectOutput, &record, &selection, input.checksum_mode);
        let mut headers = HeaderMap::new();
        if !record.attributes.tags.is_empty() {
            // `s3s` has a field for it in GET only.
            headers.insert("x-amz-tagging-count", HeaderValue::from(record.attributes.tags.len()));
        }
        Ok(S3Response::with_headers(output, headers))
    }

    pub fn find(&self, bucket: &str, key: &str, version: Option<&str>) -> S3Result<Arc<Record>> {
        self.index().bucket(bucket)?.object(key, version).map(Arc::clone)
    }

    /// An object and its body as they belong together: no write can come between the two.
    pub fn open_object(&self, bucket: &str, key: &str, version: Option<&str>) -> S3Result<(Arc<Record>, File)> {
        let index = self.index();
        let record = Arc::clone(index.bucket(bucket)?.object(key, version)?);
        let file = File::open(self.disk().body(bucket, key)).map_err(S3Error::internal_error)?;
        Ok((record, file))
    }
}

/// Turns Range or partNumber into bytes.
fn select(record: &Record, range: Option<Range>, part: Option<i32>) -> S3Result<Selection> {
    let whole = 0..record.size;
    let (bytes, checksum, parts_count) = match (range, part) {
        (Some(_), Some(_)) => {
            return Err(s3_error!(
                InvalidRequest,
                "Cannot specify both Range header and partNumber query parameter"
            ));
        }
        (None, None) => {
            return Ok(Selection {
                bytes: whole,
                content_range: None,
                checksum: Some(record.checksum.clone()),
                parts_count: None,
            });
        }
        (Some(range), None) => (
            resolve(range, record.size).ok_or_else(|| unsatisfiable(record.size))?,
            None,
            None,
        ),
        (None, Some(1)) if record.parts.is_empty() => (whole, Some(record.checksum.clone()), None),
        (None, Some(number)) => {
            let (bytes, checksum) = part_bytes(record, number).ok_or_else(|| no_such_part(number))?;
            (bytes, Some(checksum), i32::try_from(record.parts.len()).ok())
        }
    };
    // An empty object has no range to name, and S3 answers its only part with 200.
    let content_range =
        (bytes.start < bytes.end).then(|| format!("bytes {}-{}/{}", bytes.start, bytes.end - 1, record.size));
    Ok(Selection {
        bytes,
        content_range,
        checksum,
        parts_count,
    })
}

/// The bytes a range names, none if it names none (RFC 9110 section 14.1.2).
pub fn resolve(range: Range, size: u64) -> Option<Bytes<u64>> {
    match range {
        Range::Int { first, last } => {
            let end = last
                .and_then(|last| last.checked_add(1))
                .map_or(size, |end| end.min(size));
            (first < end).then_some(first..end)
        }
        Range::Suffix { length } => {
            let start = size.saturating_sub(length);
            (start < size).then_some(start..size)
        }
    }
}

/// Where a part lies. Parts are found by their number: gaps in the numbers stay gaps.
fn part_bytes(record: &Record, number: i32) -> Option<(Bytes<u64>, Checksum)> {
    let mut start: u64 = 0;
    for piece in &record.parts {
        let end = start.checked_add(piece.size)?;
        if piece.number == number {
            return Some((start..end, piece.checksum.clone()));
        }
        start = end;
    }
    None
}

fn unsatisfiable(size: u64) -> S3Error {
    let mut error = s3_error!(InvalidRange, "The requested range is not satisfiable");
    let mut headers = HeaderMap::new();
    if let Ok(range) = HeaderValue::try_from(format!("bytes */{size}")) {
        headers.insert(CONTENT_RANGE, range);
    }
    // `s3s` replaces its own headers by these.
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    error.set_headers(headers);
    error
}

fn no_such_part(number: i32) -> S3Error {
    let mut error = S3Error::with_message(
        S3ErrorCode::Custom("InvalidPartNumber".into()),
        format!("The requested partnumber {number} is not satisfiable"),
    );
    error.set_status_code(http::StatusCode::RANGE_NOT_SATISFIABLE);
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_resolve_as_rfc_9110_says() {
        let int = |first, last| Range::Int { first, last };
        let suffix = |length| Range::Suffix { length };
        let cases = [
            (int(0, None), 10, Some(0..10)),
            (int(0, Some(0)), 10, Some(0..1)),
            (int(9, Some(u64::MAX)), 10, Some(9..10)),
            (int(10, None), 10, None),
            (int(0, None), 0, None),
            (suffix(3), 10, Some(7..10)),
            (suffix(30), 10, Some(0..10)),
            (suffix(0), 10, None),
            (suffix(5), 0, None),
        ];
        for (range, size, wanted) in cases {
            assert_eq!(resolve(range, size), wanted, "{range:?} of {size}");
        }
    }
}
