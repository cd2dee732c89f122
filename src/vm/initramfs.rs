//! The archive that the kernel unpacks first: init, its orders, modules.
//!
//! The "new ASCII" cpio format, written by hand because nothing but its head
//! is to it (`Documentation/driver-api/early-userspace/buffer-format.rst`).

use super::Error;
use super::machine::Machine;
use crate::content::{INIT, guest_program};

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_600;
const DEVICE: u32 = 0o020_600;

/// The archive's bytes.
///
/// # Errors
/// When this binary has no init for the machine's architecture.
pub(super) fn archive(machine: &Machine) -> Result<Vec<u8>, Error> {
    let arch = machine.kind.arch();
    let init = guest_program(INIT, arch).ok_or(Error::NoProgram { arch })?;
    let mut archive = Archive::default();
    archive.add("dev", FOLDER, (0, 0), b"");
    // Both before devtmpfs is there: a process starts with open streams only
    // if the kernel finds a console.
    archive.add("dev/console", DEVICE, (5, 1), b"");
    archive.add("dev/null", DEVICE, (1, 3), b"");
    archive.add("init", PROGRAM, (0, 0), init.bytes);
    if !machine.modules.is_empty() {
        archive.add("modules", FOLDER, (0, 0), b"");
    }
    for (path, bytes) in &machine.modules {
        archive.add(path.trim_start_matches('/'), FILE, (0, 0), bytes);
    }
    archive.add("orders", FILE, (0, 0), &machine.orders.to_bytes());
    Ok(archive.end())
}

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.inode += 1;
        let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        let links = if mode & 0o040_000 != 0 && mode & 0o100_000 == 0 { 2 } else { 1 };
        let (major, minor) = device;
        let head = [self.inode, mode, 0, 0, links, 0, size, 0, 0, major, minor, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in head {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn end(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, (0, 0), b"");
        self.bytes
    }
}
