//! The S3 dialect: who asks ([`auth`]), what for ([`operation`]), and each operation's way to the store and back.

pub mod address;
pub mod attributes;
pub mod auth;
pub mod bucket;
pub mod copy;
pub mod cors;
pub mod error;
pub mod etag;
pub mod exchange;
pub mod headers;
pub mod host;
pub mod layouts;
pub mod list;
pub mod multipart;
pub mod object;
pub mod operation;
pub mod pass;
pub mod passed;
pub mod post;
pub mod put;
pub mod range;
pub mod read;
