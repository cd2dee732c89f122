//! What a guest of rkt needs built into its kernel: it boots from 9p without
//! an initial RAM disk, and systemd is its init.

use super::DotConfig;

/// A need: one of the symbols must be `y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// Any one of them will do; a later one is another name of the first.
    pub any_of: &'static [&'static str],
    /// What for, in a few words.
    pub purpose: &'static str,
    /// Only on x86.
    pub x86_only: bool,
}

const fn need(any_of: &'static [&'static str], purpose: &'static str) -> Need {
    Need { any_of, purpose, x86_only: false }
}

/// Everything that must be `y`, found in rkt's `stage1/init/kvm` (devices and
/// kernel parameters) and in the configuration of rkt's own stage1 kernel.
pub const RKT_BUILT_IN: &[Need] = &[
    need(&["PCI"], "the bus of the virtio devices"),
    Need { any_of: &["PCI_DIRECT"], purpose: "lkvm boots with pci=conf1", x86_only: true },
    need(&["VIRTIO_PCI"], "virtio devices"),
    // kvmtool of rkt's time offers no other kind.
    need(&["VIRTIO_PCI_LEGACY"], "lkvm's virtio devices"),
    need(&["NET_9P"], "the root file system"),
    need(&["NET_9P_VIRTIO"], "the root file system"),
    need(&["9P_FS"], "the root file system"),
    need(&["9P_FS_POSIX_ACL"], "the root file system"),
    need(&["VIRTIO_NET"], "the pod's network"),
    need(&["VIRTIO_CONSOLE"], "the console, hvc0"),
    need(&["HVC_DRIVER"], "the console, hvc0"),
    need(&["SERIO"], "the keyboard controller through which lkvm resets"),
    need(&["DEVTMPFS"], "/dev"),
    need(&["DEVTMPFS_MOUNT"], "/dev"),
    need(&["TMPFS"], "systemd"),
    need(&["PROC_FS"], "systemd"),
    need(&["SYSFS"], "systemd"),
    need(&["CGROUPS"], "systemd"),
    need(&["NAMESPACES"], "systemd"),
    need(&["UNIX"], "systemd"),
    need(&["INET"], "the pod's network"),
    need(&["FHANDLE"], "systemd"),
    need(&["EPOLL"], "systemd"),
    need(&["INOTIFY_USER"], "systemd"),
    need(&["SIGNALFD"], "systemd"),
    need(&["TIMERFD"], "systemd"),
    need(&["UNIX98_PTYS"], "rkt enter, rkt attach"),
    need(&["SECCOMP"], "the isolators of apps"),
    need(&["SECCOMP_FILTER"], "the isolators of apps"),
    need(&["BINFMT_ELF"], "programs"),
    need(&["BINFMT_SCRIPT"], "rkt's reaper, a script"),
];

/// The needs that a configuration does not meet.
#[must_use]
pub fn missing_for_rkt(config: &DotConfig) -> Vec<&'static Need> {
    let x86 = config.built_in("X86");
    RKT_BUILT_IN
        .iter()
        .filter(|need| x86 || !need.x86_only)
        .filter(|need| !need.any_of.iter().any(|name| config.built_in(name)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(without: &str) -> DotConfig {
        let needs = RKT_BUILT_IN.iter().map(|need| need.any_of[0]).chain(["X86"]);
        let line = |name| match name {
            name if name == without => format!("CONFIG_{name}=m\n"),
            name => format!("CONFIG_{name}=y\n"),
        };
        DotConfig::parse(".config", &needs.map(line).collect::<String>()).unwrap()
    }

    #[test]
    fn a_module_is_not_enough() {
        assert_eq!(missing_for_rkt(&config("")), Vec::<&Need>::new());
        for need in RKT_BUILT_IN {
            assert_eq!(missing_for_rkt(&config(need.any_of[0])), [need]);
        }
    }

    #[test]
    fn what_only_x86_has_is_needed_only_there() {
        let names = |config: &DotConfig| missing_for_rkt(config).len();
        assert_eq!(names(&DotConfig::default()), RKT_BUILT_IN.len() - 1);
        let x86 = DotConfig::parse("", "CONFIG_X86=y\n").unwrap();
        assert_eq!(names(&x86), RKT_BUILT_IN.len());
    }
}
