//! The documents around a layer, as bytes.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::digest::Digest;
use crate::pack::Error;
use crate::settings::{Arch, Compression, KernelVersion};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// What an image says of itself.
#[derive(Debug, Clone)]
pub struct About {
    /// The name that it is looked up by.
    pub name: String,
    /// The kernel's version.
    pub kernel: KernelVersion,
    /// `uname -r`.
    pub release: String,
    /// For which processors.
    pub arch: Arch,
}

/// A blob's place in the documents.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Platform {
    architecture: &'static str,
    os: &'static str,
}

#[derive(Serialize)]
struct Config<'a> {
    created: String,
    #[serde(flatten)]
    platform: Platform,
    config: Labels,
    rootfs: Layers<'a>,
    history: [History; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Labels {
    labels: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct Layers<'a> {
    r#type: &'static str,
    diff_ids: [&'a Digest; 1],
}

#[derive(Serialize)]
struct History {
    created: String,
    created_by: &'static str,
    comment: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    media_type: &'static str,
    config: Descriptor,
    layers: [Descriptor; 1],
    annotations: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u32,
    media_type: &'static str,
    manifests: [Descriptor; 1],
}

/// A layer as it lies in its blob.
pub(super) struct Layer<'a> {
    /// Of the uncompressed archive.
    pub(super) diff_id: &'a Digest,
    pub(super) digest: &'a Digest,
    pub(super) size: u64,
    pub(super) compression: Compression,
}

/// The finished documents.
pub(super) struct Documents {
    pub(super) config: Vec<u8>,
    pub(super) manifest: Vec<u8>,
    pub(super) index: Vec<u8>,
}

impl Documents {
    pub(super) fn new(about: &About, layer: &Layer<'_>, epoch: u64) -> Result<Self, Error> {
        let platform = Platform { architecture: about.arch.oci(), os: "linux" };
        let annotations = about.annotations(epoch);
        let created = date(epoch);
        let config = json(&Config {
            created: created.clone(),
            platform,
            config: Labels { labels: annotations.clone() },
            rootfs: Layers { r#type: "layers", diff_ids: [layer.diff_id] },
            history: [History {
                created,
                created_by: "stage1-builder",
                comment: format!("Linux {}", about.release),
            }],
        })?;
        let layer_type = match layer.compression {
            Compression::None => LAYER.to_owned(),
            Compression::Gzip | Compression::Xz => format!("{LAYER}+gzip"),
        };
        let manifest = json(&Manifest {
            schema_version: 2,
            media_type: MANIFEST,
            config: Descriptor::of(CONFIG, &config),
            layers: [Descriptor::new(&layer_type, layer.digest.clone(), layer.size)],
            annotations: annotations.clone(),
        })?;
        let tag = BTreeMap::from([("org.opencontainers.image.ref.name", about.tag())]);
        let entry = Descriptor {
            platform: Some(platform),
            annotations: tag.into_iter().chain(annotations).collect(),
            ..Descriptor::of(MANIFEST, &manifest)
        };
        let index = json(&Index { schema_version: 2, media_type: INDEX, manifests: [entry] })?;
        Ok(Self { config, manifest, index })
    }
}

impl Descriptor {
    fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        let (media_type, platform) = (media_type.to_owned(), None);
        Self { media_type, digest, size, platform, annotations: BTreeMap::new() }
    }

    fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::sha256(bytes), bytes.len() as u64)
    }
}

impl About {
    /// The tag in the layout's index.
    fn tag(&self) -> String {
        self.kernel.to_string()
    }

    /// The specification's own keys ("Annotations"), and ours.
    fn annotations(&self, epoch: u64) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("org.opencontainers.image.created", date(epoch)),
            (
                "org.opencontainers.image.description",
                format!("Linux {}, with its headers, to be booted in a VM", self.release),
            ),
            // The kernel's own COPYING, as SPDX says it.
            (
                "org.opencontainers.image.licenses",
                "GPL-2.0-only WITH Linux-syscall-note".to_owned(),
            ),
            ("org.opencontainers.image.title", format!("Linux {}", self.kernel)),
            ("org.opencontainers.image.version", self.kernel.to_string()),
            ("io.kinvolk.stage1-builder.name", self.name.clone()),
            ("io.kinvolk.stage1-builder.kernel.version", self.kernel.to_string()),
            ("io.kinvolk.stage1-builder.kernel.release", self.release.clone()),
        ])
    }
}

/// As RFC 3339 writes it.
fn date(epoch: u64) -> String {
    let second = i64::try_from(epoch).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    second.unwrap_or(jiff::Timestamp::MAX).to_string()
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(Error::Manifest)?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_rfc_3339() {
        assert_eq!(date(0), "1970-01-01T00:00:00Z");
        assert_eq!(date(1_700_000_000), "2023-11-14T22:13:20Z");
        assert!(date(u64::MAX).starts_with("9999-12-"));
    }
}
