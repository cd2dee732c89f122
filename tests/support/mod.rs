//! What the tests of the real binary share.

use std::path::Path;

use stage1_builder::proc::{Program, Stream};

/// The binary under test, away from the developer's own settings: its
/// project, output and cache are folders of the test.
pub(crate) fn builder(project: &Path) -> Program {
    Program::new(env!("CARGO_BIN_EXE_stage1-builder"))
        .args(["--project-dir".as_ref(), project.as_os_str()])
        .dir(project)
}

/// Runs to the end: the exit code, and all of stdout and stderr.
pub(crate) fn outcome(program: Program) -> (i32, String, String) {
    let (mut stdout, mut stderr) = (String::new(), String::new());
    let status = program
        .stream(|stream, line| {
            let text = if stream == Stream::Stdout { &mut stdout } else { &mut stderr };
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        })
        .expect("the binary starts");
    (status.code().unwrap_or(-1), stdout, stderr)
}
