//! See `portcullis::seal::fuzz::table`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis::seal::fuzz::table(data));
