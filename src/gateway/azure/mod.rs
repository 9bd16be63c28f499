//! One Azure request, top to bottom, as [`super::Gateway`] does it for S3: who asks, what for, for which tenant, whether the
//! tenant's key permits it, and then it is done.

mod stream;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, ORIGIN, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tracing::Instrument;

use crate::azure::account::{Accounts, Anonymous, Container};
use crate::azure::address::Address;
use crate::azure::auth::{self, AuthError, Directory, Reach, Verified};
use crate::azure::cors::{self, Cors};
use crate::azure::error::AzureError;
use crate::azure::exchange::{Asker, Exchange};
use crate::azure::layouts::Layouts;
use crate::azure::list::Secure;
use crate::azure::operation::{Level, Operation as Op};
use crate::azure::policy::Policies;
use crate::azure::put::Source;
use crate::azure::{append, batch, block, control, copy, delegation, describe, headers, list, put, read};
use crate::gateway::azure::stream::stream;
use crate::gateway::{AnswerBody, Connection, full, nothing, request_id};
use crate::keys::{CleanUp, Keys, Lease};
use crate::telemetry::audit::{self, Event, known};
use crate::telemetry::clock::Clock;
use crate::telemetry::metrics;
use crate::tenant::Within;

/// The gate for Azure's dialect.
pub struct AzureGateway {
    accounts: Accounts,
    keys: Arc<Keys>,
    policies: Policies,
    layouts: Layouts,
    clock: Clock,
    /// Tokens are taken without TLS: only on a machine where everything is.
    dev: bool,
}

/// What has been found out about a request so far, for its answer, the log and the audit.
#[derive(Default)]
struct Asked {
    operation: Option<Op>,
    container: Option<Container>,
    name: String,
    /// Where tokens for the account are to be had.
    challenge: Option<HeaderValue>,
}

impl AzureGateway {
    /// A gate for these accounts and keys; `dev` lets tokens come without TLS.
    pub fn new(accounts: Accounts, keys: Arc<Keys>, clock: Clock, dev: bool) -> Self {
        Self {
            dev,
            accounts,
            keys,
            policies: Policies::new(clock.clone()),
            layouts: Layouts::default(),
            clock,
        }
    }

    /// Answers one request. Never fails: what goes wrong is an answer too.
    pub async fn answer(&self, request: Request<Incoming>, connection: &Connection) -> Response<AnswerBody> {
        let id = guid();
        let span = tracing::info_span!("request", request_id = %id);
        self.answer_as(&id, request, connection).instrument(span).await
    }

    async fn answer_as(&self, id: &str, request: Request<Incoming>, connection: &Connection) -> Response<AnswerBody> {
        let _running = metrics::Running::begin();
        let (mut parts, body) = request.into_parts();
        if connection.secure {
            parts.extensions.insert(Secure);
        }
        let cors = Cors::default();
        if parts.headers.contains_key(ORIGIN) {
            parts.extensions.insert(cors.clone());
        }
        let sends = !http_body::Body::is_end_stream(&body);
        let mut asked = Asked::default();
        let answered = self.serve(&parts, Some(body), connection, &mut asked).await;
        let operation = asked.operation.map_or("unknown", Op::name);
        let mut response = answered.unwrap_or_else(|error| {
            let mut response = self.refused(&error, &parts, id, &asked).map(full);
            if sends {
                // Some of the body may never be read: the next request must not begin on this connection.
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            response
        });
        signed_off(&parts, id, response.headers_mut());
        cors.repeat(response.headers_mut());
        let status = response.status().as_u16();
        metrics::request(operation, status);
        tracing::debug!(operation, status, peer = %connection.peer, "answered");
        response
    }

    fn refused(&self, error: &AzureError, parts: &Parts, id: &str, asked: &Asked) -> Response<Bytes> {
        let operation = asked.operation.map_or("unknown", Op::name);
        report(error, operation, asked, self.reads_of_another(parts, asked));
        let now = time::OffsetDateTime::from(self.clock.now().system_time());
        let mut response = error.response(id, now, parts.method == Method::HEAD).map(Bytes::from);
        if let (StatusCode::UNAUTHORIZED, Some(challenge)) = (response.status(), &asked.challenge) {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge.clone());
        }
        response
    }

    /// Whether it copies from a blob of another tenant's, or of nobody's: then what went wrong may be about that one's key, of which the
    /// tenant has no version.
    fn reads_of_another(&self, parts: &Parts, asked: &Asked) -> bool {
        let Some(source) = parts.headers.get("x-ms-copy-source") else {
            return false;
        };
        let source = source.to_str().ok().and_then(|text| text.parse().ok());
        let source = source.and_then(|url| Address::of_url(&url, &self.accounts));
        let found = source.and_then(|of| of.account.container(&of.container, Within::Key(&of.blob)).ok());
        found.map(|found| found.tenant) != asked.container.as_ref().map(|own| Arc::clone(&own.tenant))
    }

    async fn serve(
        &self,
        parts: &Parts,
        body: Option<Incoming>,
        connection: &Connection,
        asked: &mut Asked,
    ) -> Result<Response<AnswerBody>, AzureError> {
        let address = Address::of(parts, &self.accounts)?;
        asked.challenge = address.account.directory.as_ref().and_then(Directory::challenge);

        // Who is asking: nothing of the request counts before its signature does.
        let now = self.clock.now().system_time();
        if parts.method == Method::OPTIONS {
            return Ok(cors::preflight(parts, &address).await?.map(full));
        }
        let clear = connection.secure || self.dev;
        let verified = match auth::identify(parts, &address, clear, now).await {
            // Anybody, who may read what is open to the world.
            Err(AuthError::Missing) if Level::of(&address) != Level::Account => None,
            verified => Some(verified?),
        };

        // What is asked.
        let operation = Op::of(&parts.method, &address, &parts.headers)?;
        asked.operation = Some(operation);
        headers::check(&parts.headers)?;

        // For which tenant: the container must be the account's.
        let container = match Level::of(&address) {
            Level::Account => of_account(&address),
            Level::Container | Level::Blob => {
                let within = operation.within(&address);
                let found = address.account.container(&address.container, within);
                match &verified {
                    Some(_) => found?,
                    // Strangers aren't told which containers there are.
                    None => found.map_err(|_| AuthError::Missing)?,
                }
            }
        };
        asked.container = Some(container.clone());
        asked.name.clone_from(&address.blob);
        let policy = match verified.as_ref().and_then(Verified::policy) {
            Some(id) => self.policies.get(&address.account.name, &container, id).await?,
            None => None,
        };
        let (peer, secure) = (connection.peer.ip(), connection.secure);
        let reach = match &verified {
            Some(verified) => verified.authorize(operation, &address, policy.as_ref(), peer, secure, now)?,
            None if container.anonymous.permits(operation) => Reach::Full,
            None => return Err(AuthError::Missing.into()),
        };
        if control::concerns_all(operation) && !address.account.is_sole() {
            return Err(AuthError::NotThisAccount.into());
        }
        let whole = container.shared && operation.within(&address) == Within::Itself;
        if whole && !control::is_safe_where_tenants_share(operation) {
            return Err(AuthError::NotThisAccount.into());
        }

        // May it: the tenant's lease is live. Then do it.
        let mut exchange = Exchange {
            parts,
            address: &address,
            container: &container,
            reach,
            keyless: false,
            asker: Asker {
                by_key: verified.as_ref().is_some_and(Verified::reads_all),
                peer,
                secure,
                clear,
                now,
            },
            policies: &self.policies,
            accounts: &self.accounts,
            layouts: &self.layouts,
            keys: &self.keys,
        };
        if operation == Op::Batch {
            let body = body.ok_or(AzureError::InvalidXml)?;
            return self.batch(&exchange, body, connection).await;
        }
        if Level::of(&address) == Level::Account {
            let verified = verified.as_ref().ok_or(AuthError::Missing)?;
            return Box::pin(self.account(&exchange, verified, operation, body)).await;
        }
        if whole {
            // Nothing of any tenant's is told.
            return Box::pin(self.controls(&exchange, operation, body)).await;
        }
        let tenant = &container.tenant;
        if cleans_up(operation) {
            let permission = self.keys.to_clean_up(tenant).await?;
            exchange.keyless = matches!(permission, CleanUp::Revoked { .. });
            let work = Box::pin(self.controls(&exchange, operation, body));
            return match permission {
                CleanUp::Lease(lease) => under(&lease, work).await,
                CleanUp::Revoked { no, version } => {
                    audit::record(&Event::CleanedUp {
                        tenant,
                        version: version.as_ref().map(known),
                        operation: operation.name(),
                        container: &container.name,
                        name: &address.blob,
                        reason: no.name(),
                    });
                    work.await
                }
            };
        }
        if operation == Op::GetBlob {
            let lease = self.keys.to_operate(tenant).await?;
            let read = under(&lease, Box::pin(read::get(&exchange))).await?;
            return under(&lease, stream(read, connection, operation, &exchange)).await;
        }
        if writes(operation) {
            let lease = self.keys.to_write(tenant).await?;
            return Box::pin(self.write(&exchange, operation, lease, body)).await;
        }
        let lease = self.keys.to_operate(tenant).await?;
        under(&lease, Box::pin(self.controls(&exchange, operation, body))).await
    }

    /// What seals. The lease goes with the body, which ends with it.
    async fn write(
        &self,
        exchange: &Exchange<'_>,
        operation: Op,
        lease: Lease,
        body: Option<Incoming>,
    ) -> Result<Response<AnswerBody>, AzureError> {
        let client = &exchange.parts.headers;
        let body = body.ok_or(AzureError::MissingLength);
        let written = match operation {
            Op::PutBlob => Box::pin(put::put(exchange, lease, Source::of(client, body?, true)?)).await,
            Op::PutBlock => Box::pin(block::put(exchange, lease, Source::of(client, body?, false)?)).await,
            Op::PutBlockList => Box::pin(under(&lease, block::put_list(exchange, body?))).await,
            Op::AppendBlock => Box::pin(append::append(exchange, Source::of(client, body?, false)?)).await,
            Op::PutBlobFromUrl => Box::pin(copy::put_blob_from_url(exchange, lease)).await,
            Op::PutBlockFromUrl => Box::pin(copy::put_block_from_url(exchange, lease)).await,
            Op::AppendBlockFromUrl => Box::pin(copy::append_from_url(exchange)).await,
            _ => Box::pin(append::create(exchange)).await,
        };
        Ok(written?.map(|()| full(Bytes::new())))
    }

    /// What neither seals nor opens content.
    async fn controls(
        &self,
        exchange: &Exchange<'_>,
        operation: Op,
        body: Option<Incoming>,
    ) -> Result<Response<AnswerBody>, AzureError> {
        let empty = |answer: Response<()>| answer.map(|()| full(Bytes::new()));
        Ok(match operation {
            Op::GetBlobProperties => read::head(exchange).await?.head.map(|()| nothing()),
            Op::GetBlobMetadata => describe::get_metadata(exchange).await?.map(|()| nothing()),
            Op::SetBlobMetadata => empty(describe::set_metadata(exchange).await?),
            Op::SetBlobProperties => empty(describe::set_properties(exchange).await?),
            Op::SnapshotBlob => empty(describe::snapshot(exchange).await?),
            Op::ListBlobs => list::list(exchange).await?.map(full),
            Op::GetBlockList => block::get_list(exchange).await?.map(|body| full(body.into())),
            Op::SealAppendBlob => empty(append::seal(exchange).await?),
            Op::CopyBlob => empty(copy::copy(exchange).await?),
            operation => {
                let answer = control::pass(exchange, operation, body).await?;
                if operation == Op::SetContainerAcl {
                    let account = &exchange.address.account.name;
                    self.policies.forget(account, &exchange.address.container);
                }
                match exchange.parts.method == Method::HEAD {
                    true => answer.map(|_| nothing()),
                    false => answer.map(full),
                }
            }
        })
    }

    /// What concerns the account: no blob of anybody's, so no lease; but names of blobs are told only while every tenant permits.
    async fn account(
        &self,
        exchange: &Exchange<'_>,
        verified: &Verified,
        operation: Op,
        body: Option<Incoming>,
    ) -> Result<Response<AnswerBody>, AzureError> {
        match operation {
            Op::GetUserDelegationKey => {
                let issued = delegation::issue(exchange, verified.principal()?, body).await?;
                return Ok(issued.map(full));
            }
            Op::FindBlobsByTags => {
                for tenant in exchange.address.account.tenants() {
                    self.keys.to_operate(tenant).await?;
                }
            }
            _ => {}
        }
        let answer = control::pass(exchange, operation, body).await?;
        Ok(match exchange.parts.method == Method::HEAD {
            true => answer.map(|_| nothing()),
            false => answer.map(full),
        })
    }

    /// Blob Batch: each request in it stands for itself, with its own signature.
    async fn batch(
        &self,
        exchange: &Exchange<'_>,
        body: Incoming,
        connection: &Connection,
    ) -> Result<Response<AnswerBody>, AzureError> {
        let batch = batch::Batch::read(exchange, body).await?;
        let mut answers = batch.begin();
        for (number, request) in batch.requests() {
            let id = guid();
            let mut asked = Asked::default();
            let answered = match request {
                Ok(parts) => match Box::pin(self.serve(&parts, None, connection, &mut asked)).await {
                    Ok(answer) => answer.map(|_| Bytes::new()),
                    Err(error) => self.refused(&error, &parts, &id, &asked),
                },
                Err(error) => self.refused(&error, exchange.parts, &id, &asked),
            };
            answers.add(&number, &id, &answered);
        }
        Ok(answers.response().map(full))
    }
}

/// Where requests about the account itself go: to its store, and to no container.
fn of_account(address: &Address) -> Container {
    Container {
        name: String::new(),
        tenant: Arc::from(""),
        key_url: String::new(),
        sealed_as: String::new(),
        store: Arc::clone(&address.account.store),
        shared: false,
        anonymous: Anonymous::Nothing,
    }
}

/// What a tenant's terms may leave open when its customer has said no.
fn cleans_up(operation: Op) -> bool {
    matches!(
        operation,
        Op::GetBlobProperties | Op::DeleteBlob | Op::ListBlobs | Op::GetContainerProperties | Op::DeleteContainer
    )
}

fn writes(operation: Op) -> bool {
    matches!(
        operation,
        Op::PutBlob
            | Op::PutBlock
            | Op::PutBlockList
            | Op::AppendBlock
            | Op::CreateAppendBlob
            | Op::PutBlobFromUrl
            | Op::PutBlockFromUrl
            | Op::AppendBlockFromUrl
    )
}

/// What every answer says: which request it is to, and in which version.
fn signed_off(parts: &Parts, id: &str, headers: &mut http::HeaderMap) {
    const VERSION: HeaderName = HeaderName::from_static("x-ms-version");
    const CLIENT_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert("x-ms-request-id", id);
    }
    for name in [VERSION, CLIENT_ID] {
        if let Some(value) = parts.headers.get(&name) {
            headers.entry(name).or_insert_with(|| value.clone());
        }
    }
}

/// What `work` comes to, if the permission lasts that long.
async fn under<T>(permission: &Lease, work: impl Future<Output = Result<T, AzureError>>) -> Result<T, AzureError> {
    let over = permission.over();
    tokio::select! {
        biased;
        () = over.cancelled() => Err(permission.check().map_or_else(AzureError::Refused, |()| AzureError::StoreFailed)),
        done = work => done,
    }
}

/// Says what went wrong to those who must know. No version where it may be that of `another` tenant's key.
fn report(error: &AzureError, operation: &'static str, asked: &Asked, another: bool) {
    let (tenant, container) = asked
        .container
        .as_ref()
        .map_or(("", ""), |found| (&*found.tenant, found.name.as_str()));
    // What concerns the whole account is any tenant's.
    let told = !another && !tenant.is_empty();
    match error {
        AzureError::Refused(refused) => {
            audit::record(&Event::RequestRefused {
                tenant,
                version: refused.version.as_ref().filter(|_| told).map(known),
                operation,
                reason: refused.why.name(),
            });
        }
        AzureError::Tampered { .. } | AzureError::Unsealed => {
            metrics::tampered();
            let version = match error {
                AzureError::Tampered { version, .. } => version.as_ref(),
                _ => None,
            };
            audit::record(&Event::Tampered {
                tenant,
                version: version.filter(|_| told).map(known),
                operation,
                container,
                name: &asked.name,
                what: error,
            });
        }
        error => tracing::info!(operation, tenant, %error, "refused"),
    }
}

/// A request id in the form of Azure's own.
fn guid() -> String {
    let hex = (request_id() + &request_id()).to_ascii_lowercase();
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default().to_owned();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}
