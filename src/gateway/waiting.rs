//! An answer that may be long in coming: after a few seconds its head goes out, and white space keeps the client waiting, as S3 does
//! at CompleteMultipartUpload. What goes wrong later stands in the body, as it does there:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::task::JoinHandle;
use tracing::{Instrument, Span};

use crate::gateway::{AnswerBody, Asked, full, report};
use crate::s3::error::S3Error;
use crate::s3::exchange::Exchange;
use crate::s3::headers;
use crate::s3::operation::Operation;

/// So long an answer is waited for, status and all.
const PATIENCE: Duration = Duration::from_secs(3);
/// So often a client hears that its answer is under way.
const BEAT: Duration = Duration::from_secs(5);
/// What every document begins with, and what may stand behind it.
const BEGINNING: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

type Work = JoinHandle<Result<Response<Bytes>, S3Error>>;

/// Does `work`, which goes on whether or not the client still listens, and answers what comes of it.
pub(super) async fn answer(
    work: impl Future<Output = Result<Response<Bytes>, S3Error>> + Send + 'static,
    operation: Operation,
    exchange: &Exchange<'_>,
    id: &str,
) -> Result<Response<AnswerBody>, S3Error> {
    let mut work: Work = tokio::spawn(work.instrument(Span::current()));
    let done = tokio::time::timeout(PATIENCE, &mut work).await;
    exchange.ask_cors().await;
    if let Ok(done) = done {
        return done.unwrap_or(Err(S3Error::StoreFailed)).map(|done| done.map(full));
    }
    let late = Late {
        asked: Asked {
            operation: Some(operation),
            container: Some(Arc::clone(exchange.container())),
            name: exchange.object.name.clone(),
            cors: Arc::clone(&exchange.object.cors),
        },
        resource: exchange.parts.uri.path().to_owned(),
        id: id.to_owned(),
        request: Span::current(),
    };
    let mut response = Response::new(stream(work, late));
    let headers = response.headers_mut();
    headers::sealed_under(&exchange.container().key_url, headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    Ok(response)
}

/// What there is to say of an error that comes behind the head.
struct Late {
    asked: Asked,
    resource: String,
    id: String,
    request: Span,
}

impl Late {
    fn document(&self, done: Result<Response<Bytes>, S3Error>) -> Bytes {
        let document = match done {
            Ok(done) => done.into_body(),
            Err(error) => {
                let _request = self.request.enter();
                report(
                    &error,
                    self.asked.operation.map_or("unknown", Operation::name),
                    &self.asked,
                );
                let key_url = self.asked.container.as_ref().map_or("", |found| found.key_url.as_str());
                Bytes::from(error.response(key_url, &self.resource, &self.id, false).into_body())
            }
        };
        match document.strip_prefix(BEGINNING.as_bytes()) {
            Some(rest) => document.slice_ref(rest),
            None => document,
        }
    }
}

fn stream(work: Work, late: Late) -> AnswerBody {
    let begun = (Bytes::from_static(BEGINNING.as_bytes()), Some((work, late)));
    let pieces = unfold(begun, |(piece, rest)| async move {
        if !piece.is_empty() {
            return Some((Ok::<_, std::io::Error>(Frame::data(piece)), (Bytes::new(), rest)));
        }
        let (mut work, late) = rest?;
        match tokio::time::timeout(BEAT, &mut work).await {
            Err(_) => {
                let space = Bytes::from_static(b" ");
                Some((Ok(Frame::data(space)), (Bytes::new(), Some((work, late)))))
            }
            Ok(done) => {
                let document = late.document(done.unwrap_or(Err(S3Error::StoreFailed)));
                Some((Ok(Frame::data(document)), (Bytes::new(), None)))
            }
        }
    });
    StreamBody::new(pieces).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn late() -> Late {
        Late {
            asked: Asked::default(),
            resource: "/b/k".to_owned(),
            id: "1".to_owned(),
            request: Span::none(),
        }
    }

    async fn told(done: Result<Response<Bytes>, S3Error>) -> String {
        let work = tokio::spawn(async move {
            tokio::time::sleep(BEAT * 3 + PATIENCE).await;
            done
        });
        let body = stream(work, late()).collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_is_one_document_with_space_in_it() {
        let document = Bytes::from(format!("{BEGINNING}<Done/>"));
        assert_eq!(
            told(Ok(Response::new(document))).await,
            format!("{BEGINNING}   <Done/>")
        );
        let error = told(Err(S3Error::StoreFailed)).await;
        assert!(error.starts_with(&format!("{BEGINNING}   <Error>")), "{error}");
        assert!(error.contains("<Code>ServiceUnavailable</Code>"), "{error}");
    }
}
