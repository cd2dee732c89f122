//! Loading what a foreign kernel has not built in.

use std::fs::{self, File};

use rustix::io::Errno;

use super::problem::{Explain, Problem};

/// Loads the modules in the order given; one that is in already is fine.
pub(super) fn load(paths: &[String]) -> Result<(), Problem> {
    for path in paths {
        let doing = format!("can't load the module {path}");
        let file = File::open(path).or_init(&doing)?;
        match rustix::system::finit_module(&file, c"", 0) {
            Ok(()) | Err(Errno::EXIST) => {}
            other => other.or_init(&doing)?,
        }
        _ = fs::remove_file(path);
    }
    Ok(())
}
