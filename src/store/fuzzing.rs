//! What is tried with the store's records. See [`crate::fuzzing`].

use super::{Record, SourceStamp};
use crate::fuzzing::record;

/// Records of this room.
pub(crate) fn records(bytes: &[u8]) {
    record::<Record>(bytes);
    record::<SourceStamp>(bytes);
    super::placed::fuzzing::records(bytes);
}
