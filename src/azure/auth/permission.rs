//! Which permission of a SAS each operation needs.
//!
//! <https://learn.microsoft.com/rest/api/storageservices/create-account-sas> and `create-service-sas`: their tables of operations.

use crate::azure::operation::Operation as Op;

/// What a kind of SAS must have for an operation: the resource type (`srt`) and any one of the permissions (`sp`). None at all
/// means that this kind never permits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) resource: &'static str,
    pub(super) account: &'static str,
    pub(super) service: &'static str,
}

/// The tables, as one.
pub(super) fn needs(operation: Op) -> Needs {
    let (resource, account, service) = match operation {
        Op::ListContainers => ("s", "l", ""),
        Op::GetServiceProperties | Op::GetServiceStats => ("s", "r", ""),
        Op::SetServiceProperties => ("s", "w", ""),
        Op::GetAccountInformation => ("sco", "rwdlacup", "rwdlac"),
        Op::GetUserDelegationKey => ("s", "", ""),
        Op::FindBlobsByTags => ("o", "f", ""),
        Op::FindBlobsInContainer => ("c", "f", "f"),
        // Each request in it brings its own.
        Op::Batch => ("sco", "rwdlacuptfixy", "rwdlactfixy"),
        Op::CreateContainer => ("c", "cw", ""),
        Op::GetContainerProperties => ("c", "r", ""),
        Op::SetContainerMetadata | Op::LeaseContainer | Op::RestoreContainer => ("c", "w", ""),
        Op::GetContainerAcl | Op::SetContainerAcl => ("c", "", ""),
        Op::DeleteContainer => ("c", "d", ""),
        Op::ListBlobs => ("c", "l", "l"),
        Op::PutBlob | Op::PutBlobFromUrl | Op::CreateAppendBlob | Op::CopyBlob | Op::SnapshotBlob => ("o", "cw", "cw"),
        Op::GetBlob | Op::GetBlobProperties | Op::GetBlobMetadata | Op::GetBlockList => ("o", "r", "r"),
        Op::SetBlobProperties
        | Op::SetBlobMetadata
        | Op::AbortCopyBlob
        | Op::PutBlock
        | Op::PutBlockFromUrl
        | Op::PutBlockList
        | Op::SealAppendBlob
        | Op::SetBlobTier
        | Op::UndeleteBlob
        | Op::SetBlobExpiry => ("o", "w", "w"),
        Op::LeaseBlob => ("o", "wd", "wd"),
        Op::DeleteBlob => ("o", "dx", "dx"),
        Op::AppendBlock | Op::AppendBlockFromUrl => ("o", "aw", "aw"),
        Op::SetBlobTags | Op::GetBlobTags => ("o", "t", "t"),
        Op::SetImmutabilityPolicy | Op::DeleteImmutabilityPolicy | Op::SetLegalHold => ("o", "i", "i"),
    };
    Needs {
        resource,
        account,
        service,
    }
}

/// Whether an operation that `create` alone permits is one that may replace what is there: it may then not.
pub(super) fn overwrites(operation: Op) -> bool {
    matches!(
        operation,
        Op::PutBlob | Op::PutBlobFromUrl | Op::CreateAppendBlob | Op::CopyBlob
    )
}
