//! What has been agreed with a tenant beyond its vault's own yes and no.

use crate::keys::lease::Lease;
use crate::keys::refusal::Revoked;
use crate::seal::KeyVersion;

/// What has been agreed with a tenant beyond the vault's own yes and no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// What a key's `exp` means to what is sealed already (`expired`).
    pub expired: Expired,
    /// What is left open when the customer has said no (`when_revoked`).
    pub when_revoked: WhenRevoked,
}

/// Which operations a customer's no forbids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenRevoked {
    /// All of them.
    #[default]
    Deny,
    /// Those that read or write objects. Who must still clean up may look at names and sizes, and delete.
    DenyData,
}

/// Whether an object opens under a key version that has expired. Nothing new is sealed under one in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expired {
    /// It does, as Key Vault itself unwraps.
    #[default]
    Allow,
    /// `exp` ends the version's lease like a no of the customer's.
    Deny,
}

/// Why an operation that reads and writes no object may be done.
pub enum CleanUp {
    /// The tenant's lease is live.
    Lease(Lease),
    /// The customer has said no, and the tenant's terms leave such operations open nevertheless.
    Revoked {
        /// Which no.
        no: Revoked,
        /// The version of the key that it is about, where it is about one.
        version: Option<KeyVersion>,
    },
}
