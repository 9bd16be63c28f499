//! Key Vault's side of the stand-in: keys, versions, roles, and every way a customer takes them away.

use portcullis::dev::standin::{ActionError, Customer, Network, Operation, Role};
use reqwest::Method;
use serde_json::json;

use super::{Rig, send, version_of, wrap_body};

#[tokio::test]
async fn both_identities_wrap_and_unwrap_and_still_do_after_a_restart() {
    let rig = Rig::start().await;
    let mut wrapped = Vec::new();
    for customer in ["acme", "globex"] {
        let token = rig.token(customer).await;
        let done = rig.wrap(customer, &token).await;
        let kid = done.string("kid");
        assert!(kid.starts_with(&rig.standin.key_url(customer)), "{kid}");
        wrapped.push((customer, version_of(&kid), done.string("value")));
    }
    let rig = Rig::start_in(rig.stop().await).await;
    for (customer, version, value) in wrapped {
        let token = rig.token(customer).await;
        let opened = rig.unwrap(customer, &token, &version, &value).await;
        assert_eq!(opened.string("value"), "AAECAwQFBgc");
    }
}

#[tokio::test]
async fn a_request_without_token_is_challenged_with_the_tenant_and_counted_as_that() {
    let rig = Rig::start().await;
    let url = format!("{}/wrapkey?api-version=7.6", rig.standin.key_url("acme"));
    let got = send(rig.http.post(url)).await;
    assert_eq!(got.refusal(), (401, "Unauthorized", ""));
    let challenge = format!(
        r#"Bearer authorization="{}/{}", resource="https://vault.azure.net""#,
        rig.standin.authority(),
        rig.standin.tenant_id("acme")
    );
    assert_eq!(got.challenge, Some(challenge));
    let vault = rig.standin.vault("acme-vault");
    assert_eq!(
        (vault.count(Operation::Challenge), vault.count(Operation::WrapKey)),
        (1, 0)
    );
}

#[tokio::test]
async fn every_withdrawal_is_answered_as_key_vault_answers_it() {
    type Step = fn(&Customer) -> Result<String, ActionError>;
    type Row = (&'static str, Step, Step, [Option<(u16, &'static str, &'static str)>; 3]);
    let forbidden = |inner| Some((403, "Forbidden", inner));
    let rig = Rig::start().await;
    let token = rig.token("acme").await;
    let acme = rig.standin.customer("acme");
    let done = rig.wrap("acme", &token).await;
    let (version, value) = (version_of(&done.string("kid")), done.string("value"));
    #[rustfmt::skip]
    // withdraw, give back; then the refusals of unwrap, wrap and get, `None` where the service still serves
    let table: [Row; 9] = [
        ("disabled", Customer::disable_key, Customer::enable_key, [forbidden("KeyDisabled"), None, None]),
        ("expired", |c| c.set_expiry(Some(1_000_000_000)), |c| c.set_expiry(None), [None, forbidden("KeyNotYetValidOrExpired"), None]),
        ("not yet valid", |c| c.set_not_before(Some(9_000_000_000)), |c| c.set_not_before(None), [None, forbidden("KeyNotYetValidOrExpired"), None]),
        ("no unwrapKey", |c| c.set_key_ops(&["wrapKey"]), |c| c.set_key_ops(&["wrapKey", "unwrapKey"]), [forbidden("KeyOperationForbidden"), None, None]),
        ("deleted", Customer::delete_key, Customer::recover_key, [Some((404, "KeyNotFound", "")); 3]),
        ("role removed", Customer::remove_role, Customer::grant_role, [forbidden("ForbiddenByRbac"); 3]),
        ("read only", |c| c.grant(Role::Reader), Customer::grant_role, [forbidden("ForbiddenByRbac"), None, None]),
        ("firewall", |c| c.set_network(Network::Firewalled), |c| c.set_network(Network::Open), [forbidden("ForbiddenByFirewall"); 3]),
        ("private", |c| c.set_network(Network::PrivateOnly), |c| c.set_network(Network::Open), [forbidden("ForbiddenByConnection"); 3]),
    ];
    for (name, withdraw, give_back, expected) in table {
        withdraw(&acme).unwrap();
        let got = [
            rig.unwrap("acme", &token, &version, &value).await,
            rig.wrap("acme", &token).await,
            rig.get("acme", "keys/acme-cmk", &token).await,
        ];
        for (got, expected) in got.iter().zip(expected) {
            assert_eq!(got.refusal(), expected.unwrap_or((200, "", "")), "{name}: {}", got.text);
        }
        give_back(&acme).unwrap();
        assert_eq!(
            rig.unwrap("acme", &token, &version, &value).await.status,
            200,
            "{name} given back"
        );
        let other = rig.token("globex").await;
        assert_eq!(
            rig.wrap("globex", &other).await.status,
            200,
            "{name} is acme's affair only"
        );
    }
}

#[tokio::test]
async fn messages_keep_the_line_ends_of_the_real_service() {
    let rig = Rig::start().await;
    let token = rig.token("acme").await;
    rig.standin.customer("acme").remove_role().unwrap();
    let got = rig.wrap("acme", &token).await;
    let message = got.body["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("Caller is not authorized to perform action on resource.\r\nIf role assignments"));
    assert!(message.contains(&format!("Caller: appid={};oid=", rig.standin.app_client_id())));
    assert!(message.contains("\r\nAction: 'Microsoft.KeyVault/vaults/keys/wrap/action'\r\n"));
}

#[tokio::test]
async fn a_disabled_key_shows_as_disabled_and_only_its_versions_are_touched() {
    let rig = Rig::start().await;
    let acme = rig.standin.customer("acme");
    let token = rig.token("acme").await;
    let done = rig.wrap("acme", &token).await;
    let (old, value) = (version_of(&done.string("kid")), done.string("value"));
    acme.rotate_key().unwrap();
    let new = acme.key_version().unwrap();
    assert_ne!(old, new);
    acme.set_version_enabled(&new, false).unwrap();
    let shown = rig.get("acme", "keys/acme-cmk", &token).await;
    assert_eq!(shown.body["attributes"]["enabled"], json!(false));
    assert_eq!(version_of(shown.body["key"]["kid"].as_str().unwrap()), new);
    assert_eq!(
        rig.unwrap("acme", &token, &old, &value).await.status,
        200,
        "the older version stays usable"
    );
}

#[tokio::test]
async fn an_administrator_rules_the_key_over_the_vaults_own_api() {
    let rig = Rig::start().await;
    let admin = rig.admin_token("acme").await;
    let proxy = rig.token("acme").await;
    let create = json!({"kty": "RSA", "key_size": 3072, "attributes": {"enabled": false}, "tags": {"made": "here"}});
    assert_eq!(
        rig.post("acme", "keys/acme-cmk/create", &proxy, &create)
            .await
            .refusal()
            .2,
        "ForbiddenByRbac"
    );
    let made = rig.post("acme", "keys/acme-cmk/create", &admin, &create).await;
    assert_eq!(
        (&made.body["attributes"]["enabled"], &made.body["tags"]["made"]),
        (&json!(false), &json!("here"))
    );
    let version = version_of(made.body["key"]["kid"].as_str().unwrap());
    let patch = rig.vault(Method::PATCH, "acme", &format!("keys/acme-cmk/{version}"), &admin);
    let patched =
        send(patch.body(json!({"attributes": {"enabled": true, "exp": 4_000_000_000_i64}}).to_string())).await;
    assert_eq!(patched.body["attributes"]["enabled"], json!(true));
    assert_eq!(patched.body["attributes"]["exp"], json!(4_000_000_000_i64));
    assert_eq!(
        rig.wrap("acme", &proxy).await.string("value").len(),
        512,
        "3072 bits in base64url"
    );

    let deleted = send(rig.vault(Method::DELETE, "acme", "keys/acme-cmk", &admin)).await;
    assert!(deleted.string("recoveryId").ends_with("/deletedkeys/acme-cmk"));
    assert_eq!(
        send(rig.vault(Method::DELETE, "acme", "keys/acme-cmk", &admin))
            .await
            .status,
        404
    );
    let again = rig.post("acme", "keys/acme-cmk/create", &admin, &create).await;
    assert_eq!(again.refusal(), (409, "Conflict", "ObjectIsDeletedButRecoverable"));
    assert_eq!(
        rig.get("acme", "deletedkeys/acme-cmk", &proxy).await.status,
        403,
        "no role reads deleted keys by the way"
    );
    assert_eq!(
        rig.get("acme", "deletedkeys", &admin).await.body["value"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        rig.post("acme", "deletedkeys/acme-cmk/recover", &admin, &json!({}))
            .await
            .status,
        200
    );
    assert_eq!(rig.wrap("acme", &proxy).await.status, 200);

    send(rig.vault(Method::DELETE, "acme", "keys/acme-cmk", &admin)).await;
    assert_eq!(
        send(rig.vault(Method::DELETE, "acme", "deletedkeys/acme-cmk", &admin))
            .await
            .status,
        204
    );
    assert_eq!(
        rig.post("acme", "deletedkeys/acme-cmk/recover", &admin, &json!({}))
            .await
            .status,
        404
    );
    assert_eq!(
        rig.post("acme", "keys/acme-cmk/create", &admin, &create).await.status,
        200,
        "the name is free again"
    );
}

#[tokio::test]
async fn versions_are_listed_in_pages_of_25_and_in_no_order() {
    let rig = Rig::start().await;
    let token = rig.token("acme").await;
    let acme = rig.standin.customer("acme");
    for _ in 0..26 {
        acme.rotate_key().unwrap();
    }
    let mut url = format!("{}/versions?api-version=7.6", rig.standin.key_url("acme"));
    let mut pages = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    loop {
        let page = send(rig.http.get(&url).header("authorization", format!("Bearer {token}"))).await;
        let items = page.body["value"].as_array().unwrap();
        pages.push(items.len());
        seen.extend(items.iter().map(|item| item["attributes"]["created"].as_i64().unwrap()));
        match page.body["nextLink"].as_str() {
            Some(next) => url = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(pages, [25, 2]);
    assert_eq!(seen.len(), 27, "no two versions were made at one moment");
}

#[tokio::test]
async fn bad_requests_are_bad_parameters() {
    let rig = Rig::start().await;
    let token = rig.token("acme").await;
    let wrapped = rig.wrap("acme", &token).await.string("value");
    let tampered = format!("{}AAAA", &wrapped[..wrapped.len() - 4]);
    for body in [
        json!({"alg": "A256KW", "value": "AA"}),
        json!({"alg": "RSA-OAEP-256", "value": "*"}),
        json!({"alg": "RSA-OAEP-256"}),
        wrap_body(&tampered),
        wrap_body("AAAA"),
    ] {
        let got = rig.post("acme", "keys/acme-cmk/unwrapkey", &token, &body).await;
        assert_eq!(got.refusal(), (400, "BadParameter", ""), "{body}");
    }
    let url = rig.standin.key_url("acme");
    let without_version = send(rig.http.get(url).header("authorization", format!("Bearer {token}"))).await;
    assert_eq!(without_version.status, 400);
    let unknown = rig
        .get("acme", "keys/acme-cmk/00000000000000000000000000000000", &token)
        .await;
    assert_eq!(unknown.refusal(), (404, "KeyNotFound", ""));
}
