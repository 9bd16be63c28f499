//! How much is read from a store at once. hyper makes its buffers as large as what single reads fill: so whoever bounds the reads
//! bounds the buffers, of which a download that stalls holds up to three.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper::rt;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};
use tower_service::Service;

use crate::body::is_crowded;

/// The most, in bytes, that is read at once in a crowd of downloads. A little less than hyper's buffer of 32 KiB: a read that fills
/// one makes the next one twice as large.
const IN_A_CROWD: u64 = 30 * 1024;

/// Makes connections whose reads are bounded.
#[derive(Clone)]
pub(super) struct Windowed<C>(pub(super) C);

impl<C> Service<Uri> for Windowed<C>
where
    C: Service<Uri>,
    C::Response: rt::Read,
    C::Future: Send + 'static,
{
    type Response = TokioIo<Window<C::Response>>;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, C::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            let stream = TokioIo::new(connecting.await?);
            Ok(TokioIo::new(Window(stream.take(u64::MAX))))
        })
    }
}

/// A connection to a store.
pub(super) struct Window<S>(Take<TokioIo<S>>);

impl<S: Connection + rt::Read> Connection for Window<S> {
    fn connected(&self) -> Connected {
        self.0.get_ref().inner().connected()
    }
}

impl<S: rt::Read + Unpin> AsyncRead for Window<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.set_limit(if is_crowded() { IN_A_CROWD } else { u64::MAX });
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl<S: rt::Read + rt::Write + Unpin> AsyncWrite for Window<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.0.get_mut()).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.0.get_mut()).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.get_mut()).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.get_mut()).poll_shutdown(context)
    }
}
