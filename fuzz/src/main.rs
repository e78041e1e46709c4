//! The fuzzer's entry: see the library.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::start(), |input: &[u8]| fuzz::run(input));
