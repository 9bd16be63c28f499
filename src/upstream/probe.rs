//! Whether a store heeds conditions on writes. Some take `If-None-Match: *` and overwrite all the same; a client that relies on
//! it would lose data, so the gate finds out, with an object of its own in the system container, and refuses where it must.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::upstream::answer::collect;
use crate::upstream::body::StoreBody;
use crate::upstream::dialect::ConditionalWrites;
use crate::upstream::store::{Call, Caller, Store, StoreError};

/// An answer to the probe is a few lines.
const LARGEST_ANSWER: usize = 64 * 1024;
/// No object has it.
const NO_ETAG: &str = "\"00000000000000000000000000000000\"";

/// Which conditions a store heeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heeded {
    /// `If-None-Match` of a PUT.
    pub if_none_match: bool,
    /// `If-Match` of a PUT.
    pub if_match: bool,
    /// `If-Match` of a DELETE.
    pub delete_if_match: bool,
}

impl Heeded {
    const fn all(heeded: bool) -> Self {
        Self {
            if_none_match: heeded,
            if_match: heeded,
            delete_if_match: heeded,
        }
    }

    /// The first of these headers that the store would pass over, if a write had them.
    pub fn passes_over(&self, method: &Method, headers: &HeaderMap) -> Option<HeaderName> {
        let if_match = if *method == Method::DELETE {
            self.delete_if_match
        } else {
            self.if_match
        };
        let unheeded = [(IF_MATCH, if_match), (IF_NONE_MATCH, self.if_none_match)];
        let mut unheeded = unheeded.into_iter().filter(|(_, heeded)| !heeded);
        unheeded
            .find(|(name, _)| headers.contains_key(name))
            .map(|(name, _)| name)
    }
}

impl Store {
    /// Which conditions on writes this store heeds: as configured, or found out once.
    ///
    /// # Errors
    /// It had to be found out, and the store did not answer, or not as a store does; the next to ask tries again.
    pub async fn heeded(&self) -> Result<Heeded, StoreError> {
        match self.dialect().conditional_writes {
            ConditionalWrites::Heeded => Ok(Heeded::all(true)),
            ConditionalWrites::Ignored => Ok(Heeded::all(false)),
            ConditionalWrites::Probe => self.probed().get_or_try_init(|| self.probe()).await.copied(),
        }
    }

    /// Finds out which conditions on writes this store heeds, whatever is configured.
    ///
    /// # Errors
    /// The store did not answer, or not as a store does.
    pub async fn probe(&self) -> Result<Heeded, StoreError> {
        let key = format!("probe/{:016x}", RandomState::new().hash_one(0_u8));
        let fresh = (IF_NONE_MATCH, "*");
        let mut first = self.try_out(Method::PUT, &key, None).await?;
        if first == StatusCode::NOT_FOUND {
            // No container yet: it is made, as with the first key's record.
            self.try_out(Method::PUT, "", None).await?;
            first = self.try_out(Method::PUT, &key, None).await?;
        }
        if !first.is_success() {
            tracing::warn!(
                store = self.name(),
                status = first.as_u16(),
                "the store can't be probed"
            );
            return Err(StoreError::Unspeakable);
        }
        // What the store itself refuses, no client is deceived about.
        let heeded = Heeded {
            if_none_match: !self.try_out(Method::PUT, &key, Some(fresh)).await?.is_success(),
            if_match: !self
                .try_out(Method::PUT, &key, Some((IF_MATCH, NO_ETAG)))
                .await?
                .is_success(),
            delete_if_match: !self
                .try_out(Method::DELETE, &key, Some((IF_MATCH, NO_ETAG)))
                .await?
                .is_success(),
        };
        self.try_out(Method::DELETE, &key, None).await?;
        if heeded == Heeded::all(true) {
            tracing::info!(store = self.name(), "the store heeds conditions on writes");
        } else {
            tracing::warn!(
                store = self.name(),
                if_none_match = heeded.if_none_match,
                if_match = heeded.if_match,
                delete_if_match = heeded.delete_if_match,
                "the store passes over conditions on writes: requests that need them are refused"
            );
        }
        Ok(heeded)
    }

    async fn try_out(
        &self,
        method: Method,
        key: &str,
        condition: Option<(HeaderName, &'static str)>,
    ) -> Result<StatusCode, StoreError> {
        let condition = condition.map(|(name, value)| (name, HeaderValue::from_static(value)));
        let body = match &method {
            &Method::PUT if !key.is_empty() => StoreBody::document(b"probe".to_vec()),
            _ => StoreBody::empty(),
        };
        let call = Call {
            method,
            bucket: self.system_container(),
            key,
            query: "",
            caller: &Caller::Gate,
            headers: condition.into_iter().collect(),
            body,
        };
        let answer = self.send(call).await?;
        let status = answer.status();
        // Read to its end, so that the connection serves again.
        let _ = collect(answer.into_body(), LARGEST_ANSWER).await;
        match status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
            true => Err(StoreError::Unreachable),
            false => Ok(status),
        }
    }
}
