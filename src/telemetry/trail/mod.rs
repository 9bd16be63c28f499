//! The audit trail: the audit's events once more, in files of their own, hash-chained (see [`chain`]). One file a chain and day, a
//! chain a tenant: `acme.2026-11-23.jsonl`. `portcullis audit` verifies and exports them. A rewrap beside the gate has chains of its
//! own: `acme.rewrap.2026-11-23.jsonl` ([`Writer`]).
//!
//! A request never waits for the disk: lines are handed to one thread. What can't be written is kept and tried again; if the
//! backlog is full, the request that made the event waits, rather than that an event is lost.

pub mod chain;
mod layer;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub use layer::TrailLayer;

use crate::telemetry::trail::chain::{End, Link, REWRAP};

/// So many events may wait for the disk.
const BACKLOG: usize = 16 * 1024;
/// After a failure the disk is tried again so often.
const AGAIN: Duration = Duration::from_secs(1);
/// The chain of events that are about no tenant.
const NO_TENANT: &str = "gate";

/// Who writes. Each has a lock and chains of its own: a rewrap writes beside the gate whose directory it is, and neither waits for the
/// other nor touches the other's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The running gate.
    Gate,
    /// `portcullis rewrap`, one run after the other.
    Rewrap,
}

impl Writer {
    /// The chain on which this writer puts what is about a tenant.
    pub fn chain(self, tenant: &str) -> String {
        match self {
            Self::Gate => tenant.to_owned(),
            Self::Rewrap => format!("{tenant}{REWRAP}"),
        }
    }

    /// Whose chain this is.
    fn of(chain: &str) -> Self {
        match chain.ends_with(REWRAP) {
            true => Self::Rewrap,
            false => Self::Gate,
        }
    }

    fn lock(self, directory: &Path) -> io::Result<File> {
        let (name, other) = match self {
            Self::Gate => (".lock", "another gate writes here"),
            Self::Rewrap => (
                ".rewrap.lock",
                "another rewrap writes here; run this again when it has ended",
            ),
        };
        let lock = File::create(directory.join(name))?;
        lock.try_lock()
            .map_err(|_| io::Error::new(io::ErrorKind::ResourceBusy, other))?;
        Ok(lock)
    }
}

/// Whether a file of this name may hold lines of that chain: its own, or, of what was exported of a tenant, its rewraps' too.
pub fn belongs(chain: &str, file: &str) -> bool {
    chain == file || chain.strip_suffix(REWRAP) == Some(file)
}

/// Where a trail is kept.
pub struct TrailOptions {
    /// The directory; one gate's alone, and that of the rewraps that run with its configuration.
    pub directory: PathBuf,
    /// What the digests are keyed with.
    pub key: Option<Vec<u8>>,
}

/// On its way to the disk.
enum Entry {
    Event {
        at: OffsetDateTime,
        fields: Map<String, Value>,
    },
    /// All before it is to be on the disk; whoever waits for that is told.
    Flush(SyncSender<()>),
}

/// Takes events; cheap to clone.
#[derive(Clone)]
pub struct Trail {
    entries: SyncSender<Entry>,
}

/// Opens the trail and takes up its chains where they ended.
///
/// # Errors
/// The directory can't be made or read, another of the kind writes there, or a chain's last line is none: somebody should look at it before more is written.
pub fn open(options: &TrailOptions, writer: Writer) -> io::Result<Trail> {
    fs::create_dir_all(&options.directory)?;
    let lock = writer.lock(&options.directory)?;
    let link = Link::new(options.key.as_deref());
    let ends = ends(&options.directory, &link, writer)?;
    let (entries, received) = sync_channel(BACKLOG);
    let files = Files {
        writer,
        directory: options.directory.clone(),
        link,
        ends,
        _lock: lock,
        open: HashMap::new(),
        waiting: String::new(),
    };
    std::thread::Builder::new()
        .name("audit".to_owned())
        .spawn(move || files.run(&received))?;
    Ok(Trail { entries })
}

impl Trail {
    fn take(&self, fields: Map<String, Value>) {
        let at = OffsetDateTime::now_utc();
        // The thread ends after the last sender only.
        let _ = self.entries.send(Entry::Event { at, fields });
    }

    /// Returns once all that was taken before is on the disk.
    pub fn flush(&self) {
        let (done, told) = sync_channel(1);
        if self.entries.send(Entry::Flush(done)).is_ok() {
            let _ = told.recv();
        }
    }
}

struct Files {
    writer: Writer,
    directory: PathBuf,
    link: Link,
    ends: HashMap<String, End>,
    /// Two writers would make two chains of one.
    _lock: File,
    open: HashMap<String, (String, File)>,
    /// Text that a full disk left unwritten of a file's last line.
    waiting: String,
}

impl Files {
    fn run(mut self, received: &Receiver<Entry>) {
        let mut unsynced = false;
        loop {
            match received.recv_timeout(AGAIN) {
                Ok(Entry::Event { at, fields }) => {
                    self.append(at, fields);
                    unsynced = true;
                }
                Ok(Entry::Flush(done)) => {
                    self.sync();
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) if unsynced => {
                    self.sync();
                    unsynced = false;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.sync();
                    return;
                }
            }
        }
    }

    fn append(&mut self, at: OffsetDateTime, fields: Map<String, Value>) {
        let tenant = fields.get("tenant").and_then(Value::as_str);
        let chain = self
            .writer
            .chain(tenant.filter(|name| !name.is_empty()).unwrap_or(NO_TENANT));
        let day = format!("{}-{:02}-{:02}", at.year(), u8::from(at.month()), at.day());
        let time = at.format(&Rfc3339).unwrap_or_default();
        let end = self.ends.entry(chain.clone()).or_default();
        let mut line = end.append(&self.link, &chain, &time, fields);
        line.push('\n');
        self.waiting = line;
        while !self.waiting.is_empty() {
            if let Err(error) = self.write(&chain, &day) {
                // Not on the audit's own target: it would come back here.
                tracing::error!(target: "portcullis::trail", %error, "the audit trail can't be written; trying again");
                self.open.remove(&chain);
                std::thread::sleep(AGAIN);
            }
        }
    }

    fn write(&mut self, chain: &str, day: &str) -> io::Result<()> {
        if self.open.get(chain).is_none_or(|(of, _)| of != day) {
            let path = self.directory.join(format!("{chain}.{day}.jsonl"));
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            self.open.insert(chain.to_owned(), (day.to_owned(), file));
        }
        let Some((_, file)) = self.open.get_mut(chain) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        while !self.waiting.is_empty() {
            let written = file.write(self.waiting.as_bytes())?;
            self.waiting.drain(..written);
        }
        Ok(())
    }

    fn sync(&self) {
        for (_, file) in self.open.values() {
            if let Err(error) = file.sync_data() {
                tracing::error!(target: "portcullis::trail", %error, "the audit trail can't be synced");
            }
        }
    }
}

/// Every chain's files in a directory, the oldest first.
///
/// # Errors
/// It can't be read.
pub fn files(directory: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some((chain, _day)) = name.strip_suffix(".jsonl").and_then(|name| name.rsplit_once('.')) {
            found.push((chain.to_owned(), path));
        }
    }
    found.sort();
    Ok(found)
}

/// The end of each of this writer's chains: of its newest file's last line. Somebody may be writing the others'.
fn ends(directory: &Path, link: &Link, writer: Writer) -> io::Result<HashMap<String, End>> {
    let mut ends = HashMap::new();
    for (chain, path) in files(directory)? {
        if Writer::of(&chain) != writer {
            continue;
        }
        cut_torn(&path)?;
        let mut last = None;
        for line in BufReader::new(File::open(&path)?).lines() {
            last = Some(line?);
        }
        let Some(last) = last else { continue };
        let mut end = None;
        chain::check(link, &mut end, &last)
            .map_err(|broken| io::Error::other(format!("{}: its last line: {broken}", path.display())))?;
        ends.extend(end.map(|end| (chain, end)));
    }
    Ok(ends)
}

/// A gate that was killed over a line left part of it: that part goes to a file of its own, and the chain goes on from the line
/// before.
fn cut_torn(path: &Path) -> io::Result<()> {
    let text = fs::read(path)?;
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let Some(torn) = text.get(whole..).filter(|torn| !torn.is_empty()) else {
        return Ok(());
    };
    tracing::warn!(target: "portcullis::trail", file = %path.display(), "the last line is torn; it goes to a file of its own");
    let mut beside = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path.with_extension("torn"))?;
    beside.write_all(torn)?;
    beside.write_all(b"\n")?;
    beside.sync_data()?;
    OpenOptions::new().write(true).open(path)?.set_len(whole as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(tenant: &str, name: &str) -> Map<String, Value> {
        Map::from_iter([("tenant".to_owned(), tenant.into()), ("event".to_owned(), name.into())])
    }

    /// The writer's thread gives the lock back when it ends.
    fn wait_for_the_end(directory: &Path) {
        File::open(directory.join(".lock")).unwrap().lock().unwrap();
    }

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("portcullis-trail-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    fn options(directory: &Path) -> TrailOptions {
        TrailOptions {
            directory: directory.to_owned(),
            key: None,
        }
    }

    #[test]
    fn a_chain_is_taken_up_where_it_ended() {
        let directory = directory("again");
        for round in ["one", "two"] {
            let trail = open(&options(&directory), Writer::Gate).unwrap();
            trail.take(event("acme", round));
            trail.take(event("", round));
            trail.take(event("acme", round));
            trail.flush();
            drop(trail);
            wait_for_the_end(&directory);
        }
        let link = Link::new(None);
        let mut counts = HashMap::new();
        let mut ends: HashMap<String, Option<End>> = HashMap::new();
        for (chain, path) in files(&directory).unwrap() {
            for line in fs::read_to_string(path).unwrap().lines() {
                let checked = chain::check(&link, ends.entry(chain.clone()).or_default(), line).unwrap();
                assert_eq!(checked.chain, chain);
                *counts.entry(chain.clone()).or_insert(0) += 1;
            }
        }
        assert_eq!(counts, HashMap::from([("acme".to_owned(), 4), ("gate".to_owned(), 2)]));
        let _ = fs::remove_dir_all(directory);
    }

    #[test]
    fn a_chain_that_ends_in_something_else_is_not_continued() {
        let directory = directory("torn");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("acme.2026-11-23.jsonl"), "{\"schema\":1}\n").unwrap();
        assert!(open(&options(&directory), Writer::Gate).is_err());
        let _ = fs::remove_dir_all(directory);
    }

    #[test]
    fn a_rewrap_writes_beside_the_gate_and_leaves_its_chains_alone() {
        let directory = directory("rewrap");
        let gate = open(&options(&directory), Writer::Gate).unwrap();
        gate.take(event("acme", "of the gate"));
        gate.flush();
        let path = files(&directory).unwrap().remove(0).1;
        // The gate is in the middle of a line.
        let half = fs::read_to_string(&path).unwrap() + "{\"schema\":1,\"cha";
        fs::write(&path, &half).unwrap();
        let rewrap = open(&options(&directory), Writer::Rewrap).unwrap();
        assert!(open(&options(&directory), Writer::Rewrap).is_err(), "one at a time");
        rewrap.take(event("acme", "of the rewrap"));
        rewrap.flush();
        assert_eq!(fs::read_to_string(&path).unwrap(), half);
        let written = files(&directory).unwrap();
        assert_eq!(
            written.iter().map(|(chain, _)| &**chain).collect::<Vec<_>>(),
            ["acme", "acme.rewrap"]
        );
        let (link, mut end) = (Link::new(None), None);
        let line = fs::read_to_string(&written[1].1).unwrap();
        let checked = chain::check(&link, &mut end, line.trim_end()).unwrap();
        assert_eq!((&*checked.chain, checked.number), ("acme.rewrap", 0));
        let _ = fs::remove_dir_all(directory);
    }

    #[test]
    fn a_torn_line_is_kept_apart() {
        let directory = directory("killed");
        let trail = open(&options(&directory), Writer::Gate).unwrap();
        trail.take(event("acme", "one"));
        trail.flush();
        let path = files(&directory).unwrap().remove(0).1;
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{whole}{{\"schema\":1,\"cha")).unwrap();
        assert_eq!(
            ends(&directory, &Link::new(None), Writer::Gate).unwrap()["acme"].next,
            1
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), whole);
        let torn = fs::read_to_string(path.with_extension("torn")).unwrap();
        assert_eq!(torn, "{\"schema\":1,\"cha\n");
        let _ = fs::remove_dir_all(directory);
    }
}
