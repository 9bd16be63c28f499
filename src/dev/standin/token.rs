//! Entra's tokens: RS256 JWTs with the claims that Key Vault and federation look at.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::dev::standin::ids;
use crate::dev::standin::national::National;
use crate::dev::standin::rsa::RsaKey;

/// The claims of the stand-in's tokens, of version 1.0 (for Azure's services) and 2.0 (assertions).
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Claims {
    pub aud: String,
    pub iss: String,
    pub iat: i64,
    pub nbf: i64,
    pub exp: i64,
    /// The client id, in a token of version 1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub appid: Option<String>,
    /// The client id, in a token of version 2.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azp: Option<String>,
    pub idtyp: String,
    /// The object id of the principal.
    pub oid: String,
    pub sub: String,
    /// The tenant that issued the token.
    pub tid: String,
    /// Unique to each token.
    pub uti: String,
    pub ver: String,
}

/// Who a token is for.
pub struct Subject<'a> {
    pub tenant: &'a str,
    pub client_id: &'a str,
    pub object_id: &'a str,
}

/// What is wrong with a token in itself; audience and issuer are for the reader to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    Malformed,
    BadSignature,
    Expired,
    NotYetValid,
}

/// Signs tokens and verifies them. All Entra tenants share one key, as the real ones share theirs.
pub struct Signer {
    encoding: EncodingKey,
    decoding: DecodingKey,
    key_id: String,
    modulus: String,
    exponent: String,
}

impl Claims {
    /// A token of version 1.0 for an Azure service, issued now for `lifetime` seconds.
    pub fn access(audience: &str, subject: &Subject<'_>, lifetime: u64) -> Self {
        let issuer = sts_issuer(subject.tenant);
        Self {
            appid: Some(subject.client_id.to_owned()),
            ..Self::new(audience, issuer, subject, lifetime, "1.0")
        }
    }

    /// A token of version 2.0 for the token exchange. Its audience is the exchange's application id: the URI
    /// `api://AzureADTokenExchange`, by which it is asked for and matched, names the same.
    pub fn assertion(national: National, subject: &Subject<'_>, lifetime: u64) -> Self {
        let (audience, issuer) = (national.exchange_audience(), national.issuer(subject.tenant));
        Self {
            azp: Some(subject.client_id.to_owned()),
            ..Self::new(audience, issuer, subject, lifetime, "2.0")
        }
    }

    fn new(audience: &str, issuer: String, subject: &Subject<'_>, lifetime: u64, version: &str) -> Self {
        let now = ids::now();
        Self {
            aud: audience.to_owned(),
            iss: issuer,
            iat: now,
            nbf: now,
            exp: now.saturating_add_unsigned(lifetime),
            appid: None,
            azp: None,
            idtyp: "app".to_owned(),
            oid: subject.object_id.to_owned(),
            sub: subject.object_id.to_owned(),
            tid: subject.tenant.to_owned(),
            uti: ids::hex32(),
            ver: version.to_owned(),
        }
    }
}

/// The application id behind `api://AzureADTokenExchange`, the same in every tenant.
pub const TOKEN_EXCHANGE_APP: &str = "fb60f99c-7a34-4190-8149-302f77469936";

/// The issuer of version 1.0 tokens of a tenant.
pub fn sts_issuer(tenant: &str) -> String {
    format!("https://sts.windows.net/{tenant}/")
}

impl Signer {
    /// A signer with this key; `None` where it can't be used for JWTs.
    pub fn new(key: &RsaKey) -> Option<Self> {
        let pem = key.pem()?;
        let key_id: String = key.modulus().chars().take(27).collect();
        Some(Self {
            encoding: EncodingKey::from_rsa_pem(pem.as_bytes()).ok()?,
            decoding: DecodingKey::from_rsa_components(key.modulus(), key.exponent()).ok()?,
            key_id,
            modulus: key.modulus().to_owned(),
            exponent: key.exponent().to_owned(),
        })
    }

    /// The claims as a signed token.
    pub fn sign<T: Serialize>(&self, claims: &T) -> Option<String> {
        let header = Header {
            kid: Some(self.key_id.clone()),
            ..Header::new(Algorithm::RS256)
        };
        jsonwebtoken::encode(&header, claims, &self.encoding).ok()
    }

    /// What a token says that this signer signed, whenever.
    pub fn read<T: DeserializeOwned>(&self, token: &str) -> Option<T> {
        jsonwebtoken::decode(token, &self.decoding, &unjudged())
            .ok()
            .map(|token| token.claims)
    }

    /// The claims of a token that this signer signed and whose time is now.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenFault> {
        let claims =
            jsonwebtoken::decode::<Claims>(token, &self.decoding, &unjudged()).map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::InvalidSignature => TokenFault::BadSignature,
                _ => TokenFault::Malformed,
            })?;
        let now = ids::now();
        match claims.claims {
            claims if claims.exp <= now => Err(TokenFault::Expired),
            claims if claims.nbf > now => Err(TokenFault::NotYetValid),
            claims => Ok(claims),
        }
    }

    /// The public key as a JSON Web Key Set (RFC 7517).
    pub fn key_set(&self) -> Value {
        json!({"keys": [{"kty": "RSA", "use": "sig", "kid": self.key_id, "n": self.modulus, "e": self.exponent}]})
    }
}

/// The signature only.
fn unjudged() -> Validation {
    let mut validation = Validation::new(Algorithm::RS256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::standin::rsa::Bits;

    const SUBJECT: Subject<'_> = Subject {
        tenant: "t",
        client_id: "c",
        object_id: "o",
    };

    #[test]
    fn only_own_unexpired_tokens_are_accepted() {
        let signer = Signer::new(&RsaKey::generate(Bits::Rsa2048).unwrap()).unwrap();
        let other = Signer::new(&RsaKey::generate(Bits::Rsa2048).unwrap()).unwrap();
        let claims = Claims::access("https://vault.azure.net", &SUBJECT, 60);
        let token = signer.sign(&claims).unwrap();
        assert_eq!(signer.verify(&token), Ok(claims.clone()));
        assert_eq!(other.verify(&token), Err(TokenFault::BadSignature));
        assert_eq!(signer.verify("nonsense"), Err(TokenFault::Malformed));

        let ended = Claims {
            exp: claims.iat,
            ..claims.clone()
        };
        assert_eq!(signer.verify(&signer.sign(&ended).unwrap()), Err(TokenFault::Expired));
        let early = Claims {
            nbf: claims.exp,
            ..claims
        };
        assert_eq!(
            signer.verify(&signer.sign(&early).unwrap()),
            Err(TokenFault::NotYetValid)
        );
    }
}
