//! The audit as an operator would keep it: every event of this process, by tenant.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// One audit event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    fields: BTreeMap<&'static str, String>,
    /// Whether a request's span, and so its id, stood around it.
    pub in_request: bool,
}

static KEPT: Mutex<Vec<Record>> = Mutex::new(Vec::new());

/// Keeps every audit event from now on.
pub fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let wanted = Targets::new()
            .with_target("portcullis::audit", LevelFilter::INFO)
            .with_target("portcullis::gateway", LevelFilter::INFO);
        let subscriber = tracing_subscriber::registry().with(Keeper.with_filter(wanted));
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

/// A tenant's events of one name, oldest first.
pub fn records(tenant: &str, event: &str) -> Vec<Record> {
    let wanted = |record: &&Record| record.field("tenant") == tenant && record.field("event") == event;
    kept().iter().filter(wanted).cloned().collect()
}

impl Record {
    /// A field's text; empty if the event does not have it.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

struct Keeper;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Keeper {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target() != "portcullis::audit" {
            return;
        }
        let mut record = Record::default();
        event.record(&mut record);
        let scope = context.event_scope(event);
        record.in_request = scope.is_some_and(|mut spans| spans.any(|span| span.name() == "request"));
        kept().push(record);
    }
}

impl Visit for Record {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }
}

fn kept() -> MutexGuard<'static, Vec<Record>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}
