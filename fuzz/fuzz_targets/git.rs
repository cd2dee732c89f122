#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stage1_builder::fuzzing::git(bytes));
