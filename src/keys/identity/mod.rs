//! Who the proxy is to a vault: the identities of the two use cases, of Kubernetes and of machines outside of Azure, each able to
//! exchange a token at once, past every cache of the SDK (its credentials keep tokens until 5 minutes before they end and cannot
//! be told otherwise).

mod arc;
mod certificate;
mod cloud;

pub use arc::ArcAgent;
pub use certificate::{Certificate, CertificateError};
pub use cloud::Cloud;

use crate::keys::classify::{classify_entra, classify_identity};
use crate::keys::refusal::{IdentityFault, Refusal, Service, Unavailable};
use crate::keys::transport::{Seen, Transport};
use arc::ArcCredential;
use async_trait::async_trait;
use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::{AccessToken, Secret, TokenCredential};
use azure_core::http::{ClientMethodOptions, ClientOptions, Url};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use certificate::CertifiedAssertion;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The audience of the assertion in the public cloud; [`Cloud::exchange`] has the others'.
pub const PUBLIC_AUDIENCE: &str = "api://AzureADTokenExchange";

/// How the proxy proves itself for one tenant's key. Identifiers, where the platform keeps the secrets; a certificate's key where
/// there is no such platform.
#[derive(Clone, Debug)]
pub enum Identity {
    /// The key is in the customer's vault: a managed identity vouches for a multitenant application in the customer's tenant.
    Federated {
        /// The user-assigned managed identity's client id.
        managed_identity: EntraId,
        /// The audience the managed identity's token is asked for, [`PUBLIC_AUDIENCE`] in the public cloud.
        audience: String,
        /// The multitenant application's client id.
        app: EntraId,
        /// The customer's tenant.
        tenant: EntraId,
        /// Where the customer's tenant is.
        authority: Authority,
    },
    /// The key is in a vault of the proxy's own tenant. The platform keeps such tokens for up to a day, so what shows at once
    /// is the loss of the role on the key, not of the identity.
    Managed {
        /// The user-assigned managed identity's client id; the system-assigned one when `None`.
        managed_identity: Option<EntraId>,
    },
    /// A Kubernetes service account vouches for the application.
    Workload {
        /// The application's client id.
        app: EntraId,
        /// The customer's tenant.
        tenant: EntraId,
        /// Where the customer's tenant is.
        authority: Authority,
        /// The projected service account token; read anew for each session, for Kubernetes rotates it.
        token_file: PathBuf,
    },
    /// A certificate vouches for the application: for machines outside of Azure and of Kubernetes.
    Certificate {
        /// The application's client id.
        app: EntraId,
        /// The customer's tenant.
        tenant: EntraId,
        /// Where the customer's tenant is.
        authority: Authority,
        /// What is registered with the application.
        certificate: Certificate,
    },
    /// The key is in a vault of the proxy's own tenant, and the machine is connected to Azure by Azure Arc. As with `Managed`, the
    /// agent keeps tokens.
    AzureArc(ArcAgent),
    /// A client secret vouches for the application. For stand-ins and trials only: whoever copies it is the application.
    Secret {
        /// The application's client id.
        app: EntraId,
        /// The customer's tenant.
        tenant: EntraId,
        /// Where the customer's tenant is.
        authority: Authority,
        /// The secret.
        secret: ClientSecret,
    },
}

/// A client secret. It never shows in logs.
#[derive(Clone)]
pub struct ClientSecret(Arc<Zeroizing<String>>);

/// A tenant, client or object id: a GUID, lower-case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntraId(String);

/// Entra's endpoint for a cloud: an https origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority(pub(in crate::keys::identity) String);

/// What is wrong with an identity's settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("'{0}' is not a GUID")]
    NotAGuid(String),
    #[error("'{0}' is not an https origin")]
    NotAnOrigin(String),
}

impl Identity {
    /// Exchanges a token for `scope` now. At most one request each to the managed identity endpoint and to Entra, except for
    /// the SDK's own retries at the former, which the transport's deadline ends.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn exchange(&self, transport: &Transport, scope: &str) -> Result<AccessToken, Refusal> {
        let credential = self.credential(transport)?;
        transport
            .observe(credential.get_token(&[scope], None))
            .await
            .map_err(refusal)
    }

    /// A credential that has no token yet.
    fn credential(&self, transport: &Transport) -> Result<Arc<dyn TokenCredential>, Refusal> {
        let options = |authority: &Authority| ClientAssertionCredentialOptions {
            client_options: authority.options(transport),
        };
        Ok(match self {
            Self::Managed { managed_identity } => managed(managed_identity.as_ref(), transport)?,
            Self::Federated {
                managed_identity,
                audience,
                app,
                tenant,
                authority,
            } => {
                let assertion = ManagedAssertion {
                    identity: managed(Some(managed_identity), transport)?,
                    audience: audience.clone(),
                };
                asserting(assertion, app, tenant, options(authority))?
            }
            Self::Workload {
                app,
                tenant,
                authority,
                token_file,
            } => WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
                credential_options: options(authority),
                client_id: Some(app.0.clone()),
                tenant_id: Some(tenant.0.clone()),
                token_file_path: Some(token_file.clone()),
            }))
            .map_err(|_| IdentityFault::TokenFile)?,
            Self::Certificate {
                app,
                tenant,
                authority,
                certificate,
            } => {
                let assertion = CertifiedAssertion::new(certificate, app, tenant, authority);
                asserting(assertion, app, tenant, options(authority))?
            }
            Self::AzureArc(agent) => Arc::new(ArcCredential {
                agent: agent.clone(),
                transport: transport.clone(),
            }),
            Self::Secret {
                app,
                tenant,
                authority,
                secret,
            } => {
                let options = ClientSecretCredentialOptions {
                    client_options: authority.options(transport),
                };
                let secret = Secret::new(secret.0.to_string());
                ClientSecretCredential::new(&tenant.0, app.0.clone(), secret, Some(options))
                    .map_err(|_| IdentityFault::Unusable)?
            }
        })
    }

    /// The tenant that a vault must name in its challenge, where the configuration knows it.
    pub fn tenant(&self) -> Option<&EntraId> {
        match self {
            Self::Federated { tenant, .. }
            | Self::Workload { tenant, .. }
            | Self::Certificate { tenant, .. }
            | Self::Secret { tenant, .. } => Some(tenant),
            Self::Managed { .. } | Self::AzureArc(_) => None,
        }
    }

    /// The application that stands in the customer's tenant, where there is one between the proxy and the key.
    pub fn application(&self) -> Option<&EntraId> {
        match self {
            Self::Federated { app, .. }
            | Self::Workload { app, .. }
            | Self::Certificate { app, .. }
            | Self::Secret { app, .. } => Some(app),
            Self::Managed { .. } | Self::AzureArc(_) => None,
        }
    }
}

fn refusal(seen: Seen) -> Refusal {
    let (refusal, raw) = match seen {
        Seen::Nothing => return IdentityFault::Unusable.into(),
        Seen::Refused(refusal) => return refusal,
        Seen::Asking(by) => return Unavailable::Timeout { by }.into(),
        Seen::Answer(Service::Identity, raw) => (classify_identity(&raw), raw),
        Seen::Answer(_, raw) => (classify_entra(&raw), raw),
    };
    tracing::debug!(
        service = refusal.by().name(),
        status = raw.status,
        codes = raw.codes(),
        request_id = raw.request_id,
        reason = refusal.name(),
        "token exchange refused"
    );
    refusal
}

fn managed(id: Option<&EntraId>, transport: &Transport) -> Result<Arc<ManagedIdentityCredential>, Refusal> {
    ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
        user_assigned_id: id.map(|id| UserAssignedId::ClientId(id.0.clone())),
        client_options: transport.options(Service::Identity, None),
    }))
    .map_err(|_| IdentityFault::UnsupportedHost.into())
}

fn asserting(
    assertion: impl ClientAssertion + 'static,
    app: &EntraId,
    tenant: &EntraId,
    options: ClientAssertionCredentialOptions,
) -> Result<Arc<dyn TokenCredential>, Refusal> {
    let made = ClientAssertionCredential::new(tenant.0.clone(), app.0.clone(), assertion, Some(options));
    Ok(made.map_err(|_| IdentityFault::Unusable)?)
}

/// The managed identity's token, as the application's assertion.
#[derive(Debug)]
struct ManagedAssertion {
    identity: Arc<ManagedIdentityCredential>,
    audience: String,
}

#[async_trait]
impl ClientAssertion for ManagedAssertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let token = self.identity.get_token(&[&self.audience], None).await?;
        Ok(token.token.secret().to_owned())
    }
}

impl ClientSecret {
    /// Keeps a secret.
    pub fn new(secret: &str) -> Self {
        Self(Arc::new(Zeroizing::new(secret.to_owned())))
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret")
    }
}

impl EntraId {
    /// The GUID's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EntraId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let hyphens = [8, 13, 18, 23];
        let guid = text.len() == 36
            && text.bytes().enumerate().all(|(i, b)| match hyphens.contains(&i) {
                true => b == b'-',
                false => b.is_ascii_hexdigit(),
            });
        match guid {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => Err(IdentityError::NotAGuid(text.to_owned())),
        }
    }
}

impl fmt::Display for EntraId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Authority {
    /// The origin, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn options(&self, transport: &Transport) -> ClientOptions {
        // The SDK's type is non-exhaustive: no struct literal.
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host.clone_from(&self.0);
        ClientOptions {
            cloud: Some(Arc::new(cloud.into())),
            ..transport.options(Service::Entra, Some(&self.0))
        }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Cloud::Public.authority()
    }
}

impl FromStr for Authority {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let refused = || IdentityError::NotAnOrigin(text.to_owned());
        let url = Url::parse(text).map_err(|_| refused())?;
        let origin = url.origin().ascii_serialization();
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        match url.scheme() == "https" && bare {
            true => Ok(Self(origin)),
            false => Err(refused()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_guid() {
        let id: EntraId = "A1B2C3D4-0000-4000-8000-00000000000F".parse().unwrap();
        assert_eq!(id.as_str(), "a1b2c3d4-0000-4000-8000-00000000000f");
        for text in [
            "",
            "contoso.onmicrosoft.com",
            "common",
            "a1b2c3d4-0000-4000-8000-00000000000g",
            "../a1b2c3d4",
        ] {
            assert_eq!(text.parse::<EntraId>(), Err(IdentityError::NotAGuid(text.to_owned())));
        }
    }

    #[test]
    fn an_authority_is_an_https_origin() {
        assert_eq!(
            "https://Login.Localhost:8443/".parse(),
            Ok(Authority("https://login.localhost:8443".to_owned()))
        );
        for text in [
            "http://login.localhost",
            "https://login.localhost/tenant",
            "login.localhost",
            "https://a@b.example",
        ] {
            assert!(text.parse::<Authority>().is_err(), "{text}");
        }
    }
}
