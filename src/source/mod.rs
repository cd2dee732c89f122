//! source

pub mod patch;
pub mod tree;
pub mod unpack;
