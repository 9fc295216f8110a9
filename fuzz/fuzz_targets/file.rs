//! Fuzzes `contextcore_fuzz::file`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| contextcore_fuzz::file::run(input));
