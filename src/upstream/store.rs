//! An S3 store: requests signed with the gate's own credential, over pooled connections.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::telemetry::clock::Clock;
use crate::upstream::body::StoreBody;
use crate::upstream::sigv4::{Credential, Signer, canonical_path, canonical_query};

/// How long a store may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a store may be silent: take nothing of a request that it could take, begin no answer, or send nothing more of it.
const SILENCE: Duration = Duration::from_secs(120);
/// The most, in bytes, that hyper reads ahead of an answer; its own bound would be six chunks.
const BUFFER: usize = 128 * 1024;
/// Idle connections are kept this long: less than stores keep theirs.
const IDLE: Duration = Duration::from_secs(20);

/// Where the bucket's name stands in a request to the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Addressing {
    /// In the path: every compatible store takes it.
    #[default]
    Path,
}

/// As whom a store is asked.
#[derive(Clone, Debug, Default)]
pub enum Caller {
    /// The gate itself.
    #[default]
    Gate,
    /// A client that has a credential of its own at the store, so that owners, ACLs and policies there mean what they say.
    Client(Arc<Signer>),
    /// Nobody: the request goes out unsigned, and the store decides what the whole world may do.
    Nobody,
}

/// What a store is reached by.
pub struct StoreOptions {
    /// Its name in the configuration.
    pub name: String,
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Host and port.
    pub authority: Authority,
    /// The region that requests are signed for.
    pub region: String,
    /// The gate's own credential.
    pub credential: Arc<Credential>,
    /// Certificates to trust instead of the system's.
    pub roots: Option<rustls::RootCertStore>,
    /// The container that belongs to the gate: keyring records. No client reaches it.
    pub system_container: String,
}

/// A store, ready to be asked.
pub struct Store {
    client: Client<HttpsConnector<HttpConnector>, StoreBody>,
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
    signer: Signer,
    clock: Clock,
    name: String,
    region: String,
    system_container: String,
}

/// One request to a store.
pub struct Call<'a> {
    /// Its method.
    pub method: Method,
    /// The bucket; empty for the service itself.
    pub bucket: &'a str,
    /// The key as it stands on the client's wire, percent-encoded; empty for the bucket itself.
    pub key: &'a str,
    /// The query, without the question mark.
    pub query: &'a str,
    /// As whom the store is asked.
    pub caller: &'a Caller,
    /// Headers, without those that the client or the signature sets.
    pub headers: HeaderMap,
    /// The body.
    pub body: StoreBody,
}

/// Why a store gave no answer. What exactly happened stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No connection, or it broke before an answer came.
    #[error("the store can't be reached")]
    Unreachable,
    /// It fell silent over the request or its answer.
    #[error("the store did not answer in time")]
    Timeout,
    /// The request could not be put into words.
    #[error("the request to the store can't be made")]
    Unspeakable,
}

impl Store {
    /// A client of this store. Nothing is connected before the first request.
    ///
    /// # Errors
    /// No certificates to trust can be found.
    pub fn new(options: StoreOptions, clock: Clock) -> std::io::Result<Self> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT));
        let tls = match options.roots.clone() {
            Some(roots) => rustls::ClientConfig::builder()
                .with_root_certificates(roots)
                .with_no_client_auth(),
            None if options.scheme == Scheme::HTTPS => {
                let builder = hyper_rustls::HttpsConnectorBuilder::new().with_native_roots()?;
                return Ok(Self::with(
                    builder.https_or_http().enable_http1().wrap_connector(http),
                    options,
                    clock,
                ));
            }
            None => rustls::ClientConfig::builder()
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth(),
        };
        let builder = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls);
        Ok(Self::with(
            builder.https_or_http().enable_http1().wrap_connector(http),
            options,
            clock,
        ))
    }

    fn with(connector: HttpsConnector<HttpConnector>, options: StoreOptions, clock: Clock) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(BUFFER)
            .build(connector);
        let host = HeaderValue::from_str(options.authority.as_str()).unwrap_or_else(|_| HeaderValue::from_static(""));
        Self {
            client,
            scheme: options.scheme,
            host,
            authority: options.authority,
            signer: Signer::new(options.credential, options.region.as_str(), "s3"),
            clock,
            name: options.name,
            region: options.region,
            system_container: options.system_container,
        }
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A client that has this credential here.
    pub fn caller(&self, credential: Arc<Credential>) -> Caller {
        Caller::Client(Arc::new(Signer::new(credential, self.region.as_str(), "s3")))
    }

    /// The container that no client reaches.
    pub fn system_container(&self) -> &str {
        &self.system_container
    }

    /// Signs and sends one request, and returns the answer once its head is there.
    ///
    /// # Errors
    /// [`StoreError`]: there was no answer.
    pub async fn send(&self, call: Call<'_>) -> Result<Response<Incoming>, StoreError> {
        let progress = call.body.progress();
        let request = self.signed(call)?;
        tokio::select! {
            answer = self.client.request(request) => answer.map_err(|error| {
                tracing::warn!(store = %self.authority, error = %chain(&error), "no answer from the store");
                StoreError::Unreachable
            }),
            () = progress.silence(SILENCE) => {
                tracing::warn!(store = %self.authority, "the store has been silent for too long");
                Err(StoreError::Timeout)
            }
        }
    }

    /// The request as it goes out, with the signature of whoever asks.
    fn signed(&self, call: Call<'_>) -> Result<Request<StoreBody>, StoreError> {
        let mut request = Request::new(call.body);
        *request.method_mut() = call.method;
        *request.headers_mut() = call.headers;
        *request.uri_mut() = self
            .target(call.bucket, call.key, call.query)
            .map_err(|_| StoreError::Unspeakable)?;
        let (mut parts, body) = request.into_parts();
        parts.headers.insert(HOST, self.host.clone());
        let len = http_body::Body::size_hint(&body).exact().unwrap_or(0);
        if len > 0 || parts.method == Method::PUT || parts.method == Method::POST {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
        }
        let now = self.clock.now().system_time();
        let signer = match call.caller {
            Caller::Gate => Some(&self.signer),
            Caller::Client(signer) => Some(&**signer),
            Caller::Nobody => None,
        };
        if let Some(signer) = signer {
            signer
                .sign(&mut parts, body.payload_hash(), now)
                .map_err(|_| StoreError::Unspeakable)?;
        }
        Ok(Request::from_parts(parts, body))
    }

    /// One spelling of path and query, so that what is signed is what the store reads.
    fn target(&self, bucket: &str, key: &str, query: &str) -> Result<Uri, http::Error> {
        let mut target = canonical_path(&["/", bucket].concat());
        if !key.is_empty() {
            target.push('/');
            target.push_str(&canonical_path(key));
        }
        if !query.is_empty() {
            target.push('?');
            target.push_str(&canonical_query(query));
        }
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(PathAndQuery::try_from(target)?)
            .build()
    }
}

/// The whole body of an answer, of `most` bytes at the most.
///
/// # Errors
/// It is longer, breaks off, or does not end in time.
pub async fn collect(body: Incoming, most: usize) -> Result<Bytes, StoreError> {
    match tokio::time::timeout(SILENCE, Limited::new(body, most).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the store's answer can't be read");
            Err(StoreError::Unreachable)
        }
        Err(_) => Err(StoreError::Timeout),
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
