//! One request, top to bottom: who asks, what for, for which tenant, whether the tenant's key permits it, and then it is done.
//! Read this file first; each step's module says the rest.

mod connection;
mod transfer;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONNECTION;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tracing::Instrument;

pub use connection::{Connection, CutGuard};

use crate::keys::{CleanUp, Keys, Lease, Refusal};
use crate::s3::auth::{Authenticator, Regions};
use crate::s3::error::S3Error;
use crate::s3::exchange::Exchange;
use crate::s3::object::Object;
use crate::s3::operation::{Address, Operation};
use crate::s3::{bucket, get, list, put};
use crate::telemetry::audit::{self, Event};
use crate::telemetry::clock::Clock;
use crate::telemetry::metrics;
use crate::tenant::{Container, Tenants};
use crate::upstream::Caller;

/// The body of an answer. An error ends it by resetting the connection: a client must never take a part for the whole.
pub type AnswerBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// The gate: everything it needs to answer a request.
pub struct Gateway {
    authenticator: Authenticator,
    tenants: Arc<Tenants>,
    keys: Arc<Keys>,
    clock: Clock,
}

/// What has been found out about a request so far, for its answer, the log and the audit.
#[derive(Default)]
struct Asked {
    operation: Option<Operation>,
    container: Option<Arc<Container>>,
    name: String,
}

impl Gateway {
    /// A gate for these tenants and keys. Clients may sign for any of `regions`.
    pub fn new(tenants: Arc<Tenants>, keys: Arc<Keys>, regions: Regions, clock: Clock) -> Self {
        let clients = Arc::clone(&tenants);
        let authenticator = Authenticator::new(move |access_key| clients.credential(access_key), regions);
        Self {
            authenticator,
            tenants,
            keys,
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
        let answered = self.serve(&parts, body, connection, &mut asked).await;
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
        asked: &mut Asked,
    ) -> Result<Response<AnswerBody>, S3Error> {
        // Who is asking: nothing of the request counts before its signature does.
        let verified = self.authenticator.verify(parts, self.clock.now().system_time())?;

        // What is asked.
        let address = Address::of(parts);
        let operation = Operation::of(&parts.method, &address, &parts.headers)?;
        asked.operation = Some(operation);
        if operation == Operation::ListBuckets {
            return Ok(bucket::list(&self.tenants.visible(verified.credential())).map(full));
        }

        // For which tenant: the credential and the bucket must agree.
        let container = self.tenants.resolve(verified.credential(), address.bucket)?;
        asked.container = Some(Arc::clone(container));
        let name = address.name()?;
        asked.name.clone_from(&name);

        // May it: the tenant's lease is live. No lease, no bytes; no names and sizes either, but for the tenants whose terms
        // leave them open to clean up. Then do it.
        let tenant = &container.tenant;
        let version = address.version();
        let object = Object {
            container,
            caller: &Caller::Gate,
            keys: &self.keys,
            name,
            key: address.key.into(),
            version: version.map(Into::into),
        };
        let exchange = Exchange { parts, address, object };
        match operation {
            Operation::PutObject => {
                let lease = self.keys.to_write(tenant).await?;
                let written = put::put(&exchange, lease, verified.into_payload(), body).await?;
                Ok(written.map(|()| full(Bytes::new())))
            }
            Operation::GetObject => {
                let lease = self.keys.to_operate(tenant).await?;
                let read = under(&lease, get::get(&exchange)).await?;
                let answer = transfer::answer(read, connection, operation, container, &exchange.object.name);
                under(&lease, answer).await
            }
            Operation::HeadObject => {
                let read = self.clean_up(operation, &exchange, get::head(&exchange)).await?;
                Ok(read.head.map(|()| nothing()))
            }
            Operation::DeleteObject => {
                let deleted = self.clean_up(operation, &exchange, put::delete(&exchange)).await?;
                Ok(deleted.map(|()| full(Bytes::new())))
            }
            Operation::ListObjects => {
                let page = self.clean_up(operation, &exchange, list::list(&exchange)).await?;
                Ok(page.map(full))
            }
            Operation::HeadBucket => {
                let found = self.clean_up(operation, &exchange, bucket::head(&exchange)).await?;
                Ok(found.map(|()| nothing()))
            }
            Operation::ListBuckets => Ok(bucket::list(&self.tenants.visible(verified.credential())).map(full)),
        }
    }

    /// Does what neither reads nor writes an object, if it is permitted. What is done against the customer's no is written down.
    async fn clean_up<T>(
        &self,
        operation: Operation,
        exchange: &Exchange<'_>,
        work: impl Future<Output = Result<T, S3Error>>,
    ) -> Result<T, S3Error> {
        let container = exchange.container();
        match self.keys.to_clean_up(&container.tenant).await? {
            CleanUp::Lease(lease) => under(&lease, work).await,
            CleanUp::Revoked(no) => {
                audit::record(&Event::CleanedUp {
                    tenant: &container.tenant,
                    operation: operation.name(),
                    container: &container.name,
                    name: &exchange.object.name,
                    reason: no.name(),
                });
                work.await
            }
        }
    }
}

/// What `work` comes to, if the permission lasts that long: what a slow store answers later is told to nobody.
async fn under<T>(permission: &Lease, work: impl Future<Output = Result<T, S3Error>>) -> Result<T, S3Error> {
    let over = permission.over();
    tokio::select! {
        biased;
        () = over.cancelled() => Err(permission.check().map_or_else(S3Error::Refused, |()| S3Error::StoreFailed)),
        done = work => done,
    }
}

/// Says what went wrong to those who must know: the audit where it is about a key or a seal, the log otherwise.
fn report(error: &S3Error, operation: &'static str, asked: &Asked) {
    let (tenant, bucket) = asked
        .container
        .as_ref()
        .map_or(("", ""), |found| (&*found.tenant, found.name.as_str()));
    match error {
        S3Error::Refused(refusal @ (Refusal::Revoked(_) | Refusal::Unavailable(_) | Refusal::BadEnvelope)) => {
            audit::record(&Event::RequestRefused {
                tenant,
                operation,
                reason: refusal.name(),
            });
        }
        S3Error::Tampered { .. } | S3Error::Unsealed => {
            metrics::tampered();
            audit::record(&Event::Tampered {
                tenant,
                container: bucket,
                name: &asked.name,
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
