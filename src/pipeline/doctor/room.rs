//! Disk, memory, clock and the limits of this process.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::process::{Resource, getrlimit};

use crate::report::text::{bytes, duration};
use crate::settings::Settings;
use crate::store::{self, Store};

use super::{Area, Line};

/// Source, objects and image of one kernel take about four gigabytes.
const BUILD: u64 = 4_000_000_000;
/// An image has about thirty megabytes.
const IMAGE: u64 = 100_000_000;
/// Linking a kernel takes most; with debugging information for BTF, more.
const MEMORY: u64 = 2_000_000_000;
/// 2024-11-17, when 6.12 was released: a clock before that is wrong.
const EARLIEST: u64 = 1_731_801_600;

pub(super) fn look(settings: &Settings) -> Vec<Line> {
    let folder = settings.build_dir.as_ref().unwrap_or(&settings.cache_dir);
    let mut lines = vec![
        disk(
            "cache folder",
            &settings.cache_dir,
            if settings.build_dir.is_some() { IMAGE } else { BUILD },
        ),
        disk("output folder", &settings.out_dir, IMAGE),
    ];
    if let Some(folder) = &settings.build_dir {
        lines.push(disk("build folder", folder, BUILD));
    }
    lines.extend(fit_for_sources(folder));
    lines.push(clock(settings, folder));
    lines.push(memory());
    lines.push(limits());
    lines
}

/// The folder itself, or the one in which it will be made.
fn existing(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let found = absolute.ancestors().find(|path| path.is_dir());
    found.map_or_else(|| PathBuf::from("/"), Path::to_owned)
}

fn disk(name: &str, folder: &Path, wanted: u64) -> Line {
    let shown = folder.display();
    let there = existing(folder);
    let variable = match name {
        "cache folder" => "S1B_CACHE_DIR",
        "build folder" => "S1B_BUILD_DIR",
        _ => "S1B_OUT_DIR",
    };
    let elsewhere = format!("set {variable} to a folder on a larger disk that you may write");
    if let Err(error) = tempfile::tempfile_in(&there) {
        return Line::missing(Area::Host, name, format!("{shown}: {error}"), elsewhere);
    }
    let free = match statvfs(&there) {
        Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
        Err(error) => {
            let error = io::Error::from(error);
            return Line::warning(Area::Host, name, format!("{shown}: {error}"), elsewhere);
        }
    };
    let detail = format!("{shown}, {} free", bytes(free));
    match free {
        free if free >= wanted => Line::ok(Area::Host, name, detail),
        free if free < wanted / 4 => Line::missing(Area::Host, name, detail, elsewhere),
        _ => {
            let detail = format!("{detail}, and a build takes up to {}", bytes(wanted));
            Line::warning(Area::Host, name, detail, elsewhere)
        }
    }
}

/// What a kernel's source asks of a file system: it has files whose names
/// differ by case alone, and its build runs programs that it has made.
fn fit_for_sources(folder: &Path) -> Option<Line> {
    const NAME: &str = "file system";
    let there = existing(folder);
    let elsewhere = "set S1B_BUILD_DIR to a folder on another file system";
    let flags = statvfs(&there).map(|found| found.f_flag).ok()?;
    if flags.contains(StatVfsMountFlags::NOEXEC) {
        let detail = format!("{}: programs can't be run there (noexec)", there.display());
        return Some(Line::missing(Area::Build, NAME, detail, elsewhere));
    }
    let scratch = tempfile::tempdir_in(&there).ok()?;
    fs_err::write(scratch.path().join("case"), "").ok()?;
    Some(match scratch.path().join("CASE").exists() {
        true => {
            let detail = format!("{}: names that differ by case are one", there.display());
            Line::missing(Area::Build, NAME, detail, elsewhere)
        }
        false => Line::ok(Area::Build, NAME, "tells names by case, runs programs"),
    })
}

/// make compares dates: a source from the future is compiled again and again,
/// and a file system with a clock of its own confuses it.
fn clock(settings: &Settings, folder: &Path) -> Line {
    const NAME: &str = "clock";
    let mend = "sudo timedatectl set-ntp true";
    let now = SystemTime::now();
    let since = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let workspaces = Store::new(&settings.cache_dir).workspaces();
    let trees = store::source_trees(settings.build_dir.as_ref().unwrap_or(&workspaces));
    let newest = trees.iter().map(|(_, stamp)| stamp.epoch).max().unwrap_or(0).max(EARLIEST);
    let date = |seconds: u64| {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
        time.to_string()
    };
    if since < newest {
        let detail = format!("it says {}, before {} of a source", date(since), date(newest));
        return Line::missing(Area::Build, NAME, detail, mend);
    }
    match apart(&existing(folder)) {
        Some(skew) if skew > Duration::from_secs(2) => {
            let detail = format!("the disk's clock is {} apart from the host's", duration(skew));
            Line::warning(Area::Build, NAME, detail, "let both ask the same time server")
        }
        _ => Line::ok(Area::Build, NAME, date(since)),
    }
}

/// How far the clock of a folder's file system is from ours.
fn apart(folder: &Path) -> Option<Duration> {
    let file = tempfile::tempfile_in(folder).ok()?;
    let (theirs, ours) = (file.metadata().ok()?.modified().ok()?, SystemTime::now());
    theirs.duration_since(ours).or_else(|_| ours.duration_since(theirs)).ok()
}

fn memory() -> Line {
    const NAME: &str = "memory";
    let jobs = std::thread::available_parallelism().map_or(1, |count| count.get());
    let text = fs_err::read_to_string("/proc/meminfo").unwrap_or_default();
    let Some(free) = available(&text) else {
        return Line::ok(Area::Host, NAME, "not told by this host");
    };
    let detail = format!("{} available, {jobs} processors", bytes(free));
    match free >= MEMORY {
        true => Line::ok(Area::Host, NAME, detail),
        false => {
            let detail = format!("{detail}; a build takes up to {}", bytes(MEMORY));
            Line::warning(Area::Host, NAME, detail, "free some, add swap, or build with --jobs 1")
        }
    }
}

/// `MemAvailable` of proc(5)'s meminfo, in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Soft limits that a build or QEMU would run into.
fn limits() -> Line {
    const NAME: &str = "limits";
    // What is limited, how little is too little, ulimit's letter for it.
    const WANTED: [(&str, Resource, u64, &str); 4] = [
        ("open files", Resource::Nofile, 1024, "n"),
        ("size of a file", Resource::Fsize, BUILD, "f"),
        ("address space", Resource::As, 8_000_000_000, "v"),
        ("processes", Resource::Nproc, 256, "u"),
    ];
    let low = WANTED.iter().filter_map(|&(what, resource, least, letter)| {
        let limit = getrlimit(resource).current?;
        (limit < least).then(|| (format!("{what}: {limit}"), format!("ulimit -{letter} unlimited")))
    });
    let (low, mend): (Vec<String>, Vec<String>) = low.unzip();
    match low.is_empty() {
        true => Line::ok(Area::Host, NAME, "none that a build or a run would meet"),
        false => Line::warning(Area::Host, NAME, low.join(", "), mend.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::doctor::State;

    #[test]
    fn a_folder_that_is_not_there_yet_is_looked_for_above() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        assert_eq!(existing(&deep), folder.path());
        assert_eq!(disk("cache folder", &deep, 1).state, State::Ok);
        let full = disk("output folder", &deep, u64::MAX);
        assert_eq!(full.state, State::Missing);
        assert!(full.mend.unwrap().contains("S1B_OUT_DIR"));
        let unwritable = disk("cache folder", Path::new("/proc/none"), 1);
        assert_eq!(unwritable.state, State::Missing);
        assert!(unwritable.mend.unwrap().contains("S1B_CACHE_DIR"));
    }

    #[test]
    fn memory_is_what_is_available() {
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:     2 kB\n"), Some(2048));
        assert_eq!(available("MemTotal: 9 kB\n"), None);
    }

    #[test]
    fn this_host_can_hold_a_source() {
        let line = fit_for_sources(&std::env::temp_dir()).unwrap();
        assert_eq!(line.state, State::Ok, "{line:?}");
    }
}
