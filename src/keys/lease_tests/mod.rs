//! What the lease promises, told one behaviour a test, under virtual time.

mod budget;
mod cold;
mod identity;
mod refusals;
mod rewrap;
mod rotation;
mod warm;
mod world;
