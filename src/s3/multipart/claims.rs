//! What a Complete says of the whole: its checksum, of which type, and its length.
//!
//! The gate keeps no state, so the checksums of the parts are known only from the Complete's own list; S3's SDKs repeat them there.
//! They were held against the parts' bytes when these were uploaded, but not against the list: that a client lists another checksum
//! than it uploaded with is not noticed. What the list makes of the whole is computed from it and held against what the client claims:
//! a composite, or, of CRCs and with the parts' lengths, the checksum of the whole. Where it was not said at Complete which of the two
//! is meant, it is as if it had not been said at Create either: composite, but for CRC64NVME.

use http::{HeaderMap, HeaderValue};

use crate::body::Fault;
use crate::body::checksum::{Algorithm, Checksum, ChecksumError};
use crate::s3::error::S3Error;
use crate::s3::multipart::xml::element;
use crate::seal::{self, Checksums, PlainLen};

/// How a checksum of many parts comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// Over the parts' checksums.
    Composite,
    /// Over all bytes.
    Whole,
}

/// What is claimed of the whole.
#[derive(Debug, Default)]
pub(super) struct Claims {
    kind: Option<Type>,
    checksum: Option<(Checksum, Option<u32>)>,
    len: Option<PlainLen>,
}

/// The checksum of the whole, as the client is told it and as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    checksum: Checksum,
    /// Of a composite: of how many parts.
    parts: Option<u32>,
}

impl Type {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Composite => "COMPOSITE",
            Self::Whole => "FULL_OBJECT",
        }
    }

    /// As `x-amz-checksum-type` has it.
    pub(super) fn of(client: &HeaderMap) -> Result<Option<Self>, S3Error> {
        match client.get("x-amz-checksum-type").map(HeaderValue::as_bytes) {
            None => Ok(None),
            Some(b"COMPOSITE") => Ok(Some(Self::Composite)),
            Some(b"FULL_OBJECT") => Ok(Some(Self::Whole)),
            Some(_) => Err(S3Error::InvalidRequest {
                message: "Value for x-amz-checksum-type header is invalid.",
            }),
        }
    }
}

/// What S3 takes where the client does not say.
pub(super) fn default_type(algorithm: Algorithm) -> Type {
    match algorithm {
        Algorithm::Crc64Nvme => Type::Whole,
        Algorithm::Crc32
        | Algorithm::Crc32c
        | Algorithm::Sha1
        | Algorithm::Sha256
        | Algorithm::Sha512
        | Algorithm::Md5
        | Algorithm::XxHash64
        | Algorithm::XxHash3
        | Algorithm::XxHash128 => Type::Composite,
    }
}

/// Which of both S3 knows:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html>.
pub(super) fn is_possible(algorithm: Algorithm, kind: Type) -> bool {
    match algorithm {
        Algorithm::Crc64Nvme => kind == Type::Whole,
        Algorithm::Crc32 | Algorithm::Crc32c => true,
        Algorithm::Sha1
        | Algorithm::Sha256
        | Algorithm::Sha512
        | Algorithm::Md5
        | Algorithm::XxHash64
        | Algorithm::XxHash3
        | Algorithm::XxHash128 => kind == Type::Composite,
    }
}

impl Claims {
    /// Reads `x-amz-checksum-…`, its type, and `x-amz-mp-object-size`.
    ///
    /// # Errors
    /// They are malformed, or more than one.
    pub(super) fn read(client: &HeaderMap) -> Result<Self, S3Error> {
        let wrong = |error: ChecksumError| S3Error::Body(Fault::Checksum(error));
        let kind = Type::of(client)?;
        let mut checksum = None;
        for (name, value) in client {
            let Some(algorithm) = Algorithm::from_header(name.as_str()) else {
                continue;
            };
            let claimed = value.to_str().ok().and_then(|text| claimed(algorithm, text.trim()));
            let claimed = claimed.ok_or_else(|| wrong(ChecksumError::InvalidValue(algorithm)))?;
            if checksum.replace(claimed).is_some() {
                return Err(wrong(ChecksumError::Several));
            }
        }
        let impossible = |(checksum, parts): &(Checksum, Option<u32>)| {
            let by_form = parts.map_or(kind, |_| Some(Type::Composite));
            by_form.is_some_and(|kind| !is_possible(checksum.algorithm(), kind))
                || (parts.is_some() && kind == Some(Type::Whole))
        };
        if checksum.as_ref().is_some_and(impossible) {
            return Err(S3Error::InvalidRequest {
                message: "The checksum type provided cannot be used with the checksum algorithm provided.",
            });
        }
        let len = match client.get("x-amz-mp-object-size") {
            None => None,
            Some(value) => {
                let len = value.to_str().ok().and_then(|text| text.trim().parse().ok());
                Some(PlainLen(len.ok_or(S3Error::InvalidArgument {
                    message: "Value for x-amz-mp-object-size header is invalid.",
                })?))
            }
        };
        Ok(Self { kind, checksum, len })
    }

    /// Holds the claims against what the parts' lengths and the checksums that were listed with them make. Gives what is then known of
    /// the whole: nothing if not every part came with a checksum of one algorithm.
    ///
    /// # Errors
    /// A claim is false, or can't be judged.
    pub(super) fn hold(&self, parts: &[(Option<Checksum>, PlainLen)]) -> Result<Option<Known>, S3Error> {
        let total: u64 = parts.iter().map(|(_, len)| len.0).sum();
        if self.len.is_some_and(|len| len.0 != total) {
            return Err(S3Error::InvalidRequest {
                message: "The provided 'x-amz-mp-object-size' header does not match what was computed.",
            });
        }
        let listed: Option<Vec<(Checksum, u64)>> = parts
            .iter()
            .map(|(checksum, len)| Some(((*checksum)?, len.0)))
            .collect();
        let listed = listed.unwrap_or_default();
        let composite = Checksum::of_values(listed.iter().map(|(checksum, _)| checksum)).map(|checksum| Known {
            checksum,
            parts: u32::try_from(listed.len()).ok(),
        });
        let whole = Checksum::of_whole(&listed).map(|checksum| Known { checksum, parts: None });
        let of = |kind: Type| match kind {
            Type::Composite => composite,
            Type::Whole => whole,
        };
        let Some((claimed, count)) = self.checksum else {
            let algorithm = composite.map(|known| known.checksum.algorithm());
            return Ok(algorithm.and_then(|algorithm| of(self.kind.unwrap_or_else(|| default_type(algorithm)))));
        };
        let algorithm = claimed.algorithm();
        // Without a type, the value's own form tells; a composite's number of parts may have been left out.
        let kinds = match (self.kind, count) {
            (Some(kind), _) => vec![kind],
            (None, Some(_)) => vec![Type::Composite],
            (None, None) => vec![Type::Whole, Type::Composite],
        };
        let known: Vec<Known> = kinds.into_iter().filter_map(of).collect();
        if known.is_empty() || known.iter().any(|known| known.checksum.algorithm() != algorithm) {
            // What can't be proved is not said to hold.
            return Err(S3Error::NotImplemented {
                what: format!(
                    "{} without the same checksum of every part in the list",
                    algorithm.header()
                ),
            });
        }
        let holds = |known: &Known| known.checksum == claimed && count.is_none_or(|count| known.parts == Some(count));
        match known.into_iter().find(holds) {
            Some(known) => Ok(Some(known)),
            None => Err(S3Error::Body(Fault::Checksum(ChecksumError::Mismatch(algorithm)))),
        }
    }
}

impl Known {
    /// As the footer's table keeps it.
    pub(super) fn kept(&self) -> Checksums {
        let mut kept = Checksums::default();
        // The value is as long as its algorithm makes it.
        let _ = kept.add(seal::Checksum {
            kind: self.checksum.algorithm().kind(),
            parts: self.parts,
            value: self.checksum.value(),
        });
        kept
    }

    /// What a footer's table kept.
    pub(super) fn of(kept: &Checksums) -> Option<Self> {
        kept.iter().find_map(|kept| {
            Some(Self {
                checksum: Checksum::new(Algorithm::of_kind(kept.kind)?, kept.value)?,
                parts: kept.parts,
            })
        })
    }

    /// The elements of an answer.
    pub(super) fn tell(&self, out: &mut String) {
        let value = self.checksum.to_base64();
        let (value, kind) = match self.parts {
            Some(parts) => (format!("{value}-{parts}"), Type::Composite),
            None => (value, Type::Whole),
        };
        element(out, &format!("Checksum{}", self.checksum.algorithm().name()), &value);
        element(out, "ChecksumType", kind.name());
    }
}

/// A value, and the number of parts if it is a composite's.
fn claimed(algorithm: Algorithm, text: &str) -> Option<(Checksum, Option<u32>)> {
    let (value, count) = match text.split_once('-') {
        Some((value, count)) => (value, Some(count.parse().ok()?)),
        None => (text, None),
    };
    Some((Checksum::from_base64(algorithm, value)?, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(pairs: &[(&'static str, String)]) -> Result<Claims, S3Error> {
        let headers = pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::try_from(value).unwrap()));
        Claims::read(&headers.collect())
    }

    fn listed(algorithm: Algorithm, parts: &[&[u8]]) -> Vec<(Option<Checksum>, PlainLen)> {
        let one = |part: &&[u8]| (Some(Checksum::of(algorithm, part)), PlainLen(part.len() as u64));
        parts.iter().map(one).collect()
    }

    #[test]
    fn a_checksum_of_the_whole_follows_from_the_parts_crcs() {
        let parts = listed(Algorithm::Crc32, &[b"one", b"two"]);
        let whole = Checksum::of(Algorithm::Crc32, b"onetwo").to_base64();
        let composite = Checksum::of_values(parts.iter().flat_map(|(sum, _)| sum))
            .unwrap()
            .to_base64();
        let crc32 = "x-amz-checksum-crc32";
        let kind = "x-amz-checksum-type";
        for (good, told) in [
            (vec![(crc32, whole.clone())], "FULL_OBJECT"),
            (
                vec![(crc32, whole.clone()), (kind, "FULL_OBJECT".into())],
                "FULL_OBJECT",
            ),
            (vec![(kind, "FULL_OBJECT".into())], "FULL_OBJECT"),
            (vec![], "COMPOSITE"),
            (vec![(crc32, composite.clone())], "COMPOSITE"),
            (
                vec![(crc32, format!("{composite}-2")), ("x-amz-mp-object-size", "6".into())],
                "COMPOSITE",
            ),
        ] {
            let known = claims(&good).unwrap().hold(&parts).unwrap().unwrap();
            let mut text = String::new();
            known.tell(&mut text);
            assert!(
                text.ends_with(&format!("<ChecksumType>{told}</ChecksumType>")),
                "{good:?}: {text}"
            );
            assert_eq!(Known::of(&known.kept()), Some(known));
        }
        for bad in [
            vec![(crc32, "AAAAAA==".to_owned())],
            vec![(crc32, format!("{composite}-3"))],
            vec![(crc32, composite), (kind, "FULL_OBJECT".into())],
            vec![(crc32, whole), (kind, "COMPOSITE".into())],
        ] {
            let held = claims(&bad).unwrap().hold(&parts);
            let mismatch = matches!(held, Err(S3Error::Body(Fault::Checksum(ChecksumError::Mismatch(_)))));
            assert!(mismatch, "{bad:?}: {held:?}");
        }
        let len = claims(&[("x-amz-mp-object-size", "7".into())]).unwrap().hold(&parts);
        assert!(matches!(len, Err(S3Error::InvalidRequest { .. })));
    }

    #[test]
    fn what_can_not_be_proved_is_refused() {
        let sha = (
            "x-amz-checksum-sha256",
            Checksum::of(Algorithm::Sha256, b"onetwo").to_base64(),
        );
        let unlisted = [(None, PlainLen(3)), (None, PlainLen(3))];
        let held = claims(std::slice::from_ref(&sha)).unwrap().hold(&unlisted);
        assert!(matches!(held, Err(S3Error::NotImplemented { .. })), "{held:?}");
        let other = listed(Algorithm::Crc32, &[b"one", b"two"]);
        assert!(matches!(
            claims(std::slice::from_ref(&sha)).unwrap().hold(&other),
            Err(S3Error::NotImplemented { .. })
        ));
        assert_eq!(claims(&[]).unwrap().hold(&unlisted).unwrap(), None);
        let whole = claims(&[sha.clone(), ("x-amz-checksum-type", "FULL_OBJECT".into())]);
        assert!(matches!(whole, Err(S3Error::InvalidRequest { .. })));
        for malformed in [("x-amz-checksum-crc32", "AAAA"), ("x-amz-checksum-crc32", "AAAAAA==-x")] {
            assert!(claims(&[(malformed.0, malformed.1.into())]).is_err(), "{malformed:?}");
        }
        assert!(claims(&[sha, ("x-amz-checksum-crc32", "AAAAAA==".into())]).is_err());
        assert!(claims(&[("x-amz-mp-object-size", "x".into())]).is_err());
    }
}
