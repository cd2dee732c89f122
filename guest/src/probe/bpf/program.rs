//! Programs: the shortest of each type, loaded, and attached where that takes
//! no more than a line or two.

use std::io;
use std::os::fd::OwnedFd;

use super::super::events::Event;
use super::super::system::{Attr, bpf_descriptor, unshare};
use super::super::{Tried, btf};
use super::PROG_LOAD;
use super::attach::{Attach, attach};

/// A type of program, and where it goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Program {
    name: &'static str,
    /// enum bpf_prog_type
    kind: u32,
    /// enum bpf_attach_type, where loading asks for it.
    pub(super) expected: u32,
    /// What it gives: what its type must, and what does no harm.
    returns: i32,
    target: Target,
    attach: Attach,
}

/// What of the kernel's types it is for.
#[derive(Debug, Clone, Copy)]
enum Target {
    None,
    Function(&'static str),
    Typedef(&'static str),
    /// Its place takes the place of the attach type.
    Member(&'static str, &'static str),
}

const fn plain(name: &'static str, kind: u32, returns: i32, attach: Attach) -> Program {
    Program { name, kind, expected: 0, returns, target: Target::None, attach }
}

const fn expecting(
    name: &'static str,
    kind: u32,
    expected: u32,
    returns: i32,
    attach: Attach,
) -> Program {
    Program { name, kind, expected, returns, target: Target::None, attach }
}

const fn typed(
    name: &'static str,
    kind: u32,
    expected: u32,
    target: Target,
    attach: Attach,
) -> Program {
    Program { name, kind, expected, returns: 0, target, attach }
}

/// Functions that every kernel has and does not inline.
const FUNCTION: &str = "vfs_read";
const HOOK: &str = "bpf_lsm_file_open";
const TRACEPOINT: &str = "sched/sched_switch";

// enum bpf_prog_type, enum bpf_attach_type (include/uapi/linux/bpf.h)
const PROGRAMS: [Program; 37] = [
    plain("socket-filter", 1, 0, Attach::Socket),
    plain("kprobe", 2, 0, Attach::Event(Event::Kprobe(FUNCTION))),
    plain("uprobe", 2, 0, Attach::Event(Event::Uprobe)),
    expecting("kprobe-multi", 2, 42, 0, Attach::Functions(FUNCTION)),
    plain("sched-cls", 3, 0, Attach::Filter),
    expecting("tcx", 3, 46, 0, Attach::Device),
    plain("sched-act", 4, 0, Attach::Action),
    plain("tracepoint", 5, 0, Attach::Event(Event::Tracepoint(TRACEPOINT))),
    // XDP_PASS
    plain("xdp", 6, 2, Attach::Xdp),
    plain("perf-event", 7, 0, Attach::Event(Event::Clock)),
    plain("cgroup-skb", 8, 1, Attach::Cgroup(0)),
    plain("cgroup-sock", 9, 1, Attach::Cgroup(2)),
    plain("lwt-in", 10, 0, Attach::Nowhere),
    plain("lwt-out", 11, 0, Attach::Nowhere),
    plain("lwt-xmit", 12, 0, Attach::Nowhere),
    plain("sock-ops", 13, 1, Attach::Cgroup(3)),
    plain("sk-skb", 14, 1, Attach::Sockmap(5)),
    plain("cgroup-device", 15, 1, Attach::Cgroup(6)),
    plain("sk-msg", 16, 1, Attach::Sockmap(7)),
    plain("raw-tracepoint", 17, 0, Attach::RawTracepoint(c"sched_switch")),
    expecting("cgroup-sock-addr", 18, 8, 1, Attach::Cgroup(8)),
    plain("lwt-seg6local", 19, 0, Attach::Nowhere),
    plain("sk-reuseport", 21, 1, Attach::Reuseport),
    plain("flow-dissector", 22, 0, Attach::Netns(17)),
    expecting("cgroup-sysctl", 23, 18, 1, Attach::Cgroup(18)),
    plain("raw-tracepoint-writable", 24, 0, Attach::Nowhere),
    expecting("cgroup-sockopt", 25, 21, 1, Attach::Cgroup(21)),
    typed("tp-btf", 26, 23, Target::Typedef("btf_trace_sched_switch"), Attach::Trampoline),
    typed("fentry", 26, 24, Target::Function(FUNCTION), Attach::Trampoline),
    typed("fexit", 26, 25, Target::Function(FUNCTION), Attach::Trampoline),
    typed("fmod-ret", 26, 26, Target::Function("security_file_open"), Attach::Trampoline),
    typed("iter", 26, 28, Target::Function("bpf_iter_task"), Attach::Link),
    typed("struct-ops", 27, 0, Target::Member("tcp_congestion_ops", "ssthresh"), Attach::Nowhere),
    typed("lsm", 29, 27, Target::Function(HOOK), Attach::Lsm),
    expecting("sk-lookup", 30, 36, 1, Attach::NetnsLink),
    plain("syscall", 31, 0, Attach::Run),
    expecting("netfilter", 32, 45, 1, Attach::Netfilter),
];

/// BPF_F_SLEEPABLE, without which this type is refused.
const SLEEPABLE: (&str, u32) = ("syscall", 1 << 4);

fn find(name: &str) -> Option<&'static Program> {
    PROGRAMS.iter().find(|program| program.name == name)
}

pub(in super::super) fn knows(name: &str) -> bool {
    find(name).is_some()
}

pub(in super::super) fn check(name: &str) -> Tried {
    let Some(program) = find(name) else { return Err("no such type".to_owned()) };
    let loaded = load(program)?;
    // What goes to the network goes to one of its own, as far as there is one.
    _ = unshare(libc::CLONE_NEWNET);
    attach(program.attach, program, &loaded)
}

/// Loads it; if it is refused, the verifier has the last word.
fn load(program: &Program) -> Result<OwnedFd, String> {
    let (id, expected) = target(program)?;
    let flags = if program.name == SLEEPABLE.0 { SLEEPABLE.1 } else { 0 };
    let code = code(program.returns);
    let mut log = vec![0; 16 << 10];
    let attr = Attr::new()
        .word(0, program.kind)
        .word(4, u32::try_from(code.len() / 8).unwrap_or(0))
        .pointer(8, &code)
        .pointer(16, b"GPL\0")
        .word(40, version())
        .word(44, flags)
        .word(68, expected)
        .word(108, id);
    let quiet = bpf_descriptor(PROG_LOAD, &mut attr.clone());
    quiet.or_else(|error| {
        let size = u32::try_from(log.len()).unwrap_or(0);
        let mut told = attr.word(24, 1).word(28, size).out(32, &mut log);
        bpf_descriptor(PROG_LOAD, &mut told).map_err(|_| refused(&error, &log))
    })
}

fn refused(error: &io::Error, log: &[u8]) -> String {
    let text = log.split(|&byte| byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    let is_word = |line: &&str| !line.trim().is_empty() && !line.starts_with("processed ");
    match text.lines().rfind(is_word) {
        Some(line) => format!("BPF_PROG_LOAD: {error}: {line}"),
        None => format!("BPF_PROG_LOAD: {error}"),
    }
}

/// The number of the type that it is for, and the attach type.
fn target(program: &Program) -> Result<(u32, u32), String> {
    let types = match program.target {
        Target::None => return Ok((0, program.expected)),
        _ => btf::Types::of_kernel()?,
    };
    let absent = |name: &str| format!("the kernel's type information has no {name}");
    let id = match program.target {
        Target::None => 0,
        Target::Function(name) => types.function(name).ok_or_else(|| absent(name))?,
        Target::Typedef(name) => types.typedef(name).ok_or_else(|| absent(name))?,
        Target::Member(name, member) => {
            return types.member(name, member).ok_or_else(|| absent(name));
        }
    };
    Ok((id, program.expected))
}

/// r0 = `returns`; exit (struct bpf_insn)
fn code(returns: i32) -> Vec<u8> {
    let [a, b, c, d] = returns.to_le_bytes();
    vec![0xb7, 0, 0, 0, a, b, c, d, 0x95, 0, 0, 0, 0, 0, 0, 0]
}

/// LINUX_VERSION_CODE, for which kernels before 5.0 ask. Its last number has
/// eight bits.
fn version() -> u32 {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    version_of(&release)
}

fn version_of(release: &str) -> u32 {
    let plain = release.split(['-', '+']).next().unwrap_or_default();
    let mut numbers = plain.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next() << 16) + (next() << 8) + next().min(255)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_as_the_kernel_packs_it() {
        assert_eq!(version_of("4.4.178-kinvolk-v1"), 0x0004_04b2);
        assert_eq!(version_of("4.9.337"), 0x0004_09ff, "as SUBLEVEL is cut");
        assert_eq!(version_of("6.13-rc4"), 0x0006_0d00);
    }
}
