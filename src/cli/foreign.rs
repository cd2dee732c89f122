//! Kernels that others have built, as `build` and `run` take them.

use std::path::PathBuf;

use clap::Args;
use stage1_builder::pipeline::{ForeignKernel, OwnKernel};
use stage1_builder::source::PrebuiltRequest;

/// Instead of a version to build.
#[derive(Debug, Args)]
#[command(next_help_heading = "Somebody else's kernel")]
pub(super) struct Foreign {
    /// A kernel of Debian's as it is, with its modules and headers: debian:6.1, debian:6.1.192-2
    #[arg(long, value_name = "debian:VERSION", conflicts_with_all = ["version", "kernel_image"])]
    prebuilt: Option<PrebuiltRequest>,
    /// A bzImage of your own
    #[arg(long, value_name = "FILE", conflicts_with = "version")]
    kernel_image: Option<PathBuf>,
    /// With --kernel-image: what modules are compiled against, or API headers
    #[arg(long, value_name = "FOLDER", requires = "kernel_image")]
    headers: Option<PathBuf>,
    /// With --kernel-image: its modules, /lib/modules/RELEASE or a root that has that
    #[arg(long, value_name = "FOLDER", requires = "kernel_image")]
    modules: Option<PathBuf>,
}

impl Foreign {
    /// The kernel that is meant; none: one that is to be built.
    pub(super) fn kernel(&self) -> Option<ForeignKernel> {
        let own = |image: &PathBuf| {
            ForeignKernel::Own(OwnKernel {
                image: image.clone(),
                headers: self.headers.clone(),
                modules: self.modules.clone(),
            })
        };
        let debian = self.prebuilt.clone().map(ForeignKernel::Debian);
        debian.or_else(|| self.kernel_image.as_ref().map(own))
    }
}
