//! What a make that was killed may have left half-written.
//!
//! A make that ends by itself, or by SIGTERM, deletes what it was writing.
//! One that is killed does not, and an object that was being made anew over
//! an older one then looks newer than its source: make would take it as it
//! is. kbuild writes `.name.cmd` after `name`; a file that is newer than its
//! `.cmd` was not finished.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fs_err as fs;
use walkdir::WalkDir;

use super::Error;
use crate::fsutil;

const MARKER: &str = ".stage1-running";

/// Says in the object folder that a make is running there.
pub(super) fn begin(objects: &Path) -> Result<(), Error> {
    let written = fs::write(objects.join(MARKER), boot_id());
    written.map_err(|error| Error::files("can't write in the object folder", error))
}

/// Says that it has ended by itself.
pub(super) fn end(objects: &Path) -> Result<(), Error> {
    fsutil::remove_all(&objects.join(MARKER))
        .map_err(|error| Error::files("can't write in the object folder", error))
}

/// If a make did not end by itself: removes what it may not have finished,
/// or everything if the machine was started anew in between, since files
/// may then be empty. Gives what was removed.
pub(super) fn clean(objects: &Path) -> Result<Vec<PathBuf>, Error> {
    let Ok(boot) = fs::read_to_string(objects.join(MARKER)) else { return Ok(Vec::new()) };
    let failed = |error| Error::files("can't clean the object folder", error);
    if boot != boot_id() {
        fsutil::remove_all(objects).map_err(failed)?;
        return Ok(vec![objects.to_owned()]);
    }
    let mut removed = Vec::new();
    // `source` in the object folder is a symlink to the tree; not followed.
    for entry in WalkDir::new(objects) {
        let entry = entry.map_err(|error| failed(error.into()))?;
        if entry.file_type().is_file() && newer_than_its_command(entry.path()) {
            fs::remove_file(entry.path()).map_err(failed)?;
            removed.push(entry.into_path());
        }
    }
    end(objects)?;
    Ok(removed)
}

fn newer_than_its_command(path: &Path) -> bool {
    let modified = |path: &Path| -> io::Result<SystemTime> { fs::metadata(path)?.modified() };
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let command = path.with_file_name(format!(".{name}.cmd"));
    match (modified(path), modified(&command)) {
        (Ok(file), Ok(command)) => file > command,
        _ => false,
    }
}

/// A number that is new with each start of the machine (random(4)).
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn write(path: &Path, seconds: u64) {
        let file = fs::File::create(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }

    #[test]
    fn only_what_was_not_finished_goes_and_only_after_a_kill() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, seconds) in
            [("whole.o", 5), (".whole.o.cmd", 6), ("half.o", 9), (".half.o.cmd", 6), ("other", 9)]
        {
            write(&at(name), seconds);
        }
        assert!(clean(folder.path()).unwrap().is_empty());
        begin(folder.path()).unwrap();
        end(folder.path()).unwrap();
        assert!(clean(folder.path()).unwrap().is_empty());
        begin(folder.path()).unwrap();
        assert_eq!(clean(folder.path()).unwrap(), [at("half.o")]);
        assert!(at("whole.o").exists() && at("other").exists());
        assert!(clean(folder.path()).unwrap().is_empty());
    }

    #[test]
    fn after_a_crash_of_the_machine_everything_goes() {
        let folder = tempfile::tempdir().unwrap();
        let objects = folder.path().join("objects");
        fs::create_dir(&objects).unwrap();
        fs::write(objects.join(MARKER), "another boot").unwrap();
        clean(&objects).unwrap();
        assert!(!objects.exists());
    }
}
