//! The stand-in as a process among others: its directory, its control endpoint, and the SDK that judges it.

use std::path::Path;

use portcullis::dev::standin::{Operation, control};
use serde_json::json;

use super::{Rig, send, version_of};

#[tokio::test]
async fn another_process_plays_the_customer_by_what_the_directory_tells_it() {
    let rig = Rig::start().await;
    let token = rig.token("acme").await;
    let done = rig.wrap("acme", &token).await;
    let (version, value) = (version_of(&done.string("kid")), done.string("value"));
    let data: &Path = &rig.dir.0;
    for (action, inner) in [
        ("disable-key", "KeyDisabled"),
        ("enable-key", ""),
        ("remove-role", "ForbiddenByRbac"),
    ] {
        let changed = control::act(data, "acme", action).await.unwrap();
        assert!(changed.contains("acme"), "{changed}");
        assert_eq!(
            rig.unwrap("acme", &token, &version, &value).await.refusal().2,
            inner,
            "{action}"
        );
    }
    let error = control::act(data, "acme", "shred-key").await.unwrap_err().to_string();
    assert!(
        error.contains("there is no action shred-key; there are disable-key, "),
        "{error}"
    );
    let error = control::act(data, "initech", "enable-key")
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(error, "there is no customer initech");
    let error = control::act(data, "globex", "remove-app")
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("the ISV's own vault"), "{error}");

    let url = format!(
        "https://127.0.0.1:{}/stand-in/customers/acme/enable-key",
        rig.standin.https_port()
    );
    assert_eq!(
        send(rig.http.post(url).header("authorization", "Bearer guess"))
            .await
            .status,
        401
    );
    let dir = rig.stop().await;
    let error = control::act(&dir.0, "acme", "enable-key").await.unwrap_err();
    assert!(matches!(error, control::ControlError::NotRunning { .. }), "{error}");
}

#[tokio::test]
async fn secrets_on_disk_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let rig = Rig::start().await;
    let rsa = std::fs::read_dir(rig.dir.0.join("rsa"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let named = ["ca-key.pem", "world.json", "standin.json", "entra-key.pem"].map(|name| rig.dir.0.join(name));
    for path in rsa.chain(named) {
        assert_eq!(
            path.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{}",
            path.display()
        );
    }
}

/// Microsoft's own Python SDKs against the stand-in: the judge of its wire shapes. Needs `PORTCULLIS_PYTHON`, a Python with
/// what `tests/conformance/standin_sdk.py` names.
#[tokio::test]
async fn the_official_python_sdk_finds_azure_here() {
    let python = std::env::var_os("PORTCULLIS_PYTHON")
        .expect("PORTCULLIS_PYTHON must name a Python with azure-identity and azure-keyvault-keys");
    let rig = Rig::start().await;
    let admin = rig.standin.customer("acme").administrator().unwrap();
    let settings = json!({
        "authority": rig.standin.authority(),
        "imds": rig.standin.imds_endpoint(),
        "app_service": rig.standin.app_service_endpoint(),
        "app_service_header": rig.standin.app_service_header(),
        "ca": rig.standin.ca_file(),
        "acme_vault": rig.standin.vault_url("acme-vault"),
        "globex_vault": rig.standin.vault_url("globex-vault"),
        "acme_tenant": rig.standin.tenant_id("acme"),
        "app": rig.standin.app_client_id(),
        "identity": rig.standin.identity_client_id(),
        "admin": admin.client_id,
        "admin_secret": admin.secret(),
    });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/standin_sdk.py");
    let ran = tokio::process::Command::new(python)
        .arg(script)
        .arg(settings.to_string())
        .output()
        .await
        .unwrap();
    let output = format!(
        "{}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
    assert!(ran.status.success(), "{output}");
    assert!(output.contains("all of it passed"), "{output}");
    // It really came over the wire: wrapping in the SDK's own process would leave no trace here.
    assert!(rig.standin.vault("acme-vault").count(Operation::UnwrapKey) >= 2);
    assert!(rig.standin.identity().count(Operation::IdentityToken) >= 2);
}
