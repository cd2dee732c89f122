//! BPF: every type of map, and every type of program where it is attached.

mod attach;
pub(super) mod map;
pub(super) mod program;

use std::io;
use std::os::fd::OwnedFd;

use super::system::{Attr, bpf_descriptor};

// enum bpf_cmd (include/uapi/linux/bpf.h)
const MAP_CREATE: u32 = 0;
const MAP_LOOKUP: u32 = 1;
const MAP_UPDATE: u32 = 2;
const PROG_LOAD: u32 = 5;
const PROG_ATTACH: u32 = 8;
const PROG_TEST_RUN: u32 = 10;
const RAW_TRACEPOINT_OPEN: u32 = 17;
const BTF_LOAD: u32 = 18;
const LINK_CREATE: u32 = 28;

/// A map of this type and shape.
fn create(kind: u32, key: u32, value: u32, entries: u32, flags: u32) -> io::Result<OwnedFd> {
    let attr = Attr::new().word(0, kind).word(4, key).word(8, value);
    bpf_descriptor(MAP_CREATE, &mut attr.word(12, entries).word(16, flags))
}
