//! What the requests that create objects have in common: the attributes they set, and what this store refuses to pretend.

use std::collections::{BTreeMap, HashMap};

use s3s::{S3Result, s3_error};

use crate::dev::store::record::Attributes;
use crate::dev::store::tags;

/// S3's limit on user metadata, names and values together.
const MAX_METADATA: usize = 2048;
/// Every class S3 names.
const STORAGE_CLASSES: [&str; 11] = [
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "GLACIER_IR",
    "DEEP_ARCHIVE",
    "OUTPOSTS",
    "SNOW",
    "EXPRESS_ONEZONE",
];

/// The [`Attributes`] of a PutObject, CopyObject or CreateMultipartUpload input, which name the same fields alike.
macro_rules! attributes {
    ($input:expr) => {
        $crate::dev::store::request::check($crate::dev::store::record::Attributes {
            content_type: $input.content_type.take(),
            content_encoding: $input.content_encoding.take(),
            content_language: $input.content_language.take(),
            content_disposition: $input.content_disposition.take(),
            cache_control: $input.cache_control.take(),
            expires: $input.expires.take().map($crate::dev::store::record::unix),
            website_redirect_location: $input.website_redirect_location.take(),
            storage_class: $input.storage_class.take().map(|class| class.as_str().to_owned()),
            metadata: $crate::dev::store::request::metadata($input.metadata.take()),
            tags: $crate::dev::store::tags::from_header($input.tagging.as_deref())?,
        })
    };
}
/// Refuses what such an input may ask for and this store does not do.
macro_rules! refuse_unknown {
    ($input:expr) => {
        $crate::dev::store::request::refuse(
            $input.server_side_encryption.is_some() || $input.sse_customer_algorithm.is_some(),
            $input.object_lock_mode.is_some() || $input.object_lock_legal_hold_status.is_some(),
            $input.acl.as_ref().map(|acl| acl.as_str()),
        )
    };
}
pub(super) use {attributes, refuse_unknown};

/// Checks attributes as S3 does, and takes out what the transfer added.
pub fn check(mut attributes: Attributes) -> S3Result<Attributes> {
    attributes.content_encoding = attributes.content_encoding.and_then(|value| stored_encoding(&value));
    let size: usize = attributes
        .metadata
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if size > MAX_METADATA {
        return Err(s3_error!(
            MetadataTooLarge,
            "Your metadata headers exceed the maximum allowed metadata size ({size} of {MAX_METADATA} bytes)"
        ));
    }
    if attributes
        .storage_class
        .as_deref()
        .is_some_and(|class| !STORAGE_CLASSES.contains(&class))
    {
        return Err(s3_error!(
            InvalidStorageClass,
            "The storage class you specified is not valid"
        ));
    }
    tags::check(&attributes.tags)?;
    Ok(attributes)
}

pub fn metadata(given: Option<HashMap<String, String>>) -> BTreeMap<String, String> {
    given.unwrap_or_default().into_iter().collect()
}

/// Better an error than a client that believes its object is locked or sealed here. ACLs are refused as a new bucket of
/// S3's does, whose owner owns everything in it.
pub fn refuse(sse: bool, lock: bool, acl: Option<&str>) -> S3Result<()> {
    if sse {
        return Err(s3_error!(NotImplemented, "This store has no server-side encryption"));
    }
    if lock {
        return Err(s3_error!(NotImplemented, "This store has no object lock"));
    }
    match acl {
        None | Some("private" | "bucket-owner-full-control") => Ok(()),
        Some(_) => Err(s3_error!(
            AccessControlListNotSupported,
            "The bucket does not allow ACLs"
        )),
    }
}

/// `Content-Encoding` without `aws-chunked`, which `s3s` leaves in although it is of the transfer, not of the object:
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html>
fn stored_encoding(value: &str) -> Option<String> {
    let kept: Vec<&str> = value
        .split(',')
        .map(str::trim)
        .filter(|coding| !coding.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    Some(kept.join(",")).filter(|kept| !kept.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_chunked_is_not_stored() {
        for (given, kept) in [
            ("aws-chunked", None),
            ("aws-chunked,gzip", Some("gzip")),
            ("gzip, AWS-Chunked, br", Some("gzip,br")),
        ] {
            assert_eq!(stored_encoding(given).as_deref(), kept);
        }
    }
}
