//! File systems: each mounted, and looked into.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::mount::{MountFlags, mount};

use super::{FOLDER, LIST, Tried, disks, said, system};
use crate::mounting;

/// Those that need no device: options, and what must be there afterwards.
const PLAIN: [(&str, &str, &str); 15] = [
    ("binfmt_misc", "", "register"),
    ("bpf", "", ""),
    ("cgroup", "none,name=s1b", "cgroup.procs"),
    ("cgroup2", "", "cgroup.procs"),
    ("configfs", "", ""),
    ("debugfs", "", ""),
    ("devpts", "newinstance", ""),
    ("devtmpfs", "", "null"),
    ("hugetlbfs", "", ""),
    ("mqueue", "", ""),
    ("proc", "", "self/status"),
    ("securityfs", "", ""),
    ("sysfs", "", "kernel"),
    ("tmpfs", "", ""),
    ("tracefs", "", "trace"),
];
/// On a disk that is made here.
const ON_DISK: [(&str, bool); 4] =
    [("erofs", false), ("ext4", true), ("iso9660", false), ("vfat", true)];
/// What takes a server, or a disk that only its own mkfs makes: whether the
/// kernel lists them.
const LISTED: [&str; 6] = ["btrfs", "f2fs", "nfs", "nfs4", "virtiofs", "xfs"];
const OTHERS: [&str; 5] = ["9p", "autofs", "fuse", "overlay", "squashfs"];

const PLACE: &str = "/tmp/s1b-mounted";
/// The disk of the kernel's image, which init has mounted, too.
const KERNEL_DISK: &str = "kernel";

// include/uapi/linux/loop.h
const LOOP_SET_FD: u64 = 0x4c00;
const LOOP_CTL_GET_FREE: u64 = 0x4c82;

pub(super) fn knows(name: &str) -> bool {
    PLAIN.iter().any(|(kind, ..)| *kind == name)
        || ON_DISK.iter().any(|(kind, _)| *kind == name)
        || LISTED.contains(&name)
        || OTHERS.contains(&name)
}

pub(super) fn check(name: &str) -> Tried {
    if LISTED.contains(&name) {
        return listed(name);
    }
    if name == "9p" {
        return shared();
    }
    // What is mounted here goes with this process.
    system::unshare(libc::CLONE_NEWNS).map_err(said("unshare"))?;
    rustix::mount::mount_change("/", rustix::mount::MountPropagationFlags::PRIVATE)
        .map_err(said("making mounts private"))?;
    fs::create_dir_all(PLACE).map_err(said(PLACE))?;
    if let Some((_, options, inside)) = PLAIN.iter().find(|(kind, ..)| *kind == name) {
        return put(name, name, options, inside, name == "tmpfs");
    }
    if let Some((_, writable)) = ON_DISK.iter().find(|(kind, _)| *kind == name) {
        let device = disk(name)?;
        return put(name, &device, "", "", *writable);
    }
    match name {
        "overlay" => overlay(),
        "squashfs" => put(name, &kernel_disk()?, "", "usr", false),
        "autofs" => autofs(),
        _ => fuse(),
    }
}

/// Mounts it, and sees that it is there: by its kind, by what must be in it,
/// and by a file that is written and read again.
fn put(kind: &str, source: &str, options: &str, inside: &str, writable: bool) -> Tried {
    let flags = if writable || source == kind { MountFlags::empty() } else { MountFlags::RDONLY };
    let options = mounting::options(options).map_err(said("options"))?;
    mount(source, PLACE, kind, flags, options.as_deref()).map_err(said("mount"))?;
    if mounted(PLACE).as_deref() != Some(kind) {
        return Err("mount(2) succeeded, and /proc/self/mountinfo does not have it".to_owned());
    }
    let path = format!("{PLACE}/{inside}");
    fs::metadata(&path).map_err(said(&path))?;
    if !writable {
        return Ok("mounted".to_owned());
    }
    let path = format!("{PLACE}/file");
    fs::write(&path, kind).map_err(said("writing a file"))?;
    match fs::read(&path).map_err(said("reading a file"))? == kind.as_bytes() {
        true => Ok("mounted, and written to".to_owned()),
        false => Err("a file has not what was written".to_owned()),
    }
}

/// The kind of what is mounted at this path last (proc(5)).
fn mounted(path: &str) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let line = mounts.lines().rfind(|line| line.split(' ').nth(4) == Some(path))?;
    let (_, kind) = line.split_once(" - ")?;
    kind.split(' ').next().map(str::to_owned)
}

fn listed(kind: &str) -> Tried {
    let all = fs::read_to_string("/proc/filesystems").map_err(said("/proc/filesystems"))?;
    match all.lines().any(|line| line.split_whitespace().next_back() == Some(kind)) {
        true => Ok("registered".to_owned()),
        false => Err("/proc/filesystems does not have it".to_owned()),
    }
}

/// The host's folder came over it.
fn shared() -> Tried {
    if mounted(FOLDER).as_deref() != Some("9p") {
        return Err(format!("{FOLDER} is no 9p"));
    }
    let path = format!("{FOLDER}/{LIST}");
    fs::read(&path).map_err(said(&path))?;
    Ok("mounted, and read from".to_owned())
}

fn overlay() -> Tried {
    const BASE: &str = "/tmp/s1b-overlay";
    for name in ["lower", "upper", "work"] {
        let path = format!("{BASE}/{name}");
        fs::create_dir_all(&path).map_err(said(&path))?;
    }
    fs::write(format!("{BASE}/lower/below"), "").map_err(said("writing a file"))?;
    let options = format!("lowerdir={BASE}/lower,upperdir={BASE}/upper,workdir={BASE}/work");
    put("overlay", "overlay", &options, "below", true)
}

fn autofs() -> Tried {
    let (_reader, writer) = rustix::pipe::pipe().map_err(said("pipe"))?;
    let group = rustix::process::getpgrp().as_raw_nonzero();
    let options = format!("fd={},pgrp={group},minproto=5,maxproto=5", writer.as_raw_fd());
    put("autofs", "autofs", &options, "", false)
}

/// Nobody serves it; its root is known by what the options say, and is not
/// looked at.
fn fuse() -> Tried {
    let device = OpenOptions::new().read(true).write(true).open("/dev/fuse");
    let device = device.map_err(said("/dev/fuse"))?;
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
    let options = std::ffi::CString::new(options).map_err(said("options"))?;
    mount("fuse", PLACE, "fuse", MountFlags::empty(), Some(options.as_c_str()))
        .map_err(said("mount"))?;
    match mounted(PLACE).as_deref() {
        Some("fuse") => Ok("mounted".to_owned()),
        _ => Err("/proc/self/mountinfo does not have it".to_owned()),
    }
}

/// A loop device with a file system of this kind on it.
fn disk(kind: &str) -> Tried {
    let image = disks::image(kind).ok_or("there is no image of it")?;
    let path = format!("/tmp/s1b-{kind}.img");
    fs::write(&path, image).map_err(said(&path))?;
    let both = || OpenOptions::new().read(true).write(true).clone();
    let file = both().open(&path).map_err(said(&path))?;
    let control = both().open("/dev/loop-control").map_err(said("/dev/loop-control"))?;
    let number = system::ioctl(control.as_fd(), LOOP_CTL_GET_FREE, 0);
    let device = format!("/dev/loop{}", number.map_err(said("getting a loop device"))?);
    attach(&device, &file).map_err(said(&device))?;
    Ok(device)
}

fn attach(device: &str, file: &File) -> io::Result<()> {
    let device = OpenOptions::new().read(true).write(true).open(device)?;
    system::ioctl(device.as_fd(), LOOP_SET_FD, file.as_raw_fd().into())?;
    Ok(())
}

fn kernel_disk() -> Tried {
    let devices = fs::read_dir("/sys/block").map_err(said("/sys/block"))?.flatten();
    for device in devices {
        let serial = fs::read_to_string(device.path().join("serial")).unwrap_or_default();
        if serial.trim_end() == KERNEL_DISK {
            return Ok(format!("/dev/{}", device.file_name().to_string_lossy()));
        }
    }
    Err("the disk of the kernel's image is not there".to_owned())
}
