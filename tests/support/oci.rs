//! Images in OCI's layout, built entry by entry, a registry that serves
//! them, and looking at what has become of them.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;
use serde_json::{Value, json};
use stage1_builder::digest::Digest;
use stage1_builder::proc::Program;

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A layer that is being written.
pub(crate) struct Layer(tar::Builder<Vec<u8>>);

/// An entry's header, as most tests want it.
pub(crate) fn header(kind: u8, mode: u32, owner: (u64, u64)) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(mode);
    header.set_uid(owner.0);
    header.set_gid(owner.1);
    header.set_mtime(1_600_000_000);
    header.set_size(0);
    header
}

impl Layer {
    pub(crate) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    pub(crate) fn entry(mut self, mut header: tar::Header, path: &str, bytes: &[u8]) -> Self {
        header.set_size(bytes.len() as u64);
        self.0.append_data(&mut header, path, bytes).unwrap();
        self
    }

    pub(crate) fn extended(mut self, records: &[(&str, &[u8])]) -> Self {
        self.0.append_pax_extensions(records.iter().copied()).unwrap();
        self
    }

    pub(crate) fn dir(self, path: &str) -> Self {
        self.entry(header(b'5', 0o755, (0, 0)), path, b"")
    }

    pub(crate) fn file(self, path: &str, bytes: &[u8]) -> Self {
        self.entry(header(b'0', 0o644, (0, 0)), path, bytes)
    }

    pub(crate) fn link(mut self, kind: u8, path: &str, target: &str) -> Self {
        self.0.append_link(&mut header(kind, 0o777, (0, 0)), path, target).unwrap();
        self
    }

    pub(crate) fn device(self, path: &str, kind: u8, major: u32, minor: u32) -> Self {
        let mut header = header(kind, 0o666, (0, 5));
        header.set_device_major(major).unwrap();
        header.set_device_minor(minor).unwrap();
        self.entry(header, path, b"")
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// What a layer is compressed with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Packed {
    Plain,
    Gzip,
    Zstd,
}

impl Packed {
    pub(crate) fn pack(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => bytes.to_vec(),
            Self::Zstd => zstd::encode_all(bytes, 1).unwrap(),
            Self::Gzip => {
                let to = Vec::new();
                let mut gzip = flate2::write::GzEncoder::new(to, flate2::Compression::fast());
                gzip.write_all(bytes).unwrap();
                gzip.finish().unwrap()
            }
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// A layout in a folder.
pub(crate) struct Layout {
    pub(crate) path: PathBuf,
    manifests: Vec<Value>,
}

impl Layout {
    /// The image `v1` as a file of another kind, by skopeo.
    pub(crate) fn archive(&self, kind: &str, file: &Path) {
        Program::new("skopeo")
            .args(["--insecure-policy", "copy", "--quiet"])
            .arg(format!("oci:{}:v1", self.path.display()))
            .arg(format!("{kind}:{}:example.com/app:v1", file.display()))
            .run()
            .expect("skopeo");
    }

    pub(crate) fn new(path: PathBuf) -> Self {
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
        Self { path, manifests: Vec::new() }
    }

    pub(crate) fn blob(&self, bytes: &[u8], media_type: &str) -> Value {
        let digest = Digest::sha256(bytes);
        fs::write(self.path.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    }

    /// Adds an image; gives its manifest's digest.
    pub(crate) fn image(
        &mut self,
        tag: &str,
        architecture: &str,
        layers: &[(Vec<u8>, Packed)],
        config: &Value,
    ) -> String {
        let ids: Vec<String> =
            layers.iter().map(|(layer, _)| Digest::sha256(layer).to_string()).collect();
        self.image_with_ids(tag, architecture, layers, &ids, config)
    }

    pub(crate) fn image_with_ids(
        &mut self,
        tag: &str,
        architecture: &str,
        layers: &[(Vec<u8>, Packed)],
        ids: &[String],
        config: &Value,
    ) -> String {
        let config = json!({"architecture": architecture, "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": ids}});
        let config = serde_json::to_vec(&config).unwrap();
        let config = self.blob(&config, "application/vnd.oci.image.config.v1+json");
        let layers: Vec<Value> = layers
            .iter()
            .map(|(layer, packed)| self.blob(&packed.pack(layer), packed.media_type()))
            .collect();
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers,
            "mediaType": "application/vnd.oci.image.manifest.v1+json"});
        let bytes = serde_json::to_vec(&manifest).unwrap();
        let mut entry = self.blob(&bytes, "application/vnd.oci.image.manifest.v1+json");
        let digest = entry["digest"].as_str().unwrap().to_owned();
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        self.manifests.push(entry);
        let index = json!({"schemaVersion": 2, "manifests": self.manifests});
        fs::write(self.path.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
        digest
    }
}

/// What a file of an unpacked tree is, without its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    mode: u32,
    owner: (u32, u32),
    size: u64,
    device: u64,
    mtime: i64,
    content: String,
    attributes: BTreeMap<String, Vec<u8>>,
    /// The first name of the same file.
    same_as: PathBuf,
}

/// Everything below a folder.
pub(crate) fn seen(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut first = BTreeMap::new();
    let entries = walkdir::WalkDir::new(root).sort_by_file_name().into_iter();
    let mut look = |entry: walkdir::DirEntry| {
        let path = entry.path().strip_prefix(root).unwrap().to_owned();
        let found = fs::symlink_metadata(entry.path()).unwrap();
        let kind = found.file_type();
        let content = match () {
            () if kind.is_symlink() => fs::read_link(entry.path()).unwrap().display().to_string(),
            () if kind.is_file() => Digest::sha256_of_file(entry.path()).unwrap().to_string(),
            () => String::new(),
        };
        let seen = Seen {
            mode: found.mode(),
            owner: (found.uid(), found.gid()),
            size: if kind.is_dir() { 0 } else { found.size() },
            device: found.rdev(),
            mtime: if kind.is_dir() { 0 } else { found.mtime() },
            content,
            attributes: attributes(entry.path()),
            same_as: first.entry(found.ino()).or_insert_with(|| path.clone()).clone(),
        };
        (path, seen)
    };
    entries.map(|entry| look(entry.unwrap())).collect()
}

fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0u8; 1 << 16];
    let count = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let names = names[..count].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0u8; 1 << 16];
        let os = std::ffi::OsStr::from_bytes(name);
        let length = rustix::fs::lgetxattr(path, os, &mut value[..]).unwrap();
        value[..length].to_vec()
    };
    names.map(|name| (String::from_utf8_lossy(name).into_owned(), value(name))).collect()
}

/// What `unsquashfs` makes of an image.
pub(crate) fn unsquashed(rootfs: &Path, into: &Path) -> BTreeMap<PathBuf, Seen> {
    Program::new("unsquashfs")
        .args(["-no-progress", "-dest"])
        .args([into, rootfs])
        .run()
        .expect("squashfs-tools");
    seen(into)
}

/// A registry on the loopback, which ends with the test's process.
pub(crate) struct Registry {
    pub(crate) address: String,
    pub(crate) storage: PathBuf,
}

impl Registry {
    /// Starts one on an address; `more` are further lines of its settings.
    pub(crate) fn start(folder: &Path, host: &str, more: &str) -> Self {
        let port = std::net::TcpListener::bind((host, 0)).unwrap().local_addr().unwrap().port();
        let (address, storage) = (format!("{host}:{port}"), folder.join("storage"));
        let config = folder.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '{address}'}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\n{more}",
            storage.display()
        );
        fs::write(&config, text).unwrap();
        std::thread::spawn(move || {
            let program = Program::new("docker-registry").arg("serve").arg(config);
            program.stream(|_, _| {}).expect("docker-registry");
        });
        let end = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < end, "docker-registry does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { address, storage }
    }

    /// Pushes an image of a layout with skopeo.
    pub(crate) fn push(&self, layout: &Path, tag: &str, name: &str, more: &[&str]) {
        Program::new("skopeo")
            .args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"])
            .args(more)
            .arg(format!("oci:{}:{tag}", layout.display()))
            .arg(format!("docker://{}/{name}", self.address))
            .run()
            .expect("skopeo");
    }

    /// The file that holds a blob.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let folder = self.storage.join("docker/registry/v2/blobs/sha256");
        folder.join(&hex[..2]).join(hex).join("data")
    }
}
