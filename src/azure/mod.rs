//! The Azure Blob dialect: who asks ([`auth`]), what for ([`operation`]), and each operation's way to the store and back.

pub mod account;
pub mod address;
pub mod append;
pub mod auth;
pub mod batch;
pub mod block;
pub mod block_id;
pub mod checks;
pub mod commit;
pub mod condition;
pub mod control;
pub mod copy;
pub mod cors;
pub mod delegation;
pub mod describe;
pub mod error;
pub mod exchange;
pub mod headers;
pub mod list;
pub mod metadata;
pub mod operation;
pub mod policy;
pub mod put;
pub mod range;
pub mod read;
pub mod xml;
