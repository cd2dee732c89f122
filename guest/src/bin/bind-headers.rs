//! `bind-headers ROOT [MODULES]`: shows an app the running kernel's headers.
//!
//! Binds `MODULES/<uname -r>` (`/usr/lib64/modules` unless given) to
//! `/lib/modules/<uname -r>` inside the app's root folder, read-only. Bound
//! already is fine; a volume of the user's on that very path stays.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use stage1_builder_guest::bind::{Outcome, bind_headers, running_release};

/// Where an image keeps the folders of its kernels.
const MODULES: &str = "/usr/lib64/modules";

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(root), modules, None) = (args.next(), args.next(), args.next()) else {
        eprintln!("usage: bind-headers ROOT [MODULES]");
        return ExitCode::from(2);
    };
    // Folders made for the target are the app's to walk, whatever our mask.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let modules = modules.unwrap_or_else(|| MODULES.into());
    match bind_headers(&modules, Path::new(&running_release()), &root) {
        Ok(Outcome::Bound | Outcome::AlreadyBound) => ExitCode::SUCCESS,
        Ok(Outcome::Occupied) => {
            eprintln!(
                "bind-headers: something else is mounted on the headers' place in {}; \
                 it stays",
                root.display()
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bind-headers: {error}");
            ExitCode::FAILURE
        }
    }
}
