//! The uncompressed kernel, for programs that read its symbols and types.

use fs_err as fs;

use super::Error;
use super::host_tools::strip;
use super::rootfs::Rootfs;
use crate::compile::{KernelArtifacts, cross_prefix};
use crate::settings::Vmlinux;

/// Adds it to a modules folder, and a link under the name with the release:
/// libbpf, and with it bpftrace and bpftool, look for `vmlinux-<release>`
/// there (`btf__load_vmlinux_btf` in `btf.c`), drgn for `vmlinux`.
///
/// `build/vmlinux`, where perf looks, is left out: with it `make modules`
/// makes type information for each module, which takes pahole and fails
/// without (`scripts/Makefile.modfinal`).
///
/// # Errors
/// When there is none, or `strip` fails.
pub(super) fn add(
    artifacts: &KernelArtifacts,
    form: Vmlinux,
    base: &str,
    rootfs: &mut Rootfs,
) -> Result<(), Error> {
    let linked = artifacts.build.join("vmlinux");
    let from = match form {
        Vmlinux::None => return Ok(()),
        Vmlinux::Debug => linked,
        Vmlinux::Stripped => {
            // Too big for memory. Beside the linked one, where a killed
            // build's is replaced by the next.
            let stripped = artifacts.build.join("vmlinux.stripped");
            let new = artifacts.build.join("vmlinux.stripped.new");
            // What is loaded stays: .BTF is.
            strip(cross_prefix(artifacts.arch), &["--strip-debug"], &linked, &new)?;
            fs::rename(&new, &stripped).map_err(Error::Scratch)?;
            stripped
        }
    };
    rootfs.insert_path(&format!("{base}/vmlinux"), from, false)?;
    rootfs.insert_symlink(&format!("{base}/vmlinux-{}", artifacts.release), "vmlinux")
}
