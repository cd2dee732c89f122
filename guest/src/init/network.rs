//! Loopback, and QEMU's user-mode network, through rtnetlink.

use std::io;
use std::os::fd::OwnedFd;

use crate::netlink::{CREATE, NEWLINK, attribute, open, request};
use crate::orders::Orders;
use crate::wire::Failure;

use super::problem::{Explain, Problem};

/// The addresses of QEMU's user-mode network (`net/slirp.c`).
const ADDRESS: [u8; 4] = [10, 0, 2, 15];
const GATEWAY: [u8; 4] = [10, 0, 2, 2];
const PREFIX: u8 = 24;

// include/uapi/linux/{rtnetlink,if_addr,if}.h
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
    request(socket, RTM_NEWADDR, CREATE, &body)?;
    // struct rtmsg: the default route
    let mut body = vec![AF_INET, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, 0, RTN_UNICAST, 0, 0, 0, 0];
    attribute(&mut body, RTA_GATEWAY, &GATEWAY);
    attribute(&mut body, RTA_OIF, &link.to_ne_bytes());
    request(socket, RTM_NEWROUTE, CREATE, &body)
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
    request(socket, NEWLINK, 0, &body)
}
