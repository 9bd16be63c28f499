//! Signature Version 2: HMAC-SHA1 over the method, a few headers and the path. What it does not cover (the host, the length, a
//! query's filters) a holder of the URL may change; so it is taken only where [`super::SigV2`] says.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html>

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{CONTENT_TYPE, DATE};
use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::s3::auth::{AuthError, Field, Form, LARGEST_SKEW, claim, hoist};
use crate::s3::host::{self, Domains};
use crate::upstream::sigv4::X_AMZ_SECURITY_TOKEN;

/// Query parameters that are part of the path that is signed: whatever names another operation, another thing, or a header of
/// the answer. More than any client signs by itself, since what were left out here could be added to somebody's URL; an operation
/// that is newer than a client's SigV2 can't be asked for with it.
const SUB_RESOURCES: &[&str] = &[
    "abac",
    "accelerate",
    "acl",
    "analytics",
    "annotation",
    "annotationName",
    "append",
    "attributes",
    "cors",
    "defaultObjectAcl",
    "delete",
    "encryption",
    "id",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "location",
    "logging",
    "metadataAnnotationTable",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "partNumber",
    "policy",
    "policyStatus",
    "position",
    "publicAccessBlock",
    "renameObject",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "retention",
    "select",
    "select-type",
    "session",
    "storageClass",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
];

/// What a request says of its own signature. Nothing of it is believed yet.
pub(super) struct Claim<'a> {
    pub(super) form: Form,
    pub(super) access_key: Cow<'a, str>,
    pub(super) signature: Cow<'a, str>,
    pub(super) token: Option<String>,
    time: Time<'a>,
}

enum Time<'a> {
    /// When it was signed, and the line of the text to sign that says so: empty where `x-amz-date` does.
    Signed { at: SystemTime, line: &'a str },
    /// When a URL ends, in seconds since 1970, as it says so.
    Ends { at: SystemTime, line: Cow<'a, str> },
}

/// The parameters that sign a URL, decoded.
pub(super) struct Presigned<'a> {
    access_key: Cow<'a, str>,
    signature: Cow<'a, str>,
    expires: Cow<'a, str>,
}

impl<'a> Presigned<'a> {
    /// `None` if the query signs nothing. `Expires` alone signs nothing.
    pub(super) fn read(query: &'a str) -> Result<Option<Self>, AuthError> {
        let (mut access_key, mut signature, mut expires) = (None, None, None);
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let place = match percent_decode_str(name).decode_utf8().as_deref() {
                Ok("AWSAccessKeyId") => &mut access_key,
                Ok("Signature") => &mut signature,
                Ok("Expires") => &mut expires,
                _ => continue,
            };
            // A bare plus sign is one: base64 has no spaces.
            let value = percent_decode_str(value).decode_utf8();
            if place.replace(value.map_err(|_| AuthError::IncompleteV2)?).is_some() {
                return Err(AuthError::IncompleteV2);
            }
        }
        match (access_key, signature, expires) {
            (None, None, _) => Ok(None),
            (Some(access_key), Some(signature), Some(expires)) => Ok(Some(Self {
                access_key,
                signature,
                expires,
            })),
            _ => Err(AuthError::IncompleteV2),
        }
    }
}

impl<'a> Claim<'a> {
    /// `AWS <access key>:<signature>`, of which `rest` is what follows the space.
    pub(super) fn from_header(rest: &'a str, headers: &'a HeaderMap) -> Result<Self, AuthError> {
        let (access_key, signature) = rest.trim().split_once(':').ok_or(AuthError::MalformedV2)?;
        let (timestamp, dated_by) = claim::date(headers)?;
        let line = match dated_by {
            "date" => claim::single(headers, &DATE, Field::Date)?.unwrap_or_default(),
            _ => "",
        };
        let token = claim::single(headers, &X_AMZ_SECURITY_TOKEN, Field::SecurityToken)?;
        Ok(Self {
            form: Form::Header,
            access_key: Cow::Borrowed(access_key),
            signature: Cow::Borrowed(signature),
            token: token.map(str::to_owned),
            time: Time::Signed {
                at: timestamp.moment(),
                line,
            },
        })
    }

    pub(super) fn from_query(presigned: Presigned<'a>, parts: &'a Parts) -> Result<Self, AuthError> {
        let digits = presigned.expires.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = presigned.expires.parse().ok().filter(|_| digits);
        let at = seconds.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
        let token = claim::single(&parts.headers, &X_AMZ_SECURITY_TOKEN, Field::SecurityToken)?;
        let hoisted = || {
            let mut stated = hoist::stated(parts.uri.query().unwrap_or_default());
            let (_, token) = stated.find(|(name, _)| name == X_AMZ_SECURITY_TOKEN.as_str())?;
            String::from_utf8(token.into_owned()).ok()
        };
        Ok(Self {
            form: Form::Query,
            access_key: presigned.access_key,
            signature: presigned.signature,
            token: token.map(str::to_owned).or_else(hoisted),
            time: Time::Ends {
                at: at.ok_or(AuthError::MalformedQuery(Field::EndOfUrl))?,
                line: presigned.expires,
            },
        })
    }

    pub(super) fn check_time(&self, now: SystemTime) -> Result<(), AuthError> {
        match self.time {
            Time::Ends { at, .. } if now > at => Err(AuthError::Expired { at }),
            Time::Signed { at, .. } => {
                let ahead = at.duration_since(now).unwrap_or_default();
                let behind = now.duration_since(at).unwrap_or_default();
                if ahead.max(behind) > LARGEST_SKEW {
                    return Err(AuthError::Skewed { request: at, now });
                }
                Ok(())
            }
            Time::Ends { .. } => Ok(()),
        }
    }

    /// The text that both sides sign; a second one where a bucket is asked for as `/bucket`, which some clients sign as they send
    /// it, and botocore as `/bucket/`.
    ///
    /// # Errors
    /// A header that the URL states otherwise than the request does.
    pub(super) fn strings_to_sign(
        &self,
        parts: &Parts,
        domains: &Domains,
    ) -> Result<(Vec<u8>, Option<Vec<u8>>), AuthError> {
        let line: &str = match &self.time {
            Time::Signed { line, .. } => line,
            Time::Ends { line, .. } => line,
        };
        let headers = self.headers(parts)?;
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(parts.method.as_str().as_bytes());
        for name in ["content-md5", CONTENT_TYPE.as_str()] {
            out.push(b'\n');
            out.extend_from_slice(headers.get(name).map(Vec::as_slice).unwrap_or_default());
        }
        out.push(b'\n');
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
        for (name, value) in headers.iter().filter(|(name, _)| name.starts_with("x-amz-")) {
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
            out.extend_from_slice(value);
            out.push(b'\n');
        }
        let bucket = host::of(parts).and_then(|host| host::bucket_of_host(host, domains));
        let bare = bucket.is_none() && parts.uri.path().rfind('/') == Some(0) && parts.uri.path() != "/";
        let slashed = bare.then(|| {
            let mut out = out.clone();
            write_resource(&mut out, None, &[parts.uri.path(), "/"].concat(), parts.uri.query());
            out
        });
        write_resource(&mut out, bucket.as_deref(), parts.uri.path(), parts.uri.query());
        Ok((out, slashed))
    }

    /// The headers that are signed, by name: the request's, and those that a URL states. Repeated ones are joined by commas.
    fn headers(&self, parts: &Parts) -> Result<BTreeMap<String, Vec<u8>>, AuthError> {
        let mut signed = BTreeMap::new();
        for name in parts.headers.keys().filter(|name| hoist::is_hoistable(name.as_str())) {
            let values: Vec<&[u8]> = parts
                .headers
                .get_all(name)
                .iter()
                .map(|value| value.as_bytes().trim_ascii())
                .collect();
            signed.insert(name.as_str().to_owned(), values.join(&b','));
        }
        if self.form == Form::Query {
            let mut stated = BTreeMap::new();
            for (name, value) in hoist::stated(parts.uri.query().unwrap_or_default()) {
                let value = value.trim_ascii().to_vec();
                let differs = signed.get(&name).is_some_and(|own| *own != value);
                if differs || stated.insert(name.clone(), value).is_some() {
                    return Err(AuthError::Hoisted(name));
                }
            }
            signed.append(&mut stated);
        }
        Ok(signed)
    }
}

/// The bucket, if the host names it, the path as it came, and the sub-resources in order, their values decoded.
fn write_resource(out: &mut Vec<u8>, bucket: Option<&str>, path: &str, query: Option<&str>) {
    if let Some(bucket) = bucket {
        out.push(b'/');
        out.extend_from_slice(bucket.as_bytes());
    }
    out.extend_from_slice(path.as_bytes());
    let pairs = query.unwrap_or_default().split('&');
    let mut signed: Vec<(Cow<'_, str>, Option<&str>)> = pairs
        .filter_map(|pair| {
            let (name, value) = pair
                .split_once('=')
                .map_or((pair, None), |(name, value)| (name, Some(value)));
            let name = percent_decode_str(name).decode_utf8().ok()?;
            SUB_RESOURCES.contains(&&*name).then_some((name, value))
        })
        .collect();
    signed.sort();
    for (i, (name, value)) in signed.iter().enumerate() {
        out.push(if i == 0 { b'?' } else { b'&' });
        out.extend_from_slice(name.as_bytes());
        if let Some(value) = value {
            out.push(b'=');
            out.extend(percent_decode_str(value));
        }
    }
}
