//! The integration tests: one binary, one file a subject.
// A panic is how a test fails; clippy's own exception covers only the test functions, not what they share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod azure;
mod cckm;
mod check;
mod copy;
mod deploy;
mod dev;
mod forgery;
mod identities;
mod layering;
mod listener;
mod multipart;
mod reading;
mod revocation;
mod rotation;
mod standin;
mod store;
mod tenants;
mod vault;
mod world;
mod writing;
