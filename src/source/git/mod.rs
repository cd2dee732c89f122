//! The `git` provider: a tag, branch or commit of a repository.
//!
//! Only the one state is fetched, into a repository that is gone afterwards;
//! what stays is its archive, named by the commit's id and so the same
//! wherever it came from. A repository on this machine is the user's own.
//! Of any other, what is asked for must be vouched for: by the commit's whole
//! id, which git checks all content against, or by a tag that is signed by
//! one of the release keys.

#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod program;
mod reference;
mod revision;
mod tag;

use std::io::Write;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::digest::Digest;
use crate::fsutil::{AtomicFile, AtomicFolder};
use crate::proc::{Program, Stream};
use crate::report::{Event, Reporter, Stage, Total, Unit};
use crate::settings::{GitSource, KernelRequest, KernelVersion};

use super::{Archive, Error, Options, Provenance, Provider, Resolved, Verified};
use super::{local, record};

use program::git;
use reference::Target;
pub use revision::Revision;
pub(super) use revision::{heads, of_checkout};

/// Which kernel it is. To know that, it is fetched.
pub(super) fn resolve(
    source: &GitSource,
    request: KernelRequest,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Resolved, Error> {
    let version = fetch(source, options, reporter)?.version;
    local::check_version(Path::new(&source.repository), version, request)?;
    Ok(Resolved { version, provider: Provider::Git, package: None })
}

/// The state's archive, fetched if it is not there.
///
/// # Errors
/// When the repository can't be reached or has no such state, nobody vouches
/// for it, or it is no kernel.
pub(super) fn fetch(
    source: &GitSource,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Archive, Error> {
    let target = reference::target(source, options, reporter)?;
    let folder = record::folder(options, Provider::Git);
    let path = folder.join(format!("linux-{}.tar.zst", target.commit));
    let here = || -> Result<Option<Archive>, Error> {
        let kept = record::signed(&path, options)?;
        Ok(kept.and_then(|(archive, signed)| vouched(archive, signed, source, &target, options)))
    };
    if let Some(archive) = here()? {
        return Ok(archive);
    }
    fs::create_dir_all(&folder)?;
    let _lock = record::lock(&path, reporter)?;
    if let Some(archive) = here()? {
        return Ok(archive);
    }
    let unvouched = voucher(source, &target, options);
    if unvouched.is_none() && target.tag.is_none() {
        return Err(not_vouched(source, &target, "which commit that is, only its server says"));
    }
    let scratch = AtomicFolder::create(&folder)?;
    reporter.started(Stage::Fetch, source.to_string());
    let repository = Repository::init(scratch.path())?;
    repository.fetch(source, &target, reporter)?;
    reporter.finished(Stage::Fetch, format!("commit {}", target.commit));
    let verified = match unvouched {
        Some(Verified::Unverified) => {
            let skipped = "not verified (--insecure-options=source)";
            reporter.warning(format!("{source}: {skipped}"));
            Verified::Unverified
        }
        Some(verified) => verified,
        None => tag::verify(&repository, source, &target, options, reporter)?,
    };
    let version = repository.version(source, &target)?;
    repository.archive(&target, version, &path, reporter)?;
    let revision = revision_of(source, &target, version);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let digest = Digest::sha256_of_file(&path)?;
    let provider = Provider::Git;
    let provenance = Provenance { provider, name, digest, verified, revision: Some(revision) };
    record::keep(&path, version, provenance, options.keyring)
}

/// Who vouches for a state, as far as that is known without its tag.
fn voucher(source: &GitSource, target: &Target, options: &Options) -> Option<Verified> {
    if source.folder().is_some() {
        Some(Verified::Local)
    } else if target.is_by_id() {
        Some(Verified::Commit)
    } else if options.insecure_source {
        Some(Verified::Unverified)
    } else {
        None
    }
}

/// An archive that is there, as what was asked for now: the content of a
/// commit is the same whoever asked for it, but not who vouched for it, nor
/// how a release is told from it.
fn vouched(
    mut archive: Archive,
    signed: bool,
    source: &GitSource,
    target: &Target,
    options: &Options,
) -> Option<Archive> {
    let kept = &archive.provenance.verified;
    archive.provenance.verified = match (kept, voucher(source, target, options)) {
        (Verified::OpenPgp { .. }, None) if signed && target.tag.is_some() => kept.clone(),
        (_, voucher) => voucher?,
    };
    archive.provenance.revision = Some(revision_of(source, target, archive.version));
    Some(archive)
}

/// What is known of its history: all of it in a repository that is here.
fn revision_of(source: &GitSource, target: &Target, version: KernelVersion) -> Revision {
    match source.folder() {
        Some(own) => revision::of_commit(own, &target.commit, version),
        None => revision::of_name(target, version),
    }
}

fn not_vouched(source: &GitSource, target: &Target, reason: &str) -> Error {
    let (state, commit) = (source.clone(), target.commit.clone());
    Error::NotVouched { state, commit, reason: reason.to_owned() }
}

/// A bare repository of our own, for one state.
struct Repository {
    folder: PathBuf,
}

impl Repository {
    fn init(folder: &Path) -> Result<Self, Error> {
        // No template: hooks of this machine are nobody's business here.
        git().args(["init", "--quiet", "--bare", "--template="]).arg(folder).run()?;
        Ok(Self { folder: folder.to_owned() })
    }

    fn git(&self) -> Program {
        git().arg("-C").arg(&self.folder)
    }

    /// Brings the state, and as little besides as the server lets us.
    fn fetch(
        &self,
        source: &GitSource,
        target: &Target,
        reporter: &dyn Reporter,
    ) -> Result<(), Error> {
        // Some servers give no commit by its id alone, and those of plain
        // files no state without its history.
        let tries: [(&[&str], &str); 3] = [
            (&["--depth=1"], &target.object),
            (&["--depth=1"], &target.name),
            (&[], "+refs/*:refs/*"),
        ];
        let mut last = None;
        for (depth, what) in tries.iter().filter(|(_, what)| !what.is_empty()) {
            let program = self.git().args(["fetch", "--progress", "--no-tags"]).args(*depth);
            let program = program.args(["--", &source.repository, what]);
            match program::with_progress(program, |counts| progress(counts, reporter)) {
                Ok(()) if self.has(target) => return Ok(()),
                Ok(()) => last = None,
                Err(error) if error.signal().is_some() => return Err(error.into()),
                // It would be in no history, either.
                Err(error) if error.to_string().contains("not our ref") => {
                    return Err(reference::none(source));
                }
                Err(error) => last = Some(error),
            }
        }
        Err(match last {
            Some(error) => program::unreachable(source, error),
            None => reference::none(source),
        })
    }

    fn has(&self, target: &Target) -> bool {
        let commit = format!("{}^{{commit}}", target.object);
        let found = self.git().args(["rev-parse", "--quiet", "--verify", &commit]).run();
        found.is_ok_and(|found| found.trim_ascii() == target.commit.as_bytes())
    }

    fn version(&self, source: &GitSource, target: &Target) -> Result<KernelVersion, Error> {
        let makefile = self.git().args(["show", &format!("{}:Makefile", target.commit)]).run();
        let makefile = makefile.unwrap_or_default();
        local::makefile_version(&String::from_utf8_lossy(&makefile))
            .ok_or_else(|| local::no_makefile(Path::new(&source.to_string())))
    }

    /// Writes the state as kernel.org's archives are made: by git itself.
    fn archive(
        &self,
        target: &Target,
        version: KernelVersion,
        path: &Path,
        reporter: &dyn Reporter,
    ) -> Result<(), Error> {
        let prefix = format!("--prefix=linux-{}/", version.tarball());
        let program = OWN_WAYS.iter().fold(self.git(), |git, way| git.args(["-c", way]));
        let program = program.args(["archive", "--format=tar", &prefix]);
        let file = AtomicFile::create(path)?;
        let mut encoder = zstd::Encoder::new(file, LEVEL)?;
        encoder.include_checksum(true)?;
        let mut failed = None;
        let mut done = 0;
        program.arg(&target.commit).pipe(|stream, bytes| {
            if stream == Stream::Stderr {
                return;
            }
            done += bytes.len() as u64;
            let (stage, unit, current) = (Stage::Fetch, Unit::Bytes, String::new());
            reporter.event(Event::Progress { stage, done, total: None, unit, current });
            if failed.is_none() {
                failed = encoder.write_all(bytes).err();
            }
        })?;
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(encoder.finish()?.commit()?),
        }
    }
}

/// What the user's configuration must not change in an archive: the same
/// commit is the same bytes.
const OWN_WAYS: [&str; 4] =
    ["tar.umask=0002", "core.autocrlf=false", "core.eol=lf", "core.attributesFile=/dev/null"];

/// A kernel's tar of 1.4 GB is a sixth with it, in seconds.
const LEVEL: i32 = 3;

fn progress((done, total): (u64, u64), reporter: &dyn Reporter) {
    reporter.event(Event::Progress {
        stage: Stage::Fetch,
        done,
        total: Some(Total::Exact(total)),
        unit: Unit::Objects,
        current: String::new(),
    });
}
