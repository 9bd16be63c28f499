//! Key Vault's client as it meets the wire: the official SDK over canned answers, and the transport over real connections.

mod canned;
mod sdk;
mod transport;
