//! The virtio-serial ports by name.

use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::wire::{self, Kind};

use super::problem::{Explain, Problem};

/// Where the kernel lists them (`drivers/char/virtio_console.c`).
const CLASS: &str = "/sys/class/virtio-ports";
/// Ports appear when the host has answered for each, a moment after boot.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens the port of this name for reading and writing.
pub(super) fn open(name: &str) -> Result<File, Problem> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(device) = find(name) {
            let path = format!("/dev/{device}");
            let file = File::options().read(true).write(true).open(&path);
            return file.or_init(format_args!("can't open {path}"));
        }
        if Instant::now() > end {
            return Err(Problem::new(wire::Failure::Init, format_args!("there is no port {name}")));
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

fn find(name: &str) -> Option<String> {
    let mut ports = std::fs::read_dir(CLASS).ok()?.flatten();
    let port = ports.find(|port| {
        let found = std::fs::read_to_string(port.path().join("name"));
        found.is_ok_and(|found| found.trim_end() == name)
    })?;
    port.file_name().into_string().ok()
}

/// The control port: frames of several threads, whole.
#[derive(Debug)]
pub(super) struct Control(Mutex<File>);

impl Control {
    pub(super) fn new(port: File) -> Self {
        Self(Mutex::new(port))
    }

    /// Sends a frame. A host that is gone can't be told so.
    pub(super) fn send(&self, kind: Kind, bytes: &[u8]) {
        let mut port = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if wire::write_frame(&mut *port, kind, bytes).and_then(|()| port.flush()).is_err() {
            eprintln!("init: the control port does not take a frame");
        }
    }

    /// The same port, for the one thread that reads it.
    pub(super) fn reader(&self) -> std::io::Result<File> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).try_clone()
    }
}
