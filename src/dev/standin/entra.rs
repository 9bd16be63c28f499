//! Entra's token endpoint (client credentials grant) and the metadata around it, for the tenants of the world.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderName, PRAGMA};
use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::json;

use crate::dev::standin::cloud::Cloud;
use crate::dev::standin::fault::Operation;
use crate::dev::standin::ids;
use crate::dev::standin::proof;
use crate::dev::standin::query::Pairs;
use crate::dev::standin::reply::Reply;
use crate::dev::standin::token::{Claims, Subject, TokenFault, sts_issuer};
use crate::dev::standin::world::{Application, Credential, Entra, Presence};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");

/// One request to Entra.
pub struct Call {
    /// The tenant as the URL names it; empty for metadata about all tenants.
    pub tenant: String,
    pub operation: Operation,
    route: Route,
    form: Pairs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Token,
    Configuration,
    /// The same for tokens of version 1.0, which differ in their issuer.
    ConfigurationOfFirst,
    Keys,
    Instance,
    Unknown,
}

/// Why Entra refuses. Its errors are numbers; the words around them change.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EntraError {
    TenantUnknown,
    NoParameter(&'static str),
    WrongGrant,
    WrongScope,
    ResourceUnknown,
    AppNeverInstalled,
    AppRemoved,
    AppDisabled { name: String },
    NoCredential,
    WrongSecret,
    AssertionMalformed,
    AssertionSignature,
    AssertionExpired,
    AssertionAudience,
    AssertionIssuer,
    FederationIssuer { found: String },
    FederationSubject { found: String },
    FederationAudience { found: String },
    Broken,
}

impl Call {
    /// Reads a request to the authority.
    pub fn read(parts: &Parts, body: &Bytes) -> Self {
        let segments: Vec<&str> = parts
            .uri
            .path()
            .split('/')
            .filter(|segment| !segment.is_empty())
            .collect();
        let (route, tenant) = match (&parts.method, segments.as_slice()) {
            (&Method::POST, [tenant, "oauth2", "v2.0", "token"]) => (Route::Token, *tenant),
            (&Method::GET, ["common", "discovery", "instance"]) => (Route::Instance, ""),
            (&Method::GET, [tenant, "v2.0", ".well-known", "openid-configuration"]) => (Route::Configuration, *tenant),
            (&Method::GET, [tenant, ".well-known", "openid-configuration"]) => (Route::ConfigurationOfFirst, *tenant),
            (&Method::GET, [tenant, "discovery", "v2.0", "keys"]) => (Route::Keys, *tenant),
            _ => (Route::Unknown, ""),
        };
        let operation = match route {
            Route::Token => Operation::Token,
            Route::Configuration | Route::ConfigurationOfFirst | Route::Keys | Route::Instance => Operation::Discovery,
            Route::Unknown => Operation::Unknown,
        };
        let form = Pairs::read(&String::from_utf8_lossy(body));
        Self {
            tenant: tenant.to_owned(),
            operation,
            route,
            form,
        }
    }
}

/// Decides a request.
pub fn answer(cloud: &Cloud, call: &Call) -> Reply {
    let reply = match call.route {
        Route::Token => token(cloud, call),
        Route::Configuration => configuration(cloud, call, false),
        Route::ConfigurationOfFirst => configuration(cloud, call, true),
        Route::Keys => Ok(Reply::json(StatusCode::OK, &cloud.signer.key_set())),
        Route::Instance => Ok(instance(cloud)),
        Route::Unknown => Ok(Reply::text(
            StatusCode::NOT_FOUND,
            "text/html; charset=utf-8",
            "<html>404</html>\n",
        )),
    };
    let request = ids::uuid();
    reply
        .unwrap_or_else(|error| error.reply(call, &request))
        .with(CACHE_CONTROL, "no-store, no-cache")
        .with(PRAGMA, "no-cache")
        .with(REQUEST_ID, &request)
}

fn token(cloud: &Cloud, call: &Call) -> Result<Reply, EntraError> {
    let world = cloud.world();
    let entra = world.entra();
    let tenant = entra.tenant_id(&call.tenant).ok_or(EntraError::TenantUnknown)?;
    if parameter(call, "grant_type")? != "client_credentials" {
        return Err(EntraError::WrongGrant);
    }
    let client_id = parameter(call, "client_id")?;
    let scope = parameter(call, "scope")?;

    // The application first, its proof second: a removed application learns that it is gone, whatever it shows.
    let application = entra.application(client_id).ok_or(EntraError::AppNeverInstalled)?;
    let installation = entra
        .installation(tenant, client_id)
        .ok_or(EntraError::AppNeverInstalled)?;
    match installation.presence {
        Presence::Installed | Presence::Unconsented => {}
        Presence::NeverInstalled => return Err(EntraError::AppNeverInstalled),
        Presence::Removed => return Err(EntraError::AppRemoved),
        Presence::Disabled => {
            return Err(EntraError::AppDisabled {
                name: application.name.clone(),
            });
        }
    }
    proof::added(cloud, &call.form, tenant, application).unwrap_or_else(|| prove(cloud, call, application))?;

    let resource = scope.strip_suffix("/.default").ok_or(EntraError::WrongScope)?;
    if !cloud.national().knows(resource) {
        return Err(EntraError::ResourceUnknown);
    }
    let subject = Subject {
        tenant,
        client_id: &application.client_id,
        object_id: &installation.object_id,
    };
    let lifetime = cloud.access_token_lifetime();
    let token = cloud
        .signer
        .sign(&Claims::access(resource, &subject, lifetime))
        .ok_or(EntraError::Broken)?;
    let body =
        json!({"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token});
    Ok(Reply::json(StatusCode::OK, &body))
}

/// The application's proof of itself: its secret, or a token of the issuer it federates with.
fn prove(cloud: &Cloud, call: &Call, application: &Application) -> Result<(), EntraError> {
    match &application.credential {
        Credential::Secret(secret) => {
            let shown = call.form.value("client_secret").ok_or(EntraError::NoCredential)?;
            aws_lc_rs::constant_time::verify_slices_are_equal(shown.as_bytes(), secret.as_bytes())
                .map_err(|_| EntraError::WrongSecret)
        }
        // Never the first credential of anybody here.
        Credential::Certificate { .. } => Err(EntraError::NoCredential),
        Credential::Federated {
            issuer,
            subject,
            audience,
        } => {
            if call.form.value("client_assertion_type") != Some(ASSERTION_TYPE) {
                return Err(EntraError::NoCredential);
            }
            let assertion = call.form.value("client_assertion").ok_or(EntraError::NoCredential)?;
            let claims = cloud.signer.verify(assertion).map_err(|fault| match fault {
                TokenFault::Malformed => EntraError::AssertionMalformed,
                TokenFault::BadSignature => EntraError::AssertionSignature,
                TokenFault::Expired | TokenFault::NotYetValid => EntraError::AssertionExpired,
            })?;
            if claims.iss != *issuer {
                return Err(EntraError::FederationIssuer { found: claims.iss });
            }
            if claims.sub != *subject {
                return Err(EntraError::FederationSubject { found: claims.sub });
            }
            let national = cloud.national();
            let exchange = audience == national.exchange() && claims.aud == national.exchange_audience();
            match exchange || claims.aud == *audience {
                true => Ok(()),
                false => Err(EntraError::FederationAudience { found: claims.aud }),
            }
        }
    }
}

fn parameter<'a>(call: &'a Call, name: &'static str) -> Result<&'a str, EntraError> {
    call.form
        .value(name)
        .filter(|value| !value.is_empty())
        .ok_or(EntraError::NoParameter(name))
}

/// OpenID Connect discovery: what SDKs ask before their first token, and services before the first token that they are shown.
fn configuration(cloud: &Cloud, call: &Call, first: bool) -> Result<Reply, EntraError> {
    let world = cloud.world();
    let tenant = world.entra().tenant_id(&call.tenant).ok_or(EntraError::TenantUnknown)?;
    let authority = cloud.authority();
    let body = json!({
        "issuer": match first {
            true => sts_issuer(tenant),
            false => cloud.national().issuer(tenant),
        },
        "authorization_endpoint": format!("{authority}/{tenant}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{authority}/{tenant}/oauth2/v2.0/token"),
        "jwks_uri": format!("{authority}/{tenant}/discovery/v2.0/keys"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "response_types_supported": ["code", "id_token"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "tenant_region_scope": "EU",
        "cloud_instance_name": "microsoftonline.com",
    });
    Ok(Reply::json(StatusCode::OK, &body))
}

/// Instance discovery, by which SDKs check that an authority is one.
fn instance(cloud: &Cloud) -> Reply {
    let host = cloud.login();
    let body = json!({
        "tenant_discovery_endpoint": format!("https://{host}/common/v2.0/.well-known/openid-configuration"),
        "api-version": "1.1",
        "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
    });
    Reply::json(StatusCode::OK, &body)
}

impl EntraError {
    fn reply(&self, call: &Call, request: &str) -> Reply {
        let (status, error, number) = self.codes();
        let (correlation, timestamp) = (ids::uuid(), ids::timestamp());
        let text = self.text(call);
        let body = json!({
            "error": error,
            "error_description": format!(
                "AADSTS{number}: {text} Trace ID: {request} Correlation ID: {correlation} Timestamp: {timestamp}"
            ),
            "error_codes": [number],
            "timestamp": timestamp,
            "trace_id": request,
            "correlation_id": correlation,
            "error_uri": format!("https://login.microsoftonline.com/error?code={number}"),
        });
        // Entra escapes the apostrophe, which trips parsers that hope for strings without escapes.
        let body = body.to_string().replace('\'', "\\u0027");
        Reply::text(status, "application/json; charset=utf-8", body).coded(&number.to_string())
    }

    fn codes(&self) -> (StatusCode, &'static str, u32) {
        let request = |number| (StatusCode::BAD_REQUEST, "invalid_request", number);
        let client = |number| (StatusCode::UNAUTHORIZED, "invalid_client", number);
        match self {
            Self::TenantUnknown => request(90002),
            Self::NoParameter(_) => request(900_144),
            Self::WrongGrant => (StatusCode::BAD_REQUEST, "unsupported_grant_type", 70003),
            Self::WrongScope => (StatusCode::BAD_REQUEST, "invalid_scope", 1_002_012),
            Self::ResourceUnknown => (StatusCode::BAD_REQUEST, "invalid_resource", 500_011),
            Self::AppNeverInstalled => (StatusCode::BAD_REQUEST, "unauthorized_client", 700_016),
            Self::AppRemoved => client(7_000_229),
            Self::AppDisabled { .. } => (StatusCode::BAD_REQUEST, "unauthorized_client", 7_000_112),
            Self::NoCredential => client(7_000_218),
            Self::WrongSecret => client(7_000_215),
            Self::AssertionMalformed => request(50027),
            Self::AssertionSignature => client(700_027),
            Self::AssertionExpired => client(700_024),
            Self::AssertionAudience => client(700_023),
            Self::AssertionIssuer => client(700_021),
            Self::FederationIssuer { .. } => client(700_211),
            Self::FederationSubject { .. } => client(700_213),
            Self::FederationAudience { .. } => client(700_212),
            Self::Broken => (StatusCode::INTERNAL_SERVER_ERROR, "server_error", 90033),
        }
    }

    fn text(&self, call: &Call) -> String {
        let client = call.form.value("client_id").unwrap_or_default();
        let tenant = &call.tenant;
        let federation = |claim: &str, found: &str| {
            format!(
                "No matching federated identity record found for presented assertion {claim} '{found}'. Check your federated \
                 identity credential Subject, Audience and Issuer against the presented assertion. \
                 https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
            )
        };
        match self {
            Self::TenantUnknown => format!(
                "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the \
                 correct cloud. Check with your subscription administrator, this may happen if there are no active \
                 subscriptions for the tenant."
            ),
            Self::NoParameter(name) => {
                format!("The request body must contain the following parameter: '{name}'.")
            }
            Self::WrongGrant => "The app requested an unsupported grant type.".to_owned(),
            Self::WrongScope => {
                let scope = call.form.value("scope").unwrap_or_default();
                format!(
                    "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with \
                     /.default suffixed to the resource identifier (application ID URI)."
                )
            }
            Self::ResourceUnknown => {
                let scope = call.form.value("scope").unwrap_or_default();
                format!(
                    "The resource principal named {scope} was not found in the tenant named {tenant}. This can happen if the \
                     application has not been installed by the administrator of the tenant or consented to by any user in \
                     the tenant. You might have sent your authentication request to the wrong tenant."
                )
            }
            Self::AppNeverInstalled => format!(
                "Application with identifier '{client}' was not found in the directory '{tenant}'. This can happen if the \
                 application has not been installed by the administrator of the tenant or consented to by any user in the \
                 tenant. You may have sent your authentication request to the wrong tenant."
            ),
            Self::AppRemoved => format!(
                "The client application {client} is missing service principal in the tenant {tenant}. See instructions here: \
                 https://go.microsoft.com/fwlink/?linkid=2225119"
            ),
            Self::AppDisabled { name } => format!("Application '{client}'({name}) is disabled."),
            Self::NoCredential => {
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
                    .to_owned()
            }
            Self::WrongSecret => format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not \
                 the client secret ID, for a secret added to app '{client}'."
            ),
            Self::AssertionMalformed => "JWT token is invalid or malformed.".to_owned(),
            Self::AssertionSignature => "Client assertion failed signature validation.".to_owned(),
            Self::AssertionExpired => "Client assertion is not within its valid time range.".to_owned(),
            Self::AssertionAudience => {
                "Client assertion audience claim does not match Realm issuer. Review the documentation at \
                 https://learn.microsoft.com/entra/identity-platform/certificate-credentials ."
                    .to_owned()
            }
            Self::AssertionIssuer => {
                "The iss and sub claims of the client assertion must be the client_id of the request.".to_owned()
            }
            Self::FederationIssuer { found } => federation("issuer", found),
            Self::FederationSubject { found } => federation("subject", found),
            Self::FederationAudience { found } => federation("audience", found),
            Self::Broken => "A transient error has occurred. Please try again.".to_owned(),
        }
    }
}

/// The id of the tenant that a call is about, as the book names it.
pub fn place(entra: &Entra, call: &Call) -> String {
    entra.tenant_id(&call.tenant).unwrap_or(&call.tenant).to_owned()
}
