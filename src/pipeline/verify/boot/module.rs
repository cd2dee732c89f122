//! A module of somebody else's, made against the image's headers alone.

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::Value;
use stage1_builder_guest::probe;

use crate::content::{Content, Node};
use crate::proc::{self, Program};

use super::super::Image;

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoModule {
    /// The host, or the image, has not what it takes; no fault of the image.
    Lacking(String),
    /// The headers are no good.
    Failed(String),
}

/// The folders of modules that come with a kernel: megabytes of no use here.
const MODULES_OF_ITS_OWN: &str = "kernel/";
/// How much of what make says is shown.
const SAID: usize = 3;

/// Includes what modules of people include, and says what the guest listens
/// for.
fn source() -> String {
    let (greeting, farewell) = (probe::MODULE_GREETING, probe::MODULE_FAREWELL);
    format!(
        "#include <linux/module.h>
#include <linux/skbuff.h>
#include <linux/ftrace.h>
static int __init hello_init(void)
{{
	pr_info(\"{greeting}\\n\");
	return 0;
}}
static void __exit hello_exit(void)
{{
	pr_info(\"{farewell}\\n\");
}}
module_init(hello_init);
module_exit(hello_exit);
MODULE_LICENSE(\"GPL\");
"
    )
}

/// Lays the image's headers out in a folder and makes the module there;
/// gives its file.
pub(super) fn make(image: &Image, folder: &Path) -> Result<PathBuf, NoModule> {
    let base = image.base().ok_or_else(|| lacking("there is no modules folder"))?;
    if image.whole.rootfs.resolve(&format!("{base}/build")) != Some(&Node::Dir) {
        return Err(lacking("there is nothing at build to compile against"));
    }
    let words = words(&image.provenance().unwrap_or_default())?;
    let failed = |error: std::io::Error| NoModule::Failed(error.to_string());
    let headers = folder.join("image");
    lay_out(image, &base, &headers).map_err(failed)?;
    let place = folder.join("hello");
    fs::create_dir_all(&place).map_err(failed)?;
    fs::write(place.join("hello.c"), source()).map_err(failed)?;
    fs::write(place.join("Makefile"), "obj-m := hello.o\n").map_err(failed)?;
    let make = Program::new("make")
        .arg("-C")
        .arg(headers.join(&base).join("build"))
        .arg(format!("M={}", place.display()))
        .args(words)
        .arg("modules");
    let output = make.output().map_err(|error| NoModule::Failed(error.to_string()))?;
    if output.status.success() {
        return Ok(place.join(probe::MODULE));
    }
    let lines: Vec<&str> = output.stderr.lines().filter(|line| !line.is_empty()).collect();
    let errors = lines.iter().filter(|line| line.contains("rror"));
    let said: Vec<&str> = errors.chain(&lines).take(SAID).copied().collect();
    Err(NoModule::Failed(format!("it does not compile: {}", said.join(" | "))))
}

fn lacking(what: &str) -> NoModule {
    NoModule::Lacking(what.to_owned())
}

/// make's words: the compiler that built the kernel, or the host's own.
fn words(provenance: &Value) -> Result<Vec<String>, NoModule> {
    if proc::find("make").is_none() {
        return Err(lacking("this host has no make"));
    }
    let said = |path: &str| provenance.pointer(path).and_then(Value::as_str);
    let built_by = said("/toolchain/cc/command").filter(|name| proc::find(name).is_some());
    let compiler = built_by.or(proc::find("gcc").map(|_| "gcc"));
    let compiler = compiler.ok_or_else(|| lacking("this host has no gcc"))?;
    let mut words = vec![format!("CC={compiler}")];
    words.extend(said("/kernel/arch").map(|arch| format!("ARCH={arch}")));
    // The tools of an archive are in nobody's PATH; those of the host do, too.
    // An empty one is said, too: a vendor's makefile may have a prefix of its own.
    let there = |prefix: &&str| proc::find(&format!("{prefix}ld")).is_some();
    let prefix = said("/toolchain/cross_prefix").filter(there);
    words.extend(prefix.map(|prefix| format!("CROSS_COMPILE={prefix}")));
    Ok(words)
}

/// Everything but the kernel's own modules, as far as it is below `usr`.
fn lay_out(image: &Image, base: &str, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    let own = format!("{base}/{MODULES_OF_ITS_OWN}");
    for (path, node) in image.whole.rootfs.iter() {
        if path.starts_with(&own) || !path.starts_with("usr") {
            continue;
        }
        let path = to.join(path);
        match node {
            Node::Dir => fs::create_dir(&path)?,
            Node::Symlink { target } => fs::os::unix::fs::symlink(target, &path)?,
            Node::File { content: Content::Bytes(bytes), executable } => {
                fs::write(&path, bytes)?;
                if *executable {
                    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
                    fs::set_permissions(&path, mode)?;
                }
            }
            Node::File { .. } => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn make_is_told_of_the_prefix_that_is_there_and_of_none() {
        let said = |prefix: &str| {
            let provenance = serde_json::json!({
                "kernel": { "arch": "x86_64" },
                "toolchain": { "cc": { "command": "gcc" }, "cross_prefix": prefix },
            });
            words(&provenance).unwrap()
        };
        assert_eq!(said(""), ["CC=gcc", "ARCH=x86_64", "CROSS_COMPILE="]);
        assert_eq!(said("nobody-has-this-"), ["CC=gcc", "ARCH=x86_64"]);
    }
}
