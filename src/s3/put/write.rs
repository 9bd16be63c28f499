//! A sealed object into the store: in one request, or in pieces where the store takes no more in one. Whatever goes wrong on the
//! way, nothing is stored.

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, Method};

use crate::body::SealedBody;
use crate::s3::error::S3Error;
use crate::s3::headers;
use crate::s3::object::Object;
use crate::s3::put::pieces;
use crate::seal::SealedLen;
use crate::upstream::{Dialect, StoreBody, Write};

/// What is said of an object on its way.
pub struct Writing<'a> {
    /// Whose place it takes.
    pub object: &'a Object<'a>,
    /// What goes along with every request for it.
    pub always: HeaderMap,
    /// What the store keeps with it.
    pub headers: HeaderMap,
    /// On what it may take its place, in the store's words.
    pub conditions: HeaderMap,
}

/// Stores the object; gives the store's headers about it: its ETag, its version.
///
/// # Errors
/// The lease ended, the body stopped, or the store said no, or nothing. A condition that the store would pass over.
pub async fn write(writing: &Writing<'_>, sealed: SealedBody) -> Result<HeaderMap, S3Error> {
    let kind = kind(sealed.stored_len(), writing.object.container.store.dialect());
    heeded(writing.object, kind, &writing.conditions).await?;
    let (fault, permission) = (sealed.fault(), sealed.permission());
    let over = permission.over();
    let storing = async {
        if kind == Write::Complete {
            return Box::pin(pieces::store(writing, sealed)).await;
        }
        let mut headers = writing.headers.clone();
        headers::add(&writing.always, &mut headers);
        headers::add(&writing.conditions, &mut headers);
        let asked = writing.object.ask(Method::PUT, "", headers, StoreBody::sealed(sealed));
        Ok(asked.await?.into_parts().0.headers)
    };
    let stored = tokio::select! {
        stored = storing => stored,
        // A store that does not take the body must not keep the client waiting past the lease.
        () = over.cancelled() => Err(S3Error::StoreFailed),
    };
    // The body knows better than the store why it stopped.
    match (stored, fault.take()) {
        (_, Some(fault)) => Err(fault.into()),
        (Err(S3Error::StoreFailed), None) if over.is_cancelled() => Err(ended(writing.object).await),
        (stored, None) => stored,
    }
}

/// How an object of this size gets into the store.
pub fn kind(stored: SealedLen, dialect: &Dialect) -> Write {
    if stored.0 > dialect.largest_put {
        Write::Complete
    } else {
        Write::Put
    }
}

/// Refuses what the store would do in spite of its conditions.
///
/// # Errors
/// A condition that the store passes over; or it could not be found out whether it does.
pub async fn heeded(object: &Object<'_>, write: Write, conditions: &HeaderMap) -> Result<(), S3Error> {
    if !conditions.contains_key(IF_MATCH) && !conditions.contains_key(IF_NONE_MATCH) {
        return Ok(());
    }
    match object.container.store.heeded().await?.passes_over(write, conditions) {
        None => Ok(()),
        Some(name) => Err(S3Error::NotImplemented {
            what: format!("the header {name}, which the store behind this endpoint passes over"),
        }),
    }
}

/// Why the lease ended, asked of those who decide.
pub async fn ended(object: &Object<'_>) -> S3Error {
    match object.keys.to_write(&object.container.tenant).await {
        Err(refusal) => S3Error::Refused(refusal),
        Ok(_) => S3Error::StoreFailed,
    }
}

/// The most stored bytes of an object that comes in one request, in pieces if need be.
pub const fn largest(dialect: &Dialect) -> u64 {
    let pieces = dialect.largest_put.saturating_mul(pieces::MOST);
    if pieces < dialect.largest_object {
        pieces
    } else {
        dialect.largest_object
    }
}
