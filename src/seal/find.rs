//! Where in an append blob to begin to read a range. There is no table, so where a byte lies follows from the blocks before it;
//! but each block says which one it is: a header begins with the magic, and binds one index and one offset, and its place among
//! the stored bytes leaves one offset for each index. So: look where the block should be if all were alike, take the next header
//! there is, and look again between it and the end, or the start.
//!
//! Nothing met on the way is believed. It only says where to begin, and whoever begins there holds the block to the index and
//! offset that were found ([`AppendRead::begun`](crate::seal::AppendRead::begun)), under keys that a store does not have.

use bytes::{Buf, BytesMut};
use memchr::memmem;

use crate::seal::header::MAGIC;
use crate::seal::law::CHUNK;
use crate::seal::{APPEND_OVERHEAD, Binding, CORE_LEN, Core, HEADER_LEN, Kind, MAX_APPEND_LEN, PlainLen, StoredRange};

/// So many bytes of plaintext before the wanted one are read and passed over rather than looked for another time; or a usual
/// block's, if that is more.
const NEAR: u64 = 1 << 20;
/// How often it is looked for. What is found by then is where reading begins.
const LOOKS: u32 = 8;
/// How many hashes a search may cost in all. An honest store's headers are met at once, or within the number of blocks, which halves
/// with each look; one that sends nothing but headers would have each tried for every block there may be.
const HASHES: u32 = 200_000;
/// A look ends with the first header it meets, and this far behind its beginning there is one.
const LONGEST_LOOK: u64 = MAX_APPEND_LEN.0 + APPEND_OVERHEAD + HEADER_LEN as u64;

/// A place between two Append Blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// How many blocks lie before it.
    pub index: u64,
    /// How many bytes of plaintext are in them.
    pub offset: u64,
}

impl Mark {
    /// How many stored bytes lie before it.
    #[must_use]
    pub fn stored(self) -> u64 {
        self.index.saturating_mul(APPEND_OVERHEAD).saturating_add(self.offset)
    }

    /// Whether a block that begins with these bytes says that it is the one here. The container is the logical name.
    #[must_use]
    pub fn is_before(self, container: &str, name: &str, read: &[u8]) -> bool {
        let core = read.get(..CORE_LEN).and_then(|core| Core::parse(core).ok());
        let binding = Binding::append(container, name, self.index, self.offset);
        core.is_some_and(|core| core.kind() == Kind::Append && core.binding() == binding)
    }
}

/// Looks for the block that holds one byte of plaintext, or for one not long before it.
pub struct AppendSearch<'a> {
    container: &'a str,
    name: &'a str,
    target: u64,
    /// The last place known at or before the byte, and the first known behind it.
    low: Mark,
    high: Mark,
    /// The blob's own.
    end: Mark,
    /// Before which stored byte the wanted block begins.
    late: u64,
    looks: u32,
    /// How many hashes may still be spent.
    hashes: u32,
    /// Where the last look began.
    first: u64,
    /// What a look has read and not yet searched, and which stored byte it begins with.
    read: BytesMut,
    at: u64,
}

impl<'a> AppendSearch<'a> {
    /// For this byte of a blob of so many blocks and so much plaintext. The container is the logical name.
    #[must_use]
    pub fn new(container: &'a str, name: &'a str, blocks: u64, len: PlainLen, target: u64) -> Self {
        let end = Mark {
            index: blocks,
            offset: len.0,
        };
        Self {
            container,
            name,
            target,
            low: Mark { index: 0, offset: 0 },
            high: end,
            end,
            late: end.stored(),
            looks: LOOKS,
            hashes: HASHES,
            first: 0,
            read: BytesMut::new(),
            at: 0,
        }
    }

    /// Takes a place that was found before as the one to begin at, without a look, if the blob may have it; whether it does.
    pub fn known(&mut self, mark: Mark) -> bool {
        let may = mark.offset <= self.target
            && between(self.low, mark.stored(), self.end)
                .is_some_and(|(first, last)| (first..=last).contains(&mark.index));
        if may {
            (self.low, self.looks) = (mark, 0);
        }
        may
    }

    /// Where to begin to read, as far as is known.
    #[must_use]
    pub fn begin(&self) -> Mark {
        self.low
    }

    /// Behind which stored byte there is nothing of the chunks that hold the plaintext from there up to `last`.
    #[must_use]
    pub fn end(&self, last: u64) -> u64 {
        let (low, high) = (self.low, if self.high.offset > last { self.high } else { self.end });
        // Each of the blocks left adds as much, whatever is in it.
        let plain = last.saturating_add(CHUNK).saturating_sub(low.offset);
        let most = high.index.saturating_sub(low.index).saturating_mul(APPEND_OVERHEAD);
        high.stored()
            .min(low.stored().saturating_add(plain).saturating_add(most))
    }

    /// The stored bytes to look at next, from their start on and until a block is found; `None` once it is not worth a look, or was
    /// looked for long enough.
    pub fn look(&mut self) -> Option<StoredRange> {
        if self.hashes == 0 {
            return None;
        }
        let (low, high) = (self.low, self.high);
        let blocks = high.index.checked_sub(low.index).filter(|blocks| *blocks > 0)?;
        self.looks = self.looks.checked_sub(1)?;
        let stored = high.stored().checked_sub(low.stored())?;
        let plain = high.offset.checked_sub(low.offset).filter(|plain| *plain > 0)?;
        let usual = stored.checked_div(blocks)?;
        let room = self.late.checked_sub(low.stored())?;
        if self.target.saturating_sub(low.offset) <= usual.max(NEAR) || room <= LONGEST_LOOK {
            return None;
        }
        // One block before the likely place; every other time in the middle, so that no row of blocks keeps it away for long.
        let likely = share(self.target.saturating_sub(low.offset), stored, plain).saturating_sub(usual);
        let ahead = if self.looks.is_multiple_of(2) {
            room / 2
        } else {
            likely.min(room.saturating_sub(usual))
        };
        if ahead == 0 {
            return None;
        }
        let first = low.stored().checked_add(ahead)?;
        let last = first.saturating_add(LONGEST_LOOK).min(high.stored()).checked_sub(1)?;
        self.read.clear();
        (self.first, self.at) = (first, first);
        (first < last).then_some(StoredRange { first, last })
    }

    /// Takes what was read; whether that is enough, since a block was found, or the search is over.
    pub fn push(&mut self, read: &[u8]) -> bool {
        self.read.extend_from_slice(read);
        let Some(found) = self.find() else {
            return self.hashes == 0;
        };
        if found.offset <= self.target {
            self.low = found;
        } else {
            self.high = found;
            self.late = self.first;
        }
        true
    }

    /// There was no block in what was to be looked at: it was too late.
    pub fn missed(&mut self) {
        self.late = self.first;
    }

    fn find(&mut self) -> Option<Mark> {
        loop {
            let Some(found) = memmem::find(&self.read, &MAGIC) else {
                // The magic may have begun with the last of them.
                self.pass(self.read.len().saturating_sub(MAGIC.len().saturating_sub(1)));
                return None;
            };
            self.pass(found);
            let core = Core::parse(self.read.get(..CORE_LEN)?);
            if let Some(mark) = core.ok().and_then(|core| self.which(&core)) {
                return Some(mark);
            }
            self.pass(1);
        }
    }

    fn pass(&mut self, count: usize) {
        self.read.advance(count);
        self.at = self.at.saturating_add(count as u64);
    }

    /// Which block begins here with this core: likely ones first, since each costs a hash.
    fn which(&mut self, core: &Core) -> Option<Mark> {
        if core.kind() != Kind::Append {
            return None;
        }
        let (first, last) = between(self.low, self.at, self.high)?;
        let blocks = self.high.index.checked_sub(self.low.index)?;
        let stored = self.high.stored().checked_sub(self.low.stored())?;
        let likely = share(self.at.checked_sub(self.low.stored())?, blocks, stored).saturating_add(self.low.index);
        let likely = likely.clamp(first, last);
        let farthest = likely.saturating_sub(first).max(last.saturating_sub(likely));
        let indices = (0..=farthest).flat_map(|off| [likely.checked_add(off), likely.checked_sub(off.max(1))]);
        for index in indices.flatten().filter(|index| (first..=last).contains(index)) {
            self.hashes = self.hashes.checked_sub(1)?;
            let offset = self.at.checked_sub(index.checked_mul(APPEND_OVERHEAD)?)?;
            if core.binding() == Binding::append(self.container, self.name, index, offset) {
                return Some(Mark { index, offset });
            }
        }
        None
    }
}

/// Which indices a block may have that begins with this stored byte, the first and the last of them. Between two places a row of
/// blocks has room for so many and needs so many: none is empty, nor longer than may be.
fn between(low: Mark, at: u64, high: Mark) -> Option<(u64, u64)> {
    let blocks = |stored: u64| {
        let least = stored.div_ceil(MAX_APPEND_LEN.0 + APPEND_OVERHEAD).max(1);
        let most = stored / (1 + APPEND_OVERHEAD);
        (least, most)
    };
    let (before, behind) = (
        blocks(at.checked_sub(low.stored())?),
        blocks(high.stored().checked_sub(at)?),
    );
    let first = low
        .index
        .saturating_add(before.0)
        .max(high.index.saturating_sub(behind.1));
    let last = low
        .index
        .saturating_add(before.1)
        .min(high.index.checked_sub(behind.0)?);
    (first <= last).then_some((first, last))
}

/// `part` of `whole`, of `of`.
fn share(part: u64, of: u64, whole: u64) -> u64 {
    let product = u128::from(part).saturating_mul(u128::from(of));
    let share = product.checked_div(u128::from(whole)).unwrap_or_default();
    u64::try_from(share).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::envelope::tests::envelope;
    use crate::seal::{Dek, seal_append};

    const PLACE: (&str, &str) = ("account/files", "log");

    /// A blob of blocks of these lengths, their content zeros: a search looks at headers only.
    fn row(lens: &[u64]) -> (Vec<u8>, Vec<Mark>) {
        let dek = Dek::from_bytes(&[7; 32]).unwrap();
        let envelope = envelope(&dek, "acme");
        let (mut stored, mut marks, mut at) = (Vec::new(), Vec::new(), Mark { index: 0, offset: 0 });
        for len in lens {
            let binding = Binding::append(PLACE.0, PLACE.1, at.index, at.offset);
            let (header, _) = seal_append(&dek, "acme", binding, PlainLen(*len), &envelope).unwrap();
            assert_eq!(stored.len() as u64, at.stored());
            stored.extend_from_slice(&header.to_bytes());
            marks.push(at);
            at = Mark {
                index: at.index + 1,
                offset: at.offset + len,
            };
            stored.resize(usize::try_from(at.stored()).unwrap(), 0);
        }
        marks.push(at);
        (stored, marks)
    }

    /// Looks for a byte; where to begin, and how many bytes and looks that took.
    fn search(stored: &[u8], marks: &[Mark], target: u64) -> (Mark, usize, usize) {
        let end = marks.last().unwrap();
        let mut search = AppendSearch::new(PLACE.0, PLACE.1, end.index, PlainLen(end.offset), target);
        let (mut bytes, mut looks) = (0, 0);
        while let Some(range) = search.look() {
            looks += 1;
            let range = usize::try_from(range.first).unwrap()..usize::try_from(range.last).unwrap() + 1;
            let found = stored[range].chunks(10_000).any(|piece| {
                bytes += piece.len();
                search.push(piece)
            });
            if !found {
                search.missed();
            }
        }
        // Where the chunk with this byte ends.
        let last = target.min(end.offset - 1);
        let next = marks.iter().position(|mark| mark.offset > last).unwrap();
        let (block, next) = (marks[next - 1], marks[next]);
        let chunks = (last - block.offset) / CHUNK + 1;
        let needed = 704 + 16 * chunks + (chunks * CHUNK).min(next.offset - block.offset);
        let found = search.end(last);
        assert!(
            found >= block.stored() + needed && found <= end.stored(),
            "{target}: {found}"
        );
        (search.begin(), bytes, looks)
    }

    fn check(lens: &[u64], most: usize) {
        let (stored, marks) = row(lens);
        let end = marks.last().unwrap().offset;
        for target in (0..40).map(|part| part * (end - 1) / 39) {
            let (begin, bytes, looks) = search(&stored, &marks, target);
            assert!(marks.contains(&begin) && begin.offset <= target, "{target}: {begin:?}");
            let over = usize::try_from(target - begin.offset).unwrap();
            assert!(bytes + over <= most, "{target}: {bytes} in {looks} looks, then {over}");
        }
    }

    #[test]
    fn blocks_of_one_length_are_found_at_once() {
        check(&[4096; 4000], 1_200_000);
        check(&[1 << 20; 40], 3 << 20);
        check(&[4 << 20; 10], 9 << 20);
    }

    #[test]
    fn blocks_of_any_lengths_are_found() {
        let lens: Vec<u64> = (1..4000_u64).map(|n| n * n * 7919 % 20_011 + 1).collect();
        check(&lens, 5 << 20);
        // Small ones, then large ones; and the other way round.
        let mut lens = vec![10; 20_000];
        lens.extend([3 << 20; 12]);
        check(&lens, 16 << 20);
        lens.reverse();
        check(&lens, 16 << 20);
    }

    #[test]
    fn what_only_looks_like_a_header_is_passed_over() {
        let (mut stored, marks) = row(&[2 << 20; 8]);
        for mark in &marks[..8] {
            let at = usize::try_from(mark.stored()).unwrap();
            let header: Vec<u8> = stored[at..at + HEADER_LEN].to_vec();
            // The magic alone, and a whole header at a place that is not its own.
            stored[at + 1000..at + 1008].copy_from_slice(&MAGIC);
            stored[at + 5000..at + 5000 + HEADER_LEN].copy_from_slice(&header);
        }
        let (begin, _, _) = search(&stored, &marks, 15 << 20);
        assert!(marks.contains(&begin) && begin.index >= 6, "{begin:?}");
    }

    #[test]
    fn of_another_blob_nothing_is_found() {
        let (stored, marks) = row(&[2 << 20; 8]);
        let mut search = AppendSearch::new("account/files", "other", 8, PlainLen(16 << 20), 15 << 20);
        while let Some(range) = search.look() {
            let range = usize::try_from(range.first).unwrap()..usize::try_from(range.last).unwrap() + 1;
            assert!(!search.push(&stored[range]));
            search.missed();
        }
        assert_eq!((search.begin(), marks.len()), (Mark { index: 0, offset: 0 }, 9));
    }

    /// Whether there may be blocks between two places that hold what lies between them.
    fn fit(low: Mark, high: Mark) -> bool {
        let blocks = high.index.checked_sub(low.index).filter(|blocks| *blocks > 0);
        let plain = high.offset.checked_sub(low.offset);
        blocks
            .zip(plain)
            .is_some_and(|(blocks, plain)| plain >= blocks && plain <= blocks * MAX_APPEND_LEN.0)
    }

    #[test]
    fn only_indices_that_fit_are_tried_and_all_of_them() {
        let lows = [(0, 0), (3, 10_000), (7, 20 << 20)];
        let highs = [(8, 30 << 20), (40, 41_000), (900, 1 << 30), (60, 60)];
        for (low, high) in lows.iter().flat_map(|low| highs.iter().map(move |high| (*low, *high))) {
            let mark = |(index, offset): (u64, u64)| Mark { index, offset };
            let (low, high) = (mark(low), mark(high));
            let Some(stored) = high.stored().checked_sub(low.stored()) else {
                continue;
            };
            let ends = [0, 1, 1728, 1729, 1730, 3458, (4 << 20) + 1728, (4 << 20) + 1729];
            let ats = (0..200).map(|part| part * stored / 199).chain(ends);
            for at in ats.filter(|at| *at <= stored).map(|at| low.stored() + at) {
                let fits = |index: &u64| {
                    let offset = at.checked_sub(index * APPEND_OVERHEAD);
                    let at = offset.map(|offset| mark((*index, offset)));
                    at.is_some_and(|at| fit(low, at) && fit(at, high))
                };
                let scanned: Vec<u64> = (low.index..=high.index).filter(fits).collect();
                let ends = scanned.first().copied().zip(scanned.last().copied());
                assert_eq!(between(low, at, high), ends, "{low:?} {at} {high:?}");
                let count = ends.map_or(0, |(first, last)| last - first + 1);
                assert_eq!(scanned.len() as u64, count, "{low:?} {at} {high:?}");
            }
        }
    }

    #[test]
    fn a_store_that_sends_nothing_but_headers_is_given_up() {
        let (stored, marks) = row(&[1]);
        assert_eq!(marks.len(), 2);
        let headers = stored[..CORE_LEN].repeat(1000);
        // Room for anything between 1,000 blocks and all of them, wherever one begins.
        let mut search = AppendSearch::new("account/files", "other", 50_000, PlainLen(4 << 30), 3 << 30);
        let looks = std::iter::from_fn(|| {
            search.look()?;
            let pushed = (0..30).any(|_| search.push(&headers));
            assert!(pushed, "it went on");
            Some(())
        });
        assert_eq!(looks.count(), 1);
        assert_eq!(search.begin(), Mark { index: 0, offset: 0 });
    }

    #[test]
    fn what_was_found_before_needs_no_look() {
        let (stored, marks) = row(&[2 << 20; 8]);
        let search = |mark: Mark| {
            let mut search = AppendSearch::new(PLACE.0, PLACE.1, 8, PlainLen(16 << 20), 15 << 20);
            let known = search.known(mark);
            (known, search.begin(), search.look().is_some())
        };
        assert_eq!(search(marks[6]), (true, marks[6], false));
        let at = usize::try_from(marks[6].stored()).unwrap();
        assert!(marks[6].is_before(PLACE.0, PLACE.1, &stored[at..]));
        assert!(!marks[6].is_before(PLACE.0, "other", &stored[at..]));
        assert!(!marks[5].is_before(PLACE.0, PLACE.1, &stored[at..]));
        // Behind the byte; behind the end; with more in it than there may be.
        let longer = Mark { index: 1, ..marks[6] };
        for mark in [marks[8], Mark { index: 9, offset: 9 }, longer] {
            assert_eq!(search(mark), (false, marks[0], true), "{mark:?}");
        }
    }
}
