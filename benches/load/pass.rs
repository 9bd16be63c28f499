//! What the gate is measured against: the least that a proxy on hyper can do. The same server, the same pooled client, the body
//! handed through frame by frame; no signatures, no tenants, no keys, no counting.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::serving;

type Answer = Response<BoxBody<bytes::Bytes, hyper::Error>>;

/// Serves until killed.
pub(crate) async fn run(
    origin: Authority,
    tls: Option<Arc<rustls::ServerConfig>>,
    said: impl FnOnce(SocketAddr),
) -> std::io::Result<()> {
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(http);
    let answer = move |request| pass(client.clone(), origin.clone(), request);
    serving::serve(tls, said, answer).await
}

async fn pass(
    client: Client<HttpConnector, Incoming>,
    origin: Authority,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let (mut parts, body) = request.into_parts();
    let mut target = std::mem::take(&mut parts.uri).into_parts();
    target.scheme = Some(Scheme::HTTP);
    if let Ok(host) = HeaderValue::from_str(origin.as_str()) {
        parts.headers.insert(HOST, host);
    }
    target.authority = Some(origin);
    parts.uri = Uri::from_parts(target).unwrap_or_default();
    let answered = client.request(Request::from_parts(parts, body)).await;
    Ok(answered.map_or_else(
        |_| {
            let mut broken = Response::new(Empty::new().map_err(|never| match never {}).boxed());
            *broken.status_mut() = StatusCode::BAD_GATEWAY;
            broken
        },
        |answer| answer.map(BodyExt::boxed),
    ))
}
