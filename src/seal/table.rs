//! The table of a multipart object, its footer's content: which segments make it up, in order, each pinned by its
//! binding.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 32 | SHA-256 of the upload id; zeros on Azure |
//! | 32 | 48 each | a segment: binding 32, plaintext length 8, number 4, zero 4 |
//! | 32 + 48 n | 224 | optional fields (see [`Checksums`]), zeros after them |
//!
//! The room for optional fields is fixed, so the table's length follows from the count in the footer's header. 224
//! bytes are what the size law leaves in the tightest case, two parts.

use crate::seal::context::sha256;
use crate::seal::header::{MAX_SEGMENTS, take};
use crate::seal::{Binding, Checksums, HEADER_LEN, MAX_PLAIN_LEN, Malformed, PlainLen, SealedLen};

const UPLOAD_LEN: usize = 32;
const ENTRY_LEN: usize = 48;
/// Bytes kept for the optional fields.
pub(super) const FIELDS_LEN: usize = 224;

/// One segment of a multipart object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub binding: Binding,
    pub plain_len: PlainLen,
    /// S3: the part's number. Azure: the block's place, from 1.
    pub number: u32,
}

/// The segments of a multipart object in order, and what is known of its plaintext.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    upload: [u8; UPLOAD_LEN],
    entries: Vec<Entry>,
    checksums: Checksums,
    plain_len: PlainLen,
}

/// Why segments make no table.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum TableError {
    #[error("{found} segments are beyond the format")]
    Segments { found: usize },
    #[error("segment numbers must ascend from 1; {number} does not")]
    Order { number: u32 },
    #[error("the plaintext is beyond the format")]
    TooLong,
    #[error("the checksums take {found} bytes; the table keeps 224 for them")]
    Checksums { found: usize },
}

impl Table {
    /// The table of an S3 upload, or with no `upload_id` of an Azure block list.
    ///
    /// # Errors
    /// Numbers that do not ascend, or anything beyond the format.
    pub fn new(upload_id: Option<&str>, entries: Vec<Entry>, checksums: Checksums) -> Result<Self, TableError> {
        let fields = checksums.to_bytes().len();
        if fields > FIELDS_LEN {
            return Err(TableError::Checksums { found: fields });
        }
        let plain_len = total(&entries)?;
        Ok(Self {
            upload: upload_hash(upload_id),
            entries,
            checksums,
            plain_len,
        })
    }

    /// Reads the table of a footer that counts `segments`.
    ///
    /// # Errors
    /// Anything that no gate would have written.
    pub fn parse(segments: u32, bytes: &[u8]) -> Result<Self, Malformed> {
        let expected = usize::try_from(content_len(segments).0).unwrap_or(usize::MAX);
        let wrong = Malformed::Length {
            expected,
            found: bytes.len(),
        };
        if bytes.len() != expected || segments > MAX_SEGMENTS {
            return Err(wrong);
        }
        let (upload, rest) = bytes.split_first_chunk().ok_or(wrong)?;
        let (entries, fields) = rest.split_last_chunk::<FIELDS_LEN>().ok_or(wrong)?;
        let entries = entries
            .chunks_exact(ENTRY_LEN)
            .map(Entry::parse)
            .collect::<Result<Vec<_>, _>>()?;
        let plain_len = total(&entries).map_err(|_| Malformed::Table)?;
        Ok(Self {
            upload: *upload,
            entries,
            checksums: Checksums::parse(fields)?,
            plain_len,
        })
    }

    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.upload.to_vec();
        for entry in &self.entries {
            bytes.extend_from_slice(entry.binding.as_bytes());
            bytes.extend_from_slice(&entry.plain_len.0.to_be_bytes());
            bytes.extend_from_slice(&entry.number.to_be_bytes());
            bytes.extend_from_slice(&[0; 4]);
        }
        bytes.extend_from_slice(&self.checksums.to_bytes());
        bytes.resize(usize::try_from(content_len(self.count()).0).unwrap_or_default(), 0);
        bytes
    }

    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Of the whole object's plaintext, as far as known at Complete.
    #[must_use]
    pub fn checksums(&self) -> &Checksums {
        &self.checksums
    }

    /// The plaintext of the whole object.
    #[must_use]
    pub fn plain_len(&self) -> PlainLen {
        self.plain_len
    }

    /// Whether this is the table of that upload: how a repeated Complete knows its own object.
    #[must_use]
    pub fn is_of_upload(&self, upload_id: &str) -> bool {
        self.upload == upload_hash(Some(upload_id))
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX) // bounded by `total`
    }
}

impl Entry {
    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if take::<4>(bytes, 44)? != [0; 4] {
            return Err(Malformed::Reserved);
        }
        Ok(Self {
            binding: Binding::from_array(take(bytes, 0)?),
            plain_len: PlainLen(u64::from_be_bytes(take(bytes, 32)?)),
            number: u32::from_be_bytes(take(bytes, 40)?),
        })
    }
}

/// The stored bytes of a footer that counts this many segments: its chunks, and its header behind them.
#[must_use]
pub fn footer_len(segments: u32) -> SealedLen {
    content_len(segments).segment().unwrap_or(SealedLen(u64::MAX)) // 200 GiB at the most
}

/// How many of an object's last bytes to ask for so that its footer is among them, header last. Where `stored` is known
/// and obeys S3's size law this is enough whatever the parts; else it is a guess that holds some 1,300 segments. The
/// header then tells the truth, by [`footer_len`]. Never more than `stored`.
#[must_use]
pub fn footer_ask(stored: Option<SealedLen>) -> u64 {
    const GUESS: u64 = 64 << 10;
    const PART: u64 = 5 << 20;
    let Some(stored) = stored else { return GUESS };
    let most = stored
        .plain()
        .and_then(|plain| u32::try_from((plain.0 / PART).saturating_add(1)).ok());
    let footer = most.map_or(GUESS, |most| footer_len(most.min(10_000)).0);
    footer.min(stored.0)
}

/// The table's length.
pub(super) fn content_len(segments: u32) -> PlainLen {
    const FIXED: u64 = (UPLOAD_LEN + FIELDS_LEN) as u64;
    const ENTRY: u64 = ENTRY_LEN as u64;
    const { assert!(FIXED == 256 && HEADER_LEN == 704) };
    PlainLen(u64::from(segments).saturating_mul(ENTRY).saturating_add(FIXED))
}

fn upload_hash(upload_id: Option<&str>) -> [u8; UPLOAD_LEN] {
    upload_id.map_or([0; UPLOAD_LEN], |id| sha256(id.as_bytes()))
}

/// The sum of the plaintext, with all that must hold of the entries.
fn total(entries: &[Entry]) -> Result<PlainLen, TableError> {
    if u32::try_from(entries.len()).is_ok_and(|count| count > MAX_SEGMENTS) {
        return Err(TableError::Segments { found: entries.len() });
    }
    let (mut sum, mut before) = (0_u64, 0);
    for entry in entries {
        if entry.number <= before {
            return Err(TableError::Order { number: entry.number });
        }
        before = entry.number;
        sum = sum
            .checked_add(entry.plain_len.0)
            .filter(|sum| *sum <= MAX_PLAIN_LEN)
            .ok_or(TableError::TooLong)?;
    }
    Ok(PlainLen(sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u32, plain_len: u64) -> Entry {
        Entry {
            binding: Binding::part("c", "n", "u", number),
            plain_len: PlainLen(plain_len),
            number,
        }
    }

    #[test]
    fn tables_round_trip_and_their_length_follows_from_the_count() {
        for count in [0, 1, 2, 1000] {
            let entries: Vec<_> = (1..=count).map(|number| entry(number, u64::from(number))).collect();
            let table = Table::new(Some("upload"), entries, Checksums::default()).unwrap();
            let bytes = table.to_bytes();
            assert_eq!(bytes.len(), 256 + 48 * count as usize);
            assert!(table.is_of_upload("upload") && !table.is_of_upload("another"));
            assert_eq!(Table::parse(count, &bytes), Ok(table));
            assert!(Table::parse(count + 1, &bytes).is_err());
            assert!(Table::parse(u32::MAX, &bytes).is_err());
        }
    }

    #[test]
    fn numbers_must_ascend_from_1_and_sums_stay_in_the_format() {
        let table = |entries: Vec<Entry>| Table::new(None, entries, Checksums::default()).err();
        assert_eq!(table(vec![entry(0, 1)]), Some(TableError::Order { number: 0 }));
        assert_eq!(
            table(vec![entry(2, 1), entry(2, 1)]),
            Some(TableError::Order { number: 2 })
        );
        assert_eq!(
            table(vec![entry(2, 1), entry(1, 1)]),
            Some(TableError::Order { number: 1 })
        );
        assert_eq!(table(vec![entry(1, 1), entry(3, 1), entry(7, 1)]), None);
        assert_eq!(table(vec![entry(1, u64::MAX), entry(2, 1)]), Some(TableError::TooLong));
    }

    #[test]
    fn reserved_bytes_of_entries_are_checked() {
        let bytes = Table::new(None, vec![entry(1, 1)], Checksums::default())
            .unwrap()
            .to_bytes();
        for at in 32 + 44..32 + 48 {
            let mut bytes = bytes.clone();
            bytes[at] = 1;
            assert_eq!(Table::parse(1, &bytes), Err(Malformed::Reserved));
        }
    }

    #[test]
    fn footers_of_two_parts_and_of_10_000_fit_the_law() {
        assert_eq!(footer_len(2).0, 704 + 256 + 96 + 16);
        assert_eq!(footer_len(10_000).0, 704 + 256 + 480_000 + 16 * 8);
        assert_eq!(footer_ask(None), 65_536);
        assert_eq!(footer_ask(PlainLen(50 << 20).sealed()), footer_len(11).0);
        assert_eq!(footer_ask(Some(SealedLen(720))), 720);
    }
}
