//! Start: finishes or undoes what a crash interrupted (see `disk`), then reads every record into the index.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dev::store::Error;
use crate::dev::store::disk::{Disk, at, from_json};
use crate::dev::store::index::{Bucket, Index};
use crate::dev::store::name::file_name;
use crate::dev::store::record::Record;
use crate::dev::store::uploads::{Part, Upload};

/// Repairs the directory and reads it.
pub fn load(disk: &Disk) -> Result<Index, Error> {
    let mut index = Index::default();
    for path in entries(&disk.meta())? {
        let name = name(&path);
        if disk.bucket_record(&name).exists() {
            finish_publishing(disk, &path)?;
            index.buckets.insert(name.clone(), bucket(disk, &name, &path)?);
        } else {
            // A bucket half made or half removed, so empty. If it is not, that is no crash's work, and nothing is wiped.
            fs::remove_dir(&path).map_err(at(&path))?;
        }
    }
    for path in entries(&disk.objects())? {
        if !index.buckets.contains_key(&name(&path)) {
            fs::remove_dir(&path).map_err(at(&path))?;
        }
    }
    for path in entries(&disk.uploads())? {
        match upload(&path)? {
            Some(upload) if index.buckets.contains_key(&upload.bucket) => {
                if let Some(bucket) = index.buckets.get_mut(&upload.bucket) {
                    bucket.uploads.insert((upload.key.clone(), upload.id.clone()), upload);
                }
            }
            _ => fs::remove_dir_all(&path).map_err(at(&path))?,
        }
    }
    for path in entries(&disk.tmp())? {
        fs::remove_file(&path).map_err(at(&path))?;
    }
    Ok(index)
}

/// Drops the records whose body had not moved yet, and makes up for the last rename of those whose body had.
fn finish_publishing(disk: &Disk, dir: &Path) -> Result<(), Error> {
    for next in entries(dir)?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "next"))
    {
        // Written straight in place, so a crash may have cut it short: before its body moved.
        let moved = match from_json::<Record>(&next) {
            Ok(record) => !disk.tmp().join(&record.staged).exists(),
            Err(Error::Damaged { .. }) => false,
            Err(error) => return Err(error),
        };
        if moved {
            fs::rename(&next, next.with_extension("")).map_err(at(&next))?;
        } else {
            fs::remove_file(&next).map_err(at(&next))?;
        }
    }
    Ok(())
}

/// Reads a bucket's records and removes the bodies that have none.
fn bucket(disk: &Disk, name: &str, dir: &Path) -> Result<Bucket, Error> {
    let marker = disk.bucket_record(name);
    let mut objects = BTreeMap::new();
    let mut bodies: HashSet<OsString> = HashSet::new();
    for path in entries(dir)?.into_iter().filter(|path| *path != marker) {
        let record: Record = from_json(&path)?;
        let body = disk.body(name, &record.key);
        // A body that is missing or of another length is a damaged directory, not a crash: say so rather than serve it.
        let size = fs::metadata(&body).map_err(at(&body))?.len();
        if size != record.size {
            let source = std::io::Error::other(format!("{size} bytes where the record says {}", record.size));
            return Err(Error::Io { path: body, source });
        }
        bodies.insert(file_name(&record.key).into());
        objects.insert(record.key.clone(), Arc::new(record));
    }
    let dir = disk.objects().join(name);
    fs::create_dir_all(&dir).map_err(at(&dir))?;
    for path in entries(&dir)? {
        if path.file_name().is_none_or(|file| !bodies.contains(file)) {
            fs::remove_file(&path).map_err(at(&path))?;
        }
    }
    Ok(Bucket {
        made: from_json(&marker)?,
        objects,
        uploads: BTreeMap::new(),
    })
}

/// Reads an upload and removes the files of parts that were replaced or never finished.
fn upload(dir: &Path) -> Result<Option<Upload>, Error> {
    let record = dir.join("upload.json");
    if !record.exists() {
        return Ok(None);
    }
    let mut upload: Upload = from_json(&record)?;
    let mut known = HashSet::from([record]);
    for path in entries(dir)?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
    {
        if known.insert(path.clone()) {
            let part: Part = from_json(&path)?;
            known.insert(dir.join(&part.file));
            upload.parts.insert(part.number, part);
        }
    }
    for path in entries(dir)? {
        if !known.contains(&path) {
            fs::remove_file(&path).map_err(at(&path))?;
        }
    }
    Ok(Some(upload))
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = fs::read_dir(dir).map_err(at(dir))?;
    read.map(|entry| entry.map(|entry| entry.path()).map_err(at(dir)))
        .collect()
}

fn name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
