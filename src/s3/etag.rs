//! ETags. The store's is the MD5 of sealed bytes, and would be mistaken for the content's: every ETag of 32 hex digits leaves
//! with `-0` behind it, as S3's own do that are no MD5, and comes back without. All others pass as they are.

use std::borrow::Cow;

const MARK: &str = "-0";

/// What stands behind a store's ETag, of which this is what its quotes hold, as clients see it.
pub fn mark(bare: &str) -> &'static str {
    if is_md5(bare) { MARK } else { "" }
}

/// A store's ETag, quoted or not, as clients see it.
pub fn to_client(etag: &str) -> Cow<'_, str> {
    rewrite(etag, |bare| is_md5(bare).then(|| [bare, MARK].concat()))
}

/// A client's ETag condition (`If-Match` and its kin: one, a list, or `*`) as the store knows it.
pub fn to_store(condition: &str) -> String {
    let one = |etag: &str| {
        rewrite(etag, |bare| {
            bare.strip_suffix(MARK).filter(|bare| is_md5(bare)).map(str::to_owned)
        })
        .into_owned()
    };
    let etags: Vec<String> = condition.split(',').map(|etag| one(etag.trim())).collect();
    etags.join(", ")
}

fn rewrite(etag: &str, change: impl Fn(&str) -> Option<String>) -> Cow<'_, str> {
    let unquoted = etag.strip_prefix('"').and_then(|etag| etag.strip_suffix('"'));
    match (unquoted, change(unquoted.unwrap_or(etag))) {
        (Some(_), Some(changed)) => Cow::Owned(["\"", &changed, "\""].concat()),
        (None, Some(changed)) => Cow::Owned(changed),
        (_, None) => Cow::Borrowed(etag),
    }
}

fn is_md5(bare: &str) -> bool {
    // All of them, whatever the first is: that is done many bytes at a time, and a listing has a thousand.
    bare.len() == 32 && bare.bytes().fold(true, |all, byte| all & byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MD5: &str = "9e107d9d372bb6826bd81d3542a419d6";

    #[test]
    fn an_md5_is_marked_and_comes_back() {
        let quoted = format!("\"{MD5}\"");
        assert_eq!(to_client(&quoted), format!("\"{MD5}-0\""));
        assert_eq!(to_client(MD5), format!("{MD5}-0"));
        assert_eq!(to_store(&to_client(&quoted)), quoted);
    }

    #[test]
    fn other_etags_pass() {
        for other in ["\"abc\"", "\"9e107d9d372bb6826bd81d3542a419d6-3\"", "W/\"x\"", "*"] {
            assert_eq!(to_client(other), other);
            assert_eq!(to_store(other), other);
        }
        // A client that guessed the MD5 of the sealed bytes does not match: the store is asked for what it never shows.
        assert_eq!(to_store(&format!("\"{MD5}-0\", \"x\"")), format!("\"{MD5}\", \"x\""));
    }
}
