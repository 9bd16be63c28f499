//! The footers of multipart objects that were read of late, so that a range of one is read without asking for its footer again.
//! They hold no key and prove nothing by themselves: whatever is read by one is asked of the store under the ETag it belongs to,
//! and opened under live leases, the footer's own among them.

use std::collections::{BTreeMap, HashMap};
use std::mem::size_of;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderValue;

use crate::s3::object::Object;
use crate::seal::{Entry, Footer, Segment};
use crate::upstream::apart;

/// Some 250,000 parts.
const MOST_BYTES: usize = 32 << 20;

/// Footers, each of the newest version of its object that was seen, or of the version that it was asked for as. Those used
/// longest ago go first when they get too many.
pub struct Layouts {
    kept: Mutex<Kept>,
    most: usize,
}

#[derive(Default)]
struct Kept {
    footers: HashMap<Arc<Key>, Known>,
    by_use: BTreeMap<u64, Arc<Key>>,
    uses: u64,
    bytes: usize,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    store: String,
    container: String,
    name: String,
    version: Option<String>,
}

struct Known {
    etag: HeaderValue,
    footer: Arc<Footer>,
    used: u64,
    bytes: usize,
}

impl Default for Layouts {
    fn default() -> Self {
        Self::of_bytes(MOST_BYTES)
    }
}

impl Layouts {
    /// Keeps no more than about this many bytes.
    pub fn of_bytes(most: usize) -> Self {
        Self {
            kept: Mutex::default(),
            most,
        }
    }

    /// The footer that this object had when it was last read, and the store's ETag of it then.
    pub fn last(&self, object: &Object<'_>) -> Option<(HeaderValue, Arc<Footer>)> {
        let mut kept = self.kept();
        // Most buckets have none: their readers pay for no name.
        if kept.footers.is_empty() {
            return None;
        }
        kept.uses += 1;
        let now = kept.uses;
        let Kept { footers, by_use, .. } = &mut *kept;
        let known = footers.get_mut(&Key::of(object))?;
        if let Some(key) = by_use.remove(&known.used) {
            by_use.insert(now, key);
        }
        known.used = now;
        Some((known.etag.clone(), Arc::clone(&known.footer)))
    }

    /// Remembers a footer, in the place of an older one.
    pub fn keep(&self, object: &Object<'_>, etag: &HeaderValue, footer: &Arc<Footer>) {
        let etag = apart(etag);
        let key = Arc::new(Key::of(object));
        let segments = footer.layout().segments().len() * (size_of::<Segment>() + size_of::<Entry>());
        let names = key.store.len() + key.container.len() + key.name.len() + etag.len();
        let bytes = size_of::<Key>() + size_of::<Known>() + size_of::<Footer>() + segments + names;
        let mut kept = self.kept();
        kept.forget(&key);
        kept.uses += 1;
        let used = kept.uses;
        kept.bytes += bytes;
        kept.by_use.insert(used, Arc::clone(&key));
        let footer = Arc::clone(footer);
        kept.footers.insert(
            key,
            Known {
                etag,
                footer,
                used,
                bytes,
            },
        );
        while kept.bytes > self.most {
            let Some(oldest) = kept.by_use.first_key_value().map(|(_, key)| Arc::clone(key)) else {
                return;
            };
            kept.forget(&oldest);
        }
    }

    /// Forgets what turned out to be gone.
    pub fn forget(&self, object: &Object<'_>) {
        self.kept().forget(&Key::of(object));
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn forget(&mut self, key: &Key) {
        if let Some(known) = self.footers.remove(key) {
            self.by_use.remove(&known.used);
            self.bytes -= known.bytes;
        }
    }
}

impl Key {
    fn of(object: &Object<'_>) -> Self {
        Self {
            store: object.container.store.name().to_owned(),
            container: object.container.name.clone(),
            name: object.name.clone(),
            version: object.version.as_deref().map(str::to_owned),
        }
    }
}
