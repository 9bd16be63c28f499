//! Buckets: whether one is there, and which ones a client may see.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::Event;

use crate::s3::auth::AuthError;
use crate::s3::error::S3Error;
use crate::s3::exchange::Exchange;
use crate::s3::headers;
use crate::s3::object::understood;
use crate::s3::operation::Address;
use crate::tenant::{Tenants, Within};
use crate::upstream::sigv4::Credential;
use crate::upstream::{Call, Caller, StoreBody, collect};

/// 10,000 buckets fit, which S3 lists at the most.
const LARGEST_LIST: usize = 8 << 20;
/// S3's own bound for `max-buckets` (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html>).
const MOST_BUCKETS: usize = 10_000;
/// What stands for the date of a bucket that only the configuration tells of; the schema wants one.
const NO_DATE: &str = "1970-01-01T00:00:00.000Z";

/// HeadBucket.
///
/// # Errors
/// The store said no, or nothing.
pub async fn head(exchange: &Exchange<'_>) -> Result<Response<()>, S3Error> {
    let answer = exchange
        .ask(Method::HEAD, "", HeaderMap::new(), StoreBody::empty())
        .await?;
    let mut response = Response::new(());
    *response.headers_mut() = headers::to_client(answer.headers());
    Ok(response)
}

/// What ListBuckets found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Buckets {
    /// Name and date.
    found: BTreeMap<String, String>,
    /// Of whoever asked, as the store knows them: id and display name.
    owner: Option<(String, String)>,
}

/// ListBuckets: those that the client's tenants have here, by name. What the configuration names it tells itself; the store is asked,
/// and its answer filtered, only where patterns stand for buckets. Nobody sees what the store shows the whole world of those that are open
/// to it.
///
/// # Errors
/// A store that had to be asked said no, or nothing.
pub async fn list(
    tenants: &Tenants,
    credential: Option<&Credential>,
    address: &Address<'_>,
) -> Result<Response<Bytes>, S3Error> {
    let mut buckets = Buckets::default();
    let stores = tenants.stores_to_ask(credential);
    if credential.is_none() && stores.is_empty() {
        return Err(AuthError::Missing.into());
    }
    for (store, caller) in stores {
        let answer = store
            .send(Call {
                method: Method::GET,
                bucket: "",
                key: "",
                query: "",
                caller: &caller,
                headers: HeaderMap::new(),
                body: StoreBody::empty(),
            })
            .await?;
        if answer.status() != StatusCode::OK {
            tracing::error!(status = answer.status().as_u16(), "the store does not list its buckets");
            return Err(S3Error::StoreFailed);
        }
        let page = collect(answer.into_body(), LARGEST_LIST).await?;
        let page = read(&page).ok_or(S3Error::StoreFailed)?;
        let served = page.found.into_iter().filter(|(name, _)| {
            let found = tenants.resolve(credential, name, Within::Itself);
            found.is_ok_and(|access| access.container.store.name() == store.name())
        });
        buckets.found.extend(served);
        buckets.owner = buckets.owner.or(page.owner);
    }
    for container in credential
        .map(|credential| tenants.visible(credential))
        .into_iter()
        .flatten()
    {
        let date = || NO_DATE.to_owned();
        buckets.found.entry(container.name.clone()).or_insert_with(date);
    }
    Ok(write(&buckets, address))
}

/// Ceph's `GET /?usage`: what the store counts for its user, for a client that is one. The bytes are those of sealed objects. For any
/// other client it would tell what all of them store.
///
/// # Errors
/// The client has no credential of its own at a store, or the store said no.
pub async fn usage(tenants: &Tenants, credential: Option<&Credential>) -> Result<Response<Bytes>, S3Error> {
    let stores = tenants.stores_to_ask(credential);
    let own = stores
        .into_iter()
        .find(|(_, caller)| matches!(caller, Caller::Client(_)));
    let (store, caller) = own.ok_or_else(|| S3Error::NotImplemented {
        what: "the query parameter usage".to_owned(),
    })?;
    let call = Call {
        method: Method::GET,
        bucket: "",
        key: "",
        query: "usage=",
        caller: &caller,
        headers: HeaderMap::new(),
        body: StoreBody::empty(),
    };
    let (head, body) = understood(store.send(call).await?).await?.into_parts();
    let mut response = Response::new(collect(body, LARGEST_LIST).await?);
    *response.headers_mut() = headers::to_client(&head.headers);
    Ok(response)
}

/// The page that was asked for: buckets behind the token, which is the last name of the page before.
fn write(buckets: &Buckets, address: &Address<'_>) -> Response<Bytes> {
    let asked = |name: &str| {
        let value = address.parameters().find(|(given, _)| *given == name)?.1;
        Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
    };
    let prefix = asked("prefix");
    let after = asked("continuation-token").unwrap_or_default();
    let most = asked("max-buckets").and_then(|text| text.parse().ok());
    let most = most.unwrap_or(MOST_BUCKETS).clamp(1, MOST_BUCKETS);
    let matching = |name: &str| name > after.as_str() && prefix.as_ref().is_none_or(|prefix| name.starts_with(prefix));
    let mut rest = buckets.found.iter().filter(|(name, _)| matching(name)).peekable();

    let none = ("portcullis".to_owned(), "portcullis".to_owned());
    let (id, display) = buckets.owner.as_ref().unwrap_or(&none);
    let (id, display) = (escape(id.as_str()), escape(display.as_str()));
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListAllMyBucketsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <Owner><ID>{id}</ID><DisplayName>{display}</DisplayName></Owner><Buckets>",
    );
    let mut last = "";
    for (name, date) in rest.by_ref().take(most) {
        last = name;
        let (name, date) = (escape(name.as_str()), escape(date.as_str()));
        let _ = write!(
            text,
            "<Bucket><Name>{name}</Name><CreationDate>{date}</CreationDate></Bucket>"
        );
    }
    text.push_str("</Buckets>");
    if let Some(prefix) = &prefix {
        let _ = write!(text, "<Prefix>{}</Prefix>", escape(prefix.as_str()));
    }
    if rest.peek().is_some() {
        let _ = write!(text, "<ContinuationToken>{}</ContinuationToken>", escape(last));
    }
    text.push_str("</ListAllMyBucketsResult>");
    let mut response = Response::new(Bytes::from(text));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

fn read(page: &[u8]) -> Option<Buckets> {
    let mut reader = Reader::from_reader(page);
    let mut buckets = Buckets::default();
    let (mut within, mut name, mut date, mut id, mut display) = (Vec::new(), None, None, None, None);
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => within = tag.local_name().as_ref().to_vec(),
            Event::Text(text) => {
                let text = text.decode().ok()?.into_owned();
                match within.as_slice() {
                    b"Name" => name = Some(text),
                    b"CreationDate" => date = Some(text),
                    b"ID" => id = Some(text),
                    b"DisplayName" => display = Some(text),
                    _ => {}
                }
            }
            Event::End(tag) => {
                within.clear();
                match tag.local_name().as_ref() {
                    b"Bucket" => {
                        let date = date.take().unwrap_or_else(|| NO_DATE.to_owned());
                        buckets.found.insert(name.take()?, date);
                    }
                    b"Owner" => buckets.owner = id.take().map(|id| (id, display.take().unwrap_or_default())),
                    _ => {}
                }
            }
            Event::Eof => return Some(buckets),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str) -> String {
        let found = ["a1", "a2", "b1"].map(|name| (name.to_owned(), NO_DATE.to_owned()));
        let buckets = Buckets {
            found: found.into(),
            owner: Some(("me&".to_owned(), "Me".to_owned())),
        };
        let address = Address {
            bucket: "",
            key: "",
            query,
        };
        String::from_utf8(write(&buckets, &address).into_body().to_vec()).unwrap()
    }

    #[test]
    fn pages_follow_each_other() {
        let first = page("max-buckets=2");
        assert!(
            first.contains("<Name>a1</Name>") && first.contains("<Name>a2</Name>"),
            "{first}"
        );
        assert!(first.contains("<ContinuationToken>a2</ContinuationToken>"), "{first}");
        assert!(first.contains("<ID>me&amp;</ID>"), "{first}");
        let second = page("max-buckets=2&continuation-token=a2");
        assert!(second.contains("<Name>b1</Name>") && !second.contains("a2"), "{second}");
        assert!(!second.contains("ContinuationToken"), "{second}");
        assert!(!page("prefix=b").contains("<Name>a1</Name>"));
    }

    #[test]
    fn a_stores_list_is_read() {
        let list = b"<ListAllMyBucketsResult><Owner><ID>x</ID><DisplayName>X</DisplayName></Owner><Buckets><Bucket><Name>b</Name>\
            <CreationDate>2026-01-02T03:04:05.000Z</CreationDate></Bucket></Buckets></ListAllMyBucketsResult>";
        let buckets = read(list).unwrap();
        assert_eq!(buckets.owner, Some(("x".to_owned(), "X".to_owned())));
        assert_eq!(
            buckets.found.get("b").map(String::as_str),
            Some("2026-01-02T03:04:05.000Z")
        );
        assert_eq!(read(b"<a><b></a>"), None);
    }
}
