//! Entra's access tokens: whose they are, for whom they were issued, and what an account lets their subjects do.
//!
//! What is checked is what Entra's own guide asks of an API (<https://learn.microsoft.com/entra/identity-platform/access-tokens>, and
//! its page on claims validation): signature, issuer, audience, times, tenant. Which object may do what is the configuration's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;

use crate::azure::auth::AuthError;
use crate::azure::auth::signers::Signers;
use crate::keys::identity::EntraId;

/// How far Entra's clock and this one may be apart: what Microsoft's own libraries allow.
const SKEW: u64 = 5 * 60;
/// A token has two or three KiB; this is the most that is read.
const LONGEST: usize = 16 * 1024;
/// What tokens for storage accounts are asked for, and so their audience.
pub const RESOURCE: &str = "https://storage.azure.com";
/// The same by its application id, which tokens of version 2.0 name.
const RESOURCE_APP: &str = "e406a681-f3d4-42a8-90b6-c2b029497af1";
/// A user delegation key lasts this long at most
/// (<https://learn.microsoft.com/rest/api/storageservices/get-user-delegation-key>).
pub const LONGEST_DELEGATION: Duration = Duration::from_secs(7 * 24 * 3600);

/// What somebody may do in an account; each may what those before it may. The names are Azure's, "Storage Blob Data …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads and lists.
    Reader,
    /// Writes and deletes besides.
    Contributor,
    /// Tags, immutability and access policies besides.
    Owner,
}

/// The Entra tenant whose tokens an account takes, and whom of it.
pub struct Directory {
    /// The tenant.
    pub tenant: EntraId,
    /// Audiences besides the storage service's own.
    pub audiences: Vec<String>,
    /// Object ids of users, service principals and managed identities; application ids too, for what these do in their own name.
    /// In lower case. Whoever is not among them may do nothing.
    pub roles: HashMap<String, Role>,
    /// Whom its tokens are signed by.
    pub signers: Arc<Signers>,
}

/// Who a token is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The id that the account knows it by: of the object, or of the application. A user delegation SAS has it as `skoid`.
    pub object: String,
    /// The tenant's id.
    pub tenant: String,
    /// What it may do.
    pub role: Role,
}

/// What is wrong with a token, in the words of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    #[error("The token can't be read.")]
    Malformed,
    #[error("Signature validation failed. Signature verification failed.")]
    Signature,
    #[error("Issuer validation failed. Issuer did not match.")]
    Issuer,
    #[error("Audience validation failed. Audience did not match.")]
    Audience,
    #[error("Lifetime validation failed. The token is expired.")]
    Expired,
    #[error("Lifetime validation failed. The token is not yet valid.")]
    NotYetValid,
}

#[derive(Clone, Debug, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    exp: u64,
    nbf: u64,
    tid: String,
    oid: String,
    sub: String,
    /// The client, in tokens of version 1.0 and 2.0.
    appid: Option<String>,
    azp: Option<String>,
    /// What a user lets the client do in their name; not there where the client acts in its own.
    scp: Option<String>,
}

impl Directory {
    /// The role of an object, by its id.
    pub fn role(&self, object: &str) -> Option<Role> {
        self.roles.get(&object.to_ascii_lowercase()).copied()
    }

    /// Where a client without a token is sent for one, as the service says it; SDKs read the tenant from it.
    pub fn challenge(&self) -> Option<HeaderValue> {
        let (authority, tenant) = (self.signers.authority(), &self.tenant);
        let text = format!("Bearer authorization_uri={authority}/{tenant}/oauth2/authorize resource_id={RESOURCE}");
        HeaderValue::try_from(text).ok()
    }

    /// Verifies a token for an account of this name.
    ///
    /// # Errors
    /// What is wrong with it; that nobody could say; that its subject may do nothing here.
    pub async fn verify(&self, token: &str, account: &str, now: SystemTime) -> Result<Principal, AuthError> {
        const MALFORMED: AuthError = AuthError::Token(TokenFault::Malformed);
        if token.len() > LONGEST {
            return Err(MALFORMED);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| MALFORMED)?;
        // Entra signs with RS256 only; what a token says of its own key or demands of its reader is none of it.
        let (Algorithm::RS256, None, Some(kid)) = (header.alg, &header.crit, &header.kid) else {
            return Err(AuthError::Token(TokenFault::Signature));
        };
        let signers = self.signers.knowing(kid).await?;
        let key = signers.key(kid).ok_or(AuthError::Token(TokenFault::Signature))?;
        let mut validation = Validation::new(Algorithm::RS256);
        // Judged below, by the gate's own clock.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &validation).map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::InvalidSignature => AuthError::Token(TokenFault::Signature),
            _ => MALFORMED,
        })?;
        if !signers.issues(&claims.claims.iss) {
            return Err(AuthError::Token(TokenFault::Issuer));
        }
        self.judge(&claims.claims, account, now)
    }

    /// Judges what a genuine token says.
    fn judge(&self, claims: &Claims, account: &str, now: SystemTime) -> Result<Principal, AuthError> {
        if !claims.tid.eq_ignore_ascii_case(self.tenant.as_str()) {
            return Err(AuthError::Token(TokenFault::Issuer));
        }
        if !self.is_for(&claims.aud, account) {
            return Err(AuthError::Token(TokenFault::Audience));
        }
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if claims.exp.saturating_add(SKEW) <= now {
            return Err(AuthError::Token(TokenFault::Expired));
        }
        if claims.nbf > now.saturating_add(SKEW) {
            return Err(AuthError::Token(TokenFault::NotYetValid));
        }
        // Any user may sign in through an application: its id stands for it where it acts in its own name only.
        let own_name = claims.scp.is_none() && claims.sub == claims.oid;
        let application = claims.appid.as_ref().or(claims.azp.as_ref()).filter(|_| own_name);
        let named = |id: &String| Some((self.role(id)?, id.to_ascii_lowercase()));
        let known = named(&claims.oid).max(application.and_then(named));
        let (role, object) = known.ok_or(AuthError::Permission)?;
        Ok(Principal {
            object,
            tenant: claims.tid.to_ascii_lowercase(),
            role,
        })
    }

    fn is_for(&self, audience: &str, account: &str) -> bool {
        let bare = |text: &str| text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
        let audience = bare(audience);
        audience == RESOURCE
            || audience == RESOURCE_APP
            || audience == format!("https://{account}.blob.core.windows.net")
            || self.audiences.iter().any(|own| bare(own) == audience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::auth::signers::tests::{Entra, TENANT};

    const OID: &str = "d0000000-0000-4000-8000-00000000000a";
    const APP: &str = "b0000000-0000-4000-8000-00000000000b";
    const NOW: u64 = 1_800_000_000;

    fn directory(entra: &Entra) -> Directory {
        Directory {
            tenant: TENANT.parse().unwrap(),
            audiences: vec!["api://gate".into()],
            roles: [(OID.to_owned(), Role::Reader), (APP.to_owned(), Role::Owner)].into(),
            signers: entra.signers(),
        }
    }

    /// A good token's claims.
    fn claims() -> serde_json::Value {
        serde_json::json!({
            "iss": format!("https://sts.windows.net/{TENANT}/"), "aud": RESOURCE, "exp": NOW + 60, "nbf": NOW - 60, "tid": TENANT,
            "oid": OID, "sub": "pairwise", "appid": APP, "scp": "user_impersonation", "ver": "1.0",
        })
    }

    async fn verified(entra: &Entra, change: &[(&str, serde_json::Value)]) -> Result<Role, AuthError> {
        let mut claims = claims();
        for (name, value) in change {
            claims[*name] = value.clone();
        }
        let now = UNIX_EPOCH + Duration::from_secs(NOW);
        let found = directory(entra).verify(&entra.token(&claims), "acme", now).await;
        found.map(|principal| principal.role)
    }

    #[tokio::test]
    async fn a_token_is_taken_for_this_account_tenant_and_time_only() {
        let entra = Entra::new();
        assert_eq!(verified(&entra, &[]).await, Ok(Role::Reader));
        for audience in [
            "https://storage.azure.com/",
            "https://acme.blob.core.windows.net",
            "https://acme.blob.core.windows.net/",
            RESOURCE_APP,
            "api://gate",
        ] {
            assert_eq!(
                verified(&entra, &[("aud", audience.into())]).await,
                Ok(Role::Reader),
                "{audience}"
            );
        }
        let v2 = format!("https://login.localhost/{TENANT}/v2.0");
        assert_eq!(verified(&entra, &[("iss", v2.into())]).await, Ok(Role::Reader));
        let fault = |fault| Err(AuthError::Token(fault));
        for (name, value, expected) in [
            ("aud", "https://vault.azure.net".into(), fault(TokenFault::Audience)),
            (
                "aud",
                "https://globex.blob.core.windows.net".into(),
                fault(TokenFault::Audience),
            ),
            (
                "aud",
                "https://storage.azure.com.evil.example".into(),
                fault(TokenFault::Audience),
            ),
            (
                "iss",
                "https://sts.windows.net/other/".into(),
                fault(TokenFault::Issuer),
            ),
            (
                "tid",
                "c0000000-0000-4000-8000-00000000000c".into(),
                fault(TokenFault::Issuer),
            ),
            ("exp", (NOW - SKEW).into(), fault(TokenFault::Expired)),
            ("nbf", (NOW + SKEW + 1).into(), fault(TokenFault::NotYetValid)),
            ("exp", serde_json::Value::Null, fault(TokenFault::Malformed)),
            (
                "oid",
                "d0000000-0000-4000-8000-00000000000d".into(),
                Err(AuthError::Permission),
            ),
        ] {
            assert_eq!(
                verified(&entra, &[(name, value.clone())]).await,
                expected,
                "{name} {value}"
            );
        }
        assert_eq!(
            verified(&entra, &[("exp", (NOW - SKEW + 1).into())]).await,
            Ok(Role::Reader)
        );
        let other = Entra::new();
        let now = UNIX_EPOCH + Duration::from_secs(NOW);
        let forged = directory(&entra).verify(&other.token(&claims()), "acme", now).await;
        assert_eq!(forged.err(), Some(AuthError::Token(TokenFault::Signature)));
    }

    /// An application's id is no way to its rights for the users that sign in through it.
    #[tokio::test]
    async fn an_application_has_its_role_in_its_own_name_only() {
        let entra = Entra::new();
        let own = [("scp", serde_json::Value::Null), ("sub", OID.into())];
        assert_eq!(verified(&entra, &own).await, Ok(Role::Owner));
        assert_eq!(verified(&entra, &own[..1]).await, Ok(Role::Reader));
        assert_eq!(verified(&entra, &own[1..]).await, Ok(Role::Reader));
    }

    #[tokio::test]
    async fn what_is_no_token_of_entras_is_refused() {
        let entra = Entra::new();
        let now = UNIX_EPOCH + Duration::from_secs(NOW);
        let genuine = entra.token(&claims());
        let (_, rest) = genuine.split_once('.').unwrap();
        // {"alg":"none","kid":"1"} and {"alg":"HS256","kid":"1"}
        for (header, fault) in [
            ("eyJhbGciOiJub25lIiwia2lkIjoiMSJ9", TokenFault::Malformed),
            ("eyJhbGciOiJIUzI1NiIsImtpZCI6IjEifQ", TokenFault::Signature),
        ] {
            let told = directory(&entra).verify(&format!("{header}.{rest}"), "acme", now).await;
            assert_eq!(told.err(), Some(AuthError::Token(fault)), "{header}");
        }
        for text in ["", "x", "x.y.z", &"x".repeat(LONGEST + 1)] {
            let told = directory(&entra).verify(text, "acme", now).await;
            assert_eq!(told.err(), Some(AuthError::Token(TokenFault::Malformed)));
        }
    }
}
