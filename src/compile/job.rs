use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::fixes::Fix;
use super::make::Make;
use super::progress::{Begun, begun, estimated_objects};
use super::stamp::Stamp;
use super::toolchain::{Compiler, Family};
use super::variables::{Variables, timestamp};
use super::{Error, KernelArtifacts, Toolchain, headers, pahole, unfinished};
use crate::fsutil::Lock;
use crate::report::{Event, Reporter, Stage, Total, Unit, text};
use crate::settings::{Arch, KernelVersion};
use crate::source::CrossTools;

/// The object folder's name, in the source tree. No series has a folder of
/// this name.
pub const OBJECT_FOLDER: &str = "stage1-objects";

/// A folder beside it, in which a configuration is made that nobody compiles:
/// what lies in the object folder stays as it is.
pub const CONFIG_FOLDER: &str = "stage1-config";

/// The configuration while it is not whole, beside `.config`.
const NEW_CONFIG: &str = ".stage1-config";

/// Where debugging information says that a toolchain of an archive was.
const TOOLCHAIN: &str = "/toolchain";

/// Who built the kernel, as `uname -v` and the boot's first line show it: the
/// same for everybody, since it is compiled in.
const BUILDER: &str = "stage1-builder";

/// One kernel to compile.
#[derive(Debug)]
pub struct Job<'a> {
    /// The patched source: absolute, ours alone, writable.
    pub tree: &'a Path,
    /// The object folder's name in it: [`OBJECT_FOLDER`], or [`CONFIG_FOLDER`]
    /// for a look at a configuration.
    pub objects: &'a str,
    /// For which architecture.
    pub arch: Arch,
    /// What the source calls itself.
    pub version: KernelVersion,
    /// What the configuration's `CONFIG_LOCALVERSION` adds to it.
    pub suffix: &'a str,
    /// With which tools.
    pub toolchain: &'a Toolchain,
    /// The fixes that apply ([`super::fixes::applicable`]).
    pub fixes: &'a [Fix],
    /// A program before the compiler: `ccache`, `sccache`, `distcc`, `icecc`.
    pub launcher: Option<&'a str>,
    /// How many commands at once.
    pub jobs: NonZeroUsize,
    /// Seconds since 1970 that stand for this source everywhere.
    pub epoch: u64,
    /// Whether type information (BTF) is written.
    pub btf: bool,
    /// The work folder's lock; make and its children hold it, too.
    pub lock: &'a Lock,
    /// Where the whole log goes: [`Job::configure`] begins it,
    /// [`Job::compile`] goes on.
    pub log: &'a Path,
    /// How many objects a whole build of the same configuration had
    /// ([`Compiled::counted`]).
    pub expected: Option<u64>,
}

/// What [`Job::compile`] gives.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// Where its pieces lie.
    pub artifacts: KernelArtifacts,
    /// How many objects were compiled, if that was all of them.
    pub counted: Option<u64>,
}

impl Job<'_> {
    /// The object folder.
    #[must_use]
    pub fn objects(&self) -> PathBuf {
        self.tree.join(self.objects)
    }

    /// Every variable on make's command line but `O=`, sorted by name.
    #[must_use]
    pub fn make_variables(&self) -> Vec<(String, String)> {
        let mut variables = Variables::default();
        variables.set("ARCH", [self.arch.kernel()]);
        // Set and empty: no '+' for a tree that git calls modified.
        variables.set("LOCALVERSION", None::<String>);
        variables.set("KBUILD_BUILD_TIMESTAMP", [timestamp(self.epoch)]);
        variables.set("KBUILD_BUILD_USER", [BUILDER]);
        variables.set("KBUILD_BUILD_HOST", [BUILDER]);
        variables.set("KBUILD_BUILD_VERSION", ["1"]);
        self.set_tools(&mut variables);
        self.set_path_maps(&mut variables);
        for fix in self.fixes {
            for (name, words) in &fix.make {
                if name == "LD" {
                    variables.ensure("LD", &self.toolchain.linker.command);
                }
                variables.append(name, words);
            }
        }
        variables.into_pairs()
    }

    fn set_tools(&self, variables: &mut Variables) {
        let launched = |compiler: &Compiler| {
            let launcher = self.launcher.map(str::to_owned);
            launcher.into_iter().chain([compiler.command.clone()]).collect::<Vec<_>>()
        };
        variables.set("CC", launched(&self.toolchain.cc));
        variables.set("HOSTCC", launched(&self.toolchain.host_cc));
        // An empty one, too: a vendor's makefile may have a prefix of its own.
        variables.set("CROSS_COMPILE", [self.toolchain.cross_prefix.as_str()]);
        if self.btf {
            variables.set("PAHOLE", [pahole::path(&self.objects()).to_string_lossy()]);
        }
    }

    /// The object folder is the compilers' working folder, which goes into
    /// debugging information; the host tools of `tools/` (objtool) are
    /// compiled by absolute paths.
    fn set_path_maps(&self, variables: &mut Variables) {
        let objects = format!("-fdebug-prefix-map={}=.", self.objects().display());
        variables.set("KCFLAGS", [objects.as_str()]);
        variables.set("KAFLAGS", [objects.as_str()]);
        // Headers of the compiler's own are in debugging information, too.
        if let Some(tools) = &self.toolchain.tools {
            let map = format!("-fdebug-prefix-map={}={TOOLCHAIN}", tools.folder.display());
            variables.append("KCFLAGS", std::slice::from_ref(&map));
            variables.append("KAFLAGS", &[map]);
        }
        let option = host_map_option(&self.toolchain.host_cc);
        variables.append("HOSTCC", &[format!("{option}={}=.", self.tree.display())]);
    }

    fn make(&self) -> Make<'_> {
        Make {
            tree: self.tree,
            objects: self.objects(),
            variables: self.make_variables(),
            jobs: self.jobs,
            launcher: self.launcher.is_some(),
            tools: self.toolchain.tools.as_ref().map(CrossTools::bin),
            epoch: self.epoch,
            lock: self.lock,
            log: self.log,
        }
    }

    /// Makes the object folder fit for this build: wipes it if it was made
    /// with other tools or variables, and removes what a killed make left.
    fn prepare(&self, make: &Make<'_>, reporter: &dyn Reporter) -> Result<(), Error> {
        check_path(self.tree)?;
        self.toolchain.tools.as_ref().map_or(Ok(()), |tools| check_path(&tools.folder))?;
        for path in unfinished::clean(&make.objects)? {
            reporter.detail(format!("left half-written, removed: {}", path.display()));
        }
        let stamp = Stamp { toolchain: self.toolchain, variables: &make.variables };
        if !stamp.prepare(&make.objects)? {
            reporter.detail(format!("a fresh object folder: {}", make.objects.display()));
        }
        if self.btf {
            pahole::write(&make.objects, self.fixes)?;
        }
        Ok(())
    }

    /// Completes `seed` to a configuration (`make olddefconfig`), puts it in
    /// place and gives its text. An unchanged `.config` keeps its time, so
    /// that make stays incremental.
    ///
    /// # Errors
    /// When a file can't be written, make fails, or we are asked to stop.
    pub fn configure(&self, seed: &str, reporter: &dyn Reporter) -> Result<String, Error> {
        let failed = |error| Error::files("can't write the configuration", error);
        let make = self.make();
        self.prepare(&make, reporter)?;
        let log = fs::create_dir_all(crate::fsutil::parent(self.log));
        log.and_then(|()| fs::write(self.log, "")).map_err(failed)?;
        let (new, place) = (make.objects.join(NEW_CONFIG), make.objects.join(".config"));
        fs::write(&new, seed).map_err(failed)?;
        make.run(&["olddefconfig"], &[("KCONFIG_CONFIG", NEW_CONFIG)], reporter, |_| ())?;
        let text = fs::read_to_string(&new).map_err(failed)?;
        if fs::read_to_string(&place).is_ok_and(|old| old == text) {
            fs::remove_file(&new).map_err(failed)?;
        } else {
            fs::rename(&new, &place).map_err(failed)?;
        }
        let old = make.objects.join(format!("{NEW_CONFIG}.old"));
        crate::fsutil::remove_all(&old).map_err(failed)?;
        Ok(text)
    }

    /// Compiles what [`Job::configure`] configured: the bootable image, the
    /// symbol versions and tools that modules need, and the API headers.
    ///
    /// # Errors
    /// When the kernel would have another name than wanted, make fails (with
    /// the first error), a piece is absent, or we are asked to stop.
    pub fn compile(&self, reporter: &dyn Reporter) -> Result<Compiled, Error> {
        let make = self.make();
        self.prepare(&make, reporter)?;
        let targets = self.targets(&make)?;
        let release = self.check_release(&make, reporter)?;
        let compiler = &self.toolchain.cc;
        let with = format!("{release} with {} {}", compiler.command, compiler.version);
        reporter.started(Stage::Compile, format!("{with}, {} jobs", self.jobs));
        let begun = begun(&make.objects);
        let objects = self.make_kernel(&make, &targets, self.total(begun), reporter)?;
        reporter.finished(Stage::Compile, format!("{} objects", text::grouped(objects)));
        reporter.started(Stage::Headers, make.objects.display().to_string());
        let api_headers = headers::install(&make, reporter)?;
        reporter.finished(Stage::Headers, api_headers.display().to_string());
        let artifacts = self.artifacts(release, api_headers)?;
        Ok(Compiled { artifacts, counted: (begun == Begun::No).then_some(objects) })
    }

    /// How many objects there will be. What make finds to do in a finished
    /// folder, nobody knows; what a stopped build left, nobody counted.
    fn total(&self, begun: Begun) -> Option<Total> {
        let estimate = || estimated_objects(self.version.series(), self.btf);
        match (begun, self.expected) {
            (Begun::Finished, _) => None,
            (Begun::No, Some(counted)) => Some(Total::Exact(counted)),
            (_, counted) => Some(Total::About(counted.unwrap_or_else(estimate))),
        }
    }

    /// What an earlier [`Job::compile`] left, if all of it is there. Whether
    /// it was made of the same inputs, the caller knows.
    #[must_use]
    pub fn finished(&self) -> Option<KernelArtifacts> {
        let release = format!("{}{}", self.version.release(), self.suffix);
        let api_headers = headers::folder(&self.objects());
        let complete = api_headers.is_dir();
        complete.then(|| self.artifacts(release, api_headers).ok()).flatten()
    }

    fn check_release(&self, make: &Make<'_>, reporter: &dyn Reporter) -> Result<String, Error> {
        let wanted = format!("{}{}", self.version.release(), self.suffix);
        let found = make.ask("kernelrelease", reporter)?;
        if found == wanted {
            return Ok(wanted);
        }
        Err(Error::Release { wanted, found, causes: self.name_causes() })
    }

    /// What `scripts/setlocalversion` and the makefile read.
    fn name_causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let makefile = fs::read_to_string(self.tree.join("Makefile")).unwrap_or_default();
        let starts = ["VERSION =", "PATCHLEVEL =", "SUBLEVEL =", "EXTRAVERSION ="];
        let lines =
            makefile.lines().filter(|line| starts.iter().any(|start| line.starts_with(start)));
        causes.push(format!("Makefile says {}", lines.collect::<Vec<_>>().join(", ")));
        let config = fs::read_to_string(self.objects().join(".config")).unwrap_or_default();
        causes.extend(
            config.lines().filter(|l| l.contains("CONFIG_LOCALVERSION")).map(str::to_owned),
        );
        let names = fs::read_dir(self.tree).into_iter().flatten().flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let counts = |name: &String| name.starts_with("localversion") || name == ".scmversion";
        causes.extend(names.filter(counts).map(|name| format!("the source has a file {name}")));
        causes
    }

    /// The image and, where modules are on, `Module.symvers` and what modules
    /// are compiled with. Where they are off, make refuses those targets.
    fn targets(&self, make: &Make<'_>) -> Result<Vec<&'static str>, Error> {
        let config = fs::read_to_string(make.objects.join(".config"));
        let config = config.map_err(|error| Error::files("not configured", error))?;
        let mut targets = vec![image_target(self.arch)];
        if config.lines().any(|line| line == "CONFIG_MODULES=y") {
            targets.extend(["modules", "modules_prepare"]);
        }
        Ok(targets)
    }

    /// Gives the number of objects that were compiled.
    fn make_kernel(
        &self,
        make: &Make<'_>,
        targets: &[&str],
        total: Option<Total>,
        reporter: &dyn Reporter,
    ) -> Result<u64, Error> {
        let mut done = 0;
        unfinished::begin(&make.objects)?;
        let ended = make.run(targets, &[], reporter, |step| {
            done += u64::from(step.is_object());
            reporter.event(Event::Progress {
                stage: Stage::Compile,
                done,
                total: total.map(|total| total.at_least(done)),
                unit: Unit::Objects,
                current: format!("{} {}", step.verb, within(step.file, &make.objects)),
            });
        });
        // Stopped, it may have been killed in the end.
        if matches!(ended, Ok(()) | Err(Error::Make { .. })) {
            unfinished::end(&make.objects)?;
        }
        ended.map(|()| done)
    }

    fn artifacts(&self, release: String, api_headers: PathBuf) -> Result<KernelArtifacts, Error> {
        let build = self.objects();
        let folder = format!("arch/{}/boot", self.arch.source_folder());
        let image = build.join(folder).join(image_target(self.arch));
        let pieces = ["vmlinux", "System.map", ".config", "include/generated/utsrelease.h"];
        for path in pieces.map(|piece| build.join(piece)).into_iter().chain([image.clone()]) {
            if !path.is_file() {
                return Err(Error::Absent { path, log: self.log.to_owned() });
            }
        }
        Ok(KernelArtifacts {
            version: self.version,
            arch: self.arch,
            release,
            tree: self.tree.to_owned(),
            build,
            image,
            api_headers,
            epoch: self.epoch,
        })
    }
}

/// Blanks and colons are refused by the kernel's makefiles; the others have a
/// meaning to make, the shell or the options that map paths.
fn check_path(tree: &Path) -> Result<(), Error> {
    let path = tree.to_string_lossy();
    let bad =
        |c: &char| c.is_whitespace() || c.is_control() || ":$#%='\"\\`;&|<>()*?[]!~".contains(*c);
    match path.chars().find(bad) {
        Some(character) => Err(Error::Path { path: tree.to_owned(), character }),
        None => Ok(()),
    }
}

/// What is made, without the object folder that some of the kernel's
/// makefiles put before it.
fn within<'a>(file: &'a str, objects: &Path) -> &'a str {
    let inside = objects.to_str().and_then(|folder| file.strip_prefix(folder));
    inside.map_or(file, |file| file.trim_start_matches('/'))
}

fn image_target(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "bzImage",
        Arch::Arm64 => "Image",
    }
}

/// The newer option maps `__FILE__`, too.
fn host_map_option(compiler: &Compiler) -> &'static str {
    let since = match compiler.family {
        Family::Gcc => 8,
        Family::Clang => 10,
    };
    if compiler.version.major >= since { "-ffile-prefix-map" } else { "-fdebug-prefix-map" }
}

#[cfg(test)]
mod tests;
