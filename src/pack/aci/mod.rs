//! App Container Images: a tar of `manifest` and `rootfs/…`.

mod manifest;
mod read;
mod whole;
mod write;

pub use crate::pack::WriteOptions;
pub use manifest::{DEFAULT_NAME, Dependency, Manifest, NameValue, is_image_name};
pub(super) use read::read_files;
pub use read::{Entry, Kind, Summary, read, read_file};
pub(super) use whole::Contents;
pub use whole::Whole;
pub use write::write;
pub(super) use write::{begin, packed, shape};
