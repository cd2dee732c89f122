use std::path::Path;

use crate::compile::{self, Toolchain, Wanted};
use crate::content;
use crate::digest::Digest;
use crate::fsutil::{self, Hold};
use crate::kconfig;
use crate::report::Reporter;
use crate::settings::{
    Arch, Format, Insecure, KernelRequest, KernelVersion, Key, Origin, OwnSource, ProviderName,
    Settings, Vmlinux,
};
use crate::source::{self, CrossTools, Patch, Patience, Provider, Source};
use crate::store::Store;

use super::Error;
use super::kernel;
use super::key::KernelKey;
use super::planned::{self, PlannedImage};
use super::toolchain;

/// The change that every kernel of a stage1 image needs: systemd ends a pod
/// with a halt, and a halted machine is one that hangs for ever.
const RESTART: (&str, &[u8]) =
    ("reboot-on-halt.patch", include_bytes!("../../fixes/patches/reboot-on-halt.patch"));

/// What will be built and of what, known before anything is done.
#[derive(Debug)]
pub struct BuildPlan {
    /// Which kernel.
    pub version: KernelVersion,
    /// Where its source is.
    pub source: Source,
    /// The patches, in order, but for those of the fixes, on which the tree
    /// decides.
    pub patches: Vec<Patch>,
    /// The layers of its configuration, but for those of the fixes.
    pub config: kconfig::Plan,
    /// Whether the kernel has BTF.
    pub btf: bool,
    /// What `uname -r` says after the version.
    pub suffix: String,
    /// What compiles it.
    pub toolchain: Toolchain,
    /// Every input of the keys, for people to read.
    pub inputs: serde_json::Value,
    /// Names the finished kernel.
    pub kernel_key: Digest,
    /// An image of each format, whether it is asked for or not.
    pub images: Vec<PlannedImage>,
    /// Keeps the source's archive and the toolchain in the store.
    _held: [Option<Hold>; 2],
}

impl BuildPlan {
    /// What `uname -r` says.
    #[must_use]
    pub fn release(&self) -> String {
        format!("{}{}", self.version.release(), self.suffix)
    }

    /// The images of these formats, in their order.
    #[must_use]
    pub fn of(&self, formats: &[Format]) -> Vec<&PlannedImage> {
        planned::of(&self.images, formats)
    }

    /// All that is known before anything is done, for people and programs.
    #[must_use]
    pub fn explain(&self, formats: &[Format]) -> serde_json::Value {
        serde_json::json!({
            "version": self.version,
            "kernel_key": self.kernel_key,
            "images": self.of(formats),
            "inputs": self.inputs,
        })
    }
}

/// Finds out what will be built, fetching the source if it is not there.
///
/// # Errors
/// When no provider has the version, the source can't be verified, a patch
/// or a configuration can't be read, or the host lacks a tool.
pub fn plan(
    settings: &Settings,
    store: &Store,
    refresh: bool,
    reporter: &dyn Reporter,
) -> Result<BuildPlan, Error> {
    planning(settings, store, refresh, None, reporter)
}

/// The same for who will want the source's tree: it is unpacked while it
/// comes, where it will be worked on.
pub(super) fn plan_for_work(
    settings: &Settings,
    store: &Store,
    refresh: bool,
    reporter: &dyn Reporter,
) -> Result<BuildPlan, Error> {
    planning(settings, store, refresh, Some(&kernel::workspaces(settings, store)), reporter)
}

fn planning(
    settings: &Settings,
    store: &Store,
    refresh: bool,
    ahead: Option<&Path>,
    reporter: &dyn Reporter,
) -> Result<BuildPlan, Error> {
    let of_stage1 = settings.formats.contains(&Format::Aci);
    content::check(settings.upstream, of_stage1.then_some(settings.arch))?;
    let places = Places::new(settings, store);
    let options = source::Options { ahead, ..places.options(settings, refresh) };
    let resolved = source::resolve(request(settings), &options, reporter)?;
    of_resolved(settings, store, &resolved, &options, reporter)
}

/// The plan of a kernel that is found already. What is fetched is unpacked
/// while it comes if the options say where.
pub(super) fn of_resolved(
    settings: &Settings,
    store: &Store,
    resolved: &source::Resolved,
    options: &source::Options<'_>,
    reporter: &dyn Reporter,
) -> Result<BuildPlan, Error> {
    if let Some(folder) = options.ahead {
        // What a killed run unpacked: nobody else may come by to remove it.
        fsutil::sweep(folder);
    }
    let version = resolved.version;
    settings.release(version, "")?;
    let config = config(settings, &version)?;
    check_vmlinux(settings, &config)?;
    let tools = toolchain::fetched(settings, version, &config, store, options, reporter)?;
    let toolchain = Toolchain::detect(&wanted(settings, version, &config, tools.as_ref()))?;
    if !source::is_here(resolved, options)? {
        super::tools::check(settings, version, &config)?;
    }
    let patches = patches(settings, options, reporter)?;
    let source = source::fetch(resolved, options, reporter)?;
    assemble(settings, Parts { version, source, patches, config, toolchain })
}

/// Debug information that nobody asked the compiler for is not there.
fn check_vmlinux(settings: &Settings, config: &kconfig::Plan) -> Result<(), Error> {
    if settings.vmlinux != Vmlinux::Debug || DEBUG_INFO.iter().any(|name| config.asks_for(name)) {
        return Ok(());
    }
    Err(Error::Usage {
        problem: "S1B_VMLINUX=debug: the configuration has no debug information".to_owned(),
        hint: "add it with --features btf, or take --vmlinux stripped".to_owned(),
    })
}

/// The symbols that ask for debug information; from 5.18 on it is a choice
/// (`lib/Kconfig.debug`).
const DEBUG_INFO: [&str; 4] =
    ["DEBUG_INFO", "DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT", "DEBUG_INFO_DWARF4", "DEBUG_INFO_DWARF5"];

/// Which kernel is asked for. With a source of the user's own, the project's
/// default says nothing: a version counts only if the user gave it, too.
fn request(settings: &Settings) -> KernelRequest {
    // Of a local source, this accepts whatever it is.
    let any = KernelRequest::Stable;
    let by_default = by_default(settings, Key::KernelVersion);
    if settings.source.is_some() && by_default { any } else { settings.kernel }
}

/// Whether a setting has the project's own value, which nobody chose.
pub(super) fn by_default(settings: &Settings, key: Key) -> bool {
    match &settings.origin(key).origin {
        Origin::BuiltIn => true,
        Origin::File { path, .. } => path.file_name() == Some("builder-config".as_ref()),
        Origin::Environment | Origin::Flag => false,
    }
}

/// What a build of this version needs of the host.
pub(super) fn wanted<'a>(
    settings: &'a Settings,
    version: KernelVersion,
    config: &kconfig::Plan,
    tools: Option<&'a CrossTools>,
) -> Wanted<'a> {
    // An Image of arm64 is not compressed.
    let compresses = settings.arch == Arch::X86_64;
    let mut chosen = COMPRESSORS.iter().filter(|(symbol, _)| config.asks_for(symbol));
    let compressor = chosen.next().filter(|_| compresses);
    Wanted {
        cc: settings.cc.as_deref(),
        from_archive: settings.toolchain.is_some(),
        tools,
        launcher: settings.compiler_launcher.as_deref(),
        compressor: compressor.map_or("gzip", |(_, program)| program),
        btf: config.asks_for(BTF),
        openssl: compile::SIGNS.iter().any(|name| config.asks_for(name)),
        ..Wanted::new(version.series(), settings.arch)
    }
}

/// The symbol of type information.
const BTF: &str = "DEBUG_INFO_BTF";

/// The choice of the kernel's compression (`init/Kconfig`) and the programs
/// that `scripts/Makefile.lib` calls for it; gzip is Kconfig's default.
const COMPRESSORS: [(&str, &str); 6] = [
    ("KERNEL_LZ4", "lz4"),
    ("KERNEL_XZ", "xz"),
    ("KERNEL_ZSTD", "zstd"),
    ("KERNEL_BZIP2", "bzip2"),
    ("KERNEL_LZMA", "xz"),
    ("KERNEL_LZO", "lzop"),
];

/// Folders and lists that the source room's options point into.
pub(super) struct Places<'a> {
    downloads: std::path::PathBuf,
    state: std::path::PathBuf,
    sources: Vec<Provider>,
    own: Option<&'a OwnSource>,
}

impl<'a> Places<'a> {
    pub(super) fn new(settings: &'a Settings, store: &Store) -> Self {
        let provider = |name: &ProviderName| match name {
            ProviderName::KernelOrg => Provider::KernelOrg,
            ProviderName::Debian => Provider::Debian,
        };
        Self {
            downloads: store.downloads(),
            state: store.apt_state(),
            sources: settings.kernel_sources.iter().map(provider).collect(),
            own: settings.source.as_ref(),
        }
    }

    pub(super) fn options(&'a self, settings: &'a Settings, refresh: bool) -> source::Options<'a> {
        source::Options {
            sources: &self.sources,
            kernel_org_url: &settings.kernel_org_url,
            releases_url: &settings.kernel_org_releases_url,
            snapshot_url: &settings.kernel_org_snapshot_url,
            wkd_url: &settings.kernel_org_wkd_url,
            keyring: settings.keyring.as_deref(),
            sha256: settings.source_sha256.as_ref(),
            insecure_source: settings.insecure.contains(&Insecure::Source),
            downloads: &self.downloads,
            state: &self.state,
            own: self.own,
            refresh,
            ahead: None,
            patience: Patience::default(),
        }
    }
}

/// The layers of the configuration that don't depend on the tree.
pub(super) fn config(settings: &Settings, version: &KernelVersion) -> Result<kconfig::Plan, Error> {
    let own = kconfig::find_user_config(&settings.config_dir, version)?;
    let own = own.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
    let list =
        |names: &std::collections::BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>();
    let (on, off) = (list(&settings.features.enable), list(&settings.features.disable));
    Ok(kconfig::fragments(version, (&on, &off), own, users(settings)?)?)
}

/// What the user lays over the features: files, then single symbols.
fn users(settings: &Settings) -> Result<Vec<kconfig::Fragment>, Error> {
    let mut layers = Vec::new();
    for path in &settings.config_fragments {
        layers.push(kconfig::Fragment::load(path)?);
    }
    if !settings.config_items.is_empty() {
        let name = Key::ConfigItem.name();
        layers.push(kconfig::Fragment::parse(name, &settings.config_items.join("\n"))?);
    }
    Ok(layers)
}

/// The restart change, then the user's files, then the user's URLs.
fn patches(
    settings: &Settings,
    options: &source::Options<'_>,
    reporter: &dyn Reporter,
) -> Result<Vec<Patch>, Error> {
    let (name, text) = RESTART;
    let mut patches = vec![Patch::new(name, text.to_vec())];
    for path in &settings.extra_patch_files {
        patches.push(source::patch_file(path)?);
    }
    let unchecked = settings.insecure.contains(&Insecure::Patch);
    for url in &settings.extra_patch_urls {
        patches.push(source::patch_url(url, unchecked, options, reporter)?);
    }
    Ok(patches)
}

struct Parts {
    version: KernelVersion,
    source: Source,
    patches: Vec<Patch>,
    config: kconfig::Plan,
    toolchain: Toolchain,
}

fn assemble(settings: &Settings, parts: Parts) -> Result<BuildPlan, Error> {
    let Parts { version, source, patches, config, toolchain } = parts;
    settings.release(version, source.mark())?;
    let suffix = format!("{}{}", settings.suffix, source.mark());
    let fixes = compile::fixes::identity(&toolchain, settings.arch)?;
    let kernel = KernelKey {
        format: KernelKey::FORMAT,
        provenance: source.provenance(),
        patches: patches.iter().map(|patch| (patch.name(), patch.digest())).collect(),
        config: &config,
        fixes,
        toolchain: &toolchain,
        suffix: &suffix,
        arch: settings.arch.kernel(),
        epoch: settings.source_date_epoch,
        insecure: settings.insecure.iter().map(|option| option.as_str()).collect(),
    };
    let kernel_key = kernel.digest();
    let linux = version.to_string();
    let (images, of_images) = planned::all(&kernel_key, &settings.image_name, &linux, settings);
    let inputs = serde_json::json!({ "kernel": kernel, "images": of_images });
    Ok(BuildPlan {
        version,
        patches,
        btf: config.asks_for(BTF),
        inputs,
        suffix,
        kernel_key,
        images,
        config: config.clone(),
        toolchain: toolchain.clone(),
        _held: [
            match &source {
                Source::Tarball(archive) => Hold::of(&archive.path),
                Source::Tree(_) => None,
            },
            toolchain.tools.as_ref().and_then(|tools| Hold::of(&tools.folder)),
        ],
        source: source.clone(),
    })
}
