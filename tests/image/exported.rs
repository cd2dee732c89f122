//! Images of a store, written to elsewhere by `images export`.

use std::collections::BTreeMap;
use std::path::Path;

use fs_err as fs;
use stage1_builder::digest::Digest;
use stage1_builder::pack::{self, Compression, Target};
use stage1_builder::proc::Program;
use stage1_builder::report::Silent;
use stage1_builder::settings::{Format, Vmlinux};
use stage1_builder::store::{Record, Store};

use super::formats::{kind, tree};
use super::{RELEASE, little_build, options, run};

/// A store with an image of the little build in each format; their ids.
fn store(folder: &Path) -> BTreeMap<Format, String> {
    let artifacts = little_build(folder);
    let images = Store::new(&folder.join("cache")).images();
    let tree = tree(&artifacts, Vmlinux::None);
    let write = |&format: &Format| {
        let key = Digest::sha256(format.as_str().as_bytes());
        let mut new = images.start(&key, format).unwrap();
        let mut targets = [Target { kind: kind(&artifacts, format), to: new.file() }];
        let options = options(Compression::Gzip);
        let packed = pack::write_all(&tree, &mut targets, &options, &Silent).unwrap().remove(0);
        let labels = [("arch", "amd64"), ("version", "1.30.0")];
        new.commit(&Record {
            format,
            id: packed.id.clone(),
            file: packed.file,
            size: packed.file_size,
            name: "example.com/kernel".to_owned(),
            kernel: "6.12.0".to_owned(),
            release: RELEASE.to_owned(),
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            source: "local linux".to_owned(),
        })
        .unwrap();
        (format, packed.id.to_string())
    };
    Format::ALL.iter().map(write).collect()
}

fn export(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Program::new(env!("CARGO_BIN_EXE_stage1-builder"))
        .args(["images", "export"])
        .args(arguments)
        .env("S1B_CACHE_DIR", folder.join("cache"))
        .dir(folder)
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), stdout, output.stderr)
}

#[test]
fn each_format_goes_where_it_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let (here, ids) = (folder.path(), store(folder.path()));
    for (format, to, there) in [
        (Format::Aci, "a.aci", "a.aci"),
        (Format::Aci, "into/", "into/stage1-kvm-1.30.0-linux-6.12.0.aci"),
        (Format::Oci, "layout", "layout/index.json"),
        (Format::Oci, "layout.tar", "layout.tar"),
        (Format::Dir, "files", "files/boot/vmlinuz"),
        (Format::Dir, "files.tar.gz", "files.tar.gz"),
    ] {
        let (code, stdout, stderr) = export(here, &[&ids[&format], to]);
        assert_eq!(code, 0, "{stderr}");
        assert!(here.join(stdout.trim()).exists() && here.join(there).is_file(), "{stdout}");
    }
    run("actool", &["--debug", "validate", here.join("a.aci").to_str().unwrap()]);
    let archive = format!("oci-archive:{}", here.join("layout.tar").display());
    run("skopeo", &["inspect", &archive]);
    run("tar", &["-tzf", here.join("files.tar.gz").to_str().unwrap()]);
}

#[test]
fn an_image_made_of_another_is_the_one_that_a_build_gives() {
    let folder = tempfile::tempdir().unwrap();
    let (here, ids) = (folder.path(), store(folder.path()));
    for from in Format::ALL {
        let (code, _, stderr) = export(here, &[&ids[from], "oci", "--format", "oci"]);
        assert_eq!(code, 0, "{stderr}");
        let config = ids[&Format::Oci].strip_prefix("sha256:").unwrap();
        assert!(here.join("oci/blobs/sha256").join(config).is_file(), "of {from}");
        fs::remove_dir_all(here.join("oci")).unwrap();
        let (code, _, stderr) = export(here, &[&ids[from], "dir", "--format", "dir"]);
        assert_eq!(code, 0, "{stderr}");
        let kept = here.join(format!("dir of {from}"));
        fs::rename(here.join("dir"), &kept).unwrap();
        let first = here.join("dir of aci");
        run("diff", &["-r", "--no-dereference", first.to_str().unwrap(), kept.to_str().unwrap()]);
    }
    let (code, _, stderr) = export(here, &[&ids[&Format::Oci], "x.aci", "--format", "aci"]);
    assert!(code == 2 && stderr.contains("--format aci"), "{code} {stderr}");
}

#[test]
fn a_damaged_image_goes_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let (here, ids) = (folder.path(), store(folder.path()));
    let id = &ids[&Format::Oci];
    let images = Store::new(&here.join("cache")).images();
    let file = images.by_id(id).unwrap().remove(0).file;
    let mut bytes = fs::read(&file).unwrap();
    bytes[2_000] ^= 1;
    fs::write(&file, bytes).unwrap();
    let (code, _, stderr) = export(here, &[id, "layout"]);
    assert!(code == 8 && stderr.contains("image.oci.tar is damaged"), "{code} {stderr}");
    assert!(!here.join("layout").exists() && images.by_id(id).is_err());
}
