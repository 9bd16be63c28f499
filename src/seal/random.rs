//! Random bytes from the kernel. Not from a generator in this process: a virtual machine resumed twice from one
//! snapshot would repeat that one's output, and with it a salt, a key and every nonce under it.

use rustix::rand::{GetRandomFlags, getrandom};

/// The kernel gave no random bytes; nothing can be sealed.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("the kernel gave no random bytes")]
pub struct RandomError;

/// Fills `out` from getrandom(2), which neither blocks after boot nor returns short for 256 bytes or fewer.
pub(super) fn fill<const N: usize>(out: &mut [u8; N]) -> Result<(), RandomError> {
    const { assert!(N <= 256, "getrandom(2) is whole and uninterrupted to 256 bytes only") };
    loop {
        match getrandom(out.as_mut_slice(), GetRandomFlags::empty()) {
            Ok(filled) if filled == N => return Ok(()),
            // Only before the kernel's pool is first ready, early in boot, can a signal interrupt so short a request.
            Err(rustix::io::Errno::INTR) => {}
            Ok(_) | Err(_) => return Err(RandomError),
        }
    }
}
