//! Memory of the gate: with many streams open at once, none of whose clients reads, and after large objects as after small ones.
//! A new gate for each, for a process that has once grown may keep what it had.

use std::time::Duration;

use serde::Serialize;

use super::client::{self, Connection, Kind, Work};
use super::progress::Progress;
use super::suite::{KIB, MIB, size};
use super::world::World;
use super::{Options, Problem};

/// What came of it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Memory {
    /// Of a gate that has served one small object, in bytes.
    pub(crate) idle: u64,
    pub(crate) streams: Vec<Streams>,
    /// The highest after reading objects of one size for a while.
    pub(crate) flat: Vec<Flat>,
    /// From the start of the process to the end of its first PUT, vault calls included, in milliseconds.
    pub(crate) cold_start_milliseconds: f64,
    /// Of the binary without symbols, in bytes, where `strip` is there.
    pub(crate) binary: Option<u64>,
}

/// Streams open at once.
#[derive(Debug, Serialize)]
pub(crate) struct Streams {
    pub(crate) what: String,
    pub(crate) count: usize,
    pub(crate) size: u64,
    /// Of the whole process at its highest.
    pub(crate) resident: u64,
    /// Of that, what was not there before, for each stream.
    pub(crate) each: u64,
}

/// Objects of one size.
#[derive(Debug, Serialize)]
pub(crate) struct Flat {
    pub(crate) what: String,
    pub(crate) highest: u64,
}

pub(crate) async fn measure(world: &World, options: &Options) -> Result<Memory, Problem> {
    let mut memory = Memory::default();
    let mut progress = Progress::new(6);
    let count = match (options.smoke(), options.quick) {
        (true, _) => 8,
        (_, true) => 250,
        _ => 1000,
    };

    progress.step("cold start");
    let began = std::time::Instant::now();
    let mut gate = world.gate().await?;
    let target = world.target(&gate, false)?;
    let small = work(Kind::Put, 4 * KIB, 1);
    let status = client::once(&target, small, &client::key(Kind::Put, small.size)).await?;
    memory.cold_start_milliseconds = began.elapsed().as_secs_f64() * 1e3;
    if !status.is_success() {
        return Err(Problem::new(format!("the first PUT was answered {status}")));
    }
    memory.idle = gate.process.memory().0;

    for (what, largest) in [
        ("stalled downloads", options.largest()),
        ("running downloads", options.largest()),
    ] {
        progress.step(what);
        let mut gate = world.gate().await?;
        let target = world.target(&gate, false)?;
        client::once(&target, small, &client::key(Kind::Put, small.size)).await?;
        let before = gate.process.memory().0;
        let work = work(Kind::Get, largest, 1);
        let mut open = Vec::with_capacity(count);
        for number in 0..count {
            let mut connection = Connection::open(&target, work, number).await?;
            let body = connection.begin().await?;
            open.push((connection, body));
        }
        if what.starts_with("running") {
            run_for(&mut open, options.span() * 3).await?;
        }
        let resident = gate.process.memory().1;
        memory.streams.push(Streams {
            what: what.to_owned(),
            count,
            size: largest,
            resident,
            each: resident.saturating_sub(before) / count as u64,
        });
        drop(open);
        gate.process.end();
    }

    for (kind, of) in [
        (Kind::Get, 4 * KIB),
        (Kind::Get, MIB),
        (Kind::Get, options.largest()),
        (Kind::Put, options.largest()),
    ] {
        let work = work(kind, of, if options.smoke() { 1 } else { 4 });
        progress.step(&format!("{kind:?} of {}", size(of)));
        gate.process.end();
        gate = world.gate().await?;
        let target = world.target(&gate, false)?;
        client::run(&target, work, options.span() * 2, || ()).await?;
        memory.flat.push(Flat {
            what: format!("{kind:?} {} ×{}", size(of), work.connections),
            highest: gate.process.memory().1,
        });
    }
    gate.process.end();
    memory.binary = stripped(world);
    progress.done();
    Ok(memory)
}

fn work(kind: Kind, size: u64, connections: usize) -> Work {
    Work {
        kind,
        size,
        connections,
    }
}

/// All clients read for a while.
async fn run_for(open: &mut [(Connection, hyper::body::Incoming)], span: Duration) -> Result<(), Problem> {
    use http_body_util::BodyExt;
    let until = tokio::time::Instant::now() + span;
    let readers = open.iter_mut().map(|(_, body)| async move {
        while let Ok(frame) = tokio::time::timeout_at(until, body.frame()).await {
            match frame {
                Some(frame) => _ = frame.map_err(Problem::new)?,
                None => return Ok(()),
            }
        }
        Ok::<_, Problem>(())
    });
    futures_util::future::try_join_all(readers).await.map(|_| ())
}

fn stripped(world: &World) -> Option<u64> {
    let copy = world.folder.join("stripped");
    let binary = env!("CARGO_BIN_EXE_portcullis");
    let mut command = std::process::Command::new("strip");
    let done = command.arg("-o").arg(&copy).arg(binary).status().ok()?;
    done.success()
        .then(|| std::fs::metadata(copy).ok().map(|file| file.len()))?
}
