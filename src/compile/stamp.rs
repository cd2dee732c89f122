//! What an object folder was made with.

use std::path::Path;

use fs_err as fs;
use serde::Serialize;

use super::{Error, Toolchain};
use crate::fsutil;

const NAME: &str = ".stage1-stamp";

/// Tools and variables of what lies in an object folder.
#[derive(Serialize)]
pub(super) struct Stamp<'a> {
    pub(super) toolchain: &'a Toolchain,
    pub(super) variables: &'a [(String, String)],
}

impl Stamp<'_> {
    /// Makes sure that `objects` is there and holds nothing that was made
    /// with anything else. Gives whether what was there is kept.
    pub(super) fn prepare(&self, objects: &Path) -> Result<bool, Error> {
        let failed = |error| Error::files("can't prepare the object folder", error);
        let text = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
        let path = objects.join(NAME);
        if fs::read(&path).is_ok_and(|old| old == text) {
            return Ok(true);
        }
        fsutil::remove_all(objects).map_err(failed)?;
        fsutil::write_atomic(&path, &text).map_err(failed)?;
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::toolchain::tests::a_toolchain;

    #[test]
    fn a_folder_of_other_tools_or_variables_is_wiped() {
        let folder = tempfile::tempdir().unwrap();
        let objects = folder.path().join("objects");
        let leftover = objects.join("a.o");
        let mut toolchain = a_toolchain();
        let prepare = |toolchain: &Toolchain, value: &str| {
            let variables = [("CC".to_owned(), value.to_owned())];
            Stamp { toolchain, variables: &variables }.prepare(&objects).unwrap()
        };
        fs::create_dir(&objects).unwrap();
        fs::write(&leftover, "of nobody knows what").unwrap();
        assert!(!prepare(&toolchain, "gcc") && !leftover.exists());
        fs::write(&leftover, "").unwrap();
        assert!(prepare(&toolchain, "gcc") && leftover.exists());
        toolchain.cc.text.push('x');
        assert!(!prepare(&toolchain, "gcc") && !leftover.exists());
        fs::write(&leftover, "").unwrap();
        assert!(!prepare(&toolchain, "ccache gcc") && !leftover.exists());
    }
}
