//! An object of many segments on its way to the client: each segment's header leads to its own DEK, and so to its own lease;
//! each is held to the footer's table before a chunk of it is opened.

use bytes::Bytes;

use crate::body::fault::Fault;
use crate::body::stored::Stored;
use crate::keys::{KeyRefusal, Lease, LeaseEnd, Leased, OpenError, TenantLeases};
use crate::seal::{Header, KeyVersion, MultipartRead, Tampered, Wants};

/// So many bytes behind the last chunk are read for the sake of the connection: zeros and footer of some hundred parts.
const LITTLE: u64 = 256 * 1024;

/// The chunks that a [`MultipartRead`] wants, opened in order.
pub struct Segments {
    /// None once all that was wanted of it came.
    stored: Option<Stored>,
    /// What it sends behind that, in bytes.
    rest: u64,
    /// The first segment's header, where the body begins behind it.
    apart: Option<Header>,
    at: At,
    /// Plaintext still to come, in bytes.
    left: u64,
    leases: TenantLeases,
    permits: Permits,
    /// Of the key, under whose lease the segment that is read lies; before the first, the footer.
    version: KeyVersion,
}

enum At {
    /// Before a segment's header. No key is in it.
    Between(MultipartRead),
    /// In a segment, under its lease.
    Within(Leased<MultipartRead>),
    /// At the end, or stopped for good.
    End,
}

impl Segments {
    /// Opens what `read` wants of `stored`, which begins where [`MultipartRead::body`] says: `len` bytes of plaintext in all.
    /// `apart` is the first header, where [`MultipartRead::apart`] wants it so; `footer` is the lease under which the footer was
    /// opened.
    pub fn new(
        stored: Stored,
        apart: Option<Header>,
        read: MultipartRead,
        len: u64,
        leases: TenantLeases,
        footer: Lease,
    ) -> Self {
        Self {
            stored: Some(stored),
            rest: 0,
            apart,
            at: At::Between(read),
            left: len,
            leases,
            version: footer.version(),
            permits: Permits::new(footer),
        }
    }

    /// Says that the store was asked for more, and sends this many bytes behind what is wanted.
    #[must_use]
    pub fn with_rest(mut self, rest: u64) -> Self {
        self.rest = rest;
        self
    }

    /// As [`Opening::next`](crate::body::Opening::next). The last piece waits until also the empty segments behind it were seen to be right.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let over = self.permits.over();
        let next = tokio::select! {
            biased;
            next = self.advance() => next,
            // A store that stalls holds nothing open either.
            () = over.cancelled() => Err(Fault::StoreGone),
        };
        // Whatever it was: what happens under an ended lease happens because it ended.
        if let Err(refusal) = self.permits.check() {
            self.at = At::End;
            return Err(Fault::Ended(refusal));
        }
        if next.is_err() {
            self.at = At::End;
        }
        next.map_err(|fault| fault.under(self.version))
    }

    pub(super) fn over(&self) -> LeaseEnd {
        self.permits.over()
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.at, At::End)
    }

    async fn advance(&mut self) -> Result<Option<Bytes>, Fault> {
        let mut plain = Bytes::new();
        loop {
            // Taken out, so that what stops here stays stopped.
            self.at = match std::mem::replace(&mut self.at, At::End) {
                At::End => return Ok((!plain.is_empty()).then_some(plain)),
                At::Between(read) => self.enter(read).await?,
                At::Within(mut read) => match read.get().map_err(Fault::Ended)?.wants() {
                    Wants::Chunk { sealed_len } => {
                        let sealed = self.stored()?.chunk(sealed_len).await?;
                        let reading = read.get().map_err(Fault::Ended)?;
                        let opened = sealed.open(|chunk| reading.open_at(chunk))?;
                        let rest = self.left.checked_sub(opened.len() as u64);
                        self.left = rest.ok_or(Tampered::Unexpected)?;
                        // What waits here is the last of the object: only empty segments follow it.
                        if !opened.is_empty() {
                            plain = opened;
                        }
                        let at = left(read)?;
                        if let At::End = at {
                            self.let_go();
                        }
                        at
                    }
                    Wants::Header | Wants::Padding { .. } | Wants::Skip { .. } | Wants::Nothing => {
                        return Err(Tampered::Unexpected.into());
                    }
                },
            };
            if !plain.is_empty() && self.left > 0 {
                return Ok(Some(plain));
            }
        }
    }

    fn stored(&mut self) -> Result<&mut Stored, Fault> {
        self.stored.as_mut().ok_or(Fault::StoreGone)
    }

    /// Little that still comes costs less than another connection.
    fn let_go(&mut self) {
        if let Some(stored) = self.stored.take()
            && (1..=LITTLE).contains(&self.rest)
        {
            tokio::spawn(stored.drain(LITTLE));
        }
    }

    async fn enter(&mut self, read: MultipartRead) -> Result<At, Fault> {
        let header = match self.apart.take() {
            Some(header) => header,
            // What is no header here is no object without a seal: the footer was the tenant's own.
            None => self.stored()?.header().await.map_err(|fault| match fault {
                Fault::Unsealed(what) => Tampered::Malformed(what).into(),
                fault => fault,
            })?,
        };
        let lease = self.leases.to_open(header.core().dek_id(), header.envelope()).await;
        let lease = lease.map_err(|error| match error {
            OpenError::Refused(refusal) => Fault::Ended(refusal),
            OpenError::NotOurs(what) => Fault::NotOurs(what),
        })?;
        self.permits.add(&lease);
        self.version = lease.version();
        Ok(At::Within(lease.enter(read, &header)?))
    }
}

/// Where reading stands behind a chunk.
fn left(mut read: Leased<MultipartRead>) -> Result<At, Fault> {
    Ok(match read.get().map_err(Fault::Ended)?.wants() {
        Wants::Header => At::Between(read.into_inner().map_err(Fault::Ended)?),
        Wants::Nothing => At::End,
        Wants::Chunk { .. } | Wants::Padding { .. } | Wants::Skip { .. } => At::Within(read),
    })
}

/// Every permission that a stream has opened anything under, held to its end: what was opened may still be on its way to the
/// client. One is enough for most objects: a tenant's segments share a CMK version, and so its grant.
pub(super) struct Permits {
    leases: Vec<Lease>,
    /// When one of them ends.
    any: LeaseEnd,
}

impl Permits {
    pub(super) fn new(first: Lease) -> Self {
        Self {
            any: first.ending().growing(),
            leases: vec![first],
        }
    }

    /// When one of them ends.
    pub(super) fn over(&self) -> LeaseEnd {
        self.any.clone()
    }

    pub(super) fn add(&mut self, lease: &Lease) {
        if self.leases.iter().any(|held| held.ends_with(lease)) {
            return;
        }
        self.leases.push(lease.again());
        self.any.add(lease);
    }

    pub(super) fn check(&self) -> Result<(), KeyRefusal> {
        self.leases.iter().try_for_each(Lease::check)
    }
}
