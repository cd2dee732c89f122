//! Debian's `linux-source-X.Y` packages, through apt's own verified path.
//!
//! Nothing is installed and no root is needed. The system's package lists are
//! read; when they have nothing that fits, lists of our own are fetched into
//! the private state folder, with the system's sources and keys. apt checks
//! the package against its signed lists; we check it once more, and take the
//! tarball out of it while reading.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::digest::{Algorithm, Digest, DigestWriter};
use crate::fsutil::{self, Lock};
use crate::proc::{Error as ProgramError, Program, interrupt};
use crate::report::{Event, Reporter, Stage, Total, Unit, text};
use crate::settings::{KernelRequest, KernelVersion, Series};

use super::{
    Archive, Error, Options, Provenance, Provider, Resolved, Verified, decompress, record,
};
use crate::http::{Client, Method, Patience};

#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
pub(super) mod prebuilt;

pub use prebuilt::{Prebuilt, PrebuiltRequest, prebuilt};

/// A package in one exact version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name, `linux-source-6.12`.
    pub name: String,
    /// Its version, `6.12.117-1~deb12u1`.
    pub version: String,
}

impl Package {
    pub(super) fn of(verified: &Verified) -> Option<Self> {
        match verified {
            Verified::DistributionArchive { package, version } => {
                Some(Self { name: package.clone(), version: version.clone() })
            }
            _ => None,
        }
    }

    /// As apt wants one exact version.
    fn exact(&self) -> String {
        format!("{}={}", self.name, self.version)
    }
}

/// The kernel in a package of this version: `6.12.117-1~deb12u1` is 6.12.117,
/// `6.13~rc4-1~exp1` is 6.13-rc4. The package's own revision does not count.
fn upstream(version: &str) -> Option<KernelVersion> {
    let without_epoch = version.split_once(':').map_or(version, |(_, rest)| rest);
    let upstream = without_epoch.rsplit_once('-').map_or(without_epoch, |(first, _)| first);
    let end = upstream.find('+').unwrap_or(upstream.len());
    upstream[..end].replace("~rc", "-rc").parse().ok()
}

/// The series in the name of a source package. Others, such as Ubuntu's
/// `linux-source-5.15.0`, don't follow the kernel's own numbers.
fn series_of(name: &str) -> Option<Series> {
    name.strip_prefix("linux-source-")?.parse().ok()
}

/// The lines of `apt-cache madison`: name | version | origin, the newest
/// version of each package first.
fn parse_madison(text: &str) -> Vec<(KernelVersion, Package)> {
    let parse = |line: &str| {
        let mut fields = line.split('|').map(str::trim);
        let (name, version, origin) = (fields.next()?, fields.next()?, fields.next()?);
        series_of(name)?;
        let binary = origin.ends_with(" Packages");
        let package = Package { name: name.to_owned(), version: version.to_owned() };
        binary.then_some((upstream(version)?, package))
    };
    text.lines().filter_map(parse).collect()
}

/// The package that is meant, of those listed. Of several revisions of one
/// kernel the first, which apt lists as the newest.
fn choose(
    request: KernelRequest,
    listed: &[(KernelVersion, Package)],
) -> Option<(KernelVersion, Package)> {
    let fits = |version: &KernelVersion| match request {
        KernelRequest::Exact(wanted) => *version == wanted,
        KernelRequest::Series(series) => {
            version.series() == series && version.candidate().is_none()
        }
        // What Debian ships is neither kernel.org's newest nor its choice of
        // long-term series; to say so would be a guess.
        KernelRequest::Stable | KernelRequest::Longterm | KernelRequest::Mainline => false,
    };
    let newest = listed.iter().map(|(version, _)| *version).filter(fits).max()?;
    listed.iter().find(|(version, _)| *version == newest).cloned()
}

/// Whose package lists are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lists {
    System,
    Private,
}

/// apt with a configuration of ours on top of the system's.
struct Apt {
    state: PathBuf,
    lists: Lists,
}

impl Apt {
    /// Writes the configuration.
    fn new(state: &Path, lists: Lists) -> Result<Self, Error> {
        let state = std::path::absolute(state)?;
        for folder in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(state.join(folder))?;
        }
        if !state.join("status").exists() {
            fsutil::write_atomic(&state.join("status"), b"")?;
        }
        let apt = Self { state, lists };
        fsutil::write_atomic(&apt.configuration(), apt.settings().as_bytes())?;
        Ok(apt)
    }

    fn configuration(&self) -> PathBuf {
        self.state.join(match self.lists {
            Lists::System => "system.conf",
            Lists::Private => "private.conf",
        })
    }

    fn settings(&self) -> String {
        let state = self.state.display();
        let mut text = format!("Dir::Cache \"{state}/cache\";\n");
        if self.lists == Lists::Private {
            // No package is installed there, so the status file is empty.
            text += &format!(
                "Dir::State \"{state}\";\nDir::State::lists \"{state}/lists\";\n\
                 Dir::State::status \"{state}/status\";\n"
            );
        }
        text + include_str!("apt.conf")
    }

    fn program(&self, name: &str) -> Program {
        Program::new(name).arg("-c").arg(self.configuration()).pass_proxies()
    }

    fn run(&self, name: &str, args: &[&str]) -> Result<String, Error> {
        let output = self.program(name).args(args).run()?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    /// Every source package that the lists have.
    fn listed(&self) -> Result<Vec<(KernelVersion, Package)>, Error> {
        let names = self.run("apt-cache", &["pkgnames", "linux-source-"])?;
        let names: Vec<&str> = names.lines().filter(|name| series_of(name).is_some()).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let arguments = [&["madison"], names.as_slice()].concat();
        Ok(parse_madison(&self.run("apt-cache", &arguments)?))
    }

    /// Fetches the private lists anew. Gives the first thing that went wrong:
    /// a source of the user's that can't be reached must not stop the others.
    fn update(&self, reporter: &dyn Reporter) -> Result<Option<String>, Error> {
        reporter.note("fetching package lists into a folder of our own");
        let output = self.program("apt-get").args(["-q", "update"]).output()?;
        if !output.stderr.is_empty() {
            reporter.detail(format!("apt-get update: {}", output.stderr.trim_end()));
        }
        let wrong = output
            .stderr
            .lines()
            .find(|line| line.starts_with("E: ") || line.starts_with("W: Failed to fetch"));
        Ok(wrong.map(|line| line[3..].to_owned()))
    }

    /// Size in bytes and SHA-256 of a package, by the signed lists.
    fn facts(&self, package: &Package) -> Result<(u64, Digest), Error> {
        let text = self.run("apt-cache", &["show", "--no-all-versions", &package.exact()])?;
        facts_in(&text)
            .ok_or_else(|| apt_error(format!("no size and SHA256 of {}", package.exact())))
    }
}

fn apt_error(reason: String) -> Error {
    Error::Apt { reason }
}

fn facts_in(text: &str) -> Option<(u64, Digest)> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let digest = Digest::from_hex(Algorithm::Sha256, field("SHA256:")?)?;
    Some((field("Size:")?.parse().ok()?, digest))
}

fn check_programs() -> Result<(), Error> {
    for program in ["apt-cache", "apt-get"] {
        if crate::proc::find(program).is_none() {
            return Err(ProgramError::NotFound { program: program.to_owned() }.into());
        }
    }
    Ok(())
}

/// Finds the package of the version that is meant.
///
/// # Errors
/// When apt is not there, or lists nothing that fits.
pub(super) fn find(
    request: KernelRequest,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Resolved, Error> {
    check_programs()?;
    let place = "Debian's package lists";
    let unknown = || Error::Unknown { request, place: place.to_owned() };
    if !matches!(request, KernelRequest::Exact(_) | KernelRequest::Series(_)) {
        return Err(unknown());
    }
    let _lock = lock(options, reporter)?;
    let system = Apt::new(options.state, Lists::System)?.listed()?;
    let chosen = match choose(request, &system) {
        Some(chosen) if !options.refresh => Some(chosen),
        in_system => match private(options, reporter) {
            Ok(listed) => choose(request, &listed).or(in_system),
            // Then the system's lists are all that there is.
            Err(error) if error.lets_the_next_try() && !system.is_empty() => {
                reporter.detail(text::chain(&error));
                in_system
            }
            Err(error) => return Err(error),
        },
    };
    let (version, package) = chosen.ok_or_else(unknown)?;
    Ok(Resolved { version, provider: Provider::Debian, package: Some(package) })
}

/// The newest revision of each kernel that the lists have: the system's, and
/// our own where those have nothing or are to be refreshed.
///
/// # Errors
/// When apt is not there, or nobody can be reached.
pub(super) fn offers(
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Vec<(KernelVersion, Package)>, Error> {
    check_programs()?;
    let _lock = lock(options, reporter)?;
    let mut listed = Apt::new(options.state, Lists::System)?.listed()?;
    if options.refresh || listed.is_empty() {
        listed.extend(private(options, reporter)?);
    }
    let mut seen = std::collections::BTreeSet::new();
    listed.retain(|(version, _)| seen.insert(*version));
    Ok(listed)
}

/// What our own lists have.
fn private(
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Vec<(KernelVersion, Package)>, Error> {
    let (apt, wrong) = refreshed(options, reporter)?;
    let listed = apt.listed()?;
    match wrong {
        Some(reason) if listed.is_empty() => Err(Error::Apt { reason }),
        _ => Ok(listed),
    }
}

/// apt with our own lists, which are fetched if absent, a day old, or to be
/// refreshed; and the first thing that went wrong then.
fn refreshed(options: &Options, reporter: &dyn Reporter) -> Result<(Apt, Option<String>), Error> {
    let apt = Apt::new(options.state, Lists::Private)?;
    let stamp = apt.state.join("updated");
    if !options.refresh && is_fresh(&stamp) {
        return Ok((apt, None));
    }
    check_reachable(&apt, options.patience)?;
    let wrong = apt.update(reporter)?;
    if wrong.is_none() {
        fsutil::write_atomic(&stamp, b"")?;
    }
    Ok((apt, wrong))
}

/// Asks the servers of apt's sources ourselves, all at once: apt waits for
/// each file of a silent server anew, which can take a minute.
fn check_reachable(apt: &Apt, patience: Patience) -> Result<(), Error> {
    // A proxy of apt's own is apt's to find.
    if !apt.run("apt-config", &["dump", "Acquire::http::Proxy"])?.trim().is_empty()
        || !apt.run("apt-config", &["dump", "Acquire::http::Proxy-Auto-Detect"])?.trim().is_empty()
    {
        return Ok(());
    }
    let uris = apt.run("apt-get", &["update", "--print-uris"])?;
    let Some(urls) = servers(&uris) else { return Ok(()) };
    let client = Client::new(patience);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let ask = |url| client.open(Method::Head, url, &[], patience.contact).map(drop);
        let asked: Vec<_> = urls.into_iter().map(|url| scope.spawn(move || ask(url))).collect();
        asked.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    // One that answers is enough: the others may be of no interest.
    if answers.is_empty() || answers.iter().any(Result::is_ok) {
        return Ok(());
    }
    Ok(answers.into_iter().collect::<Result<(), _>>()?)
}

/// One URL a server, of what `apt-get update --print-uris` lists; `None` if
/// something is not on the network at all.
fn servers(text: &str) -> Option<Vec<&str>> {
    let mut found: BTreeMap<&str, &str> = BTreeMap::new();
    for url in text.lines().filter_map(|line| line.strip_prefix('\'')?.split('\'').next()) {
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
        found.entry(rest.split('/').next().unwrap_or_default()).or_insert(url);
    }
    Some(found.into_values().collect())
}

fn is_fresh(stamp: &Path) -> bool {
    let modified = fs::metadata(stamp).and_then(|metadata| metadata.modified());
    let age = modified.ok().and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age < Duration::from_secs(24 * 60 * 60))
}

fn lock(options: &Options, reporter: &dyn Reporter) -> Result<Lock, Error> {
    record::lock(&options.state.join("apt"), reporter)
}

/// Downloads a package, takes its tarball out and keeps it; or finds it kept.
///
/// # Errors
/// When apt can't fetch it or it is not what the lists say.
pub(super) fn fetch(
    resolved: &Resolved,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Archive, Error> {
    if let Some(archive) = record::find(options, Provider::Debian, resolved.version)? {
        return Ok(archive);
    }
    let package = resolved.package.as_ref().ok_or_else(|| apt_error("no package".to_owned()))?;
    let folder = record::folder(options, Provider::Debian);
    // A colon would be an epoch, which these packages don't have.
    let stem = format!("{}_{}", package.name, package.version.replace(':', "%3a"));
    let _lock = record::lock(&folder.join(&stem), reporter)?;
    if let Some(archive) = record::find(options, Provider::Debian, resolved.version)? {
        return Ok(archive);
    }
    let scratch = Scratch::new(&folder, &stem)?;
    reporter.started(Stage::Fetch, package.exact());
    let deb = download(package, options, &scratch.0, reporter)?;
    reporter.finished(Stage::Fetch, package.exact());
    let (path, digest) = take_out(&deb, package, &folder.join(stem), reporter)?;
    if let Some(wanted) = options.sha256.filter(|wanted| **wanted != digest) {
        fsutil::remove_all(&path)?;
        let reason = format!("its tarball has {digest}, not {wanted}");
        return Err(Error::Altered { archive: package.exact(), reason });
    }
    let verified = Verified::DistributionArchive {
        package: package.name.clone(),
        version: package.version.clone(),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let provenance =
        Provenance { provider: Provider::Debian, name, digest, verified, revision: None };
    record::keep(&path, resolved.version, provenance, None)
}

/// A folder for what is half-made, on the same disk as the target. Its name
/// is the package's, whose lock is held: what a killed run left goes away.
struct Scratch(PathBuf);

impl Scratch {
    fn new(folder: &Path, stem: &str) -> Result<Self, Error> {
        let path = folder.join(format!(".{stem}.tmp"));
        fsutil::remove_all(&path)?;
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is removed by the next run.
        _ = fsutil::remove_all(&self.0);
    }
}

/// Downloads with the system's lists, else with our own: the system's may be
/// older than what the archive still holds.
fn download(
    package: &Package,
    options: &Options,
    scratch: &Path,
    reporter: &dyn Reporter,
) -> Result<PathBuf, Error> {
    let _lock = lock(options, reporter)?;
    let mut last = None;
    for lists in [Lists::System, Lists::Private] {
        let apt = Apt::new(options.state, lists)?;
        if lists == Lists::Private {
            check_reachable(&apt, options.patience)?;
            apt.update(reporter)?;
        }
        match download_with(&apt, package, scratch, reporter) {
            Ok(deb) => return Ok(deb),
            Err(error) if error.lets_the_next_try() => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| apt_error(format!("can't fetch {}", package.exact()))))
}

fn download_with(
    apt: &Apt,
    package: &Package,
    scratch: &Path,
    reporter: &dyn Reporter,
) -> Result<PathBuf, Error> {
    let (size, digest) = apt.facts(package)?;
    let exact = package.exact();
    let program = apt.program("apt-get").args(["-q", "download", &exact]).dir(scratch);
    let done = AtomicBool::new(false);
    let result = std::thread::scope(|scope| {
        scope.spawn(|| watch(scratch, size, &done, reporter));
        let result = program.run();
        done.store(true, Ordering::Release);
        result
    });
    if let Err(error) = result {
        return Err(disk_full(scratch, error));
    }
    let deb = find_deb(scratch).ok_or_else(|| apt_error(format!("{exact} did not come")))?;
    reporter.started(Stage::Verify, exact.clone());
    let found = Digest::sha256_of_file(&deb)?;
    if found != digest {
        fsutil::remove_all(&deb)?;
        let reason = format!("has {found}, not {digest} as in the signed lists");
        return Err(Error::Altered { archive: exact, reason });
    }
    reporter.finished(Stage::Verify, format!("{exact} is what the signed lists say"));
    Ok(deb)
}

/// apt tells a full disk in words only.
fn disk_full(scratch: &Path, error: ProgramError) -> Error {
    let text = error.to_string();
    if text.contains("No space left") || text.contains("enough free space") {
        let text = format!("{}: no space left for the package", scratch.display());
        return Error::Io(io::Error::new(io::ErrorKind::StorageFull, text));
    }
    Error::Program(error)
}

fn find_deb(folder: &Path) -> Option<PathBuf> {
    let paths = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|found| found == "deb")).max()
}

/// Tells how far apt is, by the size of the file that it writes.
fn watch(folder: &Path, total: u64, done: &AtomicBool, reporter: &dyn Reporter) {
    while !done.load(Ordering::Acquire) {
        std::thread::sleep(Duration::from_millis(100));
        let Some(deb) = find_deb(folder) else { continue };
        reporter.event(Event::Progress {
            stage: Stage::Fetch,
            done: fs::metadata(&deb).map_or(0, |metadata| metadata.len()),
            total: Some(Total::Exact(total)),
            unit: Unit::Bytes,
            current: deb.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        });
    }
}

/// Takes the kernel's tarball out of a package: `<stem>.tar.<compression>`
/// and its digest.
fn take_out(
    deb: &Path,
    package: &Package,
    stem: &Path,
    reporter: &dyn Reporter,
) -> Result<(PathBuf, Digest), Error> {
    let damaged = |source| Error::Damaged { path: deb.to_owned(), source };
    let data = data_of(fs::File::open(deb)?).map_err(damaged)?;
    let (_, tar) = decompress::decoder(data).map_err(damaged)?;
    let mut tar = tar::Archive::new(tar);
    let wanted = format!("usr/src/{}.tar", package.name);
    for entry in tar.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some(extension) = name.trim_start_matches("./").strip_prefix(&wanted) else { continue };
        if extension.contains('/') || !entry.header().entry_type().is_file() {
            continue;
        }
        let path = record::added(stem, &format!("tar{extension}"));
        reporter.detail(format!("{name} of {}", package.exact()));
        return write_out(&mut entry, deb, &path, damaged).map(|digest| (path, digest));
    }
    let reason = format!("there is no {wanted}.* in it");
    Err(Error::NotASource { path: deb.to_owned(), reason })
}

/// Writes the tarball beside the package first, then renames it.
fn write_out(
    entry: &mut impl Read,
    deb: &Path,
    path: &Path,
    damaged: impl Fn(io::Error) -> Error,
) -> Result<Digest, Error> {
    let half_made = deb.with_file_name("tarball");
    let mut writer = DigestWriter::new(Algorithm::Sha256, fs::File::create(&half_made)?);
    let mut buffer = vec![0; 256 << 10];
    loop {
        if let Some(signal) = interrupt::requested() {
            return Err(Error::Interrupted(signal));
        }
        let count = entry.read(&mut buffer).map_err(&damaged)?;
        if count == 0 {
            break;
        }
        io::Write::write_all(&mut writer, &buffer[..count])?;
    }
    let (file, digest) = writer.finish();
    file.sync_all()?;
    fs::rename(&half_made, path)?;
    fsutil::sync_dir(fsutil::parent(path))?;
    Ok(digest)
}

/// The `data.tar.*` member of a package, which is an ar archive (deb(5)):
/// `!<arch>`, then members with 60 bytes of header each, at even offsets.
fn data_of(mut deb: impl Read) -> io::Result<impl Read> {
    let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text.to_owned());
    let mut magic = [0; 8];
    deb.read_exact(&mut magic)?;
    if &magic != b"!<arch>\n" {
        return Err(invalid("is no Debian package"));
    }
    loop {
        let mut header = [0; 60];
        deb.read_exact(&mut header)?;
        let name = String::from_utf8_lossy(&header[..16]).into_owned();
        let size = String::from_utf8_lossy(&header[48..58]).trim().parse::<u64>();
        let size = size.map_err(|_| invalid("a member has no size"))?;
        if name.starts_with("data.tar") {
            return Ok(deb.take(size));
        }
        let padded = size + size % 2;
        if io::copy(&mut deb.by_ref().take(padded), &mut io::sink())? != padded {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

#[cfg(test)]
mod tests;
