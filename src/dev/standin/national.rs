//! Microsoft's national clouds: the same services under other names, which a stand-in can take. Tokens of one mean nothing in
//! another.
//!
//! Sources: learn.microsoft.com/entra/identity-platform/authentication-national-cloud (authorities),
//! …/entra/workload-id/workload-identity-federation-config-app-trust-managed-identity (audiences of assertions),
//! …/azure/key-vault/general/about-keys-secrets-certificates (vaults' domains, which are what tokens are for too).

use crate::dev::standin::hsm::is_hsm;
use crate::dev::standin::token::TOKEN_EXCHANGE_APP;

/// Which cloud a stand-in is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum National {
    /// Azure itself, under names below `localhost`.
    #[default]
    Public,
    /// Azure Government of the US, under its own names.
    UsGovernment,
    /// Azure in China, under its own names.
    China,
}

impl National {
    /// Entra's host; `None` for the public one's stand-in, which has a name and port of this machine.
    pub fn login(self) -> Option<&'static str> {
        match self {
            Self::Public => None,
            Self::UsGovernment => Some("login.microsoftonline.us"),
            Self::China => Some("login.partner.microsoftonline.cn"),
        }
    }

    /// The domains of vaults and of Managed HSMs.
    pub fn domains(self) -> [&'static str; 2] {
        match self {
            Self::Public => ["vault.azure.net", "managedhsm.azure.net"],
            Self::UsGovernment => ["vault.usgovcloudapi.net", "managedhsm.usgovcloudapi.net"],
            Self::China => ["vault.azure.cn", "managedhsm.azure.cn"],
        }
    }

    /// A vault's host, where its cloud has names that are not of this machine.
    pub fn vault_host(self, vault: &str) -> Option<String> {
        let [vaults, hsms] = self.domains();
        let domain = if is_hsm(vault) { hsms } else { vaults };
        self.login().map(|_| format!("{vault}.{domain}"))
    }

    /// The vault that a host name of this cloud's means.
    pub fn vault_of(self, host: &str) -> Option<&str> {
        self.login()?;
        let (vault, domain) = host.split_once('.')?;
        self.domains().contains(&domain).then_some(vault)
    }

    /// What a vault's tokens are for.
    pub fn resource(self, vault: &str) -> String {
        let [vaults, hsms] = self.domains();
        format!("https://{}", if is_hsm(vault) { hsms } else { vaults })
    }

    /// Whether a token may be asked for this.
    pub fn knows(self, resource: &str) -> bool {
        let resource = resource.trim_end_matches('/');
        let of_vaults = self
            .domains()
            .iter()
            .any(|domain| resource == format!("https://{domain}"));
        of_vaults || resource == "https://storage.azure.com"
    }

    /// What an assertion of a managed identity is asked for.
    pub fn exchange(self) -> &'static str {
        match self {
            Self::Public => "api://AzureADTokenExchange",
            Self::UsGovernment => "api://AzureADTokenExchangeUSGov",
            Self::China => "api://AzureADTokenExchangeChina",
        }
    }

    /// What it then says that it is for: in the public cloud the application behind that URI. Of the others there is no capture.
    pub fn exchange_audience(self) -> &'static str {
        match self {
            Self::Public => TOKEN_EXCHANGE_APP,
            Self::UsGovernment | Self::China => self.exchange(),
        }
    }

    /// The issuer of assertions, which are tokens of version 2.0.
    pub fn issuer(self, tenant: &str) -> String {
        format!(
            "https://{}/{tenant}/v2.0",
            self.login().unwrap_or("login.microsoftonline.com")
        )
    }
}
