//! The embedded directory store: a small S3 store on the `s3s` crate, behind `portcullis dev` and most tests.
//!
//! It stands for the real store, so it keeps to what S3 does, status for status, and shares no code with the gate:
//! `s3s` checks the gate's SigV4 signatures with an implementation of its own. It is a store for development: it survives
//! a crash of its process at any moment, but never calls fsync, and it serves plain http, so bind it to loopback.
//!
//! Under the directory it is given:
//!
//! | path | holds |
//! |---|---|
//! | `objects/<bucket>/<file>` | the bytes of one object, and nothing else lives below `objects/` |
//! | `meta/<bucket>/<file>.json` | everything else about it (`record::Record`) |
//! | `uploads/<upload id>/` | an upload in progress: `upload.json`, and a body and a JSON file for each part |
//! | `tmp/` | bodies being received, swept at start |
//!
//! [`file_name`] turns a key into `<file>`. Read next: `service` (one line an operation), then `objects` for writes and
//! `read` for reads; `disk` says why no crash leaves half an object behind.

mod attributes;
mod bucket;
mod checksum;
mod claims;
mod complete;
mod condition;
mod copy;
mod delete;
mod disk;
mod index;
mod list;
mod load;
mod multipart;
mod name;
mod objects;
mod page;
mod parts;
mod read;
mod receive;
mod record;
mod request;
mod serve;
mod service;
mod stream;
mod tags;
mod uploads;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use crate::dev::store::name::file_name;
pub use crate::dev::store::serve::{Server, serve};

/// Why a directory could not be opened as a store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process holds the directory.
    #[error("{} is in use by another store", path.display())]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// A file of the store's own could not be read as what it should be.
    #[error("{} is damaged: {source}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What its JSON lacks.
        source: serde_json::Error,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path it refused.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
}

/// A directory opened as a store. Clones share it; the directory is free again when the last one is gone.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    disk: disk::Disk,
    /// What the disk holds. The lock also orders the disk: whoever changes published files holds it for writing, whoever
    /// opens one holds it for reading, so that a record and the bytes it describes always belong together.
    index: RwLock<index::Index>,
}

impl Store {
    /// Opens `dir` (made if it is missing) and finishes or undoes whatever a crash interrupted there.
    ///
    /// # Errors
    /// [`Error`], which names the path. Nothing is deleted when a record can't be read.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, Error> {
        let disk = disk::Disk::open(dir.as_ref())?;
        let index = load::load(&disk)?;
        Ok(Self(Arc::new(Shared {
            disk,
            index: RwLock::new(index),
        })))
    }

    fn disk(&self) -> &disk::Disk {
        &self.0.disk
    }

    /// A panic elsewhere can't leave the index half changed (each change is one insert or remove), so poison is ignored.
    fn index(&self) -> RwLockReadGuard<'_, index::Index> {
        self.0.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, index::Index> {
        self.0.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}
