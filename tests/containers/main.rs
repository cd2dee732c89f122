//! Container images: from layouts, archives and registries to a squashfs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/oci.rs"]
mod oci;

use std::path::{Path, PathBuf};
use std::time::Duration;

use oci::{Layer, Layout, Packed, unsquashed};
use serde_json::{Value, json};
use stage1_builder::container::{
    Container, Error, Limits, Options, PullPolicy, Reference, Root, provide,
};
use stage1_builder::http::Patience;
use stage1_builder::report::Silent;
use stage1_builder::settings::Arch;

mod elsewhere;
mod forms;
mod registry;
mod trouble;

pub(crate) const PATIENCE: Patience = Patience {
    contact: Duration::from_secs(3),
    stall: Duration::from_secs(5),
    backoff: Duration::from_millis(20),
    attempts: 3,
};

/// Empty, so that nobody's own passwords are used.
pub(crate) const NO_CREDENTIALS: &str = "/nonexistent/config.json";

pub(crate) fn options(folder: &Path) -> Options<'_> {
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

pub(crate) fn image(text: &str) -> Reference {
    match Root::parse(text).unwrap() {
        Root::Image(reference) => reference,
        Root::Directory(path) => panic!("{path:?} is a folder"),
    }
}

pub(crate) fn get(text: &str, options: &Options) -> Result<Container, Error> {
    provide(&image(text), options, &Silent)
}

pub(crate) fn files(container: &Container, folder: &Path) -> Vec<String> {
    let seen = unsquashed(&container.rootfs, folder);
    seen.into_keys().map(|path| path.display().to_string()).collect()
}

/// What is left in a store that has refused something.
pub(crate) fn leftovers(store: &Path) -> Vec<PathBuf> {
    // A store that nothing was written to is not even there.
    let files =
        walkdir::WalkDir::new(store).into_iter().flatten().map(walkdir::DirEntry::into_path);
    files.filter(|path| path.is_file() && path.extension() != Some("lock".as_ref())).collect()
}

pub(crate) fn config() -> Value {
    json!({"Entrypoint": ["/bin/sh", "-c"], "Cmd": ["id"], "Env": ["PATH=/bin", "A=b=c"],
        "User": "7:8", "WorkingDir": "/tmp", "Volumes": {"/data": {}}, "StopSignal": "SIGINT"})
}

/// A layout with a small image, `v1`.
pub(crate) fn small(folder: &Path) -> Layout {
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

pub(crate) const SMALL: [&str; 4] = ["", "file1", "file3", "file7"];
