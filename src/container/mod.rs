//! Container images.

mod squashfs;
mod tree;
