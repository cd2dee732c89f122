//! System calls that have no safe form, each as tight as it can be.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Bytes of `union bpf_attr` that are ours. What a kernel does not know of it
/// must be zero (`bpf_check_uarg_tail_zero`, or its like, in all of them).
const ATTRIBUTES: usize = 128;

/// `union bpf_attr`, field by field at its offset (include/uapi/linux/bpf.h).
#[derive(Debug, Clone)]
pub(super) struct Attr<'a> {
    bytes: [u8; ATTRIBUTES],
    pointed: PhantomData<&'a [u8]>,
}

impl<'a> Attr<'a> {
    pub(super) fn new() -> Self {
        Self { bytes: [0; ATTRIBUTES], pointed: PhantomData }
    }

    pub(super) fn word(mut self, at: usize, value: u32) -> Self {
        self.bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        self
    }

    pub(super) fn descriptor(self, at: usize, value: &impl AsRawFd) -> Self {
        self.word(at, value.as_raw_fd().cast_unsigned())
    }

    /// A pointer to what the kernel reads.
    pub(super) fn pointer(self, at: usize, to: &'a [u8]) -> Self {
        self.long(at, to.as_ptr() as u64)
    }

    /// A pointer to what the kernel writes.
    pub(super) fn out(self, at: usize, to: &'a mut [u8]) -> Self {
        self.long(at, to.as_mut_ptr() as u64)
    }

    pub(super) fn long(mut self, at: usize, value: u64) -> Self {
        self.bytes[at..at + 8].copy_from_slice(&value.to_ne_bytes());
        self
    }
}

/// bpf(2) for commands that give no descriptor.
pub(super) fn bpf(command: u32, attr: &mut Attr<'_>) -> io::Result<()> {
    bpf_raw(command, attr).map(|_| ())
}

/// bpf(2) for commands that give a descriptor.
pub(super) fn bpf_descriptor(command: u32, attr: &mut Attr<'_>) -> io::Result<OwnedFd> {
    bpf_raw(command, attr).map(owned)
}

#[expect(unsafe_code, reason = "neither std nor rustix has bpf(2)")]
fn bpf_raw(command: u32, attr: &mut Attr<'_>) -> io::Result<i64> {
    // SAFETY: the attributes are as long as said, and what they point to
    // lives as long as they do.
    checked(unsafe {
        libc::syscall(libc::SYS_bpf, command, attr.bytes.as_mut_ptr(), attr.bytes.len())
    })
}

/// perf_event_open(2) on the first processor, for every process.
#[expect(unsafe_code, reason = "neither std nor rustix has perf_event_open(2)")]
pub(super) fn perf_event_open(attr: &[u8; 64]) -> io::Result<OwnedFd> {
    let (pid, cpu, group, flags) = (-1_i64, 0_i64, -1_i64, 0_i64);
    // SAFETY: the attributes say their own size, which is theirs.
    let result =
        unsafe { libc::syscall(libc::SYS_perf_event_open, attr.as_ptr(), pid, cpu, group, flags) };
    checked(result).map(owned)
}

/// ioctl(2) of a request whose argument is a number.
#[expect(unsafe_code, reason = "rustix wants a type for each request")]
pub(super) fn ioctl(on: BorrowedFd<'_>, request: u64, argument: i64) -> io::Result<i64> {
    // SAFETY: the callers' requests (loop, perf) take no pointer.
    checked(unsafe { libc::syscall(libc::SYS_ioctl, on.as_raw_fd(), request, argument) })
}

/// setsockopt(2) of a number at the level of the socket.
#[expect(unsafe_code, reason = "rustix knows no option that attaches a program")]
pub(super) fn set_socket(on: BorrowedFd<'_>, option: i32, value: i32) -> io::Result<()> {
    let (level, size) = (libc::SOL_SOCKET, size_of::<i32>());
    // SAFETY: the value is as long as said.
    let result = unsafe {
        libc::syscall(libc::SYS_setsockopt, on.as_raw_fd(), level, option, &raw const value, size)
    };
    checked(result).map(|_| ())
}

/// unshare(2).
#[expect(unsafe_code, reason = "with CLONE_FILES it could take descriptors from other threads")]
pub(super) fn unshare(flags: i32) -> io::Result<()> {
    // SAFETY: there is one thread, and the callers' flags are namespaces.
    checked(unsafe { libc::syscall(libc::SYS_unshare, flags) }).map(|_| ())
}

fn checked(result: i64) -> io::Result<i64> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[expect(unsafe_code, reason = "what the kernel has just given is ours alone")]
fn owned(descriptor: i64) -> OwnedFd {
    let descriptor = i32::try_from(descriptor).unwrap_or(-1);
    // SAFETY: see above; the kernel's descriptors are small numbers.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}
