//! Buckets whose names say whose they are: `isv-{tenant}-files`.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::door::{Door, GATE, Setting};
use crate::multipart::all;
use crate::world::{SYSTEM_CONTAINER, World};

/// Two customers' buckets, one of a tenant that is none, and one that a rule of its own gives to globex.
async fn door() -> (Door, [String; 4]) {
    let world = World::start().await;
    let name = |tenant: &str| format!("isv-{tenant}-files");
    let buckets = [
        name(&world.tenant("acme")),
        name(&world.tenant("globex")),
        name("nobody"),
        name(&format!("{}-logs", world.tenant("acme"))),
    ];
    let setting = Setting {
        rules: vec![
            ("isv-{tenant}-files".to_owned(), None),
            (buckets[3].clone(), Some("globex")),
            // Broader, and all the same not for the gate's own.
            ("s*".to_owned(), Some("acme")),
        ],
        ..Setting::default()
    };
    let door = Door::of(world, setting, &buckets).await;
    (door, buckets)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_whose_name_is_in_it() {
    let (door, [acmes, globexs, nobodys, logs]) = door().await;
    let (acme, globex) = (door.acme.at(&acmes), door.globex.at(&globexs));
    acme.put("k", b"acme's").await;
    assert!(acme.get("k").await.is(b"acme's"));
    assert_eq!(door.world.vault_calls("globex"), 0, "acme's key seals acme's objects");
    globex.put("k", b"globex's").await;
    assert!(door.world.vault_calls("globex") > 0);
    for (bucket, plain) in [(&acmes, &b"acme's"[..]), (&globexs, b"globex's")] {
        let stored = door.at_store(bucket).get("k").await;
        assert!(
            stored.status() == 200 && !stored.body.windows(plain.len()).any(|part| part == plain),
            "sealed"
        );
    }

    for bucket in [&globexs, &logs] {
        let theirs = door.acme.at(bucket);
        for (method, target) in [
            (Method::GET, "k"),
            (Method::PUT, "k"),
            (Method::DELETE, "k"),
            (Method::GET, ""),
            (Method::GET, "?acl"),
            (Method::PUT, ""),
            (Method::DELETE, ""),
        ] {
            let answer = theirs.send(method.clone(), target, HeaderMap::new(), b"").await;
            let said = (answer.status(), answer.code());
            assert_eq!(said, (403, "AccessDenied".to_owned()), "{method} {bucket}/{target}");
        }
    }
    // The more a rule fixes of a name, the rather it counts.
    door.globex.at(&logs).put("k", b"logs").await;
    assert!(door.globex.at(&logs).get("k").await.is(b"logs"));
    // No tenant, no bucket: also where the store has one of that name. And the gate's own is nobody's.
    for none in [nobodys.as_str(), "isv--files", "isv-files", "other", SYSTEM_CONTAINER] {
        for client in [&door.acme, &door.globex, &door.both] {
            let answer = client.at(none).get("k").await;
            assert_eq!(
                (answer.status(), answer.code().as_str()),
                (404, "NoSuchBucket"),
                "{none}"
            );
            let answer = client.at(none).send(Method::PUT, "k", HeaderMap::new(), b"x").await;
            assert_eq!(
                (answer.status(), answer.code().as_str()),
                (404, "NoSuchBucket"),
                "{none}"
            );
        }
    }
    assert!(globex.get("k").await.is(b"globex's"), "untouched");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_buckets_has_the_clients_own() {
    let (door, [acmes, globexs, _, logs]) = door().await;
    let list = async |client: &crate::world::client::Client| {
        let listed = client.at("").get("").await;
        assert_eq!(listed.status(), 200, "{listed:?}");
        let mut names = all(&listed, "Name");
        names.sort();
        names
    };
    let sorted = |names: &[&String]| {
        let mut names: Vec<_> = names.iter().map(|name| (*name).clone()).collect();
        names.sort();
        names
    };
    let (ours, theirs) = ("acme-files".to_owned(), "globex-files".to_owned());
    assert_eq!(list(&door.acme).await, sorted(&[&ours, &acmes]));
    assert_eq!(list(&door.globex).await, sorted(&[&theirs, &globexs, &logs]));
    assert_eq!(
        list(&door.both).await,
        sorted(&[&ours, &theirs, &acmes, &globexs, &logs])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_act_for_both_copies_under_the_others_key() {
    let (door, [acmes, globexs, ..]) = door().await;
    door.acme.at(&acmes).put("k", b"words").await;
    let source = |bucket: &str| {
        let name = HeaderName::from_static("x-amz-copy-source");
        HeaderMap::from_iter([(name, HeaderValue::try_from(format!("{bucket}/k")).unwrap())])
    };
    let refused = door
        .globex
        .at(&globexs)
        .send(Method::PUT, "stolen", source(&acmes), b"")
        .await;
    assert_eq!((refused.status(), refused.code().as_str()), (403, "AccessDenied"));
    let copied = door
        .both
        .at(&globexs)
        .send(Method::PUT, "copy", source(&acmes), b"")
        .await;
    assert_eq!(copied.status(), 200, "{copied:?}");
    assert!(door.globex.at(&globexs).get("copy").await.is(b"words"));
    door.world.standin.customer("acme").disable_key().unwrap();
    assert!(
        door.globex.at(&globexs).get("copy").await.is(b"words"),
        "globex's own by now"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_makes_its_own_buckets() {
    let world = World::start().await;
    let name = |customer: &str| format!("isv-{}-files", world.tenant(customer));
    let (ours, theirs) = (name("acme"), name("globex"));
    let setting = Setting {
        rules: vec![("isv-{tenant}-files".to_owned(), None)],
        ..Setting::default()
    };
    let door = Door::of(world, setting, &[]).await;
    let askers = door.askers(&ours, "");
    door.acme.at(&ours).make_bucket().await;
    assert_eq!(*askers.lock().unwrap(), [GATE]);
    let refused = door.acme.at(&theirs).send(Method::PUT, "", HeaderMap::new(), b"").await;
    assert_eq!((refused.status(), refused.code().as_str()), (403, "AccessDenied"));
    assert_eq!(door.at_store(&theirs).head("").await.status(), 404, "not made");
    door.acme.at(&ours).put("k", b"words").await;
    assert!(door.acme.at(&ours).get("k").await.is(b"words"));
}
