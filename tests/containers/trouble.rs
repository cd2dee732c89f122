//! Images that are not what they say, and runs that were killed.

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::json;
use stage1_builder::container::{Error, Limits, Options, provide};
use stage1_builder::digest::Digest;
use stage1_builder::report::{Event, Fault, Reporter};

use super::{get, image, leftovers, options, small};
use crate::oci::{Layer, Layout, Packed, Registry};

#[test]
fn an_altered_blob_is_named_and_nothing_of_it_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let layout = small(folder.path());
    let registry = Registry::start(folder.path(), "127.0.0.1", "");
    registry.push(&layout.path, "v1", "app:v1", &[]);
    let layer = largest_blob(&layout.path);
    let digest = format!("sha256:{}", layer.file_name().unwrap().to_str().unwrap());
    let mut bytes = fs::read(&layer).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(registry.blob(&digest), &bytes).unwrap();
    let store = folder.path().join("store");
    let name = format!("docker://{}/app:v1", registry.address);
    let error = get(&name, &options(&store)).unwrap_err();
    assert!(matches!(error, Error::Altered { .. }), "{error}");
    assert!(error.to_string().contains(&digest), "{error}");
    assert_eq!(error.fault(), Fault::Verification);
    let kept = leftovers(&store);
    assert!(!kept.iter().any(|path| path.to_str().unwrap().contains(&digest[7..])), "{kept:?}");
    assert!(!kept.iter().any(|path| path.ends_with("rootfs.squashfs")));
    // Mended, the next run goes on.
    fs::copy(&layer, registry.blob(&digest)).unwrap();
    get(&name, &options(&store)).unwrap();

    // The same in a folder.
    fs::write(&layer, &bytes).unwrap();
    let store = folder.path().join("store2");
    let error = get(layout.path.to_str().unwrap(), &options(&store)).unwrap_err();
    assert!(matches!(error, Error::Altered { .. }), "{error}");
    assert!(leftovers(&store).is_empty());
    fs::write(&layer, &bytes[1..]).unwrap();
    let error = get(layout.path.to_str().unwrap(), &options(&store)).unwrap_err();
    assert!(matches!(error, Error::Length { .. }), "{error}");
}

fn largest_blob(layout: &Path) -> PathBuf {
    let blobs = fs::read_dir(layout.join("blobs/sha256")).unwrap();
    let paths = blobs.map(|entry| entry.unwrap().path());
    paths.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

#[test]
fn a_layer_that_is_not_what_the_configuration_says_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut layout = Layout::new(folder.path().join("layout"));
    let layers = [(Layer::new().file("a", b"").finish(), Packed::Gzip)];
    let other = Digest::sha256(b"other").to_string();
    layout.image_with_ids("v1", "amd64", &layers, &[other], &json!({}));
    let store = folder.path().join("store");
    let error = get(layout.path.to_str().unwrap(), &options(&store)).unwrap_err();
    assert!(error.to_string().contains("layer 1, unpacked: has the digest"), "{error}");
    assert!(leftovers(&store).is_empty());
    let ids = [];
    layout.image_with_ids("v2", "amd64", &layers, &ids, &json!({}));
    let error = get(&format!("oci:{}:v2", layout.path.display()), &options(&store)).unwrap_err();
    assert!(error.to_string().contains("1 layers and 0 digests"), "{error}");
}

#[test]
fn a_bomb_and_a_crowd_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut layout = Layout::new(folder.path().join("layout"));
    let bomb = Layer::new().file("big", &vec![0; 64 << 20]).finish();
    layout.image("v1", "amd64", &[(bomb, Packed::Zstd)], &json!({}));
    let store = folder.path().join("store");
    let limits = Limits { bytes: 10 << 20, entries: 100 };
    let limited = Options { limits, ..options(&store) };
    let error = get(layout.path.to_str().unwrap(), &limited).unwrap_err();
    assert!(matches!(error, Error::TooBig { .. }), "{error}");
    assert_eq!(error.fault(), Fault::Archive);
    assert!(leftovers(&store).is_empty());
}

#[test]
fn what_a_killed_run_left_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    let layout = small(folder.path());
    let store = folder.path().join("store");
    let path = layout.path.to_str().unwrap();
    let container = get(path, &options(&store)).unwrap();
    let slot = container.rootfs.parent().unwrap().to_owned();
    let key = slot.file_name().unwrap().to_str().unwrap();
    let temporary = slot.with_file_name(format!(".s1b-tmp-{key}"));
    fs::remove_dir_all(&slot).unwrap();
    fs::create_dir_all(&temporary).unwrap();
    fs::write(temporary.join("rootfs.squashfs"), "half").unwrap();
    assert_eq!(get(path, &options(&store)).unwrap(), container);
    assert!(!temporary.exists());
}

#[test]
fn stages_are_reported_to_any_reporter() {
    struct Counting(std::sync::atomic::AtomicU32);
    impl Reporter for Counting {
        fn event(&self, event: Event) {
            if let Event::Progress { done, total, .. } = event {
                assert!(total.is_some_and(|total| done <= total.count()));
                self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mut layout = Layout::new(folder.path().join("layout"));
    let layer =
        (0..8).fold(Layer::new(), |layer, n| layer.file(&format!("{n}"), &vec![n; 1 << 20]));
    layout.image("v1", "amd64", &[(layer.finish(), Packed::Plain)], &json!({}));
    let counting = Counting(0.into());
    let reference = image(layout.path.to_str().unwrap());
    provide(&reference, &options(&folder.path().join("store")), &counting).unwrap();
    assert!(counting.0.into_inner() >= 4);
}
