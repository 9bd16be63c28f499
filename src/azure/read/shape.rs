//! What a stored blob is, from what the store says about it: its kind, and the length of its plaintext.

use http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use http::{HeaderMap, HeaderName, StatusCode};

use crate::azure::error::AzureError;
use crate::azure::metadata::Hidden;
use crate::seal::{Core, Kind, MAX_APPEND_BLOCKS, PlainLen, SealedLen, Tampered};

/// What a blob is. Nothing of it is believed before it was checked against the blob's own bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One segment.
    Whole(PlainLen),
    /// Blocks and a footer.
    Blocks(PlainLen, Core),
    /// A row of Append Blocks.
    Append(PlainLen, u64),
    /// Its metadata says nothing: its own header must.
    Unknown,
}

impl Shape {
    /// From the headers of the store's answer about a blob of `stored` bytes in all.
    ///
    /// # Errors
    /// No sealed blob has that size, or it is a copy that is not whole.
    pub fn of(store: &HeaderMap, stored: SealedLen) -> Result<Self, AzureError> {
        const COUNT: HeaderName = HeaderName::from_static("x-ms-blob-committed-block-count");
        if store.get("x-ms-blob-type").is_some_and(|kind| kind == "AppendBlob") {
            if Hidden::of(store).pending {
                return Err(AzureError::Store {
                    status: StatusCode::CONFLICT,
                    code: "PendingCopyOperation".into(),
                    message: "There is currently a pending copy operation.".into(),
                });
            }
            let count = number(store, &COUNT).ok_or(AzureError::StoreFailed)?;
            if count > MAX_APPEND_BLOCKS {
                // No service has such a blob.
                return Err(AzureError::Tampered {
                    what: Tampered::Segment { number: count }.to_string(),
                    version: None,
                });
            }
            let len = stored.append_plain(count).ok_or(AzureError::Unsealed)?;
            return Ok(Self::Append(len, count));
        }
        match Hidden::of(store).core {
            Some(core) => Self::of_core(&core, stored),
            None => Ok(Self::Unknown),
        }
    }

    /// From a core.
    ///
    /// # Errors
    /// It is of no whole blob, or of another size.
    pub fn of_core(core: &Core, stored: SealedLen) -> Result<Self, AzureError> {
        let tampered = |what: Tampered| AzureError::Tampered {
            what: what.to_string(),
            version: None,
        };
        match core.kind() {
            Kind::Whole if core.plain_len().sealed() == Some(stored) => Ok(Self::Whole(core.plain_len())),
            Kind::Footer if core.plain_len() <= PlainLen(stored.0) => Ok(Self::Blocks(core.plain_len(), *core)),
            Kind::Whole | Kind::Footer => Err(tampered(Tampered::Size { found: stored.0 })),
            found @ (Kind::Part | Kind::Block | Kind::Append) => Err(tampered(Tampered::Kind {
                expected: Kind::Whole,
                found,
            })),
        }
    }
}

/// The stored size, from the head of an answer to GET or HEAD.
///
/// # Errors
/// The store says nothing of it.
pub fn stored_len(status: StatusCode, store: &HeaderMap) -> Result<SealedLen, AzureError> {
    if status != StatusCode::PARTIAL_CONTENT {
        return number(store, &CONTENT_LENGTH)
            .map(SealedLen)
            .ok_or(AzureError::StoreFailed);
    }
    let range = store.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let total = range.and_then(|text| text.rsplit('/').next()?.parse().ok());
    total.map(SealedLen).ok_or(AzureError::StoreFailed)
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_count_of_blocks_that_no_service_knows_is_refused() {
        let shape = |count: u64, stored: u64| {
            let mut store = HeaderMap::new();
            store.insert("x-ms-blob-type", HeaderValue::from_static("AppendBlob"));
            store.insert("x-ms-blob-committed-block-count", HeaderValue::from(count));
            Shape::of(&store, SealedLen(stored))
        };
        assert_eq!(
            shape(50_000, 50_000 * 1729).ok(),
            Some(Shape::Append(PlainLen(50_000), 50_000))
        );
        for count in [50_001, u64::MAX / 1729, u64::MAX] {
            let refused = shape(count, count.saturating_mul(1729));
            assert!(matches!(refused, Err(AzureError::Tampered { .. })), "{count}");
        }
    }
}
