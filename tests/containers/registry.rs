//! A real registry: what is asked, and when.

use fs_err as fs;
use serde_json::{Value, json};
use stage1_builder::container::{Error, Options, PullPolicy, provide};
use stage1_builder::report::{Collected, Event, Fault, Stage};

use super::{SMALL, files, get, image, leftovers, options, small};
use crate::oci::{Layer, Layout, Packed, Registry};

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

/// Every kind of file that the store has of an image, one after the other.
#[test]
fn what_was_damaged_in_the_store_is_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let layout = small(folder.path());
    let registry = Registry::start(folder.path(), "127.0.0.1", "");
    registry.push(&layout.path, "v1", "app:v1", &[]);
    let store = folder.path().join("store");
    let name = format!("docker://{}/app:v1", registry.address);
    let app = get(&name, &options(&store)).unwrap();
    let mut flipped = 0;
    for path in leftovers(&store) {
        if path.ends_with("rootfs.squashfs") {
            continue;
        }
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        fs::write(&path, bytes).unwrap();
        if !path.ends_with("record.json") {
            fs::remove_dir_all(store.join("images")).unwrap();
        }
        assert_eq!(get(&name, &options(&store)).unwrap(), app, "{}", path.display());
        assert_eq!(files(&app, &folder.path().join(format!("out{flipped}"))), SMALL);
        flipped += 1;
    }
    assert!(flipped >= 6, "a name, a manifest, a configuration, three layers: {flipped}");
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
