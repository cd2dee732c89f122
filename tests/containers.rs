//! Container images: from layouts, archives and registries to a squashfs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/oci.rs"]
mod oci;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use oci::{Layer, Layout, Packed, Registry, header, is_root, seen, unsquashed};
use serde_json::{Value, json};
use stage1_builder::container::{
    Container, Error, Limits, Options, PullPolicy, Reference, Root, provide,
};
use stage1_builder::digest::Digest;
use stage1_builder::http::Patience;
use stage1_builder::proc::Program;
use stage1_builder::report::{Collected, Event, Fault, Reporter, Silent, Stage};
use stage1_builder::settings::Arch;

const PATIENCE: Patience = Patience {
    contact: Duration::from_secs(3),
    stall: Duration::from_secs(5),
    backoff: Duration::from_millis(20),
    attempts: 3,
};

/// Empty, so that nobody's own passwords are used.
const NO_CREDENTIALS: &str = "/nonexistent/config.json";

fn options(folder: &Path) -> Options<'_> {
    Options {
        folder,
        arch: Arch::X86_64,
        pull: PullPolicy::New,
        insecure_http: false,
        insecure_tls: false,
        credentials: Some(Path::new(NO_CREDENTIALS)),
        limits: Limits::default(),
        patience: PATIENCE,
    }
}

fn image(text: &str) -> Reference {
    match Root::parse(text).unwrap() {
        Root::Image(reference) => reference,
        Root::Directory(path) => panic!("{path:?} is a folder"),
    }
}

fn get(text: &str, options: &Options) -> Result<Container, Error> {
    provide(&image(text), options, &Silent)
}

fn files(container: &Container, folder: &Path) -> Vec<String> {
    let seen = unsquashed(&container.rootfs, folder);
    seen.into_keys().map(|path| path.display().to_string()).collect()
}

/// What is left in a store that has refused something.
fn leftovers(store: &Path) -> Vec<PathBuf> {
    // A store that nothing was written to is not even there.
    let files =
        walkdir::WalkDir::new(store).into_iter().flatten().map(walkdir::DirEntry::into_path);
    files.filter(|path| path.is_file() && path.extension() != Some("lock".as_ref())).collect()
}

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

fn config() -> Value {
    json!({"Entrypoint": ["/bin/sh", "-c"], "Cmd": ["id"], "Env": ["PATH=/bin", "A=b=c"],
        "User": "7:8", "WorkingDir": "/tmp", "Volumes": {"/data": {}}, "StopSignal": "SIGINT"})
}

/// A layout with a small image, `v1`.
fn small(folder: &Path) -> Layout {
    let mut layout = Layout::new(folder.join("layout"));
    let layer = |n: u32| {
        let bytes: Vec<u8> = (0..30_000)
            .flat_map(|m: u32| m.wrapping_mul(m).wrapping_mul(n).to_le_bytes())
            .collect();
        Layer::new().file(&format!("file{n}"), &bytes).finish()
    };
    let layers = [(layer(1), Packed::Gzip), (layer(3), Packed::Plain), (layer(7), Packed::Gzip)];
    layout.image("v1", "amd64", &layers, &config());
    layout
}

const SMALL: [&str; 4] = ["", "file1", "file3", "file7"];

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

    let archive = |name: &str, to: &str| {
        let file = folder.path().join(name);
        Program::new("skopeo")
            .args(["--insecure-policy", "copy", "--quiet"])
            .arg(format!("oci:{}:v1", layout.path.display()))
            .arg(format!("{to}:{}:example.com/app:v1", file.display()))
            .run()
            .expect("skopeo");
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

#[test]
fn a_registry_is_asked_once_and_what_is_there_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let layout = small(folder.path());
    let registry = Registry::start(folder.path(), "127.0.0.1", "");
    let mut zstd = Layout::new(folder.path().join("zstd"));
    let layer = Layer::new().file("zstd", b"z").finish();
    zstd.image("v1", "amd64", &[(layer, Packed::Zstd)], &json!({}));
    registry.push(&layout.path, "v1", "me/app:v1", &["--preserve-digests"]);
    registry.push(&layout.path, "v1", "me/docker:v1", &["--format", "v2s2"]);
    registry.push(&zstd.path, "v1", "zstd:latest", &[]);
    let store = folder.path().join("store");
    let name = |name: &str| format!("docker://{}/{name}", registry.address);

    let reporter = Collected::default();
    let app = provide(&image(&name("me/app:v1")), &options(&store), &reporter).unwrap();
    let stages = reporter.events().into_iter().filter_map(|event| match event {
        Event::Finished { stage, .. } => Some(stage),
        _ => None,
    });
    assert_eq!(stages.collect::<Vec<_>>(), [Stage::Resolve, Stage::Fetch, Stage::Unpack]);
    assert_eq!(files(&app, &folder.path().join("out1")), SMALL);
    assert_eq!(app.name, format!("{}/me/app:v1", registry.address));

    let docker = get(&name("me/docker:v1"), &options(&store)).unwrap();
    assert_eq!(files(&docker, &folder.path().join("out2")), SMALL);
    let zstd = get(&name("zstd"), &options(&store)).unwrap();
    assert_eq!(files(&zstd, &folder.path().join("out3")), ["", "zstd"]);

    // By digest, and what is here needs nobody.
    let manifest = fs::read_to_string(layout.path.join("index.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let digest = manifest["manifests"][0]["digest"].as_str().unwrap();
    let exact = format!("docker://{}/me/app@{digest}", registry.address);
    let never = Options { pull: PullPolicy::Never, ..options(&store) };
    assert_eq!(get(&exact, &never).unwrap().rootfs, app.rootfs);
    let reporter = Collected::default();
    let again = provide(&image(&name("me/app:v1")), &never, &reporter).unwrap();
    assert_eq!((&again, reporter.events().len()), (&app, 0));
    assert!(matches!(get(&name("me/other"), &never), Err(Error::NotHere { .. })));

    // A tag that moves: seen by who looks.
    let mut moved = Layout::new(folder.path().join("moved"));
    let layer = Layer::new().file("moved", b"").finish();
    moved.image("v2", "amd64", &[(layer, Packed::Gzip)], &json!({}));
    registry.push(&moved.path, "v2", "me/app:v1", &[]);
    assert_eq!(get(&name("me/app:v1"), &options(&store)).unwrap(), app);
    let update = Options { pull: PullPolicy::Update, ..options(&store) };
    let newer = get(&name("me/app:v1"), &update).unwrap();
    assert_eq!(files(&newer, &folder.path().join("out4")), ["", "moved"]);
    assert_eq!(get(&name("me/app:v1"), &never).unwrap(), newer);

    let error = get(&name("me/app:none"), &options(&store)).unwrap_err();
    assert_eq!(error.to_string(), format!("{} has no image me/app:none", registry.address));
    assert_eq!(error.fault(), Fault::NotFound);
    let error = get(&name("nobody/nothing"), &options(&store)).unwrap_err();
    assert!(matches!(error, Error::NoImage { .. }), "{error}");
}

#[test]
fn many_at_once_do_the_work_once() {
    let folder = tempfile::tempdir().unwrap();
    let layout = small(folder.path());
    let registry = Registry::start(folder.path(), "127.0.0.1", "");
    registry.push(&layout.path, "v1", "app:v1", &[]);
    let store = folder.path().join("store");
    let reference = image(&format!("docker://{}/app:v1", registry.address));
    let reporter = Collected::default();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| provide(&reference, &options(&store), &reporter).unwrap());
        }
    });
    let events = reporter.events();
    let finished = |wanted| {
        let is_it =
            |event: &&Event| matches!(event, Event::Finished { stage, .. } if *stage == wanted);
        events.iter().filter(is_it).count()
    };
    assert_eq!((finished(Stage::Fetch), finished(Stage::Unpack)), (1, 1));
}

#[test]
fn a_password_is_taken_from_docker_s_file_or_helper() {
    let folder = tempfile::tempdir().unwrap();
    let layout = small(folder.path());
    // me:secret
    let hash = "me:$2b$05$ahBbfA7kLlURWuIBw0VShuexgIHUuUO36fdvMDsYvhhVFtsH8aMXq\n";
    let passwords = folder.path().join("htpasswd");
    fs::write(&passwords, hash).unwrap();
    let more = format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", passwords.display());
    let registry = Registry::start(folder.path(), "127.0.0.1", &more);
    registry.push(&layout.path, "v1", "app:v1", &["--dest-creds", "me:secret"]);
    let name = format!("docker://{}/app:v1", registry.address);
    let store = folder.path().join("store");

    let error = get(&name, &options(&store)).unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error}");
    assert_eq!(error.fault(), Fault::Settings);
    assert!(error.hint().unwrap().contains(&format!("docker login {}", registry.address)));
    assert!(leftovers(&store).is_empty());

    let file = folder.path().join("config.json");
    let with = |auth: &str| {
        let config = json!({"auths": {registry.address.clone(): {"auth": auth}}});
        fs::write(&file, config.to_string()).unwrap();
        get(&name, &Options { credentials: Some(&file), ..options(&store) })
    };
    let error = with("bWU6d3Jvbmc=").unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error}");
    let container = with("bWU6c2VjcmV0").unwrap();
    assert_eq!(files(&container, &folder.path().join("out")), SMALL);
}

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

#[test]
fn who_can_t_be_reached_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = get(&format!("docker://127.0.0.1:{port}/a"), &options(folder.path())).unwrap_err();
    assert_eq!(error.fault(), Fault::Network);
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    assert!(error.hint().is_some());
    let error = get("docker://registry.invalid/a", &options(folder.path())).unwrap_err();
    assert_eq!(error.fault(), Fault::Network);
    assert!(error.to_string().contains("https://registry.invalid"), "{error}");
}

/// An address of this machine that is not its loopback, if it has one.
fn outer_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: this only asks the kernel for the way.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_loopback())
}

#[test]
fn plain_http_is_for_this_machine_or_who_insists() {
    let Some(address) = outer_address() else { return };
    let folder = tempfile::tempdir().unwrap();
    let layout = small(folder.path());
    let registry = Registry::start(folder.path(), &address.to_string(), "");
    registry.push(&layout.path, "v1", "app:v1", &[]);
    let name = format!("docker://{}/app:v1", registry.address);
    let store = folder.path().join("store");
    let error = get(&name, &options(&store)).unwrap_err();
    assert!(matches!(error, Error::PlainHttp { .. }), "{error}");
    assert!(error.hint().unwrap().contains("--insecure-options=http"));
    get(&name, &Options { insecure_http: true, ..options(&store) }).unwrap();
}

/// A registry that hands out tokens, keeps its blobs at another place, and
/// breaks off the first answer for each of them.
struct Elsewhere {
    address: String,
    seen: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

impl Elsewhere {
    fn start(layout: &Path, realm_host: &str) -> Self {
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let server = tiny_http::Server::http("127.0.0.1:0").unwrap();
        let store = tiny_http::Server::http("127.0.0.1:0").unwrap();
        let (address, stored) = (server.server_addr().to_string(), store.server_addr().to_string());
        let index = fs::read(layout.join("index.json")).unwrap();
        let index: Value = serde_json::from_slice(&index).unwrap();
        let blobs = layout.join("blobs/sha256");
        let manifest = index["manifests"][0]["digest"].as_str().unwrap()[7..].to_owned();
        let manifest = fs::read(blobs.join(manifest)).unwrap();
        let realm = format!("http://{}/token", realm_host.replace("SELF", &address));
        let log = seen.clone();
        std::thread::spawn(move || {
            for request in server.incoming_requests() {
                answer(request, &realm, &stored, &manifest, &log);
            }
        });
        let log = seen.clone();
        std::thread::spawn(move || {
            for request in store.incoming_requests() {
                stored_blob(request, &blobs, &log);
            }
        });
        Self { address, seen }
    }
}

type Log = std::sync::Arc<std::sync::Mutex<Vec<String>>>;

fn sent(request: &tiny_http::Request, name: &'static str) -> String {
    let found = request.headers().iter().find(|header| header.field.equiv(name));
    found.map(|header| header.value.to_string()).unwrap_or_default()
}

fn line(text: &str) -> tiny_http::Header {
    text.parse().unwrap()
}

fn answer(request: tiny_http::Request, realm: &str, stored: &str, manifest: &[u8], log: &Log) {
    let (url, authorization) = (request.url().to_owned(), sent(&request, "Authorization"));
    log.lock().unwrap().push(format!("{url} [{authorization}]"));
    let response = if url.starts_with("/token") {
        tiny_http::Response::from_data(br#"{"token": "letmein"}"#.to_vec())
    } else if authorization != "Bearer letmein" {
        let challenge = format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"s 1\"");
        tiny_http::Response::from_data(b"{}".to_vec())
            .with_status_code(401)
            .with_header(line(&challenge))
    } else if url.contains("/manifests/") {
        tiny_http::Response::from_data(manifest.to_vec())
    } else {
        let hex = url.rsplit_once(':').unwrap().1;
        let place = format!("Location: http://{stored}/{hex}");
        tiny_http::Response::from_data(Vec::new()).with_status_code(307).with_header(line(&place))
    };
    _ = request.respond(response);
}

/// The first half at the first time, and the rest to who asks for it.
fn stored_blob(request: tiny_http::Request, blobs: &Path, log: &Log) {
    let (url, authorization) = (request.url().to_owned(), sent(&request, "Authorization"));
    let range = sent(&request, "Range");
    let times = {
        let mut log = log.lock().unwrap();
        log.push(format!("stored {url} [{authorization}] {range}"));
        log.iter().filter(|line| line.starts_with(&format!("stored {url} "))).count()
    };
    let bytes = fs::read(blobs.join(&url[1..])).unwrap();
    let start = range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
    let start: usize = start.map_or(0, |start| start.parse().unwrap());
    let mut stream = request.into_writer();
    let status = if start > 0 { "206 Partial Content" } else { "200 OK" };
    let (rest, total) = (bytes.len() - start, bytes.len());
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {rest}\r\nConnection: close\r\n\
         Content-Range: bytes {start}-{}/{total}\r\n\r\n",
        total - 1
    );
    let end = if times == 1 { total / 2 } else { total };
    _ = stream.write_all(head.as_bytes());
    _ = stream.write_all(&bytes[start..end.max(start)]);
    _ = stream.flush();
}

#[test]
fn a_token_is_fetched_downloads_go_on_and_no_password_follows_a_redirect() {
    let folder = tempfile::tempdir().unwrap();
    let layout = small(folder.path());
    let registry = Elsewhere::start(&layout.path, "SELF");
    let file = folder.path().join("config.json");
    let auths = json!({"auths": {registry.address.clone(): {"auth": "bWU6c2VjcmV0"}}});
    fs::write(&file, auths.to_string()).unwrap();
    let store = folder.path().join("store");
    let with = Options { credentials: Some(&file), ..options(&store) };
    let container = get(&format!("docker://{}/a/b:v1", registry.address), &with).unwrap();
    assert_eq!(files(&container, &folder.path().join("out")), SMALL);
    let seen = registry.seen.lock().unwrap().clone();
    let token = "/token?service=s%201&scope=repository%3Aa%2Fb%3Apull [Basic bWU6c2VjcmV0]";
    assert!(seen.contains(&token.to_owned()), "{seen:?}");
    let stored: Vec<_> = seen.iter().filter(|line| line.starts_with("stored")).collect();
    assert!(stored.iter().all(|line| line.contains(" [] ")), "{stored:?}");
    assert!(stored.iter().any(|line| line.contains("bytes=")), "{stored:?}");
    assert_eq!(
        leftovers(&store).iter().filter(|p| p.extension().is_some_and(|e| e == "part")).count(),
        0
    );
}

#[test]
fn a_password_is_not_sent_in_the_open() {
    let folder = tempfile::tempdir().unwrap();
    let layout = small(folder.path());
    let registry = Elsewhere::start(&layout.path, "tokens.example.org");
    let error = get(&format!("docker://{}/a:v1", registry.address), &options(folder.path()));
    let error = error.unwrap_err();
    assert!(matches!(error, Error::PlainHttp { .. }), "{error}");
    assert!(error.to_string().starts_with("http://tokens.example.org/token"), "{error}");
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
