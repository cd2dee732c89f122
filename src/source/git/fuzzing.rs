//! What is tried with what repositories say. See [`crate::fuzzing`].

use super::{reference, tag};
use crate::fuzzing::texts;

/// What `git ls-remote` lists, which of it is meant, and a tag's object.
pub fn git(bytes: &[u8]) {
    let [listed, meant, object] = texts(bytes);
    reference::fuzzing::listed(&listed, &meant);
    tag::fuzzing::object(&object);
}
