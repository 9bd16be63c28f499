//! Why a body stopped, told to those who stand elsewhere: a transport that polls a body sees an `io::Error`, and the request
//! that started it looks here for the reason.

use std::io;
use std::sync::{Arc, OnceLock};

use crate::body::aws_chunked::FramingError;
use crate::body::checksum::ChecksumError;
use crate::keys::{KeyRefusal, NotOurs, UseError};
use crate::seal::{KeyVersion, Malformed, SealError, Tampered};

/// Why a body stopped before its end.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    /// The tenant's key was withdrawn or could not be proved in time.
    #[error("the lease ended: {0}")]
    Ended(KeyRefusal),
    /// The client went away, or broke HTTP.
    #[error("the client's connection broke")]
    ClientGone,
    /// The client sent nothing for too long.
    #[error("the client fell silent")]
    ClientSilent,
    /// The client sent fewer bytes than it announced.
    #[error("the body ended {missing} bytes early")]
    TooShort { missing: u64 },
    /// The client sent more bytes than it announced.
    #[error("the body is longer than announced")]
    TooLong,
    /// The aws-chunked framing or one of its signatures is wrong.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// The body is not the one whose checksums were sent.
    #[error(transparent)]
    Checksum(#[from] ChecksumError),
    /// The format could not take it.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// What the store returned is not what was sealed.
    #[error("{what}")]
    Tampered {
        /// What gave it away.
        what: Tampered,
        /// The version of the key under whose lease that showed, once there was one.
        version: Option<KeyVersion>,
    },
    /// A segment's envelope was not made by this fleet for this tenant.
    #[error(transparent)]
    NotOurs(NotOurs),
    /// What the store returned is no sealed object's header.
    #[error("not a sealed object: {0}")]
    Unsealed(#[from] Malformed),
    /// The file in a form is not what its form or its policy has it.
    #[error(transparent)]
    Form(FormFault),
    /// The store's connection broke.
    #[error("the store's connection broke")]
    StoreGone,
}

/// What is wrong with the file in a form that a browser posts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormFault {
    /// The form ends before the file does.
    #[error("the form is malformed")]
    Malformed,
    /// In bytes, by the policy.
    #[error("the file has fewer than {least} bytes")]
    TooSmall { least: u64 },
    /// In bytes, by the policy.
    #[error("the file has more than {most} bytes")]
    TooLarge { most: u64 },
}

impl From<UseError> for Fault {
    fn from(error: UseError) -> Self {
        match error {
            UseError::Ended(refusal) => Self::Ended(refusal),
            UseError::Seal(error) => Self::Seal(error),
            UseError::Tampered { what, version } => Self::Tampered {
                what,
                version: Some(version),
            },
        }
    }
}

impl From<Tampered> for Fault {
    fn from(what: Tampered) -> Self {
        Self::Tampered { what, version: None }
    }
}

impl Fault {
    /// As it showed under a lease of this version of the key.
    #[must_use]
    pub fn under(self, version: KeyVersion) -> Self {
        match self {
            Self::Tampered { what, version: None } => Self::Tampered {
                what,
                version: Some(version),
            },
            other => other,
        }
    }

    /// The version of the key that was at hand, if one was.
    pub fn version(&self) -> Option<KeyVersion> {
        match self {
            Self::Ended(refused) => refused.version,
            Self::Tampered { version, .. } => *version,
            Self::NotOurs(what) => what.version(),
            Self::ClientGone
            | Self::ClientSilent
            | Self::TooShort { .. }
            | Self::TooLong
            | Self::Framing(_)
            | Self::Checksum(_)
            | Self::Seal(_)
            | Self::Unsealed(_)
            | Self::Form(_)
            | Self::StoreGone => None,
        }
    }
}

/// Where a body leaves its reason.
#[derive(Clone, Debug, Default)]
pub struct FaultSlot(Arc<OnceLock<Fault>>);

impl FaultSlot {
    /// Leaves the reason; the first one stands. Returns what a transport is told: that there is an end, and nothing of why.
    pub fn leave(&self, fault: Fault) -> io::Error {
        let _ = self.0.set(fault);
        io::Error::new(io::ErrorKind::ConnectionAborted, "the body was cut")
    }

    /// The reason, if the body stopped.
    pub fn take(&self) -> Option<Fault> {
        self.0.get().cloned()
    }
}
