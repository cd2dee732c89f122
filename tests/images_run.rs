//! Containers in guests: every kind of image, through the command line, and
//! what it says of its process as docker and rkt take it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::{Value, json};
use stage1_builder::proc::Program;

#[path = "support/cache.rs"]
mod cache;
#[path = "support/debian_source.rs"]
mod debian_source;
#[path = "support/guest.rs"]
#[expect(dead_code, reason = "these tests have runs of their own")]
mod guest;
#[path = "support/not_run.rs"]
mod not_run;
#[path = "support/oci.rs"]
#[expect(dead_code, reason = "the tests of images need more of it")]
mod oci;
mod support;
#[path = "support/system.rs"]
#[expect(dead_code, reason = "nothing is compiled in these containers")]
mod system;
use guest::Guest;
use oci::{Layer, Layout, Packed, Registry, header};
use support::outcome;
use system::system;

/// Says how it was started. The shell's own variables are no news.
const SHOW: &[u8] = b"#!/bin/sh
echo \"args:$(printf ' [%s]' \"$@\")\"
echo \"id: $(id -u):$(id -g) $(id -G)\"
echo \"dir: $(pwd)\"
env | grep -vE '^(PWD|OLDPWD|SHLVL|_)=' | sort
";

fn application(layer: Layer, root: &str) -> Layer {
    let show = format!("{root}bin/show");
    layer.entry(header(b'0', 0o755, (0, 0)), &show, SHOW).entry(
        header(b'5', 0o755, (1001, 1002)),
        &format!("{root}srv"),
        b"",
    )
}

fn config() -> Value {
    json!({"Entrypoint": ["/bin/show", "first"], "Cmd": ["default", "two words"],
        "Env": ["PATH=/bin", "A=b=c", "KEPT=image"], "User": "app", "WorkingDir": "/srv",
        "Volumes": {"/data": {}}})
}

const AS_THE_IMAGE_SAYS: &str = "args: [first] [default] [two words]
id: 1001:1002 1002 6
dir: /srv
A=b=c
HOME=/home/app
KEPT=image
PATH=/bin
";

/// An image with the system below and the application above: `v1`.
fn layout(folder: &Path) -> (Layout, String) {
    let mut layout = Layout::new(folder.join("layout"));
    let layers = [
        (system(Layer::new(), "").finish(), Packed::Gzip),
        (application(Layer::new(), "").finish(), Packed::Gzip),
    ];
    let digest = layout.image("v1", "amd64", &layers, &config());
    (layout, digest)
}

/// A guest on the image's file, with a store that goes with the test.
fn run(guest: &Guest, options: &[&str], image: &str, command: &[&str]) -> (i32, String, String) {
    let store = guest.folder().join("store");
    let run = support::builder(guest.folder())
        .arg("run")
        .arg(format!("--stage1-path={}", guest.image().display()))
        .args(["--timeout", "2m"])
        .env("S1B_CACHE_DIR", store)
        .args(options)
        .arg(image);
    outcome(if command.is_empty() { run } else { run.arg("--").args(command) })
}

fn said(guest: &Guest, options: &[&str], image: &str, command: &[&str]) -> String {
    let (code, stdout, stderr) = run(guest, options, image, command);
    assert_eq!(code, 0, "{image}: {stdout}\n{stderr}");
    stdout
}

#[test]
fn an_image_of_a_registry_runs_as_it_says_and_as_it_is_told() {
    let Some(guest) = Guest::on("6.12", "images of a registry") else { return };
    let (layout, digest) = layout(guest.folder());
    let registry = Registry::start(guest.folder(), "127.0.0.1", "");
    registry.push(&layout.path, "v1", "me/app:v1", &["--preserve-digests"]);
    registry.push(&layout.path, "v1", "app:latest", &["--preserve-digests"]);
    let name = |name: &str| {
        let port = registry.address.rsplit_once(':').unwrap().1;
        format!("docker://localhost:{port}/{name}")
    };
    assert_eq!(said(&guest, &[], &name("app"), &[]), AS_THE_IMAGE_SAYS);

    let told = ["--user=1005", "--group=disk", "--working-dir=/data/new", "--set-env=KEPT=mine"];
    let told = said(&guest, &told, &name("me/app:v1"), &["x", ""]);
    let expected =
        "args: [first] [x] []\nid: 1005:6 6\ndir: /data/new\nA=b=c\nHOME=/\nKEPT=mine\nPATH=/bin\n";
    assert_eq!(told, expected);

    // rkt's --exec puts the entry point and its arguments aside, and the
    // exit code is the command's.
    let exact = name(&format!("me/app@{digest}"));
    let never = ["--pull-policy=never", "--exec=/bin/sh"];
    let (code, stdout, stderr) = run(&guest, &never, &exact, &["-c", "id -un; exit 7"]);
    assert_eq!((code, stdout.as_str()), (7, "app\n"), "{stderr}");
}

#[test]
fn every_kind_of_image_runs() {
    let Some(guest) = Guest::on("6.12", "every kind of image") else { return };
    let (layout, _) = layout(guest.folder());
    let archive = |name: &str, kind: &str| {
        let file = guest.folder().join(name);
        layout.archive(kind, &file);
        file
    };
    let saved = archive("saved.tar", "docker-archive");
    let oci = archive("oci.tar", "oci-archive");
    for image in [&layout.path, &saved, &oci] {
        let said = said(&guest, &[], image.to_str().unwrap(), &[]);
        assert_eq!(said, AS_THE_IMAGE_SAYS, "{}", image.display());
    }

    let folder = guest.folder().join("folder");
    fs::create_dir(&folder).unwrap();
    let system = application(system(Layer::new(), ""), "").finish();
    Program::new("tar")
        .args(["-x", "--no-same-owner", "-C"])
        .arg(&folder)
        .output_fed(|stdin| stdin.write_all(&system))
        .unwrap();
    let said = said(&guest, &["--hostname=here"], folder.to_str().unwrap(), &["show", "x"]);
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(said, format!("args: [x]\nid: 0:0 0\ndir: /\nHOME=/root\nPATH={path}\n"));
    assert!(!folder.join("etc/hostname").exists());
}

/// A volume that has the name of one of the image's mount points needs no
/// `--mount`, and a mount point that is read-only makes it so.
#[test]
fn an_aci_runs_and_names_the_places_of_its_volumes() {
    let Some(guest) = Guest::on("6.12", "an ACI") else { return };
    let image = aci(guest.folder());
    let (data, fixed) = (guest.folder().join("data"), guest.folder().join("fixed"));
    for folder in [&data, &fixed] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("from-host"), "content\n").unwrap();
    }
    let volumes = [
        format!("--volume=data,kind=host,source={}", data.display()),
        format!("--volume=fixed,kind=host,source={}", fixed.display()),
    ];
    let options = [volumes[0].as_str(), volumes[1].as_str()];
    let image = image.to_str().unwrap();
    let shown = said(&guest, &options, image, &[]);
    let expected = "args: [of the app]\nid: 1001:6 6\ndir: /srv\nHOME=/home/app\nMODE=aci\n\
                    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n";
    assert_eq!(shown, expected);

    const SCRIPT: &str = "cat /data/from-host /etc/fixed/from-host; echo here >/data/from-guest; \
                          touch /etc/fixed/x || echo refused";
    let options = [options[0], options[1], "--user=0", "--exec=/bin/sh"];
    let shown = said(&guest, &options, image, &["-c", SCRIPT]);
    assert_eq!(shown, "content\ncontent\nrefused\n");
    assert_eq!(fs::read_to_string(data.join("from-guest")).unwrap(), "here\n");
    assert!(!fixed.join("x").exists());
}

fn aci(folder: &Path) -> PathBuf {
    let manifest = json!({
        "acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/app",
        "labels": [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}],
        "app": {
            "exec": ["/bin/show", "of the app"], "user": "app", "group": "disk",
            "workingDirectory": "/srv",
            "environment": [{"name": "MODE", "value": "aci"}],
            "mountPoints": [
                {"name": "data", "path": "/data"},
                {"name": "fixed", "path": "/etc/fixed", "readOnly": true},
            ],
        },
    });
    let layer = Layer::new().file("manifest", &serde_json::to_vec(&manifest).unwrap());
    let layer = application(system(layer.dir("rootfs"), "rootfs/"), "rootfs/");
    let path = folder.join("app.aci");
    fs::write(&path, Packed::Gzip.pack(&layer.finish())).unwrap();
    Program::new("actool").arg("validate").arg(&path).run().expect("actool");
    path
}
