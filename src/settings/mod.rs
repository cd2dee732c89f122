//! What the user wants, from all layers, with the origin of each value.
//!
//! Five layers, each over the one before: what is built in, the project's
//! committed `builder-config`, the user's own `.config`, the environment, and
//! the command line. [`SETTINGS`] is the one table of what can be set, under
//! one `S1B_` name and one flag of the same name.
//!
//! On disk there are the two files, both in the project folder and both read
//! only: `NAME=value` data in a small part of the shell's syntax, parsed and
//! never executed. What can't be understood is an error with its place and
//! with what to write instead; an unknown `S1B_` name is one wherever it
//! stands, except for `S1B_TEST_…` variables, which are the tests' own.
//!
//! A relative path is relative to where it was written: in a file, to the
//! file's folder; in the environment or on the command line, to the current
//! directory; built in, to the project folder. Where that is the current
//! directory it stays as short as it was typed.
//!
//! [`Sources::from_host`] reads the world; [`Settings::load`] is pure.

mod arch;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod layers;
mod own_source;
mod scope;
mod sources;
mod syntax;
mod table;
mod toolchain;
mod value;
mod version;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;

pub use arch::Arch;
pub use error::Error;
pub use layers::{Given, Origin};
pub use own_source::{GitSource, OwnSource};
pub use sources::Sources;
pub use syntax::{Position, quote};
pub use table::{BuiltIn, Key, SETTINGS, Setting, nearest_name, reference_markdown};
pub use toolchain::{GccVersion, ToolchainRequest};
pub use value::{Compression, Features, Format, Insecure, ProviderName, UnknownWord, Vmlinux};
pub use version::{KernelRequest, KernelVersion, NotAVersion, RktVersion, Series};

use crate::digest::Digest;
use value::Wrong;

/// The committed defaults, as they were when this program was built. A
/// project folder without the file has the same values: they are built in.
pub const BUILDER_CONFIG: &str = include_str!("../../builder-config");

/// The longest kernel release: `__NEW_UTS_LEN` of the kernel's
/// `include/uapi/linux/utsname.h`, which its top Makefile checks.
const LONGEST_RELEASE: usize = 64;

/// Every setting, understood.
///
/// Paths are as seen from the current directory.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which kernel is asked for.
    pub kernel: KernelRequest,
    /// What `uname -r` says after the version; may be empty.
    pub suffix: String,
    /// The architecture to build for.
    pub arch: Arch,
    /// Parts of the kernel configuration.
    pub features: Features,
    /// Fragments over those of the features.
    pub config_fragments: Vec<PathBuf>,
    /// Symbols over all fragments, as `CONFIG_NAME=value`.
    pub config_items: Vec<String>,
    /// Where the user's own `linux-X.Y[.Z].config` lie. May not exist.
    pub config_dir: PathBuf,
    /// Patches to apply.
    pub extra_patch_files: Vec<PathBuf>,
    /// Patches to download and apply after those in files, as written: the
    /// checksum is in the fragment.
    pub extra_patch_urls: Vec<String>,
    /// The release of rkt's stage1-kvm that the image depends on.
    pub upstream: RktVersion,
    /// The name in the image's manifest.
    pub image_name: String,
    /// The kinds of image, in this order; never empty.
    pub formats: Vec<Format>,
    /// Whether the image has the uncompressed kernel, too.
    pub vmlinux: Vmlinux,
    /// How the image is compressed.
    pub compression: Compression,
    /// Where finished images go.
    pub out_dir: PathBuf,
    /// How many compilers run at once.
    pub jobs: NonZeroUsize,
    /// Where to compile, if not in the cache.
    pub build_dir: Option<PathBuf>,
    /// Where to lay the image's content out, if at all.
    pub aci_dir: Option<PathBuf>,
    /// Downloads, source trees, builds.
    pub cache_dir: PathBuf,
    /// The C compiler's command, if not the usual one.
    pub cc: Option<String>,
    /// The toolchain archive, if the host's compiler is not the one. Never
    /// there with `cc`.
    pub toolchain: Option<ToolchainRequest>,
    /// What starts each compiler.
    pub compiler_launcher: Option<String>,
    /// A tree or tarball of the user's own.
    pub source: Option<OwnSource>,
    /// The checksum of that tarball. Never there without a source.
    pub source_sha256: Option<Digest>,
    /// Who is asked for a kernel, in this order; never empty.
    pub kernel_sources: Vec<ProviderName>,
    /// The folder of `v6.x/`, without a slash at its end (as all of these).
    pub kernel_org_url: String,
    /// The address of `releases.json`.
    pub kernel_org_releases_url: String,
    /// The folder of release candidates' snapshots.
    pub kernel_org_snapshot_url: String,
    /// The `hu` folder of the signers' Web Key Directory.
    pub kernel_org_wkd_url: String,
    /// The folder of toolchains' hosts.
    pub kernel_org_tools_url: String,
    /// OpenPGP keys that the user trusts, too.
    pub keyring: Option<PathBuf>,
    /// What need not be verified.
    pub insecure: BTreeSet<Insecure>,
    /// Whether `DEBUG` has a value.
    pub debug: bool,
    /// `SOURCE_DATE_EPOCH` of the environment, seconds since 1970: the date of
    /// everything in the image, instead of the source's own
    /// (<https://reproducible-builds.org/specs/source-date-epoch/>).
    pub source_date_epoch: Option<u64>,
    given: Vec<Given>,
}

impl Settings {
    /// Puts the layers over one another and understands each value.
    ///
    /// # Errors
    /// At the first thing that is wrong, with its place.
    pub fn load(sources: &Sources) -> Result<Self, Error> {
        let values = Values { given: layers::merge(sources)?, sources };
        let settings = Self {
            kernel: values.get(Key::KernelVersion, value::parsed)?,
            suffix: values.get(Key::KernelVersionSuffix, value::suffix)?,
            arch: values.get(Key::Arch, value::parsed)?,
            features: values.get(Key::Features, value::features)?,
            config_fragments: values.paths(Key::ConfigFragment)?,
            config_items: values.get(Key::ConfigItem, value::config_items)?,
            config_dir: values.path(Key::ConfigDir)?,
            extra_patch_files: values.paths(Key::ExtraKernelPatchFiles)?,
            extra_patch_urls: values.get(Key::ExtraKernelPatchUrls, value::urls)?,
            upstream: values.get(Key::UpstreamStage1KvmVersion, value::parsed)?,
            image_name: values.get(Key::ImageName, value::image_name)?,
            formats: values.get(Key::Format, value::formats)?,
            vmlinux: values.get(Key::Vmlinux, value::word)?,
            compression: values.get(Key::Compression, value::word)?,
            out_dir: values.path(Key::OutDir)?,
            jobs: values.get(Key::Jobs, value::jobs)?,
            build_dir: values.optional_path(Key::BuildDir)?,
            aci_dir: values.optional_path(Key::AciDir)?,
            cache_dir: values.cache_dir()?,
            cc: values.optional(Key::Cc, value::parsed)?,
            toolchain: values.toolchain()?,
            compiler_launcher: values.optional(Key::CompilerLauncher, value::parsed)?,
            source: values.own_source()?,
            source_sha256: values.source_sha256()?,
            kernel_sources: values.get(Key::KernelSources, value::providers)?,
            kernel_org_url: values.get(Key::KernelOrgUrl, value::url)?,
            kernel_org_releases_url: values.get(Key::KernelOrgReleasesUrl, value::url)?,
            kernel_org_snapshot_url: values.get(Key::KernelOrgSnapshotUrl, value::url)?,
            kernel_org_wkd_url: values.get(Key::KernelOrgWkdUrl, value::url)?,
            kernel_org_tools_url: values.get(Key::KernelOrgToolsUrl, value::url)?,
            keyring: values.optional_path(Key::Keyring)?,
            insecure: values.get(Key::InsecureOptions, value::insecure)?,
            debug: !values.text(Key::Debug).is_empty(),
            source_date_epoch: source_date_epoch(sources)?,
            given: values.given,
        };
        settings.release(settings.shortest_version(), "")?;
        Ok(settings)
    }

    /// Every setting's text and who gave it, in the table's order.
    #[must_use]
    pub fn origins(&self) -> &[Given] {
        &self.given
    }

    /// One setting's text and who gave it.
    #[must_use]
    pub fn origin(&self, key: Key) -> &Given {
        &self.given[key as usize]
    }

    /// What `uname -r` says for this version of a source with this mark
    /// (`source::Revision`), which is empty for a release.
    ///
    /// # Errors
    /// When it is longer than the kernel allows.
    pub fn release(&self, version: KernelVersion, mark: &str) -> Result<String, Error> {
        let release = format!("{}{}{mark}", version.release(), self.suffix);
        if release.len() > LONGEST_RELEASE {
            return Err(Error::ReleaseTooLong { release, limit: LONGEST_RELEASE });
        }
        Ok(release)
    }

    /// The shortest version that the request can come out as: whatever is too
    /// long with it needn't be resolved over the network first.
    fn shortest_version(&self) -> KernelVersion {
        match self.kernel {
            KernelRequest::Exact(version) => version,
            KernelRequest::Series(series) => KernelVersion::new(series.major, series.minor, 0),
            _ => KernelVersion::new(1, 0, 0),
        }
    }
}

fn source_date_epoch(sources: &Sources) -> Result<Option<u64>, Error> {
    let text = sources.environment.get("SOURCE_DATE_EPOCH").filter(|text| !text.is_empty());
    let number = text.map(|text| text.parse().map_err(|_| Error::SourceDateEpoch(text.clone())));
    number.transpose()
}

/// The merged texts, and where their paths start.
struct Values<'a> {
    given: Vec<Given>,
    sources: &'a Sources,
}

impl Values<'_> {
    fn text(&self, key: Key) -> &str {
        &self.given[key as usize].text
    }

    fn get<T>(&self, key: Key, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Result<T, Error> {
        parse(self.text(key)).map_err(|wrong| self.wrong(key, wrong))
    }

    fn wrong(&self, key: Key, Wrong { problem, instead }: Wrong) -> Error {
        Error::Value { key, origin: self.given[key as usize].origin.clone(), problem, instead }
    }

    fn optional<T>(
        &self,
        key: Key,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Result<Option<T>, Error> {
        if self.text(key).is_empty() { Ok(None) } else { self.get(key, parse).map(Some) }
    }

    fn path(&self, key: Key) -> Result<PathBuf, Error> {
        Ok(self.anchored(key, self.get(key, value::path)?))
    }

    fn optional_path(&self, key: Key) -> Result<Option<PathBuf>, Error> {
        Ok(self.optional(key, value::path)?.map(|path| self.anchored(key, path)))
    }

    fn own_source(&self) -> Result<Option<OwnSource>, Error> {
        let anchored = |path: PathBuf| self.anchored(Key::Source, path);
        Ok(self.optional(Key::Source, own_source::own_source)?.map(|source| match source {
            OwnSource::Path(path) => OwnSource::Path(anchored(path)),
            OwnSource::Git(git) => match git.folder().map(|folder| anchored(folder.to_owned())) {
                // A path that is not text was none of a setting's.
                Some(folder) => {
                    OwnSource::Git(GitSource { repository: folder.display().to_string(), ..git })
                }
                None => OwnSource::Git(git),
            },
        }))
    }

    fn paths(&self, key: Key) -> Result<Vec<PathBuf>, Error> {
        let paths = self.get(key, value::paths)?;
        Ok(paths.into_iter().map(|path| self.anchored(key, path)).collect())
    }

    fn anchored(&self, key: Key, path: PathBuf) -> PathBuf {
        let base = self.sources.base(&self.given[key as usize].origin);
        sources::anchored(base, &path, &self.sources.current_dir)
    }

    fn cache_dir(&self) -> Result<PathBuf, Error> {
        let given = &self.given[Key::CacheDir as usize];
        if given.text.is_empty() && given.origin == Origin::BuiltIn {
            return Err(Error::NoCacheFolder);
        }
        self.path(Key::CacheDir)
    }

    /// Two compilers for one kernel are a mistake, wherever either is from.
    fn toolchain(&self) -> Result<Option<ToolchainRequest>, Error> {
        let found = self.optional(Key::Toolchain, toolchain::toolchain)?;
        let cc = &self.given[Key::Cc as usize];
        if found.is_none() || cc.text.is_empty() {
            return Ok(found);
        }
        let problem = format!("S1B_CC ({}) chooses a compiler, too: '{}'", cc.origin, cc.text);
        let instead = "leave one of them out; --cc '' takes back what a file says".to_owned();
        Err(self.wrong(Key::Toolchain, Wrong { problem, instead: Some(instead) }))
    }

    /// A checksum of nothing is a mistake that would else pass for a check.
    fn source_sha256(&self) -> Result<Option<Digest>, Error> {
        let digest = self.optional(Key::SourceSha256, value::sha256)?;
        let (problem, instead) = match (&digest, self.own_source()?) {
            (None, _) | (Some(_), Some(OwnSource::Path(_))) => return Ok(digest),
            (_, Some(OwnSource::Git(git))) => (
                "a git repository has none".to_owned(),
                format!("name the commit: S1B_SOURCE={}#<its whole id>", git.repository),
            ),
            (_, None) => match self.get(Key::KernelVersion, value::parsed)? {
                KernelRequest::Exact(_) => return Ok(digest),
                request => (
                    format!("{request} is another tarball tomorrow"),
                    "name the exact version, or the tarball in S1B_SOURCE".to_owned(),
                ),
            },
        };
        Err(self.wrong(Key::SourceSha256, Wrong { problem, instead: Some(instead) }))
    }
}

#[cfg(test)]
mod tests;
