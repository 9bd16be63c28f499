//! What was learnt of late about things in a store, as much of it as is wanted: what was used longest ago goes first.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderValue;

/// A header's value in memory of its own. One that came in an answer is a slice of what was read from the connection, and would keep
/// all of that for as long as it is kept itself.
#[must_use]
pub fn apart(value: &HeaderValue) -> HeaderValue {
    // What is in one may be in another.
    HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone())
}

/// Values by key, of no more than so many bytes in all.
pub struct Recent<K, V> {
    kept: Mutex<Kept<K, V>>,
    most: usize,
}

struct Kept<K, V> {
    entries: HashMap<Arc<K>, Entry<V>>,
    by_use: BTreeMap<u64, Arc<K>>,
    uses: u64,
    bytes: usize,
}

struct Entry<V> {
    value: V,
    used: u64,
    bytes: usize,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    /// Keeps no more than about this many bytes.
    pub fn of_bytes(most: usize) -> Self {
        let kept = Kept {
            entries: HashMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            bytes: 0,
        };
        Self {
            kept: Mutex::new(kept),
            most,
        }
    }

    /// What is known under a key, which is only made where anything is known at all.
    pub fn last(&self, key: impl FnOnce() -> K) -> Option<V> {
        let mut kept = self.kept();
        if kept.entries.is_empty() {
            return None;
        }
        kept.uses += 1;
        let now = kept.uses;
        let Kept { entries, by_use, .. } = &mut *kept;
        let known = entries.get_mut(&key())?;
        if let Some(key) = by_use.remove(&known.used) {
            by_use.insert(now, key);
        }
        known.used = now;
        Some(known.value.clone())
    }

    /// Remembers a value of so many bytes, its key's among them, in the place of an older one.
    pub fn keep(&self, key: K, value: V, bytes: usize) {
        let key = Arc::new(key);
        let mut kept = self.kept();
        kept.forget(&key);
        kept.uses += 1;
        let used = kept.uses;
        kept.bytes += bytes;
        kept.by_use.insert(used, Arc::clone(&key));
        kept.entries.insert(key, Entry { value, used, bytes });
        while kept.bytes > self.most {
            let Some(oldest) = kept.by_use.first_key_value().map(|(_, key)| Arc::clone(key)) else {
                return;
            };
            kept.forget(&oldest);
        }
    }

    /// Forgets what turned out to be gone.
    pub fn forget(&self, key: &K) {
        self.kept().forget(key);
    }

    fn kept(&self) -> MutexGuard<'_, Kept<K, V>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, V> Kept<K, V> {
    fn forget(&mut self, key: &K) {
        if let Some(known) = self.entries.remove(key) {
            self.by_use.remove(&known.used);
            self.bytes -= known.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn what_is_kept_of_an_answer_keeps_no_more_of_it() {
        let read = Bytes::from(vec![b'e'; 100_000]);
        let etag = HeaderValue::from_maybe_shared(read.slice(1000..1034)).unwrap();
        assert!(!read.is_unique());
        let own = apart(&etag);
        assert_eq!(own, etag);
        drop(etag);
        assert!(read.is_unique());
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let recent = Recent::of_bytes(10);
        recent.keep("a", 1, 4);
        recent.keep("b", 2, 4);
        assert_eq!(recent.last(|| "a"), Some(1));
        recent.keep("c", 3, 4);
        assert_eq!(
            (recent.last(|| "a"), recent.last(|| "b"), recent.last(|| "c")),
            (Some(1), None, Some(3))
        );
        recent.keep("a", 4, 6);
        assert_eq!(
            (recent.last(|| "a"), recent.last(|| "c")),
            (Some(4), Some(3)),
            "one of them counts once"
        );
        recent.forget(&"a");
        assert_eq!(recent.last(|| "a"), None);
        recent.keep("d", 5, 11);
        assert_eq!(
            (recent.last(|| "c"), recent.last(|| "d")),
            (None, None),
            "larger than all"
        );
    }
}
