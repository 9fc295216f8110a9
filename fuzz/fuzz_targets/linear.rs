//! Fuzzes `contextcore_fuzz::linear`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| contextcore_fuzz::linear::run(input));
