//! Namespaces: a new one of each kind.

use std::process::Command;

use super::{Tried, said, system};

/// Name below `/proc/self/ns`, and the flag of unshare(2).
const KINDS: [(&str, i32); 8] = [
    ("cgroup", libc::CLONE_NEWCGROUP),
    ("ipc", libc::CLONE_NEWIPC),
    ("mnt", libc::CLONE_NEWNS),
    ("net", libc::CLONE_NEWNET),
    ("pid", libc::CLONE_NEWPID),
    // include/uapi/linux/sched.h
    ("time", 0x80),
    ("user", libc::CLONE_NEWUSER),
    ("uts", libc::CLONE_NEWUTS),
];

pub(super) fn knows(name: &str) -> bool {
    KINDS.iter().any(|(kind, _)| *kind == name)
}

pub(super) fn check(name: &str) -> Tried {
    let Some((_, flag)) = KINDS.iter().find(|(kind, _)| *kind == name) else {
        return Err("no such kind".to_owned());
    };
    // Of these it is the children who are in it.
    let link = match name {
        "time" => "time_for_children",
        name => name,
    };
    let link = format!("/proc/self/ns/{link}");
    let read = || std::fs::read_link(&link).map_err(said(&link));
    let before = read()?;
    system::unshare(*flag).map_err(said("unshare"))?;
    match name {
        "pid" => first_process()?,
        _ if read()? == before => return Err("unshare made none".to_owned()),
        _ => {}
    }
    Ok("made".to_owned())
}

/// The first process in a new namespace of numbers has the first of them.
fn first_process() -> Result<(), String> {
    let child = Command::new("/proc/self/exe").arg("pid").output();
    let child = child.map_err(said("can't start a process in it"))?;
    match String::from_utf8_lossy(&child.stdout).trim() {
        "1" => Ok(()),
        other => Err(format!("the first process in it has number {other}")),
    }
}
