//! The results: as a table on the terminal, as Markdown and JSON, and as plots.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use portcullis::seal::SEALED_CHUNK_LEN;
use serde::Serialize;

use super::memory::Memory;
use super::suite::{Measured, Sample};
use super::tenants::Tenants;
use super::world::World;
use super::{Options, Problem, plot};

/// Everything one run found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) command: String,
    pub(crate) note: Option<String>,
    pub(crate) commit: String,
    pub(crate) unix_time: u64,
    pub(crate) machine: String,
    pub(crate) rounds: usize,
    pub(crate) milliseconds: u64,
    pub(crate) sides: Vec<String>,
    pub(crate) cells: Vec<Measured>,
    pub(crate) tenants: Option<Tenants>,
    pub(crate) memory: Option<Memory>,
}

impl Report {
    pub(crate) fn new(options: &Options, world: &World) -> Result<Self, Problem> {
        let arguments: Vec<String> = std::env::args()
            .skip(1)
            .filter(|argument| argument != "--bench")
            .collect();
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Ok(Self {
            command: format!("cargo bench --bench load -- {}", arguments.join(" "))
                .trim_end_matches(" -- ")
                .to_owned(),
            note: options.note.clone(),
            commit: said("git", &["rev-parse", "--short", "HEAD"]),
            unix_time: since.map_err(Problem::new)?.as_secs(),
            machine: machine(),
            rounds: options.rounds(),
            milliseconds: u64::try_from(options.span().as_millis()).map_err(Problem::new)?,
            sides: world.sides.iter().map(|side| side.name.to_owned()).collect(),
            cells: Vec::new(),
            tenants: None,
            memory: None,
        })
    }

    /// What no load and no other machine changes: so many requests to the store for each request of a client (one, but for Azure's
    /// blobs of blocks), and not more than two chunks read that nobody asked for.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        for cell in &self.cells {
            let asked = cell.median("gate", |sample| sample.origin_requests).unwrap_or(0.0);
            let extra = cell
                .median("gate", |sample| sample.extra_bytes_per_request)
                .unwrap_or(0.0);
            if asked > cell.store_requests() * 1.001 || extra > 2.0 * SEALED_CHUNK_LEN as f64 {
                let name = &cell.name;
                return Err(Problem::new(format!(
                    "{name}: {asked} requests to the store for one, {extra} bytes read that nobody asked for"
                )));
            }
        }
        Ok(())
    }

    /// The tables, on the terminal.
    pub(crate) fn print(&self) {
        print!("{}", self.markdown());
    }

    /// Writes `results.json`, `results.md` and the plots into `folder`, and returns their names.
    pub(crate) fn save(&self, folder: &Path) -> Result<Vec<String>, Problem> {
        std::fs::create_dir_all(folder)?;
        let json = serde_json::to_string_pretty(self).map_err(Problem::new)?;
        let mut files = vec![
            ("results.json".to_owned(), json),
            ("results.md".to_owned(), self.markdown()),
        ];
        files.extend(plot::all(self));
        let mut written = Vec::new();
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::write(&path, text)?;
            written.push(path.display().to_string());
        }
        Ok(written)
    }

    fn markdown(&self) -> String {
        let mut out = String::new();
        // Writing to a String can't fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "\n`{}`\n\n{}; commit {}.", self.command, self.machine, self.commit)?;
        let span = format!(
            "{} rounds of {} ms on each side, in turns.",
            self.rounds, self.milliseconds
        );
        writeln!(
            out,
            "{span} Figures are medians of rounds, ratios medians of the rounds' ratios.\n"
        )?;
        if !self.cells.is_empty() {
            self.write_cost(out)?;
            self.write_speed(out)?;
        }
        if let Some(tenants) = &self.tenants {
            write_tenants(out, tenants)?;
        }
        if let Some(memory) = &self.memory {
            write_memory(out, memory)?;
        }
        Ok(())
    }

    /// CPU of the process under measurement: for each GB where bytes matter, for each request elsewhere.
    fn write_cost(&self, out: &mut String) -> std::fmt::Result {
        let beside = self.sides.iter().any(|side| side == "other");
        let (head, line) = if beside {
            (" other | gate / other |", "---:|---:|")
        } else {
            ("", "")
        };
        writeln!(
            out,
            "| CPU | gate | pass | nginx | gate / pass | goal | gate / nginx | unit |{head}"
        )?;
        writeln!(out, "|---|---:|---:|---:|---:|---:|---:|---|{line}")?;
        for cell in &self.cells {
            let (figure, unit) = cost(cell);
            let of = |side| number(cell.median(side, figure));
            let other = if beside {
                format!(" {} | {} |", of("other"), ratio(cell.ratio("gate", "other", figure)))
            } else {
                String::new()
            };
            writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {unit} |{other}",
                cell.name,
                of("gate"),
                of("pass"),
                of("nginx"),
                ratio(cell.ratio("gate", "pass", figure)),
                ratio(cell.goal()),
                ratio(cell.ratio("gate", "nginx", figure)),
            )?;
        }
        writeln!(out)
    }

    fn write_speed(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "| speed | gate req/s | GB/s | / pass | p50 µs | p99 µs | p99.9 µs | first byte over pass, p50 µs | p99 µs | \
             requests to the store | extra bytes read |"
        )?;
        writeln!(out, "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")?;
        for cell in &self.cells {
            let gate = |figure: fn(&Sample) -> f64| number(cell.median("gate", figure));
            let over = |figure: fn(&Sample) -> f64| number(cell.difference("gate", "pass", figure));
            writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                cell.name,
                gate(|sample| sample.requests_per_second),
                gate(|sample| sample.gigabytes_per_second),
                ratio(cell.ratio("gate", "pass", |sample| sample.requests_per_second)),
                gate(|sample| sample.p50_microseconds),
                gate(|sample| sample.p99_microseconds),
                gate(|sample| sample.p999_microseconds),
                over(|sample| sample.first_byte_p50_microseconds),
                over(|sample| sample.first_byte_p99_microseconds),
                gate(|sample| sample.origin_requests),
                gate(|sample| sample.extra_bytes_per_request),
            )?;
        }
        writeln!(out)
    }
}

/// What a cell costs: the figure, and its unit.
pub(crate) fn cost(cell: &Measured) -> (fn(&Sample) -> f64, &'static str) {
    if cell.size >= super::suite::MIB && matches!(cell.kind.as_str(), "Get" | "Put" | "Part") {
        (|sample| sample.cpu_seconds_per_gigabyte, "s/GB")
    } else {
        (|sample| sample.cpu_microseconds_per_request, "µs/request")
    }
}

fn write_tenants(out: &mut String, tenants: &Tenants) -> std::fmt::Result {
    writeln!(
        out,
        "| a quiet tenant beside one that is | at | p50 before | p99 before | p50 during | p99 during | the other: served | refused |"
    )?;
    writeln!(out, "|---|---|---:|---:|---:|---:|---:|---:|")?;
    for row in &tenants.neighbours {
        writeln!(
            out,
            "| {} | {} | {:.0} µs | {:.0} µs | {:.0} µs | {:.0} µs | {} | {} |",
            row.what,
            row.side,
            row.before.p50_microseconds,
            row.before.p99_microseconds,
            row.during.p50_microseconds,
            row.during.p99_microseconds,
            row.other_served,
            row.other_refused,
        )?;
    }
    writeln!(
        out,
        "\n| connections | seconds | requests | calls to vaults and Entra |"
    )?;
    writeln!(out, "|---:|---:|---:|---:|")?;
    for row in &tenants.vault_calls {
        writeln!(
            out,
            "| {} | {:.1} | {} | {} |",
            row.connections, row.seconds, row.requests, row.calls
        )?;
    }
    if let Some(many) = &tenants.many {
        writeln!(
            out,
            "\n{} tenants configured: a 4 KiB PUT costs {:.1} µs of one tenant, {:.1} µs of {} in turn; ratio {:.2}.",
            many.configured,
            many.one.cpu_microseconds_per_request,
            many.all.cpu_microseconds_per_request,
            many.active,
            many.ratio,
        )?;
    }
    writeln!(out)
}

fn write_memory(out: &mut String, memory: &Memory) -> std::fmt::Result {
    let mib = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
    writeln!(out, "| memory | resident | each stream |")?;
    writeln!(out, "|---|---:|---:|")?;
    writeln!(out, "| after one small PUT | {:.1} MiB | |", mib(memory.idle))?;
    for row in &memory.streams {
        writeln!(
            out,
            "| {} {} of {} | {:.1} MiB | {:.0} KiB |",
            row.count,
            row.what,
            super::suite::size(row.size),
            mib(row.resident),
            row.each as f64 / 1024.0
        )?;
    }
    for row in &memory.flat {
        writeln!(out, "| {} | {:.1} MiB | |", row.what, mib(row.highest))?;
    }
    writeln!(
        out,
        "\nFrom the start of the process to the end of its first PUT, the vault's answers included: {:.0} ms.",
        memory.cold_start_milliseconds
    )?;
    if let Some(binary) = memory.binary {
        writeln!(out, "The binary without symbols: {:.1} MiB.", mib(binary))?;
    }
    Ok(())
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.3}"),
    }
}

fn ratio(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.2}"))
}

/// Processor, cores, memory, kernel, compiler, and how much else the machine does.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = read("/proc/meminfo");
    let kib: u64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok())
        .unwrap_or(0);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    format!(
        "{model}, {cores} cores, {} GiB; Linux {}; {}; load before {load}",
        kib >> 20,
        read("/proc/sys/kernel/osrelease").trim(),
        said("rustc", &["--version"]),
    )
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
