use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::digest::Digest;
use crate::fsutil::{self, Lock};
use crate::kept;
use crate::proc::interrupt;
use crate::report::Reporter;

/// Which source a workspace's tree was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStamp {
    /// The source's digest.
    pub digest: Digest,
    /// Seconds since 1970 that stand for the source.
    pub epoch: u64,
}

/// A source tree and its objects, ours alone while this value lives.
///
/// There are two locks. The builder's own tells a workspace in use from a
/// free one. The other is inherited by make and its children: a builder that
/// was killed leaves compilers behind, and the next one, which finds the
/// first lock free, waits with the second until they are done.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    children: Lock,
    _own: Lock,
}

impl Workspace {
    /// Takes the first workspace for this source and architecture that
    /// nobody uses, so that builds with other patches or settings run side
    /// by side. One whose objects are finished for `kernel_key` comes first.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn claim(
        folder: &Path,
        source: &Digest,
        arch: &str,
        kernel_key: &Digest,
        reporter: &dyn Reporter,
    ) -> Result<Self, Error> {
        // The real path: a relative one means something else to make, which
        // runs in the tree, and one through a link is not what compilers see.
        fs::create_dir_all(folder).map_err(Error::io("can't make a workspace"))?;
        let folder = &fs::canonicalize(folder).map_err(Error::io("can't make a workspace"))?;
        fsutil::sweep(folder);
        let name = |number: u32| format!("{}-{arch}-{number}", &source.hex()[..16]);
        let known = (0..).take_while(|&n| folder.join(name(n)).is_dir());
        let finished = known
            .clone()
            .filter(|&n| read_kernel_key(&folder.join(name(n))).as_ref() == Some(kernel_key));
        let order = finished.chain(0..);
        for number in order {
            let lock_file = |kind| folder.join(format!("{}{kind}", name(number)));
            let own = Lock::try_acquire(&lock_file(".lock"))
                .map_err(Error::io("can't lock a workspace"))?;
            let Some(own) = own else { continue };
            let waiting = || reporter.note("waiting for the compilers of a killed build");
            let stopped = || interrupt::requested().is_some();
            let children = Lock::acquire(&lock_file(".make.lock"), waiting, stopped)
                .map_err(Error::io("can't lock a workspace"))?;
            let root = folder.join(name(number));
            fs::create_dir_all(&root).map_err(Error::io("can't make a workspace"))?;
            let workspace = Self { root, children, _own: own };
            workspace.sweep()?;
            fsutil::touch(workspace.root());
            return Ok(workspace);
        }
        unreachable!("the numbers don't end")
    }

    /// The lock that make and its children are to hold, too.
    #[must_use]
    pub fn children(&self) -> &Lock {
        &self.children
    }

    /// The workspace's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the source tree is, or will be.
    #[must_use]
    pub fn tree(&self) -> PathBuf {
        self.root.join("linux")
    }

    /// Originals of patched files.
    #[must_use]
    pub fn pristine(&self) -> PathBuf {
        self.root.join("pristine")
    }

    /// What make said.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.root.join("build.log")
    }

    /// Which source the tree holds; `None` until it is whole.
    #[must_use]
    pub fn source(&self) -> Option<SourceStamp> {
        let stamp = kept::read(&self.root.join("source.json"))?;
        self.tree().is_dir().then_some(stamp)
    }

    /// Clears the folder for another source.
    ///
    /// # Errors
    /// When something can't be removed.
    pub fn clear(&self) -> Result<(), Error> {
        let doing = || Error::io("can't clear a workspace");
        // The fourth is of an unpacking that was killed.
        for name in ["source.json", "kernel.json", "linux", ".linux.unpacking", "pristine"] {
            fsutil::remove_all(&self.root.join(name)).map_err(doing())?;
        }
        Ok(())
    }

    /// Records that the tree is whole.
    ///
    /// # Errors
    /// When the record can't be written.
    pub fn set_source(&self, stamp: &SourceStamp) -> Result<(), Error> {
        write(&self.root.join("source.json"), stamp)
    }

    /// Brings everything written so far to the disk.
    ///
    /// # Errors
    /// When the file system can't.
    pub fn sync(&self) -> Result<(), Error> {
        let doing = || Error::io("can't sync a workspace");
        let folder = fs::File::open(&self.root).map_err(doing())?;
        rustix::fs::syncfs(folder.file()).map_err(|errno| doing()(errno.into()))
    }

    /// The kernel key that the objects are finished for.
    #[must_use]
    pub fn kernel_key(&self) -> Option<Digest> {
        read_kernel_key(&self.root)
    }

    /// Records that the objects are finished for `key`, or with `None` that
    /// they are in the works.
    ///
    /// # Errors
    /// When the record can't be written.
    pub fn set_kernel_key(&self, key: Option<&Digest>) -> Result<(), Error> {
        let path = self.root.join("kernel.json");
        match key {
            Some(key) => write(&path, key),
            None => fsutil::remove_all(&path).map_err(Error::io("can't change a workspace")),
        }
    }

    /// How many objects a whole build of this source had with the
    /// configuration of this digest, in any of the source's workspaces.
    #[must_use]
    pub fn counted(&self, config: &Digest) -> Option<u64> {
        let counts: BTreeMap<String, u64> = kept::read(&self.counts())?;
        counts.get(config.hex()).copied()
    }

    /// Records that. Of two that record at once one may lose; its total is
    /// then an estimate once more.
    ///
    /// # Errors
    /// When the record can't be written.
    pub fn set_counted(&self, config: &Digest, objects: u64) -> Result<(), Error> {
        let mut counts: BTreeMap<String, u64> = kept::read(&self.counts()).unwrap_or_default();
        counts.insert(config.hex().to_owned(), objects);
        write(&self.counts(), &counts)
    }

    /// Beside the workspaces of the source: all of them use it.
    fn counts(&self) -> PathBuf {
        let name = self.root.file_name().unwrap_or_default().to_string_lossy();
        let source = name.rsplit_once('-').map_or(&*name, |(source, _)| source);
        self.root.with_file_name(format!("{source}.objects.json"))
    }

    /// Removes what a killed process left under temporary names.
    fn sweep(&self) -> Result<(), Error> {
        let doing = || Error::io("can't sweep a workspace");
        for entry in fs::read_dir(&self.root).map_err(doing())? {
            let entry = entry.map_err(doing())?;
            if entry.file_name().to_string_lossy().starts_with(fsutil::TEMPORARY) {
                fsutil::remove_all(&entry.path()).map_err(doing())?;
            }
        }
        Ok(())
    }
}

/// A tree of the source with this digest, to be looked at: another process
/// may be at work on it. Patches of earlier builds may be in it; the second
/// folder has the originals of what they touched.
#[must_use]
pub fn source_tree(folder: &Path, source: &Digest) -> Option<(PathBuf, PathBuf)> {
    let fitting = source_trees(folder).into_iter().filter(|(_, stamp)| stamp.digest == *source);
    let tree = fitting.map(|(tree, _)| tree).min()?;
    let pristine = tree.with_file_name("pristine");
    Some((tree, pristine))
}

/// Every whole tree in a folder of workspaces, and what it is of.
#[must_use]
pub fn source_trees(folder: &Path) -> Vec<(PathBuf, SourceStamp)> {
    let roots = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let tree = |root: PathBuf| {
        let stamp = kept::read(&root.join("source.json"))?;
        let tree = root.join("linux");
        tree.is_dir().then_some((tree, stamp))
    };
    roots.filter_map(tree).collect()
}

fn read_kernel_key(root: &Path) -> Option<Digest> {
    kept::read(&root.join("kernel.json"))
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    kept::write(path, value).map_err(Error::io("can't write a workspace's record"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Collected, Event, Silent};

    fn claim(folder: &Path, key: &[u8]) -> Workspace {
        let (source, key) = (Digest::sha256(b"source"), Digest::sha256(key));
        Workspace::claim(folder, &source, "x86_64", &key, &Silent).unwrap()
    }

    #[test]
    fn two_at_once_get_two_folders_and_a_free_one_is_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = claim(folder.path(), b"a");
        let second = claim(folder.path(), b"b");
        assert_ne!(first.root(), second.root());
        let root = first.root().to_owned();
        drop(first);
        assert_eq!(claim(folder.path(), b"c").root(), root);
    }

    #[test]
    fn what_a_killed_builder_left_running_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let first = claim(folder.path(), b"a");
        let (root, orphan) = (first.root().to_owned(), first.children().inheritable().unwrap());
        drop(first);
        let (source, key) = (Digest::sha256(b"source"), Digest::sha256(b"a"));
        let said = Collected::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while said.events().is_empty() {
                    std::thread::yield_now();
                }
                drop(orphan);
            });
            let next = Workspace::claim(folder.path(), &source, "x86_64", &key, &said).unwrap();
            assert_eq!(next.root(), root);
        });
        assert!(matches!(&said.events()[..], [Event::Note(text)] if text.contains("killed")));
    }

    #[test]
    fn the_workspace_with_the_finished_kernel_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = claim(folder.path(), b"a");
        let second = claim(folder.path(), b"b");
        second.set_kernel_key(Some(&Digest::sha256(b"b"))).unwrap();
        let root = second.root().to_owned();
        drop((first, second));
        assert_eq!(claim(folder.path(), b"b").root(), root);
    }

    #[test]
    fn a_stamp_without_its_tree_is_no_source() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = claim(folder.path(), b"a");
        let stamp = SourceStamp { digest: Digest::sha256(b"source"), epoch: 7 };
        workspace.set_source(&stamp).unwrap();
        assert_eq!(workspace.source(), None);
        fs::create_dir(workspace.tree()).unwrap();
        assert_eq!(workspace.source(), Some(stamp));
        workspace.clear().unwrap();
        assert_eq!(workspace.source(), None);
    }

    #[test]
    fn a_source_is_found_by_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let digest = Digest::sha256(b"source");
        assert_eq!(source_tree(folder.path(), &digest), None);
        let workspace = claim(folder.path(), b"a");
        fs::create_dir(workspace.tree()).unwrap();
        assert_eq!(source_tree(folder.path(), &digest), None, "it is not whole yet");
        workspace.set_source(&SourceStamp { digest: digest.clone(), epoch: 7 }).unwrap();
        let (tree, _) = source_tree(folder.path(), &digest).unwrap();
        assert_eq!(tree.canonicalize().unwrap(), workspace.tree());
        assert_eq!(source_tree(folder.path(), &Digest::sha256(b"other")), None);
    }

    #[test]
    fn what_one_workspace_counted_all_of_its_source_know() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (claim(folder.path(), b"a"), claim(folder.path(), b"b"));
        let (tiny, full) = (Digest::sha256(b"tiny"), Digest::sha256(b"full"));
        assert_eq!(first.counted(&tiny), None);
        first.set_counted(&tiny, 500).unwrap();
        second.set_counted(&full, 1_900).unwrap();
        first.clear().unwrap();
        assert_eq!((second.counted(&tiny), first.counted(&full)), (Some(500), Some(1_900)));
    }

    #[test]
    fn what_a_killed_process_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let root = claim(folder.path(), b"a").root().to_owned();
        fs::create_dir_all(root.join(".s1b-tmp-linux/kernel")).unwrap();
        fs::write(root.join(".s1b-tmp-x"), b"half").unwrap();
        // Of the count of objects, which is beside the workspaces.
        fs::write(folder.path().join(".s1b-tmp-y"), b"half").unwrap();
        let again = claim(folder.path(), b"a");
        assert_eq!(fs::read_dir(again.root()).unwrap().count(), 0);
        assert!(!folder.path().join(".s1b-tmp-y").exists());
    }
}
