//! A layout as a folder, of an archive of ours.

use std::io::Read;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::Value;

use super::said::digest;
use crate::digest::Digest;
use crate::pack::Error;
use crate::pack::layout::{put_in_place, unpack_archive};

/// The file that makes a folder a layout.
pub const MARK: &str = "oci-layout";
/// What is in a layout's folder.
pub const NAMES: &[&str] = &["blobs", "index.json", MARK];
/// Where the blobs are.
pub(super) const BLOBS: &str = "blobs/sha256";

/// Lays an archive out as a folder at `into`, in place of a layout that was
/// there before.
///
/// # Errors
/// When `into` is something else or can't be written, or the archive is
/// damaged.
pub fn unpack(archive: impl Read, into: &Path) -> Result<(), Error> {
    put_in_place(into, NAMES, |top| unpack_archive(archive, top))
}

/// The layer's file in a layout of ours.
///
/// # Errors
/// When it is none of ours.
pub fn layer_of(layout: &Path) -> Result<PathBuf, Error> {
    let file = |named: &Value| Ok(blob(layout, &digest(named)?));
    let index: Value = read(&layout.join("index.json"))?;
    let manifest: Value = read(&file(&index["manifests"][0]["digest"])?)?;
    file(&manifest["layers"][0]["digest"])
}

/// The file of a blob: only a digest becomes a file's name.
pub(super) fn blob(layout: &Path, named: &Digest) -> PathBuf {
    layout.join(BLOBS).join(named.hex())
}

fn read(path: &Path) -> Result<Value, Error> {
    serde_json::from_slice(&fs::read(path).map_err(Error::Read)?).map_err(Error::Manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layers_digest_is_no_path() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = folder.path().join(BLOBS);
        fs::create_dir_all(&blobs).unwrap();
        let (manifest, layer) = ("ab".repeat(32), "cd".repeat(32));
        let index = format!(r#"{{"manifests": [{{"digest": "sha256:{manifest}"}}]}}"#);
        fs::write(folder.path().join("index.json"), index).unwrap();
        for (named, there) in [
            (layer.clone(), true),
            (format!("{}/{}", "cd".repeat(16), "c".repeat(31)), false),
            ("../../../../etc/passwd".to_owned(), false),
            (String::new(), false),
        ] {
            let text = format!(r#"{{"layers": [{{"digest": "sha256:{named}"}}]}}"#);
            fs::write(blobs.join(&manifest), text).unwrap();
            let found = layer_of(folder.path()).ok();
            assert_eq!(found, there.then(|| blobs.join(&layer)), "{named}");
        }
    }
}
