//! What other modules report, as an error of S3's. The matches name every variant, so that a new one asks for a decision.

use crate::body::Fault;
use crate::keys::{KeyRefusal, NotOurs, OpenError};
use crate::s3::error::S3Error;
use crate::upstream::StoreError;

impl From<KeyRefusal> for S3Error {
    fn from(refusal: KeyRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<OpenError> for S3Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Refused(refusal) => Self::Refused(refusal),
            OpenError::NotOurs(what @ (NotOurs::Origin | NotOurs::Cmk | NotOurs::Envelope { .. })) => Self::Tampered {
                what: what.to_string(),
                version: what.version(),
            },
        }
    }
}

impl From<StoreError> for S3Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unreachable | StoreError::Timeout | StoreError::Unspeakable | StoreError::Hasty => {
                Self::StoreFailed
            }
        }
    }
}

impl From<Fault> for S3Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Ended(refusal) => Self::Refused(refusal),
            Fault::Tampered { what, version } => Self::Tampered {
                what: what.to_string(),
                version,
            },
            Fault::NotOurs(what) => OpenError::NotOurs(what).into(),
            Fault::Unsealed(_) => Self::Unsealed,
            Fault::StoreGone => Self::StoreFailed,
            Fault::ClientGone
            | Fault::ClientSilent
            | Fault::TooShort { .. }
            | Fault::TooLong
            | Fault::Framing(_)
            | Fault::Checksum(_)
            | Fault::Form(_)
            | Fault::Seal(_) => Self::Body(fault),
        }
    }
}
