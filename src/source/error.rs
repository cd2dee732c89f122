use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::http;
use crate::proc::{self, interrupt};
use crate::report::{Fault, text};
use crate::settings::{GitSource, KernelRequest, KernelVersion, ToolchainRequest};

use super::{Provider, UnpackError};

/// A source that could not be found, fetched, verified or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No provider of the list has the version.
    #[error("no source has Linux {request}{}", listed(.reasons))]
    Nobody {
        /// What was asked for.
        request: KernelRequest,
        /// Why not, in the order of the list.
        reasons: Vec<(Provider, Error)>,
    },
    /// One provider does not have the version.
    #[error("no Linux {request} in {place}")]
    Unknown {
        /// What was asked for.
        request: KernelRequest,
        /// The URL or package list that was looked at.
        place: String,
    },
    /// A request that was not answered as it should be.
    #[error(transparent)]
    Http(http::Error),
    /// Something else than an archive, as a captive portal gives it.
    #[error("{url}: is no archive; it starts with '{start}'")]
    NotAnArchive {
        /// What was fetched.
        url: String,
        /// Its first characters.
        start: String,
    },
    /// A download that is not what was signed, twice.
    #[error("{archive}: {reason}; it was deleted")]
    Altered {
        /// The URL or package.
        archive: String,
        /// What does not fit.
        reason: String,
    },
    /// A patch by URL that nothing vouches for.
    #[error("{url}: a patch without a checksum")]
    PatchWithoutChecksum {
        /// The patch's URL.
        url: String,
    },
    /// A checksum that is none.
    #[error("{url}: '{checksum}' is not a SHA-256 checksum (64 hex digits)")]
    PatchChecksum {
        /// The patch's URL.
        url: String,
        /// What stands behind `#sha256=`.
        checksum: String,
    },
    /// There is no signature and no signed checksum.
    #[error("{archive}: no signature ({})", .tried.join(", "))]
    NoSignature {
        /// The archive's URL.
        archive: String,
        /// Where it was looked for, and why it was not there.
        tried: Vec<String>,
    },
    /// A signature by a key that is not among the accepted ones.
    #[error("{signature}: signed by the key {key}, which is not accepted")]
    KeyNotPinned {
        /// The signature's URL.
        signature: String,
        /// Fingerprint or id of the key, as gpgv tells it.
        key: String,
    },
    /// A signature or key that gpgv refuses for another reason.
    #[error("{signature}: not accepted: {reason}")]
    SignatureRefused {
        /// The signature's URL.
        signature: String,
        /// What gpgv says.
        reason: String,
    },
    /// No key to verify with could be had.
    #[error("none of the release keys could be fetched from {url}")]
    NoKeys {
        /// The key directory.
        url: String,
        /// Why the last one could not.
        source: Box<Error>,
    },
    /// A file that holds no OpenPGP keys.
    #[error("{path}: is no OpenPGP keyring")]
    NotAKeyring {
        /// The file.
        path: PathBuf,
    },
    /// A folder or tarball that is no kernel source.
    #[error("{path}: is no kernel source: {reason}")]
    NotASource {
        /// The folder or tarball.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// An archive that can't be read to its end.
    #[error("{path}: damaged archive")]
    Damaged {
        /// The archive.
        path: PathBuf,
        /// Where it breaks.
        source: io::Error,
    },
    /// A local source of another version than the one asked for.
    #[error("{path}: is Linux {found}, but {request} was asked for")]
    OtherVersion {
        /// The folder or tarball.
        path: PathBuf,
        /// What its Makefile says.
        found: KernelVersion,
        /// What was asked for.
        request: KernelRequest,
    },
    /// A repository that can't be read.
    #[error("{repository}: {reason}")]
    Repository {
        /// Its address or folder.
        repository: String,
        /// What git says.
        reason: String,
    },
    /// A repository without such a state.
    #[error("{}: has no tag, branch or commit '{}'", .state.repository, .state.reference)]
    NoReference {
        /// What was asked for.
        state: GitSource,
    },
    /// A state of a repository that could be anything.
    #[error("{state}: nobody vouches for it: {reason}")]
    NotVouched {
        /// What was asked for.
        state: GitSource,
        /// The commit that it is now.
        commit: String,
        /// Why not.
        reason: String,
    },
    /// A source of the user's that is not what they said.
    #[error("{path}: has {found}, not {wanted}")]
    Checksum {
        /// The tarball.
        path: PathBuf,
        /// Its checksum.
        found: Digest,
        /// The one that was given.
        wanted: Digest,
    },
    /// A folder, of which no checksum can be known.
    #[error("{path}: is a folder, which has no checksum")]
    FolderChecksum {
        /// The folder.
        path: PathBuf,
    },
    /// No local source was given.
    #[error("no local source is given")]
    NoLocal,
    /// Where a local source was said to be, nothing is.
    #[error("{path}: there is no such folder or tarball")]
    NotThere {
        /// The place.
        path: PathBuf,
    },
    /// apt lists nothing that fits.
    #[error("apt: {reason}")]
    Apt {
        /// What is wrong.
        reason: String,
    },
    /// apt lists no kernel of Debian's that fits.
    #[error("Debian's package lists have no linux-image of {request} for amd64")]
    NoPrebuilt {
        /// What was asked for.
        request: String,
    },
    /// kernel.org has no such toolchain.
    #[error("{place} has no {request}")]
    NoToolchain {
        /// What was asked for.
        request: ToolchainRequest,
        /// The list that was looked at.
        place: String,
        /// What it has instead.
        near: Vec<ToolchainRequest>,
    },
    /// A toolchain without a signed checksum.
    #[error("{archive}: no signed checksum ({})", .tried.join(", "))]
    UnsignedToolchain {
        /// The archive's URL.
        archive: String,
        /// Where it was looked for, and why it was not there.
        tried: Vec<String>,
    },
    /// kernel.org has no toolchains that run on this host.
    #[error("kernel.org has toolchains for hosts of x86_64 and arm64, and this one is {host}")]
    NoToolchainHost {
        /// Its architecture.
        host: &'static str,
    },
    /// An archive that holds no toolchain.
    #[error("{archive}: is no toolchain: {reason}")]
    NotAToolchain {
        /// The archive's name.
        archive: String,
        /// What is missing.
        reason: String,
    },
    /// An archive that can't be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// Another program is missing or failed.
    #[error(transparent)]
    Program(#[from] proc::Error),
    /// The file system.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// We were asked to stop.
    #[error("stopped by {0}")]
    Interrupted(interrupt::Signal),
}

fn listed(reasons: &[(Provider, Error)]) -> String {
    reasons
        .iter()
        .map(|(provider, error)| format!("\n    {provider}: {}", text::chain(error)))
        .collect()
}

/// Variant by variant: a provider's failure is told apart by them.
impl From<http::Error> for Error {
    fn from(error: http::Error) -> Self {
        match error {
            http::Error::Interrupted(signal) => Self::Interrupted(signal),
            other => Self::Http(other),
        }
    }
}

impl Error {
    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Nobody { reasons, .. } => nobody(reasons),
            Self::Unknown { .. }
            | Self::NoPrebuilt { .. }
            | Self::NoToolchain { .. }
            | Self::NotASource { .. }
            | Self::NoReference { .. } => Fault::NotFound,
            Self::Repository { repository, .. } if Path::new(repository).is_dir() => {
                Fault::NotFound
            }
            Self::Http(error) => error.fault(),
            Self::NotAnArchive { .. }
            | Self::NoKeys { .. }
            | Self::Apt { .. }
            | Self::Repository { .. } => Fault::Network,
            Self::Altered { .. }
            | Self::Checksum { .. }
            | Self::NotVouched { .. }
            | Self::PatchWithoutChecksum { .. }
            | Self::NoSignature { .. }
            | Self::UnsignedToolchain { .. }
            | Self::KeyNotPinned { .. }
            | Self::SignatureRefused { .. } => Fault::Verification,
            Self::PatchChecksum { .. }
            | Self::NotAKeyring { .. }
            | Self::OtherVersion { .. }
            | Self::FolderChecksum { .. }
            | Self::NoToolchainHost { .. }
            | Self::NoLocal => Fault::Settings,
            Self::NotThere { .. } => Fault::NotFound,
            Self::Damaged { .. } | Self::NotAToolchain { .. } => Fault::Archive,
            Self::Unpack(error) => error.fault(),
            Self::Program(error) => program(error),
            Self::Io(error) if error.kind() == io::ErrorKind::NotFound => Fault::NotFound,
            Self::Io(_) => Fault::Storage,
            Self::Interrupted(signal) => (*signal).into(),
        }
    }

    /// The command or change that mends it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Nobody { reasons, .. } => {
                return reasons.iter().find_map(|(_, error)| error.hint());
            }
            Self::NoPrebuilt { .. } => {
                "apt-cache search linux-image shows what there is; --refresh fetches its lists anew"
            }
            Self::Unknown { .. } => {
                "ask for the series (X.Y), which takes its newest release; https://kernel.org lists them"
            }
            Self::NoToolchain { place, near, .. } if near.is_empty() => {
                return Some(format!("{place} lists what there is"));
            }
            Self::NoToolchain { near, .. } => {
                let near: Vec<String> = near.iter().map(ToString::to_string).collect();
                return Some(format!("it has {}", near.join(", ")));
            }
            Self::NoToolchainHost { .. } => {
                "leave S1B_TOOLCHAIN out, and name a compiler of this host with --cc"
            }
            Self::NotAToolchain { .. } => "take another release, or another mirror",
            Self::Unpack(error) => return error.hint(),
            Self::Http(error) => return http_hint(error),
            Self::NotAnArchive { .. } => {
                "a proxy or login page may stand in between, or the mirror's URL is wrong"
            }
            Self::Altered { .. } => "a mirror or proxy alters the file: use another",
            Self::PatchWithoutChecksum { url } => {
                return Some(format!(
                    "write {url}#sha256=<checksum>, or use --insecure-options=patch if you trust it"
                ));
            }
            Self::PatchChecksum { .. } => "`sha256sum FILE` gives it",
            Self::NoSignature { .. } => {
                "give the archive's SHA-256, or use --insecure-options=source if you trust it"
            }
            Self::UnsignedToolchain { .. } => {
                "use another mirror, or --insecure-options=source if you trust this one"
            }
            Self::KeyNotPinned { .. } => {
                "if you trust that key, name a keyring file that holds it; or use another mirror"
            }
            Self::SignatureRefused { .. } => "use another mirror, or name a newer keyring file",
            Self::NoKeys { .. } => "name a keyring file that holds the release keys",
            Self::NotAKeyring { .. } => "export the keys with `gpg --export FINGERPRINT > FILE`",
            Self::NotASource { .. } => {
                "name the top folder of a kernel tree, or a tarball of one (xz, gz, bz2, zst)"
            }
            Self::Damaged { .. } => "fetch the archive again",
            Self::OtherVersion { found, .. } => {
                return Some(format!("ask for {found}, or name another source"));
            }
            Self::Repository { repository, .. } => {
                return Some(format!(
                    "`git ls-remote {repository}` must work without asking for a password"
                ));
            }
            Self::NoReference { state } => {
                return Some(format!(
                    "`git ls-remote {}` lists tags and branches; a commit is named by its whole id",
                    state.repository
                ));
            }
            Self::NotVouched { state, commit, .. } => {
                return Some(format!(
                    "--source '{}#{commit}' takes that commit and no other; or use \
                     --insecure-options=source if you trust the server",
                    state.repository
                ));
            }
            Self::Checksum { .. } => "fetch the tarball again; `sha256sum FILE` gives its checksum",
            Self::FolderChecksum { .. } => "leave S1B_SOURCE_SHA256 out, or name a tarball",
            Self::NoLocal | Self::NotThere { .. } => {
                "name a kernel's folder or tarball with --source, or a repository as URL#REF"
            }
            Self::Apt { .. } => {
                "check `apt-get update`; the archive that apt's sources name must be reachable"
            }
            Self::Program(proc::Error::NotFound { program }) => {
                return Some(format!("apt-get install {}", package(program)));
            }
            Self::Io(error) => return text::storage_hint(error),
            Self::Program(_) | Self::Interrupted(_) => return None,
        };
        Some(hint.to_owned())
    }

    /// Whether a server says that it has no such file.
    pub(super) fn says_absent(&self) -> bool {
        matches!(self, Self::Http(error) if error.says_absent())
    }

    /// Whether the next provider of the list may have what this one has not.
    /// Trouble with our own disk, or a request to stop, is the same for all.
    pub(super) fn lets_the_next_try(&self) -> bool {
        let own = matches!(self, Self::Io(_) | Self::Interrupted(_));
        let stopped = matches!(self, Self::Program(error) if error.signal().is_some());
        !own && !stopped
    }
}

/// As http's own hint, with what a source has besides: mirrors and others.
fn http_hint(error: &http::Error) -> Option<String> {
    use http::Error::{BrokeOff, Interrupted, Malformed, NoAnswer, Status, Unreachable};
    let hint = match error {
        Unreachable { .. } | NoAnswer { .. } | BrokeOff { .. } => {
            "check the network and https_proxy, name a mirror, or put 'debian' first in \
             S1B_KERNEL_SOURCES"
        }
        Status { status: 404 | 410, .. } => "the mirror may lag behind: try another, or --refresh",
        Status { .. } | Malformed { .. } => "try again later, or name a mirror",
        Interrupted(_) => return None,
    };
    Some(hint.to_owned())
}

/// The network is to blame only when nobody could say no.
fn nobody(reasons: &[(Provider, Error)]) -> Fault {
    let faults: Vec<Fault> = reasons.iter().map(|(_, error)| error.fault()).collect();
    let answered = faults.contains(&Fault::NotFound) || faults.is_empty();
    let unreached = faults.contains(&Fault::Network);
    if unreached && !answered { Fault::Network } else { Fault::NotFound }
}

fn program(error: &proc::Error) -> Fault {
    match (error, error.signal()) {
        (_, Some(signal)) => signal.into(),
        (proc::Error::NotFound { .. }, _) => Fault::MissingTools,
        _ => Fault::Network,
    }
}

/// The Debian package that a program comes from.
fn package(program: &str) -> &str {
    match program {
        "apt-get" | "apt-cache" => "apt",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable() -> Error {
        let (url, after) = ("https://example.org/x".into(), std::time::Duration::from_secs(5));
        http::Error::NoAnswer { url, after }.into()
    }

    fn unknown() -> Error {
        let request = "6.99.1".parse().unwrap();
        Error::Unknown { request, place: "https://example.org".into() }
    }

    #[test]
    fn nobody_blames_the_network_only_when_nobody_said_no() {
        let fault = |reasons: Vec<(Provider, Error)>| nobody(&reasons);
        assert_eq!(fault(vec![(Provider::KernelOrg, unreachable())]), Fault::Network);
        let mixed = vec![(Provider::KernelOrg, unreachable()), (Provider::Debian, unknown())];
        assert_eq!(fault(mixed), Fault::NotFound);
    }

    #[test]
    fn every_reason_is_in_the_text_with_its_causes() {
        let source = Box::new(ureq::Error::HostNotFound);
        let first = http::Error::Unreachable { url: "https://a.example/x".into(), source }.into();
        let reasons = vec![(Provider::KernelOrg, first), (Provider::Debian, unknown())];
        let text = Error::Nobody { request: "6.99.1".parse().unwrap(), reasons }.to_string();
        assert!(text.contains("kernel.org: can't reach https://a.example/x: "), "{text}");
        assert!(text.contains("debian: no Linux 6.99.1 in https://example.org"), "{text}");
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let error = Error::from(proc::Error::NotFound { program: "apt-cache".into() });
        assert_eq!(error.fault(), Fault::MissingTools);
        assert_eq!(error.hint().unwrap(), "apt-get install apt");
    }

    #[test]
    fn a_full_disk_is_the_end_of_the_list() {
        let full = Error::from(io::Error::from(io::ErrorKind::StorageFull));
        assert!(!full.lets_the_next_try() && full.hint().unwrap().contains("S1B_CACHE_DIR"));
        assert!(unreachable().lets_the_next_try());
    }
}
