//! The plan as QEMU's command line.

use std::path::Path;

use stage1_builder_guest::wire;

use super::accel::Accel;
use super::machine::{Disk, Machine, MachineKind, Share, Via};
use super::parameters::parameters;

/// The descriptors that QEMU inherits, one for each chardev; and where the
/// initramfs lies.
#[derive(Debug, Clone, Copy)]
pub struct Wiring<'a> {
    /// The initramfs.
    pub initramfs: &'a Path,
    /// What the serial port says.
    pub serial: i32,
    /// What the virtio console says.
    pub console: i32,
    /// The ports of [`wire`], in the order of [`PORTS`].
    pub ports: [i32; 5],
}

/// The ports, in the order in which they are plugged in.
pub(super) const PORTS: [&str; 5] =
    [wire::CONTROL, wire::STDIN, wire::STDOUT, wire::STDERR, wire::ENTER];

/// QEMU's arguments. A pure function of the plan.
#[must_use]
pub fn arguments(machine: &Machine, wiring: &Wiring<'_>) -> Vec<String> {
    let mut args = Arguments { list: Vec::new(), bus: bus(machine.kind) };
    for bare in ["-nodefaults", "-no-user-config", "-no-reboot"] {
        args.bare(bare);
    }
    args.option("-display", "none");
    args.option("-machine", board(machine));
    args.option("-accel", machine.accel.as_str());
    args.option("-cpu", if machine.accel == Accel::Kvm { "host" } else { "max" });
    args.option("-smp", machine.cpus);
    args.memory(machine);
    // Nothing that a guest might talk QEMU into: no program, no privilege.
    args.option(
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    );
    args.option("-kernel", machine.kernel.file.display());
    args.option("-initrd", wiring.initramfs.display());
    args.option("-append", parameters(machine));
    args.consoles(wiring);
    args.device("virtio-rng", "");
    machine.shares.iter().for_each(|share| args.share(share, wiring));
    machine.disks.iter().for_each(|disk| args.disk(disk));
    args.network(machine);
    if let Some(port) = machine.gdb {
        args.option("-gdb", format!("tcp:127.0.0.1:{port}"));
        args.bare("-S");
    }
    args.list.extend(machine.qemu_args.iter().cloned());
    args.list
}

/// The command line as one could type it; where a run has sockets, this has
/// its own terminal, and no command comes of it but the kernel's boot.
#[must_use]
pub fn command_line(machine: &Machine) -> String {
    let wiring = Wiring {
        initramfs: Path::new("initramfs.cpio"),
        serial: 3,
        console: 4,
        ports: [5, 6, 7, 8, 9],
    };
    let program = crate::proc::Program::new(&machine.qemu);
    program.args(arguments(machine, &wiring)).to_string()
}

/// Without what a guest of ours has no use for: each costs time at boot.
fn board(machine: &Machine) -> &'static str {
    match machine.kind {
        MachineKind::Q35 => "q35,usb=off,vmport=off,smbus=off,sata=off,i8042=off,hpet=off",
        MachineKind::Microvm => "microvm,rtc=on,isa-serial=on",
    }
}

/// How devices are plugged in: the end of a virtio device's name.
fn bus(kind: MachineKind) -> &'static str {
    match kind {
        MachineKind::Q35 => "pci",
        MachineKind::Microvm => "device",
    }
}

struct Arguments {
    list: Vec<String>,
    bus: &'static str,
}

impl Arguments {
    fn bare(&mut self, name: &str) {
        self.list.push(name.to_owned());
    }

    fn option(&mut self, name: &str, value: impl ToString) {
        self.list.push(name.to_owned());
        self.list.push(value.to_string());
    }

    fn device(&mut self, name: &str, rest: &str) {
        let comma = if rest.is_empty() { "" } else { "," };
        self.option("-device", format!("{name}-{}{comma}{rest}", self.bus));
    }

    fn consoles(&mut self, wiring: &Wiring<'_>) {
        self.option("-chardev", format!("socket,id=serial,fd={}", wiring.serial));
        self.option("-serial", "chardev:serial");
        self.device("virtio-serial", "max_ports=8");
        self.option("-chardev", format!("socket,id=console,fd={}", wiring.console));
        self.option("-device", "virtconsole,chardev=console");
        for (at, (name, descriptor)) in PORTS.iter().zip(wiring.ports).enumerate() {
            self.option("-chardev", format!("socket,id=port{at},fd={descriptor}"));
            self.option("-device", format!("virtserialport,chardev=port{at},name={name}"));
        }
    }

    /// A daemon of virtiofs works in the guest's memory, which must then be
    /// a file that both have.
    fn memory(&mut self, machine: &Machine) {
        let size = machine.memory;
        self.option("-m", format!("{size}M"));
        if machine.shares.iter().any(|share| share.via != Via::NineP) {
            self.option("-object", format!("memory-backend-memfd,id=memory,size={size}M,share=on"));
            self.option("-machine", "memory-backend=memory");
        }
    }

    fn share(&mut self, Share { tag, path, writable, via }: &Share, wiring: &Wiring<'_>) {
        if *via != Via::NineP {
            let socket = wiring.initramfs.with_file_name(format!("{tag}.sock"));
            self.option("-chardev", format!("socket,id={tag},path={}", escaped(&socket)));
            self.device("vhost-user-fs", &format!("chardev={tag},tag={tag}"));
            return;
        }
        let path = escaped(path);
        let read_only = if *writable { "" } else { ",readonly=on" };
        // Files of several file systems below one folder may share a number;
        // QEMU then gives each its own, as `remap` says.
        self.option(
            "-fsdev",
            format!("local,id={tag},path={path},security_model=none,multidevs=remap{read_only}"),
        );
        self.device("virtio-9p", &format!("fsdev={tag},mount_tag={tag}"));
    }

    fn disk(&mut self, Disk { serial, path }: &Disk) {
        let path = escaped(path);
        let file = "driver=raw,read-only=on,cache.no-flush=on,file.driver=file,file.locking=off";
        self.option("-blockdev", format!("node-name={serial},{file},file.filename={path}"));
        self.device("virtio-blk", &format!("drive={serial},serial={serial}"));
    }

    fn network(&mut self, machine: &Machine) {
        let Some(forwards) = &machine.network else { return };
        let forward = |forward: &super::machine::Forward| {
            let kind = if forward.tcp { "tcp" } else { "udp" };
            format!(",hostfwd={kind}:127.0.0.1:{}-:{}", forward.host, forward.guest)
        };
        let forwards: String = forwards.iter().map(forward).collect();
        self.option("-netdev", format!("user,id=net{forwards}"));
        self.device("virtio-net", "netdev=net");
    }
}

/// A path as QEMU's option parser takes it: a comma is doubled.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}
