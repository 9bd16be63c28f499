//! AWS Signature Version 4: signs what goes to the store, and holds the arithmetic that `crate::s3::auth` verifies with.
//!
//! Pure: no I/O, and the time is an argument.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

pub mod canonical;
pub mod key;

use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderName, HeaderValue};

pub use canonical::{CanonicalRequest, canonical_path, canonical_query};
pub use key::{Credential, InvalidCredential, Scope, SecretKey, Signature, SigningKey, Timestamp};

/// The only algorithm spoken here; SigV2 and SigV4A are refused by name.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The payload hash of a request whose body is not signed.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
/// The payload hash of an aws-chunked body with trailers, neither of them signed.
pub const STREAMING_UNSIGNED_PAYLOAD_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

pub const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
pub const X_AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
pub const X_AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// What the signature says about the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadHash {
    /// SHA-256 of the whole body.
    Sha256([u8; 32]),
    /// The body is not covered: over TLS, or where every chunk carries its own tag anyway.
    Unsigned,
    /// As before, in frames, with a checksum behind it.
    UnsignedTrailer,
}

impl PayloadHash {
    /// The hash of a body that is already in memory; of `b""` for a request without one.
    pub fn of(body: &[u8]) -> Self {
        Self::Sha256(sha256(body))
    }
}

/// Signs requests to one store with one credential.
#[derive(Debug)]
pub struct Signer {
    credential: Arc<Credential>,
    region: String,
    service: String,
}

impl Signer {
    /// `service` is `s3` for every store that speaks S3.
    pub fn new(credential: Arc<Credential>, region: impl Into<String>, service: impl Into<String>) -> Self {
        Self {
            credential,
            region: region.into(),
            service: service.into(),
        }
    }

    /// Adds `x-amz-date`, `x-amz-content-sha256`, `x-amz-security-token` where the credential has one, `host` where the
    /// caller set none, and `authorization`, which covers `host`, `content-type` and every `x-amz-*` header present.
    ///
    /// The request target must go out as it is signed: build it with [`canonical_path`] and [`canonical_query`], and no
    /// store can read it in two ways.
    ///
    /// # Errors
    /// A host, region or token that can't stand in a header.
    pub fn sign(&self, parts: &mut Parts, payload: PayloadHash, now: SystemTime) -> Result<(), http::Error> {
        self.sign_for(&self.region, parts, payload, now)
    }

    /// The same for another region than this signer's own.
    ///
    /// # Errors
    /// As [`Signer::sign`].
    pub fn sign_for(
        &self,
        region: &str,
        parts: &mut Parts,
        payload: PayloadHash,
        now: SystemTime,
    ) -> Result<(), http::Error> {
        let timestamp = Timestamp::at(now);
        let mut hash_text = [0; 64];
        let payload = match &payload {
            PayloadHash::Sha256(hash) => key::hex_into(hash, &mut hash_text),
            PayloadHash::Unsigned => UNSIGNED_PAYLOAD,
            PayloadHash::UnsignedTrailer => STREAMING_UNSIGNED_PAYLOAD_TRAILER,
        };
        self.set_headers(parts, &timestamp, payload)?;

        let mut names: Vec<&str> = parts
            .headers
            .keys()
            .filter(|name| is_signed(name))
            .map(HeaderName::as_str)
            .collect();
        names.sort_unstable();
        let names = names.join(";");

        let scope = [timestamp.date(), "/", region, "/", &self.service, "/aws4_request"].concat();
        let signing_key = self.credential.signing_key(&Scope {
            text: &scope,
            date: timestamp.date(),
            region,
            service: &self.service,
        });
        let request = CanonicalRequest {
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
            signed_headers: &names,
            left_out_of_query: None,
            payload,
        };
        // Every name was just taken from the headers, so none is absent.
        let signature = signing_key.sign(&timestamp, &scope, &request.hash().unwrap_or_default());
        self.credential.remember(&scope, &signing_key);

        let authorization = [
            ALGORITHM,
            " Credential=",
            self.credential.access_key(),
            "/",
            &scope,
            ", SignedHeaders=",
            &names,
            ", Signature=",
            signature.as_str(),
        ]
        .concat();
        parts
            .headers
            .insert(AUTHORIZATION, HeaderValue::try_from(authorization)?);
        Ok(())
    }

    fn set_headers(&self, parts: &mut Parts, timestamp: &Timestamp, payload: &str) -> Result<(), http::Error> {
        let headers = &mut parts.headers;
        headers.remove(AUTHORIZATION);
        if !headers.contains_key(HOST)
            && let Some(authority) = parts.uri.authority()
        {
            headers.insert(HOST, HeaderValue::from_str(authority.as_str())?);
        }
        headers.insert(X_AMZ_DATE, HeaderValue::from_str(timestamp.as_str())?);
        headers.insert(X_AMZ_CONTENT_SHA256, HeaderValue::from_str(payload)?);
        match self.credential.session_token() {
            Some(token) => {
                let mut value = HeaderValue::from_str(token.expose())?;
                value.set_sensitive(true);
                headers.insert(X_AMZ_SECURITY_TOKEN, value);
            }
            None => _ = headers.remove(X_AMZ_SECURITY_TOKEN),
        }
        Ok(())
    }
}

/// What S3 demands to be signed. Leaving the rest out lets a middlebox touch `user-agent` or `te` without breaking us.
fn is_signed(name: &HeaderName) -> bool {
    name == HOST || name == CONTENT_TYPE || name.as_str().starts_with("x-amz-")
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

#[cfg(test)]
mod tests;
