//! A place to run guests from: a project, a folder for runs, and a shell in
//! which `run` is `stage1-builder run` on the tests' kernel.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use fs_err as fs;
use stage1_builder::proc::Program;

use super::cache::shared_cache;
use super::debian_source::debian_has;
use super::not_run::not_run;
use super::support::{builder, outcome};

/// The kernel of all these tests.
const SERIES: &str = "6.12";

/// What every script can call. `gone` waits, at most three seconds, until no
/// machine of this bench is left.
const PRELUDE: &str = r#"
export XDG_RUNTIME_DIR=$BENCH/runtime
kernel_file() { "$S1B" run --kernel "$KERNEL" --dry-run -- true 2>/dev/null | grep -o -- "-kernel [^ ]*" | cut -c9-; }
run() { "$S1B" run --kernel "$KERNEL" "$@"; }
machines() { grep -lsz "s1b.control" /proc/[0-9]*/cmdline | while read -r file; do
    { tr '\0' ' ' <"$file"; } 2>/dev/null | grep -qF "$BENCH/" && echo "$file"; done; }
gone() { for try in $(seq 60); do [ -z "$(machines)" ] && return; sleep 0.05; done
    echo "a machine is left"; return 1; }
wait_for() { for try in $(seq 600); do eval "$1" && return; sleep 0.1; done
    echo "never: $1"; return 1; }
left() { ls -A "$BENCH/runtime/stage1-builder" 2>/dev/null; }
"#;

/// A folder with all that a test makes; it and everything in it is readable
/// for others, so that a run as another user can be tried.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

/// What a script said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Bench {
    /// For runs that need no kernel that was built.
    pub(crate) fn without_kernel() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        fs::create_dir(folder.path().join("runtime")).unwrap();
        Self { folder }
    }

    /// None where this host can't have the kernel, which is said once.
    pub(crate) fn new() -> Option<Self> {
        kernel()?;
        Some(Self::without_kernel())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Runs a script of bash in the bench's folder.
    pub(crate) fn shell(&self, script: &str) -> Said {
        self.shell_with(script, |program| program)
    }

    pub(crate) fn shell_with(&self, script: &str, change: impl FnOnce(Program) -> Program) -> Said {
        self.write("script", format!("{PRELUDE}\n{script}\n"));
        // Whatever goes wrong, nothing is waited for for ever.
        let program = Program::new("timeout")
            .args(["--kill-after=5", "300", "bash", "-c", "exec 2>stderr; . ./script"])
            .env("BENCH", self.folder.path())
            .env("S1B", env!("CARGO_BIN_EXE_stage1-builder"))
            .env("S1B_CACHE_DIR", shared_cache())
            .env("S1B_KERNEL_SOURCES", "debian")
            .env("KERNEL", SERIES)
            .dir(self.folder.path());
        let output = change(program).output().unwrap();
        let stderr = fs::read(self.path("stderr")).unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// A container as a plain folder: a static busybox and nothing else.
    pub(crate) fn busybox(&self, name: &str) {
        let bin = self.path(name).join("bin");
        fs::create_dir_all(&bin).unwrap();
        fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).unwrap();
        }
    }

    /// The kernel's file and the binary, where everybody can read them.
    pub(crate) fn for_everybody(&self) {
        fs::copy(kernel().unwrap(), self.path("kernel")).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_stage1-builder"), self.path("stage1-builder")).unwrap();
    }
}

/// What the scripts in containers use.
pub(crate) const APPLETS: [&str; 20] = [
    "sh", "cat", "ls", "id", "env", "echo", "mount", "touch", "stat", "httpd", "sleep", "pwd",
    "grep", "head", "readlink", "wc", "mkdir", "hostname", "test", "sync",
];

impl Said {
    /// The exit code, and what must stand in stderr.
    #[track_caller]
    pub(crate) fn is(&self, code: i32, parts: &[&str]) -> &Self {
        assert_eq!(self.code, code, "{}\n{}", self.text(), self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "no '{part}' in: {}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }

    /// As `is`, for an error of ours: one line of it, and a hint.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, parts: &[&str]) -> &Self {
        self.is(code, parts);
        let errors = self.stderr.lines().filter(|line| line.starts_with("error:")).count();
        assert_eq!(errors, 1, "{}", self.stderr);
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// All of stdout.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert_eq!(self.text(), text, "{}", self.stderr);
        self
    }

    /// Lines of stdout, wherever they stand.
    #[track_caller]
    pub(crate) fn has(&self, lines: &[&str]) -> &Self {
        let text = self.text();
        for line in lines {
            assert!(
                text.lines().any(|found| found == *line),
                "no '{line}' in: {text}\n{}",
                self.stderr
            );
        }
        self
    }
}

/// The kernel's file. The first call sees to it that it is built and taken
/// out of its image, and lets a guest find out how this host stands with KVM,
/// so that no other run has to speak of it.
fn kernel() -> Option<&'static Path> {
    static KERNEL: OnceLock<Option<PathBuf>> = OnceLock::new();
    KERNEL.get_or_init(prepare).as_deref()
}

fn prepare() -> Option<PathBuf> {
    let wanted = std::env::var("S1B_TEST_KERNELS").unwrap_or_else(|_| "6.1 6.12".into());
    let listed = wanted.split_whitespace().any(|word| word == SERIES);
    let reason =
        if listed { debian_has(SERIES).err() } else { Some("not in S1B_TEST_KERNELS".into()) };
    if let Some(reason) = reason {
        not_run(&format!("commands on kernel {SERIES}"), &reason);
        return None;
    }
    let project = tempfile::tempdir().unwrap();
    let program = |args: &[&str]| {
        builder(project.path())
            .env("S1B_CACHE_DIR", shared_cache())
            .env("S1B_KERNEL_SOURCES", "debian")
            .args(args)
    };
    let (code, _, stderr) = outcome(program(&["build", SERIES]));
    assert_eq!(code, 0, "{stderr}");
    let (code, _, stderr) = outcome(program(&["run", "--kernel", SERIES, "--", "true"]));
    assert_eq!(code, 0, "{stderr}");
    let (code, line, stderr) =
        outcome(program(&["run", "--kernel", SERIES, "--dry-run", "--", "true"]));
    assert_eq!(code, 0, "{stderr}");
    let mut words = line.split_whitespace().skip_while(|word| *word != "-kernel");
    Some(words.nth(1).unwrap().into())
}
