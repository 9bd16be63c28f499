//! `cargo bench --bench allocations`: how often the gate allocates for a request, and how much, beside the bare pass-through. Both run
//! here on an allocator that counts, each in a process of its own, before the origin of the load harness; the load harness itself
//! counts nothing, and neither does the product.
//!
//! Run by `cargo test`, it does the same in a shorter time and holds what is counted to bounds: no load changes the numbers much.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::cast_precision_loss)] // a command's talk, and arithmetic on counts

#[allow(dead_code)] // its other half is the harness' own
#[path = "../load/main.rs"]
mod load;

use std::alloc::System;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use crate::load::client::{self, Kind, Wire};
use crate::load::suite::{self, Cell, KIB, MIB};
use crate::load::world::{Side, Stored, World};
use crate::load::{Problem, origin};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How long each work is asked for.
const SPAN: Duration = Duration::from_millis(1000);
/// The same for a test.
const SHORT: Duration = Duration::from_millis(300);

/// A work, and how often the gate may allocate for one request of it: half as often again as it did when this was written.
struct Bounded {
    cell: Cell,
    most: f64,
}

/// What a process has allocated so far.
#[derive(Clone, Copy, Default)]
struct Counted {
    /// Allocations, and those that became larger or smaller.
    times: u64,
    bytes: u64,
}

fn works() -> Vec<Bounded> {
    use Kind::{Get, Head, List, Part, Put};
    let work = |wire, kind, size, most| Bounded {
        cell: Cell::of(wire, kind, size, 4, false),
        most,
    };
    vec![
        work(Wire::S3, Get, 4 * KIB, 140.0),
        work(Wire::S3, Put, 4 * KIB, 170.0),
        work(Wire::S3, Head, 4 * KIB, 105.0),
        work(Wire::S3, List, 0, 120.0),
        work(Wire::S3, Get, MIB, 190.0),
        work(Wire::S3, Put, MIB, 260.0),
        work(Wire::S3, Part, 8 * MIB, 650.0),
        work(Wire::Azure, Get, 4 * KIB, 290.0),
        work(Wire::Azure, Put, 4 * KIB, 360.0),
        work(Wire::Azure, Head, 4 * KIB, 270.0),
        work(Wire::Azure, List, 0, 24_500.0),
        work(Wire::Azure, Get, MIB, 375.0),
        work(Wire::Azure, Put, MIB, 880.0),
    ]
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    match arguments.first().map(String::as_str) {
        // As the product's own binary is asked.
        Some("serve") => return counting(|| gate(&arguments)),
        Some("as-pass") => return counting(|| load::pass_through(&arguments)),
        Some("as-origin") => return ended(load::runtime().and_then(|run| Ok(run.block_on(origin::run(load::say))?))),
        _ => {}
    }
    let run = |span| load::runtime().and_then(|runtime| runtime.block_on(measure(span)));
    if has("--bench") {
        return ended(run(SPAN));
    }
    load::smoke_test(&arguments, "a_request_allocates_no_more_than_it_did", || run(SHORT))
}

fn ended(result: Result<(), Problem>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("allocations: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a process that tells whoever connects what it has allocated.
fn counting(run: impl FnOnce() -> Result<(), Problem>) -> ExitCode {
    let told = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| {
        std::fs::write(door(std::process::id()), listener.local_addr()?.to_string())?;
        std::thread::Builder::new().spawn(move || {
            for client in listener.incoming() {
                let stats = ALLOCATOR.stats();
                let times = stats.allocations + stats.reallocations;
                // Whoever is gone asks no more.
                let _ = client.and_then(|mut client| write!(client, "{times} {}", stats.bytes_allocated));
            }
        })
    });
    ended(told.map_err(Problem::from).and_then(|_| run()))
}

fn gate(arguments: &[String]) -> Result<(), Problem> {
    let [_, _, file] = arguments else {
        return Err(Problem::new("serve --config FILE"));
    };
    portcullis::commands::serve(Path::new(file));
    Ok(())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("allocations")
}

/// Where a process says at which address it tells its counts.
fn door(process: u32) -> PathBuf {
    folder().join(format!("{process}.counts"))
}

/// What a side has allocated so far.
fn counted(side: &Side) -> Result<Counted, Problem> {
    let address = std::fs::read_to_string(door(side.process.id()))?;
    let mut said = String::new();
    TcpStream::connect(address)?.read_to_string(&mut said)?;
    let (times, bytes) = said.split_once(' ').ok_or_else(|| Problem::new("no counts"))?;
    Ok(Counted {
        times: times.parse().map_err(Problem::new)?,
        bytes: bytes.parse().map_err(Problem::new)?,
    })
}

async fn measure(span: Duration) -> Result<(), Problem> {
    let works = works();
    let cells: Vec<Cell> = works.iter().map(|work| work.cell).collect();
    let stored = Stored {
        s3: suite::sizes(&cells, Wire::S3),
        azure: suite::sizes(&cells, Wire::Azure),
        azure_listing: true,
    };
    let own = std::env::current_exe()?;
    let world = World::start(&folder(), 0, &stored, &own, None).await?;
    println!("| a request's allocations | gate | pass | gate / pass | gate KiB | pass KiB |");
    println!("|---|---:|---:|---:|---:|---:|");
    let mut wrong = Vec::new();
    for Bounded { cell, most } in works {
        let mut row = [[0.0; 2]; 2];
        for (side, of) in world.sides.iter().zip(&mut row) {
            *of = one(&world, side, cell, span).await?;
        }
        let [[times, bytes], [pass_times, pass_bytes]] = row;
        println!(
            "| {} | {times:.0} | {pass_times:.0} | {:.1} | {:.1} | {:.1} |",
            cell.name(),
            times / pass_times,
            bytes / 1024.0,
            pass_bytes / 1024.0
        );
        if times > most {
            wrong.push(format!(
                "{}: {times:.0} allocations a request, over {most}",
                cell.name()
            ));
        }
    }
    world.stop().await;
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Problem::new(wrong.join("; "))),
    }
}

/// How often and how many bytes a side allocates for a request.
async fn one(world: &World, side: &Side, cell: Cell, span: Duration) -> Result<[f64; 2], Problem> {
    let target = match cell.wire {
        Wire::S3 => world.target(side, false)?,
        Wire::Azure => world.azure(side, false)?,
    };
    let (outcome, before) = client::run(&target, cell.work, span, || counted(side)).await?;
    let (before, after) = (before?, counted(side)?);
    if outcome.errors > 0 {
        let name = cell.name();
        return Err(Problem::new(format!("{name} at {}: wrong answers", side.name)));
    }
    let each = |before: u64, after: u64| after.saturating_sub(before) as f64 / outcome.requests.max(1) as f64;
    Ok([each(before.times, after.times), each(before.bytes, after.bytes)])
}
