//! Every identity that the gate can have, spoken to the stand-in by the real SDK: what each proves itself by, and what is said of it
//! when it fails. And keys in a Managed HSM, which wrap in another way.

mod checked;
mod clouds;
mod hsm;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use portcullis::dev::standin::{Fault, Standin, StandinOptions};
use portcullis::keys::identity::{ArcAgent, Certificate, ClientSecret, Identity};
use portcullis::keys::key_url::{KeyUrl, VaultHosts};
use portcullis::keys::refusal::{IdentityFault, Refusal, Revoked, Service, Unavailable};
use portcullis::keys::transport::{Transport, TransportOptions};
use portcullis::keys::vault::Vault;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
use rustls::pki_types::PrivatePkcs8KeyDer;

const DEK: [u8; 32] = [0x5a; 32];

#[tokio::test]
async fn a_certificate_vouches_for_the_application() {
    let azure = Azure::start().await;
    let own = Pem::new();
    let vault = azure.vault("acme", azure.certificate(&own));
    let unknown = vault.session().await.unwrap_err();
    assert_eq!(unknown, IdentityFault::CertificateUnknown.into(), "not registered yet");
    azure.standin.register_certificate(&Pem::new().certificate).unwrap();
    assert_eq!(vault.session().await.unwrap_err(), unknown, "another one is");
    azure.standin.register_certificate(&own.certificate).unwrap();
    assert_eq!(prove(&vault).await, Ok(()));

    azure.standin.customer("acme").disable_app().unwrap();
    assert_eq!(prove(&vault).await, Err(Revoked::AppDisabled.into()));
    azure.standin.customer("acme").remove_app().unwrap();
    assert_eq!(prove(&vault).await, Err(Revoked::AppNotInstalled.into()));
    azure.standin.customer("acme").install_app().unwrap();
    assert_eq!(prove(&vault).await, Ok(()));
}

#[tokio::test]
async fn a_service_account_vouches_for_the_application() {
    let azure = Azure::start().await;
    let file = azure.data.join("token");
    let write = || std::fs::write(&file, azure.standin.account_token().unwrap()).unwrap();
    write();
    let vault = azure.vault("acme", azure.workload(&file));
    let untrusted = vault.session().await.unwrap_err();
    assert_eq!(untrusted, IdentityFault::FederationMismatch.into());
    azure.standin.trust_cluster().unwrap();
    assert_eq!(prove(&vault).await, Ok(()));

    azure.standin.set_token_lifetime(Some(Duration::ZERO));
    write();
    let old = vault.session().await.unwrap_err();
    assert_eq!(old, IdentityFault::AssertionTime.into(), "Kubernetes did not renew it");
    azure.standin.set_token_lifetime(None);
    write();
    assert_eq!(prove(&vault).await, Ok(()), "the file is read anew");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(vault.session().await.unwrap_err(), IdentityFault::TokenFile.into());
}

#[tokio::test]
async fn a_client_secret_vouches_for_the_application() {
    let azure = Azure::start().await;
    let vault = azure.vault("acme", azure.secret("a-trial-secret"));
    azure.standin.register_secret("another-secret").unwrap();
    assert_eq!(vault.session().await.unwrap_err(), IdentityFault::SecretRefused.into());
    azure.standin.register_secret("a-trial-secret").unwrap();
    assert_eq!(prove(&vault).await, Ok(()));
    assert!(!format!("{vault:?}").contains("a-trial-secret"));
}

#[tokio::test]
async fn a_connected_machine_has_an_identity_of_its_own() {
    let azure = Azure::start().await;
    let machine = azure.standin.connect_machine().await.unwrap();
    let agent = ArcAgent {
        endpoint: machine.endpoint().parse().unwrap(),
        challenges: machine.challenges().to_owned(),
    };
    let vault = azure.vault("globex", Identity::AzureArc(agent.clone()));
    assert_eq!(prove(&vault).await, Ok(()));
    let left = std::fs::read_dir(machine.challenges()).unwrap().count();
    assert_eq!(left, 0, "the agent took its challenge back");

    azure.standin.assign_identity(false).unwrap();
    assert_eq!(vault.session().await.unwrap_err(), IdentityFault::NotAssigned.into());
    azure.standin.assign_identity(true).unwrap();
    for (fault, expected) in [
        (
            Fault::throttled(Some(7)),
            Unavailable::Throttled {
                by: Service::Identity,
                retry_after: Some(Duration::from_secs(7)),
            },
        ),
        (
            Fault::busy(),
            Unavailable::ServerError {
                by: Service::Identity,
                status: 503,
            },
        ),
        (Fault::silent(), Unavailable::Timeout { by: Service::Identity }),
        (
            Fault::dropped_before(),
            Unavailable::Unreachable { by: Service::Identity },
        ),
    ] {
        azure.standin.identity().fault(fault);
        assert_eq!(vault.session().await.unwrap_err(), expected.into());
        azure.standin.identity().clear_faults();
    }
    drop(machine);
}

#[tokio::test]
async fn the_agent_is_shown_no_file_but_its_own() {
    let azure = Azure::start().await;
    let machine = azure.standin.connect_machine().await.unwrap();
    // Somebody else at the agent's port, who would like to read a file of the gate's.
    let elsewhere = azure.data.join("elsewhere");
    let other = Identity::AzureArc(ArcAgent {
        endpoint: machine.endpoint().parse().unwrap(),
        challenges: elsewhere.clone(),
    });
    let vault = azure.vault("globex", other);
    assert_eq!(vault.session().await.unwrap_err(), IdentityFault::ArcChallenge.into());
    let asked = azure
        .standin
        .identity()
        .count(portcullis::dev::standin::Operation::IdentityToken);
    assert_eq!(asked, 1, "nothing was shown");
}

/// The one proof of access, from the identity on.
async fn prove(vault: &Vault) -> Result<(), Refusal> {
    let session = vault.session().await?;
    let version = vault.current(&session).await?.version;
    let wrapped = vault.wrap(&session, version, &DEK).await?;
    let back = vault.unwrap(&session, version, &wrapped).await?;
    assert_eq!(back.expose(), &DEK);
    Ok(())
}

/// A certificate and its key, as PEM.
struct Pem {
    certificate: String,
    key: KeyPair,
    der: rustls::pki_types::CertificateDer<'static>,
}

impl Pem {
    fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let params = CertificateParams::new(vec!["gate".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate: certificate.pem(),
            der: certificate.der().clone(),
            key,
        }
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
        let data = std::env::temp_dir().join(format!("portcullis-identities-{}-{number}", std::process::id()));
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

    fn vault(&self, customer: &str, identity: Identity) -> Vault {
        let hosts = VaultHosts::none().with_localhost("https://vault.azure.net/.default");
        let key = KeyUrl::parse(&self.standin.key_url(customer), &hosts).unwrap();
        let options = TransportOptions {
            ca_pem: Some(self.standin.ca_pem().into()),
            imds_endpoint: Some(self.standin.imds_endpoint().parse().unwrap()),
            deadline: Duration::from_secs(2),
            ..TransportOptions::default()
        };
        Vault::new(key, identity, Transport::new(options).unwrap())
    }

    fn certificate(&self, pem: &Pem) -> Identity {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = PrivatePkcs8KeyDer::from(pem.key.serialize_der()).into();
        let certified = rustls::sign::CertifiedKey::from_der(vec![pem.der.clone()], key, &provider);
        Identity::Certificate {
            app: self.standin.app_client_id().parse().unwrap(),
            tenant: self.standin.tenant_id("acme").parse().unwrap(),
            authority: self.standin.authority().parse().unwrap(),
            certificate: Certificate::new(Arc::new(certified.unwrap())).unwrap(),
        }
    }

    fn workload(&self, token_file: &Path) -> Identity {
        Identity::Workload {
            app: self.standin.app_client_id().parse().unwrap(),
            tenant: self.standin.tenant_id("acme").parse().unwrap(),
            authority: self.standin.authority().parse().unwrap(),
            token_file: token_file.to_owned(),
        }
    }

    fn secret(&self, secret: &str) -> Identity {
        Identity::Secret {
            app: self.standin.app_client_id().parse().unwrap(),
            tenant: self.standin.tenant_id("acme").parse().unwrap(),
            authority: self.standin.authority().parse().unwrap(),
            secret: ClientSecret::new(secret),
        }
    }

    fn federated(&self, customer: &str) -> Identity {
        Identity::Federated {
            managed_identity: self.standin.identity_client_id().parse().unwrap(),
            audience: portcullis::keys::identity::PUBLIC_AUDIENCE.to_owned(),
            app: self.standin.app_client_id().parse().unwrap(),
            tenant: self.standin.tenant_id(customer).parse().unwrap(),
            authority: self.standin.authority().parse().unwrap(),
        }
    }
}

impl Drop for Azure {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.data);
    }
}
