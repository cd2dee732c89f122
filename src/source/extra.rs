//! Patches of the user's: files, and URLs with a checksum.

use std::path::Path;

use fs_err as fs;

use crate::digest::{Algorithm, Digest};
use crate::fsutil;
use crate::report::Reporter;

use super::{Error, Options, Patch, download};
use crate::http::Client;

/// What stands between a patch's URL and its checksum.
const CHECKSUM: &str = "#sha256=";

/// A patch in a file.
///
/// # Errors
/// When it can't be read.
pub fn patch_file(path: &Path) -> Result<Patch, Error> {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    Ok(Patch::new(name, fs::read(path)?))
}

/// A patch behind `URL#sha256=<hex>`. With its checksum it is downloaded
/// once; without one it is refused, unless `unchecked`, and then it is
/// downloaded every time.
///
/// # Errors
/// When there is no checksum, it can't be fetched, or is not what the
/// checksum says, twice.
pub fn patch_url(
    text: &str,
    unchecked: bool,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Patch, Error> {
    let (url, checksum) = split(text)?;
    let name = url.rsplit('/').next().unwrap_or(url);
    let Some(checksum) = checksum else {
        if !unchecked {
            return Err(Error::PatchWithoutChecksum { url: url.to_owned() });
        }
        reporter.warning(format!("{url}: used without a checksum (--insecure-options=patch)"));
        return Ok(Patch::new(name, get(url, options, reporter)?));
    };
    let kept = options.downloads.join("patches").join(format!("{}.patch", checksum.hex()));
    if let Ok(text) = fs::read(&kept)
        && Digest::sha256(&text) == checksum
    {
        return Ok(Patch::new(name, text));
    }
    let text = checked(url, &checksum, options, reporter)?;
    fsutil::write_atomic(&kept, &text)?;
    Ok(Patch::new(name, text))
}

/// A proxy may have an old or broken copy: one more try tells.
fn checked(
    url: &str,
    checksum: &Digest,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Vec<u8>, Error> {
    let mut found = None;
    for _ in 0..2 {
        let text = get(url, options, reporter)?;
        let digest = Digest::sha256(&text);
        if digest == *checksum {
            return Ok(text);
        }
        found = Some(digest);
    }
    let found = found.map(|digest| digest.hex().to_owned()).unwrap_or_default();
    let reason = format!("its SHA-256 is {found}, not {}", checksum.hex());
    Err(Error::Altered { archive: url.to_owned(), reason })
}

fn get(url: &str, options: &Options, reporter: &dyn Reporter) -> Result<Vec<u8>, Error> {
    let client = Client::new(options.patience);
    download::persist(options.patience, reporter, || client.small(url, options.patience.contact))
}

fn split(text: &str) -> Result<(&str, Option<Digest>), Error> {
    let Some((url, hex)) = text.split_once(CHECKSUM) else { return Ok((text, None)) };
    let checksum = Digest::from_hex(Algorithm::Sha256, hex);
    let wrong = || Error::PatchChecksum { url: url.to_owned(), checksum: hex.to_owned() };
    Ok((url, Some(checksum.ok_or_else(wrong)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_split_off_and_a_wrong_one_refused() {
        let hex = Digest::sha256(b"x").hex().to_owned();
        let text = format!("https://example.org/a.patch#sha256={hex}");
        let (url, checksum) = split(&text).unwrap();
        assert_eq!((url, checksum.unwrap().hex()), ("https://example.org/a.patch", hex.as_str()));
        assert!(split("https://example.org/a.patch").unwrap().1.is_none());
        for wrong in ["u#sha256=", "u#sha256=12", "u#sha256=zz"] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }
}
