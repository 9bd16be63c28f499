//! See `portcullis::seal::fuzz::append`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis::seal::fuzz::append(data));
