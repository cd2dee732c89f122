//! Whole images, as other people's programs see them: `actool` (Debian:
//! appc-spec), `tar`, `gzip`, `xz`.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and print")]

use std::path::{Path, PathBuf};

use fs_err as fs;
use stage1_builder::compile::KernelArtifacts;
use stage1_builder::content::{REBOOT_TEXT, UPSTREAMS, stage1_kvm};
use stage1_builder::fsutil::AtomicFile;
use stage1_builder::pack::aci::{self, DEFAULT_NAME, Entry, Manifest, WriteOptions};
use stage1_builder::pack::{Compression, Error, Packed};
use stage1_builder::proc::Program;
use stage1_builder::report::Silent;
use stage1_builder::settings::{Arch, KernelVersion, RktVersion};

#[path = "../support/render.rs"]
mod render;

mod contents;
mod exported;
mod formats;
mod module;
mod refused;
mod rendered;

pub(crate) const RELEASE: &str = "6.12.0-kinvolk-v1";

pub(crate) const EPOCH: u64 = 1_700_000_000;

/// A finished build in little: every kind of file that a real one has, and
/// what must not come along.
pub(crate) fn little_build(folder: &Path) -> KernelArtifacts {
    let tree = folder.join("tree");
    let build = tree.join("objects");
    let leak = format!("cmd := gcc {}", folder.display());
    let mut image = vec![0; 0x400];
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
    let said = format!("{RELEASE} (builder@host) #1");
    image[0x300..0x300 + said.len()].copy_from_slice(said.as_bytes());
    let config = "CONFIG_MODULES=y\n";
    let tool = fs::read("/bin/true").unwrap();
    let long = format!("tree/include/{}/{}.h", "d".repeat(90), "f".repeat(120));
    let files: &[(&str, &[u8])] = &[
        ("tree/Makefile", b"all:"),
        ("tree/Kbuild", b""),
        ("tree/.gitignore", b"x"),
        ("tree/README", b"not wanted"),
        ("tree/include/linux/kconfig.h", b"#define K"),
        ("tree/include/uapi/linux/types.h", b"typedef"),
        ("tree/include/.hidden", leak.as_bytes()),
        (&long, b"long"),
        ("tree/arch/x86/Makefile", b"x86:"),
        ("tree/arch/x86/Makefile_32.cpu", b"x86:"),
        ("tree/arch/x86/include/asm/ptrace.h", b"struct"),
        ("tree/arch/arm64/include/asm/ptrace.h", b"not wanted"),
        ("tree/scripts/Makefile.build", b"build:"),
        ("tree/scripts/module.lds.S", b"SECTIONS"),
        ("tree/scripts/mod/modpost.c", b"main"),
        ("tree/scripts/dtc/dtc.c", b"not wanted"),
        ("tree/objects/Makefile", leak.as_bytes()),
        ("tree/objects/.config", config.as_bytes()),
        ("tree/objects/System.map", b"ffff T start"),
        ("tree/objects/Module.symvers", b"0x0 printk"),
        ("tree/objects/vmlinux", REBOOT_TEXT.as_bytes()),
        ("tree/objects/arch/x86/boot/bzImage", &image),
        ("tree/objects/include/generated/autoconf.h", b"#define"),
        ("tree/objects/include/generated/utsrelease.h", b"#define"),
        ("tree/objects/include/generated/uapi/linux/version.h", b"#define"),
        ("tree/objects/include/generated/.x.h.cmd", leak.as_bytes()),
        ("tree/objects/include/config/auto.conf", b"CONFIG_X=y"),
        ("tree/objects/include/config/auto.conf.cmd", leak.as_bytes()),
        ("tree/objects/include/config/kernel.release", RELEASE.as_bytes()),
        ("tree/objects/include/config/SMP", b""),
        ("tree/objects/arch/x86/include/generated/asm/errno.h", b"#include"),
        ("tree/objects/scripts/module.lds", b"SECTIONS"),
        ("tree/objects/scripts/basic/fixdep", &tool),
        ("tree/objects/scripts/basic/.fixdep.cmd", leak.as_bytes()),
        ("tree/objects/scripts/mod/modpost", &tool),
        ("tree/objects/scripts/mod/modpost.o", leak.as_bytes()),
        ("tree/objects/tools/objtool/objtool", &tool),
        ("tree/objects/api/include/linux/version.h", b"#define"),
        ("tree/objects/api/include/asm/unistd.h", b"#define"),
        ("tree/objects/api/include/linux/.install", leak.as_bytes()),
        ("tree/objects/api/include/linux/..install.cmd", leak.as_bytes()),
    ];
    for (path, bytes) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    fs::os::unix::fs::symlink(&tree, build.join("source")).unwrap();
    fs::os::unix::fs::symlink("../uapi/linux/types.h", tree.join("include/linux/link.h")).unwrap();
    fs::os::unix::fs::symlink("/etc/passwd", tree.join("include/linux/out.h")).unwrap();
    fs::os::unix::fs::symlink("../../arch/sh", tree.join("include/linux/sh")).unwrap();
    artifacts_in(tree, KernelVersion::new(6, 12, 0), RELEASE)
}

pub(crate) fn artifacts_in(
    tree: PathBuf,
    version: KernelVersion,
    release: &str,
) -> KernelArtifacts {
    let objects = ["stage1-objects", "objects"].map(|name| tree.join(name));
    let build = objects.into_iter().find(|folder| folder.is_dir()).unwrap();
    let headers = ["api-headers/include", "api/include"].map(|name| build.join(name));
    KernelArtifacts {
        version,
        arch: Arch::X86_64,
        release: release.to_owned(),
        image: build.join("arch/x86/boot/bzImage"),
        api_headers: headers.into_iter().find(|folder| folder.is_dir()).unwrap(),
        tree,
        build,
        epoch: EPOCH,
    }
}

pub(crate) fn newest() -> RktVersion {
    UPSTREAMS.last().unwrap().version
}

pub(crate) fn manifest(artifacts: &KernelArtifacts, upstream: RktVersion) -> Manifest {
    Manifest::stage1_kvm(DEFAULT_NAME, upstream, &artifacts.version, Arch::X86_64).unwrap()
}

pub(crate) fn options(compression: Compression) -> WriteOptions {
    WriteOptions { epoch: EPOCH, compression, ..WriteOptions::default() }
}

pub(crate) fn pack(
    artifacts: &KernelArtifacts,
    upstream: RktVersion,
    options: &WriteOptions,
    to: &Path,
) -> Result<Packed, Error> {
    let rootfs = stage1_kvm(artifacts, upstream, b"{}\n").unwrap();
    let mut file = AtomicFile::create(to).unwrap();
    let manifest = manifest(artifacts, upstream);
    let packed = aci::write(&manifest, &rootfs, options, &mut file, &Silent)?;
    file.commit().unwrap();
    Ok(packed)
}

pub(crate) fn run(name: &str, args: &[&str]) -> String {
    let output = Program::new(name).args(args).output().unwrap();
    assert!(output.status.success(), "{name} {args:?}: {}", output.stderr);
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn entries(image: &Path) -> Vec<(Entry, Vec<u8>)> {
    let mut entries = Vec::new();
    aci::read_file(image, |entry, bytes| {
        let mut content = Vec::new();
        bytes.read_to_end(&mut content)?;
        entries.push((entry.clone(), content));
        Ok(())
    })
    .unwrap();
    entries
}
