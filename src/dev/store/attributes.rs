//! GetObjectAttributes.

use s3s::dto::{
    Checksum as ChecksumEntry, ChecksumType, GetObjectAttributesInput, GetObjectAttributesOutput,
    GetObjectAttributesParts, ObjectPart, StorageClass,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use crate::dev::store::Store;
use crate::dev::store::checksum::set_checksum;
use crate::dev::store::page::page_size;
use crate::dev::store::record::{Record, signed};

impl Store {
    pub fn get_object_attributes_impl(
        &self,
        req: S3Request<GetObjectAttributesInput>,
    ) -> S3Result<S3Response<GetObjectAttributesOutput>> {
        let input = req.input;
        let record = self.find(&input.bucket, &input.key, input.version_id.as_deref())?;
        let mut output = GetObjectAttributesOutput {
            last_modified: Some(record.last_modified()),
            ..GetObjectAttributesOutput::default()
        };
        // One header may list several, which `s3s` leaves joined.
        for name in input
            .object_attributes
            .iter()
            .flat_map(|names| names.as_str().split(','))
            .map(str::trim)
        {
            match name {
                "ETag" => output.e_tag = Some(record.etag()),
                "ObjectSize" => output.object_size = Some(signed(record.size)),
                "StorageClass" => output.storage_class = Some(StorageClass::from(record.storage_class())),
                "Checksum" => output.checksum = Some(checksum(&record)),
                "ObjectParts" => output.object_parts = parts(&record, input.max_parts, input.part_number_marker)?,
                _ => return Err(s3_error!(InvalidArgument, "Invalid attribute name specified.")),
            }
        }
        Ok(S3Response::new(output))
    }
}

fn checksum(record: &Record) -> ChecksumEntry {
    let mut entry = ChecksumEntry {
        checksum_type: Some(ChecksumType::from_static(record.checksum.kind.as_str())),
        ..ChecksumEntry::default()
    };
    set_checksum!(entry, &record.checksum);
    entry
}

/// Nothing for an object put in one piece.
fn parts(record: &Record, max: Option<i32>, after: Option<i32>) -> S3Result<Option<GetObjectAttributesParts>> {
    if record.parts.is_empty() {
        return Ok(None);
    }
    let max = page_size(max)?;
    let after = after.unwrap_or(0);
    let mut found = record.parts.iter().filter(|piece| piece.number > after);
    let mut parts = Vec::new();
    for piece in found.by_ref().take(usize::try_from(max).unwrap_or_default()) {
        let mut entry = ObjectPart {
            part_number: Some(piece.number),
            size: Some(signed(piece.size)),
            ..ObjectPart::default()
        };
        set_checksum!(entry, &piece.checksum);
        parts.push(entry);
    }
    Ok(Some(GetObjectAttributesParts {
        is_truncated: Some(max > 0 && found.next().is_some()),
        max_parts: Some(max),
        part_number_marker: Some(after),
        next_part_number_marker: parts.last().and_then(|part| part.part_number).or(Some(0)),
        parts: Some(parts),
        total_parts_count: i32::try_from(record.parts.len()).ok(),
    }))
}
