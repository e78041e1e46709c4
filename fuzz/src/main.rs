//! The fuzzer's entry: see the library.

#![no_main]

libfuzzer_sys::fuzz_target!(init: engine_fuzz::start(), |input: &[u8]| engine_fuzz::run(input));
