//! CipherTrust Manager over HTTP: a token, the rows of a key, a schedule. It asks and never changes.
//!
//! Tokens live 5 minutes (`POST /api/v1/auth/tokens`); a refresh token saves the password from going out each time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::cckm::CckmOptions;
use crate::cckm::row::KeyRow;
use crate::cckm::schedule::Schedule;

/// The time that one request may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// A token is used this long: a minute less than it lives.
const TOKEN: Duration = Duration::from_secs(4 * 60);
/// Rows asked for at once.
const PAGE: usize = 100;
/// No key has more versions than this that matter; CCKM may name several vaults' keys alike.
const MOST_ROWS: usize = 2000;
/// The most of an answer that is read: a page of rows is some 400 KiB.
const ANSWER_LIMIT: usize = 8 << 20;

/// Why CipherTrust Manager told nothing. Without any text of its own: it is logged and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CckmError {
    /// No connection, a certificate that is not trusted, or no answer in time.
    #[error("CipherTrust Manager can't be reached")]
    Unreachable,
    /// It does not take the user's password.
    #[error("CipherTrust Manager does not accept the user")]
    Unauthorized,
    /// The user may not read keys or schedules.
    #[error("the user may not read this in CipherTrust Manager")]
    Forbidden,
    /// Another answer than the API's.
    #[error("CipherTrust Manager gave an unrecognised answer with status {status}")]
    Unrecognised {
        /// The HTTP status.
        status: u16,
    },
    /// No HTTP client could be made of the certificates.
    #[error("the CA file holds no usable PEM certificate")]
    Certificates,
}

impl CckmError {
    /// The stable name, for metrics and the board.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Unrecognised { .. } => "unrecognised",
            Self::Certificates => "certificates",
        }
    }
}

/// A CipherTrust Manager, signed in where need be.
pub(super) struct Client {
    http: reqwest::Client,
    options: CckmOptions,
    token: Mutex<Option<Token>>,
}

/// What a sign-in gave.
struct Token {
    jwt: Zeroizing<String>,
    refresh: Option<Zeroizing<String>>,
    since: Instant,
}

#[derive(Deserialize)]
struct Tokens {
    jwt: String,
    #[serde(default)]
    refresh_token: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    resources: Vec<Value>,
    #[serde(default)]
    total: Option<usize>,
}

/// A scheduler's job (`/api/v1/scheduler/job-configs/{id}`).
#[derive(Deserialize)]
struct Job {
    #[serde(default)]
    operation: Option<String>,
    #[serde(default)]
    run_at: Option<String>,
    #[serde(default)]
    disabled: bool,
}

impl Client {
    pub(super) fn new(options: CckmOptions) -> Result<Self, CckmError> {
        let mut builder = reqwest::Client::builder()
            .timeout(DEADLINE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        if let Some(pem) = &options.ca_pem {
            let roots = reqwest::Certificate::from_pem_bundle(pem).map_err(|_| CckmError::Certificates)?;
            builder = builder.tls_certs_only(roots);
        }
        Ok(Self {
            http: builder.build().map_err(|_| CckmError::Certificates)?,
            options,
            token: Mutex::default(),
        })
    }

    pub(super) fn options(&self) -> &CckmOptions {
        &self.options
    }

    /// All versions of the keys of this name, whichever vault they are in.
    pub(super) async fn keys(&self, name: &str) -> Result<Vec<KeyRow>, CckmError> {
        let mut rows = Vec::new();
        let mut seen = 0;
        loop {
            let (skip, limit) = (seen.to_string(), PAGE.to_string());
            let query = [("key_name", name), ("skip", &skip), ("limit", &limit)];
            let page: Page = self.get("api/v1/cckm/azure/keys", &query).await?;
            let found = page.resources.len();
            seen += found;
            rows.extend(page.resources.into_iter().filter_map(KeyRow::read));
            let more = page.total.map_or(found == PAGE, |total| seen < total);
            if found == 0 || !more || seen >= MOST_ROWS {
                return Ok(rows);
            }
        }
    }

    /// When a job runs; `None` for one that is switched off or rotates nothing.
    pub(super) async fn schedule(&self, job: &str) -> Result<Option<Schedule>, CckmError> {
        // An id is a path segment of CCKM's own making, and goes out as one.
        let job: String = percent_encoding::utf8_percent_encode(job, percent_encoding::NON_ALPHANUMERIC).to_string();
        let job: Job = self.get(&format!("api/v1/scheduler/job-configs/{job}"), &[]).await?;
        let rotates = job
            .operation
            .as_deref()
            .is_none_or(|operation| operation == "cckm_key_rotation");
        Ok(job
            .run_at
            .filter(|_| rotates && !job.disabled)
            .and_then(|text| Schedule::parse(&text)))
    }

    /// Asks with a token, and once more with another if that one is no longer taken.
    async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, CckmError> {
        let jwt = self.token(None).await?;
        match self.once(path, query, &jwt).await {
            Err(CckmError::Unauthorized) => {
                let jwt = self.token(Some(&jwt)).await?;
                self.once(path, query, &jwt).await
            }
            answer => answer,
        }
    }

    async fn once<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)], jwt: &str) -> Result<T, CckmError> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        answer(self.http.request(Method::GET, url).bearer_auth(jwt)).await
    }

    /// A token that is young, and not `refused`.
    async fn token(&self, refused: Option<&str>) -> Result<Zeroizing<String>, CckmError> {
        let refresh = match &*self.locked() {
            Some(token) if token.since.elapsed() < TOKEN && refused != Some(&**token.jwt) => {
                return Ok(token.jwt.clone());
            }
            Some(token) => token.refresh.clone(),
            None => None,
        };
        let refreshed = match refresh {
            Some(refresh) => {
                let asked = json!({"grant_type": "refresh_token", "refresh_token": &**refresh});
                self.sign_in(&asked).await.ok()
            }
            None => None,
        };
        let tokens = match refreshed {
            Some(tokens) => tokens,
            None => self.sign_in(&self.password()).await?,
        };
        let token = Token {
            jwt: Zeroizing::new(tokens.jwt),
            refresh: tokens.refresh_token.map(Zeroizing::new),
            since: Instant::now(),
        };
        let jwt = token.jwt.clone();
        *self.locked() = Some(token);
        Ok(jwt)
    }

    fn password(&self) -> Value {
        let options = &self.options;
        let mut asked = json!({
            "grant_type": "password",
            "username": options.username,
            "password": options.password.expose(),
        });
        if let (Some(domain), Some(asked)) = (&options.domain, asked.as_object_mut()) {
            asked.insert("domain".to_owned(), domain.as_str().into());
        }
        asked
    }

    async fn sign_in(&self, asked: &Value) -> Result<Tokens, CckmError> {
        let body = Zeroizing::new(asked.to_string());
        let url = self.url("api/v1/auth/tokens/")?;
        let request = self.http.request(Method::POST, url);
        answer(
            request
                .header("content-type", "application/json")
                .body(body.to_string()),
        )
        .await
    }

    fn url(&self, path: &str) -> Result<Url, CckmError> {
        self.options.endpoint.join(path).map_err(|_| CckmError::Unreachable)
    }

    fn locked(&self) -> MutexGuard<'_, Option<Token>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends, and reads what comes, up to a limit.
async fn answer<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, CckmError> {
    let mut response = request.send().await.map_err(|_| CckmError::Unreachable)?;
    let status = response.status();
    match status {
        StatusCode::UNAUTHORIZED => return Err(CckmError::Unauthorized),
        StatusCode::FORBIDDEN => return Err(CckmError::Forbidden),
        status if !status.is_success() => {
            return Err(CckmError::Unrecognised {
                status: status.as_u16(),
            });
        }
        _ => {}
    }
    let unrecognised = CckmError::Unrecognised {
        status: status.as_u16(),
    };
    let mut body = Zeroizing::new(Vec::new());
    while let Some(bytes) = response.chunk().await.map_err(|_| CckmError::Unreachable)? {
        if body.len() + bytes.len() > ANSWER_LIMIT {
            return Err(unrecognised);
        }
        body.extend_from_slice(&bytes);
    }
    serde_json::from_slice(&body).map_err(|_| unrecognised)
}
