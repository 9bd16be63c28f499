//! What is measured: each work on every side in turn, round after round, so that what the machine does besides falls on all of
//! them. What is compared is compared within a round; what is told of the rounds is their median.

use std::time::Duration;

use serde::Serialize;

use super::client::{self, Kind, Outcome, Target, Wire, Work};
use super::progress::Progress;
use super::world::World;
use super::{Options, Problem};

pub(crate) const KIB: u64 = 1024;
pub(crate) const MIB: u64 = 1024 * KIB;
pub(crate) const GIB: u64 = 1024 * MIB;

/// One work, on either wire, in clear or over TLS.
#[derive(Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) wire: Wire,
    pub(crate) work: Work,
    pub(crate) tls: bool,
}

/// What one side did in one round.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Sample {
    pub(crate) requests_per_second: f64,
    /// GB (10^9 bytes) of content.
    pub(crate) gigabytes_per_second: f64,
    /// Of the side's process.
    pub(crate) cpu_seconds_per_gigabyte: f64,
    pub(crate) cpu_microseconds_per_request: f64,
    pub(crate) p50_microseconds: f64,
    pub(crate) p99_microseconds: f64,
    pub(crate) p999_microseconds: f64,
    pub(crate) first_byte_p50_microseconds: f64,
    pub(crate) first_byte_p99_microseconds: f64,
    /// Requests to the origin for one request, and the origin's bytes beyond those that were asked for.
    pub(crate) origin_requests: f64,
    pub(crate) extra_bytes_per_request: f64,
    pub(crate) errors: u64,
}

/// All rounds of one side.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Series {
    pub(crate) side: String,
    pub(crate) samples: Vec<Sample>,
}

/// A cell's results.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) wire: Wire,
    pub(crate) kind: String,
    pub(crate) size: u64,
    pub(crate) connections: usize,
    pub(crate) tls: bool,
    pub(crate) series: Vec<Series>,
}

impl Cell {
    pub(crate) fn of(wire: Wire, kind: Kind, size: u64, connections: usize, tls: bool) -> Self {
        let work = Work {
            kind,
            size,
            connections,
        };
        Self { wire, work, tls }
    }

    pub(crate) fn name(&self) -> String {
        let work = self.work;
        let what = match work.kind {
            Kind::Get => format!("GET {}", size(work.size)),
            Kind::Put => format!("PUT {}", size(work.size)),
            Kind::Part if self.wire == Wire::Azure => format!("block of {}", size(work.size)),
            Kind::Part => format!("part of {}", size(work.size)),
            Kind::Range => format!("GET 64 KiB of {}", size(work.size)),
            Kind::Head => "HEAD".to_owned(),
            Kind::List => "LIST 1,000".to_owned(),
        };
        let tls = if self.tls { ", TLS" } else { "" };
        let wire = if self.wire == Wire::Azure { "Azure " } else { "" };
        format!("{wire}{what} ×{}{tls}", work.connections)
    }
}

/// What a run measures: the smoke test's, the quick one's, the standard one's, or all of it.
pub(crate) fn cells(options: &Options) -> Vec<Cell> {
    let mut cells = s3_cells(options);
    cells.extend(azure_cells(options));
    cells
}

fn s3_cells(options: &Options) -> Vec<Cell> {
    let cell = |kind, size, connections, tls| Cell::of(Wire::S3, kind, size, connections, tls);
    use Kind::{Get, Head, List, Part, Put, Range};
    let mut cells = vec![
        cell(Get, 4 * KIB, 64, false),
        cell(Put, 4 * KIB, 64, false),
        cell(Get, MIB, 16, false),
        cell(Put, MIB, 16, false),
        cell(Range, options.largest(), 16, false),
        cell(Head, 4 * KIB, 64, false),
        cell(List, 0, 16, false),
        cell(Part, 8 * MIB, 4, false),
        cell(Get, MIB, 16, true),
        cell(Put, MIB, 16, true),
    ];
    if options.smoke() {
        cells.iter_mut().for_each(|cell| cell.work.connections = 2);
        return cells;
    }
    cells.push(cell(Get, 64 * MIB, 4, false));
    if options.quick {
        return cells;
    }
    cells.extend([
        cell(Get, 4 * KIB, 1, false),
        cell(Get, 4 * KIB, 16, false),
        cell(Get, 4 * KIB, 256, false),
        cell(Get, 64 * KIB, 64, false),
        cell(Put, 64 * KIB, 64, false),
        cell(Put, 64 * MIB, 4, false),
        cell(Get, 256 * MIB, 4, false),
        cell(Get, 4 * KIB, 64, true),
        cell(Put, 4 * KIB, 64, true),
        cell(Get, 64 * MIB, 4, true),
        cell(Put, 64 * MIB, 4, true),
    ]);
    if options.full {
        cells.extend([
            cell(Put, 256 * MIB, 4, false),
            cell(Get, GIB, 1, false),
            cell(Put, GIB, 1, false),
            cell(Get, MIB, 1, false),
            cell(Get, MIB, 64, false),
            cell(Get, MIB, 256, false),
            cell(Put, MIB, 64, false),
            cell(Get, 64 * KIB, 1, false),
            cell(Get, 64 * KIB, 256, false),
            cell(Get, 64 * KIB, 64, true),
            cell(Get, 256 * MIB, 4, true),
        ]);
    }
    cells
}

/// Azure's: what differs from S3 is the front and how blobs lie, and that shows in fewer sizes.
fn azure_cells(options: &Options) -> Vec<Cell> {
    let cell = |kind, size, connections, tls| Cell::of(Wire::Azure, kind, size, connections, tls);
    use Kind::{Get, Head, List, Part, Put, Range};
    let mut cells = vec![cell(Get, MIB, 16, false), cell(Put, 4 * KIB, 64, false)];
    if options.quick {
        return cells;
    }
    cells.extend([
        cell(Get, 4 * KIB, 64, false),
        cell(Put, MIB, 16, false),
        cell(Part, 8 * MIB, 4, false),
        cell(Range, options.largest().min(64 * MIB), 16, false),
        cell(List, 0, 16, false),
    ]);
    if options.full || options.smoke() {
        cells.extend([
            cell(Head, 4 * KIB, 64, false),
            cell(Get, MIB, 16, true),
            cell(Put, MIB, 16, true),
        ]);
    }
    if options.smoke() {
        cells.iter_mut().for_each(|cell| cell.work.connections = 2);
    } else if options.full {
        cells.push(cell(Get, 64 * MIB, 4, false));
    }
    cells
}

/// The sizes of the objects that those cells read.
pub(crate) fn sizes(cells: &[Cell], wire: Wire) -> Vec<u64> {
    let mut sizes: Vec<u64> = cells
        .iter()
        .filter(|cell| cell.wire == wire && !matches!(cell.work.kind, Kind::Put | Kind::Part | Kind::List))
        .map(|cell| cell.work.size)
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Measures a cell: every round on every side, each round beginning with another one.
pub(crate) async fn measure(
    world: &World,
    cell: Cell,
    options: &Options,
    progress: &mut Progress,
) -> Result<Measured, Problem> {
    let mut series: Vec<Series> = world
        .sides
        .iter()
        .map(|side| Series {
            side: side.name.to_owned(),
            samples: Vec::new(),
        })
        .collect();
    let count = world.sides.len();
    for round in 0..options.rounds() {
        for turn in 0..count {
            let number = (round + turn) % count;
            let side = &world.sides[number];
            progress.step(&format!("{}, {}", cell.name(), side.name));
            let target = match cell.wire {
                Wire::S3 => world.target(side, cell.tls)?,
                Wire::Azure => world.azure(side, cell.tls)?,
            };
            let sample = sample(world, &target, cell.work, options.span(), || side.process.cpu()).await?;
            if sample.errors > 0 {
                return Err(Problem::new(format!(
                    "{} at {}: {} answers were wrong",
                    cell.name(),
                    side.name,
                    sample.errors
                )));
            }
            series[number].samples.push(sample);
        }
    }
    Ok(Measured {
        name: cell.name(),
        wire: cell.wire,
        kind: format!("{:?}", cell.work.kind),
        size: cell.work.size,
        connections: cell.work.connections,
        tls: cell.tls,
        series,
    })
}

/// One round of one side.
pub(crate) async fn sample(
    world: &World,
    target: &Target,
    work: Work,
    span: Duration,
    cpu: impl Fn() -> Duration + Send + Sync,
) -> Result<Sample, Problem> {
    let counted = world.origin_counts().await?;
    let (outcome, before) = client::run(target, work, span, &cpu).await?;
    let cpu = cpu().saturating_sub(before);
    let counts = world.origin_counts().await?;
    let mut sample = Sample::of(&outcome, cpu);
    // The warming requests are counted by the origin too.
    let asked = (outcome.requests + outcome.warming) as f64;
    let given = outcome.bytes as f64 * asked / outcome.requests.max(1) as f64;
    sample.origin_requests = (counts.0 - counted.0) as f64 / asked;
    if work.kind == Kind::Range {
        sample.extra_bytes_per_request = ((counts.1 - counted.1) as f64 - given) / asked;
    }
    Ok(sample)
}

impl Sample {
    pub(crate) fn of(outcome: &Outcome, cpu: Duration) -> Self {
        let seconds = outcome.elapsed.as_secs_f64().max(f64::EPSILON);
        let (requests, gigabytes) = (outcome.requests as f64, outcome.bytes as f64 / 1e9);
        let per = |whole: f64, parts: f64| if parts > 0.0 { whole / parts } else { 0.0 };
        Self {
            requests_per_second: requests / seconds,
            gigabytes_per_second: gigabytes / seconds,
            cpu_seconds_per_gigabyte: per(cpu.as_secs_f64(), gigabytes),
            cpu_microseconds_per_request: per(cpu.as_secs_f64() * 1e6, requests),
            p50_microseconds: percentile(&outcome.latencies, 0.5),
            p99_microseconds: percentile(&outcome.latencies, 0.99),
            p999_microseconds: percentile(&outcome.latencies, 0.999),
            first_byte_p50_microseconds: percentile(&outcome.first_bytes, 0.5),
            first_byte_p99_microseconds: percentile(&outcome.first_bytes, 0.99),
            origin_requests: 0.0,
            extra_bytes_per_request: 0.0,
            errors: outcome.errors,
        }
    }
}

impl Measured {
    /// The most that it may cost the gate, as a multiple of what it costs the pass-through, where there is a goal.
    pub(crate) fn goal(&self) -> Option<f64> {
        match (self.kind.as_str(), self.size) {
            ("List", _) => Some(1.3),
            ("Get" | "Put", ..=4096) if !self.tls => Some(1.35),
            ("Get" | "Put" | "Part", MIB..) if self.tls => Some(1.25),
            ("Get" | "Put" | "Part", MIB..) => Some(1.4),
            _ => None,
        }
    }

    /// How many requests to the store one of a client's takes.
    pub(crate) fn store_requests(&self) -> f64 {
        match (self.wire, self.kind.as_str()) {
            // Its MD5 is known at the body's end: the blocks that wait, the block, the footer, the list of both.
            (Wire::Azure, "Put") if self.size > 256 * KIB => 4.0,
            // The header of the block that the range is in, where it is not at its beginning.
            (Wire::Azure, "Range") if self.size > 256 * KIB => 2.0,
            _ => 1.0,
        }
    }

    /// The median of a figure over a side's rounds; `None` if the side was not there.
    pub(crate) fn median(&self, side: &str, figure: impl Fn(&Sample) -> f64) -> Option<f64> {
        let series = self.series.iter().find(|series| series.side == side)?;
        median(series.samples.iter().map(figure).collect())
    }

    /// The median of the rounds' ratios of a figure, one side's to another's.
    pub(crate) fn ratio(&self, of: &str, to: &str, figure: impl Fn(&Sample) -> f64) -> Option<f64> {
        let find = |side: &str| self.series.iter().find(|series| series.side == side);
        let (of, to) = (find(of)?, find(to)?);
        let pairs = of.samples.iter().zip(&to.samples);
        median(
            pairs
                .map(|(a, b)| figure(a) / figure(b))
                .filter(|ratio| ratio.is_finite())
                .collect(),
        )
    }

    /// The median of the rounds' differences.
    pub(crate) fn difference(&self, of: &str, to: &str, figure: impl Fn(&Sample) -> f64) -> Option<f64> {
        let find = |side: &str| self.series.iter().find(|series| series.side == side);
        let (of, to) = (find(of)?, find(to)?);
        median(
            of.samples
                .iter()
                .zip(&to.samples)
                .map(|(a, b)| figure(a) - figure(b))
                .collect(),
        )
    }
}

/// Of ascending values, in microseconds; 0 of none.
pub(crate) fn percentile(sorted: &[Duration], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let index = (last as f64 * part).round() as usize;
    sorted.get(index).map_or(0.0, |value| value.as_secs_f64() * 1e6)
}

pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        len if len % 2 == 1 => values.get(middle).copied(),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// A size as people say it.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0 => "empty".to_owned(),
        bytes if bytes % GIB == 0 => format!("{} GiB", bytes / GIB),
        bytes if bytes % MIB == 0 => format!("{} MiB", bytes / MIB),
        bytes => format!("{} KiB", bytes / KIB),
    }
}
