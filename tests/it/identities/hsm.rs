//! Keys in a Managed HSM: symmetric ones, wrapped with AES, and RSA ones beside them.

use portcullis::dev::standin::{Action, Role};
use portcullis::keys::refusal::{Refusal, Revoked};
use portcullis::keys::vault::{KeyKind, Session, Vault};
use portcullis::seal::WrapAlgorithm;

use super::{Azure, DEK, prove};

#[tokio::test]
async fn a_symmetric_key_wraps_with_aes() {
    let (azure, vault, session) = open().await;
    let state = vault.current(&session).await.unwrap();
    assert_eq!(state.kind, KeyKind::Symmetric);
    let mut wrapped = vault.wrap(&session, state.version, &DEK).await.unwrap();
    assert_eq!(wrapped.algorithm, WrapAlgorithm::A256Kw);
    assert_eq!(wrapped.bytes.len(), 40, "RFC 3394 adds eight bytes");
    let back = vault.unwrap(&session, state.version, &wrapped).await.unwrap();
    assert_eq!(back.expose(), &DEK);

    // The version was asked for by name; without that it is asked before it wraps.
    let unasked = azure.vault("hooli", azure.federated("hooli"));
    let fresh = unasked.session().await.unwrap();
    let again = unasked.wrap(&fresh, state.version, &DEK).await.unwrap();
    assert_eq!(again, wrapped, "AES key wrap has no randomness");

    wrapped.bytes[3] ^= 1;
    let forged = vault.unwrap(&session, state.version, &wrapped).await;
    assert_eq!(forged.err(), Some(Refusal::BadEnvelope));
}

#[tokio::test]
async fn each_no_of_an_hsm_is_a_revocation_and_ends_when_it_is_taken_back() {
    let (azure, vault, session) = open().await;
    let customer = azure.standin.customer("hooli");
    let version = vault.current(&session).await.unwrap().version;
    let wrapped = vault.wrap(&session, version, &DEK).await.unwrap();
    for (no, yes, reason) in [
        (Action::DisableKey, Action::EnableKey, Revoked::KeyDisabled),
        (Action::DeleteKey, Action::RecoverKey, Revoked::KeyNotFound),
        (Action::RemoveRole, Action::GrantRole, Revoked::RoleMissing),
    ] {
        customer.act(no).unwrap();
        let proved = vault.unwrap(&session, version, &wrapped).await;
        assert_eq!(proved.err(), Some(reason.into()), "{no}");
        let wrap = vault.wrap(&session, version, &DEK).await;
        assert_eq!(
            wrap.err(),
            Some(reason.into()),
            "there is no public half to wrap with: {no}"
        );
        customer.act(yes).unwrap();
        assert_eq!(prove(&vault).await, Ok(()), "{yes}");
    }
    for (no, yes, reason) in [
        (Action::DisableApp, Action::EnableApp, Revoked::AppDisabled),
        (Action::RemoveApp, Action::InstallApp, Revoked::AppNotInstalled),
    ] {
        customer.act(no).unwrap();
        assert_eq!(vault.session().await.unwrap_err(), reason.into(), "{no}");
        customer.act(yes).unwrap();
        assert_eq!(prove(&vault).await, Ok(()), "{yes}");
    }
    customer.grant(Role::Reader).unwrap();
    let wrap = vault.wrap(&session, version, &DEK).await;
    assert_eq!(wrap.err(), Some(Revoked::RoleMissing.into()), "a reader may only look");
}

#[tokio::test]
async fn each_version_wraps_in_its_own_way() {
    let (azure, vault, session) = open().await;
    let customer = azure.standin.customer("hooli");
    let symmetric = vault.current(&session).await.unwrap().version;
    let old = vault.wrap(&session, symmetric, &DEK).await.unwrap();
    customer.rotate_key().unwrap();
    assert_eq!(prove(&vault).await, Ok(()));
    customer.rotate_key_to_rsa_hsm().unwrap();
    let state = vault.current(&session).await.unwrap();
    assert_eq!(state.kind, KeyKind::Rsa { bits: 2048, hsm: true });
    let new = vault.wrap(&session, state.version, &DEK).await.unwrap();
    assert_eq!((new.algorithm, new.bytes.len()), (WrapAlgorithm::RsaOaep256, 256));
    for (version, wrapped) in [(symmetric, &old), (state.version, &new)] {
        let back = vault.unwrap(&session, version, wrapped).await.unwrap();
        assert_eq!(back.expose(), &DEK, "{version}");
    }
}

async fn open() -> (Azure, Vault, Session) {
    let azure = Azure::start().await;
    let vault = azure.vault("hooli", azure.federated("hooli"));
    let session = vault.session().await.unwrap();
    (azure, vault, session)
}
