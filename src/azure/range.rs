//! Which bytes a client asks for. Azure knows `bytes=first-` and `bytes=first-last` only, and `x-ms-range` before `Range`:
//! <https://learn.microsoft.com/rest/api/storageservices/specifying-the-range-header-for-blob-service-operations>.

use http::HeaderMap;
use http::header::RANGE;

use crate::azure::error::AzureError;
use crate::seal::{PlainLen, PlainRange};

/// A range as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The first byte.
    pub first: u64,
    /// The last byte, if named.
    pub last: Option<u64>,
}

impl Wanted {
    /// Reads a request's range; `None` where all is wanted.
    ///
    /// # Errors
    /// `x-ms-range` can't be read. A `Range` that can't be is as if it were not there, as in all of HTTP.
    pub fn of(client: &HeaderMap) -> Result<Option<Self>, AzureError> {
        if let Some(value) = client.get("x-ms-range") {
            // What the SDK for Java asks for when a blob turned out to be empty (`BlobRange(0, 0)`): the service gives all there is.
            if value == "bytes=0--1" {
                return Ok(None);
            }
            let wanted = value.to_str().ok().and_then(Self::parse);
            return wanted.map(Some).ok_or(AzureError::InvalidHeader { name: "x-ms-range" });
        }
        Ok(client
            .get(RANGE)
            .and_then(|value| value.to_str().ok())
            .and_then(Self::parse))
    }

    /// Reads one range.
    pub fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
        let number = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| text.parse::<u64>().ok())?
        };
        let first = number(first)?;
        let last = if last.is_empty() { None } else { Some(number(last)?) };
        last.is_none_or(|last| first <= last).then_some(Self { first, last })
    }

    /// The bytes meant, of a blob this long; `None` where there are none (416).
    pub fn within(self, len: PlainLen) -> Option<PlainRange> {
        PlainRange::within(len, self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn azures_own_range_counts_first() {
        let mut client = HeaderMap::new();
        assert_eq!(Wanted::of(&client).unwrap(), None);
        client.insert(RANGE, HeaderValue::from_static("bytes=1-2"));
        client.insert("x-ms-range", HeaderValue::from_static("bytes=3-"));
        assert_eq!(Wanted::of(&client).unwrap(), Some(Wanted { first: 3, last: None }));
        client.insert("x-ms-range", HeaderValue::from_static("bytes=-3"));
        assert!(Wanted::of(&client).is_err());
        client.insert("x-ms-range", HeaderValue::from_static("bytes=0--1"));
        assert_eq!(Wanted::of(&client).unwrap(), None);
        client.remove("x-ms-range");
        for none in ["bytes=-3", "bytes=3-1", "bytes=a-b", "lines=1-2", "bytes=1-2,3-4"] {
            client.insert(RANGE, HeaderValue::from_static(none));
            assert_eq!(Wanted::of(&client).unwrap(), None, "{none}");
        }
    }
}
