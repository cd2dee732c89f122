//! The container's root: a layer in memory over what the host gives.

use std::collections::HashMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, mount, mount_move, mount_remount};

use crate::bind::{bind_headers, running_release};
use crate::orders::{Mount, Orders, Volume};
use crate::wire::Failure;

use super::path::{self, Mounting};
use super::problem::{Explain, Problem};
use super::{etc, mounts, network};

/// Where the root is put together, in the initramfs.
const LOWER: &str = "/s1b/lower";
const UPPER: &str = "/s1b/upper";
const ROOT: &str = "/s1b/root";
const HEADERS: &str = "/s1b/headers";
/// How long a disk may take to appear.
const PATIENCE: Duration = Duration::from_secs(10);

/// Puts the root together, goes into it, and mounts all that belongs there.
pub(super) fn enter(orders: &Orders) -> Result<(), Problem> {
    let doing = "can't put the root together";
    for path in [LOWER, UPPER, ROOT, HEADERS] {
        fs::create_dir_all(path).or_mount(doing)?;
    }
    attach(&orders.root, LOWER)?;
    mount("tmpfs", UPPER, "tmpfs", MountFlags::empty(), Some(c"mode=0755")).or_mount(doing)?;
    fs::create_dir(format!("{UPPER}/work")).or_mount(doing)?;
    layer_like_lower().or_mount(doing)?;
    let options = format!("lowerdir={LOWER},upperdir={UPPER}/root,workdir={UPPER}/work");
    let options = std::ffi::CString::new(options).or_mount(doing)?;
    mount("overlay", ROOT, "overlay", MountFlags::empty(), Some(options.as_c_str()))
        .or_mount(doing)?;
    if let Some(headers) = &orders.headers {
        attach(headers, HEADERS)?;
        let modules = Path::new(HEADERS).join(&orders.modules_folder);
        // As into an app of rkt's; it goes along when the root moves.
        bind_headers(&modules, Path::new(&running_release()), Path::new(ROOT))
            .or_mount("can't bind the headers")?;
    }
    switch().or_mount(doing)?;
    etc::write(orders)?;
    mounts::all(&orders.keep)?;
    network::set_up(orders)?;
    let mut mounted = HashMap::new();
    orders.volumes.iter().try_for_each(|one| volume(one, &mut mounted))?;
    if !orders.writable_root {
        mount_remount(c"/", MountFlags::RDONLY, c"").or_mount(doing)?;
    }
    Ok(())
}

/// The upper layer's folder is the root's: it has the owner and the mode that
/// the container's root has.
fn layer_like_lower() -> std::io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    let upper = format!("{UPPER}/root");
    fs::create_dir(&upper)?;
    let lower = fs::metadata(LOWER)?;
    chown(&upper, Some(lower.uid()), Some(lower.gid()))?;
    fs::set_permissions(&upper, fs::Permissions::from_mode(lower.mode() & 0o7777))
}

/// The overlay becomes `/`; what init was unpacked from is given back.
fn switch() -> rustix::io::Result<()> {
    _ = fs::remove_file("/init");
    rustix::process::chdir(ROOT)?;
    mount_move(c".", c"/")?;
    rustix::process::chroot(c".")?;
    rustix::process::chdir(c"/")
}

/// Mounts what the host gives at a folder of the initramfs.
fn attach(what: &Mount, at: &str) -> Result<(), Problem> {
    let folder = path::hold(at).or_mount(at)?;
    attach_on(what, &folder, MountFlags::empty(), at)
}

fn attach_on(what: &Mount, folder: &OwnedFd, flags: MountFlags, at: &str) -> Result<(), Problem> {
    let source = match what.kind.as_str() {
        "9p" | "virtiofs" => what.source.clone(),
        _ => disk(&what.source)?,
    };
    let flags = if what.writable { flags } else { flags | MountFlags::RDONLY };
    let mounting = Mounting { kind: &what.kind, source: &source, flags, options: &what.options };
    let doing = format_args!("can't mount {} ({}) on {at}", what.kind, what.source).to_string();
    path::mount_on(folder, &mounting).or_mount(doing)
}

/// The block device with this serial number.
fn disk(serial: &str) -> Result<String, Problem> {
    let end = Instant::now() + PATIENCE;
    loop {
        for device in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
            let found = fs::read_to_string(device.path().join("serial"));
            if found.is_ok_and(|found| found.trim_end() == serial) {
                return Ok(format!("/dev/{}", device.file_name().to_string_lossy()));
            }
        }
        if Instant::now() > end {
            return Err(Problem::new(Failure::Mount, format_args!("there is no disk {serial}")));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Puts a volume in its place; one that is in another place already is shown
/// here, too.
fn volume(volume: &Volume, mounted: &mut HashMap<String, OwnedFd>) -> Result<(), Problem> {
    let folder = path::folder(&volume.target)?;
    let safe = MountFlags::NOSUID | MountFlags::NODEV;
    let doing = format!("can't mount the volume on {}", volume.target);
    let first = mounted.get(&volume.name);
    match (first, &volume.mount) {
        (Some(first), _) => path::bind_on(&folder, first).or_mount(&doing)?,
        (None, Some(mount)) => attach_on(mount, &folder, safe, &volume.target)?,
        (None, None) => {
            let (mode, uid, gid) = (volume.mode, volume.uid, volume.gid);
            let options = format!("mode={mode:o},uid={uid},gid={gid}");
            let what = Mounting { kind: "tmpfs", source: "empty", flags: safe, options: &options };
            path::mount_on(&folder, &what).or_mount(&doing)?;
        }
    }
    let here = path::folder(&volume.target)?;
    if volume.read_only || first.is_some() {
        // What can't be written to at one place may be at another.
        let flags = if volume.read_only { safe | MountFlags::RDONLY } else { safe };
        path::restrict(&here, flags).or_mount(&doing)?;
    }
    mounted.entry(volume.name.clone()).or_insert(here);
    Ok(())
}
