//! A module of somebody else's against an image's headers.

use std::path::Path;

use fs_err as fs;
use stage1_builder::content::kernel_modules;
use stage1_builder::fsutil::AtomicFile;
use stage1_builder::pack::aci::{self};
use stage1_builder::pack::{Compression, write_dir};
use stage1_builder::proc::Program;
use stage1_builder::report::Silent;
use stage1_builder::settings::{KernelVersion, Vmlinux};

use super::{EPOCH, artifacts_in, manifest, newest, options, run};

/// `S1B_TEST_TREES` names source trees (separated by `:`) that were compiled
/// into their object folder, with the API headers installed there.
#[test]
fn a_module_compiles_against_real_images_alone() {
    let trees = std::env::var("S1B_TEST_TREES").unwrap_or_default();
    for tree in trees.split(':').filter(|tree| !tree.is_empty()) {
        compile_a_module(Path::new(tree));
    }
}

fn compile_a_module(tree: &Path) {
    let placeholder = artifacts_in(tree.to_owned(), KernelVersion::new(4, 4, 0), "");
    let release = placeholder.build.join("include/config/kernel.release");
    let release = fs::read_to_string(release).unwrap();
    let release = release.trim();
    let version = release.split('-').next().unwrap().parse().unwrap();
    let artifacts = artifacts_in(tree.to_owned(), version, release);
    let rootfs = kernel_modules(&artifacts, b"{}", Vmlinux::None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("aci");
    write_dir(&manifest(&artifacts, newest()), &rootfs, EPOCH, &into).unwrap();

    let mut packed = AtomicFile::create(&folder.path().join("image.aci")).unwrap();
    let mut options = options(Compression::Gzip);
    options.forbidden = vec![tree.as_os_str().as_encoded_bytes().to_vec()];
    let start = std::time::Instant::now();
    let manifest = manifest(&artifacts, newest());
    let written = aci::write(&manifest, &rootfs, &options, &mut packed, &Silent).unwrap();
    packed.commit().unwrap();
    eprintln!("{release}: {} files in {:?}, {written:?}", rootfs.len(), start.elapsed());

    let module = folder.path().join("module");
    fs::create_dir_all(&module).unwrap();
    fs::write(module.join("Makefile"), "obj-m := hello.o\n").unwrap();
    fs::write(module.join("hello.c"), HELLO).unwrap();
    let build = into.join("rootfs/usr/lib/modules").join(release).join("build");
    let hidden = format!(
        "mount -t tmpfs none {} && make -C {} M={} modules",
        tree.display(),
        build.display(),
        module.display()
    );
    let output =
        Program::new("unshare").args(["--map-root-user", "--mount", "sh", "-c", &hidden]).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &output.stderr;
    assert!(output.status.success(), "{release}: {said}");
    let info = run("modinfo", &["-F", "vermagic", module.join("hello.ko").to_str().unwrap()]);
    assert!(info.starts_with(release), "{info}");
}

const HELLO: &str = r#"
#include <linux/module.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/version.h>
static int __init hello(void) { pr_info("hello %x\n", LINUX_VERSION_CODE); return 0; }
static void __exit goodbye(void) { pr_info("goodbye\n"); }
module_init(hello);
module_exit(goodbye);
MODULE_LICENSE("GPL");
"#;
