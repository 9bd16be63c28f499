//! Copies through the running gate: by the store within a tenant, through the gate between tenants; and what a store that lies
//! makes of either.

mod between;
mod hostile;
mod parts;
mod within;

use http::header::{CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::world::World;
use crate::world::client::{Answer, Client};

/// Three chunks and a bit more.
const LEN: usize = 3 * 65_536 + 100;

fn plain(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect()
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let one = |(name, value): &(&str, &str)| {
        (
            HeaderName::try_from(*name).unwrap(),
            HeaderValue::try_from(*value).unwrap(),
        )
    };
    pairs.iter().map(one).collect()
}

/// PutObject of `report`, with metadata and tags.
async fn put_report(client: &Client, plain: &[u8]) {
    let described = headers(&[
        ("content-type", "text/bla"),
        ("cache-control", "no-store"),
        ("x-amz-meta-colour", "green"),
        ("x-amz-tagging", "kind=report&empty="),
    ]);
    let answer = client.send(Method::PUT, "report", described, plain).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
}

/// PutObject; an empty one too, of which hyper states no length.
async fn put(client: &Client, key: &str, plain: &[u8]) {
    let len = headers(&[("content-length", &plain.len().to_string())]);
    assert_eq!(client.send(Method::PUT, key, len, plain).await.status(), 200);
}

/// CopyObject.
async fn copy(client: &Client, from: &str, to: &str, more: &[(&str, &str)]) -> Answer {
    let mut asking = headers(more);
    asking.insert("x-amz-copy-source", HeaderValue::try_from(from).unwrap());
    client.send(Method::PUT, to, asking, b"").await
}

/// CopyObject that is done, and whose answer agrees with what lies there.
async fn copied(client: &Client, from: &str, to: &str, more: &[(&str, &str)]) -> Answer {
    let answer = copy(client, from, to, more).await;
    assert_eq!(answer.status(), 200, "{from} to {to}: {answer:?}");
    let etag = element(&answer, "ETag").replace("&quot;", "\"");
    let head = client.head(to).await;
    assert_eq!(head.headers[ETAG], etag.as_str(), "{from} to {to}");
    assert!(element(&answer, "LastModified").ends_with('Z'), "{answer:?}");
    answer
}

async fn refused(client: &Client, from: &str, to: &str, more: &[(&str, &str)], status: u16, code: &str) {
    let answer = copy(client, from, to, more).await;
    assert_eq!(
        (answer.status(), answer.code().as_str()),
        (status, code),
        "{from} to {to} {more:?}"
    );
}

fn element(answer: &Answer, name: &str) -> String {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let inner = text
        .split_once(&format!("<{name}>"))
        .and_then(|(_, rest)| rest.split_once(&format!("</{name}>")));
    inner
        .map(|(inner, _)| inner.to_owned())
        .unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// What a client is shown of an object: its own metadata, and none of the gate's.
async fn describes(client: &Client, key: &str, content_type: &str, colour: Option<&str>) {
    let head = client.head(key).await;
    let text = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(text(CONTENT_TYPE.as_str()), Some(content_type), "{key}");
    assert_eq!(text("x-amz-meta-colour"), colour, "{key}");
    let own = head.headers.keys().find(|name| name.as_str().contains("portcullis"));
    assert_eq!(own, None, "{key}");
}

/// An object's tags, in order, as the store has them.
async fn tags(world: &World, bucket: &str, key: &str) -> Vec<String> {
    let answer = world.store_client(bucket).get(&format!("{key}?tagging")).await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let keys = text
        .split("<Key>")
        .skip(1)
        .map(|tag| tag.split("</Key>").next().unwrap_or_default());
    let mut keys: Vec<_> = keys.map(str::to_owned).collect();
    keys.sort();
    keys
}
