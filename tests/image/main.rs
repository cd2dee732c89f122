//! Whole images, as other people's programs see them: `actool` (Debian:
//! appc-spec), `tar`, `gzip`, `xz`.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and print")]

use std::path::Path;

use stage1_builder::compile::KernelArtifacts;
use stage1_builder::content::{UPSTREAMS, stage1_kvm};
use stage1_builder::fsutil::AtomicFile;
use stage1_builder::pack::aci::{self, DEFAULT_NAME, Entry, Manifest, WriteOptions};
use stage1_builder::pack::{Compression, Error, Packed};
use stage1_builder::proc::Program;
use stage1_builder::report::Silent;
use stage1_builder::settings::{Arch, RktVersion};

#[path = "../support/little_build.rs"]
mod little;
#[path = "../support/render.rs"]
mod render;

mod contents;
mod exported;
mod formats;
mod module;
mod refused;
mod rendered;

pub(crate) use little::{EPOCH, RELEASE, artifacts_in, little_build};

pub(crate) fn newest() -> RktVersion {
    UPSTREAMS.last().unwrap().version
}

pub(crate) fn manifest(artifacts: &KernelArtifacts, upstream: RktVersion) -> Manifest {
    Manifest::stage1_kvm(DEFAULT_NAME, upstream, &artifacts.version, Arch::X86_64).unwrap()
}

pub(crate) fn options(compression: Compression) -> WriteOptions {
    WriteOptions { epoch: EPOCH, compression, ..WriteOptions::default() }
}

pub(crate) fn pack(
    artifacts: &KernelArtifacts,
    upstream: RktVersion,
    options: &WriteOptions,
    to: &Path,
) -> Result<Packed, Error> {
    let rootfs = stage1_kvm(artifacts, upstream, b"{}\n", false).unwrap();
    let mut file = AtomicFile::create(to).unwrap();
    let manifest = manifest(artifacts, upstream);
    let packed = aci::write(&manifest, &rootfs, options, &mut file, &Silent)?;
    file.commit().unwrap();
    Ok(packed)
}

pub(crate) fn run(name: &str, args: &[&str]) -> String {
    let output = Program::new(name).args(args).output().unwrap();
    assert!(output.status.success(), "{name} {args:?}: {}", output.stderr);
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn entries(image: &Path) -> Vec<(Entry, Vec<u8>)> {
    let mut entries = Vec::new();
    aci::read_file(image, |entry, bytes| {
        let mut content = Vec::new();
        bytes.read_to_end(&mut content)?;
        entries.push((entry.clone(), content));
        Ok(())
    })
    .unwrap();
    entries
}
