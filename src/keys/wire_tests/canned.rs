//! Canned answers of the three services, and what stands where the HTTP client does to give them.

use crate::keys::identity::{Cloud, EntraId, Identity, PUBLIC_AUDIENCE};
use crate::keys::key_url::KeyUrl;
use crate::keys::service::Wrapped;
use crate::keys::transport::Transport;
use crate::keys::vault::Vault;
use crate::seal::{KeyVersion, WrapAlgorithm};
use async_trait::async_trait;
use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const TENANT: &str = "33333333-3333-4333-8333-333333333333";
pub const APP: &str = "44444444-4444-4444-8444-444444444444";
pub const IDENTITY: &str = "55555555-5555-4555-8555-555555555555";
pub const VERSION: &str = "0123456789abcdef0123456789abcdef";
pub const OLDER: &str = "ffffffffffffffffffffffffffffffff";
pub const DEK: [u8; 32] = [7; 32];

pub fn id(text: &str) -> EntraId {
    text.parse().unwrap()
}

pub fn version() -> KeyVersion {
    VERSION.parse().unwrap()
}

/// Wrapped by RSA.
pub fn wrapped(bytes: &[u8]) -> Wrapped {
    Wrapped {
        algorithm: WrapAlgorithm::RsaOaep256,
        bytes: bytes.to_vec(),
    }
}

pub fn imds_token() -> Reply {
    let body = json!({
        "access_token": "mi-token", "client_id": IDENTITY, "expires_in": "86400", "expires_on": "4102444800",
        "resource": PUBLIC_AUDIENCE, "token_type": "Bearer",
    });
    json_answer(200, &[], &body)
}

pub fn entra_token(token: &str) -> Reply {
    let body = json!({ "token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token });
    json_answer(200, &[], &body)
}

pub fn bearer(tenant: &str) -> String {
    format!("Bearer authorization=\"https://login.windows.net/{tenant}\", resource=\"https://vault.azure.net\"")
}

pub fn challenge(tenant: &str) -> Reply {
    let body = kv_error(
        "Unauthorized",
        "",
        "AKV10000: Request is missing a Bearer or PoP token.",
    );
    json_answer(401, &[("www-authenticate", &bearer(tenant))], &body)
}

pub fn kv_error(code: &str, inner: &str, message: &str) -> Value {
    let mut error = json!({ "code": code, "message": message });
    if !inner.is_empty() {
        error["innererror"] = json!({ "code": inner });
    }
    json!({ "error": error })
}

pub fn unwrapped(plain: &[u8]) -> Reply {
    operation(VERSION, plain)
}

pub fn operation(version: &str, value: &[u8]) -> Reply {
    let kid = format!("https://acme.vault.azure.net/keys/cmk/{version}");
    json_answer(
        200,
        &[],
        &json!({ "kid": kid, "value": BASE64_URL_SAFE_NO_PAD.encode(value) }),
    )
}

pub fn key(version: &str, enabled: bool) -> Reply {
    let body = json!({
        "key": {
            "kid": format!("https://acme.vault.azure.net/keys/cmk/{version}"), "kty": "RSA-HSM", "key_ops": ["unwrapKey"],
            "n": BASE64_URL_SAFE_NO_PAD.encode([0x80; 256]), "e": "AQAB",
        },
        "attributes": { "enabled": enabled, "created": 1, "updated": 1, "exp": 2_000_000_000 },
    });
    json_answer(200, &[], &body)
}

pub fn versions_page(rows: &[(&str, i64, bool)], next: Option<&str>) -> Reply {
    let value: Vec<_> = rows
        .iter()
        .map(|(version, created, enabled)| {
            let kid = format!("https://acme.vault.azure.net/keys/cmk/{version}");
            json!({ "kid": kid, "attributes": { "enabled": enabled, "created": created } })
        })
        .collect();
    json_answer(200, &[], &json!({ "value": value, "nextLink": next }))
}

pub fn json_answer(status: u16, headers: &[(&str, &str)], body: &Value) -> Reply {
    let mut headers = headers.to_vec();
    headers.push(("content-type", "application/json; charset=utf-8"));
    answer(status, &headers, &body.to_string())
}

pub fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Reply::Answer {
        status,
        headers,
        body: body.to_owned(),
    }
}

#[derive(Clone, Debug)]
pub enum Reply {
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: String,
    },
    Silence,
}

#[derive(Clone, Debug)]
pub struct Sent {
    pub url: String,
    pub authorization: Option<String>,
    pub body: String,
}

/// Stands where the HTTP client does: gives the answers in order and keeps what was sent.
#[derive(Clone, Debug, Default)]
pub struct Azure {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Azure {
    pub fn answering(replies: impl IntoIterator<Item = Reply>) -> Self {
        let azure = Self::default();
        azure.answer(replies);
        azure
    }

    /// Starts over with these answers.
    pub fn answer(&self, replies: impl IntoIterator<Item = Reply>) {
        *self.replies.lock().unwrap() = replies.into_iter().collect();
        self.sent.lock().unwrap().clear();
    }

    pub fn answer_more(&self, replies: impl IntoIterator<Item = Reply>) {
        self.replies.lock().unwrap().extend(replies);
    }

    pub fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    pub fn transport(&self) -> Transport {
        Transport::over(Arc::new(self.clone()), Duration::from_secs(10))
    }

    pub fn vault(&self, identity: Identity) -> Vault {
        let key = KeyUrl::parse("https://acme.vault.azure.net/keys/cmk", &Cloud::Public.vaults()).unwrap();
        Vault::new(key, identity, self.transport())
    }
}

#[async_trait]
impl HttpClient for Azure {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let Body::Bytes(body) = request.body() else {
            panic!("a streamed body")
        };
        let authorization = request.headers().get_optional_string(&"authorization".into());
        let body = String::from_utf8(body.to_vec()).unwrap();
        self.sent.lock().unwrap().push(Sent {
            url: request.url().to_string(),
            authorization,
            body,
        });
        let reply = self.replies.lock().unwrap().pop_front().expect("an answer is left");
        match reply {
            Reply::Silence => std::future::pending().await,
            Reply::Answer { status, headers, body } => {
                let mut given = Headers::new();
                for (name, value) in headers {
                    given.insert(name, value);
                }
                Ok(AsyncRawResponse::from_bytes(status.into(), given, body))
            }
        }
    }
}
