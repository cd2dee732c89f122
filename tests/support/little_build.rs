//! A finished build in little, for tests of what an image holds.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::path::{Path, PathBuf};

use fs_err as fs;
use stage1_builder::compile::KernelArtifacts;
use stage1_builder::content::REBOOT_TEXT;
use stage1_builder::kconfig::RKT_BUILT_IN;
use stage1_builder::settings::{Arch, KernelVersion};

pub(crate) const RELEASE: &str = "6.12.0-kinvolk-v1";

pub(crate) const EPOCH: u64 = 1_700_000_000;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What is looked for in a kernel: its configuration, and rkt's change.
pub(crate) fn vmlinux(config: &str) -> Vec<u8> {
    let parts = [b"\x7fELF IKCFG_ST".to_vec(), gzip(config.as_bytes()), b"IKCFG_ED".to_vec()];
    [parts.concat(), REBOOT_TEXT.as_bytes().to_vec()].concat()
}

/// A bzImage that says [`RELEASE`], with this kernel in it
/// (`Documentation/arch/x86/boot.rst`).
pub(crate) fn bzimage(vmlinux: &[u8]) -> Vec<u8> {
    let payload = gzip(vmlinux);
    let mut image = vec![0; 0x400];
    image[0x1f1] = 1;
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
    image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
    image[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    let said = format!("{RELEASE} (builder@host) #1");
    image[0x300..0x300 + said.len()].copy_from_slice(said.as_bytes());
    image.extend(payload);
    image
}

/// A finished build in little: every kind of file that a real one has, and
/// what must not come along.
pub(crate) fn little_build(folder: &Path) -> KernelArtifacts {
    let tree = folder.join("tree");
    let build = tree.join("objects");
    let leak = format!("cmd := gcc {}", folder.display());
    let built_in = RKT_BUILT_IN.iter().map(|need| format!("CONFIG_{}=y\n", need.any_of[0]));
    let config = format!("CONFIG_MODULES=y\n{}", built_in.collect::<String>());
    let vmlinux = vmlinux(&config);
    let image = bzimage(&vmlinux);
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
        ("tree/objects/vmlinux", &vmlinux),
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
