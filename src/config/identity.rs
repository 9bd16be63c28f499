//! `[identity.…]`: who the gate is to its tenants' vaults, and in which of Microsoft's clouds.

use std::collections::BTreeMap;
use std::path::PathBuf;

use azure_core::http::Url;

use crate::config::mistake::Fault;
use crate::config::outside::Outside;
use crate::config::section::{Entry, Section};
use crate::config::value;
use crate::keys::identity::{ArcAgent, Authority, Certificate, ClientSecret, Cloud, EntraId, Identity};

/// Where Azure's webhook on Kubernetes says that the service account's token is.
const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";

/// An identity but for the tenant it is used in.
pub(super) struct Template {
    /// Whose vaults it has tokens for.
    pub(super) cloud: Cloud,
    proof: Proof,
}

/// How it proves itself.
enum Proof {
    Federated {
        managed_identity: EntraId,
        audience: String,
        app: EntraId,
        authority: Authority,
    },
    Managed {
        managed_identity: Option<EntraId>,
    },
    Workload {
        app: EntraId,
        authority: Authority,
        token_file: PathBuf,
    },
    Certificate {
        app: EntraId,
        authority: Authority,
        certificate: Certificate,
    },
    AzureArc(ArcAgent),
    Secret {
        app: EntraId,
        authority: Authority,
        secret: ClientSecret,
    },
}

#[derive(Clone, Copy)]
enum Kind {
    Federated,
    Managed,
    Workload,
    Certificate,
    AzureArc,
    Secret,
}

/// The identities by name; `None` where one has a mistake, so that who refers to it makes no second one.
pub(super) fn identities(
    sections: Vec<(String, Section<'_, '_>)>,
    outside: &Outside<'_>,
    dev: bool,
) -> BTreeMap<String, Option<Template>> {
    sections
        .into_iter()
        .map(|(name, section)| {
            if let Err(fault) = value::name(&name) {
                section.wrong("", fault);
            }
            (name, identity(section, outside, dev))
        })
        .collect()
}

fn identity(mut section: Section<'_, '_>, outside: &Outside<'_>, dev: bool) -> Option<Template> {
    let kinds = [
        ("federated", Kind::Federated),
        ("managed", Kind::Managed),
        ("workload", Kind::Workload),
        ("certificate", Kind::Certificate),
        ("azure-arc", Kind::AzureArc),
        ("secret", Kind::Secret),
    ];
    let kind = section.need("kind");
    let Some(kind) = kind.as_ref().and_then(|entry| entry.choice(&kinds).zip(Some(entry))) else {
        section.give_up();
        return None;
    };
    let clouds = [
        ("public", Cloud::Public),
        ("usgov", Cloud::UsGovernment),
        ("china", Cloud::China),
    ];
    let cloud = match section.take("cloud") {
        None => Some(None),
        Some(entry) => entry.choice(&clouds).map(Some),
    };
    let id = |entry: Entry<'_, '_>| entry.parsed(str::parse::<EntraId>);
    match kind {
        (Kind::Federated, _) => {
            let managed_identity = section.need("managed_identity").and_then(id);
            let app = section.need("app").and_then(id);
            let place = Place::read(&mut section, cloud?);
            let audience = match section.take("audience") {
                None => Some(None),
                Some(entry) => entry.text().map(|text| Some(text.to_owned())),
            };
            let Place { cloud, authority } = place?;
            let proof = Proof::Federated {
                managed_identity: managed_identity?,
                audience: audience?.unwrap_or_else(|| cloud.exchange().to_owned()),
                app: app?,
                authority,
            };
            Some(Template { cloud, proof })
        }
        (Kind::Managed, _) => {
            let managed_identity = match section.take("managed_identity") {
                None => None,
                Some(entry) => Some(id(entry)?),
            };
            let cloud = cloud?.unwrap_or_default();
            let proof = Proof::Managed { managed_identity };
            Some(Template { cloud, proof })
        }
        (Kind::Workload, _) => {
            let app = section.need("app").and_then(id);
            let place = Place::read(&mut section, cloud?);
            let token_file = token_file(&mut section, outside);
            let Place { cloud, authority } = place?;
            let proof = Proof::Workload {
                app: app?,
                authority,
                token_file: token_file?,
            };
            Some(Template { cloud, proof })
        }
        (Kind::Certificate, _) => {
            let app = section.need("app").and_then(id);
            let place = Place::read(&mut section, cloud?);
            let certificate = certificate(&mut section, outside);
            let Place { cloud, authority } = place?;
            let proof = Proof::Certificate {
                app: app?,
                authority,
                certificate: certificate?,
            };
            Some(Template { cloud, proof })
        }
        (Kind::AzureArc, _) => {
            let agent = agent(&mut section, dev)?;
            let cloud = cloud?.unwrap_or_default();
            let proof = Proof::AzureArc(agent);
            Some(Template { cloud, proof })
        }
        (Kind::Secret, entry) if !dev => {
            entry.wrong(Fault::DevOnly);
            section.give_up();
            None
        }
        (Kind::Secret, _) => {
            let app = section.need("app").and_then(id);
            let place = Place::read(&mut section, cloud?);
            let secret = section.need("secret").and_then(|entry| outside.secret(entry));
            let secret = secret.and_then(|secret| {
                let text = secret.text(1).map(ClientSecret::new);
                text.map_err(|fault| section.wrong("secret", fault)).ok()
            });
            let Place { cloud, authority } = place?;
            let proof = Proof::Secret {
                app: app?,
                authority,
                secret: secret?,
            };
            Some(Template { cloud, proof })
        }
    }
}

/// Where the customers' tenants are.
struct Place {
    cloud: Cloud,
    authority: Authority,
}

impl Place {
    /// `authority`, by default the cloud's; where only it is given, the cloud is the one whose authority it is. An authority of
    /// nobody's (a cloud cut off from all others) leaves the public cloud's names, to be replaced by `vault_hosts` and `audience`.
    fn read(section: &mut Section<'_, '_>, cloud: Option<Cloud>) -> Option<Self> {
        let Some(entry) = section.take("authority") else {
            let cloud = cloud.unwrap_or_default();
            let authority = cloud.authority();
            return Some(Self { cloud, authority });
        };
        let authority: Authority = entry.parsed(str::parse)?;
        let of = Cloud::of(&authority);
        match (cloud, of) {
            (Some(cloud), Some(of)) if cloud != of => {
                entry.wrong(Fault::Form("of the cloud that `cloud` names"));
                None
            }
            _ => Some(Self {
                cloud: cloud.or(of).unwrap_or_default(),
                authority,
            }),
        }
    }
}

/// `token_file`, or the one that the pod's environment names.
fn token_file(section: &mut Section<'_, '_>, outside: &Outside<'_>) -> Option<PathBuf> {
    if let Some(entry) = section.take("token_file") {
        return outside.path(&entry);
    }
    let named = (outside.env)(TOKEN_FILE).map(PathBuf::from);
    if named.is_none() {
        section.wrong("token_file", Fault::Missing);
    }
    named
}

/// `certificate`: one PEM file with the certificate and its private key, as `az ad app credential reset --create-cert` writes it;
/// or the certificate alone, and the key in `key`.
fn certificate(section: &mut Section<'_, '_>, outside: &Outside<'_>) -> Option<Certificate> {
    let entry = section.need("certificate")?;
    let key = section.take("key");
    let certified = outside.certified(&entry, key.as_ref())?;
    entry.check(Certificate::new(certified).map_err(|error| Fault::Tls(error.to_string())))
}

/// Azure Arc's agent is where it is; a stand-in may be elsewhere.
fn agent(section: &mut Section<'_, '_>, dev: bool) -> Option<ArcAgent> {
    let mut of_stand_in = |key, default: &str| match section.take(key) {
        None => Some(default.to_owned()),
        Some(entry) if !dev => {
            entry.wrong(Fault::DevOnly);
            None
        }
        Some(entry) => entry.text().map(str::to_owned),
    };
    let endpoint = of_stand_in("agent", ArcAgent::ENDPOINT);
    let challenges = of_stand_in("challenges", ArcAgent::CHALLENGES);
    let endpoint = endpoint?;
    let parsed = value::endpoint(&endpoint).and_then(|_| Url::parse(&endpoint).map_err(|_| Fault::Form("an http URL")));
    Some(ArcAgent {
        endpoint: parsed.map_err(|fault| section.wrong("agent", fault)).ok()?,
        challenges: challenges?.into(),
    })
}

impl Template {
    /// Whether it is known in one tenant only, its own.
    pub(super) fn is_of_its_own_tenant(&self) -> bool {
        matches!(self.proof, Proof::Managed { .. } | Proof::AzureArc(_))
    }

    /// The identity in a customer's tenant; `None` if it needs one and there is none.
    pub(super) fn within(&self, tenant: Option<EntraId>) -> Option<Identity> {
        Some(match &self.proof {
            Proof::Federated {
                managed_identity,
                audience,
                app,
                authority,
            } => Identity::Federated {
                managed_identity: managed_identity.clone(),
                audience: audience.clone(),
                app: app.clone(),
                tenant: tenant?,
                authority: authority.clone(),
            },
            Proof::Managed { managed_identity } => Identity::Managed {
                managed_identity: managed_identity.clone(),
            },
            Proof::Workload {
                app,
                authority,
                token_file,
            } => Identity::Workload {
                app: app.clone(),
                tenant: tenant?,
                authority: authority.clone(),
                token_file: token_file.clone(),
            },
            Proof::Certificate {
                app,
                authority,
                certificate,
            } => Identity::Certificate {
                app: app.clone(),
                tenant: tenant?,
                authority: authority.clone(),
                certificate: certificate.clone(),
            },
            Proof::AzureArc(agent) => Identity::AzureArc(agent.clone()),
            Proof::Secret { app, authority, secret } => Identity::Secret {
                app: app.clone(),
                tenant: tenant?,
                authority: authority.clone(),
                secret: secret.clone(),
            },
        })
    }
}
