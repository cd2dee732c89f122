//! What a build depends on, as values whose digests name it.

use serde::Serialize;

use crate::compile::Toolchain;
use crate::content;
use crate::digest::Digest;
use crate::kconfig;
use crate::settings::{Compression, Format, Settings, Vmlinux};
use crate::source;

/// Everything that reaches the kernel, its headers, its tools and the
/// provenance beside them.
#[derive(Debug, Serialize)]
pub struct KernelKey<'a> {
    /// Counts up when the same inputs come out otherwise than before.
    pub format: u32,
    /// The source, its digest among what is told of it.
    pub provenance: &'a source::Provenance,
    /// Name and digest of each patch, in order.
    pub patches: Vec<(&'a str, &'a Digest)>,
    /// Every layer of the configuration.
    pub config: &'a kconfig::Plan,
    /// Name and digest of each fix that the tools call for, in order.
    pub fixes: Vec<(String, Digest)>,
    /// The compiler, linker and further tools.
    pub toolchain: &'a Toolchain,
    /// What follows the version in `uname -r`.
    pub suffix: &'a str,
    /// For which processors, as make's `ARCH`.
    pub arch: &'a str,
    /// `SOURCE_DATE_EPOCH`, if it takes the place of the source's own date.
    pub epoch: Option<u64>,
    /// Checks that were turned off.
    pub insecure: Vec<&'a str>,
}

impl KernelKey<'_> {
    /// The current format.
    pub const FORMAT: u32 = 1;

    /// The digest that names the finished kernel.
    #[must_use]
    pub fn digest(&self) -> Digest {
        digest(self)
    }
}

/// Everything that reaches an ACI.
#[derive(Debug, Serialize)]
pub struct ImageKey<'a> {
    /// Counts up when the same inputs come out otherwise than before.
    pub format: u32,
    /// The kernel's key.
    pub kernel: &'a Digest,
    /// The image's name.
    pub name: &'a str,
    /// The release of rkt that it is for.
    pub upstream: String,
    /// How the file is compressed.
    pub compression: &'a str,
    /// The programs of ours that come along.
    pub programs: Digest,
    /// The uncompressed kernel, if it comes along.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vmlinux: Option<&'a str>,
}

impl<'a> ImageKey<'a> {
    /// The current format.
    pub const FORMAT: u32 = 3;

    /// The key of a kernel's image.
    #[must_use]
    pub fn new(kernel: &'a Digest, name: &'a str, settings: &Settings) -> Self {
        Self {
            format: Self::FORMAT,
            kernel,
            name,
            upstream: settings.upstream.to_string(),
            compression: settings.compression.as_str(),
            programs: content::guest_programs_digest(settings.arch),
            vmlinux: vmlinux(settings),
        }
    }

    /// The digest that names the finished image.
    #[must_use]
    pub fn digest(&self) -> Digest {
        digest(self)
    }
}

/// Everything that reaches an image of kernel and headers alone, of which
/// rkt knows nothing.
#[derive(Debug, Serialize)]
pub struct PlainKey<'a> {
    /// Counts up when the same inputs come out otherwise than before.
    pub format: u32,
    /// The kind of image.
    pub kind: &'a str,
    /// The kernel's key.
    pub kernel: &'a Digest,
    /// The image's name.
    pub name: &'a str,
    /// Whether its layer is compressed.
    pub compressed: bool,
    /// The uncompressed kernel, if it comes along.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vmlinux: Option<&'a str>,
}

impl<'a> PlainKey<'a> {
    /// The current format.
    pub const FORMAT: u32 = 3;

    /// The key of a kernel's image of this kind.
    #[must_use]
    pub fn new(kind: Format, kernel: &'a Digest, name: &'a str, settings: &Settings) -> Self {
        Self {
            format: Self::FORMAT,
            kind: kind.as_str(),
            kernel,
            name,
            // Files lie in the store as they do whatever the setting says.
            compressed: kind == Format::Dir || settings.compression != Compression::None,
            vmlinux: vmlinux(settings),
        }
    }

    /// The digest that names the finished image.
    #[must_use]
    pub fn digest(&self) -> Digest {
        digest(self)
    }
}

fn vmlinux(settings: &Settings) -> Option<&'static str> {
    (settings.vmlinux != Vmlinux::None).then(|| settings.vmlinux.as_str())
}

/// Fields are written in the order of their declaration: equal values are
/// equal bytes.
pub(super) fn digest(value: &impl Serialize) -> Digest {
    let mut writer =
        crate::digest::DigestWriter::new(crate::digest::Algorithm::Sha256, std::io::sink());
    // Writing to a sink can't fail, and neither can keys of strings.
    let written = serde_json::to_writer(&mut writer, value);
    debug_assert!(written.is_ok(), "{written:?}");
    writer.finish().1
}
