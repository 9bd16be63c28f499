//! What is asked: method, address and query as one [`Operation`]. Nobody has thought about what is not named here, so it is
//! refused: never plaintext to the store, never sealed bytes to a client.

use http::{HeaderMap, Method};

use crate::azure::address::Address;
use crate::azure::error::AzureError;
use crate::tenant::Within;

/// An operation that the gate knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    // Of the account.
    ListContainers,
    GetServiceProperties,
    SetServiceProperties,
    GetServiceStats,
    GetAccountInformation,
    GetUserDelegationKey,
    FindBlobsByTags,
    Batch,
    // Of a container.
    CreateContainer,
    GetContainerProperties,
    SetContainerMetadata,
    GetContainerAcl,
    SetContainerAcl,
    LeaseContainer,
    BreakContainerLease,
    DeleteContainer,
    RestoreContainer,
    ListBlobs,
    FindBlobsInContainer,
    // Of a blob.
    PutBlob,
    PutBlobFromUrl,
    CreateAppendBlob,
    GetBlob,
    GetBlobProperties,
    GetBlobMetadata,
    SetBlobProperties,
    SetBlobMetadata,
    SnapshotBlob,
    LeaseBlob,
    BreakBlobLease,
    DeleteBlob,
    UndeleteBlob,
    CopyBlob,
    AbortCopyBlob,
    PutBlock,
    PutBlockFromUrl,
    PutBlockList,
    GetBlockList,
    AppendBlock,
    AppendBlockFromUrl,
    SealAppendBlob,
    SetBlobTier,
    SetBlobTags,
    GetBlobTags,
    SetBlobExpiry,
    SetImmutabilityPolicy,
    DeleteImmutabilityPolicy,
    SetLegalHold,
}

use Operation as Op;

/// What a request is about, by its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Account,
    Container,
    Blob,
}

/// Query parameters of any request. `api-version` stands for `x-ms-version` where there is no such header.
const ALWAYS: &[&str] = &["comp", "restype", "timeout", "api-version"];
/// Those of a SAS, which is the gate's to check and not the store's.
const SAS: &[&str] = &[
    "sv", "ss", "srt", "sp", "st", "se", "sip", "spr", "sig", "sr", "si", "ses", "sdd", "skoid", "sktid", "skt", "ske",
    "sks", "skv", "saoid", "suoid", "scid", "skdutid", "sduoid", "srh", "srq", "rscc", "rscd", "rsce", "rscl", "rsct",
];

impl Operation {
    /// Names the operation, or refuses it.
    ///
    /// # Errors
    /// What is not known, or what encryption makes impossible.
    pub fn of(method: &Method, address: &Address, headers: &HeaderMap) -> Result<Self, AzureError> {
        let comp = address.parameter("comp").unwrap_or("");
        let restype = address.parameter("restype").unwrap_or("");
        let operation = match Level::of(address) {
            Level::Account => of_account(method, comp, restype),
            Level::Container => of_container(method, comp, restype, headers),
            Level::Blob => of_blob(method, comp, restype, headers),
        }?;
        let known = |name: &str| {
            let is = |known: &&str| known.eq_ignore_ascii_case(name);
            ALWAYS.iter().any(&is) || is_sas(name) || operation.parameters().iter().any(is)
        };
        if let Some((name, _)) = address.query.iter().find(|(name, _)| !known(name)) {
            return Err(AzureError::UnsupportedQuery { name: name.clone() });
        }
        // Of two the store might heed the one that the gate does not look at.
        let again = |(at, (name, _)): (usize, &(String, String))| {
            let before = address.query.iter().take(at);
            before.into_iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
        };
        if address.query.iter().enumerate().any(again) {
            return Err(AzureError::InvalidUri);
        }
        if address.secondary && !matches!(*method, Method::GET | Method::HEAD) {
            return Err(AzureError::UnsupportedVerb);
        }
        Ok(operation)
    }

    /// What of a container it is about: a blob, those that it lists, or the container itself.
    pub fn within(self, address: &Address) -> Within<'_> {
        match (Level::of(address), self) {
            (Level::Blob, _) => Within::Key(&address.blob),
            (_, Self::ListBlobs) => Within::Key(address.parameter("prefix").unwrap_or("")),
            (Level::Account | Level::Container, _) => Within::Itself,
        }
    }

    /// The name that logs, metrics and audit know it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::ListContainers => "ListContainers",
            Self::GetServiceProperties => "GetServiceProperties",
            Self::SetServiceProperties => "SetServiceProperties",
            Self::GetServiceStats => "GetServiceStats",
            Self::GetAccountInformation => "GetAccountInformation",
            Self::GetUserDelegationKey => "GetUserDelegationKey",
            Self::FindBlobsByTags => "FindBlobsByTags",
            Self::Batch => "Batch",
            Self::CreateContainer => "CreateContainer",
            Self::GetContainerProperties => "GetContainerProperties",
            Self::SetContainerMetadata => "SetContainerMetadata",
            Self::GetContainerAcl => "GetContainerAcl",
            Self::SetContainerAcl => "SetContainerAcl",
            Self::LeaseContainer => "LeaseContainer",
            Self::BreakContainerLease => "BreakContainerLease",
            Self::DeleteContainer => "DeleteContainer",
            Self::RestoreContainer => "RestoreContainer",
            Self::ListBlobs => "ListBlobs",
            Self::FindBlobsInContainer => "FindBlobsInContainer",
            Self::PutBlob => "PutBlob",
            Self::PutBlobFromUrl => "PutBlobFromUrl",
            Self::CreateAppendBlob => "CreateAppendBlob",
            Self::GetBlob => "GetBlob",
            Self::GetBlobProperties => "GetBlobProperties",
            Self::GetBlobMetadata => "GetBlobMetadata",
            Self::SetBlobProperties => "SetBlobProperties",
            Self::SetBlobMetadata => "SetBlobMetadata",
            Self::SnapshotBlob => "SnapshotBlob",
            Self::LeaseBlob => "LeaseBlob",
            Self::BreakBlobLease => "BreakBlobLease",
            Self::DeleteBlob => "DeleteBlob",
            Self::UndeleteBlob => "UndeleteBlob",
            Self::CopyBlob => "CopyBlob",
            Self::AbortCopyBlob => "AbortCopyBlob",
            Self::PutBlock => "PutBlock",
            Self::PutBlockFromUrl => "PutBlockFromUrl",
            Self::PutBlockList => "PutBlockList",
            Self::GetBlockList => "GetBlockList",
            Self::AppendBlock => "AppendBlock",
            Self::AppendBlockFromUrl => "AppendBlockFromUrl",
            Self::SealAppendBlob => "SealAppendBlob",
            Self::SetBlobTier => "SetBlobTier",
            Self::SetBlobTags => "SetBlobTags",
            Self::GetBlobTags => "GetBlobTags",
            Self::SetBlobExpiry => "SetBlobExpiry",
            Self::SetImmutabilityPolicy => "SetImmutabilityPolicy",
            Self::DeleteImmutabilityPolicy => "DeleteImmutabilityPolicy",
            Self::SetLegalHold => "SetLegalHold",
        }
    }

    /// The query parameters that it knows, besides those of any request.
    fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::ListContainers => &["prefix", "marker", "maxresults", "include"],
            Self::ListBlobs => &[
                "prefix",
                "delimiter",
                "marker",
                "maxresults",
                "include",
                "showonly",
                "startfrom",
            ],
            Self::FindBlobsByTags | Self::FindBlobsInContainer => &["where", "marker", "maxresults", "include"],
            Self::GetBlob | Self::GetBlobProperties | Self::GetBlobMetadata | Self::GetBlobTags => {
                &["snapshot", "versionid"]
            }
            Self::DeleteBlob => &["snapshot", "versionid", "deletetype"],
            Self::SetBlobTier | Self::SetBlobTags => &["snapshot", "versionid"],
            Self::SetImmutabilityPolicy | Self::DeleteImmutabilityPolicy | Self::SetLegalHold => {
                &["snapshot", "versionid"]
            }
            Self::PutBlock | Self::PutBlockFromUrl => &["blockid"],
            Self::GetBlockList => &["blocklisttype", "snapshot"],
            Self::AbortCopyBlob => &["copyid"],
            Self::GetServiceProperties
            | Self::SetServiceProperties
            | Self::GetServiceStats
            | Self::GetAccountInformation
            | Self::GetUserDelegationKey
            | Self::Batch
            | Self::CreateContainer
            | Self::GetContainerProperties
            | Self::SetContainerMetadata
            | Self::GetContainerAcl
            | Self::SetContainerAcl
            | Self::LeaseContainer
            | Self::BreakContainerLease
            | Self::DeleteContainer
            | Self::RestoreContainer
            | Self::PutBlob
            | Self::PutBlobFromUrl
            | Self::CreateAppendBlob
            | Self::SetBlobProperties
            | Self::SetBlobMetadata
            | Self::SnapshotBlob
            | Self::LeaseBlob
            | Self::BreakBlobLease
            | Self::UndeleteBlob
            | Self::CopyBlob
            | Self::PutBlockList
            | Self::AppendBlock
            | Self::AppendBlockFromUrl
            | Self::SealAppendBlob
            | Self::SetBlobExpiry => &[],
        }
    }
}

impl Level {
    /// The level of an address.
    pub fn of(address: &Address) -> Self {
        match (address.container.is_empty(), address.blob.is_empty()) {
            (true, _) => Self::Account,
            (false, true) => Self::Container,
            (false, false) => Self::Blob,
        }
    }
}

/// Whether a query parameter belongs to a SAS.
pub fn is_sas(name: &str) -> bool {
    SAS.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn of_account(method: &Method, comp: &str, restype: &str) -> Result<Op, AzureError> {
    Ok(match (method.as_str(), restype, comp) {
        ("GET", "", "list") => Op::ListContainers,
        ("GET", "service", "properties") => Op::GetServiceProperties,
        ("PUT", "service", "properties") => Op::SetServiceProperties,
        ("GET", "service", "stats") => Op::GetServiceStats,
        ("GET" | "HEAD", "account", "properties") => Op::GetAccountInformation,
        ("POST", "service", "userdelegationkey") => Op::GetUserDelegationKey,
        ("GET", "" | "service", "blobs") => Op::FindBlobsByTags,
        // The SDK for JavaScript takes an account in the path for a container. No store sees a batch: each request in it is asked for
        // itself.
        ("POST", "" | "service" | "container", "batch") => Op::Batch,
        (_, _, comp) => return Err(unknown(comp)),
    })
}

fn of_container(method: &Method, comp: &str, restype: &str, headers: &HeaderMap) -> Result<Op, AzureError> {
    if restype == "account" && comp == "properties" {
        return Ok(Op::GetAccountInformation);
    }
    // Without it the store would take the container's name for that of a blob in the container `$root`.
    if restype != "container" {
        return Err(unknown(comp));
    }
    Ok(match (method.as_str(), comp) {
        ("PUT", "") => Op::CreateContainer,
        ("GET" | "HEAD", "" | "metadata") => Op::GetContainerProperties,
        ("DELETE", "") => Op::DeleteContainer,
        ("PUT", "metadata") => Op::SetContainerMetadata,
        ("GET" | "HEAD", "acl") => Op::GetContainerAcl,
        ("PUT", "acl") => Op::SetContainerAcl,
        ("PUT", "lease") if breaks(headers) => Op::BreakContainerLease,
        ("PUT", "lease") => Op::LeaseContainer,
        ("PUT", "undelete") => Op::RestoreContainer,
        ("GET", "list") => Op::ListBlobs,
        ("GET", "blobs") => Op::FindBlobsInContainer,
        ("POST", "batch") => Op::Batch,
        (_, comp) => return Err(unknown(comp)),
    })
}

/// Whether a lease is to be broken, which whoever may delete may do too. Spelt as the store would read it, and as nothing else.
fn breaks(headers: &HeaderMap) -> bool {
    let mut actions = headers.get_all("x-ms-lease-action").iter();
    actions.next().is_some_and(|action| action == "break") && actions.next().is_none()
}

fn of_blob(method: &Method, comp: &str, restype: &str, headers: &HeaderMap) -> Result<Op, AzureError> {
    // It would go along, and the store might do to the container what was permitted of the blob.
    match (method.as_str(), restype, comp) {
        (_, "", _) => {}
        ("GET" | "HEAD", "account", "properties") => return Ok(Op::GetAccountInformation),
        (_, _, _) => return Err(AzureError::UnsupportedQuery { name: "restype".into() }),
    }
    let copies = headers.contains_key("x-ms-copy-source");
    Ok(match (method.as_str(), comp) {
        ("GET", "") => Op::GetBlob,
        ("HEAD", "") => Op::GetBlobProperties,
        ("DELETE", "") => Op::DeleteBlob,
        ("PUT", "") => {
            let kind = headers.get("x-ms-blob-type").map(http::HeaderValue::as_bytes);
            match (kind, copies) {
                (None, true) => Op::CopyBlob,
                (Some(b"BlockBlob"), true) => Op::PutBlobFromUrl,
                (Some(b"BlockBlob"), false) => Op::PutBlob,
                (Some(b"AppendBlob"), false) => Op::CreateAppendBlob,
                // 512-byte pages leave no room for a tag.
                (Some(b"PageBlob"), _) => {
                    return Err(AzureError::UnsupportedHeader {
                        what: "x-ms-blob-type: PageBlob; pages can't be sealed".into(),
                    });
                }
                (None, false) => return Err(AzureError::MissingHeader { name: "x-ms-blob-type" }),
                (Some(_), _) => return Err(AzureError::InvalidHeader { name: "x-ms-blob-type" }),
            }
        }
        ("GET" | "HEAD", "metadata") => Op::GetBlobMetadata,
        ("PUT", "metadata") => Op::SetBlobMetadata,
        ("PUT", "properties") => Op::SetBlobProperties,
        ("PUT", "snapshot") => Op::SnapshotBlob,
        ("PUT", "lease") if breaks(headers) => Op::BreakBlobLease,
        ("PUT", "lease") => Op::LeaseBlob,
        ("PUT", "undelete") => Op::UndeleteBlob,
        ("PUT", "copy") => Op::AbortCopyBlob,
        ("PUT", "block") if copies => Op::PutBlockFromUrl,
        ("PUT", "block") => Op::PutBlock,
        ("PUT", "blocklist") => Op::PutBlockList,
        ("GET", "blocklist") => Op::GetBlockList,
        ("PUT", "appendblock") if copies => Op::AppendBlockFromUrl,
        ("PUT", "appendblock") => Op::AppendBlock,
        ("PUT", "seal") => Op::SealAppendBlob,
        ("PUT", "tier") => Op::SetBlobTier,
        ("PUT", "tags") => Op::SetBlobTags,
        ("GET", "tags") => Op::GetBlobTags,
        ("PUT", "expiry") => Op::SetBlobExpiry,
        ("PUT", "immutabilityPolicies") => Op::SetImmutabilityPolicy,
        ("DELETE", "immutabilityPolicies") => Op::DeleteImmutabilityPolicy,
        ("PUT", "legalhold") => Op::SetLegalHold,
        (_, comp) => return Err(unknown(comp)),
    })
}

fn unknown(comp: &str) -> AzureError {
    if comp.is_empty() {
        AzureError::UnsupportedVerb
    } else {
        // Query (`comp=query`), pages (`comp=page`, `pagelist`, `incrementalcopy`) and what is not known yet.
        AzureError::UnsupportedQuery {
            name: format!("comp={comp}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::account::tests::accounts;

    fn of(method: &str, target: &str, headers: &[(&str, &str)]) -> Result<Op, AzureError> {
        let mut request = http::Request::builder().method(method).uri(format!("/acme{target}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Op::of(&parts.method, &Address::of(&parts, &accounts())?, &parts.headers)
    }

    #[test]
    fn operations_are_told_apart() {
        let copy = ("x-ms-copy-source", "http://x/c/b");
        let block = ("x-ms-blob-type", "BlockBlob");
        for (method, target, headers, operation) in [
            ("GET", "/?comp=list", &[][..], Op::ListContainers),
            ("GET", "/c?restype=container&comp=list&prefix=x", &[], Op::ListBlobs),
            ("PUT", "/c?restype=container", &[], Op::CreateContainer),
            ("POST", "/?comp=batch", &[], Op::Batch),
            ("POST", "/?comp=batch&restype=container", &[], Op::Batch),
            ("POST", "/c?restype=container&comp=batch", &[], Op::Batch),
            ("GET", "/c/b?snapshot=x&timeout=3", &[], Op::GetBlob),
            ("GET", "/c/b?sv=x&sig=y&sr=b", &[], Op::GetBlob),
            ("PUT", "/c/b", &[block], Op::PutBlob),
            ("PUT", "/c/b", &[block, copy], Op::PutBlobFromUrl),
            ("PUT", "/c/b", &[copy], Op::CopyBlob),
            ("PUT", "/c/b", &[("x-ms-blob-type", "AppendBlob")], Op::CreateAppendBlob),
            ("PUT", "/c/b?comp=block&blockid=eA%3D%3D", &[], Op::PutBlock),
            ("PUT", "/c/b?comp=block&blockid=eA%3D%3D", &[copy], Op::PutBlockFromUrl),
            ("HEAD", "/c/b", &[], Op::GetBlobProperties),
        ] {
            assert_eq!(of(method, target, headers).ok(), Some(operation), "{method} {target}");
        }
    }

    #[test]
    fn what_nobody_thought_about_is_refused() {
        for (method, target, headers) in [
            ("POST", "/c/b?comp=query", &[][..]),
            ("PUT", "/c/b?comp=page", &[]),
            ("GET", "/c/b?comp=pagelist", &[]),
            ("PUT", "/c/b?comp=incrementalcopy", &[]),
            ("PUT", "/c/b", &[("x-ms-blob-type", "PageBlob")]),
            ("PUT", "/c/b", &[]),
            ("PATCH", "/c/b?action=append", &[]),
            ("PUT", "/c/b?resource=file", &[("x-ms-blob-type", "BlockBlob")]),
            ("GET", "/c/b?unknown=1", &[]),
            // What the store could read otherwise than the gate does.
            ("DELETE", "/c/b?restype=container", &[]),
            ("DELETE", "/c/", &[]),
            ("PUT", "/c/b?comp=tags&comp=block", &[]),
            ("GET", "/c/b?comp=tags&Comp=block", &[]),
            ("PUT", "-secondary/c/b", &[("x-ms-blob-type", "BlockBlob")]),
        ] {
            assert!(of(method, target, headers).is_err(), "{method} {target}");
        }
    }
}
