//! The plan of a machine: all of it known before anything starts.

use std::path::PathBuf;
use std::time::Duration;

use stage1_builder_guest::orders::Orders;

use super::accel::Accel;
use crate::settings::Arch;

/// A machine and what it is to do.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The program, such as `qemu-system-x86_64`, or a path.
    pub qemu: String,
    /// What runs the guest's instructions.
    pub accel: Accel,
    /// Which board.
    pub kind: MachineKind,
    /// Mebibytes of memory.
    pub memory: u32,
    /// Processors.
    pub cpus: u32,
    /// What boots.
    pub kernel: Kernel,
    /// Folders of the host.
    pub shares: Vec<Share>,
    /// Files of the host as read-only disks.
    pub disks: Vec<Disk>,
    /// Ports of the host that lead into the guest; none: no network at all.
    pub network: Option<Vec<Forward>>,
    /// Waits for a debugger on this TCP port of the loopback interface.
    pub gdb: Option<u16>,
    /// Further arguments for QEMU.
    pub qemu_args: Vec<String>,
    /// Further words for the kernel's command line.
    pub kernel_args: Vec<String>,
    /// Modules for the initramfs: its path there, its bytes.
    pub modules: Vec<(String, Vec<u8>)>,
    /// What init does.
    pub orders: Orders,
    /// How long what may take.
    pub limits: Limits,
}

/// What boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// A bzImage, an ELF `vmlinux` with a PVH entry, or an Image of arm64.
    pub file: PathBuf,
    /// Its release, if it is known.
    pub release: Option<String>,
    /// Whether the console of virtio is built in, which is the quicker one;
    /// a foreign kernel may have the serial port's only.
    pub virtio_console: bool,
    /// Whether it knows virtiofs.
    pub virtiofs: bool,
}

/// The board that QEMU makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineKind {
    /// A PC with PCI Express. Safe everywhere.
    Q35,
    /// As little as Linux needs, with virtio over MMIO. Quicker under KVM; its
    /// clock can't be calibrated under TCG, where it hangs now and then.
    Microvm,
    /// QEMU's own board for arm64, with PCI Express.
    Virt,
}

impl MachineKind {
    /// Whose processor is on it.
    #[must_use]
    pub fn arch(self) -> Arch {
        match self {
            Self::Q35 | Self::Microvm => Arch::X86_64,
            Self::Virt => Arch::Arm64,
        }
    }
}

/// A folder of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// By which the guest mounts it.
    pub tag: String,
    /// The folder.
    pub path: PathBuf,
    /// Whether the guest may write to it, with the caller's rights.
    pub writable: bool,
    /// How it is shared.
    pub via: Via,
}

/// How a folder is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// By QEMU itself. Every kernel of ours has it.
    NineP,
    /// By a daemon, quicker, from Linux 5.4 on.
    Virtiofs {
        /// The daemon's program.
        program: String,
    },
}

/// A file of the host as a read-only disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// By which the guest finds it, at most 20 characters (virtio's limit).
    pub serial: String,
    /// The file.
    pub path: PathBuf,
}

/// A port of the host's loopback interface that leads into the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// TCP, or UDP.
    pub tcp: bool,
    /// On the host.
    pub host: u16,
    /// In the guest.
    pub guest: u16,
}

/// How long what may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From QEMU's start to init's first word.
    pub hello: Duration,
    /// From QEMU's start to the command's.
    pub boot: Duration,
    /// From the command's start to its end.
    pub command: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        let boot = Duration::from_secs(120);
        Self { hello: boot, boot, command: None }
    }
}
