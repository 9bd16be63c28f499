//! A proof that is wished for over the admin listener: it hears the customer's no before it is due, and does nothing else.

use std::net::SocketAddr;
use std::sync::Arc;

use portcullis::admin::{Admin, Readiness, Rechecks};
use portcullis::dev::standin::Fault;
use portcullis::keys::refusal::Revoked;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::{BOUND, DUE, IDENTITY};
use crate::world::{World, vault};

const TOKEN: &str = "a-token-of-the-operators-0123456789";

async fn wish(admin: SocketAddr, tenant: &str, token: &str) -> String {
    let mut stream = TcpStream::connect(admin).await.unwrap();
    let head = format!(
        "POST /recheck?tenant={tenant} HTTP/1.1\r\nhost: admin\r\nauthorization: Bearer {token}\r\n\
         content-length: 0\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_for_a_proof_hears_a_no_at_once_and_decides_nothing() {
    let world = World::bounded(portcullis::keys::Bounds::new(BOUND, IDENTITY)).await;
    let keys = Arc::new(world.keys(&world.upstream()));
    let rechecks = Arc::new(Rechecks::new(TOKEN.as_bytes().to_vec().into()));
    rechecks.serve(Arc::clone(&keys));
    let admin = Admin::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = admin.local_addr().unwrap();
    let (_state, readiness) = tokio::sync::watch::channel(Readiness::Ready);
    let stop = CancellationToken::new();
    tokio::spawn(admin.with_rechecks(Some(rechecks)).run(readiness, stop.clone()));

    let tenant = world.tenant("acme");
    assert_eq!(wish(address, &tenant, TOKEN).await, "200", "nothing is in use");
    world.pass(DUE);
    let lease = keys.to_write(&tenant).await.unwrap();
    assert_eq!(wish(address, &tenant, "another").await, "401");
    assert_eq!(wish(address, "nobody", TOKEN).await, "404");

    // Silence ends nothing, however often it is asked for.
    let site = world.standin.vault(&vault("acme"));
    site.fault(Fault::busy().times(1));
    let before = site.total();
    assert_eq!(wish(address, &tenant, TOKEN).await, "202");
    assert_eq!(wish(address, &tenant, TOKEN).await, "429");
    while site.total() == before {
        tokio::task::yield_now().await;
    }
    assert!(lease.check().is_ok());

    world.pass(std::time::Duration::from_secs(2));
    world.standin.customer("acme").disable_key().unwrap();
    assert_eq!(wish(address, &tenant, TOKEN).await, "202");
    lease.over().cancelled().await;
    assert_eq!(lease.check().map_err(|no| no.why), Err(Revoked::KeyDisabled.into()));
    stop.cancel();
}
