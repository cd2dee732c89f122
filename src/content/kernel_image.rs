//! Reading a finished kernel: what it says it is, and what is in it.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use fs_err as fs;

use super::Error;
use super::scan::{Needles, contains};

/// The release that a bzImage says it is, as `uname -r` will.
///
/// `Documentation/x86/boot.rst` of the kernel: `HdrS` at 0x202, and at 0x20e
/// the version text's place, less 0x200.
///
/// # Errors
/// When it can't be read or is no bzImage with a version.
pub fn release_of(image: &Path) -> Result<String, Error> {
    let not_an_image = || Error::NotAnImage { path: image.to_owned() };
    let mut file = fs::File::open(image).map_err(Error::Read)?;
    let mut header = [0; 0x210];
    file.read_exact(&mut header).map_err(|_| not_an_image())?;
    if &header[0x202..0x206] != b"HdrS" {
        return Err(not_an_image());
    }
    let place = u16::from_le_bytes([header[0x20e], header[0x20f]]);
    file.seek(SeekFrom::Start(u64::from(place) + 0x200)).map_err(Error::Read)?;
    let mut text = Vec::new();
    file.take(256).read_to_end(&mut text).map_err(Error::Read)?;
    let end = text.iter().position(|&byte| matches!(byte, 0 | b' ')).unwrap_or(0);
    match std::str::from_utf8(&text[..end]) {
        Ok(release) if place != 0 && !release.is_empty() => Ok(release.to_owned()),
        _ => Err(not_an_image()),
    }
}

/// Fails unless a bzImage says that it is `release`.
///
/// # Errors
/// When it can't be read, or says something else.
pub(super) fn check_release(image: &Path, release: &str) -> Result<(), Error> {
    let found = release_of(image)?;
    match found == release {
        true => Ok(()),
        false => Err(Error::Release { found, wanted: release.to_owned() }),
    }
}

/// What a kernel with rkt's reboot change says before it restarts
/// (`kernel/reboot.c`).
pub const REBOOT_TEXT: &str = "<rkt: obligatory restart>";

/// Fails unless the kernel restarts on `LINUX_REBOOT_CMD_HALT`, by the text
/// that the change brings along. A pod on another kernel would never end.
///
/// # Errors
/// When `vmlinux` can't be read or lacks the text.
pub(super) fn check_reboot(vmlinux: &Path) -> Result<(), Error> {
    let needles = Needles::new(&[REBOOT_TEXT]).map_err(Error::Needles)?;
    let file = fs::File::open(vmlinux).map_err(Error::Read)?;
    match contains(file, &needles).map_err(Error::Read)? {
        true => Ok(()),
        false => Err(Error::NoReboot),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shortest thing with a bzImage's header.
    fn image_saying(text: &str) -> Vec<u8> {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
        image[0x300..0x300 + text.len()].copy_from_slice(text.as_bytes());
        image
    }

    #[test]
    fn the_release_is_the_first_word() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("bzImage");
        fs::write(&image, image_saying("6.12.0-kinvolk-v1 (builder@host) #1 SMP")).unwrap();
        assert_eq!(release_of(&image).unwrap(), "6.12.0-kinvolk-v1");
        check_release(&image, "6.12.0-kinvolk-v1").unwrap();
        assert!(matches!(check_release(&image, "6.12-x"), Err(Error::Release { .. })));
    }

    #[test]
    fn damaged_images_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("bzImage");
        let mut no_version = image_saying("");
        no_version[0x20e] = 0xff;
        for bytes in [vec![], vec![0; 0x400], no_version, image_saying("")] {
            fs::write(&image, bytes).unwrap();
            assert!(matches!(release_of(&image), Err(Error::NotAnImage { .. })));
        }
    }
}
