//! The tools that a kernel is built with, and what tells one from another.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use regex::Regex;
use serde::Serialize;

use super::requirements::missing;
use super::{Error, openssl};
use crate::proc::{self, Program};
use crate::settings::{Arch, Series};
use crate::source::{CrossTools, ToolArchive};

/// What a build needs of the host.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The kernel's series.
    pub series: Series,
    /// The kernel's architecture.
    pub arch: Arch,
    /// The source tree, once it is there; it tells more than the series.
    pub tree: Option<&'a Path>,
    /// The compiler that the user chose (`gcc-11`, `clang-16`).
    pub cc: Option<&'a str>,
    /// Whether compiler and linker are not the host's, but of an archive.
    pub from_archive: bool,
    /// Those of the archive, once they are here.
    pub tools: Option<&'a CrossTools>,
    /// The compiler's launcher that the user chose (`ccache`).
    pub launcher: Option<&'a str>,
    /// The program that compresses the kernel, as its configuration says.
    pub compressor: &'static str,
    /// Whether BTF is written (needs pahole).
    pub btf: bool,
    /// Whether the configuration signs modules or holds keys.
    pub openssl: bool,
    /// Whether the source is still to be verified by its signature.
    pub signatures: bool,
}

impl<'a> Wanted<'a> {
    /// The plainest needs of a series.
    #[must_use]
    pub fn new(series: Series, arch: Arch) -> Self {
        Self {
            series,
            arch,
            tree: None,
            cc: None,
            from_archive: false,
            tools: None,
            launcher: None,
            compressor: "lz4",
            btf: false,
            openssl: false,
            signatures: false,
        }
    }

    /// The prefix of tools that are not the host's own: for another
    /// architecture, or of an archive.
    pub(super) fn cross_prefix(&self) -> &str {
        self.tools.map_or_else(|| cross_prefix(self.arch), |tools| &tools.prefix)
    }

    pub(super) fn compiler(&self) -> String {
        match self.cc {
            Some(cc) => cc.to_owned(),
            None => format!("{}gcc", self.cross_prefix()),
        }
    }

    pub(super) fn linker(&self) -> String {
        format!("{}ld", self.cross_prefix())
    }

    /// Where a program of the target is called, if it is not the host's.
    fn place(&self, command: &str) -> PathBuf {
        self.tools.map_or_else(|| command.into(), |tools| tools.bin().join(command))
    }
}

/// The prefix of the tools for an architecture; none if it is the host's.
#[must_use]
pub fn cross_prefix(arch: Arch) -> &'static str {
    match arch {
        arch if arch.is_host() => "",
        Arch::X86_64 => "x86_64-linux-gnu-",
        Arch::Arm64 => "aarch64-linux-gnu-",
    }
}

/// A tool's version, compared number by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ToolVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number, 0 if there is none.
    pub patch: u32,
}

impl fmt::Display for ToolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// `12`, `2.36` or `2.36.1`; absent numbers are 0.
impl FromStr for ToolVersion {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut numbers = [0; 3];
        for (number, part) in numbers.iter_mut().zip(text.splitn(3, '.')) {
            *number = part.parse()?;
        }
        Ok(Self { major: numbers[0], minor: numbers[1], patch: numbers[2] })
    }
}

/// The first dotted number outside of parentheses, where distributions put
/// their own: `gcc (Debian 12.2.0-14) 12.2.0`.
pub(super) fn version_in(line: &str) -> Option<ToolVersion> {
    let mut depth = 0_u32;
    let outside: String = line
        .chars()
        .filter(|&c| {
            depth += u32::from(c == '(');
            let outside = depth == 0;
            depth -= u32::from(c == ')' && depth > 0);
            outside
        })
        .collect();
    let number = Regex::new(r"(\d+)\.(\d+)(?:\.(\d+))?").ok()?;
    let found = number.captures(&outside).or_else(|| number.captures(line))?;
    let part = |index| found.get(index).map_or(Some(0), |text| text.as_str().parse().ok());
    Some(ToolVersion { major: part(1)?, minor: part(2)?, patch: part(3)? })
}

/// A compiler's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// The GNU compiler.
    Gcc,
    /// The compiler of LLVM.
    Clang,
}

/// A compiler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compiler {
    /// As it is called.
    pub command: String,
    /// Its kind.
    pub family: Family,
    /// Its version.
    pub version: ToolVersion,
    /// The first line of its own words; the kernel compiles it in.
    pub text: String,
    /// What it compiles for (`-dumpmachine`).
    pub target: String,
}

/// Another tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tool {
    /// As it is called.
    pub command: String,
    /// Its version.
    pub version: ToolVersion,
    /// The first line of its own words.
    pub text: String,
}

/// The tools that a kernel is built with. Serialised it is their identity:
/// all that reaches the output, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Toolchain {
    /// The kernel's compiler.
    pub cc: Compiler,
    /// The compiler of the programs that the build runs, some of which an
    /// image holds (modpost, objtool).
    pub host_cc: Compiler,
    /// The linker, and with it the assembler: binutils.
    pub linker: Tool,
    /// make. Its version decides on fixes but does not reach the output.
    #[serde(skip)]
    pub make: Tool,
    /// The host's OpenSSL, if its headers are there. It decides on fixes.
    #[serde(skip)]
    pub openssl: Option<ToolVersion>,
    /// Its major release, if the configuration asks for signatures: an image
    /// then holds a program that is linked with its library.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub libcrypto: Option<u32>,
    /// The prefix of the tools of another architecture or of an archive, or
    /// nothing.
    pub cross_prefix: String,
    /// The archive that compiler and linker are of, if they are not the
    /// host's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<ToolArchive>,
    /// Where that is unpacked; of no meaning to what comes out.
    #[serde(skip)]
    pub tools: Option<CrossTools>,
    /// pahole, when BTF is wanted.
    pub pahole: Option<Tool>,
    /// Others whose output is in an image: the compressors.
    pub others: BTreeMap<String, String>,
}

/// clang as compiler of the host's programs fails in objtool up to 5.15.
const HOST_COMPILER: &str = "gcc";

/// Compresses the configuration that the kernel holds (`IKCONFIG`).
const CONFIG_COMPRESSOR: &str = "gzip";

impl Toolchain {
    /// Asks every tool who it is, all at the same time: some milliseconds.
    ///
    /// # Errors
    /// [`Error::MissingTools`] with everything that the host lacks, headers
    /// included, if one of the tools is not there. Headers alone are not
    /// looked for here; [`missing`] does.
    pub fn detect(wanted: &Wanted<'_>) -> Result<Self, Error> {
        match Self::ask(wanted) {
            Err(Error::Program { source }) if of_archive(&source, wanted) => {
                let name = wanted.tools.map(|tools| tools.archive.name.clone());
                Err(Error::Archive { name: name.unwrap_or_default(), source })
            }
            Err(Error::Program { source: proc::Error::NotFound { program } }) => {
                let missing = missing(wanted);
                if missing.is_empty() {
                    // It went away, or came, between the two looks.
                    return Err(proc::Error::NotFound { program }.into());
                }
                Err(Error::MissingTools(missing))
            }
            other => other,
        }
    }

    fn ask(wanted: &Wanted<'_>) -> Result<Self, Error> {
        let (cc, linker) = (wanted.compiler(), wanted.linker());
        let other = cc != HOST_COMPILER;
        std::thread::scope(|scope| {
            let cc = scope.spawn(move || compiler(&cc, &wanted.place(&cc)));
            let host = || compiler(HOST_COMPILER, HOST_COMPILER.as_ref());
            let host_cc = other.then(|| scope.spawn(host));
            let linker = scope.spawn(move || tool(&linker, &wanted.place(&linker)));
            let make = scope.spawn(|| tool("make", "make".as_ref()));
            let pahole = wanted.btf.then(|| scope.spawn(|| tool("pahole", "pahole".as_ref())));
            // Noted if they are there; whether they must be, `missing` knows.
            let others = [wanted.compressor, CONFIG_COMPRESSOR]
                .map(|name| (name, scope.spawn(move || first_line(name, "--version"))));
            let cc = joined(cc.join())?;
            let host_cc = match host_cc {
                Some(thread) => joined(thread.join())?,
                None => cc.clone(),
            };
            let openssl = openssl::version(&host_cc.target);
            Ok(Self {
                openssl,
                libcrypto: openssl.filter(|_| wanted.openssl).map(|openssl| openssl.major),
                host_cc,
                cc,
                linker: joined(linker.join())?,
                make: joined(make.join())?,
                cross_prefix: wanted.cross_prefix().to_owned(),
                archive: wanted.tools.map(|tools| tools.archive.clone()),
                tools: wanted.tools.cloned(),
                pahole: pahole.map(|thread| joined(thread.join())).transpose()?,
                others: others
                    .into_iter()
                    .filter_map(|(name, thread)| Some((name.to_owned(), thread.join().ok()?.ok()?)))
                    .collect(),
            })
        })
    }
}

/// Whether the program that can't be run is one of the archive's.
fn of_archive(error: &proc::Error, wanted: &Wanted<'_>) -> bool {
    let called = match error {
        proc::Error::NotFound { program } => program,
        proc::Error::Start { command, .. } | proc::Error::Failed { command, .. } => command,
        _ => return false,
    };
    wanted.tools.is_some_and(|tools| called.starts_with(&*tools.bin().to_string_lossy()))
}

fn joined<T>(result: std::thread::Result<Result<T, Error>>) -> Result<T, Error> {
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The first line that a tool prints, on whichever stream.
///
/// # Errors
/// When it can't be run.
pub fn first_line(command: impl AsRef<OsStr>, argument: &str) -> Result<String, Error> {
    let output = Program::new(command).arg(argument).output()?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let line = stdout.lines().chain(output.stderr.lines()).find(|line| !line.trim().is_empty());
    Ok(line.unwrap_or_default().trim().to_owned())
}

/// What a tool says of its version. Its status counts: a program of another
/// machine may be started all the same, as a script.
///
/// # Errors
/// When it can't be run, or fails.
pub fn version_line(place: &Path) -> Result<String, Error> {
    let said = Program::new(place).arg("--version").run()?;
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().find(|line| !line.trim().is_empty());
    Ok(line.unwrap_or_default().trim().to_owned())
}

/// A tool as it is called, which lies at `place`.
fn tool(command: &str, place: &Path) -> Result<Tool, Error> {
    let text = version_line(place)?;
    let strange = || Error::StrangeTool { tool: command.to_owned(), answer: text.clone() };
    let version = version_in(&text).ok_or_else(strange)?;
    Ok(Tool { command: command.to_owned(), version, text })
}

fn compiler(command: &str, place: &Path) -> Result<Compiler, Error> {
    let Tool { command, version, text } = tool(command, place)?;
    let target = first_line(place, "-dumpmachine")?;
    let family = if text.contains("clang") { Family::Clang } else { Family::Gcc };
    Ok(Compiler { command, family, version, text, target })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::compile) fn a_toolchain() -> Toolchain {
        let version = |text: &str| text.parse().unwrap();
        let compiler = Compiler {
            command: "gcc".to_owned(),
            family: Family::Gcc,
            version: version("12.2.0"),
            text: "gcc (Debian 12.2.0-14) 12.2.0".to_owned(),
            target: "x86_64-linux-gnu".to_owned(),
        };
        let tool = |command: &str, text: &str| Tool {
            command: command.to_owned(),
            version: version(text),
            text: format!("{command} {text}"),
        };
        Toolchain {
            cc: compiler.clone(),
            host_cc: compiler,
            linker: tool("ld", "2.40"),
            make: tool("make", "4.3"),
            openssl: Some(version("3.0.17")),
            libcrypto: None,
            cross_prefix: String::new(),
            archive: None,
            tools: None,
            pahole: Some(tool("pahole", "1.24")),
            others: BTreeMap::new(),
        }
    }

    #[test]
    fn versions_are_found_in_what_tools_say() {
        for (line, version) in [
            ("gcc (Debian 12.2.0-14+deb12u1) 12.2.0", "12.2.0"),
            ("gcc (GCC) 14.2.1 20240912 (Red Hat 14.2.1-3)", "14.2.1"),
            ("Debian clang version 14.0.6", "14.0.6"),
            ("GNU ld (GNU Binutils for Debian) 2.40", "2.40"),
            ("GNU ld version 2.41-34.fc40", "2.41"),
            ("GNU Make 4.3", "4.3"),
            ("v1.24", "1.24"),
            ("*** LZ4 command line interface 64-bits v1.9.4, by Yann Collet ***", "1.9.4"),
            ("bison (GNU Bison) 3.8.2", "3.8.2"),
            ("GNU ld (GNU Binutils 2.42)", "2.42"),
        ] {
            assert_eq!(version_in(line), Some(version.parse().unwrap()), "{line}");
        }
        assert_eq!(version_in("no version here"), None);
        assert_eq!(version_in(""), None);
    }

    #[test]
    fn versions_compare_by_number() {
        let version = |text: &str| text.parse::<ToolVersion>().unwrap();
        assert!(version("2.9") < version("2.36") && version("12") > version("9.5.1"));
    }

    #[test]
    fn the_tools_of_this_host_have_an_identity_in_little_time() {
        let wanted = Wanted::new(Series { major: 4, minor: 4 }, Arch::X86_64);
        let start = std::time::Instant::now();
        let toolchain = Toolchain::detect(&wanted).unwrap();
        assert!(start.elapsed() < std::time::Duration::from_secs(5));
        assert_eq!(toolchain, Toolchain::detect(&wanted).unwrap());
        let key = serde_json::to_string(&toolchain).unwrap();
        assert!(key.contains(&toolchain.cc.text) && !key.contains("\"make\""), "{key}");
        assert!(toolchain.cc.version >= "4.9".parse().unwrap(), "{key}");
    }

    #[test]
    fn openssl_is_of_the_identity_where_something_is_signed() {
        let key = |libcrypto| {
            let toolchain = Toolchain { libcrypto, ..a_toolchain() };
            serde_json::to_value(toolchain).unwrap()
        };
        assert_eq!(key(Some(4))["libcrypto"], 4);
        assert!(key(None).as_object().unwrap().keys().all(|name| !name.contains("ssl")));
        assert!(key(None).get("libcrypto").is_none());
    }

    #[test]
    fn an_absent_compiler_lists_all_that_is_missing() {
        let wanted = Wanted {
            cc: Some("s1b-no-such-gcc"),
            ..Wanted::new(Series { major: 4, minor: 4 }, Arch::X86_64)
        };
        let error = Toolchain::detect(&wanted).unwrap_err();
        assert_eq!(error.fault(), crate::report::Fault::MissingTools);
        assert!(error.to_string().contains("s1b-no-such-gcc: compiles the kernel"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn no_answer_makes_it_panic(line in "[()a-z0-9. \u{e9}]{0,40}") {
            _ = version_in(&line);
        }
    }
}
