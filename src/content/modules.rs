//! `usr/lib/modules/<release>`: everything of a kernel but the kernel.

use fs_err as fs;

use super::rootfs::Rootfs;
use super::{Error, headers, vmlinux};
use crate::compile::KernelArtifacts;
use crate::settings::{Arch, Vmlinux};

/// The folder above the releases in a tree.
pub const MODULES: &str = "usr/lib/modules";

/// The modules folder of a finished build:
///
/// | path | is |
/// |---|---|
/// | `include/` | the API headers, from `headers_install` |
/// | `source/` | what a module compiles against, `.config` and `Module.symvers` included |
/// | `build` | a link to it, where `make -C /lib/modules/<release>/build` looks |
/// | `System.map`, `config` | of the kernel |
/// | `provenance.json` | what it was made from, as given |
/// | `vmlinux`, `vmlinux-<release>` | the uncompressed kernel, on request, and a link to it |
///
/// # Errors
/// When a piece of the build is absent or can't be read, `strip` fails, or
/// the kernel says another release.
pub fn kernel_modules(
    artifacts: &KernelArtifacts,
    provenance: &[u8],
    vmlinux: Vmlinux,
) -> Result<Rootfs, Error> {
    super::kernel_image::check_release(&artifacts.image, &artifacts.release)?;
    let base = format!("{MODULES}/{}", artifacts.release);
    let mut rootfs = Rootfs::new();
    headers::add_api_headers(artifacts, &format!("{base}/include"), &mut rootfs)?;
    headers::add_source(artifacts, &format!("{base}/source"), &mut rootfs)?;
    rootfs.insert_symlink(&format!("{base}/build"), "source")?;
    for (name, from) in [("System.map", "System.map"), ("config", ".config")] {
        rootfs.insert_path(&format!("{base}/{name}"), artifacts.build.join(from), false)?;
    }
    rootfs.insert_bytes(&format!("{base}/provenance.json"), provenance.to_vec(), false)?;
    vmlinux::add(artifacts, vmlinux, &base, &mut rootfs)?;
    rootfs.remove_dangling_links();
    check_complete(artifacts, &base, &rootfs)?;
    Ok(rootfs)
}

/// What must be in a modules folder, by its own configuration and sources.
fn required(rootfs: &Rootfs, base: &str, arch: Arch, config: &str) -> Vec<String> {
    let arch = format!("arch/{}/include", arch.source_folder());
    let mut paths = vec![
        "include/linux/version.h".to_owned(),
        "include/asm/unistd.h".to_owned(),
        "source/Makefile".to_owned(),
        "source/include/linux/kconfig.h".to_owned(),
        "source/include/uapi/linux/types.h".to_owned(),
        "source/include/generated/autoconf.h".to_owned(),
        "source/include/generated/utsrelease.h".to_owned(),
        "source/include/generated/uapi/linux/version.h".to_owned(),
        "source/include/config/auto.conf".to_owned(),
        "source/include/config/kernel.release".to_owned(),
        format!("source/{arch}/asm"),
        format!("source/{arch}/generated"),
        format!("source/include/{arch}/generated"),
    ];
    if config.lines().any(|line| line == "CONFIG_MODULES=y") {
        let tools = ["scripts/basic/fixdep", "scripts/mod/modpost", "Module.symvers"];
        paths.extend(tools.iter().map(|tool| format!("source/{tool}")));
        // Where its own source is there, this kernel links modules by it.
        // Before 5.10, arm64 had one of its own, which its makefile asks for with this option.
        if rootfs.get(&format!("{base}/source/scripts/module.lds.S")).is_some() {
            paths.push("source/scripts/module.lds".to_owned());
        } else if config.lines().any(|line| line == "CONFIG_ARM64_MODULE_PLTS=y") {
            paths.push("source/arch/arm64/kernel/module.lds".to_owned());
        }
    }
    paths
}

fn check_complete(artifacts: &KernelArtifacts, base: &str, rootfs: &Rootfs) -> Result<(), Error> {
    let config = fs::read_to_string(artifacts.build.join(".config")).map_err(Error::Read)?;
    let mut lacking = lacking(rootfs, base, artifacts.arch, &config);
    match lacking.is_empty() {
        true => Ok(()),
        false => Err(Error::Incomplete { path: lacking.swap_remove(0) }),
    }
}

/// What the modules folder at `base` lacks of what users name or compile
/// with, as paths in it. `config` is its kernel's `.config`.
#[must_use]
pub fn lacking(rootfs: &Rootfs, base: &str, arch: Arch, config: &str) -> Vec<String> {
    let mut paths = required(rootfs, base, arch, config);
    paths.retain(|path| rootfs.resolve(&format!("{base}/{path}")).is_none());
    paths
}
