//! How connections end: whole answers cleanly, everything else by a reset that no client takes for the end of an answer.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use portcullis::dev::authority::Authority;
use portcullis::gateway::{AnswerBody, Connection, CutGuard};
use portcullis::listener::{Listener, ListenerOptions};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::{TlsConnector, client};
use tokio_util::sync::CancellationToken;

const FRAME: usize = 64 * 1024;
const SEND_BUFFER: u32 = 32 * 1024;
/// Longer than any test: a drain that waits for it hangs the test.
const FOREVER: Duration = Duration::from_secs(3600);
const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: gate\r\n\r\n";

struct Gate {
    address: SocketAddr,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

fn options() -> ListenerOptions {
    ListenerOptions {
        address: ([127, 0, 0, 1], 0).into(),
        tls: None,
        max_connections: 16,
        send_buffer: SEND_BUFFER,
        drain: FOREVER,
    }
}

fn gate<F, A>(options: ListenerOptions, answer: F) -> Gate
where
    F: Fn(Request<Incoming>, Connection) -> A + Send + Sync + 'static,
    A: Future<Output = Response<AnswerBody>> + Send + 'static,
{
    let listener = Listener::bind(options).unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(listener.run(answer, shutdown.clone()));
    Gate {
        address,
        shutdown,
        running,
    }
}

impl Gate {
    /// Connects with a small window, so that little fits between the gate and a client that does not read.
    async fn connect(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap();
    }
}

/// Frames without end, as long as the lease runs; tells of its end.
struct Endless {
    _guard: CutGuard,
    given: mpsc::UnboundedSender<usize>,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let _ = self.given.send(FRAME);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[7; FRAME])))))
    }
}

/// Some frames, and then what is given last.
fn frames(frames: usize, last: Option<io::Error>) -> AnswerBody {
    let frames = (0..frames).map(|_| Ok(Frame::data(Bytes::from_static(&[7; FRAME]))));
    let all: Vec<_> = frames.chain(last.map(Err)).collect();
    http_body_util::StreamBody::new(futures_util::stream::iter(all)).boxed_unsync()
}

fn full(text: &'static str) -> AnswerBody {
    Full::new(Bytes::from_static(text.as_bytes()))
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn failed() -> io::Error {
    io::Error::other("a chunk does not open")
}

/// Reads to the end, whatever it is.
async fn drained(stream: &mut (impl AsyncRead + Unpin)) -> (Vec<u8>, io::Result<()>) {
    let mut read = Vec::new();
    let end = stream.read_to_end(&mut read).await.map(|_| ());
    (read, end)
}

fn is_reset(end: &io::Result<()>) -> bool {
    end.as_ref()
        .is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

/// A certificate for the gate, and a client that trusts it.
fn tls() -> (Arc<rustls::ServerConfig>, TlsConnector) {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    let dir = std::env::temp_dir().join(format!("portcullis-listener-{}-{number}", std::process::id()));
    let authority = Authority::open_or_create(&dir).unwrap();
    let server = authority.issue(&["localhost"]).unwrap().server_config().unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap())
        .unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), TlsConnector::from(Arc::new(client)))
}

async fn shake_hands(connector: &TlsConnector, stream: TcpStream) -> client::TlsStream<TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    connector.connect(name, stream).await.unwrap()
}

/// Asks, reads nothing until the lease has ended and the gate has let go, and then all there is.
async fn stalled_client_is_reset<S: AsyncRead + AsyncWrite + Unpin>(
    mut client: S,
    lease: &CancellationToken,
    given: &mut mpsc::UnboundedReceiver<usize>,
) {
    client.write_all(GET).await.unwrap();
    // More than the two sockets hold, so by now the gate waits for the client.
    let mut opened = 0;
    while opened < 3 * FRAME {
        opened += given.recv().await.unwrap();
    }
    lease.cancel();
    // Ends when the body is dropped: without a byte read by the client.
    while let Some(more) = given.recv().await {
        opened += more;
    }
    let (read, end) = drained(&mut client).await;
    assert!(is_reset(&end), "{end:?}");
    assert!(read.len() < opened, "{} of {opened} bytes", read.len());
    // Its own window, and nothing of the gate's send buffer.
    assert!(read.len() <= 2 * FRAME, "{} bytes arrived", read.len());
}

/// A gate with a body that runs while the lease does.
fn endless(options: ListenerOptions) -> (Gate, CancellationToken, mpsc::UnboundedReceiver<usize>) {
    let lease = CancellationToken::new();
    let (given, told) = mpsc::unbounded_channel();
    let (held, given) = (lease.clone(), std::sync::Mutex::new(Some(given)));
    let gate = gate(options, move |_, connection| {
        let body = Endless {
            _guard: connection.cut_when(held.clone()),
            given: given.lock().unwrap().take().unwrap(),
        };
        async move { Response::new(body.boxed_unsync()) }
    });
    (gate, lease, told)
}

#[tokio::test]
async fn ended_lease_resets_a_client_that_does_not_read() {
    let (gate, lease, mut given) = endless(options());
    let client = gate.connect().await;
    stalled_client_is_reset(client, &lease, &mut given).await;
    gate.stop().await;
}

#[tokio::test]
async fn ended_lease_resets_a_client_over_tls_without_a_clean_end() {
    let (server, connector) = tls();
    let (gate, lease, mut given) = endless(ListenerOptions {
        tls: Some(server),
        ..options()
    });
    let client = shake_hands(&connector, gate.connect().await).await;
    stalled_client_is_reset(client, &lease, &mut given).await;
    gate.stop().await;
}

/// An answer that is whole at once, and holds its lease as long as hyper holds the body.
struct Short {
    _guard: Option<CutGuard>,
    bytes: Option<Bytes>,
    dropped: mpsc::UnboundedSender<()>,
}

impl Body for Short {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

impl Drop for Short {
    fn drop(&mut self) {
        let _ = self.dropped.send(());
    }
}

/// A gate whose first answer, of this many bytes, hangs on the lease; later ones don't.
fn short(len: usize) -> (Gate, CancellationToken, mpsc::UnboundedReceiver<()>) {
    let lease = CancellationToken::new();
    let (dropped, told) = mpsc::unbounded_channel();
    let held = std::sync::Mutex::new(Some(lease.clone()));
    let gate = gate(options(), move |_, connection| {
        let body = Short {
            _guard: held.lock().unwrap().take().map(|lease| connection.cut_when(lease)),
            bytes: Some(vec![7; len].into()),
            dropped: dropped.clone(),
        };
        async move { Response::new(body.boxed_unsync()) }
    });
    (gate, lease, told)
}

#[tokio::test]
async fn ended_lease_cuts_an_answer_that_is_made_but_has_not_left() {
    const LEN: usize = 1024 * 1024;
    let (gate, lease, mut dropped) = short(LEN);
    let mut client = gate.connect().await;
    client.write_all(GET).await.unwrap();
    // hyper holds the rest of it: more than the two sockets do.
    dropped.recv().await.unwrap();
    lease.cancel();
    gate.stop().await;
    let (read, end) = drained(&mut client).await;
    assert!(is_reset(&end) && read.len() < LEN / 2, "{end:?} after {}", read.len());
}

#[tokio::test]
async fn ended_lease_spares_a_connection_whose_answer_has_left() {
    let (gate, lease, mut dropped) = short(100);
    let mut client = gate.connect().await;
    for _ in 0..3 {
        client.write_all(GET).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(&[7; 100]) {
            assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0);
        }
        dropped.recv().await.unwrap();
        lease.cancel();
    }
    drop(client);
    gate.stop().await;
}

#[tokio::test]
async fn failed_answer_ends_in_a_reset() {
    let gate = gate(options(), |request, _| async move {
        let mut answer = Response::new(frames(3, Some(failed())));
        if request.uri().path() == "/sized" {
            answer.headers_mut().insert("content-length", (4 * FRAME).into());
        }
        answer
    });
    for head in [
        "GET / HTTP/1.1\r\nhost: gate\r\n\r\n",
        "GET /sized HTTP/1.1\r\nhost: gate\r\n\r\n",
        // Ended by the connection's end: a clean one would make the answer look whole.
        "GET / HTTP/1.0\r\n\r\n",
    ] {
        let mut client = gate.connect().await;
        client.write_all(head.as_bytes()).await.unwrap();
        let (read, end) = drained(&mut client).await;
        assert!(is_reset(&end), "{head}: {end:?}");
        assert!(!read.ends_with(b"0\r\n\r\n"), "{head}");
    }
    gate.stop().await;
}

#[tokio::test]
async fn answer_shorter_than_it_says_ends_in_a_reset() {
    let gate = gate(options(), |_, _| async {
        let mut answer = Response::new(frames(3, None));
        answer.headers_mut().insert("content-length", (4 * FRAME).into());
        answer
    });
    let mut client = gate.connect().await;
    client.write_all(GET).await.unwrap();
    let (_, end) = drained(&mut client).await;
    assert!(is_reset(&end), "{end:?}");
    gate.stop().await;
}

#[tokio::test]
async fn client_that_still_sends_gets_the_refusal() {
    let gate = gate(options(), |_, _| async {
        let mut answer = Response::new(full("refused"));
        *answer.status_mut() = StatusCode::FORBIDDEN;
        answer
    });
    let mut client = gate.connect().await;
    let body = vec![7; 8 * 1024 * 1024];
    let head = format!("PUT / HTTP/1.1\r\nhost: gate\r\ncontent-length: {}\r\n\r\n", body.len());
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&body).await.unwrap();
    let (read, end) = drained(&mut client).await;
    end.unwrap();
    assert!(read.starts_with(b"HTTP/1.1 403 ") && read.ends_with(b"refused"));
    drop(client);
    gate.stop().await;
}

#[tokio::test]
async fn unreadable_request_is_told_so_and_ends_cleanly() {
    let gate = gate(options(), |_, _| async { Response::new(full("never")) });
    let mut client = gate.connect().await;
    client.write_all(b"not HTTP at all\r\n\r\n").await.unwrap();
    let (read, end) = drained(&mut client).await;
    end.unwrap();
    assert!(read.starts_with(b"HTTP/1.1 400 "));
    drop(client);
    gate.stop().await;
}

/// Time is the runtime's, and moves on once everybody waits.
#[tokio::test(start_paused = true)]
async fn idle_connection_ends_cleanly() {
    let gate = gate(options(), |_, _| async { Response::new(full("never")) });
    let mut client = gate.connect().await;
    let (read, end) = drained(&mut client).await;
    end.unwrap();
    assert!(read.is_empty());
    drop(client);
    gate.stop().await;
}

/// A gate whose requests wait, and tell that they do.
fn waiting(options: ListenerOptions) -> (Gate, mpsc::UnboundedReceiver<()>, Arc<Notify>) {
    let (tell, asked) = mpsc::unbounded_channel();
    let go = Arc::new(Notify::new());
    let held = Arc::clone(&go);
    let gate = gate(options, move |_, _| {
        let (tell, held) = (tell.clone(), Arc::clone(&held));
        async move {
            tell.send(()).unwrap();
            held.notified().await;
            Response::new(full("whole"))
        }
    });
    (gate, asked, go)
}

#[tokio::test]
async fn drain_lets_running_requests_end_and_closes_the_rest() {
    let (server, connector) = tls();
    let (gate, mut asked, go) = waiting(ListenerOptions {
        tls: Some(server),
        ..options()
    });
    let mut idle = shake_hands(&connector, gate.connect().await).await;
    let _silent = gate.connect().await;
    let mut running = shake_hands(&connector, gate.connect().await).await;
    running.write_all(GET).await.unwrap();
    asked.recv().await.unwrap();

    gate.shutdown.cancel();
    // With a close_notify: rustls makes any other end an error.
    let (read, end) = drained(&mut idle).await;
    end.unwrap();
    assert!(read.is_empty());
    drop(idle);
    go.notify_one();
    let (read, end) = drained(&mut running).await;
    end.unwrap();
    assert!(read.ends_with(b"whole"));
    drop(running);
    gate.running.await.unwrap();
    assert!(TcpStream::connect(gate.address).await.is_err());
}

#[tokio::test]
async fn drains_deadline_resets_what_still_runs() {
    let (gate, mut asked, _go) = waiting(ListenerOptions {
        drain: Duration::ZERO,
        ..options()
    });
    let mut client = gate.connect().await;
    client.write_all(GET).await.unwrap();
    asked.recv().await.unwrap();
    gate.stop().await;
    let (read, end) = drained(&mut client).await;
    assert!(is_reset(&end) && read.is_empty(), "{end:?}");
}

#[tokio::test]
async fn client_beyond_the_limit_waits_for_a_place() {
    let (gate, mut asked, go) = waiting(ListenerOptions {
        max_connections: 1,
        ..options()
    });
    let request = b"GET / HTTP/1.1\r\nhost: gate\r\nconnection: close\r\n\r\n";
    let mut first = gate.connect().await;
    first.write_all(request).await.unwrap();
    asked.recv().await.unwrap();
    let mut second = gate.connect().await;
    second.write_all(request).await.unwrap();

    go.notify_one();
    let (read, _) = drained(&mut first).await;
    assert!(read.ends_with(b"whole"));
    assert!(asked.try_recv().is_err(), "the first client still has its place");
    drop(first);
    asked.recv().await.unwrap();
    go.notify_one();
    let (read, _) = drained(&mut second).await;
    assert!(read.ends_with(b"whole"));
    drop(second);
    gate.stop().await;
}

#[tokio::test]
async fn handler_sees_the_peer_and_whether_it_is_secure() {
    let (server, connector) = tls();
    let (tell, mut told) = mpsc::unbounded_channel();
    for tls in [None, Some(server)] {
        let (tell, secure) = (tell.clone(), tls.is_some());
        let gate = gate(ListenerOptions { tls, ..options() }, move |_, connection| {
            tell.send((connection.peer, connection.secure)).unwrap();
            async { Response::new(full("seen")) }
        });
        let mut stream = gate.connect().await;
        let peer = stream.local_addr().unwrap();
        match secure {
            false => stream.write_all(GET).await.unwrap(),
            true => shake_hands(&connector, stream).await.write_all(GET).await.unwrap(),
        }
        assert_eq!(told.recv().await, Some((peer, secure)));
        gate.shutdown.cancel();
    }
}
