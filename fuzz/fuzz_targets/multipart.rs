//! See `portcullis::seal::fuzz::multipart`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| portcullis::seal::fuzz::multipart(data));
