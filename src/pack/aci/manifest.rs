//! The image manifest of the appc specification, as far as a stage1 has one.

use serde::{Deserialize, Serialize};

use crate::content::Upstream;
use crate::pack::Error;
use crate::settings::{Arch, KernelVersion, RktVersion};

/// The name that images get unless the user says another.
pub const DEFAULT_NAME: &str = "kinvolk.io/aci/rkt/stage1-kvm";
/// The image that ours depends on.
const PARENT: &str = "coreos.com/rkt/stage1-kvm";

/// A name with its value: a label or an annotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameValue {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// An image that another one is laid over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// Its name.
    pub image_name: String,
    /// What its labels must be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<NameValue>,
}

/// An image manifest (appc specification 0.8, "Image Manifest Schema").
/// Reading takes and drops what a stage1 has no use for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always `ImageManifest`.
    pub ac_kind: String,
    /// The version of the specification.
    pub ac_version: String,
    /// The image's name.
    pub name: String,
    /// Labels: what a look-up by name can ask for.
    #[serde(default)]
    pub labels: Vec<NameValue>,
    /// Annotations: where rkt finds the stage1's entry points.
    #[serde(default)]
    pub annotations: Vec<NameValue>,
    /// The images that this one is laid over.
    #[serde(default)]
    pub dependencies: Vec<Dependency>,
}

impl Manifest {
    /// The manifest of a kernel for this release of rkt.
    ///
    /// # Errors
    /// When the release is unknown or `name` is no image name.
    pub fn stage1_kvm(
        name: &str,
        upstream: RktVersion,
        kernel: &KernelVersion,
        arch: Arch,
    ) -> Result<Self, Error> {
        let upstream = Upstream::of(upstream).map_err(Error::Content)?;
        if !is_image_name(name) {
            return Err(Error::ImageName { name: name.to_owned() });
        }
        let version = upstream.version.to_string();
        let os = pair("os", "linux");
        let arch = pair("arch", arch.appc());
        let version = pair("version", version);
        let kernel = pair("kernelversion", kernel.to_string());
        Ok(Self {
            ac_kind: "ImageManifest".into(),
            ac_version: upstream.ac_version.into(),
            name: name.to_owned(),
            labels: vec![arch.clone(), os.clone(), version.clone(), kernel],
            annotations: annotations(upstream),
            dependencies: vec![Dependency {
                image_name: PARENT.into(),
                labels: vec![os, arch, version],
            }],
        })
    }

    /// The value of a label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|label| label.name == name).map(|label| label.value.as_str())
    }

    /// The manifest as it stands in an image: indented, with a line feed.
    ///
    /// # Errors
    /// Never in practice: there is nothing in it that JSON can't say.
    pub fn to_json(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(Error::Manifest)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// When it is no JSON, lacks a field, or is of another kind.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(Error::Manifest)?;
        match manifest.ac_kind == "ImageManifest" && is_image_name(&manifest.name) {
            true => Ok(manifest),
            false => Err(Error::NotAManifest { kind: manifest.ac_kind, name: manifest.name }),
        }
    }
}

/// rkt reads these from the top image only, so they are not the parent's to
/// say.
fn annotations(upstream: &Upstream) -> Vec<NameValue> {
    let app = |verb: &str| format!("/app{}{verb}", upstream.app_separator);
    let mut annotations: Vec<(&str, String)> = vec![
        ("run", "/init".into()),
        ("enter", "/enter_kvm".into()),
        ("gc", "/gc".into()),
        ("stop", "/stop_kvm".into()),
        ("app/add", app("add")),
        ("app/rm", app("rm")),
        ("app/start", app("start")),
        ("app/stop", app("stop")),
    ];
    if upstream.attach {
        annotations.push(("attach", "/attach".into()));
    }
    annotations.push(("interface-version", upstream.interface_version.to_string()));
    annotations
        .into_iter()
        .map(|(name, value)| pair(&format!("coreos.com/rkt/stage1/{name}"), value))
        .collect()
}

fn pair(name: &str, value: impl Into<String>) -> NameValue {
    NameValue { name: name.to_owned(), value: value.into() }
}

/// `^[a-z0-9]+([-._~/][a-z0-9]+)*$`, the specification's "AC Identifier".
#[must_use]
pub fn is_image_name(name: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    name.split(['-', '.', '_', '~', '/']).all(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::UPSTREAMS;

    fn manifest(upstream: RktVersion) -> Manifest {
        let kernel = KernelVersion::new(6, 12, 0);
        Manifest::stage1_kvm(DEFAULT_NAME, upstream, &kernel, Arch::X86_64).unwrap()
    }

    #[test]
    fn each_upstream_has_its_labels_annotations_and_dependency() {
        for upstream in UPSTREAMS {
            let version = upstream.version.to_string();
            let manifest = manifest(upstream.version);
            let labels: Vec<_> =
                manifest.labels.iter().map(|l| (l.name.as_str(), l.value.as_str())).collect();
            assert_eq!(
                labels,
                [
                    ("arch", "amd64"),
                    ("os", "linux"),
                    ("version", version.as_str()),
                    ("kernelversion", "6.12.0")
                ]
            );
            let [parent] = manifest.dependencies.as_slice() else { panic!("{version}") };
            assert_eq!(parent.image_name, "coreos.com/rkt/stage1-kvm");
            assert_eq!(parent.labels.len(), 3);
            assert!(parent.labels.iter().all(|label| manifest.labels.contains(label)));
            let value = |name: &str| {
                let name = format!("coreos.com/rkt/stage1/{name}");
                manifest.annotations.iter().find(|a| a.name == name).map(|a| a.value.as_str())
            };
            let old = upstream.version < RktVersion { major: 1, minor: 23, patch: 0 };
            let attach = upstream.version >= RktVersion { major: 1, minor: 24, patch: 0 };
            assert_eq!(value("run"), Some("/init"));
            assert_eq!(value("enter"), Some("/enter_kvm"));
            assert_eq!(value("gc"), Some("/gc"));
            assert_eq!(value("stop"), Some("/stop_kvm"));
            assert_eq!(value("app/add"), Some(if old { "/app-add" } else { "/app_add" }));
            assert_eq!(value("app/rm"), Some(if old { "/app-rm" } else { "/app_rm" }));
            assert_eq!(value("app/start"), Some(if old { "/app-start" } else { "/app_start" }));
            assert_eq!(value("app/stop"), Some(if old { "/app-stop" } else { "/app_stop" }));
            assert_eq!(value("attach"), attach.then_some("/attach"));
            assert_eq!(manifest.annotations.len(), 9 + usize::from(attach));
        }
    }

    #[test]
    fn names_follow_the_specification() {
        for name in [DEFAULT_NAME, "a", "example.com/my-kernel_1~x/0"] {
            assert!(is_image_name(name), "{name}");
        }
        for name in ["", "A", "a/", "/a", "a..b", "a b", "a:1", "ä", "a-"] {
            assert!(!is_image_name(name), "{name}");
            let kernel = KernelVersion::new(4, 9, 6);
            let upstream = UPSTREAMS[0].version;
            let error = Manifest::stage1_kvm(name, upstream, &kernel, Arch::X86_64).unwrap_err();
            assert!(matches!(error, Error::ImageName { .. }), "{name}");
        }
    }

    #[test]
    fn a_manifest_comes_back_and_others_are_refused() {
        let manifest = manifest(UPSTREAMS[3].version);
        assert_eq!(Manifest::from_json(&manifest.to_json().unwrap()).unwrap(), manifest);
        let more =
            br#"{"acKind":"ImageManifest","acVersion":"0.8.1","name":"a","app":{"exec":[]}}"#;
        assert_eq!(Manifest::from_json(more).unwrap().name, "a");
        for wrong in [&b""[..], b"[]", br#"{"acKind":"PodManifest","acVersion":"1","name":"a"}"#] {
            assert!(Manifest::from_json(wrong).is_err());
        }
    }
}
