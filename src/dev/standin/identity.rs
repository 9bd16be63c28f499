//! Managed identity: the instance metadata service (IMDS) of virtual machines, and the form App Service gives its apps.

use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::json;

use crate::dev::standin::cloud::Cloud;
use crate::dev::standin::fault::Operation;
use crate::dev::standin::ids;
use crate::dev::standin::query::Pairs;
use crate::dev::standin::reply::Reply;
use crate::dev::standin::token::{Claims, Subject};
use crate::dev::standin::world::ManagedIdentity;

/// Where IMDS serves tokens.
pub const IMDS_PATH: &str = "/metadata/identity/oauth2/token";
/// Where the App Service form is served; its users get the whole address from `IDENTITY_ENDPOINT`.
pub const APP_SERVICE_PATH: &str = "/msi/token";

/// One request to an identity endpoint.
pub struct Call {
    pub operation: Operation,
    host: Host,
    query: Pairs,
    /// IMDS wants `metadata: true`, so that a forged forward (SSRF) does not reach it.
    metadata: bool,
    header: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    Imds,
    AppService,
    /// A machine that Azure Arc connects; [`arc`](crate::dev::standin::arc) asks who is asking.
    Arc,
    Unknown,
}

impl Call {
    /// Reads a request.
    pub fn read(parts: &Parts) -> Self {
        let host = match (&parts.method, parts.uri.path().trim_end_matches('/')) {
            (&Method::GET, IMDS_PATH) => Host::Imds,
            (&Method::GET, APP_SERVICE_PATH) => Host::AppService,
            _ => Host::Unknown,
        };
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            operation: if host == Host::Unknown {
                Operation::Unknown
            } else {
                Operation::IdentityToken
            },
            host,
            query: Pairs::read(parts.uri.query().unwrap_or_default()),
            metadata: header("metadata").is_some_and(|value| value.eq_ignore_ascii_case("true")),
            header: header("x-identity-header").map(str::to_owned),
        }
    }
}

/// Decides a request.
pub fn answer(cloud: &Cloud, call: &Call) -> Reply {
    match call.host {
        Host::Imds if !call.metadata => refusal("invalid_request", "Required metadata header not specified"),
        Host::Imds | Host::Arc => token(cloud, call.host, &call.query),
        Host::AppService => {
            let shown = call.header.as_deref().unwrap_or_default();
            match aws_lc_rs::constant_time::verify_slices_are_equal(shown.as_bytes(), cloud.identity_header.as_bytes())
            {
                Ok(()) => token(cloud, call.host, &call.query),
                Err(_) => Reply::json(
                    StatusCode::UNAUTHORIZED,
                    &json!({"statusCode": 401, "message": "Unauthorized"}),
                ),
            }
        }
        Host::Unknown => Reply::json(StatusCode::NOT_FOUND, &json!({"error": "Not found"})),
    }
}

/// A token of the machine's own identity, for whoever the agent of Azure Arc believes.
pub fn machine_token(cloud: &Cloud, query: &Pairs) -> Reply {
    token(cloud, Host::Arc, query)
}

fn token(cloud: &Cloud, host: Host, query: &Pairs) -> Reply {
    if query.value("api-version").is_none() {
        return refusal("bad_request_102", "Required api-version query parameter not specified");
    }
    let Some(resource) = query.value("resource").filter(|resource| !resource.is_empty()) else {
        return refusal(
            "invalid_resource",
            "AADSTS50001: The application named  was not found in the tenant.",
        );
    };
    let world = cloud.world();
    let identity = &world.entra().identity;
    if !identity.assigned || !is_meant(identity, query) {
        return refusal("invalid_request", "Identity not found");
    }
    let subject = Subject {
        tenant: &identity.tenant,
        client_id: &identity.client_id,
        object_id: &identity.principal_id,
    };
    let lifetime = cloud.identity_token_lifetime();
    let national = cloud.national();
    let claims = match resource == national.exchange() || resource == national.exchange_audience() {
        true => Claims::assertion(national, &subject, lifetime),
        false => Claims::access(resource, &subject, lifetime),
    };
    let Some(token) = cloud.signer.sign(&claims) else {
        return Reply::json(StatusCode::INTERNAL_SERVER_ERROR, &json!({"error": "unknown"}));
    };
    // Numbers are strings here.
    let mut body = json!({
        "access_token": token,
        "client_id": identity.client_id,
        "expires_on": claims.exp.to_string(),
        "resource": resource,
        "token_type": "Bearer",
    });
    if let (Host::Imds | Host::Arc, Some(body)) = (host, body.as_object_mut()) {
        body.insert("expires_in".to_owned(), lifetime.to_string().into());
        body.insert("ext_expires_in".to_owned(), lifetime.to_string().into());
        body.insert("not_before".to_owned(), claims.nbf.to_string().into());
    }
    Reply::json(StatusCode::OK, &body)
}

/// Whether the query names this identity, by whichever of its names, or none: a machine's only one needs no naming.
fn is_meant(identity: &ManagedIdentity, query: &Pairs) -> bool {
    let names = [
        ("client_id", &identity.client_id),
        ("object_id", &identity.principal_id),
        ("principal_id", &identity.principal_id),
        ("msi_res_id", &identity.resource_id),
        ("mi_res_id", &identity.resource_id),
    ];
    names
        .into_iter()
        .all(|(name, value)| query.value(name).is_none_or(|named| named.eq_ignore_ascii_case(value)))
}

fn refusal(error: &str, description: &str) -> Reply {
    let body = json!({"error": error, "error_description": description, "correlation_id": ids::uuid()});
    Reply::json(StatusCode::BAD_REQUEST, &body).coded(error)
}
