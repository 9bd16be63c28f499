//! Virtual hosts: the bucket in the host's name, below the gate's own domain and nowhere else.

use http::Method;

use super::door::{Asking, DOMAIN, Door, Setting};
use crate::world::SYSTEM_CONTAINER;

#[tokio::test(flavor = "multi_thread")]
async fn the_host_names_the_bucket() {
    let door = Door::open(Setting::default(), &[]).await;
    let host = format!("acme-files.{DOMAIN}");
    let spelled = format!("ACME-Files.{}:80", DOMAIN.to_uppercase());
    let at = |host, asking| Asking {
        host: Some(host),
        signed: Some(&door.acme),
        ..asking
    };
    let put = door.send(at(&host, Asking::put("/a/k", b"words"))).await;
    assert_eq!(put.status, 200, "{put:?}");
    assert!(door.acme.get("a/k").await.is(b"words"), "the same object in the path");
    for host in [&host, &spelled] {
        door.send(at(host, Asking::get("/a/k"))).await.is(b"words");
        let listed = door.send(at(host, Asking::get("/?list-type=2&prefix=a/"))).await;
        let text = String::from_utf8_lossy(&listed.body).into_owned();
        assert!(
            text.contains("<Name>acme-files</Name>") && text.contains("<Size>5</Size>"),
            "{text}"
        );
    }
    // The domain itself, and an address: the path names it.
    door.send(at(DOMAIN, Asking::get("/acme-files/a/k"))).await.is(b"words");

    // Two parts of an upload, and a copy, whose source is in a path all the same.
    let begun = door
        .send(Asking {
            method: Method::POST,
            ..at(&host, Asking::get("/large?uploads"))
        })
        .await;
    let text = String::from_utf8_lossy(&begun.body).into_owned();
    assert!(
        text.contains("<Bucket>acme-files</Bucket>") && text.contains("<Key>large</Key>"),
        "{text}"
    );
    let copied = door
        .send(Asking {
            said: &[("x-amz-copy-source", "acme-files/a/k")],
            ..at(&host, Asking::put("/copy", b""))
        })
        .await;
    assert_eq!(copied.status, 200, "{copied:?}");
    assert!(door.acme.get("copy").await.is(b"words"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_opens_no_other_bucket() {
    let door = Door::open(Setting::default(), &[]).await;
    door.acme.put("k", b"acme's").await;
    door.globex.put("k", b"globex's").await;
    let (ours, theirs) = (format!("acme-files.{DOMAIN}"), format!("globex-files.{DOMAIN}"));
    let system = format!("{SYSTEM_CONTAINER}.{DOMAIN}");
    let get = |host, target| Asking {
        host: Some(host),
        signed: Some(&door.acme),
        ..Asking::get(target)
    };
    door.send(get(&theirs, "/k")).await.is_error(403, "AccessDenied");
    door.send(get(&system, "/keyring")).await.is_error(404, "NoSuchBucket");
    // Below the bucket of the host a path is a key, whatever it looks like.
    door.send(get(&ours, "/globex-files/k"))
        .await
        .is_error(404, "NoSuchKey");
    door.send(get(&ours, "//globex-files/k"))
        .await
        .is_error(404, "NoSuchKey");
    for climbing in ["/../globex-files/k", "/%2e%2e/globex-files/k"] {
        let refused = door.send(get(&ours, climbing)).await;
        assert!(refused.status >= 400, "{climbing}: {refused:?}");
    }
    // Of another's domain the host says nothing: the path does.
    let foreign = format!("acme-files.{DOMAIN}.evil.test");
    door.send(get(&foreign, "/k")).await.is_error(404, "NoSuchBucket");
    // The host is signed.
    let swapped = Asking {
        then_host: Some(&ours),
        signed: Some(&door.globex),
        ..get(&theirs, "/k")
    };
    door.send(swapped).await.is_error(403, "SignatureDoesNotMatch");
    let swapped = Asking {
        then_host: Some(&theirs),
        ..get(&ours, "/k")
    };
    door.send(swapped).await.is_error(403, "SignatureDoesNotMatch");
    // And one that nobody signed is nobody's.
    let unsigned = Asking {
        signed: None,
        ..get(&ours, "/k")
    };
    door.send(unsigned).await.is_error(403, "AccessDenied");
    assert!(
        door.acme.get("k").await.is(b"acme's") && door.globex.get("k").await.is(b"globex's"),
        "untouched"
    );
}
