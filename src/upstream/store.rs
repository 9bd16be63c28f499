//! An S3 store: requests signed with the gate's own credential, over pooled connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, EXPECT, HOST};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use tokio::sync::OnceCell;

use crate::telemetry::clock::Clock;
use crate::upstream::body::StoreBody;
use crate::upstream::dialect::{Addressing, Dialect, Payload};
use crate::upstream::probe::Heeded;
use crate::upstream::redirect::{self, Home, Homes};
use crate::upstream::sigv4::{Credential, Signer, canonical_path, canonical_query};
use crate::upstream::trailer::{self, Framed};
use crate::upstream::window::Windowed;

/// How long a store may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a store may be silent: take nothing of a request that it could take, begin no answer, or send nothing more of it.
pub(super) const SILENCE: Duration = Duration::from_secs(120);
/// The most, in bytes, that hyper reads ahead of an answer; its own bound would be six chunks.
const BUFFER: usize = 128 * 1024;
/// So often a store may name another place to ask before it is given up.
const HOPS: u32 = 3;
/// Idle connections are kept this long: less than stores keep theirs.
const IDLE: Duration = Duration::from_secs(20);

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
    /// How it differs from other stores.
    pub dialect: Dialect,
}

/// A store, ready to be asked.
pub struct Store {
    client: Client<Windowed<HttpsConnector<HttpConnector>>, StoreBody>,
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
    signer: Signer,
    clock: Clock,
    name: String,
    region: String,
    system_container: String,
    dialect: Dialect,
    homes: Homes,
    probed: OnceCell<Heeded>,
    /// It has let a body wait that was to be asked for.
    never_continues: AtomicBool,
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
    /// Headers, without those that the client or the signature sets. `Expect` in them keeps the body back until the store wants it.
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
    /// It said that all was well before it had the whole body.
    #[error("the store answered before it had the whole body")]
    Hasty,
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
            .build(Windowed(connector));
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
            dialect: options.dialect,
            homes: Homes::default(),
            probed: OnceCell::new(),
            never_continues: AtomicBool::new(false),
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

    /// How it differs from other stores.
    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    pub(super) fn probed(&self) -> &OnceCell<Heeded> {
        &self.probed
    }

    /// What CreateMultipartUpload must say where parts go up with a checksum behind them: which one, and that it is of the whole.
    pub fn multipart_headers(&self, headers: &mut HeaderMap) {
        if self.dialect.payload == Payload::Trailer {
            let algorithm = HeaderValue::from_static(trailer::ALGORITHM.name());
            headers.insert("x-amz-checksum-algorithm", algorithm);
            headers.insert("x-amz-checksum-type", HeaderValue::from_static("FULL_OBJECT"));
        }
    }

    /// Signs and sends one request, and returns the answer once its head is there. Where the store names another place for the
    /// bucket, it is asked there.
    ///
    /// # Errors
    /// [`StoreError`]: there was no answer, or one that can't be true.
    pub async fn send(&self, call: Call<'_>) -> Result<Response<Incoming>, StoreError> {
        if call.bucket.is_empty() {
            return self.once(call, None).await;
        }
        if let Some(home) = self.homes.of(call.bucket) {
            let bucket = call.bucket;
            let answer = self.once(call, Some(&home)).await?;
            if redirect::is_elsewhere(answer.status(), self.dialect.regional) {
                self.homes.forget(bucket);
            }
            return Ok(answer);
        }
        if call.body.again().is_none() {
            // A client's bytes go out once: so they must go to the right place at once.
            let home = match self.dialect.regional {
                true => Box::pin(self.find(call.bucket, call.caller)).await?,
                false => Arc::default(),
            };
            let bucket = call.bucket;
            let answer = self.once(call, Some(&home)).await?;
            self.settle(bucket, &answer, home);
            return Ok(answer);
        }
        Box::pin(self.follow(call)).await
    }

    /// Asks for a bucket that has not answered yet, wherever it may lie.
    async fn follow(&self, call: Call<'_>) -> Result<Response<Incoming>, StoreError> {
        let mut home: Arc<Home> = Arc::default();
        let (mut hops, mut asked) = (0, false);
        let mut body = call.body.again();
        loop {
            let answer = self.once(call.with(body.take()), Some(&home)).await?;
            if !redirect::is_elsewhere(answer.status(), self.dialect.regional) || hops == HOPS {
                self.settle(call.bucket, &answer, home);
                return Ok(answer);
            }
            hops += 1;
            let mut named = self.named(call.bucket, &answer);
            if named.is_none() && self.dialect.regional && !asked {
                // The answer's head does not say where, but that to a HEAD of the bucket does.
                asked = true;
                let head = self.once(Call::head(call.bucket, call.caller), Some(&home)).await;
                named = head.ok().and_then(|answer| self.named(call.bucket, &answer));
            }
            match named {
                Some(named) if named != *home => home = Arc::new(named),
                _ => {
                    self.settle(call.bucket, &answer, home);
                    return Ok(answer);
                }
            }
            body = call.body.again();
        }
    }

    /// Where a bucket lies, by a HEAD of it. Whatever else its answer says is for the request itself to hear.
    async fn find(&self, bucket: &str, caller: &Caller) -> Result<Arc<Home>, StoreError> {
        let mut home: Arc<Home> = Arc::default();
        for _ in 0..HOPS {
            let answer = self.once(Call::head(bucket, caller), Some(&home)).await?;
            match self.named(bucket, &answer) {
                Some(named) if named != *home => home = Arc::new(named),
                _ => break,
            }
        }
        Ok(home)
    }

    fn named(&self, bucket: &str, answer: &Response<Incoming>) -> Option<Home> {
        redirect::home(answer.status(), answer.headers(), bucket, &self.authority, &self.region)
    }

    /// The bucket has answered here: it will be asked here.
    fn settle(&self, bucket: &str, answer: &Response<Incoming>, home: Arc<Home>) {
        let status = answer.status();
        // A bucket that is not there yet may be made elsewhere.
        if status == StatusCode::NOT_FOUND || redirect::is_elsewhere(status, self.dialect.regional) {
            return;
        }
        if *home != Home::default() {
            tracing::info!(store = %self.authority, bucket, ?home, "the store named another place for the bucket");
        }
        self.homes.learn(bucket, home);
    }

    async fn once(&self, mut call: Call<'_>, home: Option<&Home>) -> Result<Response<Incoming>, StoreError> {
        if self.dialect.payload == Payload::Trailer {
            let (body, len) = call.body.with_trailer();
            call.body = body;
            if let Some(len) = len {
                Framed::announce(len, &mut call.headers);
            }
        }
        let progress = call.body.progress();
        let expects = call.headers.remove(EXPECT).is_some() && !self.never_continues.load(Ordering::Relaxed);
        let question = if expects { call.body.expecting() } else { None };
        let mut request = self.signed(call, home)?;
        if let Some(question) = &question {
            question.ask(&mut request);
        }
        let answer = tokio::select! {
            answer = self.client.request(request) => answer.map_err(|error| {
                tracing::warn!(store = %self.authority, error = %chain(&error), "no answer from the store");
                StoreError::Unreachable
            })?,
            () = progress.silence(SILENCE) => {
                tracing::warn!(store = %self.authority, "the store has been silent for too long");
                return Err(StoreError::Timeout);
            }
        };
        if question.is_some_and(|question| question.answered()) {
            tracing::info!(store = %self.authority, "the store does not know Expect: 100-continue; it is not asked so again");
            self.never_continues.store(true, Ordering::Relaxed);
        }
        if answer.status().is_success() && !progress.handed_over() {
            tracing::warn!(store = %self.authority, "the store answered before it had the whole body");
            return Err(StoreError::Hasty);
        }
        Ok(answer)
    }

    /// The request as it goes out, with the signature of whoever asks.
    fn signed(&self, call: Call<'_>, home: Option<&Home>) -> Result<Request<StoreBody>, StoreError> {
        let mut request = Request::new(call.body);
        *request.method_mut() = call.method;
        *request.headers_mut() = call.headers;
        let (uri, host) = self
            .target(call.bucket, call.key, call.query, home)
            .map_err(|_| StoreError::Unspeakable)?;
        *request.uri_mut() = uri;
        let (mut parts, body) = request.into_parts();
        parts.headers.insert(HOST, host);
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
            let region = home.and_then(|home| home.region.as_deref()).unwrap_or(&self.region);
            signer
                .sign_for(region, &mut parts, body.payload_hash(), now)
                .map_err(|_| StoreError::Unspeakable)?;
        }
        Ok(Request::from_parts(parts, body))
    }

    /// One spelling of path and query, so that what is signed is what the store reads; and the host that is asked.
    fn target(
        &self,
        bucket: &str,
        key: &str,
        query: &str,
        home: Option<&Home>,
    ) -> Result<(Uri, HeaderValue), http::Error> {
        let elsewhere = home.and_then(|home| home.authority.as_ref());
        let mut authority = elsewhere.unwrap_or(&self.authority).clone();
        let mut host = match elsewhere {
            None => self.host.clone(),
            Some(authority) => HeaderValue::from_str(authority.as_str())?,
        };
        let in_host = self.dialect.addressing == Addressing::Virtual
            && !bucket.is_empty()
            && !(self.scheme == Scheme::HTTPS && bucket.contains('.'));
        let mut target = String::new();
        if in_host {
            let text = [bucket, ".", authority.as_str()].concat();
            host = HeaderValue::from_str(&text)?;
            authority = Authority::try_from(text)?;
        } else {
            target.push_str(&canonical_path(&["/", bucket].concat()));
        }
        if !key.is_empty() || in_host {
            target.push('/');
        }
        if !key.is_empty() {
            target.push_str(&canonical_path(key));
        }
        if !query.is_empty() {
            target.push('?');
            target.push_str(&canonical_query(query));
        }
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(authority)
            .path_and_query(PathAndQuery::try_from(target)?)
            .build()?;
        Ok((uri, host))
    }
}

impl<'a> Call<'a> {
    /// The same question with another body.
    fn with(&self, body: Option<StoreBody>) -> Self {
        Self {
            method: self.method.clone(),
            headers: self.headers.clone(),
            body: body.unwrap_or_else(StoreBody::empty),
            ..*self
        }
    }

    /// A HEAD of a bucket.
    fn head(bucket: &'a str, caller: &'a Caller) -> Self {
        Self {
            method: Method::HEAD,
            bucket,
            key: "",
            query: "",
            caller,
            headers: HeaderMap::new(),
            body: StoreBody::empty(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::sigv4::SecretKey;

    fn store(endpoint: &str, addressing: Addressing) -> Store {
        let (scheme, authority) = endpoint.split_once("://").unwrap();
        let options = StoreOptions {
            name: "main".to_owned(),
            scheme: scheme.parse().unwrap(),
            authority: authority.parse().unwrap(),
            region: "us-east-1".to_owned(),
            credential: Arc::new(Credential::new("AKID", SecretKey::new("secret")).unwrap()),
            roots: Some(rustls::RootCertStore::empty()),
            system_container: "system".to_owned(),
            dialect: Dialect {
                addressing,
                ..Dialect::default()
            },
        };
        Store::new(options, Clock::system()).unwrap()
    }

    #[tokio::test]
    async fn the_bucket_stands_where_the_store_wants_it() {
        let (path, host) = (Addressing::Path, Addressing::Virtual);
        for (endpoint, addressing, bucket, key, target) in [
            ("https://s3.x.com", path, "bkt", "a/../b", "https://s3.x.com/bkt/a/../b"),
            ("https://s3.x.com", path, "bkt", "", "https://s3.x.com/bkt"),
            ("https://s3.x.com", path, "", "", "https://s3.x.com/"),
            ("http://s3.x.com:90", host, "bkt", "k", "http://bkt.s3.x.com:90/k"),
            ("https://s3.x.com", host, "bkt", "", "https://bkt.s3.x.com/"),
            ("https://s3.x.com", host, "", "", "https://s3.x.com/"),
            ("https://s3.x.com", host, "b.kt", "k", "https://s3.x.com/b.kt/k"),
            ("http://s3.x.com", host, "b.kt", "k", "http://b.kt.s3.x.com/k"),
        ] {
            let (uri, named) = store(endpoint, addressing).target(bucket, key, "", None).unwrap();
            assert_eq!(uri.to_string(), target);
            assert_eq!(uri.authority().map(Authority::as_str), named.to_str().ok(), "{target}");
        }
        let home = Home {
            region: None,
            authority: Some(Authority::from_static("s3.eu.x.com")),
        };
        let there = store("https://s3.x.com", host).target("bkt", "k", "uploads", Some(&home));
        assert_eq!(there.unwrap().0.to_string(), "https://bkt.s3.eu.x.com/k?uploads=");
    }
}
