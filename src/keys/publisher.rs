//! Whether an application's publisher has deactivated it. Entra says the same of an application that one customer has disabled and of
//! one that is deactivated everywhere (AADSTS7000112), and no customer acts for another: so if the tenants of one application fall away
//! one after the other, and none of them is given a token in between, it is probably the ISV's own doing. That is said in the log.
//! It decides nothing: each tenant is refused with its own reason as ever.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::keys::refusal::{IdentityFault, Refusal, Revoked, Unavailable};
use crate::telemetry::clock::Moment;

/// So many tenants are more than customers who happen to act at once.
const MANY: usize = 3;

/// What Entra says of the applications of this gate's tenants.
pub(super) struct Publishers {
    /// Tenants that fall away within this belong together: each asks Entra for a token once in a third of it.
    within: Duration,
    seen: Mutex<HashMap<String, Seen>>,
}

/// Of one application.
#[derive(Default)]
struct Seen {
    /// The tenants that Entra last said it of.
    out: HashSet<Arc<str>>,
    /// When it began, of those where it has since any tenant was last given a token.
    began: HashMap<Arc<str>, Moment>,
    told: bool,
}

impl Publishers {
    /// `within` is `identity_bound`.
    pub(super) fn new(within: Duration) -> Self {
        Self {
            within,
            seen: Mutex::default(),
        }
    }

    /// An exchange of this tenant's, for a token of this application's, came to this answer at `now`. Where it is one
    /// more of many, and nobody has been told yet, says so in the log, and how many there are.
    pub(super) fn heard(
        &self,
        application: &str,
        tenant: &Arc<str>,
        answer: Result<(), Refusal>,
        now: Moment,
    ) -> Option<usize> {
        let mut all = self.seen();
        let seen = all.entry(application.to_owned()).or_default();
        match answer {
            Ok(()) => {
                // An application that is given a token is not deactivated.
                seen.out.remove(tenant);
                seen.began.clear();
                seen.told = false;
                return None;
            }
            Err(refusal) if !is_deactivated(refusal) => return None,
            Err(_) => {}
        }
        if seen.out.insert(Arc::clone(tenant)) {
            seen.began.insert(Arc::clone(tenant), now);
        }
        seen.began.retain(|_, began| now.since(*began) <= self.within);
        let tenants = seen.began.len();
        if tenants < MANY || std::mem::replace(&mut seen.told, true) {
            return None;
        }
        drop(all);
        tracing::error!(
            application,
            tenants,
            "Entra calls the application disabled for several tenants at once: it is probably deactivated by its publisher, \
             and not disabled by each of these customers"
        );
        Some(tenants)
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<String, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// AADSTS7000112, and AADSTS70001, which only the publisher can cause.
fn is_deactivated(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Revoked(Revoked::AppDisabled)
            | Refusal::Unavailable(Unavailable::Identity(IdentityFault::AppDeactivated))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::clock::Clock;

    const APP: &str = "app";
    const DISABLED: Result<(), Refusal> = Err(Refusal::Revoked(Revoked::AppDisabled));

    #[tokio::test(start_paused = true)]
    async fn many_at_once_are_told_of_once() {
        let (clock, _) = Clock::virtual_time(1);
        let publishers = Publishers::new(Duration::from_secs(600));
        let heard = |tenant: &str, answer| publishers.heard(APP, &tenant.into(), answer, clock.now());
        let deactivated = Err(IdentityFault::AppDeactivated.into());
        assert_eq!(heard("a", DISABLED), None);
        assert_eq!(heard("a", DISABLED), None, "one tenant, however often it asks");
        assert_eq!(heard("b", deactivated), None);
        assert_eq!(publishers.heard("other", &"c".into(), DISABLED, clock.now()), None);
        assert_eq!(heard("c", DISABLED), Some(3));
        assert_eq!(heard("d", DISABLED), None, "it has been said");
        for tenant in ["a", "b", "c", "d"] {
            assert_eq!(heard(tenant, Ok(())), None);
        }
        for (tenant, told) in [("a", None), ("b", None), ("c", Some(3))] {
            assert_eq!(heard(tenant, DISABLED), told, "again, after a yes");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_customer_here_and_there_is_none_of_the_publishers_doing() {
        let (clock, _) = Clock::virtual_time(1);
        let publishers = Publishers::new(Duration::from_secs(600));
        let heard = |tenant: &str, answer| publishers.heard(APP, &tenant.into(), answer, clock.now());
        for tenant in ["a", "b"] {
            assert_eq!(heard(tenant, DISABLED), None);
        }
        assert_eq!(heard("fine", Ok(())), None, "another tenant is given a token");
        for tenant in ["a", "b", "c", "a", "b", "c"] {
            assert_eq!(heard(tenant, DISABLED), None, "only one of them is new since");
        }
        tokio::time::sleep(Duration::from_secs(601)).await;
        for tenant in ["d", "e"] {
            assert_eq!(heard(tenant, DISABLED), None, "the bound is over");
        }
        let removed = Err(Revoked::AppNotInstalled.into());
        assert_eq!(heard("f", removed), None, "that is another no");
        assert_eq!(heard("f", DISABLED), Some(3));
    }
}
