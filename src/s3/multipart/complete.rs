//! CompleteMultipartUpload: what the client listed becomes one object with a footer at its end.
//!
//! | step | cut off behind it |
//! |---|---|
//! | what there is, upstream and apart, and which of it the client lists | nothing has happened |
//! | the attempt is recorded | a record of a tail that never was |
//! | the tail goes up as one more part of the upload | a tail that no client sees; the next one takes its place |
//! | the store completes the upload | the object is there; asked again, the store has no such upload, and the object shows that it is this one's |
//! | the parts that waited apart are cleared away | they are swept later |
//!
//! So a Complete can be sent again after any of them, to any replica. Two at once overwrite each other's tail, which the store
//! notices by its ETag ("InvalidPart"): whoever lost looks anew, and finds its own object, or the other's, or does it all again.
//!
//! One part under 5 MiB becomes an object of kind whole, sealed anew, as the only part of the same upload: what the client said at
//! Create, the object's conditions and its place stay what they are.
//!
//! Records stay for a day behind a Complete, for clients that send it again; see [`sweep`](super::sweep).

use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, Method, Response};
use hyper::body::Incoming;

use crate::body::checksum::{Algorithm, Checksum};
use crate::body::{Opening, SealedBody, Stored, Waiting};
use crate::keys::{Lease, OpenError};
use crate::s3::auth::Payload;
use crate::s3::error::{S3Error, UploadError};
use crate::s3::etag;
use crate::s3::exchange::Exchange;
use crate::s3::headers;
use crate::s3::multipart::claims::{Claims, Known};
use crate::s3::multipart::finish::{Done, Finished};
use crate::s3::multipart::part::unusable;
use crate::s3::multipart::staging::{Attempt, Found, StagedPart};
use crate::s3::multipart::xml::Flat;
use crate::s3::multipart::{Upload, is_gone, is_missing};
use crate::s3::{pass, put};
use crate::seal::{
    Checksums, ChunkIndex, ChunkSpan, Completion, Entry, HEADER_LEN, Header, Kind, ListedPart, PlainLen, PlainRange,
    StoredPart, StoredRange, Table, Tampered, plan_complete,
};
use crate::upstream::{StoreBody, Write};

/// So often is a Complete tried that others get in the way of.
const TRIES: u32 = 8;

/// A CompleteMultipartUpload, ready to be done. It borrows nothing: once it began it goes on, whether or not the client still listens.
pub struct Completing {
    pub(super) upload: Upload,
    pub(super) lease: Lease,
    pub(super) listed: Vec<Listed>,
    pub(super) claims: Claims,
    /// On what the object may take its place, in the store's words.
    pub(super) conditions: HeaderMap,
    pub(super) location: String,
    pub(super) bucket: String,
}

/// A part as the client lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) number: u32,
    /// As the store knows it, without quotes.
    pub(super) etag: String,
    checksum: Option<Checksum>,
}

impl Listed {
    /// A part that was just stored, by the ETag that a client knows.
    pub(super) fn stored(number: u32, etag: &str) -> Self {
        Self {
            number,
            etag: etag::to_store(etag).trim_matches('"').to_owned(),
            checksum: None,
        }
    }
}

/// How an attempt went.
enum Tried {
    Done(Done, Option<Known>),
    /// Somebody else was at it.
    Again,
}

impl Completing {
    /// Reads the request.
    ///
    /// # Errors
    /// The list is malformed, or not what was stated about it; claims or conditions that can't be heeded.
    pub async fn read(
        exchange: &Exchange<'_>,
        lease: Lease,
        payload: Payload,
        body: Incoming,
    ) -> Result<Self, S3Error> {
        let client = &exchange.parts.headers;
        headers::no_client_key(client)?;
        let upload = Upload::of(exchange)?;
        let claims = Claims::read(client)?;
        let mut conditions = HeaderMap::new();
        headers::conditions(client, &mut conditions);
        put::heeded(&exchange.object, Write::Complete, &conditions).await?;
        // The checksums in its head are the object's, not the document's.
        let own = client
            .iter()
            .filter(|(name, _)| !name.as_str().starts_with("x-amz-checksum-"));
        let own = own.map(|(name, value)| (name.clone(), value.clone())).collect();
        let document = pass::document(&own, payload, body).await?;
        let listed = listed(&document)?;
        let host = client.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let host = exchange
            .parts
            .uri
            .authority()
            .map_or(host, |authority| authority.as_str());
        let scheme = if exchange.secure { "https" } else { "http" };
        Ok(Self {
            upload,
            lease,
            listed,
            claims,
            conditions,
            location: format!("{scheme}://{host}{}", exchange.parts.uri.path()),
            bucket: exchange.container().name.clone(),
        })
    }

    /// Fires when the permission ends under which this is done.
    pub fn over(&self) -> tokio_util::sync::CancellationToken {
        self.lease.over()
    }

    /// Does it.
    ///
    /// # Errors
    /// What S3 would refuse, or the store does; the lease ended.
    pub async fn complete(self) -> Result<Response<Bytes>, S3Error> {
        let over = self.lease.over();
        tokio::select! {
            biased;
            () = over.cancelled() => Err(self.lease.check().map_or_else(S3Error::Refused, |()| S3Error::StoreFailed)),
            done = self.race() => done,
        }
    }

    async fn race(&self) -> Result<Response<Bytes>, S3Error> {
        for tried in 0..TRIES {
            match self.attempt().await {
                Ok(Tried::Done(done, known)) => return Ok(self.answer(&done, known)),
                Ok(Tried::Again) => {}
                Err(error) if is_gone(&error) => {
                    return match self.done_before().await? {
                        Some((done, known)) => Ok(self.answer(&done, known)),
                        None => Err(error),
                    };
                }
                Err(error) => return Err(error),
            }
            // Two replicas that answer each other in step would never come to an end.
            let most = 50_u64 << tried;
            tokio::time::sleep(Duration::from_millis(chance() % most)).await;
        }
        Err(S3Error::StoreFailed)
    }

    async fn attempt(&self) -> Result<Tried, S3Error> {
        let staging = self.upload.staging();
        let found = staging.list().await?;
        let stored = self.upload.every_part(&found).await?;
        let plan = self.plan(&stored)?;
        let parts: Vec<&StoredPart> = match &plan {
            Completion::Whole { part } => vec![*part],
            Completion::Upstream { parts, .. } | Completion::Staged { parts, .. } => parts.clone(),
        };
        let lens: Vec<_> = self
            .listed
            .iter()
            .zip(&parts)
            .map(|(listed, part)| (listed.checksum, part.plain_len))
            .collect();
        let known = self.claims.hold(&lens)?;
        let (number, body, salt, upstream) = match &plan {
            Completion::Whole { part } => {
                let Some(waiting) = self.waiting(&found, part).await? else {
                    return Ok(Tried::Again);
                };
                let (body, salt) = self.whole(waiting, part.plain_len).await?;
                (part.number, body, salt, &[][..])
            }
            Completion::Upstream { tail, .. } => {
                let (body, salt) = self.tail(&parts, known.as_ref(), None)?;
                (*tail, body, salt, &parts[..])
            }
            Completion::Staged { tail, .. } => {
                let Some((last, others)) = parts.split_last() else {
                    return Err(S3Error::MalformedXml);
                };
                let Some(waiting) = self.waiting(&found, last).await? else {
                    return Ok(Tried::Again);
                };
                let (body, salt) = self.tail(&parts, known.as_ref(), Some(waiting))?;
                (*tail, body, salt, others)
            }
        };
        let attempt = Attempt {
            tail: number,
            len: body.stored_len().0,
            salt: hex::encode(salt),
            list: self.list_hash(),
        };
        staging.record(&self.upload, &attempt).await?;
        let Some(etag) = self.send(number, body).await? else {
            return Ok(Tried::Again);
        };
        let upstream = upstream.iter().map(|part| (part.number, part.etag.as_str()));
        let list: Vec<_> = upstream.chain([(number, etag.as_str())]).collect();
        match self.upload.finish(&list, &self.conditions).await? {
            // A store may answer a Complete as it answered the one that another replica sent, whatever the list.
            Finished::Done(done) if !done.is_of(&list) => match self.done_before().await? {
                Some((done, known)) => Ok(Tried::Done(done, known)),
                None => Err(UploadError::NoSuchUpload.into()),
            },
            Finished::Done(done) => {
                for part in &found.parts {
                    staging.remove_part(part.number).await;
                }
                // Of the records the one stays that says what the object is.
                for old in found.attempts.iter().filter(|old| **old != attempt) {
                    staging.remove_attempt(old).await;
                }
                Ok(Tried::Done(done, known))
            }
            Finished::OtherParts => Ok(Tried::Again),
        }
    }

    /// What is to be done. A part that the client lists and that is not there makes an error here and now.
    fn plan<'a>(&self, stored: &'a [StoredPart]) -> Result<Completion<'a>, S3Error> {
        let listed: Vec<_> = self
            .listed
            .iter()
            .map(|part| ListedPart {
                number: part.number,
                etag: &part.etag,
            })
            .collect();
        plan_complete(&listed, stored).map_err(|error| UploadError::from(error).into())
    }

    /// A part that waits apart, its header judged. `None` if it went meanwhile.
    async fn waiting(&self, found: &Found, part: &StoredPart) -> Result<Option<Waiting>, S3Error> {
        let same = |staged: &&StagedPart| staged.number == part.number && staged.etag == part.etag;
        let Some(staged) = found.parts.iter().find(same) else {
            return Ok(None);
        };
        let answer = match self.upload.staging().get(staged).await {
            Err(error) if is_missing(&error) || is_changed(&error) => return Ok(None),
            answer => answer?,
        };
        let mut rest = Stored::new(answer.into_body());
        let header = rest.header().await?;
        let core = header.core();
        let place = Tampered::Place;
        if core.kind() != Kind::Part
            || core.binding() != self.upload.binding(part.number)
            || core.plain_len() != part.plain_len
        {
            return Err(S3Error::Tampered {
                what: place.to_string(),
                version: None,
            });
        }
        Ok(Some(Waiting {
            header,
            rest,
            len: staged.sealed,
        }))
    }

    /// Padding and footer, behind the part that waited if one did; and the footer's salt.
    fn tail(
        &self,
        parts: &[&StoredPart],
        known: Option<&Known>,
        waiting: Option<Waiting>,
    ) -> Result<(SealedBody, [u8; 32]), S3Error> {
        let entries = parts.iter().map(|part| Entry {
            binding: self.upload.binding(part.number),
            plain_len: part.plain_len,
            number: part.number,
        });
        let kept = known.map_or_else(Checksums::default, Known::kept);
        let table = Table::new(Some(self.upload.id()), entries.collect(), kept).map_err(|error| {
            tracing::error!(%error, "the store's list of parts makes no object");
            S3Error::StoreFailed
        })?;
        let mut tail = self
            .lease
            .again()
            .seal_footer(&self.upload.place(), &table)
            .map_err(unusable)?;
        let salt = *tail.get()?.header().core().salt();
        Ok((SealedBody::tail(waiting, tail)?, salt))
    }

    /// A small part as a whole object; and its salt.
    async fn whole(&self, waiting: Waiting, len: PlainLen) -> Result<(SealedBody, [u8; 32]), S3Error> {
        let core = *waiting.header.core();
        let opening = self.open(&waiting.header).await?;
        let opener = opening.open_segment(&core).map_err(unusable)?;
        let span = PlainRange::all(len).map_or(Some(EMPTY), |all| len.span(all));
        let span = span.ok_or(S3Error::Unsealed)?;
        let plaintext = Opening::new(waiting.rest, opener, span, None);
        let (header, sealer) = self
            .lease
            .again()
            .seal_whole(&self.upload.place(), len)
            .map_err(unusable)?;
        let stored = len.sealed().ok_or(S3Error::StoreFailed)?;
        let salt = *header.core().salt();
        Ok((SealedBody::new(&header, sealer, plaintext, stored), salt))
    }

    /// A lease on the DEK that a header names.
    pub(super) async fn open(&self, header: &Header) -> Result<Lease, S3Error> {
        let opened = self
            .upload
            .leases
            .to_open(header.core().dek_id(), header.envelope())
            .await;
        opened.map_err(|error: OpenError| error.into())
    }

    /// Sends the tail; its ETag. `None` if what it is made of went while it was under way.
    async fn send(&self, number: u32, body: SealedBody) -> Result<Option<String>, S3Error> {
        let fault = body.fault();
        let query = format!("partNumber={number}&");
        let sent = self
            .upload
            .ask(Method::PUT, &query, HeaderMap::new(), StoreBody::sealed(body))
            .await;
        let answer = match (sent, fault.take()) {
            (_, Some(crate::body::Fault::StoreGone)) => return Ok(None),
            (_, Some(fault)) => return Err(fault.into()),
            (sent, None) => sent?,
        };
        let etag = answer
            .headers()
            .get(http::header::ETAG)
            .and_then(|etag| etag.to_str().ok());
        Ok(Some(etag.ok_or(S3Error::StoreFailed)?.trim_matches('"').to_owned()))
    }

    /// The list, to be told from others: a Complete of another list is another Complete.
    pub(super) fn list_hash(&self) -> String {
        let mut text = String::new();
        for part in &self.listed {
            text.push_str(&format!("{} {}\n", part.number, part.etag));
        }
        hex::encode(Checksum::of(Algorithm::Sha256, text.as_bytes()).value())
    }
}

/// The one chunk of an empty part, which holds nothing but its tag.
const EMPTY: ChunkSpan = ChunkSpan {
    first: ChunkIndex(0),
    last: ChunkIndex(0),
    stored: StoredRange {
        first: HEADER_LEN as u64,
        last: HEADER_LEN as u64 + 15,
    },
    skip: 0,
    keep: 0,
};

fn is_changed(error: &S3Error) -> bool {
    matches!(error, S3Error::Store { code, .. } if code == "PreconditionFailed")
}

/// Any number.
fn chance() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0_u8)
}

/// The client's list.
fn listed(document: &[u8]) -> Result<Vec<Listed>, S3Error> {
    let list = Flat::read(document, "Part").filter(|list| list.root == "CompleteMultipartUpload");
    let list = list.ok_or(S3Error::MalformedXml)?;
    let parts = list.entries.iter().map(|fields| {
        let number = fields.get("PartNumber")?.trim().parse().ok()?;
        let etag = etag::to_store(fields.get("ETag")?.trim());
        let mut checksum = None;
        for algorithm in Algorithm::ALL {
            if let Some(text) = fields.get(&format!("Checksum{}", algorithm.name())) {
                checksum = Some(Checksum::from_base64(algorithm, text.trim())?);
            }
        }
        Some(Listed {
            number,
            etag: etag.trim_matches('"').to_owned(),
            checksum,
        })
    });
    let parts: Option<Vec<Listed>> = parts.collect();
    let mut parts = parts.filter(|parts| !parts.is_empty()).ok_or(S3Error::MalformedXml)?;
    // A client that sent a part twice may list it twice: the later one counts, as it does to stores that take such a list.
    parts.reverse();
    parts.dedup_by_key(|part| part.number);
    parts.reverse();
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_clients_write_them() {
        let document = br#"<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Part><ETag>"9e107d9d372bb6826bd81d3542a419d6-0"</ETag><PartNumber>1</PartNumber></Part><Part><PartNumber>3</PartNumber><ETag>&quot;x&quot;</ETag><ChecksumCRC32>QU+jOQ==</ChecksumCRC32></Part></CompleteMultipartUpload>"#;
        let parts = listed(document).unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0].etag, "9e107d9d372bb6826bd81d3542a419d6");
        assert_eq!((parts[1].number, parts[1].etag.as_str()), (3, "x"));
        assert_eq!(parts[1].checksum, Checksum::from_base64(Algorithm::Crc32, "QU+jOQ=="));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for document in [
            "",
            "<CompleteMultipartUpload/>",
            "<CompleteMultipartUpload></CompleteMultipartUpload>",
            "<Other><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></Other>",
            "<CompleteMultipartUpload><Part><ETag>x</ETag></Part></CompleteMultipartUpload>",
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>",
            "<CompleteMultipartUpload><Part><PartNumber>-1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>",
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag><ChecksumCRC32>AA</ChecksumCRC32></Part></CompleteMultipartUpload>",
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part>",
        ] {
            assert!(
                matches!(listed(document.as_bytes()), Err(S3Error::MalformedXml)),
                "{document}"
            );
        }
    }
}
