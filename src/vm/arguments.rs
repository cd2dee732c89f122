//! The plan as QEMU's command line.

use std::path::Path;

use stage1_builder_guest::wire;

use super::accel::Accel;
use super::machine::{Disk, Machine, MachineKind, Share, Via};
use super::parameters::parameters;
use super::shares;
use crate::settings::{Arch, Series};

/// What is outside of the machine: where the initramfs lies, and what its
/// serial ports lead to.
#[derive(Debug, Clone, Copy)]
pub struct Wiring<'a> {
    /// The initramfs.
    pub initramfs: &'a Path,
    /// Sockets that QEMU inherits; none: its own terminal, for a person who
    /// runs the command line by hand.
    pub sockets: Option<Sockets>,
}

/// Descriptors of sockets.
#[derive(Debug, Clone, Copy)]
pub struct Sockets {
    /// What the serial port says.
    pub serial: i32,
    /// What the virtio console says.
    pub console: i32,
    /// The ports: control, stdin, stdout, stderr, enter.
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
    args.option("-cpu", processor(machine));
    args.option("-smp", machine.cpus);
    args.memory(machine);
    // Nothing that a guest might talk QEMU into: no program, no privilege.
    args.option(
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    );
    args.option("-kernel", machine.kernel.file.display());
    args.option("-initrd", wiring.initramfs.display());
    args.option("-append", parameters(machine, wiring.sockets.is_none()));
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

/// The command line as one could type it, with the initramfs at this path:
/// kernel and command speak to the terminal, and the command has no input.
#[must_use]
pub fn command_line(machine: &Machine, initramfs: &Path) -> String {
    let wiring = Wiring { initramfs, sockets: None };
    let qemu = crate::proc::Program::new(&machine.qemu).args(arguments(machine, &wiring));
    let folder = initramfs.parent().unwrap_or(Path::new("."));
    // QEMU does not wait for a daemon's socket to be there.
    let daemons: String = shares::command_lines(folder, &machine.shares)
        .into_iter()
        .map(|line| format!("{line} & sleep 1; "))
        .collect();
    format!("{daemons}{qemu}")
}

/// Without what a guest of ours has no use for: each costs time at boot.
fn board(machine: &Machine) -> &'static str {
    match machine.kind {
        MachineKind::Q35 => "q35,usb=off,vmport=off,smbus=off,sata=off,i8042=off,hpet=off",
        MachineKind::Microvm => "microvm,rtc=on,isa-serial=on",
        // The older controller of interrupts has room for eight processors.
        MachineKind::Virt => "virt,gic-version=3",
    }
}

/// All that there is, but for what makes TCG slow: with `erms` and `fsrm` the
/// kernel copies by `rep movsb`, which TCG carries out byte by byte; arm64's
/// pointers are signed by a cipher of QEMU's own, not by the costly one of the
/// architecture.
///
/// Kernels of arm64 before 5.12 stop at once, and say nothing, on a processor
/// that knows addresses of 52 bits with small pages, as that of QEMU 7.0 does
/// (`arch/arm64/kernel/head.S`, 26f55386f964); some before 4.19 on one that
/// knows them with large pages. They get one that is as old as they are.
fn processor(machine: &Machine) -> &'static str {
    let series = machine.kernel.release.as_deref().and_then(Series::of_release);
    match (machine.accel, machine.kind.arch()) {
        (Accel::Kvm, _) => "host",
        (Accel::Tcg, Arch::X86_64) => "max,-erms,-fsrm",
        (Accel::Tcg, Arch::Arm64) if series.is_some_and(|series| series < WIDE) => "cortex-a72",
        (Accel::Tcg, Arch::Arm64) => "max,pauth-impdef=on",
    }
}

/// From where on kernels know that a processor may know wider addresses.
const WIDE: Series = Series { major: 5, minor: 12 };

/// How devices are plugged in: the end of a virtio device's name.
fn bus(kind: MachineKind) -> &'static str {
    match kind {
        MachineKind::Q35 | MachineKind::Virt => "pci",
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
        let socket = |descriptor: i32| format!("socket,fd={descriptor}");
        let by_hand = |port: &str| match port {
            wire::STDOUT => "file,path=/dev/stdout",
            wire::STDERR => "file,path=/dev/stderr",
            // Not `null`, to which no guest's port is ever connected.
            _ => "file,path=/dev/null",
        };
        let serial = wiring.sockets.map(|sockets| socket(sockets.serial));
        let serial = serial.unwrap_or_else(|| "stdio,mux=on,signal=off".to_owned());
        self.option("-chardev", format!("{serial},id=serial"));
        self.option("-serial", "chardev:serial");
        self.device("virtio-serial", "max_ports=8");
        let mut console = "serial";
        if let Some(sockets) = wiring.sockets {
            self.option("-chardev", format!("{},id=console", socket(sockets.console)));
            console = "console";
        }
        self.option("-device", format!("virtconsole,chardev={console}"));
        for (at, name) in PORTS.iter().enumerate() {
            let to = match wiring.sockets {
                Some(sockets) => socket(sockets.ports[at]),
                None => by_hand(name).to_owned(),
            };
            self.option("-chardev", format!("{to},id=port{at}"));
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
            let folder = wiring.initramfs.parent().unwrap_or(Path::new("."));
            let socket = shares::socket(folder, tag);
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::vm::{Forward, Kernel, Limits, Orders};

    fn machine() -> Machine {
        Machine {
            qemu: "qemu-system-x86_64".into(),
            accel: Accel::Tcg,
            kind: MachineKind::Q35,
            memory: 512,
            cpus: 2,
            kernel: Kernel {
                file: "/store/kernel".into(),
                release: None,
                virtio_console: true,
                virtiofs: true,
            },
            shares: vec![Share {
                tag: "root".into(),
                path: PathBuf::from("/a,b"),
                writable: false,
                via: Via::NineP,
            }],
            disks: vec![Disk { serial: "kernel".into(), path: "/store/image.squashfs".into() }],
            network: None,
            gdb: None,
            qemu_args: Vec::new(),
            kernel_args: vec!["debug".into()],
            modules: Vec::new(),
            orders: Orders::default(),
            limits: Limits::default(),
        }
    }

    fn typed(machine: &Machine) -> String {
        command_line(machine, Path::new("initramfs.cpio"))
    }

    #[test]
    fn a_share_that_is_only_read_is_so_for_the_hypervisor() {
        let line = typed(&machine());
        assert!(
            line.contains("path=/a,,b,security_model=none,multidevs=remap,readonly=on"),
            "{line}"
        );
        assert!(line.contains("driver=raw,read-only=on"), "{line}");
        let mut writable = machine();
        writable.shares[0].writable = true;
        assert!(!typed(&writable).contains("readonly=on"));
    }

    #[test]
    fn there_is_no_network_unless_it_is_asked_for() {
        assert!(!typed(&machine()).contains("net"));
        let forwards = vec![Forward { tcp: true, host: 8080, guest: 80 }];
        let with = typed(&Machine { network: Some(forwards), ..machine() });
        assert!(with.contains("user,id=net,hostfwd=tcp:127.0.0.1:8080-:80"), "{with}");
    }

    #[test]
    fn every_machine_is_locked_in_and_has_randomness() {
        for kind in [MachineKind::Q35, MachineKind::Microvm] {
            let line = typed(&Machine { kind, ..machine() });
            assert!(line.contains("-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny"));
            assert!(line.contains("-device virtio-rng-"), "{line}");
            assert!(line.contains("-no-reboot"), "{line}");
        }
        let line = typed(&Machine { kind: MachineKind::Microvm, accel: Accel::Kvm, ..machine() });
        assert!(line.contains("microvm,rtc=on") && line.contains("virtio-9p-device"), "{line}");
        assert!(line.contains("-accel kvm -cpu host") && !line.contains("tsc_early_khz"), "{line}");
    }

    #[test]
    fn an_arm64_machine_has_its_own_board_and_console() {
        let line = typed(&Machine { kind: MachineKind::Virt, ..machine() });
        assert!(line.contains("-machine virt,gic-version=3 -accel tcg"), "{line}");
        assert!(line.contains("-cpu max,pauth-impdef=on"), "{line}");
        for (release, processor) in [
            ("5.10.198-kinvolk-v1", "-cpu cortex-a72"),
            ("5.12.0-kinvolk-v1", "-cpu max,pauth-impdef=on"),
        ] {
            let kernel = Kernel { release: Some(release.into()), ..machine().kernel };
            let line = typed(&Machine { kind: MachineKind::Virt, kernel, ..machine() });
            assert!(line.contains(processor), "{line}");
        }
        assert!(line.contains("virtio-9p-pci") && line.contains("earlycon console=hvc0"), "{line}");
        let pc = ["ttyS0", "earlyprintk", "no_timer_check"];
        assert!(pc.iter().all(|word| !line.contains(word)), "{line}");
        let kernel = Kernel { virtio_console: false, ..machine().kernel };
        let line = typed(&Machine { kind: MachineKind::Virt, kernel, ..machine() });
        assert!(line.contains("console=ttyAMA0") && !line.contains("hvc0"), "{line}");
    }

    #[test]
    fn a_daemon_s_share_makes_the_memory_a_file() {
        let mut machine = machine();
        machine.shares[0].via = Via::Virtiofs { program: "virtiofsd".into() };
        let line = typed(&machine);
        assert!(line.contains("memory-backend-memfd,id=memory,size=512M,share=on"), "{line}");
        assert!(line.contains("vhost-user-fs-pci,chardev=root,tag=root"), "{line}");
        assert!(!line.contains("-fsdev"), "{line}");
    }

    #[test]
    fn a_kernel_that_gives_up_ends_the_machine() {
        let line = typed(&machine());
        for word in ["panic=-1", "oops=panic", "softlockup_panic=1", "hung_task_panic=1", " debug"]
        {
            assert!(line.contains(word), "{word}: {line}");
        }
        let foreign = Kernel { virtio_console: false, ..machine().kernel };
        let line = typed(&Machine { kernel: foreign, ..machine() });
        assert!(line.contains("console=ttyS0") && !line.contains("hvc0"), "{line}");
    }
}
