//! Portcullis: a transparent encrypting storage proxy. The crate's map, in reading order.

pub mod s3;

pub mod body;
pub mod tenant;
pub mod upstream;

pub mod keys;
pub mod seal;
pub mod telemetry;
