//! One line of JSON a run, so that what a change did shows.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use serde_json::{Map, json};

use super::Problem;
use super::report::{Report, cost};

/// Adds the run to `history.jsonl`: of each work what it costs the gate, and how that stands to the pass-through and to nginx.
pub(crate) fn append(folder: &Path, report: &Report) -> Result<(), Problem> {
    let mut cells = Map::new();
    for cell in &report.cells {
        let (figure, unit) = cost(cell);
        let line = json!({
            "cpu": cell.median("gate", figure),
            "unit": unit,
            "to_pass": cell.ratio("gate", "pass", figure),
            "to_nginx": cell.ratio("gate", "nginx", figure),
            "throughput_to_pass": cell.ratio("gate", "pass", |sample| sample.requests_per_second),
        });
        cells.insert(cell.name.clone(), line);
    }
    let line = json!({
        "unix_time": report.unix_time,
        "commit": report.commit,
        "note": report.note,
        "command": report.command,
        "machine": report.machine,
        "cells": cells,
    });
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("history.jsonl"))?;
    writeln!(file, "{line}")?;
    Ok(())
}
