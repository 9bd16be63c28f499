//! S3's multipart uploads, without state in the gate: any replica takes any request of an upload.
//!
//! What there is to know of an upload lies in the store. Its id is the store's own, and its parts are parts there, each sealed
//! alone. But the gate's footer has to be the last part, and S3 wants 5 MiB of every other; so a part that can only be the last
//! waits in the system container (`staging`), and goes up with the footer when the client completes the upload
//! (`complete`). What is written in which order, and why any of it may be cut off and be done again, stands there.

mod abort;
mod claims;
mod complete;
mod create;
mod done;
mod finish;
mod list;
mod part;
mod staging;
mod sweep;
mod unmeasured;
mod xml;

use std::sync::Arc;

use http::header::IF_MATCH;
use http::{HeaderMap, Method, Response, StatusCode};
use hyper::body::Incoming;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

pub use abort::abort;
pub use complete::Completing;
pub use create::create;
pub use list::{parts, uploads};
pub use part::{NewPart, Put, put, store};
pub use sweep::sweep;
pub use unmeasured::{PIECE, gather, unmeasured};

use crate::keys::TenantLeases;
use crate::s3::cors::Cors;
use crate::s3::error::{S3Error, UploadError};
use crate::s3::exchange::Exchange;
use crate::s3::headers;
use crate::s3::multipart::staging::Staging;
use crate::s3::object::understood;
use crate::seal::{Binding, Domain, Place};
use crate::tenant::Container;
use crate::upstream::{Call, Caller, StoreBody};

/// What of a key stands for itself in a path.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// One upload, as its own requests and those about it ask the store. It borrows nothing, for a Complete may outlast the
/// request that began it.
#[derive(Clone)]
pub struct Upload {
    container: Arc<Container>,
    caller: Caller,
    leases: TenantLeases,
    name: String,
    key: String,
    id: String,
    /// What goes along with every request for the object.
    always: HeaderMap,
    /// What the store says to browsers.
    cors: Arc<Cors>,
}

impl Upload {
    /// The upload that a request names.
    ///
    /// # Errors
    /// It names none.
    pub fn of(exchange: &Exchange<'_>) -> Result<Self, S3Error> {
        let mut parameters = exchange.address.parameters();
        let raw = parameters.find(|(name, _)| *name == "uploadId").map(|(_, value)| value);
        let id = raw.filter(|raw| !raw.is_empty()).ok_or(UploadError::NoSuchUpload)?;
        // A `+` in a query is a space to S3, and to what signs for it.
        let id = id.replace('+', "%20");
        let id = percent_decode_str(&id).decode_utf8().map_err(|_| S3Error::InvalidUri)?;
        Ok(Self::named(exchange, id.into_owned()))
    }

    /// The upload of this id.
    fn named(exchange: &Exchange<'_>, id: String) -> Self {
        let object = &exchange.object;
        let mut always = HeaderMap::new();
        headers::to_any(&exchange.parts.headers, &mut always);
        Self {
            container: Arc::clone(object.container),
            caller: object.caller.clone(),
            leases: object.keys.of(&object.container.tenant),
            name: object.name.clone(),
            key: object.key.clone().into_owned(),
            id,
            always,
            cors: Arc::clone(&object.cors),
        }
    }

    /// The upload's id, as the store gave it out.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where the object is bound to lie.
    fn place(&self) -> Place<'_> {
        Place {
            domain: Domain::S3,
            container: &self.container.sealed_as,
            name: &self.name,
        }
    }

    /// What a part of this number is bound to.
    fn binding(&self, number: u32) -> Binding {
        Binding::part(&self.container.sealed_as, &self.name, &self.id, number)
    }

    /// Where its parts wait that can only be the last.
    fn staging(&self) -> Staging<'_> {
        Staging::of(&self.container.store, &self.container.sealed_as, &self.name, &self.id)
    }

    /// Asks the store about the upload; `query` is what comes before its id.
    async fn ask(
        &self,
        method: Method,
        query: &str,
        headers: HeaderMap,
        body: StoreBody,
    ) -> Result<Response<Incoming>, S3Error> {
        let id = utf8_percent_encode(&self.id, NON_ALPHANUMERIC);
        // Ceph says NoSuchKey of an upload that is gone. Of a Complete that is to replace an object it is said of that.
        let conditional = headers.contains_key(IF_MATCH);
        let asked = self
            .about_object(method, &format!("{query}uploadId={id}"), headers, body)
            .await;
        match asked {
            Err(S3Error::Store { code, .. }) if code == "NoSuchUpload" || (code == "NoSuchKey" && !conditional) => {
                Err(UploadError::NoSuchUpload.into())
            }
            asked => asked,
        }
    }

    /// Asks the store about the object that the upload is to become.
    async fn about_object(
        &self,
        method: Method,
        query: &str,
        mut headers: HeaderMap,
        body: StoreBody,
    ) -> Result<Response<Incoming>, S3Error> {
        headers::add(&self.always, &mut headers);
        let call = Call {
            method,
            bucket: &self.container.name,
            key: &self.key,
            query,
            caller: &self.caller,
            headers,
            body,
        };
        let answer = self.container.store.send(call).await?;
        self.cors.note(answer.headers());
        understood(answer).await
    }

    /// Whether the upload is there, and may be asked about.
    ///
    /// # Errors
    /// It is not; the store said no, or nothing.
    async fn exists(&self) -> Result<(), S3Error> {
        let asked = self
            .ask(Method::GET, "max-parts=1&", HeaderMap::new(), StoreBody::empty())
            .await;
        asked.map(drop)
    }
}

fn is_gone(error: &S3Error) -> bool {
    matches!(error, S3Error::Upload(UploadError::NoSuchUpload))
}

fn is_missing(error: &S3Error) -> bool {
    matches!(
        error,
        S3Error::Store {
            status: StatusCode::NOT_FOUND,
            ..
        }
    )
}
