//! The real store: a pooled client that signs what it sends, and takes nothing but sealed bodies and the gate's own documents.

mod body;
mod keyring;
pub mod sigv4;
mod store;

pub use body::StoreBody;
pub use keyring::StoreKeyring;
pub use store::{Addressing, Call, Caller, Store, StoreError, StoreOptions, collect};
