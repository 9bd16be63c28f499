//! Object tags: the `x-amz-tagging` header and the three tagging operations.

use std::collections::HashSet;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use s3s::dto::{
    DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput, GetObjectTaggingOutput,
    PutObjectTaggingInput, PutObjectTaggingOutput, Tag,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use crate::dev::store::Store;

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html>
const MAX_TAGS: usize = 10;
/// Characters.
const MAX_NAME: usize = 128;
/// Characters.
const MAX_VALUE: usize = 256;

impl Store {
    pub fn get_object_tagging_impl(
        &self,
        req: S3Request<GetObjectTaggingInput>,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        let input = req.input;
        let record = self.find(&input.bucket, &input.key, input.version_id.as_deref())?;
        let tag_set = record.attributes.tags.iter().cloned();
        let tag_set = tag_set
            .map(|(name, value)| Tag {
                key: Some(name),
                value: Some(value),
            })
            .collect();
        Ok(S3Response::new(GetObjectTaggingOutput {
            tag_set,
            version_id: None,
        }))
    }

    pub fn put_object_tagging_impl(
        &self,
        req: S3Request<PutObjectTaggingInput>,
    ) -> S3Result<S3Response<PutObjectTaggingOutput>> {
        let input = req.input;
        let tags = input.tagging.tag_set.into_iter();
        let tags: Vec<_> = tags
            .map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default()))
            .collect();
        check(&tags)?;
        self.set_tags(&input.bucket, &input.key, input.version_id.as_deref(), tags)?;
        Ok(S3Response::new(PutObjectTaggingOutput::default()))
    }

    pub fn delete_object_tagging_impl(
        &self,
        req: S3Request<DeleteObjectTaggingInput>,
    ) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
        let input = req.input;
        self.set_tags(&input.bucket, &input.key, input.version_id.as_deref(), Vec::new())?;
        Ok(S3Response::new(DeleteObjectTaggingOutput::default()))
    }

    /// Tags change neither ETag nor Last-Modified.
    fn set_tags(&self, bucket: &str, key: &str, version: Option<&str>, tags: Vec<(String, String)>) -> S3Result<()> {
        let mut index = self.index_mut();
        let entry = index.bucket_mut(bucket)?;
        let mut record = entry.object(key, version)?.as_ref().clone();
        record.attributes.tags = tags;
        self.disk().rewrite(bucket, &record).map_err(S3Error::internal_error)?;
        entry.objects.insert(record.key.clone(), Arc::new(record));
        Ok(())
    }
}

/// Tags as `x-amz-tagging` has them: a query string.
pub fn from_header(value: Option<&str>) -> S3Result<Vec<(String, String)>> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        let decoded = percent_decode_str(&text)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned);
        decoded.map_err(|_| s3_error!(InvalidArgument, "The header 'x-amz-tagging' shall be encoded as UTF-8"))
    };
    value
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| Ok((decode(name)?, decode(value)?)))
        .collect()
}

/// S3's limits.
pub fn check(tags: &[(String, String)]) -> S3Result<()> {
    if tags.len() > MAX_TAGS {
        return Err(s3_error!(InvalidTag, "Object tags cannot be greater than {MAX_TAGS}"));
    }
    let mut seen = HashSet::new();
    for (name, value) in tags {
        if name.is_empty() || name.chars().count() > MAX_NAME {
            return Err(s3_error!(InvalidTag, "The TagKey you have provided is invalid"));
        }
        if value.chars().count() > MAX_VALUE {
            return Err(s3_error!(InvalidTag, "The TagValue you have provided is invalid"));
        }
        if !seen.insert(name) {
            return Err(s3_error!(InvalidTag, "Cannot provide multiple Tags with the same key"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_a_query_string() {
        let tags = from_header(Some("a=1&b%20c=d+e&flag")).unwrap();
        assert_eq!(
            tags,
            [("a", "1"), ("b c", "d e"), ("flag", "")].map(|(n, v)| (n.to_owned(), v.to_owned()))
        );
        assert!(from_header(None).unwrap().is_empty());
        assert!(from_header(Some("%FF=1")).is_err());
    }

    #[test]
    fn limits_are_s3s() {
        let tags = |count: usize| -> Vec<_> { (0..count).map(|n| (format!("k{n}"), String::new())).collect() };
        assert!(check(&tags(10)).is_ok());
        assert!(check(&tags(11)).is_err());
        assert!(check(&[("a".into(), "x".repeat(257))]).is_err());
        assert!(check(&[("a".into(), "1".into()), ("a".into(), "2".into())]).is_err());
    }
}
