//! Reading a finished kernel: what it says it is, and what is in it.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use fs_err as fs;
use regex::bytes::Regex;

use super::Error;
use super::scan::{Needles, contains};

/// The release that a bzImage, or an Image of arm64, says it is, as
/// `uname -r` will.
///
/// `Documentation/x86/boot.rst` of the kernel: `HdrS` at 0x202, and at 0x20e
/// the version text's place, less 0x200. The header of an Image has no such
/// place; but its bytes are the kernel's, not compressed, its banner
/// (`init/version.c`) among them.
///
/// # Errors
/// When it can't be read or is neither, with a version.
pub fn release_of(image: &Path) -> Result<String, Error> {
    let file = fs::File::open(image).map_err(Error::Read)?;
    let release = release_in(file).map_err(Error::Read)?;
    release.ok_or_else(|| Error::NotAnImage { path: image.to_owned() })
}

/// The same of one that is open, or in memory; `None` if it is none, or says
/// no version.
///
/// # Errors
/// When it can't be read.
pub fn release_in(mut image: impl Read + Seek) -> io::Result<Option<String>> {
    let mut header = Vec::new();
    image.by_ref().take(0x210).read_to_end(&mut header)?;
    if is_arm64(&header) {
        image.seek(SeekFrom::Start(0))?;
        return release_in_banner(image);
    }
    if header.len() < 0x210 || &header[0x202..0x206] != b"HdrS" {
        return Ok(None);
    }
    let place = u16::from_le_bytes([header[0x20e], header[0x20f]]);
    image.seek(SeekFrom::Start(u64::from(place) + 0x200))?;
    let mut text = Vec::new();
    image.take(256).read_to_end(&mut text)?;
    let end = text.iter().position(|&byte| matches!(byte, 0 | b' ')).unwrap_or(0);
    let release = std::str::from_utf8(&text[..end]).ok().map(str::to_owned);
    Ok(release.filter(|release| place != 0 && !release.is_empty()))
}

/// Whether these are the first bytes of an Image of arm64
/// (`Documentation/arch/arm64/booting.rst`).
#[must_use]
pub fn is_arm64(head: &[u8]) -> bool {
    head.get(56..60) == Some(b"ARM\x64")
}

/// The release in a kernel's banner, the first line that it says.
fn release_in_banner(kernel: impl Read) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    kernel.take(MOST_KERNEL).read_to_end(&mut bytes)?;
    let Ok(banner) = Regex::new(r"(?-u)Linux version ([0-9][!-~]{0,200}) \(") else {
        return Ok(None);
    };
    let found = banner.captures(&bytes).and_then(|found| found.get(1));
    Ok(found.map(|release| String::from_utf8_lossy(release.as_bytes()).into_owned()))
}

/// The longest kernel that is read for its banner.
const MOST_KERNEL: u64 = 1 << 30;

/// Fails unless a kernel's image says that it is `release`.
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

/// The longest configuration that is believed; real ones have 300 KB.
const MOST_CONFIG: u64 = 16 << 20;

/// What a kernel with rkt's reboot change says before it restarts
/// (`kernel/reboot.c`).
pub const REBOOT_TEXT: &str = "<rkt: obligatory restart>";

/// Whether a kernel (`vmlinux`, not compressed) restarts on
/// `LINUX_REBOOT_CMD_HALT`, by the text that the change brings along. A pod
/// on another kernel would never end.
///
/// # Errors
/// When it can't be read.
pub fn restarts(vmlinux: impl Read) -> Result<bool, Error> {
    let needles = Needles::new(&[REBOOT_TEXT]).map_err(Error::Needles)?;
    contains(vmlinux, &needles).map_err(Error::Read)
}

/// The configuration that a kernel (`vmlinux`, not compressed) holds of
/// itself; `None` if it holds none. `kernel/configs.c`: a gzip file between
/// two marks.
#[must_use]
pub fn own_config(vmlinux: &[u8]) -> Option<String> {
    const MARK: &[u8] = b"IKCFG_ST";
    let needles = Needles::new(&[MARK]).ok()?;
    let start = needles.position(vmlinux)? + MARK.len();
    let mut text = String::new();
    let packed = flate2::read::GzDecoder::new(&vmlinux[start..]);
    packed.take(MOST_CONFIG + 1).read_to_string(&mut text).ok()?;
    Some(text).filter(|text| text.len() as u64 <= MOST_CONFIG)
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
    fn an_arm64_kernel_says_it_in_its_banner() {
        let mut image = vec![0; 64];
        image[56..60].copy_from_slice(b"ARM\x64");
        let release = |image: &[u8]| release_in(io::Cursor::new(image)).unwrap();
        assert_eq!(release(&image), None);
        image.extend_from_slice(b"\0Linux version %s (%s)\0%s version %s");
        assert_eq!(release(&image), None);
        image.extend_from_slice(b"\xff\0Linux version 6.12.117-kinvolk-v1 (builder@host) (gcc 12)");
        assert_eq!(release(&image).as_deref(), Some("6.12.117-kinvolk-v1"));
        image[56] = b'B';
        assert_eq!(release(&image), None);
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut packed, bytes).unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn a_kernel_tells_its_configuration_and_whether_it_restarts() {
        let packed = gzip(b"CONFIG_A=y\n");
        let parts = [b"ELF IKCFG_ST".to_vec(), packed, b"IKCFG_ED x".to_vec()];
        let kernel = [parts.concat(), REBOOT_TEXT.as_bytes().to_vec()].concat();
        assert_eq!(own_config(&kernel).as_deref(), Some("CONFIG_A=y\n"));
        assert!(restarts(kernel.as_slice()).unwrap());
        assert_eq!(own_config(b"IKCFG_ST and no more"), None);
        let endless = [b"IKCFG_ST".to_vec(), gzip(&vec![b'\n'; 17 << 20])].concat();
        assert_eq!(own_config(&endless), None);
        assert!(!restarts(&b"reboot: System halted"[..]).unwrap());
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
