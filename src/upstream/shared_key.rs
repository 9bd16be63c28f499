//! Azure's SharedKey: the strings that are signed, and the key that signs them. Used both ways: to verify clients, and to sign
//! what goes to the store.
//!
//! <https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key>; the form of 2009-09-19, with the changes of
//! 2015-02-21 (no length of 0) and 2016-05-31 (empty `x-ms-*` headers count).

use std::cmp::Ordering;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, DATE, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE, RANGE,
};
use http::{HeaderMap, HeaderName, Method};
use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
/// The headers of SharedKey in their order.
static SIGNED: [HeaderName; 11] = [
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_MD5,
    CONTENT_TYPE,
    DATE,
    IF_MODIFIED_SINCE,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_UNMODIFIED_SINCE,
    RANGE,
];
/// Those of SharedKeyLite.
static SIGNED_LITE: [HeaderName; 3] = [CONTENT_MD5, CONTENT_TYPE, DATE];

/// A storage account's key. Never shown; compared in constant time only.
pub struct AccountKey(hmac::Key);

/// A text that is no account key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an account key is base64 of 16 bytes at least")]
pub struct InvalidAccountKey;

/// Which of the two signature schemes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    SharedKey,
    SharedKeyLite,
}

/// In which order the `x-ms-*` headers are signed. SDKs differ: .NET, Python and JavaScript sort as the service does, by a
/// collation that passes over hyphens at first; Go sorts bytes. It matters for names of metadata only, `a_1` and `a1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Collation,
    Bytes,
}

/// How a plus sign in a query is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plus {
    Space,
    Itself,
}

/// A request, as far as its signature covers it.
pub struct Signable<'a> {
    pub method: &'a Method,
    pub headers: &'a HeaderMap,
    /// The account that signs.
    pub account: &'a str,
    /// The whole path as it stands on the wire, percent-encoded, with its first slash.
    pub path: &'a str,
    /// The query as it stands on the wire.
    pub query: &'a str,
}

impl AccountKey {
    /// Reads the base64 that an account's owner is given.
    ///
    /// # Errors
    /// No base64, or too short to be one.
    pub fn parse(text: &str) -> Result<Self, InvalidAccountKey> {
        let bytes = BASE64_STANDARD
            .decode(text.trim())
            .map(Zeroizing::new)
            .map_err(|_| InvalidAccountKey)?;
        if bytes.len() < 16 {
            return Err(InvalidAccountKey);
        }
        Ok(Self::of(&bytes))
    }

    /// From raw bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The signature of a text: base64 of HMAC-SHA-256.
    pub fn sign(&self, text: &[u8]) -> String {
        BASE64_STANDARD.encode(self.mac(text))
    }

    /// The bare HMAC of a text.
    pub fn mac(&self, text: &[u8]) -> [u8; 32] {
        let tag = hmac::sign(&self.0, text);
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }

    /// Whether `signature` is this key's over `text`; in constant time.
    pub fn verifies(&self, text: &[u8], signature: &str) -> bool {
        BASE64_STANDARD
            .decode(signature)
            .is_ok_and(|signature| hmac::verify(&self.0, text, &signature).is_ok())
    }
}

impl Signable<'_> {
    /// The text that `scheme` signs.
    pub fn text(&self, scheme: Scheme, order: Order, plus: Plus) -> Vec<u8> {
        let mut text = self.method.as_str().as_bytes().to_vec();
        text.push(b'\n');
        let signed = match scheme {
            Scheme::SharedKey => SIGNED.as_slice(),
            Scheme::SharedKeyLite => SIGNED_LITE.as_slice(),
        };
        for name in signed {
            text.extend_from_slice(self.standard(name));
            text.push(b'\n');
        }
        self.canonical_headers(order, &mut text);
        text.push(b'/');
        text.extend_from_slice(self.account.as_bytes());
        text.extend_from_slice(self.path.as_bytes());
        match scheme {
            Scheme::SharedKey => self.canonical_query(plus, &mut text),
            Scheme::SharedKeyLite => {
                if let Some((_, comp)) = parameters(self.query, plus)
                    .into_iter()
                    .find(|(name, _)| name == "comp")
                {
                    text.extend_from_slice(b"?comp=");
                    text.extend_from_slice(&comp);
                }
            }
        }
        text
    }

    fn standard(&self, name: &HeaderName) -> &[u8] {
        let dated = *name == DATE && self.headers.contains_key("x-ms-date");
        let value = self.headers.get(name).filter(|_| !dated);
        let value = value.map(|value| value.as_bytes().trim_ascii()).unwrap_or_default();
        if *name == CONTENT_LENGTH && value == b"0" {
            return b"";
        }
        value
    }

    fn canonical_headers(&self, order: Order, text: &mut Vec<u8>) {
        let ours = |name: &&HeaderName| name.as_str().starts_with("x-ms-");
        let mut names: Vec<&HeaderName> = self.headers.keys().filter(ours).collect();
        names.sort_by(|a, b| match order {
            Order::Collation => collate(a.as_str(), b.as_str()),
            Order::Bytes => a.as_str().cmp(b.as_str()),
        });
        for name in names {
            text.extend_from_slice(name.as_str().as_bytes());
            text.push(b':');
            let values = self.headers.get_all(name).iter();
            let values: Vec<&[u8]> = values.map(|value| value.as_bytes().trim_ascii()).collect();
            text.extend_from_slice(&values.join(&b','));
            text.push(b'\n');
        }
    }

    fn canonical_query(&self, plus: Plus, text: &mut Vec<u8>) {
        let mut pairs = parameters(self.query, plus);
        pairs.sort();
        let mut before: Option<String> = None;
        for (name, value) in pairs {
            if before.as_ref() == Some(&name) {
                text.push(b',');
            } else {
                text.push(b'\n');
                text.extend_from_slice(name.as_bytes());
                text.push(b':');
            }
            text.extend_from_slice(&value);
            before = Some(name);
        }
    }
}

/// A query's parameters: names decoded and in lower case, values decoded.
fn parameters(query: &str, plus: Plus) -> Vec<(String, Vec<u8>)> {
    let decode = |text: &str| -> Vec<u8> {
        match plus {
            Plus::Space => percent_decode_str(&text.replace('+', " ")).collect(),
            Plus::Itself => percent_decode_str(text).collect(),
        }
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = String::from_utf8_lossy(&decode(name)).to_lowercase();
            (name, decode(value))
        })
        .collect()
}

/// The service's order of header names: hyphens and apostrophes count only where all else is equal, and then the name that has
/// them later comes first; underscores come before digits, digits before letters.
fn collate(a: &str, b: &str) -> Ordering {
    fn ignored(c: &char) -> bool {
        matches!(c, '-' | '\'')
    }
    fn weight(c: char) -> (u8, char) {
        match c {
            '_' => (0, c),
            '0'..='9' => (2, c),
            'a'..='z' => (3, c),
            _ => (1, c),
        }
    }
    let weights = |name: &str| -> Vec<(u8, char)> { name.chars().filter(|c| !ignored(c)).map(weight).collect() };
    let places = |name: &str| -> Vec<usize> {
        let places = name.char_indices().filter(|(_, c)| ignored(c));
        places.map(|(at, _)| at).chain([usize::MAX]).collect()
    };
    weights(a).cmp(&weights(b)).then_with(|| places(b).cmp(&places(a)))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn signable<'a>(headers: &'a HeaderMap, query: &'a str) -> Signable<'a> {
        Signable {
            method: &Method::PUT,
            headers,
            account: "acct",
            path: "/acct/c/b%20x",
            query,
        }
    }

    #[test]
    fn the_text_is_as_documented() {
        let headers = headers(&[
            ("content-length", "0"),
            ("content-type", "text/plain"),
            ("date", "never"),
            ("x-ms-version", "2021-12-02"),
            ("x-ms-date", " Mon, 23 Nov 2026 22:00:00 GMT "),
            ("x-ms-empty", ""),
            ("if-none-match", "*"),
            ("other", "x"),
        ]);
        let text = signable(&headers, "comp=block&BlockId=YQ%3D%3D&comp=a%2Bb").text(
            Scheme::SharedKey,
            Order::Collation,
            Plus::Space,
        );
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "PUT\n\n\n\n\ntext/plain\n\n\n\n*\n\n\nx-ms-date:Mon, 23 Nov 2026 22:00:00 GMT\nx-ms-empty:\nx-ms-version:2021-12-02\n\
             /acct/acct/c/b%20x\nblockid:YQ==\ncomp:a+b,block"
        );
        let lite = signable(&headers, "comp=block&blockid=x").text(Scheme::SharedKeyLite, Order::Bytes, Plus::Itself);
        assert_eq!(
            String::from_utf8(lite).unwrap(),
            "PUT\n\ntext/plain\n\nx-ms-date:Mon, 23 Nov 2026 22:00:00 GMT\nx-ms-empty:\nx-ms-version:2021-12-02\n\
             /acct/acct/c/b%20x?comp=block"
        );
    }

    /// The order of the Python SDK's own sort (azure-storage-blob 12.31.1) of these names.
    #[test]
    fn header_names_are_collated_as_the_sdks_do() {
        let sorted = [
            "x-ms-blob-content-md5",
            "x-ms-client-request-id",
            "x-ms-if-tags",
            "x-ms-meta-a_1",
            "x-ms-meta-a1",
            "x-ms-meta-ab",
            "x-ms-meta-abc",
            "x-ms-meta-b",
            "x-ms-range",
            "x-ms-range-get-content-md5",
        ];
        for pair in sorted.windows(2) {
            assert_eq!(collate(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
        assert_eq!(collate("x-ab", "x-a-b"), Ordering::Less);
        assert_eq!(collate("x-a", "x-a"), Ordering::Equal);
    }

    #[test]
    fn a_plus_is_read_either_way_where_asked() {
        let none = HeaderMap::new();
        let ends = |plus| {
            let text = signable(&none, "prefix=a+b").text(Scheme::SharedKey, Order::Bytes, plus);
            String::from_utf8(text).unwrap().rsplit(':').next().unwrap().to_owned()
        };
        assert_eq!(
            (ends(Plus::Space).as_str(), ends(Plus::Itself).as_str()),
            ("a b", "a+b")
        );
    }

    #[test]
    fn a_signature_holds_for_its_text_and_key_only() {
        let key = AccountKey::parse(&BASE64_STANDARD.encode([7; 64])).unwrap();
        let other = AccountKey::of(&[8; 64]);
        let signature = key.sign(b"text");
        assert!(key.verifies(b"text", &signature));
        assert!(!key.verifies(b"texts", &signature));
        assert!(!other.verifies(b"text", &signature));
        assert!(!key.verifies(b"text", "no base64!"));
        assert_eq!(AccountKey::parse("c2hvcnQ=").err(), Some(InvalidAccountKey));
    }
}
