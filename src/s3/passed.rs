//! The operations that pass to the store as they are: they set up buckets and label objects, and no object's content is in them.
//! Names and parameters are those of <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations.html>.

use http::Method;

/// One operation that passes.
#[derive(Debug, PartialEq, Eq)]
pub struct Passed {
    /// Its name in S3's own documentation.
    pub name: &'static str,
    /// `GET`, `PUT`, `DELETE` or `POST`.
    method: &'static str,
    /// Whether it is about an object, or about a bucket.
    object: bool,
    /// The query parameter that makes it this operation; empty where the method alone does.
    parameter: &'static str,
    /// Further parameters that it takes.
    pub allowed: &'static [&'static str],
}

const fn bucket(name: &'static str, method: &'static str, parameter: &'static str) -> Passed {
    Passed {
        name,
        method,
        object: false,
        parameter,
        allowed: &[],
    }
}

/// A configuration of which a bucket has several, by id, listed in pages.
const fn several(name: &'static str, method: &'static str, parameter: &'static str) -> Passed {
    Passed {
        name,
        method,
        object: false,
        parameter,
        allowed: &["id", "continuation-token"],
    }
}

const fn object(name: &'static str, method: &'static str, parameter: &'static str) -> Passed {
    Passed {
        name,
        method,
        object: true,
        parameter,
        allowed: &["versionId"],
    }
}

/// All of them. What would read content at the store (Select, Torrent, restoring by SELECT) is not here.
static PASSED: &[Passed] = &[
    bucket("CreateBucket", "PUT", ""),
    bucket("DeleteBucket", "DELETE", ""),
    bucket("GetBucketLocation", "GET", "location"),
    bucket("GetBucketAcl", "GET", "acl"),
    bucket("PutBucketAcl", "PUT", "acl"),
    bucket("GetBucketCors", "GET", "cors"),
    bucket("PutBucketCors", "PUT", "cors"),
    bucket("DeleteBucketCors", "DELETE", "cors"),
    bucket("GetBucketLifecycle", "GET", "lifecycle"),
    bucket("PutBucketLifecycle", "PUT", "lifecycle"),
    bucket("DeleteBucketLifecycle", "DELETE", "lifecycle"),
    bucket("GetBucketPolicy", "GET", "policy"),
    bucket("PutBucketPolicy", "PUT", "policy"),
    bucket("DeleteBucketPolicy", "DELETE", "policy"),
    bucket("GetBucketPolicyStatus", "GET", "policyStatus"),
    bucket("GetBucketNotification", "GET", "notification"),
    bucket("PutBucketNotification", "PUT", "notification"),
    bucket("GetBucketEncryption", "GET", "encryption"),
    bucket("PutBucketEncryption", "PUT", "encryption"),
    bucket("DeleteBucketEncryption", "DELETE", "encryption"),
    bucket("GetBucketReplication", "GET", "replication"),
    bucket("PutBucketReplication", "PUT", "replication"),
    bucket("DeleteBucketReplication", "DELETE", "replication"),
    bucket("GetBucketWebsite", "GET", "website"),
    bucket("PutBucketWebsite", "PUT", "website"),
    bucket("DeleteBucketWebsite", "DELETE", "website"),
    bucket("GetPublicAccessBlock", "GET", "publicAccessBlock"),
    bucket("PutPublicAccessBlock", "PUT", "publicAccessBlock"),
    bucket("DeletePublicAccessBlock", "DELETE", "publicAccessBlock"),
    bucket("GetBucketOwnershipControls", "GET", "ownershipControls"),
    bucket("PutBucketOwnershipControls", "PUT", "ownershipControls"),
    bucket("DeleteBucketOwnershipControls", "DELETE", "ownershipControls"),
    bucket("GetBucketVersioning", "GET", "versioning"),
    bucket("PutBucketVersioning", "PUT", "versioning"),
    bucket("GetObjectLockConfiguration", "GET", "object-lock"),
    bucket("PutObjectLockConfiguration", "PUT", "object-lock"),
    bucket("GetBucketTagging", "GET", "tagging"),
    bucket("PutBucketTagging", "PUT", "tagging"),
    bucket("DeleteBucketTagging", "DELETE", "tagging"),
    bucket("GetBucketLogging", "GET", "logging"),
    bucket("PutBucketLogging", "PUT", "logging"),
    bucket("GetBucketRequestPayment", "GET", "requestPayment"),
    bucket("PutBucketRequestPayment", "PUT", "requestPayment"),
    bucket("GetBucketAccelerateConfiguration", "GET", "accelerate"),
    bucket("PutBucketAccelerateConfiguration", "PUT", "accelerate"),
    several("GetBucketAnalyticsConfiguration", "GET", "analytics"),
    several("PutBucketAnalyticsConfiguration", "PUT", "analytics"),
    several("DeleteBucketAnalyticsConfiguration", "DELETE", "analytics"),
    several("GetBucketIntelligentTieringConfiguration", "GET", "intelligent-tiering"),
    several("PutBucketIntelligentTieringConfiguration", "PUT", "intelligent-tiering"),
    several(
        "DeleteBucketIntelligentTieringConfiguration",
        "DELETE",
        "intelligent-tiering",
    ),
    several("GetBucketInventoryConfiguration", "GET", "inventory"),
    several("PutBucketInventoryConfiguration", "PUT", "inventory"),
    several("DeleteBucketInventoryConfiguration", "DELETE", "inventory"),
    several("GetBucketMetricsConfiguration", "GET", "metrics"),
    several("PutBucketMetricsConfiguration", "PUT", "metrics"),
    several("DeleteBucketMetricsConfiguration", "DELETE", "metrics"),
    object("GetObjectAcl", "GET", "acl"),
    object("PutObjectAcl", "PUT", "acl"),
    object("GetObjectTagging", "GET", "tagging"),
    object("PutObjectTagging", "PUT", "tagging"),
    object("DeleteObjectTagging", "DELETE", "tagging"),
    object("GetObjectRetention", "GET", "retention"),
    object("PutObjectRetention", "PUT", "retention"),
    object("GetObjectLegalHold", "GET", "legal-hold"),
    object("PutObjectLegalHold", "PUT", "legal-hold"),
    object("RestoreObject", "POST", "restore"),
];

impl Passed {
    /// The operation of this method on a bucket or an object that has one of these query parameters.
    pub fn find<'p>(
        method: &Method,
        object: bool,
        mut parameters: impl Iterator<Item = &'p str>,
    ) -> Option<&'static Self> {
        let fits = |passed: &&Self| passed.method == method.as_str() && passed.object == object;
        let of_name = |name: &str| PASSED.iter().filter(fits).find(|passed| passed.parameter == name);
        parameters.find_map(|name| of_name(name).filter(|_| !name.is_empty()))
    }

    /// The operation that the method alone makes: of a bucket, its making and its end.
    pub fn of_bucket(method: &Method) -> Option<&'static Self> {
        PASSED
            .iter()
            .find(|passed| passed.method == method.as_str() && passed.parameter.is_empty())
    }

    /// Whether a query parameter belongs to it.
    pub fn takes(&self, name: &str) -> bool {
        name == self.parameter || self.allowed.contains(&name)
    }

    /// Whether it sends a document.
    pub fn sends(&self) -> bool {
        matches!(self.method, "PUT" | "POST")
    }

    /// Whether the document could ask the store to read content: restoring by SELECT does
    /// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_RestoreObject.html>).
    pub fn may_select(&self) -> bool {
        self.parameter == "restore"
    }

    /// Whether it is about an object.
    pub fn is_of_object(&self) -> bool {
        self.object
    }
}
