//! Conditional requests: RFC 9110 section 13 for reads, S3's own rules for writes and copies.

use http::HeaderMap;
use http::header::{ETAG, LAST_MODIFIED};
use s3s::dto::{ETagCondition, Timestamp};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use crate::dev::store::index::no_such_key;
use crate::dev::store::record::{Record, unix};

/// What a request makes itself depend on.
#[derive(Default)]
pub struct Conditions {
    pub matches: Option<ETagCondition>,
    pub none_match: Option<ETagCondition>,
    pub modified_since: Option<Timestamp>,
    pub unmodified_since: Option<Timestamp>,
}

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// If-Match or If-Unmodified-Since.
    Changed,
    /// If-None-Match or If-Modified-Since.
    Unchanged,
}

impl Conditions {
    /// For GET and HEAD: 412, or 304 with the headers RFC 9110 section 15.4.5 wants.
    pub fn check_read(self, record: &Record) -> S3Result<()> {
        match self.evaluate(record) {
            Ok(()) => Ok(()),
            Err(Failure::Changed) => Err(precondition_failed()),
            Err(Failure::Unchanged) => {
                let mut error = S3Error::new(S3ErrorCode::NotModified);
                error.set_headers(validators(record));
                Err(error)
            }
        }
    }

    /// For the source of a copy, where everything that fails is a 412.
    pub fn check_copy(self, record: &Record) -> S3Result<()> {
        self.evaluate(record).map_err(|_| precondition_failed())
    }

    /// RFC 9110 section 13.2.2: the entity tags go before the dates.
    fn evaluate(self, record: &Record) -> Result<(), Failure> {
        let modified_after = |date: Timestamp| record.modified > unix(date);
        let changed = match (self.matches, self.unmodified_since) {
            (Some(tags), _) => !names(&tags, &record.etag),
            (None, Some(date)) => modified_after(date),
            (None, None) => false,
        };
        if changed {
            return Err(Failure::Changed);
        }
        let unchanged = match (self.none_match, self.modified_since) {
            (Some(tags), _) => names(&tags, &record.etag),
            (None, Some(date)) => !modified_after(date),
            (None, None) => false,
        };
        if unchanged { Err(Failure::Unchanged) } else { Ok(()) }
    }
}

/// For writes, against the object that is there: If-None-Match knows only `*`, and If-Match without an object is a 404.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>
pub fn check_write(
    current: Option<&Record>,
    matches: Option<&ETagCondition>,
    none_match: Option<&ETagCondition>,
) -> S3Result<()> {
    match none_match {
        Some(ETagCondition::ETag(_)) => {
            return Err(s3_error!(
                NotImplemented,
                "A header you provided implies functionality that is not implemented (If-None-Match)"
            ));
        }
        Some(ETagCondition::Any) if current.is_some() => return Err(precondition_failed()),
        _ => {}
    }
    match (matches, current) {
        (Some(_), None) => Err(no_such_key()),
        (Some(tags), Some(record)) if !names(tags, &record.etag) => Err(precondition_failed()),
        _ => Ok(()),
    }
}

/// What identifies the state of an object.
pub fn validators(record: &Record) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(etag) = record.etag().to_http_header() {
        headers.insert(ETAG, etag);
    }
    let mut date = Vec::new();
    if record
        .last_modified()
        .format(s3s::dto::TimestampFormat::HttpDate, &mut date)
        .is_ok()
        && let Ok(date) = http::HeaderValue::from_bytes(&date)
    {
        headers.insert(LAST_MODIFIED, date);
    }
    headers
}

fn precondition_failed() -> S3Error {
    S3Error::with_message(
        S3ErrorCode::PreconditionFailed,
        "At least one of the pre-conditions you specified did not hold",
    )
}

/// Whether a condition names `etag`. `s3s` takes a list as one tag, quotes and all, so it is split here.
fn names(condition: &ETagCondition, etag: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(tags) => tags
            .value()
            .split(',')
            .any(|tag| tag.trim().trim_start_matches("W/").trim_matches('"') == etag),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::store::checksum::{Algorithm, Hasher};
    use crate::dev::store::record::{Attributes, timestamp};

    fn object() -> Record {
        Record {
            key: "k".into(),
            size: 0,
            etag: "abc".into(),
            modified: 1000,
            attributes: Attributes::default(),
            checksum: Hasher::new(Algorithm::Crc32).finish(),
            parts: Vec::new(),
            upload: None,
            staged: String::new(),
        }
    }

    fn tag(value: &str) -> Option<ETagCondition> {
        Some(value.parse().unwrap())
    }

    #[test]
    fn entity_tags_go_before_dates() {
        let (before, after) = (Some(timestamp(999)), Some(timestamp(1000)));
        let cases = [
            (
                Conditions {
                    matches: tag("\"abc\""),
                    unmodified_since: before.clone(),
                    ..Conditions::default()
                },
                Ok(()),
            ),
            (
                Conditions {
                    matches: tag("\"x\", \"abc\""),
                    ..Conditions::default()
                },
                Ok(()),
            ),
            (
                Conditions {
                    matches: tag("\"x\""),
                    ..Conditions::default()
                },
                Err(Failure::Changed),
            ),
            (
                Conditions {
                    unmodified_since: before.clone(),
                    ..Conditions::default()
                },
                Err(Failure::Changed),
            ),
            (
                Conditions {
                    unmodified_since: after.clone(),
                    ..Conditions::default()
                },
                Ok(()),
            ),
            (
                Conditions {
                    none_match: tag("*"),
                    modified_since: before.clone(),
                    ..Conditions::default()
                },
                Err(Failure::Unchanged),
            ),
            (
                Conditions {
                    none_match: tag("\"x\""),
                    modified_since: after.clone(),
                    ..Conditions::default()
                },
                Ok(()),
            ),
            (
                Conditions {
                    modified_since: after,
                    ..Conditions::default()
                },
                Err(Failure::Unchanged),
            ),
            (
                Conditions {
                    modified_since: before,
                    ..Conditions::default()
                },
                Ok(()),
            ),
        ];
        for (number, (conditions, wanted)) in cases.into_iter().enumerate() {
            assert_eq!(conditions.evaluate(&object()), wanted, "case {number}");
        }
    }

    #[test]
    fn writes_know_the_star_and_the_missing_object() {
        let object = object();
        let code = |result: S3Result<()>| result.err().map(|error| error.code().as_str().to_owned());
        assert_eq!(code(check_write(None, None, tag("*").as_ref())), None);
        assert_eq!(
            code(check_write(Some(&object), None, tag("*").as_ref())).as_deref(),
            Some("PreconditionFailed")
        );
        assert_eq!(
            code(check_write(None, None, tag("\"abc\"").as_ref())).as_deref(),
            Some("NotImplemented")
        );
        assert_eq!(
            code(check_write(None, tag("\"abc\"").as_ref(), None)).as_deref(),
            Some("NoSuchKey")
        );
        assert_eq!(code(check_write(Some(&object), tag("abc").as_ref(), None)), None);
        assert_eq!(
            code(check_write(Some(&object), tag("\"abd\"").as_ref(), None)).as_deref(),
            Some("PreconditionFailed")
        );
    }
}
