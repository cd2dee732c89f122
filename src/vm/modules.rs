//! Which modules a guest needs of a kernel that has not built them in.

use std::collections::BTreeMap;

/// Without these there is no guest: the bus, the ports that init speaks
/// through, the disk of the kernel's own folder, and the layer over the root.
const NEEDED: [&str; 5] = ["virtio_pci", "virtio_console", "virtio_blk", "squashfs", "overlay"];

/// What a run may ask for.
const WANTED: [&str; 5] = ["9p", "9pnet_virtio", "virtiofs", "virtio_net", "virtio_rng"];

/// The modules to load, and what is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modules {
    /// Files below the modules folder, each behind those that it depends on.
    pub load: Vec<String>,
    /// What a guest can't do without, and is neither built in nor a module.
    pub lacking: Vec<&'static str>,
}

impl Modules {
    /// By the lists that `depmod` and the build leave: `modules.dep` and
    /// `modules.builtin` (kmod's modules.dep(5), `Documentation/kbuild/kbuild.rst`).
    #[must_use]
    pub fn of(dependencies: &str, built_in: &str) -> Self {
        let known: BTreeMap<String, (&str, Vec<&str>)> =
            dependencies.lines().filter_map(line).collect();
        let built_in: Vec<String> = built_in.lines().map(|path| name(path.trim())).collect();
        let mut load = Vec::new();
        for module in NEEDED.iter().chain(&WANTED) {
            add(module, &known, &mut load);
        }
        let there = |name: &str| known.contains_key(name) || built_in.iter().any(|one| one == name);
        let lacking = NEEDED.into_iter().filter(|name| !there(name)).collect();
        Self { load: load.into_iter().map(str::to_owned).collect(), lacking }
    }
}

/// `kernel/net/9p/9pnet_virtio.ko.xz: kernel/net/9p/9pnet.ko.xz ...`
fn line(line: &str) -> Option<(String, (&str, Vec<&str>))> {
    let (path, needs) = line.split_once(':')?;
    Some((name(path), (path, needs.split_whitespace().collect())))
}

/// The module in a file, as the kernel calls it.
fn name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

/// Adds a module behind all that it needs. `modules.dep` lists those of
/// those, too, so one step down is all the way.
fn add<'t>(
    module: &str,
    known: &BTreeMap<String, (&'t str, Vec<&'t str>)>,
    load: &mut Vec<&'t str>,
) {
    let Some((path, needs)) = known.get(module) else { return };
    // The last one needs none of those before it.
    for one in needs.iter().rev().chain([path]) {
        if !load.contains(one) {
            load.push(one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "\
kernel/drivers/virtio/virtio.ko.xz:
kernel/drivers/virtio/virtio_ring.ko.xz: kernel/drivers/virtio/virtio.ko.xz
kernel/drivers/virtio/virtio_pci.ko.xz: kernel/drivers/virtio/virtio_ring.ko.xz kernel/drivers/virtio/virtio.ko.xz
kernel/drivers/char/hw_random/virtio-rng.ko.xz: kernel/drivers/virtio/virtio_ring.ko.xz kernel/drivers/virtio/virtio.ko.xz
kernel/fs/overlayfs/overlay.ko.xz:
kernel/fs/xfs/xfs.ko.xz: kernel/lib/libcrc32c.ko.xz
";
    const BUILT_IN: &str =
        "kernel/drivers/char/virtio_console.ko\nkernel/fs/squashfs/squashfs.ko\n";

    #[test]
    fn each_module_comes_once_and_behind_what_it_needs() {
        let modules = Modules::of(DEP, BUILT_IN);
        let names: Vec<String> = modules.load.iter().map(|path| name(path)).collect();
        assert_eq!(names, ["virtio", "virtio_ring", "virtio_pci", "overlay", "virtio_rng"]);
        assert_eq!(modules.lacking, ["virtio_blk"]);
        assert!(modules.load[2].ends_with("/virtio_pci.ko.xz"));
    }

    #[test]
    fn a_kernel_with_all_built_in_loads_nothing() {
        let all: String = NEEDED.iter().map(|name| format!("kernel/{name}.ko\n")).collect();
        assert_eq!(Modules::of("", &all), Modules { load: Vec::new(), lacking: Vec::new() });
    }
}
