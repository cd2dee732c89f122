//! The root file system that a request means.

use std::path::PathBuf;

use crate::container::{self, Container, Process};
use crate::fsutil::{self, Hold};
use crate::http::Patience;
use crate::report::Reporter;
use crate::settings::Settings;
use crate::store::Store;

use super::super::Error;
use super::request::RunRequest;

/// Where the guest's root comes from.
#[derive(Debug)]
pub(super) enum Root {
    /// The host's own.
    Host,
    /// A folder of the host.
    Folder(PathBuf),
    /// A container's image.
    Image(Box<Container>),
}

impl Root {
    /// What an image says about running it; none on the host's own root.
    pub(super) fn process(&self) -> Option<Process> {
        match self {
            Self::Host => None,
            Self::Folder(_) => Some(Process::default()),
            Self::Image(container) => Some(container.process.clone()),
        }
    }
}

/// The root, and what keeps it in the store.
pub(super) fn provide(
    request: &RunRequest,
    settings: &Settings,
    store: &Store,
    reporter: &dyn Reporter,
) -> Result<(Root, Option<Hold>), Error> {
    let Some(image) = &request.image else { return Ok((Root::Host, None)) };
    let reference = match container::Root::parse(image)? {
        container::Root::Directory(path) => return Ok((Root::Folder(path), None)),
        container::Root::Image(reference) => reference,
    };
    let folder = store.containers();
    let options = container::Options {
        folder: &folder,
        arch: settings.arch,
        pull: request.pull,
        insecure_http: request.insecure_http,
        insecure_tls: request.insecure_tls,
        credentials: None,
        limits: container::Limits::default(),
        patience: Patience::default(),
    };
    let mut container = container::provide(&reference, &options, reporter)?;
    let mut held = Hold::of(fsutil::parent(&container.rootfs));
    if held.is_none() {
        // Tidied away in between.
        container = container::provide(&reference, &options, reporter)?;
        held = Hold::of(fsutil::parent(&container.rootfs));
    }
    fsutil::touch(fsutil::parent(&container.rootfs));
    Ok((Root::Image(Box::new(container)), held))
}
