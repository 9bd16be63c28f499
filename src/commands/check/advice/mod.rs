//! What to do about a refusal: the role or the `az` command that repairs it, and who has to run it. The commands are those of
//! docs/onboarding.md.

use crate::keys::identity::{Cloud, Identity, PUBLIC_AUDIENCE};
use crate::keys::key_url::KeyUrl;
use crate::keys::refusal::{Blocked, IdentityFault, Refusal, Revoked, Service, Unavailable};

/// The one role that the gate needs (Azure built-in roles, e147488a-f6f5-4113-8e2d-b22465e65bf6).
pub const ROLE: &str = "Key Vault Crypto Service Encryption User";
/// The same in a Managed HSM (33413926-3206-4cdd-b39a-83574fe37a17).
const HSM_ROLE: &str = "Managed HSM Crypto Service Encryption User";

/// What the commands name.
pub struct Advice<'a> {
    /// The tenant's key.
    pub key: &'a KeyUrl,
    /// Who the gate is to its vault.
    pub identity: &'a Identity,
}

impl Advice<'_> {
    /// What to do about `refusal`.
    pub fn about(&self, refusal: Refusal) -> Vec<String> {
        match refusal {
            Refusal::Revoked(reason) => self.revoked(reason),
            Refusal::Unavailable(reason) => self.unavailable(reason),
            Refusal::BadEnvelope => vec!["the vault did not unwrap what it had just wrapped: ask Microsoft".to_owned()],
        }
    }

    /// Gives the gate its role on the key, and nothing more.
    pub fn grant(&self) -> String {
        let (name, key) = (self.vault_name(), self.key.name());
        let principal = self.principal();
        if self.is_hsm() {
            return format!(
                "az keyvault role assignment create --hsm-name {name} --role \"{HSM_ROLE}\" --assignee-object-id {principal} \
                 --assignee-principal-type ServicePrincipal --scope /keys/{key}"
            );
        }
        format!(
            "az role assignment create --role \"{ROLE}\" --assignee-object-id {principal} \
             --assignee-principal-type ServicePrincipal --scope {}",
            self.scope()
        )
    }

    /// Takes a role from the gate that it does not need.
    pub fn take_away(&self, role: &str, whole_vault: bool) -> String {
        if self.is_hsm() {
            let scope = if whole_vault {
                "/keys".to_owned()
            } else {
                format!("/keys/{}", self.key.name())
            };
            return format!(
                "az keyvault role assignment delete --hsm-name {} --role \"{role}\" --assignee {} --scope {scope}",
                self.vault_name(),
                self.principal()
            );
        }
        let scope = if whole_vault { self.vault_scope() } else { self.scope() };
        format!(
            "az role assignment delete --role \"{role}\" --assignee {} --scope {scope}",
            self.principal()
        )
    }

    /// The one role that the gate needs.
    pub fn role(&self) -> &'static str {
        if self.is_hsm() { HSM_ROLE } else { ROLE }
    }

    /// The role of whoever manages keys.
    pub fn officer(&self) -> &'static str {
        match self.is_hsm() {
            true => "Managed HSM Crypto Officer",
            false => "Key Vault Crypto Officer",
        }
    }

    /// Makes the key impossible to purge before its retention is over.
    pub fn protect(&self) -> String {
        let flag = if self.is_hsm() { "--hsm-name" } else { "--name" };
        format!(
            "the customer may: az keyvault update{} {flag} {} --enable-purge-protection true",
            if self.is_hsm() { "-hsm" } else { "" },
            self.vault_name()
        )
    }

    /// Changes an attribute of the key, or of one version.
    pub fn attribute(&self, change: &str) -> String {
        format!("the customer: az keyvault key set-attributes {} {change}", self.named())
    }

    /// The application's client id, where there is one.
    fn app(&self) -> Option<&str> {
        match self.identity {
            Identity::Federated { app, .. }
            | Identity::Workload { app, .. }
            | Identity::Certificate { app, .. }
            | Identity::Secret { app, .. } => Some(app.as_str()),
            Identity::Managed { .. } | Identity::AzureArc(_) => None,
        }
    }

    fn audience(&self) -> &str {
        match self.identity {
            Identity::Federated { audience, .. } => audience,
            _ => PUBLIC_AUDIENCE,
        }
    }

    /// Who issues a managed identity's assertions: the Entra of its cloud.
    fn issuer(&self) -> String {
        let cloud = match self.identity {
            Identity::Federated { authority, .. } => Cloud::of(authority),
            _ => None,
        };
        cloud.unwrap_or_default().authority().as_str().to_owned()
    }

    fn managed_identity(&self) -> Option<&str> {
        match self.identity {
            Identity::Federated { managed_identity, .. } => Some(managed_identity.as_str()),
            Identity::Managed { managed_identity } => managed_identity.as_ref().map(|id| id.as_str()),
            _ => None,
        }
    }

    /// The object id that holds the role, as a shell finds it.
    fn principal(&self) -> String {
        match (self.app(), self.managed_identity()) {
            (Some(app), _) => format!("\"$(az ad sp show --id {app} --query id -o tsv)\""),
            (None, Some(id)) => {
                format!("\"$(az identity list --query \"[?clientId=='{id}'].principalId\" -o tsv)\"")
            }
            (None, None) if matches!(self.identity, Identity::AzureArc(_)) => {
                "\"$(az connectedmachine show --resource-group GROUP --name MACHINE --query identity.principalId -o tsv)\""
                    .to_owned()
            }
            (None, None) => "PRINCIPAL_ID_OF_THE_MACHINE".to_owned(),
        }
    }

    fn sign_in(&self) -> Vec<String> {
        let tenant = self.identity.tenant();
        let cloud = self
            .cloud()
            .map(|cloud| format!("az cloud set --name {cloud} && "))
            .unwrap_or_default();
        tenant
            .map(|tenant| format!("the customer: {cloud}az login --tenant {tenant}"))
            .into_iter()
            .collect()
    }

    /// How `az` calls the national cloud that the vault is in; the public one needs no naming.
    fn cloud(&self) -> Option<&'static str> {
        let vault = self.key.vault();
        let national = [
            ("usgovcloudapi.net", "AzureUSGovernment"),
            ("azure.cn", "AzureChinaCloud"),
        ];
        national
            .into_iter()
            .find(|(domain, _)| vault.ends_with(domain))
            .map(|(_, cloud)| cloud)
    }

    fn by_customer(&self, command: String) -> Vec<String> {
        let mut advice = self.sign_in();
        advice.push(command);
        advice
    }

    fn vault_name(&self) -> &str {
        let host = self.key.vault().trim_start_matches("https://");
        host.split(['.', ':']).next().unwrap_or(host)
    }

    fn is_hsm(&self) -> bool {
        self.key.is_hsm()
    }

    /// Who gives the gate its identity.
    fn identity_service(&self) -> &'static str {
        match self.identity {
            Identity::AzureArc(_) => "the agent of Azure Arc (127.0.0.1, port 40342; see `azcmagent show`)",
            Identity::Workload { .. } => "the service account's token",
            Identity::Certificate { .. } | Identity::Secret { .. } => "the gate's own credential",
            Identity::Federated { .. } | Identity::Managed { .. } => {
                "the managed identity endpoint (169.254.169.254, or what IDENTITY_ENDPOINT names)"
            }
        }
    }

    /// How `az keyvault key` is told which key.
    fn named(&self) -> String {
        let flag = if self.is_hsm() { "--hsm-name" } else { "--vault-name" };
        format!("{flag} {} --name {}", self.vault_name(), self.key.name())
    }

    fn vault_scope(&self) -> String {
        format!("\"$(az keyvault show --name {} --query id -o tsv)\"", self.vault_name())
    }

    fn scope(&self) -> String {
        let (vault, key) = (self.vault_name(), self.key.name());
        format!("\"$(az keyvault show --name {vault} --query id -o tsv)/keys/{key}\"")
    }

    fn revoked(&self, reason: Revoked) -> Vec<String> {
        let app = self.app().unwrap_or("APP_ID");
        match reason {
            Revoked::KeyDisabled => self.by_customer(self.attribute("--enabled true")),
            Revoked::KeyNotFound => vec![
                format!("the customer, if it was deleted: az keyvault key recover {}", self.named()),
                "otherwise correct the tenant's `key`: the key identifier that the portal shows".to_owned(),
            ],
            Revoked::OperationForbidden => self.by_customer(self.attribute("--ops wrapKey unwrapKey")),
            Revoked::RoleMissing => {
                let mut advice = self.by_customer(self.grant());
                advice.push("a new role holds after 1 to 10 minutes".to_owned());
                advice
            }
            Revoked::AccessPolicyMissing => self.by_customer(format!(
                "az keyvault set-policy --name {} --object-id {} --key-permissions get list wrapKey unwrapKey \
                 (the vault has access policies; with RBAC the role can be on the key alone)",
                self.vault_name(),
                self.principal()
            )),
            Revoked::AppNotInstalled => self.by_customer(format!("az ad sp create --id {app}, and then the role")),
            Revoked::AppDisabled => self.by_customer(format!(
                "az ad sp update --id {app} --set accountEnabled=true (and see that the ISV has not deactivated the application)"
            )),
            Revoked::TenantBlocked => vec!["the customer: ask Microsoft why the tenant is blocked".to_owned()],
            Revoked::KeyExpired => self.by_customer(self.attribute("--expires 2030-12-31T00:00:00Z (or rotate the key)")),
            Revoked::KeyNotYetValid => self.by_customer(self.attribute("--not-before 2020-01-01T00:00:00Z")),
        }
    }

    fn unavailable(&self, reason: Unavailable) -> Vec<String> {
        let host = match reason.by() {
            Service::Vault => self.key.vault().to_owned(),
            Service::Entra => "Entra".to_owned(),
            Service::Identity => self.identity_service().to_owned(),
            Service::Gate => "the gate".to_owned(),
        };
        match reason {
            Unavailable::Throttled { .. } => vec![format!("{host} is throttling: try again in a minute")],
            Unavailable::ServerError { .. } => vec![format!("{host} is failing: try again, see status.azure.com")],
            Unavailable::NameUnresolved { .. } => vec![
                format!("see that {host} resolves from here: nslookup; a private endpoint needs its private DNS zone"),
                "a vault's name vanishes when the vault is deleted: az keyvault list-deleted".to_owned(),
            ],
            Unavailable::TlsFailed { .. } => vec![format!(
                "see who answers for {host}: openssl s_client -connect; a proxy that breaks TLS needs `ca_file`"
            )],
            Unavailable::Timeout { .. } | Unavailable::Unreachable { .. } => {
                let port = if reason.by() == Service::Identity {
                    ""
                } else {
                    ", port 443"
                };
                vec![format!("allow connections from here to {host}{port}")]
            }
            Unavailable::Blocked(reason) => self.blocked(reason),
            Unavailable::Identity(fault) => self.faulty(fault),
            Unavailable::Unrecognised { status, .. } => vec![format!(
                "an answer {status} that is not {host}'s own, perhaps of an egress proxy on the way"
            )],
            Unavailable::Keyring => vec!["see the steps of the store".to_owned()],
            Unavailable::BudgetExhausted { .. } | Unavailable::Lapsed | Unavailable::Randomness => {
                vec!["try again".to_owned()]
            }
            Unavailable::UnknownTenant => vec!["name a tenant of the configuration".to_owned()],
        }
    }

    fn blocked(&self, reason: Blocked) -> Vec<String> {
        let vault = self.vault_name();
        match reason {
            Blocked::Firewall => self.by_customer(format!(
                "az keyvault network-rule add --name {vault} --ip-address ADDRESS_OF_THE_GATE/32"
            )),
            Blocked::PrivateLink => vec![format!(
                "the ISV: az network private-endpoint create --group-id vault --manual-request true \
                 --private-connection-resource-id ID_OF_{vault} …; the customer: az keyvault private-endpoint-connection approve"
            )],
            Blocked::InTransition => vec!["wait a minute: the key is being deleted or recovered".to_owned()],
            Blocked::OutsideValidity => self.by_customer(self.attribute("--expires … --not-before …")),
            Blocked::WrongIssuer | Blocked::OtherTenant => vec![format!(
                "set the tenant's `entra_tenant` to the vault's: az keyvault show --name {vault} --query properties.tenantId"
            )],
            Blocked::BadChallenge | Blocked::OtherHost => {
                vec!["this is no vault that may be trusted: see who answers for its name".to_owned()]
            }
            Blocked::TokenRefused => vec![format!(
                "see the machine's clock, and that the identity's `cloud` is the one that {vault} is in"
            )],
            Blocked::TenantUnknown => {
                vec!["set `entra_tenant` to the customer's: az account show --query tenantId".to_owned()]
            }
            Blocked::VaultServiceMissing => self
                .by_customer("az ad sp create --id cfa8b339-82a2-471a-a3c9-0fc0be7a4093 (Azure Key Vault)".to_owned()),
            Blocked::ConditionalAccess => {
                vec!["the customer: exempt the application in its conditional access policies".to_owned()]
            }
        }
    }

    /// The ISV's to repair, all of it.
    fn faulty(&self, fault: IdentityFault) -> Vec<String> {
        let app = self.app().unwrap_or("APP_ID");
        let id = self.managed_identity().unwrap_or("CLIENT_ID");
        let command = match fault {
            IdentityFault::NotAssigned if matches!(self.identity, Identity::AzureArc(_)) => {
                "see that the machine is connected to Azure: azcmagent show".to_owned()
            }
            IdentityFault::NotAssigned => format!(
                "az vm identity assign --identities \"$(az identity list --query \"[?clientId=='{id}'].id\" -o tsv)\" … \
                 (or az webapp / az containerapp identity assign)"
            ),
            IdentityFault::UnsupportedHost => {
                "run the gate where managed identity is served by IMDS, App Service or Container Apps, or use another kind: \
                 \"azure-arc\" on a connected machine, \"workload\" on Kubernetes, \"certificate\" anywhere"
                    .to_owned()
            }
            IdentityFault::TokenFile => {
                "see that the pod has azure.workload.identity/use: \"true\" and `token_file` is what is mounted"
                    .to_owned()
            }
            IdentityFault::ArcChallenge => {
                "let the gate's user read the agent's challenges: usermod --append --groups himds USER, and start it again"
                    .to_owned()
            }
            IdentityFault::CertificateUnknown => format!(
                "az ad app credential reset --id {app} --append --cert @CERTIFICATE.pem, with the certificate that the gate has; \
                 and see that it has not expired"
            ),
            IdentityFault::SecretRefused => format!("az ad app credential reset --id {app} --append"),
            IdentityFault::AssertionTime => "see the machine's clock, and on Kubernetes that the token is renewed".to_owned(),
            IdentityFault::FederationMismatch if matches!(self.identity, Identity::Workload { .. }) => format!(
                "az ad app federated-credential create --id {app} --parameters '{{\"name\":\"portcullis\",\
                 \"issuer\":\"ISSUER_OF_THE_CLUSTER\",\"subject\":\"system:serviceaccount:NAMESPACE:NAME\",\
                 \"audiences\":[\"api://AzureADTokenExchange\"]}}'"
            ),
            IdentityFault::FederationMismatch => format!(
                "az ad app federated-credential create --id {app} --parameters '{{\"name\":\"portcullis\",\
                 \"issuer\":\"{}/ISV_TENANT/v2.0\",\"subject\":\"PRINCIPAL_ID_OF_THE_IDENTITY\",\
                 \"audiences\":[\"{}\"]}}'",
                self.issuer(),
                self.audience()
            ),
            IdentityFault::AppElsewhere => {
                "the application and the managed identity must be of one tenant: register the application there"
                    .to_owned()
            }
            IdentityFault::AppDeactivated => format!("activate the application {app} again where it is registered"),
            IdentityFault::SessionExpired => "see the machine's clock".to_owned(),
            IdentityFault::Unusable => "see the identity's settings in the configuration".to_owned(),
        };
        vec![format!("the ISV: {command}")]
    }
}

#[cfg(test)]
mod tests;
