//! The kernel's command line.

use stage1_builder_guest::wire;

use super::accel::Accel;
use super::machine::{Machine, MachineKind};
use crate::settings::Arch;

/// The parameters, in order (`Documentation/admin-guide/kernel-parameters.txt`).
pub(super) fn parameters(machine: &Machine, by_hand: bool) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut add = |word: &str| words.push(word.to_owned());
    let arch = machine.kind.arch();
    let (early, serial) = match arch {
        Arch::X86_64 => ("earlyprintk=serial,ttyS0", "console=ttyS0"),
        // Which port it is, the board's own description says.
        Arch::Arm64 => ("earlycon", "console=ttyAMA0"),
    };
    if machine.kernel.virtio_console {
        // What is said before the virtio console is there goes to the port.
        add(early);
        add("console=hvc0");
    } else {
        add(serial);
    }
    add("quiet");
    add("rdinit=/init");
    // Whatever is wrong ends the machine at once, and the console says why.
    for word in ["panic=-1", "oops=panic", "softlockup_panic=1", "hung_task_panic=1"] {
        add(word);
    }
    // A lockup is told by the watchdog for it. RCU would tell of it first, in
    // a trace that was seen to hang the machine before the watchdog could.
    add("rcupdate.rcu_cpu_stall_timeout=120");
    // Two minutes, then, and not up to four (since 4.19, as a parameter 5.8).
    add("sysctl.kernel.hung_task_check_interval_secs=10");
    if machine.accel == Accel::Tcg {
        // A guest without hardware's help on a busy host stands still longer
        // than the 20 seconds after which the watchdog calls it a lockup.
        add("watchdog_thresh=30");
    }
    if arch == Arch::X86_64 {
        // Neither clock nor interrupts need to be tried out in a VM.
        add("no_timer_check");
    }
    add("dummy.numdummies=0");
    add("ifb.numifbs=0");
    if machine.kind == MachineKind::Microvm {
        add("reboot=t");
        if machine.accel == Accel::Tcg {
            // There is no clock that the processor's could be measured by.
            add("tsc_early_khz=2000000");
        }
    }
    if machine.gdb.is_some() {
        add("nokaslr");
    }
    if by_hand {
        add(wire::ALONE);
    }
    words.extend(machine.kernel_args.iter().cloned());
    words.join(" ")
}
