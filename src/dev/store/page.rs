//! Pages of a listing: prefix, delimiter, where to go on, and the encoding of names.

use std::collections::BTreeMap;
use std::ops::Bound;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{CommonPrefix, EncodingType};
use s3s::{S3Result, s3_error};

/// S3's page size, and the most it gives.
pub const MAX_KEYS: i32 = 1000;

/// One page's question.
pub struct Query<'a> {
    pub prefix: &'a str,
    /// Never empty.
    pub delimiter: Option<&'a str>,
    /// Only what comes after this: a key, or a common prefix of the page before.
    pub after: &'a str,
    pub limit: usize,
}

/// One page.
pub struct Page<'a, V> {
    pub items: Vec<&'a V>,
    pub prefixes: Vec<String>,
    /// The last key or prefix on it, if there is more.
    pub next: Option<String>,
}

/// Walks `map` in order. A common prefix counts as one entry, and all keys below it are passed over at once.
pub fn page<'a, V>(map: &'a BTreeMap<String, V>, query: &Query<'_>) -> Page<'a, V> {
    let mut page = Page {
        items: Vec::new(),
        prefixes: Vec::new(),
        next: None,
    };
    let mut from = if query.after.is_empty() || query.after < query.prefix {
        Bound::Included(query.prefix.to_owned())
    } else {
        Bound::Excluded(query.after.to_owned())
    };
    let mut last = None;
    if query.limit == 0 {
        return page;
    }
    loop {
        let range = (from.as_ref().map(String::as_str), Bound::Unbounded);
        let Some((key, value)) = map.range::<str, _>(range).next() else {
            break;
        };
        if !key.starts_with(query.prefix) {
            break;
        }
        let common = common_prefix(key, query);
        if let Some(common) = common
            && (common <= query.after || page.prefixes.last().is_some_and(|listed| listed == common))
        {
            from = Bound::Excluded(if key.as_str() < past(common).as_str() {
                past(common)
            } else {
                key.clone()
            });
            continue;
        }
        if page.items.len() + page.prefixes.len() == query.limit {
            page.next = last;
            break;
        }
        last = Some(common.unwrap_or(key).to_owned());
        match common {
            Some(common) => {
                page.prefixes.push(common.to_owned());
                from = Bound::Excluded(past(common));
            }
            None => {
                page.items.push(value);
                from = Bound::Excluded(key.clone());
            }
        }
    }
    page
}

/// `encoding-type`: whether names in the answer are URL-encoded.
#[derive(Clone, Copy)]
pub enum Encoding {
    Plain,
    Url,
}

impl Encoding {
    pub fn new(asked: Option<&EncodingType>) -> S3Result<Self> {
        match asked.map(EncodingType::as_str) {
            None => Ok(Self::Plain),
            Some("url") => Ok(Self::Url),
            Some(_) => Err(s3_error!(
                InvalidArgument,
                "Invalid Encoding Method specified in Request"
            )),
        }
    }

    /// As S3 does it, which is the way of HTML forms: a space is a plus, and only these others stay.
    pub fn apply(self, text: &str) -> String {
        const KEPT: AsciiSet = NON_ALPHANUMERIC
            .remove(b'-')
            .remove(b'_')
            .remove(b'.')
            .remove(b'*')
            .remove(b'/')
            .remove(b' ');
        match self {
            Self::Plain => text.to_owned(),
            Self::Url => utf8_percent_encode(text, &KEPT).to_string().replace(' ', "+"),
        }
    }
}

/// `max-keys` and its like.
pub fn page_size(asked: Option<i32>) -> S3Result<i32> {
    match asked {
        None => Ok(MAX_KEYS),
        Some(size) if size >= 0 => Ok(size.min(MAX_KEYS)),
        Some(_) => Err(s3_error!(
            InvalidArgument,
            "Argument max-keys must be an integer between 0 and 2147483647"
        )),
    }
}

/// An empty delimiter is none.
pub fn delimiter(asked: Option<&str>) -> Option<&str> {
    asked.filter(|delimiter| !delimiter.is_empty())
}

pub fn common_prefixes(prefixes: &[String], encode: Encoding) -> Vec<CommonPrefix> {
    prefixes
        .iter()
        .map(|prefix| CommonPrefix {
            prefix: Some(encode.apply(prefix)),
        })
        .collect()
}

/// The common prefix `key` falls under: up to the first delimiter behind the query's prefix.
pub fn common_prefix<'k>(key: &'k str, query: &Query<'_>) -> Option<&'k str> {
    let delimiter = query.delimiter?;
    let (head, _) = key.strip_prefix(query.prefix)?.split_once(delimiter)?;
    key.get(..query.prefix.len() + head.len() + delimiter.len())
}

/// Behind every key that starts with `prefix`, save those that go on with the last character of Unicode.
fn past(prefix: &str) -> String {
    format!("{prefix}{}", char::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map(keys: &[&str]) -> BTreeMap<String, String> {
        keys.iter().map(|key| ((*key).to_owned(), (*key).to_owned())).collect()
    }

    fn ask<'a>(prefix: &'a str, delimiter: Option<&'a str>, after: &'a str, limit: usize) -> Query<'a> {
        Query {
            prefix,
            delimiter,
            after,
            limit,
        }
    }

    fn names<'a>(page: &Page<'a, String>) -> (Vec<&'a str>, Vec<String>, Option<String>) {
        (
            page.items.iter().map(|item| item.as_str()).collect(),
            page.prefixes.clone(),
            page.next.clone(),
        )
    }

    #[test]
    fn a_delimiter_folds_keys_into_prefixes() {
        let map = map(&["asdf", "boo/bar", "boo/baz/xyzzy", "cquux/bla", "cquux/thud"]);
        let first = page(&map, &ask("", Some("/"), "", 2));
        assert_eq!(
            names(&first),
            (vec!["asdf"], vec!["boo/".to_owned()], Some("boo/".to_owned()))
        );
        let second = page(&map, &ask("", Some("/"), "boo/", 2));
        assert_eq!(names(&second), (vec![], vec!["cquux/".to_owned()], None));
        let below = page(&map, &ask("boo/", Some("/"), "", 10));
        assert_eq!(names(&below), (vec!["boo/bar"], vec!["boo/baz/".to_owned()], None));
    }

    #[test]
    fn a_full_last_page_is_not_truncated_and_an_empty_one_is_empty() {
        let map = map(&["a", "b"]);
        assert_eq!(page(&map, &ask("", None, "", 2)).next, None);
        assert_eq!(names(&page(&map, &ask("", None, "", 0))), (vec![], vec![], None));
        assert_eq!(names(&page(&map, &ask("b", None, "a", 5))).0, vec!["b"]);
    }

    #[test]
    fn url_encoding_is_that_of_forms() {
        assert_eq!(Encoding::Url.apply("a b+c/d~e*ü"), "a+b%2Bc/d%7Ee*%C3%BC");
        assert_eq!(Encoding::Plain.apply("a b"), "a b");
    }

    proptest! {
        /// Pages of any size, put together, are the whole listing as the definition has it.
        #[test]
        fn pages_add_up(
            keys in proptest::collection::btree_set("[a/\u{10FFFF}b-]{1,5}", 0..40),
            prefix in "[a/]{0,2}",
            delimited in any::<bool>(),
            limit in 1_usize..7,
        ) {
            let map: BTreeMap<String, String> = keys.iter().map(|key| (key.clone(), key.clone())).collect();
            let delimiter = delimited.then_some("/");
            let mut wanted = Vec::new();
            for key in keys.iter().filter(|key| key.starts_with(&prefix)) {
                let entry = common_prefix(key, &ask(&prefix, delimiter, "", 1)).unwrap_or(key).to_owned();
                if !wanted.contains(&entry) {
                    wanted.push(entry);
                }
            }
            let (mut found, mut after) = (Vec::new(), String::new());
            loop {
                let page = page(&map, &ask(&prefix, delimiter, &after, limit));
                let mut entries: Vec<String> = page.items.iter().map(|item| (*item).clone()).collect();
                entries.extend(page.prefixes.clone());
                entries.sort();
                prop_assert!(entries.len() <= limit);
                prop_assert_eq!(page.next.is_some(), found.len() + entries.len() < wanted.len());
                found.extend(entries);
                match page.next {
                    Some(next) => after = next,
                    None => break,
                }
            }
            prop_assert_eq!(found, wanted);
        }
    }
}
