//! Which bucket, key and version a request names, and what else stands in its query.

use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::s3::auth::is_hoistable;
use crate::s3::error::S3Error;

pub(super) const VERSION: &str = "versionId";
/// What a form's `success_action_redirect` adds to its URL, which may be the bucket's own. Stores pass over it, and are not told.
const REDIRECTED: &[&str] = &["bucket", "key", "etag"];
/// Which bucket and key, as they stand percent-encoded on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// Empty for the service itself. Bucket names need no encoding.
    pub bucket: &'a str,
    /// Empty for the bucket itself.
    pub key: &'a str,
    /// Without the question mark.
    pub query: &'a str,
}

impl<'a> Address<'a> {
    /// Splits the raw target; dots and doubled slashes in a key are data (but see [`Self::name`]). Where the bucket stands in the
    /// host (`in_host`), all of the path is the key.
    pub fn of(parts: &'a Parts, in_host: Option<&'a str>) -> Self {
        let path = parts.uri.path();
        let path = path.strip_prefix('/').unwrap_or(path);
        let (bucket, key) = match in_host {
            Some(bucket) => (bucket, path),
            None => path.split_once('/').unwrap_or((path, "")),
        };
        Self {
            bucket,
            key,
            query: parts.uri.query().unwrap_or(""),
        }
    }

    /// The key, decoded.
    ///
    /// # Errors
    /// No UTF-8, or it climbs out of its bucket: S3 takes `..` for a name like any other, but a store that lies in a file system,
    /// or a proxy before one, may not, and would then write into the bucket beside this one.
    pub fn name(&self) -> Result<String, S3Error> {
        let name = percent_decode_str(self.key)
            .decode_utf8()
            .map_err(|_| S3Error::InvalidUri)?;
        checked_name(name.into_owned())
    }

    /// The beginning of keys that a listing asks for, decoded; empty for all.
    ///
    /// # Errors
    /// No UTF-8.
    pub fn prefix(&self) -> Result<String, S3Error> {
        let value = self.parameters().find(|(name, _)| *name == "prefix");
        let text = percent_decode_str(value.map_or("", |(_, value)| value)).decode_utf8();
        Ok(text.map_err(|_| S3Error::InvalidUri)?.into_owned())
    }

    /// The access key that a presigned URL names, as it stands on the wire; nobody has checked the signature.
    pub fn claimed_access_key(&self) -> Option<&'a str> {
        self.parameters().find_map(|(name, value)| match name {
            "AWSAccessKeyId" => Some(value),
            // Its first piece, before a slash or an encoded one.
            "X-Amz-Credential" => value.split(['/', '%']).next(),
            _ => None,
        })
    }

    /// The query's parameter names and raw values.
    pub fn parameters(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let pairs = self.query.split('&').filter(|pair| !pair.is_empty());
        pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }

    /// The version asked for, as it stands on the wire.
    pub fn version(&self) -> Option<&'a str> {
        self.parameters()
            .find(|(name, _)| *name == VERSION)
            .map(|(_, version)| version)
    }

    /// The query as the store is asked: without the version, which [`Object`](crate::s3::object::Object) adds; without what signs a presigned URL, and without `x-id`, neither of which is its business.
    pub fn passed_query(&self) -> String {
        let passed = self
            .parameters()
            .filter(|(name, _)| !is_signature(name) && !is_hoistable(name) && !REDIRECTED.contains(name))
            .filter(|(name, _)| *name != "x-id" && *name != VERSION);
        let pairs: Vec<String> = passed.map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("&")
    }
}

/// A key, unless it climbs out of its bucket.
///
/// # Errors
/// It does.
pub fn checked_name(name: String) -> Result<String, S3Error> {
    let mut depth = 0_usize;
    for step in name.split('/') {
        depth = match step {
            ".." => depth.checked_sub(1).ok_or(S3Error::InvalidUri)?,
            "" | "." => depth,
            _ => depth.saturating_add(1),
        };
    }
    Ok(name)
}

/// Whether a query parameter belongs to a presigned URL's signature, which is the gate's to check and not the store's.
pub(super) fn is_signature(name: &str) -> bool {
    const SIGNATURE: &[&str] = &[
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
        "X-Amz-Security-Token",
        "X-Amz-Content-Sha256",
        // SigV2.
        "AWSAccessKeyId",
        "Signature",
        "Expires",
    ];
    SIGNATURE.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_climbs_out_of_its_bucket() {
        let name = |target: &str| {
            let (parts, ()) = http::Request::builder().uri(target).body(()).unwrap().into_parts();
            Address::of(&parts, None).name()
        };
        for climbing in [
            "/b/..",
            "/b/../other/k",
            "/b/%2e%2E/other/k",
            "/b/..%2fother/k",
            "/b/a/../../k",
            "/b//../k",
            "/b/./../k",
            "/b/%ff",
        ] {
            assert!(matches!(name(climbing), Err(S3Error::InvalidUri)), "{climbing}");
        }
        for (target, key) in [
            ("/b", ""),
            ("/b/a/../k", "a/../k"),
            ("/b/a/..", "a/.."),
            ("/b/...", "..."),
            ("/b//k", "/k"),
            ("/b/%252e%252e/k", "%2e%2e/k"),
        ] {
            assert_eq!(name(target).ok().as_deref(), Some(key), "{target}");
        }
    }
}
