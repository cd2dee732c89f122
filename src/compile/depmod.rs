//! kmod's `depmod`: what each module needs, for `modprobe` and for guests.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::requirements::Missing;
use super::{Error, first_line};
use crate::proc::{self, Program};

/// The program, as it is on this host.
#[derive(Debug, Clone, Serialize)]
pub struct Depmod {
    #[serde(skip)]
    program: PathBuf,
    /// Its version, as it tells it: another one may write other lists.
    text: String,
}

impl Depmod {
    /// Finds it. Debian has it where only root looks.
    ///
    /// # Errors
    /// [`Error::MissingTools`] when it is not there.
    pub fn find() -> Result<Self, Error> {
        let places = ["depmod", "/usr/sbin/depmod", "/sbin/depmod"];
        let missing =
            || Missing::new("depmod", "lists what the kernel's modules need", ["kmod"; 4]);
        let program = places.into_iter().find_map(proc::find);
        let program = program.ok_or_else(|| Error::MissingTools(vec![missing()]))?;
        let text = first_line(&program, "--version")?;
        Ok(Self { program, text })
    }

    /// Writes `modules.dep` and its kin into `lib/modules/<release>` below
    /// `root`.
    ///
    /// # Errors
    /// When it fails.
    pub fn run(&self, root: &Path, release: &str) -> Result<(), Error> {
        Program::new(&self.program).arg("-b").arg(root).arg(release).run()?;
        Ok(())
    }
}
