//! A Complete that was done before: the store has no such upload any more, and the object that lies there may be what became of it.

use http::header::{CONTENT_RANGE, ETAG, IF_MATCH, RANGE};
use http::{HeaderMap, HeaderValue, Method, Response};
use hyper::body::Incoming;

use crate::body::Stored;
use crate::s3::error::S3Error;
use crate::s3::multipart::claims::Known;
use crate::s3::multipart::complete::Completing;
use crate::s3::multipart::finish::Done;
use crate::s3::multipart::is_missing;
use crate::s3::multipart::part::unusable;
use crate::seal::{HEADER_LEN, Header, Kind, SealedLen, footer_len};
use crate::upstream::StoreBody;

impl Completing {
    /// The object, if it is what this Complete was to make: a footer's table names the upload and the parts; a whole object is known by
    /// the record that was made before it went up. In either case the record, as long as it is there, must be of the same list.
    pub(super) async fn done_before(&self) -> Result<Option<(Done, Option<Known>)>, S3Error> {
        let found = self.upload.staging().list().await?;
        let list = self.list_hash();
        let Some((end, answer)) = self.header(&format!("bytes=-{HEADER_LEN}"), None).await? else {
            return Ok(None);
        };
        let recorded = |header: &Header| {
            let salt = hex::encode(header.core().salt());
            found.attempts.iter().find(|attempt| attempt.salt == salt)
        };
        if let Some(header) = end.filter(|header| header.core().kind() == Kind::Footer) {
            let other = recorded(&header).is_some_and(|attempt| attempt.list != list);
            return match self.is_ours(&header, &answer).await? {
                Some(known) if !other => Ok(done(&answer).map(|done| (done, known))),
                _ => Ok(None),
            };
        }
        let start = format!("bytes=0-{}", HEADER_LEN - 1);
        let Some((Some(header), answer)) = self.header(&start, answer.headers().get(ETAG)).await? else {
            return Ok(None);
        };
        let same = recorded(&header).is_some_and(|attempt| attempt.list == list);
        if header.core().kind() != Kind::Whole || !same {
            return Ok(None);
        }
        // Of what it was recorded as, and sealed for this place.
        let mut opener = self
            .open(&header)
            .await?
            .open_segment(header.core())
            .map_err(unusable)?;
        let here = opener.get()?.at(&self.upload.place(), None).is_ok();
        Ok(done(&answer).filter(|_| here).map(|done| (done, None)))
    }

    /// A header in the object, if there is one where it is looked for, and the answer that it came with.
    async fn header(
        &self,
        range: &str,
        pin: Option<&HeaderValue>,
    ) -> Result<Option<(Option<Header>, Response<()>)>, S3Error> {
        let answer = match self.piece(range, pin).await {
            Err(error) if is_missing(&error) || matches!(error, S3Error::Store { .. }) => return Ok(None),
            answer => answer?,
        };
        let (head, body) = answer.into_parts();
        let header = Stored::new(body).header().await.ok();
        Ok(Some((header, Response::from_parts(head, ()))))
    }

    async fn piece(&self, range: &str, pin: Option<&HeaderValue>) -> Result<Response<Incoming>, S3Error> {
        let mut asking = HeaderMap::new();
        if let Ok(range) = HeaderValue::try_from(range) {
            asking.insert(RANGE, range);
        }
        if let Some(etag) = pin {
            asking.insert(IF_MATCH, etag.clone());
        }
        self.upload
            .about_object(Method::GET, "", asking, StoreBody::empty())
            .await
    }

    /// Whether the object with this footer came of this upload and these parts; and then what it knows of its plaintext.
    async fn is_ours(&self, header: &Header, answer: &Response<()>) -> Result<Option<Option<Known>>, S3Error> {
        let total = answer
            .headers()
            .get(CONTENT_RANGE)
            .and_then(|range| range.to_str().ok());
        let total: Option<u64> = total.and_then(|range| range.rsplit('/').next()?.parse().ok());
        let total = total.ok_or(S3Error::StoreFailed)?;
        let len = footer_len(header.core().segments()).0;
        let Some(first) = total.checked_sub(len) else {
            return Ok(None);
        };
        let range = format!("bytes={first}-{}", total - 1);
        let body = self.piece(&range, answer.headers().get(ETAG)).await?.into_body();
        let len = usize::try_from(len).map_err(|_| S3Error::StoreFailed)?;
        let footer = Stored::new(body).exactly(len).await?;
        let sealed = footer.get(..len - HEADER_LEN).unwrap_or_default();
        let lease = self.open(header).await?;
        let opened = lease.open_footer(&self.upload.place(), None, header, sealed, SealedLen(total));
        let (footer, _) = opened.map_err(unusable)?;
        let table = footer.layout().table();
        let numbers = table.entries().iter().map(|entry| entry.number);
        let ours = table.is_of_upload(self.upload.id()) && numbers.eq(self.listed.iter().map(|part| part.number));
        Ok(ours.then(|| Known::of(table.checksums())))
    }
}

fn done(answer: &Response<()>) -> Option<Done> {
    let etag = answer.headers().get(ETAG)?.to_str().ok()?;
    Some(Done {
        etag: etag.trim_matches('"').to_owned(),
        headers: answer.headers().clone(),
    })
}
