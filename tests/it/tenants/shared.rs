//! A bucket that tenants share, each below its own prefix: what a client can name of another tenant's, in whatever way, is a 403, and
//! nothing is told or done.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::multipart::{MIB5, Upload, all, bytes};
use crate::world::client::Client;
use crate::world::{SHARED, World};

fn key(world: &World, customer: &str, name: &str) -> String {
    format!("customers/{}/{name}", world.tenant(customer))
}

async fn forbidden(client: &Client, method: Method, target: &str, said: &[(&str, &str)], body: &[u8]) {
    let said = said.iter().map(|(name, value)| {
        let name: HeaderName = name.parse().unwrap();
        (name, HeaderValue::try_from(*value).unwrap())
    });
    let answer = client.send(method.clone(), target, said.collect(), body).await;
    assert_eq!(
        (answer.status(), answer.code().as_str()),
        (403, "AccessDenied"),
        "{method} {target}: {answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tenant_sees_what_lies_below_its_own_prefix() {
    let world = World::start().await;
    let (acme, globex) = (world.acme.at(SHARED), world.globex.at(SHARED));
    let (ours, theirs) = (key(&world, "acme", "k"), key(&world, "globex", "k"));
    acme.put(&ours, b"acme's").await;
    globex.put(&theirs, b"globex's").await;
    assert!(acme.get(&ours).await.is(b"acme's") && globex.get(&theirs).await.is(b"globex's"));
    assert!(world.vault_calls("globex") > 0, "globex's key seals globex's objects");

    for method in [Method::GET, Method::PUT, Method::DELETE] {
        forbidden(&acme, method.clone(), &theirs, &[], b"").await;
        forbidden(&acme, method.clone(), &theirs.replace("globex", "%67lobex"), &[], b"").await;
        forbidden(&acme, method, "elsewhere", &[], b"").await;
    }
    assert_eq!(acme.head(&theirs).await.status(), 403);
    let climbing = ours.replace("/k", &format!("/../{}/k", world.tenant("globex")));
    assert!(acme.get(&climbing).await.status() >= 400);
    for query in ["?acl", "?tagging", "?attributes", "?uploads", "?versionId=null"] {
        let method = if query == "?uploads" { Method::POST } else { Method::GET };
        forbidden(&acme, method, &format!("{theirs}{query}"), &[], b"").await;
    }
    for directive in ["COPY", "REPLACE"] {
        let source = format!("{SHARED}/{theirs}");
        let said = [
            ("x-amz-copy-source", source.as_str()),
            ("x-amz-metadata-directive", directive),
        ];
        forbidden(&acme, Method::PUT, &key(&world, "acme", "stolen"), &said, b"").await;
    }
    assert!(globex.get(&theirs).await.is(b"globex's"), "untouched");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_stays_below_the_prefix() {
    let world = World::start().await;
    let (acme, globex) = (world.acme.at(SHARED), world.globex.at(SHARED));
    let (ours, theirs) = (key(&world, "acme", ""), key(&world, "globex", ""));
    acme.put(&format!("{ours}a"), b"1").await;
    acme.put(&format!("{ours}b"), b"22").await;
    globex.put(&format!("{theirs}c"), b"333").await;

    for kind in ["list-type=2&", "", "versions&"] {
        for prefix in [
            "",
            "prefix=",
            "prefix=customers/",
            "prefix=c",
            &format!("prefix={theirs}"),
        ] {
            forbidden(&acme, Method::GET, &format!("?{kind}{prefix}"), &[], b"").await;
        }
        // Without the slash at its end it is also another tenant's prefix, whose name is longer.
        let short = ours.trim_end_matches('/');
        forbidden(&acme, Method::GET, &format!("?{kind}prefix={short}"), &[], b"").await;
    }
    let listed = acme.get(&format!("?list-type=2&prefix={ours}")).await;
    assert_eq!(all(&listed, "Size"), ["1", "2"], "{listed:?}");
    assert!(!String::from_utf8_lossy(&listed.body).contains("globex"));
    // What is said of the whole bucket, or done to it, is nobody's.
    for query in ["?acl", "?policy", "?uploads", "?versioning", "?lifecycle", "?location"] {
        let answer = acme.get(query).await;
        let harmless = query == "?location" && answer.status() == 200;
        assert!(answer.status() == 403 || harmless, "{query}: {answer:?}");
    }
    forbidden(&acme, Method::DELETE, "", &[], b"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_deleted_of_one_tenant_only() {
    let world = World::start().await;
    let (ours, theirs) = (key(&world, "acme", "k"), key(&world, "globex", "k"));
    let (acme, globex, both) = (world.acme.at(SHARED), world.globex.at(SHARED), world.both.at(SHARED));
    acme.put(&ours, b"1").await;
    globex.put(&theirs, b"2").await;
    let list = |keys: &[&String]| {
        let objects: String = keys
            .iter()
            .map(|key| format!("<Object><Key>{key}</Key></Object>"))
            .collect();
        format!("<Delete>{objects}</Delete>").into_bytes()
    };
    for client in [&acme, &both] {
        forbidden(client, Method::POST, "?delete", &[], &list(&[&ours, &theirs])).await;
    }
    forbidden(&acme, Method::POST, "?delete", &[], &list(&[&theirs])).await;
    assert!(acme.get(&ours).await.is(b"1") && globex.get(&theirs).await.is(b"2"));
    let done = acme
        .send(Method::POST, "?delete", HeaderMap::new(), &list(&[&ours]))
        .await;
    assert_eq!((done.status(), all(&done, "Deleted").len()), (200, 1), "{done:?}");
    assert_eq!(acme.get(&ours).await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_a_tenants_own() {
    let world = World::start().await;
    let (acme, globex) = (world.acme.at(SHARED), world.globex.at(SHARED));
    let ours = key(&world, "acme", "large");
    let upload = Upload::begin(&acme, &ours).await;
    let body = bytes(MIB5 + 100, 1);
    let theirs = upload.through(&globex);
    assert_eq!(theirs.try_part(1, b"x").await.status(), 403);
    let parts = [upload.part(1, &body[..MIB5]).await, upload.part(2, &body[MIB5..]).await];
    for answer in [
        theirs.list("").await,
        theirs.complete(&parts).await,
        theirs.abort().await,
    ] {
        assert_eq!((answer.status(), answer.code().as_str()), (403, "AccessDenied"));
    }
    assert_eq!(upload.complete(&parts).await.status(), 200);
    assert!(acme.get(&ours).await.is(&body));
    // Who may act for both can copy; it is sealed anew under the other's key.
    let (copy, source) = (key(&world, "globex", "copy"), format!("{SHARED}/{ours}"));
    let said = HeaderMap::from_iter([(
        HeaderName::from_static("x-amz-copy-source"),
        HeaderValue::try_from(source).unwrap(),
    )]);
    let copied = world.both.at(SHARED).send(Method::PUT, &copy, said, b"").await;
    assert_eq!(copied.status(), 200, "{copied:?}");
    assert!(globex.get(&copy).await.is(&body));
}
