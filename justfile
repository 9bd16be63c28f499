# The recipes of the project. `just` alone lists them.

_list:
    @{{ just_executable() }} --list --unsorted

# Everything that must hold before a change is merged.
check: fmt-check clippy test deny doc

# Formats the code.
fmt:
    cargo fmt

# Whether the code is formatted.
fmt-check:
    cargo fmt --check

# Lints; a warning is a failure.
clippy:
    cargo clippy --locked --all-targets -- -D warnings

# All tests, or those whose name contains FILTER.
test *FILTER:
    cargo test --locked {{ FILTER }}

# Licences, advisories, banned crates, sources (needs cargo-deny; fetches the advisory database).
deny:
    cargo deny check

# The crate's documentation; a broken link is a failure.
doc $RUSTDOCFLAGS="-D warnings":
    cargo doc --locked --no-deps

# The golden objects, opened by the Python reference (needs the package `cryptography`).
vectors:
    python3 tests/vectors/reference.py check

# Runs the gate as CONFIG says.
run CONFIG:
    cargo run --locked --release -- serve --config {{ quote(CONFIG) }}

# Runs everything on loopback: a store, a stand-in for Entra and Key Vault, and the gate; ARGS as `portcullis dev --help` lists them.
dev *ARGS:
    cargo run --locked -- dev {{ ARGS }}
