//! What the gate is to an Azure store: its account key, a SAS, or an identity of its own with a token of Entra's.
//!
//! A token is for the whole store and kept until shortly before it ends; nothing else that a request needs is remembered.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use time::OffsetDateTime;

use crate::keys::identity::Identity;
use crate::keys::transport::Transport;
use crate::telemetry::clock::{Clock, Moment};
use crate::upstream::azure::parameters;
use crate::upstream::shared_key::AccountKey;
use crate::upstream::store::StoreError;

/// What tokens are asked for: every storage account of the public cloud and the others
/// (<https://learn.microsoft.com/azure/storage/blobs/authorize-access-azure-active-directory>).
const SCOPE: &str = "https://storage.azure.com/.default";
/// A token is renewed this long before it ends.
const EARLY: Duration = Duration::from_secs(5 * 60);
/// After an exchange that failed, the next one waits this long.
const PAUSE: Duration = Duration::from_secs(2);

/// How the gate proves itself to a store.
pub enum AzureCredential {
    /// The account's key.
    Key(Box<AccountKey>),
    /// A shared access signature.
    Sas(StoreSas),
    /// A managed identity, a service account, or an application in another tenant.
    Identity(Identity),
}

/// A SAS of the store's, by its parameters. Never shown.
pub struct StoreSas {
    pairs: Vec<(String, String)>,
}

/// A text that is no SAS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SAS is a query with `sv` and `sig` at least")]
pub struct InvalidSas;

impl StoreSas {
    /// Reads a query such as the portal gives, with or without its question mark.
    ///
    /// # Errors
    /// It has no signature, or names a parameter twice.
    pub fn parse(text: &str) -> Result<Self, InvalidSas> {
        let text = text.trim().trim_start_matches('?');
        // A signature in base64 may have a plus that nobody encoded; nothing else of a SAS has one, and none has a space.
        let pairs = parameters(&text.replace('+', "%2B")).ok_or(InvalidSas)?;
        let count = |name: &str| pairs.iter().filter(|(own, _)| own == name).count();
        let once = pairs.iter().all(|(name, _)| count(name) == 1);
        match once && count("sv") == 1 && count("sig") == 1 {
            true => Ok(Self { pairs }),
            false => Err(InvalidSas),
        }
    }

    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }
}

/// The credential at work.
pub(super) enum Standing {
    Key(Box<AccountKey>),
    Sas(StoreSas),
    Identity(Box<Tokens>),
}

impl Standing {
    pub(super) fn new(credential: AzureCredential, transport: &Transport, clock: &Clock) -> Self {
        match credential {
            AzureCredential::Key(key) => Self::Key(key),
            AzureCredential::Sas(sas) => Self::Sas(sas),
            AzureCredential::Identity(identity) => Self::Identity(Box::new(Tokens {
                identity,
                transport: transport.clone(),
                clock: clock.clone(),
                held: Mutex::default(),
                asking: tokio::sync::Mutex::default(),
            })),
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Key(_) => "the account's key",
            Self::Sas(_) => "a SAS",
            Self::Identity(_) => "an identity of its own",
        }
    }

    /// The token for a request, where there is one.
    pub(super) async fn token(&self) -> Result<Option<HeaderValue>, StoreError> {
        match self {
            Self::Key(_) | Self::Sas(_) => Ok(None),
            Self::Identity(tokens) => tokens.get().await.map(Some),
        }
    }
}

/// The token of an identity, renewed as it is used.
pub(super) struct Tokens {
    identity: Identity,
    transport: Transport,
    clock: Clock,
    held: Mutex<Held>,
    /// One exchange at a time, however many requests wait for it.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Held {
    token: Option<(HeaderValue, SystemTime)>,
    failed: Option<Moment>,
}

impl Held {
    /// The token, if it counts for `more`.
    fn token(&self, now: Moment, more: Duration) -> Option<HeaderValue> {
        let (token, ends) = self.token.as_ref()?;
        (now.system_time() + more < *ends).then(|| token.clone())
    }
}

impl Tokens {
    async fn get(&self) -> Result<HeaderValue, StoreError> {
        if let Some(token) = self.held().token(self.clock.now(), EARLY) {
            return Ok(token);
        }
        let _one = self.asking.lock().await;
        let now = self.clock.now();
        {
            // Whoever was before this one in the queue may have fetched it; and one that just failed would fail again.
            let held = self.held();
            let paused = held.failed.is_some_and(|failed| !failed.after(PAUSE).reached(now));
            let enough = if paused { Duration::ZERO } else { EARLY };
            if let Some(token) = held.token(now, enough) {
                return Ok(token);
            }
            if paused {
                return Err(StoreError::Unreachable);
            }
        }
        let answer = self.identity.exchange(&self.transport, SCOPE).await;
        let mut held = self.held();
        match answer {
            Ok(token) => {
                let header = HeaderValue::try_from(format!("Bearer {}", token.token.secret()));
                let mut header = header.map_err(|_| StoreError::Unspeakable)?;
                header.set_sensitive(true);
                held.token = Some((header.clone(), OffsetDateTime::into(token.expires_on)));
                held.failed = None;
                Ok(header)
            }
            Err(refusal) => {
                tracing::error!(reason = refusal.name(), "no token for the store");
                held.failed = Some(now);
                held.token(now, Duration::ZERO).ok_or(StoreError::Unreachable)
            }
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sas_is_read_as_the_portal_gives_it() {
        let sas = StoreSas::parse("?sv=2026-04-06&sp=rwdl&sig=a+b%2Fc%3D\n").unwrap();
        let sig = sas.pairs().iter().find(|(name, _)| name == "sig");
        assert_eq!(sig.map(|(_, value)| value.as_str()), Some("a+b/c="));
        for text in ["", "sv=2026-04-06", "sig=x", "sv=1&sig=x&sig=y", "https://x/?sv=1"] {
            assert_eq!(StoreSas::parse(text).err(), Some(InvalidSas), "{text}");
        }
    }

    #[test]
    fn a_token_counts_until_it_ends_and_is_renewed_before() {
        let clock = Clock::system();
        let now = clock.now();
        let held = Held {
            token: Some((HeaderValue::from_static("Bearer x"), now.system_time() + EARLY)),
            failed: None,
        };
        assert!(held.token(now, Duration::ZERO).is_some());
        assert!(held.token(now, EARLY).is_none());
        assert!(held.token(now.after(EARLY), Duration::ZERO).is_none());
    }
}
