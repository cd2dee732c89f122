//! Controllers of control groups, of version 1 or 2.

use std::fs;

use super::{Tried, said};

/// The kernel's own names of them (`include/linux/cgroup_subsys.h`).
const NAMES: [&str; 12] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
];

pub(super) fn knows(name: &str) -> bool {
    NAMES.contains(&name)
}

/// `/proc/cgroups` has those of version 1 and, on most kernels, all others;
/// `cgroup.controllers` has those of version 2.
pub(super) fn check(name: &str) -> Tried {
    let listed = fs::read_to_string("/proc/cgroups").map_err(said("/proc/cgroups"))?;
    let line = listed.lines().find(|line| line.split_whitespace().next() == Some(name));
    match line.map(|line| line.split_whitespace().nth(3) == Some("1")) {
        Some(true) => return Ok("there".to_owned()),
        Some(false) => return Err("it is turned off".to_owned()),
        None => {}
    }
    let unified = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    // As version 2 calls it.
    let name = if name == "blkio" { "io" } else { name };
    match unified.split_whitespace().any(|found| found == name) {
        true => Ok("there, in version 2".to_owned()),
        false => Err("neither /proc/cgroups nor cgroup.controllers has it".to_owned()),
    }
}
