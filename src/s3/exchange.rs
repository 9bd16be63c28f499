//! What one S3 request carries through its operation.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, Method, Response};
use hyper::body::Incoming;

use crate::s3::error::S3Error;
use crate::s3::headers;
use crate::s3::object::Object;
use crate::s3::operation::Address;
use crate::seal::Place;
use crate::tenant::Container;
use crate::upstream::StoreBody;

/// One request for one tenant's bucket, verified and resolved.
pub struct Exchange<'a> {
    /// Its head, as received.
    pub parts: &'a Parts,
    /// What it is about, as it stands on the wire.
    pub address: Address<'a>,
    /// What it is about, in the store.
    pub object: Object<'a>,
    /// Whether the client speaks TLS to the gate.
    pub secure: bool,
}

impl Exchange<'_> {
    /// The bucket.
    pub fn container(&self) -> &Arc<Container> {
        self.object.container
    }

    /// Where the object is bound to lie.
    pub fn place(&self) -> Place<'_> {
        self.object.place()
    }

    /// Asks the store about this very bucket, key and version, with what the client says of any request.
    ///
    /// # Errors
    /// No answer, or one that says no. 304 is an answer.
    pub async fn ask(
        &self,
        method: Method,
        query: &str,
        mut headers: HeaderMap,
        body: StoreBody,
    ) -> Result<Response<Incoming>, S3Error> {
        headers::to_any(&self.parts.headers, &mut headers);
        self.object.ask(method, query, headers, body).await
    }

    /// Asks the store what it says to a browser of the client's request, if nothing it was asked so far has told that. For what the
    /// gate does by other methods than the client.
    pub async fn ask_cors(&self) {
        let Object {
            container,
            caller,
            cors,
            key,
            ..
        } = &self.object;
        cors.ask(container, key, caller, &self.parts.headers, &self.parts.method)
            .await;
    }
}
