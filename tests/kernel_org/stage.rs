//! A mirror, a signer and an empty store: what every test begins with.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use fs_err as fs;
use stage1_builder::digest::Digest;
use stage1_builder::report::{Collected, Event};
use stage1_builder::source::{
    self, Error, Options, Patience, Provider, Resolved, Source, Verified,
};

use super::mirror::{Mirror, Signer};

pub(crate) const RELEASES: &str = r#"{"latest_stable": {"version": "6.18.3"}, "releases": [
    {"version": "6.19-rc4", "moniker": "mainline"},
    {"version": "6.18.3", "moniker": "stable"},
    {"version": "6.12.3", "moniker": "longterm"},
    {"version": "6.6.119", "moniker": "longterm"}]}"#;
pub(crate) const ARCHIVE: &str = "/v6.x/linux-6.12.3.tar.xz";
pub(crate) const SIGNATURE: &str = "/v6.x/linux-6.12.3.tar.sign";
pub(crate) const SUMS: &str = "/v6.x/sha256sums.asc";

/// Bytes that don't compress, so that there is a middle to break at.
fn noise() -> Vec<u8> {
    (0u64..40_000).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect()
}

pub(crate) fn tar(version: &str) -> Vec<u8> {
    let noise = noise();
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in [("Makefile", b"VERSION = 6\n".as_slice()), ("noise", &noise)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        let path = format!("linux-{version}/{name}");
        builder.append_data(&mut header, path, content).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A mirror with 6.12.3 on it, and an empty store.
pub(crate) struct Stage {
    pub(crate) mirror: Mirror,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) archive: Vec<u8>,
    pub(crate) reporter: Collected,
    pub(crate) base: String,
    pub(crate) releases: String,
    pub(crate) snapshots: String,
    pub(crate) wkd: String,
    pub(crate) keyring: PathBuf,
    pub(crate) signer: Signer,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let (mirror, folder) = (Mirror::start(), tempfile::tempdir().unwrap());
        let signer = Signer::new();
        let tar = tar("6.12.3");
        let archive = xz(&tar);
        mirror.put("/releases.json", RELEASES);
        mirror.put(ARCHIVE, archive.clone());
        mirror.put(SIGNATURE, signer.detached(&tar));
        let keyring = folder.path().join("keyring.asc");
        fs::write(&keyring, signer.armored_key()).unwrap();
        Self {
            base: mirror.url(""),
            releases: mirror.url("/releases.json"),
            snapshots: mirror.url("/snapshots"),
            wkd: mirror.url("/hu"),
            archive,
            reporter: Collected::default(),
            keyring,
            signer,
            mirror,
            folder,
        }
    }

    pub(crate) fn downloads(&self) -> PathBuf {
        self.folder.path().join("downloads")
    }

    /// Where trees are unpacked.
    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub(crate) fn in_work(&self) -> Vec<String> {
        let entries = fs::read_dir(self.work()).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(Options) -> T) -> T {
        let (downloads, state) = (self.downloads(), self.folder.path().join("apt"));
        let work = self.work();
        act(Options {
            sources: &[Provider::KernelOrg],
            kernel_org_url: &self.base,
            releases_url: &self.releases,
            snapshot_url: &self.snapshots,
            wkd_url: &self.wkd,
            keyring: Some(&self.keyring),
            sha256: None,
            insecure_source: false,
            downloads: &downloads,
            state: &state,
            own: None,
            refresh: false,
            ahead: Some(&work),
            patience: Patience {
                contact: Duration::from_secs(2),
                stall: Duration::from_millis(500),
                backoff: Duration::from_millis(10),
                attempts: 3,
            },
        })
    }

    pub(crate) fn resolve(&self, request: &str) -> Result<String, Error> {
        let request = request.parse().unwrap();
        let resolved = self.with(|options| source::resolve(request, &options, &self.reporter));
        resolved.map(|found| found.version.to_string())
    }

    pub(crate) fn fetch(&self) -> Result<Source, Error> {
        self.with(|options| self.fetch_with("6.12.3", &options))
    }

    pub(crate) fn fetch_with(&self, version: &str, options: &Options) -> Result<Source, Error> {
        let version = version.parse().unwrap();
        let resolved = Resolved { version, provider: Provider::KernelOrg, package: None };
        source::fetch(&resolved, options, &self.reporter)
    }

    pub(crate) fn by_signer(&self) -> Verified {
        Verified::OpenPgp { fingerprint: self.signer.fingerprint.clone() }
    }

    /// What lies in the archives' folder, without locks.
    pub(crate) fn left(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.downloads().join("kernel.org")) else {
            return Vec::new();
        };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.ends_with(".lock")).collect();
        names.sort();
        names
    }

    pub(crate) fn said(&self, text: &str) -> bool {
        self.reporter.events().iter().any(|event| match event {
            Event::Note(said) | Event::Warning(said) => said.contains(text),
            _ => false,
        })
    }

    /// What is unpacked is what was packed, whenever that was done.
    #[track_caller]
    pub(crate) fn expect_tree(&self, source: &Source) {
        let into = self.folder.path().join("tree");
        source::unpack_source(source, &into, &self.reporter).unwrap();
        assert!(fs::read(into.join("noise")).unwrap() == noise());
        fs::remove_dir_all(&into).unwrap();
    }

    #[track_caller]
    pub(crate) fn expect_whole(&self, source: &Source) {
        let Source::Tarball(archive) = source else { panic!("no tarball") };
        assert!(fs::read(&archive.path).unwrap() == self.archive);
        assert_eq!(*source.digest(), Digest::sha256(&self.archive));
        assert_eq!(self.left(), ["linux-6.12.3.tar.xz", "linux-6.12.3.tar.xz.json"]);
    }
}
