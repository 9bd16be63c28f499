//! CreateMultipartUpload. All that the client says of the object goes to the store here and now; what is known of its bytes
//! comes with their footer. Nothing of the upload is kept in the gate, and no checksum of plaintext is asked of the store: which
//! algorithm the client chose is told to it again, and its Complete says it once more.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};

use crate::body::checksum::Algorithm;
use crate::keys::Lease;
use crate::s3::error::S3Error;
use crate::s3::exchange::Exchange;
use crate::s3::headers;
use crate::s3::multipart::claims::{Type, default_type, is_possible};
use crate::s3::multipart::xml::{Flat, NAMESPACE, element};
use crate::upstream::{StoreBody, collect};

/// Says to a reader, before it has read a byte, that the object ends in a footer if it has 5 MiB or more.
pub(super) const MARK: HeaderName = HeaderName::from_static("x-amz-meta-portcullis-multipart");
const ALGORITHM: &str = "x-amz-checksum-algorithm";
const TYPE: &str = "x-amz-checksum-type";
/// The store's answer is a few lines.
const LARGEST_ANSWER: usize = 64 * 1024;

/// CreateMultipartUpload. Nothing is sealed yet, but without a live lease nothing will be.
///
/// # Errors
/// The lease ended; metadata or a checksum that S3 would not take either; the store said no, or nothing.
pub async fn create(exchange: &Exchange<'_>, lease: Lease) -> Result<Response<Bytes>, S3Error> {
    let client = &exchange.parts.headers;
    let checksum = checksum(client)?;
    let mut asking = headers::described(client)?;
    asking.insert(MARK, HeaderValue::from_static("1"));
    exchange.container().store.multipart_headers(&mut asking);
    lease.check()?;
    let over = lease.over();
    let created = tokio::select! {
        created = begin(exchange, asking) => created,
        () = over.cancelled() => Err(lease.check().map_or_else(S3Error::Refused, |()| S3Error::StoreFailed)),
    };
    let (store, id) = created?;

    let mut answer = answered(&store);
    headers::sealed_under(&exchange.container().key_url, &mut answer);
    if let Some((algorithm, kind)) = checksum {
        answer.insert(ALGORITHM, HeaderValue::from_static(algorithm.name()));
        answer.insert(TYPE, HeaderValue::from_static(kind.name()));
    }
    let mut text =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<InitiateMultipartUploadResult xmlns=\"{NAMESPACE}\">");
    element(&mut text, "Bucket", &exchange.container().name);
    element(&mut text, "Key", &exchange.object.name);
    element(&mut text, "UploadId", &id);
    text.push_str("</InitiateMultipartUploadResult>");
    let mut response = Response::new(Bytes::from(text));
    *response.headers_mut() = answer;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    Ok(response)
}

pub(super) async fn begin(exchange: &Exchange<'_>, asking: HeaderMap) -> Result<(HeaderMap, String), S3Error> {
    let answer = exchange
        .ask(Method::POST, "uploads=", asking, StoreBody::empty())
        .await?;
    let (head, body) = answer.into_parts();
    let body = collect(body, LARGEST_ANSWER).await?;
    let id = Flat::read(&body, "")
        .and_then(|answer| answer.get("UploadId").map(|id| id.trim().to_owned()))
        .filter(|id| !id.is_empty());
    Ok((head.headers, id.ok_or(S3Error::StoreFailed)?))
}

/// What the client sees of the store's answer: when a rule of the bucket will abort the upload, and who pays.
pub(super) fn answered(store: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in ["x-amz-abort-date", "x-amz-abort-rule-id", "x-amz-request-charged"] {
        if let Some(value) = store.get(name) {
            headers.insert(HeaderName::from_static(name), value.clone());
        }
    }
    headers
}

/// The checksum that the client chose for the parts and the whole, if it chose one.
fn checksum(client: &HeaderMap) -> Result<Option<(Algorithm, Type)>, S3Error> {
    let kind = Type::of(client)?;
    let Some(algorithm) = client.get(ALGORITHM) else {
        return match kind {
            None => Ok(None),
            Some(_) => Err(S3Error::InvalidRequest {
                message: "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
            }),
        };
    };
    let algorithm = algorithm.to_str().ok().and_then(Algorithm::from_name);
    let algorithm = algorithm.ok_or(S3Error::InvalidRequest {
        message: "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, \
                  CRC64NVME, SHA1, SHA256]",
    })?;
    let kind = kind.unwrap_or_else(|| default_type(algorithm));
    if !is_possible(algorithm, kind) {
        return Err(S3Error::InvalidRequest {
            message: "The checksum type provided cannot be used with the checksum algorithm provided.",
        });
    }
    Ok(Some((algorithm, kind)))
}
