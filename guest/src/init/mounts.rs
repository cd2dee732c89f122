//! The kernel's own file systems.

use std::fs;
use std::os::unix::fs::symlink;

use rustix::fs::Mode;
use rustix::mount::{MountFlags, mount};

use super::path::{self, Mounting};
use super::problem::{Explain, Problem};

const NONE: MountFlags = MountFlags::empty();
const SAFE: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);
const KERNEL: MountFlags = SAFE.union(MountFlags::NOEXEC);

/// What init itself needs, in the initramfs.
pub(super) fn early() -> Result<(), Problem> {
    for (kind, path) in [("devtmpfs", "/dev"), ("sysfs", "/sys"), ("proc", "/proc")] {
        // Absent in the archive, or mounted by the kernel already.
        _ = fs::create_dir(path);
        match mount(kind, path, kind, NONE, None) {
            Ok(()) | Err(rustix::io::Errno::BUSY) => {}
            other => other.or_mount(format_args!("can't mount {path}"))?,
        }
    }
    Ok(())
}

/// A file system and where it goes.
struct Place {
    path: &'static str,
    kind: &'static str,
    flags: MountFlags,
    options: &'static str,
}

/// What every program may rely on.
const NEEDED: [Place; 7] = [
    Place { path: "/proc", kind: "proc", flags: KERNEL, options: "" },
    Place { path: "/sys", kind: "sysfs", flags: KERNEL, options: "" },
    Place { path: "/dev", kind: "devtmpfs", flags: MountFlags::NOSUID, options: "mode=0755" },
    Place {
        path: "/dev/pts",
        kind: "devpts",
        flags: MountFlags::NOSUID.union(MountFlags::NOEXEC),
        options: "gid=5,mode=0620,ptmxmode=0666",
    },
    Place { path: "/dev/shm", kind: "tmpfs", flags: SAFE, options: "mode=1777" },
    Place { path: "/tmp", kind: "tmpfs", flags: SAFE, options: "mode=1777" },
    Place { path: "/run", kind: "tmpfs", flags: SAFE, options: "mode=0755" },
];

/// What a kernel may have: absent ones are passed over.
const OFFERED: [Place; 5] = [
    Place { path: "/dev/mqueue", kind: "mqueue", flags: KERNEL, options: "" },
    Place { path: "/sys/fs/bpf", kind: "bpf", flags: KERNEL, options: "mode=0700" },
    Place { path: "/sys/kernel/debug", kind: "debugfs", flags: KERNEL, options: "mode=0700" },
    Place { path: "/sys/kernel/tracing", kind: "tracefs", flags: KERNEL, options: "mode=0700" },
    Place { path: "/sys/kernel/security", kind: "securityfs", flags: KERNEL, options: "" },
];

/// Mounts them all; what is in `keep` stays to be seen.
pub(super) fn all(keep: &[String]) -> Result<(), Problem> {
    let kept: Vec<_> =
        keep.iter().filter_map(|path| Some((path, path::hold(path).ok()?))).collect();
    for place in &NEEDED {
        path::real_folder(place.path)?;
        place.mount().or_mount(format_args!("can't mount {}", place.path))?;
    }
    without_modprobe(|| {
        for place in &OFFERED {
            _ = fs::create_dir(place.path);
            _ = place.mount();
        }
        cgroups();
    });
    devices();
    for (path, folder) in kept {
        let doing = format!("can't show {path}");
        fs::create_dir_all(path).or_mount(&doing)?;
        let target = path::hold(path).or_mount(&doing)?;
        path::bind_on(&target, &folder).or_mount(&doing)?;
    }
    Ok(())
}

/// Keeps the kernel from calling the container's `modprobe` meanwhile, which
/// it would for `bpf_preload` at every mount of bpffs (`kernel/bpf/inode.c`),
/// and for a file system that it does not know. That costs a program's start.
fn without_modprobe(mount: impl FnOnce()) {
    const PATH: &str = "/proc/sys/kernel/modprobe";
    let usual = fs::read(PATH);
    _ = fs::write(PATH, "\n");
    mount();
    if let Ok(usual) = usual {
        _ = fs::write(PATH, usual);
    }
}

impl Place {
    fn mount(&self) -> rustix::io::Result<()> {
        let folder = path::hold(self.path)?;
        let Self { kind, flags, options, .. } = *self;
        path::mount_on(&folder, &Mounting { kind, source: kind, flags, options })
    }
}

/// What udev or a container's runtime would have made.
fn devices() {
    let links = [
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
        ("/proc/kcore", "/dev/core"),
    ];
    for (target, path) in links {
        _ = symlink(target, path);
    }
    // devtmpfs gives everything to root alone; udev's rules open these.
    for name in ["null", "zero", "full", "random", "urandom", "tty", "ptmx", "fuse", "net/tun"] {
        _ = rustix::fs::chmod(format!("/dev/{name}"), Mode::from_raw_mode(0o666));
    }
}

/// The unified hierarchy where the kernel has it (4.5), else one hierarchy
/// for each controller.
fn cgroups() {
    const ROOT: &str = "/sys/fs/cgroup";
    let unified = Place { path: ROOT, kind: "cgroup2", flags: KERNEL, options: "" };
    if unified.mount().is_ok() {
        return;
    }
    let folder = Place { path: ROOT, kind: "tmpfs", flags: KERNEL, options: "mode=0755" };
    if folder.mount().is_err() {
        return;
    }
    let listed = fs::read_to_string("/proc/cgroups").unwrap_or_default();
    for name in listed.lines().filter(|line| !line.starts_with('#')) {
        let name = name.split_whitespace().next().unwrap_or_default();
        let path = format!("{ROOT}/{name}");
        if fs::create_dir(&path).is_ok()
            && let Ok(folder) = path::hold(&path)
        {
            let what = Mounting { kind: "cgroup", source: "cgroup", flags: KERNEL, options: name };
            _ = path::mount_on(&folder, &what);
        }
    }
}
