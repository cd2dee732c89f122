//! The programs that compiling a module runs, as the build made them.

use std::path::Path;

use fs_err as fs;

use super::Error;
use super::rootfs::Rootfs;
use crate::proc::{Program, find};

/// The tools, by their path in the object folder. `recordmcount` and
/// `genksyms` are there only if the configuration has a use for them.
const TOOLS: [&str; 6] = [
    "scripts/basic/fixdep",
    "scripts/genksyms/genksyms",
    "scripts/mod/modpost",
    "scripts/recordmcount",
    "scripts/sign-file",
    "tools/objtool/objtool",
];

/// Adds the tools that the build has under `to`, stripped: debug information
/// and build id are made from paths of the machine that compiled them.
///
/// # Errors
/// When `strip` is not there or fails.
pub(super) fn add(build: &Path, to: &str, rootfs: &mut Rootfs) -> Result<(), Error> {
    let present: Vec<&str> =
        TOOLS.iter().copied().filter(|tool| build.join(tool).is_file()).collect();
    if present.is_empty() {
        return Ok(());
    }
    let scratch = tempfile::tempdir().map_err(Error::Scratch)?;
    for tool in present {
        let stripped = scratch.path().join("tool");
        let options = ["--strip-all", "--remove-section=.note.gnu.build-id"];
        strip("", &options, &build.join(tool), &stripped)?;
        let bytes = fs::read(&stripped).map_err(Error::Scratch)?;
        rootfs.insert_bytes(&format!("{to}/{tool}"), bytes, true)?;
    }
    Ok(())
}

/// Writes an ELF file without what the options name to another; `prefix` is
/// that of the tools for its architecture.
///
/// # Errors
/// When `strip` is not there or fails.
pub(super) fn strip(prefix: &str, options: &[&str], from: &Path, to: &Path) -> Result<(), Error> {
    let own = format!("{prefix}strip");
    let program = [own.as_str(), "llvm-strip"].into_iter().find(|name| find(name).is_some());
    Program::new(program.ok_or_else(|| Error::NoStrip { program: own.clone() })?)
        .args(options)
        .arg("-o")
        .args([to, from])
        .run()
        .map(drop)
        .map_err(Error::Strip)
}
