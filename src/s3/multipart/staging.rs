//! What the gate keeps of an upload beside the upload itself, in the store's system container:
//!
//! ```text
//! uploads/<hash>/parts/<number>                          a part that can only be the last, sealed; five digits
//! uploads/<hash>/complete/<number>-<length>-<salt>-<list>   that a tail with this salt may have gone up; empty
//! ```
//! `<hash>` is the SHA-256 of container, name and upload id, each behind its length. A tail is recorded before it goes up, with the
//! part number it takes, its stored length, the salt of the header that names it, and a hash of the client's list: so a tail that was
//! left over is not shown as a part of the client's, and a Complete that is sent again knows its own object. Each attempt has its own
//! name, so that two replicas overwrite nothing of each other's; one listing shows all there is.
//!
//! What lies here is not trusted: a part opens only under its own binding, and a false record can at most have the gate say that a
//! Complete was done before, which the store can say by itself.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::IF_MATCH;
use http::{HeaderMap, HeaderValue, Method, Response};
use hyper::body::Incoming;

use crate::body::SealedBody;
use crate::body::checksum::{Algorithm, Checksum};
use crate::s3::error::S3Error;
use crate::s3::multipart::xml::{Fields, Flat};
use crate::s3::multipart::{Upload, is_missing};
use crate::s3::object::understood;
use crate::seal::SealedLen;
use crate::upstream::{Call, Caller, Store, StoreBody, collect};

/// Where all uploads' folders lie.
pub(super) const ROOT: &str = "uploads/";
/// A page of 1,000 names is under this.
const LARGEST_PAGE: usize = 4 << 20;
/// Which upload a folder is of, as metadata of what lies in it: the container, and name and id in base64url.
pub(super) const OF: [&str; 3] = [
    "x-amz-meta-portcullis-container",
    "x-amz-meta-portcullis-name",
    "x-amz-meta-portcullis-upload",
];

/// One upload's folder.
pub(super) struct Staging<'a> {
    store: &'a Store,
    /// With a slash behind it.
    folder: String,
}

/// What lies in it.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) parts: Vec<StagedPart>,
    pub(super) attempts: Vec<Attempt>,
}

/// A part that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StagedPart {
    pub(super) number: u32,
    /// Without quotes.
    pub(super) etag: String,
    pub(super) sealed: SealedLen,
    /// As the store writes it.
    pub(super) modified: String,
}

/// A tail that may have gone up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    /// The part number it takes.
    pub(super) tail: u32,
    /// Its stored bytes.
    pub(super) len: u64,
    /// Of the footer's header, or of the whole object's; in hex.
    pub(super) salt: String,
    /// The client's list, hashed.
    pub(super) list: String,
}

/// An object in the system container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) key: String,
    etag: String,
    size: u64,
    pub(super) modified: String,
}

impl<'a> Staging<'a> {
    pub(super) fn of(store: &'a Store, container: &str, name: &str, id: &str) -> Self {
        let mut context = Vec::new();
        for field in [container, name, id] {
            context.extend_from_slice(&(field.len() as u64).to_be_bytes());
            context.extend_from_slice(field.as_bytes());
        }
        let hash = hex::encode(Checksum::of(Algorithm::Sha256, &context).value());
        Self {
            store,
            folder: format!("{ROOT}{hash}/"),
        }
    }

    /// All that lies here.
    pub(super) async fn list(&self) -> Result<Found, S3Error> {
        let mut found = Found::default();
        let mut after = None;
        loop {
            let (page, next) = list(self.store, &self.folder, after.as_deref()).await?;
            for listed in page {
                let Some(name) = listed.key.strip_prefix(&self.folder) else {
                    continue;
                };
                if let Some(number) = name.strip_prefix("parts/").and_then(|text| text.parse().ok()) {
                    found.parts.push(StagedPart {
                        number,
                        etag: listed.etag,
                        sealed: SealedLen(listed.size),
                        modified: listed.modified,
                    });
                } else if let Some(attempt) = name.strip_prefix("complete/").and_then(Attempt::parse) {
                    found.attempts.push(attempt);
                }
            }
            match next {
                Some(token) => after = Some(token),
                None => return Ok(found),
            }
        }
    }

    /// A part, to be read.
    pub(super) async fn get(&self, part: &StagedPart) -> Result<Response<Incoming>, S3Error> {
        let mut asking = HeaderMap::new();
        // The very part that was listed: the client may have sent another since.
        if let Ok(etag) = HeaderValue::try_from(format!("\"{}\"", part.etag)) {
            asking.insert(IF_MATCH, etag);
        }
        let key = self.part(part.number);
        ask(self.store, Method::GET, &key, "", asking, StoreBody::empty()).await
    }

    /// Keeps a part. Gives the store's headers about it.
    pub(super) async fn put(&self, upload: &Upload, number: u32, sealed: SealedBody) -> Result<HeaderMap, S3Error> {
        let key = self.part(number);
        let body = StoreBody::sealed(sealed);
        let stored = ask(self.store, Method::PUT, &key, "", about(upload), body).await;
        if stored.as_ref().err().is_some_and(is_missing) {
            // It is made with the first record of the keyring, but that may lie in another store. The body is gone; the client's
            // next attempt finds it.
            ask(self.store, Method::PUT, "", "", HeaderMap::new(), StoreBody::empty()).await?;
            return Err(S3Error::StoreFailed);
        }
        Ok(stored?.into_parts().0.headers)
    }

    /// Writes down that a tail goes up.
    pub(super) async fn record(&self, upload: &Upload, attempt: &Attempt) -> Result<(), S3Error> {
        let key = format!("{}complete/{}", self.folder, attempt.to_name());
        let written = ask(self.store, Method::PUT, &key, "", about(upload), StoreBody::empty()).await;
        if written.as_ref().err().is_some_and(is_missing) {
            ask(self.store, Method::PUT, "", "", HeaderMap::new(), StoreBody::empty()).await?;
            return ask(self.store, Method::PUT, &key, "", about(upload), StoreBody::empty())
                .await
                .map(drop);
        }
        written.map(drop)
    }

    /// Clears a part away, as far as it goes: what is left is swept later.
    pub(super) async fn remove_part(&self, number: u32) {
        remove(self.store, &self.part(number)).await;
    }

    /// Clears an attempt away, as far as it goes.
    pub(super) async fn remove_attempt(&self, attempt: &Attempt) {
        remove(self.store, &format!("{}complete/{}", self.folder, attempt.to_name())).await;
    }

    fn part(&self, number: u32) -> String {
        format!("{}parts/{number:05}", self.folder)
    }
}

impl Attempt {
    fn to_name(&self) -> String {
        format!("{:05}-{}-{}-{}", self.tail, self.len, self.salt, self.list)
    }

    fn parse(name: &str) -> Option<Self> {
        let mut fields = name.split('-');
        let attempt = Self {
            tail: fields.next()?.parse().ok()?,
            len: fields.next()?.parse().ok()?,
            salt: fields.next()?.to_owned(),
            list: fields.next()?.to_owned(),
        };
        fields.next().is_none().then_some(attempt)
    }
}

/// A page of the names that begin so, and what to go on with if there are more.
pub(super) async fn list(
    store: &Store,
    prefix: &str,
    after: Option<&str>,
) -> Result<(Vec<Listed>, Option<String>), S3Error> {
    let mut query = format!("list-type=2&prefix={prefix}");
    if let Some(token) = after {
        let token = percent_encoding::utf8_percent_encode(token, percent_encoding::NON_ALPHANUMERIC);
        query.push_str(&format!("&continuation-token={token}"));
    }
    let answer = match ask(store, Method::GET, "", &query, HeaderMap::new(), StoreBody::empty()).await {
        // No container yet, so nothing in it.
        Err(error) if is_missing(&error) => return Ok((Vec::new(), None)),
        answer => answer?,
    };
    let page = collect(answer.into_body(), LARGEST_PAGE).await?;
    let page = Flat::read(&page, "Contents").ok_or(S3Error::StoreFailed)?;
    let listed = page.entries.iter().map(Listed::read).collect::<Option<Vec<_>>>();
    let next = page.get("NextContinuationToken").map(str::to_owned);
    let next = next.filter(|_| page.get("IsTruncated") == Some("true"));
    Ok((listed.ok_or(S3Error::StoreFailed)?, next))
}

/// Deletes an object of the system container; says in the log if that can't be done.
pub(super) async fn remove(store: &Store, key: &str) {
    match ask(store, Method::DELETE, key, "", HeaderMap::new(), StoreBody::empty()).await {
        Err(error) if !is_missing(&error) => tracing::warn!(%error, "what an upload left over stays for now"),
        _ => {}
    }
}

/// Asks the store about its system container, as the gate itself: no client reaches it.
pub(super) async fn ask(
    store: &Store,
    method: Method,
    key: &str,
    query: &str,
    headers: HeaderMap,
    body: StoreBody,
) -> Result<Response<Incoming>, S3Error> {
    let call = Call {
        method,
        bucket: store.system_container(),
        key,
        query,
        caller: &Caller::Gate,
        headers,
        body,
    };
    understood(store.send(call).await?).await
}

/// Which upload it is of, for whoever sweeps.
fn about(upload: &Upload) -> HeaderMap {
    let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let values = [
        upload.container.name.clone(),
        encoded(&upload.name),
        encoded(upload.id()),
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in OF.into_iter().zip(values) {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    headers
}

impl Listed {
    fn read(fields: &Fields) -> Option<Self> {
        let text = |name: &str| fields.get(name).map(|text| text.trim());
        Some(Self {
            key: fields.get("Key")?.clone(),
            etag: text("ETag")?.trim_matches('"').to_owned(),
            size: text("Size")?.parse().ok()?,
            modified: text("LastModified").unwrap_or_default().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_found_by_their_names() {
        let attempt = Attempt {
            tail: 7,
            len: 12_345,
            salt: "ab".repeat(32),
            list: "cd".repeat(32),
        };
        assert_eq!(Attempt::parse(&attempt.to_name()), Some(attempt.clone()));
        assert!(attempt.to_name().starts_with("00007-12345-abab"));
        for other in ["", "00001", "1-2-3", "1-2-3-4-5", "x-2-3-4"] {
            assert_eq!(Attempt::parse(other), None, "{other}");
        }
    }
}
