//! What a form's body may look like: whole, in whatever pieces it comes, and as none should be.

use proptest::prelude::*;

use super::*;

#[tokio::test]
async fn what_is_no_form_is_refused() {
    let sent = Sent::new(&[("key", "k")]);
    let body = String::from_utf8(sent.body()).unwrap();
    let malformed = "MalformedPOSTRequest";
    for (body, code) in [
        (String::new(), malformed),
        ("nonsense".to_owned(), malformed),
        ("--xyz--\r\n".to_owned(), "InvalidArgument"),
        (body.replace("name=\"file\"", "name=\"fyle\""), "InvalidArgument"),
        (body.replace("name=\"key\"", "nome=\"key\""), malformed),
        (body.replace("--xyz\r\n", "--xyzz\r\n"), malformed),
        (body.replace("\r\n--xyz--", ""), malformed),
        (body.replace("--xyz--", "--xyz-other\r\n--xyz--"), malformed),
        (
            body.replace("\r\n\r\nk\r\n", &format!("\r\n\r\n{}\r\n", "k".repeat(21_000))),
            "MaxPostPreDataLengthExceededError",
        ),
        (
            body.replace("; filename", &format!("{}; filename", ";".repeat(21_000))),
            "MaxPostPreDataLengthExceededError",
        ),
        ("x".repeat(21_000), "MaxPostPreDataLengthExceededError"),
    ] {
        for pieces in [1, 7, 1 << 16] {
            let (status, found) = refusal(post(body.as_bytes(), pieces, "b").await);
            assert_eq!(
                (status, found.as_str()),
                (StatusCode::BAD_REQUEST, code),
                "{pieces}: {body:.80}"
            );
        }
    }
}

#[tokio::test]
async fn the_head_says_that_it_is_a_form() {
    let ask = async |headers: &[(&str, &str)]| {
        let mut request = Request::post("/b");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let body = http_body_util::Full::new(Bytes::from_static(b"key=k"));
        let answer = form(&parts, "b", body, &authenticator(), now()).await;
        answer.err().unwrap().status()
    };
    assert_eq!(ask(&[]).await, StatusCode::PRECONDITION_FAILED);
    let other = ask(&[("content-type", "application/x-www-form-urlencoded")]).await;
    assert_eq!(other, StatusCode::PRECONDITION_FAILED);
    assert_eq!(
        ask(&[("content-type", "multipart/form-data")]).await,
        StatusCode::BAD_REQUEST
    );
    let form_type = ("content-type", "multipart/form-data; boundary=xyz");
    let twice = ask(&[form_type, ("authorization", "AWS A:B")]).await;
    assert_eq!(twice, StatusCode::BAD_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_falls_silent_is_given_up() {
    let start = Sent::new(&[("key", "k")]).body();
    let frames = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from(start).slice(..120)))]);
    let body = StreamBody::new(futures_util::StreamExt::chain(frames, stream::pending()));
    let request = Request::post("/b").header("content-type", "multipart/form-data; boundary=xyz");
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let answer = form(&parts, "b", body, &authenticator(), now()).await;
    assert!(matches!(
        answer.err(),
        Some(S3Error::Post(PostError::Body(Stopped::Silent)))
    ));
}

#[tokio::test]
async fn what_follows_the_file_is_ignored() {
    let mut sent = Sent::new(&[("key", "k")]);
    sent.behind = "--xyz\r\nContent-Disposition: form-data; name=\"acl\"\r\n\r\npublic-read\r\n--xyz--\r\n".to_owned();
    let taken = sent.post().await.unwrap();
    assert_eq!((taken.headers.len(), &*taken.file), (0, &b"bar"[..]));
    let preamble = [b"This is a form.\r\n", sent.body().as_slice()].concat();
    assert_eq!(post(&preamble, 5, "b").await.unwrap().file, b"bar");
}

proptest! {
    #[test]
    fn a_file_is_the_same_however_it_comes(
        parts in prop::collection::vec(
            prop::sample::select(vec!["\r\n", "\r", "\n", "-", "--", "--xy", "\r\n--xy", "\r\n--", "xyz", "z", "data", "\0"]),
            0..30,
        ),
        pieces in 1_usize..40,
    ) {
        let file = parts.concat();
        prop_assume!(!format!("\r\n{file}\r\n").contains("\r\n--xyz"));
        let mut sent = Sent::new(&[("key", "k")]);
        sent.file = file.clone().into_bytes();
        sent.pieces = pieces;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let taken = runtime.block_on(sent.post()).unwrap();
        prop_assert_eq!(taken.file, file.into_bytes());
    }

    #[test]
    fn no_body_makes_it_panic(body in prop::collection::vec(
        prop::sample::select(vec!["--xyz", "\r\n", "--", "Content-Disposition: form-data; name=", "\"", "key", "file", ";", ":", "\\", "=", "policy"]),
        0..40,
    ), pieces in 1_usize..40) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _ = runtime.block_on(post(body.concat().as_bytes(), pieces, "b"));
    }
}
