//! What a rkt stage1-kvm image adds to the one that it depends on.

use super::guest::{BIND_HEADERS, guest_program};
use super::kernel_image::restarts;
use super::upstream::Upstream;
use super::{Candidate, Configuration, Error, Rootfs, release_of};
use fs_err as fs;

use crate::compile::KernelArtifacts;
use crate::kconfig::DotConfig;
use crate::settings::{Arch, RktVersion};

/// The folder of our own programs: no name that upstream has.
const PROGRAMS: &str = "usr/lib64/stage1-builder";

/// The drop-in. Upstream's unit is written by rkt's init at
/// `/usr/lib/systemd/system/prepare-app@.service`
/// (`stage1/init/common/units.go`), and `usr/lib` leads to `lib64` there.
const DROP_IN: &str = "usr/lib64/systemd/system/prepare-app@.service.d/10-bind-kernel-headers.conf";

/// Whether there can be an image for this release of rkt, and a stage1 for
/// this architecture: worth asking before a kernel is compiled for it.
///
/// # Errors
/// When the upstream release is unknown, or no guest program is built for
/// the architecture.
pub fn check(upstream: RktVersion, stage1: Option<Arch>) -> Result<(), Error> {
    Upstream::of(upstream)?;
    match stage1.filter(|arch| guest_program(BIND_HEADERS, *arch).is_none()) {
        Some(arch) => Err(Error::NoProgram { arch }),
        None => Ok(()),
    }
}

/// The tree of an image: the kernel under the name that this release of rkt
/// looks for, the modules folder, and the drop-in with its program. With
/// `any_config`, nobody asks whether the configuration has what rkt needs.
///
/// # Errors
/// When the upstream release is unknown, the kernel lacks what rkt needs of
/// it, or a piece of the build is absent.
pub fn stage1_kvm(
    artifacts: &KernelArtifacts,
    upstream: RktVersion,
    provenance: &[u8],
    any_config: bool,
) -> Result<Rootfs, Error> {
    super::tree::stage1_tree(artifacts, upstream, provenance, any_config)
}

/// Adds what a stage1 has besides the kernel: the drop-in with its program.
///
/// # Errors
/// When the upstream release is unknown, no program is built for the
/// architecture, or the kernel lacks what rkt needs of it.
pub(super) fn add(
    artifacts: &KernelArtifacts,
    upstream: RktVersion,
    any_config: bool,
    tree: &mut Rootfs,
) -> Result<(), Error> {
    check_bootable(artifacts, any_config)?;
    add_programs(upstream, artifacts.arch, tree)
}

/// Adds the drop-in with its program.
///
/// # Errors
/// When the upstream release is unknown, or no program is built for the
/// architecture.
pub(super) fn add_programs(
    upstream: RktVersion,
    arch: Arch,
    tree: &mut Rootfs,
) -> Result<(), Error> {
    Upstream::of(upstream)?;
    let program = guest_program(BIND_HEADERS, arch).ok_or(Error::NoProgram { arch })?;
    tree.insert_bytes(&format!("{PROGRAMS}/{BIND_HEADERS}"), program.bytes, true)?;
    tree.insert_bytes(DROP_IN, drop_in().into_bytes(), false)
}

/// Refuses a kernel that rkt could not boot.
fn check_bootable(artifacts: &KernelArtifacts, any_config: bool) -> Result<(), Error> {
    let vmlinux = fs::File::open(artifacts.build.join("vmlinux")).map_err(Error::Read)?;
    let config = match any_config {
        true => None,
        false => Some(DotConfig::load(&artifacts.build.join(".config")).map_err(Error::Config)?),
    };
    let candidate = Candidate {
        release: &release_of(&artifacts.image)?,
        folder: &artifacts.release,
        version: &artifacts.version,
        config: config.as_ref().map_or(Configuration::Unasked, Configuration::Known),
        restarts: restarts(vmlinux)?,
    };
    candidate.check()
}

/// `%I` is the unescaped instance, the app's root folder. The unit is of the
/// one-shot kind: a failing `ExecStartPost=` fails it, and the app, which
/// requires it, does not start. That is right: an app that is shown no
/// headers, or another kernel's, would fail later for a worse reason.
fn drop_in() -> String {
    format!("[Service]\nExecStartPost=/{PROGRAMS}/{BIND_HEADERS} %I\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drop_in_names_a_program_that_is_in_the_image() {
        let line = drop_in();
        let command = line.lines().find_map(|line| line.strip_prefix("ExecStartPost=/")).unwrap();
        assert_eq!(command, format!("{PROGRAMS}/{BIND_HEADERS} %I"));
    }
}
