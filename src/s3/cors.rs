//! What the store says to a browser of another origin: it knows the bucket's CORS rules, and every answer of the gate repeats it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, Entry, ORIGIN,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::time::timeout;

use crate::s3::headers::is_cors;
use crate::tenant::Container;
use crate::upstream::{Call, Caller, StoreBody};

/// How long an answer waits for what the store says to browsers.
const PATIENCE: Duration = Duration::from_secs(2);
/// What a browser says of itself, and of the request that it asks for.
static ASKING: [HeaderName; 3] = [ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD];

/// Copies what the browser says, and not its page.
pub fn of_browser(client: &HeaderMap, to: &mut HeaderMap) {
    for name in &ASKING {
        if let Some(value) = client.get(name) {
            to.insert(name, value.clone());
        }
    }
}

/// What has been said for one request; of several answers to the gate's own questions the first counts.
#[derive(Default)]
pub struct Cors(Mutex<HeaderMap>);

impl Cors {
    /// Notes what a store's answer says.
    pub fn note(&self, store: &HeaderMap) {
        if !store.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_empty() {
            *said = store
                .iter()
                .filter(|(name, _)| is_cors(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
        }
    }

    /// Asks the store by a preflight what it says of a request of this method, where none of its answers said anything to a browser.
    /// A bucket's rules name methods, and what a client does with one the gate may do with another: the upload of a part that waits
    /// apart is asked about with GET, and a form is written with PUT. A store that does not answer soon says nothing.
    pub async fn ask(&self, container: &Container, key: &str, caller: &Caller, client: &HeaderMap, method: &Method) {
        let (Some(origin), Ok(method)) = (client.get(ORIGIN), HeaderValue::from_str(method.as_str())) else {
            return;
        };
        if !self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return;
        }
        let asking = [(ORIGIN, origin.clone()), (ACCESS_CONTROL_REQUEST_METHOD, method)];
        let call = Call {
            method: Method::OPTIONS,
            bucket: &container.name,
            key,
            query: "",
            caller,
            headers: asking.into_iter().collect(),
            body: StoreBody::empty(),
        };
        if let Ok(Ok(answer)) = timeout(PATIENCE, container.store.send(call)).await {
            self.note(answer.headers());
        }
    }

    /// Repeats it to the client.
    pub fn repeat(&self, client: &mut HeaderMap) {
        let said = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (name, value) in &said {
            let name: HeaderName = name.clone();
            if let Entry::Vacant(free) = client.entry(name) {
                free.insert(value.clone());
            }
        }
    }
}
