//! A kernel and toolchains, signed on a mirror, and an empty project.

use std::io::Write;
use std::path::{Path, PathBuf};

use fs_err as fs;
use stage1_builder::digest::Digest;
use stage1_builder::proc::Program;

use crate::mirror::Signer;
use crate::support::{builder, outcome};
use crate::toy::{MAKEFILE, Toy, configure, killed};

/// The folder of toolchains for this host.
pub(crate) const HOST: &str = "/tools/x86_64";

/// What a makefile of kbuild's kind does with its compiler, its linker and
/// what is beside them: their words and an object with debugging information
/// go into the image.
const COMPILED: &str = r"	@cat $(T)/files/bzImage $(objects) >$@
	@$(CC) --version >>$@
	@$(CROSS_COMPILE)ld --version >>$@
	@printf '#if __has_include(<own.h>)\n#include <own.h>\n#endif\n' >own.c
	@$(CC) $(KCFLAGS) -g -isystem $$(dirname $$(command -v $(CC)))/../include -c -o own.o own.c
	@$(CROSS_COMPILE)objcopy -R .none own.o copy.o
	@cat copy.o >>$@
";

/// The programs of a toolchain, and what stands in each for the host's own.
const PROGRAMS: [&str; 8] = ["gcc", "ld", "as", "ar", "nm", "objcopy", "objdump", "strip"];

pub(crate) struct Stage {
    pub(crate) toy: Toy,
    pub(crate) folder: tempfile::TempDir,
}

impl Stage {
    /// With gcc 13.2.0 and an index of more.
    pub(crate) fn new() -> Self {
        let makefile = MAKEFILE.replace("\t@cat $(T)/files/bzImage $(objects) >$@\n", COMPILED);
        assert!(makefile.contains("own.h"));
        let stage = Self { toy: Toy::made_by(&makefile), folder: tempfile::tempdir().unwrap() };
        stage.publish("13.2.0", &toolchain("13.2.0", &[]));
        stage.index(&["9.5.0", "13.1.0", "13.2.0", "14.1.0"]);
        stage
    }

    /// What the mirror says that it has.
    pub(crate) fn index(&self, versions: &[&str]) {
        let lines = versions.iter().map(|version| {
            format!("<a href=\"{version}/\">{version}/</a>   05-Aug-2023 23:12   -\n")
        });
        self.toy.mirror.put(&format!("{HOST}/"), lines.collect::<String>());
    }

    /// A toolchain with its signed checksum.
    pub(crate) fn publish(&self, version: &str, archive: &[u8]) {
        self.publish_as(version, archive, &self.toy.signer);
    }

    pub(crate) fn publish_as(&self, version: &str, archive: &[u8], signer: &Signer) {
        let name = file(version);
        let sum = format!("{}  {name}\n", Digest::sha256(archive).hex());
        self.toy.mirror.put(&format!("{HOST}/{version}/{name}"), archive);
        self.toy.mirror.put(&sums(version), signer.clear(&sum));
    }

    /// A project with a cache of its own.
    pub(crate) fn project(&self, name: &str) -> PathBuf {
        let project = self.folder.path().join(name);
        fs::create_dir_all(&project).unwrap();
        configure(&project, "y");
        project
    }

    pub(crate) fn build(&self, project: &Path, arguments: &[&str]) -> Program {
        self.settled(builder(project), project, arguments)
    }

    pub(crate) fn build_killed(&self, project: &Path, seconds: f64, arguments: &[&str]) -> Program {
        self.settled(killed(project, seconds), project, arguments)
    }

    fn settled(&self, program: Program, project: &Path, arguments: &[&str]) -> Program {
        let program = self.toy.settled(program, project);
        program.env("S1B_KERNEL_ORG_TOOLS_URL", self.toy.mirror.url("/tools")).args(arguments)
    }

    /// Another verb, with the same cache and mirror.
    pub(crate) fn verb(&self, project: &Path, arguments: &[&str]) -> Program {
        builder(project)
            .env("S1B_CACHE_DIR", project.join("cache"))
            .env("S1B_KEYRING", self.toy.keyring())
            .env("S1B_KERNEL_ORG_TOOLS_URL", self.toy.mirror.url("/tools"))
            .env("S1B_KERNEL_SOURCES", "kernel.org")
            .env("S1B_KERNEL_ORG_URL", self.toy.mirror.url(""))
            .env("S1B_KERNEL_ORG_RELEASES_URL", self.toy.mirror.url("/releases.json"))
            .env("S1B_TOOLCHAIN", "kernel.org:gcc-13.2")
            .args(arguments)
    }

    /// A build that fails: its code, and what it says. Nothing is kept of the
    /// toolchain.
    #[track_caller]
    pub(crate) fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let project = self.project("fails");
        let (code, stdout, stderr) = outcome(self.build(&project, arguments));
        assert!(code != 0 && stdout.is_empty(), "{stdout}{stderr}");
        assert_eq!(kept(&project), [""; 0], "{stderr}");
        (code, stderr)
    }
}

/// What lies among the unpacked toolchains.
pub(crate) fn kept(project: &Path) -> Vec<String> {
    let entries = fs::read_dir(project.join("cache/toolchains-v1")).into_iter().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(crate) fn file(version: &str) -> String {
    format!("x86_64-gcc-{version}-nolibc-x86_64-linux.tar.xz")
}

pub(crate) fn sums(version: &str) -> String {
    format!("{HOST}/{version}/sha256sums.asc")
}

/// An archive with kernel.org's layout, without some of its programs.
pub(crate) fn toolchain(version: &str, without: &[&str]) -> Vec<u8> {
    let mut archive = Archive::new(version);
    for program in PROGRAMS.iter().filter(|program| !without.contains(program)) {
        archive.file(&format!("bin/x86_64-linux-{program}"), &script(program, version));
    }
    if without.is_empty() {
        archive.link(
            tar::EntryType::Link,
            &format!("bin/x86_64-linux-gcc-{version}"),
            &archive.path("bin/x86_64-linux-gcc"),
        );
        let linker = "../../bin/x86_64-linux-ld";
        archive.link(tar::EntryType::Symlink, "x86_64-linux/bin/ld", linker);
    }
    archive.file("include/own.h", "int own;\n");
    // Names and bytes enough for a kill to hit while they are written.
    for number in 0..300_u64 {
        let noise = (number..number + 2_000).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let noise: String = noise.map(|n| format!("{n:x}")).collect();
        archive.file(&format!("lib/gcc/{number}"), &noise);
    }
    archive.finish()
}

fn script(program: &str, version: &str) -> String {
    let said = match program {
        "gcc" => format!("x86_64-linux-gcc (GCC) {version}"),
        program => format!("GNU {program} (GNU Binutils) 2.41"),
    };
    format!(
        "#!/bin/sh\ncase \" $* \" in\n*' --version '*) echo '{said}'; exit;;\n\
         *' -dumpmachine '*) echo x86_64-linux; exit;;\nesac\nexec {program} \"$@\"\n"
    )
}

/// An archive while it is made.
pub(crate) struct Archive {
    top: String,
    builder: tar::Builder<Vec<u8>>,
}

impl Archive {
    pub(crate) fn new(version: &str) -> Self {
        let top = format!("gcc-{version}-nolibc/x86_64-linux");
        Self { top, builder: tar::Builder::new(Vec::new()) }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.top)
    }

    pub(crate) fn file(&mut self, name: &str, content: &str) {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        let path = self.path(name);
        self.builder.append_data(&mut header, path, content.as_bytes()).unwrap();
    }

    pub(crate) fn link(&mut self, kind: tar::EntryType, name: &str, target: &str) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o755);
        let path = self.path(name);
        self.builder.append_link(&mut header, path, target).unwrap();
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
        encoder.write_all(&self.builder.into_inner().unwrap()).unwrap();
        encoder.finish().unwrap()
    }
}
