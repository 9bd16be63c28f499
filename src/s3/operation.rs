//! What is asked: method, address and query as one [`Operation`]. Nobody has thought about what is not named here, so it is
//! refused: never plaintext to the store, never sealed bytes to a client.

use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;

use crate::s3::address::{VERSION, is_signature};
use crate::s3::auth::is_hoistable;
use crate::s3::error::S3Error;
use crate::s3::passed::Passed;
use crate::tenant::Within;

pub use crate::s3::address::{Address, checked_name};

/// An operation that the gate knows. The bucket and the key stand in [`Address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    ListBuckets,
    /// Ceph's own: what the store counts for a user of it.
    GetUsage,
    HeadBucket,
    /// What a browser asks before it asks: whether the bucket's CORS rules permit it.
    Preflight,
    /// ListObjects, version 1 or 2.
    ListObjects,
    ListObjectVersions,
    ListMultipartUploads,
    DeleteObjects,
    /// A browser's form.
    PostObject,
    PutObject,
    CopyObject,
    GetObject,
    HeadObject,
    GetObjectAttributes,
    DeleteObject,
    CreateMultipartUpload,
    UploadPart,
    UploadPartCopy,
    CompleteMultipartUpload,
    AbortMultipartUpload,
    ListParts,
    /// Nothing of it concerns the gate.
    Passed(&'static Passed),
}

/// Query parameters of each operation; what is signed in the URL itself, and `x-id`, which only names the operation, come on top.
const LIST: &[&str] = &[
    "list-type",
    "prefix",
    "delimiter",
    "marker",
    "max-keys",
    "encoding-type",
    "continuation-token",
    "start-after",
    "fetch-owner",
    // Ceph's own, which s3-tests and some tools send: it changes the order only.
    "allow-unordered",
    "bucket",
    "key",
    "etag",
];
const LIST_VERSIONS: &[&str] = &[
    "versions",
    "prefix",
    "delimiter",
    "key-marker",
    "version-id-marker",
    "max-keys",
    "encoding-type",
];
const LIST_UPLOADS: &[&str] = &[
    "uploads",
    "prefix",
    "delimiter",
    "key-marker",
    "upload-id-marker",
    "max-uploads",
    "encoding-type",
];
const LIST_BUCKETS: &[&str] = &["prefix", "max-buckets", "continuation-token", "bucket-region"];
const GET: &[&str] = &[
    VERSION,
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
];
const PART: &[&str] = &["uploadId", "partNumber"];
const LIST_PARTS: &[&str] = &["uploadId", "max-parts", "part-number-marker", "encoding-type"];

/// Headers that turn a known operation into one that is not known: moves and appends of directory buckets, and content sealed by
/// the store with the client's key, which would be sealed twice.
const TURNING: &[&str] = &[
    "x-amz-rename-source",
    "x-amz-write-offset-bytes",
    "x-amz-if-match-size",
    "x-amz-if-match-last-modified-time",
    "x-amz-if-match-initiated-time",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-server-side-encryption-customer-key",
];

/// The copy's source: a PUT with it has no body.
const COPY_SOURCE: &str = "x-amz-copy-source";

impl Operation {
    /// Names the operation, or refuses it. The query of a signed URL may state headers too.
    ///
    /// # Errors
    /// 501 for what is not known; 400 for a query that is no UTF-8, which stores answer as they please.
    pub fn of(method: &Method, address: &Address<'_>, headers: &HeaderMap, signed_url: bool) -> Result<Self, S3Error> {
        percent_decode_str(address.query)
            .decode_utf8()
            .map_err(|_| S3Error::InvalidUri)?;
        let copies = headers.contains_key(COPY_SOURCE);
        let (operation, allowed): (Self, &[&str]) = match (address.bucket.is_empty(), address.key.is_empty()) {
            (true, true) if method == Method::GET && address.query == "usage" => (Self::GetUsage, &["usage"]),
            (true, true) if method == Method::GET => (Self::ListBuckets, LIST_BUCKETS),
            (false, _) if method == Method::OPTIONS => (Self::Preflight, GET),
            (false, true) => Self::of_bucket(method, address)?,
            (false, false) => Self::of_object(method, address, copies)?,
            (true, _) => return Err(not_implemented("this operation")),
        };
        let unknown = address
            .parameters()
            .map(|(name, _)| name)
            .find(|name| !(operation.takes(name, allowed) || signed_url && is_hoistable(name)));
        if let Some(name) = unknown {
            return Err(not_implemented(format!("the query parameter {name}")));
        }
        // A store may take the first of two, or the last.
        let mut names: Vec<_> = address.parameters().map(|(name, _)| name).collect();
        names.sort_unstable();
        if names
            .windows(2)
            .any(|pair| matches!(pair, [one, other] if one == other))
        {
            return Err(S3Error::InvalidUri);
        }
        if let Some(name) = TURNING.iter().find(|name| headers.contains_key(**name)) {
            return Err(not_implemented(format!("the header {name}")));
        }
        Ok(operation)
    }

    fn of_bucket(method: &Method, address: &Address<'_>) -> Result<(Self, &'static [&'static str]), S3Error> {
        let has = |name: &str| address.parameters().any(|(given, _)| given == name);
        if let Some(passed) = Passed::find(method, false, address.parameters().map(|(name, _)| name)) {
            return Ok((Self::Passed(passed), &[]));
        }
        Ok(match *method {
            Method::HEAD => (Self::HeadBucket, &[]),
            Method::GET if has("versions") => (Self::ListObjectVersions, LIST_VERSIONS),
            Method::GET if has("uploads") => (Self::ListMultipartUploads, LIST_UPLOADS),
            Method::GET => (Self::ListObjects, LIST),
            Method::POST if has("delete") => (Self::DeleteObjects, &["delete"]),
            Method::POST => (Self::PostObject, &[]),
            _ => match Passed::of_bucket(method) {
                Some(passed) => (Self::Passed(passed), &[]),
                None => return Err(not_implemented("this operation")),
            },
        })
    }

    fn of_object(
        method: &Method,
        address: &Address<'_>,
        copies: bool,
    ) -> Result<(Self, &'static [&'static str]), S3Error> {
        let has = |name: &str| address.parameters().any(|(given, _)| given == name);
        if let Some(passed) = Passed::find(method, true, address.parameters().map(|(name, _)| name)) {
            return Ok((Self::Passed(passed), &[]));
        }
        Ok(match *method {
            Method::PUT if has("partNumber") || has("uploadId") => {
                let part = if copies { Self::UploadPartCopy } else { Self::UploadPart };
                (part, PART)
            }
            Method::PUT if copies => (Self::CopyObject, &[]),
            Method::PUT => (Self::PutObject, &[]),
            Method::GET if has("uploadId") => (Self::ListParts, LIST_PARTS),
            Method::GET if has("attributes") => (Self::GetObjectAttributes, &["attributes", VERSION]),
            Method::GET => (Self::GetObject, GET),
            Method::HEAD => (Self::HeadObject, GET),
            Method::POST if has("uploads") => (Self::CreateMultipartUpload, &["uploads"]),
            Method::POST if has("uploadId") => (Self::CompleteMultipartUpload, &["uploadId"]),
            Method::DELETE if has("uploadId") => (Self::AbortMultipartUpload, &["uploadId"]),
            Method::DELETE => (Self::DeleteObject, &[VERSION]),
            _ => return Err(not_implemented("this operation")),
        })
    }

    /// What of the bucket it is about, where tenants share one: the key; for a listing, all keys that begin so.
    pub fn within<'n>(self, name: &'n str, prefix: &'n str) -> Within<'n> {
        match self {
            Self::ListObjects | Self::ListObjectVersions | Self::ListMultipartUploads => Within::Key(prefix),
            _ if name.is_empty() => Within::Itself,
            _ => Within::Key(name),
        }
    }

    /// Whether it tells and changes nothing but what one of the tenants that share a bucket may know and change. What is done to
    /// several keys is judged by its document.
    pub fn is_safe_where_tenants_share(self) -> bool {
        match self {
            Self::Passed(passed) => passed.is_of_object() || passed.name == "GetBucketLocation",
            _ => true,
        }
    }

    fn takes(self, name: &str, allowed: &[&str]) -> bool {
        let passed = matches!(self, Self::Passed(passed) if passed.takes(name));
        passed || allowed.contains(&name) || name == "x-id" || is_signature(name)
    }

    /// The name that logs, metrics and audit know it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::ListBuckets => "ListBuckets",
            Self::GetUsage => "GetUsage",
            Self::HeadBucket => "HeadBucket",
            Self::Preflight => "Preflight",
            Self::ListObjects => "ListObjects",
            Self::ListObjectVersions => "ListObjectVersions",
            Self::ListMultipartUploads => "ListMultipartUploads",
            Self::DeleteObjects => "DeleteObjects",
            Self::PostObject => "PostObject",
            Self::PutObject => "PutObject",
            Self::CopyObject => "CopyObject",
            Self::GetObject => "GetObject",
            Self::HeadObject => "HeadObject",
            Self::GetObjectAttributes => "GetObjectAttributes",
            Self::DeleteObject => "DeleteObject",
            Self::CreateMultipartUpload => "CreateMultipartUpload",
            Self::UploadPart => "UploadPart",
            Self::UploadPartCopy => "UploadPartCopy",
            Self::CompleteMultipartUpload => "CompleteMultipartUpload",
            Self::AbortMultipartUpload => "AbortMultipartUpload",
            Self::ListParts => "ListParts",
            Self::Passed(passed) => passed.name,
        }
    }
}

fn not_implemented(what: impl Into<String>) -> S3Error {
    S3Error::NotImplemented { what: what.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, target: &str) -> Result<Operation, S3Error> {
        let (parts, ()) = http::Request::builder()
            .method(method)
            .uri(target)
            .body(())
            .unwrap()
            .into_parts();
        Operation::of(&parts.method, &Address::of(&parts, None), &parts.headers, false)
    }

    #[test]
    fn operations_are_told_apart() {
        for (method, target, operation) in [
            ("GET", "/", Operation::ListBuckets),
            ("GET", "/?x-id=ListBuckets", Operation::ListBuckets),
            ("HEAD", "/b", Operation::HeadBucket),
            ("HEAD", "/b/", Operation::HeadBucket),
            ("GET", "/b?list-type=2&prefix=a", Operation::ListObjects),
            ("GET", "/b/", Operation::ListObjects),
            ("PUT", "/b/k?x-id=PutObject", Operation::PutObject),
            ("GET", "/b/a/../b", Operation::GetObject),
            ("GET", "/b//", Operation::GetObject),
            ("HEAD", "/b/k", Operation::HeadObject),
            ("DELETE", "/b/k", Operation::DeleteObject),
            ("DELETE", "/b/k?versionId=null", Operation::DeleteObject),
            ("GET", "/b?versions&prefix=a", Operation::ListObjectVersions),
            ("POST", "/b?delete", Operation::DeleteObjects),
            ("POST", "/b", Operation::PostObject),
            ("POST", "/b/k?uploads", Operation::CreateMultipartUpload),
            ("PUT", "/b/k?partNumber=1&uploadId=x", Operation::UploadPart),
            ("GET", "/b/k?uploadId=x", Operation::ListParts),
            ("OPTIONS", "/b/k", Operation::Preflight),
        ] {
            assert_eq!(of(method, target).ok(), Some(operation), "{method} {target}");
        }
    }

    #[test]
    fn no_parameter_comes_twice() {
        assert!(matches!(of("GET", "/b?prefix=a/&prefix=b/"), Err(S3Error::InvalidUri)));
    }

    #[test]
    fn what_is_not_the_gates_passes_by_its_name() {
        for (method, target, name) in [
            ("PUT", "/b", "CreateBucket"),
            ("DELETE", "/b/", "DeleteBucket"),
            ("GET", "/b?acl", "GetBucketAcl"),
            ("GET", "/b/k?acl&versionId=1", "GetObjectAcl"),
            ("PUT", "/b/k?tagging=", "PutObjectTagging"),
            ("GET", "/b?inventory&id=1", "GetBucketInventoryConfiguration"),
            ("POST", "/b/k?restore", "RestoreObject"),
        ] {
            assert_eq!(
                of(method, target).ok().map(Operation::name),
                Some(name),
                "{method} {target}"
            );
        }
    }

    #[test]
    fn a_query_that_is_no_text_is_refused() {
        assert!(matches!(of("GET", "/b?prefix=%ff"), Err(S3Error::InvalidUri)));
        assert!(of("GET", "/b?prefix=%C3%BC").is_ok());
    }

    #[test]
    fn what_nobody_thought_about_is_not_implemented() {
        for (method, target) in [
            ("GET", "/b/k?acl&torrent"),
            ("PUT", "/b?renameObject"),
            ("GET", "/b?session"),
            ("POST", "/b/k"),
            ("DELETE", "/b/k?restore"),
            ("PUT", "/b/k?acl&partNumber=1"),
            ("GET", "/b/k?torrent"),
            ("GET", "/b/k?%61cl"),
            ("POST", "/b/k?select&select-type=2"),
            ("PATCH", "/b/k"),
        ] {
            assert!(
                matches!(of(method, target), Err(S3Error::NotImplemented { .. })),
                "{method} {target}"
            );
        }
    }

    #[test]
    fn what_a_client_would_believe_to_hold_is_not_left_out_unsaid() {
        for (method, header) in [
            ("PUT", "x-amz-rename-source"),
            ("PUT", "x-amz-write-offset-bytes"),
            ("DELETE", "x-amz-if-match-size"),
        ] {
            let request = http::Request::builder().method(method).uri("/b/k").header(header, "x");
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let operation = Operation::of(&parts.method, &Address::of(&parts, None), &parts.headers, false);
            assert!(matches!(operation, Err(S3Error::NotImplemented { .. })), "{header}");
        }
    }
}
