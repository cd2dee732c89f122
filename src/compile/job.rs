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

/// The object folder's name, in the source tree. No series has a folder of
/// this name.
pub const OBJECT_FOLDER: &str = "stage1-objects";

/// The configuration while it is not whole, beside `.config`.
const NEW_CONFIG: &str = ".stage1-config";

/// Who built the kernel, as `uname -v` and the boot's first line show it: the
/// same for everybody, since it is compiled in.
const BUILDER: &str = "stage1-builder";

/// One kernel to compile.
#[derive(Debug)]
pub struct Job<'a> {
    /// The patched source: absolute, ours alone, writable.
    pub tree: &'a Path,
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
        self.tree.join(OBJECT_FOLDER)
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
        if !self.toolchain.cross_prefix.is_empty() {
            variables.set("CROSS_COMPILE", [self.toolchain.cross_prefix.as_str()]);
        }
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
            epoch: self.epoch,
            lock: self.lock,
            log: self.log,
        }
    }

    /// Makes the object folder fit for this build: wipes it if it was made
    /// with other tools or variables, and removes what a killed make left.
    fn prepare(&self, make: &Make<'_>, reporter: &dyn Reporter) -> Result<(), Error> {
        check_path(self.tree)?;
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
mod tests {
    use super::*;
    use crate::compile::toolchain::tests::a_toolchain;
    use crate::compile::{Failure, fixes};
    use crate::report::{Collected, Fault, Silent};

    /// A make project with the targets, the lines and the files of a kernel.
    const MAKEFILE: &str = r#"
VERSION = 6
olddefconfig:
	@cd $(O) && grep -v dropped $(KCONFIG_CONFIG) > tmp && mv tmp $(KCONFIG_CONFIG)
kernelrelease:
	@echo 6.1.7$$(sed -n 's/^CONFIG_LOCALVERSION="\(.*\)"/\1/p' $(O)/.config)
bzImage:
	@readlink /proc/self/fd/0
	@for object in a b c; do echo "  CC      kernel/$$object.o"; done
	@test ! -e broken || { cat broken >&2; exit 1; }
	@cd $(O) && mkdir -p arch/x86/boot include/generated
	@cd $(O) && touch vmlinux System.map include/generated/utsrelease.h arch/x86/boot/bzImage
modules modules_prepare: bzImage
	@touch $(O)/Module.symvers
headers_install:
	@mkdir -p $(INSTALL_HDR_PATH)/include/linux
	@touch $(INSTALL_HDR_PATH)/include/linux/version.h $(INSTALL_HDR_PATH)/include/linux/.install
"#;

    const SEED: &str = "CONFIG_MODULES=y\ndropped\nCONFIG_LOCALVERSION=\"-test\"\n";

    struct World {
        folder: tempfile::TempDir,
        toolchain: Toolchain,
        lock: Lock,
        log: PathBuf,
        tree: PathBuf,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let tree = folder.path().join("tree");
            fs::create_dir(&tree).unwrap();
            fs::write(tree.join("Makefile"), MAKEFILE).unwrap();
            let lock = Lock::try_acquire(&folder.path().join("lock")).unwrap().unwrap();
            let log = folder.path().join("logs/build.log");
            Self { folder, toolchain: a_toolchain(), lock, log, tree }
        }

        fn job(&self) -> Job<'_> {
            Job {
                tree: &self.tree,
                arch: Arch::X86_64,
                version: KernelVersion::new(6, 1, 7),
                suffix: "-test",
                toolchain: &self.toolchain,
                fixes: &[],
                launcher: None,
                jobs: NonZeroUsize::MIN,
                epoch: 0,
                btf: false,
                lock: &self.lock,
                log: &self.log,
                expected: None,
            }
        }
    }

    fn value(job: &Job<'_>, name: &str) -> Option<String> {
        job.make_variables().into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    #[test]
    fn variables_are_the_sum_of_tools_launcher_and_fixes() {
        let world = World::new();
        let table = fixes::table().unwrap();
        let job = Job { launcher: Some("ccache"), fixes: &table, btf: true, ..world.job() };
        let tree = world.tree.display();
        assert_eq!(value(&job, "CC").unwrap(), "ccache gcc -fno-pie");
        let host = format!("ccache gcc -ffile-prefix-map={tree}=. -Wno-use-after-free -fcommon");
        assert_eq!(value(&job, "HOSTCC").unwrap(), host);
        assert_eq!(value(&job, "LD").unwrap(), "ld -z max-page-size=0x200000");
        let map = format!("-fdebug-prefix-map={tree}/stage1-objects=.");
        assert_eq!(value(&job, "KCFLAGS").unwrap(), map);
        assert!(value(&job, "PAHOLE").unwrap().ends_with("/stage1-objects/.stage1-pahole"));

        let plain = world.job();
        assert_eq!(value(&plain, "CC").unwrap(), "gcc");
        assert_eq!(value(&plain, "LOCALVERSION").unwrap(), "");
        assert_eq!(value(&plain, "ARCH").unwrap(), "x86_64");
        assert_eq!(
            value(&plain, "KBUILD_BUILD_TIMESTAMP").unwrap(),
            "Thu Jan  1 00:00:00 UTC 1970"
        );
        assert_eq!((value(&plain, "PAHOLE"), value(&plain, "LD")), (None, None));
    }

    #[test]
    fn an_old_host_compiler_gets_the_option_that_it_knows() {
        let mut world = World::new();
        world.toolchain.host_cc.version = "7.5.0".parse().unwrap();
        assert!(value(&world.job(), "HOSTCC").unwrap().contains(" -fdebug-prefix-map="));
    }

    #[test]
    fn an_unchanged_configuration_keeps_its_time() {
        let world = World::new();
        let config = world.job().objects().join(".config");
        let text = world.job().configure(SEED, &Silent).unwrap();
        assert_eq!(text, "CONFIG_MODULES=y\nCONFIG_LOCALVERSION=\"-test\"\n");
        let early = std::time::SystemTime::UNIX_EPOCH;
        fs::File::options().write(true).open(&config).unwrap().set_modified(early).unwrap();
        world.job().configure(SEED, &Silent).unwrap();
        let modified = || fs::metadata(&config).unwrap().modified().unwrap();
        assert_eq!(modified(), early);
        world.job().configure(&format!("{SEED}CONFIG_X=y\n"), &Silent).unwrap();
        assert!(modified() > early);
    }

    #[test]
    fn a_build_is_whole_and_its_make_holds_the_lock() {
        let world = World::new();
        let seen = Collected::default();
        world.job().configure(SEED, &seen).unwrap();
        let Compiled { artifacts, counted } = world.job().compile(&seen).unwrap();
        assert_eq!((artifacts.release.as_str(), counted), ("6.1.7-test", Some(3)));
        assert!(artifacts.image.is_file() && artifacts.build.join("Module.symvers").is_file());
        let headers: Vec<_> =
            fs::read_dir(artifacts.api_headers.join("linux")).unwrap().flatten().collect();
        assert_eq!(headers.len(), 1, "{headers:?}");
        let mut progress = seen.events().into_iter().filter_map(|event| match event {
            Event::Progress { done, total, current, .. } => Some((done, total, current)),
            _ => None,
        });
        let last = progress.next_back().unwrap();
        assert_eq!(last, (3, Some(Total::About(1_782)), "CC kernel/c.o".to_owned()));
        let log = fs::read_to_string(&world.log).unwrap();
        let lock = world.folder.path().join("lock");
        assert!(log.lines().any(|line| line == lock.to_string_lossy()), "{log}");
        assert!(log.contains("\n$ make -j1 ") && log.contains(" bzImage modules "), "{log}");
    }

    /// Each total that a compile tells, and what it counted.
    fn totals(world: &World, expected: Option<u64>) -> (Vec<Option<Total>>, Option<u64>) {
        let seen = Collected::default();
        let compiled = Job { expected, ..world.job() }.compile(&seen).unwrap();
        let total = |event| match event {
            Event::Progress { total, .. } => Some(total),
            _ => None,
        };
        (seen.events().into_iter().filter_map(total).collect(), compiled.counted)
    }

    #[test]
    fn a_counted_total_is_exact_where_nothing_was_compiled_yet() {
        let world = World::new();
        world.job().configure(SEED, &Silent).unwrap();
        assert_eq!(totals(&world, Some(3)), (vec![Some(Total::Exact(3)); 3], Some(3)));
        assert_eq!(totals(&world, Some(3)), (vec![None; 3], None), "a finished folder");
        fs::remove_file(world.job().objects().join("vmlinux")).unwrap();
        fs::create_dir(world.job().objects().join("kernel")).unwrap();
        assert_eq!(totals(&world, Some(9)), (vec![Some(Total::About(9)); 3], None), "stopped");
        fs::remove_dir(world.job().objects().join("kernel")).unwrap();
        fs::remove_file(world.job().objects().join("vmlinux")).unwrap();
        let grown = [Total::Exact(1), Total::About(2), Total::About(3)].map(Some);
        assert_eq!(totals(&world, Some(1)), (grown.to_vec(), Some(3)), "counted otherwise");
    }

    #[test]
    fn makes_command_line_is_a_detail_and_what_it_says_is_output() {
        let world = World::new();
        let seen = Collected::default();
        world.job().configure(SEED, &seen).unwrap();
        world.job().compile(&seen).unwrap();
        let commands: Vec<String> = seen.events().into_iter().filter_map(detail).collect();
        let place = format!("in {}: make ", world.tree.display());
        let commands: Vec<_> =
            commands.iter().filter_map(|text| text.strip_prefix(&place)).collect();
        for (command, target) in commands.iter().zip([
            "olddefconfig",
            "kernelrelease",
            "modules_prepare",
            "headers_install",
        ]) {
            assert!(
                command.contains(" ARCH=x86_64 CC=gcc ") && command.ends_with(target),
                "{command}"
            );
        }
        assert_eq!(commands.len(), 4);
        for line in ["  CC      kernel/a.o", "6.1.7-test"] {
            assert!(seen.events().contains(&Event::Output(line.to_owned())), "{line}");
        }
    }

    fn detail(event: Event) -> Option<String> {
        if let Event::Detail(text) = event { Some(text) } else { None }
    }

    #[test]
    fn a_path_that_make_can_not_take_is_refused_before_anything_is_written() {
        for (path, refused) in [("/a/b-c_d.e/tree", None), ("/a b", Some(' ')), ("/a:b", Some(':'))]
        {
            let found = match check_path(Path::new(path)) {
                Err(Error::Path { character, .. }) => Some(character),
                _ => None,
            };
            assert_eq!(found, refused, "{path}");
        }
    }

    #[test]
    fn another_name_than_wanted_is_an_error_that_says_why() {
        let world = World::new();
        fs::write(world.tree.join("localversion-rt"), "-rt5").unwrap();
        world.job().configure(SEED, &Silent).unwrap();
        let job = Job { suffix: "-mine", ..world.job() };
        let error = job.compile(&Silent).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.fault(), Fault::Kconfig);
        assert!(text.contains("'6.1.7-test', not '6.1.7-mine'"), "{text}");
        assert!(text.contains("localversion-rt") && text.contains("VERSION = 6"), "{text}");
        assert!(text.contains("CONFIG_LOCALVERSION=\"-test\""), "{text}");
    }

    fn broken(said: &str) -> (Error, Failure) {
        let world = World::new();
        fs::write(world.tree.join("broken"), said).unwrap();
        world.job().configure(SEED, &Silent).unwrap();
        let error = world.job().compile(&Silent).unwrap_err();
        assert!(error.to_string().contains(&world.log.display().to_string()), "{error}");
        let Error::Make { failure, .. } = &error else { panic!("{error}") };
        let failure = failure.as_ref().clone();
        (error, failure)
    }

    #[test]
    fn a_failure_has_the_first_error_and_the_logs_path() {
        let (error, failure) = broken("../kernel/b.c:1:1: error: expected ';'\n    1 | x\n");
        assert_eq!(failure.lines, ["../kernel/b.c:1:1: error: expected ';'", "    1 | x"]);
        assert_eq!(failure.target.as_deref(), Some("bzImage"));
        assert_eq!(error.fault(), Fault::Compile);
        assert!(error.hint().unwrap().starts_with("less +/error: "));
    }

    #[test]
    fn a_full_disk_is_no_fault_of_the_compiler() {
        let (error, failure) = broken("as: b.o: No space left on device\n");
        assert!(failure.is_storage());
        assert_eq!(error.fault(), Fault::Storage);
    }

    #[test]
    fn a_piece_that_make_did_not_leave_is_named() {
        let world = World::new();
        let makefile = MAKEFILE.replace("System.map ", "");
        fs::write(world.tree.join("Makefile"), makefile).unwrap();
        world.job().configure(SEED, &Silent).unwrap();
        let error = world.job().compile(&Silent).unwrap_err().to_string();
        assert!(error.contains("stage1-objects/System.map"), "{error}");
    }
}
