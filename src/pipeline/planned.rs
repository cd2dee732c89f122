//! The images that can be made of one kernel: their names and keys, and what
//! they say of it, whoever has built it.

use serde::Serialize;

use crate::digest::Digest;
use crate::settings::{Arch, Format, KernelVersion, RktVersion, Settings};
use crate::source::Provenance;
use crate::store::Record;
use crate::{content, pack};

use super::Error;
use super::key::{ImageKey, PlainKey};

/// An image that can be made of the kernel.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedImage {
    /// Its format.
    pub format: Format,
    /// Its file or folder's name.
    pub file: String,
    /// Names the finished image.
    pub key: Digest,
}

/// The images of these formats, in their order.
pub(super) fn of<'a>(images: &'a [PlannedImage], formats: &[Format]) -> Vec<&'a PlannedImage> {
    let of = |format: &Format| images.iter().find(|image| image.format == *format);
    formats.iter().filter_map(of).collect()
}

/// An image of each format of the kernel `linux`, whether it is asked for or
/// not; and every input of their keys, for people to read. Images for several
/// architectures have room beside each other in a folder.
pub(super) fn all(
    kernel_key: &Digest,
    name: &str,
    linux: &str,
    settings: &Settings,
) -> (Vec<PlannedImage>, serde_json::Value) {
    let aci = ImageKey::new(kernel_key, name, settings);
    let plain = |format| PlainKey::new(format, kernel_key, name, settings);
    let (oci, dir) = (plain(Format::Oci), plain(Format::Dir));
    let image = |format, file, key| PlannedImage { format, file, key };
    let linux = format!("linux-{linux}{}", settings.arch.of_file());
    let stage1 = format!("stage1-kvm-{}-{linux}.aci", settings.upstream);
    let images = vec![
        image(Format::Aci, stage1, aci.digest()),
        image(Format::Oci, format!("{linux}.oci"), oci.digest()),
        image(Format::Dir, linux, dir.digest()),
    ];
    (images, serde_json::json!({ "aci": aci, "oci": oci, "dir": dir }))
}

/// A kernel as its images speak of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    /// The images' name.
    pub(super) name: &'a str,
    pub(super) version: KernelVersion,
    pub(super) release: &'a str,
    pub(super) arch: Arch,
    /// The release of rkt that an ACI is for.
    pub(super) upstream: RktVersion,
    /// Where the kernel is from.
    pub(super) source: &'a Provenance,
}

impl Subject<'_> {
    /// What a format says of the image.
    pub(super) fn kind(&self, format: Format) -> Result<pack::Kind, Error> {
        Ok(match format {
            Format::Aci => pack::Kind::Aci {
                manifest: self.manifest()?,
                form: content::Form::stage1(self.upstream)?,
            },
            Format::Oci => pack::Kind::Oci(pack::oci::About {
                name: self.name.to_owned(),
                kernel: self.version,
                release: self.release.to_owned(),
                arch: self.arch,
            }),
            Format::Dir => pack::Kind::Dir,
        })
    }

    /// What the store is to know of it.
    pub(super) fn record(&self, format: Format, packed: pack::Packed) -> Result<Record, Error> {
        let labels = self.manifest()?.labels.into_iter();
        // Only an ACI is for one release of rkt.
        let fits = |name: &str| format == Format::Aci || name != "version";
        let labels = labels.filter(|label| fits(&label.name));
        Ok(Record {
            format,
            id: packed.id,
            file: packed.file,
            size: packed.file_size,
            name: self.name.to_owned(),
            kernel: self.version.to_string(),
            release: self.release.to_owned(),
            labels: labels.map(|label| (label.name, label.value)).collect(),
            source: format!("{} {}", self.source.provider, self.source.name),
        })
    }

    fn manifest(&self) -> Result<pack::aci::Manifest, Error> {
        let Self { name, upstream, version, arch, .. } = self;
        Ok(pack::aci::Manifest::stage1_kvm(name, *upstream, version, *arch)?)
    }
}
