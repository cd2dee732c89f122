//! `./builder` finds the binary that cargo built, wherever the user's own
//! settings of cargo would put it. The script and cargo are the real ones, the
//! package is a program that prints its arguments.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use fs_err as fs;
use stage1_builder::proc::Program;

/// A triple for which no standard library is installed.
const FOREIGN: &str = "riscv64imac-unknown-none-elf";

struct Project {
    root: tempfile::TempDir,
}

impl Project {
    fn new() -> Self {
        let project = Self { root: tempfile::tempdir().unwrap() };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("builder");
        fs::create_dir_all(project.path("it/src")).unwrap();
        fs::copy(script, project.path("it/builder")).unwrap();
        let package = "name = \"stage1-builder\"\nversion = \"0.1.0\"\n";
        let files = [
            ("it/Cargo.toml", format!("[package]\n{package}edition = \"2024\"\n")),
            ("it/Cargo.lock", format!("version = 4\n\n[[package]]\n{package}")),
            ("it/src/main.rs", "fn main() { println!(\"{:?}\", std::env::args_os().skip(1).collect::<Vec<_>>()); }\n".to_owned()),
        ];
        for (path, text) in files {
            fs::write(project.path(path), text).unwrap();
        }
        project
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join(name)
    }

    /// What the program says that `./builder a 'b c'` runs in another folder.
    #[track_caller]
    fn runs(&self, environment: &[(&str, &str)]) {
        let elsewhere = self.path("elsewhere");
        fs::create_dir_all(&elsewhere).unwrap();
        let script = self.path("it/builder");
        // Not by itself: a script just written may still be open in a child of another test.
        let program = Program::new("sh").arg(script).args(["a", "b c"]).dir(elsewhere);
        let program = program.pass_env("CARGO_HOME").pass_env("RUSTUP_HOME");
        let program =
            environment.iter().fold(program, |program, (name, value)| program.env(name, value));
        let output = program.output().unwrap();
        assert!(output.status.success(), "{environment:?}: {}", output.stderr);
        let project = self.path("it");
        let expected = format!("[\"--project-dir\", {project:?}, \"build\", \"a\", \"b c\"]\n");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected, "{environment:?}");
    }
}

#[test]
fn the_binary_is_found_whatever_cargo_is_told() {
    let project = Project::new();
    project.runs(&[]);
    assert!(project.path("it/target").is_dir());
    project.runs(&[("CARGO_BUILD_TARGET", FOREIGN)]);
    // Relative to where the user is.
    project.runs(&[("CARGO_TARGET_DIR", "mine")]);
    assert!(project.path("elsewhere/mine").is_dir());
    let absolute = project.path("other folder").display().to_string();
    project.runs(&[("CARGO_BUILD_TARGET_DIR", &absolute), ("CARGO_BUILD_TARGET", FOREIGN)]);
    assert!(project.path("other folder").is_dir());
}

#[test]
fn the_binary_is_found_whatever_cargos_configuration_says() {
    let project = Project::new();
    let home = project.path("cargo-home");
    fs::create_dir_all(&home).unwrap();
    let config = format!("[build]\ntarget = \"{FOREIGN}\"\ntarget-dir = \"configured\"\n");
    fs::write(home.join("config.toml"), config).unwrap();
    let rustup = std::env::var("RUSTUP_HOME")
        .ok()
        .or_else(|| Some(std::env::var("HOME").ok()? + "/.rustup"));
    project.runs(&[("CARGO_HOME", home.to_str().unwrap()), ("RUSTUP_HOME", &rustup.unwrap())]);
}
