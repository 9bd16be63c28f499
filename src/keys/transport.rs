//! The way to Key Vault, Entra and the managed identity endpoint: one pooled HTTP client under the SDK, which notes the raw
//! answers of each operation so that they, and not the SDK's errors, decide what a failure means.

use crate::keys::classify::{BODY_LIMIT, RawAnswer};
use crate::keys::refusal::{Blocked, Refusal, Service, Unavailable};
use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::{AsyncRawResponse, ClientOptions, HttpClient, Method, Request, RetryOptions, Url};
use bytes::Bytes;
use futures_util::StreamExt;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

/// The most of an answer that is read, in bytes: a page of 25 key versions is about 10 KiB, a token a few.
const ANSWER_LIMIT: usize = 256 * 1024;

/// What the instance metadata service is asked for (Entra's how-to-use-vm-token).
const IMDS_PATH: &str = "/metadata/identity/oauth2/token";

/// Idle connections are kept this long. Their buffers hold what was said last, a DEK or a token, and it is wiped with them; the
/// calls that follow one another at a cold start still share one. (The pool looks this often, so it may be twice as long.)
const IDLE: Duration = Duration::from_secs(1);

/// How the proxy reaches the three services.
#[derive(Clone, Debug)]
pub struct TransportOptions {
    /// The only certificates to trust, as PEM; the system's roots when `None`.
    pub ca_pem: Option<Vec<u8>>,
    /// The time a connection may take.
    pub connect_timeout: Duration,
    /// The time one operation may take, with all its requests and the SDK's own retries.
    pub deadline: Duration,
    /// What is asked for managed identity tokens instead of the instance metadata service, for `dev` and tests. The SDK
    /// offers no setting for it.
    pub imds_endpoint: Option<Url>,
    /// Names that do not resolve, or elsewhere, whatever the system says, for tests.
    pub lost_names: LostNames,
}

/// Host names that are looked up in vain, or lead elsewhere, from whenever they are named; clones are the same ones.
#[derive(Clone, Debug, Default)]
pub struct LostNames(Arc<Mutex<BTreeMap<String, Option<SocketAddr>>>>);

impl LostNames {
    /// From now on this name does not resolve.
    pub fn lose(&self, name: &str) {
        self.names().insert(name.to_ascii_lowercase(), None);
    }

    /// From now on this name leads there; to that port where a URL names none.
    pub fn lead(&self, name: &str, address: SocketAddr) {
        self.names().insert(name.to_ascii_lowercase(), Some(address));
    }

    /// All resolve again.
    pub fn find_all(&self) {
        self.names().clear();
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<String, Option<SocketAddr>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            ca_pem: None,
            connect_timeout: Duration::from_secs(5),
            deadline: Duration::from_secs(10),
            imds_endpoint: None,
            lost_names: LostNames::default(),
        }
    }
}

/// Why no transport could be made.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    #[error("the CA file holds no usable PEM certificate")]
    Certificates,
    #[error("the HTTP client could not be set up: {0}")]
    Client(reqwest::Error),
}

/// The shared client. Cloning shares the connections.
#[derive(Clone, Debug)]
pub struct Transport {
    http: Arc<dyn HttpClient>,
    imds_endpoint: Option<Url>,
    deadline: Duration,
}

impl Transport {
    /// Builds the client: no redirects, no proxy from the environment (which only `config` may read), no cookies.
    pub fn new(options: TransportOptions) -> Result<Self, TransportError> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(options.connect_timeout)
            .pool_idle_timeout(IDLE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(Resolver(options.lost_names)));
        if let Some(pem) = &options.ca_pem {
            let roots = reqwest::Certificate::from_pem_bundle(pem).map_err(|_| TransportError::Certificates)?;
            if roots.is_empty() {
                return Err(TransportError::Certificates);
            }
            builder = builder.tls_certs_only(roots);
        }
        let http = Arc::new(builder.build().map_err(TransportError::Client)?);
        Ok(Self {
            http,
            imds_endpoint: options.imds_endpoint,
            deadline: options.deadline,
        })
    }

    /// A document that is there for everybody, such as the keys that Entra signs with; `None` where there is no such answer within
    /// the deadline.
    pub async fn published(&self, url: &str) -> Option<Vec<u8>> {
        let request = Request::new(Url::parse(url).ok()?, Method::Get);
        let read = async {
            let (status, _, mut stream) = self.http.execute_request(&request).await.ok()?.deconstruct();
            let mut body = Vec::new();
            while let Some(bytes) = stream.next().await {
                body.extend_from_slice(&bytes.ok()?);
                if body.len() > ANSWER_LIMIT {
                    return None;
                }
            }
            (u16::from(status) == 200).then_some(body)
        };
        tokio::time::timeout(self.deadline, read).await.ok().flatten()
    }

    /// Over any other HTTP client.
    #[cfg(test)]
    pub(in crate::keys) fn over(http: Arc<dyn HttpClient>, deadline: Duration) -> Self {
        Self {
            http,
            imds_endpoint: None,
            deadline,
        }
    }

    /// The SDK's options for a client of `service`. Every request is noted as that service's, and refused unless it goes to
    /// `origin`, so that a link in an answer cannot carry a token elsewhere. The SDK's retries are off: the lease decides.
    pub(in crate::keys) fn options(&self, service: Service, origin: Option<&str>) -> ClientOptions {
        let noting = Noting {
            transport: self.clone(),
            service,
            origin: origin.map(str::to_owned),
        };
        ClientOptions {
            transport: Some(azure_core::http::Transport::new(Arc::new(noting))),
            retry: RetryOptions::none(),
            ..ClientOptions::default()
        }
    }

    /// Runs one operation within the deadline. If it fails, says what was seen last on the wire.
    pub(in crate::keys) async fn observe<T>(
        &self,
        call: impl Future<Output = azure_core::Result<T>>,
    ) -> Result<T, Seen> {
        let observed = async {
            match tokio::time::timeout(self.deadline, call).await {
                Ok(Ok(value)) => Ok(value),
                // The SDK's error is dropped: it may quote bodies, and the wire has said all there is to say.
                Ok(Err(_)) | Err(_) => Err(SEEN.with(RefCell::take)),
            }
        };
        SEEN.scope(RefCell::default(), observed).await
    }
}

tokio::task_local! {
    static SEEN: RefCell<Seen>;
}

/// The last event of an operation.
#[derive(Default)]
pub(in crate::keys) enum Seen {
    /// No request was sent.
    #[default]
    Nothing,
    /// A request was under way.
    Asking(Service),
    /// An answer had come; unless it was a success, with its body.
    Answer(Service, RawAnswer),
    /// No answer came, or the proxy would not go on.
    Refused(Refusal),
}

/// Ends the operation under way with this reason.
pub(in crate::keys) fn refuse(reason: Refusal) -> azure_core::Error {
    note(Seen::Refused(reason));
    azure_core::Error::with_message(ErrorKind::Other, reason.to_string())
}

/// The challenge that the operation under way was last answered with.
pub(in crate::keys) fn last_challenge() -> Option<String> {
    SEEN.try_with(|seen| match &*seen.borrow() {
        Seen::Answer(_, raw) => raw.challenge.clone(),
        _ => None,
    })
    .ok()
    .flatten()
}

/// Outside an operation there is nobody to tell.
fn note(event: Seen) {
    let _ = SEEN.try_with(|seen| seen.replace(event));
}

/// The client as the SDK sees it, for one service.
#[derive(Debug)]
struct Noting {
    transport: Transport,
    service: Service,
    origin: Option<String>,
}

#[async_trait]
impl HttpClient for Noting {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        if self
            .origin
            .as_ref()
            .is_some_and(|origin| *origin != request.url().origin().ascii_serialization())
        {
            return Err(refuse(Blocked::OtherHost.into()));
        }
        note(Seen::Asking(self.service));
        match self.answer(request).await {
            Ok((raw, response)) => {
                note(Seen::Answer(self.service, raw));
                Ok(response)
            }
            Err(error) => {
                note(Seen::Refused(silence(self.service, &error).into()));
                Err(error)
            }
        }
    }
}

impl Noting {
    async fn answer(&self, request: &Request) -> azure_core::Result<(RawAnswer, AsyncRawResponse)> {
        let response = match self.redirected(request) {
            Some(request) => self.transport.http.execute_request(&request).await?,
            None => self.transport.http.execute_request(request).await?,
        };
        let (status, headers, mut stream) = response.deconstruct();
        let mut body = Zeroizing::new(Vec::with_capacity(BODY_LIMIT));
        while let Some(bytes) = stream.next().await {
            let bytes = bytes?;
            if body.len() + bytes.len() > ANSWER_LIMIT {
                return Err(azure_core::Error::with_message(ErrorKind::Io, "the answer is too long"));
            }
            body.extend_from_slice(&bytes);
        }
        let raw = RawAnswer {
            status: status.into(),
            content_type: text(&headers, "content-type"),
            body: match status.is_success() {
                true => Vec::new(),
                false => body.iter().take(BODY_LIMIT).copied().collect(),
            },
            retry_after: retry_after(&headers),
            challenge: text(&headers, "www-authenticate"),
            request_id: text(&headers, "x-ms-request-id"),
        };
        // A success may hold a DEK or a token: its buffer is wiped when the SDK lets go of it.
        Ok((
            raw,
            AsyncRawResponse::from_bytes(status, headers, Bytes::from_owner(body)),
        ))
    }

    /// The request, sent to the configured endpoint, if it was meant for whichever one the SDK found in the environment. (Who
    /// names an origin has not left that to the SDK.)
    fn redirected(&self, request: &Request) -> Option<Request> {
        let endpoint = self
            .transport
            .imds_endpoint
            .as_ref()
            .filter(|_| self.service == Service::Identity && self.origin.is_none())?;
        let mut url = endpoint.clone();
        url.set_path(IMDS_PATH);
        url.set_query(request.url().query());
        let mut redirected = Request::new(url, request.method());
        *redirected.headers_mut() = request.headers().clone();
        redirected.set_body(request.body().clone());
        Some(redirected)
    }
}

fn text(headers: &Headers, name: &'static str) -> Option<String> {
    headers.get_optional_string(&HeaderName::from_static(name))
}

/// `Retry-After` in seconds, or Azure's two headers in milliseconds. A date (RFC 9110 section 10.2.3) is left unread: none
/// of the three services sends one, and backing off on one's own is right as well.
fn retry_after(headers: &Headers) -> Option<Duration> {
    let number = |name| text(headers, name)?.trim().parse::<u64>().ok();
    number("retry-after-ms")
        .or_else(|| number("x-ms-retry-after-ms"))
        .map(Duration::from_millis)
        .or_else(|| number("retry-after").map(Duration::from_secs))
}

/// What kind of silence an error of the client is.
fn silence(by: Service, error: &azure_core::Error) -> Unavailable {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<NameUnresolved>() {
            return Unavailable::NameUnresolved { by };
        }
        if error
            .downcast_ref::<reqwest::Error>()
            .is_some_and(reqwest::Error::is_timeout)
        {
            return Unavailable::Timeout { by };
        }
        if is_tls(error) {
            return Unavailable::TlsFailed { by };
        }
        cause = error.source();
    }
    Unavailable::Unreachable { by }
}

/// Whether rustls is at fault. `io::Error::source` passes over the error it wraps, which is where rustls' own sits, in one
/// `io::Error` or in several.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let mut wrapping = error.downcast_ref::<std::io::Error>();
    while let Some(inner) = wrapping.and_then(std::io::Error::get_ref) {
        if inner.is::<rustls::Error>() {
            return true;
        }
        wrapping = inner.downcast_ref();
    }
    error.is::<rustls::Error>()
}

/// The system's resolver, except that names below `localhost` are this machine (RFC 6761 section 6.3), which many systems'
/// resolvers do not know.
struct Resolver(LostNames);

/// The name is unknown, or no resolver answered.
#[derive(Debug, thiserror::Error)]
#[error("the name does not resolve")]
pub(in crate::keys) struct NameUnresolved;

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let told = self.0.names().get(&name.as_str().to_ascii_lowercase()).copied();
        Box::pin(async move {
            if let Some(led) = told {
                let led: reqwest::dns::Addrs = Box::new([led.ok_or(NameUnresolved)?].into_iter());
                return Ok(led);
            }
            let name = name.as_str();
            // The port is the client's to fill in.
            let addresses: Vec<SocketAddr> = match name.eq_ignore_ascii_case("localhost") || is_below_localhost(name) {
                true => vec![(Ipv4Addr::LOCALHOST, 0).into()],
                false => tokio::net::lookup_host((name, 0))
                    .await
                    .map_err(|_| NameUnresolved)?
                    .collect(),
            };
            let addresses: reqwest::dns::Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

fn is_below_localhost(name: &str) -> bool {
    name.len() > ".localhost".len() && name.to_ascii_lowercase().ends_with(".localhost")
}
