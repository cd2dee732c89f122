//! Where the files of the one tree are in an image.

use std::borrow::Cow;

use super::upstream::Upstream;
use super::{Error, KERNEL, Rootfs};
use crate::settings::RktVersion;

/// The folder above the releases in a stage1 image. Upstream's root has a
/// symlink at `usr/lib`, and a real folder would hide it; so it is the folder
/// that the symlink leads to.
pub const STAGE1_MODULES: &str = "usr/lib64/modules";

/// Which files of a tree an image holds, and under which names. The order of
/// the paths stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// All that there is, as it is.
    Whole,
    /// Kernel and modules folder, where every distribution has them.
    Plain,
    /// What rkt's stage1 adds to the image below: all in `usr/lib64`, and the
    /// kernel at the top.
    Stage1 {
        /// The kernel's name.
        kernel: &'static str,
    },
}

impl Form {
    /// As this release of rkt has it.
    ///
    /// # Errors
    /// When the release is unknown.
    pub fn stage1(upstream: RktVersion) -> Result<Self, Error> {
        Ok(Self::Stage1 { kernel: Upstream::of(upstream)?.kernel_file })
    }

    /// Where the tree's `path` is in the image, if it is there.
    #[must_use]
    pub fn place<'p>(&self, path: &'p str) -> Option<Cow<'p, str>> {
        let (top, below) = path.split_once('/').unwrap_or((path, ""));
        match (self, top) {
            (Self::Whole, _) => Some(path.into()),
            (Self::Plain, _) => (!is_stage1(path)).then(|| path.into()),
            (Self::Stage1 { kernel }, "boot") => (path == KERNEL).then(|| (*kernel).into()),
            // It came with usr/lib.
            (Self::Stage1 { .. }, _) if path == "usr/lib64" => None,
            (Self::Stage1 { .. }, "usr") if below == "lib" => Some("usr/lib64".into()),
            (Self::Stage1 { .. }, "usr") => match below.strip_prefix("lib/") {
                Some(below) => Some(format!("usr/lib64/{below}").into()),
                None => Some(path.into()),
            },
            (Self::Stage1 { .. }, _) => Some(path.into()),
        }
    }
}

/// Nothing but a stage1's own is in there.
fn is_stage1(path: &str) -> bool {
    path.strip_prefix("usr/lib64").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Rootfs {
    /// The tree of an image of this form alone.
    ///
    /// # Errors
    /// When two files come to lie at one place.
    pub fn placed(&self, form: Form) -> Result<Self, Error> {
        let mut placed = Self::new();
        for (path, node) in self.iter() {
            if let Some(path) = form.place(path) {
                placed.insert(&path, node.clone())?;
            }
        }
        Ok(placed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: [&str; 8] = [
        "boot",
        "boot/config",
        "boot/vmlinuz",
        "usr",
        "usr/lib",
        "usr/lib/modules",
        "usr/lib64",
        "usr/lib64/systemd",
    ];

    fn placed(form: Form) -> Vec<Cow<'static, str>> {
        TREE.iter().filter_map(|path| form.place(path)).collect()
    }

    #[test]
    fn each_form_has_its_own_files_in_order() {
        let stage1 = placed(Form::Stage1 { kernel: "kernel_image" });
        let expected = ["kernel_image", "usr", "usr/lib64", STAGE1_MODULES, "usr/lib64/systemd"];
        assert_eq!(stage1, expected);
        assert_eq!(placed(Form::Plain), TREE[..6]);
        assert_eq!(placed(Form::Whole), TREE);
    }
}
