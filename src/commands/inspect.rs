//! `portcullis inspect`: what a stored object's bytes are, as far as they tell without a key.
#![allow(clippy::print_stderr)] // a command's complaint

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde::Serialize;

use crate::commands::{Outcome, say};
use crate::seal::{HEADER_LEN, Header, Kind, SealedLen};

/// What an object says of itself. Nothing of it is proved: that takes the DEK.
#[derive(Serialize)]
struct Inspection {
    stored_bytes: u64,
    sealed: bool,
    problem: Option<String>,
    kind: Option<&'static str>,
    plaintext_bytes: Option<u64>,
    /// Whether the stored size is exactly what the plaintext's length makes.
    size_holds: Option<bool>,
    dek: Option<String>,
    cmk: Option<String>,
    key_version: Option<String>,
    wrap_algorithm: Option<String>,
    wrapped_bytes: Option<usize>,
}

/// Reads a file that holds a stored object's bytes, and prints what its header says. Finds something wrong where it bears no
/// seal, or its size is not the one that the law gives.
pub fn inspect(file: &Path, json: bool) -> Outcome {
    let inspection = match read(file) {
        Ok(inspection) => inspection,
        Err(error) => {
            eprintln!("portcullis: {}: {error}", file.display());
            return Outcome::CannotRun;
        }
    };
    match (json, serde_json::to_string(&inspection)) {
        (true, Ok(text)) => say(&text),
        _ => print(&inspection),
    }
    if inspection.problem.is_none() {
        Outcome::Done
    } else {
        Outcome::Found
    }
}

fn read(path: &Path) -> std::io::Result<Inspection> {
    let mut file = File::open(path)?;
    let stored = file.metadata()?.len();
    let header = if stored >= HEADER_LEN as u64 {
        Some(header_of(&mut file, stored)?)
    } else {
        None
    };
    Ok(match header {
        None => unsealed(stored, "shorter than a header: not a sealed object".to_owned()),
        Some(Err(error)) => unsealed(stored, error),
        Some(Ok(header)) => describe(stored, &header),
    })
}

/// The header at the front; of a multipart object the footer's, which stands last.
fn header_of(file: &mut File, stored: u64) -> std::io::Result<Result<Header, String>> {
    let mut at = |offset| -> std::io::Result<Result<Header, String>> {
        let mut bytes = [0; HEADER_LEN];
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(&mut bytes)?;
        Ok(Header::parse(&bytes).map_err(|error| error.to_string()))
    };
    let front = at(0)?;
    match &front {
        Ok(header) if header.core().kind() != Kind::Whole => {
            let last = at(stored - HEADER_LEN as u64)?;
            Ok(if last.as_ref().is_ok_and(|last| last.core().kind() == Kind::Footer) {
                last
            } else {
                front
            })
        }
        _ => Ok(front),
    }
}

fn unsealed(stored: u64, problem: String) -> Inspection {
    Inspection {
        stored_bytes: stored,
        sealed: false,
        problem: Some(problem),
        kind: None,
        plaintext_bytes: None,
        size_holds: None,
        dek: None,
        cmk: None,
        key_version: None,
        wrap_algorithm: None,
        wrapped_bytes: None,
    }
}

fn describe(stored: u64, header: &Header) -> Inspection {
    let (core, envelope) = (header.core(), header.envelope());
    let len = core.plain_len();
    let expected = match core.kind() {
        Kind::Whole | Kind::Footer => len.sealed(),
        Kind::Part | Kind::Block => len.segment(),
        Kind::Append => len.append(),
    };
    let holds = expected == Some(SealedLen(stored));
    Inspection {
        stored_bytes: stored,
        sealed: true,
        problem: (!holds).then(|| {
            let expected = expected.map_or_else(|| "no size".to_owned(), |expected| format!("{} bytes", expected.0));
            format!("{} bytes of plaintext make {expected}, not {stored}", len.0)
        }),
        kind: Some(match core.kind() {
            Kind::Whole => "whole",
            Kind::Part => "part",
            Kind::Block => "block",
            Kind::Append => "append",
            Kind::Footer => "multipart",
        }),
        plaintext_bytes: Some(len.0),
        size_holds: Some(holds),
        dek: Some(core.dek_id().to_string()),
        cmk: Some(envelope.cmk().to_string()),
        key_version: Some(envelope.version().to_string()),
        wrap_algorithm: Some(format!("{:?}", envelope.algorithm())),
        wrapped_bytes: Some(envelope.wrapped().len()),
    }
}

fn print(inspection: &Inspection) {
    let line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            say(&format!("{name:<16}{value}"));
        }
    };
    line(
        "sealed",
        Some(if inspection.sealed {
            "yes".to_owned()
        } else {
            "no".to_owned()
        }),
    );
    line("kind", inspection.kind.map(str::to_owned));
    line(
        "plaintext",
        inspection.plaintext_bytes.map(|bytes| format!("{bytes} bytes")),
    );
    line("stored", Some(format!("{} bytes", inspection.stored_bytes)));
    line("DEK", inspection.dek.clone());
    line("CMK", inspection.cmk.clone());
    line("key version", inspection.key_version.clone());
    line("wrapped with", inspection.wrap_algorithm.clone());
    line("problem", inspection.problem.clone());
}
