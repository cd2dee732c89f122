//! Where kernel sources come from: the network, the distribution, or the
//! user's own folder; found, fetched and verified.
//!
//! [`resolve`] answers which exact version is meant and who has it; [`fetch`]
//! brings it. The providers are asked in the order of
//! [`Options::sources`]; the first that has the version is used, and why the
//! others were not is said.
//!
//! # What lies on disk
//!
//! ```text
//! <downloads>/kernel.org/linux-6.12.3.tar.xz        an archive, as it was signed
//! <downloads>/kernel.org/linux-6.12.3.tar.xz.json   its record: only with it the archive counts
//! <downloads>/kernel.org/.linux-6.12.3.tar.xz.partial[.json]   a download under way
//! <downloads>/kernel.org/.linux-6.12.3.tar.xz.lock  held by who fetches it
//! <downloads>/kernel.org/keys/<fingerprint>.gpg     release keys; trusted for their fingerprint only
//! <downloads>/crosstool/x86_64-gcc-13.2.0-nolibc-x86_64-linux.tar.xz   a toolchain's, until it is unpacked
//! <downloads>/debian/linux-source-6.12_<version>.tar.xz[.json]
//! <downloads>/debian-prebuilt/linux-image-6.1.0-56-amd64_<version>.deb[.json]   a package of Debian's, as it is
//! <downloads>/debian-prebuilt/6.1.json              which packages were meant, for a day
//! <downloads>/patches/<sha256>.patch                a patch by URL, named by its checksum
//! <downloads>/debian/.linux-source-6.12_<version>.tmp/   a package under way; the next run clears it
//! <downloads>/git/linux-<commit>.tar.zst[.json]     a state of a repository, as `git archive` writes it
//! <downloads>/git/<hash>.json                       which commit a name meant, for a day
//! <downloads>/local/<hash>.json                     digest of a local source, by its files' dates and sizes
//! <downloads>/resolved/<hash>.json                  which version was meant, for a day
//! <toolchains>/<archive's name>-<digest>/           a toolchain of kernel.org's, unpacked
//! <toolchains>/<archive's name>-<digest>.json       its record: only with it the folder counts
//! <state>/                                          package lists of our own, apt's system state is not touched
//! ```
//!
//! An archive is written once and never changed. Its record is written last,
//! so an archive without one is verified anew. Every file comes by rename;
//! a run that was killed leaves at most a partial download, which the next
//! one goes on with, and a tree under a temporary name, which the next one
//! removes.
//!
//! # What is trusted
//!
//! Archives of kernel.org by an OpenPGP signature of a pinned key or of the
//! user's keyring, or by a checksum that the user gave; its toolchains by a
//! checksum that is signed so; Debian's by apt's own chain; a repository's
//! state by its commit's id or its signed tag; a local source because the user
//! named it. See [`Verified`]. A kernel's archive may be unpacked while it
//! comes ([`Ahead`]); nobody sees the tree before the archive is verified.

mod ahead;
mod answer;
mod budget;
mod crosstool;
mod debian;
pub mod decompress;
mod download;
mod error;
mod extra;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod git;
mod gpg;
mod growing;
mod kernel_org;
mod keys;
pub mod local;
mod offers;
pub mod patch;
mod record;
mod releases;
pub mod tree;
pub mod unpack;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::report::{Fault, Reporter, Stage, text};
use crate::settings::{KernelRequest, KernelVersion, OwnSource};

pub use crate::http::Patience;
pub use ahead::Ahead;
pub use crosstool::{CrossTools, ToolArchive, ToolchainPlace, toolchain, toolchain_here};
pub use debian::{Package, Prebuilt, PrebuiltRequest, prebuilt};
pub use error::Error;
pub use extra::{patch_file, patch_url};
pub use git::Revision;
pub use local::{LocalTree, folder_digest};
pub use offers::{Offer, offers};
pub use patch::{Outcome, Patch, PatchError, Pristine, apply_series};
pub use unpack::{UnpackError, Unpacked};

/// The default of [`Options::kernel_org_url`].
pub const KERNEL_ORG_URL: &str = "https://cdn.kernel.org/pub/linux/kernel";
/// The default of [`Options::releases_url`].
pub const RELEASES_URL: &str = "https://www.kernel.org/releases.json";
/// The default of [`Options::snapshot_url`].
pub const SNAPSHOT_URL: &str = "https://git.kernel.org/torvalds/t";
/// The default of [`Options::wkd_url`].
pub const WKD_URL: &str = "https://kernel.org/.well-known/openpgpkey/hu";

/// Who gives a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Provider {
    /// kernel.org or a mirror of it.
    #[serde(rename = "kernel.org")]
    KernelOrg,
    /// Debian's `linux-source` packages, through apt.
    #[serde(rename = "debian")]
    Debian,
    /// A folder or tarball of the user's.
    #[serde(rename = "local")]
    Local,
    /// A git repository that the user names.
    #[serde(rename = "git")]
    Git,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KernelOrg => "kernel.org",
            Self::Debian => "debian",
            Self::Local => "local",
            Self::Git => "git",
        })
    }
}

/// One word of `S1B_KERNEL_SOURCES`. `local` and `git` are none: they are
/// chosen by naming a folder, tarball or repository.
impl FromStr for Provider {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "kernel.org" => Ok(Self::KernelOrg),
            "debian" => Ok(Self::Debian),
            _ => Err(format!("'{text}' is not a kernel source (kernel.org or debian)")),
        }
    }
}

/// What the room needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Whom to ask, in this order.
    pub sources: &'a [Provider],
    /// The folder that holds `v6.x` and so on.
    pub kernel_org_url: &'a str,
    /// kernel.org's list of current releases.
    pub releases_url: &'a str,
    /// The folder of release candidates' snapshots.
    pub snapshot_url: &'a str,
    /// The key directory's folder, up to and without the keys' hashes.
    pub wkd_url: &'a str,
    /// Keys to verify with instead of the pinned ones. Every primary key in
    /// the file is accepted: naming it is the user's explicit trust.
    pub keyring: Option<&'a Path>,
    /// The archive's SHA-256, if the user gave one; it takes the signature's
    /// place.
    pub sha256: Option<&'a Digest>,
    /// Don't verify what kernel.org gives.
    pub insecure_source: bool,
    /// The folder for archives and what is known of them.
    pub downloads: &'a Path,
    /// The folder for apt's lists when the system's can't be used.
    pub state: &'a Path,
    /// What to use instead of asking anybody.
    pub own: Option<&'a OwnSource>,
    /// Look again, even if the answer is less than a day old.
    pub refresh: bool,
    /// A folder in which a kernel's archive is unpacked while it comes; given
    /// by those who will want the tree.
    pub ahead: Option<&'a Path>,
    /// How long to wait for servers.
    pub patience: Patience,
}

/// Which exact version is meant, and who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The version.
    pub version: KernelVersion,
    /// Who has it.
    pub provider: Provider,
    /// In which package, if it is in one.
    pub package: Option<Package>,
}

/// How a source was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Verified {
    /// By a signature of its uncompressed tar.
    OpenPgp {
        /// Full fingerprint of the signer's primary key.
        fingerprint: String,
    },
    /// By a checksum in a signed list.
    SignedChecksum {
        /// Full fingerprint of the list signer's primary key.
        fingerprint: String,
    },
    /// By a checksum that the user gave.
    Checksum,
    /// By the commit's whole id, which the user gave.
    Commit,
    /// By apt, from the distribution's signed lists.
    DistributionArchive {
        /// The package's name.
        package: String,
        /// The package's version.
        version: String,
    },
    /// Not at all: the user named it.
    Local,
    /// Not at all: the user turned it off.
    Unverified,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenPgp { fingerprint } => write!(f, "signed by {fingerprint}"),
            Self::SignedChecksum { fingerprint } => write!(f, "checksum signed by {fingerprint}"),
            Self::Checksum => f.write_str("has the checksum that was given"),
            Self::Commit => f.write_str("is the commit that was asked for"),
            Self::DistributionArchive { package, version } => {
                write!(f, "from the signed archive, {package} {version}")
            }
            Self::Local => f.write_str("the user's own"),
            Self::Unverified => f.write_str("not verified"),
        }
    }
}

/// Where a source is from: part of what an image tells of itself, so nothing
/// of times, hosts or paths is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Who gave it.
    pub provider: Provider,
    /// The archive's or folder's name, without its path.
    pub name: String,
    /// SHA-256 of the archive's bytes or of the folder's content.
    pub digest: Digest,
    /// How it was verified.
    pub verified: Verified,
    /// Where in a history it is, if it is from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
}

/// A whole and verified tarball. Read only.
#[derive(Debug, Clone)]
pub struct Archive {
    /// Where it is.
    pub path: PathBuf,
    /// Which kernel is in it.
    pub version: KernelVersion,
    /// Where it is from.
    pub provenance: Provenance,
    /// What was unpacked of it while it came.
    pub ahead: Option<Ahead>,
}

/// The same archive, whatever was unpacked of it.
impl PartialEq for Archive {
    fn eq(&self, other: &Self) -> bool {
        let Self { path, version, provenance, ahead: _ } = other;
        self.path == *path && self.version == *version && self.provenance == *provenance
    }
}

impl Eq for Archive {}

/// A source, ready to be unpacked or copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A tarball.
    Tarball(Archive),
    /// A folder of the user's.
    Tree(LocalTree),
}

impl Source {
    /// Removes what was unpacked of it while it came: who has a tree already
    /// has no use for another, which may be as large as all that a build needs.
    pub fn forget_ahead(&self) {
        if let Self::Tarball(Archive { ahead: Some(ahead), .. }) = self {
            ahead.discard();
        }
    }

    /// Which kernel it is.
    #[must_use]
    pub fn version(&self) -> KernelVersion {
        match self {
            Self::Tarball(archive) => archive.version,
            Self::Tree(tree) => tree.version,
        }
    }

    /// Where it is from.
    #[must_use]
    pub fn provenance(&self) -> &Provenance {
        match self {
            Self::Tarball(archive) => &archive.provenance,
            Self::Tree(tree) => &tree.provenance,
        }
    }

    /// What its release says after version and suffix: nothing, but for what
    /// is between two versions.
    #[must_use]
    pub fn mark(&self) -> &str {
        self.provenance().revision.as_ref().map_or("", |revision| &revision.mark)
    }

    /// SHA-256 of its content.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.provenance().digest
    }
}

/// Finds the exact version that is meant, and who has it.
///
/// An exact version that is there and verified needs nobody; other answers
/// are remembered for a day, unless [`Options::refresh`] is set.
///
/// # Errors
/// When nobody has it or can be reached, or the local source is none.
pub fn resolve(
    request: KernelRequest,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Resolved, Error> {
    if let Some(OwnSource::Git(source)) = options.own {
        return git::resolve(source, request, options, reporter);
    }
    if let Some(OwnSource::Path(path)) = options.own {
        let version = local::known_version(path, options)?;
        local::check_version(path, version, request)?;
        return Ok(Resolved { version, provider: Provider::Local, package: None });
    }
    if let Some(resolved) = known(request, options)? {
        return Ok(resolved);
    }
    reporter.started(Stage::Resolve, format!("Linux {request}"));
    let resolved = match ask(request, options, reporter) {
        Ok(resolved) => resolved,
        Err(error) => return outdated(request, options, reporter).ok_or(error),
    };
    record::remember(request, options, &resolved)?;
    let Resolved { version, provider, .. } = &resolved;
    reporter.finished(Stage::Resolve, format!("Linux {version} from {provider}"));
    Ok(resolved)
}

/// What can be answered without asking anybody.
fn known(request: KernelRequest, options: &Options) -> Result<Option<Resolved>, Error> {
    if let KernelRequest::Exact(version) = request {
        for &provider in options.sources {
            if let Some(archive) = record::find(options, provider, version)? {
                let package = Package::of(&archive.provenance.verified);
                return Ok(Some(Resolved { version, provider, package }));
            }
        }
    }
    Ok(if options.refresh { None } else { record::remembered(request, options) })
}

/// An answer of more than a day ago, for who works offline with what is
/// there. Not for who asks to look again.
fn outdated(
    request: KernelRequest,
    options: &Options,
    reporter: &dyn Reporter,
) -> Option<Resolved> {
    if options.refresh {
        return None;
    }
    let (age, resolved) = record::older(request, options)?;
    record::find(options, resolved.provider, resolved.version).ok()??;
    let days = age.as_secs() / (24 * 60 * 60);
    reporter.warning(format!(
        "nobody can say which is Linux {request} now; it was {} {days} days ago",
        resolved.version
    ));
    Some(resolved)
}

fn ask(
    request: KernelRequest,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Resolved, Error> {
    let mut reasons = Vec::new();
    for &provider in options.sources {
        let found = match provider {
            Provider::KernelOrg => kernel_org::find(request, options, reporter)
                .map(|version| Resolved { version, provider, package: None }),
            Provider::Debian => debian::find(request, options, reporter),
            Provider::Local | Provider::Git => Err(Error::NoLocal),
        };
        match found {
            Ok(resolved) => {
                said(&resolved, &reasons, reporter);
                return Ok(resolved);
            }
            Err(error) if error.lets_the_next_try() => reasons.push((provider, error)),
            Err(error) => return Err(error),
        }
    }
    Err(Error::Nobody { request, reasons })
}

/// Says who was chosen, and why those before were not.
fn said(resolved: &Resolved, reasons: &[(Provider, Error)], reporter: &dyn Reporter) {
    for (provider, error) in reasons {
        reporter.note(format!("{provider} is passed over: {}", text::chain(error)));
    }
    reporter.note(format!("Linux {} is taken from {}", resolved.version, resolved.provider));
}

/// Brings what [`resolve`] has found: downloaded, verified and kept; at once
/// and without the network if it is there already.
///
/// # Errors
/// When it can't be fetched, is not what was signed, or can't be stored.
pub fn fetch(
    resolved: &Resolved,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Source, Error> {
    let result = match resolved.provider {
        Provider::KernelOrg => {
            kernel_org::fetch(resolved.version, options, reporter).map(Source::Tarball)
        }
        Provider::Debian => debian::fetch(resolved, options, reporter).map(Source::Tarball),
        Provider::Local | Provider::Git => match options.own.ok_or(Error::NoLocal)? {
            OwnSource::Path(path) => local::fetch(path, options, reporter),
            OwnSource::Git(source) => git::fetch(source, options, reporter).map(Source::Tarball),
        },
    };
    // The next run asks again, and may find it elsewhere.
    let elsewhere = |error: &Error| matches!(error.fault(), Fault::Network | Fault::NotFound);
    if result.as_ref().is_err_and(elsewhere) {
        record::forget(resolved, options)?;
    }
    result
}

/// Whether [`fetch`] would have nothing to do: the source is there and
/// verified, or it is the user's own.
///
/// # Errors
/// When the records or the user's keyring can't be read.
pub fn is_here(resolved: &Resolved, options: &Options) -> Result<bool, Error> {
    match resolved.provider {
        Provider::Local | Provider::Git => Ok(true),
        provider => Ok(record::find(options, provider, resolved.version)?.is_some()),
    }
}

/// The date of a folder's kernel, 1980-01-01. Files' own dates are when
/// somebody copied or checked them out: equal content must be equal bytes.
const TREE_EPOCH: u64 = 315_532_800;

/// Makes the new folder `into` of a source: an unpacked tarball, or a copy of
/// the user's tree, which is only read. It is whole when it appears.
///
/// # Errors
/// As [`unpack::unpack`] and [`tree::copy_tree`].
pub fn unpack_source(
    source: &Source,
    into: &Path,
    reporter: &dyn Reporter,
) -> Result<Unpacked, UnpackError> {
    match source {
        Source::Tarball(archive) => {
            let name = &archive.provenance.name;
            if let Some(unpacked) = archive.ahead.as_ref().and_then(|ahead| ahead.place(into)) {
                reporter.started(Stage::Unpack, name);
                let files = text::grouped(unpacked.files);
                reporter.finished(Stage::Unpack, format!("{files} files, while they came"));
                return Ok(unpacked);
            }
            source.forget_ahead();
            let read = |source| UnpackError::Read { archive: name.clone(), source };
            let file = fs_err::File::open(&archive.path).map_err(read)?.into_parts().0;
            let (_, reader) = decompress::reader(file).map_err(read)?;
            unpack::unpack(reader, name, into, reporter)
        }
        Source::Tree(tree) => {
            let files: Vec<PathBuf> = tree.files.iter().map(|entry| entry.path.clone()).collect();
            let copied = tree::copy_tree(&tree.root, &files, into, reporter)?;
            Ok(Unpacked { epoch: TREE_EPOCH, ..copied })
        }
    }
}
