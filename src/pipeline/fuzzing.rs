//! What is tried with what images say of themselves. See [`crate::fuzzing`].

use super::run::kernel::fuzzing::is_vmlinux;
use super::verify::checks::{is_static, origin};

/// An image's `provenance.json`, for people who read it on a terminal.
pub fn provenance(bytes: &[u8]) {
    let Ok(found) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    let origin = origin(&found);
    assert!(!origin.is_empty());
    if let Ok(source) = serde_json::from_value::<crate::source::Provenance>(found["source"].clone())
    {
        let written = serde_json::to_value(&source).ok();
        let again = written.and_then(|value| serde_json::from_value(value).ok());
        assert_eq!(again, Some(source));
    }
}

/// A program or kernel of other people's.
pub(crate) fn program(bytes: &[u8]) {
    assert!(!is_static(bytes) || bytes.starts_with(b"\x7fELF"));
    assert!(!is_vmlinux(bytes) || bytes.len() >= 20);
}
