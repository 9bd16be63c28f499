//! What a client stated about a body, computed while it passes and compared at its end.

use std::sync::{Arc, OnceLock};

use http::{HeaderMap, HeaderValue};

use crate::body::checksum::{Algorithm, Checksum, Hasher, X_AMZ_CHECKSUM};

const CONTENT_MD5: &str = "content-md5";
const X_AMZ_TRAILER: &str = "x-amz-trailer";
const X_AMZ_SDK_CHECKSUM_ALGORITHM: &str = "x-amz-sdk-checksum-algorithm";
/// `x-amz-checksum-` headers that state no value.
const NO_VALUES: [&str; 3] = ["algorithm", "mode", "type"];

/// What stands between a body and being believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChecksumError {
    /// `Content-MD5` is not base64 of 16 bytes.
    #[error("Content-MD5 is malformed")]
    InvalidContentMd5,
    /// An `x-amz-checksum-*` header or trailer is not base64 of the algorithm's length.
    #[error("the value of {} is malformed", .0.header())]
    InvalidValue(Algorithm),
    /// A checksum that is not computed here: refused rather than stored unverified.
    #[error("{0} is no known checksum")]
    Unknown(String),
    /// More than one `x-amz-checksum-*`, headers and announced trailers together.
    #[error("more than one checksum is stated")]
    Several,
    /// `x-amz-sdk-checksum-algorithm` names another algorithm than the checksum's, or there is no checksum.
    #[error("x-amz-sdk-checksum-algorithm does not name the checksum that is stated")]
    AlgorithmMismatch,
    /// `x-amz-trailer` announces something that is no checksum.
    #[error("the trailer {0} is not supported")]
    UnsupportedTrailer(String),
    /// A trailer was announced and did not come.
    #[error("the announced trailer {} did not come", .0.header())]
    MissingTrailer(Algorithm),
    /// A trailer came that `x-amz-trailer` does not announce.
    #[error("the trailer {0} was not announced")]
    UnannouncedTrailer(String),
    /// The body is not what `Content-MD5` says.
    #[error("the body does not match Content-MD5")]
    ContentMd5Mismatch,
    /// The body is not what the signature covers.
    #[error("the body does not match x-amz-content-sha256")]
    ContentSha256Mismatch,
    /// The body is not what its `x-amz-checksum-*` says.
    #[error("the body does not match {}", .0.header())]
    Mismatch(Algorithm),
}

/// Everything a request states about its body. Computes only what was asked for, and each algorithm once.
///
/// Only for bodies that are object content: in CompleteMultipartUpload the same headers speak of the whole object.
pub struct Expectations {
    content_md5: Option<Checksum>,
    content_sha256: Option<Checksum>,
    stated: Stated,
    hashers: Vec<Hasher>,
    /// Wanted for itself, whether stated or not.
    wanted: Option<(Algorithm, Arc<OnceLock<Checksum>>)>,
}

/// Where the `x-amz-checksum-*` of a body stands.
enum Stated {
    Nowhere,
    Header(Checksum),
    Trailer(Algorithm),
}

impl Expectations {
    /// Reads `Content-MD5`, `x-amz-checksum-*`, `x-amz-trailer` and `x-amz-sdk-checksum-algorithm`. `content_sha256` is
    /// the hash that the verified signature covers, if it covers one.
    ///
    /// # Errors
    /// Statements that are malformed, contradict each other, or can't be checked.
    pub fn new(headers: &HeaderMap, content_sha256: Option<[u8; 32]>) -> Result<Self, ChecksumError> {
        let stated = stated(headers)?;
        let mut new = Self {
            content_md5: content_md5(headers)?,
            content_sha256: content_sha256.and_then(|hash| Checksum::new(Algorithm::Sha256, &hash)),
            stated,
            hashers: Vec::new(),
            wanted: None,
        };
        let asked_for = [
            new.content_md5.map(|md5| md5.algorithm),
            new.content_sha256.map(|sha256| sha256.algorithm),
            new.algorithm(),
        ];
        for algorithm in asked_for.into_iter().flatten() {
            if new.hashers.iter().all(|hasher| hasher.algorithm != algorithm) {
                new.hashers.push(Hasher::new(algorithm));
            }
        }
        Ok(new)
    }

    /// Computes this one too, and leaves it here once the body has been believed.
    pub fn want(&mut self, algorithm: Algorithm) -> Arc<OnceLock<Checksum>> {
        if self.hashers.iter().all(|hasher| hasher.algorithm != algorithm) {
            self.hashers.push(Hasher::new(algorithm));
        }
        let slot = Arc::new(OnceLock::new());
        self.wanted = Some((algorithm, Arc::clone(&slot)));
        slot
    }

    /// The `x-amz-checksum-*` that came before the body: not verified yet, but the only value it can end with.
    pub const fn stated(&self) -> Option<&Checksum> {
        match &self.stated {
            Stated::Header(checksum) => Some(checksum),
            Stated::Nowhere | Stated::Trailer(_) => None,
        }
    }

    /// The algorithm of the `x-amz-checksum-*` that was stated, or will be in a trailer.
    pub const fn algorithm(&self) -> Option<Algorithm> {
        match &self.stated {
            Stated::Nowhere => None,
            Stated::Header(checksum) => Some(checksum.algorithm),
            Stated::Trailer(algorithm) => Some(*algorithm),
        }
    }

    /// Takes the next bytes of the decoded body.
    pub fn update(&mut self, bytes: &[u8]) {
        for hasher in &mut self.hashers {
            hasher.update(bytes);
        }
    }

    /// Compares, once the body has ended. `trailers` are those of the aws-chunked body, empty for any other.
    ///
    /// Returns the body's `x-amz-checksum-*`, now verified: to be kept, and echoed to the client.
    ///
    /// # Errors
    /// The first statement that the body does not bear out, or trailers other than announced.
    pub fn finish(self, trailers: &HeaderMap) -> Result<Option<Checksum>, ChecksumError> {
        let stated = match self.stated {
            Stated::Nowhere => None,
            Stated::Header(checksum) => Some(checksum),
            Stated::Trailer(algorithm) => Some(trailer(trailers, algorithm)?),
        };
        let announced = match self.stated {
            Stated::Trailer(algorithm) => Some(algorithm.header()),
            Stated::Nowhere | Stated::Header(_) => None,
        };
        if let Some(name) = trailers.keys().find(|name| Some(*name) != announced.as_ref()) {
            return Err(ChecksumError::UnannouncedTrailer(name.to_string()));
        }

        let computed: Vec<Checksum> = self.hashers.into_iter().map(Hasher::finish).collect();
        let holds = |stated: &Option<Checksum>| stated.is_none_or(|stated| computed.contains(&stated));
        if !holds(&self.content_sha256) {
            return Err(ChecksumError::ContentSha256Mismatch);
        }
        if !holds(&self.content_md5) {
            return Err(ChecksumError::ContentMd5Mismatch);
        }
        if let Some((algorithm, slot)) = self.wanted
            && let Some(found) = computed.iter().find(|checksum| checksum.algorithm == algorithm)
            && stated.is_none_or(|stated| computed.contains(&stated))
        {
            let _ = slot.set(*found);
        }
        match stated {
            Some(stated) if !computed.contains(&stated) => Err(ChecksumError::Mismatch(stated.algorithm)),
            stated => Ok(stated),
        }
    }
}

fn content_md5(headers: &HeaderMap) -> Result<Option<Checksum>, ChecksumError> {
    let mut values = headers.get_all(CONTENT_MD5).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => parse(Algorithm::Md5, value)
            .map(Some)
            .ok_or(ChecksumError::InvalidContentMd5),
        (Some(_), Some(_)) => Err(ChecksumError::InvalidContentMd5),
    }
}

/// The one `x-amz-checksum-*` of a request, in its headers or announced as a trailer.
fn stated(headers: &HeaderMap) -> Result<Stated, ChecksumError> {
    let mut stated = Stated::Nowhere;
    let mut state = |new: Stated| match std::mem::replace(&mut stated, new) {
        Stated::Nowhere => Ok(()),
        Stated::Header(_) | Stated::Trailer(_) => Err(ChecksumError::Several),
    };
    for (name, value) in headers {
        let Some(rest) = name.as_str().strip_prefix(X_AMZ_CHECKSUM) else {
            continue;
        };
        if NO_VALUES.contains(&rest) {
            continue;
        }
        let algorithm = Algorithm::from_name(rest).ok_or_else(|| ChecksumError::Unknown(name.to_string()))?;
        state(Stated::Header(
            parse(algorithm, value).ok_or(ChecksumError::InvalidValue(algorithm))?,
        ))?;
    }
    for name in headers
        .get_all(X_AMZ_TRAILER)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
    {
        let name = String::from_utf8_lossy(name.trim_ascii());
        if name.is_empty() {
            continue;
        }
        match Algorithm::from_header(&name) {
            Some(algorithm) => state(Stated::Trailer(algorithm))?,
            None => return Err(ChecksumError::UnsupportedTrailer(name.into_owned())),
        }
    }
    let algorithm = match &stated {
        Stated::Nowhere => None,
        Stated::Header(checksum) => Some(checksum.algorithm),
        Stated::Trailer(algorithm) => Some(*algorithm),
    };
    let Some(named) = headers.get(X_AMZ_SDK_CHECKSUM_ALGORITHM) else {
        return Ok(stated);
    };
    match named.to_str().ok().and_then(Algorithm::from_name) {
        Some(named) if Some(named) == algorithm => Ok(stated),
        Some(_) | None => Err(ChecksumError::AlgorithmMismatch),
    }
}

fn trailer(trailers: &HeaderMap, algorithm: Algorithm) -> Result<Checksum, ChecksumError> {
    let mut values = trailers.get_all(algorithm.header()).iter();
    match (values.next(), values.next()) {
        (None, _) => Err(ChecksumError::MissingTrailer(algorithm)),
        (Some(value), None) => parse(algorithm, value).ok_or(ChecksumError::InvalidValue(algorithm)),
        (Some(_), Some(_)) => Err(ChecksumError::Several),
    }
}

fn parse(algorithm: Algorithm, value: &HeaderValue) -> Option<Checksum> {
    value
        .to_str()
        .ok()
        .and_then(|text| Checksum::from_base64(algorithm, text.trim()))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    const FOX: &[u8] = b"The quick brown fox jumps over the lazy dog";
    const CRC32: &str = "x-amz-checksum-crc32";

    #[test]
    fn every_kind_of_statement_is_checked() {
        let statements = [
            (
                "content-md5",
                "nhB9nTcrtoJr2B01QqQZ1g==",
                ChecksumError::ContentMd5Mismatch,
            ),
            (CRC32, "QU+jOQ==", ChecksumError::Mismatch(Algorithm::Crc32)),
            (
                "x-amz-checksum-md5",
                "nhB9nTcrtoJr2B01QqQZ1g==",
                ChecksumError::Mismatch(Algorithm::Md5),
            ),
        ];
        for (name, value, refusal) in statements {
            assert!(check(&[(name, value)], FOX, &[]).is_ok(), "{name}");
            assert_eq!(check(&[(name, value)], b"another fox", &[]), Err(refusal));
        }
        let sha256 = Some([0; 32]);
        let mismatch = Expectations::new(&HeaderMap::new(), sha256)
            .unwrap()
            .finish(&HeaderMap::new());
        assert_eq!(mismatch, Err(ChecksumError::ContentSha256Mismatch));
    }

    #[test]
    fn stated_checksum_is_known_before_the_body_and_returned_after_it() {
        let expectations = Expectations::new(&headers(&[(CRC32, "QU+jOQ==")]), None).unwrap();
        assert_eq!(
            expectations.stated().map(Checksum::to_base64).as_deref(),
            Some("QU+jOQ==")
        );
        let kept = check(
            &[(CRC32, "QU+jOQ=="), ("content-md5", "nhB9nTcrtoJr2B01QqQZ1g==")],
            FOX,
            &[],
        )
        .unwrap();
        assert_eq!(kept.map(|kept| kept.algorithm()), Some(Algorithm::Crc32));
        assert_eq!(check(&[], FOX, &[]), Ok(None));
    }

    #[test]
    fn one_pass_serves_two_statements_of_one_algorithm() {
        let sha256 = Checksum::of(Algorithm::Sha256, FOX);
        let headers = headers(&[("x-amz-checksum-sha256", &sha256.to_base64())]);
        let mut expectations = Expectations::new(&headers, sha256.value().try_into().ok()).unwrap();
        assert_eq!(expectations.hashers.len(), 1);
        expectations.update(FOX);
        assert_eq!(expectations.finish(&HeaderMap::new()), Ok(Some(sha256)));
    }

    #[test]
    fn trailer_must_be_the_one_announced_and_right() {
        let announced = [("x-amz-trailer", CRC32), ("x-amz-sdk-checksum-algorithm", "CRC32")];
        let finish = |trailers: &[(&str, &str)]| check(&announced, FOX, trailers);
        assert_eq!(
            finish(&[(CRC32, "QU+jOQ==")]),
            Ok(Some(Checksum::of(Algorithm::Crc32, FOX)))
        );
        assert_eq!(
            finish(&[(CRC32, "AAAAAA==")]),
            Err(ChecksumError::Mismatch(Algorithm::Crc32))
        );
        assert_eq!(
            finish(&[(CRC32, "QU+jOQ")]),
            Err(ChecksumError::InvalidValue(Algorithm::Crc32))
        );
        assert_eq!(finish(&[]), Err(ChecksumError::MissingTrailer(Algorithm::Crc32)));
        assert_eq!(
            finish(&[(CRC32, "QU+jOQ=="), (CRC32, "QU+jOQ==")]),
            Err(ChecksumError::Several)
        );
        let other = finish(&[(CRC32, "QU+jOQ=="), ("x-amz-meta-a", "b")]);
        assert_eq!(other, Err(ChecksumError::UnannouncedTrailer("x-amz-meta-a".to_owned())));
        let unannounced = check(&[], FOX, &[(CRC32, "QU+jOQ==")]);
        assert_eq!(unannounced, Err(ChecksumError::UnannouncedTrailer(CRC32.to_owned())));
    }

    #[test]
    fn statements_that_can_not_be_checked_are_refused() {
        let refusal = |stated: &[(&str, &str)]| Expectations::new(&headers(stated), None).err();
        for malformed in ["", "QU+jOQ==", "nhB9nTcrtoJr2B01QqQZ1h==", "not base64"] {
            assert_eq!(
                refusal(&[("content-md5", malformed)]),
                Some(ChecksumError::InvalidContentMd5)
            );
        }
        for malformed in ["", "QU+jOQ", "QU+jOR==", "nhB9nTcrtoJr2B01QqQZ1g=="] {
            assert_eq!(
                refusal(&[(CRC32, malformed)]),
                Some(ChecksumError::InvalidValue(Algorithm::Crc32))
            );
        }
        let unknown = "x-amz-checksum-crc128";
        assert_eq!(
            refusal(&[(unknown, "AAAA")]),
            Some(ChecksumError::Unknown(unknown.to_owned()))
        );
        let two = [(CRC32, "QU+jOQ=="), ("x-amz-checksum-crc32c", "ImIEBA==")];
        assert_eq!(refusal(&two), Some(ChecksumError::Several));
        assert_eq!(
            refusal(&[(CRC32, "QU+jOQ=="), ("x-amz-trailer", CRC32)]),
            Some(ChecksumError::Several)
        );
        let trailer = "x-amz-meta-late";
        let unsupported = Some(ChecksumError::UnsupportedTrailer(trailer.to_owned()));
        assert_eq!(refusal(&[("x-amz-trailer", trailer)]), unsupported);
        for named in ["SHA1", "CRC128"] {
            let stated = [(CRC32, "QU+jOQ=="), ("x-amz-sdk-checksum-algorithm", named)];
            assert_eq!(refusal(&stated), Some(ChecksumError::AlgorithmMismatch));
        }
        assert_eq!(
            refusal(&[("x-amz-sdk-checksum-algorithm", "CRC32")]),
            Some(ChecksumError::AlgorithmMismatch)
        );
    }

    #[test]
    fn headers_about_checksums_state_none() {
        let about = [
            ("x-amz-checksum-mode", "ENABLED"),
            ("x-amz-checksum-type", "FULL_OBJECT"),
        ];
        assert!(Expectations::new(&headers(&about), None).unwrap().algorithm().is_none());
    }

    fn check(
        stated: &[(&str, &str)],
        body: &[u8],
        trailers: &[(&str, &str)],
    ) -> Result<Option<Checksum>, ChecksumError> {
        let mut expectations = Expectations::new(&headers(stated), None)?;
        expectations.update(body);
        expectations.finish(&headers(trailers))
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    name.parse::<HeaderName>().unwrap(),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect()
    }
}
