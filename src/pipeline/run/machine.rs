//! Kernel, root and request as the plan of a machine.

use std::collections::BTreeMap;

use crate::container::Process;
use crate::vm::{Accel, Command, Disk, Machine, MachineKind, Mount, Orders, Share, Via, Volume};

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
    volumes(request, process.as_ref(), &mut Shares { via: Via::NineP, list: Vec::new() })?;
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
    via: Via,
) -> Result<Machine, Error> {
    let mut shares = Shares { via, list: Vec::new() };
    let mut disks = Vec::new();
    let process = root.process();
    let mount = match root {
        Root::Host => shares.add("root", "/".into(), false),
        Root::Folder(path) => shares.add("root", path, false),
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
        shares: shares.list,
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

/// Folders of the host, as they are added.
struct Shares {
    via: Via,
    list: Vec<Share>,
}

impl Shares {
    /// What can't be written to may be cached at will; what can, as far as
    /// mmap needs it, and by QEMU alone: virtiofsd without a sandbox of its own
    /// takes names with slashes from the guest's kernel when it renames or
    /// removes, and would let a hostile one out of the folder.
    fn add(&mut self, tag: &str, path: std::path::PathBuf, writable: bool) -> Mount {
        let via = if writable { Via::NineP } else { self.via.clone() };
        let cache = if writable { "mmap" } else { "loose" };
        let (kind, options) = match via {
            Via::NineP => {
                ("9p", format!("trans=virtio,version=9p2000.L,msize={MESSAGE},cache={cache}"))
            }
            Via::Virtiofs { .. } => ("virtiofs", String::new()),
        };
        self.list.push(Share { tag: tag.to_owned(), path, writable, via });
        Mount { kind: kind.to_owned(), source: tag.to_owned(), options, writable }
    }
}

/// Each mount of a volume; a volume that no mount names goes where the image
/// has a place of that name, as in rkt.
fn volumes(
    request: &RunRequest,
    process: Option<&Process>,
    shares: &mut Shares,
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
                    .or_insert_with(|| shares.add(&tag, path.clone(), !volume.read_only))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::MountPoint;
    use crate::pipeline::{KernelChoice, MountSpec, VolumeSpec};
    use crate::vm::Limits;

    fn request() -> RunRequest {
        RunRequest {
            kernel: KernelChoice::Settings,
            image: None,
            exec: None,
            args: Vec::new(),
            env: Vec::new(),
            host_env: vec![(b"CALLER".to_vec(), b"1".to_vec())],
            inherit_env: false,
            user: None,
            group: None,
            working_dir: None,
            hostname: None,
            dns: Vec::new(),
            volumes: Vec::new(),
            mounts: Vec::new(),
            network: None,
            memory: 512,
            cpus: 1,
            read_only_root: false,
            terminal: None,
            accel: None,
            board: None,
            qemu: "qemu".into(),
            qemu_args: Vec::new(),
            kernel_args: Vec::new(),
            gdb: None,
            limits: Limits::default(),
            share: None,
            virtiofsd: "virtiofsd".into(),
            keep: false,
            pull: crate::container::PullPolicy::New,
            insecure_http: false,
            insecure_tls: false,
            uuid_file: None,
            refresh: false,
        }
    }

    fn image() -> Process {
        Process {
            entrypoint: vec!["/entry".into()],
            command: vec!["default".into()],
            env: vec![("A".into(), "image".into()), ("B".into(), "image".into())],
            working_dir: Some("/w".into()),
            user: "1000:100".into(),
            mounts: vec![MountPoint { name: "data".into(), path: "/d".into(), read_only: true }],
            ..Process::default()
        }
    }

    fn words(list: &[&str]) -> Vec<Vec<u8>> {
        list.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn arguments_go_behind_the_entry_point_and_exec_takes_its_place() {
        let args = |exec: Option<&str>, args: &[&str]| {
            let exec = exec.map(|exec| exec.as_bytes().to_vec());
            let request = RunRequest { exec, args: words(args), ..request() };
            command(&request, Some(&image())).unwrap().args
        };
        assert_eq!(args(None, &[]), words(&["/entry", "default"]));
        assert_eq!(args(None, &["x"]), words(&["/entry", "x"]));
        assert_eq!(args(Some("/bin/sh"), &[]), words(&["/bin/sh"]));
        assert_eq!(args(Some("/bin/sh"), &["-c", "x"]), words(&["/bin/sh", "-c", "x"]));
        assert!(command(&request(), None).is_err(), "nothing to run");
    }

    #[test]
    fn a_container_does_not_see_the_caller_s_environment() {
        let env = |request: &RunRequest, process: Option<&Process>| {
            let request = RunRequest { args: words(&["x"]), ..request.clone() };
            command(&request, process).unwrap().env
        };
        assert_eq!(env(&request(), None), words(&["CALLER=1"]));
        assert_eq!(env(&request(), Some(&image())), words(&["A=image", "B=image"]));
        let given = vec![(b"A".to_vec(), b"given".to_vec())];
        let over = RunRequest { env: given, inherit_env: true, ..request() };
        assert_eq!(env(&over, Some(&image())), words(&["A=given", "B=image", "CALLER=1"]));
    }

    #[test]
    fn user_and_group_are_taken_part_by_part() {
        let user = |given: Option<&str>, group: Option<&str>| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            let request = RunRequest { user: owned(given), group: owned(group), ..request() };
            super::user(&request, "1000:100")
        };
        assert_eq!(user(None, None), "1000:100");
        assert_eq!(user(Some("7"), None), "7");
        assert_eq!(user(Some("7:8"), None), "7:8");
        assert_eq!(user(None, Some("9")), "1000:9");
        assert_eq!(user(Some("7:8"), Some("9")), "7:9");
    }

    #[test]
    fn a_volume_goes_where_a_mount_or_the_image_says() {
        let host = |name: &str| VolumeSpec {
            name: name.into(),
            kind: VolumeKind::Host("/h".into()),
            read_only: false,
        };
        let plan = |volumes: Vec<VolumeSpec>, mounts: &[(&str, &str)]| {
            let mount = |(volume, target): &(&str, &str)| MountSpec {
                volume: (*volume).to_owned(),
                target: (*target).to_owned(),
            };
            let mounts = mounts.iter().map(mount).collect();
            let mut shares = Shares { via: Via::NineP, list: Vec::new() };
            let request = RunRequest { volumes, mounts, ..request() };
            super::volumes(&request, Some(&image()), &mut shares)
                .map(|volumes| (volumes, shares.list.len()))
        };
        let (volumes, shares) = plan(vec![host("v")], &[("v", "/b/c"), ("v", "/b")]).unwrap();
        assert_eq!(shares, 1, "one share, however often it is mounted");
        assert_eq!(volumes[0].target, "/b", "the folder before what is below it");
        let (volumes, _) = plan(vec![host("data")], &[]).unwrap();
        assert!(volumes[0].target == "/d" && volumes[0].read_only, "where the image says");
        assert!(plan(vec![host("v")], &[]).is_err(), "mounted nowhere");
        assert!(plan(vec![], &[("v", "/x")]).is_err(), "no such volume");
    }

    #[test]
    fn what_the_command_was_told_of_stays_to_be_seen() {
        let told = Command {
            args: words(&["/tmp/build/test", "x"]),
            dir: b"/run/here".to_vec(),
            ..Command::default()
        };
        assert_eq!(keep(&told), ["/run/here", "/tmp/build"]);
        let elsewhere =
            Command { args: words(&["ls"]), dir: b"/src".to_vec(), ..Command::default() };
        assert!(keep(&elsewhere).is_empty());
    }
}
