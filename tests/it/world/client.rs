//! An S3 client that signs, and shows what it got byte for byte: also of an answer that broke off.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, EXPECT, HOST, RANGE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use portcullis::telemetry::clock::Clock;
use portcullis::upstream::sigv4::{Credential, PayloadHash, Signer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

pub const REGION: &str = "us-east-1";

/// A client of one bucket.
pub struct Client {
    http: Http<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    credential: Arc<Credential>,
    signer: Signer,
    clock: Clock,
    bucket: String,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// None if the connection broke before.
    status: Option<StatusCode>,
    pub headers: HeaderMap,
    /// As much of it as came.
    pub body: Bytes,
    /// Whether the body came to its end.
    pub whole: bool,
}

impl Client {
    pub fn new(address: SocketAddr, credential: Credential, clock: Clock, bucket: &str) -> Self {
        let credential = Arc::new(credential);
        Self {
            http: Http::builder(TokioExecutor::new()).build_http(),
            address,
            signer: Signer::new(Arc::clone(&credential), REGION, "s3"),
            credential,
            clock,
            bucket: bucket.to_owned(),
        }
    }

    /// Another client of the same bucket.
    pub fn with(&self, credential: Credential) -> Self {
        Self::new(self.address, credential, self.clock.clone(), &self.bucket)
    }

    /// The same client, of another bucket.
    pub fn at(&self, bucket: &str) -> Self {
        Self {
            http: self.http.clone(),
            address: self.address,
            credential: Arc::clone(&self.credential),
            signer: Signer::new(Arc::clone(&self.credential), REGION, "s3"),
            clock: self.clock.clone(),
            bucket: bucket.to_owned(),
        }
    }

    pub fn credential(&self) -> Arc<Credential> {
        Arc::clone(&self.credential)
    }

    /// PutObject, which must be done.
    pub async fn put(&self, key: &str, body: &[u8]) {
        let answer = self.send(Method::PUT, key, HeaderMap::new(), body).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
    }

    pub async fn make_bucket(&self) {
        let answer = self.send(Method::PUT, "", HeaderMap::new(), b"").await;
        assert_eq!(answer.status(), 200, "{answer:?}");
    }

    /// GetObject; with `?` in the key, of that query; of the empty key, the bucket's listing.
    pub async fn get(&self, key: &str) -> Answer {
        self.send(Method::GET, key, HeaderMap::new(), b"").await
    }

    /// GetObject of a range, as `first-last` and its like.
    pub async fn get_range(&self, key: &str, range: &str) -> Answer {
        let range = HeaderValue::try_from(format!("bytes={range}")).unwrap();
        let headers = HeaderMap::from_iter([(RANGE, range)]);
        self.send(Method::GET, key, headers, b"").await
    }

    pub async fn head(&self, key: &str) -> Answer {
        self.send(Method::HEAD, key, HeaderMap::new(), b"").await
    }

    /// One request, signed with everything in it.
    pub async fn send(&self, method: Method, key: &str, headers: HeaderMap, body: &[u8]) -> Answer {
        self.send_as(method, key, headers, body, PayloadHash::of(body)).await
    }

    /// A form for the bucket, as a browser posts it: what is signed of it stands in its fields.
    pub async fn post(&self, headers: HeaderMap, form: Vec<u8>) -> Answer {
        let mut request = Request::post(format!("http://{}/{}", self.address, self.bucket));
        request.headers_mut().unwrap().extend(headers);
        let request = request.body(Full::new(Bytes::from(form))).unwrap();
        Answer::collect(self.http.request(request).await.unwrap()).await
    }

    /// One request whose signature says this of its body.
    pub async fn send_as(
        &self,
        method: Method,
        key: &str,
        headers: HeaderMap,
        body: &[u8],
        payload: PayloadHash,
    ) -> Answer {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = method;
        parts.headers = headers;
        if parts.method == Method::PUT {
            // Also of an empty body: S3 wants it said.
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        self.sign(&mut parts, key, payload);
        let body = Full::new(Bytes::copy_from_slice(body));
        match self.http.request(Request::from_parts(parts, body)).await {
            Ok(answer) => Answer::collect(answer).await,
            Err(error) => {
                println!("no answer to {key}: {error:?}");
                Answer::default()
            }
        }
    }

    /// Begins a GET on a connection of its own with a small window, and reads its head and no more.
    pub async fn begin_get(&self, key: &str) -> Stalled {
        let stream = self.ask(Method::GET, key, None).await;
        Stalled::unread(stream).head(200).await
    }

    /// Begins a PUT of `len` bytes on a connection of its own, sends these, and no more.
    pub async fn begin_put(&self, key: &str, len: usize, first: &[u8]) -> Stalled {
        let mut stream = self.ask(Method::PUT, key, Some(len)).await;
        stream.write_all(first).await.unwrap();
        Stalled::unread(stream)
    }

    /// Begins a PUT that waits to be told to send its body (`Expect: 100-continue`), and gives the first head that comes back: an
    /// interim one, or the answer itself.
    pub async fn expect_put(&self, key: &str, len: usize, headers: HeaderMap) -> String {
        let mut headers = headers;
        headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
        let mut stream = self.ask_with(Method::PUT, key, Some(len), headers).await;
        let mut got = Vec::new();
        while !got.windows(4).any(|end| end == b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut got).await.unwrap(), 0, "no head");
        }
        String::from_utf8_lossy(&got).into_owned()
    }

    async fn ask(&self, method: Method, key: &str, len: Option<usize>) -> TcpStream {
        self.ask_with(method, key, len, HeaderMap::new()).await
    }

    async fn ask_with(&self, method: Method, key: &str, len: Option<usize>, headers: HeaderMap) -> TcpStream {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = method;
        parts.headers = headers;
        if let Some(len) = len {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
        }
        self.sign(&mut parts, key, PayloadHash::Unsigned);
        send_head(self.address, &parts).await
    }

    fn sign(&self, parts: &mut Parts, key: &str, payload: PayloadHash) {
        let slash = if key.is_empty() || key.starts_with('?') {
            ""
        } else {
            "/"
        };
        let target = format!("http://{}/{}{slash}{key}", self.address, self.bucket);
        parts.uri = target.parse().unwrap();
        let host = HeaderValue::try_from(self.address.to_string()).unwrap();
        parts.headers.insert(HOST, host);
        let now = self.clock.now().system_time();
        self.signer.sign(parts, payload, now).unwrap();
    }
}

/// Sends a request's head on a connection of its own, with a small window.
pub(super) async fn send_head(to: SocketAddr, parts: &Parts) -> TcpStream {
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut head = format!("{} {target} HTTP/1.1\r\n", parts.method);
    for (name, value) in &parts.headers {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    stream
}

impl Answer {
    /// The status; 0 if none came.
    pub fn status(&self) -> u16 {
        self.status.map_or(0, |status| status.as_u16())
    }

    /// The code in an error's XML; empty if there is none.
    pub fn code(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let code = text
            .split_once("<Code>")
            .and_then(|(_, rest)| rest.split_once("</Code>"));
        code.map_or(String::new(), |(code, _)| code.to_owned())
    }

    /// Whether this is success, with these bytes and all of them.
    pub fn is(&self, plain: &[u8]) -> bool {
        self.status.is_some_and(|status| status.is_success()) && self.whole && self.body == plain
    }

    pub(super) async fn collect(answer: http::Response<hyper::body::Incoming>) -> Self {
        let (parts, mut body) = answer.into_parts();
        let mut got = BytesMut::new();
        let whole = loop {
            match body.frame().await {
                Some(Ok(frame)) => got.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Some(Err(_)) => break false,
                None => break true,
            }
        };
        Self {
            status: Some(parts.status),
            headers: parts.headers,
            body: got.freeze(),
            whole,
        }
    }
}

/// A request under way whose client neither sends nor reads.
pub struct Stalled {
    stream: TcpStream,
    got: Vec<u8>,
}

impl Stalled {
    /// What was sent on this connection, and nothing read yet.
    pub(super) fn unread(stream: TcpStream) -> Self {
        let got = Vec::new();
        Self { stream, got }
    }

    /// Reads the head of the answer, which must be this status's, and no more.
    pub async fn head(mut self, status: u16) -> Self {
        while !self.got.windows(4).any(|end| end == b"\r\n\r\n") {
            assert_ne!(self.stream.read_buf(&mut self.got).await.unwrap(), 0, "no head");
        }
        let got = String::from_utf8_lossy(&self.got);
        assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{got}");
        self
    }

    /// Sends on.
    pub async fn send(mut self, more: &[u8]) -> Self {
        self.stream.write_all(more).await.unwrap();
        self
    }

    /// Reads again, to the end: all that came after the head, or before the connection broke.
    pub async fn finish(mut self) -> (Vec<u8>, io::Result<()>) {
        let head = |got: &[u8]| got.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4);
        loop {
            if let Some(start) = head(&self.got)
                && let Some(len) = announced(&self.got[..start])
                && self.got.len() >= start + len
            {
                return (self.got.split_off(start), Ok(()));
            }
            match self.stream.read_buf(&mut self.got).await {
                Ok(0) => return (self.got, Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) => return (self.got, Err(error)),
            }
        }
    }
}

fn announced(head: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let (_, rest) = text.split_once("content-length: ")?;
    rest.split_once("\r\n")?.0.parse().ok()
}
