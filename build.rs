//! Builds the guest's programs (package `guest/`) and hands them to the
//! library, which embeds them: one `cargo build` gives the complete tool.
//!
//! The same source and toolchain give the same bytes wherever the folders
//! lie: flags and profile are fixed here and in `guest/Cargo.toml`, nothing of
//! the caller's (RUSTFLAGS, wrappers, profiles) reaches them, and paths are
//! mapped away. Their digest is part of a build's key.

use std::env;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The programs of the package.
const PROGRAMS: [&str; 3] = ["bind-headers", "init", "probe"];
/// The targets they are built for.
const TARGETS: [Target; 2] = [
    Target {
        arch: "x86_64",
        triple: "x86_64-unknown-linux-gnu",
        required: true,
        // No build id: it would be the only thing left that a linker invents.
        link: "-Clink-arg=-Wl,--build-id=none",
    },
    // Rust's own linker and the C library that comes with this target: it
    // takes nothing but `rustup target add`.
    Target {
        arch: "arm64",
        triple: "aarch64-unknown-linux-musl",
        required: false,
        link: "-Clinker=rust-lld",
    },
];
/// What cargo hands to a build script for the package being built, and what a
/// user may have set for it. Each would change the programs' bytes, make the
/// inner cargo wait for the outer one's folder, or run clippy instead of rustc.
const NOT_OURS: [&str; 12] = [
    "CARGO_INCREMENTAL",
    "CARGO_BUILD_RUSTC_WRAPPER",
    "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
    "SOURCE_DATE_EPOCH",
];

/// A kind of processor to build for.
struct Target {
    /// The kernel's name of the architecture.
    arch: &'static str,
    /// Rust's name of the target.
    triple: &'static str,
    /// Whether the tool must have its programs. Of the others there are empty
    /// files where this toolchain can't build them.
    required: bool,
    /// How it is linked.
    link: &'static str,
}

fn main() -> Result<(), Box<dyn Error>> {
    for input in ["build.rs", "guest/Cargo.toml", "guest/Cargo.lock", "guest/src"] {
        println!("cargo::rerun-if-changed={input}");
    }
    let guest = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("guest");
    let out = PathBuf::from(variable("OUT_DIR")?);
    let rustlib = rustlib()?;
    // A target that is added later comes in with the next build.
    println!("cargo::rerun-if-changed={}", rustlib.display());
    for target in TARGETS {
        let there = target.required || can_build(&rustlib, &target)?;
        let target_dir = out.join("guest-target");
        if there {
            build(&guest, &target, &target_dir)?;
        }
        for program in PROGRAMS {
            let built = target_dir.join(target.triple).join("release").join(program);
            let embedded = out.join(format!("{program}-{}", target.arch));
            if there { copy(&built, &embedded)? } else { write_empty(&embedded)? }
        }
    }
    Ok(())
}

/// Where the toolchain has its targets.
fn rustlib() -> Result<PathBuf, Box<dyn Error>> {
    let asked = command(&variable("RUSTC")?).args(["--print", "sysroot"]).output()?;
    let sysroot = String::from_utf8(asked.stdout)?;
    Ok(Path::new(sysroot.trim_end()).join("lib/rustlib"))
}

/// Whether it has this one's standard library, and the linker.
fn can_build(rustlib: &Path, target: &Target) -> Result<bool, Box<dyn Error>> {
    let linker = rustlib.join(variable("HOST")?).join("bin/rust-lld");
    Ok(rustlib.join(target.triple).join("lib").is_dir() && linker.is_file())
}

fn build(guest: &Path, target: &Target, target_dir: &Path) -> Result<(), Box<dyn Error>> {
    // First, so that the folders which the flags map away are there.
    cargo(guest, &["fetch", "--locked", "--quiet", "--target", target.triple], &[])?;
    let flags = flags(guest, target)?;
    let programs = PROGRAMS.iter().flat_map(|program| ["--bin", program]);
    let build = ["build", "--release", "--locked", "--quiet", "--target", target.triple];
    let args: Vec<&str> = build.into_iter().chain(programs).collect();
    cargo(
        guest,
        &args,
        &[
            ("CARGO_ENCODED_RUSTFLAGS", flags.as_os_str()),
            ("CARGO_TARGET_DIR", target_dir.as_ref()),
        ],
    )
}

/// Runs cargo in the guest's package, free of what the caller's is told.
fn cargo(guest: &Path, args: &[&str], env: &[(&str, &OsStr)]) -> Result<(), Box<dyn Error>> {
    let mut command = command(&variable("CARGO")?);
    command.current_dir(guest).args(args);
    for name in NOT_OURS {
        command.env_remove(name);
    }
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PROFILE_") || text.starts_with("CARGO_TARGET_") {
            command.env_remove(&name);
        }
    }
    let status = command.envs(env.iter().copied()).status()?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("cargo {} failed in guest/: {status}", args.join(" ")).into()),
    }
}

/// Static, and without a path of this machine. The list is joined as cargo
/// wants it, so that folders may have spaces in their names.
#[expect(clippy::disallowed_methods, reason = "a build script has no fs_err; absence is fine")]
fn flags(guest: &Path, target: &Target) -> Result<OsString, Box<dyn Error>> {
    let mut flags = OsString::from("-Ctarget-feature=+crt-static");
    let mut map = |from: &Path, to: &str| {
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(from);
        flags.push(format!("={to}"));
    };
    // The last that fits wins. Registries have a hash of their address in
    // their folders' names, and vendored packages lie in the repository.
    let home = cargo_home()?;
    map(&home, "/cargo");
    for registry in fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten() {
        map(&registry.path(), "/packages");
    }
    map(guest.parent().unwrap_or(guest), "/source");
    map(guest, "/guest");
    flags.push("\u{1f}");
    flags.push(target.link);
    Ok(flags)
}

fn cargo_home() -> Result<PathBuf, Box<dyn Error>> {
    match env::var_os("CARGO_HOME") {
        Some(path) => Ok(path.into()),
        None => Ok(Path::new(&variable("HOME")?).join(".cargo")),
    }
}

fn variable(name: &str) -> Result<OsString, Box<dyn Error>> {
    env::var_os(name).ok_or_else(|| format!("{name} is not set").into())
}

#[expect(clippy::disallowed_methods, reason = "a build script has no fs_err; the path is said")]
fn copy(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    fs::copy(from, to).map_err(|error| format!("can't copy {}: {error}", from.display()))?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a build script has no fs_err; the path is said")]
fn write_empty(to: &Path) -> Result<(), Box<dyn Error>> {
    fs::write(to, "").map_err(|error| format!("can't write {}: {error}", to.display()))?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a build script can't use the tool's own door")]
fn command(program: &OsString) -> Command {
    Command::new(program)
}
