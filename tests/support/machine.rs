//! Booting a kernel with a file system in memory.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use stage1_builder::proc::Program;

/// What stands between `from` and the end of its line in `text`.
pub(crate) fn after<'t>(text: &'t str, from: &str) -> Option<&'t str> {
    let start = text.find(from)? + from.len();
    text[start..].lines().next().map(str::trim)
}

/// An initramfs with a static busybox, an init script and more files.
pub(crate) fn initramfs(folder: &Path, script: &str, files: &[(&str, &Path)]) -> PathBuf {
    let root = folder.join("initramfs");
    for name in ["bin", "proc", "sys", "dev", "tmp"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::copy("/usr/bin/busybox", root.join("bin/busybox")).unwrap();
    for (name, from) in files {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::copy(from, root.join(name)).unwrap();
    }
    let prelude = "#!/bin/busybox sh\n/bin/busybox --install -s /bin\nexport PATH=/bin\n\
                   mount -t proc proc /proc\nmount -t sysfs sysfs /sys\n\
                   mount -t devtmpfs dev /dev 2>/dev/null\n";
    fs::write(root.join("init"), format!("{prelude}{script}")).unwrap();
    fs::set_permissions(root.join("init"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let archive = folder.join("initramfs.cpio");
    let command = format!("find . | cpio -o -H newc --quiet > {}", archive.display());
    Program::new("sh").args(["-c", &command]).dir(&root).run().expect("cpio");
    archive
}

/// Boots a kernel with an initramfs and gives what the console said. TCG,
/// because `/dev/kvm` may be there and ordinary guests hang on it all the
/// same.
pub(crate) fn boot(kernel: &Path, initramfs: &Path) -> String {
    let limit = Duration::from_secs(120);
    let output = Program::new("timeout")
        .arg(limit.as_secs().to_string())
        .args(["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-m", "512"])
        .args(["-smp", "2", "-nodefaults", "-nographic", "-serial", "stdio", "-no-reboot"])
        .args(["-device", "virtio-rng-pci", "-sandbox", "on"])
        .args(["-append", "console=ttyS0 panic=-1"])
        .args(["-kernel".as_ref(), kernel.as_os_str(), "-initrd".as_ref(), initramfs.as_os_str()])
        .output()
        .expect("qemu-system-x86_64 starts");
    let console = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}: {console}\n{}", output.status, output.stderr);
    console
}
