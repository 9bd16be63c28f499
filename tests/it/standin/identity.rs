//! Entra's and managed identity's side of the stand-in.

use portcullis::dev::standin::{ActionError, Customer};
use serde_json::json;

use super::{Rig, send};

#[tokio::test]
async fn tokens_for_others_are_refused() {
    let rig = Rig::start().await;
    let wrong_tenant = rig.token("globex").await;
    let got = rig.get("acme", "keys/acme-cmk", &wrong_tenant).await;
    assert_eq!(got.refusal(), (401, "Unauthorized", ""));
    assert!(
        got.text
            .contains("AKV10032: Invalid issuer. Expected one of https://sts.windows.net/"),
        "{}",
        got.text
    );

    let wrong_audience = rig
        .identity_token("https://storage.azure.com")
        .await
        .string("access_token");
    let got = rig.get("globex", "keys/globex-cmk", &wrong_audience).await;
    assert!(got.text.contains("AKV10022: Invalid audience."), "{}", got.text);
    assert!(got.challenge.is_some());

    rig.standin.set_token_lifetime(Some(std::time::Duration::ZERO));
    let ended = rig.token("globex").await;
    let got = rig.get("globex", "keys/globex-cmk", &ended).await;
    assert!(got.text.contains("[TokenExpired]"), "{}", got.text);
    assert_eq!(rig.get("globex", "keys/globex-cmk", "junk").await.status, 401);
}

#[tokio::test]
async fn every_refusal_of_entra_has_its_number() {
    let rig = Rig::start().await;
    let acme = rig.standin.customer("acme");
    let tenant = rig.standin.tenant_id("acme");
    let app = rig.standin.app_client_id();
    let assertion = rig
        .identity_token("api://AzureADTokenExchange")
        .await
        .string("access_token");

    for (change, expected) in [
        (Customer::disable_app as fn(&Customer) -> _, (400, 7_000_112)),
        (Customer::remove_app, (401, 7_000_229)),
        (Customer::forget_app, (400, 700_016)),
    ] {
        change(&acme).unwrap();
        let got = rig.exchange().await;
        assert_eq!(got.aadsts(), expected, "{}", got.text);
        assert!(
            got.body["error_description"]
                .as_str()
                .unwrap()
                .starts_with(&format!("AADSTS{}: ", expected.1))
        );
        acme.install_app().unwrap();
        assert_eq!(rig.exchange().await.status, 200);
    }
    let unknown = rig
        .exchange_with(&assertion, "a0000000-0000-4000-8000-00000000ffff", app)
        .await;
    assert_eq!(unknown.aadsts(), (400, 90002));
    assert!(
        unknown.text.contains(r"Tenant \u0027a0000000"),
        "apostrophes are escaped: {}",
        unknown.text
    );
    let other_app = rig
        .exchange_with(&assertion, &tenant, "b0000000-0000-4000-8000-00000000ffff")
        .await;
    assert_eq!(other_app.aadsts(), (400, 700_016));
    assert_eq!(rig.exchange_with("junk", &tenant, app).await.aadsts(), (400, 50027));
    // Signed by Entra, about the right identity, but for a vault and not for the exchange.
    let access = rig
        .identity_token("https://vault.azure.net")
        .await
        .string("access_token");
    assert_eq!(rig.exchange_with(&access, &tenant, app).await.aadsts(), (401, 700_211));
    rig.standin
        .federate(Some("d0000000-0000-4000-8000-00000000ffff"))
        .unwrap();
    assert_eq!(rig.exchange().await.aadsts(), (401, 700_213));
    rig.standin.federate(None).unwrap();
    assert_eq!(rig.exchange().await.status, 200);
    // A customer's own application has no federation with the ISV's identity.
    let admin = acme.administrator().unwrap().client_id;
    assert_eq!(
        rig.exchange_with(&assertion, &tenant, &admin).await.aadsts(),
        (401, 7_000_218)
    );
}

#[tokio::test]
async fn a_removed_application_shows_at_the_next_exchange_and_not_before() {
    let rig = Rig::start().await;
    let token = rig.token("acme").await;
    rig.standin.customer("acme").remove_app().unwrap();
    assert_eq!(
        rig.wrap("acme", &token).await.status,
        200,
        "the old token lives on, as Azure's do"
    );
    assert_eq!(rig.exchange().await.aadsts(), (401, 7_000_229));
    assert!(matches!(
        rig.standin.customer("globex").remove_app(),
        Err(ActionError::NoApp(_))
    ));
}

#[tokio::test]
async fn identity_endpoints_want_their_headers_and_know_one_identity() {
    let rig = Rig::start().await;
    let imds = rig.standin.imds_endpoint();
    let path = "metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net";
    let without = send(rig.http.get(format!("{imds}/{path}"))).await;
    assert_eq!(
        (without.status, without.body["error"].as_str()),
        (400, Some("invalid_request"))
    );
    let other = send(
        rig.http
            .get(format!("{imds}/{path}&client_id=other"))
            .header("Metadata", "true"),
    )
    .await;
    assert_eq!(other.body["error_description"], json!("Identity not found"));
    rig.standin.assign_identity(false).unwrap();
    assert_eq!(rig.identity_token("https://vault.azure.net").await.status, 400);
    rig.standin.assign_identity(true).unwrap();
    let token = rig.identity_token("https://vault.azure.net").await;
    token.string("expires_on").parse::<i64>().unwrap();

    let app_service = format!(
        "{}?api-version=2019-08-01&resource=r",
        rig.standin.app_service_endpoint()
    );
    assert_eq!(send(rig.http.get(&app_service)).await.status, 401);
    let request = rig
        .http
        .get(&app_service)
        .header("X-IDENTITY-HEADER", rig.standin.app_service_header());
    assert_eq!(send(request).await.status, 200);
}
