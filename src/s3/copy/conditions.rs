//! The conditions of a copy: what the client wants the source to be. The gate judges them itself, of the very source that it
//! verified and pins: what a store makes of its own pin is then never taken for the client's condition.

use http::{HeaderMap, HeaderValue};
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

use crate::s3::copy::CopyError;
use crate::s3::etag;

/// `x-amz-copy-source-if-*`.
#[derive(Clone, Copy)]
pub struct Conditions<'a> {
    client: &'a HeaderMap,
}

impl<'a> Conditions<'a> {
    /// Those that the client sent.
    pub const fn of(client: &'a HeaderMap) -> Self {
        Self { client }
    }

    /// Judges them of a source with this ETag, as the store spells it, and this Last-Modified.
    ///
    /// Entity tags go before dates (RFC 9110 section 13.2.2; AWS, API_CopyObject, has the two cases where that shows); all that
    /// fails is a 412. A date that can't be read is none.
    ///
    /// # Errors
    /// One does not hold.
    pub fn hold(self, etag: Option<&str>, modified: Option<&HeaderValue>) -> Result<(), CopyError> {
        let seen = etag.map(|etag| etag::to_client(etag).into_owned());
        let names = |header: &str| {
            let mut values = self.client.get_all(header).iter().peekable();
            values.peek()?;
            Some(values.any(|value| value.to_str().is_ok_and(|tags| lists(tags, seen.as_deref()))))
        };
        let modified_after = |header: &str| {
            let (date, modified) = (date(self.client.get(header)?)?, date(modified?)?);
            Some(modified > date)
        };
        let changed = match names("x-amz-copy-source-if-match") {
            Some(named) => !named,
            None => modified_after("x-amz-copy-source-if-unmodified-since") == Some(true),
        };
        let unchanged = match names("x-amz-copy-source-if-none-match") {
            Some(named) => named,
            None => modified_after("x-amz-copy-source-if-modified-since") == Some(false),
        };
        if changed || unchanged {
            Err(CopyError::Condition)
        } else {
            Ok(())
        }
    }
}

/// Whether a condition, one tag, several or `*`, names this one.
fn lists(tags: &str, etag: Option<&str>) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    tags.trim() == "*" || etag.is_some_and(|etag| tags.split(',').any(|tag| bare(tag) == bare(etag)))
}

/// As HTTP has it; or ISO 8601, which some SDKs send.
fn date(value: &HeaderValue) -> Option<OffsetDateTime> {
    let text = value.to_str().ok()?;
    OffsetDateTime::parse(text, &Rfc2822)
        .or_else(|_| OffsetDateTime::parse(text, &Rfc3339))
        .ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    const STORED: &str = "\"9e107d9d372bb6826bd81d3542a419d6\"";
    const SEEN: &str = "\"9e107d9d372bb6826bd81d3542a419d6-0\"";
    const BEFORE: &str = "Thu, 01 Jan 2026 00:00:00 GMT";
    const MODIFIED: &str = "Fri, 02 Jan 2026 00:00:00 GMT";
    const AFTER: &str = "Sat, 03 Jan 2026 00:00:00 GMT";

    fn judged(conditions: &[(&str, &str)]) -> Result<(), CopyError> {
        let one = |(name, value): &(&str, &str)| {
            let name = HeaderName::try_from(format!("x-amz-copy-source-if-{name}")).unwrap();
            (name, HeaderValue::try_from(*value).unwrap())
        };
        let client: HeaderMap = conditions.iter().map(one).collect();
        Conditions::of(&client).hold(Some(STORED), Some(&HeaderValue::from_static(MODIFIED)))
    }

    #[test]
    fn each_holds_of_what_the_client_has_seen() {
        for holds in [
            &[][..],
            &[("match", SEEN)],
            &[("match", "9e107d9d372bb6826bd81d3542a419d6-0")],
            &[("match", "*")],
            &[("match", "\"x\", \"9e107d9d372bb6826bd81d3542a419d6-0\"")],
            &[("none-match", "\"x\"")],
            &[("modified-since", BEFORE)],
            &[("unmodified-since", MODIFIED)],
            &[("unmodified-since", AFTER)],
            &[("unmodified-since", "2026-01-03T00:00:00Z")],
            &[("modified-since", "no date")],
            // The tag goes before the date.
            &[("match", SEEN), ("unmodified-since", BEFORE)],
            &[("none-match", "\"x\""), ("modified-since", AFTER)],
        ] {
            assert_eq!(judged(holds), Ok(()), "{holds:?}");
        }
        for fails in [
            &[("match", "ABCORZ")][..],
            &[("none-match", SEEN)],
            &[("none-match", "*")],
            &[("modified-since", MODIFIED)],
            &[("modified-since", AFTER)],
            &[("unmodified-since", BEFORE)],
            &[("none-match", SEEN), ("modified-since", BEFORE)],
        ] {
            assert_eq!(judged(fails), Err(CopyError::Condition), "{fails:?}");
        }
    }
}
