//! `cargo bench --bench revocation -- [--quick] [--rows TEXT] [--rounds N]`: how long plaintext still comes after a customer's no, and after
//! everybody's silence, at the client's socket. docs/KEYS.md says what is promised, and what came of this.
//!
//! Each row of `tests/it/revocation/rows.rs` is played under load before two gates, each a process of its own, and two tenants. The bound
//! itself is judged: one byte later than the bound and a second fails the run. No other time is.
//!
//! Run by `cargo test`, it plays three rows once: a smoke test.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing
)] // a command's talk, and arithmetic on measurements

mod cuts;
mod lag;
mod lane;
mod load;
#[path = "../load/origin.rs"]
mod origin;
#[path = "../load/process.rs"]
#[allow(dead_code)] // what is not measured here
mod process;
mod reader;
mod report;
mod round;
#[path = "../../tests/it/revocation/rows.rs"]
#[allow(dead_code)] // what a client is told is judged there
mod rows;
#[path = "../load/serving.rs"]
mod serving;

use std::collections::VecDeque;
use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::Parser;

use crate::lane::Lane;
use crate::report::Report;
use crate::round::Governed;
use crate::rows::{By, Row};

/// `revocation_bound` of the gates: the least there is.
pub(crate) const BOUND: Duration = Duration::from_secs(5);
/// `identity_bound` of the gates: the least there is, with `dev = true`.
pub(crate) const IDENTITY: Duration = Duration::from_secs(60);

/// Why there is no result.
#[derive(Debug)]
pub(crate) struct Problem(String);

impl Problem {
    pub(crate) fn new(what: impl Display) -> Self {
        Self(what.to_string())
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Self::new(error)
    }
}

/// Takes the time of every way in which a key is withdrawn or out of reach.
#[derive(Parser, Clone)]
#[command(name = "revocation")]
pub(crate) struct Options {
    /// Three rows, once: half a minute.
    #[arg(long)]
    quick: bool,
    /// Only the rows whose text contains this, like "key disabled".
    #[arg(long, value_name = "TEXT")]
    rows: Option<String>,
    /// Only the rows that the vault's own answer shows, or its silence: the run takes a few minutes.
    #[arg(long)]
    vault: bool,
    /// How often each row is played. Those that only a fresh token shows take a minute each, and are played a quarter as often.
    #[arg(long, value_name = "N", default_value_t = 8)]
    rounds: usize,
    /// How many rows are played side by side, each before gates, tenants and vaults of its own.
    #[arg(long, value_name = "N", default_value_t = 12)]
    lanes: usize,
    /// What cargo adds to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return smoke_test(&arguments);
    }
    ended(run(&Options::parse()))
}

fn ended(done: Result<(), Problem>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Problem(what)) => {
            eprintln!("revocation: {what}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Problem> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(bench(options))
}

/// One row to play, so often still.
struct Task {
    number: usize,
    governed: Governed,
    row: Row,
    rounds: usize,
}

/// The rows of a run, those that take longest first, so that no lane has one left when the others are done.
fn tasks(options: &Options) -> Vec<Task> {
    let all = [
        (Governed::Identity, rows::silences_of_the_identity()),
        (Governed::Identity, rows::nos_of_entra()),
        (Governed::Vault, rows::nos_of_the_vault()),
        (Governed::Vault, rows::silences_of_the_vault()),
    ];
    let all = all
        .into_iter()
        .flat_map(|(governed, rows)| rows.into_iter().map(move |row| (governed, row)));
    // What a process takes a name for can't be changed from outside.
    let played = all.filter(|(_, row)| !matches!(row.by, By::Name));
    let played = played.filter(|(governed, _)| !options.vault || *governed == Governed::Vault);
    let wanted = played.filter(|(_, row)| match (&options.rows, options.quick) {
        (Some(text), _) => row.what.contains(text.as_str()),
        (None, true) => ["key disabled", "TLS fails", "7000112 application disabled"].contains(&row.what),
        (None, false) => true,
    });
    let rounds = if options.quick { 1 } else { options.rounds.max(1) };
    let task = |(number, (governed, row))| Task {
        number,
        governed,
        row,
        rounds: match governed {
            Governed::Vault => rounds,
            Governed::Identity => rounds.div_ceil(4),
        },
    };
    wanted.enumerate().map(task).collect()
}

async fn bench(options: &Options) -> Result<(), Problem> {
    let began = Instant::now();
    let tasks = tasks(options);
    if tasks.is_empty() {
        return Err(Problem::new("no such row"));
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("revocation-{}", std::process::id()));
    let lanes = options.lanes.clamp(1, tasks.len());
    let total: usize = tasks.iter().map(|task| task.rounds).sum();
    eprintln!("{} rows, {total} rounds, {lanes} lanes", tasks.len());
    let queue: Arc<Mutex<VecDeque<Task>>> = Arc::new(Mutex::new(tasks.into()));
    let report = Arc::new(Mutex::new(Report::default()));
    let watching = tokio::spawn(lag::watch());
    let mut running = Vec::new();
    for number in 0..lanes {
        let folder = folder.join(number.to_string());
        let (queue, report) = (Arc::clone(&queue), Arc::clone(&report));
        running.push(tokio::spawn(async move {
            let mut lane = Lane::start(&folder).await?;
            loop {
                let Some(mut task) = queue.lock().unwrap().pop_front() else {
                    break;
                };
                task.rounds -= 1;
                match round::play(&lane, &task.row, task.governed).await {
                    Ok(played) => {
                        eprintln!("{}: {played}", task.row.what);
                        report
                            .lock()
                            .unwrap()
                            .add(task.number, task.governed, &task.row, played);
                    }
                    Err(Problem(what)) => {
                        eprintln!("{}: FAILED: {what}", task.row.what);
                        let kept = lane.keep_logs(task.row.what);
                        report.lock().unwrap().failed(task.row.what, format!("{what}{kept}"));
                        // What is left of it could spoil the next row.
                        lane.stop().await;
                        lane = Lane::start(&folder).await?;
                    }
                }
                if task.rounds > 0 {
                    queue.lock().unwrap().push_back(task);
                }
            }
            lane.stop().await;
            Ok::<_, Problem>(())
        }));
    }
    for lane in running {
        lane.await.map_err(Problem::new)??;
    }
    watching.abort();
    let _ = std::fs::remove_dir_all(&folder);
    let report = Arc::into_inner(report).map(Mutex::into_inner);
    let report = report
        .and_then(Result::ok)
        .ok_or_else(|| Problem::new("a lane is lost"))?;
    report.print();
    println!(
        "\n{total} rounds in {} s, {lanes} rows side by side; the clients themselves were late by {} ms at the most",
        began.elapsed().as_secs(),
        lag::most(began, Instant::now()).as_millis(),
    );
    report.judge()
}

/// What `cargo test` and `cargo nextest` ask of a test binary, for the one test that there is.
fn smoke_test(arguments: &[String]) -> ExitCode {
    const NAME: &str = "no_byte_comes_later_than_the_bound";
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has("--list") {
        if !has("--ignored") {
            println!("{NAME}: test");
        }
        return ExitCode::SUCCESS;
    }
    let mut wanted = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .peekable();
    let runs = wanted.peek().is_none() || wanted.any(|name| NAME.contains(name.as_str()));
    let skipped = arguments
        .windows(2)
        .any(|pair| pair[0] == "--skip" && NAME.contains(pair[1].as_str()));
    let count = usize::from(runs && !skipped && !has("--ignored"));
    println!("\nrunning {count} test{}", if count == 1 { "" } else { "s" });
    let mut failed = 0;
    if count == 1 {
        let options = Options::parse_from(["revocation", "--quick"]);
        if let Err(Problem(what)) = run(&options) {
            println!("{what}");
            failed = 1;
        }
        println!("test {NAME} ... {}", if failed == 0 { "ok" } else { "FAILED" });
    }
    let result = if failed == 0 { "ok" } else { "FAILED" };
    let (passed, out) = (count - failed, 1 - count);
    println!("\ntest result: {result}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {out} filtered out");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
