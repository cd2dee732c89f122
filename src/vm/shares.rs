//! The daemons of virtiofs shares.
//!
//! virtiofsd (the one in Rust) runs with the caller's rights and no more, and
//! enforces what may not be written from out here: a guest that mounts a
//! share anew finds it as it was.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::proc::{Program, Running};

use super::{Error, Share, Via};

/// Where QEMU finds the daemon of a share.
pub(super) fn socket(folder: &Path, tag: &str) -> PathBuf {
    folder.join(format!("{tag}.sock"))
}

/// Starts a daemon for each share that has one. They can be spoken to at
/// once: their sockets are ours, made before they start.
pub(super) fn start(folder: &Path, shares: &[Share]) -> Result<Vec<Running>, Error> {
    let start = |share: &Share| match &share.via {
        Via::NineP => None,
        Via::Virtiofs { program } => Some(daemon(folder, share, program)),
    };
    shares.iter().filter_map(start).collect()
}

fn daemon(folder: &Path, share: &Share, program: &str) -> Result<Running, Error> {
    let path = socket(folder, &share.tag);
    // There when a first try under KVM has failed.
    _ = fs_err::remove_file(&path);
    let listener = UnixListener::bind(&path).map_err(Error::folder(&path))?;
    let fd = format!("--fd={}", listener.as_raw_fd());
    let daemon = program_of(share, program, &fd).inherit(listener.into());
    daemon.start().map_err(Error::Virtiofsd)
}

/// The daemons' command lines as one could type them.
pub(super) fn command_lines(folder: &Path, shares: &[Share]) -> Vec<String> {
    let line = |share: &Share| match &share.via {
        Via::NineP => None,
        Via::Virtiofs { program } => {
            let at = format!("--socket-path={}", socket(folder, &share.tag).display());
            Some(program_of(share, program, &at).to_string())
        }
    };
    shares.iter().filter_map(line).collect()
}

fn program_of(share: &Share, program: &str, at: &str) -> Program {
    Program::new(program)
        .arg(at)
        .arg("--shared-dir")
        .arg(&share.path)
        // Its own sandboxes hide the owners' numbers, or need root.
        .args(["--sandbox=none", "--seccomp=kill", "--xattr", "--inode-file-handles=never"])
        // A folder that is announced as a mount is one that overlayfs refuses.
        .arg("--no-announce-submounts")
        .args(if share.writable {
            &["--cache=auto"][..]
        } else {
            &["--cache=always", "--readonly"]
        })
}

/// Whether this is a virtiofsd that can do what we need of it.
#[must_use]
pub fn virtiofsd_serves(program: &str) -> bool {
    let help = Program::new(program).arg("--help").run().unwrap_or_default();
    let help = String::from_utf8_lossy(&help);
    ["--readonly", "--sandbox", "--fd", "--inode-file-handles"]
        .iter()
        .all(|option| help.contains(option))
}

/// How many files virtiofsd may have open at most. It keeps every file open
/// that the guest's kernel remembers, and with none left it fails.
#[must_use]
pub fn files_of_virtiofsd() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.maximum.unwrap_or(u64::MAX)
}
