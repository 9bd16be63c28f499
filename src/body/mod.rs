//! What happens to bytes on their way: checked and sealed towards the store, opened and checked towards the client. Constant
//! memory: one chunk a stream.

mod appended;
pub mod aws_chunked;
mod buffer;
pub mod checksum;
mod crowd;
mod fault;
mod open;
mod plaintext;
mod seal;
mod segments;
mod stored;
pub mod structured;
mod tail;
mod upload;

pub use appended::Appended;
pub use crowd::{Download, Gone, MANY, alone, is_crowded};
pub use fault::{Fault, FaultSlot, FormFault};
pub use open::Opening;
pub use plaintext::Plaintext;
pub use seal::{Pieces, SealedBody};
pub use segments::Segments;
pub use stored::Stored;
pub use tail::Waiting;
pub use upload::{Framed, Held, Upload};
