//! The forms that an image comes in: layouts, archives, ACIs.

use std::io::Read;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::{Value, json};
use stage1_builder::container::{Error, Options};
use stage1_builder::proc::Program;
use stage1_builder::settings::Arch;

use super::{config, files, get, options, small};
use crate::oci::{Layer, Layout, Packed, Registry, header, is_root, seen, unsquashed};

/// An image with something of everything. What only root can unpack is left
/// out for others.
fn everything() -> Vec<(Vec<u8>, Packed)> {
    let busybox = fs::read("/bin/busybox").expect("busybox-static");
    let long = "long/".repeat(30) + &"n".repeat(200);
    let mut lower = Layer::new()
        .entry(header(b'5', 0o755, (0, 0)), "./", b"")
        .dir("bin/")
        .entry(header(b'0', 0o4755, (0, 0)), "bin/busybox", &busybox)
        .link(b'1', "bin/sh", "bin/busybox")
        .link(b'2', "bin/ls", "busybox")
        .dir("usr/lib")
        .link(b'2', "lib", "usr/lib")
        .file("lib/through", b"a link")
        .dir("d")
        .file("d/a", b"a")
        .file("d/b", b"b")
        .dir("d/sub")
        .file("d/sub/c", b"c")
        .dir("op")
        .file("op/x", b"x")
        .dir("op/y")
        .file("op/y/z", b"z")
        .file("was-file", b"1")
        .dir("was-folder")
        .file("was-folder/in", b"2")
        .file("twice", b"first")
        .file("twice", b"second")
        .file("zeros", &vec![0; 1 << 20])
        .file("empty", b"")
        .file(&long, b"long")
        .entry(header(b'5', 0o1777, (0, 0)), "tmp", b"")
        .entry(header(b'6', 0o600, (0, 0)), "pipe", b"");
    if is_root() {
        let capability = b"\x01\0\0\x02\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        lower = lower
            .device("null", b'3', 1, 3)
            .device("disk", b'4', 8, 300)
            .extended(&[("SCHILY.xattr.security.capability", capability)])
            .entry(header(b'0', 0o755, (0, 0)), "capable", b"x")
            .extended(&[("uid", b"1000000"), ("gid", b"65534")])
            .file("theirs", b"owned")
            .extended(&[("SCHILY.xattr.user.note", b"two\nlines")])
            .dir("noted");
    }
    let upper = Layer::new()
        .file("d/.wh.a", b"")
        .file(".wh.gone", b"")
        .file("op/.wh..wh..opq", b"")
        .file("op/new", b"new")
        .file(".wh.was-file", b"")
        .dir("was-file")
        .file("was-file/in", b"3")
        .file("was-folder", b"4")
        .link(b'1', "usr/late", "bin/busybox")
        .file("lib/second", b"through the link again")
        .entry(header(b'0', 0o600, (7, 8)), "d/b", b"changed");
    let top = Layer::new().file("d/sub/.wh.c", b"").file("top", b"top");
    vec![
        (lower.finish(), Packed::Gzip),
        (upper.finish(), Packed::Plain),
        (top.finish(), Packed::Gzip),
    ]
}

#[test]
fn an_image_is_unpacked_as_umoci_unpacks_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut layout = Layout::new(folder.path().join("layout"));
    layout.image("v1", "amd64", &everything(), &config());
    let path = layout.path.to_str().unwrap().to_owned();
    let store = folder.path().join("store");
    let container = get(&path, &options(&store)).unwrap();
    let ours = unsquashed(&container.rootfs, &folder.path().join("ours"));

    let bundle = folder.path().join("bundle");
    let rootless: &[&str] = if is_root() { &[] } else { &["--rootless"] };
    Program::new("umoci")
        .arg("unpack")
        .args(rootless)
        .args(["--image", &format!("{path}:v1")])
        .arg(&bundle)
        .run()
        .expect("umoci");
    let theirs = seen(&bundle.join("rootfs"));
    let names = |tree: &std::collections::BTreeMap<PathBuf, _>| {
        tree.keys().map(|path| path.display().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&ours), names(&theirs));
    for (path, file) in &ours {
        // Rootless, umoci keeps owners in an attribute of its own.
        assert!(!is_root() || *file == theirs[path], "{path:?}\n{file:?}\n{:?}", theirs[path]);
    }
    assert!(ours.contains_key(Path::new("usr/lib/second")) && ours.len() > 50);
    let process = &container.process;
    assert_eq!(process.entrypoint, ["/bin/sh", "-c"]);
    assert_eq!(
        (process.command.as_slice(), process.user.as_str()),
        (&["id".to_owned()][..], "7:8")
    );
    assert_eq!(process.env[1], ("A".to_owned(), "b=c".to_owned()));
    assert_eq!(process.mounts[0].path, "/data");
}

#[test]
fn every_form_of_an_image_is_the_same_image() {
    let folder = tempfile::tempdir().unwrap();
    let layout = small(folder.path());
    let first = get(layout.path.to_str().unwrap(), &options(&folder.path().join("a"))).unwrap();
    let bytes = fs::read(&first.rootfs).unwrap();

    let archive = |name: &str, kind: &str| {
        let file = folder.path().join(name);
        layout.archive(kind, &file);
        file
    };
    let saved = archive("saved.tar", "docker-archive");
    let oci = archive("oci.tar", "oci-archive");
    let packed = folder.path().join("saved.tar.gz");
    fs::write(&packed, Packed::Gzip.pack(&fs::read(&saved).unwrap())).unwrap();
    // What docker writes since version 25 is both.
    let both = folder.path().join("both");
    Program::new("tar").args(["-xf".as_ref(), saved.as_os_str()]).dir(fresh(&both)).run().unwrap();
    Program::new("tar").args(["-xf".as_ref(), oci.as_os_str()]).dir(&both).run().unwrap();
    let new = folder.path().join("new.tar");
    Program::new("tar").arg("-cf").arg(&new).arg(".").dir(&both).run().unwrap();
    let text = |prefix: &str, path: &Path| format!("{prefix}{}", path.display());
    for (number, name) in [
        text("", &saved),
        text("docker-archive:", &saved),
        text("", &oci),
        text("oci-archive:", &oci),
        text("", &packed),
        text("", &new),
        text("docker-archive:", &saved) + ":example.com/app:v1",
        text("oci:", &layout.path) + ":v1",
    ]
    .iter()
    .enumerate()
    {
        let store = folder.path().join(format!("store{number}"));
        let container =
            get(name, &options(&store)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(fs::read(&container.rootfs).unwrap() == bytes, "{name}: other bytes");
        assert_eq!(container.process, first.process, "{name}");
    }
    let error = get(&(text("docker-archive:", &saved) + ":v2"), &options(folder.path()));
    let text = error.unwrap_err().to_string();
    assert!(text.ends_with("has no image 'v2'; it has example.com/app:v1"), "{text}");
}

fn fresh(path: &Path) -> &Path {
    fs::create_dir_all(path).unwrap();
    path
}

/// An App Container Image with this manifest.
fn aci(folder: &Path, manifest: &Value) -> PathBuf {
    let mut layer = Layer::new()
        .file("manifest", manifest.to_string().as_bytes())
        .dir("rootfs")
        .dir("rootfs/bin")
        .file("rootfs/bin/app", b"app")
        .link(b'1', "rootfs/bin/again", "rootfs/bin/app")
        .file("rootfs/.wh.kept", b"");
    if is_root() {
        layer = layer.device("rootfs/null", b'3', 1, 3);
    }
    let path = folder.join("image.aci");
    fs::write(&path, Packed::Gzip.pack(&layer.finish())).unwrap();
    path
}

#[test]
fn an_aci_is_an_image_too() {
    let folder = tempfile::tempdir().unwrap();
    let app = json!({"exec": ["/bin/app", "x"], "user": "0", "group": "5",
        "supplementaryGIDs": [7], "workingDirectory": "/bin",
        "environment": [{"name": "A", "value": "b"}],
        "mountPoints": [{"name": "data", "path": "/data", "readOnly": true}]});
    let manifest = json!({"acKind": "ImageManifest", "acVersion": "0.8.10",
        "name": "example.com/app", "app": app,
        "labels": [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}]});
    let store = folder.path().join("store");
    let path = aci(folder.path(), &manifest);
    let container = get(path.to_str().unwrap(), &options(&store)).unwrap();
    assert_eq!(container.name, "example.com/app");
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(fs::File::open(&path).unwrap()).read_to_end(&mut plain).unwrap();
    let mut hasher = stage1_builder::digest::Hasher::new(stage1_builder::digest::Algorithm::Sha512);
    hasher.update(&plain);
    assert_eq!(container.id, hasher.finish());
    let process = &container.process;
    assert_eq!((process.user.as_str(), process.groups.as_slice()), ("0:5", &[7][..]));
    assert_eq!(process.entrypoint, ["/bin/app", "x"]);
    assert!(process.mounts[0].read_only && process.mounts[0].name == "data");
    let found = files(&container, &folder.path().join("out"));
    let null: &[&str] = if is_root() { &["null"] } else { &[] };
    let expected = [&["", ".wh.kept", "bin", "bin/again", "bin/app"][..], null].concat();
    assert_eq!(found, expected);

    let changed = |change: fn(&mut Value)| {
        let mut manifest = manifest.clone();
        change(&mut manifest);
        get(aci(folder.path(), &manifest).to_str().unwrap(), &options(&store))
    };
    let listed = changed(|m| m["pathWhitelist"] = json!(["/bin/app"])).unwrap();
    assert_eq!(files(&listed, &folder.path().join("out2")), ["", "bin", "bin/app"]);
    let error = changed(|m| m["dependencies"] = json!([{"imageName": "example.com/base"}]));
    let error = error.unwrap_err();
    assert!(error.to_string().contains("laid over the image example.com/base"), "{error}");
    let error = changed(|m| m["labels"][1]["value"] = json!("aarch64")).unwrap_err();
    assert!(matches!(error, Error::NoPlatform { .. }), "{error}");
}

#[test]
fn an_image_for_other_machines_says_for_which() {
    let folder = tempfile::tempdir().unwrap();
    let mut layout = Layout::new(folder.path().join("layout"));
    let layer = |name: &str| [(Layer::new().file(name, b"").finish(), Packed::Gzip)];
    layout.image("v1", "arm64", &layer("arm"), &json!({}));
    layout.image("v1", "s390x", &layer("s390"), &json!({}));
    let store = folder.path().join("store");
    let path = layout.path.to_str().unwrap().to_owned();
    let error = get(&path, &options(&store)).unwrap_err().to_string();
    assert!(
        error.ends_with("is not for linux/amd64; it is for linux/arm64, linux/s390x"),
        "{error}"
    );
    let arm = Options { arch: Arch::Arm64, ..options(&store) };
    let container = get(&path, &arm).unwrap();
    assert_eq!(files(&container, &folder.path().join("out")), ["", "arm"]);
    // All of them under one name in a registry.
    let registry = Registry::start(folder.path(), "127.0.0.1", "");
    let index = serde_json::from_slice::<Value>(&fs::read(layout.path.join("index.json")).unwrap());
    let mut index = index.unwrap();
    for entry in index["manifests"].as_array_mut().unwrap() {
        entry.as_object_mut().unwrap().remove("annotations");
    }
    let all = Layout::new(folder.path().join("layout"));
    let mut entry =
        all.blob(index.to_string().as_bytes(), "application/vnd.oci.image.index.v1+json");
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "all"});
    let list = json!({"schemaVersion": 2, "manifests": [entry]});
    fs::write(all.path.join("index.json"), list.to_string()).unwrap();
    registry.push(&all.path, "all", "app", &["--all"]);
    let name = format!("docker://{}/app", registry.address);
    let store = folder.path().join("store2");
    let error = get(&name, &options(&store)).unwrap_err().to_string();
    assert!(error.ends_with("it is for linux/arm64, linux/s390x"), "{error}");
    let arm = Options { arch: Arch::Arm64, ..options(&store) };
    assert_eq!(get(&name, &arm).unwrap().id, container.id);
}
