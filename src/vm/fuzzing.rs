//! What is tried with what comes out of a guest, goes into it, or says what
//! it needs. See [`crate::fuzzing`].

use std::collections::BTreeSet;
use std::io::Cursor;

use stage1_builder_guest::init::find_user;
use stage1_builder_guest::orders::{Command, Orders};
use stage1_builder_guest::wire::{self, Ending, Failure};

use super::accel;
use super::console::{self, Console};
use super::enter::RunningVm;
use super::kernel;
use super::modules::Modules;
use crate::fuzzing::{record, texts};

/// A bzImage's own kernel: as long as the image says, and no shorter for
/// being one that QEMU starts.
pub(crate) fn kernel_proper(bytes: &[u8]) {
    let proper = kernel::kernel_proper(bytes);
    if let Some(kernel) = kernel::uncompressed(bytes) {
        assert_eq!(Some(kernel), proper);
    }
    _ = kernel::has_pvh_entry(bytes);
}

/// `modules.dep` and `modules.builtin`: each file once, all from the list,
/// and what is lacking is in neither.
pub fn modules(bytes: &[u8]) {
    let [dependencies, built_in] = texts(bytes);
    let modules = Modules::of(&dependencies, &built_in);
    let known: BTreeSet<&str> =
        dependencies.split(|c: char| c == ':' || c.is_whitespace()).collect();
    let once: BTreeSet<&String> = modules.load.iter().collect();
    assert_eq!(once.len(), modules.load.len());
    for file in &modules.load {
        assert!(
            file.split([':'])
                .all(|part| known.contains(part.trim()) || dependencies.contains(part))
        );
    }
    assert!(modules.lacking.iter().all(|name| !built_in.lines().any(|line| line == *name)));
}

/// What a kernel writes to its console: whatever it is, what is shown of it
/// is bounded, and no terminal obeys it.
pub fn console(bytes: &[u8]) {
    let mut watched = Console::default();
    let mut told = 0;
    for piece in bytes.chunks(37) {
        told += usize::from(watched.take(piece).is_some());
    }
    assert!(told <= 1);
    let text = watched.text();
    assert!(bytes.len() > 4096 || text == console::said(bytes));
    assert!(text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t')));
    assert!(text.len() <= 3 * bytes.len());
}

/// What host and guest say to each other, as either side reads it: what is
/// taken is the same when it is said again.
pub fn guest_frames(bytes: &[u8]) {
    let mut from = Cursor::new(bytes);
    let mut said = Vec::new();
    while let Ok(Some(frame)) = wire::read_frame(&mut from) {
        assert!(wire::write_frame(&mut said, frame.kind, &frame.bytes).is_ok());
        if let Some(ending) = Ending::from_bytes(&frame.bytes) {
            assert_eq!(ending.to_bytes()[..], frame.bytes);
        }
        _ = frame.bytes.first().copied().and_then(Failure::from_byte);
        if let Ok(command) = Command::from_bytes(&frame.bytes) {
            assert_eq!(command.to_bytes(), frame.bytes);
        }
    }
    assert!(bytes.starts_with(&said));
    if let Ok(orders) = Orders::from_bytes(bytes) {
        assert_eq!(orders.to_bytes(), bytes);
    }
    let mut stream = Vec::new();
    assert!(wire::receive_stream(&mut Cursor::new(bytes), &mut stream).is_ok());
    assert!(stream.len() <= bytes.len());
    let mut carried = Vec::new();
    assert!(wire::send_stream(&mut Cursor::new(bytes), &mut carried).is_ok());
    let mut back = Vec::new();
    assert!(wire::receive_stream(&mut Cursor::new(carried), &mut back).is_ok());
    assert_eq!(back, bytes);
}

/// A user as typed, and a container's `/etc/passwd` and `/etc/group`. Numbers
/// need no file.
pub fn guest_users(bytes: &[u8]) {
    let [user, further, passwd, group] = texts(bytes);
    let further: Vec<String> = further.lines().map(str::to_owned).collect();
    if let Ok((_, _, groups, home)) = find_user(&user, &further, &passwd, &group) {
        assert!(!home.is_empty() && groups.len() >= further.len());
    }
    if user.parse::<u32>().is_ok() {
        assert!(find_user(&user, &[], "", "").is_ok());
    }
}

/// Records of this room.
pub(crate) fn records(bytes: &[u8]) {
    record::<RunningVm>(bytes);
    record::<accel::Record>(bytes);
}
