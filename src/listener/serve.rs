//! One client connection from its first byte to its end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::gateway::{AnswerBody, Connection};
use crate::listener::cut::Cut;

/// The time a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The time a request's head may take, and that a connection may idle before it.
const HEAD: Duration = Duration::from_secs(60);
/// The silence after which a peer is asked whether it still lives: one that vanished must not keep a lease in use.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// How long a client that was answered may go on sending before the connection is closed over its head.
const LINGER: Duration = Duration::from_secs(10);
/// The silence after which such a client is taken to have ended.
const SILENCE: Duration = Duration::from_secs(1);
/// The most, in bytes, that hyper keeps of a connection: of an answer's body it takes another frame only while it keeps less.
const BUFFER: usize = 128 * 1024;

/// Serves the client until it or the gate ends the connection. Dropped at any point, it resets the connection.
pub(super) async fn serve<F, A>(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    answer: Arc<F>,
    shutdown: CancellationToken,
) where
    F: Fn(Request<Incoming>, Connection) -> A + Send + Sync + 'static,
    A: Future<Output = Response<AnswerBody>> + Send + 'static,
{
    if let Err(error) = prepare(&stream) {
        // The client was gone before it was served.
        tracing::debug!(%peer, %error, "connection lost");
        return;
    }
    let Some(tls) = tls else {
        return http(stream, peer, answer, shutdown).await;
    };
    let handshake = timeout(HANDSHAKE, TlsAcceptor::from(tls).accept(stream));
    let shaken = tokio::select! {
        biased;
        () = shutdown.cancelled() => return,
        shaken = handshake => shaken,
    };
    match shaken {
        Ok(Ok(stream)) => http(stream, peer, answer, shutdown).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS with this client"),
        Err(_) => tracing::debug!(%peer, "the TLS handshake took too long"),
    }
}

/// From here on, to drop the socket is to reset the connection.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_zero_linger()?;
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))
}

async fn http<S, F, A>(stream: S, peer: SocketAddr, answer: Arc<F>, shutdown: CancellationToken)
where
    S: Socket,
    F: Fn(Request<Incoming>, Connection) -> A + Send + Sync + 'static,
    A: Future<Output = Response<AnswerBody>> + Send + 'static,
{
    let (connection, lease) = Connection::new(peer, S::SECURE);
    let cut = Cut::new(lease);
    let stream = TokioIo::new(cut.watching(stream));
    let answering = cut.clone();
    let service = service_fn(move |request| {
        // In a box, so that a connection that waits has no room for it.
        let answer = Box::pin(answer(request, connection.clone()));
        let cut = answering.clone();
        async move {
            let answer = answer.await;
            cut.answers();
            Ok::<_, Infallible>(answer)
        }
    });
    let mut served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(BUFFER)
        // Azure keeps the case of metadata's names.
        .preserve_header_case(true)
        .serve_connection(stream, service);
    let mut lease_ends = pin!(cut.lease_ends());
    let mut draining = false;
    let ended = loop {
        let ended = tokio::select! {
            // Before anything else moves: once the lease has ended, not one byte more is handed to the kernel.
            biased;
            () = &mut lease_ends => {
                tracing::debug!(%peer, "the lease ended: connection reset");
                return;
            }
            () = shutdown.cancelled(), if !draining => None,
            ended = &mut served => Some(ended),
        };
        match ended {
            Some(ended) => break ended,
            None => {
                draining = true;
                Pin::new(&mut served).graceful_shutdown();
            }
        }
    };
    match ended {
        Ok(()) => {}
        // No request, or none that can be read: there is no answer that could be taken for whole.
        Err(error) if error.is_timeout() || error.is_parse() => tracing::debug!(%peer, %error, "no request"),
        Err(error) => {
            tracing::debug!(%peer, %error, "connection reset");
            return;
        }
    }
    close(served.into_parts().io.into_inner().into_inner()).await;
}

/// Ends a connection so that the client gets its last answer even while it still sends: to close a socket with unread bytes
/// resets it (RFC 1122 section 4.2.2.13), and the answer in flight with it. So they are read and thrown away for a while.
async fn close<S: Socket>(mut stream: S) {
    // Closes the sending side: over TLS with a close_notify, without which the end could be an attacker's (RFC 8446 section 6.1).
    if stream.shutdown().await.is_err() {
        return;
    }
    let socket = stream.tcp();
    if SockRef::from(socket).set_linger(None).is_ok() {
        let _ = timeout(LINGER, discard(socket)).await;
    }
}

/// Reads until the client closes its side too, or falls silent.
async fn discard(socket: &TcpStream) {
    let mut nowhere = vec![0; 16 * 1024];
    while let Ok(Ok(())) = timeout(SILENCE, socket.readable()).await {
        match socket.try_read(&mut nowhere) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// What HTTP is spoken over.
trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Whether nobody on the way can read along.
    const SECURE: bool;

    /// The socket below.
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    const SECURE: bool = false;

    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    const SECURE: bool = true;

    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}
