//! Headers that a presigned URL states in its query, because whoever follows a URL can set none.
//!
//! The JS and Go SDKs move almost any `x-amz-*` there; botocore's SigV2 moves `Content-Type` and `Content-MD5` too. S3 takes
//! them for headers, except for checksums, which SDKs compute of the empty body that they presign
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html>).

use std::borrow::Cow;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use crate::body::checksum::Algorithm;
use crate::s3::auth::AuthError;

/// What signs the URL, says how its body comes, or says nothing: no headers of what is asked.
const LEFT_OUT: &[&str] = &[
    "x-amz-algorithm",
    "x-amz-content-sha256",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-expires",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
    "x-amz-trailer",
    "x-amz-user-agent",
];

/// Whether a query parameter's name is a header's, and so no parameter of an operation. Also of those that are left out.
pub fn is_hoistable(name: &str) -> bool {
    let starts = |prefix: &str| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    starts("x-amz-")
        || ["content-type", "content-md5"]
            .iter()
            .any(|header| name.eq_ignore_ascii_case(header))
}

/// Every header in a query, lower-case, with its value decoded. `+` is a space here, as in the canonical query.
pub(super) fn stated(query: &str) -> impl Iterator<Item = (String, Cow<'_, [u8]>)> {
    query.split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = percent_decode_str(name)
            .decode_utf8()
            .ok()
            .filter(|name| is_hoistable(name))?;
        let value = match value.contains('+') {
            true => Cow::Owned(percent_decode_str(&value.replace('+', " ")).collect()),
            false => percent_decode_str(value).into(),
        };
        Some((name.to_ascii_lowercase(), value))
    })
}

/// The headers that the query adds to the request's own.
pub(super) fn hoisted(parts: &Parts) -> Result<HeaderMap, AuthError> {
    let mut headers = HeaderMap::new();
    for (name, value) in stated(parts.uri.query().unwrap_or_default()) {
        if LEFT_OUT.contains(&name.as_str()) || Algorithm::from_header(&name).is_some() {
            continue;
        }
        let header = HeaderName::try_from(&name)
            .ok()
            .zip(HeaderValue::from_bytes(&value).ok());
        let Some((header, value)) = header else {
            return Err(AuthError::Hoisted(name));
        };
        let mut own = parts.headers.get_all(&header).iter();
        match (own.next(), own.next()) {
            (Some(same), None) if *same == value => continue,
            (None, _) => {}
            (Some(_), _) => return Err(AuthError::Hoisted(name)),
        }
        if headers.insert(header, value).is_some() {
            return Err(AuthError::Hoisted(name));
        }
    }
    Ok(headers)
}
