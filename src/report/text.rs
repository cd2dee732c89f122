//! Numbers as people read them.

use std::time::Duration;

use super::{Total, Unit};

/// `1,234,567`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `145.2 MB`, powers of ten, as download sizes are given.
#[must_use]
pub fn bytes(count: u64) -> String {
    let (unit, size) = match count {
        1_000_000_000.. => ("GB", 1_000_000_000),
        1_000_000.. => ("MB", 1_000_000),
        1_000.. => ("kB", 1_000),
        _ => return format!("{count} B"),
    };
    format!("{}.{} {unit}", count / size, count % size * 10 / size)
}

/// `0.4s`, `12s`, `3m05s`, `1h02m`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1}s", time.as_secs_f64()),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `412 of 1,931 objects`, `412 of ~1,931 objects` when nobody counted, `12.0
/// MB of 145.2 MB`, `800 files`.
pub(super) fn progress(done: u64, total: Option<Total>, unit: Unit) -> String {
    let number: fn(u64) -> String = if unit == Unit::Bytes { bytes } else { grouped };
    let name = match unit {
        Unit::Bytes => "",
        Unit::Objects => " objects",
        Unit::Files => " files",
    };
    match total {
        Some(Total::Exact(total)) => format!("{} of {}{name}", number(done), number(total)),
        Some(Total::About(total)) => format!("{} of ~{}{name}", number(done), number(total)),
        None => format!("{}{name}", number(done)),
    }
}

/// An error with its causes in one line, for places that hold several.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// What mends it when the store can't be written to.
#[must_use]
pub fn storage_hint(error: &std::io::Error) -> Option<String> {
    use std::io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let hint = match error.kind() {
        StorageFull | QuotaExceeded => {
            "free some space, or set S1B_CACHE_DIR to a folder on a larger disk"
        }
        PermissionDenied | ReadOnlyFilesystem => {
            "set S1B_CACHE_DIR and S1B_OUT_DIR to folders that you may write"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(145_234_567), "145.2 MB");
        assert_eq!(duration(Duration::from_millis(420)), "0.4s");
        assert_eq!(duration(Duration::from_secs(185)), "3m05s");
        let objects = |total| progress(412, Some(total), Unit::Objects);
        assert_eq!(objects(Total::Exact(1931)), "412 of 1,931 objects");
        assert_eq!(objects(Total::About(1931)), "412 of ~1,931 objects");
        assert_eq!(progress(800, None, Unit::Files), "800 files");
    }
}
