//! Portcullis: a transparent encrypting storage proxy. The crate's map, in reading order: start with [`gateway`], which
//! takes one request from top to bottom, and follow it down. `ARCHITECTURE.md` names what must always be true.

pub mod gateway;

pub mod admin;
pub mod listener;

pub mod s3;

pub mod body;
pub mod tenant;
pub mod upstream;

pub mod keys;
pub mod seal;
pub mod telemetry;

pub mod config;
pub mod dev;

pub mod commands;
