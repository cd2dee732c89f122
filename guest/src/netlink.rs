//! rtnetlink, as far as a few requests need it.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

// include/uapi/linux/{netlink,rtnetlink}.h
const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
/// Flag of a request: make it if it is absent.
pub(crate) const CREATE: u16 = 0x400;
const ERROR: u16 = 2;
/// Request: make or change a network device.
pub(crate) const NEWLINK: u16 = 16;

/// struct rtattr, padded to four bytes.
pub(crate) fn attribute(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    to.extend_from_slice(&length.to_ne_bytes());
    to.extend_from_slice(&kind.to_ne_bytes());
    to.extend_from_slice(value);
    to.resize(to.len().next_multiple_of(4), 0);
}

pub(crate) fn open() -> io::Result<OwnedFd> {
    // Protocol 0 is NETLINK_ROUTE.
    let family = AddressFamily::NETLINK;
    let socket = socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, 0))?;
    Ok(socket)
}

/// Sends one message and waits for its acknowledgement.
pub(crate) fn request(socket: &OwnedFd, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    // struct nlmsghdr
    let mut message = Vec::new();
    let length = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    message.extend_from_slice(&length.to_ne_bytes());
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&(flags | REQUEST | ACK).to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(body);
    send(socket, &message, SendFlags::empty())?;
    let mut answer = [0; 4096];
    let (_, count) = recv(socket, &mut answer, RecvFlags::empty())?;
    match answer.get(..count) {
        // struct nlmsgerr behind the header; 0 is the acknowledgement.
        Some([_, _, _, _, low, high, _, _, _, _, _, _, _, _, _, _, a, b, c, d, ..])
            if u16::from_ne_bytes([*low, *high]) == ERROR =>
        {
            match i32::from_ne_bytes([*a, *b, *c, *d]) {
                0 => Ok(()),
                error => Err(io::Error::from_raw_os_error(-error)),
            }
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
