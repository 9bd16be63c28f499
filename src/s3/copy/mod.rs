//! Copies: CopyObject and UploadPartCopy.
//!
//! Within a tenant and a store the bytes are copied by the store. They stay bound to where they were sealed; what lets a reader
//! take them under the new name is an alias under their own key ([`object`]). All else is opened and sealed anew on its way
//! through the gate: to another tenant or store (`reseal`), and as a part of an upload ([`part`]).

mod conditions;
mod document;
mod object;
mod part;

mod reseal;
mod restate;
mod source;
mod tags;

use std::sync::Arc;

use http::header::{IF_MATCH, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, StatusCode};

pub use object::object;
pub use part::part;

pub use source::CopySource;

use crate::keys::{KeyRefusal, Refusal};
use crate::s3::copy::conditions::Conditions;
use crate::s3::error::S3Error;
use crate::s3::object::Object;
use crate::s3::read::Form;
use crate::s3::read::source::{Verified, verified};
use crate::seal::Checksums;
use crate::tenant::Container;

/// The plaintext's checksums, sealed under the object's own key.
const CHECKSUMS: HeaderName = HeaderName::from_static("x-amz-meta-portcullis-checksums");

/// How often a source is asked for that is replaced each time, before the client is told to come again.
const TRIES: u32 = 3;

/// Why a copy is not made, beside what any request may come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// The header names no bucket and key.
    #[error("the source of the copy is not named")]
    Source,
    /// `?versionId=` and nothing.
    #[error("the source's version is empty")]
    EmptyVersion,
    /// The version that is to be copied says that the object was deleted.
    #[error("the source is a delete marker")]
    DeleteMarker,
    /// One of `x-amz-copy-source-if-*`.
    #[error("a condition on the source does not hold")]
    Condition,
    /// Neither COPY nor REPLACE.
    #[error("the metadata directive is unknown")]
    MetadataDirective,
    /// Neither COPY nor REPLACE.
    #[error("the tagging directive is unknown")]
    TaggingDirective,
    /// Onto itself, and nothing would change.
    #[error("the copy would change nothing")]
    Itself,
    /// No `bytes=first-last`.
    #[error("the range of the source can't be read")]
    Range,
    /// It begins past the source's end.
    #[error("the range begins past the source's end")]
    RangeBeyond,
    /// It ends past the source's end.
    #[error("the range ends past the source's end")]
    RangeTooLong {
        /// The source's length, in bytes of plaintext.
        len: u64,
    },
    /// More than S3 copies in one request.
    #[error("the source has more than {largest} bytes")]
    TooLarge {
        /// In bytes of plaintext.
        largest: u64,
    },
}

/// What is wrong with the source of a copy is another object's matter than the request's, and may be another tenant's: told
/// apart, so that the right one stands in the audit and the right key in the answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("of the copy's source: {error}")]
pub struct SourceFault {
    /// What is wrong.
    pub error: Box<S3Error>,
    /// Where it lies.
    pub container: FaultyContainer,
    /// Its key, decoded.
    pub name: String,
}

/// A container, in an error.
#[derive(Clone)]
pub struct FaultyContainer(pub Arc<Container>);

impl std::fmt::Debug for FaultyContainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.name)
    }
}

/// Says of an error that it is the source's, if it is of a kind that belongs to an object or its key.
fn of_source(from: &Object<'_>, error: S3Error) -> S3Error {
    match error {
        // Silence and the fleet's own troubles with one vault are also told of that vault's tenant.
        S3Error::Refused(KeyRefusal {
            why: Refusal::Revoked(_) | Refusal::Unavailable(_) | Refusal::BadEnvelope,
            ..
        })
        | S3Error::Tampered { .. }
        | S3Error::Unsealed => S3Error::Source(SourceFault {
            error: Box::new(error),
            container: FaultyContainer(Arc::clone(from.container)),
            name: from.name.clone(),
        }),
        error => error,
    }
}

/// What goes along with every request about the source.
fn asking_of_source(client: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (said, meant) in [
        ("x-amz-source-expected-bucket-owner", "x-amz-expected-bucket-owner"),
        ("x-amz-request-payer", "x-amz-request-payer"),
    ] {
        if let Some(value) = client.get(said) {
            headers.insert(meant, value.clone());
        }
    }
    headers
}

/// The source as it is now, verified, and as the client wants it to be.
async fn source_of(from: &Object<'_>, client: &HeaderMap) -> Result<Verified, S3Error> {
    let verified = verified(from, asking_of_source(client), HeaderMap::new()).await;
    let verified = verified.map_err(|error| match error {
        S3Error::Store { status, .. } if status == StatusCode::METHOD_NOT_ALLOWED && from.version.is_some() => {
            CopyError::DeleteMarker.into()
        }
        error => of_source(from, error),
    })?;
    let etag = verified.etag().and_then(|etag| etag.to_str().ok());
    Conditions::of(client).hold(etag, verified.store.get(LAST_MODIFIED))?;
    Ok(verified)
}

/// The condition that it still is the source that was verified.
fn pin(source: &Verified) -> HeaderMap {
    let etag = source.etag().map(|etag| (IF_MATCH, etag.clone()));
    etag.into_iter().collect()
}

/// What is known of a source's plaintext as a whole. Sealed checksums that can't be read are none: they prove nothing about the
/// bytes, which have proofs of their own.
fn kept(source: &mut Verified) -> Result<Checksums, S3Error> {
    let all = match &source.form {
        Form::Multipart(footer) => footer.layout().table().checksums().clone(),
        Form::Whole(_) => match source.store.get(CHECKSUMS).and_then(|text| text.to_str().ok()) {
            None => Checksums::default(),
            Some(text) => source
                .opener
                .get()?
                .metadata_key()
                .open_checksums(text)
                .unwrap_or_default(),
        },
    };
    let mut whole = Checksums::default();
    for checksum in all.iter().filter(|checksum| checksum.parts.is_none()) {
        // It came out of its kind's own length.
        let _ = whole.add(checksum);
    }
    Ok(whole)
}
