//! What `portcullis dev` and the tests run instead of the cloud: a directory store that speaks S3, an authority for loopback
//! certificates, a stand-in for managed identity, Entra and Key Vault, and one for CipherTrust Manager.

pub mod authority;
pub mod azurite;
pub mod cckm;
pub mod files;
pub mod standin;
pub mod store;
