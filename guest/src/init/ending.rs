//! The end of the machine.

use std::time::Duration;

use rustix::system::{RebootCommand, reboot};

use crate::wire;

/// Leaves the machine to the host, which ends it when it has all that was
/// said: a port's write comes back when the bytes are queued, and a restart
/// would throw the queue away. Without a host, it ends here.
pub(super) fn hand_over() {
    let parameters = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    if !wire::is_alone(&parameters) {
        loop {
            std::thread::sleep(Duration::from_secs(3600));
        }
    }
}

/// Restarts, which ends a machine that runs under `-no-reboot`: the one way
/// out that every kernel and every machine type has.
pub(super) fn power_off() {
    rustix::fs::sync();
    _ = reboot(RebootCommand::Restart);
    eprintln!("init: the machine does not restart");
}
