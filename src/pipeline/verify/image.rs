//! An image and what it says of itself, read once.

use std::path::Path;

use crate::content::{self, CONFIG, Content, KERNEL, MODULES, Node, STAGE1_MODULES};
use crate::kconfig::DotConfig;
use crate::pack::aci::Manifest;
use crate::pack::{self, Said};
use crate::settings::{Arch, KernelVersion, RktVersion};
use crate::vm;

/// The names that rkt's releases know for the kernel, and everybody else's.
const KERNELS: [&str; 3] = ["kernel_image", "bzImage", KERNEL];

/// An image in memory.
#[derive(Debug)]
pub(in crate::pipeline) struct Image {
    pub(in crate::pipeline) whole: pack::Whole,
    /// The kernel's file name in the image.
    pub(in crate::pipeline) kernel_file: Option<&'static str>,
    /// The kernel, not compressed.
    pub(super) vmlinux: Option<Vec<u8>>,
    /// What the kernel says it is.
    pub(in crate::pipeline) release: Option<String>,
    /// The one folder below that of all modules.
    pub(super) folder: Option<String>,
}

impl Image {
    /// Reads it.
    pub(in crate::pipeline) fn load(file: &Path) -> Result<Self, pack::Error> {
        let whole = pack::Whole::load(file)?;
        let mut image =
            Self { whole, kernel_file: None, vmlinux: None, release: None, folder: None };
        image.kernel_file = KERNELS.into_iter().find(|name| image.file(name).is_some());
        if let Some(kernel) = image.kernel_file.and_then(|name| image.file(name)) {
            let release = content::release_in(std::io::Cursor::new(kernel));
            let vmlinux = vm::kernel_proper(kernel);
            (image.release, image.vmlinux) = (release.ok().flatten(), vmlinux);
        }
        image.folder = image.modules_folder();
        Ok(image)
    }

    /// Its id, as the build prints it.
    pub(in crate::pipeline) fn id(&self) -> String {
        self.whole.id.appc()
    }

    /// The bytes of a file.
    pub(in crate::pipeline) fn file(&self, path: &str) -> Option<&[u8]> {
        match self.whole.rootfs.resolve(path)? {
            Node::File { content: Content::Bytes(bytes), .. } => Some(bytes),
            _ => None,
        }
    }

    /// The bytes of a file of the modules folder.
    pub(in crate::pipeline) fn module_file(&self, name: &str) -> Option<&[u8]> {
        self.file(&format!("{}/{name}", self.base()?))
    }

    /// The modules folder's path.
    pub(in crate::pipeline) fn base(&self) -> Option<String> {
        Some(format!("{}/{}", self.modules_root(), self.folder.as_ref()?))
    }

    /// Where modules folders are in an image of its format.
    pub(in crate::pipeline) fn modules_root(&self) -> &'static str {
        match &self.whole.said {
            Said::Aci(_) => STAGE1_MODULES,
            Said::Oci(_) | Said::Files => MODULES,
        }
    }

    /// The manifest of an ACI.
    pub(in crate::pipeline) fn manifest(&self) -> Option<&Manifest> {
        match &self.whole.said {
            Said::Aci(manifest) => Some(manifest),
            Said::Oci(_) | Said::Files => None,
        }
    }

    /// The configuration beside the modules.
    pub(in crate::pipeline) fn config(&self) -> Option<DotConfig> {
        DotConfig::parse("config", &self.config_text()?).ok()
    }

    pub(super) fn config_bytes(&self) -> Option<&[u8]> {
        self.module_file("config").or_else(|| self.file(CONFIG))
    }

    pub(super) fn config_text(&self) -> Option<String> {
        Some(String::from_utf8_lossy(self.config_bytes()?).into_owned())
    }

    pub(in crate::pipeline) fn provenance(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(self.module_file("provenance.json")?).ok()
    }

    /// Whether somebody else has compiled it.
    pub(super) fn prebuilt(&self) -> bool {
        self.provenance().is_some_and(|provenance| provenance["prebuilt"].is_array())
    }

    /// The release of rkt that it is for.
    pub(super) fn upstream(&self) -> Option<RktVersion> {
        self.manifest()?.label("version")?.parse().ok()
    }

    /// The kernel's version, as labelled; plain files have no other label than
    /// their provenance.
    pub(super) fn version(&self) -> Option<KernelVersion> {
        match &self.whole.said {
            Said::Aci(manifest) => manifest.label("kernelversion")?.parse().ok(),
            Said::Oci(said) => said.about.as_ref().map(|about| about.kernel),
            Said::Files => self.provenance()?["kernel"]["version"].as_str()?.parse().ok(),
        }
    }

    pub(super) fn arch(&self) -> Option<Arch> {
        let named = |arch: &Arch| match &self.whole.said {
            Said::Aci(manifest) => manifest.label("arch") == Some(arch.appc()),
            Said::Oci(said) => said.arch == Some(*arch),
            Said::Files => self
                .provenance()
                .is_some_and(|provenance| provenance["kernel"]["arch"] == arch.kernel()),
        };
        Arch::ALL.into_iter().find(named)
    }

    fn modules_folder(&self) -> Option<String> {
        let root = self.modules_root();
        let below = |(path, node): (&str, &Node)| {
            let name = path.strip_prefix(root)?.strip_prefix('/')?;
            (*node == Node::Dir && !name.contains('/')).then(|| name.to_owned())
        };
        let mut folders: Vec<String> = self.whole.rootfs.iter().filter_map(below).collect();
        if folders.len() == 1 { folders.pop() } else { None }
    }
}
