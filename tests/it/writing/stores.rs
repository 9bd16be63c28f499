//! Stores that differ: that pass over conditions, name another place, answer too soon, want a checksum behind or before a body.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{AUTHORIZATION, IF_NONE_MATCH};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use portcullis::telemetry::clock::Clock;
use portcullis::upstream::sigv4::{Credential, SecretKey};
use portcullis::upstream::{
    Call, Caller, ConditionalWrites, Dialect, Heeded, Payload, Provider, Store, StoreBody, StoreOptions, Write,
};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::{headers, plain};
use crate::multipart;
use crate::world::adversary::{Lie, Reply};
use crate::world::client::Answer;
use crate::world::{SYSTEM_CONTAINER, World};

const OTHER: Dialect = Dialect::of(Provider::Other);

/// A store that says what it is told to say, and remembers what it was asked: method, target and head.
struct StandIn {
    address: String,
    asked: Arc<Mutex<Vec<(Method, String, HeaderMap)>>>,
    accepting: AbortHandle,
}

impl StandIn {
    async fn start(answer: impl Fn(&Request<Incoming>) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked: Arc<Mutex<Vec<_>>> = Arc::default();
        let (noted, answer) = (Arc::clone(&asked), Arc::new(answer));
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (noted, answer) = (Arc::clone(&noted), Arc::clone(&answer));
                let service = service_fn(move |request: Request<Incoming>| {
                    let head = (
                        request.method().clone(),
                        request.uri().to_string(),
                        request.headers().clone(),
                    );
                    noted.lock().unwrap().push(head);
                    let said = answer(&request);
                    async move {
                        let _ = request.into_body().collect().await;
                        Ok::<_, Infallible>(said.map(Full::new))
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self {
            address,
            asked,
            accepting: accepting.abort_handle(),
        }
    }

    fn asked(&self) -> Vec<(Method, String)> {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .map(|(method, target, _)| (method.clone(), target.clone()))
            .collect()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn says(status: u16, pairs: &[(&str, &str)]) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    *response.headers_mut() = headers(pairs);
    response
}

fn store(address: &str, dialect: Dialect) -> Store {
    let options = StoreOptions {
        name: "main".to_owned(),
        scheme: Scheme::HTTP,
        authority: Authority::try_from(address).unwrap(),
        region: "us-east-1".to_owned(),
        credential: Arc::new(Credential::new("AKID", SecretKey::new("secret")).unwrap()),
        roots: None,
        system_container: "system".to_owned(),
        dialect,
    };
    Store::new(options, Clock::system()).unwrap()
}

async fn get(store: &Store, bucket: &str, key: &str) -> StatusCode {
    let call = Call {
        method: Method::GET,
        bucket,
        key,
        query: "",
        caller: &Caller::Gate,
        headers: HeaderMap::new(),
        body: StoreBody::empty(),
    };
    store.send(call).await.unwrap().status()
}

#[tokio::test]
async fn conditions_that_are_passed_over_are_found_out() {
    // It takes everything.
    let careless = StandIn::start(|_| says(200, &[])).await;
    let none = Heeded::all(false);
    let asking = store(&careless.address, OTHER);
    assert_eq!(asking.heeded().await, Ok(none));
    let asked = careless.asked();
    assert_eq!(asking.heeded().await, Ok(none));
    assert_eq!(careless.asked(), asked, "found out once");
    assert!(
        asked
            .iter()
            .all(|(_, target)| target.starts_with("/system/probe/") || target == "/system?delete="),
        "{asked:?}"
    );
    assert_eq!(asked.last().map(|(method, _)| method), Some(&Method::DELETE));

    // It heeds one, and is without the system's container at first.
    let made = Arc::new(AtomicBool::new(false));
    let partly = StandIn::start(move |request| {
        let on_bucket = request.uri().path() == "/system";
        if on_bucket {
            made.store(true, Ordering::SeqCst);
        }
        if !made.load(Ordering::SeqCst) {
            return says(404, &[]);
        }
        says(
            if request.headers().contains_key("if-none-match") {
                412
            } else {
                200
            },
            &[],
        )
    });
    let partly = partly.await;
    let heeded = store(&partly.address, OTHER).heeded().await;
    assert_eq!(
        heeded,
        Ok(Heeded {
            if_none_match: true,
            ..none
        })
    );

    // What is configured is not asked.
    let sure = Dialect {
        conditional_writes: ConditionalWrites::Heeded,
        ..OTHER
    };
    assert!(store("127.0.0.1:1", sure).heeded().await.unwrap().if_match);
}

#[tokio::test]
async fn a_store_that_is_down_is_asked_again_later() {
    let broken = Arc::new(AtomicBool::new(true));
    let down = Arc::clone(&broken);
    let stand_in = StandIn::start(move |request| match down.load(Ordering::SeqCst) {
        true => says(503, &[]),
        false if request.headers().contains_key("if-match") || request.headers().contains_key("if-none-match") => {
            says(412, &[])
        }
        false => says(200, &[]),
    });
    let stand_in = stand_in.await;
    let asking = store(&stand_in.address, OTHER);
    assert!(asking.heeded().await.is_err());
    broken.store(false, Ordering::SeqCst);
    assert!(asking.heeded().await.unwrap().if_none_match);
}

#[tokio::test]
async fn a_store_may_heed_a_condition_on_one_kind_of_write_and_not_on_another() {
    // As Ceph: it heeds them on a PUT, and completes and deletes whatever they say.
    let of = |request: &Request<Incoming>| {
        let (method, target) = (request.method().clone(), request.uri().to_string());
        let held = request.headers().contains_key("if-none-match") || request.headers().contains_key("if-match");
        match method {
            Method::POST if target.ends_with("?uploads=") => Response::new(Bytes::from_static(
                b"<InitiateMultipartUploadResult><UploadId>u/1</UploadId></InitiateMultipartUploadResult>",
            )),
            Method::PUT if held => says(412, &[]),
            Method::PUT => says(200, &[("etag", "\"x\"")]),
            _ => says(200, &[]),
        }
    };
    let ceph = StandIn::start(of).await;
    let asking = store(&ceph.address, OTHER);
    let heeded = asking.heeded().await.unwrap();
    let on_put = Heeded {
        if_none_match: true,
        if_match: true,
        ..Heeded::all(false)
    };
    assert_eq!(heeded, on_put);
    let fresh = headers(&[("if-none-match", "*")]);
    assert_eq!(heeded.passes_over(Write::Put, &fresh), None);
    assert_eq!(heeded.passes_over(Write::Complete, &fresh), Some(IF_NONE_MATCH));
    let asked = ceph.asked();
    let completed = asked.iter().filter(|(_, target)| target.ends_with("?uploadId=u%2F1"));
    assert_eq!(completed.count(), 2, "{asked:?}");

    // One that says its no behind a 200 heeds them all the same, and is left without an upload.
    let late = StandIn::start(move |request| match request.method() {
        &Method::POST if !request.uri().to_string().ends_with("?uploads=") => {
            Response::new(Bytes::from_static(b" <Error><Code>PreconditionFailed</Code></Error>"))
        }
        _ => of(request),
    });
    let late = late.await;
    let heeded = store(&late.address, OTHER).heeded().await.unwrap();
    assert!(heeded.complete_if_none_match && heeded.complete_if_match && heeded.delete_objects_etag);
    assert!(!heeded.delete_if_match);
    let aborted = (Method::DELETE, "?uploadId=u%2F1");
    let aborted = late
        .asked()
        .into_iter()
        .filter(|(method, target)| (method.clone(), &target[target.len().saturating_sub(15)..]) == aborted);
    assert_eq!(aborted.count(), 2);
}

/// What stands against each kind of write of an object that is there.
async fn conditional_writes(world: &World, status: u16, code: &str) {
    world.acme.put("k", b"old").await;
    let said = |answer: &Answer| (answer.status(), answer.code());
    let expected = (status, code.to_owned());
    for (method, name, value) in [
        (Method::PUT, "if-none-match", "*"),
        (Method::PUT, "if-match", "\"x\""),
        (Method::DELETE, "if-match", "\"x\""),
    ] {
        let answer = world.acme.send(method, "k", headers(&[(name, value)]), b"").await;
        assert_eq!(said(&answer), expected, "{name}");
    }
    for condition in [("if-none-match", "*"), ("if-match", "\"x\"")] {
        let upload = multipart::Upload::begin(&world.acme, "k").await;
        let part = upload.part(1, b"new").await;
        let answer = upload.complete_with(&[part], &[condition]).await;
        assert_eq!(said(&answer), expected, "{condition:?}");
        upload.abort().await;
    }
    assert!(world.acme.get("k").await.is(b"old"));
}

fn deletion(element: &str, value: &str) -> Vec<u8> {
    format!("<Delete><Object><Key>k</Key><{element}>{value}</{element}></Object></Delete>").into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_that_would_be_passed_over_is_refused() {
    let ignoring = Dialect {
        conditional_writes: ConditionalWrites::Ignored,
        ..OTHER
    };
    let world = World::before(ignoring).await;
    conditional_writes(&world, 501, "NotImplemented").await;
    let many = async |world: &World, element, value| {
        let document = deletion(element, value);
        world
            .acme
            .send(Method::POST, "?delete", HeaderMap::new(), &document)
            .await
    };
    for (element, value) in [
        ("ETag", "x"),
        ("Size", "3"),
        ("LastModifiedTime", "Wed, 21 Oct 2015 07:28:00 GMT"),
    ] {
        let answer = many(&world, element, value).await;
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (501, "NotImplemented"),
            "{element}"
        );
    }
    assert!(world.acme.get("k").await.is(b"old"));

    // The directory store heeds all, which the gate finds out by itself.
    let world = World::before(OTHER).await;
    conditional_writes(&world, 412, "PreconditionFailed").await;
    let answer = many(&world, "ETag", "x").await;
    assert_eq!((answer.status(), answer.code().as_str()), (200, "PreconditionFailed"));
    assert!(world.acme.get("k").await.is(b"old"));
    let etag = world.acme.head("k").await.headers["etag"].to_str().unwrap().to_owned();
    let answer = many(&world, "ETag", &etag).await;
    assert_eq!((answer.status(), answer.code().as_str()), (200, ""), "{answer:?}");
    assert_eq!(world.acme.get("k").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_put_is_conditional_as_the_complete_that_it_ends_in() {
    // The store heeds conditions on a PUT, and passes them over on a Complete.
    let world = World::before(Dialect {
        largest_put: 6 << 20,
        ..OTHER
    });
    let world = world.await;
    let passed_over = Lie::twist(|asked, honest| match asked.headers.contains_key(IF_NONE_MATCH) {
        true if asked.method == Method::POST => Reply::new(StatusCode::OK, "<CompleteMultipartUploadResult/>"),
        _ => honest,
    });
    world.adversary.lie(SYSTEM_CONTAINER, "*", passed_over);
    world.acme.put("k", b"old").await;
    let fresh = || headers(&[("if-none-match", "*")]);
    let large = world.acme.send(Method::PUT, "k", fresh(), &plain(7 << 20)).await;
    assert_eq!((large.status(), large.code().as_str()), (501, "NotImplemented"));
    let small = world.acme.send(Method::PUT, "k", fresh(), b"small").await;
    assert_eq!(small.status(), 412);
    assert!(world.acme.get("k").await.is(b"old"));
}

#[tokio::test]
async fn a_redirection_is_followed_once_and_then_known() {
    let there = StandIn::start(|_| says(200, &[])).await;
    let location = format!("http://{}/bkt/k", there.address);
    let here = StandIn::start(move |_| says(307, &[("location", &location)])).await;
    let asking = store(&here.address, OTHER);
    assert_eq!(get(&asking, "bkt", "k").await, 200);
    assert_eq!(get(&asking, "bkt", "other").await, 200);
    assert_eq!(here.asked().len(), 1);
    let asked = [
        (Method::GET, "/bkt/k".to_owned()),
        (Method::GET, "/bkt/other".to_owned()),
    ];
    assert_eq!(there.asked(), asked);

    // Outside the configured domain, and in circles, nobody is followed.
    let away = StandIn::start(|_| says(307, &[("location", "http://localhost:1/bkt/k")])).await;
    assert_eq!(get(&store(&away.address, OTHER), "bkt", "k").await, 307);
    assert_eq!(away.asked().len(), 1);
    let own: Arc<Mutex<String>> = Arc::default();
    let named = Arc::clone(&own);
    let circle = StandIn::start(move |_| says(301, &[("location", &named.lock().unwrap())])).await;
    *own.lock().unwrap() = format!("http://{}/bkt/k", circle.address);
    assert_eq!(get(&store(&circle.address, OTHER), "bkt", "k").await, 301);
    assert_eq!(circle.asked().len(), 1);
}

#[tokio::test]
async fn a_region_that_is_named_is_signed_for() {
    let regional = Dialect {
        regional: true,
        ..OTHER
    };
    let stand_in = StandIn::start(|request| {
        let signed = request.headers()[AUTHORIZATION].to_str().unwrap();
        match (signed.contains("/eu-west-1/s3/"), request.method() == Method::HEAD) {
            (true, _) => says(200, &[("x-amz-bucket-region", "eu-west-1")]),
            // As Amazon: what the GET is told of the region stands in its body.
            (false, false) => says(400, &[]),
            (false, true) => says(400, &[("x-amz-bucket-region", "eu-west-1")]),
        }
    });
    let stand_in = stand_in.await;
    let asking = store(&stand_in.address, regional);
    assert_eq!(get(&asking, "bkt", "k").await, 200);
    assert_eq!(stand_in.asked().len(), 3, "once wrong, once for the region, once right");
    assert_eq!(get(&asking, "bkt", "k").await, 200);
    assert_eq!(stand_in.asked().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_goes_to_the_right_region_at_once() {
    let world = World::before(Dialect {
        regional: true,
        ..OTHER
    });
    let world = world.await;
    world.lie(
        "acme",
        "",
        Lie::instead(|_| {
            Reply::new(StatusCode::MOVED_PERMANENTLY, "").with("x-amz-bucket-region".parse().unwrap(), "eu-west-1")
        }),
    );
    let signed: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&signed);
    world.lie(
        "acme",
        "k",
        Lie::twist(move |asked, honest| {
            let text = asked.headers[AUTHORIZATION].to_str().unwrap().to_owned();
            noted.lock().unwrap().push(text);
            honest
        }),
    );
    let body = plain(2 << 20);
    world.acme.put("k", &body).await;
    assert!(world.acme.get("k").await.is(&body));
    let signed = signed.lock().unwrap();
    assert!(signed.iter().all(|text| text.contains("/eu-west-1/s3/")), "{signed:?}");
    assert_eq!(
        world.adversary.asked("acme-files", ""),
        2,
        "asked until it says the same twice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_answers_before_it_has_the_whole_body_is_not_believed() {
    let world = World::start().await;
    world.lie(
        "acme",
        "k",
        Lie::instead(|_| Reply::new(StatusCode::OK, "").with("etag".parse().unwrap(), "\"x\"")),
    );
    let upload = world.acme.begin_put("k", 8 << 20, &plain(1 << 20)).await;
    let (answer, _) = upload.finish().await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    assert!(text.contains("<Code>ServiceUnavailable</Code>"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_takes_checksums_behind_bodies_is_told_them() {
    let world = World::before(Dialect {
        payload: Payload::Trailer,
        ..OTHER
    });
    let world = world.await;
    for len in [0, 1, (1 << 20) - 704, (1 << 20) + 1, 3 << 20] {
        let body = plain(len);
        let asking = headers(&[("content-encoding", "gzip"), ("content-type", "text/plain")]);
        let answer = world.acme.send(Method::PUT, "k", asking, &body).await;
        assert_eq!(answer.status(), 200, "{len}: {answer:?}");
        let got = world.acme.get("k").await;
        assert!(got.is(&body), "{len}");
        assert_eq!(got.headers["content-encoding"], "gzip");
        let head = world.store_client("acme-files");
        let mode = headers(&[("x-amz-checksum-mode", "ENABLED")]);
        let stored = head.send(Method::GET, "k", mode, b"").await;
        assert_eq!(stored.headers["content-encoding"], "gzip");
        let crc =
            portcullis::body::checksum::Checksum::of(portcullis::body::checksum::Algorithm::Crc64Nvme, &stored.body);
        assert_eq!(stored.headers["x-amz-checksum-crc64nvme"], crc.to_base64(), "{len}");
    }
    // What does not hold is not stored here either.
    let wrong = headers(&[("x-amz-checksum-crc32", "AAAAAA==")]);
    let answer = world.acme.send(Method::PUT, "wrong", wrong, &plain(2 << 20)).await;
    assert_eq!(answer.code(), "BadDigest");
    assert_eq!(world.store_client("acme-files").get("wrong").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_body_that_shall_be_locked_has_its_md5_before_it() {
    for (payload, wanted) in [(Payload::Unsigned, true), (Payload::Trailer, false)] {
        let world = World::before(Dialect { payload, ..OTHER }).await;
        let seen: Arc<Mutex<Option<HeaderMap>>> = Arc::default();
        let noted = Arc::clone(&seen);
        world.lie(
            "acme",
            "k",
            Lie::instead(move |asked| {
                *noted.lock().unwrap() = Some(asked.headers.clone());
                Reply::new(StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code></Error>")
            }),
        );
        let locking = headers(&[
            ("x-amz-object-lock-mode", "GOVERNANCE"),
            ("x-amz-object-lock-retain-until-date", "2030-01-01T00:00:00Z"),
        ]);
        let answer = world.acme.send(Method::PUT, "k", locking, b"words").await;
        assert_eq!(answer.status(), 403);
        let seen = seen.lock().unwrap().take().unwrap();
        assert_eq!(seen["x-amz-object-lock-mode"], "GOVERNANCE");
        assert_eq!(seen.contains_key("content-md5"), wanted);
        assert_eq!(seen.contains_key("x-amz-trailer"), !wanted);
    }
}
