//! See `portcullis::seal::fuzz::header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis::seal::fuzz::header(data));
