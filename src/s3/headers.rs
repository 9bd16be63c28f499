//! Which headers pass, in which direction, and what the gate adds. By name: what is not listed stays where it is.

use http::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, CONTENT_DISPOSITION,
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, ETAG, EXPECT, EXPIRES, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED, LOCATION, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::body::aws_chunked::stored_encoding;
use crate::body::checksum::Checksum;
use crate::s3::error::S3Error;
use crate::s3::etag;
use crate::seal::Core;

/// User metadata that belongs to the gate begins with this.
const RESERVED: &str = "x-amz-meta-portcullis-";
/// The core, as metadata: what a warm reader needs to open a range with one request.
const CORE: HeaderName = HeaderName::from_static("x-amz-meta-portcullis-core");
/// The plaintext's checksums, sealed: what a client that asks for them is told.
const CHECKSUMS: HeaderName = HeaderName::from_static("x-amz-meta-portcullis-checksums");
const META: &str = "x-amz-meta-";
const VERSION_ID: HeaderName = HeaderName::from_static("x-amz-version-id");
const ENCRYPTION: HeaderName = HeaderName::from_static("x-amz-server-side-encryption");
const ENCRYPTION_KEY: HeaderName = HeaderName::from_static("x-amz-server-side-encryption-aws-kms-key-id");
/// A key of the client's own, by which the store would seal once more (SSE-C).
static CLIENT_KEY: [HeaderName; 6] = [
    HeaderName::from_static("x-amz-server-side-encryption-customer-algorithm"),
    HeaderName::from_static("x-amz-server-side-encryption-customer-key"),
    HeaderName::from_static("x-amz-server-side-encryption-customer-key-md5"),
    HeaderName::from_static("x-amz-copy-source-server-side-encryption-customer-algorithm"),
    HeaderName::from_static("x-amz-copy-source-server-side-encryption-customer-key"),
    HeaderName::from_static("x-amz-copy-source-server-side-encryption-customer-key-md5"),
];
/// How long the store keeps the object from being changed or deleted (Object Lock).
static LOCKING: [HeaderName; 3] = [
    HeaderName::from_static("x-amz-object-lock-mode"),
    HeaderName::from_static("x-amz-object-lock-retain-until-date"),
    HeaderName::from_static("x-amz-object-lock-legal-hold"),
];

/// S3's limit for user metadata is 2,048 bytes, names (without `x-amz-meta-`) and values together; this is what the gate's own
/// leaves of it: the core, with room for sealed checksums and an alias.
pub const LARGEST_METADATA: usize = 2048 - 430;

/// What a writer says about an object, and the store keeps.
static DESCRIBING: [HeaderName; 15] = [
    CONTENT_TYPE,
    CACHE_CONTROL,
    CONTENT_DISPOSITION,
    CONTENT_LANGUAGE,
    EXPIRES,
    HeaderName::from_static("x-amz-acl"),
    HeaderName::from_static("x-amz-grant-full-control"),
    HeaderName::from_static("x-amz-grant-read"),
    HeaderName::from_static("x-amz-grant-read-acp"),
    HeaderName::from_static("x-amz-grant-write"),
    HeaderName::from_static("x-amz-grant-write-acp"),
    HeaderName::from_static("x-amz-server-side-encryption-bucket-key-enabled"),
    HeaderName::from_static("x-amz-storage-class"),
    HeaderName::from_static("x-amz-tagging"),
    HeaderName::from_static("x-amz-website-redirect-location"),
];

/// What a client says of any request: whose the bucket must be, and that it pays.
static ALWAYS: [HeaderName; 5] = [
    // The store knows the bucket's CORS rules.
    ORIGIN,
    ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD,
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
    VERSION_ID,
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

/// The headers with which a whole object goes to the store: what the client says of it, its metadata, and the core.
///
/// # Errors
/// As [`described`].
pub fn to_store(client: &HeaderMap, core: &Core) -> Result<HeaderMap, S3Error> {
    let mut headers = described(client)?;
    if let Ok(text) = HeaderValue::try_from(core.to_text()) {
        headers.insert(CORE, text);
    }
    Ok(headers)
}

/// What the client says of an object that it writes, with its metadata, for the store to keep.
///
/// # Errors
/// Metadata under a reserved name, or more of it than fits; encryption at the store that the gate can't have.
pub fn described(client: &HeaderMap) -> Result<HeaderMap, S3Error> {
    let mut headers = HeaderMap::with_capacity(12);
    for name in DESCRIBING.iter().chain(&LOCKING) {
        copy(client, &mut headers, name);
    }
    no_other_lock(client)?;
    encodings(client, &mut headers);
    metadata(client, &mut headers)?;
    encryption(client, &mut headers)?;
    Ok(headers)
}

/// User metadata. Several of one name are one, joined by commas, as S3 does it.
fn metadata(client: &HeaderMap, to: &mut HeaderMap) -> Result<(), S3Error> {
    let mut size = 0;
    for name in client.keys().filter(|name| name.as_str().starts_with(META)) {
        if name.as_str().starts_with(RESERVED) {
            return Err(S3Error::ReservedMetadata {
                name: name.as_str().to_owned(),
            });
        }
        let mut values = client.get_all(name).iter();
        let mut joined = values.next().cloned().unwrap_or_else(|| HeaderValue::from_static(""));
        for value in values {
            // Two header values make one: nothing in them can't stand in one.
            let both = [joined.as_bytes(), b",", value.as_bytes()].concat();
            joined = HeaderValue::from_bytes(&both).unwrap_or(joined);
        }
        size += name.as_str().len() - META.len() + joined.len();
        to.insert(name.clone(), joined);
    }
    match size > LARGEST_METADATA {
        true => Err(S3Error::MetadataTooLarge {
            largest: LARGEST_METADATA,
        }),
        false => Ok(()),
    }
}

/// What the store is asked to do on top of the seal. A client that asks for a key of KMS has one: the tenant's, which the gate
/// names in its answers; the store knows no such key.
fn encryption(client: &HeaderMap, to: &mut HeaderMap) -> Result<(), S3Error> {
    no_client_key(client)?;
    let asked = client.get(ENCRYPTION);
    match asked.map(HeaderValue::as_bytes) {
        Some(b"AES256") => {
            to.insert(ENCRYPTION, HeaderValue::from_static("AES256"));
        }
        None | Some(b"aws:kms") => {}
        Some(b"aws:kms:dsse") => {
            let what = "aws:kms:dsse, for objects are sealed once, under the key of this bucket's tenant".to_owned();
            return Err(S3Error::NotImplemented { what });
        }
        Some(_) => {
            let message = "The encryption method specified is not supported";
            return Err(S3Error::InvalidArgument { message });
        }
    }
    if client.contains_key(ENCRYPTION_KEY) && asked.is_none_or(|asked| asked != "aws:kms") {
        let message =
            "x-amz-server-side-encryption-aws-kms-key-id may only stand with x-amz-server-side-encryption: aws:kms.";
        return Err(S3Error::InvalidArgument { message });
    }
    Ok(())
}

/// Refuses SSE-C: the client's key would seal sealed bytes once more, and the store would see the key.
///
/// # Errors
/// The client sends a key of its own.
pub fn no_client_key(client: &HeaderMap) -> Result<(), S3Error> {
    match CLIENT_KEY.iter().find(|name| client.contains_key(*name)) {
        Some(name) => Err(S3Error::NotImplemented {
            what: format!("the header {name}, for objects are sealed under the key of this bucket's tenant"),
        }),
        None => Ok(()),
    }
}

/// Refuses a lock that the gate does not know: an object must not lie there unlocked whose writer was told that it is locked.
fn no_other_lock(client: &HeaderMap) -> Result<(), S3Error> {
    let mut locks = client
        .keys()
        .filter(|name| name.as_str().starts_with("x-amz-object-lock-"));
    match locks.find(|name| !LOCKING.contains(*name)) {
        Some(name) => Err(S3Error::NotImplemented {
            what: format!("the header {name}"),
        }),
        None => Ok(()),
    }
}

/// Whether the client sends its body only when it is asked for it.
pub fn expects(client: &HeaderMap) -> bool {
    let value = client.get(EXPECT).map(HeaderValue::as_bytes);
    value.is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
}

/// Whether a client's headers, or those on their way to the store, ask for Object Lock.
pub fn is_locking(headers: &HeaderMap) -> bool {
    LOCKING.iter().any(|name| headers.contains_key(name))
}

/// Adds one map to another.
pub fn add(from: &HeaderMap, to: &mut HeaderMap) {
    for (name, value) in from {
        to.append(name.clone(), value.clone());
    }
}

/// Adds the MD5 of what the store gets.
pub fn content_md5(md5: &Checksum, to: &mut HeaderMap) {
    if let Ok(md5) = HeaderValue::try_from(md5.to_base64()) {
        to.insert("content-md5", md5);
    }
}

/// Adds the sealed checksums.
pub fn keep_checksums(sealed: &str, to: &mut HeaderMap) {
    if let Ok(sealed) = HeaderValue::try_from(sealed) {
        to.insert(CHECKSUMS, sealed);
    }
}

/// Whether it tells a browser what another origin may do.
pub fn is_cors(name: &HeaderName) -> bool {
    *name == VARY || name.as_str().starts_with("access-control-")
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

/// The query that names the version of which a store's answer speaks; empty where it speaks of none.
pub fn version_query(store: &HeaderMap) -> String {
    match store.get(VERSION_ID).and_then(|version| version.to_str().ok()) {
        Some(version) => format!("versionId={}", utf8_percent_encode(version, NON_ALPHANUMERIC)),
        None => String::new(),
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

    fn map(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn metadata_is_counted_as_it_is_kept() {
        let name = "x-amz-meta-n";
        let long = vec![b'v'; LARGEST_METADATA - 1];
        assert!(described(&map(&[(name, &long)])).is_ok());
        let longer = [&long[..], b"v"].concat();
        let refused = described(&map(&[(name, &longer)]));
        assert!(matches!(refused, Err(S3Error::MetadataTooLarge { largest: 1618 })));
        // The comma between two counts too.
        let (half, rest) = long.split_at(800);
        assert!(described(&map(&[(name, half), (name, &rest[1..])])).is_ok());
        let refused = described(&map(&[(name, half), (name, rest)]));
        assert!(matches!(refused, Err(S3Error::MetadataTooLarge { .. })));
    }

    #[test]
    fn metadata_of_one_name_is_joined_and_its_bytes_stay() {
        let kept = described(&map(&[
            ("x-amz-meta-a", b"1"),
            ("x-amz-meta-a", "\u{fc}".as_bytes()),
            ("x-amz-meta-b", b"=?UTF-8?B?w7w=?="),
            ("x-amz-meta-c", b""),
        ]));
        let kept = kept.unwrap();
        assert_eq!(kept["x-amz-meta-a"].as_bytes(), "1,\u{fc}".as_bytes());
        assert_eq!(kept["x-amz-meta-b"], "=?UTF-8?B?w7w=?=");
        assert_eq!(kept["x-amz-meta-c"], "");
        let refused = described(&map(&[("x-amz-meta-portcullis-core", b"x")]));
        assert!(matches!(refused, Err(S3Error::ReservedMetadata { .. })));
    }

    #[test]
    fn encryption_at_the_store_is_passed_answered_as_ours_or_refused() {
        let sse = "x-amz-server-side-encryption";
        let key = "x-amz-server-side-encryption-aws-kms-key-id";
        assert_eq!(described(&map(&[(sse, b"AES256")])).unwrap()[sse], "AES256");
        let context = "x-amz-server-side-encryption-context";
        let kms = described(&map(&[(sse, b"aws:kms"), (key, b"arn:x"), (context, b"e30=")])).unwrap();
        assert!(kms.is_empty(), "{kms:?}");
        for wrong in [
            &[(sse, &b"AES128"[..])][..],
            &[(key, b"arn:x")],
            &[(sse, b"AES256"), (key, b"arn:x")],
        ] {
            assert!(matches!(described(&map(wrong)), Err(S3Error::InvalidArgument { .. })));
        }
        let customer = "x-amz-server-side-encryption-customer-key";
        for foreign in [(sse, &b"aws:kms:dsse"[..]), (customer, b"c2VjcmV0")] {
            let error = described(&map(&[foreign])).unwrap_err();
            assert!(matches!(error, S3Error::NotImplemented { .. }));
            assert!(!error.to_string().contains("c2VjcmV0"));
        }
    }

    #[test]
    fn what_locks_an_object_goes_along() {
        let client = map(&[
            ("x-amz-object-lock-mode", b"COMPLIANCE"),
            ("x-amz-object-lock-retain-until-date", b"2030-01-01T00:00:00Z"),
            ("expires", b"never"),
        ]);
        assert_eq!(described(&client).unwrap(), client);
        let other = described(&map(&[("x-amz-object-lock-event-hold", b"ON")]));
        assert!(matches!(other, Err(S3Error::NotImplemented { .. })));
        assert!(is_locking(&client) && !is_locking(&map(&[("expires", b"never")])));
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
