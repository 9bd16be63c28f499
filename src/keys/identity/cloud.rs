//! Microsoft's clouds: what differs between them is where Entra is, what an assertion is for, and where vaults lie.

use crate::keys::identity::Authority;
use crate::keys::key_url::VaultHosts;

/// A cloud of Microsoft's. Each has an Entra of its own, whose identities mean nothing in another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cloud {
    /// Azure.
    #[default]
    Public,
    /// Azure Government of the US.
    UsGovernment,
    /// Azure in China, operated by 21Vianet.
    China,
}

impl Cloud {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Public, Self::UsGovernment, Self::China];

    /// Its Entra (learn.microsoft.com/entra/identity-platform/authentication-national-cloud).
    pub fn authority(self) -> Authority {
        Authority(
            match self {
                Self::Public => "https://login.microsoftonline.com",
                Self::UsGovernment => "https://login.microsoftonline.us",
                Self::China => "https://login.partner.microsoftonline.cn",
            }
            .to_owned(),
        )
    }

    /// What a managed identity's token is for that vouches for an application (Entra's
    /// workload-identity-federation-config-app-trust-managed-identity).
    pub fn exchange(self) -> &'static str {
        match self {
            Self::Public => "api://AzureADTokenExchange",
            Self::UsGovernment => "api://AzureADTokenExchangeUSGov",
            Self::China => "api://AzureADTokenExchangeChina",
        }
    }

    /// Its Key Vaults and Managed HSMs (learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates, "DNS
    /// suffixes for object identifiers"). A token for one is asked for the domain.
    pub fn vaults(self) -> VaultHosts {
        let domains = match self {
            Self::Public => ["vault.azure.net", "managedhsm.azure.net"],
            Self::UsGovernment => ["vault.usgovcloudapi.net", "managedhsm.usgovcloudapi.net"],
            Self::China => ["vault.azure.cn", "managedhsm.azure.cn"],
        };
        domains.into_iter().fold(VaultHosts::none(), |hosts, domain| {
            hosts.with(domain, &format!("https://{domain}/.default"))
        })
    }

    /// The cloud whose Entra this is.
    pub fn of(authority: &Authority) -> Option<Self> {
        Self::ALL.into_iter().find(|cloud| cloud.authority() == *authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::key_url::{KeyUrl, KeyUrlError};

    #[test]
    fn an_authority_names_its_cloud() {
        for cloud in Cloud::ALL {
            assert_eq!(Cloud::of(&cloud.authority()), Some(cloud));
        }
        assert_eq!(Cloud::of(&"https://login.example.com".parse().unwrap()), None);
    }

    #[test]
    fn a_vault_of_another_cloud_gets_no_token() {
        let hosts = [
            (Cloud::Public, "a.vault.azure.net"),
            (Cloud::Public, "a.managedhsm.azure.net"),
            (Cloud::UsGovernment, "a.vault.usgovcloudapi.net"),
            (Cloud::UsGovernment, "a.managedhsm.usgovcloudapi.net"),
            (Cloud::China, "a.vault.azure.cn"),
            (Cloud::China, "a.managedhsm.azure.cn"),
        ];
        for (of, host) in hosts {
            for cloud in Cloud::ALL {
                let key = KeyUrl::parse(&format!("https://{host}/keys/k"), &cloud.vaults());
                match cloud == of {
                    true => {
                        let (_, domain) = host.split_once('.').unwrap();
                        assert_eq!(key.unwrap().scope(), format!("https://{domain}/.default"));
                    }
                    false => assert_eq!(key, Err(KeyUrlError::Host { host: host.to_owned() }), "{cloud:?}"),
                }
            }
        }
    }
}
