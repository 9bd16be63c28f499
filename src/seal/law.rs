//! The size law: how many bytes lie in the store for how many of plaintext, and back.
//!
//! ```text
//! S(P) = P + 16 c + 704 + (k > 0 ? 896 (k + 1) : 0)      c = max(1, ⌈P / 65536⌉), k = min(⌊P / 5 MiB⌋, 10000)
//! ```
//!
//! Every object of kind whole, and every multipart object on S3, has exactly this size, whatever its parts were: LIST
//! and HEAD know the plaintext's length from the stored one alone. S is strictly increasing, so the inverse is exact,
//! and a size that is no S(P) is no sealed object.

/// Bytes of plaintext in a chunk: every chunk of a segment but the last has exactly this many.
pub const CHUNK_LEN: usize = 65_536;
/// Bytes of an AES-256-GCM tag.
pub const TAG_LEN: usize = 16;
/// Bytes of a full chunk as stored.
pub const SEALED_CHUNK_LEN: usize = CHUNK_LEN + TAG_LEN;
/// Bytes of a segment's header: the core and the envelope.
pub const HEADER_LEN: usize = 704;
/// Bytes of the header that derive and commit the key, and also travel as object metadata.
pub const CORE_LEN: usize = 136;

/// The longest plaintext the format describes: 2⁴⁸ bytes (256 TiB), above every store's limit (an Azure block blob ends
/// near 190.7 TiB) and low enough that AES-GCM's bounds under one key hold and no sum of sizes overflows 64 bits.
pub const MAX_PLAIN_LEN: u64 = 1 << 48;

pub(super) const CHUNK: u64 = CHUNK_LEN as u64;
pub(super) const TAG: u64 = TAG_LEN as u64;
pub(super) const SEALED_CHUNK: u64 = CHUNK + TAG;
pub(super) const HEADER: u64 = HEADER_LEN as u64;

/// S3's least part but the last, and so the law's step: 5 MiB.
const PART_STEP: u64 = 5 << 20;
/// S3's greatest number of parts.
const PARTS: u64 = 10_000;
/// What the law keeps for each part: its header, its entry in the table, its odd tags, and room for the optional
/// fields.
const PART_ROOM: u64 = 896;
/// What each step of the law adds to the stored size.
const STEP: u64 = PART_STEP + PART_STEP / CHUNK * TAG + PART_ROOM;

/// The most plaintext of one Append Block: 4 MiB, which is what the service itself took until version 2022-11-02.
pub const MAX_APPEND_LEN: PlainLen = PlainLen(4 << 20);
/// What every block of an append blob costs beyond its plaintext, padded where it has fewer than 64 tags: a constant,
/// so that a blob's plaintext length follows from its stored length and its number of blocks, which one HEAD tells.
pub const APPEND_OVERHEAD: u64 = HEADER + 64 * TAG;
/// The most blocks of an append blob: the service's own bound
/// (<https://learn.microsoft.com/rest/api/storageservices/append-block>). A store that tells of more has made them up.
pub const MAX_APPEND_BLOCKS: u64 = 50_000;

/// A length of plaintext, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PlainLen(pub u64);

/// A length as stored, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SealedLen(pub u64);

/// The place of a chunk in its segment, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ChunkIndex(pub u64);

/// How many zero bytes follow the last chunk of a whole object, or stand before the footer of a multipart one. They are
/// not authenticated; a reader of a whole object checks that they are zeros, and that the length is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Padding(pub u64);

impl PlainLen {
    /// S(P), the exact stored size of an S3 object, or of a whole one on either cloud; `None` past [`MAX_PLAIN_LEN`].
    #[must_use]
    pub fn sealed(self) -> Option<SealedLen> {
        let k = (self.0 / PART_STEP).min(PARTS);
        self.segment()?.0.checked_add(room(k)?).map(SealedLen)
    }

    /// The stored size of one segment with this much content: header, chunks, and no padding; `None` past
    /// [`MAX_PLAIN_LEN`].
    #[must_use]
    pub fn segment(self) -> Option<SealedLen> {
        if self.0 > MAX_PLAIN_LEN {
            return None;
        }
        let tags = self.chunks().checked_mul(TAG)?;
        HEADER.checked_add(self.0)?.checked_add(tags).map(SealedLen)
    }

    /// The stored size of one Append Block; `None` past [`MAX_APPEND_LEN`].
    #[must_use]
    pub fn append(self) -> Option<SealedLen> {
        if self > MAX_APPEND_LEN {
            return None;
        }
        self.0.checked_add(APPEND_OVERHEAD).map(SealedLen)
    }

    /// The padding of an Append Block of this length; `None` past [`MAX_APPEND_LEN`].
    #[must_use]
    pub fn append_padding(self) -> Option<Padding> {
        self.append()?.0.checked_sub(self.segment()?.0).map(Padding)
    }

    /// The padding of a whole object of this length; `None` past [`MAX_PLAIN_LEN`].
    #[must_use]
    pub fn whole_padding(self) -> Option<Padding> {
        self.sealed()?.0.checked_sub(self.segment()?.0).map(Padding)
    }

    /// The number of chunks, at least 1: an empty segment has one empty chunk.
    #[must_use]
    pub fn chunks(self) -> u64 {
        self.0.div_ceil(CHUNK).max(1)
    }

    /// The index of the last chunk.
    #[must_use]
    pub fn last_chunk(self) -> ChunkIndex {
        ChunkIndex(self.chunks().saturating_sub(1))
    }

    /// The bytes of plaintext in one chunk; `None` past the last.
    #[must_use]
    pub fn chunk_len(self, index: ChunkIndex) -> Option<usize> {
        if index > self.last_chunk() {
            return None;
        }
        let before = index.0.checked_mul(CHUNK)?;
        usize::try_from(self.0.checked_sub(before)?.min(CHUNK)).ok()
    }
}

impl SealedLen {
    /// The P of which this is S(P); `None` where there is none, so that no sealed object has this size.
    #[must_use]
    pub fn plain(self) -> Option<PlainLen> {
        // Each step of the law adds STEP stored bytes, and what does not belong to a step is less than one: so it took as many
        // steps as fit, or one less. A listing asks this a thousand times.
        let most = (self.0 / STEP).min(PARTS);
        [most, most.saturating_sub(1)].into_iter().find_map(|k| {
            let plain = Self(self.0.checked_sub(room(k)?)?).segment_plain()?;
            (plain.sealed()? == self).then_some(plain)
        })
    }

    /// The plaintext of a part or block of this stored size, exactly; `None` where no segment has it.
    #[must_use]
    pub fn segment_plain(self) -> Option<PlainLen> {
        let chunks = self.0.checked_sub(HEADER)?;
        let tags = chunks.div_ceil(SEALED_CHUNK).checked_mul(TAG)?;
        let plain = PlainLen(chunks.checked_sub(tags)?);
        (plain.segment()? == self).then_some(plain)
    }

    /// The most plaintext of a part or block whose stored size is this or less; 0 where not even an empty one is so small.
    #[must_use]
    pub fn largest_segment(self) -> PlainLen {
        let (mut low, mut high) = (0, self.0.min(MAX_PLAIN_LEN));
        while low < high {
            let middle = u64::midpoint(low, high).saturating_add(1);
            match PlainLen(middle).segment() {
                Some(sealed) if sealed <= self => low = middle,
                _ => high = middle.saturating_sub(1),
            }
        }
        PlainLen(low)
    }

    /// The plaintext of an append blob of this stored size and this many blocks; `None` where no append blob has both.
    #[must_use]
    pub fn append_plain(self, blocks: u64) -> Option<PlainLen> {
        let plain = self.0.checked_sub(blocks.checked_mul(APPEND_OVERHEAD)?)?;
        let fits =
            blocks <= MAX_APPEND_BLOCKS && plain <= blocks.saturating_mul(MAX_APPEND_LEN.0) && plain <= MAX_PLAIN_LEN;
        fits.then_some(PlainLen(plain))
    }
}

/// What the law keeps for an object of k steps.
fn room(k: u64) -> Option<u64> {
    match k {
        0 => Some(0),
        k => PART_ROOM.checked_mul(k.checked_add(1)?),
    }
}

impl Padding {
    /// Whether `bytes` are this padding: its exact length, and zeros only.
    #[must_use]
    pub fn holds(self, bytes: &[u8]) -> bool {
        self.after(bytes) == Some(Self(0))
    }

    /// What of it is still to come after `bytes`; `None` where they are not all zeros, or too many. For a reader of a
    /// stream: padding may have 9 MB.
    #[must_use]
    pub fn after(self, bytes: &[u8]) -> Option<Self> {
        let rest = self.0.checked_sub(u64::try_from(bytes.len()).ok()?)?;
        bytes.iter().all(|byte| *byte == 0).then_some(Self(rest))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;
    /// Lengths on either side of every step of the law.
    pub(in crate::seal) const BOUNDARIES: [u64; 22] = [
        0,
        1,
        15,
        16,
        65_535,
        65_536,
        65_537,
        131_071,
        131_072,
        131_073,
        MIB,
        5 * MIB - 1,
        5 * MIB,
        5 * MIB + 1,
        10 * MIB - 1,
        10 * MIB,
        10 * MIB + 1,
        50_000 * MIB - 1,
        50_000 * MIB,
        50_005 * MIB,
        MAX_PLAIN_LEN - 1,
        MAX_PLAIN_LEN,
    ];

    #[test]
    fn sizes_are_as_written_down() {
        for (plain, sealed) in [
            (0, 720),
            (1, 721),
            (65_536, 66_256),
            (65_537, 66_273),
            (5 * MIB - 1, 5 * MIB - 1 + 80 * 16 + 704),
            (5 * MIB, 5 * MIB + 80 * 16 + 704 + 896 * 2),
            (10 * MIB, 10 * MIB + 160 * 16 + 704 + 896 * 3),
            (50_000 * MIB, 50_000 * MIB + 800_000 * 16 + 704 + 896 * 10_001),
            (50_005 * MIB, 50_005 * MIB + 800_080 * 16 + 704 + 896 * 10_001),
        ] {
            assert_eq!(PlainLen(plain).sealed(), Some(SealedLen(sealed)), "S({plain})");
        }
    }

    #[test]
    fn law_is_strictly_increasing_and_its_inverse_exact_at_every_boundary() {
        for plain in BOUNDARIES {
            let sealed = PlainLen(plain).sealed().unwrap();
            assert_eq!(sealed.plain(), Some(PlainLen(plain)));
            let next = PlainLen(plain + 1).sealed();
            assert!(next.is_none_or(|next| next > sealed), "S({plain}) < S({plain} + 1)");
        }
    }

    #[test]
    fn sizes_between_two_steps_are_no_sealed_objects() {
        for size in [0, 1, 704, 719, 66_257, 66_272, u64::MAX] {
            assert_eq!(SealedLen(size).plain(), None, "{size}");
        }
        let step = PlainLen(5 * MIB - 1).sealed().unwrap().0..PlainLen(5 * MIB).sealed().unwrap().0;
        assert!(step.skip(1).all(|size| SealedLen(size).plain().is_none()));
    }

    #[test]
    fn lengths_past_the_maximum_have_no_size() {
        assert_eq!(PlainLen(MAX_PLAIN_LEN + 1).sealed(), None);
        assert_eq!(PlainLen(u64::MAX).sealed(), None);
        let most = PlainLen(MAX_PLAIN_LEN).sealed().unwrap();
        assert_eq!(SealedLen(most.0 + 1).plain(), None);
    }

    #[test]
    fn padding_is_zeros_of_the_right_length() {
        assert_eq!(PlainLen(5 * MIB - 1).whole_padding(), Some(Padding(0)));
        assert_eq!(PlainLen(5 * MIB).whole_padding(), Some(Padding(1792)));
        assert!(Padding(3).holds(&[0, 0, 0]));
        assert!(!Padding(3).holds(&[0, 1, 0]));
        assert!(!Padding(3).holds(&[0, 0]));
        assert!(!Padding(3).holds(&[0; 4]));
        assert_eq!(Padding(3).after(&[0; 2]), Some(Padding(1)));
        assert_eq!(Padding(3).after(&[0, 1]), None);
    }

    #[test]
    fn a_segments_plaintext_follows_from_its_stored_size() {
        for plain in BOUNDARIES {
            assert_eq!(
                PlainLen(plain).segment().unwrap().segment_plain(),
                Some(PlainLen(plain))
            );
        }
        for size in [0, 703, 704, 719, 66_257, 66_272, u64::MAX] {
            assert_eq!(SealedLen(size).segment_plain(), None, "{size}");
        }
    }

    #[test]
    fn an_append_blobs_plaintext_follows_from_its_size_and_block_count() {
        let sizes = [0, 1, 65_536, 65_537, 4 * MIB];
        let stored: u64 = sizes.iter().map(|size| PlainLen(*size).append().unwrap().0).sum();
        assert_eq!(SealedLen(stored).append_plain(5), Some(PlainLen(sizes.iter().sum())));
        assert_eq!(PlainLen(4 * MIB).append_padding(), Some(Padding(0)));
        assert_eq!(PlainLen(0).append_padding(), Some(Padding(63 * 16)));
        assert_eq!(PlainLen(4 * MIB + 1).append(), None);
        assert_eq!(SealedLen(0).append_plain(0), Some(PlainLen(0)));
        assert_eq!(SealedLen(1727).append_plain(1), None);
        assert_eq!(SealedLen(1).append_plain(0), None);
        assert_eq!(SealedLen(4 * MIB + 1729).append_plain(1), None);
        let most = SealedLen(50_000 * 2000);
        assert_eq!(most.append_plain(50_000), Some(PlainLen(50_000 * (2000 - 1728))));
        assert_eq!(SealedLen(50_001 * 2000).append_plain(50_001), None);
    }

    proptest! {
        #[test]
        fn a_size_is_a_segments_or_refused(size in 0..200 * MIB) {
            if let Some(plain) = SealedLen(size).segment_plain() {
                prop_assert_eq!(plain.segment(), Some(SealedLen(size)));
            }
        }

        #[test]
        fn inverse_is_exact_everywhere(plain in 0..=MAX_PLAIN_LEN) {
            prop_assert_eq!(PlainLen(plain).sealed().unwrap().plain(), Some(PlainLen(plain)));
        }

        #[test]
        fn a_size_is_an_image_or_refused(size in 0..200 * MIB) {
            if let Some(plain) = SealedLen(size).plain() {
                prop_assert_eq!(plain.sealed(), Some(SealedLen(size)));
            }
        }

        #[test]
        fn longer_plaintext_is_longer_sealed(plain in 0..MAX_PLAIN_LEN, more in 1..100_000_u64) {
            let longer = PlainLen(plain + more).sealed();
            prop_assert!(longer.is_none_or(|longer| longer > PlainLen(plain).sealed().unwrap()));
        }
    }
}
