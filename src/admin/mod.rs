//! What the people who run the gate ask it: alive, ready, metrics. On its own listener, in plain HTTP, for addresses that
//! clients can't reach; it tells no secret and changes nothing. Whoever has the token may have a tenant's key proved at once
//! (`POST /recheck?tenant=…`): a wish, on which the vault decides as ever.

mod rechecks;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use rechecks::Rechecks;

use crate::telemetry::metrics;

/// Connections served at once: a few probes and scrapers.
const MAX_CONNECTIONS: usize = 64;
/// The time a request's head may take, and that a connection may idle before it.
const HEAD: Duration = Duration::from_secs(60);
/// The rest after a failed accept, which is most likely for want of file descriptors.
const AFTER_FAILURE: Duration = Duration::from_millis(50);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NOT_FOUND: (StatusCode, &[u8]) = (StatusCode::NOT_FOUND, b"not found\n");
/// OpenMetrics 1.0.0, section "Overall Structure": without it Prometheus reads the older text format.
const OPENMETRICS: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// What `/readyz` tells a load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not every listener serves yet.
    Starting,
    /// Requests are welcome.
    Ready,
    /// Running requests end, new ones should go elsewhere.
    Draining,
}

/// What else can be asked, by path: each makes its JSON anew.
type Pages = BTreeMap<&'static str, Box<dyn Fn() -> String + Send + Sync>>;

/// A bound socket that does not accept yet.
pub struct Admin {
    socket: TcpListener,
    told: Told,
}

/// What is told besides health and metrics.
#[derive(Default)]
struct Told {
    pages: Pages,
    rechecks: Option<Arc<Rechecks>>,
}

impl Admin {
    /// Binds the socket.
    ///
    /// # Errors
    /// The address is taken, not this machine's, or not allowed.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let told = Told::default();
        Ok(Self { socket, told })
    }

    /// Also answers GET of `path` with the JSON that `page` makes.
    #[must_use]
    pub fn with_page(mut self, path: &'static str, page: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.told.pages.insert(path, Box::new(page));
        self
    }

    /// Lets proofs be wished for.
    #[must_use]
    pub fn with_rechecks(mut self, rechecks: Option<Arc<Rechecks>>) -> Self {
        self.told.rechecks = rechecks;
        self
    }

    /// Where it listens: the port that was chosen if 0 was asked for.
    ///
    /// # Errors
    /// The kernel's, which there is no reason to expect.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Answers until `stop`, which should come after the drain: probes are still answered meanwhile.
    pub async fn run(self, readiness: watch::Receiver<Readiness>, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let told = Arc::new(self.told);
        let mut connections = JoinSet::new();
        loop {
            let accept = async {
                let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
                let (stream, _) = self.socket.accept().await?;
                Ok::<_, io::Error>((stream, place))
            };
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(_) = connections.join_next() => continue,
                accepted = accept => accepted,
            };
            match accepted {
                Ok((stream, place)) => {
                    let (readiness, told) = (readiness.clone(), Arc::clone(&told));
                    connections.spawn(async move {
                        serve(stream, readiness, &told).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "an admin connection could not be accepted");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }
}

async fn serve(stream: TcpStream, readiness: watch::Receiver<Readiness>, told: &Told) {
    let service = service_fn(move |request: Request<_>| {
        let answer = answer(&request, *readiness.borrow(), told);
        async move { Ok::<_, Infallible>(answer) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "admin connection lost");
    }
}

fn answer<B>(request: &Request<B>, readiness: Readiness, told: &Told) -> Response<Full<Bytes>> {
    let page = told
        .pages
        .get(request.uri().path())
        .filter(|_| request.method() == Method::GET);
    let (status, content_type, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/healthz") => (StatusCode::OK, TEXT, Bytes::from_static(b"alive\n")),
        (&Method::GET, "/readyz") => {
            let (status, word) = readiness.told();
            (status, TEXT, Bytes::from_static(word))
        }
        (&Method::GET, "/metrics") => (StatusCode::OK, OPENMETRICS, Bytes::from(metrics::render())),
        (&Method::POST, "/recheck") => {
            let (status, word) = match &told.rechecks {
                Some(rechecks) => rechecks.answer(request),
                None => NOT_FOUND,
            };
            (status, TEXT, Bytes::from_static(word))
        }
        _ => match page {
            Some(page) => (StatusCode::OK, JSON, Bytes::from(page())),
            None => (NOT_FOUND.0, TEXT, Bytes::from_static(NOT_FOUND.1)),
        },
    };
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    if status == StatusCode::TOO_MANY_REQUESTS {
        answer.headers_mut().insert(RETRY_AFTER, rechecks::AGAIN);
    }
    answer
}

impl Readiness {
    fn told(self) -> (StatusCode, &'static [u8]) {
        match self {
            Self::Starting => (StatusCode::SERVICE_UNAVAILABLE, b"starting\n"),
            Self::Ready => (StatusCode::OK, b"ready\n"),
            Self::Draining => (StatusCode::SERVICE_UNAVAILABLE, b"draining\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn ask(admin: SocketAddr, line: &str) -> String {
        let mut stream = TcpStream::connect(admin).await.unwrap();
        let request = format!("{line} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn probes_follow_the_gate_from_start_to_drain() {
        let admin = Admin::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = admin.local_addr().unwrap();
        let (state, readiness) = watch::channel(Readiness::Starting);
        let stop = CancellationToken::new();
        let running = tokio::spawn(admin.run(readiness, stop.clone()));

        assert!(ask(address, "GET /healthz").await.starts_with("HTTP/1.1 200 "));
        for (now, status) in [
            (Readiness::Starting, "503"),
            (Readiness::Ready, "200"),
            (Readiness::Draining, "503"),
        ] {
            state.send_replace(now);
            let answer = ask(address, "GET /readyz").await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{now:?}: {answer}");
        }
        stop.cancel();
        running.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[test]
    fn metrics_are_openmetrics() {
        let request = Request::get("/metrics").body(()).unwrap();
        let answer = answer(&request, Readiness::Ready, &Told::default());
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[CONTENT_TYPE], OPENMETRICS);
    }

    #[test]
    fn a_page_is_made_anew_for_each_get() {
        let mut told = Told::default();
        told.pages.insert("/cckm", Box::new(|| "{}".to_owned()));
        let ask = |method| {
            let request = Request::builder().method(method).uri("/cckm").body(()).unwrap();
            answer(&request, Readiness::Ready, &told).status()
        };
        assert_eq!(
            (ask(Method::GET), ask(Method::POST)),
            (StatusCode::OK, StatusCode::NOT_FOUND)
        );
    }

    #[test]
    fn anything_else_is_not_found() {
        for (method, path) in [
            (Method::GET, "/"),
            (Method::GET, "/metrics/"),
            (Method::POST, "/healthz"),
            (Method::PUT, "/readyz"),
            (Method::GET, "/recheck"),
            (Method::POST, "/recheck?tenant=acme"),
        ] {
            let request = Request::builder().method(method).uri(path).body(()).unwrap();
            assert_eq!(
                answer(&request, Readiness::Ready, &Told::default()).status(),
                StatusCode::NOT_FOUND
            );
        }
    }
}
