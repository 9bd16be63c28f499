//! Which headers pass, in which direction. By name: what is not listed stays where it is, and an `x-ms-*` that nobody has thought
//! about is refused, since what it asks for would be believed to be done.

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, ETAG,
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::azure::address::Address;
use crate::azure::error::AzureError;
use crate::azure::metadata::{META, is_hidden};

/// What goes along with every request to the store.
const ALWAYS: &[&str] = &["x-ms-version", "x-ms-client-request-id"];
/// What a request is made to depend on.
pub const CONDITIONS: &[&str] = &[
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "x-ms-if-tags",
    "x-ms-lease-id",
];
/// What a writer says about a blob, and the store keeps.
pub const DESCRIBING: &[&str] = &[
    "x-ms-blob-cache-control",
    "x-ms-blob-content-type",
    "x-ms-blob-content-encoding",
    "x-ms-blob-content-language",
    "x-ms-blob-content-disposition",
    "x-ms-tags",
    "x-ms-access-tier",
    "x-ms-rehydrate-priority",
    "x-ms-encryption-scope",
    "x-ms-immutability-policy-until-date",
    "x-ms-immutability-policy-mode",
    "x-ms-legal-hold",
    "x-ms-expiry-option",
    "x-ms-expiry-time",
];
/// What control operations take besides.
pub const CONTROLLING: &[&str] = &[
    "x-ms-lease-action",
    "x-ms-lease-duration",
    "x-ms-lease-break-period",
    "x-ms-proposed-lease-id",
    "x-ms-delete-snapshots",
    "x-ms-blob-public-access",
    "x-ms-default-encryption-scope",
    "x-ms-deny-encryption-scope-override",
    "x-ms-deleted-container-name",
    "x-ms-deleted-container-version",
    "x-ms-copy-action",
    "x-ms-if-blob-match",
];
/// What the gate itself takes from a request.
const OWN: &[&str] = &[
    "x-ms-date",
    "x-ms-range",
    "x-ms-range-get-content-md5",
    "x-ms-range-get-content-crc64",
    "x-ms-blob-type",
    "x-ms-blob-content-md5",
    "x-ms-content-crc64",
    "x-ms-structured-body",
    "x-ms-structured-content-length",
    "x-ms-blob-condition-appendpos",
    "x-ms-blob-condition-maxsize",
    "x-ms-return-client-request-id",
    "x-ms-copy-source",
    "x-ms-copy-source-authorization",
    "x-ms-copy-source-blob-properties",
    "x-ms-copy-source-tag-option",
    "x-ms-requires-sync",
    "x-ms-source-range",
    "x-ms-source-content-md5",
    "x-ms-source-content-crc64",
    "x-ms-source-if-match",
    "x-ms-source-if-none-match",
    "x-ms-source-if-modified-since",
    "x-ms-source-if-unmodified-since",
    "x-ms-source-if-tags",
    "x-ms-source-lease-id",
    "x-ms-seal-blob",
    "x-ms-upn",
    // What SDKs say of themselves.
    "x-ms-useragent",
    "x-ms-client-session-id",
];

/// What the store says, and the client may see: nothing that counts or sums up sealed bytes.
const ANSWERED: &[&str] = &[
    "x-ms-access-tier",
    "x-ms-access-tier-change-time",
    "x-ms-access-tier-inferred",
    "x-ms-account-kind",
    "x-ms-archive-status",
    "x-ms-blob-committed-block-count",
    "x-ms-blob-public-access",
    "x-ms-blob-sealed",
    "x-ms-blob-type",
    "x-ms-copy-completion-time",
    "x-ms-copy-destination-snapshot",
    "x-ms-copy-id",
    "x-ms-copy-status",
    "x-ms-copy-status-description",
    "x-ms-creation-time",
    "x-ms-default-encryption-scope",
    "x-ms-delete-type-permanent",
    "x-ms-deny-encryption-scope-override",
    "x-ms-encryption-scope",
    "x-ms-expiry-time",
    "x-ms-has-immutability-policy",
    "x-ms-has-legal-hold",
    "x-ms-immutability-policy-mode",
    "x-ms-immutability-policy-until-date",
    "x-ms-immutable-storage-with-versioning-enabled",
    "x-ms-incremental-copy",
    "x-ms-is-current-version",
    "x-ms-is-hns-enabled",
    "x-ms-last-access-time",
    "x-ms-lease-duration",
    "x-ms-lease-id",
    "x-ms-lease-state",
    "x-ms-lease-status",
    "x-ms-lease-time",
    "x-ms-legal-hold",
    "x-ms-or-policy-id",
    "x-ms-rehydrate-priority",
    "x-ms-request-server-encrypted",
    "x-ms-resource-type",
    "x-ms-server-encrypted",
    "x-ms-sku-name",
    "x-ms-snapshot",
    "x-ms-tag-count",
    "x-ms-version",
    "x-ms-version-id",
];
static STANDARD: [HeaderName; 8] = [
    ACCEPT_RANGES,
    CACHE_CONTROL,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_TYPE,
    ETAG,
    LAST_MODIFIED,
];

/// Refuses what nobody has thought about.
///
/// # Errors
/// An unknown `x-ms-*`, or a key of the client's own that the store would see.
pub fn check(client: &HeaderMap) -> Result<(), AzureError> {
    let known = |name: &str| {
        [ALWAYS, CONDITIONS, DESCRIBING, CONTROLLING, OWN]
            .iter()
            .any(|list| list.contains(&name))
            || name.starts_with(META)
    };
    let unknown = client
        .keys()
        .map(HeaderName::as_str)
        .find(|name| name.starts_with("x-ms-") && !known(name));
    match unknown {
        Some(name) => Err(AzureError::UnsupportedHeader { what: name.to_owned() }),
        None => Ok(()),
    }
}

/// Copies headers by name, as often as they come.
pub fn copy(from: &HeaderMap, to: &mut HeaderMap, names: &[&str]) {
    for name in names {
        for value in from.get_all(*name) {
            if let Ok(name) = HeaderName::try_from(*name) {
                to.append(name, value.clone());
            }
        }
    }
}

/// What goes along with every request to the store for this client.
pub fn to_any(client: &HeaderMap, address: &Address, to: &mut HeaderMap) {
    copy(client, to, ALWAYS);
    // A client with a SAS may leave the version to its parameters.
    let stated = address.parameter("api-version").or_else(|| address.parameter("sv"));
    if !client.contains_key("x-ms-version")
        && let Some(Ok(version)) = stated.map(HeaderValue::try_from)
    {
        to.insert("x-ms-version", version);
    }
}

/// What Put Blob says about a blob, with what it may say in standard headers, as Put Block List wants it.
pub fn describing(client: &HeaderMap, to: &mut HeaderMap) {
    copy(client, to, DESCRIBING);
    for (standard, own) in [
        (CACHE_CONTROL, "x-ms-blob-cache-control"),
        (CONTENT_TYPE, "x-ms-blob-content-type"),
        (CONTENT_ENCODING, "x-ms-blob-content-encoding"),
        (CONTENT_LANGUAGE, "x-ms-blob-content-language"),
    ] {
        if let Some(value) = client.get(&standard).filter(|_| !to.contains_key(own)) {
            to.insert(HeaderName::from_static(own), value.clone());
        }
    }
}

/// What a client sees of the store's answer.
pub fn to_client(store: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(24);
    for name in &STANDARD {
        for value in store.get_all(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    copy(store, &mut headers, ANSWERED);
    for (name, value) in store {
        if name.as_str().starts_with(META) && !is_hidden(name.as_str()) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

/// What a client sees of the answer to a request that wrote: no more than Azure says there.
pub fn written(store: &HeaderMap) -> HeaderMap {
    let mut headers = to_client(store);
    headers.remove(CONTENT_TYPE);
    headers
}

/// What overrides the answer's own headers, by a SAS (`rscc` and its kin).
pub fn overridden(address: &Address, headers: &mut HeaderMap) {
    for (parameter, name) in [
        ("rscc", CACHE_CONTROL),
        ("rscd", CONTENT_DISPOSITION),
        ("rsce", CONTENT_ENCODING),
        ("rscl", CONTENT_LANGUAGE),
        ("rsct", CONTENT_TYPE),
    ] {
        if let Some(Ok(value)) = address.parameter(parameter).map(HeaderValue::try_from) {
            headers.insert(name, value);
        }
    }
}

/// Whether the client set a condition that the gate's own pin would get in the way of.
pub fn is_conditional(client: &HeaderMap) -> bool {
    [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE]
        .iter()
        .any(|name| client.contains_key(name))
        || client.contains_key("x-ms-if-tags")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_header_is_refused_and_metadata_is_not() {
        let mut client = HeaderMap::new();
        client.insert("x-ms-meta-anything", HeaderValue::from_static("x"));
        client.insert("x-other", HeaderValue::from_static("x"));
        assert!(check(&client).is_ok());
        client.insert("x-ms-encryption-key", HeaderValue::from_static("x"));
        assert!(check(&client).is_err());
    }

    #[test]
    fn nothing_that_sums_up_sealed_bytes_comes_out() {
        let mut store = HeaderMap::new();
        for name in [
            "content-md5",
            "x-ms-blob-content-md5",
            "x-ms-content-crc64",
            "x-ms-copy-source",
            "x-ms-copy-progress",
            "x-ms-meta-portcullis_core",
            "x-ms-blob-append-offset",
            "content-length",
        ] {
            store.insert(name, HeaderValue::from_static("x"));
        }
        assert!(to_client(&store).is_empty());
        store.insert("x-ms-meta-a", HeaderValue::from_static("x"));
        store.insert(ETAG, HeaderValue::from_static("\"0x8D\""));
        assert_eq!(to_client(&store).len(), 2);
    }
}
