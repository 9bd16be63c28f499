//! An object as the source of a copy: proved to be what was sealed at its place, or what an alias of its own has there, before
//! anything is made of it. A copy of what was swapped in would otherwise give the swap a right to its new name.

use http::header::ETAG;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::body::Opening;
use crate::keys::Leased;
use crate::s3::error::S3Error;
use crate::s3::object::Object;
use crate::s3::range::Wanted;
use crate::s3::read::ask::{Asking, Facts};
use crate::s3::read::form::{Form, Known, unusable};
use crate::s3::read::open::Looked;
use crate::s3::read::{TRIES, replaced};
use crate::seal::{Alias, Core, Opener, Place, PlainLen, PlainRange};

/// A source whose seal was checked, and which version of the object that is.
pub struct Verified {
    /// What the store says of it, the gate's own metadata among it.
    pub store: HeaderMap,
    /// All of its plaintext.
    pub len: PlainLen,
    /// Of what it is made.
    pub form: Form,
    /// Its keys (multipart: its footer's) under their lease: for an alias, and for sealed metadata.
    pub opener: Leased<Opener>,
}

/// A source and its plaintext.
pub struct Source {
    /// What it is.
    pub verified: Verified,
    /// Which bytes of it come; all of them with none.
    pub range: Option<PlainRange>,
    /// The plaintext to come.
    pub opening: Opening,
}

impl Verified {
    /// The store's ETag: what a server-side copy is pinned to.
    pub fn etag(&self) -> Option<&HeaderValue> {
        self.store.get(ETAG)
    }

    /// Which version it is, where the bucket has versions.
    pub fn version(&self) -> Option<&HeaderValue> {
        self.store.get("x-amz-version-id")
    }

    /// The right of a copy that keeps its bytes to lie at `place`.
    ///
    /// # Errors
    /// The lease has ended.
    pub fn alias(&mut self, place: &Place<'_>) -> Result<Alias, S3Error> {
        Ok(self.opener.get()?.alias_key().alias(place))
    }

    /// The core that travels as metadata; a multipart object has none there.
    pub fn core(&self) -> Option<&Core> {
        match &self.form {
            Form::Whole(core) => Some(core),
            Form::Multipart(_) => None,
        }
    }
}

/// Opens an object, or a range of it, to be sealed again elsewhere. `conditions` are such as the store knows, ETags included;
/// whatever else goes along with every request (`x-amz-expected-bucket-owner`) stands in `always`.
///
/// # Errors
/// As [`get`](crate::s3::read::get). A condition that does not hold is 412, also where a reader would be told 304; a range that
/// reaches past the end is [`S3Error::InvalidRange`].
pub async fn source(
    object: &Object<'_>,
    always: HeaderMap,
    conditions: HeaderMap,
    range: Option<PlainRange>,
) -> Result<Source, S3Error> {
    let asking = asking(object, always, conditions);
    let wanted = range.map_or(Wanted::Whole, |range| Wanted::From {
        first: range.first(),
        last: Some(range.last()),
    });
    for _ in 0..TRIES {
        let found = match asking.range(wanted).await {
            Err(error) if replaced(&asking, &error) => continue,
            Ok(Looked::Unchanged(_)) => return Err(failed()),
            Ok(Looked::Found(found)) => found,
            Err(error) => return Err(error),
        };
        let size = found.facts.len;
        let opening = found.opening.ok_or(S3Error::InvalidRange { size })?;
        if range.is_some() && found.range != range {
            return Err(S3Error::InvalidRange { size });
        }
        let core = match &found.form {
            Form::Whole(core) => core,
            Form::Multipart(footer) => footer.core(),
        };
        let opener = found.lease.open_segment(core).map_err(unusable)?;
        return Ok(Source {
            verified: Verified {
                store: found.facts.headers,
                len: size,
                form: found.form,
                opener,
            },
            range,
            opening,
        });
    }
    Err(S3Error::StoreFailed)
}

/// Checks an object's seal by its own header or footer, and reads no more of it: for a copy that the store makes, pinned to
/// [`Verified::etag`].
///
/// # Errors
/// As [`source`].
pub async fn verified(object: &Object<'_>, always: HeaderMap, conditions: HeaderMap) -> Result<Verified, S3Error> {
    let asking = asking(object, always, conditions);
    for _ in 0..TRIES {
        match verify(&asking).await {
            Err(error) if replaced(&asking, &error) => {}
            Ok(None) => return Err(failed()),
            Ok(Some(verified)) => return Ok(verified),
            Err(error) => return Err(error),
        }
    }
    Err(S3Error::StoreFailed)
}

/// None where a condition does not hold that a reader would be told 304 of.
async fn verify(asking: &Asking<'_>) -> Result<Option<Verified>, S3Error> {
    let answer = asking.first(Method::HEAD, None).await?;
    if answer.status() == StatusCode::NOT_MODIFIED {
        return Ok(None);
    }
    let facts = Facts::of_whole(answer.into_parts().0.headers)?;
    let Known { form, opener } = asking.form(&facts).await?;
    Ok(Some(Verified {
        store: facts.headers,
        len: facts.len,
        form,
        opener,
    }))
}

/// A source has no reader who has it already.
fn failed() -> S3Error {
    S3Error::Store {
        status: StatusCode::PRECONDITION_FAILED,
        code: "PreconditionFailed".to_owned(),
        message: "At least one of the pre-conditions you specified did not hold".to_owned(),
        about: Box::default(),
    }
}

fn asking<'a>(object: &'a Object<'a>, always: HeaderMap, conditions: HeaderMap) -> Asking<'a> {
    Asking {
        object,
        always,
        conditions,
        query: String::new(),
        checksums: false,
    }
}
