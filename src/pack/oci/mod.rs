//! OCI images (image specification 1.0) of one layer, in OCI's layout: a
//! folder, or an archive of one.
//!
//! ```text
//! oci-layout, index.json      what tells that it is one, and what is in it
//! blobs/sha256/<digest>       manifest, configuration and layer
//! ```
//!
//! The image's id is its configuration's digest, as docker and podman show
//! it: of the uncompressed layer, whatever that is compressed with.

mod documents;
mod layout;
mod said;
mod write;

pub use documents::About;
pub use layout::{MARK, NAMES, layer_of, unpack};
pub use said::Said;
pub(super) use write::{begin, finish, shape};
