//! A form that a browser posts: who asks and which object is meant stands in its fields, so they are read first.

use std::sync::Arc;

use http::Response;
use http::request::Parts;
use hyper::body::Incoming;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::gateway::{AnswerBody, Asked, Connection, Gateway, full};
use crate::s3::error::S3Error;
use crate::s3::exchange::Exchange;
use crate::s3::object::Object;
use crate::s3::operation::{Address, checked_name};
use crate::s3::{cors, host, post, put};
use crate::tenant::Within;

/// What of a key stands for itself in a path.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

impl Gateway {
    /// PostObject.
    pub(super) async fn post(
        &self,
        parts: &Parts,
        address: Address<'_>,
        body: Incoming,
        connection: &Connection,
        asked: &mut Asked,
    ) -> Result<Response<AnswerBody>, S3Error> {
        let now = self.clock.now().system_time();
        let form = post::form(parts, address.bucket, body, &self.authenticator, now).await?;
        let name = checked_name(form.key)?;
        asked.name.clone_from(&name);
        let credential = form.identity.credential().map(Arc::clone);
        let access = self
            .tenants
            .resolve(credential.as_deref(), address.bucket, Within::Key(&name))?;
        asked.container = Some(Arc::clone(&access.container));
        let lease = self.keys.to_write(&access.container.tenant).await?;

        let key = utf8_percent_encode(&name, PATH).to_string();
        let location = location(parts, connection.secure, &access.container.name, &key);
        let mut parts = parts.clone();
        let browser = std::mem::replace(&mut parts.headers, form.headers);
        cors::of_browser(&browser, &mut parts.headers);
        let object = Object {
            container: &access.container,
            caller: &access.caller,
            keys: &self.keys,
            layouts: &self.layouts,
            // What the store says of a PUT is not what it says of this.
            cors: Arc::default(),
            name: name.clone(),
            key: key.as_str().into(),
            version: None,
        };
        let address = Address {
            key: &key,
            query: "",
            ..address
        };
        let exchange = Exchange {
            parts: &parts,
            address,
            object,
            secure: connection.secure,
        };
        let stored = put::unmeasured(&exchange, lease, Box::new(form.file)).await;
        let (container, caller) = (&access.container, &access.caller);
        asked
            .cors
            .ask(container, &key, caller, &parts.headers, &parts.method)
            .await;
        let answer = form.success.answer(&access.container.name, &name, &location, stored?);
        Ok(answer.map(full))
    }
}

/// Where the object can be found afterwards.
fn location(parts: &Parts, secure: bool, bucket: &str, key: &str) -> String {
    let host = host::of(parts).unwrap_or_default();
    let scheme = if secure { "https" } else { "http" };
    let path = parts.uri.path().trim_matches('/');
    match path == bucket {
        true => format!("{scheme}://{host}/{bucket}/{key}"),
        // The bucket stood in the host.
        false => format!("{scheme}://{host}/{key}"),
    }
}
