//! What is to be run, as meant.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::container::PullPolicy;
use crate::settings::Arch;
use crate::vm::{Accel, Forward, Limits, MachineKind};

use super::super::foreign::ForeignKernel;

/// What is to be run, where, and how.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// Which kernel.
    pub kernel: KernelChoice,
    /// The container's image as typed; none: the host's own root.
    pub image: Option<String>,
    /// Takes the place of the image's entry point.
    pub exec: Option<Vec<u8>>,
    /// The command and its arguments; behind an entry point, arguments only.
    pub args: Vec<Vec<u8>>,
    /// Environment variables, over those of the image.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// The caller's environment, for the host's own root.
    pub host_env: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether the caller's environment goes into a container, too.
    pub inherit_env: bool,
    /// A user, over the image's; may have a `:group`.
    pub user: Option<String>,
    /// A group, over the image's.
    pub group: Option<String>,
    /// The folder to run in, over the image's.
    pub working_dir: Option<String>,
    /// The machine's name.
    pub hostname: Option<String>,
    /// Name servers.
    pub dns: Vec<String>,
    /// Volumes by name.
    pub volumes: Vec<VolumeSpec>,
    /// Where volumes go.
    pub mounts: Vec<MountSpec>,
    /// Ports that lead into the guest; none: no network.
    pub network: Option<Vec<Forward>>,
    /// Mebibytes.
    pub memory: u32,
    /// Processors.
    pub cpus: u32,
    /// Whether the command can't write to its root.
    pub read_only_root: bool,
    /// A terminal of so many rows and columns.
    pub terminal: Option<(u16, u16)>,
    /// What runs the guest's instructions; none: what the host has.
    pub accel: Option<Accel>,
    /// The board; none: the one that suits.
    pub board: Option<MachineKind>,
    /// QEMU's name or path; none: the one for the guest's architecture.
    pub qemu: Option<String>,
    /// Further arguments for QEMU.
    pub qemu_args: Vec<String>,
    /// Further words for the kernel's command line.
    pub kernel_args: Vec<String>,
    /// Waits for a debugger on this port.
    pub gdb: Option<u16>,
    /// How long what may take.
    pub limits: Limits,
    /// How folders are shared; none: as quickly as host and guest can.
    pub share: Option<ShareKind>,
    /// The program of virtiofs's daemon.
    pub virtiofsd: String,
    /// Leaves the folder of a run that failed behind.
    pub keep: bool,
    /// When to ask a registry.
    pub pull: PullPolicy,
    /// Registries may be spoken to in the clear.
    pub insecure_http: bool,
    /// Certificates are not checked.
    pub insecure_tls: bool,
    /// Where to write the run's name.
    pub uuid_file: Option<PathBuf>,
    /// Looks again which release is the newest.
    pub refresh: bool,
}

impl RunRequest {
    /// QEMU for a guest of this architecture.
    pub(in crate::pipeline) fn qemu_for(&self, arch: Arch) -> &str {
        self.qemu.as_deref().unwrap_or(arch.qemu())
    }
}

/// What the command line means when nothing is said: the settings' kernel, the
/// host's own root, one processor, and 1 GiB of memory.
impl Default for RunRequest {
    fn default() -> Self {
        Self {
            kernel: KernelChoice::Settings,
            image: None,
            exec: None,
            args: Vec::new(),
            env: Vec::new(),
            host_env: Vec::new(),
            inherit_env: false,
            user: None,
            group: None,
            working_dir: None,
            hostname: None,
            dns: Vec::new(),
            volumes: Vec::new(),
            mounts: Vec::new(),
            network: None,
            memory: 1024,
            cpus: 1,
            read_only_root: false,
            terminal: None,
            accel: None,
            board: None,
            qemu: None,
            qemu_args: Vec::new(),
            kernel_args: Vec::new(),
            gdb: None,
            limits: Limits::default(),
            share: None,
            virtiofsd: "virtiofsd".to_owned(),
            keep: false,
            pull: PullPolicy::New,
            insecure_http: false,
            insecure_tls: false,
            uuid_file: None,
            refresh: false,
        }
    }
}

/// Which kernel to run on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelChoice {
    /// A bzImage or vmlinux, or an Image of arm64.
    File(PathBuf),
    /// The one that the settings name: built if it is not in the store.
    Settings,
    /// One that others have built.
    Foreign(ForeignKernel),
    /// The image in the store that fits best.
    Named {
        /// Its name.
        name: String,
        /// Labels that it must have.
        labels: BTreeMap<String, String>,
    },
    /// An image's file.
    Image(PathBuf),
    /// The image in the store whose id begins so.
    Id(String),
}

/// A volume by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeSpec {
    /// Its name.
    pub name: String,
    /// Of what it is made.
    pub kind: VolumeKind,
    /// Whether it can't be written to.
    pub read_only: bool,
}

/// Of what a volume is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeKind {
    /// A folder of the host.
    Host(PathBuf),
    /// An empty folder in memory.
    Empty {
        /// Its permission bits.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
}

/// Where a volume goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountSpec {
    /// The volume's name.
    pub volume: String,
    /// The folder in the container.
    pub target: String,
}

/// How folders are shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareKind {
    /// By QEMU itself.
    NineP,
    /// By virtiofsd.
    Virtiofs,
}
