//! What a client claims about a body: Content-MD5, and a checksum in a header, a form's field or a trailer.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use crate::dev::store::checksum::Algorithm;

/// What a client claims about the body it sends.
#[derive(Debug)]
pub struct Claims {
    /// Of `Content-MD5`.
    pub md5: Option<[u8; 16]>,
    /// The algorithm it announces, if any.
    pub algorithm: Option<Algorithm>,
    /// The value, unless it follows the body as a trailer.
    pub value: Option<String>,
    /// What to compute for a client that announces none.
    pub otherwise: Algorithm,
}

/// The five values an `s3s` input may hold, each with its algorithm.
macro_rules! given_checksums {
    ($input:expr) => {
        [
            (
                $crate::dev::store::checksum::Algorithm::Crc32,
                $input.checksum_crc32.clone(),
            ),
            (
                $crate::dev::store::checksum::Algorithm::Crc32c,
                $input.checksum_crc32c.clone(),
            ),
            (
                $crate::dev::store::checksum::Algorithm::Crc64nvme,
                $input.checksum_crc64nvme.clone(),
            ),
            (
                $crate::dev::store::checksum::Algorithm::Sha1,
                $input.checksum_sha1.clone(),
            ),
            (
                $crate::dev::store::checksum::Algorithm::Sha256,
                $input.checksum_sha256.clone(),
            ),
        ]
    };
}
pub(super) use given_checksums;

/// The values of a request, at most one of which S3 allows.
pub type Given = [(Algorithm, Option<String>); 5];

impl Claims {
    /// Reads what the client claims: `given` from header or form, the rest from `headers`.
    pub fn read(md5: Option<&str>, given: Given, headers: &HeaderMap) -> S3Result<Self> {
        let md5 = md5.map(content_md5).transpose()?;
        for name in headers.keys().map(http::HeaderName::as_str) {
            if let Some(suffix) = name.strip_prefix("x-amz-checksum-")
                && Algorithm::parse(suffix).is_none()
                && !["mode", "type", "algorithm"].contains(&suffix)
            {
                return Err(s3_error!(
                    NotImplemented,
                    "checksum algorithm {suffix} is not supported"
                ));
            }
        }
        let one = single(given)?;
        let trailer = trailer(headers)?;
        if one.is_some() && trailer.is_some() {
            return Err(s3_error!(InvalidRequest, "Expecting a single x-amz-checksum- header"));
        }
        let announced = header(headers, "x-amz-sdk-checksum-algorithm").map(known).transpose()?;
        let algorithm = one.as_ref().map(|(algorithm, _)| *algorithm).or(trailer);
        match (announced, algorithm) {
            (Some(_), None) => Err(s3_error!(
                InvalidRequest,
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers \
                 were found."
            )),
            (Some(announced), Some(found)) if announced != found => Err(s3_error!(
                InvalidRequest,
                "Value for x-amz-sdk-checksum-algorithm header is invalid."
            )),
            _ => Ok(Self {
                md5,
                algorithm,
                value: one.map(|(_, value)| value),
                otherwise: Algorithm::Crc64nvme,
            }),
        }
    }
}

/// The algorithm of a `x-amz-*-checksum-algorithm` header's value.
pub fn known(name: &str) -> S3Result<Algorithm> {
    Algorithm::parse(name)
        .ok_or_else(|| s3_error!(InvalidRequest, "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]"))
}

/// The one value given, whose form is right. S3 refuses several.
pub fn single(given: Given) -> S3Result<Option<(Algorithm, String)>> {
    let mut all = given
        .into_iter()
        .filter_map(|(algorithm, value)| Some((algorithm, value?)));
    let Some((algorithm, value)) = all.next() else {
        return Ok(None);
    };
    if all.next().is_some() {
        return Err(s3_error!(
            InvalidRequest,
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        ));
    }
    algorithm.check(&value)?;
    Ok(Some((algorithm, value)))
}

/// The algorithm whose value `x-amz-trailer` announces after the body.
fn trailer(headers: &HeaderMap) -> S3Result<Option<Algorithm>> {
    let Some(name) = header(headers, "x-amz-trailer") else {
        return Ok(None);
    };
    let known = name
        .trim()
        .to_ascii_lowercase()
        .strip_prefix("x-amz-checksum-")
        .and_then(Algorithm::parse);
    known.map(Some).ok_or_else(|| {
        s3_error!(
            InvalidRequest,
            "The value specified in the x-amz-trailer header is not supported"
        )
    })
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn content_md5(value: &str) -> S3Result<[u8; 16]> {
    let decoded = BASE64_STANDARD
        .decode(value)
        .ok()
        .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    decoded.ok_or_else(|| {
        S3Error::with_message(
            S3ErrorCode::InvalidDigest,
            "The Content-MD5 you specified is not valid.",
        )
    })
}
