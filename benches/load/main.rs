//! `cargo bench --bench load -- [--quick | --full] [--tenants] [--memory] [--against URL …]`: the gate under load, beside the
//! least that a proxy can be, on this machine. docs/performance.md says what it measures, and what came of it.
//!
//! Run by `cargo test`, it does a little of everything in a few seconds and judges no time: a smoke test.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    clippy::indexing_slicing
)] // a command's talk, and arithmetic on measurements

mod against;
mod azure;
pub(crate) mod client;
mod configuration;
mod history;
mod memory;
pub(crate) mod origin;
mod pass;
mod plot;
mod process;
mod progress;
mod report;
mod serving;
pub(crate) mod suite;
mod tenants;
pub(crate) mod world;

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use self::client::{Kind, Wire};
use self::progress::Progress;
use self::report::Report;
use self::world::{Stored, World};

/// Why there is no result.
#[derive(Debug)]
pub(crate) struct Problem(String);

impl Problem {
    pub(crate) fn new(what: impl Display) -> Self {
        Self(what.to_string())
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Self::new(error)
    }
}

/// Measures the gate beside a bare pass-through (and nginx, where there is one), on loopback.
#[derive(Parser, Clone, Default)]
#[command(name = "load")]
pub(crate) struct Options {
    /// A minute's worth of it.
    #[arg(long)]
    pub(crate) quick: bool,
    /// All sizes and numbers of connections, ten thousand tenants, 1 GiB objects: a quarter of an hour and more, and 4 GiB of memory.
    #[arg(long, conflicts_with = "quick")]
    pub(crate) full: bool,
    /// Only the tenants beside each other: a noisy, a revoked one, a slow vault.
    #[arg(long)]
    pub(crate) tenants: bool,
    /// Only the memory of running streams.
    #[arg(long)]
    pub(crate) memory: bool,
    /// Only the work whose name contains this, like "GET 1 MiB", or "Azure".
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,
    /// Rounds of each work.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// How long each side works in a round, in milliseconds.
    #[arg(long, value_name = "MS")]
    millis: Option<u64>,
    /// Another `portcullis` to measure in turns with this one: an earlier build, to see what a change did.
    #[arg(long, value_name = "BINARY")]
    pub(crate) beside: Option<PathBuf>,
    /// Drive this endpoint of S3's instead, whatever it is: http://HOST:PORT.
    #[arg(long, value_name = "URL", requires = "bucket")]
    pub(crate) against: Option<String>,
    /// The bucket to use there. Objects below keep/ and sink/ in it are written.
    #[arg(long, value_name = "NAME")]
    pub(crate) bucket: Option<String>,
    /// What to sign for there; the credential is in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    pub(crate) region: String,
    /// A note that stands with this run's numbers in the history.
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    /// Where the results go.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/load"))]
    pub(crate) out: PathBuf,
    /// What cargo adds to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// Run by `cargo test`.
    pub(crate) fn smoke(&self) -> bool {
        !self.bench
    }

    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(match (self.smoke(), self.quick) {
            (true, _) => 1,
            (_, true) => 3,
            _ => 5,
        })
    }

    pub(crate) fn span(&self) -> Duration {
        Duration::from_millis(self.millis.unwrap_or(match (self.smoke(), self.quick) {
            (true, _) => 20,
            (_, true) => 250,
            _ => 1000,
        }))
    }

    /// The object that ranges are read from.
    pub(crate) fn largest(&self) -> u64 {
        match (self.smoke(), self.full) {
            (true, _) => suite::MIB,
            (_, true) => suite::GIB,
            _ => 64 * suite::MIB,
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some("as-origin") => runtime().and_then(|runtime| Ok(runtime.block_on(origin::run(say))?)),
        Some("as-pass") => pass_through(&arguments),
        _ if arguments.iter().any(|argument| argument == "--bench") => {
            let options = Options::parse();
            runtime().and_then(|runtime| runtime.block_on(bench(&options)))
        }
        _ => {
            let name = "the_harness_measures_everything_once";
            return smoke_test(&arguments, name, || {
                runtime().and_then(|runtime| runtime.block_on(bench(&Options::default())))
            });
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Problem(what)) => {
            eprintln!("load: {what}");
            ExitCode::FAILURE
        }
    }
}

/// `as-pass ORIGIN FOLDER`, until it is killed.
pub(crate) fn pass_through(arguments: &[String]) -> Result<(), Problem> {
    runtime().and_then(|runtime| runtime.block_on(as_pass(arguments)))
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Problem> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

pub(crate) fn say(address: SocketAddr) {
    println!("{address}");
}

/// `as-pass ORIGIN FOLDER`: the pass-through, in clear and with TLS.
async fn as_pass(arguments: &[String]) -> Result<(), Problem> {
    let [_, origin, folder] = arguments else {
        return Err(Problem::new("as-pass ORIGIN FOLDER"));
    };
    let origin: http::uri::Authority = origin.parse().map_err(Problem::new)?;
    let folder = Path::new(folder);
    let chain = CertificateDer::from_pem_file(folder.join("server.pem")).map_err(Problem::new)?;
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).map_err(Problem::new)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Problem::new)?
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .map_err(Problem::new)?;
    let (clear, bound) = tokio::sync::oneshot::channel();
    let first = tokio::spawn(pass::run(origin.clone(), None, |address| _ = clear.send(address)));
    let clear = bound.await.map_err(Problem::new)?;
    pass::run(origin, Some(Arc::new(config)), |tls| println!("{clear} {tls}")).await?;
    first.abort();
    Ok(())
}

/// One run, as asked for.
async fn bench(options: &Options) -> Result<(), Problem> {
    if let Some(url) = &options.against {
        return against::run(url, options).await;
    }
    let began = Instant::now();
    let report = measure(options).await?;
    report.print();
    if !options.smoke() {
        let files = report.save(&options.out)?;
        history::append(&options.out, &report)?;
        println!("\n{} s; {}", began.elapsed().as_secs(), files.join(", "));
    }
    report.check()
}

async fn measure(options: &Options) -> Result<Report, Problem> {
    let all = !(options.tenants || options.memory);
    let mut cells = if all { suite::cells(options) } else { Vec::new() };
    if let Some(only) = &options.only {
        cells.retain(|cell| cell.name().contains(only.as_str()));
    }
    let others = options.only.is_none();
    let mut sizes = suite::sizes(&cells, Wire::S3);
    sizes.extend([4 * suite::KIB, suite::MIB, options.largest()]);
    sizes.sort_unstable();
    sizes.dedup();
    let is_azure_list = |cell: &suite::Cell| cell.wire == Wire::Azure && cell.work.kind == Kind::List;
    let stored = Stored {
        s3: sizes,
        azure: suite::sizes(&cells, Wire::Azure),
        azure_listing: cells.iter().any(is_azure_list),
    };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("load");
    let world = World::start(
        &folder,
        tenants::configured(options),
        &stored,
        Path::new(env!("CARGO_BIN_EXE_portcullis")),
        options.beside.as_deref(),
    )
    .await?;
    let sides = world.sides.len();
    let mut progress = Progress::new(cells.len() * sides * options.rounds());
    let mut report = Report::new(options, &world)?;
    for cell in cells {
        report
            .cells
            .push(suite::measure(&world, cell, options, &mut progress).await?);
    }
    progress.done();
    if others && (all || options.tenants) {
        report.tenants = Some(tenants::measure(&world, options).await?);
    }
    if others && (all || options.memory) {
        report.memory = Some(memory::measure(&world, options).await?);
    }
    world.stop().await;
    Ok(report)
}

/// What `cargo test` and `cargo nextest` ask of a test binary, for the one test that there is.
pub(crate) fn smoke_test(arguments: &[String], name: &str, run: impl FnOnce() -> Result<(), Problem>) -> ExitCode {
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has("--list") {
        if !has("--ignored") {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let mut wanted = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .peekable();
    let runs = wanted.peek().is_none() || wanted.any(|own| name.contains(own.as_str()));
    let skipped = arguments
        .windows(2)
        .any(|pair| pair[0] == "--skip" && name.contains(pair[1].as_str()));
    let count = usize::from(runs && !skipped && !has("--ignored"));
    println!("\nrunning {count} test{}", if count == 1 { "" } else { "s" });
    let mut failed = 0;
    if count == 1 {
        if let Err(Problem(what)) = run() {
            println!("{what}");
            failed = 1;
        }
        println!("test {name} ... {}", if failed == 0 { "ok" } else { "FAILED" });
    }
    let result = if failed == 0 { "ok" } else { "FAILED" };
    let passed = count - failed;
    println!(
        "\ntest result: {result}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {} filtered out",
        1 - count
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
