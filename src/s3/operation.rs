//! What is asked: method, address and query as one [`Operation`]. Nobody has thought about what is not named here, so it is
//! refused: never plaintext to the store, never sealed bytes to a client.

use http::request::Parts;
use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;

use crate::s3::error::S3Error;

/// An operation that the gate knows. The bucket and the key stand in [`Address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    ListBuckets,
    HeadBucket,
    /// ListObjects, version 1 or 2.
    ListObjects,
    PutObject,
    GetObject,
    HeadObject,
    DeleteObject,
}

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
];
const VERSION: &str = "versionId";
const GET: &[&str] = &[
    VERSION,
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
];

/// Headers that turn a known operation into one that is not known yet.
const TURNING: &[&str] = &[
    "x-amz-copy-source",
    "x-amz-rename-source",
    "x-amz-write-offset-bytes",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-create-session-mode",
    // A lock, or a condition of a deletion, that is left out unsaid would be believed to hold.
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-object-lock-legal-hold",
    "x-amz-bypass-governance-retention",
    "x-amz-mfa",
    "x-amz-if-match-last-modified-time",
    "x-amz-if-match-size",
];

impl<'a> Address<'a> {
    /// Splits the raw target; dots and doubled slashes in a key are data (but see [`Self::name`]).
    pub fn of(parts: &'a Parts) -> Self {
        let path = parts.uri.path();
        let path = path.strip_prefix('/').unwrap_or(path);
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
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
        let mut depth = 0_usize;
        for step in name.split('/') {
            depth = match step {
                ".." => depth.checked_sub(1).ok_or(S3Error::InvalidUri)?,
                "" | "." => depth,
                _ => depth.saturating_add(1),
            };
        }
        Ok(name.into_owned())
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
            .filter(|(name, _)| !is_signature(name) && *name != "x-id" && *name != VERSION);
        let pairs: Vec<String> = passed.map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("&")
    }
}

impl Operation {
    /// Names the operation, or refuses it.
    ///
    /// # Errors
    /// 501 for what is not known; 400 for a query that is no UTF-8, which stores answer as they please.
    pub fn of(method: &Method, address: &Address<'_>, headers: &HeaderMap) -> Result<Self, S3Error> {
        percent_decode_str(address.query)
            .decode_utf8()
            .map_err(|_| S3Error::InvalidUri)?;
        let (operation, allowed): (Self, &[&str]) = match (method, address.bucket, address.key) {
            (&Method::GET, "", "") => (Self::ListBuckets, &[]),
            (&Method::HEAD, bucket, "") if !bucket.is_empty() => (Self::HeadBucket, &[]),
            (&Method::GET, _, "") => (Self::ListObjects, LIST),
            (&Method::PUT, _, key) if !key.is_empty() => (Self::PutObject, &[]),
            (&Method::GET, _, _) => (Self::GetObject, GET),
            (&Method::HEAD, bucket, _) if !bucket.is_empty() => (Self::HeadObject, GET),
            (&Method::DELETE, _, key) if !key.is_empty() => (Self::DeleteObject, &[VERSION]),
            _ => {
                return Err(S3Error::NotImplemented {
                    what: "this operation".into(),
                });
            }
        };
        let unknown = address
            .parameters()
            .map(|(name, _)| name)
            .find(|name| !is_known(name, allowed));
        if let Some(name) = unknown {
            return Err(S3Error::NotImplemented {
                what: format!("the query parameter {name}"),
            });
        }
        if let Some(name) = TURNING.iter().find(|name| headers.contains_key(**name)) {
            return Err(S3Error::NotImplemented {
                what: format!("the header {name}"),
            });
        }
        Ok(operation)
    }

    /// The name that logs, metrics and audit know it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::ListBuckets => "ListBuckets",
            Self::HeadBucket => "HeadBucket",
            Self::ListObjects => "ListObjects",
            Self::PutObject => "PutObject",
            Self::GetObject => "GetObject",
            Self::HeadObject => "HeadObject",
            Self::DeleteObject => "DeleteObject",
        }
    }
}

fn is_known(name: &str, allowed: &[&str]) -> bool {
    allowed.contains(&name) || name == "x-id" || is_signature(name)
}

/// Whether a query parameter belongs to a presigned URL's signature, which is the gate's to check and not the store's.
fn is_signature(name: &str) -> bool {
    const SIGNATURE: &[&str] = &[
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
        "X-Amz-Security-Token",
        "X-Amz-Content-Sha256",
    ];
    SIGNATURE.contains(&name)
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
        Operation::of(&parts.method, &Address::of(&parts), &parts.headers)
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
        ] {
            assert_eq!(of(method, target).ok(), Some(operation), "{method} {target}");
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
            ("PUT", "/b"),
            ("DELETE", "/b"),
            ("POST", "/b/k?uploads"),
            ("POST", "/b?delete"),
            ("PUT", "/b/k?partNumber=1&uploadId=x"),
            ("GET", "/b/k?acl"),
            ("GET", "/b?versions"),
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
            ("PUT", "x-amz-object-lock-mode"),
            ("PUT", "x-amz-object-lock-legal-hold"),
            ("DELETE", "x-amz-if-match-size"),
        ] {
            let request = http::Request::builder().method(method).uri("/b/k").header(header, "x");
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let operation = Operation::of(&parts.method, &Address::of(&parts), &parts.headers);
            assert!(matches!(operation, Err(S3Error::NotImplemented { .. })), "{header}");
        }
    }

    #[test]
    fn no_key_climbs_out_of_its_bucket() {
        let name = |target: &str| {
            let (parts, ()) = http::Request::builder().uri(target).body(()).unwrap().into_parts();
            Address::of(&parts).name()
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
