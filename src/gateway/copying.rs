//! Copies: two objects, the rights to both, and an answer that may outlast the request's own frame.

use std::sync::Arc;

use http::Response;

use crate::gateway::{AnswerBody, Gateway, waiting};
use crate::s3::copy::{self, CopySource};
use crate::s3::error::S3Error;
use crate::s3::exchange::Exchange;
use crate::s3::object::Object;
use crate::s3::operation::{Address, Operation};
use crate::tenant::Within;
use crate::upstream::sigv4::Credential;

impl Gateway {
    /// CopyObject and UploadPartCopy. The client must be permitted at both ends.
    pub(super) async fn copy(
        &self,
        operation: Operation,
        exchange: &Exchange<'_>,
        credential: Option<&Credential>,
        id: &str,
    ) -> Result<Response<AnswerBody>, S3Error> {
        let source = CopySource::of(&exchange.parts.headers)?;
        let within = Within::Key(&source.name);
        let access = self.tenants.resolve(credential, &source.bucket, within)?;
        let lease = self.keys.to_write(&exchange.container().tenant).await?;

        let (parts, container) = (exchange.parts.clone(), Arc::clone(exchange.container()));
        let Address { bucket, key, query } = exchange.address;
        let [bucket, key, query] = [bucket, key, query].map(str::to_owned);
        let (caller, name) = (exchange.object.caller.clone(), exchange.object.name.clone());
        let (keys, layouts) = (Arc::clone(&self.keys), Arc::clone(&self.layouts));
        let cors = Arc::clone(&exchange.object.cors);
        let secure = exchange.secure;
        let work = async move {
            let object = Object {
                container: &container,
                caller: &caller,
                keys: &keys,
                layouts: &layouts,
                cors,
                name,
                key: key.as_str().into(),
                version: None,
            };
            let address = Address {
                bucket: &bucket,
                key: &key,
                query: &query,
            };
            let exchange = Exchange {
                parts: &parts,
                address,
                object,
                secure,
            };
            let from = source.object(&access, &exchange.object);
            match operation {
                Operation::UploadPartCopy => Box::pin(copy::part(&exchange, &from, lease)).await,
                _ => Box::pin(copy::object(&exchange, &from, lease)).await,
            }
        };
        waiting::answer(work, operation, exchange, id).await
    }
}
