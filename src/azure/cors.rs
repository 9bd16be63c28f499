//! Browsers of other origins: the store's own CORS rules decide, and the gate repeats what it says.
//!
//! <https://learn.microsoft.com/rest/api/storageservices/cross-origin-resource-sharing--cors--support-for-the-azure-storage-services>

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, Method, Response};

use crate::azure::address::Address;
use crate::azure::error::AzureError;
use crate::azure::exchange::understood;
use crate::upstream::{AzureCall, StoreBody};

/// What a browser asks a preflight with.
static ASKED: [HeaderName; 3] = [ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, ACCESS_CONTROL_REQUEST_HEADERS];
/// What it is told.
static TOLD: [HeaderName; 7] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
    VARY,
];

/// What the store has said to a browser for one request; it stands among the request's extensions.
#[derive(Clone, Default)]
pub struct Cors(Arc<Mutex<HeaderMap>>);

impl Cors {
    /// Notes what a store's answer says; of several answers to the gate's own questions the first counts.
    pub fn note(&self, store: &HeaderMap) {
        if store.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if said.is_empty() {
                *said = told(store);
            }
        }
    }

    /// Repeats it to the client.
    pub fn repeat(&self, client: &mut HeaderMap) {
        let said = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (name, value) in &said {
            if !client.contains_key(name) {
                client.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Answers a preflight, which nobody signs and which is about the service's rules, whatever it names.
///
/// # Errors
/// No rule permits what is asked for, or the store gave no answer.
pub async fn preflight(parts: &Parts, address: &Address) -> Result<Response<Bytes>, AzureError> {
    let mut headers = HeaderMap::new();
    for name in &ASKED {
        if let Some(value) = parts.headers.get(name) {
            headers.insert(name.clone(), value.clone());
        }
    }
    for (name, wanted) in [
        ("Origin", &ORIGIN),
        ("Access-Control-Request-Method", &ACCESS_CONTROL_REQUEST_METHOD),
    ] {
        if !headers.contains_key(wanted) {
            return Err(AzureError::MissingHeader { name });
        }
    }
    let call = AzureCall {
        method: Method::OPTIONS,
        secondary: false,
        container: "",
        blob: "",
        query: &[],
        headers,
        spelling: Extensions::new(),
        body: StoreBody::empty(),
    };
    let answer = understood(address.account.store.send(call).await?).await?;
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = answer.status();
    *response.headers_mut() = told(answer.headers());
    Ok(response)
}

fn told(store: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in &TOLD {
        if let Some(value) = store.get(name) {
            headers.insert(name.clone(), value.clone());
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_first_word_to_a_browser_is_repeated_and_nothing_else() {
        let (cors, mut client) = (Cors::default(), HeaderMap::new());
        let answer = |origin| {
            HeaderMap::from_iter([
                (ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static(origin)),
                (http::header::SERVER, HeaderValue::from_static("x")),
            ])
        };
        cors.note(&HeaderMap::new());
        cors.note(&answer("https://a.example"));
        cors.note(&answer("https://b.example"));
        cors.repeat(&mut client);
        assert_eq!(client[ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example");
        assert_eq!(client.len(), 1);
    }
}
