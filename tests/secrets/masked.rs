//! Bytes that the tests keep, and that must not be found for it: XORed with a mask of their own.

use std::sync::LazyLock;

use zeroize::{Zeroize, Zeroizing};

static MASK: LazyLock<[u8; 61]> = LazyLock::new(|| {
    let mut mask = [0; 61];
    aws_lc_rs::rand::fill(&mut mask).unwrap();
    mask
});

/// Text that only grows.
#[derive(Clone, Default)]
pub struct Masked(Vec<u8>);

impl Masked {
    pub fn add(&mut self, bytes: &[u8]) {
        let from = self.0.len();
        let masks = MASK.iter().cycle().skip(from % MASK.len());
        self.0.extend(bytes.iter().zip(masks).map(|(a, b)| a ^ b));
    }

    pub fn of(text: &str) -> Self {
        let mut masked = Self::default();
        masked.add(text.as_bytes());
        masked
    }

    /// As it was, until it is dropped.
    pub fn shown(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.iter().zip(MASK.iter().cycle()).map(|(a, b)| a ^ b).collect())
    }

    pub fn holds(&self, words: &[u8]) -> bool {
        self.shown().windows(words.len()).any(|window| window == words)
    }

    /// What stands behind each of these labels, so many bytes.
    pub fn after(&self, label: &[u8], length: usize) -> Vec<Self> {
        let shown = self.shown();
        let places = shown.windows(label.len()).enumerate();
        let found = places
            .filter(|(_, window)| *window == label)
            .filter_map(|(at, _)| shown.get(at + label.len()..at + label.len() + length));
        found
            .map(|found| {
                let mut masked = Self::default();
                masked.add(found);
                masked
            })
            .collect()
    }
}

/// A block read from a connection, wiped once it was passed on: the thread that reads goes on with the same one.
pub fn forget(block: &mut [u8]) {
    block.zeroize();
}
