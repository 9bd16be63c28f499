//! A writer's conditions, judged by the gate itself where it asks the store about a state first and then holds the store to that
//! very state: the store takes one condition on the ETag only, and the gate's own is then the one.
//!
//! <https://learn.microsoft.com/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations>: with
//! `If-Match` there may be `If-Unmodified-Since`, with `If-None-Match` `If-Modified-Since`, and the one on the ETag then decides
//! alone; anything else that is more than one is refused.

use http::header::{ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::azure::error::AzureError;

/// What the store judges of any request about a blob, also of the gate's own question about its state.
pub const STATE: &[&str] = &["x-ms-lease-id", "x-ms-if-tags"];

/// Whether what is there, if anything, is what the client's conditions permit to write to. `If-None-Match: *` is met by any state
/// here: what it means for a blob that is there differs from one operation to another, see [`is_new_only`].
///
/// # Errors
/// A condition does not hold, can't be read, or is one too many.
pub fn judge(client: &HeaderMap, there: Option<&HeaderMap>) -> Result<(), AzureError> {
    let [matches, differs, modified, unmodified] =
        [&IF_MATCH, &IF_NONE_MATCH, &IF_MODIFIED_SINCE, &IF_UNMODIFIED_SINCE].map(|name| client.get(name));
    let count = [matches, differs, modified, unmodified].iter().flatten().count();
    let pair = count == 2 && (differs.is_some() == modified.is_some());
    let one_tag = |value: Option<&HeaderValue>| value.is_none_or(|value| !value.as_bytes().contains(&b','));
    if count > 1 && !pair || !one_tag(matches) || !one_tag(differs) {
        return Err(AzureError::SeveralConditions);
    }
    let modified = modified.map(|value| date(value, "If-Modified-Since")).transpose()?;
    let unmodified = unmodified.map(|value| date(value, "If-Unmodified-Since")).transpose()?;
    let Some(there) = there else {
        return if matches.is_some() {
            Err(AzureError::ConditionNotMet)
        } else {
            Ok(())
        };
    };
    let is = |asked: &HeaderValue| there.get(ETAG).is_some_and(|etag| bare(etag) == bare(asked));
    let changed = there.get(LAST_MODIFIED).map(|value| date(value, "Last-Modified"));
    let changed = changed.and_then(Result::ok);
    let holds = match (matches, differs) {
        (Some(asked), _) => asked == "*" || is(asked),
        (None, Some(asked)) => !is(asked),
        (None, None) => {
            modified.is_none_or(|since| changed.is_some_and(|changed| changed > since))
                && unmodified.is_none_or(|since| changed.is_some_and(|changed| changed <= since))
        }
    };
    if holds {
        Ok(())
    } else {
        Err(AzureError::ConditionNotMet)
    }
}

/// Whether the client wants to write only what is not there yet.
pub fn is_new_only(client: &HeaderMap) -> bool {
    client.get(IF_NONE_MATCH).is_some_and(|asked| asked == "*")
}

/// Puts the gate's own condition, the state that was read, in the place of the client's, which that state has met.
pub fn pin(etag: Option<&HeaderValue>, to: &mut HeaderMap) {
    for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE] {
        to.remove(name);
    }
    if let Some(etag) = etag {
        to.insert(IF_MATCH, etag.clone());
    }
}

/// An ETag without its quotes, which clients leave out at times.
fn bare(etag: &HeaderValue) -> &[u8] {
    let bytes = etag.as_bytes();
    let inner = bytes.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    inner.unwrap_or(bytes)
}

/// A date as HTTP writes it, which is among those of mail.
fn date(value: &HeaderValue, name: &'static str) -> Result<OffsetDateTime, AzureError> {
    let text = value.to_str().ok();
    text.and_then(|text| OffsetDateTime::parse(text.trim(), &Rfc2822).ok())
        .ok_or(AzureError::InvalidHeader { name })
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    const PAST: &str = "Mon, 01 Jan 2001 00:00:00 GMT";
    const CHANGED: &str = "Tue, 02 Jan 2024 03:04:05 GMT";
    const FUTURE: &str = "Fri, 01 Jan 2100 00:00:00 GMT";

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_writers_conditions_are_judged_as_azure_does() {
        let there = headers(&[("etag", "\"0x8D\""), ("last-modified", CHANGED)]);
        // What is asked; whether it holds for the blob that is there, and where there is none.
        for (asked, with, without) in [
            (&[][..], true, true),
            (&[("if-match", "\"0x8D\"")], true, false),
            (&[("if-match", "0x8D")], true, false),
            (&[("if-match", "\"0x8E\"")], false, false),
            (&[("if-match", "*")], true, false),
            (&[("if-none-match", "\"0x8D\"")], false, true),
            (&[("if-none-match", "\"0x8E\"")], true, true),
            (&[("if-modified-since", PAST)], true, true),
            (&[("if-modified-since", CHANGED)], false, true),
            (&[("if-unmodified-since", CHANGED)], true, true),
            (&[("if-unmodified-since", PAST)], false, true),
            (&[("if-unmodified-since", FUTURE)], true, true),
            (&[("if-match", "\"0x8D\""), ("if-unmodified-since", PAST)], true, false),
            (
                &[("if-none-match", "\"0x8E\""), ("if-modified-since", FUTURE)],
                true,
                true,
            ),
        ] {
            let asked = headers(asked);
            assert_eq!(judge(&asked, Some(&there)).is_ok(), with, "{asked:?}");
            assert_eq!(judge(&asked, None).is_ok(), without, "{asked:?}");
        }
    }

    #[test]
    fn what_can_not_be_judged_is_refused() {
        for (asked, several) in [
            (&[("if-match", "\"a\""), ("if-none-match", "\"b\"")][..], true),
            (&[("if-match", "\"a\""), ("if-modified-since", PAST)], true),
            (&[("if-none-match", "\"a\""), ("if-unmodified-since", PAST)], true),
            (&[("if-match", "\"a\", \"b\"")], true),
            (&[("if-modified-since", "yesterday")], false),
        ] {
            let judged = judge(&headers(asked), None);
            assert_eq!(
                matches!(judged, Err(AzureError::SeveralConditions)),
                several,
                "{asked:?}"
            );
            assert!(judged.is_err());
        }
    }

    #[test]
    fn a_pin_stands_alone() {
        let mut to = headers(&[
            ("if-none-match", "*"),
            ("if-modified-since", PAST),
            ("x-ms-if-tags", "x"),
        ]);
        pin(Some(&HeaderValue::from_static("\"0x8D\"")), &mut to);
        assert_eq!(to, headers(&[("if-match", "\"0x8D\""), ("x-ms-if-tags", "x")]));
    }
}
