//! Microsoft's national clouds: Entra, vaults and Managed HSMs under those clouds' own names and over TLS, as the SDK asks for them;
//! whoever asks for another cloud's audience or scope, or another Entra, gets nothing.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis::dev::standin::{National, Operation, Standin};
use portcullis::keys::identity::{Authority, Cloud, Identity, PUBLIC_AUDIENCE};
use portcullis::keys::key_url::{KeyUrl, VaultHosts};
use portcullis::keys::refusal::{Blocked, IdentityFault};
use portcullis::keys::transport::{LostNames, Transport, TransportOptions};
use portcullis::keys::vault::Vault;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{Azure, Pem, prove};

/// What Microsoft documents of a national cloud, spelled out here once more.
struct Names {
    cloud: Cloud,
    national: National,
    login: &'static str,
    vault: &'static str,
    hsm: &'static str,
    audience: &'static str,
}

const CLOUDS: [Names; 2] = [
    Names {
        cloud: Cloud::UsGovernment,
        national: National::UsGovernment,
        login: "login.microsoftonline.us",
        vault: "vault.usgovcloudapi.net",
        hsm: "managedhsm.usgovcloudapi.net",
        audience: "api://AzureADTokenExchangeUSGov",
    },
    Names {
        cloud: Cloud::China,
        national: National::China,
        login: "login.partner.microsoftonline.cn",
        vault: "vault.azure.cn",
        hsm: "managedhsm.azure.cn",
        audience: "api://AzureADTokenExchangeChina",
    },
];

#[tokio::test]
async fn each_national_cloud_is_asked_under_its_own_names() {
    for names in CLOUDS {
        let site = Site::start(names).await;
        let acme = site.vault("acme", site.federated("acme"));
        assert_eq!(prove(&acme).await, Ok(()), "{}", site.names.login);
        let expected = [site.names.login.to_owned(), format!("acme-vault.{}", site.names.vault)];
        assert_eq!(site.front.asked(), BTreeSet::from(expected));
        let hooli = site.vault("hooli", site.federated("hooli"));
        assert_eq!(
            prove(&hooli).await,
            Ok(()),
            "a Managed HSM's tokens are for another resource"
        );

        let pem = Pem::new();
        site.azure.standin.register_certificate(&pem.certificate).unwrap();
        let Identity::Certificate {
            app,
            tenant,
            certificate,
            ..
        } = site.azure.certificate(&pem)
        else {
            panic!("no certificate");
        };
        let authority = site.names.cloud.authority();
        let certified = Identity::Certificate {
            app,
            tenant,
            authority,
            certificate,
        };
        assert_eq!(
            prove(&site.vault("acme", certified)).await,
            Ok(()),
            "it is signed for that Entra"
        );

        // The key in the ISV's own vault: no Entra but the machine's own.
        let identity = Identity::Managed {
            managed_identity: Some(site.azure.standin.identity_client_id().parse().unwrap()),
        };
        assert_eq!(prove(&site.vault("globex", identity)).await, Ok(()));
    }
}

#[tokio::test]
async fn what_is_of_another_cloud_gets_no_token() {
    for names in CLOUDS {
        let site = Site::start(names).await;
        let Identity::Federated {
            managed_identity,
            app,
            tenant,
            authority,
            ..
        } = site.federated("acme")
        else {
            panic!("not federated");
        };
        let federated = |audience: &str, authority: Authority| Identity::Federated {
            managed_identity: managed_identity.clone(),
            audience: audience.to_owned(),
            app: app.clone(),
            tenant: tenant.clone(),
            authority,
        };
        let public = site.vault("acme", federated(PUBLIC_AUDIENCE, authority.clone()));
        assert_eq!(
            public.session().await.unwrap_err(),
            IdentityFault::FederationMismatch.into()
        );
        // A scope of the public cloud for a vault of this one: Entra here knows no such service.
        let hosts = VaultHosts::none().with(site.names.vault, "https://vault.azure.net/.default");
        let key = KeyUrl::parse(&site.key("acme"), &hosts).unwrap();
        let vault = Vault::new(key, federated(site.names.audience, authority), site.transport());
        assert_eq!(vault.session().await.unwrap_err(), Blocked::VaultServiceMissing.into());
        let vaults = site.azure.standin.vault("acme-vault");
        assert_eq!(vaults.count(Operation::GetKey), 0, "no vault was shown anything");
        assert!(KeyUrl::parse(&site.key("acme"), &Cloud::Public.vaults()).is_err());
    }
}

/// A stand-in that is such a cloud, and the way there.
struct Site {
    names: Names,
    azure: Azure,
    front: Front,
    led: LostNames,
}

impl Site {
    async fn start(names: Names) -> Self {
        let azure = Azure::start().await;
        azure.standin.move_to(names.national).unwrap();
        let hosts = [
            names.login.to_owned(),
            format!("acme-vault.{}", names.vault),
            format!("globex-vault.{}", names.vault),
            format!("hooli-hsm.{}", names.hsm),
        ];
        let front = Front::start(&azure.standin, hosts.to_vec()).await;
        let led = LostNames::default();
        for host in &hosts {
            led.lead(host, front.address);
        }
        Self {
            names,
            azure,
            front,
            led,
        }
    }

    fn transport(&self) -> Transport {
        let options = TransportOptions {
            ca_pem: Some(self.front.ca.clone().into()),
            imds_endpoint: Some(self.azure.standin.imds_endpoint().parse().unwrap()),
            deadline: Duration::from_secs(5),
            lost_names: self.led.clone(),
            ..TransportOptions::default()
        };
        Transport::new(options).unwrap()
    }

    fn key(&self, customer: &str) -> String {
        match customer {
            "hooli" => format!("https://hooli-hsm.{}/keys/hooli-cmk", self.names.hsm),
            customer => format!("https://{customer}-vault.{}/keys/{customer}-cmk", self.names.vault),
        }
    }

    fn vault(&self, customer: &str, identity: Identity) -> Vault {
        let key = KeyUrl::parse(&self.key(customer), &self.names.cloud.vaults()).unwrap();
        Vault::new(key, identity, self.transport())
    }

    /// As the configuration makes it of `cloud`.
    fn federated(&self, customer: &str) -> Identity {
        Identity::Federated {
            managed_identity: self.azure.standin.identity_client_id().parse().unwrap(),
            audience: self.names.cloud.exchange().to_owned(),
            app: self.azure.standin.app_client_id().parse().unwrap(),
            tenant: self.azure.standin.tenant_id(customer).parse().unwrap(),
            authority: self.names.cloud.authority(),
        }
    }
}

/// TLS under the cloud's names, whose certificates the stand-in's own authority may not give, passed on to the stand-in.
struct Front {
    address: SocketAddr,
    ca: String,
    asked: Arc<Mutex<BTreeSet<String>>>,
}

impl Front {
    async fn start(standin: &Standin, names: Vec<String>) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            );
        let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(standin.ca_pem().as_bytes()).unwrap())
            .unwrap();
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(BTreeSet::new()));
        let (seen, port) = (Arc::clone(&asked), standin.https_port());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, connector, seen) = (acceptor.clone(), connector.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    let mut client = acceptor.accept(stream).await.ok()?;
                    let name = client.get_ref().1.server_name()?.to_owned();
                    seen.lock().unwrap().insert(name);
                    let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
                    let name = ServerName::try_from("localhost").ok()?;
                    let mut standin = connector.connect(name, stream).await.ok()?;
                    tokio::io::copy_bidirectional(&mut client, &mut standin).await.ok()
                });
            }
        });
        Self { address, ca, asked }
    }

    /// The hosts that were asked for so far.
    fn asked(&self) -> BTreeSet<String> {
        self.asked.lock().unwrap().clone()
    }
}
