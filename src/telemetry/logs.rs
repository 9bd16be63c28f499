//! Where log lines go and how they look.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line, for machines.
    #[default]
    Json,
    /// For people.
    Text,
}

/// The cloud SDK tells of every credential it makes and of every failed request, which the gate itself tells better.
const QUIETER: &str = "azure_identity=warn,azure_core=warn,typespec_client_core=warn";

/// Sends this process's log to standard error. `filter` is a directive list as `tracing` reads it (`info`, `portcullis=debug`);
/// one that does not parse falls back to `info`. A second call changes nothing.
pub fn start(format: Format, filter: &str) {
    // What comes later in the list wins: a filter that names the SDK's crates is obeyed.
    let filter = EnvFilter::try_new(format!("{QUIETER},{filter}")).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A subscriber that is already there (tests) stays.
    let _ = match format {
        Format::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init(),
        Format::Text => builder
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .compact()
            .try_init(),
    };
}
