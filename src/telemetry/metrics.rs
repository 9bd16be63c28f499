//! What is counted, for Prometheus. Labels are fixed words; never a name that a client chose.

use std::sync::OnceLock;
use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answer {
    answer: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    operation: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HeldBack {
    to: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Told {
    notice: &'static str,
}

struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    running: Gauge<i64, AtomicI64>,
    proofs: Family<Answer, Counter>,
    exchanges: Family<Answer, Counter>,
    held_back: Family<HeldBack, Counter>,
    cckm_polls: Family<Answer, Counter>,
    cckm_notices: Family<Told, Counter>,
    cuts: Counter,
    tampered: Counter,
}

fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("portcullis"),
            requests: Family::default(),
            running: Gauge::default(),
            proofs: Family::default(),
            exchanges: Family::default(),
            held_back: Family::default(),
            cckm_polls: Family::default(),
            cckm_notices: Family::default(),
            cuts: Counter::default(),
            tampered: Counter::default(),
        };
        let registry = &mut metrics.registry;
        registry.register(
            "requests",
            "Requests answered, by operation and status",
            metrics.requests.clone(),
        );
        registry.register(
            "requests_running",
            "Requests being answered now",
            metrics.running.clone(),
        );
        registry.register("vault_proofs", "unwrapKey calls, by answer", metrics.proofs.clone());
        registry.register(
            "token_exchanges",
            "Token exchanges, by answer",
            metrics.exchanges.clone(),
        );
        registry.register(
            "calls_held_back",
            "Calls that waited for the budget, and those of them it had no room for",
            metrics.held_back.clone(),
        );
        registry.register(
            "cckm_polls",
            "Questions to CipherTrust Managers, by answer",
            metrics.cckm_polls.clone(),
        );
        registry.register(
            "cckm_notices",
            "What CCKM said of keys that is worth knowing",
            metrics.cckm_notices.clone(),
        );
        registry.register(
            "streams_cut",
            "Running transfers cut because a lease ended",
            metrics.cuts.clone(),
        );
        registry.register(
            "objects_tampered",
            "Objects refused because they are not what was sealed",
            metrics.tampered.clone(),
        );
        metrics
    })
}

/// A request was answered.
pub fn request(operation: &'static str, status: u16) {
    metrics().requests.get_or_create(&Request { operation, status }).inc();
}

/// A request that is being answered; counted until dropped.
pub struct Running;

impl Running {
    /// Counts one more.
    #[must_use]
    pub fn begin() -> Self {
        metrics().running.inc();
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        metrics().running.dec();
    }
}

/// The vault was asked to unwrap; `answer` is `yes` or a refusal's name.
pub fn vault_proof(answer: &'static str) {
    metrics().proofs.get_or_create(&Answer { answer }).inc();
}

/// A token was exchanged; `answer` is `yes` or a refusal's name.
pub fn token_exchange(answer: &'static str) {
    metrics().exchanges.get_or_create(&Answer { answer }).inc();
}

/// A call to a service had to wait for the budget (`waited`), or had waited in vain (`exhausted`).
pub fn held_back(to: &'static str, outcome: &'static str) {
    metrics().held_back.get_or_create(&HeldBack { to, outcome }).inc();
}

/// A CipherTrust Manager was asked; `answer` is `ok` or why it told nothing.
pub fn cckm_poll(answer: &'static str) {
    metrics().cckm_polls.get_or_create(&Answer { answer }).inc();
}

/// CCKM said something noteworthy of a key.
pub fn cckm_notice(notice: &'static str) {
    metrics().cckm_notices.get_or_create(&Told { notice }).inc();
}

/// A running transfer was cut.
pub fn stream_cut() {
    metrics().cuts.inc();
}

/// An object was refused as tampered.
pub fn tampered() {
    metrics().tampered.inc();
}

/// All of it in the OpenMetrics text format.
pub fn render() -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = encode(&mut text, &metrics().registry);
    text
}
