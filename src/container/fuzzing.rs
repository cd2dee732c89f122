//! What is tried with images of containers. See [`crate::fuzzing`].

use std::io::{Cursor, Read};
use std::path::Path;

use fs_err as fs;

use super::layer::{Unpacker, Whiteouts};
use super::manifest::{Config, Document, choose, tagged};
use super::squashfs::{self, Writer};
use super::tree::{Kind, Tree};
use super::{Limits, Options, PullPolicy, Reference, RegistryName, Root};
use super::{aci, archive, credentials, images, ready, reference, registry, unpack};
use crate::fuzzing::{files, folder, record, summed};
use crate::http::Patience;
use crate::pack::aci::{Manifest, Whole};
use crate::report::Silent;
use crate::settings::Arch;

/// What a container may be here.
const LIMITS: Limits = Limits { bytes: 4 << 20, entries: 1000 };

fn options(folder: &Path) -> Options<'_> {
    Options {
        folder,
        arch: Arch::X86_64,
        pull: PullPolicy::Never,
        insecure_http: false,
        insecure_tls: false,
        credentials: None,
        limits: LIMITS,
        patience: Patience::default(),
    }
}

/// The name of an image, and how a registry says that it wants to be asked.
pub fn container_names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(name) = text.parse::<RegistryName>() {
        assert!(!name.repository.contains("..") && !name.registry.contains(['/', '@', '?', '#']));
        assert!(name.tag.is_some() || name.digest.is_some());
        let shown = name.to_string();
        let bare = shown.strip_prefix("docker://").unwrap_or(&shown);
        assert_eq!(bare.parse::<RegistryName>().ok(), Some(name), "{shown}");
    }
    // Others are looked for on the host.
    if text.starts_with("docker://")
        && let Ok(root) = Root::parse(&text)
    {
        assert!(matches!(root, Root::Image(Reference::Registry(_))));
    }
    registry::fuzzing::headers(&text);
}

/// Manifests, lists and configurations, and a user's file of passwords.
pub fn container_documents(bytes: &[u8]) {
    let [document, config, passwords] = files(bytes);
    if let Ok(Document::Index(list)) = Document::parse(document, "x") {
        if let Ok(chosen) = choose(&list, Arch::X86_64, "x") {
            assert!(list.contains(chosen));
        }
        for tag in [None, Some("latest")] {
            if let Ok(chosen) = tagged(&list, tag, Arch::X86_64, "x") {
                assert!(list.contains(chosen));
            }
        }
    }
    if let Ok(config) = Config::parse(config, Arch::X86_64, "x") {
        let process = config.process();
        record::<super::Process>(&crate::kept::to_bytes(&process).unwrap_or_default());
        assert!(process.mounts.iter().all(|mount| mount.name.starts_with("volume-")));
    }
    let folder = folder();
    let file = folder.path().join("config.json");
    // A helper would be a program.
    let helpers = [&b"redHelper"[..], b"redsStore", b"\\u"];
    if !helpers.iter().any(|word| passwords.windows(word.len()).any(|found| found == *word)) {
        assert!(fs::write(&file, passwords).is_ok());
        for registry in ["docker.io", "a.example"] {
            if let Ok(Some(found)) = credentials::of(registry, &file) {
                assert!(found.basic().starts_with("Basic "));
            }
        }
    }
}

/// Layers over each other: every name and every byte that is kept can be
/// read back, and nothing is more than the limits.
pub fn layers(bytes: &[u8]) {
    let layers = files::<3>(bytes).map(summed);
    for whiteouts in [Whiteouts::Obeyed, Whiteouts::Plain] {
        let folder = folder();
        let Some(mut unpacker) = unpacker(folder.path(), whiteouts) else { return };
        let mut stored = Vec::new();
        for layer in &layers {
            let mut plain = Cursor::new(layer);
            let result = unpacker.apply(&mut plain, "x", |entry, _| {
                stored.push(entry.path.clone());
                Ok(true)
            });
            if result.is_err() {
                break;
            }
        }
        assert!(stored.len() <= 2 + bytes.len() / 512);
        let Ok((file, tree)) = unpacker.finish_with_tree() else { return };
        readable(&file, &tree, bytes);
    }
}

fn unpacker(folder: &Path, whiteouts: Whiteouts) -> Option<Unpacker> {
    let file = tempfile::tempfile_in(folder).ok()?;
    Some(Unpacker::new(Writer::new(file).ok()?, LIMITS, whiteouts))
}

/// Every file of the tree can be read, and has bytes of the input only.
fn readable(file: &std::fs::File, tree: &Tree, bytes: &[u8]) {
    for (folder, _) in tree.folders() {
        for (name, &id) in tree.names(folder).into_iter().flatten() {
            let proper = !matches!(&**name, b"" | b"." | b"..") && !name.contains(&b'/');
            assert!(proper && name.len() <= 255);
            if let Kind::File(extent) = &tree.get(id).kind {
                let content =
                    squashfs::read(file, extent).unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(content.len() as u64, extent.size);
                assert!(content.len() <= bytes.len());
            }
        }
    }
    let length = file.metadata().map_or(0, |found| found.len());
    assert!(length <= 64 * 1024 + 16 * bytes.len() as u64, "{length}");
}

/// An archive by `docker save` or of OCI's layout, in whatever compression.
pub fn container_archive(bytes: &[u8]) {
    let folder = folder();
    let path = folder.path().join("image.tar");
    assert!(fs::write(&path, summed(bytes)).is_ok());
    _ = reference::is_aci(&path);
    let options = options(folder.path());
    for tag in [None, Some("latest")] {
        let Ok(found) = archive::find(&path, tag, &options) else { continue };
        let Ok(ready) = ready(&found, &options) else { continue };
        let Ok(file) = tempfile::tempfile_in(folder.path()) else { continue };
        if let Ok((file, record)) = unpack::unpack(&found, &ready, file, &options, &Silent) {
            assert_eq!(record.id, found.id);
            assert!(file.metadata().is_ok_and(|found| found.len() <= 2 * LIMITS.bytes));
        }
    }
    assert_eq!(fs::read_dir(folder.path()).map_or(0, Iterator::count), 1);
}

/// An App Container Image, as `run` and as `verify` read it: of what both
/// take, both have the same id and name.
pub fn aci(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::from_json(bytes) {
        let written = manifest.to_json().unwrap_or_default();
        assert_eq!(Manifest::from_json(&written).ok(), Some(manifest));
    }
    let folder = folder();
    let path = folder.path().join("image.aci");
    assert!(fs::write(&path, summed(bytes)).is_ok());
    let whole = Whole::load(&path);
    if let Ok(whole) = &whole {
        for entry in &whole.entries {
            let outside = |part: &str| matches!(part, "." | "..");
            assert!(!entry.path.starts_with('/') && !entry.path.split('/').any(outside));
        }
    }
    let Ok(file) = tempfile::tempfile_in(folder.path()) else { return };
    let ran = aci::unpack(&path, "x", file, &options(folder.path()), &Silent);
    if let (Ok(whole), Ok((_, record))) = (&whole, ran) {
        assert_eq!(record.id, whole.summary.id);
        assert_eq!(record.name.as_ref(), Some(&whole.summary.manifest.name));
    }
    if let Ok(file) = tempfile::tempfile_in(folder.path())
        && let Ok((file, tree)) = aci::stage1_rootfs(&path, file, &mut |entry, bytes| {
            let small = entry.size <= LIMITS.bytes;
            Ok(small && bytes.take(0).read(&mut []).is_ok())
        })
    {
        assert!(tree.len() > 0 && file.metadata().is_ok());
    }
}

/// Records of this room.
pub(crate) fn records(bytes: &[u8]) {
    record::<images::Record>(bytes);
    registry::fuzzing::records(bytes);
}
