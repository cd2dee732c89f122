//! kernel.org's own toolchains: gcc and binutils for kernels and nothing
//! else, of many versions, as archives.
//!
//! They lie at `<base>/<host>/<version>/`, as
//! `<host>-gcc-<version>-nolibc-<target>.tar.xz`, and unpack to
//! `gcc-<version>-nolibc/<target>/bin/<target>-gcc` and its like. Of old
//! ones, up to 4.9.0, a `_` stands before the target. Each folder of a version
//! has a `sha256sums.asc`, as those of the kernels do: it is signed by the
//! machine that signs theirs, or by a key of the user's keyring. (The
//! `.tar.sign` beside an archive is by who uploaded it, and not looked at.)
//!
//! A toolchain is unpacked once, to `<folder>/<archive>-<digest>/`, and counts
//! only with the record beside it, which is written last; then the archive
//! goes. What was unpacked is only read, so what is there is used without
//! asking anybody.

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::kernel_org::{Place, acquire, proof};
use super::{Error, Options, Provenance, Verified, decompress, keys, record, unpack};
use crate::digest::Digest;
use crate::fsutil;
use crate::http::{Client, Method};
use crate::kept;
use crate::report::Reporter;
use crate::settings::{Arch, GccVersion, ToolchainRequest};

mod listing;

#[cfg(any(test, fuzzing))]
pub(super) use listing::versions_listed;

/// The form of the record; others are as if absent.
const FORMAT: u32 = 1;
/// The folder of archives on their way, among the downloads.
const DOWNLOADS: &str = "crosstool";
/// So many digits of an archive's digest tell it from others.
const DIGITS: usize = 12;
/// What the kernel's makefiles call by the prefix.
const PROGRAMS: [&str; 8] = ["gcc", "ld", "as", "ar", "nm", "objcopy", "objdump", "strip"];

/// Which toolchain is wanted, and where it is to be found and kept.
#[derive(Debug, Clone, Copy)]
pub struct ToolchainPlace<'a> {
    /// Which release of gcc.
    pub request: ToolchainRequest,
    /// The architecture that it compiles for.
    pub arch: Arch,
    /// The folder that holds `x86_64/` and so on, the hosts.
    pub url: &'a str,
    /// The folder of unpacked toolchains.
    pub folder: &'a Path,
}

/// What a toolchain is: part of what an image tells of itself, so no path is
/// in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolArchive {
    /// As it would be asked for: `kernel.org:gcc-13.2.0`.
    pub name: String,
    /// The archive's name.
    pub file: String,
    /// SHA-256 of the archive.
    pub digest: Digest,
    /// How the archive was verified.
    pub verified: Verified,
}

/// A toolchain that is here, whole and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrossTools {
    /// What it is.
    pub archive: ToolArchive,
    /// Where it is; holds `<target>/bin/`.
    pub folder: PathBuf,
    /// What stands before the programs' names: `x86_64-linux-`.
    pub prefix: String,
}

impl CrossTools {
    /// The folder of its programs.
    #[must_use]
    pub fn bin(&self) -> PathBuf {
        self.folder.join(self.prefix.trim_end_matches('-')).join("bin")
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    format: u32,
    archive: ToolArchive,
    /// The user's keyring that vouched for it, if one did.
    keyring: Option<Digest>,
    /// What was unpacked ([`super::folder_digest`]), for `images verify`;
    /// records of before it was there have none.
    #[serde(default)]
    contents: Option<Digest>,
}

/// The names that one release has on this host.
struct Names {
    host: &'static str,
    target: &'static str,
    version: GccVersion,
}

impl Names {
    fn of(version: GccVersion, arch: Arch) -> Result<Self, Error> {
        let target = match arch {
            Arch::X86_64 => "x86_64-linux",
            Arch::Arm64 => "aarch64-linux",
        };
        Ok(Self { host: host()?, target, version })
    }

    /// The archive's names without their ends, the usual one first.
    fn stems(&self) -> Vec<String> {
        let Self { host, target, version } = self;
        let marks: &[&str] = if version.major < 5 { &["-", "_"] } else { &["-"] };
        marks.iter().map(|mark| format!("{host}-gcc-{version}-nolibc{mark}{target}")).collect()
    }
}

/// This host, as kernel.org's folders call it.
fn host() -> Result<&'static str, Error> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("x86_64"),
        "aarch64" => Ok("arm64"),
        host => Err(Error::NoToolchainHost { host }),
    }
}

/// The toolchain if it is here, asking nobody. The newest of several is the
/// one that was the newest when somebody was asked last.
///
/// # Errors
/// When kernel.org has none for this host, or the keyring can't be read.
pub fn toolchain_here(
    place: &ToolchainPlace<'_>,
    options: &Options,
) -> Result<Option<CrossTools>, Error> {
    let known = place.request.exact().or_else(|| listing::last_known(place, options));
    match known {
        Some(version) => find(&Names::of(version, place.arch)?, place, options),
        None => host().map(|_| None),
    }
}

/// Brings the toolchain: found here, or downloaded, verified and unpacked.
///
/// # Errors
/// When there is no such one, it can't be fetched, is not what was signed, or
/// can't be unpacked.
pub fn toolchain(
    place: &ToolchainPlace<'_>,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<CrossTools, Error> {
    let version = listing::resolve(place, options, reporter)?;
    let names = Names::of(version, place.arch)?;
    if let Some(tools) = find(&names, place, options)? {
        fsutil::touch(&tools.folder);
        return Ok(tools);
    }
    let client = Client::new(options.patience);
    let archive = on_the_mirror(&client, &names, place, options)?;
    let path = options.downloads.join(DOWNLOADS).join(&archive.name);
    let _lock = record::lock(&path, reporter)?;
    // Another run may have brought it while we waited.
    if let Some(tools) = find(&names, place, options)? {
        return Ok(tools);
    }
    // The checksum that a user may have given is the kernel's.
    let unsummed = Options { sha256: None, ..*options };
    let scratch = tempfile::tempdir()?;
    let proof = proof(&client, &archive, &unsummed, scratch.path(), reporter).map_err(unsigned)?;
    let (provenance, _) = acquire(&client, &archive, &path, &proof, None, reporter)?;
    install(&path, provenance, &names, place, options, reporter)
}

/// There is no other way to vouch for a toolchain.
fn unsigned(error: Error) -> Error {
    match error {
        Error::NoSignature { archive, tried } => Error::UnsignedToolchain { archive, tried },
        other => other,
    }
}

/// What is unpacked, recorded, and was verified in a way that counts with
/// these options.
fn find(
    names: &Names,
    place: &ToolchainPlace<'_>,
    options: &Options,
) -> Result<Option<CrossTools>, Error> {
    let Ok(entries) = fs::read_dir(place.folder) else { return Ok(None) };
    let keyring = keys::fingerprint_of_file(options.keyring)?;
    let stems = names.stems();
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    // In order of names, so that two runs choose the same one.
    folders.sort_unstable();
    folders.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let stem = name.rsplit_once('-').map_or("", |(stem, _)| stem);
        stems.iter().any(|known| known == stem) && path.is_dir()
    });
    let whole = folders.into_iter().find_map(|folder| {
        let record = kept::read::<Record>(&record::added(&folder, "json"))?;
        let Record { format, archive, keyring: by, .. } = record;
        let counts =
            record::still_counts(&archive.verified, by.as_ref(), options, keyring.as_ref());
        (format == FORMAT && counts).then_some((folder, archive))
    });
    Ok(whole.map(|(folder, archive)| tools(archive, &folder, names)))
}

/// The folder's own path, without links: it is compared with what compilers
/// say of their files.
fn tools(archive: ToolArchive, folder: &Path, names: &Names) -> CrossTools {
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    CrossTools { archive, folder, prefix: format!("{}-", names.target) }
}

/// Where the archive is.
fn on_the_mirror(
    client: &Client,
    names: &Names,
    place: &ToolchainPlace<'_>,
    options: &Options,
) -> Result<Place, Error> {
    let Names { host, version, .. } = names;
    let folder = format!("{}/{host}/{version}", place.url.trim_end_matches('/'));
    for stem in names.stems() {
        let name = format!("{stem}.tar.xz");
        let url = format!("{folder}/{name}");
        match client.open(Method::Head, &url, &[], options.patience.contact)?.status().as_u16() {
            404 | 410 => {}
            200 => {
                let sums = Some(format!("{folder}/sha256sums.asc"));
                return Ok(Place { name, url, signatures: Vec::new(), sums });
            }
            status => return Err(crate::http::Error::Status { url, status }.into()),
        }
    }
    Err(listing::unknown((*version).into(), client, place, options))
}

/// Unpacks an archive, unless one with the same bytes is there, removes it, and
/// writes the record. The caller holds the archive's lock.
fn install(
    archive: &Path,
    provenance: Provenance,
    names: &Names,
    place: &ToolchainPlace<'_>,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<CrossTools, Error> {
    let Provenance { name: file, digest, verified, .. } = provenance;
    let stem = file.trim_end_matches(".tar.xz");
    let folder = place.folder.join(format!("{stem}-{}", &digest.hex()[..DIGITS]));
    let beside = record::added(&folder, "json");
    if kept::read::<Record>(&beside).is_none() || !folder.is_dir() {
        fsutil::remove_all(&folder)?;
        let bytes = fs::File::open(archive)?.into_parts().0;
        let (_, bytes) = decompress::reader(bytes)?;
        unpack::unpack_tools(bytes, &file, &folder, reporter)?;
    }
    let name = ToolchainRequest::from(names.version).to_string();
    let found = ToolArchive { name, file, digest, verified };
    let tools = tools(found, &folder, names);
    if let Some(absent) = absent(&tools) {
        fsutil::remove_all(&folder)?;
        let reason = format!("there is no {absent} in it");
        return Err(Error::NotAToolchain { archive: tools.archive.file, reason });
    }
    fsutil::remove_all(archive)?;
    let keyring = keys::fingerprint_of_file(options.keyring)?;
    let contents = Some(super::folder_digest(&folder, reporter)?);
    let archive = tools.archive.clone();
    kept::write(&beside, &Record { format: FORMAT, archive, keyring, contents })?;
    reporter.note(format!("{} is in {}", tools.archive.name, tools.folder.display()));
    Ok(tools)
}

/// The first program that is not there, or can't be run.
fn absent(tools: &CrossTools) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let runs = |path: &Path| {
        fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 1 == 1)
    };
    let names = PROGRAMS.iter().map(|program| format!("{}{program}", tools.prefix));
    let missing = names.map(|name| tools.bin().join(name)).find(|path| !runs(path))?;
    let inside = missing.strip_prefix(&tools.folder).unwrap_or(&missing);
    Some(inside.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_named_as_kernel_org_names_them() {
        let stems = |text: &str| {
            let version = text.parse().unwrap();
            Names { host: "x86_64", target: "x86_64-linux", version }.stems()
        };
        assert_eq!(stems("13.2.0"), ["x86_64-gcc-13.2.0-nolibc-x86_64-linux"]);
        let old = "x86_64-gcc-4.9.0-nolibc";
        assert_eq!(stems("4.9.0"), [format!("{old}-x86_64-linux"), format!("{old}_x86_64-linux")]);
    }

    #[test]
    fn a_folder_without_its_programs_is_no_toolchain() {
        let folder = tempfile::tempdir().unwrap();
        let archive = ToolArchive {
            name: "kernel.org:gcc-13.2.0".into(),
            file: "x.tar.xz".into(),
            digest: Digest::sha256(b""),
            verified: Verified::Unverified,
        };
        let prefix = "x86_64-linux-".to_owned();
        let tools = CrossTools { archive, folder: folder.path().to_owned(), prefix };
        let bin = tools.bin();
        assert!(bin.ends_with("x86_64-linux/bin"));
        fs::create_dir_all(&bin).unwrap();
        for program in PROGRAMS {
            assert_eq!(absent(&tools).unwrap(), format!("x86_64-linux/bin/x86_64-linux-{program}"));
            let path = bin.join(format!("x86_64-linux-{program}"));
            fs::write(&path, "").unwrap();
            assert!(absent(&tools).is_some(), "it can't be run");
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
                .unwrap();
        }
        assert_eq!(absent(&tools), None);
    }
}
