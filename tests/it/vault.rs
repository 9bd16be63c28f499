//! The key client against the stand-in for managed identity, Entra and Key Vault: real TLS, real RSA, the services' own
//! answers. Each way a customer can say no, and each way nobody answers.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use portcullis::dev::standin::{Action, Fault, Network, Operation, Role, Standin, StandinOptions};
use portcullis::keys::identity::{Identity, PUBLIC_AUDIENCE};
use portcullis::keys::key_url::{KeyUrl, VaultHosts};
use portcullis::keys::refusal::{Blocked, IdentityFault, Refusal, Revoked, Service, Unavailable};
use portcullis::keys::service::Wrapped;
use portcullis::keys::transport::{Transport, TransportOptions};
use portcullis::keys::vault::{KeyKind, Session, Vault};
use portcullis::seal::{KeyVersion, WrapAlgorithm};

const DEK: [u8; 32] = [0x5a; 32];

#[tokio::test]
async fn a_dek_comes_back_under_either_identity() {
    let azure = Azure::start().await;
    for (customer, identity) in [("acme", azure.federated()), ("globex", azure.managed())] {
        let vault = azure.vault(customer, identity);
        let session = vault.session().await.unwrap();
        let state = vault.current(&session).await.unwrap();
        assert!(state.enabled && state.may_wrap && state.may_unwrap);
        assert_eq!(state.kind, KeyKind::Rsa { bits: 2048, hsm: false });
        let wrapped = vault.wrap(&session, state.version, &DEK).await.unwrap();
        assert_eq!(
            (wrapped.algorithm, wrapped.bytes.len()),
            (WrapAlgorithm::RsaOaep256, 256)
        );
        assert_eq!(
            vault.unwrap(&session, state.version, &wrapped).await.unwrap().expose(),
            &DEK
        );
        let listed = vault.versions(&session).await.unwrap();
        assert_eq!(
            listed.iter().map(|row| row.version).collect::<Vec<_>>(),
            [state.version]
        );
    }
    assert_eq!(
        azure.standin.entra("acme").count(Operation::Token),
        1,
        "the managed identity exchanges nothing at Entra"
    );
    assert_eq!(
        azure.standin.vault("acme-vault").count(Operation::Challenge),
        1,
        "one challenge a session"
    );
}

#[tokio::test]
async fn each_no_of_the_vault_is_a_revocation_and_ends_when_it_is_taken_back() {
    let azure = Azure::start().await;
    for customer in ["acme", "globex"] {
        let identity = if customer == "acme" {
            azure.federated()
        } else {
            azure.managed()
        };
        let tenant = Tenant::open(azure.vault(customer, identity)).await;
        for (no, yes, reason) in [
            (Action::DisableKey, Action::EnableKey, Revoked::KeyDisabled),
            (Action::DeleteKey, Action::RecoverKey, Revoked::KeyNotFound),
            (Action::RemoveRole, Action::GrantRole, Revoked::RoleMissing),
        ] {
            azure.standin.customer(customer).act(no).unwrap();
            assert_eq!(tenant.prove().await, Err(reason.into()), "{customer} {no}");
            azure.standin.customer(customer).act(yes).unwrap();
            assert_eq!(tenant.prove().await, Ok(()), "{customer} {yes}");
        }
    }
}

#[tokio::test]
async fn a_key_that_may_not_unwrap_is_a_revocation() {
    let azure = Azure::start().await;
    let tenant = Tenant::open(azure.vault("acme", azure.federated())).await;
    let acme = azure.standin.customer("acme");
    acme.set_key_ops(&["wrapKey"]).unwrap();
    assert_eq!(tenant.prove().await, Err(Revoked::OperationForbidden.into()));
    acme.set_key_ops(&["wrapKey", "unwrapKey"]).unwrap();
    acme.remove_role().unwrap();
    acme.grant(Role::Reader).unwrap();
    assert_eq!(
        tenant.prove().await,
        Err(Revoked::RoleMissing.into()),
        "a reader may wrap and look, no more"
    );
    assert!(tenant.vault.wrap(&tenant.session, tenant.version, &DEK).await.is_ok());
}

#[tokio::test]
async fn a_purged_key_is_a_revocation() {
    let azure = Azure::start().await;
    let tenant = Tenant::open(azure.vault("acme", azure.federated())).await;
    let acme = azure.standin.customer("acme");
    acme.delete_key().unwrap();
    acme.purge_key().unwrap();
    assert_eq!(tenant.prove().await, Err(Revoked::KeyNotFound.into()));
    assert_eq!(
        tenant.vault.current(&tenant.session).await.unwrap_err(),
        Revoked::KeyNotFound.into()
    );
}

#[tokio::test]
async fn a_disabled_app_shows_at_the_next_exchange_and_not_before() {
    let azure = Azure::start().await;
    let tenant = Tenant::open(azure.vault("acme", azure.federated())).await;
    azure.standin.customer("acme").disable_app().unwrap();
    assert_eq!(
        tenant.prove().await,
        Ok(()),
        "the session's token is good until it ends"
    );
    assert_eq!(tenant.vault.session().await.unwrap_err(), Revoked::AppDisabled.into());
    azure.standin.customer("acme").enable_app().unwrap();
    assert!(tenant.vault.session().await.is_ok());
}

#[tokio::test]
async fn a_removed_app_is_a_revocation_and_returns_with_its_role() {
    let azure = Azure::start().await;
    let mut tenant = Tenant::open(azure.vault("acme", azure.federated())).await;
    let acme = azure.standin.customer("acme");
    acme.remove_app().unwrap();
    assert_eq!(
        tenant.vault.session().await.unwrap_err(),
        Revoked::AppNotInstalled.into()
    );
    acme.install_app().unwrap();
    acme.grant_role().unwrap();
    tenant.session = tenant.vault.session().await.unwrap();
    assert_eq!(tenant.prove().await, Ok(()));

    acme.forget_app().unwrap();
    assert_eq!(
        tenant.vault.session().await.unwrap_err(),
        Revoked::AppNotInstalled.into()
    );
}

#[tokio::test]
async fn a_disabled_key_still_wraps_and_shows_itself() {
    let azure = Azure::start().await;
    let tenant = Tenant::open(azure.vault("acme", azure.federated())).await;
    azure.standin.customer("acme").disable_key().unwrap();
    assert!(!tenant.vault.current(&tenant.session).await.unwrap().enabled);
    assert!(
        tenant.vault.wrap(&tenant.session, tenant.version, &DEK).await.is_ok(),
        "wrapping proves nothing"
    );
    assert_eq!(tenant.prove().await, Err(Revoked::KeyDisabled.into()));
}

#[tokio::test]
async fn an_expired_key_unwraps_and_does_not_wrap() {
    let azure = Azure::start().await;
    let tenant = Tenant::open(azure.vault("acme", azure.federated())).await;
    azure.standin.customer("acme").set_expiry(Some(1_000_000_000)).unwrap();
    assert_eq!(tenant.prove().await, Ok(()));
    let refused = tenant
        .vault
        .wrap(&tenant.session, tenant.version, &DEK)
        .await
        .unwrap_err();
    assert_eq!(refused, Blocked::OutsideValidity.into());
    let state = tenant.vault.current(&tenant.session).await.unwrap();
    assert_eq!(
        state.expires,
        Some(std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000))
    );
}

#[tokio::test]
async fn rotation_leaves_old_versions_and_a_disabled_newest_shows() {
    let azure = Azure::start().await;
    let tenant = Tenant::open(azure.vault("acme", azure.federated())).await;
    let acme = azure.standin.customer("acme");
    acme.rotate_key().unwrap();
    let rotated = tenant.vault.current(&tenant.session).await.unwrap().version;
    assert_ne!(rotated, tenant.version);
    assert_eq!(tenant.prove().await, Ok(()), "the old version still unwraps");

    acme.set_version_enabled(&rotated.to_string(), false).unwrap();
    let newest = tenant.vault.current(&tenant.session).await.unwrap();
    assert_eq!((newest.version, newest.enabled), (rotated, false));
    let versions = tenant.vault.versions(&tenant.session).await.unwrap();
    let enabled: Vec<_> = versions.iter().filter(|row| row.enabled).collect();
    assert!(matches!(enabled.as_slice(), [old] if old.version == tenant.version));
}

#[tokio::test]
async fn a_tampered_envelope_is_no_refusal_of_the_key() {
    let azure = Azure::start().await;
    let mut tenant = Tenant::open(azure.vault("acme", azure.federated())).await;
    tenant.wrapped.bytes[100] ^= 1;
    assert_eq!(tenant.prove().await, Err(Refusal::BadEnvelope));
    tenant.wrapped.bytes.truncate(17);
    assert_eq!(tenant.prove().await, Err(Refusal::BadEnvelope));
}

#[tokio::test]
async fn every_obstacle_at_the_vault_is_unavailable_by_name() {
    let azure = Azure::start().await;
    let tenant = Tenant::open(azure.vault("acme", azure.federated())).await;
    let (acme, site) = (azure.standin.customer("acme"), azure.standin.vault("acme-vault"));
    for (network, reason) in [
        (Network::Firewalled, Blocked::Firewall),
        (Network::PrivateOnly, Blocked::PrivateLink),
    ] {
        acme.set_network(network).unwrap();
        assert_eq!(tenant.prove().await, Err(reason.into()));
        acme.set_network(Network::Open).unwrap();
    }

    let by = Service::Vault;
    let throttled = |seconds: Option<u64>| Unavailable::Throttled {
        by,
        retry_after: seconds.map(Duration::from_secs),
    };
    for (fault, reason) in [
        (Fault::throttled(None), throttled(None)),
        (Fault::throttled(Some(7)), throttled(Some(7))),
        (Fault::broken(), Unavailable::ServerError { by, status: 500 }),
        (Fault::busy(), Unavailable::ServerError { by, status: 503 }),
        (Fault::conflict("acme-cmk"), Unavailable::Blocked(Blocked::InTransition)),
        (Fault::proxy_refusal(), Unavailable::Unrecognised { by, status: 403 }),
        (Fault::dropped_before(), Unavailable::Unreachable { by }),
        (Fault::dropped_after(), Unavailable::Unreachable { by }),
        (Fault::silent(), Unavailable::Timeout { by }),
        (Fault::unreachable(), Unavailable::Unreachable { by }),
    ] {
        site.fault(fault.on(Operation::UnwrapKey));
        assert_eq!(tenant.prove().await, Err(reason.into()));
        site.clear_faults();
        assert_eq!(tenant.prove().await, Ok(()), "after {reason}");
    }
}

#[tokio::test]
async fn a_failing_vault_is_asked_once_each_time() {
    let azure = Azure::start().await;
    let tenant = Tenant::open(azure.vault("acme", azure.federated())).await;
    let site = azure.standin.vault("acme-vault");
    let before = site.count(Operation::UnwrapKey);
    site.fault(Fault::broken());
    assert!(tenant.prove().await.is_err());
    assert_eq!(site.count(Operation::UnwrapKey), before + 1);
}

#[tokio::test]
async fn every_obstacle_at_entra_is_unavailable_by_name() {
    let azure = Azure::start().await;
    let vault = azure.vault("acme", azure.federated());
    let (by, site) = (Service::Entra, azure.standin.entra("acme"));
    for (fault, reason) in [
        (
            Fault::throttled(Some(60)),
            Unavailable::Throttled {
                by,
                retry_after: Some(Duration::from_secs(60)),
            },
        ),
        (Fault::broken(), Unavailable::ServerError { by, status: 500 }),
        (Fault::busy(), Unavailable::ServerError { by, status: 503 }),
        (Fault::proxy_refusal(), Unavailable::Unrecognised { by, status: 403 }),
        (Fault::dropped_before(), Unavailable::Unreachable { by }),
        (Fault::silent(), Unavailable::Timeout { by }),
    ] {
        let before = site.count(Operation::Token);
        site.fault(fault);
        assert_eq!(vault.session().await.unwrap_err(), reason.into());
        assert_eq!(site.count(Operation::Token), before + 1, "{reason}: asked once");
        site.clear_faults();
    }
    assert!(vault.session().await.is_ok());
}

#[tokio::test]
async fn every_obstacle_at_the_identity_endpoint_is_unavailable_by_name() {
    let azure = Azure::start().await;
    let (by, site) = (Service::Identity, azure.standin.identity());
    for identity in [azure.federated(), azure.managed()] {
        // The SDK itself goes on asking here, until the deadline.
        let options = TransportOptions {
            deadline: Duration::from_millis(500),
            ..azure.options()
        };
        let vault = Vault::new(azure.key("acme"), identity, Transport::new(options).unwrap());
        for (fault, reason) in [
            (Fault::throttled(None), Unavailable::Throttled { by, retry_after: None }),
            (Fault::broken(), Unavailable::ServerError { by, status: 500 }),
            (Fault::silent(), Unavailable::Timeout { by }),
        ] {
            site.fault(fault);
            assert_eq!(vault.session().await.unwrap_err(), reason.into());
            site.clear_faults();
        }
        azure.standin.assign_identity(false).unwrap();
        assert_eq!(vault.session().await.unwrap_err(), IdentityFault::NotAssigned.into());
        azure.standin.assign_identity(true).unwrap();
    }
}

#[tokio::test]
async fn a_vault_that_moved_to_another_tenant_gets_no_token() {
    let azure = Azure::start().await;
    let tenant = Tenant::open(azure.vault("acme", azure.federated())).await;
    azure
        .standin
        .customer("acme")
        .move_vault(&azure.standin.tenant_id("isv"))
        .unwrap();
    assert_eq!(tenant.prove().await, Err(Blocked::OtherTenant.into()));

    let fresh = tenant.vault.session().await.unwrap();
    let before = azure.standin.vault("acme-vault").total();
    assert_eq!(
        tenant.vault.current(&fresh).await.unwrap_err(),
        Blocked::OtherTenant.into()
    );
    assert_eq!(
        azure.standin.vault("acme-vault").total(),
        before + 1,
        "the challenge, and nothing after it"
    );
}

#[tokio::test]
async fn a_managed_identity_of_another_tenant_is_told_so() {
    let azure = Azure::start().await;
    let vault = azure.vault("acme", azure.managed());
    let session = vault.session().await.unwrap();
    assert_eq!(vault.current(&session).await.unwrap_err(), Blocked::WrongIssuer.into());
}

#[tokio::test]
async fn an_untrusted_certificate_is_unavailable() {
    let azure = Azure::start().await;
    let other = Azure::start().await;
    let options = TransportOptions {
        ca_pem: Some(other.standin.ca_pem().into()),
        ..azure.options()
    };
    let vault = Vault::new(azure.key("acme"), azure.federated(), Transport::new(options).unwrap());
    assert_eq!(
        vault.session().await.unwrap_err(),
        Unavailable::TlsFailed { by: Service::Entra }.into()
    );
}

/// A tenant with a DEK wrapped before the test's event, and a session that is past its challenge.
struct Tenant {
    vault: Vault,
    session: Session,
    version: KeyVersion,
    wrapped: Wrapped,
}

impl Tenant {
    async fn open(vault: Vault) -> Self {
        let session = vault.session().await.unwrap();
        let version = vault.current(&session).await.unwrap().version;
        let wrapped = vault.wrap(&session, version, &DEK).await.unwrap();
        let tenant = Self {
            vault,
            session,
            version,
            wrapped,
        };
        assert_eq!(tenant.prove().await, Ok(()));
        tenant
    }

    /// The one proof of access.
    async fn prove(&self) -> Result<(), Refusal> {
        let dek = self.vault.unwrap(&self.session, self.version, &self.wrapped).await?;
        assert_eq!(dek.expose(), &DEK);
        Ok(())
    }
}

/// A stand-in with a world of its own, gone when dropped.
struct Azure {
    standin: Standin,
    data: PathBuf,
}

impl Azure {
    async fn start() -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let data = std::env::temp_dir().join(format!("portcullis-vault-{}-{number}", std::process::id()));
        let options = StandinOptions {
            data: data.clone(),
            https_port: 0,
            imds_port: 0,
        };
        Self {
            standin: Standin::start(options).await.unwrap(),
            data,
        }
    }

    fn options(&self) -> TransportOptions {
        TransportOptions {
            ca_pem: Some(self.standin.ca_pem().into()),
            imds_endpoint: Some(self.standin.imds_endpoint().parse().unwrap()),
            deadline: Duration::from_secs(2),
            ..TransportOptions::default()
        }
    }

    fn key(&self, customer: &str) -> KeyUrl {
        let hosts = VaultHosts::none().with_localhost("https://vault.azure.net/.default");
        KeyUrl::parse(&self.standin.key_url(customer), &hosts).unwrap()
    }

    fn vault(&self, customer: &str, identity: Identity) -> Vault {
        Vault::new(self.key(customer), identity, Transport::new(self.options()).unwrap())
    }

    fn federated(&self) -> Identity {
        Identity::Federated {
            managed_identity: self.standin.identity_client_id().parse().unwrap(),
            audience: PUBLIC_AUDIENCE.to_owned(),
            app: self.standin.app_client_id().parse().unwrap(),
            tenant: self.standin.tenant_id("acme").parse().unwrap(),
            authority: self.standin.authority().parse().unwrap(),
        }
    }

    fn managed(&self) -> Identity {
        Identity::Managed {
            managed_identity: Some(self.standin.identity_client_id().parse().unwrap()),
        }
    }
}

impl Drop for Azure {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.data);
    }
}
