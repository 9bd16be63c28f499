//! The vault's client through the real SDK, over canned answers: what is sent where, and what each failure is read as.

use crate::keys::identity::{Authority, Identity, PUBLIC_AUDIENCE};
use crate::keys::key_url::{KeyUrl, VaultHosts};
use crate::keys::refusal::{Blocked, IdentityFault, Refusal, Revoked, Service, Unavailable};
use crate::keys::vault::{KeyKind, Session, Vault};
use crate::keys::wire_tests::canned::*;
use crate::seal::Dek;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

#[tokio::test]
async fn a_dek_is_unwrapped_with_a_token_of_the_customers_tenant() {
    let azure = Azure::answering([
        imds_token(),
        entra_token("vault-token"),
        challenge(TENANT),
        unwrapped(&DEK),
    ]);
    let vault = azure.vault(federated());
    let session = vault.session().await.unwrap();
    assert_eq!(unwrap(&vault, &session).await.unwrap().expose(), &DEK);

    let sent = azure.sent();
    assert_eq!(
        sent[0].url,
        format!(
            "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2019-08-01&resource=api%3A%2F%2FAzureADTokenExchange&client_id={IDENTITY}"
        )
    );
    assert_eq!(
        sent[1].url,
        format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token")
    );
    for field in [
        "client_assertion=mi-token",
        APP,
        "scope=https%3A%2F%2Fvault.azure.net%2F.default",
    ] {
        assert!(sent[1].body.contains(field), "{field} in {}", sent[1].body);
    }
    let unwrap_url = format!("https://acme.vault.azure.net/keys/cmk/{VERSION}/unwrapkey?api-version=2025-07-01");
    assert_eq!(
        (&sent[2].url, &sent[2].authorization, sent[2].body.as_str()),
        (&unwrap_url, &None, "")
    );
    assert_eq!(
        (&sent[3].url, sent[3].authorization.as_deref()),
        (&unwrap_url, Some("Bearer vault-token"))
    );
    assert_eq!(sent[3].body, r#"{"alg":"RSA-OAEP-256","value":"d3JhcHBlZA"}"#);
}

#[tokio::test]
async fn a_dek_is_wrapped_under_the_version_asked_for() {
    let (azure, vault, session) = session().await;
    azure.answer([operation(VERSION, b"wrapped")]);
    assert_eq!(
        vault.wrap(&session, version(), &DEK).await.unwrap(),
        wrapped(b"wrapped")
    );
    let sent = azure.sent();
    assert!(
        sent[0]
            .url
            .starts_with(&format!("https://acme.vault.azure.net/keys/cmk/{VERSION}/wrapkey?"))
    );
    let body: Value = serde_json::from_str(&sent[0].body).unwrap();
    assert_eq!(
        body,
        json!({ "alg": "RSA-OAEP-256", "value": BASE64_URL_SAFE_NO_PAD.encode(DEK) })
    );
}

#[tokio::test]
async fn a_session_keeps_the_token_it_began_with() {
    let (azure, vault, session) = session().await;
    azure.answer([unwrapped(&DEK), unwrapped(&DEK)]);
    unwrap(&vault, &session).await.unwrap();
    unwrap(&vault, &session).await.unwrap();
    assert!(
        azure
            .sent()
            .iter()
            .all(|sent| sent.authorization.as_deref() == Some("Bearer vault-token"))
    );

    azure.answer([imds_token(), entra_token("another"), challenge(TENANT), unwrapped(&DEK)]);
    let fresh = vault.session().await.unwrap();
    vault.unwrap(&fresh, version(), &wrapped(b"w")).await.unwrap();
    assert_eq!(
        azure.sent().last().unwrap().authorization.as_deref(),
        Some("Bearer another")
    );
    assert!(session.expires() > SystemTime::now() + Duration::from_secs(3000));
}

#[tokio::test]
async fn a_managed_identity_asks_for_the_vaults_resource_itself() {
    let azure = Azure::answering([imds_token(), challenge(TENANT), unwrapped(&DEK)]);
    let vault = azure.vault(Identity::Managed {
        managed_identity: Some(id(IDENTITY)),
    });
    let session = vault.session().await.unwrap();
    unwrap(&vault, &session).await.unwrap();
    let sent = azure.sent();
    assert!(
        sent[0].url.contains("resource=https%3A%2F%2Fvault.azure.net&"),
        "{}",
        sent[0].url
    );
    assert_eq!(sent[2].authorization.as_deref(), Some("Bearer mi-token"));
}

#[tokio::test]
async fn a_service_accounts_token_is_the_assertion() {
    let file = std::env::temp_dir().join(format!("portcullis-token-{}", std::process::id()));
    std::fs::write(&file, "account-token").unwrap();
    let identity = |token_file| Identity::Workload {
        app: id(APP),
        tenant: id(TENANT),
        authority: Authority::default(),
        token_file,
    };
    let azure = Azure::answering([entra_token("vault-token")]);
    azure.vault(identity(file.clone())).session().await.unwrap();
    assert!(azure.sent()[0].body.contains("client_assertion=account-token"));
    std::fs::remove_file(&file).unwrap();
    let refused = azure.vault(identity(file)).session().await.unwrap_err();
    assert_eq!(refused, IdentityFault::TokenFile.into());
}

#[tokio::test]
async fn a_challenge_of_another_tenant_gets_no_token() {
    for other in [
        challenge(APP),
        challenge("common"),
        answer(
            401,
            &[("www-authenticate", "Bearer resource=\"https://vault.azure.net\"")],
            "",
        ),
    ] {
        let azure = Azure::answering([imds_token(), entra_token("vault-token"), other]);
        let vault = azure.vault(federated());
        let session = vault.session().await.unwrap();
        let refused = unwrap(&vault, &session).await.unwrap_err();
        assert_eq!(refused, Blocked::OtherTenant.into());
        assert!(azure.sent().iter().all(|sent| sent.authorization.is_none()));
    }
}

#[tokio::test]
async fn a_challenge_for_another_resource_gets_no_token() {
    let asks =
        format!("Bearer authorization=\"https://login.windows.net/{TENANT}\", resource=\"https://graph.example\"");
    let body = kv_error(
        "Unauthorized",
        "",
        "AKV10000: Request is missing a Bearer or PoP token.",
    );
    let azure = Azure::answering([
        imds_token(),
        entra_token("t"),
        json_answer(401, &[("www-authenticate", &asks)], &body),
    ]);
    let vault = azure.vault(federated());
    let session = vault.session().await.unwrap();
    assert_eq!(
        unwrap(&vault, &session).await.unwrap_err(),
        Blocked::BadChallenge.into()
    );
    assert!(azure.sent().iter().all(|sent| sent.authorization.is_none()));
}

#[tokio::test]
async fn on_this_machine_a_challenge_cannot_choose_the_resource() {
    let asks = format!("Bearer authorization=\"https://login.localhost/{TENANT}\", resource=\"https://graph.example\"");
    let azure = Azure::answering([
        imds_token(),
        entra_token("t"),
        answer(401, &[("www-authenticate", &asks)], ""),
    ]);
    let hosts = VaultHosts::none().with_localhost("https://vault.azure.net/.default");
    let key = KeyUrl::parse("https://acme-vault.localhost:8443/keys/cmk", &hosts).unwrap();
    let kid = format!("https://acme-vault.localhost:8443/keys/cmk/{VERSION}");
    azure.answer_more([json_answer(
        200,
        &[],
        &json!({ "kid": kid, "value": BASE64_URL_SAFE_NO_PAD.encode(DEK) }),
    )]);
    let vault = Vault::new(key, federated(), azure.transport());
    let session = vault.session().await.unwrap();
    unwrap(&vault, &session).await.unwrap();
    let sent = azure.sent();
    assert_eq!(
        sent.iter()
            .filter(|sent| sent.url.contains("/oauth2/v2.0/token"))
            .count(),
        1
    );
    assert!(sent[1].body.contains("scope=https%3A%2F%2Fvault.azure.net%2F.default"));
}

#[tokio::test]
async fn a_refused_token_is_no_revocation() {
    let (azure, vault, session) = session().await;
    let moved = kv_error(
        "Unauthorized",
        "",
        "AKV10032: Invalid issuer. Expected one of https://sts.windows.net/a/, found https://sts.windows.net/b/.",
    );
    let again = json_answer(401, &[("www-authenticate", &bearer(TENANT))], &moved);
    azure.answer([again.clone(), again]);
    assert_eq!(unwrap(&vault, &session).await.unwrap_err(), Blocked::WrongIssuer.into());
}

#[tokio::test]
async fn a_no_with_line_breaks_is_still_understood() {
    let (azure, vault, session) = session().await;
    let rbac = kv_error(
        "Forbidden",
        "ForbiddenByRbac",
        "Caller is not authorized.\r\nAssignment: (not found)\r\n",
    );
    azure.answer([json_answer(403, &[], &rbac)]);
    assert_eq!(unwrap(&vault, &session).await.unwrap_err(), Revoked::RoleMissing.into());
}

#[tokio::test]
async fn entras_no_with_line_breaks_is_still_understood() {
    let body = json!({
        "error": "unauthorized_client",
        "error_description": "AADSTS700016: Application with identifier 'x' was not found.\r\nTrace ID: y",
        "error_codes": [700016],
    });
    let azure = Azure::answering([imds_token(), json_answer(400, &[], &body)]);
    assert_eq!(
        azure.vault(federated()).session().await.unwrap_err(),
        Revoked::AppNotInstalled.into()
    );
    assert_eq!(azure.sent().len(), 2);
}

#[tokio::test]
async fn a_refusal_is_asked_for_once() {
    let (azure, vault, session) = session().await;
    for status in [429, 500, 503] {
        azure.answer([answer(status, &[("retry-after", "60")], "")]);
        let refused = unwrap(&vault, &session).await.unwrap_err();
        assert_eq!((refused.by(), azure.sent().len()), (Service::Vault, 1), "{status}");
        assert_eq!(
            refused.retry_after(),
            (status == 429).then_some(Duration::from_secs(60))
        );
    }
    azure.answer([answer(429, &[("x-ms-retry-after-ms", "1500")], "")]);
    let refused = unwrap(&vault, &session).await.unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_millis(1500)));
}

#[tokio::test(start_paused = true)]
async fn silence_ends_at_the_deadline() {
    let (azure, vault, session) = session().await;
    azure.answer([Reply::Silence]);
    let refused = unwrap(&vault, &session).await.unwrap_err();
    assert_eq!(refused, Unavailable::Timeout { by: Service::Vault }.into());

    azure.answer([imds_token(), Reply::Silence]);
    let refused = vault.session().await.unwrap_err();
    assert_eq!(refused, Unavailable::Timeout { by: Service::Entra }.into());
}

#[tokio::test(start_paused = true)]
async fn the_sdks_own_retries_end_at_the_deadline_with_the_last_answer() {
    let failing = answer(500, &[], "");
    let azure = Azure::answering(std::iter::repeat_n(failing, 20));
    let before = tokio::time::Instant::now();
    let refused = azure.vault(federated()).session().await.unwrap_err();
    assert_eq!(
        refused,
        Unavailable::ServerError {
            by: Service::Identity,
            status: 500
        }
        .into()
    );
    assert!(before.elapsed() <= Duration::from_secs(10), "{:?}", before.elapsed());
}

#[tokio::test]
async fn an_identity_that_is_not_assigned_is_named() {
    let body = json!({ "error": "invalid_request", "error_description": "Identity not found" });
    let azure = Azure::answering([json_answer(400, &[], &body)]);
    assert_eq!(
        azure.vault(federated()).session().await.unwrap_err(),
        IdentityFault::NotAssigned.into()
    );
}

#[tokio::test]
async fn an_answer_that_is_no_token_is_unrecognised() {
    let page = answer(200, &[("content-type", "text/html")], "<html>Sign in</html>");
    let azure = Azure::answering([imds_token(), page]);
    let refused = azure.vault(federated()).session().await.unwrap_err();
    assert_eq!(
        refused,
        Unavailable::Unrecognised {
            by: Service::Entra,
            status: 200
        }
        .into()
    );
}

#[tokio::test]
async fn an_unwrapped_value_that_is_no_dek_is_a_bad_envelope() {
    let (azure, vault, session) = session().await;
    for value in [&[7; 31][..], &[7; 33], &[7; 64], &[]] {
        azure.answer([unwrapped(value)]);
        let refused = unwrap(&vault, &session).await.unwrap_err();
        assert_eq!(refused, Refusal::BadEnvelope, "{} bytes", value.len());
    }
}

#[tokio::test]
async fn an_answer_for_another_key_is_not_taken() {
    let (azure, vault, session) = session().await;
    let unrecognised: Refusal = Unavailable::Unrecognised {
        by: Service::Vault,
        status: 200,
    }
    .into();
    azure.answer([operation(OLDER, &DEK)]);
    assert_eq!(unwrap(&vault, &session).await.unwrap_err(), unrecognised);
    azure.answer([key(OLDER, true)]);
    assert_eq!(vault.state(&session, version()).await.unwrap_err(), unrecognised);
    azure.answer([answer(200, &[("content-type", "text/html")], "<html>")]);
    assert_eq!(unwrap(&vault, &session).await.unwrap_err(), unrecognised);
}

#[tokio::test]
async fn the_state_of_a_key_is_read() {
    let (azure, vault, session) = session().await;
    azure.answer([key(VERSION, false)]);
    let state = vault.state(&session, version()).await.unwrap();
    assert_eq!((state.version, state.enabled), (version(), false));
    assert_eq!(state.kind, KeyKind::Rsa { bits: 2048, hsm: true });
    assert_eq!((state.may_wrap, state.may_unwrap), (false, true));
    assert_eq!(
        state.expires,
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000))
    );
    assert_eq!(state.not_before, None);
}

#[tokio::test]
async fn a_newest_version_that_is_disabled_is_told_of_in_a_single_call() {
    let (azure, vault, session) = session().await;
    azure.answer([key(VERSION, false)]);
    let newest = vault.current(&session).await.unwrap();
    assert_eq!((newest.version, newest.enabled), (version(), false));
}

#[tokio::test]
async fn versions_are_listed_newest_first_across_pages() {
    let (azure, vault, session) = session().await;
    let next = "https://acme.vault.azure.net/keys/cmk/versions?api-version=2025-07-01&$skiptoken=x";
    azure.answer([
        versions_page(&[(OLDER, 100, true)], Some(next)),
        versions_page(&[(VERSION, 200, false)], None),
    ]);
    let versions = vault.versions(&session).await.unwrap();
    let listed: Vec<_> = versions
        .iter()
        .map(|row| (row.version.to_string(), row.enabled))
        .collect();
    assert_eq!(listed, [(VERSION.to_owned(), false), (OLDER.to_owned(), true)]);
}

#[tokio::test]
async fn a_link_to_another_host_carries_no_token_there() {
    let (azure, vault, session) = session().await;
    azure.answer([versions_page(
        &[(OLDER, 100, true)],
        Some("https://evil.example/keys/cmk/versions"),
    )]);
    assert_eq!(vault.versions(&session).await.unwrap_err(), Blocked::OtherHost.into());
    assert_eq!(azure.sent().len(), 1);
}

#[tokio::test]
async fn an_expired_session_says_so() {
    let brief = json_answer(
        200,
        &[],
        &json!({ "token_type": "Bearer", "expires_in": -1, "access_token": "old" }),
    );
    let azure = Azure::answering([imds_token(), brief, challenge(TENANT)]);
    let vault = azure.vault(federated());
    let session = vault.session().await.unwrap();
    assert_eq!(
        unwrap(&vault, &session).await.unwrap_err(),
        IdentityFault::SessionExpired.into()
    );
}

#[tokio::test]
async fn debug_output_holds_no_token() {
    let (_, vault, session) = session().await;
    let shown = format!("{vault:?} {session:?}");
    for secret in ["vault-token", "mi-token"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn no_log_line_holds_a_token_an_assertion_or_a_dek() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let (azure, vault, session) = session().await;
    azure.answer([unwrapped(&DEK), operation(VERSION, b"wrapped")]);
    unwrap(&vault, &session).await.unwrap();
    vault.wrap(&session, version(), &DEK).await.unwrap();
    let rbac = kv_error("Forbidden", "ForbiddenByRbac", "Caller: appid=somebody");
    azure.answer([json_answer(403, &[], &rbac)]);
    unwrap(&vault, &session).await.unwrap_err();

    let logged = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("Forbidden/ForbiddenByRbac"), "{logged}");
    let dek = BASE64_URL_SAFE_NO_PAD.encode(DEK);
    for secret in ["mi-token", "vault-token", "somebody", &dek, "d3JhcHBlZA"] {
        assert!(!logged.contains(secret), "{secret} in {logged}");
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Asks for something to be unwrapped.
async fn unwrap(vault: &Vault, session: &Session) -> Result<Dek, Refusal> {
    vault.unwrap(session, version(), &wrapped(b"wrapped")).await
}

/// A vault with a session whose challenge is over.
async fn session() -> (Azure, Vault, Session) {
    let azure = Azure::answering([
        imds_token(),
        entra_token("vault-token"),
        challenge(TENANT),
        key(VERSION, true),
    ]);
    let vault = azure.vault(federated());
    let session = vault.session().await.unwrap();
    vault.current(&session).await.unwrap();
    azure.answer([]);
    (azure, vault, session)
}

fn federated() -> Identity {
    Identity::Federated {
        managed_identity: id(IDENTITY),
        audience: PUBLIC_AUDIENCE.to_owned(),
        app: id(APP),
        tenant: id(TENANT),
        authority: Authority::default(),
    }
}
