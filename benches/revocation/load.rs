//! The clients of one gate, each on raw connections, and what they saw and when: of acme a download that runs all the time, small reads
//! and writes; of globex small reads.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use portcullis::upstream::sigv4::{Credential, PayloadHash, SecretKey, Signer};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Problem;
use crate::lane::{SECRET, TENANTS};

/// What the running download reads: it takes about twenty seconds.
const LONG: usize = 8 << 20;
const SMALL: usize = 16 * 1024;
/// The download takes this much of each read, and then rests: slow enough that many can run side by side.
const SIP: Duration = Duration::from_millis(25);
/// What the kernel may hold of the download before it is read, in bytes (Linux doubles it): what lies there is the client's own.
const RECEIVE_BUFFER: u32 = 8 * 1024;
/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(30);

/// Something a client saw.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// So much plaintext of acme's was read.
    Bytes(usize),
    /// acme was refused something.
    Refused,
    /// acme was served a small object, asked for then.
    Served(Instant),
    /// A write of acme's, begun then, was taken.
    Taken(Instant),
    /// globex was served within this time.
    Neighbour(Duration),
    /// globex was not.
    NeighbourRefused,
}

/// What was seen at one gate.
pub(crate) type Seen = Arc<Mutex<Vec<(Instant, What)>>>;

/// The clients of one gate; they stop when dropped.
pub(crate) struct Load {
    seen: Seen,
    _clients: JoinSet<()>,
}

impl Load {
    /// They begin to ask.
    pub(crate) fn begin(gate: SocketAddr) -> Result<Self, Problem> {
        let seen = Seen::default();
        let mut clients = JoinSet::new();
        let [acme, globex] = TENANTS;
        clients.spawn(download(Client::new(gate, acme)?, Arc::clone(&seen)));
        clients.spawn(reads(Client::new(gate, acme)?, Arc::clone(&seen)));
        clients.spawn(writes(Client::new(gate, acme)?, Arc::clone(&seen)));
        clients.spawn(neighbour(Client::new(gate, globex)?, Arc::clone(&seen)));
        Ok(Self {
            seen,
            _clients: clients,
        })
    }

    /// What was seen since.
    pub(crate) fn since(&self, then: Instant) -> Vec<(Instant, What)> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|(at, _)| *at >= then).copied().collect()
    }

    /// The last that `wanted` finds, not before `then`. It looks from the end: what is asked for often lies there.
    pub(crate) fn last(&self, then: Instant, wanted: impl Fn(&What) -> bool) -> Option<Instant> {
        let seen = self.seen.lock().unwrap();
        let mut late = seen.iter().rev().take_while(|(at, _)| *at >= then);
        late.find(|(_, what)| wanted(what)).map(|(at, _)| *at)
    }

    /// The first that `wanted` finds from `then` on.
    pub(crate) fn first(&self, then: Instant, wanted: impl Fn(&What) -> bool) -> Option<Instant> {
        let seen = self.seen.lock().unwrap();
        let late = seen.iter().rev().take_while(|(at, _)| *at >= then);
        late.filter(|(_, what)| wanted(what)).last().map(|(at, _)| *at)
    }

    /// Forgets what was seen before.
    pub(crate) fn forget(&self, before: Instant) {
        self.seen.lock().unwrap().retain(|(at, _)| *at >= before);
    }
}

fn note(seen: &Seen, what: What) {
    seen.lock().unwrap().push((Instant::now(), what));
}

async fn download(mut client: Client, seen: Seen) {
    loop {
        if client
            .get("long", Some(SIP), &seen)
            .await
            .is_ok_and(|status| !status.is_success())
        {
            note(&seen, What::Refused);
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn reads(mut client: Client, seen: Seen) {
    loop {
        let began = Instant::now();
        match client.get("small", None, &seen).await {
            Ok(StatusCode::OK) => note(&seen, What::Served(began)),
            Ok(_) => note(&seen, What::Refused),
            // Cut: what comes next tells.
            Err(_) => {}
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn writes(mut client: Client, seen: Seen) {
    loop {
        let began = Instant::now();
        match client.put("sink/small", SMALL).await {
            Ok(StatusCode::OK) => note(&seen, What::Taken(began)),
            Ok(_) => note(&seen, What::Refused),
            Err(_) => {}
        }
        sleep(Duration::from_millis(250)).await;
    }
}

async fn neighbour(mut client: Client, seen: Seen) {
    // Its own reads are no plaintext of acme's.
    let aside = Seen::default();
    loop {
        let began = Instant::now();
        match client.get("small", None, &aside).await {
            Ok(StatusCode::OK) => note(&seen, What::Neighbour(began.elapsed())),
            Ok(_) | Err(_) => note(&seen, What::NeighbourRefused),
        }
        aside.lock().unwrap().clear();
        sleep(Duration::from_millis(40)).await;
    }
}

/// One connection at a time, signed as S3 clients sign.
pub(crate) struct Client {
    gate: SocketAddr,
    bucket: String,
    signer: Signer,
    open: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub(crate) fn new(gate: SocketAddr, tenant: &str) -> Result<Self, Problem> {
        let credential = Credential::new(format!("BENCH{tenant}"), SecretKey::new(SECRET)).map_err(Problem::new)?;
        Ok(Self {
            gate,
            bucket: format!("{tenant}-files"),
            signer: Signer::new(Arc::new(credential), "us-east-1", "s3"),
            open: None,
        })
    }

    /// Stores what is read later.
    pub(crate) async fn store(&mut self) -> Result<(), Problem> {
        for (key, len) in [("long", LONG), ("small", SMALL)] {
            match self.put(key, len).await? {
                StatusCode::OK => {}
                status => return Err(Problem::new(format!("{key} could not be stored: {status}"))),
            }
        }
        Ok(())
    }

    async fn put(&mut self, key: &str, len: usize) -> Result<StatusCode, Problem> {
        self.ask(Method::PUT, key, vec![0x5a; len].into(), None, &Seen::default())
            .await
    }

    /// Reads an object; every piece of a good answer is noted as it is read.
    async fn get(&mut self, key: &str, rest: Option<Duration>, seen: &Seen) -> Result<StatusCode, Problem> {
        self.ask(Method::GET, key, Bytes::new(), rest, seen).await
    }

    async fn ask(
        &mut self,
        method: Method,
        key: &str,
        body: Bytes,
        rest: Option<Duration>,
        seen: &Seen,
    ) -> Result<StatusCode, Problem> {
        let mut sender = match self.open.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => self.connect(rest.is_some()).await?,
        };
        let request = self.request(method, key, body)?;
        let answered = timeout(PATIENCE, async {
            sender.ready().await.map_err(Problem::new)?;
            sender.send_request(request).await.map_err(Problem::new)
        });
        let answer = answered.await.map_err(Problem::new)??;
        let status = answer.status();
        let mut content = answer.into_body();
        while let Some(frame) = timeout(PATIENCE, content.frame()).await.map_err(Problem::new)? {
            if let Ok(data) = frame.map_err(Problem::new)?.into_data()
                && status.is_success()
                && !data.is_empty()
            {
                note(seen, What::Bytes(data.len()));
            }
            if let Some(rest) = rest {
                sleep(rest).await;
            }
        }
        self.open = Some(sender);
        Ok(status)
    }

    async fn connect(&self, slow: bool) -> Result<SendRequest<Full<Bytes>>, Problem> {
        let socket = TcpSocket::new_v4()?;
        if slow {
            socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        }
        let stream = socket.connect(self.gate).await?;
        stream.set_nodelay(true)?;
        let mut builder = Builder::new();
        builder.max_buf_size(16 * 1024);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(Problem::new)?;
        tokio::spawn(connection);
        Ok(sender)
    }

    fn request(&self, method: Method, key: &str, body: Bytes) -> Result<Request<Full<Bytes>>, Problem> {
        let hash = match method {
            Method::PUT => PayloadHash::Unsigned,
            _ => PayloadHash::of(b""),
        };
        let len = HeaderValue::from(body.len());
        let (mut parts, body) = Request::builder()
            .uri(format!("/{}/{key}", self.bucket))
            .header(HOST, self.gate.to_string())
            .body(Full::new(body))
            .map_err(Problem::new)?
            .into_parts();
        if method == Method::PUT {
            parts.headers.insert(CONTENT_LENGTH, len);
        }
        parts.method = method;
        self.signer
            .sign(&mut parts, hash, std::time::SystemTime::now())
            .map_err(Problem::new)?;
        Ok(Request::from_parts(parts, body))
    }
}
