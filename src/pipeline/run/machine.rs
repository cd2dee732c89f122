//! Kernel, root and request as the plan of a machine.

use std::collections::BTreeMap;

use crate::container::Process;
use crate::vm::{Accel, Command, Disk, Machine, MachineKind, Mount, Orders, Share, Volume};

use super::super::Error;
use super::kernel::Provided;
use super::request::{RunRequest, VolumeKind};
use super::root::Root;

/// Bytes of one message of 9p. More saves round trips; the guest's kernel
/// takes memory for each in one piece, and old ones at most 512,000.
const MESSAGE: u32 = 256 << 10;
/// The address at which QEMU's user-mode network resolves names.
const NETWORK_DNS: &str = "10.0.2.3";
/// The disk of the kernel's own headers and modules.
const KERNEL_DISK: &str = "kernel";
/// The disk of the container's image.
const ROOT_DISK: &str = "root";

/// Variables that speak of the caller's user.
const CALLER: [&[u8]; 4] = [b"HOME", b"LOGNAME", b"MAIL", b"USER"];

/// The board that suits.
pub(super) fn board(request: &RunRequest, accel: Accel) -> MachineKind {
    request.board.unwrap_or(match accel {
        Accel::Kvm => MachineKind::Microvm,
        Accel::Tcg => MachineKind::Q35,
    })
}

/// What is wrong with a request whatever kernel it gets: known before one is
/// built for it.
pub(super) fn check(request: &RunRequest, root: &Root) -> Result<(), Error> {
    let process = root.process();
    volumes(request, process.as_ref(), &mut Vec::new())?;
    name_servers(request)?;
    command(request, process.as_ref())?;
    Ok(())
}

/// Puts the plan together.
pub(super) fn assemble(
    request: &RunRequest,
    kernel: Provided,
    root: Root,
    accel: Accel,
) -> Result<Machine, Error> {
    let mut shares = Vec::new();
    let mut disks = Vec::new();
    let process = root.process();
    let mount = match root {
        Root::Host => share("root", "/".into(), false, &mut shares),
        Root::Folder(path) => share("root", path, false, &mut shares),
        Root::Image(container) => {
            disks.push(Disk { serial: ROOT_DISK.to_owned(), path: container.rootfs });
            disk(ROOT_DISK)
        }
    };
    let volumes = volumes(request, process.as_ref(), &mut shares)?;
    let headers = kernel.modules.map(|path| {
        disks.push(Disk { serial: KERNEL_DISK.to_owned(), path });
        disk(KERNEL_DISK)
    });
    let command = command(request, process.as_ref())?;
    let orders = Orders {
        root: mount,
        writable_root: !request.read_only_root,
        modules: Vec::new(),
        headers,
        headers_folder: kernel.modules_folder,
        keep: if process.is_none() { keep(&command) } else { Vec::new() },
        volumes,
        hostname: request.hostname.clone().unwrap_or_default(),
        dns: name_servers(request)?,
        network: request.network.is_some(),
        command,
    };
    Ok(Machine {
        qemu: request.qemu.clone(),
        accel,
        kind: board(request, accel),
        memory: request.memory,
        cpus: request.cpus,
        kernel: kernel.kernel,
        shares,
        disks,
        network: request.network.clone(),
        gdb: request.gdb,
        qemu_args: request.qemu_args.clone(),
        kernel_args: request.kernel_args.clone(),
        modules: Vec::new(),
        orders,
        limits: request.limits,
    })
}

fn disk(serial: &str) -> Mount {
    Mount { kind: "squashfs".to_owned(), source: serial.to_owned(), ..Mount::default() }
}

/// A folder of the host over 9p. What can't be written to may be cached at
/// will; what can, as far as mmap needs it.
fn share(tag: &str, path: std::path::PathBuf, writable: bool, shares: &mut Vec<Share>) -> Mount {
    shares.push(Share { tag: tag.to_owned(), path, writable });
    let cache = if writable { "mmap" } else { "loose" };
    Mount {
        kind: "9p".to_owned(),
        source: tag.to_owned(),
        options: format!("trans=virtio,version=9p2000.L,msize={MESSAGE},cache={cache}"),
        writable,
    }
}

/// Each mount of a volume; a volume that no mount names goes where the image
/// has a place of that name, as in rkt.
fn volumes(
    request: &RunRequest,
    process: Option<&Process>,
    shares: &mut Vec<Share>,
) -> Result<Vec<Volume>, Error> {
    let mut mounts: Vec<(&str, &str, bool)> =
        request.mounts.iter().map(|mount| (&*mount.volume, &*mount.target, false)).collect();
    for volume in &request.volumes {
        let points = process.map(|process| process.mounts.as_slice()).unwrap_or_default();
        let point = points.iter().find(|point| point.name == volume.name);
        if let Some(point) = point {
            mounts.push((&volume.name, &point.path, point.read_only));
        } else if !request.mounts.iter().any(|mount| mount.volume == volume.name) {
            return Err(Error::Usage {
                problem: format!("the volume '{}' is mounted nowhere", volume.name),
                hint: format!("--mount=volume={},target=/FOLDER", volume.name),
            });
        }
    }
    let mut volumes = Vec::new();
    let mut shared: BTreeMap<&str, Mount> = BTreeMap::new();
    for (name, target, read_only) in mounts {
        let Some(volume) = request.volumes.iter().find(|volume| volume.name == name) else {
            return Err(Error::Usage {
                problem: format!("--mount names a volume '{name}' that is not there"),
                hint: format!("--volume={name},kind=host,source=FOLDER"),
            });
        };
        let read_only = read_only || volume.read_only;
        let (name, target) = (name.to_owned(), target.to_owned());
        volumes.push(match &volume.kind {
            VolumeKind::Empty { mode, uid, gid } => {
                Volume { name, target, mount: None, mode: *mode, uid: *uid, gid: *gid, read_only }
            }
            VolumeKind::Host(path) => {
                let tag = format!("volume{}", shared.len());
                let mount = shared
                    .entry(&volume.name)
                    .or_insert_with(|| share(&tag, path.clone(), !volume.read_only, shares))
                    .clone();
                Volume { name, target, mount: Some(mount), read_only, ..Volume::default() }
            }
        });
    }
    // A volume below another one must come after it.
    volumes.sort_by(|one, other| one.target.cmp(&other.target));
    Ok(volumes)
}

fn name_servers(request: &RunRequest) -> Result<Vec<String>, Error> {
    let mut servers = Vec::new();
    for server in &request.dns {
        match server.as_str() {
            "host" => {
                let text = fs_err::read_to_string("/etc/resolv.conf").unwrap_or_default();
                let listed = text.lines().filter_map(|line| line.strip_prefix("nameserver"));
                servers.extend(listed.map(|server| server.trim().to_owned()));
            }
            "none" => {}
            address if address.parse::<std::net::IpAddr>().is_ok() => {
                servers.push(address.to_owned());
            }
            other => {
                return Err(Error::Usage {
                    problem: format!("--dns={other}: not an address"),
                    hint: "--dns=8.8.8.8, --dns=host, --dns=none".to_owned(),
                });
            }
        }
    }
    if request.dns.is_empty() && request.network.is_some() {
        servers.push(NETWORK_DNS.to_owned());
    }
    Ok(servers)
}

/// What runs, and as what: the image's word, over it the user's.
fn command(request: &RunRequest, process: Option<&Process>) -> Result<Command, Error> {
    let image = process.cloned().unwrap_or_default();
    let text = |words: Vec<String>| words.into_iter().map(String::into_bytes);
    let mut args: Vec<Vec<u8>> = match &request.exec {
        Some(exec) => vec![exec.clone()],
        None => text(image.entrypoint).collect(),
    };
    match (request.args.as_slice(), &request.exec) {
        ([], None) => args.extend(text(image.command)),
        (given, _) => args.extend(given.iter().cloned()),
    }
    if args.is_empty() {
        return Err(Error::Usage {
            problem: "there is no command to run".to_owned(),
            hint: "give it behind two hyphens: stage1-builder run ... -- uname -r".to_owned(),
        });
    }
    let mut env: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    if process.is_none() || request.inherit_env {
        env.extend(request.host_env.iter().cloned());
    }
    if request.user.is_some() {
        // Another user than the caller has a home and a name of its own.
        CALLER.iter().for_each(|name| _ = env.remove(*name));
    }
    env.extend(image.env.into_iter().map(|(name, value)| (name.into(), value.into())));
    if request.terminal.is_some() {
        env.entry(b"TERM".to_vec()).or_insert_with(|| {
            let term = request.host_env.iter().find(|(name, _)| name == b"TERM");
            term.map_or(b"linux".to_vec(), |(_, value)| value.clone())
        });
    }
    env.extend(request.env.iter().cloned());
    let dir = request.working_dir.clone().or(image.working_dir).unwrap_or_default();
    Ok(Command {
        args,
        env: env.into_iter().map(|(name, value)| [name, value].join(&b'=')).collect(),
        dir: dir.into_bytes(),
        user: user(request, &image.user),
        groups: image.groups.iter().map(u32::to_string).collect(),
        terminal: request.terminal,
    })
}

/// `user[:group]`: the user's words over the image's, part by part.
fn user(request: &RunRequest, image: &str) -> String {
    let (given, given_group) = split(request.user.as_deref().unwrap_or_default());
    let (image, image_group) = split(image);
    let own = request.user.is_some();
    let user = if own { given } else { image };
    let group = request.group.as_deref().or(if own { given_group } else { image_group });
    match group {
        Some(group) => format!("{user}:{group}"),
        None => user.to_owned(),
    }
}

fn split(user: &str) -> (&str, Option<&str>) {
    match user.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (user, None),
    }
}

/// Folders below those that get a file system of their own which the command
/// was told of: where it runs, and where its program lies.
fn keep(command: &Command) -> Vec<String> {
    let program = command.args.first().map(|program| String::from_utf8_lossy(program).into_owned());
    let program = program.as_deref().and_then(|program| program.rsplit_once('/'));
    let dir = String::from_utf8_lossy(&command.dir).into_owned();
    let mut keep: Vec<String> = [Some(dir), program.map(|(folder, _)| folder.to_owned())]
        .into_iter()
        .flatten()
        .filter(|path| {
            ["/tmp/", "/run/", "/dev/shm/"].iter().any(|hidden| path.starts_with(hidden))
        })
        .collect();
    keep.sort();
    keep.dedup();
    keep
}
