//! A download under way: the first piece opened before the answer's head goes out, the rest piece by piece, the connection
//! tied to the lease, and whoever is cut written down.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::try_unfold;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tracing::Span;

use crate::body::{Fault, FaultSlot, Gone, Opening, alone};
use crate::gateway::{AnswerBody, Connection, CutGuard, full};
use crate::keys::LeaseEnd;
use crate::s3::error::S3Error;
use crate::s3::operation::Operation;
use crate::s3::read::Read;
use crate::telemetry::audit::{self, Event, known};
use crate::telemetry::metrics;
use crate::tenant::Container;

/// Opens the first piece, and answers with it and what follows.
pub(super) async fn answer(
    read: Read,
    connection: &Connection,
    operation: Operation,
    container: &Arc<Container>,
    name: &str,
) -> Result<Response<AnswerBody>, S3Error> {
    let Some(mut opening) = read.opening else {
        return Ok(read.head.map(|()| full(Bytes::new())));
    };
    let first = opening.next().await?.unwrap_or_default();
    let over = opening.over();
    // Also an answer of one piece: it may wait in this process for a client that does not read.
    let running = Running {
        over: over.clone(),
        finished: opening.is_done(),
        operation: operation.name(),
        container: Arc::clone(container),
        name: name.to_owned(),
        request: Span::current(),
        _guard: connection.cut_when(over),
    };
    Ok(read.head.map(|()| stream(first, opening, running)))
}

fn stream(first: Bytes, opening: Opening, running: Running) -> AnswerBody {
    let state = (Some(first), None::<Gone>, opening, running);
    let pieces = try_unfold(state, |(first, before, mut opening, mut running)| async move {
        if let Some(before) = before {
            before.wait().await;
        }
        let next = match first {
            Some(first) => Some(first),
            None => opening.next().await.map_err(|fault| running.broke(fault))?,
        };
        running.finished = opening.is_done();
        Ok::<_, std::io::Error>(next.map(|bytes| {
            let (bytes, gone) = if running.finished { (bytes, None) } else { alone(bytes) };
            (Frame::data(bytes), (None, gone, opening, running))
        }))
    });
    StreamBody::new(pieces).boxed_unsync()
}

/// A running download. Dropped unfinished while its lease is over, it was cut, whoever noticed first.
struct Running {
    over: LeaseEnd,
    finished: bool,
    operation: &'static str,
    container: Arc<Container>,
    name: String,
    /// The request's span: its id belongs to all that is written down of it, also after its head went out.
    request: Span,
    _guard: CutGuard,
}

impl Running {
    fn broke(&self, fault: Fault) -> std::io::Error {
        let _request = self.request.enter();
        match &fault {
            Fault::Tampered { .. } | Fault::NotOurs(_) => {
                metrics::tampered();
                let version = fault.version();
                let (tenant, container) = (&*self.container.tenant, self.container.name.as_str());
                audit::record(&Event::Tampered {
                    tenant,
                    version: version.as_ref().map(known),
                    operation: self.operation,
                    container,
                    name: &self.name,
                    what: &fault,
                });
            }
            fault => tracing::info!(operation = self.operation, %fault, "a download broke off"),
        }
        FaultSlot::default().leave(fault)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.finished && self.over.is_over() {
            let _request = self.request.enter();
            metrics::stream_cut();
            let tenant = &*self.container.tenant;
            let why = self.over.why();
            audit::record(&Event::StreamCut {
                tenant,
                version: why.as_ref().and_then(|refused| refused.version.as_ref()).map(known),
                operation: self.operation,
                reason: why.map_or("lease_ended", |refused| refused.why.name()),
            });
        }
    }
}
