//! What a host must have to compile a kernel, as data, and how each
//! distribution calls it.

use std::path::Path;

use fs_err as fs;

use super::Wanted;
use crate::proc;
use crate::settings::{Arch, Series};

/// Something that the host lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The program or header.
    pub name: String,
    /// What the build needs it for.
    pub why: &'static str,
    /// The package that has it: apt, dnf, pacman, zypper; empty where nobody
    /// knows one.
    packages: [&'static str; 4],
    /// Whether Debian has a package of its very name.
    debians: bool,
}

impl Missing {
    /// A program that only some kernels need.
    pub(super) fn new(name: &str, why: &'static str, packages: [&'static str; 4]) -> Self {
        Self { name: name.to_owned(), why, packages, debians: false }
    }

    /// The package that has it, if one is known.
    #[must_use]
    pub fn package(&self, manager: Manager) -> Option<&str> {
        let package = match (self.debians, manager) {
            (true, Manager::Apt) => &self.name,
            _ => self.packages[manager as usize],
        };
        Some(package).filter(|package| !package.is_empty())
    }
}

/// A family of distributions, by its package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// Debian, Ubuntu.
    Apt,
    /// Fedora, Red Hat and their like.
    Dnf,
    /// Arch.
    Pacman,
    /// SUSE.
    Zypper,
}

impl Manager {
    /// The manager of this host, by `/etc/os-release` (os-release(5)).
    #[must_use]
    pub fn of_this_host() -> Option<Self> {
        let text = ["/etc/os-release", "/usr/lib/os-release"]
            .iter()
            .find_map(|path| fs::read_to_string(Path::new(path)).ok())?;
        Self::of_os_release(&text)
    }

    /// The manager by the text of an os-release file: `ID` first, then each
    /// word of `ID_LIKE`.
    #[must_use]
    pub fn of_os_release(text: &str) -> Option<Self> {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned()
        };
        let (id, like) = (value("ID"), value("ID_LIKE"));
        std::iter::once(id.as_str()).chain(like.split_whitespace()).find_map(Self::of_id)
    }

    fn of_id(id: &str) -> Option<Self> {
        match id {
            "debian" | "ubuntu" => Some(Self::Apt),
            "fedora" | "rhel" | "centos" | "rocky" | "almalinux" => Some(Self::Dnf),
            "arch" | "archarm" | "manjaro" => Some(Self::Pacman),
            "suse" | "sles" | "opensuse" | "opensuse-leap" | "opensuse-tumbleweed" => {
                Some(Self::Zypper)
            }
            _ => None,
        }
    }

    fn install(self) -> &'static str {
        match self {
            Self::Apt => "apt-get install --yes --no-install-recommends",
            Self::Dnf => "dnf install --assumeyes",
            Self::Pacman => "pacman --sync --needed --noconfirm",
            Self::Zypper => "zypper --non-interactive install",
        }
    }
}

/// The command, for root, that installs what is missing; `None` if nothing is,
/// or nobody knows in which package it would be.
#[must_use]
pub fn install_command(missing: &[Missing], manager: Manager) -> Option<String> {
    let mut packages: Vec<&str> = missing.iter().filter_map(|one| one.package(manager)).collect();
    packages.sort_unstable();
    packages.dedup();
    let any = !packages.is_empty();
    any.then(|| format!("{} {}", manager.install(), packages.join(" ")))
}

#[derive(Clone, Copy)]
enum Check {
    Program(&'static str),
    /// The target's compiler and linker, whose names depend on the settings.
    TargetCompiler,
    TargetLinker,
    Launcher,
    Header(&'static str),
}

/// When a requirement counts.
#[derive(Clone, Copy)]
enum When {
    Always,
    /// Compiler and linker are the host's.
    OfHost,
    /// The kernel is compressed with it.
    Compressor(&'static str),
    /// From this series on.
    Since(u32, u32),
    /// The makefiles call lz4 by its old name: until e397a603e49c (6.14),
    /// which the long-term series took, too. So the source decides.
    CallsLz4c,
    Btf,
    Openssl,
    Signatures,
    Launched,
    /// Something of the build reads ELF files: objtool, which only x86 runs,
    /// from 4.6 on; and what writes BTF, from 5.11 on (`resolve_btfids`).
    ReadsElf,
}

struct Requirement {
    check: Check,
    when: When,
    why: &'static str,
    packages: [&'static str; 4],
}

const fn always(name: &'static str, why: &'static str, package: &'static str) -> Requirement {
    Requirement { check: Check::Program(name), when: When::Always, why, packages: [package; 4] }
}

const fn compressor(name: &'static str, packages: [&'static str; 4]) -> Requirement {
    let when = When::Compressor(name);
    Requirement { check: Check::Program(name), when, why: "compresses the kernel", packages }
}

const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        check: Check::TargetCompiler,
        when: When::OfHost,
        why: "compiles the kernel",
        packages: ["gcc"; 4],
    },
    always("gcc", "compiles the programs that the build itself runs", "gcc"),
    Requirement {
        check: Check::TargetLinker,
        when: When::OfHost,
        why: "links the kernel",
        packages: ["binutils"; 4],
    },
    always("ld", "links the programs that the build itself runs", "binutils"),
    always("make", "runs the build", "make"),
    always("bc", "computes the kernel's time constants", "bc"),
    always("perl", "generates sources and headers", "perl"),
    always("gzip", "compresses what the kernel holds of its configuration", "gzip"),
    always("awk", "generates tables of instructions", "gawk"),
    always("cmp", "tells whether a generated file changed", "diffutils"),
    always("find", "collects files", "findutils"),
    Requirement {
        check: Check::Header("stdio.h"),
        when: When::Always,
        why: "the C library's headers, for the programs that the build itself runs",
        packages: ["libc6-dev", "glibc-devel", "glibc", "glibc-devel"],
    },
    compressor("lz4", ["lz4"; 4]),
    compressor("gzip", ["gzip"; 4]),
    compressor("bzip2", ["bzip2"; 4]),
    compressor("xz", ["xz-utils", "xz", "xz", "xz"]),
    compressor("lzop", ["lzop"; 4]),
    compressor("zstd", ["zstd"; 4]),
    Requirement {
        check: Check::Program("lz4c"),
        when: When::CallsLz4c,
        why: "compresses the kernel (CONFIG_KERNEL_LZ4)",
        packages: ["lz4"; 4],
    },
    Requirement {
        // Until 4.15 the generated parsers were part of the source.
        check: Check::Program("flex"),
        when: When::Since(4, 16),
        why: "generates the parser of the configuration",
        packages: ["flex"; 4],
    },
    Requirement {
        check: Check::Program("bison"),
        when: When::Since(4, 16),
        why: "generates the parser of the configuration",
        packages: ["bison"; 4],
    },
    Requirement {
        check: Check::Program("rsync"),
        when: When::Since(5, 3),
        why: "copies the headers (make headers_install)",
        packages: ["rsync"; 4],
    },
    Requirement {
        check: Check::Header("gelf.h"),
        when: When::ReadsElf,
        why: "libelf's headers, for objtool and the BTF tools",
        packages: ["libelf-dev", "elfutils-libelf-devel", "libelf", "libelf-devel"],
    },
    Requirement {
        check: Check::Program("pahole"),
        when: When::Btf,
        why: "writes the kernel's type information (BTF)",
        packages: ["dwarves", "dwarves", "pahole", "dwarves"],
    },
    Requirement {
        // scripts/bpf_doc.py makes a header of libbpf, which resolve_btfids
        // holds since 5.11.
        check: Check::Program("python3"),
        when: When::Btf,
        why: "generates a header of the BTF tools",
        packages: ["python3", "python3", "python", "python3"],
    },
    Requirement {
        check: Check::Program("gpgv"),
        when: When::Signatures,
        why: "verifies the source's signature",
        packages: ["gpgv", "gnupg2", "gnupg", "gpg2"],
    },
    Requirement {
        check: Check::Launcher,
        when: When::Launched,
        why: "launches the compiler (S1B_COMPILER_LAUNCHER)",
        packages: ["ccache"; 4],
    },
    Requirement {
        check: Check::Header("openssl/opensslv.h"),
        when: When::Openssl,
        why: "OpenSSL's headers, for keys and signatures of modules",
        packages: ["libssl-dev", "openssl-devel", "openssl", "libopenssl-devel"],
    },
];

/// The symbols that make a build compile programs with OpenSSL: the one that
/// signs modules, the one that extracts certificates. Others may select them.
pub const SIGNS: [&str; 2] = ["MODULE_SIG", "SYSTEM_TRUSTED_KEYRING"];

/// Whether a finished configuration has one of [`SIGNS`].
#[must_use]
pub fn needs_openssl(config: &str) -> bool {
    let has = |name: &str| config.lines().any(|line| line == format!("CONFIG_{name}=y"));
    SIGNS.iter().any(|name| has(name))
}

impl When {
    fn counts(self, wanted: &Wanted<'_>) -> bool {
        let reaches = |major, minor| wanted.series >= Series { major, minor };
        match self {
            Self::Always => true,
            Self::OfHost => !wanted.from_archive,
            Self::Compressor(name) => wanted.compressor == name,
            Self::Since(major, minor) => reaches(major, minor),
            Self::CallsLz4c => wanted.compressor == "lz4" && wanted.tree.is_some_and(calls_lz4c),
            Self::Btf => wanted.btf,
            Self::Openssl => wanted.openssl,
            Self::Signatures => wanted.signatures,
            Self::Launched => wanted.launcher.is_some(),
            Self::ReadsElf => {
                (wanted.arch == Arch::X86_64 && reaches(4, 6)) || (wanted.btf && reaches(5, 11))
            }
        }
    }
}

fn calls_lz4c(tree: &Path) -> bool {
    let calls = |file: &&str| fs::read(tree.join(file)).is_ok_and(|text| has(&text, b"lz4c"));
    ["Makefile", "scripts/Makefile.lib"].iter().any(calls)
}

fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

impl Check {
    fn name(self, wanted: &Wanted<'_>) -> String {
        match self {
            Self::Program(name) | Self::Header(name) => name.to_owned(),
            Self::TargetCompiler => wanted.compiler(),
            Self::TargetLinker => wanted.linker(),
            Self::Launcher => wanted.launcher.unwrap_or_default().to_owned(),
        }
    }
}

/// Everything that the host lacks for `wanted`, looked up all at once: a
/// program in `PATH`, a header by the host's compiler.
#[must_use]
pub fn missing(wanted: &Wanted<'_>) -> Vec<Missing> {
    let lacking = survey(wanted).into_iter().filter(|(_, present)| !present);
    lacking.map(|(need, _)| need).collect()
}

/// Everything that `wanted` needs of the host, as it would be told if it were
/// missing, and whether it is there.
#[must_use]
pub fn survey(wanted: &Wanted<'_>) -> Vec<(Missing, bool)> {
    let needed: Vec<&Requirement> =
        REQUIREMENTS.iter().filter(|one| one.when.counts(wanted)).collect();
    let present = std::thread::scope(|scope| {
        let look = |one: &&Requirement| {
            let (check, name) = (one.check, one.check.name(wanted));
            scope.spawn(move || match check {
                Check::Header(header) => has_header(header),
                _ => proc::find(&name).is_some(),
            })
        };
        let threads: Vec<_> = needed.iter().map(look).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(false)).collect::<Vec<_>>()
    });
    let mut needs = Vec::<(Missing, bool)>::new();
    for (one, present) in needed.iter().zip(present) {
        let name = one.check.name(wanted);
        if needs.iter().all(|(other, _)| other.name != name) {
            let packages = packages_for(one, &name);
            let debians = matches!(one.check, Check::TargetCompiler) && versioned(&name).is_some();
            needs.push((Missing { name, why: one.why, packages, debians }, present));
        }
    }
    needs
}

/// Whether the host's compiler finds a header. Without a compiler the answer
/// is yes: the compiler is what is missing, and the next try tells more.
fn has_header(header: &str) -> bool {
    let source = format!("#include <{header}>\n");
    let program = proc::Program::new("gcc").args(["-E", "-x", "c", "-o", "/dev/null", "-"]);
    match program.output_fed(move |to| to.write_all(source.as_bytes())) {
        Ok(output) => output.status.success(),
        Err(_) => true,
    }
}

/// What is before the number in a compiler's name: `gcc-11`, `clang-16`.
fn versioned(name: &str) -> Option<&str> {
    let (compiler, number) = name.rsplit_once('-')?;
    let numbered = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (numbered && matches!(compiler, "gcc" | "clang")).then_some(compiler)
}

/// A compiler that is not plain `gcc` has a package of its own.
fn packages_for(one: &Requirement, name: &str) -> [&'static str; 4] {
    match one.check {
        Check::TargetCompiler => match versioned(name).unwrap_or(name) {
            "gcc" => one.packages,
            "clang" => ["clang"; 4],
            "aarch64-linux-gnu-gcc" => CROSS_GCC,
            _ => [""; 4],
        },
        Check::TargetLinker if name.starts_with("aarch64-") => CROSS_BINUTILS,
        Check::Launcher => match name {
            "sccache" => ["sccache"; 4],
            "distcc" => ["distcc"; 4],
            "icecc" => ["icecc", "icecream", "icecream", "icecream"],
            _ => one.packages,
        },
        _ => one.packages,
    }
}

const CROSS_GCC: [&str; 4] = [
    "gcc-aarch64-linux-gnu",
    "gcc-aarch64-linux-gnu",
    "aarch64-linux-gnu-gcc",
    "cross-aarch64-gcc13",
];
const CROSS_BINUTILS: [&str; 4] = [
    "binutils-aarch64-linux-gnu",
    "binutils-aarch64-linux-gnu",
    "aarch64-linux-gnu-binutils",
    "cross-aarch64-binutils",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str) -> Missing {
        let found = REQUIREMENTS.iter().find(|one| match one.check {
            Check::Program(program) | Check::Header(program) => program == name,
            _ => false,
        });
        let found = found.unwrap();
        Missing::new(name, found.why, found.packages)
    }

    #[test]
    fn one_command_installs_everything_in_the_words_of_the_distribution() {
        let missing = [one("pahole"), one("gelf.h"), one("flex"), one("lz4"), one("lz4c")];
        let command = |manager| install_command(&missing, manager).unwrap();
        assert_eq!(
            command(Manager::Apt),
            "apt-get install --yes --no-install-recommends dwarves flex libelf-dev lz4"
        );
        assert_eq!(
            command(Manager::Pacman),
            "pacman --sync --needed --noconfirm flex libelf lz4 pahole"
        );
        assert_eq!(install_command(&[], Manager::Dnf), None);
    }

    #[test]
    fn a_compiler_is_in_the_package_of_its_number_or_nobody_knows_where() {
        let command = |cc: &str, manager| {
            let series = Series { major: 6, minor: 12 };
            let wanted = Wanted { cc: Some(cc), ..Wanted::new(series, Arch::X86_64) };
            let needs: Vec<_> = survey(&wanted).into_iter().map(|(need, _)| need).collect();
            let compiler: Vec<_> = needs.into_iter().filter(|need| need.name == cc).collect();
            install_command(&compiler, manager)
        };
        let ends = |cc, manager, end: &str| command(cc, manager).unwrap().ends_with(end);
        assert!(ends("gcc-11", Manager::Apt, " gcc-11") && ends("gcc", Manager::Apt, " gcc"));
        assert!(ends("clang-16", Manager::Apt, " clang-16"));
        assert!(ends("clang-16", Manager::Dnf, " clang"));
        for unknown in ["nosuchcc", "/opt/gcc", "gcc-snapshot"] {
            assert_eq!(command(unknown, Manager::Apt), None, "{unknown}");
        }
    }

    #[test]
    fn the_manager_is_known_by_the_system_and_by_what_it_is_like() {
        for (text, manager) in [
            ("NAME=x\nID=debian\n", Some(Manager::Apt)),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", Some(Manager::Apt)),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", Some(Manager::Dnf)),
            ("ID=endeavouros\nID_LIKE=arch\n", Some(Manager::Pacman)),
            ("ID='opensuse-leap'\nID_LIKE='suse opensuse'\n", Some(Manager::Zypper)),
            ("ID=nixos\n", None),
            ("", None),
        ] {
            assert_eq!(Manager::of_os_release(text), manager, "{text}");
        }
    }

    #[test]
    fn what_a_series_needs_differs() {
        let names = |major, minor, btf| {
            let wanted = Wanted { btf, ..Wanted::new(Series { major, minor }, Arch::X86_64) };
            let counted = REQUIREMENTS.iter().filter(|one| one.when.counts(&wanted));
            counted.map(|one| one.check.name(&wanted)).collect::<Vec<_>>()
        };
        let has = |list: &[String], name: &str| list.iter().any(|one| one == name);
        let (old, new) = (names(4, 4, false), names(6, 12, true));
        assert!(!has(&old, "lz4c") && !has(&old, "flex") && !has(&old, "gelf.h"));
        assert!(has(&new, "flex") && has(&new, "lz4") && has(&new, "gelf.h"));
        assert!(has(&new, "pahole") && !has(&old, "pahole"));
    }

    #[test]
    fn arm64_needs_its_own_compiler_and_reads_elf_only_for_btf() {
        let packages = |btf| {
            let series = Series { major: 6, minor: 12 };
            let wanted = Wanted { btf, ..Wanted::new(series, Arch::Arm64) };
            let needs = survey(&wanted).into_iter();
            needs
                .filter_map(|(need, _)| Some(need.package(Manager::Apt)?.to_owned()))
                .collect::<Vec<_>>()
        };
        let (with, without) = (packages(true), packages(false));
        let has = |all: &[String], name: &str| all.iter().any(|one| one == name);
        for package in ["gcc-aarch64-linux-gnu", "binutils-aarch64-linux-gnu", "gcc", "make"] {
            assert!(has(&without, package) || Arch::Arm64.is_host(), "{without:?}");
        }
        assert!(has(&with, "libelf-dev") && !has(&without, "libelf-dev"));
    }

    #[test]
    fn openssl_is_needed_for_keys_and_signatures() {
        assert!(needs_openssl("CONFIG_A=y\nCONFIG_MODULE_SIG=y\n"));
        assert!(!needs_openssl("# CONFIG_MODULE_SIG is not set\nCONFIG_MODULE_SIG_KEY=\"\"\n"));
    }

    #[test]
    fn whether_lz4c_is_needed_the_source_tells() {
        let tree = tempfile::tempdir().unwrap();
        let wanted = Wanted {
            tree: Some(tree.path()),
            ..Wanted::new(Series { major: 6, minor: 12 }, Arch::X86_64)
        };
        assert!(!When::CallsLz4c.counts(&wanted));
        fs::write(tree.path().join("Makefile"), "LZ4\t\t= lz4c\n").unwrap();
        assert!(When::CallsLz4c.counts(&wanted));
    }

    #[test]
    fn an_absent_compiler_is_named_with_its_reason() {
        let wanted = Wanted {
            cc: Some("s1b-no-such-gcc"),
            launcher: Some("s1b-no-such-cache"),
            ..Wanted::new(Series { major: 4, minor: 4 }, Arch::X86_64)
        };
        let missing = missing(&wanted);
        assert!(missing.iter().any(|one| one.name == "s1b-no-such-gcc"), "{missing:?}");
        assert!(missing.iter().any(|one| one.name == "s1b-no-such-cache"), "{missing:?}");
        assert!(!has_header("s1b/no/such.h"));
    }
}
