//! The architecture, held: a module imports itself and what stands before it in the list, and every file says what it owns.

use std::fs;
use std::path::{Path, PathBuf};

/// Lowest first. Modules of one row know nothing of each other.
const LAYERS: &[&[&str]] = &[
    &["seal"],
    &["telemetry"],
    &["keys", "cckm"],
    &["body"],
    &["upstream"],
    &["tenant"],
    &["s3", "azure"],
    &["gateway"],
    &["listener", "admin"],
    &["config"],
    &["dev"],
    &["commands"],
];

/// Tests of a module may stand on what is above it: they build the world the module lives in.
fn is_test(path: &Path) -> bool {
    path.components()
        .any(|part| part.as_os_str().to_string_lossy().contains("test"))
}

#[test]
fn a_module_imports_only_what_stands_before_it() {
    let mut wrong = Vec::new();
    for file in sources().iter().filter(|file| !is_test(file)) {
        let text = fs::read_to_string(file).unwrap();
        // A file's own tests stand at its end.
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let Some(own) = module_of(file) else { continue };
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for used in line.split("crate::").skip(1) {
                let name: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if let Some(layer) = layer(&name)
                    && name != own
                    && layer >= layer_of(&own)
                {
                    wrong.push(format!("{}: {own} imports {name}: {}", file.display(), line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_binary_wipes_what_it_frees() {
    // `tests/secrets` looks for what is left in memory, in a process of its own that does the same.
    for file in ["src/main.rs", "tests/secrets/main.rs"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let said = text.split("#[global_allocator]\n").nth(1).unwrap_or_default();
        assert!(
            said.starts_with("static ALLOCATOR: ") && said.contains("= portcullis::ALLOCATOR;"),
            "{file}"
        );
    }
}

#[test]
fn every_file_opens_with_what_it_owns() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|file| !fs::read_to_string(file).unwrap().starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn no_file_is_longer_than_one_reads() {
    let long = |file: &PathBuf| fs::read_to_string(file).unwrap().lines().count() > 500;
    let long: Vec<_> = sources().into_iter().filter(long).collect();
    assert!(long.is_empty(), "{long:?}");
}

#[test]
fn every_module_has_its_layer() {
    for entry in fs::read_dir(root()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(layer(&name).is_some(), "{name} is in no layer");
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![root()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 50, "the sources were not found");
    found
}

/// The top module that a file belongs to; none for `lib.rs` and `main.rs`.
fn module_of(file: &Path) -> Option<String> {
    let inner = file.strip_prefix(root()).ok()?;
    let first = inner.components().next()?.as_os_str().to_string_lossy().into_owned();
    (!first.ends_with(".rs")).then_some(first)
}

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&name))
}

fn layer_of(name: &str) -> usize {
    layer(name).unwrap_or(0)
}
