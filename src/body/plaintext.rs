//! Where plaintext that is to be sealed comes from: a client that uploads it, or a sealed object that is copied through the gate.

use async_trait::async_trait;
use bytes::Bytes;

use crate::body::checksum::Checksum;
use crate::body::fault::Fault;
use crate::body::upload::{Held, Upload};

/// Plaintext on its way into a seal.
#[async_trait]
pub trait Plaintext: Send {
    /// The next bytes, never empty; `None` at the end, which does not yet mean that they may be believed: see
    /// [`Plaintext::finish`].
    ///
    /// # Errors
    /// They stopped, or are not what they should be.
    async fn next(&mut self) -> Result<Option<Bytes>, Fault>;

    /// Says, once it has ended, whether it is what was stated about it. Returns the checksum to keep and to echo.
    ///
    /// # Errors
    /// It is not.
    fn finish(self: Box<Self>) -> Result<Option<Checksum>, Fault> {
        Ok(None)
    }
}

#[async_trait]
impl Plaintext for Upload {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        Self::next(self).await
    }

    fn finish(self: Box<Self>) -> Result<Option<Checksum>, Fault> {
        Self::finish(*self)
    }
}

#[async_trait]
impl Plaintext for Held {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        Ok(Self::next(self))
    }

    fn finish(self: Box<Self>) -> Result<Option<Checksum>, Fault> {
        Ok(Some(self.checksum()))
    }
}

#[async_trait]
impl Plaintext for Box<dyn Plaintext> {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        (**self).next().await
    }

    fn finish(self: Box<Self>) -> Result<Option<Checksum>, Fault> {
        (*self).finish()
    }
}
