//! The client: raw hyper connections, each asking one thing after the other, signed as clients of S3 or Azure sign. It counts what
//! it gets and takes the time of it; an answer that is not whole and right is an error, and an error spoils the run.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, RANGE};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use portcullis::upstream::shared_key::AccountKey;
use portcullis::upstream::sigv4::{Credential, PayloadHash, SecretKey, Signer};
use rustls::pki_types::ServerName;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio_rustls::TlsConnector;

use super::{Problem, azure};

/// A request body goes out in frames of this many bytes.
const FRAME: usize = 128 * 1024;

/// What every written byte is.
pub(crate) const FILLING: u8 = 0x5a;

/// Who is asked, and how.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) host: String,
    pub(crate) tls: Option<TlsConnector>,
    /// The accounts that requests take turns for: one at least, and all of one wire.
    pub(crate) accounts: Vec<Arc<Account>>,
}

/// Which of the two is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Wire {
    S3,
    Azure,
}

/// A bucket or container, and what its requests are signed with, if they are.
pub(crate) struct Account {
    /// With Azure, the account that it is in stands before it.
    pub(crate) bucket: String,
    signs: Signs,
}

enum Signs {
    S3(Option<Signer>),
    Azure {
        account: String,
        key: Option<Box<AccountKey>>,
    },
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Get,
    Put,
    /// A part of an upload that was begun before and is never completed; with Azure a block.
    Part,
    /// 64 KiB from somewhere inside, each time elsewhere.
    Range,
    Head,
    List,
}

/// One kind of request, over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) kind: Kind,
    /// The object's size, in bytes.
    pub(crate) size: u64,
    pub(crate) connections: usize,
}

/// A range asks for this many bytes.
pub(crate) const RANGE_LEN: u64 = 64 * 1024;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    /// Bytes of content, without heads and framing.
    pub(crate) bytes: u64,
    pub(crate) elapsed: Duration,
    /// From before the request to behind the answer's last byte, ascending.
    pub(crate) latencies: Vec<Duration>,
    /// From before the request to the content's first byte (to the head, where there is none), ascending.
    pub(crate) first_bytes: Vec<Duration>,
    /// Answers with another status than they should have, or not whole.
    pub(crate) errors: u64,
    /// Requests before the measurement, of which nothing else is counted.
    pub(crate) warming: u64,
}

impl Account {
    /// One that signs for `bucket`.
    pub(crate) fn signed(bucket: &str, access_key: &str, secret: &str, region: &str) -> Result<Self, Problem> {
        let credential = Credential::new(access_key, SecretKey::new(secret)).map_err(Problem::new)?;
        Ok(Self {
            bucket: bucket.to_owned(),
            signs: Signs::S3(Some(Signer::new(Arc::new(credential), region, "s3"))),
        })
    }

    /// One that does not.
    pub(crate) fn open(bucket: &str) -> Self {
        Self {
            bucket: bucket.to_owned(),
            signs: Signs::S3(None),
        }
    }

    /// A container of an Azure account, signed for with its key where there is one.
    pub(crate) fn azure(account: &str, container: &str, key: Option<&str>) -> Result<Self, Problem> {
        Ok(Self {
            bucket: format!("{account}/{container}"),
            signs: Signs::Azure {
                account: account.to_owned(),
                key: key
                    .map(AccountKey::parse)
                    .transpose()
                    .map_err(Problem::new)?
                    .map(Box::new),
            },
        })
    }

    fn wire(&self) -> Wire {
        match self.signs {
            Signs::S3(_) => Wire::S3,
            Signs::Azure { .. } => Wire::Azure,
        }
    }
}

/// Where the object of a size lies. One PUT during a measurement goes to where nothing is kept.
pub(crate) fn key(kind: Kind, size: u64) -> String {
    match kind {
        Kind::Put | Kind::Part => format!("sink/{size}"),
        Kind::List => String::new(),
        Kind::Get | Kind::Range | Kind::Head => format!("keep/{size}"),
    }
}

/// Opens `work.connections`, lets each ask once, and then asks for `span`. `at_start` is called when all are ready.
pub(crate) async fn run<T>(
    target: &Target,
    work: Work,
    span: Duration,
    at_start: impl FnOnce() -> T + Send,
) -> Result<(Outcome, T), Problem> {
    let ready = Arc::new(Barrier::new(work.connections + 1));
    let begin = Arc::new(Barrier::new(work.connections + 1));
    let mut tasks = Vec::with_capacity(work.connections);
    for number in 0..work.connections {
        let (target, ready, begin) = (target.clone(), Arc::clone(&ready), Arc::clone(&begin));
        tasks.push(tokio::spawn(async move {
            let opened = open(&target, work, number).await;
            ready.wait().await;
            begin.wait().await;
            let (mut connection, warming) = opened?;
            let mut outcome = Outcome {
                warming,
                ..Outcome::default()
            };
            let until = Instant::now() + span;
            while Instant::now() < until {
                connection.ask(&mut outcome).await?;
            }
            Ok::<_, Problem>(outcome)
        }));
    }
    ready.wait().await;
    let at_start = at_start();
    let started = Instant::now();
    begin.wait().await;
    let mut whole = Outcome::default();
    for task in tasks {
        let part = task.await.map_err(Problem::new)??;
        whole.requests += part.requests;
        whole.bytes += part.bytes;
        whole.errors += part.errors;
        whole.warming += part.warming;
        whole.latencies.extend(part.latencies);
        whole.first_bytes.extend(part.first_bytes);
    }
    whole.elapsed = started.elapsed();
    whole.latencies.sort_unstable();
    whole.first_bytes.sort_unstable();
    Ok((whole, at_start))
}

/// One request of its own, outside of any measurement.
pub(crate) async fn once(target: &Target, work: Work, key: &str) -> Result<StatusCode, Problem> {
    let mut connection = Connection::open(target, work, 0).await?;
    key.clone_into(&mut connection.key);
    connection.status().await
}

/// The document that is the answer to one request of its own.
pub(crate) async fn document(target: &Target, work: Work) -> Result<String, Problem> {
    let mut connection = Connection::open(target, work, 0).await?;
    let request = connection.request()?;
    let answer = connection.sender.send_request(request).await.map_err(Problem::new)?;
    let body = answer.into_body().collect().await.map_err(Problem::new)?.to_bytes();
    String::from_utf8(body.into()).map_err(Problem::new)
}

/// The text that lies at `path`.
pub(crate) async fn text(target: &Target, path: &str) -> Result<String, Problem> {
    let stream = TcpStream::connect(target.address).await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(Problem::new)?;
    tokio::spawn(connection);
    let request = Request::builder().uri(path).header(HOST, &target.host);
    let request = request.body(String::new()).map_err(Problem::new)?;
    let answer = sender.send_request(request).await.map_err(Problem::new)?;
    let body = answer.into_body().collect().await.map_err(Problem::new)?.to_bytes();
    String::from_utf8(body.into()).map_err(Problem::new)
}

async fn open(target: &Target, work: Work, number: usize) -> Result<(Connection, u64), Problem> {
    let mut connection = Connection::open(target, work, number).await?;
    // Pools fill, leases begin, and what is written once is written.
    let mut unmeasured = Outcome::default();
    for _ in 0..target.accounts.len().div_ceil(work.connections) {
        connection.ask(&mut unmeasured).await?;
    }
    // The upload's beginning was one too.
    let begun = u64::from(!connection.upload.is_empty());
    Ok((connection, unmeasured.requests + begun))
}

/// One connection and what it asks.
pub(crate) struct Connection {
    sender: SendRequest<Repeated>,
    target: Target,
    work: Work,
    pub(crate) key: String,
    /// Which account is next, and where a range begins.
    turn: u64,
    piece: Bytes,
    /// The upload that parts belong to: one account's. Azure's blocks need none.
    upload: String,
}

impl Kind {
    /// Whether the content is the client's.
    fn writes(self) -> bool {
        matches!(self, Self::Put | Self::Part)
    }
}

impl Connection {
    pub(crate) async fn open(target: &Target, work: Work, number: usize) -> Result<Self, Problem> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        let sender = match &target.tls {
            None => {
                let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(Problem::new)?;
                tokio::spawn(connection);
                sender
            }
            Some(tls) => {
                let host = target.host.split(':').next().unwrap_or_default().to_owned();
                let name = ServerName::try_from(host).map_err(Problem::new)?;
                let stream = tls.connect(name, stream).await?;
                let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(Problem::new)?;
                tokio::spawn(connection);
                sender
            }
        };
        let len = if work.kind.writes() { work.size } else { 0 };
        let mut connection = Self {
            sender,
            target: target.clone(),
            work,
            key: key(work.kind, work.size),
            // Together the connections' first rounds meet every account.
            turn: (number * target.accounts.len().div_ceil(work.connections)) as u64,
            piece: vec![FILLING; FRAME.min(usize::try_from(len).unwrap_or(FRAME))].into(),
            upload: String::new(),
        };
        if work.kind == Kind::Part && connection.account().wire() == Wire::S3 {
            connection.begin_upload().await?;
        }
        Ok(connection)
    }

    async fn begin_upload(&mut self) -> Result<(), Problem> {
        let account = Arc::clone(self.account());
        let target = format!("/{}/{}?uploads", account.bucket, self.key);
        let request = self.signed(&account, Method::POST, target, 0)?;
        let answer = self.sender.send_request(request).await.map_err(Problem::new)?;
        let said = answer.into_body().collect().await.map_err(Problem::new)?.to_bytes();
        let said = String::from_utf8_lossy(&said);
        let id = said
            .split_once("<UploadId>")
            .and_then(|(_, rest)| rest.split_once("</UploadId>"));
        let (id, _) = id.ok_or_else(|| Problem::new("no upload was begun"))?;
        id.clone_into(&mut self.upload);
        Ok(())
    }

    /// Whose turn it is.
    fn account(&self) -> &Arc<Account> {
        let accounts = self.target.accounts.len() as u64;
        &self.target.accounts[usize::try_from(self.turn % accounts).unwrap_or(0)]
    }

    async fn ask(&mut self, into: &mut Outcome) -> Result<(), Problem> {
        let request = self.request()?;
        let (status, expected) = self.expected();
        self.sender.ready().await.map_err(Problem::new)?;
        let asked = Instant::now();
        let answer = self.sender.send_request(request).await.map_err(Problem::new)?;
        let right = answer.status() == status;
        let mut body = answer.into_body();
        let (mut first, mut received) = (None, 0_u64);
        while let Some(frame) = body.frame().await {
            first.get_or_insert_with(Instant::now);
            if let Ok(data) = frame.map_err(Problem::new)?.into_data() {
                received += data.len() as u64;
            }
        }
        let ended = Instant::now();
        let whole = expected.map_or(received > 0, |expected| expected == received);
        into.errors += u64::from(!(right && whole));
        into.requests += 1;
        into.bytes += if self.work.kind.writes() {
            self.work.size
        } else {
            received
        };
        into.latencies.push(ended - asked);
        into.first_bytes.push(first.unwrap_or(ended) - asked);
        Ok(())
    }

    /// Sends the request and returns once its answer's head and first bytes are there. What is left of the answer stays where
    /// it is until the returned body is read or dropped.
    pub(crate) async fn begin(&mut self) -> Result<hyper::body::Incoming, Problem> {
        let request = self.request()?;
        let answer = self.sender.send_request(request).await.map_err(Problem::new)?;
        if answer.status() != self.expected().0 {
            return Err(Problem::new(format!("{:?} answered {}", self.work, answer.status())));
        }
        let mut body = answer.into_body();
        let first = body.frame().await.transpose().map_err(Problem::new)?;
        first
            .map(|_| body)
            .ok_or_else(|| Problem::new("an answer without content"))
    }

    pub(crate) async fn status(&mut self) -> Result<StatusCode, Problem> {
        let request = self.request()?;
        self.sender.ready().await.map_err(Problem::new)?;
        let answer = self.sender.send_request(request).await.map_err(Problem::new)?;
        let status = answer.status();
        answer.into_body().collect().await.map_err(Problem::new)?;
        Ok(status)
    }

    /// The status of a good answer, and its content's length where that is known.
    fn expected(&self) -> (StatusCode, Option<u64>) {
        let azure = self.account().wire() == Wire::Azure;
        match self.work.kind {
            Kind::Get => (StatusCode::OK, Some(self.work.size)),
            Kind::Put | Kind::Part if azure => (StatusCode::CREATED, Some(0)),
            Kind::Put | Kind::Part | Kind::Head => (StatusCode::OK, Some(0)),
            Kind::Range => (StatusCode::PARTIAL_CONTENT, Some(RANGE_LEN.min(self.work.size))),
            Kind::List => (StatusCode::OK, None),
        }
    }

    fn request(&mut self) -> Result<Request<Repeated>, Problem> {
        self.turn += 1;
        let account = Arc::clone(self.account());
        let bucket = &account.bucket;
        let (method, target) = match self.work.kind {
            kind if account.wire() == Wire::Azure => azure::line(kind, bucket, &self.key),
            Kind::Get | Kind::Range => (Method::GET, format!("/{bucket}/{}", self.key)),
            Kind::Head => (Method::HEAD, format!("/{bucket}/{}", self.key)),
            Kind::Put => (Method::PUT, format!("/{bucket}/{}", self.key)),
            Kind::Part => {
                let upload = &self.upload;
                let target = format!("/{bucket}/{}?partNumber=1&uploadId={upload}", self.key);
                (Method::PUT, target)
            }
            Kind::List => (Method::GET, format!("/{bucket}?list-type=2&prefix=listing%2F")),
        };
        let len = if self.work.kind.writes() { self.work.size } else { 0 };
        self.signed(&account, method, target, len)
    }

    /// A request with so many bytes of content.
    fn signed(
        &self,
        account: &Account,
        method: Method,
        target: String,
        len: u64,
    ) -> Result<Request<Repeated>, Problem> {
        let body = Repeated {
            piece: self.piece.clone(),
            left: len,
        };
        let (mut parts, body) = Request::builder()
            .method(method)
            .uri(target)
            .header(HOST, &self.target.host)
            .body(body)
            .map_err(Problem::new)?
            .into_parts();
        if parts.method == Method::PUT {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
        }
        if self.work.kind == Kind::Range {
            // Steps that meet no boundary twice in a row, and end inside.
            let most = self.work.size.saturating_sub(RANGE_LEN);
            let first = self.turn.wrapping_mul(7_340_033).checked_rem(most).unwrap_or(0);
            let last = (first + RANGE_LEN).min(self.work.size) - 1;
            let range = HeaderValue::try_from(format!("bytes={first}-{last}")).map_err(Problem::new)?;
            parts.headers.insert(RANGE, range);
        }
        match &account.signs {
            Signs::S3(None) => {}
            Signs::S3(Some(signer)) => {
                let hash = if len > 0 {
                    PayloadHash::Unsigned
                } else {
                    PayloadHash::of(b"")
                };
                signer
                    .sign(&mut parts, hash, std::time::SystemTime::now())
                    .map_err(Problem::new)?;
            }
            Signs::Azure { account, key } => azure::sign(&mut parts, self.work.kind, account, key.as_deref())?,
        }
        Ok(Request::from_parts(parts, body))
    }
}

/// The same piece until enough has been sent: a body of any size in no memory.
pub(crate) struct Repeated {
    piece: Bytes,
    left: u64,
}

impl Body for Repeated {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.piece.len());
        self.left -= len as u64;
        Poll::Ready(Some(Ok(Frame::data(self.piece.slice(..len)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
