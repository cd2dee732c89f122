//! The API headers, `make headers_install`.

use std::path::{Path, PathBuf};

use fs_err as fs;
use walkdir::WalkDir;

use super::Error;
use super::make::Make;
use crate::fsutil;
use crate::report::Reporter;

const FOLDER: &str = "api-headers";
const FRESH: &str = ".api-headers-new";

/// The folder that holds `linux/`, below the object folder.
pub(super) fn folder(objects: &Path) -> PathBuf {
    objects.join(FOLDER).join("include")
}

/// Installs the headers into a fresh folder and moves it in place whole.
/// Gives the folder that holds `linux/`.
pub(super) fn install(make: &Make<'_>, reporter: &dyn Reporter) -> Result<PathBuf, Error> {
    let (fresh, place) = (make.objects.join(FRESH), make.objects.join(FOLDER));
    let failed = |error| Error::files("can't put the API headers in place", error);
    fsutil::remove_all(&fresh).map_err(failed)?;
    let to = fresh.to_string_lossy();
    // What an earlier build left here nobody has a use for any more: it goes
    // while make runs.
    std::thread::scope(|scope| {
        let removed = scope.spawn(|| fsutil::remove_all(&place));
        make.run(&["headers_install"], &[("INSTALL_HDR_PATH", &to)], reporter, |_| ())?;
        let removed = removed.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        removed.map_err(failed)
    })?;
    keep_headers_only(&fresh).map_err(failed)?;
    fs::rename(&fresh, &place).map_err(failed)?;
    let include = place.join("include");
    let version = include.join("linux/version.h");
    if version.is_file() {
        Ok(include)
    } else {
        Err(Error::Absent { path: version, log: make.log.to_owned() })
    }
}

/// Until 4.19 headers_install leaves `.install` and `..install.cmd` behind,
/// the second with absolute paths.
fn keep_headers_only(folder: &Path) -> std::io::Result<()> {
    for entry in WalkDir::new(folder) {
        let entry = entry?;
        let header = entry.path().extension().is_some_and(|extension| extension == "h");
        if !entry.file_type().is_dir() && !header {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_headers_stay() {
        let folder = tempfile::tempdir().unwrap();
        let linux = folder.path().join("include/linux");
        fs::create_dir_all(&linux).unwrap();
        for name in ["a.h", ".install", "..install.cmd"] {
            fs::write(linux.join(name), "").unwrap();
        }
        keep_headers_only(folder.path()).unwrap();
        let left: Vec<_> =
            fs::read_dir(&linux).unwrap().map(|one| one.unwrap().file_name()).collect();
        assert_eq!(left, ["a.h"]);
    }
}
