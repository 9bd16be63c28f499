//! The two listeners: https for Entra, the vaults and the control endpoint; plain http for managed identity. Each request is
//! read whole, counted, given its fault if one is due, decided, and answered.

use std::future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::LazyConfigAcceptor;

use crate::dev::standin::book::{Answer, Entry};
use crate::dev::standin::cloud::Cloud;
use crate::dev::standin::fault::{Effect, Operation, Place, Wait};
use crate::dev::standin::reply::Reply;
use crate::dev::standin::{arc, control, entra, identity, vault};

/// Largest request body: a create or wrap request has well under 10 KiB.
const BODY_LIMIT: usize = 64 * 1024;
/// The vault that plain `localhost` and `127.0.0.1` mean, for clients that can't resolve names below localhost.
const DEFAULT_VAULT: &str = "acme-vault";

/// The fatal alert handshake_failure in its record (RFC 8446 section 6).
const HANDSHAKE_FAILURE: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 40];

/// Which of the two listeners a connection came by.
#[derive(Clone)]
pub enum Listener {
    Https(Arc<rustls::ServerConfig>),
    Identity,
    /// The agent of Azure Arc, with the directory of its challenges.
    Arc(PathBuf),
}

/// The connection is closed without an answer: what hyper does on an error of the service.
#[derive(Debug, thiserror::Error)]
#[error("dropped on purpose")]
struct Dropped;

/// Accepts until the task is aborted; its connections end with it.
pub async fn serve(cloud: Arc<Cloud>, listener: TcpListener, kind: Listener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(Arc::clone(&cloud), stream, kind.clone()));
                }
                // Out of file descriptors, most likely: the next accept may do better, but not at once.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(cloud: Arc<Cloud>, stream: TcpStream, kind: Listener) {
    // Small answers, awaited by somebody: no waiting for more.
    let _ = stream.set_nodelay(true);
    // Errors of a connection are the client's to notice.
    let _ = match &kind {
        Listener::Https(config) => https(cloud, stream, Arc::clone(config)).await,
        Listener::Identity => http(cloud, stream, Service::Identity).await,
        Listener::Arc(challenges) => http(cloud, stream, Service::Arc(challenges.clone())).await,
    };
}

async fn https(cloud: Arc<Cloud>, stream: TcpStream, config: Arc<rustls::ServerConfig>) -> io::Result<()> {
    let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
    let vault = hello
        .client_hello()
        .server_name()
        .and_then(|name| cloud.national().vault_of(name).or_else(|| vault_label(name)))
        .map(str::to_owned);
    match vault.and_then(|vault| cloud.book.refuses_connections(&Place::Vault(vault))) {
        None => {}
        Some(Effect::TlsFails) => {
            let mut stream = hello.io;
            return stream.write_all(&HANDSHAKE_FAILURE).await;
        }
        Some(_) => return Ok(()),
    }
    http(cloud, hello.into_stream(config).await?, Service::Cloud).await
}

async fn http<S>(cloud: Arc<Cloud>, stream: S, service: Service) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = service_fn(move |request| respond(Arc::clone(&cloud), service.clone(), request));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new());
    builder
        .serve_connection(TokioIo::new(stream), answer)
        .await
        .map_err(io::Error::other)
}

#[derive(Clone, Debug)]
enum Service {
    Cloud,
    Identity,
    Arc(PathBuf),
}

/// A request, sorted to whoever answers it.
enum Call {
    Vault(vault::Call),
    NoVault(String),
    Entra(entra::Call),
    Identity(identity::Call),
    Arc(arc::Call),
    Control(control::Call),
}

async fn respond(
    cloud: Arc<Cloud>,
    service: Service,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Dropped> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
        return Ok(Reply::text(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", "too large\n").into_response());
    };
    let call = Call::read(&cloud, service, &parts, body.to_bytes());
    // The control endpoint is no service of Azure: no faults, no place in the book.
    let Some((place, operation)) = call.place(&cloud) else {
        return Ok(call.answer(cloud).await.into_response());
    };
    let arrived = Instant::now();
    let effect = cloud.book.arrive(&place, operation);
    let write = |answer: Answer| {
        cloud.book.write(Entry {
            place: place.clone(),
            operation,
            arrived,
            decided: Instant::now(),
            answer,
        });
    };
    let reply = match effect {
        None => call.answer(Arc::clone(&cloud)).await,
        Some(Effect::Throttled { retry_after }) => call.dress(place.throttled(retry_after)),
        Some(Effect::Broken(status)) => call.dress(place.broken(status)),
        Some(Effect::Refusal(reply)) => call.dress(*reply),
        Some(Effect::Answer(reply)) => *reply,
        Some(Effect::Slow(delay)) => {
            tokio::time::sleep(delay).await;
            call.answer(Arc::clone(&cloud)).await
        }
        Some(Effect::Late(wait)) => {
            let reply = call.answer(Arc::clone(&cloud)).await;
            write(Answer::Status(reply.status, reply.code.clone()));
            match wait {
                Wait::For(delay) => tokio::time::sleep(delay).await,
                Wait::Until(gate) => gate.passed().await,
            }
            return Ok(reply.into_response());
        }
        Some(Effect::DroppedAfter) => {
            call.answer(Arc::clone(&cloud)).await;
            write(Answer::Dropped);
            return Err(Dropped);
        }
        Some(Effect::DroppedBefore | Effect::Unreachable | Effect::TlsFails) => {
            write(Answer::Dropped);
            return Err(Dropped);
        }
        Some(Effect::Silent) => {
            write(Answer::Silence);
            return future::pending().await;
        }
    };
    write(Answer::Status(reply.status, reply.code.clone()));
    Ok(reply.into_response())
}

impl Call {
    fn read(cloud: &Cloud, service: Service, parts: &Parts, body: Bytes) -> Self {
        match service {
            Service::Identity => return Self::Identity(identity::Call::read(parts)),
            Service::Arc(challenges) => return Self::Arc(arc::Call::read(&challenges, parts)),
            Service::Cloud => {}
        }
        let path = parts.uri.path().trim_start_matches('/');
        let first = path.split('/').next().unwrap_or_default();
        match first {
            "stand-in" => Self::Control(control::Call::read(parts)),
            "keys" | "deletedkeys" => {
                let host = parts
                    .headers
                    .get(HOST)
                    .and_then(|value| value.to_str().ok())
                    .unwrap_or_default();
                let label = cloud.national().vault_of(host).or_else(|| vault_label(host));
                match label.filter(|label| cloud.world().vault(label).is_some()) {
                    Some(vault) => Self::Vault(vault::Call::read(vault, parts, body)),
                    None => Self::NoVault(host.to_owned()),
                }
            }
            _ => Self::Entra(entra::Call::read(parts, &body)),
        }
    }

    fn place(&self, cloud: &Cloud) -> Option<(Place, Operation)> {
        match self {
            Self::Vault(call) => Some((Place::Vault(call.vault.clone()), call.operation)),
            Self::Entra(call) => Some((Place::Entra(entra::place(cloud.world().entra(), call)), call.operation)),
            Self::Identity(call) => Some((Place::Identity, call.operation)),
            Self::Arc(call) => Some((Place::Identity, call.operation)),
            Self::NoVault(_) | Self::Control(_) => None,
        }
    }

    /// A refusal that the service never decided, under the headers it puts on everything.
    fn dress(&self, reply: Reply) -> Reply {
        match self {
            Self::Vault(call) => vault::dress(call, reply),
            Self::NoVault(_) | Self::Entra(_) | Self::Identity(_) | Self::Arc(_) | Self::Control(_) => reply,
        }
    }

    /// Off the threads that serve where RSA keys may be generated; everything else takes a millisecond or two.
    async fn answer(self, cloud: Arc<Cloud>) -> Reply {
        let slow = match &self {
            Self::Vault(call) => matches!(call.operation, Operation::CreateKey | Operation::RotateKey),
            Self::Control(_) => true,
            Self::NoVault(_) | Self::Entra(_) | Self::Identity(_) | Self::Arc(_) => false,
        };
        let decide = move || match &self {
            Self::Vault(call) => vault::answer(&cloud, call),
            Self::NoVault(host) => vault::no_such_vault(host),
            Self::Entra(call) => entra::answer(&cloud, call),
            Self::Identity(call) => identity::answer(&cloud, call),
            Self::Arc(call) => arc::answer(&cloud, call),
            Self::Control(call) => control::answer(&cloud, call),
        };
        match slow {
            false => decide(),
            true => tokio::task::spawn_blocking(decide).await.unwrap_or_else(|error| {
                Reply::text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", format!("{error}\n"))
            }),
        }
    }
}

/// The vault that a host name means: its first label below localhost (or below `vault.localhost`).
fn vault_label(host: &str) -> Option<&str> {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    match name {
        "localhost" | "127.0.0.1" => Some(DEFAULT_VAULT),
        name => name
            .strip_suffix(".localhost")
            .and_then(|labels| labels.split('.').next()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vault_is_chosen_by_the_first_label_of_its_host() {
        assert_eq!(vault_label("globex-vault.localhost:8443"), Some("globex-vault"));
        assert_eq!(vault_label("globex-vault.vault.localhost"), Some("globex-vault"));
        assert_eq!(vault_label("localhost:1"), Some(DEFAULT_VAULT));
        assert_eq!(vault_label("127.0.0.1:1"), Some(DEFAULT_VAULT));
        assert_eq!(vault_label("example.com"), None);
    }
}
