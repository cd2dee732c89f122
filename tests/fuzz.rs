//! Every target of `fuzz/` for a moment: built by cargo-fuzz, begun with the
//! corpora in the repository. `./test` sees to cargo-fuzz and names it;
//! `S1B_TEST_FUZZ_SECONDS` makes it longer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/not_run.rs"]
mod not_run;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use fs_err as fs;
use stage1_builder::proc::Program;

const SECONDS: &str = "10";
/// How libFuzzer says how much was tried.
const COUNT: &str = "stat::number_of_executed_units:";

fn fuzz(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(path)
}

/// The folder of the targets' programs.
fn built(cargo_fuzz: &Path) -> PathBuf {
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", cargo_fuzz.parent().unwrap().display());
    let cargo = Program::new(env!("CARGO")).args(["fuzz", "build", "--sanitizer", "none"]);
    let cargo = cargo.pass_env("CARGO_HOME").pass_env("RUSTUP_HOME").env("PATH", path);
    let output = cargo.dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", output.stderr);
    let found = fs::read_dir(fuzz("target")).unwrap().map(|entry| entry.unwrap().path());
    found.map(|path| path.join("release")).find(|path| path.join("settings").is_file()).unwrap()
}

fn names() -> Vec<String> {
    let entries = fs::read_dir(fuzz("corpus")).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// Runs one target; how many inputs it has tried, or what went wrong.
fn run(programs: &Path, name: &str) -> Result<String, String> {
    let found = tempfile::tempdir().unwrap();
    let artifacts = fuzz("artifacts").join(name);
    fs::create_dir_all(&artifacts).unwrap();
    let seconds = std::env::var("S1B_TEST_FUZZ_SECONDS").unwrap_or_else(|_| SECONDS.to_owned());
    let program = Program::new(programs.join(name).display().to_string())
        .arg(format!("-max_total_time={seconds}"))
        .args(["-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"])
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args([found.path(), &fuzz("corpus").join(name)]);
    let output = program.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(output.stderr.to_string());
    }
    let count = output.stderr.lines().find_map(|line| line.strip_prefix(COUNT));
    Ok(count.ok_or("it has tried nothing")?.trim().to_owned())
}

#[test]
fn no_target_finds_anything_in_ten_seconds() {
    let cargo_fuzz = std::env::var_os("S1B_TEST_CARGO_FUZZ").map(PathBuf::from);
    let Some(cargo_fuzz) = cargo_fuzz.filter(|path| path.is_file()) else {
        return not_run::not_run("the fuzz targets", "there is no cargo-fuzz (./test has one)");
    };
    let programs = built(&cargo_fuzz);
    let left = Mutex::new(names());
    let wrong = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some(name) = left.lock().unwrap().pop() else { return };
            match run(&programs, &name) {
                Ok(count) => println!("{name}: {count} inputs"),
                Err(error) => wrong.lock().unwrap().push(format!("{name}: {error}")),
            }
        }
    };
    let threads = std::thread::available_parallelism().unwrap().get();
    std::thread::scope(|scope| (0..threads).for_each(|_| _ = scope.spawn(work)));
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
