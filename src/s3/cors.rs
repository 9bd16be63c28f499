//! What the store says to a browser of another origin: it knows the bucket's CORS rules, and every answer of the gate repeats it.

use std::sync::{Mutex, PoisonError};

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, Entry};
use http::{HeaderMap, HeaderName};

use crate::s3::headers::is_cors;

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
