//! Where log lines go and how they look.

use std::io::IsTerminal;

use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use crate::telemetry::trail::{Trail, TrailLayer};

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

/// Sends this process's log to standard error, and the audit to `trail` too, whatever the filter. `filter` is a directive list as `tracing` reads it (`info`, `portcullis=debug`);
/// one that does not parse falls back to `info`. A second call changes nothing.
pub fn start(format: Format, filter: &str, trail: Option<Trail>) {
    // What comes later in the list wins: a filter that names the SDK's crates is obeyed.
    let filter = EnvFilter::try_new(format!("{QUIETER},{filter}")).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        Format::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_filter(filter)
            .boxed(),
        Format::Text => lines
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .compact()
            .with_filter(filter)
            .boxed(),
    };
    // A subscriber that is already there (tests) stays.
    let _ = tracing_subscriber::registry()
        .with(lines)
        .with(trail.map(TrailLayer))
        .try_init();
}
