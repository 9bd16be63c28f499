//! `POST /recheck?tenant=…`: whoever has the token may have a tenant's key proved at once. It is a wish, on which the vault decides as
//! ever.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, StatusCode};
use zeroize::Zeroizing;

use crate::keys::{Keys, Recheck};

/// `Retry-After` of one who wishes too often: seconds, the pause that [`Recheck::TooSoon`] keeps.
pub(super) const AGAIN: HeaderValue = HeaderValue::from_static("2");

/// Who may wish for proofs, and of whose keys.
pub struct Rechecks {
    token: Zeroizing<Vec<u8>>,
    keys: OnceLock<Arc<Keys>>,
}

impl Rechecks {
    /// Whoever shows this token may. Until [`Self::serve`] there are no keys to ask about.
    pub fn new(token: Zeroizing<Vec<u8>>) -> Self {
        let keys = OnceLock::new();
        Self { token, keys }
    }

    /// From now on about these keys; a second call changes nothing.
    pub fn serve(&self, keys: Arc<Keys>) {
        let _ = self.keys.set(keys);
    }

    /// What is said to one who wishes for a proof.
    pub(super) fn answer<B>(&self, request: &Request<B>) -> (StatusCode, &'static [u8]) {
        let shown = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let shown = shown
            .and_then(|value| value.strip_prefix(b"Bearer "))
            .unwrap_or_default();
        if verify_slices_are_equal(shown, &self.token).is_err() {
            return (StatusCode::UNAUTHORIZED, b"the token is missing or wrong\n");
        }
        let Some(keys) = self.keys.get() else {
            return (StatusCode::SERVICE_UNAVAILABLE, b"starting\n");
        };
        // A tenant's name needs no encoding.
        let tenant = request.uri().query().and_then(|query| query.strip_prefix("tenant="));
        match tenant.and_then(|tenant| keys.recheck(tenant)) {
            None => (StatusCode::NOT_FOUND, b"no such tenant\n"),
            Some(Recheck::Asked(0)) => (StatusCode::OK, b"nothing to prove: no lease is live\n"),
            Some(Recheck::Asked(_)) => (StatusCode::ACCEPTED, b"asked\n"),
            Some(Recheck::TooSoon) => (StatusCode::TOO_MANY_REQUESTS, b"asked a moment ago\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_wished_for_with_the_token_only() {
        let rechecks = Rechecks::new(Zeroizing::new(b"secret-of-the-operators".to_vec()));
        let ask = |shown: &str| {
            let request = Request::post("/recheck?tenant=acme").header(AUTHORIZATION, shown);
            rechecks.answer(&request.body(()).unwrap()).0
        };
        for shown in [
            "",
            "Bearer ",
            "Bearer secret",
            "Basic secret-of-the-operators",
            "secret-of-the-operators",
        ] {
            assert_eq!(ask(shown), StatusCode::UNAUTHORIZED, "{shown}");
        }
        let right = "Bearer secret-of-the-operators";
        assert_eq!(ask(right), StatusCode::SERVICE_UNAVAILABLE, "no keys yet");
    }
}
