//! The guest's clock.

use std::time::Instant;

use rustix::time::{ClockId, Timespec, clock_settime};

use crate::wire::{self, Kind};

use super::ports::Control;
use super::problem::{Explain, Problem};

/// Sets it by the host's, which is the first that the host says: files that
/// the host has just written must not be of the future.
///
/// The host said what time it is after `asked`, and the answer may have waited
/// here for long, a busy host's guest being slow. So it is taken for one of
/// that very moment: the guest is ahead by what the question took to get
/// there, and never behind.
pub(super) fn set(control: &Control, asked: Instant) -> Result<(), Problem> {
    let parameters = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    if wire::is_alone(&parameters) {
        return Ok(());
    }
    let doing = "can't read the host's clock";
    let mut port = control.reader().or_init(doing)?;
    let Some(frame) = wire::read_frame(&mut port).or_init(doing)? else { return Ok(()) };
    if let (Kind::Clock, Ok(bytes)) = (frame.kind, frame.bytes.as_slice().try_into()) {
        let since = i64::try_from(asked.elapsed().as_nanos()).unwrap_or(0);
        let now = i64::from_le_bytes(bytes).saturating_add(since);
        let (tv_sec, tv_nsec) = (now.div_euclid(SECOND), now.rem_euclid(SECOND));
        clock_settime(ClockId::Realtime, Timespec { tv_sec, tv_nsec })
            .or_init("can't set the clock")?;
    }
    Ok(())
}

/// In nanoseconds.
const SECOND: i64 = 1_000_000_000;
