//! `x-amz-copy-source`: which object is to be copied, and which of its bytes.

use http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use crate::s3::copy::CopyError;
use crate::s3::error::S3Error;
use crate::s3::object::Object;
use crate::s3::operation::Address;
use crate::tenant::Access;

/// The header that makes a copy of a PUT.
pub const COPY_SOURCE: &str = "x-amz-copy-source";
/// Which bytes of it, of UploadPartCopy only.
pub const RANGE: &str = "x-amz-copy-source-range";

/// What is encoded in a version id; one of `null` or of letters and digits stays as it is.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What is encoded in a key.
const PATH: &AsciiSet = &QUERY.remove(b'/');

/// The object that a client wants copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopySource {
    /// The bucket.
    pub bucket: String,
    /// The key, decoded.
    pub name: String,
    /// The key as it stands on the wire.
    pub key: String,
    /// The version, as it stands in a query.
    pub version: Option<String>,
}

impl CopySource {
    /// Reads the header: `bucket/key`, percent-encoded, with or without a slash before it, with or without `?versionId=`.
    ///
    /// S3 decodes before it splits: clients that encode the slash between bucket and key too are understood. `+` is a plus sign.
    ///
    /// # Errors
    /// It names no bucket and key, or an access point.
    pub fn of(client: &HeaderMap) -> Result<Self, S3Error> {
        let mut values = client.get_all(COPY_SOURCE).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(CopyError::Source.into());
        };
        Self::parse(value.as_bytes())
    }

    fn parse(value: &[u8]) -> Result<Self, S3Error> {
        const VERSION: &[u8] = b"?versionId=";
        // The last one: an unencoded question mark before it belongs to the key.
        let at = value.windows(VERSION.len()).rposition(|window| window == VERSION);
        let (path, version) = match at {
            Some(at) => (
                value.get(..at).unwrap_or_default(),
                value.get(at + VERSION.len()..).map(decode),
            ),
            None => (value, None),
        };
        let path = decode(path)?;
        if path.starts_with("arn:") {
            return Err(S3Error::NotImplemented {
                what: "an access point as the source of a copy".to_owned(),
            });
        }
        let path = path.strip_prefix('/').unwrap_or(&path);
        let (bucket, name) = path.split_once('/').unwrap_or((path, ""));
        if bucket.is_empty() || name.is_empty() {
            return Err(CopyError::Source.into());
        }
        let version = match version.transpose()? {
            Some(version) if version.is_empty() => return Err(CopyError::EmptyVersion.into()),
            version => version.map(|version| utf8_percent_encode(&version, QUERY).to_string()),
        };
        let key = utf8_percent_encode(name, PATH).to_string();
        // It is held to what any key is held to: it must not climb out of its bucket.
        let address = Address {
            bucket,
            key: &key,
            query: "",
        };
        let name = address.name()?;
        Ok(Self {
            bucket: bucket.to_owned(),
            name,
            version,
            key,
        })
    }

    /// The object in the store, where the client may read it there.
    pub fn object<'a>(&self, access: &'a Access, like: &Object<'a>) -> Object<'a> {
        Object {
            container: &access.container,
            caller: &access.caller,
            name: self.name.clone(),
            key: self.key.clone().into(),
            version: self.version.clone().map(Into::into),
            ..like.clone()
        }
    }
}

fn decode(encoded: &[u8]) -> Result<String, S3Error> {
    let text = percent_decode(encoded).decode_utf8().map_err(|_| S3Error::InvalidUri)?;
    Ok(text.into_owned())
}

/// The first and last byte of `x-amz-copy-source-range`, of an object of `len` bytes; the whole with none.
///
/// Only `bytes=first-last`, and within the object, where a GET would take what there is.
///
/// # Errors
/// As S3 has them, which were read off its answers: a beginning past the end is an InvalidRequest, an end past it an InvalidArgument.
pub fn range(client: &HeaderMap, len: u64) -> Result<Option<(u64, u64)>, CopyError> {
    let Some(value) = client.get(RANGE) else {
        return Ok(None);
    };
    let (first, last) = value.to_str().ok().and_then(first_and_last).ok_or(CopyError::Range)?;
    if first >= len {
        return Err(CopyError::RangeBeyond);
    }
    if last >= len {
        return Err(CopyError::RangeTooLong { len });
    }
    Ok(Some((first, last)))
}

/// Whether a range, if there is one, can be read at all: before the source is asked about.
///
/// # Errors
/// It can't.
pub fn check_range(client: &HeaderMap) -> Result<(), CopyError> {
    match range(client, u64::MAX) {
        Err(CopyError::Range) => Err(CopyError::Range),
        _ => Ok(()),
    }
}

fn first_and_last(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let number = |digits: &str| {
        let digits_only = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        // More digits than a length has: past any end.
        digits_only.then(|| digits.parse().unwrap_or(u64::MAX))
    };
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn parsed(header: &str) -> Option<(String, String, Option<String>)> {
        let source = CopySource::parse(header.as_bytes()).ok()?;
        Some((source.bucket, source.name, source.version))
    }

    #[test]
    fn sources_are_read_as_s3_reads_them() {
        for (header, bucket, name, version) in [
            ("b/k", "b", "k", None),
            ("/b/k", "b", "k", None),
            ("b/a/../k", "b", "a/../k", None),
            ("b//k", "b", "/k", None),
            ("b%2Fk", "b", "k", None),
            ("%2Fb%2Fa%20b", "b", "a b", None),
            ("b/a+b", "b", "a+b", None),
            ("b/\u{fc}", "b", "\u{fc}", None),
            ("b/%C3%BC", "b", "\u{fc}", None),
            ("b/%3FversionId", "b", "?versionId", None),
            ("b/%3FversionId%3Dx?versionId=y", "b", "?versionId=x", Some("y")),
            ("b/what?", "b", "what?", None),
            ("b/k?versionId=null", "b", "k", Some("null")),
            ("b/k?versionId=a.b_c-d", "b", "k", Some("a.b_c-d")),
            ("b/k?versionId=a&prefix=c", "b", "k", Some("a%26prefix%3Dc")),
        ] {
            let wanted = (bucket.to_owned(), name.to_owned(), version.map(str::to_owned));
            assert_eq!(parsed(header), Some(wanted), "{header}");
        }
    }

    #[test]
    fn what_names_no_object_is_refused() {
        for header in ["", "/", "b", "/b/", "b/", "//k", "b/k?versionId="] {
            let refused = CopySource::parse(header.as_bytes());
            assert!(matches!(refused, Err(S3Error::Copy(_))), "{header}");
        }
        for climbing in ["b/..", "b/../other/k", "b%2F..%2Fother%2Fk", "b/%ff"] {
            let refused = CopySource::parse(climbing.as_bytes());
            assert!(matches!(refused, Err(S3Error::InvalidUri)), "{climbing}");
        }
        let point = "arn:aws:s3:us-west-2:123456789012:accesspoint/p/object/k";
        assert!(matches!(
            CopySource::parse(point.as_bytes()),
            Err(S3Error::NotImplemented { .. })
        ));
        let mut two = HeaderMap::new();
        two.append(COPY_SOURCE, HeaderValue::from_static("b/k"));
        two.append(COPY_SOURCE, HeaderValue::from_static("b/other"));
        assert!(matches!(CopySource::of(&two), Err(S3Error::Copy(CopyError::Source))));
    }

    #[test]
    fn ranges_lie_within() {
        let of = |text: &'static str, len| {
            range(
                &HeaderMap::from_iter([(RANGE.parse().unwrap(), HeaderValue::from_static(text))]),
                len,
            )
        };
        assert_eq!(range(&HeaderMap::new(), 5), Ok(None));
        assert_eq!(of("bytes=0-4", 5), Ok(Some((0, 4))));
        assert_eq!(of("bytes=4-4", 5), Ok(Some((4, 4))));
        assert_eq!(of("bytes=0-21", 5), Err(CopyError::RangeTooLong { len: 5 }));
        assert_eq!(of("bytes=5-6", 5), Err(CopyError::RangeBeyond));
        for malformed in [
            "0-2",
            "bytes=0",
            "bytes=hello-world",
            "bytes=0-bar",
            "bytes=hello-",
            "bytes=0-2,3-5",
            "bytes=-2",
            "bytes=2-1",
            "bytes=+1-2",
        ] {
            assert_eq!(of(malformed, 5), Err(CopyError::Range), "{malformed}");
        }
    }
}
