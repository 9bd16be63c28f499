//! The chain of signatures through an aws-chunked body: each frame's covers the one before it, the first the request's own.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac};
use http::HeaderMap;

use crate::body::aws_chunked::FramingError;

/// Verifies the chain of signatures that runs from the request's own through every frame to the trailers.
pub struct FrameVerifier {
    key: Arc<hmac::Key>,
    /// `<timestamp>\n<scope>\n`, of the request, for the whole body.
    context: String,
    /// 64 hexadecimal digits: of the request, then of each frame.
    pub(super) previous: [u8; 64],
    /// Said of the frame that is being read.
    claimed: [u8; 64],
    data: digest::Context,
}

impl FrameVerifier {
    /// `seed` is the request's own verified signature, `timestamp` and `scope` are what it was made with.
    pub(crate) fn new(key: Arc<hmac::Key>, timestamp: &str, scope: &str, seed: [u8; 64]) -> Self {
        Self {
            key,
            context: [timestamp, "\n", scope, "\n"].concat(),
            previous: seed,
            claimed: [0; 64],
            data: digest::Context::new(&digest::SHA256),
        }
    }

    pub(super) fn open_frame(&mut self, claimed: &str) -> Result<(), FramingError> {
        self.claimed = claimed
            .as_bytes()
            .try_into()
            .map_err(|_| FramingError::MalformedFrame)?;
        Ok(())
    }

    pub(super) fn update(&mut self, data: &[u8]) {
        self.data.update(data);
    }

    pub(super) fn close_frame(&mut self) -> Result<(), FramingError> {
        let data = std::mem::replace(&mut self.data, digest::Context::new(&digest::SHA256)).finish();
        // The empty hash stands where a frame's own headers would be signed; there are none.
        let empty = hex::encode(digest::digest(&digest::SHA256, b""));
        let signature = self.sign("AWS4-HMAC-SHA256-PAYLOAD\n", &[&empty, "\n", &hex::encode(data)]);
        if verify_slices_are_equal(&signature, &self.claimed).is_err() {
            return Err(FramingError::SignatureMismatch);
        }
        self.previous = self.claimed;
        Ok(())
    }

    /// Signed are lines `name:value\n`, lower-case and sorted, with a bare line feed although CRLF travels.
    pub(super) fn check_trailers(&self, trailers: &HeaderMap, claimed: &str) -> Result<(), FramingError> {
        let mut sorted: Vec<_> = trailers.iter().collect();
        sorted.sort_by_key(|(name, _)| name.as_str());
        let mut lines = digest::Context::new(&digest::SHA256);
        for (name, value) in sorted {
            for part in [name.as_str().as_bytes(), b":", value.as_bytes(), b"\n"] {
                lines.update(part);
            }
        }
        let hash = lines.finish();
        let signature = self.sign("AWS4-HMAC-SHA256-TRAILER\n", &[&hex::encode(hash)]);
        verify_slices_are_equal(&signature, claimed.as_bytes()).map_err(|_| FramingError::SignatureMismatch)
    }

    pub(super) fn sign(&self, algorithm: &str, rest: &[&str]) -> Vec<u8> {
        let mut hmac = hmac::Context::with_key(&self.key);
        for part in [algorithm.as_bytes(), self.context.as_bytes(), &self.previous, b"\n"] {
            hmac.update(part);
        }
        for part in rest {
            hmac.update(part.as_bytes());
        }
        hex::encode(hmac.sign()).into_bytes()
    }
}

impl fmt::Debug for FrameVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FrameVerifier(…)")
    }
}
