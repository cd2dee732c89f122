//! Events that programs are attached to: perf's, and tracefs's.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::{said, system};

const TRACEFS: &str = "/sys/kernel/tracing";

// include/uapi/linux/perf_event.h
const TYPE_SOFTWARE: u32 = 1;
const TYPE_TRACEPOINT: u32 = 2;
const CPU_CLOCK: u64 = 0;
const SIZE: u32 = 64;
/// _IOW('$', 8, __u32)
const SET_BPF: u64 = 0x4004_2408;

/// What a program can be attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The beginning of a function.
    Kprobe(&'static str),
    /// The entry of a program of ours.
    Uprobe,
    /// A trace point, as a path below `events/`.
    Tracepoint(&'static str),
    /// Every so often.
    Clock,
}

/// Attaches a program to an event, which is gone with this process.
pub(super) fn attach(event: Event, program: &OwnedFd) -> Result<(), String> {
    let opened = match event {
        Event::Kprobe(function) => {
            made("kprobe_events", &format!("p:s1b/kprobe {function}"))?;
            tracepoint("s1b/kprobe")?
        }
        Event::Uprobe => {
            made("uprobe_events", &format!("p:s1b/uprobe {}", entry_of_a_program()?))?;
            tracepoint("s1b/uprobe")?
        }
        Event::Tracepoint(path) => tracepoint(path)?,
        Event::Clock => {
            open(TYPE_SOFTWARE, CPU_CLOCK, 10_000_000).map_err(said("perf_event_open"))?
        }
    };
    system::ioctl(opened.as_fd(), SET_BPF, program.as_raw_fd().into())
        .map(|_| ())
        .map_err(said("attaching it (PERF_EVENT_IOC_SET_BPF)"))
}

fn made(file: &str, line: &str) -> Result<(), String> {
    let path = format!("{TRACEFS}/{file}");
    let opened = OpenOptions::new().append(true).open(&path);
    let written = opened.and_then(|mut file| file.write_all(line.as_bytes()));
    written.map_err(said(&format!("writing '{line}' to {path}")))
}

fn tracepoint(path: &str) -> Result<OwnedFd, String> {
    let path = format!("{TRACEFS}/events/{path}/id");
    let number = fs::read_to_string(&path).map_err(said(&path))?;
    let number = number.trim().parse().map_err(|_| format!("{path} has no number"))?;
    open(TYPE_TRACEPOINT, number, 1).map_err(said("perf_event_open"))
}

/// struct perf_event_attr: type, size, config, sample_period.
fn open(kind: u32, config: u64, period: u64) -> std::io::Result<OwnedFd> {
    let mut attr = [0; SIZE as usize];
    attr[0..4].copy_from_slice(&kind.to_ne_bytes());
    attr[4..8].copy_from_slice(&SIZE.to_ne_bytes());
    attr[8..16].copy_from_slice(&config.to_ne_bytes());
    attr[16..24].copy_from_slice(&period.to_ne_bytes());
    system::perf_event_open(&attr)
}

/// `PATH:OFFSET` of the entry of a copy of this program. It is on a file
/// system of its own: old kernels know no uprobes on overlayfs.
fn entry_of_a_program() -> Result<String, String> {
    const COPY: &str = "/tmp/s1b-uprobe";
    let bytes = fs::read("/proc/self/exe").map_err(said("/proc/self/exe"))?;
    fs::write(COPY, &bytes).map_err(said(COPY))?;
    let offset = entry(&bytes).ok_or("this program's entry is not to be found")?;
    Ok(format!("{COPY}:{offset:#x}"))
}

/// Where in an ELF file its entry is: in the segment that is loaded there
/// (`PT_LOAD`, 1; elf(5)).
fn entry(elf: &[u8]) -> Option<u64> {
    let long = |at: usize| Some(u64::from_le_bytes(elf.get(at..at + 8)?.try_into().ok()?));
    let half = |at: usize| Some(u16::from_le_bytes(elf.get(at..at + 2)?.try_into().ok()?));
    let entry = long(24)?;
    let (table, size, count) = (usize::try_from(long(32)?).ok()?, half(54)?, half(56)?);
    (0..usize::from(count)).find_map(|index| {
        let head = table + index * usize::from(size);
        let (offset, address, length) = (long(head + 8)?, long(head + 16)?, long(head + 32)?);
        let within = entry.checked_sub(address).filter(|within| *within < length)?;
        (elf.get(head..head + 4)? == [1, 0, 0, 0]).then_some(offset + within)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_of_this_program_is_in_its_file() {
        let bytes = fs::read("/proc/self/exe").unwrap();
        let offset = usize::try_from(entry(&bytes).unwrap()).unwrap();
        assert!(offset > 0 && offset < bytes.len());
        assert_eq!(entry(b"\x7fELF"), None);
    }
}
