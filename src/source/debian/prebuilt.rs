//! Debian's own kernels, `linux-image-*-amd64`, with the packages of their
//! headers: found, fetched and verified as its sources are, and kept as they
//! are.
//!
//! The cloud, real-time and debug flavours are no kernels for everybody and
//! are passed over. The signed package is taken before the unsigned one.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::proc::interrupt;
use crate::report::{Reporter, Stage, text};
use crate::settings::{KernelRequest, KernelVersion};

use super::super::{Archive, Error, Options, Provenance, Provider, Verified, decompress, record};
use super::{Apt, Lists, Package, Scratch};

/// Which of Debian's kernels is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrebuiltRequest {
    /// The newest of a series (`6.1`), or the newest revision of one release
    /// (`6.1.192`).
    Kernel(KernelRequest),
    /// A package's exact version (`6.1.192-2`).
    Package(String),
}

impl fmt::Display for PrebuiltRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(KernelRequest::Exact(version)) => write!(f, "{version}"),
            Self::Kernel(request) => write!(f, "{request}"),
            Self::Package(version) => f.write_str(version),
        }
    }
}

/// `debian:6.1`, `debian:6.1.192`, `debian:6.1.192-2`.
impl FromStr for PrebuiltRequest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "'{text}' is no kernel of Debian's (debian:6.1, debian:6.1.192, debian:6.1.192-2)"
            )
        };
        let version = text.strip_prefix("debian:").ok_or_else(wrong)?;
        match version.parse() {
            Ok(request @ (KernelRequest::Exact(_) | KernelRequest::Series(_))) => {
                Ok(Self::Kernel(request))
            }
            Ok(_) => Err(wrong()),
            // deb-version(7)
            Err(_)
                if version.starts_with(|first: char| first.is_ascii_digit())
                    && version
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || ".+~:-".contains(c)) =>
            {
                Ok(Self::Package(version.to_owned()))
            }
            Err(_) => Err(wrong()),
        }
    }
}

/// A kernel of Debian's in its packages.
#[derive(Debug, Clone)]
pub struct Prebuilt {
    /// Which kernel it is.
    pub version: KernelVersion,
    /// What it calls itself, `uname -r`.
    pub release: String,
    /// The packages, the kernel's first.
    pub packages: Vec<Archive>,
}

/// The packages that are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::source) struct Meant {
    version: KernelVersion,
    release: String,
    packages: Vec<Package>,
}

/// A package of a kernel, as `apt-cache madison` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    version: KernelVersion,
    release: String,
    package: Package,
}

/// What the kernel in a package calls itself: `6.1.0-56-amd64` of
/// `linux-image-6.1.0-56-amd64-unsigned`. None for the other flavours.
fn release_of(name: &str) -> Option<&str> {
    let name = name.strip_suffix("-unsigned").unwrap_or(name);
    let release = name.strip_prefix("linux-image-")?;
    let base = release.strip_suffix("-amd64")?;
    let versioned = base.starts_with(|first: char| first.is_ascii_digit()) && base.contains('.');
    let flavour = base.split('-').any(|part| matches!(part, "cloud" | "rt"));
    // `linux-image-6.12-amd64` only depends on one that has a kernel.
    let meta = base.parse::<crate::settings::Series>().is_ok();
    (versioned && !flavour && !meta).then_some(release)
}

/// The lines of `apt-cache madison`, in its order.
fn parse_madison(text: &str) -> Vec<Listed> {
    let parse = |line: &str| {
        let mut fields = line.split('|').map(str::trim);
        let (name, version, origin) = (fields.next()?, fields.next()?, fields.next()?);
        let release = release_of(name)?.to_owned();
        let package = Package { name: name.to_owned(), version: version.to_owned() };
        let binary = origin.ends_with(" Packages");
        binary.then_some(Listed { version: super::upstream(version)?, release, package })
    };
    text.lines().filter_map(parse).collect()
}

/// The newest that fits; the signed one of two equals.
fn choose(request: &PrebuiltRequest, listed: &[Listed]) -> Option<Listed> {
    let fits = |listed: &&Listed| match request {
        PrebuiltRequest::Package(version) => listed.package.version == *version,
        PrebuiltRequest::Kernel(KernelRequest::Series(series)) => {
            listed.version.series() == *series && listed.version.candidate().is_none()
        }
        PrebuiltRequest::Kernel(request) => request.fits(&listed.version),
    };
    let order = |listed: &&Listed| {
        let signed = !listed.package.name.ends_with("-unsigned");
        (listed.version, numbers(&listed.package.version), signed)
    };
    listed.iter().filter(fits).max_by_key(order).cloned()
}

/// The numbers in a package's version: enough to tell the newer of two
/// revisions of one kernel.
fn numbers(version: &str) -> Vec<u32> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// The names of the packages that headers need besides their own, of what
/// `apt-cache show` says.
fn parse_depends(text: &str) -> Vec<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("Depends:")).unwrap_or_default();
    let names = line.split(',').filter_map(|one| one.split_whitespace().next());
    let ours = |name: &&str| {
        (name.starts_with("linux-headers-") && name.ends_with("-common"))
            || name.starts_with("linux-kbuild-")
    };
    names.filter(ours).map(str::to_owned).collect()
}

/// What apt's lists have of what is meant.
fn meant(apt: &Apt, request: &PrebuiltRequest) -> Result<Option<Meant>, Error> {
    let names = apt.run("apt-cache", &["pkgnames", "linux-image-"])?;
    let names: Vec<&str> = names.lines().filter(|name| release_of(name).is_some()).collect();
    if names.is_empty() {
        return Ok(None);
    }
    let arguments = [&["madison"], names.as_slice()].concat();
    let listed = parse_madison(&apt.run("apt-cache", &arguments)?);
    let Some(Listed { version, release, package }) = choose(request, &listed) else {
        return Ok(None);
    };
    let of = |name: String| Package { name, version: package.version.clone() };
    let headers = of(format!("linux-headers-{release}"));
    let shown = apt.run("apt-cache", &["show", "--no-all-versions", &headers.exact()])?;
    let mut packages = vec![package.clone(), headers];
    packages.extend(parse_depends(&shown).into_iter().map(of));
    // The API headers of just this kernel, where the archive has them.
    let api = of("linux-libc-dev".to_owned());
    let known = apt.run("apt-cache", &["madison", &api.name])?;
    let same = |line: &str| line.split('|').nth(1).is_some_and(|text| text.trim() == api.version);
    packages.extend(known.lines().any(same).then_some(api));
    Ok(Some(Meant { version, release, packages }))
}

/// Finds the packages, in the system's lists or our own.
fn find(
    request: &PrebuiltRequest,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Meant, Error> {
    super::check_programs()?;
    let _lock = super::lock(options, reporter)?;
    let in_system = meant(&Apt::new(options.state, Lists::System)?, request)?;
    if let (Some(found), false) = (&in_system, options.refresh) {
        return Ok(found.clone());
    }
    let ours = super::refreshed(options, reporter).and_then(|(apt, _)| meant(&apt, request));
    let found = match ours {
        Ok(found) => found.or(in_system),
        Err(error) if error.lets_the_next_try() && in_system.is_some() => {
            reporter.detail(text::chain(&error));
            in_system
        }
        Err(error) => return Err(error),
    };
    found.ok_or_else(|| Error::NoPrebuilt { request: request.to_string() })
}

/// Finds and fetches one of Debian's kernels; which one is meant is
/// remembered for a day, and what is there is not fetched again.
///
/// # Errors
/// When apt is not there or lists nothing that fits, or a package can't be
/// fetched or is not what the signed lists say.
pub fn prebuilt(
    request: &PrebuiltRequest,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Prebuilt, Error> {
    let folder = options.downloads.join("debian-prebuilt");
    fs::create_dir_all(&folder)?;
    let known = folder.join(format!("{request}.json"));
    let meant = match remembered(&known).filter(|_| !options.refresh) {
        Some(meant) => meant,
        None => {
            reporter.started(Stage::Resolve, format!("Debian's linux-image {request}"));
            let meant = find(request, options, reporter)?;
            let bytes = serde_json::to_vec_pretty(&meant).map_err(std::io::Error::from)?;
            crate::fsutil::write_atomic(&known, &bytes)?;
            let exact = meant.packages.first().map(Package::exact).unwrap_or_default();
            reporter.finished(Stage::Resolve, exact);
            meant
        }
    };
    let fetch = |package| one(package, meant.version, &folder, options, reporter);
    let packages = meant.packages.iter().map(fetch).collect::<Result<_, _>>()?;
    Ok(Prebuilt { version: meant.version, release: meant.release, packages })
}

fn remembered(path: &Path) -> Option<Meant> {
    super::is_fresh(path).then_some(())?;
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// One package, fetched if it is not there.
fn one(
    package: &Package,
    version: KernelVersion,
    folder: &Path,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Archive, Error> {
    let stem = format!("{}_{}", package.name, package.version.replace(':', "%3a"));
    let path = folder.join(format!("{stem}.deb"));
    if let Some(archive) = record::at(&path) {
        return Ok(archive);
    }
    let _lock = record::lock(&path, reporter)?;
    if let Some(archive) = record::at(&path) {
        return Ok(archive);
    }
    let scratch = Scratch::new(folder, &stem)?;
    reporter.started(Stage::Fetch, package.exact());
    let deb = super::download(package, options, &scratch.0, reporter)?;
    reporter.finished(Stage::Fetch, package.exact());
    fs::File::open(&deb)?.sync_all()?;
    let digest = crate::digest::Digest::sha256_of_file(&deb)?;
    fs::rename(&deb, &path)?;
    let verified = Verified::DistributionArchive {
        package: package.name.clone(),
        version: package.version.clone(),
    };
    let name = format!("{stem}.deb");
    record::keep(
        &path,
        version,
        Provenance { provider: Provider::Debian, name, digest, verified, revision: None },
        None,
    )
}

impl Prebuilt {
    /// Lays the packages' files into a folder, each at its place.
    ///
    /// # Errors
    /// When a package is damaged, or the folder can't be written.
    pub fn unpack(&self, into: &Path, reporter: &dyn Reporter) -> Result<(), Error> {
        for archive in &self.packages {
            reporter.started(Stage::Unpack, archive.provenance.name.clone());
            unpack(&archive.path, into, false)?;
            reporter.finished(Stage::Unpack, archive.provenance.name.clone());
        }
        Ok(())
    }

    /// Lays the kernel and its configuration alone into a folder, which takes
    /// a moment.
    ///
    /// # Errors
    /// As [`Prebuilt::unpack`].
    pub fn unpack_boot(&self, into: &Path) -> Result<(), Error> {
        self.packages.first().map_or(Ok(()), |archive| unpack(&archive.path, into, true))
    }
}

/// Lays a package's files into a folder; or only what is in `/boot`, which
/// comes first.
pub(super) fn unpack(deb: &Path, into: &Path, boot_alone: bool) -> Result<(), Error> {
    let damaged = |source| Error::Damaged { path: PathBuf::from(deb), source };
    let data = super::data_of(fs::File::open(deb)?).map_err(damaged)?;
    let (_, tar) = decompress::decoder(data).map_err(damaged)?;
    let mut tar = tar::Archive::new(Box::new(tar) as Box<dyn Read>);
    for entry in tar.entries().map_err(damaged)? {
        if let Some(signal) = interrupt::requested() {
            return Err(Error::Interrupted(signal));
        }
        let mut entry = entry.map_err(damaged)?;
        let boot = entry.path_bytes().starts_with(b"./boot/");
        if boot_alone && !boot && into.join("boot").is_dir() {
            return Ok(());
        }
        if boot || !boot_alone {
            entry.unpack_in(into).map_err(damaged)?;
        }
    }
    Ok(())
}

#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing {
    //! What is tried with apt's words. See [`crate::fuzzing`].

    pub(in crate::source::debian) use super::unpack;
    use super::{choose, parse_depends, parse_madison};

    /// What `apt-cache madison` and `show` print.
    pub(in crate::source::debian) fn words(madison: &str, shown: &str, request: &str) {
        let listed = parse_madison(madison);
        assert!(listed.iter().all(|one| one.package.name.contains(&one.release)));
        if let Ok(request) = request.parse() {
            assert!(choose(&request, &listed).is_none_or(|one| listed.contains(&one)));
        }
        assert!(parse_depends(shown).iter().all(|name| name.starts_with("linux-")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADISON: &str = "\
linux-image-6.1.0-50-amd64 | 6.1.176-1 | http://archive.example/debian bookworm/main amd64 Packages
linux-image-6.1.0-56-amd64 | 6.1.192-2 | http://archive.example/debian-security bookworm-security/main amd64 Packages
linux-image-6.1.0-56-amd64-unsigned | 6.1.192-2 | http://archive.example/debian-security bookworm-security/main amd64 Packages
linux-image-6.1.0-57-amd64-unsigned | 6.1.192-10 | http://archive.example/debian-security bookworm-security/main amd64 Packages
linux-image-6.12.117+deb12-amd64 | 6.12.117-1~deb12u1 | http://archive.example/debian-security bookworm-security/main amd64 Packages
linux-image-6.12.117+deb12-cloud-amd64 | 6.12.117-1~deb12u1 | http://archive.example/debian-security bookworm-security/main amd64 Packages
linux-image-6.12-amd64 | 6.12.117-1~deb12u1 | http://archive.example/debian-security bookworm-security/main amd64 Packages
linux-image-amd64 | 6.1.192-2 | http://archive.example/debian-security bookworm-security/main amd64 Packages
";

    fn chosen(request: &str) -> Option<String> {
        let request = request.parse().unwrap();
        choose(&request, &parse_madison(MADISON)).map(|found| found.package.exact())
    }

    #[test]
    fn the_newest_that_fits_is_taken_and_the_signed_one_of_two() {
        for (request, expected) in [
            ("debian:6.1", Some("linux-image-6.1.0-57-amd64-unsigned=6.1.192-10")),
            ("debian:6.1.176", Some("linux-image-6.1.0-50-amd64=6.1.176-1")),
            ("debian:6.1.192-2", Some("linux-image-6.1.0-56-amd64=6.1.192-2")),
            ("debian:6.12", Some("linux-image-6.12.117+deb12-amd64=6.12.117-1~deb12u1")),
            (
                "debian:6.12.117-1~deb12u1",
                Some("linux-image-6.12.117+deb12-amd64=6.12.117-1~deb12u1"),
            ),
            ("debian:6.13", None),
            ("debian:6.1.0", None),
        ] {
            assert_eq!(chosen(request).as_deref(), expected, "{request}");
        }
        for wrong in ["6.1", "debian:", "debian:stable", "debian:6.1/..", "ubuntu:6.1", "debian:x"]
        {
            assert!(wrong.parse::<PrebuiltRequest>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_kernels_for_everybody_have_a_release() {
        assert_eq!(release_of("linux-image-6.1.0-56-amd64"), Some("6.1.0-56-amd64"));
        assert_eq!(release_of("linux-image-6.12.9+bpo-amd64"), Some("6.12.9+bpo-amd64"));
        for name in [
            "linux-image-amd64",
            "linux-image-6.12-amd64",
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.1.0-56-rt-amd64-unsigned",
            "linux-image-6.1.0-56-amd64-dbg",
            "linux-image-6.1.0-56-arm64",
        ] {
            assert_eq!(release_of(name), None, "{name}");
        }
    }

    #[test]
    fn the_packages_of_headers_are_found_in_their_dependencies() {
        let text = "Package: x\nDepends: linux-base (>= 4.12~), linux-headers-6.1.0-56-common \
                    (= 6.1.192-2), linux-kbuild-6.1 (>= 6.1.192-2), linux-compiler-gcc-12-x86\n";
        assert_eq!(parse_depends(text), ["linux-headers-6.1.0-56-common", "linux-kbuild-6.1"]);
    }
}
