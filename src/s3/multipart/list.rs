//! ListParts and ListMultipartUploads. A client sees its own parts, with the lengths it sent: those that wait apart among the others,
//! and nothing of a tail.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Response};

use crate::s3::error::S3Error;
use crate::s3::etag;
use crate::s3::exchange::Exchange;
use crate::s3::multipart::Upload;
use crate::s3::multipart::create::answered;
use crate::s3::multipart::staging::{Attempt, Found};
use crate::s3::multipart::xml::{Fields, Flat, NAMESPACE, element};
use crate::seal::{PartHome, PlainLen, SealedLen, StoredPart, part_home};
use crate::upstream::{StoreBody, collect};

/// A page of 1,000 parts, or of 1,000 uploads with keys of 1,024 escaped bytes each, is under this.
const LARGEST_PAGE: usize = 16 << 20;
/// As many as S3 gives in one page.
const PAGE: u32 = 1000;

/// A part as a store lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) number: u32,
    /// Without quotes.
    pub(super) etag: String,
    pub(super) sealed: SealedLen,
    modified: String,
    pub(super) home: PartHome,
}

/// A page of the parts upstream.
struct Page {
    parts: Vec<Part>,
    /// Whether more follow.
    more: bool,
    /// What the store says of the upload.
    about: Flat,
    headers: HeaderMap,
}

impl Upload {
    async fn page(&self, after: u32) -> Result<Page, S3Error> {
        let query = format!("max-parts={PAGE}&part-number-marker={after}&");
        let answer = self
            .ask(Method::GET, &query, HeaderMap::new(), StoreBody::empty())
            .await?;
        let (head, body) = answer.into_parts();
        let page = collect(body, LARGEST_PAGE).await?;
        let mut about = Flat::read(&page, "Part").ok_or(S3Error::StoreFailed)?;
        let parts = std::mem::take(&mut about.entries);
        let parts: Option<Vec<_>> = parts.iter().map(Part::read).collect();
        let parts = parts.ok_or(S3Error::StoreFailed)?;
        let more = about.get("IsTruncated") == Some("true") && !parts.is_empty();
        Ok(Page {
            parts,
            more,
            about,
            headers: head.headers,
        })
    }

    /// Every part there is, upstream and apart, tails too: an ETag decides which a client means, and no client has one of a tail.
    /// Lengths are the store's word; a false one shows when the object is read.
    pub(super) async fn every_part(&self, found: &Found) -> Result<Vec<StoredPart>, S3Error> {
        let mut parts: Vec<Part> = found.parts.iter().map(Part::of_staged).collect();
        let mut after = 0;
        loop {
            let page = self.page(after).await?;
            after = page.parts.last().map_or(after, |part| part.number);
            parts.extend(page.parts);
            if !page.more {
                break;
            }
        }
        Ok(parts.into_iter().filter_map(Part::stored).collect())
    }
}

impl Part {
    fn read(fields: &Fields) -> Option<Self> {
        let text = |name: &str| fields.get(name).map(|text| text.trim());
        Some(Self {
            number: text("PartNumber")?.parse().ok()?,
            etag: text("ETag")?.trim_matches('"').to_owned(),
            sealed: SealedLen(text("Size")?.parse().ok()?),
            modified: text("LastModified").unwrap_or_default().to_owned(),
            home: PartHome::Upstream,
        })
    }

    fn of_staged(part: &crate::s3::multipart::staging::StagedPart) -> Self {
        Self {
            number: part.number,
            etag: part.etag.clone(),
            sealed: part.sealed,
            modified: part.modified.clone(),
            home: PartHome::Staged,
        }
    }

    fn plain(&self) -> Option<PlainLen> {
        self.sealed.segment_plain()
    }

    fn stored(self) -> Option<StoredPart> {
        Some(StoredPart {
            number: self.number,
            plain_len: self.plain()?,
            etag: self.etag,
            home: self.home,
        })
    }

    /// Whether it may be a client's: it lies where a part of its number and length goes, and no record has it for a tail.
    fn is_clients(&self, attempts: &[Attempt]) -> bool {
        let here = self.plain().is_some_and(|len| part_home(self.number, len) == self.home);
        let tail = |attempt: &Attempt| attempt.tail == self.number && attempt.len == self.sealed.0;
        here && (self.home == PartHome::Staged || !attempts.iter().any(tail))
    }
}

/// What a client asks for of a list.
struct Wanted {
    most: u32,
    after: u32,
}

/// ListParts.
///
/// # Errors
/// No such upload; the store said no, or nothing.
pub async fn parts(exchange: &Exchange<'_>) -> Result<Response<Bytes>, S3Error> {
    let wanted = wanted(exchange)?;
    let upload = Upload::of(exchange)?;
    let found = upload.staging().list().await?;
    let mut seen: BTreeMap<u32, Part> = BTreeMap::new();
    let mut after = wanted.after;
    let mut first: Option<(Flat, HeaderMap)> = None;
    loop {
        let page = upload.page(after).await?;
        // Parts that wait apart count up to where the parts upstream are known.
        let known = match page.parts.last() {
            Some(last) if page.more => last.number,
            _ => u32::MAX,
        };
        let staged = found.parts.iter().map(Part::of_staged);
        let staged = staged.filter(|part| part.number > after && part.number <= known);
        for part in page.parts.into_iter().chain(staged) {
            if part.is_clients(&found.attempts) {
                let later = |seen: &Part| seen.modified > part.modified;
                if !seen.get(&part.number).is_some_and(later) {
                    seen.insert(part.number, part);
                }
            }
        }
        first.get_or_insert((page.about, page.headers));
        if !page.more || u32::try_from(seen.len()).is_ok_and(|count| count > wanted.most) {
            break;
        }
        after = known;
    }
    let (about, headers) = first.ok_or(S3Error::StoreFailed)?;
    let mut response = Response::new(Bytes::from(page(exchange, &upload, &wanted, &about, &seen)));
    *response.headers_mut() = answered(&headers);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    Ok(response)
}

fn page(exchange: &Exchange<'_>, upload: &Upload, wanted: &Wanted, about: &Flat, seen: &BTreeMap<u32, Part>) -> String {
    let most = usize::try_from(wanted.most).unwrap_or(usize::MAX);
    let shown: Vec<&Part> = seen.values().take(most).collect();
    let truncated = seen.len() > shown.len() && most > 0;
    let next = shown.last().map_or(0, |part| part.number);
    let mut text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListPartsResult xmlns=\"{NAMESPACE}\">");
    element(&mut text, "Bucket", &exchange.container().name);
    element(&mut text, "Key", &exchange.object.name);
    element(&mut text, "UploadId", upload.id());
    element(&mut text, "PartNumberMarker", &wanted.after.to_string());
    element(&mut text, "NextPartNumberMarker", &next.to_string());
    element(&mut text, "MaxParts", &wanted.most.to_string());
    element(&mut text, "IsTruncated", if truncated { "true" } else { "false" });
    for part in shown {
        text.push_str("<Part>");
        element(&mut text, "PartNumber", &part.number.to_string());
        element(&mut text, "LastModified", &part.modified);
        element(&mut text, "ETag", &format!("\"{}\"", etag::to_client(&part.etag)));
        element(&mut text, "Size", &part.plain().unwrap_or_default().0.to_string());
        text.push_str("</Part>");
    }
    // Who began the upload, and whose the object will be, is the store's to say.
    for who in ["Initiator", "Owner"] {
        let said = ["ID", "DisplayName"].map(|name| (name, about.get(&format!("{who}/{name}"))));
        if said.iter().any(|(_, said)| said.is_some()) {
            text.push_str(&format!("<{who}>"));
            for (name, said) in said {
                if let Some(said) = said {
                    element(&mut text, name, said);
                }
            }
            text.push_str(&format!("</{who}>"));
        }
    }
    if let Some(class) = about.get("StorageClass") {
        element(&mut text, "StorageClass", class);
    }
    text.push_str("</ListPartsResult>");
    text
}

fn wanted(exchange: &Exchange<'_>) -> Result<Wanted, S3Error> {
    let number = |name: &str, message: &'static str| {
        let mut parameters = exchange.address.parameters();
        match parameters.find(|(given, _)| *given == name) {
            None => Ok(None),
            Some((_, "")) => Ok(None),
            Some((_, text)) => match text.parse::<i32>().ok().and_then(|number| u32::try_from(number).ok()) {
                Some(number) => Ok(Some(number)),
                None => Err(S3Error::InvalidArgument { message }),
            },
        }
    };
    let most = number(
        "max-parts",
        "Argument max-parts must be an integer between 0 and 2147483647",
    )?;
    let after = number(
        "part-number-marker",
        "Argument part-number-marker must be an integer between 0 and 2147483647",
    )?;
    Ok(Wanted {
        most: most.unwrap_or(PAGE).min(PAGE),
        after: after.unwrap_or(0),
    })
}

/// ListMultipartUploads: as the store has it. Ids are its own, and there is nothing in it of the uploads' content.
///
/// # Errors
/// The store said no, or nothing.
pub async fn uploads(exchange: &Exchange<'_>) -> Result<Response<Bytes>, S3Error> {
    let query = exchange.address.passed_query();
    let answer = exchange
        .ask(Method::GET, &query, HeaderMap::new(), StoreBody::empty())
        .await?;
    let (head, body) = answer.into_parts();
    let mut response = Response::new(collect(body, LARGEST_PAGE).await?);
    *response.headers_mut() = answered(&head.headers);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::MIN_PART_LEN;

    fn part(number: u32, plain: u64, home: PartHome) -> Part {
        Part {
            number,
            etag: String::new(),
            sealed: PlainLen(plain).segment().unwrap(),
            modified: String::new(),
            home,
        }
    }

    #[test]
    fn a_tail_is_no_part_of_the_clients() {
        let large = MIN_PART_LEN.0;
        assert!(part(1, large, PartHome::Upstream).is_clients(&[]));
        assert!(part(1, large - 1, PartHome::Staged).is_clients(&[]));
        assert!(part(10_000, large, PartHome::Staged).is_clients(&[]));
        // Too small to be another than a tail; and behind number 10,000 nothing could go.
        assert!(!part(2, large - 1, PartHome::Upstream).is_clients(&[]));
        assert!(!part(10_000, large, PartHome::Upstream).is_clients(&[]));
        let recorded = Attempt {
            tail: 2,
            len: PlainLen(large).segment().unwrap().0,
            salt: String::new(),
            list: String::new(),
        };
        assert!(!part(2, large, PartHome::Upstream).is_clients(std::slice::from_ref(&recorded)));
        assert!(part(3, large, PartHome::Upstream).is_clients(std::slice::from_ref(&recorded)));
        let odd = Part {
            sealed: SealedLen(66_257),
            ..part(4, large, PartHome::Upstream)
        };
        assert!(!odd.is_clients(&[]), "no part is so long");
    }
}
