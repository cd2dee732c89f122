//! What a terminal is given, and what it is spared: colours, moving lines.

use stage1_builder::proc::Program;

use super::images::Parts;
use super::messages::XZ;
use super::mirror::Mirror;

/// Runs its arguments on a terminal and prints what that would show, escapes
/// and all.
const ON_A_TERMINAL: &str = r"
import os, pty, sys
pid, master = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
shown = b''
while True:
    try:
        part = os.read(master, 4096)
    except OSError:
        break
    if not part:
        break
    shown += part
os.waitpid(pid, 0)
sys.stdout.write(repr(shown))
";

/// What a terminal shows of the binary with these arguments, and with these
/// variables set.
fn shown(variables: &[(&str, &str)], args: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::new("python3")
        .args(["-c", ON_A_TERMINAL, env!("CARGO_BIN_EXE_stage1-builder"), "-C"])
        .arg(folder.path())
        .args(args)
        .dir(folder.path())
        .env("TERM", "xterm")
        .env("S1B_CACHE_DIR", folder.path().join("cache"));
    let program = variables.iter().fold(program, |program, (name, value)| program.env(name, value));
    String::from_utf8(program.run().unwrap()).unwrap()
}

const RED: &str = r"\x1b[31;1merror:";

#[test]
fn colours_are_for_terminals_that_want_them() {
    let error = |variables: &[(&str, &str)]| shown(variables, &["verify", "none"]);
    assert!(error(&[]).contains(RED), "{}", error(&[]));
    for spared in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let text = error(&[spared]);
        assert!(text.contains("error:") && !text.contains(r"\x1b["), "{spared:?}: {text}");
    }
    assert!(error(&[("NO_COLOR", "")]).contains(RED), "an empty NO_COLOR is none");
}

#[test]
fn a_table_is_painted_on_a_terminal_only() {
    let image = Parts::new();
    let path = image.write("a.aci").display().to_string();
    assert!(shown(&[], &["verify", &path]).contains(r"\x1b[32mok"));
    assert!(!shown(&[("NO_COLOR", "1")], &["verify", &path]).contains(r"\x1b["));
    assert!(!shown(&[], &["verify", &path, "--format", "json"]).contains(r"\x1b["));
}

#[test]
fn ci_gets_lines_where_a_terminal_gets_a_screen() {
    let mirror = Mirror::start();
    mirror.put("/v6.x/linux-6.12.3.tar.xz", XZ);
    let url = mirror.url("");
    let plan = ["build", "6.12.3", "--dry-run", "--insecure-options", "source"];
    let plan = |more: &[(&str, &str)]| {
        let set = [("S1B_KERNEL_SOURCES", "kernel.org"), ("S1B_KERNEL_ORG_URL", url.as_str())];
        shown(&[&set, more].concat(), &plan)
    };
    let screen = plan(&[]);
    assert!(screen.contains(r"\xe2\x9c\x93"), "a stage that ended has its mark: {screen}");
    let lines = plan(&[("CI", "true")]);
    assert!(!lines.contains(r"\x1b[") && lines.contains("fetch      done in"), "{lines}");
    let quiet = shown(
        &[("S1B_KERNEL_SOURCES", "kernel.org"), ("S1B_KERNEL_ORG_URL", url.as_str())],
        &["-q", "build", "6.12.3", "--dry-run", "--insecure-options", "source"],
    );
    assert!(!quiet.contains(r"\xe2\x9c\x93") && quiet.contains("kernel_key"), "{quiet}");
}
