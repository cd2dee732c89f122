use super::*;
use crate::compile::toolchain::tests::a_toolchain;
use crate::compile::{Failure, fixes};
use crate::report::{Collected, Fault, Silent};
use crate::source::{ToolArchive, Verified};

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
            objects: OBJECT_FOLDER,
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
    assert_eq!(value(&job, "CC").unwrap(), "ccache gcc -fno-pie -std=gnu11");
    let host = format!(
        "ccache gcc -ffile-prefix-map={tree}=. -Wno-use-after-free -Wno-restrict \
         -Wno-error=redundant-decls -Wno-deprecated-declarations -fcommon \
         -Wno-error=discarded-qualifiers"
    );
    assert_eq!(value(&job, "HOSTCC").unwrap(), host);
    assert_eq!(value(&job, "LD").unwrap(), "ld -z max-page-size=0x200000");
    let map = format!("-fdebug-prefix-map={tree}/stage1-objects=.");
    assert_eq!(value(&job, "KCFLAGS").unwrap(), map);
    assert!(value(&job, "PAHOLE").unwrap().ends_with("/stage1-objects/.stage1-pahole"));

    let plain = world.job();
    assert_eq!(value(&plain, "CC").unwrap(), "gcc");
    assert_eq!(value(&plain, "LOCALVERSION").unwrap(), "");
    assert_eq!(value(&plain, "CROSS_COMPILE").unwrap(), "");
    assert_eq!(value(&plain, "ARCH").unwrap(), "x86_64");
    assert_eq!(value(&plain, "KBUILD_BUILD_TIMESTAMP").unwrap(), "Thu Jan  1 00:00:00 UTC 1970");
    assert_eq!((value(&plain, "PAHOLE"), value(&plain, "LD")), (None, None));
}

#[test]
fn tools_of_an_archive_are_called_by_name_and_their_folder_is_mapped_away() {
    let mut world = World::new();
    let archive = ToolArchive {
        name: "kernel.org:gcc-13.2.0".into(),
        file: "x.tar.xz".into(),
        digest: crate::digest::Digest::sha256(b""),
        verified: Verified::Unverified,
    };
    let folder = world.folder.path().join("tools");
    let prefix = "x86_64-linux-".to_owned();
    world.toolchain.cc.command = "x86_64-linux-gcc".into();
    world.toolchain.linker.command = "x86_64-linux-ld".into();
    world.toolchain.cross_prefix.clone_from(&prefix);
    world.toolchain.archive = Some(archive.clone());
    world.toolchain.tools = Some(CrossTools { archive, folder: folder.clone(), prefix });
    let table = fixes::table().unwrap();
    let job = Job { fixes: &table, ..world.job() };
    for (name, wanted) in [
        ("CC", "x86_64-linux-gcc -fno-pie -std=gnu11"),
        ("CROSS_COMPILE", "x86_64-linux-"),
        ("LD", "x86_64-linux-ld -z max-page-size=0x200000"),
    ] {
        assert_eq!(value(&job, name).unwrap(), wanted);
    }
    assert!(value(&job, "HOSTCC").unwrap().starts_with("gcc "));
    let map = format!("-fdebug-prefix-map={}=/toolchain", folder.display());
    for name in ["KCFLAGS", "KAFLAGS"] {
        assert!(value(&job, name).unwrap().ends_with(&map), "{name}");
    }
    let identity = serde_json::to_string(&world.toolchain).unwrap();
    assert!(identity.contains("kernel.org:gcc-13.2.0"), "{identity}");
    assert!(!identity.contains(folder.to_str().unwrap()), "{identity}");

    let seen = Collected::default();
    world.job().configure(SEED, &seen).unwrap();
    let bin = folder.join("x86_64-linux/bin");
    let log = fs::read_to_string(&world.log).unwrap();
    assert!(log.starts_with(&format!("$ PATH={}:\"$PATH\" make ", bin.display())), "{log}");
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
    let commands: Vec<_> = commands.iter().filter_map(|text| text.strip_prefix(&place)).collect();
    for (command, target) in
        commands.iter().zip(["olddefconfig", "kernelrelease", "modules_prepare", "headers_install"])
    {
        assert!(command.contains(" ARCH=x86_64 CC=gcc ") && command.ends_with(target), "{command}");
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
    for (path, refused) in [("/a/b-c_d.e/tree", None), ("/a b", Some(' ')), ("/a:b", Some(':'))] {
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
