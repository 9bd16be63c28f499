//! How an application proves itself at Entra's token endpoint beside the credential it was made with: registered certificates
//! (learn.microsoft.com/entra/identity-platform/certificate-credentials), a client secret, a Kubernetes cluster's service account.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::dev::standin::cloud::Cloud;
use crate::dev::standin::entra::EntraError;
use crate::dev::standin::ids;
use crate::dev::standin::query::Pairs;
use crate::dev::standin::world::{Application, Credential};

/// The issuer of the cluster that the ISV's application may trust, as AKS names it.
pub const CLUSTER: &str = "https://westeurope.oic.prod-aks.azure.com/a0000000-0000-4000-8000-000000000001/cluster/";
/// The service account in it.
pub const ACCOUNT: &str = "system:serviceaccount:portcullis:gate";
/// What the account's token is for.
const AUDIENCE: &str = "api://AzureADTokenExchange";

/// What is looked at in an assertion.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Value,
    exp: i64,
    #[serde(default)]
    nbf: i64,
}

/// Whether what the request shows is one of the credentials that were added later, and holds; `None` where it is none of them.
pub fn added(cloud: &Cloud, form: &Pairs, tenant: &str, application: &Application) -> Option<Result<(), EntraError>> {
    if let Some(shown) = form.value("client_secret") {
        let secrets = application.also.iter().filter_map(|credential| match credential {
            Credential::Secret(secret) => Some(secret),
            _ => None,
        });
        let mut secrets = secrets.peekable();
        secrets.peek()?;
        let right = secrets.any(|secret| secret == shown);
        return Some(if right { Ok(()) } else { Err(EntraError::WrongSecret) });
    }
    let assertion = form.value("client_assertion")?;
    let header = jsonwebtoken::decode_header(assertion).ok()?;
    if let Some(thumbprint) = header.x5t_s256 {
        return Some(certified(cloud, assertion, &thumbprint, tenant, application));
    }
    let claims: Claims = cloud.signer.read(assertion)?;
    let mut added = application.also.iter().filter_map(|credential| match credential {
        Credential::Federated {
            issuer,
            subject,
            audience,
        } if *issuer == claims.iss => Some((subject, audience)),
        _ => None,
    });
    match (added.next(), &application.credential) {
        (Some((subject, audience)), _) => Some(federated(&claims, subject, audience)),
        // Not of the issuer that it was made with either.
        (None, Credential::Federated { issuer, .. }) if *issuer != claims.iss => {
            Some(Err(EntraError::FederationIssuer { found: claims.iss }))
        }
        (None, _) => None,
    }
}

fn federated(claims: &Claims, subject: &str, audience: &str) -> Result<(), EntraError> {
    if claims.sub != *subject {
        return Err(EntraError::FederationSubject {
            found: claims.sub.clone(),
        });
    }
    match is_for(&claims.aud, audience) {
        true => in_time(claims),
        false => Err(EntraError::FederationAudience {
            found: claims.aud.to_string(),
        }),
    }
}

/// A service account's token, as a cluster projects it into a pod. It is signed with Entra's key, where a cluster has its own.
pub fn account_token(cloud: &Cloud, lifetime: u64) -> Option<String> {
    let now = ids::now();
    cloud.signer.sign(&json!({
        "aud": [AUDIENCE],
        "iss": CLUSTER,
        "sub": ACCOUNT,
        "iat": now,
        "nbf": now,
        "exp": now.saturating_add_unsigned(lifetime),
        "kubernetes.io": {"namespace": "portcullis", "serviceaccount": {"name": "gate"}},
    }))
}

/// The trust that a cluster's tokens need.
pub fn cluster_trust() -> Credential {
    Credential::Federated {
        issuer: CLUSTER.to_owned(),
        subject: ACCOUNT.to_owned(),
        audience: AUDIENCE.to_owned(),
    }
}

fn certified(
    cloud: &Cloud,
    assertion: &str,
    thumbprint: &str,
    tenant: &str,
    application: &Application,
) -> Result<(), EntraError> {
    let registered = application.also.iter().find_map(|credential| match credential {
        Credential::Certificate { pem } if fingerprint(pem).as_deref() == Some(thumbprint) => Some(pem),
        _ => None,
    });
    let pem = registered.ok_or(EntraError::AssertionSignature)?;
    let key = DecodingKey::from_rsa_pem(pem.as_bytes()).map_err(|_| EntraError::Broken)?;
    let mut wanted = Validation::new(Algorithm::PS256);
    wanted.required_spec_claims.clear();
    wanted.validate_exp = false;
    wanted.validate_aud = false;
    let claims = jsonwebtoken::decode::<Claims>(assertion, &key, &wanted);
    let claims = claims.map_err(|_| EntraError::AssertionSignature)?.claims;
    if claims.iss != application.client_id || claims.sub != application.client_id {
        return Err(EntraError::AssertionIssuer);
    }
    if !is_for(
        &claims.aud,
        &format!("{}/{tenant}/oauth2/v2.0/token", cloud.authority()),
    ) {
        return Err(EntraError::AssertionAudience);
    }
    in_time(&claims)
}

fn in_time(claims: &Claims) -> Result<(), EntraError> {
    let now = ids::now();
    match claims.nbf <= now && now < claims.exp {
        true => Ok(()),
        false => Err(EntraError::AssertionExpired),
    }
}

/// `aud` is one or several.
fn is_for(aud: &Value, audience: &str) -> bool {
    match aud {
        Value::Array(several) => several.iter().any(|one| one == audience),
        one => one == audience,
    }
}

/// SHA-256 of a certificate in base64url.
fn fingerprint(pem: &str) -> Option<String> {
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let text: String = body.split_ascii_whitespace().collect();
    let der = STANDARD.decode(text).ok()?;
    Some(URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &der)))
}
