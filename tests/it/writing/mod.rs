//! Writing through the gate: what is kept with an object, what is refused and when, and how stores are met that differ.

mod checksums;
mod configurations;
mod cors;
mod expect;
mod limits;
mod named_key;
mod pieces;
mod stores;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Headers of these pairs.
fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let header = |(name, value): &(&str, &str)| {
        let name: HeaderName = name.parse().unwrap();
        (name, HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(header).collect()
}

/// So many bytes that repeat at no round length.
fn plain(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| u8::try_from((at % 251) ^ (at / 65_521 % 4)).unwrap())
        .collect()
}
