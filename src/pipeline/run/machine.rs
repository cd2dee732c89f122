//! Kernel, root and request as the plan of a machine.

use std::path::Path;

use crate::settings::Arch;
use crate::vm::{self, Accel, Disk, Machine, MachineKind, Mount, Orders, Via};
use crate::{content, store};

use super::super::Error;
use super::command::{command, keep};
use super::kernel::Provided;
use super::request::RunRequest;
use super::root::Root;
use super::volumes::{Shares, volumes};

/// The address at which QEMU's user-mode network resolves names.
const NETWORK_DNS: &str = "10.0.2.3";
/// The disk of the kernel's own headers and modules.
const KERNEL_DISK: &str = "kernel";
/// The disk of the container's image.
const ROOT_DISK: &str = "root";

/// The board that suits.
pub(super) fn board(request: &RunRequest, arch: Arch, accel: Accel, modular: bool) -> MachineKind {
    request.board.unwrap_or(match (arch, accel) {
        (Arch::Arm64, _) => MachineKind::Virt,
        // Drivers that come as modules are for the bus of a PC.
        (Arch::X86_64, Accel::Kvm) if !modular => MachineKind::Microvm,
        (Arch::X86_64, Accel::Kvm | Accel::Tcg) => MachineKind::Q35,
    })
}

/// What is wrong with a request whatever kernel it gets: known before one is
/// built for it.
pub(super) fn check(request: &RunRequest, arch: Arch, root: &Root) -> Result<(), Error> {
    check_arch(request, arch, root)?;
    let process = root.process();
    volumes(request, process.as_ref(), &mut Shares::new(Via::NineP))?;
    name_servers(request)?;
    command(request, process.as_ref())?;
    Ok(())
}

/// What a guest of another architecture than the host's can't have.
fn check_arch(request: &RunRequest, arch: Arch, root: &Root) -> Result<(), Error> {
    let wrong = |problem: String, hint: &str| Err(Error::Usage { problem, hint: hint.to_owned() });
    if request.board.is_some_and(|board| board.arch() != arch) {
        return wrong(format!("--machine: there is no such board for {arch}"), "leave it out");
    }
    match (root, request.accel) {
        (Root::Host, _) if !arch.is_host() => wrong(
            format!("the host's own root has no programs for an {arch} guest"),
            "name an image or a folder that has: stage1-builder run ... docker://alpine -- uname -m",
        ),
        (_, Some(Accel::Kvm)) if !arch.is_host() => {
            wrong(format!("--accel=kvm: an {arch} guest is emulated here"), "leave it out")
        }
        _ if content::guest_program(content::INIT, arch).is_none() => {
            Err(vm::Error::NoProgram { arch }.into())
        }
        _ => Ok(()),
    }
}

/// Puts the plan together.
pub(super) fn assemble(
    request: &RunRequest,
    arch: Arch,
    kernel: Provided,
    root: Root,
    accel: Accel,
    via: Via,
) -> Result<Machine, Error> {
    let mut shares = Shares::new(via);
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
    let modules = kernel.first.iter().map(|path| module(path)).collect::<Result<Vec<_>, _>>()?;
    let orders = Orders {
        root: mount,
        writable_root: !request.read_only_root,
        modules: modules.iter().map(|(path, _)| path.clone()).collect(),
        headers,
        modules_folder: content::STAGE1_MODULES.to_owned(),
        keep: if process.is_none() { keep(&command) } else { Vec::new() },
        volumes,
        hostname: request.hostname.clone().unwrap_or_default(),
        dns: name_servers(request)?,
        network: request.network.is_some(),
        command,
    };
    Ok(Machine {
        qemu: request.qemu_for(arch).to_owned(),
        accel,
        kind: board(request, arch, accel, !modules.is_empty()),
        memory: request.memory,
        cpus: request.cpus,
        kernel: kernel.kernel,
        shares: shares.into_list(),
        disks,
        network: request.network.clone(),
        gdb: request.gdb,
        qemu_args: request.qemu_args.clone(),
        kernel_args: request.kernel_args.clone(),
        modules,
        orders,
        limits: request.limits,
    })
}

/// A module, at its place in the initramfs.
fn module(path: &Path) -> Result<(String, Vec<u8>), Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let doing = store::Error::io("can't read a module of the kernel");
    Ok((format!("/modules/{name}"), fs_err::read(path).map_err(doing)?))
}

fn disk(serial: &str) -> Mount {
    Mount { kind: "squashfs".to_owned(), source: serial.to_owned(), ..Mount::default() }
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
