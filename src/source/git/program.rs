//! How git is called: it asks nobody, and says how far it is.

use crate::proc::{self, Program, Stream};
use crate::settings::GitSource;

use super::super::Error;

/// Git, with the user's own credentials and proxies, which never asks: there
/// may be nobody to answer, and the terminal is not its own.
pub(super) fn git() -> Program {
    let passed = ["SSH_AUTH_SOCK", "XDG_CONFIG_HOME", "GIT_SSL_CAINFO", "GIT_SSL_NO_VERIFY"];
    let ssh = std::env::var("GIT_SSH_COMMAND").unwrap_or_else(|_| "ssh -o BatchMode=yes".into());
    passed
        .into_iter()
        .fold(Program::new("git"), Program::pass_env)
        .pass_proxies()
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_SSH_COMMAND", ssh)
}

/// Runs git, and says how many of how many objects have come, whenever it
/// does.
pub(super) fn with_progress(
    program: Program,
    mut progress: impl FnMut((u64, u64)),
) -> Result<(), proc::Error> {
    program.pipe(|stream, bytes| {
        let text = String::from_utf8_lossy(bytes);
        if stream == Stream::Stderr
            && let Some(counts) = text.split(['\r', '\n']).rev().find_map(objects)
        {
            progress(counts);
        }
    })
}

/// The numbers in `Receiving objects:  45% (12345/27433), 10.50 MiB | …`.
fn objects(line: &str) -> Option<(u64, u64)> {
    let (_, numbers) = line.strip_prefix("Receiving objects:")?.split_once('(')?;
    let (done, total) = numbers.split_once(')')?.0.split_once('/')?;
    Some((done.parse().ok()?, total.parse().ok()?))
}

/// What keeps us from a repository, in git's own words, without the progress
/// before them.
pub(super) fn unreachable(source: &GitSource, error: proc::Error) -> Error {
    let proc::Error::Failed { stderr, .. } = &error else { return error.into() };
    let reason = reasons(stderr);
    if reason.is_empty() {
        return error.into();
    }
    Error::Repository { repository: source.repository.clone(), reason }
}

fn reasons(stderr: &str) -> String {
    let says = |line: &&str| {
        let by = ["fatal: ", "error: ", "remote: ", "ssh: "].iter().any(|by| line.starts_with(by));
        by && !line.contains("% (")
    };
    let lines = stderr.split(['\r', '\n']).map(str::trim).filter(says);
    lines.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_no_progress() {
        let said = "remote: Counting objects: 99% (9/10)\rremote: Counting objects: 100% (10/10), \
                    done.\nremote: fatal: unable to read\nFetching\nfatal: early EOF\n";
        assert_eq!(reasons(said), "remote: fatal: unable to read; fatal: early EOF");
    }

    #[test]
    fn how_far_git_is() {
        let line = "Receiving objects:  45% (12345/27433), 10.50 MiB | 2.00 MiB/s";
        assert_eq!(objects(line), Some((12_345, 27_433)));
        assert_eq!(objects("Receiving objects: 100% (3/3), done."), Some((3, 3)));
        for other in
            ["remote: Counting objects: 45% (1/2)", "Receiving objects:", "fatal: no (1/2)"]
        {
            assert_eq!(objects(other), None, "{other}");
        }
    }
}
