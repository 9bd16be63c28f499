//! The steps towards the key: identity, token, vault, key, wrap and unwrap, rights, clock.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use crate::commands::check::advice::Advice;
use crate::commands::check::clock;
use crate::commands::check::report::{Finding, Step};
use crate::config::Tenant;
use crate::keys::identity::Identity;
use crate::keys::refusal::{Blocked, IdentityFault, Refusal, Revoked, Service, Unavailable};
use crate::keys::survey::{Excess, Knock};
use crate::keys::vault::{KeyKind, KeyState, Session, Vault, VersionState, algorithm_name};
use crate::seal::{Dek, KeyVersion};

/// A key that ends within this is warned about.
const SOON: Duration = Duration::from_secs(30 * 24 * 3600);
/// The least size of an RSA key: NIST SP 800-131A ends 1024 bits.
const LEAST_BITS: usize = 2048;

/// One tenant's key under examination.
pub(super) struct Azure<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) vault: &'a Vault,
}

/// What the steps about the key came to.
pub(super) struct KeyFindings {
    pub(super) findings: Vec<Finding>,
    /// Whether a DEK came back from the vault.
    pub(super) unwraps: bool,
    /// What the vault says of the key, for whoever says otherwise.
    pub(super) usable: Option<bool>,
}

impl Azure<'_> {
    /// All steps, in order.
    pub(super) async fn examine(&self) -> KeyFindings {
        let mut findings = Vec::new();
        // The vault can be knocked at without any identity: both are looked at, whichever fails.
        let (session, knock) = tokio::join!(self.vault.session(), self.vault.knock());
        findings.extend(self.identity(&session));
        let state = match &session {
            Ok(session) => Some(self.vault.current(session).await),
            Err(_) => None,
        };
        let (vault, reached) = self.vault_step(&knock, state.as_ref()).await;
        findings.push(vault);
        let mut outcome = KeyFindings {
            findings,
            unwraps: false,
            usable: None,
        };
        let after = [
            Step::Key,
            Step::Validity,
            Step::Wrap,
            Step::Unwrap,
            Step::Recovery,
            Step::Rights,
        ];
        let skip = |because| after.map(|step| Finding::skipped(step, because));
        match (session, state) {
            (Ok(session), Some(Ok(state))) if reached => self.key_steps(&session, &state, &mut outcome).await,
            (Ok(_), Some(Err(refusal))) if reached => {
                outcome.usable = usable(refusal);
                outcome.findings.push(self.refused(Step::Key, refusal));
                outcome.findings.extend(skip(Step::Key).into_iter().skip(1));
            }
            (Ok(_), _) => outcome.findings.extend(skip(Step::Vault)),
            (Err(_), _) => outcome.findings.extend(skip(Step::Token)),
        }
        outcome.findings.push(match knock {
            Ok(Knock { date: Some(date), .. }) => clock::compared(Step::VaultClock, "vault", date),
            Ok(_) => Finding::new(
                Step::VaultClock,
                super::report::Verdict::Skipped,
                "the vault tells no time",
            ),
            Err(_) => Finding::skipped(Step::VaultClock, Step::Vault),
        });
        outcome
    }

    /// The gate's own identity, and the token that it was exchanged for.
    fn identity(&self, session: &Result<Session, Refusal>) -> [Finding; 2] {
        let kind = match &self.tenant.identity {
            Identity::Federated { managed_identity, .. } => {
                format!("managed identity {managed_identity} gave an assertion")
            }
            Identity::Managed {
                managed_identity: Some(id),
            } => format!("managed identity {id} gave a token"),
            Identity::Managed { managed_identity: None } => {
                "the system-assigned managed identity gave a token".to_owned()
            }
            Identity::Workload { .. } => "the service account's token was read".to_owned(),
            Identity::Certificate { certificate, .. } => {
                format!("certificate {} signed an assertion", certificate.thumbprint())
            }
            Identity::AzureArc(_) => "the connected machine's identity gave a token".to_owned(),
            Identity::Secret { .. } => "a client secret was read: for trials only".to_owned(),
        };
        let refusal = match session {
            Ok(session) => {
                let left = session.expires().duration_since(SystemTime::now()).unwrap_or_default();
                let minutes = left.as_secs() / 60;
                let token = match self.tenant.identity.tenant() {
                    Some(tenant) => format!("exchanged in tenant {tenant}; it lives {minutes} min"),
                    None => format!("of the managed identity's own tenant; it lives {minutes} min"),
                };
                return [Finding::ok(Step::Identity, kind), Finding::ok(Step::Token, token)];
            }
            Err(refusal) => *refusal,
        };
        // Entra says of an assertion what is wrong with the identity: but then there was one.
        let federation = matches!(
            refusal,
            Refusal::Unavailable(Unavailable::Identity(
                IdentityFault::FederationMismatch
                    | IdentityFault::AppElsewhere
                    | IdentityFault::AppDeactivated
                    | IdentityFault::CertificateUnknown
                    | IdentityFault::SecretRefused
                    | IdentityFault::AssertionTime
            ))
        );
        match refusal.by() {
            Service::Identity if !federation => [
                self.refused(Step::Identity, refusal),
                Finding::skipped(Step::Token, Step::Identity),
            ],
            _ => [Finding::ok(Step::Identity, kind), self.refused(Step::Token, refusal)],
        }
    }

    /// Name, TLS, network, tenant; and whether the key may be asked about at all.
    async fn vault_step(
        &self,
        knock: &Result<Knock, Refusal>,
        state: Option<&Result<KeyState, Refusal>>,
    ) -> (Finding, bool) {
        let knock = match knock {
            Ok(knock) => knock,
            Err(refusal) => return (self.refused(Step::Vault, *refusal), false),
        };
        let configured = self.tenant.identity.tenant().map(|tenant| tenant.as_str());
        if let (Some(own), Some(configured)) = (&knock.tenant, configured)
            && !own.eq_ignore_ascii_case(configured)
        {
            let found = format!("the vault is of Entra tenant {own}, the configuration says {configured}");
            let advice = self.advice().about(Blocked::OtherTenant.into());
            let finding = Finding::failed(Step::Vault, found);
            return (finding.because("other_tenant").fix(advice), false);
        }
        if knock.tenant.is_none() {
            let found = format!(
                "{} answers {} and no vault's challenge",
                self.vault.key().vault(),
                knock.status
            );
            let advice = self.advice().about(Blocked::BadChallenge.into());
            return (Finding::failed(Step::Vault, found).fix(advice), false);
        }
        // What stands between the gate and the vault shows only with a token.
        if let Some(Err(refusal)) = state
            && matches!(refusal, Refusal::Unavailable(_))
        {
            return (self.refused(Step::Vault, *refusal), false);
        }
        let host = self.vault.key().vault();
        (
            Finding::ok(Step::Vault, format!("{host} answers{}", self.by_what_way().await)),
            true,
        )
    }

    /// Through a private endpoint, or over the public network.
    async fn by_what_way(&self) -> String {
        let host = self.vault.key().vault().trim_start_matches("https://");
        let name = host.split(':').next().unwrap_or(host);
        if self.vault.key().is_loopback() {
            return " on this machine".to_owned();
        }
        let Ok(addresses) = tokio::net::lookup_host((name, 443)).await else {
            return String::new();
        };
        let addresses: Vec<IpAddr> = addresses.map(|address| address.ip()).collect();
        match addresses.first() {
            Some(first) if addresses.iter().all(is_private) => format!(" through a private endpoint ({first})"),
            Some(first) => format!(" over the public network ({first})"),
            None => String::new(),
        }
    }

    async fn key_steps(&self, session: &Session, state: &KeyState, outcome: &mut KeyFindings) {
        let (key, fits) = self.key_step(state);
        outcome.findings.push(key);
        let (validity, version) = self.validity(session, state).await;
        outcome.usable = Some(state.enabled || version != state.version);
        outcome.findings.push(validity);
        match fits {
            true => self.wrap_and_unwrap(session, version, outcome).await,
            false => outcome
                .findings
                .extend([Step::Wrap, Step::Unwrap].map(|step| Finding::skipped(step, Step::Key))),
        }
        outcome.findings.push(self.recovery(state));
        outcome.findings.push(self.rights(session).await);
    }

    /// Type, size, permitted operations.
    fn key_step(&self, state: &KeyState) -> (Finding, bool) {
        let version = state.version;
        let (kind, fits) = match state.kind {
            KeyKind::Rsa { bits, hsm } => {
                let place = if hsm { " in an HSM" } else { "" };
                (
                    format!("RSA of {bits} bits{place}, version {version}"),
                    bits >= LEAST_BITS,
                )
            }
            // The HSM does not say how long it is; wrapping takes 256 bits.
            KeyKind::Symmetric => (
                format!("symmetric (oct-HSM), version {version}"),
                self.vault.key().is_hsm(),
            ),
            KeyKind::Other => (format!("no key that wraps, version {version}"), false),
        };
        if !fits {
            let or = match self.vault.key().is_hsm() {
                true => ", or --kty oct-HSM --size 256",
                false => "",
            };
            let advice = format!(
                "the customer: az keyvault key create --kty RSA --size 3072 --ops wrapKey unwrapKey …: RSA of {LEAST_BITS} bits \
                 at least{or}"
            );
            return (Finding::failed(Step::Key, kind).fix([advice]), false);
        }
        if !state.may_wrap || !state.may_unwrap {
            let found = format!("{kind}; its permitted operations leave out wrapKey or unwrapKey");
            let refusal = Refusal::from(Revoked::OperationForbidden);
            let finding = Finding::failed(Step::Key, found).because(refusal.name());
            // Asked all the same: the vault's own word is the one that counts.
            return (finding.fix(self.advice().about(refusal)), true);
        }
        let pinned = match self.vault.key().version() {
            Some(_) => ", pinned: a rotation will not be followed",
            None => "",
        };
        (
            Finding::ok(Step::Key, format!("{kind}, wraps and unwraps{pinned}")),
            true,
        )
    }

    /// Enabled, and the dates; and the version that the gate would use.
    async fn validity(&self, session: &Session, state: &KeyState) -> (Finding, KeyVersion) {
        let now = SystemTime::now();
        let newest = state.version;
        let Some(problem) = problem(state.enabled, state.not_before, state.expires, now) else {
            let finding = match state.expires {
                None => Finding::ok(Step::Validity, "enabled, without an expiry date"),
                Some(end) if end < now + SOON => {
                    let found = format!(
                        "enabled; expires in {}: nothing new is sealed after that",
                        days(end, now)
                    );
                    let rotate = "the customer: rotate the key (az keyvault key rotate …), or move the date: "
                        .to_owned()
                        + &self.advice().attribute("--expires …");
                    Finding::warning(Step::Validity, found).fix([rotate])
                }
                Some(end) => Finding::ok(Step::Validity, format!("enabled; expires in {}", days(end, now))),
            };
            return (finding, newest);
        };
        let advice = self.advice().about(problem.into());
        if self.vault.key().version().is_none()
            && let Ok(versions) = self.vault.versions(session).await
            && let Some(other) = versions.iter().find(|row| usable_version(row, now))
        {
            let found = format!(
                "the newest version {newest}: {problem}; the gate uses {}",
                other.version
            );
            return (Finding::warning(Step::Validity, found).fix(advice), other.version);
        }
        let refusal = Refusal::from(problem);
        let finding = Finding::failed(Step::Validity, problem.to_string()).because(refusal.name());
        (finding.fix(advice), newest)
    }

    async fn wrap_and_unwrap(&self, session: &Session, version: KeyVersion, outcome: &mut KeyFindings) {
        let Ok(dek) = Dek::generate() else {
            let finding = Finding::failed(Step::Wrap, "the system gave no random bytes");
            outcome
                .findings
                .extend([finding, Finding::skipped(Step::Unwrap, Step::Wrap)]);
            return;
        };
        let wrapped = match self.vault.wrap(session, version, dek.expose()).await {
            Ok(wrapped) => wrapped,
            Err(refusal) => {
                let skipped = Finding::skipped(Step::Unwrap, Step::Wrap);
                outcome.findings.extend([self.refused(Step::Wrap, refusal), skipped]);
                return;
            }
        };
        let asked = tokio::time::Instant::now();
        outcome.findings.push(Finding::ok(
            Step::Wrap,
            format!(
                "a random DEK is {} bytes wrapped, with {}",
                wrapped.bytes.len(),
                algorithm_name(wrapped.algorithm)
            ),
        ));
        outcome
            .findings
            .push(match self.vault.unwrap(session, version, &wrapped).await {
                Ok(back) if back.expose() == dek.expose() => {
                    outcome.unwraps = true;
                    let took = asked.elapsed().as_millis();
                    Finding::ok(Step::Unwrap, format!("it came back, in {took} ms"))
                }
                Ok(_) => Finding::failed(Step::Unwrap, "other bytes came back than were wrapped"),
                Err(refusal) => {
                    outcome.usable = usable(refusal).or(outcome.usable);
                    self.refused(Step::Unwrap, refusal)
                }
            });
    }

    /// What becomes of a deleted key (Key Vault REST, DeletionRecoveryLevel).
    fn recovery(&self, state: &KeyState) -> Finding {
        match state.recovery.as_deref() {
            None => Finding::new(
                Step::Recovery,
                super::report::Verdict::Skipped,
                "the vault does not say",
            ),
            Some(level) if level.contains("Purgeable") => {
                let found = format!("{level}: whoever may purge the key can end all access to its objects for good");
                Finding::warning(Step::Recovery, found).fix([self.advice().protect()])
            }
            Some(level) => Finding::ok(Step::Recovery, format!("{level}: purge protection is on")),
        }
    }

    /// More than wrapping and unwrapping is more than the gate should be able to do.
    async fn rights(&self, session: &Session) -> Finding {
        let excess = self.vault.excess(session).await;
        if excess.is_empty() {
            return Finding::ok(
                Step::Rights,
                "none seen beyond reading, wrapping and unwrapping under this key",
            );
        }
        let mut found = Vec::new();
        let mut advice = Vec::new();
        if excess.contains(&Excess::WholeVault) {
            found.push("its role is on the whole vault, not on the key alone");
            advice.push(self.advice().grant());
            advice.push(self.advice().take_away(self.advice().role(), true));
        }
        let managing = excess.contains(&Excess::DeletedKeys) || excess.contains(&Excess::RotationPolicy);
        if managing {
            let officer = self.advice().officer();
            found.push("it holds a role that manages keys, such as Crypto Officer");
            advice.push(self.advice().take_away(officer, excess.contains(&Excess::WholeVault)));
        }
        Finding::warning(
            Step::Rights,
            format!("the gate may do more than it needs: {}", found.join("; ")),
        )
        .fix(advice)
    }

    fn refused(&self, step: Step, refusal: Refusal) -> Finding {
        let found = match refusal {
            Refusal::Revoked(reason) => reason.to_string(),
            Refusal::Unavailable(reason) => reason.to_string(),
            Refusal::BadEnvelope => refusal.to_string(),
        };
        let advice = self.advice().about(refusal);
        Finding::failed(step, found).because(refusal.name()).fix(advice)
    }

    fn advice(&self) -> Advice<'_> {
        Advice {
            key: self.vault.key(),
            identity: &self.tenant.identity,
        }
    }
}

/// What a no says about the key itself, not about the way to it.
fn usable(refusal: Refusal) -> Option<bool> {
    match refusal {
        Refusal::Revoked(Revoked::KeyDisabled | Revoked::KeyNotFound | Revoked::OperationForbidden) => Some(false),
        _ => None,
    }
}

fn problem(
    enabled: bool,
    not_before: Option<SystemTime>,
    expires: Option<SystemTime>,
    now: SystemTime,
) -> Option<Revoked> {
    match enabled {
        false => Some(Revoked::KeyDisabled),
        true if expires.is_some_and(|end| end <= now) => Some(Revoked::KeyExpired),
        true if not_before.is_some_and(|start| start > now) => Some(Revoked::KeyNotYetValid),
        true => None,
    }
}

fn usable_version(row: &VersionState, now: SystemTime) -> bool {
    problem(row.enabled, row.not_before, row.expires, now).is_none()
}

fn days(then: SystemTime, now: SystemTime) -> String {
    let left = then.duration_since(now).unwrap_or_default().as_secs();
    match left / 86_400 {
        0 => format!("{} h", left / 3600),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// RFC 1918, and RFC 4193 for IPv6: where private endpoints live.
fn is_private(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    }
}
