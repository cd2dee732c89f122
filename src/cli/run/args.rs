//! `run` as typed.
//!
//! The names are rkt's where rkt has the option, so that scripts go on
//! working; what rkt has and a VM of ours has no use for is refused by name.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args};
use stage1_builder::vm::Accel;

/// `run`.
#[derive(Debug, Args)]
#[command(after_help = "A time is a number of seconds, or has a unit: 500ms, 5s, 2m, 1h.\n\
                  The exit code is the command's own; 128+n when signal n killed it.")]
pub(crate) struct Run {
    /// What to run it in: docker://NAME[:TAG|@DIGEST], an ACI, an OCI layout or archive, a docker archive, a folder; left out: the host's own root
    #[arg(value_name = "IMAGE")]
    pub(super) image: Option<String>,
    /// The command, or what goes behind the image's entry point
    #[arg(last = true, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,

    /// The kernel: X.Y, X.Y.Z, stable (built first if it is not in the store), debian:X.Y (Debian's own), or a file: bzImage, vmlinux, arm64's Image, an image (as --stage1-path)
    #[arg(long, value_name = "VERSION|debian:VERSION|FILE", help_heading = "Kernel")]
    pub(super) kernel: Option<String>,
    /// The image in the store that fits best: NAME[:VERSION][,LABEL=VALUE...]
    #[arg(long, value_name = "NAME", help_heading = "Kernel", conflicts_with_all = ["kernel", "stage1_path", "stage1_hash"])]
    pub(super) stage1_name: Option<String>,
    /// An image's file
    #[arg(long, value_name = "FILE", help_heading = "Kernel", conflicts_with_all = ["kernel", "stage1_hash"])]
    pub(super) stage1_path: Option<PathBuf>,
    /// The image in the store with this id, or one that begins so
    #[arg(long, value_name = "ID", help_heading = "Kernel", conflicts_with = "kernel")]
    pub(super) stage1_hash: Option<String>,
    /// The guest's architecture, where the kernel does not tell it: x86_64, arm64 [default: S1B_ARCH]
    #[arg(long, value_name = "ARCH", help_heading = "Kernel")]
    pub(super) arch: Option<String>,
    /// A word for the kernel's command line; may be repeated
    #[arg(long, value_name = "WORD", help_heading = "Kernel", allow_hyphen_values = true)]
    pub(super) kernel_arg: Vec<String>,

    /// The program to run in the place of the image's own
    #[arg(long, value_name = "PATH", help_heading = "Command")]
    pub(super) exec: Option<OsString>,
    /// An environment variable; may be repeated
    #[arg(long, visible_alias = "set-env", value_name = "NAME=VALUE", help_heading = "Command")]
    pub(super) environment: Vec<OsString>,
    /// Pass the caller's environment on (without an image it is passed anyway)
    #[arg(long, help_heading = "Command")]
    pub(super) inherit_env: bool,
    /// The user, by name or number, with or without a :GROUP
    #[arg(long, value_name = "USER", help_heading = "Command")]
    pub(super) user: Option<String>,
    /// The group, by name or number
    #[arg(long, value_name = "GROUP", help_heading = "Command")]
    pub(super) group: Option<String>,
    /// The folder to run in [default: the image's; without an image, this one]
    #[arg(long, value_name = "FOLDER", help_heading = "Command")]
    pub(super) working_dir: Option<String>,
    /// Give the command this terminal, Ctrl-C and all
    #[arg(short, long, help_heading = "Command")]
    pub(super) interactive: bool,
    /// How long the command may take
    #[arg(long, value_name = "TIME", help_heading = "Command", value_parser = time)]
    pub(super) timeout: Option<std::time::Duration>,

    /// A folder for the container: NAME,kind=host,source=FOLDER[,readOnly=true] or NAME,kind=empty[,mode=...][,uid=...][,gid=...]; may be repeated
    #[arg(long, value_name = "VOLUME", help_heading = "Files")]
    pub(super) volume: Vec<String>,
    /// Where a volume goes: volume=NAME,target=FOLDER; may be repeated
    #[arg(long, value_name = "MOUNT", help_heading = "Files")]
    pub(super) mount: Vec<String>,
    /// The command can't write to its root file system
    #[arg(long, help_heading = "Files")]
    pub(super) readonly_rootfs: bool,
    /// How folders are shared with the guest
    #[arg(long, value_name = "HOW", help_heading = "Files", default_value = "auto")]
    pub(super) share: ShareChoice,
    /// The program of virtiofs's daemon
    #[arg(long, value_name = "PROGRAM", help_heading = "Files", default_value = "virtiofsd")]
    pub(super) virtiofsd: String,
    /// When to ask a registry
    #[arg(long, value_name = "POLICY", help_heading = "Files", default_value = "new")]
    pub(super) pull_policy: Pull,

    /// Connect the guest to the host's network: default, none
    #[arg(long, value_name = "NETWORK", help_heading = "Network", num_args = 0..=1, default_missing_value = "default", require_equals = true)]
    pub(super) net: Option<String>,
    /// A port of the host's loopback interface for one in the guest: [HOST:]GUEST[/udp]; may be repeated
    #[arg(long, value_name = "PORTS", help_heading = "Network")]
    pub(super) port: Vec<String>,
    /// A name server, or `host` for the host's own; may be repeated
    #[arg(long, value_name = "ADDRESS", help_heading = "Network")]
    pub(super) dns: Vec<String>,
    /// The machine's name
    #[arg(long, value_name = "NAME", help_heading = "Network")]
    pub(super) hostname: Option<String>,

    /// Memory: a number of bytes, or with a unit (512M, 2G, 1Gi)
    #[arg(long, value_name = "SIZE", help_heading = "Machine", default_value = "1G", value_parser = mebibytes)]
    pub(super) memory: u32,
    /// Processors
    #[arg(long, visible_alias = "cpus", value_name = "COUNT", help_heading = "Machine", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=255))]
    pub(super) cpu: u32,
    /// What runs the guest's instructions
    #[arg(long, value_name = "ACCEL", help_heading = "Machine", default_value = "auto")]
    pub(super) accel: AccelChoice,
    /// QEMU's board
    #[arg(long, value_name = "BOARD", help_heading = "Machine", default_value = "auto")]
    pub(super) machine: BoardChoice,
    /// The hypervisor: qemu
    #[arg(long, value_name = "NAME", help_heading = "Machine", default_value = "qemu")]
    pub(super) hypervisor: Hypervisor,
    /// QEMU's program [default: qemu-system-x86_64, or what the guest's architecture has]
    #[arg(long, value_name = "PROGRAM", help_heading = "Machine")]
    pub(super) qemu: Option<String>,
    /// An argument for QEMU; may be repeated
    #[arg(long, value_name = "ARGUMENT", help_heading = "Machine", allow_hyphen_values = true)]
    pub(super) qemu_arg: Vec<String>,
    /// How long the guest may take to boot
    #[arg(long, value_name = "TIME", help_heading = "Machine", default_value = "2m", value_parser = time)]
    pub(super) boot_timeout: std::time::Duration,

    /// Show the kernel's console on stderr, or append it to a file
    #[arg(long, value_name = "FILE", help_heading = "When it fails", num_args = 0..=1, default_missing_value = "-", require_equals = true)]
    pub(super) console: Option<PathBuf>,
    /// Wait for a debugger on this port of the loopback interface
    #[arg(long, value_name = "PORT", help_heading = "When it fails", num_args = 0..=1, default_missing_value = "1234", require_equals = true)]
    pub(super) gdb: Option<u16>,
    /// Leave the folder of a run that failed, and print the command that repeats it
    #[arg(long, help_heading = "When it fails")]
    pub(super) keep: bool,
    /// Print QEMU's command line and run nothing
    #[arg(long, help_heading = "When it fails")]
    pub(super) dry_run: bool,
    /// Write the run's name to a file: for `enter`
    #[arg(long, value_name = "FILE", help_heading = "When it fails")]
    pub(super) uuid_file_save: Option<PathBuf>,
    /// What need not be safe, of rkt's words: image, tls, http, all...
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "When it fails", action = ArgAction::Append)]
    pub(super) insecure_options: Vec<InsecureOption>,

    #[command(flatten)]
    pub(super) refused: super::rkt::Refused,
}

/// When to ask a registry: rkt's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Pull {
    /// Never: the store has it, or it is an error.
    Never,
    /// When the store does not have it.
    New,
    /// Every time.
    Update,
}

/// `--share`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ShareChoice {
    /// Over virtiofs where host and guest have it, else over 9p.
    Auto,
    /// Over 9p, by QEMU itself.
    #[value(name = "9p")]
    NineP,
    /// Over virtiofs, by virtiofsd.
    Virtiofs,
}

/// `--accel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum AccelChoice {
    /// KVM where it is of use, else TCG.
    Auto,
    /// The processor itself, or fail.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

impl AccelChoice {
    /// None: what the host has.
    pub(in crate::cli) fn meant(self) -> Option<Accel> {
        match self {
            Self::Auto => None,
            Self::Kvm => Some(Accel::Kvm),
            Self::Tcg => Some(Accel::Tcg),
        }
    }
}

/// `--machine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum BoardChoice {
    /// The one that suits.
    Auto,
    /// A PC with PCI Express.
    Q35,
    /// Virtio over MMIO.
    Microvm,
}

/// `--hypervisor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Hypervisor {
    /// QEMU.
    Qemu,
}

/// `--insecure-options`: all of rkt's words. Those that speak of what a
/// container of rkt's is protected by say nothing here, where it has a
/// machine of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum InsecureOption {
    /// Nothing.
    None,
    /// Images need no signature.
    Image,
    /// Certificates are not checked.
    Tls,
    /// Registries are spoken to in the clear.
    Http,
    /// (Of rkt's; nothing here.)
    Ondisk,
    /// (Of rkt's; nothing here.)
    Pubkey,
    /// (Of rkt's; nothing here.)
    Capabilities,
    /// (Of rkt's; nothing here.)
    Paths,
    /// (Of rkt's; nothing here.)
    Seccomp,
    /// All that concerns fetching.
    AllFetch,
    /// (Of rkt's; nothing here.)
    AllRun,
    /// All.
    All,
}

/// A time as users write it.
pub(in crate::cli) fn time(text: &str) -> Result<std::time::Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        unit => return Err(format!("'{unit}' is no unit of time (ms, s, m, h)")),
    };
    let number: f64 = digits.parse().map_err(|_| format!("'{text}' is no time (5s, 2m)"))?;
    std::time::Duration::try_from_secs_f64(number * unit).map_err(|error| error.to_string())
}

/// A size as rkt and QEMU take it, in mebibytes.
fn mebibytes(text: &str) -> Result<u32, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text[digits.len()..].trim_end_matches(['i', 'B', 'b']) {
        "" if digits.len() == text.len() => 1,
        "K" | "k" => 1 << 10,
        "M" | "m" => 1 << 20,
        "G" | "g" => 1 << 30,
        unit => return Err(format!("'{unit}' is no unit of memory (K, M, G)")),
    };
    let number: f64 = digits.parse().map_err(|_| format!("'{text}' is no size (512M, 2G)"))?;
    let bytes = number * unit as f64;
    match (bytes / f64::from(1 << 20)).ceil() {
        size if (64.0..=1e9).contains(&size) => Ok(size as u32),
        size if size < 64.0 => Err("a guest needs 64M at least (512M, 2G)".to_owned()),
        _ => Err(format!("'{text}' is more than a machine has")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(time("5").unwrap().as_secs(), 5);
        assert_eq!(time("2m").unwrap().as_secs(), 120);
        assert_eq!(time("250ms").unwrap().as_millis(), 250);
        assert_eq!(time("1.5h").unwrap().as_secs(), 5400);
        for wrong in ["", "s", "5y", "-1s", "nan"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(mebibytes("512M"), Ok(512));
        assert_eq!(mebibytes("2G"), Ok(2048));
        assert_eq!(mebibytes("1Gi"), Ok(1024));
        assert_eq!(mebibytes("134217728"), Ok(128));
        for wrong in ["", "1M", "x", "1T", "-1G"] {
            assert!(mebibytes(wrong).is_err(), "{wrong}");
        }
    }
}
