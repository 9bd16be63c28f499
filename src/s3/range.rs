//! The `Range` header (RFC 9110 section 14), as S3 reads it: one range or none. What is malformed, or more than one, is as if it
//! were not there (S3 then answers 200 with the whole object).

use crate::seal::{PlainLen, PlainRange};

/// What a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it.
    Whole,
    /// From a byte on, up to another if named.
    From {
        /// The first byte.
        first: u64,
        /// The last byte, if named.
        last: Option<u64>,
    },
    /// The last so many bytes.
    Suffix(u64),
}

impl Wanted {
    /// Reads the header's value.
    pub fn parse(header: Option<&str>) -> Self {
        header.and_then(parse).unwrap_or(Self::Whole)
    }

    /// The bytes meant, of an object this long; `None` where there are none (416).
    pub fn within(self, len: PlainLen) -> Option<PlainRange> {
        match self {
            Self::Whole => PlainRange::all(len),
            Self::From { first, last } => PlainRange::within(len, first, last),
            Self::Suffix(count) => PlainRange::suffix(len, count),
        }
    }
}

fn parse(header: &str) -> Option<Wanted> {
    let (unit, set) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    let number = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| text.parse::<u64>().ok())?
    };
    match (first, last) {
        ("", count) => Some(Wanted::Suffix(number(count)?)),
        (first, "") => Some(Wanted::From {
            first: number(first)?,
            last: None,
        }),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Wanted::From {
                first,
                last: Some(last),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_s3_reads_them() {
        let wanted = |text| Wanted::parse(Some(text));
        assert_eq!(
            wanted("bytes=0-9"),
            Wanted::From {
                first: 0,
                last: Some(9)
            }
        );
        assert_eq!(wanted("bytes=5-"), Wanted::From { first: 5, last: None });
        assert_eq!(wanted("bytes=-7"), Wanted::Suffix(7));
        for whole in [
            "bytes=9-0",
            "bytes=0-1,3-4",
            "bytes=a-b",
            "bytes=-",
            "lines=0-9",
            "bytes=+1-2",
            "",
        ] {
            assert_eq!(wanted(whole), Wanted::Whole, "{whole}");
        }
        assert_eq!(Wanted::parse(None), Wanted::Whole);
    }

    #[test]
    fn a_range_past_the_end_is_unsatisfiable() {
        assert_eq!(Wanted::From { first: 10, last: None }.within(PlainLen(10)), None);
        assert_eq!(Wanted::Suffix(0).within(PlainLen(10)), None);
        assert_eq!(Wanted::Suffix(99).within(PlainLen(10)), PlainRange::new(0, 9));
    }
}
