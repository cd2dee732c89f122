//! Images of the store, taken to elsewhere, in the format that is wanted
//! there.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::content::Rootfs;
use crate::fsutil::AtomicFile;
use crate::report::Reporter;
use crate::settings::{Arch, Format};
use crate::store::{Found, Store};
use crate::{content, pack};

use super::Error;
use super::images::sound;

/// Writes an image of the store to a file or folder, as this format or its
/// own; gives the place.
///
/// An ACI is a file; `to` may be the folder that it goes to. The others are a
/// folder, or an archive if `to` has an archive's name (`.tar`, `.tar.gz`,
/// `.tgz`). An OCI image that is made of an ACI is the one that a build gives.
///
/// # Errors
/// When the image is damaged, or can't be in the format, or the place can't be
/// written.
pub fn export(
    store: &Store,
    found: &Found,
    to: &Path,
    format: Option<Format>,
    reporter: &dyn Reporter,
) -> Result<PathBuf, Error> {
    let images = store.images();
    sound(store, &found.key, images.verify(&found.key, &found.record))?;
    let _held = images.hold(&found.key);
    let format = format.unwrap_or(found.record.format);
    let to = target(found, to, format);
    if format == found.record.format {
        return as_it_is(found, &to).map(|()| to);
    }
    if format == Format::Aci {
        return Err(Error::Usage {
            problem: format!(
                "an ACI can't be made of an image in the format {}",
                found.record.format
            ),
            hint: format!("build it: stage1-builder build {} --format aci", found.record.kernel),
        });
    }
    let scratch = tempfile::tempdir_in(parent(&to)?).map_err(Error::Write)?;
    let packed = scratch.path().join("packed");
    convert(found, format, scratch.path(), &packed, reporter)?;
    put(&packed, format, &to)?;
    Ok(to)
}

/// Where an image goes.
fn target(found: &Found, to: &Path, format: Format) -> PathBuf {
    let in_it = to.is_dir() || to.as_os_str().as_encoded_bytes().ends_with(b"/");
    let labels = &found.record.labels;
    match (format, labels.get("version")) {
        (Format::Aci, Some(version)) if in_it => {
            to.join(format!("stage1-kvm-{version}-linux-{}.aci", found.record.kernel))
        }
        (Format::Aci, None) if in_it => to.join(format!("linux-{}.aci", found.record.kernel)),
        _ => to.to_owned(),
    }
}

fn parent(to: &Path) -> Result<&Path, Error> {
    let folder = crate::fsutil::parent(to);
    fs::create_dir_all(folder).map_err(Error::Write)?;
    Ok(folder)
}

fn as_it_is(found: &Found, to: &Path) -> Result<(), Error> {
    parent(to)?;
    put(&found.file, found.record.format, to)
}

/// Brings a file as the store has it to its place.
fn put(file: &Path, format: Format, to: &Path) -> Result<(), Error> {
    let mut from = fs::File::open(file).map_err(Error::Write)?;
    match format {
        Format::Oci if !is_archive(to) => pack::oci::unpack(from, to)?,
        Format::Dir if !is_archive(to) => pack::unpack_files(from, to)?,
        _ => {
            let mut copy = AtomicFile::create(to).map_err(Error::Write)?;
            io::copy(&mut from, &mut copy).map_err(Error::Write)?;
            copy.commit().map_err(Error::Write)?;
        }
    }
    Ok(())
}

/// Whether a path has an archive's name.
fn is_archive(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    [".tar", ".tar.gz", ".tgz"].iter().any(|end| name.ends_with(end))
}

/// Writes the image in another format, as the store would have it.
fn convert(
    found: &Found,
    format: Format,
    scratch: &Path,
    to: &Path,
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    let folder = scratch.join("files");
    let tree = tree_of(found, &folder)?;
    let epoch = fs::metadata(&folder).and_then(|found| found.modified()).map_err(Error::Write)?;
    let epoch = epoch.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    let options = pack::WriteOptions { epoch, ..pack::WriteOptions::default() };
    let kind = match format {
        Format::Oci => pack::Kind::Oci(about(found)?),
        Format::Aci | Format::Dir => pack::Kind::Dir,
    };
    let file = fs::OpenOptions::new().read(true).write(true).create_new(true).open(to);
    let mut file = file.map_err(Error::Write)?.into_parts().0;
    let mut targets = [pack::Target { kind, to: &mut file }];
    pack::write_all(&tree, &mut targets, &options, reporter)?;
    Ok(())
}

/// The tree that the image was made of, its files laid out in a folder.
fn tree_of(found: &Found, folder: &Path) -> Result<Rootfs, Error> {
    if found.record.format == Format::Aci {
        pack::lay_out_image(&found.file, folder)?;
        return Ok(content::tree_of_stage1(&folder.join("rootfs"), &found.record.release)?);
    }
    let file = fs::File::open(&found.file).map_err(Error::Write)?;
    match found.record.format {
        Format::Oci => {
            let layout = folder.with_extension("oci");
            pack::oci::unpack(file, &layout)?;
            let layer = pack::oci::layer_of(&layout)?;
            pack::unpack_files(fs::File::open(layer).map_err(Error::Write)?, folder)?;
        }
        Format::Aci | Format::Dir => pack::unpack_files(file, folder)?,
    }
    Ok(content::tree_of_files(folder)?)
}

/// What the image says of itself, as far as the store knows.
fn about(found: &Found) -> Result<pack::oci::About, Error> {
    let record = &found.record;
    let arm = record.labels.get("arch").is_some_and(|arch| arch == Arch::Arm64.appc());
    let kernel = record.kernel.parse().map_err(|_| Error::Usage {
        problem: format!("{} is no version of a kernel", record.kernel),
        hint: "build the image again".to_owned(),
    })?;
    Ok(pack::oci::About {
        name: record.name.clone(),
        kernel,
        release: record.release.clone(),
        arch: if arm { Arch::Arm64 } else { Arch::X86_64 },
    })
}
