//! Kernels for arm64: cross-compiled, packaged, booted, and commands run on
//! them, with a tiny configuration whose kernel takes two minutes.
//!
//! `S1B_TEST_SOURCES` names a folder with tarballs of more series.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use fs_err as fs;
use stage1_builder::content;
use stage1_builder::pack::aci;
use stage1_builder::proc::{self, Program};
use stage1_builder::settings::Arch;

#[path = "support/cache.rs"]
mod cache;
#[path = "support/debian_source.rs"]
mod debian_source;
#[path = "support/further.rs"]
mod further;
#[path = "support/not_run.rs"]
mod not_run;
mod support;
#[path = "support/tiny.rs"]
mod tiny;
use cache::shared_cache;
use debian_source::debian_has;
use not_run::not_run;
use support::{builder, outcome};

const SERIES: &str = "6.12";

/// Options on top of `allnoconfig`: what a guest of ours can't do without,
/// and modules.
const TINY: &str = "CONFIG_MODULES=y\nCONFIG_MODULE_UNLOAD=y\nCONFIG_PRINTK=y\nCONFIG_BUG=y\n\
    CONFIG_BLK_DEV_INITRD=y\nCONFIG_BINFMT_ELF=y\nCONFIG_BINFMT_SCRIPT=y\nCONFIG_MULTIUSER=y\n\
    CONFIG_POSIX_TIMERS=y\nCONFIG_FUTEX=y\nCONFIG_EPOLL=y\nCONFIG_SIGNALFD=y\n\
    CONFIG_FILE_LOCKING=y\nCONFIG_SHMEM=y\nCONFIG_TTY=y\nCONFIG_UNIX98_PTYS=y\n\
    CONFIG_DEVTMPFS=y\nCONFIG_PROC_FS=y\nCONFIG_SYSFS=y\nCONFIG_TMPFS=y\nCONFIG_CGROUPS=y\n\
    CONFIG_BLOCK=y\nCONFIG_BLK_DEV=y\nCONFIG_PCI=y\nCONFIG_PCI_HOST_GENERIC=y\n\
    CONFIG_VIRTIO_MENU=y\nCONFIG_VIRTIO_PCI=y\nCONFIG_VIRTIO_CONSOLE=y\nCONFIG_VIRTIO_BLK=y\n\
    CONFIG_SERIAL_AMBA_PL011=y\nCONFIG_SERIAL_AMBA_PL011_CONSOLE=y\nCONFIG_NET=y\nCONFIG_UNIX=y\n\
    CONFIG_INET=y\nCONFIG_NET_9P=y\nCONFIG_NET_9P_VIRTIO=y\nCONFIG_NETWORK_FILESYSTEMS=y\n\
    CONFIG_9P_FS=y\nCONFIG_MISC_FILESYSTEMS=y\nCONFIG_SQUASHFS=y\nCONFIG_SQUASHFS_ZLIB=y\n\
    CONFIG_OVERLAY_FS=y\nCONFIG_IKCONFIG=y\nCONFIG_IKCONFIG_PROC=y\nCONFIG_MAGIC_SYSRQ=y\n";

/// The command of the runs: says on both streams what it was asked for, and
/// ends as it was asked to.
const SAYS: &str = r#"
use std::io::Read;
fn main() {
    let word = std::env::args().nth(1).unwrap_or_default();
    match word.as_str() {
        "streams" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).unwrap();
            print!("{}", text.to_uppercase());
            eprintln!("{}", std::env::consts::ARCH);
            std::process::exit(7);
        }
        "release" => println!("{}", release()),
        "headers" => {
            let folder = format!("/lib/modules/{}/include/asm", release());
            println!("{}", std::fs::read_dir(folder).unwrap().count() > 10);
        }
        "panic" => std::fs::write("/proc/sysrq-trigger", "c").unwrap(),
        _ => std::thread::sleep(std::time::Duration::from_secs(600)),
    }
}
/// `Linux version 6.12.117-kinvolk-v1 (...`: a tiny kernel may have no sysctl.
fn release() -> String {
    let version = std::fs::read_to_string("/proc/version").unwrap();
    version.split(' ').nth(2).unwrap().to_owned()
}
"#;

#[test]
fn an_arm64_kernel_is_built_and_runs_commands() {
    if let Some(why) = lacking() {
        return not_run("arm64", &why);
    }
    let source = tiny::source(SERIES);
    prove(&source, SERIES, &[SERIES, "--kernel-sources", "debian"]);
}

#[test]
fn further_sources_are_built_for_arm64_and_run_commands() {
    if std::env::var_os("S1B_TEST_SOURCES").is_some()
        && let Some(why) = lacking()
    {
        return not_run("further sources for arm64", &why);
    }
    further::each(|tarball| {
        prove(tarball, &series(tarball), &["--source", tarball.to_str().unwrap()]);
    });
}

/// `4.14` of `linux-4.14.67.tar.xz`.
fn series(tarball: &Path) -> String {
    let name = tarball.file_name().unwrap().to_str().unwrap();
    let version = name.strip_prefix("linux-").expect("linux-<version>.tar");
    version.split(['.', '-']).take(2).collect::<Vec<_>>().join(".")
}

fn prove(source: &Path, series: &str, arguments: &[&str]) {
    let project = tempfile::tempdir().unwrap();
    let image = build(project.path(), source, series, arguments);
    says_what_it_is(&image);
    let root = root_folder(project.path());
    runs(project.path(), &image, &root, series);
    ends_as_told(project.path(), &image, &root);
    is_not_mistaken(project.path(), &image, &root);
    verifies(project.path(), &image);
}

/// What this machine has not got for it.
fn lacking() -> Option<String> {
    if std::env::var("S1B_TEST_KERNELS").is_ok_and(|kernels| kernels == "none") {
        return Some("S1B_TEST_KERNELS is none".to_owned());
    }
    let programs = ["aarch64-linux-gnu-gcc", "qemu-system-aarch64"];
    if let Some(name) = programs.into_iter().find(|name| proc::find(name).is_none()) {
        return Some(format!("there is no {name}"));
    }
    if content::guest_program(content::INIT, Arch::Arm64).is_none() {
        return Some(content::HOW_TO_HAVE_PROGRAMS.to_owned());
    }
    debian_has(SERIES).err()
}

/// The ACI of the tiny kernel; kept by the shared cache, as others are.
fn build(project: &Path, source: &Path, series: &str, arguments: &[&str]) -> PathBuf {
    let config = tiny::config(source, "arm64", TINY, &format!("tiny-arm64-{series}.config"));
    fs::create_dir_all(project.join("config")).unwrap();
    fs::write(project.join(format!("config/linux-{series}.config")), config).unwrap();
    let build = builder(project)
        .env("S1B_CACHE_DIR", shared_cache())
        .env("S1B_INSECURE_OPTIONS", "kconfig")
        .args(["build", "--arch", "arm64"])
        .args(arguments);
    let (code, stdout, stderr) = outcome(build);
    assert_eq!(code, 0, "{stderr}");
    let rest = stdout.strip_prefix("Successfully built ").expect(&stdout);
    let (file, _) = rest.split_once(" with id ").expect(&stdout);
    assert!(file.ends_with("-arm64.aci"), "{file}");
    project.join(file)
}

/// The label is appc's word.
fn says_what_it_is(image: &Path) {
    let manifest = aci::Whole::load(image).unwrap().summary.manifest;
    assert_eq!(manifest.label("arch"), Some("aarch64"));
    Program::new("actool").arg("validate").arg(image).run().expect("actool");
}

/// A folder with one program, which needs nothing else.
fn root_folder(project: &Path) -> PathBuf {
    let root = project.join("root");
    fs::create_dir_all(&root).unwrap();
    fs::write(project.join("says.rs"), SAYS).unwrap();
    Program::new("rustc")
        .args(["--target", "aarch64-unknown-linux-musl", "-Clinker=rust-lld", "-Cpanic=abort"])
        .arg("-o")
        .args([root.join("says"), project.join("says.rs")])
        .run()
        .expect("rustc");
    root
}

/// A run in that folder, on the image's kernel.
fn run(project: &Path, kernel: &[&str], more: &[&str], root: &Path, word: &str) -> Program {
    builder(project)
        .env("S1B_CACHE_DIR", shared_cache())
        .arg("run")
        .args(kernel)
        .args(more)
        .arg(root)
        .args(["--", "/says", word])
}

fn of_image(image: &Path) -> [&str; 4] {
    ["--arch", "arm64", "--stage1-path", image.to_str().unwrap()]
}

fn runs(project: &Path, image: &Path, root: &Path, series: &str) {
    let kernel = of_image(image);
    fs::write(project.join("input"), "hello\n").unwrap();
    let input = fs::File::open(project.join("input")).unwrap().into_parts().0;
    let program = run(project, &kernel, &[], root, "streams").stdin(input);
    assert_eq!(outcome(program), (7, "HELLO\n".to_owned(), "aarch64\n".to_owned()));
    let (code, stdout, stderr) = outcome(run(project, &kernel, &[], root, "headers"));
    assert_eq!((code, stdout.as_str()), (0, "true\n"), "{stderr}");
    // A kernel's file tells by itself what it is for.
    let file = project.join("Image");
    let whole = aci::Whole::load(image).unwrap();
    let content = whole.rootfs.get("kernel_image").unwrap();
    let content::Node::File { content: content::Content::Bytes(bytes), .. } = content else {
        panic!("{content:?}");
    };
    fs::write(&file, bytes).unwrap();
    let kernel = ["--kernel", file.to_str().unwrap()];
    let (code, stdout, stderr) = outcome(run(project, &kernel, &[], root, "release"));
    assert!(
        code == 0 && stdout.starts_with(series) && stdout.ends_with("-kinvolk-v1\n"),
        "{stderr}"
    );
}

fn ends_as_told(project: &Path, image: &Path, root: &Path) {
    let kernel = of_image(image);
    let (code, _, stderr) = outcome(run(project, &kernel, &[], root, "panic"));
    assert!(code == 122 && stderr.contains("Kernel panic - not syncing"), "{code}: {stderr}");
    let (code, _, stderr) = outcome(run(project, &kernel, &["--timeout", "2s"], root, "sleep"));
    assert_eq!(code, 124, "{stderr}");
}

/// What a guest of another architecture can't have is said before it starts.
fn is_not_mistaken(project: &Path, image: &Path, root: &Path) {
    let path = image.to_str().unwrap();
    let fails = |program: Program, wanted: i32, said: &[&str]| {
        let (code, _, stderr) = outcome(program);
        let all = said.iter().all(|part| stderr.contains(part));
        assert!(code == wanted && all, "{code}: {stderr}");
    };
    let wrong = ["it is for arm64, and the guest is to be x86_64", "hint: say so: --arch arm64"];
    fails(run(project, &["--stage1-path", path], &[], root, "release"), 4, &wrong);
    let host = builder(project).env("S1B_CACHE_DIR", shared_cache()).arg("run");
    let host = host.args(of_image(image)).args(["--", "true"]);
    fails(host, 2, &["the host's own root has no programs for an arm64 guest", "hint: name an"]);
    let board = ["--machine", "q35"];
    fails(run(project, &of_image(image), &board, root, "release"), 2, &["no such board for arm64"]);
}

fn verifies(project: &Path, image: &Path) {
    let verify = builder(project).env("S1B_CACHE_DIR", shared_cache());
    let (_, stdout, stderr) =
        outcome(verify.args(["verify", "--boot", "--format", "json"]).arg(image));
    let told: serde_json::Value = serde_json::from_str(&stdout).expect(&stderr);
    let failed: Vec<&str> = told["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["status"] == "failed")
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    // So tiny a kernel has not got all that rkt needs.
    assert_eq!(failed, ["rkt"], "{told:#}");
}
