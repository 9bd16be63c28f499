//! The clients of one gate, each on raw connections, and what they saw and when: of acme a download that runs all the time and small
//! reads, in threads of their own, and writes; of globex small reads.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use portcullis::upstream::sigv4::{Credential, PayloadHash, SecretKey, Signer};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Problem;
use crate::lane::{SECRET, TENANTS};
use crate::reader::{Habit, Reader, Running};

/// What the running download reads: it takes about twenty seconds.
const LONG: usize = 8 << 20;
const SMALL: usize = 16 * 1024;
/// The download takes this much of each read, and then rests: slow enough that many can run side by side.
const SIP: Duration = Duration::from_millis(25);
const DOWNLOAD: Habit = Habit {
    key: "long",
    sip: Some(SIP),
    pause: Duration::from_millis(50),
    tells: false,
};
const SMALL_READS: Habit = Habit {
    key: "small",
    sip: None,
    pause: Duration::from_millis(50),
    tells: true,
};
/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(30);

/// Something a client saw.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// So much plaintext of acme's was read, of which nothing was there when its reader looked last.
    Bytes { len: usize, since: Instant },
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
    _readers: [Running; 2],
}

impl Load {
    /// They begin to ask.
    pub(crate) fn begin(gate: SocketAddr) -> Result<Self, Problem> {
        let seen = Seen::default();
        let mut clients = JoinSet::new();
        let [acme, globex] = TENANTS;
        let read = |habit| Reader::new(gate, Signing::new(gate, acme)?, Arc::clone(&seen)).begin(habit);
        let readers = [read(DOWNLOAD)?, read(SMALL_READS)?];
        clients.spawn(writes(Client::new(gate, acme)?, Arc::clone(&seen)));
        clients.spawn(neighbour(Client::new(gate, globex)?, Arc::clone(&seen)));
        Ok(Self {
            seen,
            _clients: clients,
            _readers: readers,
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

pub(crate) fn note(seen: &Seen, what: What) {
    seen.lock().unwrap().push((Instant::now(), what));
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
    loop {
        let began = Instant::now();
        match client.get("small").await {
            Ok(StatusCode::OK) => note(&seen, What::Neighbour(began.elapsed())),
            Ok(_) | Err(_) => note(&seen, What::NeighbourRefused),
        }
        sleep(Duration::from_millis(40)).await;
    }
}

/// Requests of one tenant's, signed as S3 clients sign.
pub(crate) struct Signing {
    gate: SocketAddr,
    bucket: String,
    signer: Signer,
}

impl Signing {
    pub(crate) fn new(gate: SocketAddr, tenant: &str) -> Result<Self, Problem> {
        let credential = Credential::new(format!("BENCH{tenant}"), SecretKey::new(SECRET)).map_err(Problem::new)?;
        Ok(Self {
            gate,
            bucket: format!("{tenant}-files"),
            signer: Signer::new(Arc::new(credential), "us-east-1", "s3"),
        })
    }

    /// The head of a GET, as it goes over the wire.
    pub(crate) fn head(&self, key: &str) -> Result<String, Problem> {
        let (parts, _) = self.request(Method::GET, key, Bytes::new())?.into_parts();
        let mut head = format!("GET {} HTTP/1.1\r\n", parts.uri.path());
        for (name, value) in &parts.headers {
            let _ = write!(head, "{name}: {}\r\n", value.to_str().map_err(Problem::new)?);
        }
        Ok(head + "\r\n")
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

/// One connection at a time.
pub(crate) struct Client {
    signing: Signing,
    open: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub(crate) fn new(gate: SocketAddr, tenant: &str) -> Result<Self, Problem> {
        Ok(Self {
            signing: Signing::new(gate, tenant)?,
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
        self.ask(Method::PUT, key, vec![0x5a; len].into()).await
    }

    async fn get(&mut self, key: &str) -> Result<StatusCode, Problem> {
        self.ask(Method::GET, key, Bytes::new()).await
    }

    async fn ask(&mut self, method: Method, key: &str, body: Bytes) -> Result<StatusCode, Problem> {
        let mut sender = match self.open.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let request = self.signing.request(method, key, body)?;
        let answered = timeout(PATIENCE, async {
            sender.ready().await.map_err(Problem::new)?;
            sender.send_request(request).await.map_err(Problem::new)
        });
        let answer = answered.await.map_err(Problem::new)??;
        let status = answer.status();
        let mut content = answer.into_body();
        while let Some(frame) = timeout(PATIENCE, content.frame()).await.map_err(Problem::new)? {
            frame.map_err(Problem::new)?;
        }
        self.open = Some(sender);
        Ok(status)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Problem> {
        let stream = TcpStream::connect(self.signing.gate).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(Problem::new)?;
        tokio::spawn(connection);
        Ok(sender)
    }
}
