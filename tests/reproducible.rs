//! Same inputs, same bytes; killed at any point, the next run goes on; and
//! what is current is not made again.
//!
//! With a tiny configuration, whose kernel takes a minute. `S1B_TEST_FULL`
//! takes the project's own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "measured times are worth a line")]

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use stage1_builder::proc::Program;

#[path = "support/cache.rs"]
mod cache;
#[path = "support/debian_source.rs"]
mod debian_source;
#[path = "support/not_run.rs"]
mod not_run;
mod support;
#[path = "support/tiny.rs"]
mod tiny;
use debian_source::debian_has;
use not_run::not_run;
use support::{builder, outcome};

/// Options on top of `allnoconfig`: 64 bits, modules and debugging
/// information, through which a folder's name would reach the kernel.
const TINY: &str = "CONFIG_64BIT=y\nCONFIG_MODULES=y\nCONFIG_PRINTK=y\nCONFIG_BUG=y\n\
                    CONFIG_DEBUG_KERNEL=y\nCONFIG_DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT=y\n\
                    CONFIG_UNWINDER_ORC=y\nCONFIG_KERNEL_GZIP=y\n";

/// An option on which few files depend.
const OPTION: &str = "# CONFIG_BINFMT_SCRIPT is not set";

#[test]
fn folders_times_jobs_and_kills_do_not_change_a_byte() {
    if std::env::var("S1B_TEST_KERNELS").is_ok_and(|kernels| kernels == "none") {
        return not_run("reproducible", "S1B_TEST_KERNELS is none");
    }
    if let Err(reason) = debian_has("6.1") {
        return not_run("reproducible", &reason);
    }
    let source = tiny::source("6.1");
    let tiny = || tiny::config(&source, "x86_64", TINY, "tiny-6.1.config");
    let config = (std::env::var_os("S1B_TEST_FULL").is_none()).then(tiny);

    let first = Folder::new(&source, config.as_deref());
    let (id, image) = first.eight_at_once();

    // Elsewhere, later, with other processors' share, and killed on the way.
    let second = Folder::new(&source, config.as_deref());
    let kills = second.kill_until_done();
    println!("killed {kills} times");
    assert!(kills >= 3, "a build that can't be caught proves nothing");
    let (again, other_image) = second.build(&["--jobs", "2"]);
    assert_eq!(id, again);
    assert!(fs::read(&image).unwrap() == fs::read(&other_image).unwrap(), "bytes differ");

    first.other_formats(&second);
    first.flipped_bytes(&id, &image);
    first.nothing_changed(&id, &image);
    first.laid_out(&id);
    first.one_option_changed(&id);
    first.another_compression(&id);
}

/// A project and a cache of its own.
struct Folder {
    root: tempfile::TempDir,
    source: PathBuf,
}

impl Folder {
    fn new(source: &Path, config: Option<&str>) -> Self {
        let root = tempfile::tempdir().unwrap();
        if let Some(config) = config {
            fs::create_dir_all(root.path().join("config")).unwrap();
            fs::write(root.path().join("config/linux-6.1.config"), config).unwrap();
        }
        Self { root, source: source.to_owned() }
    }

    fn program(&self, arguments: &[&str]) -> Program {
        self.settled(builder(self.root.path())).args(arguments)
    }

    fn settled(&self, program: Program) -> Program {
        program
            .dir(self.root.path())
            .env("S1B_CACHE_DIR", self.root.path().join("cache"))
            .env("S1B_SOURCE", &self.source)
            .env("S1B_INSECURE_OPTIONS", "kconfig")
            .args(["build", "6.1"])
    }

    fn build(&self, arguments: &[&str]) -> (String, PathBuf) {
        let (code, stdout, stderr) = outcome(self.program(arguments));
        assert_eq!(code, 0, "{stderr}");
        self.built(&stdout)
    }

    fn built(&self, stdout: &str) -> (String, PathBuf) {
        let rest = stdout.trim().strip_prefix("Successfully built ").unwrap();
        let (file, id) = rest.split_once(" with id ").unwrap();
        (id.to_owned(), self.root.path().join(file))
    }

    /// Eight builds of the same thing, started together: one does the work.
    fn eight_at_once(&self) -> (String, PathBuf) {
        let said = std::thread::scope(|scope| {
            let start = |_| scope.spawn(|| outcome(self.program(&["--jobs", "3"])));
            let all: Vec<_> = (0..8).map(start).collect();
            all.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        let all: String = said.iter().map(|(_, _, stderr)| stderr.as_str()).collect();
        let saying = |text: &str| said.iter().filter(|one| one.2.contains(text)).count();
        assert!(said.iter().all(|one| one.0 == 0 && one.1 == said[0].1), "{all}");
        assert_eq!(saying("compile    done"), 1, "{all}");
        assert_eq!(saying("another process builds the same kernel"), 7, "{all}");
        self.built(&said[0].1)
    }

    /// Of a finished kernel, in one pass and without a compile; the same bytes
    /// in another folder, where each was asked for alone.
    fn other_formats(&self, elsewhere: &Self) {
        let said = |folder: &Self, format: &str| {
            let (code, stdout, stderr) = outcome(folder.program(&["--format", format]));
            assert!(code == 0 && !stderr.contains("compile "), "{stderr}");
            stdout
        };
        let all = said(self, "oci,dir");
        assert_eq!(all, said(elsewhere, "oci") + &said(elsewhere, "dir"));
        let start = std::time::Instant::now();
        assert_eq!(said(self, "oci,dir"), all);
        println!("nothing changed, in two formats: {:?}", start.elapsed());
        for line in all.lines() {
            let path = line.split(' ').nth(2).unwrap();
            let both = [self, elsewhere].map(|folder| folder.root.path().join(path));
            Program::new("diff").args(["-r", "--no-dereference"]).args(both).run().unwrap();
        }
    }

    /// The disk has lost a bit of the image: it is found when the image is to
    /// be used, named, and mended by making it again.
    fn flipped_bytes(&self, id: &str, image: &Path) {
        let stored = Program::new("find")
            .arg(self.root.path().join("cache/images-v1"))
            .args(["-name", "image.aci"])
            .run()
            .unwrap();
        let stored = String::from_utf8(stored).unwrap();
        let before = fs::read(image).unwrap();
        let mut bytes = before.clone();
        bytes[20_000] ^= 1;
        fs::write(stored.trim(), bytes).unwrap();
        fs::remove_file(image).unwrap();
        let (code, stdout, stderr) = outcome(self.program(&[]));
        assert!(code == 0 && stderr.contains("image.aci is damaged"), "{stderr}");
        assert_eq!(self.built(&stdout).0, id, "{stderr}");
        assert!(fs::read(image).unwrap() == before && !stderr.contains("compile "), "{stderr}");
    }

    /// Starts builds and kills each with its turn of SIGKILL, SIGTERM and
    /// SIGINT, later each time, until one ends before its time. Gives how
    /// many were killed.
    fn kill_until_done(&self) -> u32 {
        let mut seconds: f64 = 2.0;
        for kills in 0.. {
            let (name, code) = [("KILL", 137), ("TERM", 143), ("INT", 130)][kills as usize % 3];
            let program = self.settled(
                Program::new("timeout")
                    .args(["--foreground", "--preserve-status", "-s", name, &seconds.to_string()])
                    .arg(env!("CARGO_BIN_EXE_stage1-builder"))
                    .args(["--project-dir".as_ref(), self.root.path().as_os_str()]),
            );
            let (status, _, stderr) = outcome(program.args(["--jobs", "2"]));
            match status {
                0 => return kills,
                status => assert_eq!(status, code, "after SIG{name}: {stderr}"),
            }
            // Later each time: on a slow machine a step may take long.
            seconds *= 2.0;
            std::thread::sleep(Duration::from_millis(50));
        }
        unreachable!("the builds end")
    }

    /// No network, no source, no compiler's work: the key is known.
    fn nothing_changed(&self, id: &str, image: &Path) {
        let start = std::time::Instant::now();
        assert_eq!(self.build(&[]).0, id);
        println!("nothing changed: {:?}", start.elapsed());
        for wrong in [&b""[..], b"not an image"] {
            fs::write(image, wrong).unwrap();
            let (again, path) = self.build(&[]);
            assert_eq!((again.as_str(), fs::metadata(path).unwrap().len() > 100), (id, true));
        }
    }

    /// A finished image, too, is laid out when that is asked for.
    fn laid_out(&self, id: &str) {
        let folder = self.root.path().join("laid-out");
        let build = || assert_eq!(self.build(&["--aci-dir", folder.to_str().unwrap()]).0, id);
        let manifest = || fs::metadata(folder.join("manifest")).unwrap();
        build();
        assert!(manifest().is_file() && folder.join("rootfs/kernel_image").is_file());
        let (inode, start) = (manifest().ino(), std::time::Instant::now());
        build();
        println!("laid out already: {:?}", start.elapsed());
        assert_eq!(manifest().ino(), inode, "it was not laid out again");
        fs::write(folder.join("rootfs/kernel_image"), "changed").unwrap();
        build();
        assert!(fs::metadata(folder.join("rootfs/kernel_image")).unwrap().len() > 100_000);
    }

    fn one_option_changed(&self, id: &str) {
        let config = self.root.path().join("config/linux-6.1.config");
        let Ok(text) = fs::read_to_string(&config) else { return };
        let (before, other) = (self.compiled(), text.replace(OPTION, "CONFIG_BINFMT_SCRIPT=y"));
        assert_ne!(text, other);
        fs::write(&config, other).unwrap();
        assert_ne!(self.build(&[]).0, id);
        let incremental = self.compiled();
        println!("objects: {before} cold or resumed, {incremental} for one option");
        assert!(incremental * 2 < before, "{incremental} of {before}");
        fs::write(&config, text).unwrap();
        assert_eq!(self.build(&[]).0, id, "an incremental build gives the cold one's bytes");
    }

    /// Objects in the log of the last build.
    fn compiled(&self) -> usize {
        let logs = Program::new("find")
            .arg(self.root.path().join("cache/work-v1"))
            .args(["-name", "build.log"])
            .run()
            .unwrap();
        let log = String::from_utf8(logs).unwrap().lines().next().unwrap().to_owned();
        let log = fs::read(log).unwrap();
        String::from_utf8_lossy(&log).lines().filter(|line| line.starts_with("  CC  ")).count()
    }

    fn another_compression(&self, id: &str) {
        for compression in ["none", "xz"] {
            let (other, path) = self.build(&["--compression", compression]);
            assert_eq!(other, id, "the id is the uncompressed tar's");
            let start = fs::read(path).unwrap();
            assert_eq!(compression == "xz", start.starts_with(b"\xfd7zXZ"));
        }
    }
}
