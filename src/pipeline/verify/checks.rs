//! Checks of what is in an image.

use std::collections::BTreeSet;

use crate::content::{self, Candidate, Node, Upstream};
use crate::pack::aci::{Manifest, NameValue};
use crate::pack::oci;
use crate::report::text;
use crate::settings::KernelVersion;
use crate::source;

use super::{Check, Image};

/// How many missing files are named.
const MOST: usize = 8;

/// The manifest against what rkt asks of the release that it is for.
pub(super) fn manifest(image: &Image, manifest: &Manifest) -> Check {
    const NAME: &str = "manifest";
    let (Some(upstream), Some(version), Some(arch)) =
        (image.upstream(), image.version(), image.arch())
    else {
        let wanted = [
            ("version", image.upstream().is_none()),
            ("kernelversion", image.version().is_none()),
            ("arch", image.arch().is_none()),
        ];
        let absent = wanted.iter().filter(|(_, absent)| *absent);
        let line = |(name, _): &(&str, bool)| match manifest.label(name) {
            Some(value) => format!("label {name} says '{value}', which is none"),
            None => format!("there is no label {name}"),
        };
        return Check::of(NAME, absent.map(line).collect(), "");
    };
    match Manifest::stage1_kvm(&manifest.name, upstream, &version, arch) {
        Ok(wanted) => {
            Check::of(NAME, differences(manifest, &wanted), format!("as rkt {upstream} asks"))
        }
        Err(error) => Check::failed(NAME, text::chain(&error)),
    }
}

fn differences(found: &Manifest, wanted: &Manifest) -> Vec<String> {
    let mut wrong = Vec::new();
    if found.ac_version != wanted.ac_version {
        wrong.push(format!("acVersion is {}, not {}", found.ac_version, wanted.ac_version));
    }
    pairs("label", &found.labels, &wanted.labels, &mut wrong);
    pairs("annotation", &found.annotations, &wanted.annotations, &mut wrong);
    if found.dependencies != wanted.dependencies {
        let name = |manifest: &Manifest| match manifest.dependencies.first() {
            Some(parent) => parent.image_name.clone(),
            None => "nothing".to_owned(),
        };
        let (found, wanted) = (name(found), name(wanted));
        wrong.push(match found == wanted {
            true => format!("the labels of its dependency {wanted} are not its own"),
            false => format!("it depends on {found}, not on {wanted} alone"),
        });
    }
    wrong
}

/// Order is of no meaning to rkt.
fn pairs(kind: &str, found: &[NameValue], wanted: &[NameValue], wrong: &mut Vec<String>) {
    let value = |pairs: &[NameValue], name: &str| {
        pairs.iter().find(|pair| pair.name == name).map(|pair| pair.value.clone())
    };
    let names: BTreeSet<&str> = found.iter().chain(wanted).map(|pair| pair.name.as_str()).collect();
    if found.len() > found.iter().map(|pair| &pair.name).collect::<BTreeSet<_>>().len() {
        wrong.push(format!("one {kind} stands twice"));
    }
    for name in names {
        match (value(found, name), value(wanted, name)) {
            (None, Some(wanted)) => wrong.push(format!("{kind} {name}={wanted} is absent")),
            (Some(found), None) => wrong.push(format!("{kind} {name}={found} is one too many")),
            (Some(found), Some(wanted)) if found != wanted => {
                wrong.push(format!("{kind} {name} is {found}, not {wanted}"));
            }
            _ => {}
        }
    }
}

/// What an OCI image says of itself, against its kernel.
pub(super) fn annotations(image: &Image, said: &oci::Said) -> Check {
    const NAME: &str = "annotations";
    let Some(about) = &said.about else {
        return Check::failed(NAME, "its labels don't say which kernel it is, as ours do");
    };
    let mut wrong = Vec::new();
    let mut same = |label: &str, wanted: &str| {
        let found = said.labels.get(label).map_or("nothing", String::as_str);
        if found != wanted {
            wrong.push(format!("{label} says {found}, not {wanted}"));
        }
    };
    let version = about.kernel.to_string();
    same("org.opencontainers.image.version", &version);
    same("org.opencontainers.image.title", &format!("Linux {version}"));
    if let Some(release) = &image.release {
        same("io.kinvolk.stage1-builder.kernel.release", release);
    }
    Check::of(NAME, wrong, format!("{}, Linux {version} for {}", about.name, about.arch))
}

/// The kernel under the name that this release of rkt looks for. Under another
/// one nobody notices: the parent's kernel boots.
pub(super) fn kernel(image: &Image) -> Check {
    const NAME: &str = "kernel";
    let Some(file) = image.kernel_file else {
        let names = match image.manifest() {
            Some(_) => "neither kernel_image nor bzImage",
            None => "no boot/vmlinuz",
        };
        return Check::failed(NAME, format!("there is {names}"));
    };
    let mut wrong = Vec::new();
    if let Some(upstream) = image.upstream().and_then(|version| Upstream::of(version).ok())
        && upstream.kernel_file != file
    {
        let (wanted, version) = (upstream.kernel_file, upstream.version);
        wrong.push(format!("it is called {file}, and rkt {version} looks for {wanted}"));
    }
    match (&image.release, &image.vmlinux) {
        (None, _) => {
            wrong.push(format!("{file} is no bzImage, or Image of arm64, that says its version"))
        }
        (_, None) => wrong.push(format!("{file} can't be uncompressed")),
        _ => {}
    }
    Check::of(NAME, wrong, format!("{file}, {}", image.release.as_deref().unwrap_or_default()))
}

/// The kernel's own word against labels, folder, headers and provenance.
pub(super) fn release(image: &Image) -> Check {
    const NAME: &str = "release";
    let Some(release) = &image.release else {
        return Check::skipped(NAME, "there is no kernel that says it");
    };
    let Some(folder) = &image.folder else {
        return Check::failed(NAME, format!("{} does not hold one folder", image.modules_root()));
    };
    let mut wrong = Vec::new();
    let mut same = |what: &str, said: &str| {
        if said != release {
            wrong.push(format!("{what} says {said}, the kernel {release}"));
        }
    };
    same("the modules folder", folder);
    let file = "source/include/config/kernel.release";
    // Debian's headers have the package's version there.
    if let Some(said) = image.module_file(file).filter(|_| !image.prebuilt()) {
        same(file, String::from_utf8_lossy(said).trim());
    }
    if let Some(provenance) = image.provenance() {
        same("provenance.json", provenance["kernel"]["release"].as_str().unwrap_or("nothing"));
    }
    Check::of(NAME, wrong, format!("{release} everywhere"))
}

/// The configuration in the image against the one in the kernel itself.
pub(super) fn configuration(image: &Image) -> Check {
    const NAME: &str = "configuration";
    let Some(text) = image.config_text() else {
        return match image.prebuilt() {
            true => Check::skipped(NAME, "none came with the kernel"),
            false => Check::failed(NAME, "there is no config in the modules folder"),
        };
    };
    if image.config().is_none() {
        return Check::failed(NAME, "config is not the configuration of a kernel");
    }
    match image.vmlinux.as_deref().and_then(content::own_config) {
        None => {
            let why = "nothing to compare it with: the kernel holds none (CONFIG_IKCONFIG)";
            Check::skipped(NAME, why)
        }
        Some(own) if own == text => Check::ok(NAME, "the kernel's own (/proc/config.gz)"),
        Some(_) => Check::failed(NAME, "config is not the one that the kernel was built with"),
    }
}

/// What the packer asks, too: whether rkt could boot it.
pub(super) fn bootable(image: &Image) -> Check {
    const NAME: &str = "rkt";
    let (Some(release), Some(folder), Some(version)) =
        (&image.release, &image.folder, image.version())
    else {
        return Check::skipped(NAME, "release, modules folder or label is not there");
    };
    let Some(vmlinux) = &image.vmlinux else {
        return Check::skipped(NAME, "the kernel can't be uncompressed");
    };
    let config = image.config();
    let candidate = Candidate {
        release,
        folder,
        version: &version,
        config: config.as_ref().into(),
        restarts: content::restarts(vmlinux.as_slice()).unwrap_or(false),
    };
    let lacks = candidate.lacks().iter().map(ToString::to_string).collect();
    Check::of(NAME, lacks, "has the reboot change and all that rkt needs built in")
}

/// Every header and tool that users name or that modules compile with.
pub(super) fn headers(image: &Image) -> Check {
    const NAME: &str = "headers";
    let (Some(base), Some(arch)) = (image.base(), image.arch()) else {
        return Check::skipped(NAME, "there is no modules folder, or no architecture");
    };
    let config = image.config_text().unwrap_or_default();
    let rootfs = &image.whole.rootfs;
    let build = rootfs.resolve(&format!("{base}/build")) == Some(&Node::Dir);
    if image.prebuilt() {
        return match build {
            true => Check::ok(NAME, "build is there, as whoever compiled it has it"),
            false => Check::skipped(NAME, "none came with the kernel"),
        };
    }
    let lacking = content::lacking(rootfs, &base, arch, &config);
    let mut wrong: Vec<String> =
        lacking.iter().take(MOST).map(|path| format!("{path} is not there")).collect();
    if let Some(more) = lacking.len().checked_sub(MOST).filter(|&more| more > 0) {
        wrong.push(format!("and {more} more"));
    }
    if !build {
        wrong.push("build leads to no folder".to_owned());
    }
    let leftovers = leftovers(image);
    wrong.extend(leftovers.iter().take(MOST).map(|path| format!("{path} is a build's leftover")));
    Check::of(NAME, wrong, "include, source and build are complete")
}

/// What a build leaves among headers and what holds its paths.
fn leftovers(image: &Image) -> Vec<&str> {
    let paths = image.whole.rootfs.iter().map(|(path, _)| path);
    paths.filter(|path| path.ends_with(".cmd") || path.ends_with("/.install")).collect()
}

/// The program that the drop-in names: there, executable and static.
pub(super) fn guest_program(image: &Image) -> Check {
    const NAME: &str = "guest-program";
    let drop_in = |path: &&str| path.contains("prepare-app@.service.d/");
    let rootfs = &image.whole.rootfs;
    let text = rootfs
        .iter()
        .filter(|(_, node)| matches!(node, Node::File { .. }))
        .map(|(path, _)| path)
        .find(drop_in)
        .and_then(|path| image.file(path));
    let Some(text) = text else {
        return Check::failed(NAME, "no drop-in for prepare-app@.service: apps see no headers");
    };
    let text = String::from_utf8_lossy(text);
    let command = text.lines().find_map(|line| line.strip_prefix("ExecStartPost=/"));
    let Some(path) = command.and_then(|line| line.split_whitespace().next()) else {
        return Check::failed(NAME, "the drop-in starts no program");
    };
    let mut wrong = Vec::new();
    match rootfs.resolve(path) {
        Some(Node::File { executable: true, .. }) => {}
        Some(_) => wrong.push(format!("/{path} can't be executed")),
        None => wrong.push(format!("/{path} is not there")),
    }
    if image.file(path).is_some_and(|program| !is_static(program)) {
        wrong.push(format!("/{path} is no static program"));
    }
    Check::of(NAME, wrong, format!("/{path}, a static program"))
}

/// An ELF program without an interpreter (`PT_INTERP`, 3): `e_phoff` at 32,
/// `e_phentsize` at 54, `e_phnum` at 56.
pub(in crate::pipeline) fn is_static(program: &[u8]) -> bool {
    let half = |at: usize| Some(u16::from_le_bytes(program.get(at..at + 2)?.try_into().ok()?));
    let interpreted = || -> Option<bool> {
        let table = u64::from_le_bytes(program.get(32..40)?.try_into().ok()?);
        let (table, size) = (usize::try_from(table).ok()?, usize::from(half(54)?));
        let kind = |index| program.get(table.checked_add(index * size)?..)?.get(..4);
        Some((0..usize::from(half(56)?)).any(|index| kind(index) == Some(&[3, 0, 0, 0])))
    };
    program.starts_with(b"\x7fELF") && interpreted() == Some(false)
}

/// What the image says of its own making.
pub(super) fn provenance(image: &Image) -> Check {
    const NAME: &str = "provenance";
    let Some(provenance) = image.provenance() else {
        return Check::failed(NAME, "there is no provenance.json that can be read");
    };
    let said = |path: &str| provenance.pointer(path).and_then(|value| value.as_str());
    let mut wrong = Vec::new();
    let wanted: &[&str] = match image.prebuilt() {
        true => &["/kernel/version", "/key"],
        false => &["/kernel/version", "/source/digest", "/toolchain/cc/text", "/key"],
    };
    for path in wanted {
        if said(path).is_none_or(str::is_empty) {
            wrong.push(format!("provenance.json has no {}", path[1..].replace('/', ".")));
        }
    }
    let version = said("/kernel/version").and_then(|text| text.parse::<KernelVersion>().ok());
    if version.is_some() && version != image.version() {
        wrong.push("provenance.json is of another version than the label".to_owned());
    }
    Check::of(NAME, wrong, origin(&provenance))
}

pub(in crate::pipeline) fn origin(provenance: &serde_json::Value) -> String {
    let source = &provenance["source"];
    if let (Some(source), true) = (source.as_str(), provenance["prebuilt"].is_array()) {
        return format!("{source}, compiled by somebody else");
    }
    let source: Option<source::Provenance> = serde_json::from_value(source.clone()).ok();
    let origin = match source {
        Some(source) => format!("{} ({}), {}", source.name, source.provider, source.verified),
        None => "of a source that is not told in full".to_owned(),
    };
    let skipped: Vec<&str> = provenance["insecure_options"]
        .as_array()
        .map(|options| options.iter().filter_map(|option| option.as_str()).collect())
        .unwrap_or_default();
    let turned_off = match skipped.is_empty() {
        true => String::new(),
        false => format!("; turned off: {}", skipped.join(", ")),
    };
    origin + &turned_off
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::UPSTREAMS;
    use crate::pack::aci::DEFAULT_NAME;
    use crate::settings::Arch;

    #[test]
    fn each_difference_of_a_manifest_is_told() {
        let kernel = KernelVersion::new(4, 9, 6);
        let of = |index: usize| {
            Manifest::stage1_kvm(DEFAULT_NAME, UPSTREAMS[index].version, &kernel, Arch::X86_64)
                .unwrap()
        };
        let (first, last) = (of(0), of(UPSTREAMS.len() - 1));
        assert!(differences(&last, &last).is_empty());
        let told = differences(&first, &last).join("\n");
        for part in [
            "acVersion is 0.8.9, not 0.8.11",
            "label version is 1.20.0, not 1.30.0",
            "annotation coreos.com/rkt/stage1/attach=/attach is absent",
            "annotation coreos.com/rkt/stage1/app/add is /app-add, not /app_add",
            "the labels of its dependency",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let mut more = last.clone();
        more.labels.push(NameValue { name: "a".into(), value: "b".into() });
        assert_eq!(differences(&more, &last), ["label a=b is one too many"]);
    }

    #[test]
    fn a_script_or_a_linked_program_is_not_static() {
        let program = content::guest_program(content::BIND_HEADERS, Arch::X86_64).unwrap();
        assert!(is_static(program.bytes));
        assert!(!is_static(b"#!/bin/sh\n") && !is_static(b"\x7fELF"));
        assert!(!is_static(&fs_err::read("/bin/sh").unwrap()));
    }
}
