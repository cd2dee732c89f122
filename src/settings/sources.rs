//! What settings are made from, as the host has it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::{Error, Key, Origin, Position};

/// Everything that settings are made from, read but not understood.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The project folder, which the built-in relative paths are relative to.
    pub project_dir: PathBuf,
    /// Path and text of `builder-config`, if there is one.
    pub builder_config: Option<(PathBuf, String)>,
    /// Path and text of `.config`, if there is one.
    pub dot_config: Option<(PathBuf, String)>,
    /// The process's environment, as far as it is text.
    pub environment: BTreeMap<String, String>,
    /// What the command line gave.
    pub flags: BTreeMap<Key, String>,
    /// The process's current directory, absolute.
    pub current_dir: PathBuf,
    /// The processors that the process may use; `None` counts as one.
    pub available_parallelism: Option<NonZeroUsize>,
}

impl Sources {
    /// Reads the two files of `project_dir`, the environment and what else
    /// the host says. Files that aren't there are left out.
    ///
    /// # Errors
    /// When a file, the current directory or a setting in the environment
    /// can't be read as text.
    pub fn from_host(project_dir: &Path, flags: BTreeMap<Key, String>) -> Result<Self, Error> {
        let current_dir = std::env::current_dir().map_err(Error::Read)?;
        let same = fs_err::canonicalize(project_dir).map_err(Error::Read)?
            == fs_err::canonicalize(&current_dir).map_err(Error::Read)?;
        // The same folder under the same name: so paths stay as short as typed.
        let project_dir = if same { current_dir.clone() } else { project_dir.to_owned() };
        let path = |name| anchored(&project_dir, Path::new(name), &current_dir);
        let builder_config = read(&path("builder-config"))?;
        let dot_config = path(".config");
        let is_ours = builder_config.is_some() || !dot_config.is_dir();
        let dot_config = if is_ours { read(&dot_config)? } else { None };
        let is_ours = |(_, text): &(PathBuf, String)| builder_config.is_some() || !is_kernels(text);
        Ok(Self {
            dot_config: dot_config.filter(is_ours),
            builder_config,
            environment: environment(std::env::vars_os())?,
            flags,
            available_parallelism: std::thread::available_parallelism().ok(),
            project_dir,
            current_dir,
        })
    }

    /// The folder that a relative path of this origin is relative to.
    pub(super) fn base<'a>(&'a self, origin: &'a Origin) -> &'a Path {
        match origin {
            Origin::BuiltIn => &self.project_dir,
            Origin::File { path, .. } => path.parent().unwrap_or(&self.project_dir),
            Origin::Environment | Origin::Flag => &self.current_dir,
        }
    }
}

/// `path` as seen from the current directory, when it was meant from `base`;
/// as short as it was typed where that is the same.
pub(super) fn anchored(base: &Path, path: &Path, current_dir: &Path) -> PathBuf {
    if current_dir.join(base) == current_dir { path.to_owned() } else { base.join(path) }
}

/// Whether a `.config` is a kernel's. Outside of a project folder, where
/// anything may be run, one that is says nothing to us; nor does the folder
/// of that name that every home folder has.
fn is_kernels(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("CONFIG_") || line.starts_with("# CONFIG_"))
}

fn read(path: &Path) -> Result<Option<(PathBuf, String)>, Error> {
    let bytes = match fs_err::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::Read(error)),
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some((path.to_owned(), text))),
        Err(error) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let at = String::from_utf8_lossy(good).chars().fold(Position::START, Position::after);
            let instead = Some("save the file as UTF-8".to_owned());
            let problem = "not UTF-8".to_owned();
            Err(Error::Line { file: path.to_owned(), at, problem, instead })
        }
    }
}

/// The variables that are text. Those that aren't can only be other
/// programs' own, unless their names are ours.
fn environment(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<BTreeMap<String, String>, Error> {
    let mut texts = BTreeMap::new();
    for (name, value) in variables {
        let name = name.to_string_lossy().into_owned();
        let ours = name.starts_with("S1B_") || Key::named(&name).is_some();
        match value.into_string() {
            Ok(value) => drop(texts.insert(name, value)),
            Err(_) if ours => return Err(Error::NotText { name }),
            Err(_) => {}
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn only_our_own_variables_must_be_text() {
        let bytes = || OsString::from_vec(vec![b'x', 0xff]);
        let read = |name: OsString| environment([(name, bytes()), ("A".into(), "b".into())]);
        let found = read("OTHER".into()).unwrap();
        assert_eq!(found, [("A".to_owned(), "b".to_owned())].into());
        for name in ["S1B_OUT_DIR", "DEBUG"] {
            let error = read(name.into()).unwrap_err();
            assert_eq!(error.to_string(), format!("environment: the value of {name} is not UTF-8"));
        }
    }

    #[test]
    fn other_programs_files_of_that_name_are_none_of_our_business() {
        let folder = tempfile::tempdir().unwrap();
        let found = || Sources::from_host(folder.path(), BTreeMap::new());
        let dot_config = folder.path().join(".config");
        fs_err::create_dir(&dot_config).unwrap();
        assert_eq!(found().unwrap().dot_config, None);
        fs_err::remove_dir(&dot_config).unwrap();
        fs_err::write(&dot_config, "#\n# Linux/x86 6.12\nCONFIG_SMP=y\n").unwrap();
        assert_eq!(found().unwrap().dot_config, None);
        fs_err::write(&dot_config, "S1B_JOBS=2\n").unwrap();
        assert!(found().unwrap().dot_config.is_some());
        fs_err::write(folder.path().join("builder-config"), "").unwrap();
        fs_err::write(&dot_config, "CONFIG_SMP=y\n").unwrap();
        assert!(found().unwrap().dot_config.is_some(), "in a project it is a mistake to be told");
    }

    #[test]
    fn a_folder_that_is_the_current_one_adds_nothing() {
        let path = |base: &str| anchored(Path::new(base), Path::new("a/"), Path::new("/x/y"));
        for base in ["", ".", "/x/y", "/x/y/", "/x/./y"] {
            assert_eq!(path(base).to_str(), Some("a/"), "{base}");
        }
        assert_eq!(path("..").to_str(), Some("../a/"));
        assert_eq!(path("/x").to_str(), Some("/x/a/"));
    }
}
