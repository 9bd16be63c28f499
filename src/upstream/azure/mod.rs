//! An Azure Blob store: requests under the gate's own credential, over pooled connections.

mod credential;
mod nobody;
mod place;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use http::header::{AUTHORIZATION, CONTENT_LENGTH, DATE, HOST};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::seal::Tail;
use crate::telemetry::clock::Clock;
pub use credential::{AzureCredential, InvalidSas, StoreSas};

use crate::keys::transport::Transport;
use crate::upstream::azure::credential::Standing;
use crate::upstream::azure::place::Place;
use crate::upstream::body::{Progress, StoreBody};
use crate::upstream::shared_key::{self, AccountKey, Order, Plus, Signable};
use crate::upstream::store::StoreError;
use crate::upstream::window::Windowed;

/// How long a store may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a store may be silent, as for S3.
const SILENCE: Duration = Duration::from_secs(120);
/// The most, in bytes, that hyper reads ahead of an answer.
const BUFFER: usize = 128 * 1024;
/// Idle connections are kept this long.
const IDLE: Duration = Duration::from_secs(20);
/// `Date` counts whole seconds, and an answer takes its way: less than this, in ms, is no difference between two clocks.
const TOLERANCE_MS: i64 = 2_000;

const X_MS_DATE: HeaderName = HeaderName::from_static("x-ms-date");
const X_MS_REQUIRES_SYNC: HeaderName = HeaderName::from_static("x-ms-requires-sync");
const X_MS_COPY_SOURCE_AUTHORIZATION: HeaderName = HeaderName::from_static("x-ms-copy-source-authorization");
const X_MS_VERSION: HeaderName = HeaderName::from_static("x-ms-version");
/// The version spoken where the client names none: the first with all that the gate itself asks for.
const VERSION: HeaderValue = HeaderValue::from_static("2021-12-02");

/// The layout of the gate's own SAS, and how long one is good for: a copy of any size must have read its source by then.
const SAS_VERSION: &str = "2021-12-02";
const SOURCE_LASTS: Duration = Duration::from_secs(24 * 3600);
/// What the secondary's name has behind the account's.
const SECONDARY: &str = "-secondary";

/// What needs no encoding in a path, slashes included.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');
/// What needs none in a query.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a store is reached by.
pub struct AzureOptions {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Host and port.
    pub authority: Authority,
    /// Whether the account's name stands in the path, as with Azurite, and not in the host.
    pub path_style: bool,
    /// The upstream account.
    pub account: String,
    /// What the gate is to it.
    pub credential: AzureCredential,
    /// The container that belongs to the gate: keyring records. No client reaches it.
    pub system_container: Option<String>,
    /// Certificates to trust instead of the system's.
    pub roots: Option<rustls::RootCertStore>,
}

/// A store, ready to be asked.
pub struct AzureStore {
    client: Client<Windowed<HttpsConnector<HttpConnector>>, StoreBody>,
    place: Place,
    standing: Standing,
    clock: Clock,
    /// The store's clock less this one's, in ms.
    ahead: AtomicI64,
    /// The last time that was handed out.
    last: AtomicU64,
}

/// One request to a store.
pub struct AzureCall<'a> {
    /// Its method.
    pub method: Method,
    /// Whether the account's secondary is asked, which only reads.
    pub secondary: bool,
    /// The container; empty for the account itself.
    pub container: &'a str,
    /// The blob's name, decoded; empty for the container itself.
    pub blob: &'a str,
    /// The query's parameters, decoded.
    pub query: &'a [(String, String)],
    /// Headers, without those that the signature sets.
    pub headers: HeaderMap,
    /// The spelling of the headers' names, as it came with the client's request: metadata keeps its letters' case.
    pub spelling: Extensions,
    /// The body.
    pub body: StoreBody,
}

impl StoreBody {
    /// The footer of a blob: the block that ends it.
    pub fn footer(tail: &Tail) -> Self {
        Self::document(tail.footer().to_vec())
    }

    /// A document that tells the store what to do, and holds no blob's content: a block list, an access policy, tags.
    pub fn control(document: Vec<u8>) -> Self {
        Self::document(document)
    }
}

impl AzureStore {
    /// A client of this store. Nothing is connected before the first request. `transport` is the way to whoever gives tokens.
    ///
    /// # Errors
    /// No certificates to trust can be found.
    pub fn new(options: AzureOptions, transport: &Transport, clock: Clock) -> std::io::Result<Self> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT));
        let builder = hyper_rustls::HttpsConnectorBuilder::new();
        let builder = match (options.roots, options.scheme == Scheme::HTTPS) {
            (None, true) => builder.with_native_roots()?,
            (roots, _) => builder.with_tls_config(
                rustls::ClientConfig::builder()
                    .with_root_certificates(roots.unwrap_or_else(rustls::RootCertStore::empty))
                    .with_no_client_auth(),
            ),
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(BUFFER)
            .http1_preserve_header_case(true)
            .build(Windowed(builder.https_or_http().enable_http1().wrap_connector(http)));
        Ok(Self {
            client,
            place: Place {
                scheme: options.scheme,
                authority: options.authority,
                path_style: options.path_style,
                account: options.account,
                system_container: options.system_container,
            },
            standing: Standing::new(options.credential, transport, &clock),
            clock,
            ahead: AtomicI64::new(0),
            last: AtomicU64::new(0),
        })
    }

    /// The upstream account.
    pub fn account(&self) -> &str {
        &self.place.account
    }

    /// Whether this is the very account that another store is too: the configuration may name one account twice.
    pub fn is_one_with(&self, other: &Self) -> bool {
        self.place.is_one_with(&other.place)
    }

    /// The container that belongs to the gate, if this store has one.
    pub fn system_container(&self) -> Option<&str> {
        self.place.system_container.as_deref()
    }

    /// What the gate is to this store, for people: a kind of credential, nothing of its value.
    pub fn credential_kind(&self) -> &'static str {
        self.standing.kind()
    }

    /// The URL of a blob in this store, as the store itself is told it in a copy.
    pub fn url(&self, container: &str, blob: &str) -> String {
        format!(
            "{}://{}{}",
            self.place.scheme,
            self.place.authority,
            self.path(false, container, blob)
        )
    }

    /// The URL of a blob for a copy in this store, with a SAS to read it where the gate has something to make one with: a copy that
    /// is made at once reads its source as anybody would. `version` names a snapshot or version.
    pub fn source(&self, container: &str, blob: &str, version: &[(String, String)]) -> String {
        let mut pairs = version.to_vec();
        match &self.standing {
            Standing::Key(key) => pairs.extend(self.read_sas(key, container, blob, version)),
            Standing::Sas(sas) => pairs.extend_from_slice(sas.pairs()),
            // Said in a header, by [`Self::send`].
            Standing::Identity(_) => {}
        }
        match pairs.is_empty() {
            true => self.url(container, blob),
            false => format!("{}?{}", self.url(container, blob), query(&pairs)),
        }
    }

    fn read_sas(
        &self,
        key: &AccountKey,
        container: &str,
        blob: &str,
        version: &[(String, String)],
    ) -> Vec<(String, String)> {
        let now = OffsetDateTime::from(self.clock.now().system_time());
        let form = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
        let expiry = (now + SOURCE_LASTS)
            .to_offset(time::UtcOffset::UTC)
            .format(form)
            .unwrap_or_default();
        let resource = format!("/blob/{}/{container}/{blob}", self.place.account);
        let (snapshot, kind) = match version.iter().find(|(name, _)| name == "snapshot") {
            Some((_, snapshot)) => (snapshot.as_str(), "bs"),
            None => ("", "b"),
        };
        // sp, st, se, resource, si, sip, spr, sv, sr, snapshot, ses, rscc, rscd, rsce, rscl, rsct
        let before = ["r", "", &expiry, &resource, "", "", "", SAS_VERSION, kind, snapshot];
        let text = [before.as_slice(), &[""; 6]].concat().join("\n");
        let signature = key.sign(text.as_bytes());
        let pairs = [
            ("sv", SAS_VERSION),
            ("sr", kind),
            ("sp", "r"),
            ("se", &expiry),
            ("sig", &signature),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    /// The time by the store's clock, in ms since the Unix epoch. No two calls are given the same.
    pub fn now_ms(&self) -> u64 {
        let own = u64::try_from(self.clock.now().wall.as_millis()).unwrap_or(u64::MAX);
        let now = own.saturating_add_signed(self.ahead.load(Ordering::Relaxed));
        let next = |last: u64| Some(now.max(last.saturating_add(1)));
        let last = self.last.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        last.map_or(now, |last| now.max(last.saturating_add(1)))
    }

    /// Signs and sends one request, and returns the answer once its head is there.
    ///
    /// # Errors
    /// [`StoreError`]: there was no answer.
    pub async fn send(&self, call: AzureCall<'_>) -> Result<Response<Incoming>, StoreError> {
        let progress = call.body.progress();
        let token = self.standing.token().await?;
        let request = self.request(call, Some(&self.standing), token)?;
        self.exchange(request, progress).await
    }

    async fn exchange(
        &self,
        request: Request<StoreBody>,
        progress: Arc<Progress>,
    ) -> Result<Response<Incoming>, StoreError> {
        let authority = &self.place.authority;
        let answer = tokio::select! {
            answer = self.client.request(request) => answer.map_err(|error| {
                tracing::warn!(store = %authority, ?error, "no answer from the store");
                StoreError::Unreachable
            })?,
            () = progress.silence(SILENCE) => {
                tracing::warn!(store = %authority, "the store has been silent for too long");
                return Err(StoreError::Timeout);
            }
        };
        self.set_clock(answer.headers());
        Ok(answer)
    }

    fn request(
        &self,
        call: AzureCall<'_>,
        standing: Option<&Standing>,
        token: Option<HeaderValue>,
    ) -> Result<Request<StoreBody>, StoreError> {
        let path = self.path(call.secondary, call.container, call.blob);
        let query = match standing {
            Some(Standing::Sas(sas)) => query(&[call.query, sas.pairs()].concat()),
            Some(Standing::Key(_) | Standing::Identity(_)) | None => query(call.query),
        };
        let mut request = Request::new(call.body);
        *request.method_mut() = call.method;
        *request.headers_mut() = call.headers;
        *request.extensions_mut() = call.spelling;
        *request.uri_mut() = self
            .target(call.secondary, &path, &query)
            .map_err(|_| StoreError::Unspeakable)?;
        let (mut parts, body) = request.into_parts();
        let len = http_body::Body::size_hint(&body).exact().unwrap_or(0);
        if len > 0 || parts.method == Method::PUT || parts.method == Method::POST {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
        }
        parts.headers.entry(X_MS_VERSION).or_insert(VERSION);
        let now = OffsetDateTime::from(self.clock.now().system_time());
        let date = http_date(now).ok_or(StoreError::Unspeakable)?;
        parts.headers.insert(X_MS_DATE, date);
        if let Some(token) = token {
            // A copy made at once reads its source as whoever this names; one that is made later, as who asked for it.
            if parts.headers.get(X_MS_REQUIRES_SYNC).is_some_and(|sync| sync == "true") {
                parts.headers.insert(X_MS_COPY_SOURCE_AUTHORIZATION, token.clone());
            }
            parts.headers.insert(AUTHORIZATION, token);
        }
        if let Some(Standing::Key(key)) = standing {
            let signable = Signable {
                method: &parts.method,
                headers: &parts.headers,
                account: &self.place.account,
                path: &path,
                query: &query,
            };
            let text = signable.text(shared_key::Scheme::SharedKey, Order::Collation, Plus::Space);
            let authorization = format!("SharedKey {}:{}", self.place.account, key.sign(&text));
            let mut authorization = HeaderValue::try_from(authorization).map_err(|_| StoreError::Unspeakable)?;
            authorization.set_sensitive(true);
            parts.headers.insert(AUTHORIZATION, authorization);
        }
        let host = parts
            .uri
            .authority()
            .and_then(|host| HeaderValue::from_str(host.as_str()).ok());
        parts.headers.insert(HOST, host.ok_or(StoreError::Unspeakable)?);
        Ok(Request::from_parts(parts, body))
    }

    /// One spelling of the path, so that what is signed is what the store reads.
    fn path(&self, secondary: bool, container: &str, blob: &str) -> String {
        let mut path = String::from("/");
        if self.place.path_style {
            path.push_str(&self.place.account);
            if secondary {
                path.push_str(SECONDARY);
            }
            if !container.is_empty() {
                path.push('/');
            }
        }
        path.extend(utf8_percent_encode(container, PATH));
        if !blob.is_empty() {
            path.push('/');
            path.extend(utf8_percent_encode(blob, PATH));
        }
        path
    }

    fn target(&self, secondary: bool, path: &str, query: &str) -> Result<Uri, http::Error> {
        let authority = match self.place.authority.as_str().split_once('.') {
            Some((name, rest)) if secondary && !self.place.path_style => {
                Authority::try_from(format!("{name}{SECONDARY}.{rest}"))?
            }
            _ => self.place.authority.clone(),
        };
        let target = if query.is_empty() {
            PathAndQuery::try_from(path)?
        } else {
            PathAndQuery::try_from(format!("{path}?{query}"))?
        };
        Uri::builder()
            .scheme(self.place.scheme.clone())
            .authority(authority)
            .path_and_query(target)
            .build()
    }

    /// Reads the store's clock off an answer.
    fn set_clock(&self, headers: &HeaderMap) {
        let date = headers.get(DATE).and_then(|value| value.to_str().ok());
        let Some(Ok(date)) = date.map(|text| OffsetDateTime::parse(text, &Rfc2822)) else {
            return;
        };
        let own = self
            .clock
            .now()
            .system_time()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let own = i64::try_from(own.as_millis()).unwrap_or(i64::MAX);
        let ahead = date
            .unix_timestamp()
            .saturating_mul(1000)
            .saturating_add(500)
            .saturating_sub(own);
        let ahead = if ahead.abs() < TOLERANCE_MS { 0 } else { ahead };
        if ahead.abs_diff(self.ahead.load(Ordering::Relaxed)) >= TOLERANCE_MS.unsigned_abs() {
            self.ahead.store(ahead, Ordering::Relaxed);
        }
    }
}

/// A moment as HTTP writes it (RFC 9110 section 5.6.7).
pub fn http_date(moment: OffsetDateTime) -> Option<HeaderValue> {
    let form = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    HeaderValue::try_from(moment.to_offset(time::UtcOffset::UTC).format(form).ok()?).ok()
}

/// Parameters as they stand on the wire.
fn query(pairs: &[(String, String)]) -> String {
    let encode = |text: &str| utf8_percent_encode(text, QUERY).to_string();
    let pairs = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// The parameters of a query on the wire, decoded; a plus is a space, as the service reads it. `None` where they are no UTF-8.
pub fn parameters(query: &str) -> Option<Vec<(String, String)>> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text)
            .decode_utf8()
            .ok()
            .map(std::borrow::Cow::into_owned)
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::transport::TransportOptions;

    fn store(path_style: bool) -> AzureStore {
        let options = AzureOptions {
            scheme: Scheme::HTTP,
            authority: Authority::from_static("127.0.0.1:1"),
            path_style,
            account: "acct".into(),
            credential: AzureCredential::Key(Box::new(AccountKey::of(&[1; 32]))),
            system_container: None,
            roots: None,
        };
        let transport = Transport::new(TransportOptions::default()).unwrap();
        AzureStore::new(options, &transport, Clock::system()).unwrap()
    }

    #[test]
    fn names_are_encoded_once_and_slashes_kept() {
        assert_eq!(store(true).path(false, "c", "a b/ü+%"), "/acct/c/a%20b/%C3%BC%2B%25");
        assert_eq!(store(false).path(true, "c", "x"), "/c/x");
        assert_eq!(
            (store(false).path(false, "", ""), store(true).path(true, "", "")),
            ("/".into(), "/acct-secondary".into())
        );
        assert_eq!(store(true).url("c", "b"), "http://127.0.0.1:1/acct/c/b");
    }

    #[test]
    fn a_query_comes_back_as_it_was_meant() {
        let pairs = parameters("comp=list&prefix=a+b%2Bc&marker").unwrap();
        assert_eq!(query(&pairs), "comp=list&prefix=a%20b%2Bc&marker=");
        assert_eq!(parameters("a=%ff"), None);
    }

    #[test]
    fn times_ascend_and_follow_the_stores_clock() {
        let store = store(true);
        let times: Vec<u64> = (0..100).map(|_| store.now_ms()).collect();
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
        let mut headers = HeaderMap::new();
        let later = OffsetDateTime::now_utc() + Duration::from_secs(3600);
        headers.insert(DATE, http_date(later).unwrap());
        store.set_clock(&headers);
        let ahead = store.now_ms() - times[0];
        assert!((3_590_000..3_610_000).contains(&ahead), "{ahead}");
    }
}
