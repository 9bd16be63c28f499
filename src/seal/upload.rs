//! The rules of an S3 multipart upload: which parts wait in the system container, and which list a Complete may give.
//! They are S3's own (docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html), held to lengths of
//! plaintext: the store would judge sealed ones.

use std::collections::HashMap;

use crate::seal::PlainLen;

/// The least plaintext of every part but the last: 5 MiB.
pub const MIN_PART_LEN: PlainLen = PlainLen(5 << 20);
/// The greatest part number.
pub const MAX_PART_NUMBER: u32 = 10_000;

/// Where a part that arrives is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PartHome {
    /// A part of the upload upstream.
    Upstream,
    /// An object in the system container: it can only be the last, and goes up with the tail.
    Staged,
}

/// A part as the client's Complete lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedPart<'a> {
    pub number: u32,
    /// The store's own spelling, without quotes and without the gate's suffix.
    pub etag: &'a str,
}

/// A part that exists. One number may exist in both homes, when the client sent it twice with sizes either side of 5
/// MiB; the ETag decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPart {
    pub number: u32,
    pub etag: String,
    pub plain_len: PlainLen,
    pub home: PartHome,
}

/// What a Complete comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completion<'a> {
    /// One part under 5 MiB: re-sealed as kind whole, and sent as the only part of the same upload.
    Whole { part: &'a StoredPart },
    /// All `parts` stand upstream; the tail (padding and footer) goes up as part `tail`.
    Upstream { parts: Vec<&'a StoredPart>, tail: u32 },
    /// The last of `parts` is staged; the tail (that part, padding and footer) goes up under its number.
    Staged { parts: Vec<&'a StoredPart>, tail: u32 },
}

/// Why S3 would refuse the list, by its error code.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum CompleteError {
    /// `MalformedXML`: no part listed.
    #[error("no part is listed")]
    Empty,
    /// `InvalidPartOrder`.
    #[error("part {number} is out of order")]
    InvalidPartOrder { number: u32 },
    /// `InvalidPart`: no such part, or not with that ETag.
    #[error("part {number} does not exist with that ETag")]
    InvalidPart { number: u32 },
    /// `EntityTooSmall`: a part under 5 MiB that is not the last.
    #[error("part {number} has {} bytes, under 5 MiB, and is not the last", found.0)]
    EntityTooSmall { number: u32, found: PlainLen },
}

/// Where a part of this number and length is kept: staged when it can only be the last, which is so under 5 MiB, and
/// always for number 10,000, behind which no tail could go.
#[must_use]
pub fn part_home(number: u32, len: PlainLen) -> PartHome {
    if len < MIN_PART_LEN || number >= MAX_PART_NUMBER {
        PartHome::Staged
    } else {
        PartHome::Upstream
    }
}

/// Judges a client's list against the parts that exist, in any order.
///
/// # Errors
/// What S3 would refuse, in S3's terms.
pub fn plan_complete<'a>(listed: &[ListedPart<'_>], stored: &'a [StoredPart]) -> Result<Completion<'a>, CompleteError> {
    let mut before = 0;
    for part in listed {
        if part.number <= before {
            return Err(CompleteError::InvalidPartOrder { number: part.number });
        }
        before = part.number;
    }
    let by_name: HashMap<_, _> = stored
        .iter()
        .map(|part| ((part.number, part.etag.as_str()), part))
        .collect();
    let find = |part: &ListedPart<'_>| {
        by_name
            .get(&(part.number, part.etag))
            .copied()
            .ok_or(CompleteError::InvalidPart { number: part.number })
    };
    let parts = listed.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    let (last, others) = parts.split_last().ok_or(CompleteError::Empty)?;
    for part in others {
        if part.plain_len < MIN_PART_LEN {
            return Err(CompleteError::EntityTooSmall {
                number: part.number,
                found: part.plain_len,
            });
        }
        // Only number 10,000 is staged at 5 MiB and more, and nothing comes after it.
        if part.home == PartHome::Staged {
            return Err(CompleteError::InvalidPart { number: part.number });
        }
    }
    match last.home {
        _ if others.is_empty() && last.plain_len < MIN_PART_LEN => Ok(Completion::Whole { part: last }),
        PartHome::Staged => Ok(Completion::Staged {
            tail: last.number,
            parts,
        }),
        PartHome::Upstream if last.number >= MAX_PART_NUMBER => Err(CompleteError::InvalidPart { number: last.number }),
        PartHome::Upstream => Ok(Completion::Upstream {
            tail: last.number.saturating_add(1),
            parts,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB5: u64 = 5 << 20;

    fn stored(number: u32, len: u64) -> StoredPart {
        let plain_len = PlainLen(len);
        StoredPart {
            number,
            etag: format!("e{number}-{len}"),
            plain_len,
            home: part_home(number, plain_len),
        }
    }

    fn plan<'a>(list: &[(u32, u64)], parts: &'a [StoredPart]) -> Result<Completion<'a>, CompleteError> {
        let etags: Vec<_> = list.iter().map(|(number, len)| format!("e{number}-{len}")).collect();
        let listed: Vec<_> = list
            .iter()
            .zip(&etags)
            .map(|((number, _), etag)| ListedPart { number: *number, etag })
            .collect();
        plan_complete(&listed, parts)
    }

    #[test]
    fn parts_that_can_only_be_last_are_staged() {
        assert_eq!(part_home(1, PlainLen(MIB5 - 1)), PartHome::Staged);
        assert_eq!(part_home(1, PlainLen(MIB5)), PartHome::Upstream);
        assert_eq!(part_home(9_999, PlainLen(MIB5)), PartHome::Upstream);
        assert_eq!(part_home(10_000, PlainLen(MIB5)), PartHome::Staged);
    }

    #[test]
    fn tail_takes_the_staged_parts_number_or_the_next() {
        let parts = [stored(1, MIB5), stored(3, MIB5), stored(7, 1), stored(10_000, MIB5)];
        let [one, three, seven, last] = &parts;
        let list = plan(&[(1, MIB5), (3, MIB5), (7, 1)], &parts);
        assert_eq!(
            list,
            Ok(Completion::Staged {
                parts: vec![one, three, seven],
                tail: 7
            })
        );
        let list = plan(&[(1, MIB5), (3, MIB5)], &parts);
        assert_eq!(
            list,
            Ok(Completion::Upstream {
                parts: vec![one, three],
                tail: 4
            })
        );
        let list = plan(&[(1, MIB5), (10_000, MIB5)], &parts);
        assert_eq!(
            list,
            Ok(Completion::Staged {
                parts: vec![one, last],
                tail: 10_000
            })
        );
    }

    #[test]
    fn one_part_under_5_mib_becomes_a_whole_object() {
        for len in [0, 1, MIB5 - 1] {
            let parts = [stored(4, len)];
            assert_eq!(plan(&[(4, len)], &parts), Ok(Completion::Whole { part: &parts[0] }));
        }
        let parts = [stored(4, MIB5)];
        assert_eq!(
            plan(&[(4, MIB5)], &parts),
            Ok(Completion::Upstream {
                parts: vec![&parts[0]],
                tail: 5
            })
        );
    }

    #[test]
    fn etag_decides_between_two_homes_of_one_number() {
        let parts = [stored(1, MIB5), stored(2, 3), stored(2, MIB5)];
        let staged = plan(&[(1, MIB5), (2, 3)], &parts);
        assert_eq!(
            staged,
            Ok(Completion::Staged {
                parts: vec![&parts[0], &parts[1]],
                tail: 2
            })
        );
        let upstream = plan(&[(1, MIB5), (2, MIB5)], &parts);
        assert_eq!(
            upstream,
            Ok(Completion::Upstream {
                parts: vec![&parts[0], &parts[2]],
                tail: 3
            })
        );
    }

    #[test]
    fn lists_s3_refuses_are_refused_by_its_codes() {
        let parts = [stored(1, 10), stored(2, MIB5), stored(3, MIB5)];
        assert_eq!(plan(&[], &parts), Err(CompleteError::Empty));
        assert_eq!(
            plan(&[(3, MIB5), (2, MIB5)], &parts),
            Err(CompleteError::InvalidPartOrder { number: 2 })
        );
        assert_eq!(
            plan(&[(2, MIB5), (2, MIB5)], &parts),
            Err(CompleteError::InvalidPartOrder { number: 2 })
        );
        assert_eq!(
            plan(&[(0, 1)], &parts),
            Err(CompleteError::InvalidPartOrder { number: 0 })
        );
        assert_eq!(
            plan(&[(2, MIB5), (4, MIB5)], &parts),
            Err(CompleteError::InvalidPart { number: 4 })
        );
        assert_eq!(plan(&[(2, 1)], &parts), Err(CompleteError::InvalidPart { number: 2 }));
        let small = CompleteError::EntityTooSmall {
            number: 1,
            found: PlainLen(10),
        };
        assert_eq!(plan(&[(1, 10), (2, MIB5)], &parts), Err(small));
    }
}
