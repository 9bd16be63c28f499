//! Stored access policies: what a service SAS leaves to its container, asked of the store and remembered for a moment.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::Method;

use crate::azure::account::Container;
use crate::azure::auth::Policy;
use crate::azure::error::AzureError;
use crate::azure::exchange::{Ask, document, query, send};
use crate::telemetry::clock::{Clock, Moment};

/// How long a policy counts after it was read. Azure itself says that a change may take 30 seconds to be everywhere:
/// <https://learn.microsoft.com/rest/api/storageservices/define-stored-access-policy>.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Containers whose policies are remembered at once.
const MOST: usize = 10_000;

/// Until when they count, and one container's policies by their names.
type Known = (Moment, HashMap<String, Policy>);

/// The policies of containers that SAS named lately.
pub struct Policies {
    clock: Clock,
    known: Mutex<HashMap<(String, String), Known>>,
}

impl Policies {
    /// None known yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            known: Mutex::default(),
        }
    }

    /// The policy of that name, of an account's container; `None` where there is none.
    ///
    /// # Errors
    /// The store gave no answer.
    pub async fn get(&self, account: &str, container: &Container, id: &str) -> Result<Option<Policy>, AzureError> {
        let place = (account.to_owned(), container.name.clone());
        let now = self.clock.now();
        if let Some((until, policies)) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&place)
            && !until.reached(now)
        {
            return Ok(policies.get(id).cloned());
        }
        let ask = Ask::new(Method::GET, query(&[("restype", "container"), ("comp", "acl")]));
        let (_, acl) = document(send(container, false, "", ask).await?).await?;
        let policies: HashMap<String, Policy> = acl
            .children
            .iter()
            .map(|identifier| {
                let policy = identifier.child("AccessPolicy");
                let text = |name: &str| policy.map_or("", |policy| policy.text_of(name)).to_owned();
                let policy = Policy {
                    start: text("Start"),
                    expiry: text("Expiry"),
                    permissions: text("Permission"),
                };
                (identifier.text_of("Id").to_owned(), policy)
            })
            .collect();
        let found = policies.get(id).cloned();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (until, _)| !until.reached(now));
        if known.len() < MOST {
            known.insert(place, (now.after(REMEMBERED), policies));
        }
        Ok(found)
    }

    /// Forgets a container's policies, since they were just changed here.
    pub fn forget(&self, account: &str, container: &str) {
        let place = (account.to_owned(), container.to_owned());
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&place);
    }
}
