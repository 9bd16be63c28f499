//! One request, top to bottom: who asks, what for, for which tenant, whether the tenant's key permits it, and then it is done.
//! Read this file first; each step's module says the rest.

pub mod azure;
mod connection;
mod copying;
mod perform;
mod posting;
mod transfer;
mod waiting;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tracing::Instrument;

pub use connection::{Connection, CutGuard};

use crate::keys::Keys;
use crate::s3::auth::{AuthError, Authenticator, Form, Identity, Payload, Regions, SigV2};
use crate::s3::bucket;
use crate::s3::cors::Cors;
use crate::s3::error::S3Error;
use crate::s3::exchange::Exchange;
use crate::s3::host::{self, Domains};
use crate::s3::layouts::Layouts;
use crate::s3::object::Object;
use crate::s3::operation::{Address, Operation};
use crate::telemetry::audit::{self, Event, known};
use crate::telemetry::clock::Clock;
use crate::telemetry::metrics;
use crate::tenant::{Container, Denied, Tenants};
use crate::upstream::sigv4::Credential;

/// The body of an answer. An error ends it by resetting the connection: a client must never take a part for the whole.
pub type AnswerBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// The gate: everything it needs to answer a request.
pub struct Gateway {
    authenticator: Authenticator,
    options: S3Options,
    tenants: Arc<Tenants>,
    keys: Arc<Keys>,
    layouts: Arc<Layouts>,
    clock: Clock,
}

/// How S3 is spoken.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// Regions that clients may sign for.
    pub regions: Regions,
    /// Where signatures of version 2 are taken.
    pub sig_v2: SigV2,
    /// Domains below which the host names the bucket.
    pub domains: Domains,
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            regions: Regions::Any,
            sig_v2: SigV2::default(),
            domains: Domains::default(),
        }
    }
}

/// Who asks, and what the signature says of the body.
struct Asker<'a> {
    /// Nobody, where the bucket is open to the world.
    credential: Option<&'a Credential>,
    payload: Payload,
    /// The request's id.
    id: &'a str,
}

/// What has been found out about a request so far, for its answer, the log and the audit.
#[derive(Default)]
struct Asked {
    operation: Option<Operation>,
    container: Option<Arc<Container>>,
    name: String,
    /// What the store says to browsers.
    cors: Arc<Cors>,
}

impl Gateway {
    /// A gate for these tenants and keys.
    pub fn new(tenants: Arc<Tenants>, keys: Arc<Keys>, options: S3Options, clock: Clock) -> Self {
        let clients = Arc::clone(&tenants);
        let lookup = move |access_key: &str| clients.credential(access_key);
        let authenticator = Authenticator::new(lookup, options.regions.clone())
            .with_sig_v2(options.sig_v2)
            .with_domains(options.domains.clone());
        Self {
            authenticator,
            options,
            tenants,
            keys,
            layouts: Arc::default(),
            clock,
        }
    }

    /// Answers one S3 request. Never fails: what goes wrong is an answer too.
    pub async fn answer(&self, request: Request<Incoming>, connection: &Connection) -> Response<AnswerBody> {
        let id = request_id();
        let span = tracing::info_span!("request", request_id = %id);
        self.answer_as(&id, request, connection).instrument(span).await
    }

    async fn answer_as(&self, id: &str, request: Request<Incoming>, connection: &Connection) -> Response<AnswerBody> {
        let _running = metrics::Running::begin();
        let (parts, body) = request.into_parts();
        let sends = !http_body::Body::is_end_stream(&body);
        let mut asked = Asked::default();
        let answered = self.serve(&parts, body, connection, id, &mut asked).await;
        let operation = asked.operation.map_or("unknown", Operation::name);
        let mut response = answered.unwrap_or_else(|error| {
            report(&error, operation, &asked);
            let key_url = asked
                .container
                .as_ref()
                .map_or("", |container| container.key_url.as_str());
            let head = parts.method == Method::HEAD;
            let response = error.response(key_url, parts.uri.path(), id, head);
            let mut response = response.map(|body| full(Bytes::from(body)));
            if sends {
                // Some of the body may never be read: the next request must not begin on this connection.
                response
                    .headers_mut()
                    .insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        });
        if !sends && parts.headers.contains_key(EXPECT) {
            // An empty body is never asked for, so no 100 came. botocore before 1.43.127 keeps the early answer of a connection in mind and
            // misreads the next one on it.
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        asked.cors.repeat(response.headers_mut());
        if let Ok(id) = HeaderValue::from_str(id) {
            response.headers_mut().insert("x-amz-request-id", id);
        }
        let status = response.status().as_u16();
        metrics::request(operation, status);
        tracing::debug!(operation, status, peer = %connection.peer, "answered");
        response
    }

    async fn serve(
        &self,
        parts: &Parts,
        body: Incoming,
        connection: &Connection,
        id: &str,
        asked: &mut Asked,
    ) -> Result<Response<AnswerBody>, S3Error> {
        // Who is asking: nothing of the request counts before its signature does.
        // A browser's preflight is nobody's: the URL in it is signed for the request that follows.
        let preflight = parts.method == Method::OPTIONS;
        let identity = match preflight {
            true => Identity::Anonymous(Payload::Unsigned),
            false => self.authenticator.identify(parts, self.clock.now().system_time())?,
        };
        let signed_url = preflight || identity.form() == Some(Form::Query);
        let stated = with_stated(parts, &identity)?;
        let parts = stated.as_ref().unwrap_or(parts);

        // What is asked.
        let in_host = host::of(parts).and_then(|host| host::bucket_of_host(host, &self.options.domains));
        let address = Address::of(parts, in_host.as_deref());
        let operation = Operation::of(&parts.method, &address, &parts.headers, signed_url)?;
        asked.operation = Some(operation);
        let credential = identity.credential().map(Arc::clone);
        if operation == Operation::ListBuckets {
            let listed = bucket::list(&self.tenants, credential.as_deref(), &address).await?;
            return Ok(listed.map(full));
        }

        if operation == Operation::GetUsage {
            return Ok(bucket::usage(&self.tenants, credential.as_deref()).await?.map(full));
        }
        if operation == Operation::PostObject {
            return Box::pin(self.post(parts, address, body, connection, asked)).await;
        }

        // For which tenant: the credential and the bucket must agree.
        let name = address.name()?;
        asked.name.clone_from(&name);
        let prefix = address.prefix()?;
        let within = operation.within(&name, &prefix);
        let access = match operation {
            // Browsers ask it without a signature, of any bucket.
            Operation::Preflight => {
                let claimed = address.claimed_access_key();
                self.tenants.preflight(address.bucket, within, claimed)?
            }
            _ => self.tenants.resolve(credential.as_deref(), address.bucket, within)?,
        };
        asked.container = Some(Arc::clone(&access.container));
        if access.container.shared && !operation.is_safe_where_tenants_share() {
            return Err(Denied::OutsidePrefix.into());
        }

        // May it, and then it is done.
        let object = Object {
            container: &access.container,
            caller: &access.caller,
            keys: &self.keys,
            layouts: &self.layouts,
            cors: Arc::clone(&asked.cors),
            name,
            key: address.key.into(),
            version: address.version().map(Into::into),
        };
        let exchange = Exchange {
            parts,
            address,
            object,
            secure: connection.secure,
        };
        let asker = Asker {
            credential: credential.as_deref(),
            payload: identity.into_payload(),
            id,
        };
        self.perform(operation, &exchange, asker, body, connection).await
    }
}

/// The request with the headers that a presigned URL states in its query; `None` where it states none.
fn with_stated(parts: &Parts, identity: &Identity) -> Result<Option<Parts>, AuthError> {
    let stated = identity.hoisted(parts)?;
    if stated.is_empty() {
        return Ok(None);
    }
    let mut parts = parts.clone();
    parts.headers.extend(stated);
    Ok(Some(parts))
}

/// Says what went wrong to those who must know: the audit where it is about a key or a seal, the log otherwise.
fn report(error: &S3Error, operation: &'static str, asked: &Asked) {
    // What is wrong with a copy's source is that object's matter.
    let (error, container, name) = match error {
        S3Error::Source(fault) => (&*fault.error, Some(&fault.container.0), fault.name.as_str()),
        error => (error, asked.container.as_ref(), asked.name.as_str()),
    };
    let (tenant, bucket) = container.map_or(("", ""), |found| (&*found.tenant, found.name.as_str()));
    match error {
        S3Error::Refused(refused) => {
            audit::record(&Event::RequestRefused {
                tenant,
                version: refused.version.as_ref().map(known),
                operation,
                reason: refused.why.name(),
            });
        }
        S3Error::Tampered { .. } | S3Error::Unsealed => {
            metrics::tampered();
            let version = match error {
                S3Error::Tampered { version, .. } => version.as_ref(),
                _ => None,
            };
            audit::record(&Event::Tampered {
                tenant,
                version: version.map(known),
                operation,
                container: bucket,
                name,
                what: error,
            });
        }
        error => tracing::info!(operation, tenant, %error, "refused"),
    }
}

/// 16 hex digits; unique enough to find a request in the logs.
fn request_id() -> String {
    format!("{:016X}", RandomState::new().hash_one(0_u8))
}

fn full(bytes: Bytes) -> AnswerBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// The body of an answer to HEAD: its Content-Length speaks of what GET would give.
fn nothing() -> AnswerBody {
    http_body_util::Empty::new()
        .map_err(|never: std::convert::Infallible| match never {})
        .boxed_unsync()
}
