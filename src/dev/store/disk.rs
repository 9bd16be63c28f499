//! The directory: where each thing lies, and the order of renames that makes a crash harmless.
//!
//! An object is published in three steps: its record is written as `<file>.json.next`, its body is renamed into place,
//! and the record is renamed over the old one. A restart that finds a `.next` knows what to do: the record names the
//! temporary file the body came from. While that file is still there, nothing happened and the record is dropped; once
//! it has gone, the body is the new one and the last rename is made up for. Deleting takes the record first, so a body
//! without a record is one whose deletion was interrupted.
//!
//! All of it is synchronous and short; bodies are received and copied elsewhere, into `tmp/`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::dev::store::Error;
use crate::dev::store::name::{file_name, random};
use crate::dev::store::record::Record;
use crate::dev::store::uploads::{Part, Upload};

/// An open store directory, locked against other processes.
pub struct Disk {
    root: PathBuf,
    _lock: File,
}

/// A file under `tmp/`, removed when dropped unless it was published.
#[derive(Debug)]
pub struct Staged {
    path: PathBuf,
}

impl Disk {
    /// Makes the layout below `root` and takes the lock.
    pub fn open(root: &Path) -> Result<Self, Error> {
        for dir in ["objects", "meta", "uploads", "tmp"] {
            let path = root.join(dir);
            fs::create_dir_all(&path).map_err(at(&path))?;
        }
        let path = root.join("lock");
        let lock = File::create(&path).map_err(at(&path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                root: root.to_owned(),
                _lock: lock,
            }),
            Err(fs::TryLockError::WouldBlock) => Err(Error::InUse { path }),
            Err(fs::TryLockError::Error(source)) => Err(Error::Io { path, source }),
        }
    }

    pub fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    pub fn meta(&self) -> PathBuf {
        self.root.join("meta")
    }

    pub fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Where the body of an object lies.
    pub fn body(&self, bucket: &str, key: &str) -> PathBuf {
        self.objects().join(bucket).join(file_name(key))
    }

    fn record(&self, bucket: &str, key: &str) -> PathBuf {
        self.meta().join(bucket).join(format!("{}.json", file_name(key)))
    }

    /// Marks a bucket as made; no key's file starts with a dot.
    pub fn bucket_record(&self, bucket: &str) -> PathBuf {
        self.meta().join(bucket).join(".bucket.json")
    }

    /// A new name under `tmp/`; the caller makes the file.
    pub fn stage(&self) -> Staged {
        Staged {
            path: self.tmp().join(random()),
        }
    }

    /// Makes `staged` the body of the object that `record` describes, replacing one that may be there.
    pub fn publish(&self, bucket: &str, record: &Record, staged: Staged) -> io::Result<()> {
        let path = self.record(bucket, &record.key);
        let next = path.with_added_extension("next");
        fs::write(&next, to_json(record)?)?;
        let moved = staged.publish(&self.body(bucket, &record.key));
        if moved.is_err() {
            // The old object, if any, stays as it was.
            let _ = fs::remove_file(&next);
            return moved;
        }
        fs::rename(next, path)
    }

    /// Replaces the record of an object whose body stays.
    pub fn rewrite(&self, bucket: &str, record: &Record) -> io::Result<()> {
        self.write_json(&self.record(bucket, &record.key), record)
    }

    /// Removes an object; again, if the last attempt failed half-way.
    pub fn remove(&self, bucket: &str, key: &str) -> io::Result<()> {
        remove_if_there(&self.record(bucket, key))?;
        remove_if_there(&self.body(bucket, key))
    }

    pub fn create_bucket(&self, bucket: &str, made: &impl Serialize) -> io::Result<()> {
        fs::create_dir_all(self.objects().join(bucket))?;
        fs::create_dir_all(self.meta().join(bucket))?;
        self.write_json(&self.bucket_record(bucket), made)
    }

    /// Removes an empty bucket.
    pub fn remove_bucket(&self, bucket: &str) -> io::Result<()> {
        fs::remove_file(self.bucket_record(bucket))?;
        fs::remove_dir(self.meta().join(bucket))?;
        fs::remove_dir(self.objects().join(bucket))
    }

    pub fn create_upload(&self, upload: &Upload) -> io::Result<()> {
        let dir = self.uploads().join(&upload.id);
        fs::create_dir(&dir)?;
        self.write_json(&dir.join("upload.json"), upload)
    }

    /// Where the body of a part lies. Each attempt has its own file, so that a part can be replaced while it is read.
    pub fn part(&self, upload: &str, part: &Part) -> PathBuf {
        self.uploads().join(upload).join(&part.file)
    }

    /// Makes `staged` the body of `part`. The one it replaces is left to the caller to remove.
    pub fn publish_part(&self, upload: &str, part: &Part, staged: Staged) -> io::Result<()> {
        staged.publish(&self.part(upload, part))?;
        self.write_json(&self.uploads().join(upload).join(format!("{}.json", part.number)), part)
    }

    /// Removes an upload and its parts; the record goes first, without which a restart sweeps the rest.
    pub fn remove_upload(&self, upload: &str) -> io::Result<()> {
        let dir = self.uploads().join(upload);
        fs::remove_file(dir.join("upload.json"))?;
        fs::remove_dir_all(dir)
    }

    /// Writes through `tmp/`, so that a reader sees the old text or the new.
    fn write_json(&self, path: &Path, value: &impl Serialize) -> io::Result<()> {
        let staged = self.stage();
        fs::write(staged.path(), to_json(value)?)?;
        staged.publish(path)
    }
}

impl Staged {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name under `tmp/`.
    pub fn name(&self) -> String {
        self.path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    fn publish(self, to: &Path) -> io::Result<()> {
        // What `drop` then tries to remove has gone.
        fs::rename(&self.path, to)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Reads a file of the store's own.
pub fn from_json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = fs::read(path).map_err(at(path))?;
    serde_json::from_slice(&text).map_err(|source| Error::Damaged {
        path: path.to_owned(),
        source,
    })
}

/// Puts the path to an [`io::Error`].
pub fn at(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
    |source| Error::Io {
        path: path.to_owned(),
        source,
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn to_json(value: &impl Serialize) -> io::Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(io::Error::other)
}
