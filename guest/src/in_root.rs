//! Resolving a path strictly inside a root folder, creating what is absent.
//!
//! One component at a time with `O_PATH | O_NOFOLLOW`; symlinks are read and
//! walked as if the root were `/`, and `..` goes back along the folders that
//! were opened, never above the root. `openat2(RESOLVE_IN_ROOT)` would do the
//! same from Linux 5.6 on, but guests start at 4.4, and absent folders need
//! the walk anyway: so there is one way for every kernel.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{FileType, Mode, OFlags, fstat, mkdirat, openat, readlinkat};
use rustix::io::Errno;

/// Symlinks followed in one resolution, as the kernel's own limit
/// (`MAXSYMLINKS` in `include/linux/namei.h`).
const MOST_LINKS: u32 = 40;

/// Why a path could not be resolved inside its root.
#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    /// More symlinks than the kernel would follow: a loop.
    TooManyLinks,
    /// It leads to the root folder itself.
    IsRoot,
    /// A component is neither a folder nor a symlink.
    NotAFolder(OsString),
    /// The kernel refused a component.
    Refused {
        /// What was tried, as in "can't … it".
        doing: &'static str,
        /// Which component.
        name: OsString,
        /// The kernel's reason.
        errno: Errno,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyLinks => write!(f, "more than {MOST_LINKS} symlinks"),
            Self::IsRoot => f.write_str("it leads to the root folder itself"),
            Self::NotAFolder(name) => write!(f, "'{}' is not a folder", name.display()),
            Self::Refused { doing, name, errno } => {
                write!(f, "can't {doing} '{}': {errno}", name.display())
            }
        }
    }
}

impl std::error::Error for Error {}

/// A folder inside the root, by the folder that holds it and its name there;
/// opening the name again sees what has been mounted on it meanwhile.
#[derive(Debug)]
pub struct Place {
    parent: OwnedFd,
    name: OsString,
}

impl Place {
    /// The folder that holds it.
    #[must_use]
    pub fn parent(&self) -> BorrowedFd<'_> {
        self.parent.as_fd()
    }

    /// Opens it as it is now.
    ///
    /// # Errors
    /// When it is gone, or no folder any more.
    pub fn open(&self) -> Result<OwnedFd, Error> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(&self.parent, &self.name, flags, Mode::empty())
            .map_err(|errno| refused("open", &self.name, errno))
    }
}

/// Resolves `path` inside `root` as a process that is chrooted there would,
/// and creates the folders that are absent, also those that a dangling
/// symlink names.
///
/// # Errors
/// When a component is no folder, links loop, the path leads to `root`
/// itself, or the kernel refuses.
pub fn resolve(root: BorrowedFd<'_>, path: &OsStr) -> Result<Place, Error> {
    let mut walk = Walk { root, opened: Vec::new(), rest: VecDeque::new(), links: 0 };
    walk.push_front(path.as_bytes());
    while let Some(name) = walk.rest.pop_front() {
        walk.step(name)?;
    }
    let (name, _) = walk.opened.pop().ok_or(Error::IsRoot)?;
    let parent = match walk.opened.pop() {
        Some((_, parent)) => parent,
        None => root.try_clone_to_owned().map_err(|error| Error::Refused {
            doing: "hold the folder of",
            name: name.clone(),
            errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
        })?,
    };
    Ok(Place { parent, name })
}

struct Walk<'a> {
    root: BorrowedFd<'a>,
    /// The folders between the root (not in it) and here, with their names.
    opened: Vec<(OsString, OwnedFd)>,
    rest: VecDeque<OsString>,
    links: u32,
}

impl Walk<'_> {
    fn here(&self) -> BorrowedFd<'_> {
        self.opened.last().map_or(self.root, |(_, folder)| folder.as_fd())
    }

    /// Puts a path's components before what is still to walk.
    fn push_front(&mut self, path: &[u8]) {
        for name in path.split(|&byte| byte == b'/').rev() {
            if !name.is_empty() && name != b"." {
                self.rest.push_front(OsStr::from_bytes(name).to_owned());
            }
        }
    }

    fn step(&mut self, name: OsString) -> Result<(), Error> {
        if name == ".." {
            // At the root this is nothing, as in a chroot.
            self.opened.pop();
            return Ok(());
        }
        let found = self.open_or_create(&name)?;
        let stat = fstat(&found).map_err(|errno| refused("look at", &name, errno))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.opened.push((name, found)),
            FileType::Symlink => self.follow(&found, &name)?,
            _ => return Err(Error::NotAFolder(name)),
        }
        Ok(())
    }

    fn open_or_create(&self, name: &OsStr) -> Result<OwnedFd, Error> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || openat(self.here(), name, flags, Mode::empty());
        match open() {
            Err(Errno::NOENT) => {}
            other => return other.map_err(|errno| refused("open", name, errno)),
        }
        match mkdirat(self.here(), name, Mode::from_raw_mode(0o755)) {
            // Another instance may have been quicker.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(refused("create", name, errno)),
        }
        open().map_err(|errno| refused("open", name, errno))
    }

    fn follow(&mut self, link: &OwnedFd, name: &OsStr) -> Result<(), Error> {
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(Error::TooManyLinks);
        }
        // The empty path reads the link that the descriptor stands for: no
        // second look-up by name in which it could have changed.
        let target = readlinkat(link, c"", Vec::new())
            .map_err(|errno| refused("read the symlink", name, errno))?;
        let target = OsString::from_vec(target.into_bytes());
        if target.as_bytes().starts_with(b"/") {
            self.opened.clear();
        }
        self.push_front(target.as_bytes());
        Ok(())
    }
}

fn refused(doing: &'static str, name: &OsStr, errno: Errno) -> Error {
    Error::Refused { doing, name: name.to_owned(), errno }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU32, Ordering};

    /// `<folder>/root` is the root; nothing beside it may change.
    struct Fixture(PathBuf);

    impl Fixture {
        fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("s1b-in-root-{}-{count}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir_all(folder.join("root")).unwrap();
            Self(folder)
        }

        fn root(&self) -> PathBuf {
            self.0.join("root")
        }

        fn resolve(&self, path: &str) -> Result<Place, Error> {
            let root = fs::File::open(self.root()).unwrap();
            resolve(root.as_fd(), OsStr::new(path))
        }

        /// Resolves, and says whether it came out at `expected` in the root.
        fn leads_to(&self, path: &str, expected: &str) {
            let place = self.resolve(path).unwrap();
            let found = fstat(place.open().unwrap()).unwrap();
            let wanted = fs::metadata(self.root().join(expected)).unwrap();
            assert_eq!((found.st_dev, found.st_ino), (wanted.dev(), wanted.ino()), "{path}");
            assert_eq!(fs::read_dir(&self.0).unwrap().count(), 1, "something beside the root");
        }
    }

    impl Drop for Fixture {
        fn drop(&mut self) {
            _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn absent_folders_are_created() {
        let fixture = Fixture::new();
        fixture.leads_to("lib/modules/4.4.178", "lib/modules/4.4.178");
        fixture.leads_to("/lib//./modules/4.4.178/", "lib/modules/4.4.178");
    }

    #[test]
    fn both_kinds_of_symlinks_stay_inside() {
        for target in ["usr/lib", "/usr/lib", "./usr/../usr/lib", "/../../usr/lib", "../usr/lib"] {
            let fixture = Fixture::new();
            symlink(target, fixture.root().join("lib")).unwrap();
            fixture.leads_to("lib/modules/r", "usr/lib/modules/r");
        }
    }

    #[test]
    fn links_to_links_and_links_in_the_middle_are_walked() {
        let fixture = Fixture::new();
        fs::create_dir_all(fixture.root().join("usr/lib64")).unwrap();
        symlink("/usr/lib", fixture.root().join("lib")).unwrap();
        symlink("lib64", fixture.root().join("usr/lib")).unwrap();
        symlink("/srv/modules", fixture.root().join("usr/lib64/modules")).unwrap();
        fixture.leads_to("lib/modules/r", "srv/modules/r");
    }

    #[test]
    fn a_dotdot_after_a_link_goes_to_the_parent_of_its_target() {
        let fixture = Fixture::new();
        fs::create_dir_all(fixture.root().join("a/b/c")).unwrap();
        symlink("a/b/c", fixture.root().join("link")).unwrap();
        fixture.leads_to("link/../x", "a/b/x");
        fixture.leads_to("../../../../etc", "etc");
    }

    #[test]
    fn a_host_path_in_a_link_is_made_inside_the_root() {
        let fixture = Fixture::new();
        let outside = fixture.0.join("outside");
        symlink(&outside, fixture.root().join("lib")).unwrap();
        let inside = fixture.root().join(outside.strip_prefix("/").unwrap());
        let place = fixture.resolve("lib/modules").unwrap();
        drop(place);
        assert!(inside.join("modules").is_dir());
        assert!(!outside.exists());
    }

    #[test]
    fn loops_files_and_the_root_itself_are_refused() {
        let fixture = Fixture::new();
        symlink("two", fixture.root().join("one")).unwrap();
        symlink("/one", fixture.root().join("two")).unwrap();
        symlink("self/self", fixture.root().join("self")).unwrap();
        fs::write(fixture.root().join("file"), "").unwrap();
        symlink("..", fixture.root().join("up")).unwrap();
        assert_eq!(fixture.resolve("one/x").unwrap_err(), Error::TooManyLinks);
        assert_eq!(fixture.resolve("self").unwrap_err(), Error::TooManyLinks);
        assert_eq!(fixture.resolve("file/x").unwrap_err(), Error::NotAFolder("file".into()));
        for path in ["", "/", "..", "up", "up/../up"] {
            assert_eq!(fixture.resolve(path).unwrap_err(), Error::IsRoot, "{path}");
        }
    }

    #[test]
    fn the_place_is_opened_anew_each_time() {
        let fixture = Fixture::new();
        let place = fixture.resolve("a/b").unwrap();
        fs::remove_dir(fixture.root().join("a/b")).unwrap();
        symlink("/", fixture.root().join("a/b")).unwrap();
        assert!(place.open().is_err(), "a symlink that came later is not followed");
        assert!(Path::new("/").exists());
    }
}
