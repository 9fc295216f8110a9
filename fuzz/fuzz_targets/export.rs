//! Fuzzes `contextcore_fuzz::export`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| contextcore_fuzz::export::run(input));
