//! What a build depends on, as values whose digests name it.

use serde::Serialize;

use crate::compile::{Toolchain, fixes};
use crate::digest::Digest;
use crate::kconfig;
use crate::settings::Settings;
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
    /// All that could be applied to an old source, and what of it the tools
    /// call for.
    pub fixes: fixes::Identity,
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

/// Everything that reaches the image.
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
}

impl<'a> ImageKey<'a> {
    /// The current format.
    pub const FORMAT: u32 = 1;

    /// The key of a kernel's image.
    #[must_use]
    pub fn new(kernel: &'a Digest, settings: &'a Settings, programs: Digest) -> Self {
        Self {
            format: Self::FORMAT,
            kernel,
            name: &settings.image_name,
            upstream: settings.upstream.to_string(),
            compression: settings.compression.as_str(),
            programs,
        }
    }

    /// The digest that names the finished image.
    #[must_use]
    pub fn digest(&self) -> Digest {
        digest(self)
    }
}

/// Fields are written in the order of their declaration: equal values are
/// equal bytes.
fn digest(value: &impl Serialize) -> Digest {
    let mut writer =
        crate::digest::DigestWriter::new(crate::digest::Algorithm::Sha256, std::io::sink());
    // Writing to a sink can't fail, and neither can keys of strings.
    let written = serde_json::to_writer(&mut writer, value);
    debug_assert!(written.is_ok(), "{written:?}");
    writer.finish().1
}
