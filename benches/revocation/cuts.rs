//! When a gate itself says that it cut the customer's downloads: its audit, to be held beside what the clients saw.

use std::path::Path;
use std::time::Instant;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The last `stream_cut` of this tenant's between these moments, by the gate's log.
pub(crate) fn last(log: &Path, tenant: &str, from: Instant, to: Instant) -> Option<Instant> {
    let (wall, now) = (OffsetDateTime::now_utc(), Instant::now());
    let text = std::fs::read_to_string(log).ok()?;
    let cuts = text.lines().rev().filter(|line| line.contains("\"stream_cut\""));
    let times = cuts.filter_map(|line| {
        let event: Value = serde_json::from_str(line).ok()?;
        let is_theirs = event.get("tenant").and_then(Value::as_str) == Some(tenant);
        let at = OffsetDateTime::parse(event.get("timestamp")?.as_str()?, &Rfc3339).ok()?;
        let ago = (wall - at).try_into().ok()?;
        is_theirs.then(|| now.checked_sub(ago))?
    });
    times.filter(|at| (from..=to).contains(at)).max()
}
