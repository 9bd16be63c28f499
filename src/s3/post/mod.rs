//! POST Object: a form that a browser sends, with the file as its last field that counts.
//!
//! [`form`] reads up to the file and judges all of it: who signed the policy, whether it holds, what the object is to be. What is
//! left is a [`File`] of unknown length, for whoever stores it.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html>

mod fields;
mod multipart;
mod policy;
mod success;
#[cfg(test)]
mod tests;

use std::collections::btree_map::Entry;
use std::ops::RangeInclusive;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http_body::Body;

use crate::body::checksum::{Checksum, Expectations};
use crate::body::{Fault, FormFault, Plaintext};
use crate::s3::auth::{AuthError, Authenticator, Fields, Identity};
use crate::s3::error::S3Error;
use crate::s3::post::multipart::Multipart;
use crate::s3::post::policy::Policy;

pub use success::Success;

/// A form, read up to its file.
pub struct Form<B> {
    /// Who signed it. Nobody, if it has no policy.
    pub identity: Identity,
    /// The object's key, `${filename}` replaced. As untrusted as any key in a URL.
    pub key: String,
    /// What a PutObject of the same object would have for headers, checksums among them; nothing of the request's own.
    pub headers: HeaderMap,
    /// What the browser is to be told.
    pub success: Success,
    /// The file.
    pub file: File<B>,
}

/// Why a form is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    #[error("the form is not multipart/form-data")]
    NotAForm,
    #[error("the form is malformed")]
    Malformed,
    #[error("the fields before the file are too large")]
    FieldsTooLarge,
    #[error("the form has no file, or fields follow that should stand before it")]
    NoFile,
    #[error("the form has no key")]
    NoKey,
    #[error("the key is empty")]
    EmptyKey,
    #[error("the field {0} is stated twice, or has a value that it can't have")]
    InvalidField(String),
    #[error("the tagging is malformed")]
    MalformedXml,
    /// The policy can't be read.
    #[error("invalid policy: {0}")]
    InvalidPolicy(String),
    /// The policy does not permit the form.
    #[error("invalid according to policy: {0}")]
    Denied(String),
    #[error(transparent)]
    Body(#[from] Stopped),
}

/// Why the body stopped within the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    #[error("the client's connection broke")]
    Gone,
    #[error("the client fell silent")]
    Silent,
}

impl From<Fault> for PostError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::ClientSilent => Self::Body(Stopped::Silent),
            Fault::Form(_) => Self::Malformed,
            _ => Self::Body(Stopped::Gone),
        }
    }
}

/// Reads a form that is posted to `bucket`, up to its file.
///
/// # Errors
/// Whatever S3 refuses it for. Nothing of the file was asked for then, but for what came along with the fields.
pub async fn form<B>(
    parts: &Parts,
    bucket: &str,
    body: B,
    authenticator: &Authenticator,
    now: SystemTime,
) -> Result<Form<B>, S3Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    if parts.headers.get(AUTHORIZATION).is_some_and(|value| !value.is_empty()) {
        return Err(AuthError::Several.into());
    }
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.filter(|text| is_form(text)).ok_or(PostError::NotAForm)?;
    let boundary = multipart::boundary(content_type).ok_or(PostError::Malformed)?;
    let mut multipart = Multipart::new(body, &boundary);
    let (mut fields, filename) = read_fields(&mut multipart).await?;

    let key = fields.get_mut("key").ok_or(PostError::NoKey)?;
    *key = key.replace("${filename}", &filename);
    if key.is_empty() {
        return Err(PostError::EmptyKey.into());
    }
    let key = key.clone();
    let identity = authenticator.identify_form(&fields, now)?;
    let length = match (&identity, fields.get("policy")) {
        (Identity::Verified(_), Some(policy)) => Policy::read(policy)?.check(&fields, bucket, now)?,
        // Nobody signed anything: there is no policy then.
        (Identity::Verified(_) | Identity::Anonymous(_), _) => 0..=u64::MAX,
    };
    let headers = fields::headers(&fields)?;
    let expectations = Expectations::new(&headers, None).map_err(|error| S3Error::Body(error.into()))?;
    Ok(Form {
        identity,
        key,
        success: Success::of(&fields),
        file: File {
            multipart,
            length,
            read: 0,
            ended: false,
            expectations,
        },
        headers,
    })
}

/// Whether a `Content-Type` is a form's.
pub fn is_form(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("multipart/form-data")
}

/// The fields before the file, and the file's name.
async fn read_fields<B>(multipart: &mut Multipart<B>) -> Result<(Fields, String), PostError>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut fields = Fields::new();
    multipart.begin().await?;
    while let Some(head) = multipart.head().await? {
        let name = head.name.to_ascii_lowercase();
        if name == "file" {
            // Some browsers send the path too.
            let filename = head.filename.rsplit(['/', '\\']).next().unwrap_or_default();
            return Ok((fields, filename.to_owned()));
        }
        let value = multipart.value().await?;
        match fields.entry(name) {
            Entry::Vacant(free) => _ = free.insert(value),
            // A policy could be held against one of them, and the object made of the other.
            Entry::Occupied(taken) => return Err(PostError::InvalidField(taken.key().clone())),
        }
    }
    Err(PostError::NoFile)
}

/// The file in a form, on its way in: counted, and held to what the form states about it. Its length is known at its end.
pub struct File<B> {
    multipart: Multipart<B>,
    /// How long it may be, in bytes.
    length: RangeInclusive<u64>,
    /// So long it was so far, in bytes.
    read: u64,
    ended: bool,
    expectations: Expectations,
}

impl<B> File<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    /// The most bytes that the policy lets it have.
    pub const fn most(&self) -> u64 {
        *self.length.end()
    }

    /// The next bytes, never empty; `None` at the file's end, which does not yet mean that it may be believed: see
    /// [`Self::finish`]. What follows it in the form is read and ignored.
    ///
    /// # Errors
    /// The client went away, or fell silent; the form ends without its end; the file is longer or shorter than the policy has it.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        if self.ended {
            return Ok(None);
        }
        if let Some(bytes) = self.multipart.next().await? {
            self.read = self.read.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            if self.read > *self.length.end() {
                return Err(Fault::Form(FormFault::TooLarge { most: self.most() }));
            }
            self.expectations.update(&bytes);
            return Ok(Some(bytes));
        }
        self.multipart.check_delimiter().await?;
        if self.read < *self.length.start() {
            let least = *self.length.start();
            return Err(Fault::Form(FormFault::TooSmall { least }));
        }
        self.ended = true;
        self.multipart.skip_rest().await;
        Ok(None)
    }

    /// Says, once the file has ended, whether it is what the form stated. Returns the checksum to keep and to echo.
    ///
    /// # Errors
    /// It has not ended, or a checksum does not match.
    pub fn finish(self) -> Result<Option<Checksum>, Fault> {
        if !self.ended {
            return Err(Fault::Form(FormFault::Malformed));
        }
        Ok(self.expectations.finish(&HeaderMap::new())?)
    }
}

#[async_trait]
impl<B> Plaintext for File<B>
where
    B: Body<Data = Bytes> + Unpin + Send,
{
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        Self::next(self).await
    }

    fn finish(self: Box<Self>) -> Result<Option<Checksum>, Fault> {
        Self::finish(*self)
    }
}
