//! What is known about a source tree: which names may stand in it, where its
//! links lead, which version its Makefile tells; and copying one.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use fs_err as fs;

use super::unpack::{Staging, UnpackError, Unpacked, check_interrupt};
use crate::report::{Event, Reporter, Stage, Total, Unit, text};

/// Links that a resolution follows before it is called a loop, as Linux does
/// (`MAXSYMLINKS`).
const MAX_HOPS: usize = 40;
/// Files between two progress events.
pub(super) const PROGRESS_STEP: usize = 512;
/// Threads that create files. More don't help: the directory's lock and the
/// journal of the file system are what they wait for.
pub(super) const WRITERS: usize = 2;

/// A name from an archive, patch or list as a relative path without `.` and
/// `..`, or what is wrong with it.
pub(super) fn relative_path(name: &[u8]) -> Result<PathBuf, &'static str> {
    if name.starts_with(b"/") {
        return Err("its name is absolute");
    }
    if name.contains(&0) {
        return Err("its name holds a zero byte");
    }
    let mut path = PathBuf::new();
    for part in name.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err("its name holds '..'"),
            part => path.push(OsStr::from_bytes(part)),
        }
    }
    Ok(path)
}

/// The symbolic links of a tree, by their paths in it.
///
/// Looked at as a whole once all are known, since a link can lead out of the
/// tree through another one.
#[derive(Debug, Default)]
pub(super) struct Links(BTreeMap<PathBuf, PathBuf>);

impl Links {
    pub(super) fn insert(&mut self, link: PathBuf, target: PathBuf) {
        self.0.insert(link, target);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Path, &Path)> {
        self.0.iter().map(|(link, target)| (link.as_path(), target.as_path()))
    }

    /// The first link that leads out of the tree, with the reason. One that
    /// leads to nothing is fine: kernels have such.
    pub(super) fn first_that_leads_out(&self) -> Option<(&Path, &'static str)> {
        self.0.keys().find_map(|link| Some((link.as_path(), self.fault_of(link)?)))
    }

    fn fault_of(&self, link: &Path) -> Option<&'static str> {
        let mut place: PathBuf = PathBuf::new();
        let mut rest: Vec<OsString> = components(link);
        let mut hops = 0;
        while let Some(part) = rest.pop() {
            if part == ".." {
                if !place.pop() {
                    return Some("it is a link that leads out");
                }
                continue;
            }
            place.push(part);
            let Some(target) = self.0.get(&place) else { continue };
            hops += 1;
            if target.is_absolute() {
                return Some("it is a link to an absolute path");
            }
            if hops > MAX_HOPS {
                return Some("it is a link that never ends");
            }
            place.pop();
            rest.extend(components(target));
        }
        None
    }
}

/// The parts of a path, last one first.
fn components(path: &Path) -> Vec<OsString> {
    let keep = |part: Component<'_>| match part {
        Component::Normal(_) | Component::ParentDir => Some(part.as_os_str().to_owned()),
        _ => None,
    };
    path.components().rev().filter_map(keep).collect()
}

/// Copies the named files of the tree `from` to the new folder `into`, which
/// is whole when it appears. `from` is only read. What an archive may not
/// hold, a list may not name; modes and times come out as from an archive.
///
/// The caller holds the lock for `into`.
///
/// # Errors
/// When a name leads out, a file is neither regular nor a link, the top has
/// no `Makefile`, a file can't be read or written, or we were asked to stop.
pub fn copy_tree(
    from: &Path,
    files: &[PathBuf],
    into: &Path,
    reporter: &dyn Reporter,
) -> Result<Unpacked, UnpackError> {
    let shown = from.display().to_string();
    let plan = CopyPlan::new(from, files)?;
    let staging = Staging::create(into)?;
    reporter.started(Stage::Unpack, &shown);
    for folder in &plan.folders {
        staging.create_folder(folder)?;
    }
    copy_files(from, staging.path(), &plan.regular, reporter)?;
    staging.create_links(&plan.links, &shown)?;
    staging.commit()?;
    reporter.finished(Stage::Unpack, format!("{} files", text::grouped(plan.count)));
    Ok(Unpacked { epoch: plan.epoch, files: plan.count })
}

struct CopyPlan {
    folders: std::collections::BTreeSet<PathBuf>,
    regular: Vec<PathBuf>,
    links: Links,
    epoch: u64,
    count: u64,
}

impl CopyPlan {
    fn new(from: &Path, files: &[PathBuf]) -> Result<Self, UnpackError> {
        let shown = from.display().to_string();
        let refused = |name: &Path, why| UnpackError::refused(&shown, name.as_os_str(), why);
        let mut plan = Self {
            folders: std::collections::BTreeSet::new(),
            regular: Vec::new(),
            links: Links::default(),
            epoch: 0,
            count: files.len() as u64,
        };
        let mut seen = std::collections::HashSet::new();
        for name in files {
            let path =
                relative_path(name.as_os_str().as_bytes()).map_err(|why| refused(name, why))?;
            if !seen.insert(path.clone()) {
                return Err(refused(name, "it stands there twice"));
            }
            plan.folders.extend(path.ancestors().skip(1).map(Path::to_owned));
            let read_error = |source| UnpackError::Read { archive: shown.clone(), source };
            let metadata = fs::symlink_metadata(from.join(&path)).map_err(read_error)?;
            if metadata.is_symlink() {
                let target = fs::read_link(from.join(&path)).map_err(read_error)?;
                plan.links.insert(path, target);
            } else if metadata.is_file() {
                if path == Path::new("Makefile") {
                    plan.epoch = seconds(metadata.modified().map_err(read_error)?);
                }
                plan.regular.push(path);
            } else {
                return Err(refused(name, "it is neither a file nor a link"));
            }
        }
        plan.folders.remove(Path::new(""));
        if !plan.regular.iter().any(|path| path == Path::new("Makefile")) {
            return Err(UnpackError::NoMakefile { archive: shown });
        }
        // A name below another that is a file or link.
        match plan.folders.iter().find(|folder| seen.contains(*folder)) {
            Some(folder) => Err(refused(folder, "it is a file or link, and others lie below it")),
            None => Ok(plan),
        }
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn copy_files(
    from: &Path,
    into: &Path,
    files: &[PathBuf],
    reporter: &dyn Reporter,
) -> Result<(), UnpackError> {
    let next = AtomicUsize::new(0);
    let now = SystemTime::now();
    let work = || -> Result<(), UnpackError> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = files.get(index) else { return Ok(()) };
            check_interrupt()?;
            copy_file(&from.join(path), &into.join(path), now)
                .map_err(|source| UnpackError::Write { source })
                .inspect_err(|_| next.store(files.len(), Ordering::Relaxed))?;
            if index.is_multiple_of(PROGRESS_STEP) {
                reporter.event(Event::Progress {
                    stage: Stage::Unpack,
                    done: index as u64,
                    total: Some(Total::Exact(files.len() as u64)),
                    unit: Unit::Files,
                    current: path.display().to_string(),
                });
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// Shares the blocks where the file system can (`copy_file_range`).
fn copy_file(from: &Path, to: &Path, now: SystemTime) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = fs::metadata(from)?;
    fs::copy(from, to)?;
    let mode = if metadata.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
    fs::set_permissions(to, PermissionsExt::from_mode(mode))?;
    fs::OpenOptions::new().write(true).open(to)?.set_modified(metadata.modified()?.min(now))
}

/// A path from the bytes that an archive or link holds.
pub(super) fn path_from(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Silent;

    fn fault(links: &[(&str, &str)]) -> Option<String> {
        let mut all = Links::default();
        links.iter().for_each(|(link, target)| all.insert(link.into(), target.into()));
        all.first_that_leads_out().map(|(link, _)| link.display().to_string())
    }

    #[test]
    fn links_inside_are_fine_even_to_nothing() {
        assert_eq!(fault(&[("scripts/dtc/include-prefixes/arm", "../../../arch/arm/dts")]), None);
        assert_eq!(fault(&[("a/b/asm", ".././../nowhere/./x")]), None);
        assert_eq!(fault(&[("a/x", "../b/../c")]), None);
        assert_eq!(fault(&[("a/b/top", "../..")]), None);
    }

    #[test]
    fn links_that_lead_out_are_found_through_others_too() {
        assert_eq!(fault(&[("a/x", "../../etc")]).as_deref(), Some("a/x"));
        assert_eq!(fault(&[("x", "/etc")]).as_deref(), Some("x"));
        // By its letters `y` stays inside; through `a/b/x` it does not.
        assert_eq!(fault(&[("a/b/x", "../.."), ("y", "a/b/x/../..")]).as_deref(), Some("y"));
        assert!(fault(&[("a", "b"), ("b", "a")]).is_some());
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        assert_eq!(relative_path(b"./a//b/").unwrap(), Path::new("a/b"));
        for name in [&b"/a"[..], b"a/../b", b"..", b"a\0b"] {
            assert!(relative_path(name).is_err());
        }
    }

    #[test]
    fn a_copy_is_the_listed_files_and_nothing_else() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (from, into) = (folder.path().join("from"), folder.path().join("into"));
        fs::create_dir_all(from.join("scripts")).unwrap();
        fs::write(from.join("Makefile"), "VERSION = 6\n").unwrap();
        fs::write(from.join("scripts/run"), "#!/bin/sh\n").unwrap();
        fs::write(from.join("junk.o"), "").unwrap();
        fs::set_permissions(from.join("scripts/run"), PermissionsExt::from_mode(0o4711)).unwrap();
        fs::set_permissions(from.join("Makefile"), PermissionsExt::from_mode(0o400)).unwrap();
        fs_err::os::unix::fs::symlink("../Makefile", from.join("scripts/link")).unwrap();
        let time = UNIX_EPOCH + std::time::Duration::from_secs(1_500_000_000);
        fs::File::open(from.join("Makefile")).unwrap().file().set_modified(time).unwrap();

        let list = ["Makefile", "scripts/run", "scripts/link"].map(PathBuf::from);
        let copied = copy_tree(&from, &list, &into, &Silent).unwrap();
        assert_eq!((copied.epoch, copied.files), (1_500_000_000, 3));
        let mode =
            |name: &str| fs::metadata(into.join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("Makefile"), mode("scripts/run")), (0o644, 0o755));
        assert_eq!(fs::metadata(into.join("Makefile")).unwrap().modified().unwrap(), time);
        assert_eq!(fs::read_link(into.join("scripts/link")).unwrap(), Path::new("../Makefile"));
        assert!(!into.join("junk.o").exists());
    }

    #[test]
    fn a_copy_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (from, into) = (folder.path().join("from"), folder.path().join("into"));
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::write(from.join("Makefile"), "").unwrap();
        fs::write(folder.path().join("secret"), "").unwrap();
        fs_err::os::unix::fs::symlink("../secret", from.join("out")).unwrap();
        for wrong in ["../secret", "absent", "sub", "out", "/etc/passwd", "Makefile"] {
            let list = ["Makefile", wrong].map(PathBuf::from);
            assert!(copy_tree(&from, &list, &into, &Silent).is_err(), "{wrong}");
        }
        assert!(copy_tree(&from, &[], &into, &Silent).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "only from and secret");
    }
}
