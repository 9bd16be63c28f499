//! An append blob on its way to the client: read forward, block by block, each under the lease on its own DEK.

use bytes::Bytes;

use crate::body::fault::Fault;
use crate::body::segments::Permits;
use crate::body::stored::Stored;
use crate::keys::{Lease, LeaseEnd, OpenError, TenantLeases};
use crate::seal::{AppendRead, Header, KeyVersion, Tampered, Wants};

/// The chunks that an [`AppendRead`] wants, opened in order.
pub struct Appended {
    stored: Stored,
    read: AppendRead,
    leases: TenantLeases,
    /// On the DEK of the block that is being read.
    lease: Lease,
    /// Of the key, under whose lease that block lies.
    entered: Option<KeyVersion>,
    permits: Permits,
    done: bool,
}

impl Appended {
    /// Opens what `read` wants of `stored`, which begins with the blob's first block. `begun` is the lease that permitted to begin.
    pub fn new(stored: Stored, read: AppendRead, leases: TenantLeases, begun: Lease) -> Self {
        Self {
            done: read.wants() == Wants::Nothing,
            stored,
            read,
            leases,
            lease: begun.again(),
            entered: None,
            permits: Permits::new(begun),
        }
    }

    /// The next bytes of plaintext; `None` after the last.
    ///
    /// # Errors
    /// A lease ended, the store broke off, or a block is not what was sealed.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        if self.done {
            return Ok(None);
        }
        let over = self.permits.over();
        let next = tokio::select! {
            biased;
            next = self.advance() => next,
            // A store that stalls holds nothing open either.
            () = over.cancelled() => Err(Fault::StoreGone),
        };
        let permitted = self.permits.check();
        self.done = next.is_err() || permitted.is_err() || self.read.wants() == Wants::Nothing;
        permitted.map_err(Fault::Ended)?;
        next.map_err(|fault| match self.entered {
            Some(version) => fault.under(version),
            None => fault,
        })
    }

    async fn advance(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            match self.read.wants() {
                Wants::Header => {
                    let header = self.stored.header().await.map_err(|fault| match fault {
                        Fault::Unsealed(what) => Tampered::Malformed(what).into(),
                        fault => fault,
                    })?;
                    self.enter(&header).await?;
                }
                Wants::Chunk { sealed_len } => {
                    let sealed = self.stored.chunk(sealed_len).await?;
                    self.lease.check().map_err(Fault::Ended)?;
                    let plain = sealed.open(|chunk| self.read.open_at(chunk))?;
                    // What ends its block is checked before it leaves.
                    self.padding().await?;
                    if !plain.is_empty() {
                        return Ok(Some(plain));
                    }
                }
                Wants::Padding { .. } => self.padding().await?,
                Wants::Skip { len } => {
                    self.stored.skip(len).await?;
                    self.read.skipped()?;
                }
                Wants::Nothing => return Ok(None),
            }
        }
    }

    async fn padding(&mut self) -> Result<(), Fault> {
        while let Wants::Padding { len } = self.read.wants() {
            let zeros = self.stored.exactly(len).await?;
            self.read.padding(&zeros)?;
        }
        Ok(())
    }

    async fn enter(&mut self, header: &Header) -> Result<(), Fault> {
        let lease = self.leases.to_open(header.core().dek_id(), header.envelope()).await;
        self.lease = lease.map_err(|error| match error {
            OpenError::Refused(refusal) => Fault::Ended(refusal),
            OpenError::NotOurs(what) => Fault::NotOurs(what),
        })?;
        self.permits.add(&self.lease);
        self.entered = Some(self.lease.version());
        Ok(self.lease.enter_append(&mut self.read, header)?)
    }

    /// The end of every lease that this stands under, also of those that it will.
    pub fn over(&self) -> LeaseEnd {
        self.permits.over()
    }

    /// Whether nothing more comes.
    pub fn is_done(&self) -> bool {
        self.done
    }
}
