//! From a plan to images in the store.

use std::path::Path;

use fs_err as fs;
use serde::Serialize;

use crate::content::{self, Foreign};
use crate::fsutil::AtomicFolder;
use crate::report::Reporter;
use crate::settings::{Format, Settings};
use crate::source::{Prebuilt, Provenance};
use crate::store::{self, Record, Store};
use crate::{pack, vm};

use super::super::Error;
use super::super::images::{self, Packing};
use super::super::planned::{PlannedImage, Subject};
use super::plan::{Basis, ForeignPlan, OwnFiles};

/// The date of what has none of its own, 1980-01-01.
const EPOCH: u64 = 315_532_800;

/// What an image says of where it is from, in `provenance.json`.
#[derive(Serialize)]
struct Made<'a> {
    format: u32,
    kernel: serde_json::Value,
    /// The kernel's own package or file.
    source: &'a Provenance,
    /// All of them: nothing here was compiled.
    prebuilt: &'a [Provenance],
    depmod: Option<&'a crate::compile::Depmod>,
    key: &'a crate::digest::Digest,
}

/// The images of these formats in the store; those that are not there are
/// made.
pub(super) fn in_store(
    settings: &Settings,
    store: &Store,
    plan: &ForeignPlan,
    formats: &[Format],
    reporter: &dyn Reporter,
) -> Result<Vec<Record>, Error> {
    let wanted = plan.of(formats);
    let make = |missing: &[&PlannedImage]| make(settings, store, plan, missing, reporter);
    images::all_in_store(store, &plan.kernel_key, &wanted, &plan.release, reporter, make)
}

fn make(
    settings: &Settings,
    store: &Store,
    plan: &ForeignPlan,
    images: &[&PlannedImage],
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    let doing = || store::Error::io("can't lay a kernel's files out");
    let scratch = AtomicFolder::create(&store.kernels()).map_err(doing())?;
    let root = scratch.path();
    let stage1 = images.iter().any(|image| image.format == Format::Aci);
    if stage1 {
        check_bootable(plan, root)?;
    }
    let (foreign, date) = match &plan.from {
        Basis::Packages(packages) => debians(packages, plan, root, reporter)?,
        Basis::Files(files) => (own(files, plan, root)?, EPOCH),
    };
    let epoch = settings.source_date_epoch.unwrap_or(date);
    let mut tree = foreign.tree(&plan.release, &provenance(settings, plan, epoch)?)?;
    if stage1 {
        content::add_stage1(settings.upstream, settings.arch, &mut tree)?;
    }
    let options = pack::WriteOptions {
        epoch,
        compression: settings.compression,
        forbidden: vec![root.as_os_str().as_encoded_bytes().to_owned()],
        threads: Some(settings.jobs),
    };
    let packing = Packing {
        subject: Subject {
            name: &plan.name,
            version: plan.version,
            release: &plan.release,
            arch: settings.arch,
            upstream: settings.upstream,
            source: plan.source(),
        },
        options,
    };
    images::pack_all(store, &tree, images, &packing, reporter)
}

/// Refuses what rkt could not boot, before all of it is laid out.
fn check_bootable(plan: &ForeignPlan, root: &Path) -> Result<(), Error> {
    let foreign = match &plan.from {
        Basis::Packages(packages) => {
            packages.unpack_boot(root)?;
            Foreign::debians_boot(root, &plan.release)
        }
        Basis::Files(files) => own_boot(files, root)?,
    };
    let doing = store::Error::io("can't read the kernel");
    let image = fs::read(&foreign.image).map_err(doing)?;
    Ok(foreign.check_bootable(&plan.version, vm::kernel_proper(&image).as_deref())?)
}

/// Debian's packages, laid out in `root`; and their date.
fn debians(
    packages: &Prebuilt,
    plan: &ForeignPlan,
    root: &Path,
    reporter: &dyn Reporter,
) -> Result<(Foreign, u64), Error> {
    let doing = || store::Error::io("can't lay Debian's packages out");
    for archive in &packages.packages {
        store::check_archive(&archive.path, &archive.provenance.digest)?;
    }
    packages.unpack(root, reporter)?;
    if !root.join("lib").exists() {
        fs::os::unix::fs::symlink("usr/lib", root.join("lib")).map_err(doing())?;
    }
    if let Some(depmod) = &plan.depmod {
        depmod.run(root, &plan.release)?;
    }
    let foreign = content::debians(root, &plan.release)?;
    let date = fs::metadata(&foreign.image).and_then(|found| found.modified()).map_err(doing())?;
    let date = date.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    Ok((foreign, date))
}

/// The user's kernel, and the configuration that it may hold of itself.
fn own_boot(files: &OwnFiles, root: &Path) -> Result<Foreign, Error> {
    let doing = || store::Error::io("can't take a kernel's files");
    let mut foreign = Foreign { image: files.image.clone(), ..Foreign::default() };
    let image = fs::read(&files.image).map_err(doing())?;
    if let Some(config) = vm::kernel_proper(&image).as_deref().and_then(content::own_config) {
        let path = root.join("config");
        fs::write(&path, config).map_err(doing())?;
        foreign.config = Some(path);
    }
    Ok(foreign)
}

/// The user's files where they are; what has to be found out of them goes to
/// `root`.
fn own(files: &OwnFiles, plan: &ForeignPlan, root: &Path) -> Result<Foreign, Error> {
    let doing = || store::Error::io("can't take a kernel's files");
    let mut foreign = own_boot(files, root)?;
    if let Some(modules) = &files.modules {
        if let Some(depmod) = &plan.depmod {
            let lists = root.join("lib/modules").join(&plan.release);
            link_all(modules, &lists).map_err(doing())?;
            depmod.run(root, &plan.release)?;
            foreign.parts.push((lists, ""));
        }
        foreign.parts.push((modules.clone(), ""));
    }
    foreign.parts.extend(files.headers.clone());
    Ok(foreign)
}

/// A folder of links to what is in the user's, to which nothing is written.
fn link_all(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(fs::canonicalize(from)?)? {
        let entry = entry?;
        fs::os::unix::fs::symlink(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

fn provenance(settings: &Settings, plan: &ForeignPlan, epoch: u64) -> Result<Vec<u8>, Error> {
    let made = Made {
        format: 1,
        kernel: serde_json::json!({
            "version": plan.version,
            "release": plan.release,
            "arch": settings.arch.kernel(),
            "epoch": epoch,
        }),
        source: plan.source(),
        prebuilt: &plan.parts,
        depmod: plan.depmod.as_ref(),
        key: &plan.kernel_key,
    };
    let mut bytes = serde_json::to_vec_pretty(&made).map_err(|error| Error::Write(error.into()))?;
    bytes.push(b'\n');
    Ok(bytes)
}
