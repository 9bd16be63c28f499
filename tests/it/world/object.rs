//! A stored object in an adversary's hands: to be changed, and to be answered with as a store would.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH, LAST_MODIFIED, RANGE};
use http::{HeaderName, StatusCode};
use portcullis::seal::{Core, HEADER_LEN, SEALED_CHUNK_LEN};

use crate::world::adversary::{Asked, Reply};
use crate::world::client::Answer;

/// The metadata in which the core travels.
pub const CORE: HeaderName = HeaderName::from_static("x-amz-meta-portcullis-core");

const OWN: [&str; 3] = ["multipart", "alias", "checksums"];

/// What lies, or seems to lie, under a key.
#[derive(Clone, Debug)]
pub struct Object {
    pub body: Vec<u8>,
    /// The core in its metadata, if it has one.
    pub core: Option<String>,
    /// What else of the gate's own stands in its metadata: `multipart`, `alias`, `checksums`.
    pub own: BTreeMap<&'static str, String>,
    pub etag: String,
}

impl Object {
    /// As the store gave it.
    pub fn of(answer: &Answer) -> Self {
        let text = |name: HeaderName| Some(answer.headers.get(name)?.to_str().unwrap().to_owned());
        Self {
            body: answer.body.to_vec(),
            core: text(CORE),
            own: OWN.iter().filter_map(|name| Some((*name, text(own(name))?))).collect(),
            etag: text(ETAG).unwrap_or_default(),
        }
    }

    /// Of these bytes, with the core that they begin with as metadata.
    pub fn sealed(body: Vec<u8>) -> Self {
        let core = Core::parse(&body[..136]).ok().map(|core| core.to_text());
        let etag = "\"0123456789abcdef0123456789abcdef\"".to_owned();
        Self {
            body,
            core,
            own: BTreeMap::new(),
            etag,
        }
    }

    /// With another body, and all else as it is.
    pub fn with_body(&self, body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..self.clone()
        }
    }

    /// With this core in its metadata, or none.
    pub fn with_core(&self, core: Option<String>) -> Self {
        Self { core, ..self.clone() }
    }

    /// With this beside it in its metadata.
    pub fn with_own(mut self, name: &'static str, value: impl ToString) -> Self {
        self.own.insert(name, value.to_string());
        self
    }

    /// With nothing of the gate's own in its metadata.
    pub fn stripped(&self) -> Self {
        Self {
            core: None,
            own: BTreeMap::new(),
            ..self.clone()
        }
    }

    /// With one bit of its body flipped.
    pub fn flipped(&self, byte: usize, bit: u8) -> Self {
        let mut body = self.body.clone();
        body[byte] ^= 1 << bit;
        self.with_body(body)
    }

    /// Where a sealed chunk lies.
    pub fn chunk(index: usize) -> std::ops::Range<usize> {
        let start = HEADER_LEN + index * SEALED_CHUNK_LEN;
        start..start + SEALED_CHUNK_LEN
    }

    /// As an honest store would answer about it: ranges, conditions, HEAD.
    pub fn answer(&self, asked: &Asked) -> Reply {
        let text = |name: &HeaderName| asked.headers.get(name)?.to_str().ok();
        if text(&IF_MATCH).is_some_and(|wanted| wanted != self.etag) {
            return Reply::new(
                StatusCode::PRECONDITION_FAILED,
                "<Error><Code>PreconditionFailed</Code></Error>",
            );
        }
        let size = self.body.len();
        let body = Bytes::copy_from_slice(&self.body);
        let reply = match text(&RANGE).and_then(|range| within(range, size)) {
            None => Reply::new(StatusCode::OK, body),
            Some((first, _)) if first >= size => {
                return Reply::new(
                    StatusCode::RANGE_NOT_SATISFIABLE,
                    "<Error><Code>InvalidRange</Code></Error>",
                );
            }
            Some((first, last)) => Reply::new(StatusCode::PARTIAL_CONTENT, body.slice(first..=last))
                .with(CONTENT_RANGE, &format!("bytes {first}-{last}/{size}")),
        };
        let mut reply = reply
            .with(ETAG, &self.etag)
            .with(CONTENT_TYPE, "binary/octet-stream")
            .with(LAST_MODIFIED, "Thu, 01 Jan 2026 00:00:00 GMT");
        for (name, value) in &self.own {
            reply = reply.with(own(name), value);
        }
        match &self.core {
            Some(core) => reply.with(CORE, core),
            None => reply,
        }
    }
}

fn own(name: &str) -> HeaderName {
    HeaderName::try_from(format!("x-amz-meta-portcullis-{name}")).unwrap()
}

fn within(range: &str, size: usize) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let end = size.saturating_sub(1);
    Some((
        first.parse().ok()?,
        last.parse().map_or(end, |last: usize| last.min(end)),
    ))
}
