//! Faults on demand: as often as asked, where asked, with the deed done or not as asked.

use portcullis::dev::standin::{Answer, Fault, Gate, Operation};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::{Rig, client, version_of};

#[tokio::test]
async fn faults_come_as_often_as_asked_and_only_where_asked() {
    let rig = Rig::start().await;
    let token = rig.token("acme").await;
    let vault = rig.standin.vault("acme-vault");
    vault.fault(Fault::throttled(Some(7)).on(Operation::WrapKey).times(2));
    for expected in [429, 429, 200] {
        assert_eq!(rig.wrap("acme", &token).await.status, expected);
        assert_eq!(rig.get("acme", "keys/acme-cmk", &token).await.status, 200);
    }
    assert_eq!(
        (vault.count(Operation::WrapKey), vault.count(Operation::GetKey)),
        (3, 3)
    );

    vault.fault(Fault::busy());
    assert_eq!(rig.wrap("acme", &token).await.status, 503);
    assert_eq!(rig.exchange().await.status, 200, "another service");
    vault.clear_faults();
    vault.fault(Fault::proxy_refusal().times(1));
    let refused = rig.wrap("acme", &token).await;
    assert_eq!((refused.status, refused.body), (403, Value::Null));
    assert_eq!(rig.wrap("acme", &token).await.status, 200);

    rig.standin
        .entra("acme")
        .fault(Fault::entra_refusal(StatusCode::BAD_REQUEST, "x", 5_000_224, "Blocked.").times(1));
    assert_eq!(rig.exchange().await.aadsts(), (400, 5_000_224));
    rig.standin.entra("acme").fault(Fault::throttled(Some(60)).times(1));
    assert_eq!(rig.exchange().await.status, 429);
    rig.standin.identity().fault(Fault::broken().times(1));
    assert_eq!(rig.identity_token("x").await.status, 500);

    let answers = rig
        .standin
        .log()
        .into_iter()
        .filter(|entry| entry.operation == Operation::WrapKey);
    let codes: Vec<_> = answers
        .map(|entry| match entry.answer {
            Answer::Status(status, code) => format!("{} {}", status.as_u16(), code.unwrap_or_default()),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        codes,
        [
            "429 Throttled",
            "429 Throttled",
            "200 ",
            "503 ServiceUnavailable",
            "403 ",
            "200 "
        ]
    );
}

#[tokio::test]
async fn dropped_connections_leave_the_deed_done_or_undone_as_asked() {
    let rig = Rig::start().await;
    let admin = rig.admin_token("acme").await;
    let vault = rig.standin.vault("acme-vault");
    vault.fault(Fault::dropped_before().on(Operation::DeleteKey).times(1));
    rig.vault(Method::DELETE, "acme", "keys/acme-cmk", &admin)
        .send()
        .await
        .unwrap_err();
    assert_eq!(rig.get("acme", "keys/acme-cmk", &admin).await.status, 200);
    vault.fault(Fault::dropped_after().on(Operation::DeleteKey).times(1));
    rig.vault(Method::DELETE, "acme", "keys/acme-cmk", &admin)
        .send()
        .await
        .unwrap_err();
    assert_eq!(rig.get("acme", "keys/acme-cmk", &admin).await.status, 404);

    vault.fault(Fault::unreachable());
    rig.vault(Method::GET, "acme", "keys/acme-cmk", &admin)
        .send()
        .await
        .unwrap_err();
    let refused = client(&rig.standin)
        .get(rig.standin.key_url("acme"))
        .send()
        .await
        .unwrap_err();
    assert!(refused.is_connect(), "{refused:?}");
    assert_eq!(rig.exchange().await.status, 200, "Entra is another service");
    vault.clear_faults();
    assert_eq!(rig.get("acme", "keys/acme-cmk", &admin).await.status, 404);
}

#[tokio::test]
async fn a_silent_service_holds_the_request_and_others_are_served() {
    let rig = Rig::start().await;
    let token = rig.token("acme").await;
    let vault = rig.standin.vault("acme-vault");
    vault.fault(Fault::silent().on(Operation::WrapKey));
    tokio::select! {
        got = rig.wrap("acme", &token) => panic!("answered: {got:?}"),
        () = vault.seen(Operation::WrapKey, 1) => {}
    }
    assert_eq!(rig.get("acme", "keys/acme-cmk", &token).await.status, 200);
}

#[tokio::test]
async fn a_late_yes_was_decided_before_the_no_that_overtook_it() {
    let rig = Rig::start().await;
    let token = rig.token("acme").await;
    let done = rig.wrap("acme", &token).await;
    let (version, value) = (version_of(&done.string("kid")), done.string("value"));
    let vault = rig.standin.vault("acme-vault");
    let gate = Gate::new();
    vault.fault(Fault::late_until(&gate).on(Operation::UnwrapKey).times(1));
    let overtaking = async {
        vault.seen(Operation::UnwrapKey, 1).await;
        rig.standin.customer("acme").disable_key().unwrap();
        let refused = rig.unwrap("acme", &token, &version, &value).await;
        assert_eq!(refused.refusal().2, "KeyDisabled");
        gate.open();
    };
    let (late, ()) = tokio::join!(rig.unwrap("acme", &token, &version, &value), overtaking);
    assert_eq!(late.status, 200);
}
