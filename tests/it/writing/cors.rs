//! Browsers of another origin: what the store says to them the gate repeats, also where it does by other methods what the client asks for.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{HeaderMap, HeaderValue, Method};

use super::{headers, plain};
use crate::multipart::{MIB5, Sent, Upload, list};
use crate::world::World;
use crate::world::adversary::{Asked, Lie, Reply};
use crate::world::client::{Answer, Client};

const PAGE: &str = "https://app.example";
const LARGE: usize = 9 << 20;

/// The store's bucket has a rule: this origin, these methods.
fn rule(world: &World, methods: &'static [Method]) {
    let answer = move |asked: &Asked, honest: Reply| {
        let said = |name| asked.headers.get(name).map(HeaderValue::as_bytes);
        let of = match asked.method {
            Method::OPTIONS => said(ACCESS_CONTROL_REQUEST_METHOD).unwrap_or_default(),
            _ => asked.method.as_str().as_bytes(),
        };
        let allowed = methods.iter().any(|method| method.as_str().as_bytes() == of);
        match allowed && said(ORIGIN) == Some(PAGE.as_bytes()) {
            true => honest
                .with(ACCESS_CONTROL_ALLOW_ORIGIN, PAGE)
                .with(ACCESS_CONTROL_EXPOSE_HEADERS, "ETag"),
            false => honest,
        }
    };
    world.lie("acme", "*", Lie::twist(answer));
}

async fn send(client: &Client, origin: &str, method: Method, target: &str, body: &[u8]) -> Answer {
    let answer = client
        .send(method.clone(), target, headers(&[("origin", origin)]), body)
        .await;
    assert!(matches!(answer.status(), 200 | 204), "{method} {target}: {answer:?}");
    answer
}

fn etag(answer: &Answer) -> String {
    answer.headers["etag"].to_str().unwrap().to_owned()
}

/// Every request of an upload, and forms of both sizes: what was done, by which method, and what came.
async fn all_of(world: &World, origin: &str) -> Vec<(&'static str, Method, Answer)> {
    let (acme, large, small) = (&world.acme, plain(MIB5), plain(1000));
    let mut done = Vec::new();
    let upload = Upload::begin(acme, "k").await;
    let target = |what: &str| format!("k?{what}uploadId={}", upload.id);
    let first = send(acme, origin, Method::PUT, &target("partNumber=1&"), &large).await;
    let last = send(acme, origin, Method::PUT, &target("partNumber=2&"), &small).await;
    let sent: [Sent; 2] = [(1, etag(&first)), (2, etag(&last))];
    done.push(("part", Method::PUT, first));
    done.push(("part that waits apart", Method::PUT, last));
    let listed = send(acme, origin, Method::GET, &target(""), b"").await;
    done.push(("list of parts", Method::GET, listed));
    let completed = send(acme, origin, Method::POST, &target(""), list(&sent).as_bytes()).await;
    done.push(("completion", Method::POST, completed));

    let other = Upload::begin(acme, "small").await;
    let part = other.part(1, &small).await;
    let target = format!("small?uploadId={}", other.id);
    let completed = send(acme, origin, Method::POST, &target, list(&[part]).as_bytes()).await;
    done.push(("completion of one small part", Method::POST, completed));

    let other = Upload::begin(acme, "aborted").await;
    let target = format!("aborted?uploadId={}", other.id);
    let aborted = send(acme, origin, Method::DELETE, &target, b"").await;
    done.push(("abort", Method::DELETE, aborted));

    for (what, len) in [("small form", 1000), ("large form", LARGE)] {
        let body = plain(len);
        let (said, form) = form(world, what, origin, &body);
        let answer = acme.post(said, form).await;
        assert_eq!(answer.status(), 204, "{what}: {answer:?}");
        assert!(acme.get(&what.replace(' ', "%20")).await.is(&body), "{what}");
        done.push((what, Method::POST, answer));
    }
    done
}

/// A form signed by acme, with its headers.
fn form(world: &World, key: &str, origin: &str, file: &[u8]) -> (HeaderMap, Vec<u8>) {
    let end = time::OffsetDateTime::from(world.clock.now().system_time() + Duration::from_secs(600));
    let (date, time) = (end.date(), end.time());
    let (hour, minute, second) = time.as_hms();
    let end = format!("{date}T{hour:02}:{minute:02}:{second:02}Z");
    let policy = format!(r#"{{"expiration":"{end}","conditions":[{{"bucket":"acme-files"}},{{"key":"{key}"}}]}}"#);
    let policy = STANDARD.encode(policy);
    let secret = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"acme-secret");
    let signature = STANDARD.encode(hmac::sign(&secret, policy.as_bytes()));
    let fields = [
        ("key", key),
        ("AWSAccessKeyId", "AKIDACME"),
        ("policy", &policy),
        ("signature", &signature),
    ];
    let mut body = String::new();
    for (name, value) in fields {
        body.push_str(&format!(
            "--end\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        ));
    }
    body.push_str("--end\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n");
    let body = [body.as_bytes(), file, b"\r\n--end--\r\n"].concat();
    let said = [
        ("origin", origin),
        ("content-type", "multipart/form-data; boundary=end"),
    ];
    (headers(&said), body)
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_hear_what_the_store_says_of_uploads_and_forms() {
    const EVERY: &[Method] = &[Method::GET, Method::PUT, Method::POST, Method::DELETE];
    const PUT: &[Method] = &[Method::PUT];
    const POST: &[Method] = &[Method::POST];
    let world = World::start().await;
    for methods in [EVERY, PUT, POST] {
        rule(&world, methods);
        for (what, method, answer) in all_of(&world, PAGE).await {
            if methods.contains(&method) {
                let said = |name| answer.headers.get(name).map(HeaderValue::as_bytes);
                let heard = (said(ACCESS_CONTROL_ALLOW_ORIGIN), said(ACCESS_CONTROL_EXPOSE_HEADERS));
                let expected = (Some(PAGE.as_bytes()), Some(&b"ETag"[..]));
                assert_eq!(heard, expected, "{what} by {methods:?}: {answer:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_the_store_does_not_know_hear_nothing() {
    let world = World::start().await;
    rule(&world, &[Method::GET, Method::PUT, Method::POST, Method::DELETE]);
    for (what, _, answer) in all_of(&world, "https://other.example").await {
        let heard = answer
            .headers
            .keys()
            .find(|name| name.as_str().starts_with("access-control-"));
        assert_eq!(heard, None, "{what}");
    }
}
