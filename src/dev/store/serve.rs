//! The store behind a listener: hyper, `s3s`, and the few places where `s3s` answers otherwise than S3.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpError, S3Result, s3_error};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::dev::store::Store;
use crate::dev::store::name::random;

/// A store being served. Dropping it stops it: no new connection, and those open end with the request they are at.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Serves `store` on `listener` (plain http: bind it to loopback), to clients that sign with one of `credentials`, each an
/// access key and its secret. Requests without a signature are refused. Needs a tokio runtime.
///
/// # Errors
/// When the listener has no address of its own.
pub fn serve(store: Store, listener: TcpListener, credentials: Vec<(String, String)>) -> io::Result<Server> {
    let address = listener.local_addr()?;
    let mut builder = S3ServiceBuilder::new(store);
    builder.set_auth(Keys(
        credentials
            .into_iter()
            .map(|(access, secret)| (access, secret.into()))
            .collect(),
    ));
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    tasks.spawn(accept(listener, builder.build(), stop.clone(), tasks.clone()));
    tasks.close();
    Ok(Server { address, stop, tasks })
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it and waits until the last answer is out.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: TcpListener, s3: S3Service, stop: CancellationToken, tasks: TaskTracker) {
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                tasks.spawn(converse(stream, s3.clone(), stop.clone()));
            }
            Err(error) => {
                // Out of file descriptors, most likely: wait for others to be closed.
                tracing::warn!(%error, "the store could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, s3: S3Service, stop: CancellationToken) {
    // Answers go out in two writes; held back by Nagle they cost small reads 40 ms.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the store could not set TCP_NODELAY");
    }
    let service = service_fn(|request| answer(&s3, request));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = match stop.run_until_cancelled(connection.as_mut()).await {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the store broke");
    }
}

/// Asks `s3s`, then mends its answer where S3's differs.
async fn answer(s3: &S3Service, request: Request<Incoming>) -> Result<Response<Body>, HttpError> {
    let is_head = request.method() == Method::HEAD;
    let asks_attributes = request.method() == Method::GET && has_query(request.uri().query(), "attributes");
    let mut response = s3.call(request.map(Body::from)).await?;
    // A HEAD of a range or a part is 206, as the GET would be.
    if is_head && response.status() == StatusCode::OK && response.headers().contains_key(http::header::CONTENT_RANGE) {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    // GetObjectAttributes alone has its ETag without quotes, which `s3s` can't leave out.
    if asks_attributes && response.status() == StatusCode::OK {
        let (parts, body) = response.into_parts();
        let text = body.collect().await.map_err(HttpError::new)?.to_bytes();
        let text = String::from_utf8_lossy(&text)
            .replace("<ETag>\"", "<ETag>")
            .replace("\"</ETag>", "</ETag>");
        response = Response::from_parts(parts, Body::from(text));
    }
    if let Ok(id) = HeaderValue::try_from(random().to_ascii_uppercase()) {
        response.headers_mut().insert("x-amz-request-id", id);
    }
    Ok(response)
}

fn has_query(query: Option<&str>, name: &str) -> bool {
    query
        .unwrap_or_default()
        .split('&')
        .any(|pair| pair.split('=').next() == Some(name))
}

/// The secrets, by access key. `s3s` has one of its own, but it answers unknown keys with a code S3 does not.
struct Keys(HashMap<String, SecretKey>);

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        self.0.get(access_key).cloned().ok_or_else(|| {
            s3_error!(
                InvalidAccessKeyId,
                "The AWS Access Key Id you provided does not exist in our records."
            )
        })
    }
}
