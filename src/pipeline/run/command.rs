//! What runs in the guest, and as whom.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::container::Process;
use crate::vm::Command;

use super::super::Error;
use super::request::RunRequest;

/// Variables that speak of the caller's user.
const CALLER: [&[u8]; 4] = [b"HOME", b"LOGNAME", b"MAIL", b"USER"];
/// Folders that are the guest's own on any root.
const HIDDEN: [&str; 3] = ["/tmp", "/run", "/dev/shm"];

/// What runs, and as what: the image's word, over it the user's.
pub(super) fn command(request: &RunRequest, process: Option<&Process>) -> Result<Command, Error> {
    let image = process.cloned().unwrap_or_default();
    let text = |words: Vec<String>| words.into_iter().map(String::into_bytes);
    let mut args: Vec<Vec<u8>> = match &request.exec {
        Some(exec) => vec![exec.clone()],
        None => text(image.entrypoint).collect(),
    };
    match (request.args.as_slice(), &request.exec) {
        ([], None) => args.extend(text(image.command)),
        (given, _) => args.extend(given.iter().cloned()),
    }
    if args.is_empty() {
        return Err(Error::Usage {
            problem: "there is no command to run".to_owned(),
            hint: "give it behind two hyphens: stage1-builder run ... -- uname -r".to_owned(),
        });
    }
    let mut env: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    if process.is_none() || request.inherit_env {
        env.extend(request.host_env.iter().cloned());
    }
    if request.user.is_some() {
        // Another user than the caller has a home and a name of its own.
        CALLER.iter().for_each(|name| _ = env.remove(*name));
    }
    env.extend(image.env.into_iter().map(|(name, value)| (name.into(), value.into())));
    if request.terminal.is_some() {
        env.entry(b"TERM".to_vec()).or_insert_with(|| {
            let term = request.host_env.iter().find(|(name, _)| name == b"TERM");
            term.map_or(b"linux".to_vec(), |(_, value)| value.clone())
        });
    }
    env.extend(request.env.iter().cloned());
    let dir = request.working_dir.clone().or(image.working_dir).unwrap_or_default();
    Ok(Command {
        args,
        env: env.into_iter().map(|(name, value)| [name, value].join(&b'=')).collect(),
        dir: dir.into_bytes(),
        user: user(request, &image.user),
        groups: image.groups.iter().map(u32::to_string).collect(),
        terminal: request.terminal,
    })
}

/// `user[:group]`: the user's words over the image's, part by part.
fn user(request: &RunRequest, image: &str) -> String {
    let (given, given_group) = split(request.user.as_deref().unwrap_or_default());
    let (image, image_group) = split(image);
    let own = request.user.is_some();
    let user = if own { given } else { image };
    let group = request.group.as_deref().or(if own { given_group } else { image_group });
    match group {
        Some(group) => format!("{user}:{group}"),
        None => user.to_owned(),
    }
}

fn split(user: &str) -> (&str, Option<&str>) {
    match user.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (user, None),
    }
}

/// Folders that a file system of the guest's own would hide (`/tmp` and its
/// kind) though the command was told of them: where it runs, and where its
/// program lies.
pub(super) fn keep(command: &Command) -> Vec<String> {
    let dir = PathBuf::from(OsStr::from_bytes(&command.dir));
    let program = command.args.first().map(|name| OsStr::from_bytes(name)).unwrap_or_default();
    let program = program.as_bytes().contains(&b'/').then(|| dir.join(program));
    let folder = program.as_deref().and_then(Path::parent).map(Path::to_owned);
    let mut keep: Vec<String> = [Some(dir), folder]
        .into_iter()
        .flatten()
        .map(|path| plain(&path))
        .filter(|path| HIDDEN.iter().any(|hidden| path.starts_with(hidden)))
        .map(|path| path.display().to_string())
        .collect();
    keep.sort();
    keep.dedup();
    keep
}

/// Without `.` and `..`. The folder that a command is called in is told by
/// the kernel and has no symlinks in it.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = plain.pop(),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> RunRequest {
        let host_env = vec![(b"CALLER".to_vec(), b"1".to_vec())];
        RunRequest { host_env, ..RunRequest::default() }
    }

    fn image() -> Process {
        Process {
            entrypoint: vec!["/entry".into()],
            command: vec!["default".into()],
            env: vec![("A".into(), "image".into()), ("B".into(), "image".into())],
            working_dir: Some("/w".into()),
            user: "1000:100".into(),
            ..Process::default()
        }
    }

    fn words(list: &[&str]) -> Vec<Vec<u8>> {
        list.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn arguments_go_behind_the_entry_point_and_exec_takes_its_place() {
        let args = |exec: Option<&str>, args: &[&str]| {
            let exec = exec.map(|exec| exec.as_bytes().to_vec());
            let request = RunRequest { exec, args: words(args), ..request() };
            command(&request, Some(&image())).unwrap().args
        };
        assert_eq!(args(None, &[]), words(&["/entry", "default"]));
        assert_eq!(args(None, &["x"]), words(&["/entry", "x"]));
        assert_eq!(args(Some("/bin/sh"), &[]), words(&["/bin/sh"]));
        assert_eq!(args(Some("/bin/sh"), &["-c", "x"]), words(&["/bin/sh", "-c", "x"]));
        assert!(command(&request(), None).is_err(), "nothing to run");
    }

    #[test]
    fn a_container_does_not_see_the_caller_s_environment() {
        let env = |request: &RunRequest, process: Option<&Process>| {
            let request = RunRequest { args: words(&["x"]), ..request.clone() };
            command(&request, process).unwrap().env
        };
        assert_eq!(env(&request(), None), words(&["CALLER=1"]));
        assert_eq!(env(&request(), Some(&image())), words(&["A=image", "B=image"]));
        let given = vec![(b"A".to_vec(), b"given".to_vec())];
        let over = RunRequest { env: given, inherit_env: true, ..request() };
        assert_eq!(env(&over, Some(&image())), words(&["A=given", "B=image", "CALLER=1"]));
    }

    #[test]
    fn user_and_group_are_taken_part_by_part() {
        let user = |given: Option<&str>, group: Option<&str>| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            let request = RunRequest { user: owned(given), group: owned(group), ..request() };
            super::user(&request, "1000:100")
        };
        assert_eq!(user(None, None), "1000:100");
        assert_eq!(user(Some("7"), None), "7");
        assert_eq!(user(Some("7:8"), None), "7:8");
        assert_eq!(user(None, Some("9")), "1000:9");
        assert_eq!(user(Some("7:8"), Some("9")), "7:9");
    }

    #[test]
    fn what_the_command_was_told_of_stays_to_be_seen() {
        let told = Command {
            args: words(&["/tmp/build/test", "x"]),
            dir: b"/run/here".to_vec(),
            ..Command::default()
        };
        assert_eq!(keep(&told), ["/run/here", "/tmp/build"]);
        let here = |program: &str| Command {
            args: words(&[program]),
            dir: b"/tmp/a".to_vec(),
            ..Command::default()
        };
        assert_eq!(keep(&here("./test")), ["/tmp/a"]);
        assert_eq!(keep(&here("../b/./test")), ["/tmp/a", "/tmp/b"]);
        assert_eq!(keep(&here("/tmp/test")), ["/tmp", "/tmp/a"]);
        let elsewhere =
            Command { args: words(&["ls"]), dir: b"/src".to_vec(), ..Command::default() };
        assert!(keep(&elsewhere).is_empty());
    }
}
