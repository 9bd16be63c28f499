//! See `portcullis::seal::fuzz::whole`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis::seal::fuzz::whole(data));
