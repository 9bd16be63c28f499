//! What other modules report, as an error of Azure's. The matches name every variant, so that a new one asks for a decision.

use crate::azure::auth::AuthError;
use crate::azure::error::AzureError;
use crate::body::Fault;
use crate::keys::{KeyRefusal, NotOurs, OpenError, UseError};
use crate::tenant::Denied;
use crate::upstream::StoreError;

impl From<KeyRefusal> for AzureError {
    fn from(refusal: KeyRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Denied> for AzureError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::UnknownContainer => Self::UnknownContainer,
            Denied::OtherTenant | Denied::OutsidePrefix | Denied::NotAnonymous => AuthError::NotThisAccount.into(),
        }
    }
}

impl From<OpenError> for AzureError {
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

impl From<UseError> for AzureError {
    fn from(error: UseError) -> Self {
        match error {
            UseError::Ended(refusal) => Self::Refused(refusal),
            UseError::Tampered { what, version } => Self::Tampered {
                what: what.to_string(),
                version: Some(version),
            },
            UseError::Seal(error) => Self::Body(error.into()),
        }
    }
}

impl From<StoreError> for AzureError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unreachable | StoreError::Timeout | StoreError::Unspeakable | StoreError::Hasty => {
                Self::StoreFailed
            }
        }
    }
}

impl From<Fault> for AzureError {
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
            | Fault::Form(_)
            | Fault::Checksum(_)
            | Fault::Seal(_) => Self::Body(fault),
        }
    }
}
