//! source

pub mod decompress;
