//! What happens to bytes on their way: checked and sealed towards the store, opened and checked towards the client. Constant
//! memory: one chunk a stream.

pub mod aws_chunked;
pub mod checksum;
mod fault;
mod open;
mod seal;
mod upload;

pub use fault::{Fault, FaultSlot};
pub use open::{Opening, Stored};
pub use seal::{Pieces, Plaintext, SealedBody};
pub use upload::{Held, Upload};
