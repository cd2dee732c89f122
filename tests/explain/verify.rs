//! `verify`: what is wrong with an image is found, and nothing else is.

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::Value;
use stage1_builder::content::{Form, UPSTREAMS, Wanted, kernel_tree};
use stage1_builder::pack::aci::{DEFAULT_NAME, Manifest};
use stage1_builder::pack::{self, Kind, Target, WriteOptions, oci};
use stage1_builder::report::Silent;
use stage1_builder::settings::{Arch, KernelVersion, Vmlinux};

use super::images::{Parts, in_store, module, provenance};
use super::little::{EPOCH, bzimage, little_build, vmlinux};
use super::support::outcome;
use super::{builder, json};

/// The names of the checks that failed, and the whole answer.
fn failed(image: &Path) -> (Vec<String>, Value) {
    let folder = tempfile::tempdir().unwrap();
    let (code, verdict) = json(builder(folder.path()).arg("verify").arg(image));
    let checks = verdict["checks"].as_array().unwrap().iter();
    let failed = checks.filter(|check| check["status"] == "failed");
    let names: Vec<String> =
        failed.map(|check| check["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(verdict["ok"], names.is_empty());
    assert_eq!(code, if names.is_empty() { 0 } else { 8 }, "{verdict:#}");
    (names, verdict)
}

#[test]
fn a_whole_image_passes_every_check_by_file_and_by_id() {
    let parts = Parts::new();
    let image = parts.write("a.aci");
    let (names, verdict) = failed(&image);
    assert!(names.is_empty(), "{verdict:#}");
    assert_eq!(verdict["checks"].as_array().unwrap().len(), 11);

    let folder = tempfile::tempdir().unwrap();
    let id = in_store(&folder.path().join("cache"), &image, "6.12.0");
    assert_eq!(verdict["id"], id.as_str());
    let (code, stdout, _) = outcome(builder(folder.path()).args(["verify", &id[..20]]));
    assert_eq!(code, 0, "{stdout}");
    assert!(stdout.contains(&id) && stdout.contains("all of 11 checks are ok"), "{stdout}");
    let (code, stdout, _) = outcome(builder(folder.path()).args(["-q", "verify", &id[..20]]));
    assert_eq!((code, stdout.as_str()), (0, ""), "quiet says what failed");
}

#[test]
fn each_damage_is_found_by_its_check_alone() {
    let other = "CONFIG_OTHER=y\n";
    let without_pci = |parts: &Parts| {
        let text = String::from_utf8(parts.read(&module("config"))).unwrap();
        text.replace("CONFIG_PCI=y\n", "CONFIG_PCI=m\n")
    };
    let whole = Parts::new();
    let config = without_pci(&whole);
    let (kernel, drop_in) = (whole.read("kernel_image"), "usr/lib64/systemd");
    let no_reboot = vmlinux(std::str::from_utf8(&whole.read(&module("config"))).unwrap());
    let no_reboot = bzimage(&no_reboot[..no_reboot.len() - 5]);
    let leak = b"/srv/ci/work-v1/0123456789abcdef-x86_64-0/linux";
    let config_path = module("config");
    let both =
        [(config_path.as_str(), config.as_bytes()), ("kernel_image", &bzimage(&vmlinux(&config)))];
    let header = module("source/include/linux/kconfig.h");
    let provenance = module("provenance.json");
    let cases: Vec<(&str, Parts)> = vec![
        ("kernel", Parts::new().with(&["kernel_image"], &[("bzImage", &kernel)])),
        (
            "configuration",
            Parts::new()
                .with(&[], &[(&config_path, &[whole.read(&config_path), other.into()].concat())]),
        ),
        ("rkt", Parts::new().with(&[], &[("kernel_image", &no_reboot)])),
        ("rkt", Parts::new().with(&[], &both)),
        ("headers", Parts::new().with(&[&header], &[])),
        ("headers", Parts::new().with(&[&module("build")], &[])),
        ("headers", Parts::new().with(&[], &[(&module("include/linux/.install"), b"")])),
        ("guest-program", Parts::new().with(&[drop_in], &[])),
        ("guest-program", Parts::new().with(&["usr/lib64/stage1-builder"], &[])),
        ("provenance", Parts::new().with(&[&provenance], &[])),
        ("host-paths", Parts::new().with(&[], &[(&header, leak)])),
        ("structure", Parts::new().with(&[], &[("lib/x", b"")])),
    ];
    for (check, parts) in cases {
        let (names, verdict) = failed(&parts.write("damaged.aci"));
        assert_eq!(names, [check], "{verdict:#}");
    }
    // What nobody knows is not taken for built in.
    let (names, verdict) = failed(&Parts::new().with(&[&config_path], &[]).write("damaged.aci"));
    assert_eq!(names, ["configuration", "rkt"], "{verdict:#}");
    assert!(verdict.to_string().contains("its configuration is not known"), "{verdict:#}");
}

#[test]
fn a_manifest_and_a_label_are_held_against_the_kernel() {
    let mut parts = Parts::new();
    parts.manifest.annotations.retain(|annotation| !annotation.name.ends_with("/attach"));
    let (names, verdict) = failed(&parts.write("a.aci"));
    assert_eq!(names, ["manifest"]);
    let details = verdict["checks"][1]["details"].to_string();
    assert!(details.contains("stage1/attach=/attach is absent"), "{details}");

    let mut parts = Parts::new();
    let version = KernelVersion::new(6, 12, 1).to_string();
    let label = parts.manifest.labels.iter_mut().find(|label| label.name == "kernelversion");
    label.unwrap().value = version;
    let (names, _) = failed(&parts.write("b.aci"));
    assert_eq!(names, ["rkt", "provenance"], "the kernel is not what the label says");
}

#[test]
fn an_archive_of_somebody_else_is_told_from_ours() {
    let parts = Parts::new();
    let image = parts.write("a.aci");
    let bytes = fs::read(&image).unwrap();
    // Written by another program: another owner, another order.
    let mut from = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
    let mut to = tar::Builder::new(Vec::new());
    for entry in from.entries().unwrap() {
        let mut entry = entry.unwrap();
        let (mut header, path) = (entry.header().clone(), entry.path().unwrap().into_owned());
        header.set_uid(1000);
        match entry.link_name().unwrap() {
            Some(target) => to.append_link(&mut header, path, target).unwrap(),
            None => to.append_data(&mut header, path, &mut entry).unwrap(),
        }
    }
    let other = parts.folder.path().join("other.aci");
    fs::write(&other, to.into_inner().unwrap()).unwrap();
    let (names, verdict) = failed(&other);
    assert_eq!(names, ["structure", "determinism"]);
    assert!(verdict["checks"][0]["details"][0].as_str().unwrap().contains("1000:0"));

    fs::write(&other, &bytes[..bytes.len() / 2]).unwrap();
    let (names, verdict) = failed(&other);
    assert_eq!((names, &verdict["id"]), (vec!["structure".to_owned()], &Value::Null));
}

/// One build in every form that an image can lie in: ACI, archives of a layout
/// and of plain files, and both laid out.
fn every_form(folder: &Path) -> [PathBuf; 5] {
    let artifacts = little_build(folder);
    let upstream = UPSTREAMS.last().unwrap().version;
    let wanted = Wanted {
        provenance: &provenance(),
        stage1: Some(upstream),
        any_config: false,
        vmlinux: Vmlinux::None,
    };
    let tree = kernel_tree(&artifacts, &wanted).unwrap();
    let about = oci::About {
        name: DEFAULT_NAME.to_owned(),
        kernel: artifacts.version,
        release: artifacts.release.clone(),
        arch: Arch::X86_64,
    };
    let manifest =
        Manifest::stage1_kvm(DEFAULT_NAME, upstream, &artifacts.version, Arch::X86_64).unwrap();
    let form = Form::stage1(upstream).unwrap();
    let kinds = [Kind::Aci { manifest, form }, Kind::Oci(about), Kind::Dir];
    let names = ["image.aci", "layout.tar", "files.tar.gz", "layout", "files"];
    let paths = names.map(|name| folder.join(name));
    let mut files: Vec<std::fs::File> = paths[..3].iter().map(|path| create(path)).collect();
    let target = |(kind, to)| Target { kind, to };
    let mut targets: Vec<Target<'_>> = kinds.into_iter().zip(&mut files).map(target).collect();
    let options = WriteOptions { epoch: EPOCH, ..WriteOptions::default() };
    pack::write_all(&tree, &mut targets, &options, &Silent).unwrap();
    oci::unpack(fs::File::open(&paths[1]).unwrap(), &paths[3]).unwrap();
    pack::unpack_files(fs::File::open(&paths[2]).unwrap(), &paths[4]).unwrap();
    paths
}

fn create(path: &Path) -> std::fs::File {
    let options = fs::OpenOptions::new().read(true).write(true).create_new(true).open(path);
    options.unwrap().into_parts().0
}

#[test]
fn images_of_every_form_pass_and_have_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let paths = every_form(folder.path());
    let verdicts: Vec<Value> = paths
        .iter()
        .map(|path| {
            let (names, verdict) = failed(path);
            assert!(names.is_empty(), "{verdict:#}");
            verdict
        })
        .collect();
    let count = |verdict: &Value| verdict["checks"].as_array().unwrap().len();
    let counts: Vec<usize> = verdicts.iter().map(count).collect();
    assert_eq!(counts, [11, 9, 8, 9, 8], "of other images less is asked than of an ACI");
    assert_eq!(verdicts[1]["id"], verdicts[3]["id"], "a layout is its archive");
    assert_eq!(verdicts[2]["id"], verdicts[4]["id"], "and files are theirs");
    for (index, other) in paths.iter().enumerate().skip(1) {
        let (code, told) = json(builder(folder.path()).arg("diff").arg(&paths[0]).arg(other));
        assert_eq!(code, 0);
        for kind in ["config", "files"] {
            for how in ["added", "removed", "changed"] {
                assert_eq!(told[kind][how], serde_json::json!([]), "{other:?} {kind}");
            }
            assert!(told[kind]["same"].as_u64().unwrap() > 3, "{index} {kind}");
        }
    }
}

#[test]
fn a_layout_that_is_not_what_it_says_is_told_from_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let layout = every_form(folder.path())[3].clone();
    let index = layout.join("index.json");
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, text.replace("\"Linux 6.12.0\"", "\"Linux 6.12.1\"")).unwrap();
    let (names, verdict) = failed(&layout);
    assert_eq!(names, ["structure"], "{verdict:#}");
    assert!(verdict["checks"][0]["details"][0].to_string().contains("in the index"));

    fs::write(&index, text).unwrap();
    let blobs: Vec<_> = fs::read_dir(layout.join("blobs/sha256")).unwrap().collect();
    let size = |path: &Path| fs::metadata(path).unwrap().len();
    let blobs = blobs.into_iter().map(|entry| entry.unwrap().path());
    let layer = blobs.max_by_key(|path| size(path)).unwrap();
    let mut bytes = fs::read(&layer).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&layer, bytes).unwrap();
    let (names, _) = failed(&layout);
    assert!(names.contains(&"structure".to_owned()), "{names:?}");
}

#[test]
fn what_is_not_there_is_not_found() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = outcome(builder(folder.path()).args(["verify", "sha512-0123"]));
    assert_eq!((code, stdout.as_str()), (4, ""));
    assert!(stderr.contains("no such file") && stderr.contains("hint: "), "{stderr}");
}
