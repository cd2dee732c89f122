//! Where programs go.

use std::ffi::CStr;
use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketType};

use super::super::events::{self, Event};
use super::super::system::{Attr, bpf, bpf_descriptor, set_socket};
use super::super::{Tried, said};
use super::program::Program;
use super::{LINK_CREATE, PROG_ATTACH, PROG_TEST_RUN, RAW_TRACEPOINT_OPEN, create};
use crate::netlink::{self, attribute};

/// A place for a program. Numbers are of enum bpf_attach_type.
#[derive(Debug, Clone, Copy)]
pub(super) enum Attach {
    /// It takes a route, a device or a program of one's own: loaded is enough.
    Nowhere,
    Socket,
    Reuseport,
    Event(Event),
    RawTracepoint(&'static CStr),
    /// By what it was loaded for.
    Trampoline,
    Lsm,
    Link,
    /// Many functions at once; this one.
    Functions(&'static str),
    Cgroup(u32),
    Sockmap(u32),
    Netns(u32),
    NetnsLink,
    Netfilter,
    /// A filter behind the queueing discipline `ingress`.
    Filter,
    Action,
    Xdp,
    /// A network device.
    Device,
    /// Not attached but run.
    Run,
}

// include/uapi/asm-generic/socket.h
const SO_REUSEPORT: i32 = 15;
const SO_ATTACH_BPF: i32 = 50;
const SO_ATTACH_REUSEPORT_EBPF: i32 = 52;
/// enum bpf_map_type
const SOCKMAP: u32 = 15;

pub(super) fn attach(place: Attach, program: &Program, loaded: &OwnedFd) -> Tried {
    let done = match place {
        Attach::Nowhere => return Ok("loaded".to_owned()),
        Attach::Run => {
            bpf(PROG_TEST_RUN, &mut Attr::new().descriptor(0, loaded))
                .map_err(said("running it"))?;
            return Ok("loaded and run".to_owned());
        }
        Attach::Xdp if !generic_xdp() => {
            return Ok("loaded; only some network cards take it before 4.12".to_owned());
        }
        Attach::Event(event) => return events::attach(event, loaded).map(|()| attached()),
        Attach::Socket => to_socket(loaded, SO_ATTACH_BPF),
        Attach::Reuseport => to_socket(loaded, SO_ATTACH_REUSEPORT_EBPF),
        Attach::RawTracepoint(name) => {
            let attr = Attr::new().pointer(0, name.to_bytes_with_nul());
            bpf_descriptor(RAW_TRACEPOINT_OPEN, &mut attr.descriptor(8, loaded)).map(drop)
        }
        Attach::Trampoline => trampoline(loaded),
        Attach::Lsm => return lsm(loaded),
        Attach::Link => link(Attr::new(), program, loaded),
        Attach::Functions(name) => functions(name, program, loaded),
        Attach::Cgroup(kind) => to_cgroup(kind, loaded),
        Attach::Sockmap(kind) => create(SOCKMAP, 4, 4, 1, 0).and_then(|map| to(&map, kind, loaded)),
        Attach::Netns(kind) => bpf(PROG_ATTACH, &mut attr(loaded, kind)),
        Attach::NetnsLink => File::open("/proc/self/ns/net")
            .and_then(|space| link(Attr::new().descriptor(4, &space), program, loaded)),
        // NFPROTO_IPV4, NF_INET_LOCAL_IN, a priority that nothing else has.
        Attach::Netfilter => {
            link(Attr::new().word(16, 2).word(20, 1).word(24, 100), program, loaded)
        }
        Attach::Device => link(Attr::new().word(4, LOOPBACK), program, loaded),
        Attach::Filter => filter(loaded),
        Attach::Action => action(loaded),
        Attach::Xdp => xdp(loaded),
    };
    done.map(|()| attached()).map_err(said("attaching it"))
}

fn attached() -> String {
    "loaded and attached".to_owned()
}

fn attr(loaded: &OwnedFd, kind: u32) -> Attr<'static> {
    Attr::new().descriptor(4, loaded).word(8, kind)
}

/// BPF_PROG_ATTACH to what a descriptor stands for.
fn to(target: &impl AsRawFd, kind: u32, loaded: &OwnedFd) -> std::io::Result<()> {
    bpf(PROG_ATTACH, &mut attr(loaded, kind).descriptor(0, target))
}

/// BPF_LINK_CREATE; the link goes with its descriptor.
fn link(attr: Attr<'_>, program: &Program, loaded: &OwnedFd) -> std::io::Result<()> {
    let attr = attr.descriptor(0, loaded).word(8, program.expected);
    bpf_descriptor(LINK_CREATE, &mut { attr }).map(drop)
}

fn trampoline(loaded: &OwnedFd) -> std::io::Result<()> {
    bpf_descriptor(RAW_TRACEPOINT_OPEN, &mut Attr::new().descriptor(8, loaded)).map(drop)
}

/// The hook takes it even where nobody calls the hook.
fn lsm(loaded: &OwnedFd) -> Tried {
    trampoline(loaded).map_err(said("attaching it"))?;
    const ACTIVE: &str = "/sys/kernel/security/lsm";
    let active = fs::read_to_string(ACTIVE).map_err(said(ACTIVE))?;
    match active.trim().split(',').any(|name| name == "bpf") {
        true => Ok(attached()),
        false => {
            Err(format!("attached, but never called: {ACTIVE} has no bpf ({})", active.trim()))
        }
    }
}

fn functions(name: &str, program: &Program, loaded: &OwnedFd) -> std::io::Result<()> {
    let name = [name.as_bytes(), b"\0"].concat();
    let list = (name.as_ptr() as u64).to_ne_bytes();
    link(Attr::new().word(20, 1).pointer(24, &list), program, loaded)
}

fn to_cgroup(kind: u32, loaded: &OwnedFd) -> std::io::Result<()> {
    let path = format!("/sys/fs/cgroup/s1b-{}", std::process::id());
    fs::create_dir(&path)?;
    let done = File::open(&path).and_then(|group| to(&group, kind, loaded));
    fs::remove_dir(&path).and(done)
}

/// A socket that is bound to no address: some kernels let a program choose
/// among sockets only where none is bound yet.
fn to_socket(loaded: &OwnedFd, option: i32) -> std::io::Result<()> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    if option == SO_ATTACH_REUSEPORT_EBPF {
        set_socket(socket.as_fd(), SO_REUSEPORT, 1)?;
    }
    set_socket(socket.as_fd(), option, loaded.as_raw_fd())
}

// include/uapi/linux/{rtnetlink,pkt_sched,pkt_cls,if_link}.h
const RTM_NEWQDISC: u16 = 36;
const RTM_NEWTFILTER: u16 = 44;
const RTM_NEWACTION: u16 = 48;
const TC_H_INGRESS: u32 = 0xffff_fff1;
/// `ffff:`, the name of every queueing discipline `ingress`.
const INGRESS: u32 = 0xffff_0000;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;
const TCA_ACT_TAB: u16 = 1;
const TCA_ACT_BPF_PARMS: u16 = 2;
const TCA_ACT_BPF_FD: u16 = 5;
const TCA_ACT_BPF_NAME: u16 = 6;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_FD: u16 = 1;
const IFLA_XDP_FLAGS: u16 = 3;
const XDP_FLAGS_SKB_MODE: u32 = 2;
const NESTED: u16 = 0x8000;
/// The first of every network namespace.
const LOOPBACK: u32 = 1;

fn number(descriptor: &OwnedFd) -> [u8; 4] {
    descriptor.as_raw_fd().to_ne_bytes()
}

/// struct tcmsg of the loopback device.
fn traffic(handle: u32, parent: u32, info: u32) -> Vec<u8> {
    [0, LOOPBACK, handle, parent, info].iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn filter(loaded: &OwnedFd) -> std::io::Result<()> {
    let socket = netlink::open()?;
    let mut body = traffic(INGRESS, TC_H_INGRESS, 0);
    attribute(&mut body, TCA_KIND, b"ingress\0");
    netlink::request(&socket, RTM_NEWQDISC, netlink::CREATE, &body)?;
    // Priority 1, every protocol (ETH_P_ALL in the network's order).
    let mut body = traffic(0, INGRESS, 1 << 16 | u32::from(3_u16.to_be()));
    attribute(&mut body, TCA_KIND, b"bpf\0");
    let mut options = Vec::new();
    attribute(&mut options, TCA_BPF_FD, &number(loaded));
    attribute(&mut options, TCA_BPF_NAME, b"s1b\0");
    attribute(&mut options, TCA_BPF_FLAGS, &TCA_BPF_FLAG_ACT_DIRECT.to_ne_bytes());
    attribute(&mut body, TCA_OPTIONS, &options);
    netlink::request(&socket, RTM_NEWTFILTER, netlink::CREATE, &body)
}

fn action(loaded: &OwnedFd) -> std::io::Result<()> {
    let mut options = Vec::new();
    // struct tc_act_bpf: all of it as the kernel likes.
    attribute(&mut options, TCA_ACT_BPF_PARMS, &[0; 20]);
    attribute(&mut options, TCA_ACT_BPF_FD, &number(loaded));
    attribute(&mut options, TCA_ACT_BPF_NAME, b"s1b\0");
    let mut one = Vec::new();
    attribute(&mut one, TCA_KIND, b"bpf\0");
    attribute(&mut one, TCA_OPTIONS, &options);
    let mut list = Vec::new();
    attribute(&mut list, 1, &one);
    // struct tcamsg
    let mut body = vec![0; 4];
    attribute(&mut body, TCA_ACT_TAB, &list);
    netlink::request(&netlink::open()?, RTM_NEWACTION, netlink::CREATE, &body)
}

/// For any device since b5cdae3291f7 (4.12).
fn generic_xdp() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split('.').map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(4), Some(12))
}

fn xdp(loaded: &OwnedFd) -> std::io::Result<()> {
    // struct ifinfomsg
    let mut body: Vec<u8> =
        [0, LOOPBACK, 0, 0].iter().flat_map(|w: &u32| w.to_ne_bytes()).collect();
    let mut options = Vec::new();
    attribute(&mut options, IFLA_XDP_FD, &number(loaded));
    attribute(&mut options, IFLA_XDP_FLAGS, &XDP_FLAGS_SKB_MODE.to_ne_bytes());
    attribute(&mut body, IFLA_XDP | NESTED, &options);
    netlink::request(&netlink::open()?, netlink::NEWLINK, 0, &body)
}
