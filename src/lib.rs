//! Portcullis: a transparent encrypting storage proxy. The crate's map, in reading order: start with [`gateway`], which
//! takes one request from top to bottom, and follow it down. `ARCHITECTURE.md` names what must always be true.

use tikv_jemallocator::Jemalloc;
use zeroizing_alloc::ZeroAlloc;

pub mod gateway;

pub mod admin;
pub mod listener;

pub mod azure;
pub mod s3;

pub mod body;
pub mod tenant;
pub mod upstream;

pub mod cckm;
pub mod keys;
pub mod seal;
pub mod telemetry;

pub mod config;
pub mod dev;

pub mod commands;

/// The allocator of everything that serves, which wipes what is freed. Secrets pass through buffers that are not ours to wipe:
/// rustls and hyper hold the vault's answers, with DEKs in them, and whatever clients read and write. It costs a memset for each
/// allocation, about a microsecond for a chunk.
///
/// A binary makes it its own (`#[global_allocator]`), not the library: what only links to the library may choose.
pub type Allocator = ZeroAlloc<Jemalloc>;

/// See [`Allocator`].
pub const ALLOCATOR: Allocator = ZeroAlloc(Jemalloc);
