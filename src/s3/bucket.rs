//! Buckets: whether one is there, and which ones a client may see.

use std::fmt::Write;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Response};
use quick_xml::escape::escape;

use crate::s3::error::S3Error;
use crate::s3::exchange::Exchange;
use crate::s3::headers;
use crate::tenant::Container;
use crate::upstream::StoreBody;

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

/// ListBuckets: the buckets that the client's tenants have here, by name. The gate knows them from its configuration, so the
/// store, whose other buckets are none of this client's business, is not asked.
pub fn list(visible: &[&std::sync::Arc<Container>]) -> Response<Bytes> {
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListAllMyBucketsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <Owner><ID>portcullis</ID><DisplayName>portcullis</DisplayName></Owner><Buckets>",
    );
    for container in visible {
        // A creation date is required by the schema; the gate's configuration has none.
        let name = escape(container.name.as_str());
        let _ = write!(
            text,
            "<Bucket><Name>{name}</Name><CreationDate>1970-01-01T00:00:00.000Z</CreationDate></Bucket>"
        );
    }
    text.push_str("</Buckets></ListAllMyBucketsResult>");
    let mut response = Response::new(Bytes::from(text));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}
