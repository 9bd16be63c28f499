//! What `portcullis dev` and the tests run instead of the cloud: a directory store that speaks S3, an authority for loopback
//! certificates, and a stand-in for managed identity, Entra and Key Vault.

pub mod authority;
pub mod azurite;
pub mod files;
pub mod standin;
pub mod store;
