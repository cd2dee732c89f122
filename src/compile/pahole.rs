//! pahole without its threads.
//!
//! With `-j` pahole 1.24 writes the types in the order in which its threads
//! end: three runs gave three different BTFs. The kernel's makefiles give it
//! `-j` whenever pahole knows it, so that it is called through a script that
//! leaves the argument out.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::{Error, Fix};
use crate::fsutil;

const NAME: &str = ".stage1-pahole";

/// Where the script lies.
pub(super) fn path(objects: &Path) -> PathBuf {
    objects.join(NAME)
}

/// Writes the script, unless it is there already.
pub(super) fn write(objects: &Path, fixes: &[Fix]) -> Result<(), Error> {
    let failed = |error| Error::files("can't write the script that calls pahole", error);
    let (path, text) = (path(objects), script(fixes));
    if !fs::read_to_string(&path).is_ok_and(|old| old == text) {
        fsutil::write_atomic(&path, text.as_bytes()).map_err(failed)?;
    }
    // Every time: a run may have been killed before it came to this.
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).map_err(failed)
}

fn script(fixes: &[Fix]) -> String {
    let mut arguments = String::new();
    for argument in fixes.iter().flat_map(|fix| &fix.pahole) {
        // Into a String, this can't fail.
        _ = write!(arguments, " {argument}");
    }
    format!(
        "#!/bin/sh\n\
         # pahole, one thread, so that the same input gives the same types.\n\
         extra=\n\
         count=$#\n\
         while [ \"$count\" -gt 0 ]; do\n\
         \targument=$1\n\
         \tshift\n\
         \tcase $argument in\n\
         \t-j | -j[0-9]* | --jobs | --jobs=*) ;;\n\
         \t-J | --btf_encode*) extra='{arguments}'; set -- \"$@\" \"$argument\" ;;\n\
         \t*) set -- \"$@\" \"$argument\" ;;\n\
         \tesac\n\
         \tcount=$((count - 1))\n\
         done\n\
         # Unquoted: words, none or more.\n\
         exec pahole $extra \"$@\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Program;

    fn called_with(fixes: &[Fix], arguments: &[&str]) -> String {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), fixes).unwrap();
        // A program that we write ourselves is busy while a child of another
        // test, which inherited it open, is not yet what it will be.
        let text = folder.path().join("text");
        fs::write(&text, "#!/bin/sh\nfor one; do printf '<%s>' \"$one\"; done\n").unwrap();
        let fake = folder.path().join("pahole");
        Program::new("install").arg("-m755").args([&text, &fake]).run().unwrap();
        let search = format!("{}:/usr/bin:/bin", folder.path().display());
        let program = Program::new("sh").arg(path(folder.path())).env("PATH", search);
        let program = program.args(arguments);
        String::from_utf8(program.run().unwrap()).unwrap()
    }

    #[test]
    fn threads_are_left_out_and_all_else_stays() {
        let arguments = ["-J", "--btf_gen_floats", "-j", "-j4", "--jobs=2", "a b", ".tmp_vmlinux"];
        assert_eq!(called_with(&[], &arguments), "<-J><--btf_gen_floats><a b><.tmp_vmlinux>");
        assert_eq!(called_with(&[], &["--version"]), "<--version>");
    }

    #[test]
    fn what_a_fix_adds_is_there_only_when_types_are_written() {
        let table = super::super::fixes::table().unwrap();
        let fixes: Vec<Fix> = table.into_iter().filter(|fix| fix.id == "btf-enum64").collect();
        let extra = "<--skip_encoding_btf_enum64>";
        assert_eq!(called_with(&fixes, &["-J", "-j", "x"]), format!("{extra}<-J><x>"));
        assert_eq!(called_with(&fixes, &["--version"]), "<--version>");
    }
}
