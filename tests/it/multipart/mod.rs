//! Multipart uploads through two replicas of the gate: whatever is sent in which order, re-sent, raced or cut off, there is in the end
//! one object with the bytes that the client listed, of the size that the law says, or none.

mod crash;
mod list;
mod race;
mod revoked;
mod shapes;

use http::header::{CONTENT_LENGTH, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use portcullis::seal::{PlainLen, SealedLen};

use crate::world::adversary::{Lie, Reply};
use crate::world::client::{Answer, Client};
use crate::world::{SYSTEM_CONTAINER, World};

pub const MIB5: usize = 5 << 20;

/// One upload of a client's.
pub struct Upload<'a> {
    pub client: &'a Client,
    pub key: &'a str,
    pub id: String,
}

/// A part as its client knows it.
pub type Sent = (u32, String);

impl<'a> Upload<'a> {
    pub async fn begin(client: &'a Client, key: &'a str) -> Self {
        Self::begin_with(client, key, &[]).await
    }

    pub async fn begin_with(client: &'a Client, key: &'a str, said: &[(&'static str, &str)]) -> Self {
        let answer = client
            .send(Method::POST, &format!("{key}?uploads"), headers(said), b"")
            .await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        let id = between(&answer, "UploadId");
        assert!(!id.is_empty());
        Self { client, key, id }
    }

    /// The same upload, through another client.
    pub fn through(&self, client: &'a Client) -> Self {
        Self {
            client,
            key: self.key,
            id: self.id.clone(),
        }
    }

    pub async fn try_part(&self, number: u32, body: &[u8]) -> Answer {
        let target = format!("{}?partNumber={number}&uploadId={}", self.key, self.id);
        // An empty body has a length too.
        let len = HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from(body.len()))]);
        self.client.send(Method::PUT, &target, len, body).await
    }

    pub async fn part(&self, number: u32, body: &[u8]) -> Sent {
        let answer = self.try_part(number, body).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        let etag = answer.headers[ETAG].to_str().unwrap().to_owned();
        assert!(etag.ends_with("-0\""), "{etag} would be taken for an MD5");
        (number, etag)
    }

    pub async fn complete(&self, parts: &[Sent]) -> Answer {
        self.complete_with(parts, &[]).await
    }

    pub async fn complete_with(&self, parts: &[Sent], said: &[(&'static str, &str)]) -> Answer {
        let target = format!("{}?uploadId={}", self.key, self.id);
        self.client
            .send(Method::POST, &target, headers(said), list(parts).as_bytes())
            .await
    }

    pub async fn abort(&self) -> Answer {
        let target = format!("{}?uploadId={}", self.key, self.id);
        self.client.send(Method::DELETE, &target, HeaderMap::new(), b"").await
    }

    pub async fn list(&self, query: &str) -> Answer {
        self.client
            .get(&format!("{}?uploadId={}{query}", self.key, self.id))
            .await
    }
}

/// The document of a Complete.
pub fn list(parts: &[Sent]) -> String {
    let mut text = String::from("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (number, etag) in parts {
        text.push_str(&format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        ));
    }
    text + "</CompleteMultipartUpload>"
}

pub fn headers(said: &[(&'static str, &str)]) -> HeaderMap {
    let pairs = said
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::try_from(*value).unwrap()));
    pairs.collect()
}

/// The text of the first element of this name; empty if there is none.
pub fn between(answer: &Answer, name: &str) -> String {
    all(answer, name).into_iter().next().unwrap_or_default()
}

/// The texts of all elements of this name.
pub fn all(answer: &Answer, name: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(&answer.body).replace("&quot;", "\"");
    let (start, end) = (format!("<{name}>"), format!("</{name}>"));
    let pieces = text.split(&start).skip(1);
    pieces
        .filter_map(|rest| Some(rest.split_once(&end)?.0.to_owned()))
        .collect()
}

/// Bytes that differ from one place to the next, and from one seed to another.
pub fn bytes(len: usize, seed: u8) -> Vec<u8> {
    let mut state = u64::from(seed) | 0x9e37_79b9_0000_0000;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        out.extend_from_slice(&(state >> 16).to_le_bytes()[..6]);
    }
    out.truncate(len);
    out
}

/// The object is these bytes, to GET, HEAD and LIST, and lies in the size that the law makes of them.
pub async fn holds(world: &World, key: &str, plain: &[u8]) {
    let answer = world.acme.get(key).await;
    assert!(
        answer.is(plain),
        "{key}: {} of {} bytes, {}",
        answer.body.len(),
        plain.len(),
        answer.status()
    );
    let head = world.acme.head(key).await;
    assert_eq!(
        head.headers["content-length"].to_str().unwrap(),
        plain.len().to_string()
    );
    let stored = world.stored("acme", key).await;
    let law = PlainLen(plain.len() as u64).sealed().unwrap();
    assert_eq!(SealedLen(stored.body.len() as u64), law, "{key}");
    if plain.len() > 64 {
        let needle = &plain[..64];
        assert!(
            !stored.body.windows(64).any(|window| window == needle),
            "{key} lies in the open"
        );
    }
}

/// What lies in the system container for uploads: parts that wait, and records.
pub async fn left_over(world: &World) -> (usize, usize) {
    let listed = world
        .store_client(SYSTEM_CONTAINER)
        .get("?list-type=2&prefix=uploads/")
        .await;
    let keys = all(&listed, "Key");
    let count = |what: &str| keys.iter().filter(|key| key.contains(what)).count();
    (count("/parts/"), count("/complete/"))
}

/// A store that names no ETag when it completes an upload, as Ceph 16 does the first time it is asked.
pub fn without_etag() -> Lie {
    Lie::twist(|asked, honest| match asked.method {
        Method::POST if honest.body.windows(6).any(|tag| tag == b"<ETag>") => {
            let silent = "<CompleteMultipartUploadResult><ETag/></CompleteMultipartUploadResult>";
            Reply::new(honest.status, silent)
        }
        _ => honest,
    })
}
