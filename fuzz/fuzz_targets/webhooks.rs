//! Fuzzes `contextcore_fuzz::webhooks`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| contextcore_fuzz::webhooks::run(input));
