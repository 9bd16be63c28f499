//! Buffers for a chunk, used again and again: a stream takes one where it would otherwise have the allocator map, clear and wipe
//! 64 KiB for each chunk. Plaintext is wiped from one before anybody else gets it, at the latest when its stream ends.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::seal::{HEADER_LEN, SEALED_CHUNK_LEN};

/// Room for the first chunk and the header before it.
const ROOM: usize = HEADER_LEN + SEALED_CHUNK_LEN;
/// Kept for reuse: 4 MiB of them. Streams need more only for moments, or while their clients stall.
const KEPT: usize = 64;

static POOL: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// Bytes being put together. Beyond what was written, the room may hold what was sealed before, or plaintext of the same stream's.
pub(super) struct Buffer {
    room: Box<[u8]>,
    len: usize,
    sealed: bool,
    /// Where it goes back to with plaintext in it.
    home: Option<Home>,
}

/// The buffers of one stream of plaintext. It writes over what it has sent with what comes next; all of it is wiped when the stream
/// and the last of its buffers are gone.
#[derive(Clone, Default)]
pub(super) struct Home(Arc<Rooms>);

#[derive(Default)]
struct Rooms(Mutex<Vec<Box<[u8]>>>);

impl Home {
    /// As [`Buffer::with_room`], of this stream's.
    pub(super) fn with_room(&self, len: usize) -> Buffer {
        let back = if is_chunk(len) { self.rooms().pop() } else { None };
        let mut buffer = match back {
            Some(room) => Buffer::of(room),
            None => Buffer::with_room(len),
        };
        buffer.home = Some(self.clone());
        buffer
    }

    fn rooms(&self) -> std::sync::MutexGuard<'_, Vec<Box<[u8]>>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Rooms {
    fn drop(&mut self) {
        for mut room in self.0.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            room.fill(0);
            keep(room);
        }
    }
}

impl Buffer {
    /// Room for `len` bytes. A small object's is no more than that, and is not kept.
    pub(super) fn with_room(len: usize) -> Self {
        let kept = if is_chunk(len) { pool().pop() } else { None };
        let make = || vec![0; if is_chunk(len) { ROOM } else { len }].into_boxed_slice();
        Self::of(kept.unwrap_or_else(make))
    }

    fn of(room: Box<[u8]>) -> Self {
        Self {
            room,
            len: 0,
            sealed: false,
            home: None,
        }
    }

    /// How many bytes were written.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Writes as many of `bytes` as there is room for.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let free = self.room.get_mut(self.len..).unwrap_or_default();
        let count = free.len().min(bytes.len());
        if let (Some(free), Some(bytes)) = (free.get_mut(..count), bytes.get(..count)) {
            free.copy_from_slice(bytes);
        }
        self.len += count;
    }

    /// `len` bytes more, to be written over.
    pub(super) fn grow(&mut self, len: usize) -> &mut [u8] {
        let start = self.len;
        self.len = self.room.len().min(start.saturating_add(len));
        self.room.get_mut(start..self.len).unwrap_or_default()
    }

    /// What was written from `start` on.
    pub(super) fn from(&mut self, start: usize) -> &mut [u8] {
        self.room.get_mut(start..self.len).unwrap_or_default()
    }

    /// The bytes, for whoever sends them; the room comes back when the last of them are dropped.
    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }

    /// As [`Buffer::freeze`], where all plaintext in it has been sealed: there is nothing to wipe.
    pub(super) fn freeze_sealed(mut self) -> Bytes {
        self.sealed = true;
        self.freeze()
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.room.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.room.len() != ROOM {
            return;
        }
        let mut room = std::mem::take(&mut self.room);
        match &self.home {
            Some(home) if !self.sealed => return home.rooms().push(room),
            _ if self.sealed => {}
            _ => room.get_mut(..self.len).unwrap_or_default().fill(0),
        }
        keep(room);
    }
}

/// Whether a buffer of so many bytes is a chunk's.
fn is_chunk(len: usize) -> bool {
    (ROOM / 4..=ROOM).contains(&len)
}

/// For whoever needs one next. Nothing is in it that was not sealed.
fn keep(room: Box<[u8]>) {
    let mut pool = pool();
    if pool.len() < KEPT {
        pool.push(room);
    }
}

fn pool() -> std::sync::MutexGuard<'static, Vec<Box<[u8]>>> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_in_a_buffer_is_gone_when_it_is_used_again() {
        let mut first = Buffer::with_room(ROOM);
        first.extend(&[0x5a; ROOM]);
        let sent = first.freeze();
        assert!(sent.iter().all(|byte| *byte == 0x5a) && sent.len() == ROOM);
        drop(sent);
        // Other tests use the pool too, so which buffer comes back is not known; none may hold this.
        let mut again = Buffer::with_room(ROOM);
        assert!(again.as_ref().is_empty());
        assert!(!again.grow(ROOM).starts_with(&[0x5a; 64]));
    }

    #[test]
    fn a_streams_buffers_are_its_own_until_it_ends() {
        let home = Home::default();
        let mut first = home.with_room(ROOM);
        first.extend(&[0x5a; ROOM]);
        let sent = first.freeze();
        drop(sent.slice(..10));
        assert!(home.rooms().is_empty(), "not sent yet");
        drop(sent);
        assert_eq!(home.rooms().len(), 1);
        let mut second = home.with_room(ROOM);
        second.extend(&[0x77; 100]);
        assert!(home.rooms().is_empty() && second.as_ref() == [0x77; 100]);
        // Small ones come from nowhere and go nowhere.
        drop(home.with_room(10));
        assert!(home.rooms().is_empty());
        drop(home);
        assert_eq!(second.as_ref(), [0x77; 100], "it may still be on its way");
    }

    #[test]
    fn nothing_is_written_past_the_room() {
        let mut buffer = Buffer::with_room(10);
        buffer.extend(&[1; 8]);
        buffer.extend(&[2; 8]);
        assert_eq!(buffer.grow(5).len(), 0);
        assert_eq!(buffer.as_ref(), [1, 1, 1, 1, 1, 1, 1, 1, 2, 2]);
        assert_eq!(buffer.from(8), [2, 2]);
        assert_eq!(buffer.freeze().len(), 10);
    }
}
