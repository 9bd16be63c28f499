//! What a request states about its body: length, MD5, CRC-64, structured framing.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::azure::error::AzureError;
use crate::body::Framed;
use crate::body::checksum::{Algorithm, Checksum, ChecksumError, Expectations};

pub const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
pub const CONTENT_CRC64: HeaderName = HeaderName::from_static("x-ms-content-crc64");
/// The MD5 that a blob is to have: checked by Put Blob, believed elsewhere.
pub const BLOB_MD5: HeaderName = HeaderName::from_static("x-ms-blob-content-md5");
pub const STRUCTURED: HeaderName = HeaderName::from_static("x-ms-structured-body");
pub const STRUCTURED_LENGTH: HeaderName = HeaderName::from_static("x-ms-structured-content-length");

/// Base64 as Azure writes it.
pub fn to_base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// Base64 as Azure reads it.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text.trim()).ok()
}

/// How a body comes, and how many bytes of content it has.
///
/// # Errors
/// No length, or a framing that is not known.
pub fn framing(client: &HeaderMap) -> Result<(Framed, u64), AzureError> {
    let number = |name: &HeaderName| {
        client
            .get(name)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
    };
    let len = number(&CONTENT_LENGTH).ok_or(AzureError::MissingLength)?;
    if !is_structured(client)? {
        return Ok((Framed::No, len));
    }
    let content = number(&STRUCTURED_LENGTH).ok_or(AzureError::MissingHeader {
        name: "x-ms-structured-content-length",
    })?;
    Ok((Framed::Structured, content))
}

/// Whether a body is, or is wanted, structured.
///
/// # Errors
/// In a form that is not known.
pub fn is_structured(client: &HeaderMap) -> Result<bool, AzureError> {
    match client.get(&STRUCTURED).map(HeaderValue::as_bytes) {
        None => Ok(false),
        Some(b"XSM/1.0; properties=crc64") => Ok(true),
        Some(_) => Err(AzureError::InvalidHeader {
            name: "x-ms-structured-body",
        }),
    }
}

/// What the body is held to. With `blob_md5` the blob's own MD5 counts, before the request's.
///
/// # Errors
/// What is stated can't be, or contradicts itself.
pub fn expectations(client: &HeaderMap, blob_md5: bool) -> Result<Expectations, AzureError> {
    let wrong = |error: ChecksumError| AzureError::Body(error.into());
    let mut stated = HeaderMap::new();
    let request = client.get(&CONTENT_MD5);
    if let Some(md5) = client.get(&BLOB_MD5).filter(|_| blob_md5).or(request) {
        stated.insert(CONTENT_MD5, md5.clone());
    }
    if let Some(crc) = client.get(&CONTENT_CRC64) {
        if request.is_some() {
            return Err(AzureError::TwoChecksums);
        }
        let mut value = crc.to_str().ok().and_then(from_base64).unwrap_or_default();
        // Azure writes the number little-endian, S3 big-endian.
        value.reverse();
        let crc = Checksum::new(Algorithm::Crc64Nvme, &value);
        let crc = crc.ok_or_else(|| wrong(ChecksumError::InvalidValue(Algorithm::Crc64Nvme)))?;
        if let Ok(value) = HeaderValue::try_from(crc.to_base64()) {
            stated.insert(Algorithm::Crc64Nvme.header(), value);
        }
    }
    Expectations::new(&stated, None).map_err(wrong)
}

/// The MD5 that a request states of a whole blob, if it can be one.
///
/// # Errors
/// It can't.
pub fn claimed_md5(client: &HeaderMap) -> Result<Option<Vec<u8>>, AzureError> {
    let Some(value) = client.get(&BLOB_MD5).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let value = value.to_str().ok().and_then(from_base64).filter(|md5| md5.len() == 16);
    value
        .map(Some)
        .ok_or_else(|| AzureError::Body(ChecksumError::InvalidContentMd5.into()))
}

/// A CRC-64 as Azure writes it.
pub fn crc64_text(checksum: &Checksum) -> String {
    let mut value = checksum.value().to_vec();
    value.reverse();
    to_base64(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crc64_is_written_as_azure_does() {
        // azure-storage-extensions 1.0: crc64.compute(b"123456789") is 0xae8b14860a799888.
        let crc = Checksum::of(Algorithm::Crc64Nvme, b"123456789");
        assert_eq!(
            from_base64(&crc64_text(&crc)).unwrap(),
            0xae8b_1486_0a79_9888_u64.to_le_bytes()
        );
    }

    #[test]
    fn two_checksums_are_refused_and_the_blobs_own_counts_first() {
        let mut client = HeaderMap::new();
        client.insert(CONTENT_CRC64, HeaderValue::try_from(to_base64(&[0; 8])).unwrap());
        assert!(expectations(&client, true).is_ok());
        client.insert(CONTENT_MD5, HeaderValue::try_from(to_base64(&[0; 16])).unwrap());
        assert!(matches!(expectations(&client, true), Err(AzureError::TwoChecksums)));
        client.remove(CONTENT_CRC64);
        client.insert(BLOB_MD5, HeaderValue::from_static("x"));
        assert!(expectations(&client, false).is_ok());
        assert!(expectations(&client, true).is_err());
        assert!(claimed_md5(&client).is_err());
    }
}
