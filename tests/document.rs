//! What the documentation tells people to type: the script for a CI, and
//! other tools' tests in guests.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::json;
use stage1_builder::digest::Digest;
use stage1_builder::proc::{self, Program};

#[path = "support/cache.rs"]
mod cache;
#[path = "support/debian_source.rs"]
mod debian_source;
#[path = "support/guest.rs"]
#[expect(dead_code, reason = "these tests run what the documentation says")]
mod guest;
#[path = "support/mirror.rs"]
#[expect(dead_code, reason = "the tests of kernel.org need more of it")]
mod mirror;
#[path = "support/not_run.rs"]
mod not_run;
#[path = "support/oci.rs"]
#[expect(dead_code, reason = "the tests of images need more of it")]
mod oci;
mod support;
#[path = "support/system.rs"]
mod system;
use cache::shared_cache;
use guest::Guest;
use mirror::Mirror;
use not_run::not_run;
use oci::{Layer, Layout, Packed};
use support::outcome;
use system::{compiler, system};

const TOOL: &str = env!("CARGO_BIN_EXE_stage1-builder");

/// Needs the kernel's headers, as the user's tests do.
const TEST: &str = r#"
#include <linux/version.h>
#include <linux/bpf_common.h>
int printf(const char *, ...);
int main(void)
{
	printf("%d.%d.%d %d\n", LINUX_VERSION_CODE >> 16, (LINUX_VERSION_CODE >> 8) & 255,
	       LINUX_VERSION_CODE & 255, BPF_CLASS(0x85));
	return 9;
}
"#;

/// The example as it stands, once with a tool that is there and once with
/// one that is fetched; variables name what a CI would get from the network.
#[test]
fn the_script_for_a_ci_runs_a_projects_tests() {
    let Some(guest) = Guest::on("6.12", "the script for a CI") else { return };
    let mut layout = Layout::new(guest.folder().join("layout"));
    let layer = compiler(system(Layer::new(), "")).finish();
    layout.image("v1", "amd64", &[(layer, Packed::Gzip)], &json!({"Env": ["PATH=/bin:/usr/bin"]}));
    let project = guest.folder().join("project");
    fs::create_dir(&project).unwrap();
    fs::write(project.join("test.c"), TEST).unwrap();

    let mirror = Mirror::start();
    let fetched = format!("#!/bin/sh\nexec {TOOL} \"$@\"\n");
    mirror.put("/stage1-builder", fetched.clone());
    let checksum = Digest::sha256(fetched.as_bytes());
    let semaphore = |tool: &str, checksum: &str, test: &str| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/semaphore.sh");
        let script = Program::new(script).args(["sh", "-c", test]).dir(&project);
        outcome(
            script
                .env("KERNEL", "6.12")
                .env("IMAGE", &layout.path)
                .env("STAGE1_BUILDER", tool)
                .env("STAGE1_BUILDER_SHA256", checksum)
                .env("S1B_KERNEL_SOURCES", "debian")
                .env("S1B_CACHE_DIR", shared_cache()),
        )
    };
    let (code, stdout, stderr) = semaphore(TOOL, "", "tcc -run test.c | tee result; exit 9");
    assert_eq!(code, 9, "{stderr}");
    assert!(stdout.starts_with("6.12.") && stdout.ends_with(" 5\n"), "{stdout}");
    assert_eq!(fs::read_to_string(project.join("result")).unwrap(), stdout);

    let url = mirror.url("/stage1-builder");
    for _ in 0..2 {
        let (code, stdout, stderr) = semaphore(&url, checksum.hex(), "tcc -run test.c");
        assert_eq!((code, stdout.ends_with(" 5\n")), (9, true), "{stdout}\n{stderr}");
    }
    assert_eq!(mirror.gets("/stage1-builder"), 1);
    let (code, _, stderr) = semaphore(&url, &"0".repeat(64), "true");
    assert_eq!((code, stderr), (1, format!("{url}: another checksum\n")));
}

/// A crate's tests in a guest: cargo starts each test program through us.
/// Once with the target folder below /tmp, of which a guest has its own.
#[test]
fn cargo_tests_run_in_a_guest() {
    let Some(guest) = Guest::on("6.12", "cargo's tests") else { return };
    let elsewhere = tempfile::tempdir_in(shared_cache()).unwrap();
    let here = guest.folder().join("target");
    let package = guest.folder().join("package");
    fs::create_dir_all(package.join("src")).unwrap();
    let manifest = "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    fs::write(package.join("beside.txt"), "a file of the package").unwrap();
    const LIBRARY: &str = r#"
        #[test]
        fn the_kernel_is_the_guests() {
            let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
            println!("release {release}");
            assert!(release.ends_with("-kinvolk-v1\n"));
            assert!(std::fs::read_to_string("beside.txt").is_ok());
        }
        #[test]
        fn this_one_fails() {
            panic!("as it should");
        }
    "#;
    fs::write(package.join("src/lib.rs"), LIBRARY).unwrap();
    let cargo = |target: &Path, more: &[&str]| {
        let cargo = Program::new(env!("CARGO")).args(["test", "--offline", "--lib", "--"]);
        outcome(
            in_guests(cargo.args(["--nocapture"]).args(more))
                .pass_env("RUSTUP_HOME")
                .pass_env("CARGO_HOME")
                .pass_env("RUSTUP_TOOLCHAIN")
                .env("CARGO_TARGET_DIR", target)
                .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", RUNNER)
                .dir(&package),
        )
    };
    for target in [elsewhere.path(), &here] {
        let (code, stdout, stderr) = cargo(target, &["the_kernel"]);
        assert_eq!(code, 0, "{}: {stdout}\n{stderr}", target.display());
        assert!(stdout.contains("release 6.12.") && stdout.contains("1 passed"), "{stdout}");
    }
    let (code, stdout, _) = cargo(&here, &["this_one"]);
    assert!(code == 101 && stdout.contains("this_one_fails ... FAILED"), "{code} {stdout}");
}

#[test]
fn go_tests_run_in_a_guest() {
    let Some(guest) = Guest::on("6.12", "go's tests") else { return };
    if proc::find("go").is_none() {
        return not_run("go's tests", "golang-go is not installed");
    }
    fs::write(guest.folder().join("go.mod"), "module example.com/tiny\n").unwrap();
    const TEST: &str = r#"package tiny
import ("os"; "strings"; "testing")
func TestKernel(t *testing.T) {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil || !strings.HasSuffix(string(release), "-kinvolk-v1\n") {
		t.Fatal(string(release), err)
	}
}
"#;
    fs::write(guest.folder().join("tiny_test.go"), TEST).unwrap();
    let go = Program::new("go").args(["test", "-count=1", "-v", "-exec", RUNNER, "."]);
    let (code, stdout, stderr) = outcome(in_guests(go).dir(guest.folder()));
    assert_eq!(code, 0, "{stdout}\n{stderr}");
    assert!(stdout.contains("--- PASS: TestKernel"), "{stdout}");
}

const RUNNER: &str = "stage1-builder run --kernel 6.12 --";

/// With our tool in `PATH`, and the tests' cache.
fn in_guests(program: Program) -> Program {
    let folder = PathBuf::from(TOOL).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap();
    let path = std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&path)));
    program
        .env("PATH", path.unwrap())
        .env("S1B_CACHE_DIR", shared_cache())
        .env("S1B_KERNEL_SOURCES", "debian")
}
