//! What a kernel is said to have, tried one by one in a guest.
//!
//! The host writes a list: a group and a name on each line ([`knows`] tells
//! which there are). Each is tried in a process of its own, so that none is
//! in another's way, and answered by a line on stdout ([`Answer`]) at once: a
//! guest that dies has said where.
//!
//! Where the list lies, the host shows a folder of its own over 9p, with the
//! module to be loaded ([`MODULE`]) beside it.

mod bpf;
mod btf;
mod controller;
mod disks;
mod events;
mod filesystem;
mod kernel;
mod namespace;
mod system;

use std::io::Write;
use std::process::{Command, ExitCode};

/// Where the host's folder is shown.
pub const FOLDER: &str = "/s1b";
/// The list, in that folder.
pub const LIST: &str = "list";
/// The module, in that folder. It must be called `hello` and say
/// [`MODULE_GREETING`].
pub const MODULE: &str = "hello.ko";
/// What the module says when it is loaded.
pub const MODULE_GREETING: &str = "s1b: hello from hello";
/// What it says when it is removed.
pub const MODULE_FAREWELL: &str = "s1b: goodbye from hello";

/// What came of a check: what was seen, or what the kernel said.
type Tried = Result<String, String>;

/// A kind of check.
struct Group {
    name: &'static str,
    knows: fn(&str) -> bool,
    check: fn(&str) -> Tried,
}

const GROUPS: [Group; 7] = [
    Group { name: "kernel", knows: kernel::knows, check: kernel::check },
    Group { name: "filesystem", knows: filesystem::knows, check: filesystem::check },
    Group { name: "controller", knows: controller::knows, check: controller::check },
    Group { name: "namespace", knows: namespace::knows, check: namespace::check },
    Group { name: "bpf-program", knows: bpf::program::knows, check: bpf::program::check },
    Group { name: "bpf-map", knows: bpf::map::knows, check: bpf::map::check },
    Group { name: "btf", knows: btf::knows, check: btf::check },
];

/// Whether there is a check of this name in this group.
#[must_use]
pub fn knows(group: &str, name: &str) -> bool {
    find(group).is_some_and(|group| (group.knows)(name))
}

fn find(name: &str) -> Option<&'static Group> {
    GROUPS.iter().find(|group| group.name == name)
}

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its group.
    pub group: String,
    /// Its name.
    pub name: String,
    /// What was seen; else what the kernel said.
    pub result: Result<String, String>,
}

impl Answer {
    /// As a line, without its end.
    #[must_use]
    pub fn to_line(&self) -> String {
        let (word, text) = match &self.result {
            Ok(text) => ("ok", text),
            Err(text) => ("failed", text),
        };
        let text = text.trim().replace(['\n', '\t'], " ");
        format!("{}\t{}\t{word}\t{text}", self.group, self.name)
    }

    /// From a line; none if it is no answer. Control characters are left out:
    /// the guest's kernel is anybody's, and a terminal obeys them.
    #[must_use]
    pub fn from_line(line: &str) -> Option<Self> {
        let mut fields = line.splitn(4, '\t');
        let plain = |text: &str| text.chars().filter(|one| !one.is_control()).collect::<String>();
        let mut next = || fields.next().map(plain);
        let (group, name, word, text) = (next()?, next()?, next()?, next()?);
        let result = match word.as_str() {
            "ok" => Ok(text),
            "failed" => Err(text),
            _ => return None,
        };
        Some(Self { group, name, result })
    }
}

/// `probe LIST`; each check is `probe check GROUP NAME`.
pub fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["check", group, name] => one(group, name),
        ["pid"] => say(&std::process::id().to_string()),
        [list] => all(list),
        _ => {
            eprintln!("usage: probe LIST");
            ExitCode::from(2)
        }
    }
}

fn all(list: &str) -> ExitCode {
    let text = match std::fs::read_to_string(list) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("probe: can't read {list}: {error}");
            return ExitCode::FAILURE;
        }
    };
    for (group, name) in text.lines().filter_map(|line| line.split_once(' ')) {
        let result = apart(group, name);
        let answer = Answer { group: group.to_owned(), name: name.to_owned(), result };
        if say(&answer.to_line()) != ExitCode::SUCCESS {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn say(line: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// A check in a process of its own.
fn apart(group: &str, name: &str) -> Tried {
    let output = Command::new("/proc/self/exe").args(["check", group, name]).output();
    let output = output.map_err(said("can't start the check"))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match output.status.code() {
        Some(0) => Ok(text),
        Some(_) => Err(text),
        None => Err(format!("the check was ended: {}", output.status)),
    }
}

fn one(group: &str, name: &str) -> ExitCode {
    let tried = match find(group).filter(|group| (group.knows)(name)) {
        Some(group) => (group.check)(name),
        None => Err(format!("there is no check {group} {name}")),
    };
    match tried {
        Ok(text) => say(&text),
        Err(text) => {
            _ = say(&text);
            ExitCode::FAILURE
        }
    }
}

/// Puts what was tried before what the kernel said.
fn said<E: Into<std::io::Error>>(doing: &str) -> impl FnOnce(E) -> String {
    move |error| format!("{doing}: {}", error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_back() {
        for result in [Ok("mounted".to_owned()), Err("mount: EINVAL".to_owned())] {
            let answer = Answer { group: "filesystem".into(), name: "ext4".into(), result };
            assert_eq!(Answer::from_line(&answer.to_line()), Some(answer));
        }
        let messy = Answer { group: "a".into(), name: "b".into(), result: Err("x\n\ty\n".into()) };
        assert_eq!(messy.to_line(), "a\tb\tfailed\tx  y");
        let rude = Answer::from_line("a\tb\tok\t\x1b[2Jx\r\x07y\tz").unwrap();
        assert_eq!(rude.result, Ok("[2Jxyz".to_owned()));
        for line in ["", "a\tb\tok", "a\tb\tperhaps\tc", "[    1.0] a kernel's line"] {
            assert_eq!(Answer::from_line(line), None, "{line}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_tried() {
        assert!(knows("filesystem", "ext4") && knows("bpf-map", "hash"));
        assert!(!knows("filesystem", "ntfs") && !knows("other", "ext4"));
    }
}
