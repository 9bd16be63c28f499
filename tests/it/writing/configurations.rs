//! Buckets' configurations, before a store that takes every one of them: what the client sends is what the store gets, to the byte, and
//! what the store says is what the client hears. `portcullis dev`'s own store has none of them, and real ones have a few each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Method, StatusCode};
use md5::Digest;
use portcullis::body::checksum::{Algorithm, Checksum};
use portcullis::upstream::sigv4::PayloadHash;

use super::headers;
use crate::world::World;
use crate::world::adversary::{Asked, Lie, Reply};
use crate::world::client::Answer;

const MD5: &str = "content-md5";
/// The types of the documents that go there and come back: no others stand for them.
const SENT: &str = "application/xml; of=client";
const KEPT: &str = "application/xml; of=store";
/// No gate would answer so by itself.
const SET: StatusCode = StatusCode::ACCEPTED;
const GONE: StatusCode = StatusCode::RESET_CONTENT;

/// Each one's query, and whether it can be deleted.
const CONFIGURATIONS: [(&str, bool); 19] = [
    ("lifecycle", true),
    ("policy", true),
    ("notification", false),
    ("encryption", true),
    ("replication", true),
    ("website", true),
    ("logging", false),
    ("cors", true),
    ("publicAccessBlock", true),
    ("tagging", true),
    ("ownershipControls", true),
    ("acl", false),
    ("versioning", false),
    ("requestPayment", false),
    ("accelerate", false),
    ("analytics&id=a%20b", true),
    ("inventory&id=a%20b", true),
    ("metrics&id=a%20b", true),
    ("intelligent-tiering&id=a%20b", true),
];

/// A store that keeps what is sent under each query, and what it was asked.
#[derive(Clone, Default)]
struct Store {
    kept: Arc<Mutex<HashMap<String, Bytes>>>,
    asked: Arc<Mutex<Vec<(Asked, Bytes)>>>,
}

impl Store {
    fn before(world: &World) -> Self {
        let store = Self::default();
        let answering = store.clone();
        let answer = move |asked: &Asked, body: Bytes| {
            answering.asked.lock().unwrap().push((asked.clone(), body.clone()));
            let mut kept = answering.kept.lock().unwrap();
            let query = sorted(&asked.query);
            match asked.method {
                Method::PUT if body.starts_with(b"<wrong") => refusal(StatusCode::CONFLICT, "OfTheStoreAlone"),
                Method::PUT => {
                    kept.insert(query, body);
                    Reply::new(SET, "")
                }
                Method::DELETE => {
                    kept.remove(&query);
                    Reply::new(GONE, "")
                }
                _ => match kept.get(&query) {
                    Some(document) => Reply::new(StatusCode::OK, document.clone()).with(CONTENT_TYPE, KEPT),
                    None => refusal(StatusCode::NOT_FOUND, "NoSuchConfiguration"),
                },
            }
        };
        world.lie("acme", "", Lie::taking(answer));
        store
    }

    /// The one question since this was last called.
    fn question(&self) -> (Asked, Bytes) {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked.remove(0)
    }
}

/// A query without what makes no difference: the order, and whether an empty value is said to be one.
fn sorted(query: &str) -> String {
    let mut pairs: Vec<_> = query.split('&').map(|pair| pair.trim_end_matches('=')).collect();
    pairs.sort_unstable();
    pairs.join("&")
}

fn refusal(status: StatusCode, code: &str) -> Reply {
    Reply::new(status, format!("<Error><Code>{code}</Code></Error>")).with(CONTENT_TYPE, "application/xml")
}

/// One that would not stay so if it were read and written again.
fn document(of: &str) -> String {
    format!(
        "<?xml version='1.0'?>\r\n<!-- {of} --><{of} xmlns:a=\"b\" ><Size>1 &#x3e;  0</Size ><ETag>\"0\"</ETag>\t\u{fc}</{of}>\n\n"
    )
}

fn md5_of(document: &str) -> String {
    STANDARD.encode(md5::Md5::digest(document.as_bytes()))
}

fn checksums(headers: &HeaderMap) -> Vec<(String, String)> {
    let of = |name: &str| name == MD5 || name.starts_with("x-amz-checksum-");
    let said = headers.iter().filter(|(name, _)| of(name.as_str()));
    said.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect()
}

async fn set(world: &World, query: &str, said: &[(&str, &str)], document: &str) -> Answer {
    let (target, said) = (format!("?{query}"), headers(said));
    world.acme.send(Method::PUT, &target, said, document.as_bytes()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_goes_there_and_comes_back_as_it_is() {
    let world = World::start().await;
    let store = Store::before(&world);
    for (query, deleted) in CONFIGURATIONS {
        let (name, target) = (query.split('&').next().unwrap(), format!("?{query}"));
        let (sent, wrong) = (document(name), format!("<wrong>{name}</wrong>"));
        let md5 = md5_of(&sent);

        let answer = set(&world, query, &[(MD5, &md5), ("content-type", SENT)], &sent).await;
        assert_eq!((answer.status(), &answer.body[..]), (SET.as_u16(), &b""[..]), "{query}");
        let (asked, body) = store.question();
        assert_eq!((asked.method, &body[..]), (Method::PUT, sent.as_bytes()), "{query}");
        assert_eq!(sorted(&asked.query), sorted(query));
        assert_eq!(checksums(&asked.headers), [(MD5.to_owned(), md5)], "{query}");
        assert_eq!(asked.headers[CONTENT_TYPE], SENT, "{query}");

        let answer = set(&world, query, &[], &wrong).await;
        assert_eq!(
            (answer.status(), answer.code()),
            (409, "OfTheStoreAlone".to_owned()),
            "{query}"
        );
        assert_eq!(store.question().1, wrong);

        let got = world.acme.get(&target).await;
        assert!(got.status() == 200 && got.is(sent.as_bytes()), "{query}: {got:?}");
        assert_eq!(got.headers[CONTENT_TYPE], KEPT, "{query}");
        store.question();
        if deleted {
            let gone = world.acme.send(Method::DELETE, &target, HeaderMap::new(), b"").await;
            assert_eq!(gone.status(), GONE.as_u16(), "{query}: {gone:?}");
            assert_eq!(store.question().0.method, Method::DELETE);
            let none = world.acme.get(&target).await;
            assert_eq!(
                (none.status(), none.code()),
                (404, "NoSuchConfiguration".to_owned()),
                "{query}"
            );
            store.question();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_has_the_checksum_that_the_client_states_and_else_its_md5() {
    let world = World::start().await;
    let store = Store::before(&world);
    let sent = document("LifecycleConfiguration");
    let computed = [(MD5.to_owned(), md5_of(&sent))];

    assert_eq!(set(&world, "lifecycle", &[], &sent).await.status(), SET.as_u16());
    assert_eq!(checksums(&store.question().0.headers), computed);

    for algorithm in Algorithm::ALL {
        let (name, value) = (algorithm.header(), Checksum::of(algorithm, sent.as_bytes()).to_base64());
        let answer = set(&world, "lifecycle", &[(name.as_str(), &value)], &sent).await;
        assert_eq!(answer.status(), SET.as_u16(), "{answer:?}");
        assert_eq!(checksums(&store.question().0.headers), [(name.to_string(), value)]);
    }

    // One that comes behind the document is checked, and does not go along: the framing ends at the gate.
    let trailer = Checksum::of(Algorithm::Crc32, sent.as_bytes()).to_base64();
    for (trailer, status) in [(trailer.as_str(), SET.as_u16()), ("AAAAAA==", 400)] {
        let framed = format!(
            "{:x}\r\n{sent}\r\n0\r\nx-amz-checksum-crc32:{trailer}\r\n\r\n",
            sent.len()
        );
        let asking = headers(&[
            ("content-encoding", "aws-chunked"),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
            ("x-amz-decoded-content-length", &sent.len().to_string()),
        ]);
        let hash = PayloadHash::UnsignedTrailer;
        let answer = world
            .acme
            .send_as(Method::PUT, "?lifecycle", asking, framed.as_bytes(), hash)
            .await;
        assert_eq!(answer.status(), status, "{answer:?}");
        if status == 400 {
            assert_eq!(answer.code(), "BadDigest");
            continue;
        }
        let (asked, body) = store.question();
        assert_eq!(body, sent);
        assert_eq!(checksums(&asked.headers), computed);
        assert_eq!(asked.headers.get(CONTENT_ENCODING), None);
    }

    // What is not what was stated does not reach the store.
    let other = md5_of("another");
    let answer = set(&world, "lifecycle", &[(MD5, &other)], &sent).await;
    assert_eq!((answer.status(), answer.code()), (400, "BadDigest".to_owned()));
    assert!(store.asked.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_store_says_that_does_not_know_the_configuration_is_not_passed_on() {
    let world = World::start().await;
    world.acme.put("k", b"words").await;
    let sealed = world.stored("acme", "k").await;
    world.claim("acme", "k", sealed);
    let listing = "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"x\"><Contents><Key>k</Key><Size>725</Size></Contents></ListBucketResult>";
    world.lie("acme", "", Lie::instead(move |_| Reply::new(StatusCode::OK, listing)));
    for target in ["?ownershipControls", "k?legal-hold"] {
        let answer = world.acme.send(Method::GET, target, HeaderMap::new(), b"").await;
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (501, "NotImplemented"),
            "{target}"
        );
    }
    let policy = Lie::instead(|_| Reply::new(StatusCode::OK, "\n {}"));
    world.lie("acme", "", policy);
    let answer = world.acme.send(Method::GET, "?policy", HeaderMap::new(), b"").await;
    assert!(answer.is(b"\n {}"), "{answer:?}");
}
