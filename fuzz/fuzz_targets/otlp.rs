//! Fuzzes `contextcore_fuzz::otlp`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| contextcore_fuzz::otlp::run(input));
