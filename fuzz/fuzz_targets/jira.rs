//! Fuzzes `contextcore_fuzz::jira`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| contextcore_fuzz::jira::run(input));
