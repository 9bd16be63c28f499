//! Each refusal has its remedy, with the names of the set-up it is about.

use super::*;
use crate::keys::identity::Authority;
use crate::keys::key_url::VaultHosts;

fn federated() -> Identity {
    Identity::Federated {
        managed_identity: "c0000000-0000-4000-8000-000000000001".parse().unwrap(),
        audience: PUBLIC_AUDIENCE.to_owned(),
        app: "b0000000-0000-4000-8000-000000000001".parse().unwrap(),
        tenant: "a0000000-0000-4000-8000-000000000002".parse().unwrap(),
        authority: Authority::default(),
    }
}

#[test]
fn the_role_is_given_on_the_key_alone() {
    let (key, identity) = (key("https://kv.vault.azure.net/keys/cmk"), federated());
    let command = Advice {
        key: &key,
        identity: &identity,
    }
    .grant();
    assert!(
        command.contains("\"Key Vault Crypto Service Encryption User\""),
        "{command}"
    );
    assert!(command.contains("az ad sp show --id b0000000-"), "{command}");
    assert!(
        command.contains("--name kv ") && command.contains("/keys/cmk\""),
        "{command}"
    );
}

#[test]
fn every_no_names_its_remedy_and_who_has_it() {
    let (key, identity) = (key("https://kv.vault.azure.net/keys/cmk"), federated());
    let advice = Advice {
        key: &key,
        identity: &identity,
    };
    for (reason, remedy) in [
        (
            Revoked::KeyDisabled,
            "set-attributes --vault-name kv --name cmk --enabled true",
        ),
        (
            Revoked::KeyNotFound,
            "az keyvault key recover --vault-name kv --name cmk",
        ),
        (Revoked::OperationForbidden, "--ops wrapKey unwrapKey"),
        (Revoked::RoleMissing, "az role assignment create"),
        (Revoked::AccessPolicyMissing, "az keyvault set-policy"),
        (Revoked::AppNotInstalled, "az ad sp create --id b0000000-"),
        (Revoked::AppDisabled, "accountEnabled=true"),
        (Revoked::TenantBlocked, "ask Microsoft"),
        (Revoked::KeyExpired, "--expires"),
        (Revoked::KeyNotYetValid, "--not-before"),
    ] {
        let told = advice.about(reason.into()).join("\n");
        assert!(told.contains(remedy), "{reason:?}: {told}");
        assert!(told.contains("the customer"), "{reason:?}: {told}");
    }
}

#[test]
fn a_managed_hsm_has_roles_of_its_own() {
    let key = key("https://hsm.managedhsm.azure.net/keys/cmk");
    let identity = Identity::Managed { managed_identity: None };
    let command = Advice {
        key: &key,
        identity: &identity,
    }
    .grant();
    assert!(
        command.starts_with("az keyvault role assignment create --hsm-name hsm "),
        "{command}"
    );
}

#[test]
fn who_is_in_a_national_cloud_is_told_to_go_there_first() {
    let identity = federated();
    for (vault, cloud) in [
        (
            "kv.vault.usgovcloudapi.net",
            "az cloud set --name AzureUSGovernment && az login",
        ),
        ("kv.vault.azure.cn", "az cloud set --name AzureChinaCloud && az login"),
        ("kv.vault.azure.net", "the customer: az login"),
    ] {
        let key = key(&format!("https://{vault}/keys/cmk"));
        let advice = Advice {
            key: &key,
            identity: &identity,
        };
        let told = advice.about(Revoked::KeyDisabled.into()).join("\n");
        assert!(told.contains(cloud), "{told}");
    }
}

#[test]
fn a_federated_credential_is_of_the_identitys_own_cloud() {
    for cloud in Cloud::ALL {
        let Identity::Federated {
            managed_identity,
            app,
            tenant,
            ..
        } = federated()
        else {
            panic!("not federated");
        };
        let identity = Identity::Federated {
            managed_identity,
            audience: cloud.exchange().to_owned(),
            app,
            tenant,
            authority: cloud.authority(),
        };
        let key = key("https://kv.vault.azure.net/keys/cmk");
        let advice = Advice {
            key: &key,
            identity: &identity,
        };
        let told = advice.about(IdentityFault::FederationMismatch.into()).join("\n");
        let issuer = format!("\"{}/ISV_TENANT/v2.0\"", cloud.authority().as_str());
        assert!(
            told.contains(&issuer) && told.contains(&format!("\"{}\"", cloud.exchange())),
            "{told}"
        );
    }
}

fn key(url: &str) -> KeyUrl {
    let hosts = Cloud::ALL.into_iter().map(Cloud::vaults);
    KeyUrl::parse(url, &hosts.fold(VaultHosts::none(), VaultHosts::and)).unwrap()
}
