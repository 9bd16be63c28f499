//! A download on its way: what is opened piece by piece, cut with the lease it stands under, and told of where it breaks.

use bytes::Bytes;
use futures_util::stream::try_unfold;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tracing::Span;

use crate::azure::account::Container;
use crate::azure::error::AzureError;
use crate::azure::exchange::Exchange;
use crate::azure::operation::Operation as Op;
use crate::azure::read::{Pieces, Read};
use crate::body::{Fault, FaultSlot, Gone, alone};
use crate::gateway::{AnswerBody, Connection, CutGuard, full};
use crate::keys::LeaseEnd;
use crate::telemetry::audit::{self, Event, known};
use crate::telemetry::metrics;

/// Opens the first piece, and answers with it and what follows.
pub(super) async fn stream(
    read: Read,
    connection: &Connection,
    operation: Op,
    exchange: &Exchange<'_>,
) -> Result<Response<AnswerBody>, AzureError> {
    let Some(mut pieces) = read.pieces else {
        return Ok(read.head.map(|()| full(Bytes::new())));
    };
    let first = pieces.next().await?.unwrap_or_default();
    let over = pieces.over();
    let running = Running {
        guard: Some(connection.cut_when(over.clone())),
        over,
        finished: pieces.is_done(),
        operation: operation.name(),
        container: exchange.container.clone(),
        name: exchange.address.blob.clone(),
        request: Span::current(),
        connection: connection.clone(),
    };
    Ok(read.head.map(|()| body(first, pieces, running)))
}

fn body(first: Bytes, pieces: Pieces, running: Running) -> AnswerBody {
    let state = (Some(first), None::<Gone>, pieces, running);
    let pieces = try_unfold(state, |(first, before, mut pieces, mut running)| async move {
        if let Some(before) = before {
            before.wait().await;
        }
        let next = match first {
            Some(first) => Some(first),
            None => pieces.next().await.map_err(|fault| running.broke(fault))?,
        };
        running.stands_under(pieces.over(), pieces.is_done());
        Ok::<_, std::io::Error>(next.map(|bytes| {
            let (bytes, gone) = if running.finished { (bytes, None) } else { alone(bytes) };
            (Frame::data(bytes), (None, gone, pieces, running))
        }))
    });
    StreamBody::new(pieces).boxed_unsync()
}

/// A running download. Dropped unfinished while its lease is over, it was cut, whoever noticed first.
struct Running {
    guard: Option<CutGuard>,
    over: LeaseEnd,
    finished: bool,
    operation: &'static str,
    container: Container,
    name: String,
    request: Span,
    connection: Connection,
}

impl Running {
    /// Each segment of a blob may stand under a lease of its own.
    fn stands_under(&mut self, over: LeaseEnd, finished: bool) {
        self.finished = finished;
        // The old guard first: it would take the new one's wire along.
        self.guard = None;
        self.guard = Some(self.connection.cut_when(over.clone()));
        self.over = over;
    }

    fn broke(&self, fault: Fault) -> std::io::Error {
        let _request = self.request.enter();
        match &fault {
            Fault::Tampered { .. } | Fault::NotOurs(_) => {
                metrics::tampered();
                let version = fault.version();
                audit::record(&Event::Tampered {
                    tenant: &self.container.tenant,
                    version: version.as_ref().map(known),
                    operation: self.operation,
                    container: &self.container.name,
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
            let why = self.over.why();
            audit::record(&Event::StreamCut {
                tenant: &self.container.tenant,
                version: why.as_ref().and_then(|refused| refused.version.as_ref()).map(known),
                operation: self.operation,
                reason: why.map_or("lease_ended", |refused| refused.why.name()),
            });
        }
    }
}
