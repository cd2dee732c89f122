//! A layout as a folder, of an archive of ours.

use std::io::Read;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::Value;

use super::said::digest;
use crate::pack::Error;
use crate::pack::layout::{put_in_place, unpack_archive};

/// The file that makes a folder a layout.
pub const MARK: &str = "oci-layout";
/// What is in a layout's folder.
pub const NAMES: &[&str] = &["blobs", "index.json", MARK];

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
    // Only a digest becomes a file's name.
    let blob = |named: &Value| Ok(layout.join("blobs/sha256").join(digest(named)?.hex()));
    let index: Value = read(&layout.join("index.json"))?;
    let manifest: Value = read(&blob(&index["manifests"][0]["digest"])?)?;
    blob(&manifest["layers"][0]["digest"])
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
        let blobs = folder.path().join("blobs/sha256");
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
