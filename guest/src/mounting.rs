//! What `mount(2)` is given.

use std::ffi::CString;

use rustix::io::{Errno, Result};

/// Options as `mount(2)` takes them, separated by commas. No options are no
/// text at all: to cgroup2 in kernels of 4.x, an empty one is an option that
/// it does not know (`kernel/cgroup.c`).
pub(crate) fn options(text: &str) -> Result<Option<CString>> {
    let given = (!text.is_empty()).then(|| CString::new(text));
    given.transpose().map_err(|_| Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_options_are_no_text() {
        assert_eq!(options(""), Ok(None));
        assert_eq!(options("mode=0755"), Ok(Some(c"mode=0755".to_owned())));
        assert_eq!(options("a\0b"), Err(Errno::INVAL));
    }
}
