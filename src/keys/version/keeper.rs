//! Who keeps a grant alive: proves it again in time, and at once where somebody wishes it or the clock was set.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::keys::budget::Purpose;
use crate::keys::lease::Grant;
use crate::keys::refusal::Unavailable;
use crate::keys::version::Version;
use crate::telemetry::audit::{self, Event};
use crate::telemetry::clock::Clock;

/// A wall clock set by more than this asks for a new proof.
const WALL_JUMP: Duration = Duration::from_secs(1);

/// Keeps a grant alive while it is in use, and ends it when its time is up: one task a grant, gone with it. It looks at the
/// clocks in short slices, also while it waits for the vault: timers stand still while the machine sleeps.
pub(super) async fn keep(version: Arc<Version>, grant: Arc<Grant>) {
    let clock = &version.clock;
    let bound = version.bounds.revocation;
    let slice = (bound / 10).clamp(Duration::from_millis(100), Duration::from_secs(1));
    let mut last_look = clock.now();
    let (mut jumped, mut wish, mut asked_for) = (false, 0, 0);
    let mut not_before = last_look.boot + bound / 10;
    let mut lead = renewal_lead(clock, bound);
    let mut renewal: Option<Renewal> = None;
    while grant.live().is_ok() {
        let now = clock.now();
        let wishes = grant.wishes();
        jumped |= now.wall_jump(last_look) > WALL_JUMP || wishes > wish;
        (last_look, wish) = (now, wishes);
        let left = grant.ends().left(now);
        let to_due = left.saturating_sub(lead).max(not_before.saturating_sub(now.boot));
        let wanted = jumped || (to_due.is_zero() && grant.in_use());
        if wanted && renewal.is_none() && version.refuses().is_none() {
            renewal = Some(Box::pin(renew(Arc::clone(&version), Arc::clone(&grant), jumped)));
            (jumped, asked_for) = (false, wish);
        }
        let next = if to_due.is_zero() { slice } else { to_due };
        let nap = next.min(left).min(slice).max(Duration::from_millis(1));
        tokio::select! {
            biased;
            () = finished(&mut renewal) => {
                renewal = None;
                grant.heed(asked_for);
                // Neither an end that the identity's clock brings near nor a quick failure may become a stream of calls.
                not_before = clock.now().boot + bound / 10;
                lead = renewal_lead(clock, bound);
            }
            () = grant.wake.notified() => {}
            () = clock.sleep(nap) => {}
        }
    }
    let why = grant.end(Unavailable::Lapsed.into());
    audit::record(&Event::LeaseEnded {
        tenant: &version.tenant,
        version: &grant.version(),
        reason: why.name(),
    });
}

type Renewal = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How long before its end a grant is renewed: two thirds of the bound, a little more by chance so that replicas spread out.
fn renewal_lead(clock: &Clock, bound: Duration) -> Duration {
    (bound / 3).mul_f64(2.0 + 0.15 * clock.chance())
}

/// Proves the version again by one of the grant's DEKs. What comes of it shows in the version and in the grant.
async fn renew(version: Arc<Version>, grant: Arc<Grant>, although_renewed: bool) {
    let ends = grant.ends();
    version.look_at_dates();
    let now = version.clock.now();
    // A failure is the grant's silence now.
    let Ok(session) = version.session(Purpose::Renewal, now).await else {
        return;
    };
    // A request for another DEK may have proved the version meanwhile, or heard that the vault is to be left alone.
    if (grant.ends() != ends && !although_renewed) || version.refuses().is_some() {
        return;
    }
    if let Some((dek, envelope)) = grant.canary() {
        // A failure has been heard where it matters.
        let _ = version.prove(session, dek, &envelope).await;
    }
}

async fn finished(renewal: &mut Option<Renewal>) {
    match renewal {
        Some(renewal) => renewal.as_mut().await,
        None => std::future::pending().await,
    }
}
