//! Bad input: one clear error, a hint, its own exit code, nothing half-made.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::path::Path;

use fs_err as fs;
use stage1_builder::proc::Program;

#[path = "support/not_run.rs"]
mod not_run;
mod support;
use not_run::not_run;
use support::{builder, outcome};

const INTERNAL_WORDS: [&str; 3] = ["panicked", "unwrap", "Err("];

/// A project with a cache of its own, and what a run in it said.
struct Project {
    root: tempfile::TempDir,
}

struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Project {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Said {
        self.run_with(arguments, |program| program)
    }

    fn run_with(&self, arguments: &[&str], change: impl FnOnce(Program) -> Program) -> Said {
        let cache = self.path("cache");
        let program = builder(self.root.path()).env("S1B_CACHE_DIR", cache).args(arguments);
        let (code, stdout, stderr) = outcome(change(program));
        assert!(stdout.is_empty() || code == 0, "an error says nothing on stdout: {stdout}");
        for word in INTERNAL_WORDS {
            assert!(!stderr.contains(word), "{stderr}");
        }
        Said { code, stdout, stderr }
    }

    /// Names in a folder of the project, sorted; none if it is not there.
    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).into_iter().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A tree that is enough of a kernel for what comes before and in make.
    fn toy_kernel(&self, compile: &str) -> String {
        self.write(
            "toy/Makefile",
            format!(
                "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 9\nEXTRAVERSION =\n\
                 ifneq ($(O),)\nall_of_it:\n.PHONY: $(MAKECMDGOALS)\n\
                 $(MAKECMDGOALS):\n\t$(MAKE) -C $(O) -f $(CURDIR)/Makefile O= $@\nelse\n\
                 olddefconfig:\n\t@echo configured\n\
                 kernelrelease:\n\t@echo 6.12.9-kinvolk-v1\n\
                 %:\n{compile}\nendif\n"
            ),
        );
        self.write("toy/Kconfig", "config MODULES\n\tbool \"modules\"\n");
        self.write(
            "toy/kernel/reboot.c",
            "\tswitch (cmd) {\n\tcase LINUX_REBOOT_CMD_HALT:\n\t\tkernel_halt();\n\
             \t\tdo_exit(0);\n\t}\n",
        );
        self.path("toy").display().to_string()
    }
}

impl Said {
    #[track_caller]
    fn is(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "no '{part}' in: {}", self.stderr);
        }
        let errors = self.stderr.lines().filter(|line| line.starts_with("error:")).count();
        assert_eq!(errors, 1, "one error: {}", self.stderr);
    }
}

#[test]
fn settings_are_parsed_and_never_executed() {
    let project = Project::new();
    project.write("builder-config", "# mine\nS1B_JOBS=$(nproc)\n");
    project.run(&["config"]).is(3, &["builder-config:2:10", "hint:"]);
    project.write("builder-config", "S1B_JOBS=2\n");
    project.write(".config", "S1B_KERNEL_VERSOIN=4.9.6\n");
    project.run(&["config"]).is(3, &[".config:1:1", "S1B_KERNEL_VERSION"]);
    project.write(".config", "S1B_JOBS=many\n");
    project.run(&["config"]).is(3, &["S1B_JOBS", "many"]);
}

#[test]
fn an_unknown_name_in_the_environment_is_an_error() {
    let project = Project::new();
    let said = project.run_with(&["config"], |program| program.env("S1B_OUTDIR", "x"));
    said.is(3, &["S1B_OUTDIR", "S1B_OUT_DIR"]);
}

#[test]
fn the_layers_are_in_their_order_and_the_origin_is_shown() {
    let project = Project::new();
    project.write("builder-config", "S1B_KERNEL_VERSION=\"${S1B_KERNEL_VERSION:-4.4.45}\"\n");
    let version = |said: Said| {
        let line = said.stdout.lines().find(|line| line.starts_with("S1B_KERNEL_VERSION "));
        line.unwrap().split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(version(project.run(&["config"])), "4.4.45 builder-config:1");
    project.write(".config", "S1B_KERNEL_VERSION=4.9.6\n");
    assert_eq!(version(project.run(&["config"])), "4.9.6 .config:1");
    let environment = |program: Program| program.env("S1B_KERNEL_VERSION", "6.1");
    assert_eq!(version(project.run_with(&["config"], environment)), "6.1 environment");
    let flag = ["config", "--kernel-version", "6.12"];
    assert_eq!(version(project.run_with(&flag, environment)), "6.12 command line");
}

#[test]
fn what_is_no_version_is_refused_before_anything_is_asked() {
    let project = Project::new();
    project.run(&["build", "6.12.x"]).is(2, &["6.12.x"]);
    project.run(&["build", "6.12", "--kernel-version", "6.1"]).is(2, &["two kernel versions"]);
    assert!(project.names("cache").is_empty());
}

#[test]
fn a_version_that_nobody_has_names_who_was_asked() {
    let project = Project::new();
    let said = project.run(&["build", "6.99.7", "--kernel-sources", "debian"]);
    said.is(4, &["6.99.7", "debian", "hint:"]);
}

#[test]
fn a_provider_that_cant_be_reached_is_named_with_its_url() {
    let project = Project::new();
    let start = std::time::Instant::now();
    let said = project.run(&[
        "build",
        "4.9.6",
        "--kernel-sources",
        "kernel.org",
        "--kernel-org-url",
        "http://127.0.0.1:9/pub/linux/kernel",
    ]);
    said.is(5, &["kernel.org", "http://127.0.0.1:9/pub/linux/kernel/v4.x/", "hint:"]);
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

#[test]
fn all_missing_tools_are_named_at_once_with_the_command() {
    let project = Project::new();
    let kernel = project.toy_kernel("\t@true");
    let arguments = ["build", "6.12", "--source", &kernel, "--cc", "s1b-no-such-gcc"];
    project.run(&arguments).is(7, &["s1b-no-such-gcc", "compiles the kernel", "hint:"]);
    // A PATH with nothing but the tools of this test: everything else is missing.
    let bare = project.path("bin");
    fs::create_dir_all(&bare).unwrap();
    let said = project
        .run_with(&["build", "6.12", "--source", &kernel], |program| program.env("PATH", &bare));
    said.is(7, &["gcc", "make", "bc", "pahole", "flex"]);
}

#[test]
fn a_folder_that_cant_be_written_is_named() {
    let project = Project::new();
    project.write("cache", "a file where the cache should be");
    let kernel = project.toy_kernel("\t@true");
    project.run(&["build", "6.12", "--source", &kernel]).is(12, &["cache"]);
}

#[test]
fn a_source_that_is_none_is_refused() {
    let project = Project::new();
    project.write("empty/README", "no kernel");
    let folder = project.path("empty").display().to_string();
    project.run(&["build", "6.12", "--source", &folder]).is(4, &["is no kernel source", "hint:"]);
    let gone = project.path("gone").display().to_string();
    project.run(&["build", "6.12", "--source", &gone]).is(4, &["gone", "hint:"]);
}

#[test]
fn a_source_of_another_version_is_refused() {
    let project = Project::new();
    let kernel = project.toy_kernel("\t@true");
    project.run(&["build", "4.9", "--source", &kernel]).is(3, &["6.12.9", "4.9", "hint:"]);
    // The project's default is not what the user asked for.
    project.write("builder-config", "S1B_KERNEL_VERSION=4.9\n");
    let said = project.run(&["build", "--source", &kernel, "--dry-run"]);
    assert!(said.code == 0 && said.stdout.contains("6.12.9"), "{}", said.stderr);
}

#[test]
fn a_hostile_tarball_writes_nothing_anywhere() {
    for name in ["../../escaped", "/tmp/s1b-escaped", "linux/../../escaped"] {
        let project = Project::new();
        project.write("evil.tar", evil(name));
        let file = project.path("evil.tar").display().to_string();
        let said = project.run(&["build", "6.12", "--source", &file]);
        said.is(8, &["escaped", "evil.tar"]);
        assert!(!project.path("escaped").exists() && !Path::new("/tmp/s1b-escaped").exists());
        let left = Program::new("find").arg(project.path("cache")).args(["-name", "Makefile"]);
        assert!(left.run().unwrap().is_empty(), "nothing half-unpacked is left");
    }
}

/// A tarball of the toy's Makefile and a file with this very name.
fn evil(name: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, text: &str| {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(&header, text.as_bytes()).unwrap();
    };
    add("linux/Makefile", "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 9\nEXTRAVERSION =\n");
    add(name, "escaped");
    tar.into_inner().unwrap()
}

#[test]
fn a_patch_that_does_not_apply_names_file_and_hunk_and_changes_nothing() {
    let project = Project::new();
    let kernel = project.toy_kernel("\t@true");
    project.write("wrong.patch", "--- a/kernel/reboot.c\n+++ b/kernel/reboot.c\n@@ -1,2 +1,2 @@\n switch\n-absent\n+present\n");
    let patch = project.path("wrong.patch").display().to_string();
    let arguments =
        ["build", "6.12", "--source", &kernel, "--extra-kernel-patch-files", patch.as_str()];
    let said = project.run(&arguments);
    said.is(9, &["wrong.patch", "kernel/reboot.c", "hunk", "hint:"]);
    let tree = Program::new("find").arg(project.path("cache")).args(["-name", "reboot.c"]);
    let tree = String::from_utf8(tree.run().unwrap()).unwrap();
    let text = fs::read_to_string(tree.trim()).unwrap();
    assert!(text.contains("kernel_halt();") && !text.contains("present"), "as it was: {text}");
}

#[test]
fn a_fix_that_does_not_fit_the_source_is_named() {
    let project = Project::new();
    let kernel = project.toy_kernel("\t@true");
    project.write("toy/tools/objtool/Makefile", "CC = gcc\nall:\n");
    let said = project.run(&["build", "6.12", "--source", &kernel]);
    let objtool = "tools/objtool/Makefile";
    said.is(9, &["the fix 'objtool-host-compiler'", objtool, "hint: objtool's makefile names gcc"]);

    // Where it fits, a patch of the user's that does not is not taken for it, whatever its name.
    let fits = "# always use the host compiler\nCC = gcc\nLD = ld\n";
    project.write("toy/tools/objtool/Makefile", fits);
    let theirs = "--- a/Makefile\n+++ b/Makefile\n@@ -1 +1 @@\n-absent\n+present\n";
    project.write("mine/objtool-host-compiler.patch", theirs);
    let patch = project.path("mine/objtool-host-compiler.patch").display().to_string();
    let arguments =
        ["build", "6.12", "--source", &kernel, "--extra-kernel-patch-files", patch.as_str()];
    let said = project.run(&arguments);
    said.is(9, &["error: objtool-host-compiler.patch", "adapt it, or leave it out"]);
}

#[test]
fn which_fixes_a_source_needs_its_tree_says() {
    let project = Project::new();
    let toy = project.toy_kernel("\t@true");
    let kernels = ["kernels", "6.12", "--fixes", "--source", &toy];
    let none = project.run(&kernels);
    assert_eq!(none.code, 0, "{}", none.stderr);
    assert!(none.stdout.starts_with("local\n  6.12.9"), "{}", none.stdout);
    assert!(!none.stdout.contains("dtc-yylloc"), "{}", none.stdout);

    // The version is 6.12's, and the tree has the fault all the same.
    project.write("toy/scripts/dtc/dtc-lexer.l", "YYLTYPE yylloc;\n");
    let one = project.run(&["kernels", "--fixes", "--source", &toy]);
    assert!(one.stdout.contains("applies: dtc-yylloc (mended in 5.6): "), "{}", one.stdout);
    assert!(!one.stdout.contains("may apply"), "{}", one.stdout);

    project.run(&["kernels", "4.9", "--fixes", "--source", &toy]).is(3, &["6.12.9", "4.9"]);
    let gone = project.path("gone").display().to_string();
    project.run(&["kernels", "4.9", "--fixes", "--source", &gone]).is(4, &[&gone]);

    // The argument counts, not the setting.
    project.write(".config", "S1B_KERNEL_VERSION=4.9\n");
    let asked = project.run(&kernels);
    assert!(asked.stdout.contains("applies: dtc-yylloc"), "{}\n{}", asked.stdout, asked.stderr);
}

#[test]
fn a_patch_with_a_path_outside_of_the_tree_is_refused() {
    let project = Project::new();
    let kernel = project.toy_kernel("\t@true");
    project.write("out.patch", "--- /dev/null\n+++ b/../../escaped\n@@ -0,0 +1 @@\n+escaped\n");
    let patch = project.path("out.patch").display().to_string();
    let arguments =
        ["build", "6.12", "--source", &kernel, "--extra-kernel-patch-files", patch.as_str()];
    let said = project.run(&arguments);
    assert!([8, 9].contains(&said.code), "{}: {}", said.code, said.stderr);
    assert!(said.stderr.contains("../../escaped"), "{}", said.stderr);
}

#[test]
fn a_patch_by_url_needs_its_checksum() {
    let project = Project::new();
    let kernel = project.toy_kernel("\t@true");
    let url = "http://127.0.0.1:9/fix.patch";
    let arguments = ["build", "6.12", "--source", &kernel, "--extra-kernel-patch-urls", url];
    project.run(&arguments).is(6, &[url, "#sha256=", "hint:"]);
}

#[test]
fn a_failing_compile_shows_the_first_error_and_the_log() {
    let project = Project::new();
    let kernel = project.toy_kernel(
        "\t@echo '  CC      kernel/fork.o'\n\
         \t@echo \"../kernel/fork.c:7:3: error: 'oops' undeclared\" >&2\n\
         \t@for i in 1 2 3 4 5 6 7 8 9; do echo noise; done\n\t@false",
    );
    let arguments = ["build", "6.12", "--source", &kernel, "--insecure-options", "kconfig"];
    let said = project.run(&arguments);
    said.is(11, &["kernel/fork.c:7:3: error: 'oops' undeclared", "build.log", "hint:"]);
    assert!(project.names("aci-files").is_empty());
    // A relative folder means the same to make, which runs elsewhere.
    let relative = |program: Program| program.env("S1B_CACHE_DIR", "relative");
    project.run_with(&arguments, relative).is(11, &["kernel/fork.c:7:3: error: 'oops'"]);
    assert!(project.names("cache/images-v1").iter().all(|name| name.ends_with(".lock")));
}

#[test]
fn makes_commands_are_shown_with_v_and_all_that_it_says_with_vv_or_debug() {
    let project = Project::new();
    let kernel = project.toy_kernel("\t@echo 'said by make'; echo 'to stderr' >&2; false");
    let arguments = ["build", "6.12", "--source", &kernel, "--insecure-options", "kconfig"];
    let shown = |more: &[&str], debug: Option<&str>| {
        let said = project.run_with(&[&arguments, more].concat(), |program| match debug {
            Some(value) => program.env("DEBUG", value),
            None => program,
        });
        assert_eq!(said.code, 11, "{}", said.stderr);
        let lines: Vec<&str> = said.stderr.lines().collect();
        // The error at the end repeats the first lines; these come before it.
        let end = lines.iter().position(|line| line.starts_with("error:")).unwrap();
        let command = |line: &&str| {
            line.contains(": make -j")
                && line.contains(" ARCH=x86_64 ")
                && line.contains(" bzImage")
        };
        let said = |text: &str| lines[..end].contains(&text);
        (lines[..end].iter().any(command), said("said by make") && said("to stderr"))
    };
    assert_eq!(shown(&[], None), (false, false));
    assert_eq!(shown(&["-v"], None), (true, false));
    assert_eq!(shown(&["-vv"], None), (true, true));
    assert_eq!(shown(&[], Some("0")), (true, true), "any value");
    assert_eq!(shown(&["--quiet"], Some("1")), (false, false), "a flag beats the environment");
}

#[test]
fn a_configuration_that_did_not_come_out_is_an_error_with_every_reason() {
    let project = Project::new();
    let kernel = project.toy_kernel("\t@true");
    let said = project.run(&["build", "6.12", "--source", &kernel]);
    said.is(10, &["did not come out as asked", "base.config:", "hint:"]);
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing_behind() {
    let project = Project::new();
    let cache = project.path("cache");
    fs::create_dir_all(&cache).unwrap();
    let kernel = project.toy_kernel("\t@true");
    let mut big = fs::File::create(project.path("toy/kernel/big.c")).unwrap();
    big.write_all(&vec![b'x'; 8 << 20]).unwrap();
    let mount = Program::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&cache);
    if mount.run().is_err() {
        return not_run("full disk", "can't mount a tmpfs (needs root)");
    }
    let said = project.run(&["build", "6.12", "--source", &kernel]);
    let left = Program::new("find").arg(&cache).args(["-name", "big.c"]).run();
    Program::new("umount").arg(&cache).run().unwrap();
    said.is(12, &["space", "hint:"]);
    assert!(left.unwrap().is_empty());
}

/// stage1 scripts read stdout; a reader that goes away is no error.
#[test]
fn a_closed_stdout_is_no_error() {
    let project = Project::new();
    let command = format!(
        "set -o pipefail; '{}' --project-dir '{}' config | true",
        env!("CARGO_BIN_EXE_stage1-builder"),
        project.root.path().display()
    );
    let output = Program::new("bash").args(["-c", &command]).output().unwrap();
    assert!(output.status.success(), "{}", output.stderr);
}
