//! The JSON of images: indexes, manifests and configurations, of OCI (image
//! specification 1.1) and of docker (image manifest version 2, schema 2),
//! which differ in their media types only.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

use super::Error;
use super::process::{MountPoint, Process, variable};
use crate::digest::Digest;
use crate::settings::Arch;

/// The media types that a registry is asked for.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";
/// The annotation of a tag in a layout.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation of a whole name, by containerd.
const IMAGE_NAME: &str = "io.containerd.image.name";

/// What refers to a blob.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    #[serde(default)]
    pub(super) platform: Option<Platform>,
    #[serde(default)]
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    /// The tag, or whole name, that a layout gives it.
    pub(super) fn tag(&self) -> Option<&str> {
        let annotations = self.annotations.as_ref()?;
        annotations.get(REF_NAME).or_else(|| annotations.get(IMAGE_NAME)).map(String::as_str)
    }

    fn is_named(&self, tag: &str) -> bool {
        let annotations = self.annotations.iter().flatten();
        annotations
            .filter(|(key, _)| [REF_NAME, IMAGE_NAME].contains(&key.as_str()))
            .any(|(_, value)| value == tag)
    }
}

/// Which machines an image is for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Platform {
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(default)]
    pub(super) os: String,
}

impl Platform {
    /// Whether a guest of that architecture can run it. What is not said is
    /// taken as fitting.
    fn fits(&self, arch: Arch) -> bool {
        let said = |text: &str, wanted: &str| text.is_empty() || text == wanted;
        said(&self.os, "linux") && said(&self.architecture, arch.oci())
    }

    fn shown(&self) -> String {
        format!("{}/{}", self.os, self.architecture)
    }
}

/// A manifest, or a list of them.
pub(super) enum Document {
    Index(Vec<Descriptor>),
    Manifest(Manifest),
}

/// What an image is made of.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Manifest {
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

impl Document {
    /// Understands either; the fields tell, for media types are optional.
    pub(super) fn parse(bytes: &[u8], what: &str) -> Result<Self, Error> {
        let malformed = |error: serde_json::Error| Error::malformed(what, error);
        let mut value: Value = serde_json::from_slice(bytes).map_err(malformed)?;
        if value.get("schemaVersion").and_then(Value::as_u64) == Some(1) {
            let reason = "an image manifest of schema 1".to_owned();
            return Err(Error::Unsupported { what: what.to_owned(), reason });
        }
        if let Some(list) = value.get_mut("manifests") {
            let list = serde_json::from_value(list.take()).map_err(malformed)?;
            return Ok(Self::Index(list));
        }
        Ok(Self::Manifest(serde_json::from_value(value).map_err(malformed)?))
    }
}

/// The one of a list that is for this architecture; of several, the first.
pub(super) fn choose<'a>(
    list: &'a [Descriptor],
    arch: Arch,
    name: &str,
) -> Result<&'a Descriptor, Error> {
    // BuildKit lists its attestations for the platform unknown/unknown.
    let fits = |entry: &&Descriptor| entry.platform.as_ref().is_none_or(|p| p.fits(arch));
    list.iter().find(fits).ok_or_else(|| {
        let platforms = list.iter().filter_map(|entry| entry.platform.as_ref());
        let known = platforms.filter(|platform| platform.os != "unknown");
        no_platform(name, arch, known.map(Platform::shown).collect())
    })
}

fn no_platform(name: &str, arch: Arch, mut offered: Vec<String>) -> Error {
    offered.sort_unstable();
    offered.dedup();
    let wanted = format!("linux/{}", arch.oci());
    Error::NoPlatform { name: name.to_owned(), wanted, offered }
}

/// The entry of a layout's index that was meant, and its tag.
pub(super) fn tagged<'a>(
    list: &'a [Descriptor],
    tag: Option<&str>,
    arch: Arch,
    name: &str,
) -> Result<&'a Descriptor, Error> {
    let offered = || {
        let mut tags: Vec<_> = list.iter().filter_map(|d| d.tag().map(str::to_owned)).collect();
        tags.sort_unstable();
        tags.dedup();
        tags
    };
    let no = |reason: String| Error::NoTag { name: name.to_owned(), reason, offered: offered() };
    let Some(tag) = tag else {
        return match offered().len() {
            0 | 1 => choose(list, arch, name),
            _ => Err(no("holds several images".to_owned())),
        };
    };
    let named: Vec<Descriptor> = list.iter().filter(|d| d.is_named(tag)).cloned().collect();
    if named.is_empty() {
        return Err(no(format!("has no image '{tag}'")));
    }
    let digest = choose(&named, arch, name)?.digest.clone();
    list.iter().find(|d| d.digest == digest).ok_or_else(|| no("changed".to_owned()))
}

/// What an image says of itself.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Config {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    config: Option<Run>,
    rootfs: Rootfs,
}

#[derive(Debug, Clone, Deserialize)]
struct Rootfs {
    #[serde(default)]
    diff_ids: Vec<Digest>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Run {
    user: Option<String>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    volumes: Option<BTreeMap<String, Value>>,
    stop_signal: Option<String>,
}

impl Config {
    /// Understands the configuration of an image for this architecture.
    pub(super) fn parse(bytes: &[u8], arch: Arch, name: &str) -> Result<Self, Error> {
        let what = format!("{name}: its configuration");
        let config: Self =
            serde_json::from_slice(bytes).map_err(|error| Error::malformed(&what, error))?;
        let platform =
            Platform { architecture: config.architecture.clone(), os: config.os.clone() };
        match platform.fits(arch) {
            true => Ok(config),
            false => Err(no_platform(name, arch, vec![platform.shown()])),
        }
    }

    /// The digest of each layer's plain archive, from the lowest.
    pub(super) fn diff_ids(&self) -> &[Digest] {
        &self.rootfs.diff_ids
    }

    pub(super) fn process(&self) -> Process {
        let run = self.config.clone().unwrap_or_default();
        let volumes = run.volumes.unwrap_or_default();
        let text = |text: Option<String>| text.filter(|text| !text.is_empty());
        Process {
            entrypoint: run.entrypoint.unwrap_or_default(),
            command: run.cmd.unwrap_or_default(),
            env: run.env.unwrap_or_default().iter().map(|text| variable(text)).collect(),
            working_dir: text(run.working_dir),
            user: run.user.unwrap_or_default(),
            groups: Vec::new(),
            mounts: volumes.keys().map(|path| MountPoint::of_path(path)).collect(),
            stop_signal: text(run.stop_signal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(platforms: &[(&str, &str, &str)]) -> Vec<Descriptor> {
        let entry = |&(os, architecture, tag): &(&str, &str, &str)| Descriptor {
            media_type: String::new(),
            digest: Digest::sha256(format!("{os}{architecture}{tag}").as_bytes()),
            size: 1,
            platform: Some(Platform { architecture: architecture.into(), os: os.into() }),
            annotations: Some(BTreeMap::from([(REF_NAME.to_owned(), tag.to_owned())])),
        };
        platforms.iter().map(entry).collect()
    }

    #[test]
    fn the_platform_is_chosen_and_others_are_named() {
        let list = list(&[
            ("unknown", "unknown", "a"),
            ("linux", "arm64", "a"),
            ("windows", "amd64", "a"),
            ("linux", "amd64", "a"),
        ]);
        assert_eq!(choose(&list, Arch::X86_64, "x").unwrap(), &list[3]);
        assert_eq!(choose(&list, Arch::Arm64, "x").unwrap(), &list[1]);
        let error = choose(&list[..3], Arch::X86_64, "x").unwrap_err().to_string();
        assert_eq!(error, "x is not for linux/amd64; it is for linux/arm64, windows/amd64");
    }

    #[test]
    fn a_tag_is_needed_only_where_there_are_several() {
        let two = list(&[("linux", "amd64", "a"), ("linux", "amd64", "b")]);
        assert_eq!(tagged(&two, Some("b"), Arch::X86_64, "x").unwrap(), &two[1]);
        assert_eq!(tagged(&two[..1], None, Arch::X86_64, "x").unwrap(), &two[0]);
        let error = tagged(&two, None, Arch::X86_64, "x").unwrap_err().to_string();
        assert_eq!(error, "x: holds several images; it has a, b");
        let error = tagged(&two, Some("c"), Arch::X86_64, "x").unwrap_err().to_string();
        assert_eq!(error, "x: has no image 'c'; it has a, b");
    }

    #[test]
    fn a_configuration_says_the_process() {
        let json = br#"{"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": []},
            "config": {"User": "me:us", "Env": ["A=b=c", "D"], "Entrypoint": ["/x", "y"],
            "Cmd": null, "WorkingDir": "", "Volumes": {"/var/My_data": {}},
            "StopSignal": "SIGINT", "ExposedPorts": {"80/tcp": {}}}}"#;
        let process = Config::parse(json, Arch::X86_64, "x").unwrap().process();
        assert_eq!(process.entrypoint, ["/x", "y"]);
        assert_eq!((process.command.len(), process.working_dir), (0, None));
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(process.env, [pair("A", "b=c"), pair("D", "")]);
        assert_eq!(
            (process.user.as_str(), process.stop_signal.as_deref()),
            ("me:us", Some("SIGINT"))
        );
        assert_eq!(process.mounts[0].name, "volume-var-my-data");
        let error = Config::parse(json, Arch::Arm64, "x").unwrap_err();
        assert!(matches!(error, Error::NoPlatform { .. }), "{error}");
    }

    #[test]
    fn documents_are_told_by_their_fields() {
        let parse = |text: &str| Document::parse(text.as_bytes(), "x");
        assert!(matches!(parse(r#"{"manifests": []}"#), Ok(Document::Index(_))));
        assert!(matches!(parse(r#"{"schemaVersion": 1}"#), Err(Error::Unsupported { .. })));
        for wrong in ["", "[]", "{}", r#"{"manifests": 3}"#, r#"{"config": {}, "layers": []}"#] {
            assert!(matches!(parse(wrong), Err(Error::Malformed { .. })), "{wrong}");
        }
    }
}
