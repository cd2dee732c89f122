//! What the kernel says of itself, and whether it loads a module.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use rustix::system;

use super::{FOLDER, MODULE, MODULE_FAREWELL, MODULE_GREETING, Tried, said};

pub(super) fn knows(name: &str) -> bool {
    matches!(name, "release" | "config" | "module")
}

pub(super) fn check(name: &str) -> Tried {
    match name {
        "release" => Ok(system::uname().release().to_string_lossy().into_owned()),
        "config" => config(),
        _ => module(),
    }
}

/// The file's bytes as hexadecimal digits: the host unpacks and compares.
fn config() -> Tried {
    const PATH: &str = "/proc/config.gz";
    let bytes = fs::read(PATH).map_err(said(PATH))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Loads the module of the host's, hears what it says, and removes it.
fn module() -> Tried {
    let path = format!("{FOLDER}/{MODULE}");
    let file = File::open(&path).map_err(said(&path))?;
    system::finit_module(&file, c"", 0).map_err(said("loading it"))?;
    let name = CString::new(MODULE.trim_end_matches(".ko")).unwrap_or_default();
    let greeted = log_has(MODULE_GREETING);
    system::delete_module(&name, 0).map_err(said("removing it"))?;
    if !greeted? {
        return Err("it was loaded, and said nothing".to_owned());
    }
    match log_has(MODULE_FAREWELL)? {
        true => Ok("loaded, said hello, and was removed".to_owned()),
        false => Err("it was removed, and did not say so".to_owned()),
    }
}

/// Whether the kernel's log has this text: one record for each read, until
/// there is none (`Documentation/ABI/testing/dev-kmsg`).
fn log_has(text: &str) -> Result<bool, String> {
    const PATH: &str = "/dev/kmsg";
    let nonblocking = libc::O_NONBLOCK;
    let log = OpenOptions::new().read(true).custom_flags(nonblocking).open(PATH);
    let mut log = log.map_err(said(PATH))?;
    let mut record = [0; 8192];
    loop {
        match log.read(&mut record) {
            Ok(0) => return Ok(false),
            Ok(count) if String::from_utf8_lossy(&record[..count]).contains(text) => {
                return Ok(true);
            }
            Ok(_) => {}
            // Records went by before they were read: there are later ones.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(said(PATH)(error)),
        }
    }
}
