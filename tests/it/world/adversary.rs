//! The store's dark side: a proxy between gate and store that passes everything on, but where it was told to lie.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// A running adversary. It stops when dropped.
pub struct Adversary {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: AbortHandle,
}

/// What the gate asked of the store.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    /// Empty if there is none.
    pub query: String,
    pub headers: HeaderMap,
}

/// What the gate is told.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    /// With a Content-Length of its own if it lies about that.
    pub headers: HeaderMap,
    pub body: Bytes,
    pub end: End,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Whole,
    /// The connection breaks.
    Broken,
    /// Nothing more comes, and the connection stays.
    Never,
}

/// How the store lies about one key.
pub struct Lie(Kind);

enum Kind {
    Instead(Box<Invention>),
    Taking(Box<Reception>),
    Twist(Box<Rewriting>),
    Deaf(HeaderName),
    Late(Arc<Late>),
    Silence,
}

type Invention = dyn Fn(&Asked) -> Reply + Send + Sync;
type Reception = dyn Fn(&Asked, Bytes) -> Reply + Send + Sync;
type Rewriting = dyn Fn(&Asked, Reply) -> Reply + Send + Sync;

impl Lie {
    /// Answers without asking the store.
    pub fn instead(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self(Kind::Instead(Box::new(answer)))
    }

    /// The same, once it has taken the question's body.
    pub fn taking(answer: impl Fn(&Asked, Bytes) -> Reply + Send + Sync + 'static) -> Self {
        Self(Kind::Taking(Box::new(answer)))
    }

    /// Rewrites the store's answer.
    pub fn twist(rewrite: impl Fn(&Asked, Reply) -> Reply + Send + Sync + 'static) -> Self {
        Self(Kind::Twist(Box::new(rewrite)))
    }

    /// Takes nothing of the question's body, and never answers.
    pub fn silence() -> Self {
        Self(Kind::Silence)
    }

    /// Does what it is asked, and keeps the answer back.
    pub fn late(late: &Arc<Late>) -> Self {
        Self(Kind::Late(Arc::clone(late)))
    }

    /// Ignores a header of the question.
    pub fn deaf(name: HeaderName) -> Self {
        Self(Kind::Deaf(name))
    }
}

/// An answer that is kept back.
#[derive(Default)]
pub struct Late {
    /// The store has done it.
    pub done: Notify,
    /// The gate may be told.
    pub told: Notify,
}

struct Shared {
    store: SocketAddr,
    client: Client<HttpConnector, Body>,
    lies: Mutex<HashMap<(String, String), Arc<Lie>>>,
    asked: Mutex<HashMap<(String, String), u64>>,
    dying: Mutex<Option<Dying>>,
}

/// The line to the store breaks: after so many more questions are answered, none is, but that the next one may still be done.
#[derive(Clone, Copy, Debug)]
struct Dying {
    answered: u64,
    done: bool,
}

type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

impl Adversary {
    /// Stands before the store.
    pub fn start(listener: TcpListener, store: SocketAddr) -> Self {
        let shared = Arc::new(Shared {
            store,
            client: Client::builder(TokioExecutor::new()).build_http(),
            lies: Mutex::default(),
            asked: Mutex::default(),
            dying: Mutex::default(),
        });
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Self {
            shared,
            address,
            accepting,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on lies so about this key (`*`: about every other of the bucket), and no longer as before.
    pub fn lie(&self, bucket: &str, key: &str, lie: Lie) {
        let name = (bucket.to_owned(), key.to_owned());
        locked(&self.shared.lies).insert(name, Arc::new(lie));
    }

    /// Lies no more.
    pub fn honest(&self) {
        locked(&self.shared.lies).clear();
    }

    /// From now on answers so many questions, and then none until it is healed: as if the gate ended there, from the store's side.
    /// The question after those is still `done`, or not even that.
    pub fn die_after(&self, answered: u64, done: bool) {
        *locked(&self.shared.dying) = Some(Dying { answered, done });
    }

    /// Answers again. Whether it had come to its end.
    pub fn heal(&self) -> bool {
        locked(&self.shared.dying)
            .take()
            .is_some_and(|dying| dying.answered == 0)
    }

    /// How often the gate asked about this key.
    pub fn asked(&self, bucket: &str, key: &str) -> u64 {
        let name = (bucket.to_owned(), key.to_owned());
        locked(&self.shared.asked).get(&name).copied().unwrap_or_default()
    }
}

impl Drop for Adversary {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Reply {
    /// An answer with this body and nothing else.
    pub fn new(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: body.into(),
            end: End::Whole,
        }
    }

    /// The same with a header set.
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.insert(name, HeaderValue::try_from(value).unwrap());
        self
    }

    /// The same, with no more than `len` bytes of its body, and then this end. The length stays as announced.
    pub fn cut(mut self, len: usize, end: End) -> Self {
        let announced = self.headers.get(CONTENT_LENGTH).cloned();
        let announced = announced.unwrap_or_else(|| HeaderValue::from(self.body.len()));
        self.headers.insert(CONTENT_LENGTH, announced);
        self.body.truncate(len);
        self.end = end;
        self
    }

    fn into_response(mut self, asked: &Asked) -> Response<Body> {
        let len = HeaderValue::from(self.body.len());
        self.headers.entry(CONTENT_LENGTH).or_insert(len);
        let body = if asked.method == Method::HEAD {
            Bytes::new()
        } else {
            self.body
        };
        let data = stream::iter([Ok(Frame::data(body))]);
        let end = match self.end {
            End::Whole => stream::empty().boxed(),
            End::Broken => stream::iter([Err(io::Error::other("broken off").into())]).boxed(),
            End::Never => stream::pending().boxed(),
        };
        // Not `Full`: hyper would hold its known length against the announced one.
        let mut response = Response::new(StreamBody::new(data.chain(end)).boxed_unsync());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(shared.answer(request).await) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let name = (bucket.to_owned(), key.to_owned());
        *locked(&self.asked).entry(name.clone()).or_default() += 1;
        let asked = Asked {
            method: request.method().clone(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            headers: request.headers().clone(),
        };
        if let Some(done) = self.dies() {
            if done {
                let (_, body) = self.ask(request).await.into_parts();
                let _ = body.collect().await;
            }
            return Reply::new(StatusCode::SERVICE_UNAVAILABLE, "").into_response(&asked);
        }
        let lie = {
            let lies = locked(&self.lies);
            let other = || lies.get(&(name.0.clone(), "*".to_owned()));
            lies.get(&name).or_else(other).map(Arc::clone)
        };
        match lie.as_deref() {
            None => self.ask(request).await,
            Some(Lie(Kind::Deaf(header))) => {
                let mut request = request;
                request.headers_mut().remove(header);
                self.ask(request).await
            }
            Some(Lie(Kind::Late(late))) => {
                let answer = self.ask(request).await;
                late.done.notify_one();
                late.told.notified().await;
                answer
            }
            Some(Lie(Kind::Silence)) => std::future::pending().await,
            Some(Lie(Kind::Instead(answer))) => answer(&asked).into_response(&asked),
            Some(Lie(Kind::Taking(answer))) => match request.into_body().collect().await {
                Ok(body) => answer(&asked, body.to_bytes()).into_response(&asked),
                Err(_) => Reply::new(StatusCode::BAD_REQUEST, "").into_response(&asked),
            },
            Some(Lie(Kind::Twist(rewrite))) => {
                let (mut parts, body) = self.ask(request).await.into_parts();
                // It goes on in one piece, whatever pieces it came in.
                parts.headers.remove(TRANSFER_ENCODING);
                let honest = Reply {
                    status: parts.status,
                    headers: parts.headers,
                    body: body.collect().await.map(|body| body.to_bytes()).unwrap_or_default(),
                    end: End::Whole,
                };
                rewrite(&asked, honest).into_response(&asked)
            }
        }
    }

    /// Whether this question is not answered any more, and then whether it is still done.
    fn dies(&self) -> Option<bool> {
        let mut dying = locked(&self.dying);
        let state = dying.as_mut()?;
        if state.answered > 0 {
            state.answered -= 1;
            return None;
        }
        Some(std::mem::take(&mut state.done))
    }

    /// The store's own answer. The signature covers the host the gate meant, so that stays.
    async fn ask(&self, mut request: Request<Incoming>) -> Response<Body> {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        *request.uri_mut() = Uri::try_from(format!("http://{}{target}", self.store)).unwrap();
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        match self.client.request(request).await {
            Ok(answer) => answer.map(|body| body.map_err(Into::into).boxed_unsync()),
            // The gate broke its own question off, as it does with an upload that it does not believe.
            Err(_) => Reply::new(StatusCode::BAD_GATEWAY, "").into_response(&Asked {
                method: Method::GET,
                query: String::new(),
                headers: HeaderMap::new(),
            }),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
