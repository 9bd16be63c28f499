//! Faults on demand: what may go wrong between a client and the services, how often, and for which operations.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::RETRY_AFTER;
use serde_json::json;
use tokio::sync::watch;

use crate::dev::standin::reply::Reply;

/// A service of the stand-in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A vault, by name.
    Vault(String),
    /// An Entra tenant, by id (or by what a client asked for, where there is no such tenant).
    Entra(String),
    /// The identity endpoints: IMDS and App Service.
    Identity,
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Any vault request without a token: answered with the challenge.
    Challenge,
    GetKey,
    ListVersions,
    ListKeys,
    WrapKey,
    UnwrapKey,
    UpdateKey,
    CreateKey,
    RotateKey,
    DeleteKey,
    GetDeletedKey,
    ListDeletedKeys,
    RecoverKey,
    PurgeKey,
    /// A token exchange at Entra.
    Token,
    /// Entra's metadata and signing keys.
    Discovery,
    /// A managed identity token.
    IdentityToken,
    /// Anything the stand-in does not serve.
    Unknown,
}

/// A fault: an effect, on one operation or all, some number of times or until cleared.
#[derive(Clone, Debug)]
pub struct Fault {
    pub(super) effect: Effect,
    pub(super) on: Option<Operation>,
    pub(super) times: Option<u32>,
}

/// What goes wrong.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    /// 429, in the service's own form.
    Throttled { retry_after: Option<u32> },
    /// A 5xx in the service's own form.
    Broken(StatusCode),
    /// This refusal of the service's own.
    Refusal(Box<Reply>),
    /// This answer of somebody on the way, without the service's headers.
    Answer(Box<Reply>),
    /// The decision itself comes later.
    Slow(Duration),
    /// Decided on arrival, answered later.
    Late(Wait),
    /// The connection is closed; nothing happened.
    DroppedBefore,
    /// The connection is closed; what was asked for happened.
    DroppedAfter,
    /// Taken and never answered.
    Silent,
    /// New connections (by name) are closed before TLS, requests on old ones dropped.
    Unreachable,
    /// New connections (by name) are refused by TLS itself, requests on old ones dropped.
    TlsFails,
}

/// How long a late answer is held.
#[derive(Clone, Debug)]
pub(super) enum Wait {
    For(Duration),
    Until(Gate),
}

/// Holds late answers until a test lets them go. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Fault {
    /// 429 with the service's own body. Key Vault sends no Retry-After (seconds), Entra and IMDS may.
    pub fn throttled(retry_after: Option<u32>) -> Self {
        Self::new(Effect::Throttled { retry_after })
    }

    /// A 500 with the service's own body.
    pub fn broken() -> Self {
        Self::new(Effect::Broken(StatusCode::INTERNAL_SERVER_ERROR))
    }

    /// A 503 with the service's own body.
    pub fn busy() -> Self {
        Self::new(Effect::Broken(StatusCode::SERVICE_UNAVAILABLE))
    }

    /// Any answer at all: a status, a media type and a body.
    pub fn answer(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self::new(Effect::Answer(Box::new(Reply::text(status, content_type, body))))
    }

    /// A refusal in Key Vault's form, for those that the world has no state for.
    pub fn vault_refusal(status: StatusCode, code: &str, inner: Option<&str>, message: &str) -> Self {
        let error = match inner {
            Some(inner) => json!({"code": code, "message": message, "innererror": {"code": inner}}),
            None => json!({"code": code, "message": message}),
        };
        let reply = Reply::json(status, &json!({"error": error})).coded(inner.unwrap_or(code));
        Self::new(Effect::Refusal(Box::new(reply)))
    }

    /// A refusal in Entra's form, by its AADSTS number, for those that the world has no state for.
    pub fn entra_refusal(status: StatusCode, error: &str, number: u32, text: &str) -> Self {
        let description = format!("AADSTS{number}: {text}");
        let body = json!({"error": error, "error_description": description, "error_codes": [number]});
        Self::new(Effect::Refusal(Box::new(
            Reply::json(status, &body).coded(&number.to_string()),
        )))
    }

    /// 409 as Key Vault gives it while it deletes a key.
    pub fn conflict(key: &str) -> Self {
        let message = format!("Key {key} is currently being deleted and cannot be re-created; retry later.");
        Self::vault_refusal(StatusCode::CONFLICT, "Conflict", Some("ObjectIsBeingDeleted"), &message)
    }

    /// 403 as an outbound proxy on the way answers, in HTML and without the service's headers.
    pub fn proxy_refusal() -> Self {
        Self::answer(
            StatusCode::FORBIDDEN,
            "text/html",
            "<html><body><h1>403 Forbidden</h1></body></html>\n",
        )
    }

    /// The decision comes `delay` after the request.
    pub fn slow(delay: Duration) -> Self {
        Self::new(Effect::Slow(delay))
    }

    /// The decision is taken when the request arrives; the answer leaves `delay` later.
    pub fn late(delay: Duration) -> Self {
        Self::new(Effect::Late(Wait::For(delay)))
    }

    /// The decision is taken when the request arrives; the answer leaves when the gate opens.
    pub fn late_until(gate: &Gate) -> Self {
        Self::new(Effect::Late(Wait::Until(gate.clone())))
    }

    /// The connection is closed without an answer, and nothing happened.
    pub fn dropped_before() -> Self {
        Self::new(Effect::DroppedBefore)
    }

    /// The connection is closed without an answer, though what was asked for happened.
    pub fn dropped_after() -> Self {
        Self::new(Effect::DroppedAfter)
    }

    /// The request is taken and never answered, as behind a firewall that drops packets.
    pub fn silent() -> Self {
        Self::new(Effect::Silent)
    }

    /// Connections to the service's own name are closed before TLS; requests that come on open ones are dropped.
    pub fn unreachable() -> Self {
        Self::new(Effect::Unreachable)
    }

    /// New connections to the service's own name fail in TLS's handshake, as with a proxy in between that breaks it open; requests that
    /// come on open ones are dropped.
    pub fn tls_fails() -> Self {
        Self::new(Effect::TlsFails)
    }

    /// Only for this operation. Without it, for all of the service's, the challenge too.
    pub fn on(mut self, operation: Operation) -> Self {
        self.on = Some(operation);
        self
    }

    /// Only this often. Without it, until cleared.
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    fn new(effect: Effect) -> Self {
        Self {
            effect,
            on: None,
            times: None,
        }
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Lets everything held go, and everything that comes later pass.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub(super) async fn passed(&self) {
        // The sender lives as long as `self`, so waiting can't fail.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    /// 429 as this service says it.
    pub(super) fn throttled(&self, retry_after: Option<u32>) -> Reply {
        let status = StatusCode::TOO_MANY_REQUESTS;
        let reply = match self {
            Self::Vault(_) => {
                let message = "Request was not processed because too many requests were received. \
                               Reason: VaultRequestTypeLimitReached";
                Reply::json(status, &json!({"error": {"code": "Throttled", "message": message}})).coded("Throttled")
            }
            Self::Entra(_) => {
                let text = "AADSTS90055: There was an error issuing a token because too many requests were made.";
                let body =
                    json!({"error": "temporarily_unavailable", "error_description": text, "error_codes": [90055]});
                Reply::json(status, &body).coded("90055")
            }
            Self::Identity => {
                let body =
                    json!({"error": "too_many_requests", "error_description": "Temporarily throttled, retry later"});
                Reply::json(status, &body).coded("too_many_requests")
            }
        };
        match retry_after {
            Some(seconds) => reply.with(RETRY_AFTER, &seconds.to_string()),
            None => reply,
        }
    }

    /// A 5xx as this service says it.
    pub(super) fn broken(&self, status: StatusCode) -> Reply {
        let busy = status == StatusCode::SERVICE_UNAVAILABLE;
        match self {
            Self::Vault(_) => {
                let (code, message) = match busy {
                    true => ("ServiceUnavailable", "The service is temporarily unavailable."),
                    false => (
                        "InternalServerError",
                        "An unexpected error occurred while processing the request.",
                    ),
                };
                Reply::json(status, &json!({"error": {"code": code, "message": message}})).coded(code)
            }
            Self::Entra(_) => {
                let text = "AADSTS90033: A transient error has occurred. Please try again.";
                let body =
                    json!({"error": "temporarily_unavailable", "error_description": text, "error_codes": [90033]});
                Reply::json(status, &body).coded("90033")
            }
            Self::Identity => {
                let body = json!({"error": "unknown", "error_description": "Failed to retrieve token from the Active directory"});
                Reply::json(status, &body).coded("unknown")
            }
        }
    }
}
