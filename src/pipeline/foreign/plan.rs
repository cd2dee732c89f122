//! What there will be images of, known before anything is unpacked.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::compile::Depmod;
use crate::content;
use crate::digest::Digest;
use crate::report::Reporter;
use crate::settings::{Arch, Format, KernelVersion, Key, Settings, Vmlinux};
use crate::source::{self, Prebuilt, Provenance, Provider, Verified};
use crate::store::Store;

use super::super::Error;
use super::super::key;
use super::super::plan::{Places, by_default};
use super::super::planned::{self, PlannedImage};
use super::{ForeignKernel, OwnKernel};

/// A kernel that somebody else has built, and the images that can be made of
/// it.
#[derive(Debug)]
pub struct ForeignPlan {
    /// Which kernel, as far as can be told.
    pub version: KernelVersion,
    /// What it calls itself.
    pub release: String,
    /// Where it is from.
    pub(super) from: Basis,
    /// What lists its modules; none if there are no modules, or they are
    /// listed.
    pub(super) depmod: Option<Depmod>,
    /// The images' name.
    pub(super) name: String,
    /// What is asked for.
    pub(super) formats: Vec<Format>,
    /// What went in: the kernel's own first, which there always is.
    pub(super) parts: Vec<Provenance>,
    pub(super) kernel_key: Digest,
    pub(super) images: Vec<PlannedImage>,
    inputs: serde_json::Value,
}

/// Where a kernel's files are.
#[derive(Debug)]
pub(super) enum Basis {
    Packages(Prebuilt),
    Files(OwnFiles),
}

/// The user's files, looked at.
#[derive(Debug)]
pub(super) struct OwnFiles {
    pub(super) image: PathBuf,
    /// The folder itself that is called as the release.
    pub(super) modules: Option<PathBuf>,
    /// Headers, and where below `/lib/modules/<release>` they belong.
    pub(super) headers: Option<(PathBuf, &'static str)>,
}

/// Everything that reaches the images of a kernel that is not compiled.
#[derive(Debug, Serialize)]
struct ForeignKey<'a> {
    /// Counts up when the same inputs come out otherwise than before.
    format: u32,
    release: &'a str,
    version: &'a KernelVersion,
    parts: &'a [Provenance],
    depmod: Option<&'a Depmod>,
    arch: &'a str,
    epoch: Option<u64>,
}

impl ForeignPlan {
    /// The images that are asked for.
    pub(super) fn asked(&self) -> Vec<&PlannedImage> {
        self.of(&self.formats)
    }

    pub(super) fn of(&self, formats: &[Format]) -> Vec<&PlannedImage> {
        planned::of(&self.images, formats)
    }

    /// The kernel's own package or file.
    pub(super) fn source(&self) -> &Provenance {
        &self.parts[0]
    }

    /// All that is known before anything is done, for people and programs.
    #[must_use]
    pub fn explain(&self) -> serde_json::Value {
        serde_json::json!({
            "version": self.version,
            "release": self.release,
            "kernel_key": self.kernel_key,
            "images": self.asked(),
            "inputs": self.inputs,
        })
    }
}

/// Finds out what is meant; packages that are not there are fetched.
pub(super) fn plan(
    kernel: &ForeignKernel,
    settings: &Settings,
    store: &Store,
    refresh: bool,
    reporter: &dyn Reporter,
) -> Result<ForeignPlan, Error> {
    check(settings)?;
    match kernel {
        ForeignKernel::Debian(request) => {
            let places = Places::new(settings, store);
            let options = places.options(settings, refresh);
            let found = source::prebuilt(request, &options, reporter)?;
            let parts = found.packages.iter().map(|archive| archive.provenance.clone()).collect();
            let named = Named {
                version: found.version,
                release: found.release.clone(),
                name: "debian/linux-image",
            };
            let depmod = Some(Depmod::find()?);
            assemble(settings, named, Basis::Packages(found), parts, depmod)
        }
        ForeignKernel::Own(own) => own_plan(own, settings, reporter),
    }
}

/// What a kernel that is not compiled can't be.
fn check(settings: &Settings) -> Result<(), Error> {
    if settings.arch != Arch::X86_64 {
        return Err(Error::Usage {
            problem: format!(
                "a kernel that is not built here is for x86_64, not {}",
                settings.arch
            ),
            hint: "leave --arch out".to_owned(),
        });
    }
    if settings.vmlinux != Vmlinux::None {
        return Err(Error::Usage {
            problem: "--vmlinux: of a kernel that is not built here there is none".to_owned(),
            hint: "leave it out; what Debian ships with its headers is in the image anyway"
                .to_owned(),
        });
    }
    Ok(())
}

struct Named {
    version: KernelVersion,
    release: String,
    name: &'static str,
}

fn assemble(
    settings: &Settings,
    named: Named,
    from: Basis,
    parts: Vec<Provenance>,
    depmod: Option<Depmod>,
) -> Result<ForeignPlan, Error> {
    let Named { version, release, name } = named;
    let kernel = ForeignKey {
        format: 1,
        release: &release,
        version: &version,
        parts: &parts,
        depmod: depmod.as_ref(),
        arch: settings.arch.kernel(),
        epoch: settings.source_date_epoch,
    };
    let kernel_key = key::digest(&kernel);
    let own = (!by_default(settings, Key::ImageName)).then_some(settings.image_name.as_str());
    let name = own.unwrap_or(name).to_owned();
    let (images, of_images) = planned::all(&kernel_key, &name, &release, settings);
    let inputs = serde_json::json!({ "kernel": kernel, "images": of_images });
    let formats = match by_default(settings, Key::Format) {
        true => vec![Format::Oci],
        false => settings.formats.clone(),
    };
    Ok(ForeignPlan {
        version,
        release,
        from,
        depmod,
        name,
        formats,
        parts,
        kernel_key,
        images,
        inputs,
    })
}

/// The plan for files of the user's.
fn own_plan(
    own: &OwnKernel,
    settings: &Settings,
    reporter: &dyn Reporter,
) -> Result<ForeignPlan, Error> {
    let not_there = |error: std::io::Error| {
        missing("the kernel", &own.image, error.to_string(), "--kernel-image takes a bzImage")
    };
    let digest = Digest::sha256_of_file(&own.image).map_err(not_there)?;
    let release = content::release_of(&own.image)?;
    let version = version_in(&release).ok_or_else(|| {
        let why = format!("it says that it is {release}, which begins with no version");
        missing("the kernel", &own.image, why, "name a bzImage of 2.6.24 or newer")
    })?;
    let modules = own.modules.as_deref().map(|path| modules_in(path, &release)).transpose()?;
    let headers = own.headers.as_deref().map(headers_in).transpose()?;
    let mut parts = vec![part("kernel-image", digest)];
    let headers_folder = headers.as_ref().map(|(path, _)| path);
    for (what, path) in [("modules", modules.as_ref()), ("headers", headers_folder)] {
        if let Some(path) = path {
            parts.push(part(what, source::folder_digest(path, reporter)?));
        }
    }
    let unlisted = modules.as_ref().is_some_and(|path| !path.join("modules.dep").is_file());
    let depmod = unlisted.then(Depmod::find).transpose()?;
    let named = Named { version, release, name: "local/kernel-image" };
    let files = OwnFiles { image: own.image.clone(), modules, headers };
    assemble(settings, named, Basis::Files(files), parts, depmod)
}

fn missing(what: &'static str, path: &Path, why: String, hint: &str) -> Error {
    Error::Missing { what, path: path.to_owned(), why, hint: hint.to_owned() }
}

fn part(what: &str, digest: Digest) -> Provenance {
    let (provider, verified) = (Provider::Local, Verified::Local);
    Provenance { provider, name: what.to_owned(), digest, verified, revision: None }
}

/// The modules of a release in a folder that is theirs, or holds that.
fn modules_in(path: &Path, release: &str) -> Result<PathBuf, Error> {
    let places = [path.to_owned(), path.join(release), content::modules_in(path, release)];
    let marks = ["kernel", "modules.order", "modules.dep"];
    let is_it = |path: &PathBuf| marks.iter().any(|name| path.join(name).exists());
    places.into_iter().find(is_it).ok_or_else(|| {
        let why = format!("there are no modules of {release} in it");
        let hint = "name /lib/modules/RELEASE, or the root that has it (INSTALL_MOD_PATH)";
        missing("the modules", path, why, hint)
    })
}

/// Where headers are, and where they belong.
fn headers_in(path: &Path) -> Result<(PathBuf, &'static str), Error> {
    if path.join("Makefile").is_file() {
        return Ok((path.to_owned(), "source"));
    }
    let mut api = [path.to_owned(), path.join("include")].into_iter();
    let api = api.find(|path| path.join("linux/version.h").is_file());
    api.map(|path| (path, "include")).ok_or_else(|| {
        let why = "it has neither a Makefile nor linux/version.h".to_owned();
        let hint = "name the folder that modules are compiled against, or one of \
                    `make headers_install`";
        missing("the headers", path, why, hint)
    })
}

/// The version at a release's beginning: `6.1.0-56-amd64` is some 6.1.0,
/// `6.13.0-rc4-next` 6.13-rc4.
fn version_in(release: &str) -> Option<KernelVersion> {
    let mut parts = release.splitn(3, '-');
    let (base, next) = (parts.next()?, parts.next().unwrap_or_default());
    let base = base.split('+').next()?;
    let series = base.strip_suffix(".0").unwrap_or(base);
    format!("{series}-{next}").parse().or_else(|_| base.parse()).ok()
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;

    #[test]
    fn a_release_begins_with_a_version() {
        for (release, version) in [
            ("6.1.0-56-amd64", Some("6.1.0")),
            ("6.12.117-kinvolk-v1", Some("6.12.117")),
            ("6.12.117+deb12-amd64", Some("6.12.117")),
            ("6.13.0-rc4", Some("6.13-rc4")),
            ("6.13.0-rc4-next-20250101", Some("6.13-rc4")),
            ("linux", None),
        ] {
            let found = version_in(release).map(|version| version.to_string());
            assert_eq!(found.as_deref(), version, "{release}");
        }
    }

    #[test]
    fn headers_are_known_by_what_is_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert!(headers_in(path).is_err());
        fs::create_dir_all(path.join("include/linux")).unwrap();
        fs::write(path.join("include/linux/version.h"), "").unwrap();
        assert_eq!(headers_in(path).unwrap(), (path.join("include"), "include"));
        fs::write(path.join("Makefile"), "").unwrap();
        assert_eq!(headers_in(path).unwrap(), (path.to_owned(), "source"));
    }
}
