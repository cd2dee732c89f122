//! `source/`: what an out-of-tree module and bcc compile against.
//!
//! The source tree's headers, makefiles and scripts, and what the build
//! generated, laid together as a build inside the tree would leave them: the
//! single folder that distributions ship, too. Hidden files, `.cmd` files and
//! objects stay out: they hold paths of the machine that built them.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fs_err as fs;
use walkdir::WalkDir;

use super::rootfs::{Rootfs, text};
use super::{Error, host_tools};
use crate::compile::KernelArtifacts;
use crate::settings::Arch;

/// Folders of `scripts/` that only serve work on the kernel itself.
/// `scripts/dtc` also holds symlinks to other architectures, not shipped.
const SCRIPTS_OUT: [&str; 5] = ["coccinelle", "dtc", "gdb", "kconfig", "package"];

/// Files of the build's `scripts/` that compiling a module reads.
/// `module.lds` is generated since Linux 5.10 (596b0474d3d9).
const GENERATED_SCRIPTS: [&str; 3] =
    ["scripts/module.lds", "scripts/mod/elfconfig.h", "scripts/mod/devicetable-offsets.h"];

/// Adds the merged folder at `to`.
///
/// # Errors
/// When a piece can't be read or a tool can't be stripped.
pub(super) fn add_source(
    artifacts: &KernelArtifacts,
    to: &str,
    rootfs: &mut Rootfs,
) -> Result<(), Error> {
    let arch = format!("arch/{}", artifacts.arch.source_folder());
    let arch_include = format!("{arch}/include");
    let mut from_tree = Copier { from: &artifacts.tree, to, rootfs };
    from_tree.folder("include", |path| !matches!(first(path), "generated" | "config"))?;
    from_tree.folder(&arch_include, |path| first(path) != "generated")?;
    from_tree.folder("scripts", |path| !SCRIPTS_OUT.contains(&first(path)))?;
    from_tree.files_beside(&arch, |name| name.starts_with("Makefile") || name == "Kbuild")?;
    from_tree.file("Makefile")?;
    from_tree.file_if_present("Kbuild")?;
    // Before 5.10 (see GENERATED_SCRIPTS) arm64 had a linker script of its own
    // for modules, and its makefile asks for it.
    from_tree.file_if_present(&format!("{arch}/kernel/module.lds"))?;
    if artifacts.arch == Arch::Arm64 {
        for path in borrowed(&artifacts.tree, &arch)? {
            from_tree.file_if_present(&path)?;
        }
    }

    let mut from_build = Copier { from: &artifacts.build, to, rootfs };
    from_build.folder("include/generated", |_| true)?;
    from_build.folder(&format!("{arch_include}/generated"), |_| true)?;
    // Beside these lies an empty mark for each symbol (`include/config/SMP`),
    // which only tells an incremental build that the symbol was changed.
    from_build.files_beside("include/config", |_| true)?;
    for path in GENERATED_SCRIPTS {
        from_build.file_if_present(path)?;
    }
    from_build.file(".config")?;
    host_tools::add(&artifacts.build, to, rootfs)?;
    add_symbol_versions(artifacts, to, rootfs)?;
    // Users' scripts name `source/include/arch/<arch>/include`.
    rootfs.insert_symlink(&format!("{to}/include/arch"), "../arch")
}

/// The headers of another architecture that those of `arch` name: those of
/// arm64 took some of arm's by `#include <../../arm/include/asm/opcodes.h>`
/// (seen in 4.4 and 4.9, no longer in 4.14). As paths in the source.
fn borrowed(source: &Path, arch: &str) -> Result<BTreeSet<String>, Error> {
    let mut paths = BTreeSet::new();
    for entry in WalkDir::new(source.join(arch).join("include")) {
        let entry = entry.map_err(|error| Error::Read(error.into()))?;
        if entry.file_type().is_file() {
            let header = fs::read(entry.path()).map_err(Error::Read)?;
            let header = String::from_utf8_lossy(&header);
            paths.extend(header.lines().filter_map(|line| of_another(line, arch)));
        }
    }
    Ok(paths)
}

fn of_another(line: &str, arch: &str) -> Option<String> {
    let named = line.strip_prefix('#')?.trim_start().strip_prefix("include")?.trim_start();
    let path = format!("arch/{}", named.strip_prefix("<../../")?.split_once('>')?.0);
    let plain = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let own = path.strip_prefix(arch).is_some_and(|rest| rest.starts_with('/'));
    (plain && !own).then_some(path)
}

/// Adds the API headers, as `headers_install` left them, at `to`.
///
/// # Errors
/// When they can't be read.
pub(super) fn add_api_headers(
    artifacts: &KernelArtifacts,
    to: &str,
    rootfs: &mut Rootfs,
) -> Result<(), Error> {
    Copier { from: &artifacts.api_headers, to, rootfs }.folder("", |_| true)
}

/// `Module.symvers` is complete after `make modules`; since Linux 5.8
/// `make vmlinux` alone leaves `vmlinux.symvers` (269a535ca931), which is the
/// same when nothing is built as a module.
fn add_symbol_versions(
    artifacts: &KernelArtifacts,
    to: &str,
    rootfs: &mut Rootfs,
) -> Result<(), Error> {
    let candidates = ["Module.symvers", "vmlinux.symvers"];
    let found =
        candidates.iter().map(|name| artifacts.build.join(name)).find(|path| path.is_file());
    match found {
        Some(path) => rootfs.insert_path(&format!("{to}/Module.symvers"), path, false),
        None => Ok(()),
    }
}

fn first(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

/// Puts files of one host folder under one folder of the tree.
struct Copier<'a> {
    from: &'a Path,
    to: &'a str,
    rootfs: &'a mut Rootfs,
}

impl Copier<'_> {
    /// A folder and what is below it, as far as `keep` wants; it is asked
    /// with paths relative to that folder.
    fn folder(&mut self, folder: &str, keep: impl Fn(&str) -> bool) -> Result<(), Error> {
        let top = self.from.join(folder);
        // `stays_out` cuts hidden folders off; the top itself may be hidden.
        let entries = WalkDir::new(&top).min_depth(1).into_iter().filter_entry(|entry| {
            let relative = entry.path().strip_prefix(&top).ok().and_then(Path::to_str);
            relative.is_none_or(|relative| !stays_out(relative) && keep(relative))
        });
        for entry in entries {
            let entry = entry.map_err(|error| Error::Read(error.into()))?;
            if !entry.file_type().is_dir() {
                self.entry(entry.path())?;
            }
        }
        Ok(())
    }

    /// The non-empty files of a folder that `keep` wants by name.
    fn files_beside(&mut self, folder: &str, keep: impl Fn(&str) -> bool) -> Result<(), Error> {
        for entry in fs::read_dir(self.from.join(folder)).map_err(Error::Read)? {
            let entry = entry.map_err(Error::Read)?;
            let metadata = entry.metadata().map_err(Error::Read)?;
            let name = entry.file_name();
            let wanted = name.to_str().is_some_and(|name| !stays_out(name) && keep(name));
            if wanted && metadata.is_file() && metadata.len() > 0 {
                self.entry(&entry.path())?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &str) -> Result<(), Error> {
        self.entry(&self.from.join(path))
    }

    fn file_if_present(&mut self, path: &str) -> Result<(), Error> {
        match self.from.join(path).is_file() {
            true => self.file(path),
            false => Ok(()),
        }
    }

    fn entry(&mut self, path: &Path) -> Result<(), Error> {
        let relative = text(path.strip_prefix(self.from).unwrap_or(path))?;
        let to = format!("{}/{relative}", self.to);
        let metadata = fs::symlink_metadata(path).map_err(Error::Read)?;
        if metadata.is_symlink() {
            let target = fs::read_link(path).map_err(Error::Read)?;
            return self.rootfs.insert_symlink(&to, text(&target)?);
        }
        let executable = metadata.permissions().mode() & 0o100 != 0;
        self.rootfs.insert_path(&to, path, executable)
    }
}

/// Whether a file has no place in an image, by its name: hidden (`.install`,
/// `..install.cmd`, `.gitignore`), a command record, an object, or what an
/// editor or `patch` left behind.
fn stays_out(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let endings = [".cmd", ".o", ".orig", ".rej", "~"];
    name.starts_with('.') || endings.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_another_architecture_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let include = folder.path().join("arch/arm64/include/asm");
        fs::create_dir_all(include.join("xen")).unwrap();
        for (name, text) in [
            ("io.h", "#include <asm/page.h>\n// <../../x>\n#include <../../../include/x.h>\n"),
            ("opcodes.h", "#include <../../arm/include/asm/opcodes.h>\n"),
            ("own.h", "#include <../../arm64/include/asm/io.h>\n"),
            ("xen/page.h", "# include <../../arm/include/asm/xen/page.h>\n"),
        ] {
            fs::write(include.join(name), text).unwrap();
        }
        let found: Vec<_> = borrowed(folder.path(), "arch/arm64").unwrap().into_iter().collect();
        assert_eq!(found, ["arch/arm/include/asm/opcodes.h", "arch/arm/include/asm/xen/page.h"]);
    }

    #[test]
    fn an_arm64_source_brings_what_its_modules_take_from_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, build) = (folder.path().join("tree"), folder.path().join("build"));
        for (path, text) in [
            ("tree/Makefile", ""),
            ("tree/include/linux/kernel.h", ""),
            ("tree/scripts/Makefile.build", ""),
            ("tree/arch/arm64/Makefile", ""),
            ("tree/arch/arm64/kernel/module.lds", "SECTIONS"),
            ("tree/arch/arm64/include/asm/io.h", "#include <../../arm/include/asm/opcodes.h>"),
            ("tree/arch/arm/include/asm/opcodes.h", ""),
            ("tree/arch/arm/include/asm/io.h", ""),
            ("build/.config", ""),
            ("build/include/generated/autoconf.h", ""),
            ("build/include/config/auto.conf", "CONFIG_X=y"),
            ("build/arch/arm64/include/generated/asm/errno.h", ""),
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let artifacts = KernelArtifacts {
            version: "4.9".parse().unwrap(),
            arch: Arch::Arm64,
            release: "4.9.0-x".to_owned(),
            image: build.join("arch/arm64/boot/Image"),
            api_headers: build.join("api"),
            tree,
            build,
            epoch: 0,
        };
        let mut rootfs = Rootfs::new();
        add_source(&artifacts, "base/source", &mut rootfs).unwrap();
        let has = |path: &str| rootfs.get(&format!("base/source/arch/{path}")).is_some();
        assert!(has("arm64/kernel/module.lds") && has("arm/include/asm/opcodes.h"));
        assert!(has("arm64/include/generated/asm/errno.h") && !has("arm/include/asm/io.h"));

        let lacking = |rootfs: &Rootfs| {
            let config = "CONFIG_MODULES=y\nCONFIG_ARM64_MODULE_PLTS=y";
            crate::content::lacking(rootfs, "base", Arch::Arm64, config)
        };
        let script = "source/arch/arm64/kernel/module.lds".to_owned();
        assert!(lacking(&Rootfs::new()).contains(&script));
        assert!(!lacking(&rootfs).contains(&script));
    }

    #[test]
    fn what_holds_build_paths_stays_out() {
        for path in [".install", "linux/..install.cmd", "a/.b.o.cmd", "auto.conf.cmd", "x/fixdep.o"]
        {
            assert!(stays_out(path), "{path}");
        }
        for path in ["linux/kernel.h", "basic/fixdep", "auto.conf", "module.lds"] {
            assert!(!stays_out(path), "{path}");
        }
    }
}
