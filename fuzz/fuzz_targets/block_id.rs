//! See `portcullis::seal::fuzz::block_id`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis::seal::fuzz::block_id(data));
