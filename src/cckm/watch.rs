//! The watch over one CipherTrust Manager: what changed since it was last asked, what is noteworthy of that, and for which tenant
//! the vault is to be asked at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cckm::client::{CckmError, Client};
use crate::cckm::row::{KeyRow, State};
use crate::cckm::{CckmOptions, Watched};
use crate::telemetry::audit::{self, Event};
use crate::telemetry::clock::Clock;
use crate::telemetry::metrics;

/// A rotation is announced this long before it is due.
const AHEAD: Duration = Duration::from_secs(24 * 3600);

/// What the vault itself says, when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It unwraps.
    Yes,
    /// A definitive no, by its stable name.
    No(&'static str),
    /// Nobody answered.
    Silent,
}

/// Asks a tenant's vault now. The answer is the vault's, and acts on leases there; here it is only compared.
#[async_trait]
pub trait Prover: Send + Sync {
    /// One proof, past what is remembered.
    async fn prove(&self, tenant: &str) -> Proof;
}

/// Something that whoever runs the gate should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// A version was disabled.
    Disabled,
    /// A version was enabled again.
    Enabled,
    /// The key was deleted, and can be recovered.
    SoftDeleted,
    /// The key was purged.
    Deleted,
    /// The key came back from soft deletion.
    Recovered,
    /// The key came back from a backup after it had been purged.
    Restored,
    /// There is a new version.
    Rotated,
    /// A schedule will make a new version within a day.
    RotationDue,
    /// The schedule makes versions that are disabled: the newest one will be of no use.
    RotationDisables,
    /// CCKM has lost sight of the key.
    Missing,
    /// CCKM and the vault say different things.
    Disagreement,
}

/// What a tenant's key looks like to CCKM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Whose.
    pub tenant: String,
    /// The key's URL without version.
    pub key: String,
    /// The state of the newest version; `None` where CCKM does not know the key.
    pub state: Option<State>,
    /// All versions.
    pub versions: BTreeMap<String, State>,
    /// When CCKM last looked at the vault, as it says.
    pub synced: Option<String>,
    /// Whether CCKM holds a backup: then a purge does not end the key for good.
    pub backed_up: bool,
    /// When its schedule makes the next version (RFC 3339, UTC).
    pub rotates: Option<String>,
    /// Whether the vault said the same when it was last asked because of CCKM.
    pub agrees: Option<bool>,
}

/// What is shown of a manager.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Board {
    /// Its name in the configuration.
    pub manager: String,
    /// When it was last asked (RFC 3339, UTC).
    pub asked: Option<String>,
    /// `ok`, or why it told nothing.
    pub answer: Option<&'static str>,
    /// The tenants, as they were last seen.
    pub tenants: Vec<Seen>,
}

/// The watch over one manager.
pub struct Watch {
    client: Client,
    clock: Clock,
    prover: Arc<dyn Prover>,
    state: Mutex<Known>,
    /// One poll at a time.
    polling: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    board: Board,
    /// By tenant: what the next poll is compared with.
    tenants: HashMap<Arc<str>, Remembered>,
}

/// A tenant as it was.
#[derive(Clone, Default)]
struct Remembered {
    versions: BTreeMap<String, State>,
    /// The run that was announced.
    announced: Option<OffsetDateTime>,
    warned_of_disabling: bool,
    agrees: Option<bool>,
}

impl Watch {
    /// Asks nothing yet.
    ///
    /// # Errors
    /// No client can be made of the certificates.
    pub fn new(options: CckmOptions, clock: Clock, prover: Arc<dyn Prover>) -> Result<Self, CckmError> {
        let board = Board {
            manager: options.name.clone(),
            ..Board::default()
        };
        Ok(Self {
            client: Client::new(options)?,
            clock,
            prover,
            state: Mutex::new(Known {
                board,
                tenants: HashMap::new(),
            }),
            polling: tokio::sync::Mutex::default(),
        })
    }

    /// Asks at intervals, until dropped.
    pub async fn run(self: Arc<Self>) {
        loop {
            // Its error is told already.
            let _ = self.poll().await;
            tokio::time::sleep(self.client.options().interval).await;
        }
    }

    /// Asks once about every tenant, tells what is noteworthy, and has the vault asked where something changed.
    ///
    /// # Errors
    /// CipherTrust Manager told nothing about one tenant or more. What was known stays, and no lease is touched by it.
    pub async fn poll(&self) -> Result<Vec<(Arc<str>, Notice)>, CckmError> {
        let _alone = self.polling.lock().await;
        let mut notices = Vec::new();
        let (mut seen, mut failed) = (Vec::new(), None);
        for watched in &self.client.options().tenants {
            match self.look(watched).await {
                Ok((tenant, told)) => {
                    notices.extend(told.into_iter().map(|notice| (Arc::clone(&watched.tenant), notice)));
                    seen.push(tenant);
                }
                Err(error) => {
                    failed = Some(error);
                    // The others would fare no better.
                    break;
                }
            }
        }
        let answer = failed.map_or("ok", CckmError::name);
        metrics::cckm_poll(answer);
        let mut state = self.locked();
        let changed = state.board.answer != Some(answer);
        state.board.answer = Some(answer);
        state.board.asked = self.now().format(&Rfc3339).ok();
        match failed {
            None => {
                state.board.tenants = seen;
                Ok(notices)
            }
            Some(error) => {
                if changed {
                    let manager = self.client.options().name.as_str();
                    tracing::warn!(manager, %error, "CCKM tells nothing; the vaults decide as ever");
                }
                Err(error)
            }
        }
    }

    /// What was last seen.
    pub fn board(&self) -> Board {
        self.locked().board.clone()
    }

    async fn look(&self, watched: &Watched) -> Result<(Seen, Vec<Notice>), CckmError> {
        let key = watched.key.to_ascii_lowercase();
        let mut rows = self.client.keys(watched.name()).await?;
        rows.retain(|row| row.key == key);
        // Newest first; the row of a version that CCKM names twice is the one that lives.
        rows.sort_by(|a, b| (b.created, a.state, &a.version).cmp(&(a.created, b.state, &b.version)));
        let newest = rows.first();
        let job = newest.and_then(|row| row.rotation.clone());
        let next = match &job {
            Some(rotation) => self.client.schedule(&rotation.job).await?,
            None => None,
        };
        let now = self.now();
        let next = next.and_then(|schedule| schedule.next(now));

        let before = self.locked().tenants.get(&watched.tenant).cloned();
        let mut after = Remembered {
            versions: versions(&rows),
            ..before.clone().unwrap_or_default()
        };
        let mut notices = changes(before.as_ref().map(|known| &known.versions), &after.versions);
        let ask = !notices.is_empty();
        if let Some(run) = next.filter(|run| *run - now <= AHEAD)
            && after.announced != Some(run)
        {
            after.announced = Some(run);
            notices.push(Notice::RotationDue);
        }
        let disables = job.as_ref().is_some_and(|rotation| !rotation.enables);
        if disables && !after.warned_of_disabling {
            notices.push(Notice::RotationDisables);
        }
        after.warned_of_disabling = disables;
        if ask {
            let agrees = self.agrees(&watched.tenant, &rows).await;
            if agrees == Some(false) && after.agrees != Some(false) {
                notices.push(Notice::Disagreement);
            }
            after.agrees = agrees;
        }
        let seen = Seen {
            tenant: watched.tenant.to_string(),
            key: watched.key.clone(),
            state: newest.map(|row| row.state),
            versions: after.versions.clone(),
            synced: newest.and_then(|row| row.synced.clone()),
            backed_up: rows.iter().any(|row| row.backed_up),
            rotates: next.and_then(|run| run.format(&Rfc3339).ok()),
            agrees: after.agrees,
        };
        self.locked().tenants.insert(Arc::clone(&watched.tenant), after);
        notices.iter().for_each(|notice| self.tell(watched, *notice));
        Ok((seen, notices))
    }

    /// Has the vault asked, and compares. Silence is no word against anybody.
    async fn agrees(&self, tenant: &str, rows: &[KeyRow]) -> Option<bool> {
        let usable = rows.iter().any(|row| row.state == State::Enabled);
        match self.prover.prove(tenant).await {
            Proof::Yes => Some(usable),
            // A missing role is not CCKM's to know.
            Proof::No("key_disabled" | "key_not_found") => Some(!usable),
            Proof::No(_) | Proof::Silent => None,
        }
    }

    fn tell(&self, watched: &Watched, notice: Notice) {
        let (tenant, manager) = (&*watched.tenant, self.client.options().name.as_str());
        metrics::cckm_notice(notice.name());
        audit::record(&Event::CckmNotice {
            tenant,
            manager,
            notice: notice.name(),
            key: &watched.key,
        });
        match notice.is_good() {
            true => tracing::info!(
                tenant,
                manager,
                key = watched.key,
                notice = notice.name(),
                "{}",
                notice.text()
            ),
            false => tracing::warn!(
                tenant,
                manager,
                key = watched.key,
                notice = notice.name(),
                "{}",
                notice.text()
            ),
        }
    }

    fn now(&self) -> OffsetDateTime {
        self.clock.now().system_time().into()
    }

    fn locked(&self) -> MutexGuard<'_, Known> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notice {
    /// The stable name, for the audit and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
            Self::SoftDeleted => "soft_deleted",
            Self::Deleted => "deleted",
            Self::Recovered => "recovered",
            Self::Restored => "restored",
            Self::Rotated => "rotated",
            Self::RotationDue => "rotation_due",
            Self::RotationDisables => "rotation_disables",
            Self::Missing => "missing",
            Self::Disagreement => "disagreement",
        }
    }

    const fn is_good(self) -> bool {
        matches!(
            self,
            Self::Enabled | Self::Recovered | Self::Restored | Self::Rotated | Self::RotationDue
        )
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Disabled => "CCKM says that a version of the key is disabled; its vault is asked",
            Self::Enabled => "CCKM says that a version of the key is enabled again; its vault is asked",
            Self::SoftDeleted => "CCKM says that the key is deleted; its vault is asked",
            Self::Deleted => "CCKM says that the key is purged; its vault is asked",
            Self::Recovered => "CCKM says that the key is recovered; its vault is asked",
            Self::Restored => "CCKM says that the key is restored from a backup; its vault is asked",
            Self::Rotated => "CCKM says that the key has a new version; its vault is asked",
            Self::RotationDue => "CCKM will make a new version of the key within a day",
            Self::RotationDisables => "CCKM's schedule makes versions that are disabled: the newest will be of no use",
            Self::Missing => "CCKM does not know the key; its vault is asked",
            Self::Disagreement => "CCKM and the vault say different things of the key: the vault's word holds",
        }
    }
}

fn versions(rows: &[KeyRow]) -> BTreeMap<String, State> {
    let mut versions = BTreeMap::new();
    for row in rows {
        let state = versions.entry(row.version.clone()).or_insert(row.state);
        *state = row.state.min(*state);
    }
    versions
}

/// What became of the versions, each notice once. At the first look only what is not as it should be is news.
fn changes(before: Option<&BTreeMap<String, State>>, after: &BTreeMap<String, State>) -> Vec<Notice> {
    let mut notices = Vec::new();
    let mut add = |notice| {
        if !notices.contains(&notice) {
            notices.push(notice);
        }
    };
    if after.is_empty() {
        if before.is_none_or(|before| !before.is_empty()) {
            add(Notice::Missing);
        }
        return notices;
    }
    for (version, state) in after {
        let was = before.and_then(|before| before.get(version)).copied();
        match (was, *state) {
            (was, state) if was == Some(state) => {}
            (_, State::Disabled) => add(Notice::Disabled),
            (_, State::SoftDeleted) => add(Notice::SoftDeleted),
            (_, State::Deleted) => add(Notice::Deleted),
            (Some(State::SoftDeleted), State::Enabled) => add(Notice::Recovered),
            (Some(State::Deleted), State::Enabled) => add(Notice::Restored),
            (Some(State::Disabled | State::Unknown), State::Enabled) => add(Notice::Enabled),
            (None, State::Enabled) if before.is_some() => add(Notice::Rotated),
            (_, State::Enabled | State::Unknown) => {}
        }
        // A new version may come disabled, and is new all the same.
        if was.is_none() && before.is_some() && *state == State::Disabled {
            add(Notice::Rotated);
        }
    }
    notices
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(states: &[(&str, State)]) -> BTreeMap<String, State> {
        states
            .iter()
            .map(|(version, state)| ((*version).to_owned(), *state))
            .collect()
    }

    #[test]
    fn every_notice_is_explained() {
        let page = include_str!("../../docs/cckm.md");
        for notice in [
            Notice::Disabled,
            Notice::Enabled,
            Notice::SoftDeleted,
            Notice::Deleted,
            Notice::Recovered,
            Notice::Restored,
            Notice::Rotated,
            Notice::RotationDue,
            Notice::RotationDisables,
            Notice::Missing,
            Notice::Disagreement,
        ] {
            assert!(page.contains(&format!("`{}`", notice.name())), "{}", notice.name());
        }
    }

    #[test]
    fn each_change_has_its_notice() {
        use State::{Deleted, Disabled, Enabled, SoftDeleted};
        let one = |state| versions(&[("a", state)]);
        for (before, after, expected) in [
            (None, one(Enabled), vec![]),
            (None, one(Disabled), vec![Notice::Disabled]),
            (None, versions(&[]), vec![Notice::Missing]),
            (Some(one(Enabled)), one(Enabled), vec![]),
            (Some(one(Enabled)), one(Disabled), vec![Notice::Disabled]),
            (Some(one(Disabled)), one(Enabled), vec![Notice::Enabled]),
            (Some(one(Enabled)), one(SoftDeleted), vec![Notice::SoftDeleted]),
            (Some(one(SoftDeleted)), one(Enabled), vec![Notice::Recovered]),
            (Some(one(SoftDeleted)), one(Deleted), vec![Notice::Deleted]),
            (Some(one(Deleted)), one(Enabled), vec![Notice::Restored]),
            (
                Some(one(Enabled)),
                versions(&[("a", Enabled), ("b", Enabled)]),
                vec![Notice::Rotated],
            ),
            (
                Some(one(Enabled)),
                versions(&[("a", Enabled), ("b", Disabled)]),
                vec![Notice::Disabled, Notice::Rotated],
            ),
            (Some(one(Enabled)), versions(&[]), vec![Notice::Missing]),
            (Some(versions(&[])), versions(&[]), vec![]),
        ] {
            assert_eq!(changes(before.as_ref(), &after), expected, "{before:?} -> {after:?}");
        }
    }
}
