//! What a request says of its own signature, read from the `Authorization` header or from a presigned URL's query. Nothing
//! here is believed yet.

use std::borrow::Cow;
use std::time::Duration;

use http::header::{AUTHORIZATION, DATE};
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;
use time::format_description::well_known::Rfc2822;
use time::{OffsetDateTime, UtcOffset};

use crate::s3::auth::{AuthError, Field, Form, Unsupported, v2};
use crate::upstream::sigv4::{
    ALGORITHM, Scope, Timestamp, UNSIGNED_PAYLOAD, X_AMZ_CONTENT_SHA256, X_AMZ_DATE, X_AMZ_SECURITY_TOKEN,
};

pub(super) const X_AMZ_SIGNATURE: &str = "X-Amz-Signature";
/// A presigned URL lasts a week at most.
const LONGEST_EXPIRES: u64 = 7 * 24 * 60 * 60;
const ALGORITHM_V4A: &str = "AWS4-ECDSA-P256-SHA256";

/// How a request says whose it is.
pub(super) enum Claim<'a> {
    V4(V4<'a>),
    V2(v2::Claim<'a>),
    /// Not at all.
    Nobody,
}

/// A signature of version 4.
pub(super) struct V4<'a> {
    pub(super) form: Form,
    /// `<access key>/<scope>`.
    credential: Cow<'a, str>,
    pub(super) signed_headers: Cow<'a, str>,
    pub(super) signature: Cow<'a, str>,
    pub(super) timestamp: Timestamp,
    /// The header that the timestamp was read from, which must be signed. Empty for the query.
    pub(super) dated_by: &'static str,
    /// Of a presigned URL.
    pub(super) expires: Option<Duration>,
    pub(super) token: Option<Cow<'a, str>>,
    /// The payload hash, literally.
    pub(super) payload: Cow<'a, str>,
}

impl<'a> Claim<'a> {
    pub(super) fn read(parts: &'a Parts) -> Result<Self, AuthError> {
        let header = single(&parts.headers, &AUTHORIZATION, Field::Authorization)?;
        // Ceph's tests, and clients whose credentials are empty, send it with nothing in it.
        let header = header.filter(|header| !header.is_empty());
        let query = parts.uri.query().unwrap_or_default();
        match (header, Presigned::read(query)?, v2::Presigned::read(query)?) {
            (None, None, None) => Ok(Self::Nobody),
            (Some(header), None, None) => Self::from_header(header, &parts.headers),
            (None, Some(presigned), None) => V4::from_query(presigned, &parts.headers).map(Self::V4),
            (None, None, Some(presigned)) => v2::Claim::from_query(presigned, parts).map(Self::V2),
            _ => Err(AuthError::Several),
        }
    }

    fn from_header(header: &'a str, headers: &'a HeaderMap) -> Result<Self, AuthError> {
        let (algorithm, rest) = header.split_once(' ').unwrap_or((header, ""));
        match algorithm {
            "AWS" => v2::Claim::from_header(rest, headers).map(Self::V2),
            _ => check_algorithm(algorithm).and_then(|()| V4::from_header(rest, headers).map(Self::V4)),
        }
    }
}

impl<'a> V4<'a> {
    pub(super) fn access_key(&self) -> &str {
        self.split_credential()
            .map(|(access_key, _)| access_key)
            .unwrap_or_default()
    }

    pub(super) fn scope(&self) -> Option<Scope<'_>> {
        self.split_credential().and_then(|(_, scope)| Scope::parse(scope))
    }

    fn split_credential(&self) -> Option<(&str, &str)> {
        self.credential.split_once('/')
    }

    /// `Credential=…, SignedHeaders=…, Signature=…`, with or without the spaces.
    fn from_header(rest: &'a str, headers: &'a HeaderMap) -> Result<Self, AuthError> {
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for part in rest.split(',') {
            let (name, value) = part
                .trim()
                .split_once('=')
                .ok_or(AuthError::Malformed(Field::Authorization))?;
            let place = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(AuthError::Malformed(Field::Authorization)),
            };
            if place.replace(Cow::Borrowed(value)).is_some() {
                return Err(AuthError::Malformed(Field::Authorization));
            }
        }
        let (timestamp, dated_by) = date(headers)?;
        let payload = single(headers, &X_AMZ_CONTENT_SHA256, Field::ContentSha256)?;
        Ok(Self {
            form: Form::Header,
            credential: credential.ok_or(AuthError::Malformed(Field::Credential))?,
            signed_headers: signed_headers.ok_or(AuthError::Malformed(Field::SignedHeaders))?,
            signature: signature.ok_or(AuthError::Malformed(Field::Signature))?,
            timestamp,
            dated_by,
            expires: None,
            token: single(headers, &X_AMZ_SECURITY_TOKEN, Field::SecurityToken)?.map(Cow::Borrowed),
            payload: payload
                .map(Cow::Borrowed)
                .ok_or(AuthError::Malformed(Field::ContentSha256))?,
        })
    }

    fn from_query(query: Presigned<'a>, headers: &'a HeaderMap) -> Result<Self, AuthError> {
        check_algorithm(query.algorithm.as_deref().unwrap_or_default())?;
        let date = query.date.as_deref().and_then(Timestamp::parse);
        let expires = expires(query.expires.as_deref().unwrap_or_default())?;
        let header = single(headers, &X_AMZ_CONTENT_SHA256, Field::ContentSha256)?;
        let payload = query.content_sha256.or(header.map(Cow::Borrowed));
        Ok(Self {
            form: Form::Query,
            credential: query.credential.ok_or(AuthError::MalformedQuery(Field::Credential))?,
            signed_headers: query
                .signed_headers
                .ok_or(AuthError::MalformedQuery(Field::SignedHeaders))?,
            signature: query.signature.ok_or(AuthError::MalformedQuery(Field::Signature))?,
            timestamp: date.ok_or(AuthError::MalformedQuery(Field::Date))?,
            dated_by: "",
            expires: Some(expires),
            token: query
                .token
                .or(single(headers, &X_AMZ_SECURITY_TOKEN, Field::SecurityToken)?.map(Cow::Borrowed)),
            payload: payload.unwrap_or(Cow::Borrowed(UNSIGNED_PAYLOAD)),
        })
    }
}

/// The `X-Amz-*` parameters that sign a URL, decoded.
#[derive(Default)]
struct Presigned<'a> {
    algorithm: Option<Cow<'a, str>>,
    credential: Option<Cow<'a, str>>,
    date: Option<Cow<'a, str>>,
    expires: Option<Cow<'a, str>>,
    signed_headers: Option<Cow<'a, str>>,
    signature: Option<Cow<'a, str>>,
    token: Option<Cow<'a, str>>,
    content_sha256: Option<Cow<'a, str>>,
}

impl<'a> Presigned<'a> {
    /// `None` if the query signs nothing.
    fn read(query: &'a str) -> Result<Option<Self>, AuthError> {
        let mut new = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Ok(name) = percent_decode_str(name).decode_utf8() else {
                continue;
            };
            let (place, field) = match &*name {
                "X-Amz-Algorithm" => (&mut new.algorithm, Field::Authorization),
                "X-Amz-Credential" => (&mut new.credential, Field::Credential),
                "X-Amz-Date" => (&mut new.date, Field::Date),
                "X-Amz-Expires" => (&mut new.expires, Field::Expires),
                "X-Amz-SignedHeaders" => (&mut new.signed_headers, Field::SignedHeaders),
                X_AMZ_SIGNATURE => (&mut new.signature, Field::Signature),
                "X-Amz-Security-Token" => (&mut new.token, Field::SecurityToken),
                "X-Amz-Content-Sha256" => (&mut new.content_sha256, Field::ContentSha256),
                _ => continue,
            };
            let value = percent_decode_str(value)
                .decode_utf8()
                .map_err(|_| AuthError::MalformedQuery(field))?;
            if place.replace(value).is_some() {
                return Err(AuthError::MalformedQuery(field));
            }
        }
        // What is half signed is not unsigned. A date or a duration may be anybody's.
        let signs = [
            &new.algorithm,
            &new.credential,
            &new.signed_headers,
            &new.signature,
            &new.token,
        ];
        Ok(signs.iter().any(|part| part.is_some()).then_some(new))
    }
}

/// Seconds that a presigned URL lasts.
fn expires(text: &str) -> Result<Duration, AuthError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AuthError::MalformedQuery(Field::Expires));
    }
    let lasts = text.parse().ok().filter(|lasts| (1..=LONGEST_EXPIRES).contains(lasts));
    lasts.map(Duration::from_secs).ok_or(AuthError::ExpiresOutOfRange)
}

pub(super) fn check_algorithm(algorithm: &str) -> Result<(), AuthError> {
    Err(AuthError::UnsupportedAlgorithm(match algorithm {
        ALGORITHM => return Ok(()),
        ALGORITHM_V4A => Unsupported::SigV4a,
        _ => Unsupported::Other,
    }))
}

/// `x-amz-date`, or `date` where a client can't set that; either also in the form of RFC 9110, as SigV2 has it.
pub(super) fn date(headers: &HeaderMap) -> Result<(Timestamp, &'static str), AuthError> {
    let (text, dated_by) = match single(headers, &X_AMZ_DATE, Field::Date)? {
        Some(text) => (Some(text), "x-amz-date"),
        None => (single(headers, &DATE, Field::Date)?, "date"),
    };
    let text = text.ok_or(AuthError::Malformed(Field::Date))?;
    let http = || {
        OffsetDateTime::parse(text, &Rfc2822)
            .ok()
            .filter(|moment| *moment >= OffsetDateTime::UNIX_EPOCH)
            .map(|moment| Timestamp::from(moment.to_offset(UtcOffset::UTC)))
    };
    Timestamp::parse(text)
        .or_else(http)
        .map(|timestamp| (timestamp, dated_by))
        .ok_or(AuthError::Malformed(Field::Date))
}

/// The value of a header that may come once.
pub(super) fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    field: Field,
) -> Result<Option<&'a str>, AuthError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| AuthError::Malformed(field)),
        (Some(_), Some(_)) => Err(AuthError::Malformed(field)),
    }
}
