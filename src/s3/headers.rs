//! Which headers pass, in which direction, and what the gate adds. By name: what is not listed stays where it is.

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, ETAG, EXPIRES,
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED, LOCATION, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::body::aws_chunked::stored_encoding;
use crate::s3::error::S3Error;
use crate::s3::etag;
use crate::seal::Core;

/// User metadata that belongs to the gate begins with this.
const RESERVED: &str = "x-amz-meta-portcullis-";
/// The core, as metadata: what a warm reader needs to open a range with one request.
const CORE: HeaderName = HeaderName::from_static("x-amz-meta-portcullis-core");
const META: &str = "x-amz-meta-";
const ENCRYPTION: HeaderName = HeaderName::from_static("x-amz-server-side-encryption");

/// S3's limit for user metadata is 2,048 bytes, names (without `x-amz-meta-`) and values together; this is what the gate's own
/// leaves of it: the core, with room for sealed checksums and an alias.
pub const LARGEST_METADATA: usize = 2048 - 430;

/// What a writer says about an object, and the store keeps.
static DESCRIBING: [HeaderName; 13] = [
    CONTENT_TYPE,
    CACHE_CONTROL,
    CONTENT_DISPOSITION,
    CONTENT_LANGUAGE,
    EXPIRES,
    HeaderName::from_static("x-amz-acl"),
    HeaderName::from_static("x-amz-grant-full-control"),
    HeaderName::from_static("x-amz-grant-read"),
    HeaderName::from_static("x-amz-grant-read-acp"),
    HeaderName::from_static("x-amz-grant-write-acp"),
    HeaderName::from_static("x-amz-storage-class"),
    HeaderName::from_static("x-amz-tagging"),
    HeaderName::from_static("x-amz-website-redirect-location"),
];

/// What a client says of any request: whose the bucket must be, and that it pays.
static ALWAYS: [HeaderName; 3] = [
    // The store knows the bucket's CORS rules.
    ORIGIN,
    HeaderName::from_static("x-amz-expected-bucket-owner"),
    HeaderName::from_static("x-amz-request-payer"),
];

static CONDITIONS: [HeaderName; 4] = [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE];

/// What the store says about an object, and the client may see.
static ANSWERED: [HeaderName; 19] = [
    ACCEPT_RANGES,
    CACHE_CONTROL,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_TYPE,
    EXPIRES,
    LAST_MODIFIED,
    HeaderName::from_static("x-amz-delete-marker"),
    HeaderName::from_static("x-amz-expiration"),
    HeaderName::from_static("x-amz-missing-meta"),
    HeaderName::from_static("x-amz-replication-status"),
    HeaderName::from_static("x-amz-request-charged"),
    HeaderName::from_static("x-amz-restore"),
    HeaderName::from_static("x-amz-storage-class"),
    HeaderName::from_static("x-amz-tagging-count"),
    HeaderName::from_static("x-amz-version-id"),
    HeaderName::from_static("x-amz-website-redirect-location"),
    HeaderName::from_static("x-amz-bucket-region"),
];

/// What a client says of a bucket's configuration, or of an object's labels, beside the document itself.
static CONFIGURING: [HeaderName; 11] = [
    CONTENT_TYPE,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("x-amz-acl"),
    HeaderName::from_static("x-amz-bucket-object-lock-enabled"),
    HeaderName::from_static("x-amz-bucket-object-lock-token"),
    HeaderName::from_static("x-amz-bypass-governance-retention"),
    HeaderName::from_static("x-amz-confirm-remove-self-bucket-access"),
    HeaderName::from_static("x-amz-mfa"),
    HeaderName::from_static("x-amz-object-ownership"),
    HeaderName::from_static("x-amz-skip-destination-validation"),
    HeaderName::from_static("x-amz-transition-default-minimum-object-size"),
];

/// What the store says of a configuration, or to a browser of another origin.
static CONFIGURED: [HeaderName; 10] = [
    LOCATION,
    VARY,
    HeaderName::from_static("access-control-allow-credentials"),
    HeaderName::from_static("access-control-allow-headers"),
    HeaderName::from_static("access-control-allow-methods"),
    HeaderName::from_static("access-control-allow-origin"),
    HeaderName::from_static("access-control-expose-headers"),
    HeaderName::from_static("access-control-max-age"),
    HeaderName::from_static("x-amz-bucket-object-lock-enabled"),
    HeaderName::from_static("x-amz-transition-default-minimum-object-size"),
];

/// The headers of a request that passes as it is; its document has been verified, and its checksums are of what the store gets.
pub fn configuring(client: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in &CONFIGURING {
        copy(client, &mut headers, name);
    }
    for (name, value) in client {
        let name_text = name.as_str();
        if name_text.starts_with("x-amz-grant-") || name_text.starts_with("x-amz-checksum-") {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

/// The headers of a request that deletes: what permits it, and the client's conditions.
pub fn deleting(client: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    conditions(client, &mut headers);
    for name in ["x-amz-bypass-governance-retention", "x-amz-mfa"] {
        copy(client, &mut headers, &HeaderName::from_static(name));
    }
    headers
}

/// The headers with which an object goes to the store: what the client says of it, its metadata, and the core.
///
/// # Errors
/// Metadata under a reserved name, or more of it than fits.
pub fn to_store(client: &HeaderMap, core: &Core) -> Result<HeaderMap, S3Error> {
    let mut headers = HeaderMap::with_capacity(12);
    for name in &DESCRIBING {
        copy(client, &mut headers, name);
    }
    encodings(client, &mut headers);
    let mut size = 0;
    for (name, value) in client.iter().filter(|(name, _)| name.as_str().starts_with(META)) {
        if name.as_str().starts_with(RESERVED) {
            return Err(S3Error::ReservedMetadata {
                name: name.as_str().to_owned(),
            });
        }
        size += name.as_str().len() - META.len() + value.len();
        headers.append(name.clone(), value.clone());
    }
    if size > LARGEST_METADATA {
        return Err(S3Error::MetadataTooLarge {
            largest: LARGEST_METADATA,
        });
    }
    // A client that asks for a key of KMS has one: the tenant's, which the gate names in its answers. The store knows no such key.
    if let Some(own) = client.get(ENCRYPTION).filter(|value| *value == "AES256") {
        headers.insert(ENCRYPTION, own.clone());
    }
    if let Ok(text) = HeaderValue::try_from(core.to_text()) {
        headers.insert(CORE, text);
    }
    Ok(headers)
}

/// What goes along with every request to the store.
pub fn to_any(client: &HeaderMap, to: &mut HeaderMap) {
    for name in &ALWAYS {
        copy(client, to, name);
    }
}

/// The client's conditions, as the store knows the ETags in them.
pub fn conditions(client: &HeaderMap, to: &mut HeaderMap) {
    for name in &CONDITIONS {
        for value in client.get_all(name) {
            let translated = match value.to_str() {
                Ok(text) if *name == IF_MATCH || *name == IF_NONE_MATCH => HeaderValue::try_from(etag::to_store(text)),
                _ => Ok(value.clone()),
            };
            if let Ok(translated) = translated {
                to.append(name.clone(), translated);
            }
        }
    }
}

/// What a client sees of the store's answer about an object: no length, no checksum, none of the gate's own metadata, and the
/// ETag marked.
pub fn to_client(store: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(16);
    for name in ANSWERED.iter().chain(&CONFIGURED) {
        copy(store, &mut headers, name);
    }
    for (name, value) in store {
        if name.as_str().starts_with("x-amz-object-lock-")
            || (name.as_str().starts_with(META) && !name.as_str().starts_with(RESERVED))
        {
            headers.append(name.clone(), value.clone());
        }
    }
    if let Some(etag) = store.get(ETAG).and_then(|value| value.to_str().ok())
        && let Ok(etag) = HeaderValue::try_from(etag::to_client(etag).as_ref())
    {
        headers.insert(ETAG, etag);
    }
    headers
}

/// Says whose key seals the object, as S3 does for SSE-KMS: clients that know it don't take the ETag for an MD5.
pub fn sealed_under(key_url: &str, headers: &mut HeaderMap) {
    headers.insert(ENCRYPTION, HeaderValue::from_static("aws:kms"));
    if let Ok(url) = HeaderValue::try_from(key_url) {
        headers.insert("x-amz-server-side-encryption-aws-kms-key-id", url);
    }
}

/// The core that came along as metadata, if it is one. Not believed before its commitment was checked.
pub fn core(store: &HeaderMap) -> Option<Core> {
    Core::from_text(store.get(CORE)?.to_str().ok()?).ok()
}

/// The object's own encodings, on however many lines, without the transfer's.
fn encodings(client: &HeaderMap, to: &mut HeaderMap) {
    for encoding in client.get_all(CONTENT_ENCODING) {
        if let Some(encoding) = encoding.to_str().ok().and_then(stored_encoding)
            && let Ok(encoding) = HeaderValue::try_from(encoding)
        {
            to.append(CONTENT_ENCODING, encoding);
        }
    }
}

fn copy(from: &HeaderMap, to: &mut HeaderMap, name: &HeaderName) {
    for value in from.get_all(name) {
        to.append(name.clone(), value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_but_the_transfers_own_is_kept() {
        let mut client = HeaderMap::new();
        client.append(CONTENT_ENCODING, HeaderValue::from_static("aws-chunked"));
        client.append(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        let mut store = HeaderMap::new();
        encodings(&client, &mut store);
        assert_eq!(store.get_all(CONTENT_ENCODING).iter().collect::<Vec<_>>(), ["gzip"]);
    }

    #[test]
    fn whose_the_bucket_must_be_goes_along_with_every_request() {
        let mut client = HeaderMap::new();
        client.insert("x-amz-expected-bucket-owner", HeaderValue::from_static("123456789012"));
        client.insert("x-amz-anything-else", HeaderValue::from_static("x"));
        let mut store = HeaderMap::new();
        to_any(&client, &mut store);
        assert_eq!(store.len(), 1);
        assert!(store.contains_key("x-amz-expected-bucket-owner"));
    }
}
