//! UploadPartCopy: a range of an object, opened and sealed anew as a part of an upload. The store can't copy sealed ranges: they
//! do not begin and end where chunks do, and a part is bound to its upload.

use bytes::Bytes;
use http::Response;
use http::header::DATE;

use crate::keys::Lease;
use crate::s3::copy::document::{CopyResult, Of};
use crate::s3::copy::object::answer;
use crate::s3::copy::reseal::iso;
use crate::s3::copy::source::{check_range, range};
use crate::s3::copy::{asking_of_source, of_source, pin, source_of};
use crate::s3::error::S3Error;
use crate::s3::exchange::Exchange;
use crate::s3::headers;
use crate::s3::multipart::{self, NewPart, Upload};
use crate::s3::object::Object;
use crate::s3::read::source::{Source, source};
use crate::seal::{Checksums, PlainRange};

/// UploadPartCopy: a range of `from`, which the client may read, becomes a part of the upload that the request is for.
///
/// # Errors
/// As [`object`](crate::s3::copy::object()); no such upload, number or range.
pub async fn part(exchange: &Exchange<'_>, from: &Object<'_>, lease: Lease) -> Result<Response<Bytes>, S3Error> {
    let client = &exchange.parts.headers;
    headers::no_client_key(client)?;
    let upload = Upload::of(exchange)?;
    check_range(client)?;
    let verified = source_of(from, client).await?;
    let wanted = range(client, verified.len.0)?.and_then(|(first, last)| PlainRange::new(first, last));
    let part = NewPart::of(exchange, wanted.map_or(verified.len, PlainRange::plain_len))?;

    // What was verified is what is read: pinned, and the form of what comes is proved anew.
    let opened = source(from, asking_of_source(client), pin(&verified), wanted).await;
    let Source { opening, .. } = opened.map_err(|error| of_source(from, error))?;
    let over = lease.over();
    let put = multipart::store(&upload, part, lease, Box::new(opening)).await;
    let put = put.map_err(|error| match error {
        // Of the two leases, it is the one that ended.
        S3Error::Refused(_) if over.is_cancelled() => error,
        error => of_source(from, error),
    })?;
    let result = CopyResult {
        etag: put.etag,
        // The store says when a part was stored in its list of parts only.
        modified: put.headers.get(DATE).and_then(iso).unwrap_or_default(),
        checksums: Checksums::default(),
    };
    Ok(answer(exchange, &put.headers, &verified.store, &result, Of::Part))
}
