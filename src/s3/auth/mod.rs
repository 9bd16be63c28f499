//! Who is asking: verifies the signature of a client's request, in the `Authorization` header, in a presigned URL or in a form;
//! or says that nobody claims to be asking.
//!
//! Only [`Authenticator`] makes an [`Identity`]. Nothing of the body has been read by then (but for a form's own fields): what
//! the signature says about the body comes along as [`Payload`], for the body's adapters to hold it to.

mod claim;
mod content;
mod error;
mod form;
mod hoist;
mod v2;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::HOST;
use http::request::Parts;

use crate::body::aws_chunked::{FrameVerifier, Framing};
use crate::s3::auth::claim::Claim;
use crate::s3::auth::content::Content;
use crate::s3::host::Domains;
use crate::upstream::sigv4::{CanonicalRequest, Credential, Scope, SecretKey, X_AMZ_SECURITY_TOKEN};

pub use error::{AuthError, Field, Unsupported};
pub use form::Fields;
pub use hoist::is_hoistable;

/// How far a client's clock may be off, either way; S3's own bound.
pub const LARGEST_SKEW: Duration = Duration::from_secs(15 * 60);

/// Verifies requests against the credentials that `lookup` finds.
pub struct Authenticator {
    lookup: Box<Lookup>,
    regions: Regions,
    sig_v2: SigV2,
    domains: Domains,
    /// Verified against where the access key is unknown, so that the answer takes about as long.
    nobody: Arc<Credential>,
}

type Lookup = dyn Fn(&str) -> Option<Arc<Credential>> + Send + Sync;

/// Which regions a client may sign for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Regions {
    Any,
    /// The first is the one named to a client that signed for another: SDKs then sign again with it.
    Only(Vec<String>),
}

/// Where a signature of version 2, which covers neither the host nor most of a query, is taken for one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SigV2 {
    Nowhere,
    /// In presigned URLs and in forms. boto3 presigns so by default wherever the endpoint is not AWS's own.
    #[default]
    Presigned,
    /// In the `Authorization` header too, as clients of before 2014 sign.
    Everywhere,
}

/// Who asks.
#[derive(Debug)]
pub enum Identity {
    Verified(Verified),
    /// Nobody says; whether that is enough, the bucket's configuration decides. The body is framed all the same.
    Anonymous(Payload),
}

/// A request whose signature holds.
#[derive(Debug)]
pub struct Verified {
    credential: Arc<Credential>,
    form: Form,
    payload: Payload,
}

/// Where the signature stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Header,
    /// A presigned URL. SDKs move headers into its query: see [`Verified::hoisted`].
    Query,
    /// A form that a browser posts.
    Post,
}

/// What the signature says about the body.
#[derive(Debug)]
pub enum Payload {
    /// The whole body's SHA-256 is signed.
    Signed([u8; 32]),
    /// Nothing.
    Unsigned,
    /// The body comes in aws-chunked frames.
    AwsChunked(Framing),
}

impl Authenticator {
    /// `lookup` finds the credential of an access key, and must not block.
    pub fn new(lookup: impl Fn(&str) -> Option<Arc<Credential>> + Send + Sync + 'static, regions: Regions) -> Self {
        Self {
            lookup: Box::new(lookup),
            regions,
            sig_v2: SigV2::default(),
            domains: Domains::default(),
            nobody: Arc::new(Credential::nobody()),
        }
    }

    /// Where SigV2 is taken; [`SigV2::Presigned`] unless told.
    #[must_use]
    pub fn with_sig_v2(self, sig_v2: SigV2) -> Self {
        Self { sig_v2, ..self }
    }

    /// The domains below which a host names a bucket, which SigV2 signs as part of the path. None unless told.
    #[must_use]
    pub fn with_domains(self, domains: Domains) -> Self {
        Self { domains, ..self }
    }

    /// Who sent the head of a request as it was received: raw target, and all headers.
    ///
    /// # Errors
    /// Whatever keeps the request from being its client's, if it is said to be anyone's: what is signed in part is not anonymous.
    /// Nothing was read of its body then.
    pub fn identify(&self, parts: &Parts, now: SystemTime) -> Result<Identity, AuthError> {
        match Claim::read(parts)? {
            Claim::V4(claim) => self.verify_v4(&claim, parts, now).map(Identity::Verified),
            Claim::V2(claim) => self.verify_v2(&claim, parts, now).map(Identity::Verified),
            Claim::Nobody => anonymous(&parts.headers).map(Identity::Anonymous),
        }
    }

    /// [`Self::identify`], where nobody is not enough.
    ///
    /// # Errors
    /// As there, and [`AuthError::Missing`].
    pub fn verify(&self, parts: &Parts, now: SystemTime) -> Result<Verified, AuthError> {
        match self.identify(parts, now)? {
            Identity::Verified(verified) => Ok(verified),
            Identity::Anonymous(_) => Err(AuthError::Missing),
        }
    }

    fn verify_v4(&self, claim: &claim::V4<'_>, parts: &Parts, now: SystemTime) -> Result<Verified, AuthError> {
        let scope = claim.scope().ok_or_else(|| claim.form.malformed(Field::Credential))?;
        self.check_scope(claim.form, &scope, claim.timestamp.date())?;
        check_time(claim, now)?;
        check_coverage(claim, parts)?;
        let content = Content::parse(&claim.payload)?;

        // The same work whether the access key is known or not.
        let found = (self.lookup)(claim.access_key());
        let credential = found.as_ref().unwrap_or(&self.nobody);
        let key = credential.signing_key(&scope);
        let request = CanonicalRequest {
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
            signed_headers: &claim.signed_headers,
            left_out_of_query: claim.form.left_out_of_query(),
            payload: &claim.payload,
        };
        let hash = request.hash().map_err(|absent| AuthError::AbsentHeader(absent.0))?;
        let signature = key.sign(&claim.timestamp, scope.text, &hash);
        let genuine = signature.is(&claim.signature);

        let Some(credential) = found else {
            self.nobody.remember(scope.text, &key);
            return Err(AuthError::UnknownAccessKey {
                access_key: claim.access_key().to_owned(),
            });
        };
        if !genuine {
            return Err(AuthError::SignatureMismatch);
        }
        credential.remember(scope.text, &key);
        check_token(credential.session_token(), claim.token.as_deref())?;
        let seed = || FrameVerifier::new(key.hmac(), claim.timestamp.as_str(), scope.text, *signature.digits());
        let payload = content.into_payload(&parts.headers, Some(&seed))?;
        Ok(Verified {
            credential,
            form: claim.form,
            payload,
        })
    }

    fn verify_v2(&self, claim: &v2::Claim<'_>, parts: &Parts, now: SystemTime) -> Result<Verified, AuthError> {
        let taken = match claim.form {
            Form::Header => self.sig_v2 == SigV2::Everywhere,
            Form::Query | Form::Post => self.sig_v2 != SigV2::Nowhere,
        };
        if !taken {
            return Err(AuthError::UnsupportedAlgorithm(Unsupported::SigV2));
        }
        claim.check_time(now)?;
        check_host(parts)?;
        let content = Content::stated(&parts.headers)?;
        let (text, slashed) = claim.strings_to_sign(parts, &self.domains)?;
        let verify = |text: &[u8]| self.verify_sha1(&claim.access_key, text, &claim.signature);
        let credential = match (verify(&text), slashed) {
            (Err(AuthError::SignatureMismatch), Some(slashed)) => verify(&slashed)?,
            (verified, _) => verified?,
        };
        check_token(credential.session_token(), claim.token.as_deref())?;
        Ok(Verified {
            credential,
            form: claim.form,
            payload: content.into_payload(&parts.headers, None)?,
        })
    }

    /// Whose key makes this HMAC-SHA1, in base64, of a text.
    fn verify_sha1(&self, access_key: &str, text: &[u8], signature: &str) -> Result<Arc<Credential>, AuthError> {
        // The same work whether the access key is known or not.
        let found = (self.lookup)(access_key);
        let genuine = found.as_ref().unwrap_or(&self.nobody).signs_v2(text, signature);
        match found {
            None => Err(AuthError::UnknownAccessKey {
                access_key: access_key.to_owned(),
            }),
            Some(_) if !genuine => Err(AuthError::SignatureMismatch),
            Some(credential) => Ok(credential),
        }
    }

    fn check_scope(&self, form: Form, scope: &Scope<'_>, date: &str) -> Result<(), AuthError> {
        if scope.service != "s3" {
            return Err(AuthError::WrongService {
                form,
                given: scope.service.to_owned(),
            });
        }
        if let Regions::Only(regions) = &self.regions
            && regions.iter().all(|region| region != scope.region)
        {
            return Err(AuthError::WrongRegion {
                form,
                given: scope.region.to_owned(),
                expected: regions.first().cloned().unwrap_or_default(),
            });
        }
        if scope.date != date {
            return Err(AuthError::WrongDate { form });
        }
        Ok(())
    }
}

impl Identity {
    /// Whose signature it is; nobody's where there is none.
    pub fn credential(&self) -> Option<&Arc<Credential>> {
        match self {
            Self::Verified(verified) => Some(verified.credential()),
            Self::Anonymous(_) => None,
        }
    }

    /// Where the signature stood.
    pub fn form(&self) -> Option<Form> {
        match self {
            Self::Verified(verified) => Some(verified.form()),
            Self::Anonymous(_) => None,
        }
    }

    /// As [`Verified::hoisted`].
    ///
    /// # Errors
    /// As there.
    pub fn hoisted(&self, parts: &Parts) -> Result<HeaderMap, AuthError> {
        match self {
            Self::Verified(verified) => verified.hoisted(parts),
            Self::Anonymous(_) => Ok(HeaderMap::new()),
        }
    }

    /// What the body must be held to.
    pub fn into_payload(self) -> Payload {
        match self {
            Self::Verified(verified) => verified.into_payload(),
            Self::Anonymous(payload) => payload,
        }
    }
}

impl Verified {
    /// Whose signature it is; its access key leads to the tenant.
    pub fn credential(&self) -> &Arc<Credential> {
        &self.credential
    }

    pub fn form(&self) -> Form {
        self.form
    }

    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The headers that a presigned URL states in its query, to be taken as if the request had them: metadata, storage class,
    /// tags and the like. Without checksums, which SDKs compute of an empty body and S3 ignores there. Empty for any other form.
    ///
    /// # Errors
    /// [`AuthError::Hoisted`] where the query states a header twice, or otherwise than the request does.
    pub fn hoisted(&self, parts: &Parts) -> Result<HeaderMap, AuthError> {
        match self.form {
            Form::Query => hoist::hoisted(parts),
            Form::Header | Form::Post => Ok(HeaderMap::new()),
        }
    }

    /// Gives up the proof for what the body must be held to.
    pub fn into_payload(self) -> Payload {
        self.payload
    }
}

impl Payload {
    /// The SHA-256 that the body must have, if the signature covers it whole.
    pub fn content_sha256(&self) -> Option<[u8; 32]> {
        match self {
            Self::Signed(hash) => Some(*hash),
            Self::Unsigned | Self::AwsChunked(_) => None,
        }
    }
}

impl Form {
    fn malformed(self, field: Field) -> AuthError {
        match self {
            Self::Header | Self::Post => AuthError::Malformed(field),
            Self::Query => AuthError::MalformedQuery(field),
        }
    }

    fn left_out_of_query(self) -> Option<&'static str> {
        match self {
            Self::Header | Self::Post => None,
            Self::Query => Some(claim::X_AMZ_SIGNATURE),
        }
    }
}

/// A presigned URL states how long it lasts; any other request must be of just now.
fn check_time(claim: &claim::V4<'_>, now: SystemTime) -> Result<(), AuthError> {
    let signed_at = claim.timestamp.moment();
    let ahead = signed_at.duration_since(now).unwrap_or_default();
    let behind = now.duration_since(signed_at).unwrap_or_default();
    match claim.expires {
        Some(_) if ahead > LARGEST_SKEW => Err(AuthError::NotYetValid),
        Some(lasts) if behind > lasts => Err(AuthError::Expired { at: signed_at + lasts }),
        None if ahead.max(behind) > LARGEST_SKEW => Err(AuthError::Skewed {
            request: signed_at,
            now,
        }),
        Some(_) | None => Ok(()),
    }
}

/// The signature must cover `host` and every `x-amz-*` header: whatever changes what the request does.
fn check_coverage(claim: &claim::V4<'_>, parts: &Parts) -> Result<(), AuthError> {
    // In strict order no name comes twice, so the canonical request is no longer than the headers are.
    let names: Vec<&str> = claim.signed_headers.split(';').collect();
    let ordered = names.iter().zip(names.iter().skip(1)).all(|(a, b)| a < b);
    if !ordered || names.iter().any(|name| name.is_empty()) {
        return Err(claim.form.malformed(Field::SignedHeaders));
    }
    let covered = |name: &str| names.binary_search(&name).is_ok();
    let must_be_covered = |name: &&str| *name == claim.dated_by || name.starts_with("x-amz-");
    if !covered("host") {
        return Err(AuthError::UnsignedHeader("host".to_owned()));
    }
    if let Some(name) = parts
        .headers
        .keys()
        .map(|n| n.as_str())
        .filter(must_be_covered)
        .find(|name| !covered(name))
    {
        return Err(AuthError::UnsignedHeader(name.to_owned()));
    }
    check_host(parts)
}

fn check_host(parts: &Parts) -> Result<(), AuthError> {
    // Two hosts would let the signature speak of one and the router of the other.
    let host = claim::single(&parts.headers, &HOST, Field::Host)?;
    match (host, parts.uri.authority()) {
        (Some(host), Some(authority)) if host != authority.as_str() => Err(AuthError::Malformed(Field::Host)),
        _ => Ok(()),
    }
}

/// What an unsigned request says of its body. A token without a signature, or frames to be verified, are half of a signature.
fn anonymous(headers: &HeaderMap) -> Result<Payload, AuthError> {
    if headers.contains_key(X_AMZ_SECURITY_TOKEN) {
        return Err(AuthError::Missing);
    }
    match Content::stated(headers)? {
        Content::Frames { signed: true, .. } => Err(AuthError::Missing),
        content => content.into_payload(headers, None),
    }
}

fn check_token(demanded: Option<&SecretKey>, sent: Option<&str>) -> Result<(), AuthError> {
    match (demanded, sent) {
        (None, None) => Ok(()),
        (Some(demanded), Some(sent)) if demanded.is(sent.as_bytes()) => Ok(()),
        _ => Err(AuthError::InvalidToken),
    }
}

#[cfg(test)]
mod tests;
