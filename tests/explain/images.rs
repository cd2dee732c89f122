//! Little images, right and wrong.

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::json;
use stage1_builder::content::{Content, Node, Rootfs, UPSTREAMS, stage1_kvm};
use stage1_builder::pack::aci::{self, DEFAULT_NAME, Manifest, WriteOptions};
use stage1_builder::report::Silent;
use stage1_builder::settings::{Arch, Format};

use super::little::{EPOCH, RELEASE, little_build};

/// The parts of an image, before it is written.
pub(crate) struct Parts {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) manifest: Manifest,
    pub(crate) rootfs: Rootfs,
}

/// The modules folder of [`Parts`].
pub(crate) fn module(name: &str) -> String {
    format!("usr/lib64/modules/{RELEASE}/{name}")
}

impl Parts {
    /// Those of a whole image.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = little_build(folder.path());
        let upstream = UPSTREAMS.last().unwrap().version;
        let rootfs = stage1_kvm(&artifacts, upstream, &provenance(), false).unwrap();
        let manifest =
            Manifest::stage1_kvm(DEFAULT_NAME, upstream, &artifacts.version, Arch::X86_64).unwrap();
        Self { folder, manifest, rootfs }
    }

    /// Without these paths, and with these files.
    pub(crate) fn with(mut self, without: &[&str], files: &[(&str, &[u8])]) -> Self {
        let mut changed = Rootfs::new();
        let gone = |path: &str| {
            let same = |other: &&str| path == *other || path.starts_with(&format!("{other}/"));
            without.iter().any(same) || files.iter().any(|(other, _)| path == *other)
        };
        for (path, node) in self.rootfs.iter().filter(|(path, _)| !gone(path)) {
            changed.insert(path, node.clone()).unwrap();
        }
        for (path, bytes) in files {
            changed.insert_bytes(path, bytes.to_vec(), false).unwrap();
        }
        self.rootfs = changed;
        self
    }

    /// A file's bytes.
    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        match self.rootfs.get(path) {
            Some(Node::File { content: Content::Bytes(bytes), .. }) => bytes.to_vec(),
            Some(Node::File { content: Content::Path(from), .. }) => fs::read(from).unwrap(),
            other => panic!("{path}: {other:?}"),
        }
    }

    /// Writes the image.
    pub(crate) fn write(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        let options = WriteOptions { epoch: EPOCH, ..WriteOptions::default() };
        let mut file = fs::File::create(&path).unwrap();
        aci::write(&self.manifest, &self.rootfs, &options, &mut file, &Silent).unwrap();
        path
    }
}

pub(crate) fn provenance() -> Vec<u8> {
    let provenance = json!({
        "format": 1,
        "kernel": {"version": "6.12.0", "release": RELEASE, "arch": "x86_64", "epoch": EPOCH},
        "source": {
            "provider": "kernel.org",
            "name": "linux-6.12.tar.xz",
            "digest": format!("sha256:{}", "0".repeat(64)),
            "verified": {"by": "open-pgp", "fingerprint": "647F28654894E3BD457199BE38DBBDC86092693E"},
        },
        "patches": [], "fixes": [],
        "toolchain": {"cc": {"text": "gcc (Debian 12.2.0-14) 12.2.0"}},
        "insecure_options": [],
        "key": format!("sha256:{}", "1".repeat(64)),
    });
    serde_json::to_vec(&provenance).unwrap()
}

/// An image that was put into a store.
pub(crate) fn in_store(cache: &Path, image: &Path, kernel: &str) -> String {
    use stage1_builder::digest::Digest;
    use stage1_builder::store::{Record, Store};
    let summary = aci::read_file(image, |_, _| Ok(())).unwrap();
    let bytes = fs::read(image).unwrap();
    let store = Store::new(cache).images();
    let mut new = store.start(&Digest::sha256(kernel.as_bytes()), Format::Aci).unwrap();
    std::io::Write::write_all(new.file(), &bytes).unwrap();
    let record = Record {
        format: Format::Aci,
        id: summary.id.clone(),
        file: Digest::sha256(&bytes),
        size: bytes.len() as u64,
        name: summary.manifest.name.clone(),
        kernel: kernel.to_owned(),
        release: format!("{kernel}-kinvolk-v1"),
        labels: std::collections::BTreeMap::new(),
        source: String::new(),
    };
    new.commit(&record).unwrap();
    summary.id.appc()
}
