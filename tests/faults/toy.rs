//! A kernel in little, signed on a mirror of its own, whose build takes
//! about a second and goes every way that a real one does: download,
//! signature, unpack, patch, configure, compile, headers, pack, place.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use fs_err as fs;
use stage1_builder::proc::Program;

use crate::little_build::{RELEASE, little_build};
use crate::mirror::{Mirror, Signer};
use crate::support::{builder, outcome};

const ARCHIVE: &str = "/v6.x/linux-6.12.3.tar.xz";

/// kbuild's ways, as far as they matter to who may be killed: objects are
/// written in several steps, each has a `.cmd` that is written after it, and
/// is made anew where that is not there. Tools keep their dates, so that none
/// looks newer than its `.cmd` only because of the order they were copied in.
pub(crate) const MAKEFILE: &str = r"VERSION = 6
PATCHLEVEL = 12
SUBLEVEL = 3
EXTRAVERSION =
ifneq ($(O),)
$(MAKECMDGOALS): sub
	@:
sub:
	@$(MAKE) --no-print-directory -C $(O) -f $(CURDIR)/Makefile O= T=.. $(MAKECMDGOALS)
.PHONY: $(MAKECMDGOALS) sub
else
.SECONDEXPANSION:
objects := $(patsubst $(T)/kernel/%.c,kernel/%.o,$(sort $(wildcard $(T)/kernel/*.c)))
bzImage: arch/x86/boot/bzImage
modules modules_prepare: bzImage
arch/x86/boot/bzImage: vmlinux
	@mkdir -p $(@D)
	@echo '  BUILD   $@'
	@cat $(T)/files/bzImage $(objects) >$@
vmlinux: $(objects) .tools
	@echo '  LD      $@'
	@cat $(T)/files/vmlinux $(objects) >$@
kernel/%.o: $(T)/kernel/%.c .config $$(if $$(wildcard kernel/.$$*.o.cmd),,FORCE)
	@mkdir -p kernel
	@echo '  CC      $@'
	@grep -x 'CONFIG_TOY=.*' .config >$@ || :
	@head -c 200 $< >>$@
	@tail -c +201 $< >>$@
	@echo 'cc $<' >kernel/.$*.o.cmd
.tools:
	@cp -rp $(T)/files/objects/. .
	@touch $@
olddefconfig:
	@cp $(KCONFIG_CONFIG) $(KCONFIG_CONFIG).old
	@sort $(KCONFIG_CONFIG).old >$(KCONFIG_CONFIG).tmp
	@mv $(KCONFIG_CONFIG).tmp $(KCONFIG_CONFIG)
kernelrelease:
	@echo 6.12.3-kinvolk-v1
headers_install:
	@mkdir -p $(INSTALL_HDR_PATH)
	@cp -r $(T)/files/include $(INSTALL_HDR_PATH)
.PHONY: FORCE olddefconfig kernelrelease headers_install bzImage modules modules_prepare
endif
";

const REBOOT: &str = "\tswitch (cmd) {\n\tcase LINUX_REBOOT_CMD_HALT:\n\t\tkernel_halt();\n\
                      \t\tdo_exit(0);\n\t}\n";

/// The two configurations between which builds go to and fro.
pub(crate) const OPTIONS: [&str; 2] = ["y", "n"];

/// Who serves the kernel.
pub(crate) struct Toy {
    pub(crate) mirror: Mirror,
    pub(crate) signer: Signer,
    folder: tempfile::TempDir,
}

impl Toy {
    pub(crate) fn new() -> Self {
        Self::made_by(MAKEFILE)
    }

    /// A kernel with another makefile.
    pub(crate) fn made_by(makefile: &str) -> Self {
        let (mirror, signer, folder) =
            (Mirror::start(), Signer::new(), tempfile::tempdir().unwrap());
        let toy = Self { mirror, signer, folder };
        let tar = source(&toy.folder.path().join("source"), makefile);
        toy.mirror.put(ARCHIVE, xz(&tar));
        toy.mirror.put("/v6.x/linux-6.12.3.tar.sign", toy.signer.detached(&tar));
        fs::write(toy.keyring(), toy.signer.armored_key()).unwrap();
        toy
    }

    /// Who signs what is on the mirror.
    pub(crate) fn keyring(&self) -> PathBuf {
        self.folder.path().join("keyring.asc")
    }

    /// A build in a folder that is project and cache, in every format.
    pub(crate) fn build(&self, project: &Path) -> Program {
        self.settled(builder(project), project)
    }

    /// The same, killed after so many seconds (SIGKILL).
    pub(crate) fn build_killed(&self, project: &Path, seconds: f64) -> Program {
        self.settled(killed(project, seconds), project)
    }

    /// The settings and arguments of a build.
    pub(crate) fn settled(&self, program: Program, project: &Path) -> Program {
        program
            .dir(project)
            .env("S1B_CACHE_DIR", project.join("cache"))
            .env("S1B_KEYRING", self.keyring())
            .env("S1B_KERNEL_ORG_URL", self.mirror.url(""))
            .env("S1B_KERNEL_ORG_WKD_URL", self.mirror.url("/hu"))
            .env("S1B_INSECURE_OPTIONS", "kconfig")
            .args(["build", "6.12.3", "--kernel-sources", "kernel.org"])
            .args(["--format", "aci,oci,dir", "--jobs", "2"])
    }
}

/// Any verb in a folder, killed after so many seconds.
pub(crate) fn killed(project: &Path, seconds: f64) -> Program {
    Program::new("timeout")
        .args(["--foreground", "-s", "KILL", &format!("{seconds:.4}")])
        .arg(env!("CARGO_BIN_EXE_stage1-builder"))
        .args(["--project-dir".as_ref(), project.as_os_str()])
        .env("S1B_CACHE_DIR", project.join("cache"))
        .dir(project)
}

/// Chooses one of [`OPTIONS`] for the next build.
pub(crate) fn configure(project: &Path, option: &str) {
    fs::create_dir_all(project.join("config")).unwrap();
    let text = format!("CONFIG_MODULES=y\nCONFIG_TOY={option}\n");
    fs::write(project.join("config/linux-6.12.config"), text).unwrap();
}

/// What a build gave: what it said on stdout, and the bytes of every file
/// that it brought to its place, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    said: String,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Given {
    pub(crate) fn of(project: &Path, stdout: &str) -> Self {
        let out = project.join("aci-files");
        let mut files: Vec<_> = names(&out)
            .into_iter()
            .filter(|name| out.join(name).is_file())
            .map(|name| (name.clone(), fs::read(out.join(&name)).unwrap()))
            .collect();
        files.sort();
        Self { said: stdout.to_owned(), files }
    }

    /// Whether every file here is in `whole`, too, with the same bytes.
    pub(crate) fn is_part_of(&self, whole: &Self) -> bool {
        self.files.iter().all(|file| whole.files.contains(file))
    }

    /// Runs a build that must go well.
    #[track_caller]
    pub(crate) fn by(program: Program, project: &Path) -> Self {
        let (code, stdout, stderr) = outcome(program);
        assert_eq!(code, 0, "{stderr}");
        Self::of(project, &stdout)
    }
}

/// Everything below a folder, relative to it; not links' targets.
pub(crate) fn names(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            found.insert(entry.path().strip_prefix(folder).unwrap().to_owned());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
    found
}

/// The source, as a tar.
fn source(folder: &Path, makefile: &str) -> Vec<u8> {
    little_build(folder);
    let tree = folder.join("tree");
    for link in ["link.h", "out.h", "sh"] {
        fs::remove_file(tree.join("include/linux").join(link)).unwrap();
    }
    let files = tree.join("files");
    fs::create_dir_all(&files).unwrap();
    fs::rename(tree.join("objects/api/include"), files.join("include")).unwrap();
    let image = fs::read(tree.join("objects/arch/x86/boot/bzImage")).unwrap();
    fs::write(files.join("bzImage"), saying(image, "6.12.3")).unwrap();
    fs::rename(tree.join("objects/vmlinux"), files.join("vmlinux")).unwrap();
    for gone in ["objects/arch/x86/boot", "objects/api"] {
        fs::remove_dir_all(tree.join(gone)).unwrap();
    }
    for gone in ["objects/source", "objects/Makefile", "objects/.config"] {
        fs::remove_file(tree.join(gone)).unwrap();
    }
    fs::rename(tree.join("objects"), files.join("objects")).unwrap();
    fs::write(tree.join("Makefile"), makefile).unwrap();
    fs::write(tree.join("Kconfig"), "config MODULES\n\tbool \"modules\"\n").unwrap();
    fs::create_dir_all(tree.join("kernel")).unwrap();
    fs::write(tree.join("kernel/reboot.c"), REBOOT).unwrap();
    for number in 0..12 {
        let noise = noise(number, 400);
        fs::write(tree.join(format!("kernel/part{number}.c")), noise).unwrap();
    }
    // Names and bytes enough for a kill to hit while they are written.
    fs::create_dir_all(tree.join("include/toy")).unwrap();
    for number in 0..150 {
        let noise = noise(number, 2_000);
        fs::write(tree.join(format!("include/toy/{number}.h")), noise).unwrap();
    }
    let mut builder = tar::Builder::new(Vec::new());
    builder.mode(tar::HeaderMode::Deterministic);
    builder.append_dir_all("linux-6.12.3", &tree).unwrap();
    builder.into_inner().unwrap()
}

/// The image of [`RELEASE`], with another version of the same length.
fn saying(mut image: Vec<u8>, version: &str) -> Vec<u8> {
    let place = image.windows(RELEASE.len()).position(|part| part == RELEASE.as_bytes()).unwrap();
    image[place..place + version.len()].copy_from_slice(version.as_bytes());
    image
}

/// Bytes that hardly compress, and the same every time.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random(seed + 1);
    (0..length).map(|_| b'a' + u8::try_from(random.below(26)).unwrap()).collect()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Marsaglia's xorshift64: what is tried can be tried again.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// From the test's own seed, or that of a run which is to be seen again.
    pub(crate) fn seeded(name: &str) -> Self {
        let given = std::env::var("S1B_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let now = || {
            let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
            u64::try_from(since.as_micros()).unwrap()
        };
        let seed = given.unwrap_or_else(now).max(1);
        println!("{name}: S1B_TEST_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit.max(1)
    }
}
