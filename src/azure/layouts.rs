//! The footers of blobs of blocks that were read of late, so that a range of one is read without asking for its footer again.
//! They hold no key and prove nothing by themselves: whatever is read by one is asked of the store under the ETag it belongs to,
//! and opened under live leases, the footer's own among them.

use std::mem::size_of;
use std::sync::Arc;

use http::HeaderValue;

use crate::azure::exchange::Exchange;
use crate::seal::{Entry, Footer, SealedLen, Segment};
use crate::upstream::{Recent, apart};

/// Some 250,000 blocks.
const MOST_BYTES: usize = 32 << 20;

/// Footers, each of the newest state of its blob that was seen, or of the snapshot or version that it was asked for as.
pub struct Layouts(Recent<Key, Known>);

#[derive(PartialEq, Eq, Hash)]
struct Key {
    account: String,
    container: String,
    name: String,
    version: Vec<(String, String)>,
}

/// A footer that was opened.
#[derive(Clone)]
pub struct Known {
    /// The store's ETag of the blob that it ends.
    pub etag: HeaderValue,
    /// How many bytes are stored of that.
    pub stored: SealedLen,
    /// It.
    pub footer: Arc<Footer>,
}

impl Default for Layouts {
    fn default() -> Self {
        Self(Recent::of_bytes(MOST_BYTES))
    }
}

impl Layouts {
    /// The footer that this blob had when it was last read.
    pub fn last(&self, exchange: &Exchange<'_>) -> Option<Known> {
        self.0.last(|| Key::of(exchange))
    }

    /// Remembers a footer, in the place of an older one.
    pub fn keep(&self, exchange: &Exchange<'_>, known: Known) {
        let etag = apart(&known.etag);
        let known = Known { etag, ..known };
        let key = Key::of(exchange);
        let segments = known.footer.layout().segments().len() * (size_of::<Segment>() + size_of::<Entry>());
        let names = key.account.len() + key.container.len() + key.name.len() + known.etag.len();
        let bytes = size_of::<Key>() + size_of::<Known>() + size_of::<Footer>() + segments + names;
        self.0.keep(key, known, bytes);
    }

    /// Forgets what turned out to be gone.
    pub fn forget(&self, exchange: &Exchange<'_>) {
        self.0.forget(&Key::of(exchange));
    }
}

impl Key {
    fn of(exchange: &Exchange<'_>) -> Self {
        Self {
            account: exchange.address.account.name.clone(),
            container: exchange.container.name.clone(),
            name: exchange.address.blob.clone(),
            version: exchange.version_query(),
        }
    }
}
