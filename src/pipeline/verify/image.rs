//! An image and what it says of itself, read once.

use std::path::Path;

use crate::content::{self, Content, Node, STAGE1_MODULES as MODULES};
use crate::kconfig::DotConfig;
use crate::pack::{self, aci};
use crate::settings::{Arch, KernelVersion, RktVersion};
use crate::vm;

/// The names that rkt's releases know for the kernel.
const KERNELS: [&str; 2] = ["kernel_image", "bzImage"];

/// An image in memory.
#[derive(Debug)]
pub(in crate::pipeline) struct Image {
    pub(in crate::pipeline) whole: aci::Whole,
    /// The kernel's file name in the image.
    pub(super) kernel_file: Option<&'static str>,
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
        let whole = aci::Whole::load(file)?;
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
        self.whole.summary.id.to_string().replace(':', "-")
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
        Some(format!("{MODULES}/{}", self.folder.as_ref()?))
    }

    /// The configuration beside the modules.
    pub(in crate::pipeline) fn config(&self) -> Option<DotConfig> {
        DotConfig::parse("config", &self.config_text()?).ok()
    }

    pub(super) fn config_bytes(&self) -> Option<&[u8]> {
        self.module_file("config")
    }

    pub(super) fn config_text(&self) -> Option<String> {
        Some(String::from_utf8_lossy(self.config_bytes()?).into_owned())
    }

    pub(in crate::pipeline) fn provenance(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(self.module_file("provenance.json")?).ok()
    }

    /// The release of rkt that it is for.
    pub(super) fn upstream(&self) -> Option<RktVersion> {
        self.whole.summary.manifest.label("version")?.parse().ok()
    }

    /// The kernel's version, as labelled.
    pub(super) fn version(&self) -> Option<KernelVersion> {
        self.whole.summary.manifest.label("kernelversion")?.parse().ok()
    }

    pub(super) fn arch(&self) -> Option<Arch> {
        let label = self.whole.summary.manifest.label("arch")?;
        Arch::ALL.into_iter().find(|arch| arch.appc() == label)
    }

    fn modules_folder(&self) -> Option<String> {
        let below = |(path, node): (&str, &Node)| {
            let name = path.strip_prefix(MODULES)?.strip_prefix('/')?;
            (*node == Node::Dir && !name.contains('/')).then(|| name.to_owned())
        };
        let mut folders: Vec<String> = self.whole.rootfs.iter().filter_map(below).collect();
        if folders.len() == 1 { folders.pop() } else { None }
    }
}
