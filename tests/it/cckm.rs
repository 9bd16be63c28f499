//! CCKM as it acts on a customer's key, one scenario each: the stand-in for CipherTrust Manager does in the stand-in vault what CCKM does
//! in Azure; the watch sees it and has the vault asked; the gate obeys the vault alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::StatusCode;
use portcullis::cckm::{CckmError, CckmOptions, Notice, Password, Proof, Prover, State, Watch, Watched};
use portcullis::commands::ByKeys;
use portcullis::dev::cckm::{Cckm, Managed};
use portcullis::keys::Bounds;
use portcullis::keys::refusal::{Refusal, Revoked};
use portcullis::keys::vault::Vault;

use crate::world::World;
use crate::world::client::Answer;

const USER: (&str, &str) = ("portcullis", "a-password-of-ciphertrust");
const FILE: &[u8] = b"words";
const BOUND: Duration = Duration::from_secs(10);
/// More than a third of the bound: the gate asks the vault again.
const DUE: Duration = Duration::from_secs(5);
/// A test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn native_create_gives_the_gate_a_key() {
    let site = Site::start().await;
    let key = site.managed();
    key.soft_delete().unwrap();
    key.hard_delete().unwrap();
    assert_eq!(site.poll().await, [Notice::Deleted]);
    site.refused("KMS.NotFoundException").await;
    key.create().unwrap();
    assert_eq!(site.poll().await, [Notice::Rotated]);
    assert_eq!(site.proofs(), 2, "each change had the vault asked");
    site.written("new").await;
    assert!(site.world.acme.get("new").await.is(FILE));
    // Another key of the same name unwraps nothing of the old one's.
    assert_ne!(site.world.acme.get("file").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uploaded_version_is_followed_and_the_old_one_still_opens() {
    let site = Site::start().await;
    let version = site.managed().upload().unwrap();
    assert_eq!(site.poll().await, [Notice::Rotated]);
    site.sealed_under(&version).await;
    assert!(site.world.acme.get("file").await.is(FILE));
}

#[tokio::test(flavor = "multi_thread")]
async fn disable_and_enable_are_told_and_the_vault_decides() {
    let site = Site::start().await;
    let key = site.managed();
    key.set_enabled(false).unwrap();
    assert_eq!(site.poll().await, [Notice::Disabled]);
    assert_eq!(site.board_state(), Some(State::Disabled));
    site.refused("KMS.DisabledException").await;
    assert_eq!(site.poll().await, [], "told once");
    assert_eq!(site.proofs(), 1);
    key.set_enabled(true).unwrap();
    assert_eq!(site.poll().await, [Notice::Enabled]);
    site.served().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_on_schedule_is_announced_once_and_followed() {
    let site = Site::start().await;
    let key = site.managed();
    // Half a day ahead, so that no run falls between two polls.
    let due = time::OffsetDateTime::from(site.world.clock.now().system_time()) + time::Duration::hours(12);
    key.schedule(&format!("{} {} * * *", due.minute(), due.hour()), true);
    assert_eq!(site.poll().await, [Notice::RotationDue]);
    assert_eq!(site.proofs(), 0, "nothing has changed yet");
    assert_eq!(site.poll().await, [], "announced");
    let board = site.watch.board();
    let announced = board.tenants[0].rotates.as_deref().unwrap();
    assert!(
        announced.contains(&format!("T{:02}:{:02}:00", due.hour(), due.minute())),
        "{announced}"
    );
    let version = key.rotate().unwrap();
    assert_eq!(site.poll().await, [Notice::Rotated]);
    site.sealed_under(&version).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_makes_disabled_versions_is_warned_of_and_harms_nobody() {
    let site = Site::start().await;
    let key = site.managed();
    let before = site.world.standin.customer("acme").key_version().unwrap();
    key.schedule("0 0 1 1 *", false);
    assert!(site.poll().await.contains(&Notice::RotationDisables));
    key.rotate().unwrap();
    assert_eq!(site.poll().await, [Notice::Disabled, Notice::Rotated]);
    site.world.pass(BOUND * 2);
    site.written("after").await;
    let audited = site.world.audit("acme", "rotated");
    assert!(
        audited.is_empty(),
        "the newest version that works is {before} as before: {audited:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn soft_delete_closes_and_recover_opens() {
    let site = Site::start().await;
    let key = site.managed();
    key.soft_delete().unwrap();
    assert_eq!(site.poll().await, [Notice::SoftDeleted]);
    site.refused("KMS.NotFoundException").await;
    key.recover().unwrap();
    assert_eq!(site.poll().await, [Notice::Recovered]);
    site.served().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_key_comes_back_from_a_backup_with_all_that_was_sealed_under_it() {
    let site = Site::start().await;
    let key = site.managed();
    key.back_up().unwrap();
    key.soft_delete().unwrap();
    key.hard_delete().unwrap();
    assert_eq!(site.poll().await, [Notice::Deleted]);
    assert!(site.watch.board().tenants[0].backed_up, "and that is shown");
    site.refused("KMS.NotFoundException").await;
    key.restore().unwrap();
    assert_eq!(site.poll().await, [Notice::Restored]);
    site.served().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_cckm_and_the_vault_disagree_the_vault_holds_and_it_is_said() {
    let site = Site::start().await;
    let key = site.managed();
    key.set_enabled(false).unwrap();
    // In the portal, past CCKM, whose copy is old from then on.
    site.world.standin.customer("acme").enable_key().unwrap();
    assert_eq!(site.poll().await, [Notice::Disabled, Notice::Disagreement]);
    assert_eq!(site.watch.board().tenants[0].agrees, Some(false));
    site.world.pass(DUE);
    assert!(site.world.acme.get("file").await.is(FILE), "CCKM's word ends no lease");
    let told = site.world.audit("acme", "cckm_notice");
    assert_eq!(told.len(), 2, "{told:?}");
    key.synchronize().unwrap();
    assert_eq!(site.poll().await, [Notice::Enabled]);
    assert_eq!(site.watch.board().tenants[0].agrees, Some(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cckm_says_is_asked_of_the_vault_at_once_though_a_lease_is_live() {
    let site = Site::start().await;
    let keys = Arc::new(site.world.keys(&site.world.upstream()));
    let prover: Arc<dyn Prover> = Arc::new(ByKeys::new(Arc::clone(&keys)));
    let watch = Watch::new(site.options(), site.world.clock.clone(), prover).unwrap();
    let poll = async || {
        let told = watch.poll().await.unwrap();
        told.into_iter().map(|(_, notice)| notice).collect::<Vec<_>>()
    };
    let tenant = site.world.tenant("acme");
    let lease = keys.to_write(&tenant).await.unwrap();
    assert_eq!(poll().await, []);
    let key = site.managed();
    key.set_enabled(false).unwrap();
    assert_eq!(poll().await, [Notice::Disabled], "and the two agree");
    let refused = lease.check().unwrap_err();
    assert_eq!(refused.why, Revoked::KeyDisabled.into(), "no time has passed");
    // Nor does the no that is remembered keep the customer waiting.
    key.set_enabled(true).unwrap();
    assert_eq!(poll().await, [Notice::Enabled], "and the two agree");
    let lease = keys.to_write(&tenant).await.unwrap();
    // CCKM alone ends nothing.
    key.set_enabled(false).unwrap();
    site.world.standin.customer("acme").enable_key().unwrap();
    assert_eq!(poll().await, [Notice::Disabled, Notice::Disagreement]);
    assert_eq!(lease.check(), Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_cckm_changes_nothing() {
    let site = Site::start().await;
    let before = site.watch.board();
    site.cckm.fail(Some(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(site.watch.poll().await, Err(CckmError::Unrecognised { status: 503 }));
    let board = site.watch.board();
    assert_eq!(
        (board.answer, &board.tenants),
        (Some("unrecognised"), &before.tenants),
        "what was known stays"
    );
    site.world.pass(DUE);
    assert!(site.world.acme.get("file").await.is(FILE));
    assert_eq!(site.proofs(), 0);
    site.cckm.fail(None);
    assert_eq!(site.poll().await, []);
    assert_eq!(site.watch.board().answer, Some("ok"));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_signs_in_seldom_and_never_writes() {
    let site = Site::start().await;
    for _ in 0..5 {
        site.poll().await;
    }
    assert_eq!(site.cckm.sign_ins(), 1, "tokens are used again");
    site.cckm.forget_tokens();
    assert_eq!(site.poll().await, []);
    assert_eq!(site.cckm.sign_ins(), 2);
    assert_eq!(site.cckm.writes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_a_strange_certificate_are_told() {
    let site = Site::start().await;
    let (mut wrong, mut strange) = (site.options(), site.options());
    wrong.password = Password::new("guess");
    strange.ca_pem = None;
    for (options, error) in [(wrong, CckmError::Unauthorized), (strange, CckmError::Unreachable)] {
        let watch = Watch::new(
            options,
            site.world.clock.clone(),
            Arc::clone(&site.prover) as Arc<dyn Prover>,
        )
        .unwrap();
        assert_eq!(watch.poll().await, Err(error));
        assert_eq!(watch.board().answer, Some(error.name()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cckm_does_not_know_is_told_once() {
    let site = Site::start().await;
    let mut options = site.options();
    options.tenants[0].key = "https://acme-vault.localhost/keys/acme-cmk".to_owned();
    let watch = Watch::new(
        options,
        site.world.clock.clone(),
        Arc::clone(&site.prover) as Arc<dyn Prover>,
    )
    .unwrap();
    let notices: Vec<_> = watch
        .poll()
        .await
        .unwrap()
        .into_iter()
        .map(|(_, notice)| notice)
        .collect();
    // The vault says yes of the key that CCKM does not see.
    assert_eq!(
        notices,
        [Notice::Missing, Notice::Disagreement],
        "another vault's key of the same name is another key"
    );
    assert_eq!(watch.poll().await, Ok(vec![]));
}

/// A world whose customer acme manages its key with CCKM, and the watch over that.
struct Site {
    world: World,
    cckm: Cckm,
    watch: Watch,
    prover: Arc<ByVault>,
}

/// The vault's own word, asked with the gate's identity.
struct ByVault {
    vault: Vault,
    asked: AtomicU64,
}

impl Site {
    async fn start() -> Self {
        let world = World::bounded(Bounds::new(BOUND, BOUND * 4)).await;
        world.acme.put("file", FILE).await;
        let cckm = Cckm::start(&world.standin, USER.0, USER.1).await.unwrap();
        let prover = Arc::new(ByVault {
            vault: world.vault("acme"),
            asked: AtomicU64::new(0),
        });
        let watch = Watch::new(
            options(&world, &cckm),
            world.clock.clone(),
            Arc::clone(&prover) as Arc<dyn Prover>,
        );
        let site = Self {
            watch: watch.unwrap(),
            world,
            cckm,
            prover,
        };
        site.managed();
        assert_eq!(site.poll().await, [], "a key in order is no news");
        assert_eq!(site.board_state(), Some(State::Enabled));
        site
    }

    fn options(&self) -> CckmOptions {
        options(&self.world, &self.cckm)
    }

    fn managed(&self) -> Managed<'_> {
        let standin = &self.world.standin;
        self.cckm
            .manage(standin.customer("acme"), &standin.key_url("acme"))
            .unwrap()
    }

    async fn poll(&self) -> Vec<Notice> {
        let notices = self.watch.poll().await.unwrap();
        notices.into_iter().map(|(_, notice)| notice).collect()
    }

    fn board_state(&self) -> Option<State> {
        self.watch.board().tenants[0].state
    }

    fn proofs(&self) -> u64 {
        self.prover.asked.load(Ordering::Relaxed)
    }

    async fn refused(&self, code: &str) {
        let acme = &self.world.acme;
        self.until(|| acme.get("file"), |answer| answer.code() == code).await;
    }

    async fn served(&self) {
        let acme = &self.world.acme;
        self.until(|| acme.get("file"), |answer| answer.is(FILE)).await;
    }

    /// Stored at last, whatever pause a no has left.
    async fn written(&self, key: &str) {
        let acme = &self.world.acme;
        let put = || acme.send(http::Method::PUT, key, http::HeaderMap::new(), FILE);
        self.until(put, |answer| answer.status() == 200).await;
    }

    /// New objects come to be sealed under this version.
    async fn sealed_under(&self, version: &str) {
        let acme = &self.world.acme;
        let put = || acme.send(http::Method::PUT, "next", http::HeaderMap::new(), FILE);
        let rotated = |_: &Answer| {
            let events = self.world.audit("acme", "rotated");
            events.iter().any(|event| format!("{event:?}").contains(version))
        };
        self.until(put, rotated).await;
    }

    /// Time passes, and the gate is asked, until its answer is this.
    async fn until<A: Future<Output = Answer>>(&self, ask: impl Fn() -> A, good: impl Fn(&Answer) -> bool) {
        let began = Instant::now();
        loop {
            let answer = ask().await;
            if good(&answer) {
                return;
            }
            let (status, code) = (answer.status(), answer.code());
            assert!(began.elapsed() < PATIENCE, "still {status} {code}");
            self.world.pass(DUE);
        }
    }
}

fn options(world: &World, cckm: &Cckm) -> CckmOptions {
    CckmOptions {
        name: "main".to_owned(),
        endpoint: cckm.endpoint().parse().unwrap(),
        username: USER.0.to_owned(),
        password: Password::new(USER.1),
        domain: None,
        ca_pem: Some(world.standin.ca_pem().into()),
        interval: Duration::from_secs(60),
        tenants: vec![Watched {
            tenant: world.tenant("acme").into(),
            key: world.standin.key_url("acme"),
        }],
    }
}

#[async_trait]
impl Prover for ByVault {
    async fn prove(&self, _: &str) -> Proof {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let asked = async {
            let session = self.vault.session().await?;
            let versions = self.vault.versions(&session).await?;
            let newest = versions.iter().find(|row| row.enabled).or_else(|| versions.first());
            let version = match newest {
                Some(row) => row.version,
                None => self.vault.current(&session).await?.version,
            };
            let wrapped = self.vault.wrap(&session, version, &[7; 32]).await?;
            self.vault.unwrap(&session, version, &wrapped).await
        };
        match asked.await {
            Ok(_) => Proof::Yes,
            Err(Refusal::Revoked(reason)) => Proof::No(reason.name()),
            Err(_) => Proof::Silent,
        }
    }
}
