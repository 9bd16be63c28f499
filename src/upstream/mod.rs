//! The real store: a pooled client that signs what it sends, and takes nothing but sealed bodies and the gate's own documents.

mod answer;
mod azure;
mod body;
mod dialect;
mod expect;
mod keyring;
mod probe;
mod recent;
mod redirect;
pub mod shared_key;
pub mod sigv4;
mod store;
mod trailer;
mod window;

pub use answer::{collect, text_of};
pub use azure::{AzureCall, AzureCredential, AzureOptions, AzureStore, InvalidSas, StoreSas, http_date, parameters};
pub use body::StoreBody;
pub use dialect::{Addressing, ConditionalWrites, Dialect, Payload, Provider};
pub use keyring::StoreKeyring;
pub use probe::{Heeded, Write};
pub use recent::{Recent, apart};
pub use store::{Call, Caller, Store, StoreError, StoreOptions};
