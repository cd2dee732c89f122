//! The guest's clock.

use rustix::time::{ClockId, Timespec, clock_settime};

use crate::wire::{self, Kind};

use super::ports::Control;
use super::problem::{Explain, Problem};

/// Sets it by the host's, which is the first that the host says: files that
/// the host has just written must not be of the future.
pub(super) fn set(control: &Control) -> Result<(), Problem> {
    let parameters = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    if wire::is_alone(&parameters) {
        return Ok(());
    }
    let doing = "can't read the host's clock";
    let mut port = control.reader().or_init(doing)?;
    let Some(frame) = wire::read_frame(&mut port).or_init(doing)? else { return Ok(()) };
    if let (Kind::Clock, Ok(bytes)) = (frame.kind, frame.bytes.as_slice().try_into()) {
        let now = i64::from_le_bytes(bytes);
        let (tv_sec, tv_nsec) = (now.div_euclid(SECOND), now.rem_euclid(SECOND));
        clock_settime(ClockId::Realtime, Timespec { tv_sec, tv_nsec })
            .or_init("can't set the clock")?;
    }
    Ok(())
}

/// In nanoseconds.
const SECOND: i64 = 1_000_000_000;
