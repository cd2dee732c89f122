//! What an image of one layer says of itself, and whether its parts are those
//! that are named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::Value;

use super::{About, layout};
use crate::digest::{Algorithm, Digest};
use crate::pack::Error;
use crate::settings::Arch;

/// The labels of an image, and what its documents are.
#[derive(Debug)]
pub struct Said {
    /// All labels of its configuration.
    pub labels: BTreeMap<String, String>,
    /// What the labels say, if it is an image of ours.
    pub about: Option<About>,
    /// Its architecture, by the configuration.
    pub arch: Option<Arch>,
    /// The digest of the uncompressed layer, by the configuration.
    pub diff_id: Option<Digest>,
    /// What is not as it is named; one line each.
    pub wrong: Vec<String>,
}

impl Said {
    /// Reads the documents of a layout; gives the layer's file and the image's
    /// id, too.
    ///
    /// # Errors
    /// When a document is absent or none.
    pub(in crate::pack) fn read(layout: &Path) -> Result<(Self, PathBuf, Digest), Error> {
        let mut wrong = Vec::new();
        let index = parsed(&fs::read(layout.join("index.json")).map_err(Error::Read)?)?;
        let entry = &index["manifests"][0];
        let (manifest, _) = blob(layout, &entry["digest"], "manifest", &mut wrong)?;
        let manifest = parsed(&manifest)?;
        let (config, id) =
            blob(layout, &manifest["config"]["digest"], "configuration", &mut wrong)?;
        let config = parsed(&config)?;
        let layers = manifest["layers"].as_array().map_or(0, Vec::len);
        if layers != 1 {
            return Err(Error::NotAnImage { why: "it has not one layer, as a kernel's has" });
        }
        let named = digest(&manifest["layers"][0]["digest"])?;
        let layer = layout::blob(layout, &named);
        if Digest::sha256_of_file(&layer).map_err(Error::Read)? != named {
            wrong.push("the layer's bytes are not those that its name says".to_owned());
        }
        let labels = pairs(&config["config"]["Labels"]);
        for (what, others) in
            [("manifest", &manifest["annotations"]), ("index", &entry["annotations"])]
        {
            let others = pairs(others);
            let differs = |(name, value): &(&String, &String)| {
                others.get(*name).is_some_and(|other| other != *value)
            };
            wrong.extend(labels.iter().filter(differs).map(|(name, value)| {
                format!("{name} is '{value}' in the configuration, and another in the {what}")
            }));
        }
        let arch = config["architecture"].as_str();
        let arch = Arch::ALL.into_iter().find(|one| Some(one.oci()) == arch);
        let diff_id = digest(&config["rootfs"]["diff_ids"][0]).ok();
        let about = arch.and_then(|arch| about(&labels, arch));
        Ok((Self { labels, about, arch, diff_id, wrong }, layer, id))
    }
}

fn about(labels: &BTreeMap<String, String>, arch: Arch) -> Option<About> {
    let label = |name: &str| labels.get(&format!("io.kinvolk.stage1-builder.{name}"));
    Some(About {
        name: label("name")?.clone(),
        kernel: label("kernel.version")?.parse().ok()?,
        release: label("kernel.release")?.clone(),
        arch,
    })
}

fn pairs(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().into_iter().flatten();
    let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    pairs.filter_map(text).collect()
}

/// A document's bytes and the digest that names it.
fn blob(
    layout: &Path,
    named: &Value,
    what: &str,
    wrong: &mut Vec<String>,
) -> Result<(Vec<u8>, Digest), Error> {
    let named = digest(named)?;
    let bytes = fs::read(layout::blob(layout, &named)).map_err(Error::Read)?;
    if Digest::sha256(&bytes) != named {
        wrong.push(format!("the {what}'s bytes are not those that its name says"));
    }
    Ok((bytes, named))
}

/// The SHA-256 that a document names something by.
pub(super) fn digest(value: &Value) -> Result<Digest, Error> {
    let hex = value.as_str().and_then(|text| text.strip_prefix("sha256:"));
    let digest = hex.and_then(|hex| Digest::from_hex(Algorithm::Sha256, hex));
    digest.ok_or(Error::NotAnImage { why: "its documents name no sha256 where one is due" })
}

fn parsed(bytes: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(bytes).map_err(Error::Manifest)
}
