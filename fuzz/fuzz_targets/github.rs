//! Fuzzes `contextcore_fuzz::github`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| contextcore_fuzz::github::run(input));
