//! Loopback, and QEMU's user-mode network, through rtnetlink.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

use crate::orders::Orders;
use crate::wire::Failure;

use super::problem::{Explain, Problem};

/// The addresses of QEMU's user-mode network (`net/slirp.c`).
const ADDRESS: [u8; 4] = [10, 0, 2, 15];
const GATEWAY: [u8; 4] = [10, 0, 2, 2];
const PREFIX: u8 = 24;

// include/uapi/linux/{netlink,rtnetlink,if_link,if_addr,if}.h
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const IFF_UP: u32 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RTN_UNICAST: u8 = 1;
const AF_INET: u8 = 2;
/// The kernel makes it first (`drivers/net/loopback.c`).
const LOOPBACK: u32 = 1;

/// Brings up what there is.
pub(super) fn set_up(orders: &Orders) -> Result<(), Problem> {
    // A kernel without networking has no loopback to bring up.
    let Ok(socket) = open() else { return Ok(()) };
    _ = up(&socket, LOOPBACK);
    if !orders.network {
        return Ok(());
    }
    let link = ethernet().ok_or_else(|| Problem::new(Failure::Init, "there is no network card"))?;
    configure(&socket, link).or_init("can't set up the network")
}

fn configure(socket: &OwnedFd, link: u32) -> io::Result<()> {
    up(socket, link)?;
    // struct ifaddrmsg
    let mut body = vec![AF_INET, PREFIX, 0, 0];
    body.extend_from_slice(&link.to_ne_bytes());
    attribute(&mut body, IFA_LOCAL, &ADDRESS);
    attribute(&mut body, IFA_ADDRESS, &ADDRESS);
    request(socket, RTM_NEWADDR, NLM_F_CREATE, &body)?;
    // struct rtmsg: the default route
    let mut body = vec![AF_INET, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, 0, RTN_UNICAST, 0, 0, 0, 0];
    attribute(&mut body, RTA_GATEWAY, &GATEWAY);
    attribute(&mut body, RTA_OIF, &link.to_ne_bytes());
    request(socket, RTM_NEWROUTE, NLM_F_CREATE, &body)
}

/// The number of the first network card that a device stands behind.
fn ethernet() -> Option<u32> {
    let mut links: Vec<_> = std::fs::read_dir("/sys/class/net").ok()?.flatten().collect();
    links.sort_by_key(std::fs::DirEntry::file_name);
    let link = links.into_iter().find(|link| link.path().join("device").exists())?;
    std::fs::read_to_string(link.path().join("ifindex")).ok()?.trim().parse().ok()
}

fn up(socket: &OwnedFd, link: u32) -> io::Result<()> {
    // struct ifinfomsg
    let mut body = vec![0; 4];
    for word in [link, IFF_UP, IFF_UP] {
        body.extend_from_slice(&word.to_ne_bytes());
    }
    request(socket, RTM_NEWLINK, 0, &body)
}

/// struct rtattr, padded to four bytes.
fn attribute(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    to.extend_from_slice(&length.to_ne_bytes());
    to.extend_from_slice(&kind.to_ne_bytes());
    to.extend_from_slice(value);
    to.resize(to.len().next_multiple_of(4), 0);
}

fn open() -> io::Result<OwnedFd> {
    // Protocol 0 is NETLINK_ROUTE.
    let family = AddressFamily::NETLINK;
    let socket = socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, 0))?;
    Ok(socket)
}

/// Sends one message and waits for its acknowledgement.
fn request(socket: &OwnedFd, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    // struct nlmsghdr
    let mut message = Vec::new();
    let length = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    message.extend_from_slice(&length.to_ne_bytes());
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&(flags | NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(body);
    send(socket, &message, SendFlags::empty())?;
    let mut answer = [0; 4096];
    let (_, count) = recv(socket, &mut answer, RecvFlags::empty())?;
    match answer.get(..count) {
        // struct nlmsgerr behind the header; 0 is the acknowledgement.
        Some([_, _, _, _, low, high, _, _, _, _, _, _, _, _, _, _, a, b, c, d, ..])
            if u16::from_ne_bytes([*low, *high]) == NLMSG_ERROR =>
        {
            match i32::from_ne_bytes([*a, *b, *c, *d]) {
                0 => Ok(()),
                error => Err(io::Error::from_raw_os_error(-error)),
            }
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
