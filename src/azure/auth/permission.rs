//! Which permission of a SAS each operation needs, and which role of Entra's.
//!
//! <https://learn.microsoft.com/rest/api/storageservices/create-account-sas> and `create-service-sas`: their tables of operations.

use crate::azure::auth::Role;
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
        Op::BreakContainerLease => ("c", "wd", "d"),
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
        Op::LeaseBlob => ("o", "w", "w"),
        // "Delete" is enough to break a lease, and for nothing else about one.
        Op::BreakBlobLease => ("o", "wd", "wd"),
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

/// The least role that permits an operation; `None` where no role for blobs does, as the service has it: what is about the account is
/// for whoever manages it. <https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory>, its table of
/// permissions, and the built-in roles "Storage Blob Data Reader", "… Contributor" and "… Owner".
pub(super) fn role(operation: Op) -> Option<Role> {
    Some(match operation {
        Op::GetServiceProperties | Op::SetServiceProperties | Op::GetServiceStats => return None,
        Op::ListContainers
        | Op::GetAccountInformation
        | Op::GetUserDelegationKey
        // Each request in it brings its own.
        | Op::Batch
        | Op::GetContainerProperties
        | Op::ListBlobs
        | Op::GetBlob
        | Op::GetBlobProperties
        | Op::GetBlobMetadata
        | Op::GetBlockList => Role::Reader,
        Op::CreateContainer
        | Op::SetContainerMetadata
        | Op::LeaseContainer
        | Op::BreakContainerLease
        | Op::DeleteContainer
        | Op::RestoreContainer
        | Op::PutBlob
        | Op::PutBlobFromUrl
        | Op::CreateAppendBlob
        | Op::SetBlobProperties
        | Op::SetBlobMetadata
        | Op::SnapshotBlob
        | Op::LeaseBlob
        | Op::BreakBlobLease
        | Op::DeleteBlob
        | Op::UndeleteBlob
        | Op::CopyBlob
        | Op::AbortCopyBlob
        | Op::PutBlock
        | Op::PutBlockFromUrl
        | Op::PutBlockList
        | Op::AppendBlock
        | Op::AppendBlockFromUrl
        | Op::SealAppendBlob
        | Op::SetBlobTier
        | Op::SetBlobExpiry => Role::Contributor,
        Op::GetContainerAcl
        | Op::SetContainerAcl
        | Op::FindBlobsByTags
        | Op::FindBlobsInContainer
        | Op::SetBlobTags
        | Op::GetBlobTags
        | Op::SetImmutabilityPolicy
        | Op::DeleteImmutabilityPolicy
        | Op::SetLegalHold => Role::Owner,
    })
}

/// Whether an operation that `create` alone permits is one that may replace what is there: it may then not.
pub(super) fn overwrites(operation: Op) -> bool {
    matches!(
        operation,
        Op::PutBlob | Op::PutBlobFromUrl | Op::CreateAppendBlob | Op::CopyBlob
    )
}
