//! What a copy says of itself: the client's word or the source's, as its directives have it.
//!
//! The gate's own metadata has to change with every copy, so the store is always asked to REPLACE metadata, and everything is
//! stated anew; what S3 would not have copied is not: storage class, redirect, ACL, lock and encryption are those that the
//! client states (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html>).

use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, EXPIRES, HeaderName,
};
use http::{HeaderMap, HeaderValue};

use crate::s3::copy::CopyError;
use crate::s3::error::S3Error;

const META: &str = "x-amz-meta-";
const RESERVED: &str = "x-amz-meta-portcullis-";
const METADATA_DIRECTIVE: HeaderName = HeaderName::from_static("x-amz-metadata-directive");
/// Whether tags are copied or replaced; the store knows them, so it is told too.
pub const TAGGING_DIRECTIVE: HeaderName = HeaderName::from_static("x-amz-tagging-directive");
/// Tags, as a query.
pub const TAGGING: HeaderName = HeaderName::from_static("x-amz-tagging");

/// What belongs to the metadata that a directive is about, beside `x-amz-meta-*`.
static CONTENT: [HeaderName; 6] = [
    CONTENT_TYPE,
    CACHE_CONTROL,
    CONTENT_DISPOSITION,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    EXPIRES,
];

/// Each of them changes an object that is copied onto itself.
static CHANGING: [HeaderName; 3] = [
    HeaderName::from_static("x-amz-storage-class"),
    HeaderName::from_static("x-amz-website-redirect-location"),
    HeaderName::from_static("x-amz-server-side-encryption"),
];

/// Whose word counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directive {
    /// The source's.
    Copy,
    /// The client's.
    Replace,
}

/// The client's directives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directives {
    /// Of content headers and user metadata.
    pub metadata: Directive,
    /// Of tags.
    pub tagging: Directive,
}

impl Directives {
    /// Reads them; COPY where there is none.
    ///
    /// # Errors
    /// Neither COPY nor REPLACE.
    pub fn of(client: &HeaderMap) -> Result<Self, CopyError> {
        let read = |name: &HeaderName, error: CopyError| match client.get(name).map(HeaderValue::as_bytes) {
            None | Some(b"COPY") => Ok(Directive::Copy),
            Some(b"REPLACE") => Ok(Directive::Replace),
            Some(_) => Err(error),
        };
        Ok(Self {
            metadata: read(&METADATA_DIRECTIVE, CopyError::MetadataDirective)?,
            tagging: read(&TAGGING_DIRECTIVE, CopyError::TaggingDirective)?,
        })
    }

    /// Whether an object that is copied onto itself would become another: S3 refuses a copy that changes nothing.
    pub fn change(self, client: &HeaderMap) -> bool {
        self.metadata == Directive::Replace || CHANGING.iter().any(|name| client.contains_key(name))
    }

    /// The headers that a client would send with a PUT of the copy. None of them is the gate's own.
    ///
    /// # Errors
    /// The store keeps metadata of the source that it can't state in headers: the copy would silently lose it.
    pub fn restated(self, client: &HeaderMap, source: &HeaderMap) -> Result<HeaderMap, S3Error> {
        let mut stated = client.clone();
        stated.remove(TAGGING_DIRECTIVE);
        if self.tagging == Directive::Copy {
            stated.remove(TAGGING);
        }
        if self.metadata == Directive::Replace {
            return Ok(stated);
        }
        if source.contains_key("x-amz-missing-meta") {
            return Err(S3Error::NotImplemented {
                what: "copying metadata that can't be stated in headers".to_owned(),
            });
        }
        let described = |name: &HeaderName| CONTENT.contains(name) || name.as_str().starts_with(META);
        let given: Vec<_> = stated.keys().filter(|name| described(name)).cloned().collect();
        for name in given {
            stated.remove(name);
        }
        for (name, value) in source {
            if described(name) && !name.as_str().starts_with(RESERVED) {
                stated.append(name.clone(), value.clone());
            }
        }
        Ok(stated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let one = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(one).collect()
    }

    fn source() -> HeaderMap {
        headers(&[
            ("content-type", "text/bla"),
            ("content-encoding", "gzip"),
            ("x-amz-meta-a", "1"),
            ("x-amz-meta-portcullis-core", "core"),
            ("x-amz-storage-class", "GLACIER"),
            ("x-amz-website-redirect-location", "/there"),
            ("x-amz-object-lock-mode", "GOVERNANCE"),
            ("etag", "\"x\""),
            ("content-length", "720"),
        ])
    }

    #[test]
    fn the_sources_word_is_its_metadata_and_no_more() {
        let client = headers(&[
            ("content-type", "client/ignored"),
            ("x-amz-meta-b", "ignored"),
            ("x-amz-acl", "public-read"),
            ("x-amz-tagging", "ignored=1"),
            ("x-amz-storage-class", "STANDARD_IA"),
        ]);
        let stated = Directives::of(&client).unwrap().restated(&client, &source()).unwrap();
        let wanted = headers(&[
            ("content-type", "text/bla"),
            ("content-encoding", "gzip"),
            ("x-amz-meta-a", "1"),
            ("x-amz-acl", "public-read"),
            ("x-amz-storage-class", "STANDARD_IA"),
        ]);
        assert_eq!(stated, wanted);
    }

    #[test]
    fn the_clients_word_is_all_it_says() {
        let client = headers(&[
            ("x-amz-metadata-directive", "REPLACE"),
            ("x-amz-tagging-directive", "REPLACE"),
            ("x-amz-tagging", "k=v"),
            ("x-amz-meta-b", "2"),
        ]);
        let directives = Directives::of(&client).unwrap();
        let stated = directives.restated(&client, &source()).unwrap();
        let of = |name: &str| stated.get(name).and_then(|value| value.to_str().ok());
        assert_eq!((of("x-amz-tagging"), of("x-amz-meta-b")), (Some("k=v"), Some("2")));
        assert_eq!((of("content-type"), of("x-amz-meta-a")), (None, None));
    }

    #[test]
    fn a_copy_onto_itself_must_change_something() {
        for (pair, changes) in [
            (("x-amz-metadata-directive", "REPLACE"), true),
            (("x-amz-storage-class", "STANDARD"), true),
            (("x-amz-website-redirect-location", "/x"), true),
            (("x-amz-server-side-encryption", "AES256"), true),
            (("x-amz-metadata-directive", "COPY"), false),
            (("x-amz-tagging-directive", "REPLACE"), false),
            (("content-type", "text/plain"), false),
        ] {
            let client = headers(&[pair]);
            assert_eq!(Directives::of(&client).unwrap().change(&client), changes, "{pair:?}");
        }
        let wrong = headers(&[("x-amz-metadata-directive", "copy")]);
        assert_eq!(Directives::of(&wrong), Err(CopyError::MetadataDirective));
    }

    #[test]
    fn metadata_that_would_be_lost_stops_the_copy() {
        let mut source = source();
        source.insert("x-amz-missing-meta", HeaderValue::from_static("1"));
        let client = HeaderMap::new();
        let restated = Directives::of(&client).unwrap().restated(&client, &source);
        assert!(matches!(restated, Err(S3Error::NotImplemented { .. })));
    }
}
