//! What is tried with kernels of other people's. See [`crate::fuzzing`].

use std::io::Cursor;

use super::kernel_image::{REBOOT_TEXT, own_config, release_in, restarts};

/// A bzImage, or a kernel that was packed in one.
pub(crate) fn kernel(bytes: &[u8]) {
    if let Ok(Some(release)) = release_in(Cursor::new(bytes)) {
        assert!(!release.is_empty() && !release.contains(['\0', ' ']) && release.len() < 256);
    }
    let needle = REBOOT_TEXT.as_bytes();
    let there = bytes.windows(needle.len()).any(|found| found == needle);
    assert_eq!(restarts(bytes).ok(), Some(there));
    if let Some(config) = own_config(bytes) {
        assert!(bytes.windows(8).any(|found| found == b"IKCFG_ST") && config.len() <= 16 << 20);
    }
}
