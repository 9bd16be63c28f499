//! Each operation: the permission it needs, and who does it. No lease, no bytes; no names and sizes either, but for the tenants whose
//! terms leave them open to clean up.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use hyper::body::Incoming;

use crate::gateway::{AnswerBody, Asker, Connection, Gateway, full, nothing, transfer, waiting};
use crate::keys::{CleanUp, Lease};
use crate::s3::error::S3Error;
use crate::s3::exchange::Exchange;
use crate::s3::object::Object;
use crate::s3::operation::{Address, Operation};
use crate::s3::pass::{self, Deletion};
use crate::s3::{attributes, bucket, list, multipart, put, read};
use crate::telemetry::audit::{self, Event, known};
use crate::tenant::{Access, Denied, Within};

impl Gateway {
    pub(super) async fn perform(
        &self,
        operation: Operation,
        exchange: &Exchange<'_>,
        asker: Asker<'_>,
        body: Incoming,
        connection: &Connection,
    ) -> Result<Response<AnswerBody>, S3Error> {
        let container = exchange.container();
        let tenant = &container.tenant;
        // Each in a box: a connection has room for the largest of them otherwise, and a thread's stack for all at once.
        match operation {
            Operation::PutObject => {
                let lease = self.keys.to_write(tenant).await?;
                let written = Box::pin(put::put(exchange, lease, asker.payload, body)).await?;
                Ok(written.map(|()| full(Bytes::new())))
            }
            Operation::GetObject => {
                let lease = self.keys.to_operate(tenant).await?;
                let read = under(&lease, Box::pin(read::get(exchange))).await?;
                let answer = transfer::answer(read, connection, operation, container, &exchange.object.name);
                under(&lease, answer).await
            }
            Operation::HeadObject => {
                let read = self
                    .clean_up(operation, exchange, Box::pin(read::head(exchange)))
                    .await?;
                Ok(read.head.map(|()| nothing()))
            }
            Operation::DeleteObject => {
                let deleted = self
                    .clean_up(operation, exchange, Box::pin(put::delete(exchange)))
                    .await?;
                Ok(deleted.map(|()| full(Bytes::new())))
            }
            Operation::DeleteObjects => Box::pin(self.delete_many(exchange, asker, body)).await,
            Operation::ListObjects | Operation::ListObjectVersions => {
                let page = self
                    .clean_up(operation, exchange, Box::pin(list::list(exchange)))
                    .await?;
                Ok(page.map(full))
            }
            Operation::GetObjectAttributes => {
                let lease = self.keys.to_operate(tenant).await?;
                Ok(Box::pin(attributes::attributes(exchange, lease)).await?.map(full))
            }
            Operation::CreateMultipartUpload => {
                let lease = self.keys.to_write(tenant).await?;
                Ok(Box::pin(multipart::create(exchange, lease)).await?.map(full))
            }
            Operation::UploadPart => {
                let lease = self.keys.to_write(tenant).await?;
                let stored = Box::pin(multipart::put(exchange, lease, asker.payload, body)).await?;
                Ok(stored.map(|()| full(Bytes::new())))
            }
            Operation::CompleteMultipartUpload => {
                let lease = self.keys.to_write(tenant).await?;
                let completing = Box::pin(multipart::Completing::read(exchange, lease, asker.payload, body)).await?;
                Box::pin(waiting::answer(completing.complete(), operation, exchange, asker.id)).await
            }
            Operation::AbortMultipartUpload => {
                let aborted = self
                    .clean_up(operation, exchange, Box::pin(multipart::abort(exchange)))
                    .await?;
                Ok(aborted.map(|()| full(Bytes::new())))
            }
            Operation::ListParts => {
                let page = self
                    .clean_up(operation, exchange, Box::pin(multipart::parts(exchange)))
                    .await?;
                Ok(page.map(full))
            }
            Operation::ListMultipartUploads => {
                let page = self
                    .clean_up(operation, exchange, Box::pin(multipart::uploads(exchange)))
                    .await?;
                Ok(page.map(full))
            }
            Operation::HeadBucket => {
                let found = self
                    .clean_up(operation, exchange, Box::pin(bucket::head(exchange)))
                    .await?;
                Ok(found.map(|()| nothing()))
            }
            Operation::Passed(passed) => {
                let work = Box::pin(pass::pass(exchange, passed, asker.payload, body));
                Ok(self.clean_up(operation, exchange, work).await?.map(full))
            }
            // It tells what the bucket's rules permit, and nothing of what is in it.
            Operation::Preflight => Ok(Box::pin(pass::preflight(exchange)).await?.map(full)),
            Operation::CopyObject | Operation::UploadPartCopy => {
                Box::pin(self.copy(operation, exchange, asker.credential, asker.id)).await
            }
            Operation::ListBuckets | Operation::GetUsage | Operation::PostObject => Err(S3Error::NotImplemented {
                what: operation.name().to_owned(),
            }),
        }
    }

    /// DeleteObjects. Where tenants share a bucket, all keys must lie with one of them.
    async fn delete_many(
        &self,
        exchange: &Exchange<'_>,
        asker: Asker<'_>,
        body: Incoming,
    ) -> Result<Response<AnswerBody>, S3Error> {
        let deletion = Deletion::read(&exchange.parts.headers, asker.payload, body).await?;
        let access = if exchange.container().shared {
            let mut every = deletion.keys.iter().map(|key| {
                self.tenants
                    .resolve(asker.credential, exchange.address.bucket, Within::Key(key))
            });
            let first = every.next().ok_or(S3Error::MalformedXml)??;
            for access in every {
                if access?.container.tenant != first.container.tenant {
                    return Err(Denied::OutsidePrefix.into());
                }
            }
            first
        } else {
            Access {
                container: Arc::clone(exchange.container()),
                caller: exchange.object.caller.clone(),
            }
        };
        let exchange = Exchange {
            parts: exchange.parts,
            address: Address { ..exchange.address },
            secure: exchange.secure,
            object: Object {
                container: &access.container,
                caller: &access.caller,
                ..exchange.object.clone()
            },
        };
        let asked = Box::pin(deletion.ask(&exchange));
        Ok(self
            .clean_up(Operation::DeleteObjects, &exchange, asked)
            .await?
            .map(full))
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
            CleanUp::Revoked { no, version } => {
                audit::record(&Event::CleanedUp {
                    tenant: &container.tenant,
                    version: version.as_ref().map(known),
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
