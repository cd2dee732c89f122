//! Whole builds of real trees, by hand: `cargo test --lib compile::trial --
//! --ignored`, with `S1B_TEST_TREES` naming trees to build in (separated by
//! colons), `S1B_TEST_SEED` a file with the wanted configuration.

use std::path::PathBuf;

use fs_err as fs;

use super::*;
use crate::fsutil::Lock;
use crate::report::{Event, Reporter};

struct Printing;

impl Reporter for Printing {
    fn event(&self, event: Event) {
        match event {
            Event::Progress { done, total, .. } if done % 200 != 0 || total.is_none() => {}
            other => println!("{other:?}"),
        }
    }
}

/// What the makefile at the top of the tree calls the tree.
fn version_of(tree: &std::path::Path) -> KernelVersion {
    let makefile = fs::read_to_string(tree.join("Makefile")).unwrap();
    let number = |name: &str| {
        let line = makefile.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches([' ', '=']).parse().unwrap()
    };
    KernelVersion::new(number("VERSION"), number("PATCHLEVEL"), number("SUBLEVEL"))
}

#[test]
#[ignore = "compiles kernels; see the top of the file"]
fn real_trees_come_out_whole() {
    let trees = std::env::var("S1B_TEST_TREES").unwrap();
    let seed = fs::read_to_string(std::env::var("S1B_TEST_SEED").unwrap()).unwrap();
    let launcher = std::env::var("S1B_TEST_LAUNCHER").ok();
    let btf = seed.contains("CONFIG_DEBUG_INFO_BTF=y");
    for tree in trees.split(':').map(PathBuf::from) {
        let version = version_of(&tree);
        let wanted =
            Wanted { tree: Some(&tree), btf, ..Wanted::new(version.series(), Arch::X86_64) };
        assert_eq!(missing(&wanted), []);
        let start = std::time::Instant::now();
        let toolchain = Toolchain::detect(&wanted).unwrap();
        println!("toolchain in {:?}", start.elapsed());
        let fixes = fixes::applicable(&tree, &toolchain, Arch::X86_64).unwrap();
        let lock = Lock::try_acquire(&tree.with_extension("lock")).unwrap().unwrap();
        let job = Job {
            tree: &tree,
            arch: Arch::X86_64,
            version,
            suffix: "-kinvolk-v1",
            toolchain: &toolchain,
            fixes: &fixes,
            launcher: launcher.as_deref(),
            jobs: std::num::NonZeroUsize::new(2).unwrap(),
            epoch: 1_553_350_203,
            btf,
            lock: &lock,
            log: &tree.with_extension("log"),
            expected: None,
        };
        println!("{:#?}", job.make_variables());
        let fragments: String = fixes.iter().map(Fix::fragment).collect();
        let seed = format!("{seed}{fragments}CONFIG_LOCALVERSION=\"-kinvolk-v1\"\n");
        job.configure(&seed, &Printing).unwrap();
        let start = std::time::Instant::now();
        match job.compile(&Printing) {
            Ok(artifacts) => println!("{artifacts:#?} in {:?}", start.elapsed()),
            Err(error) => panic!("{error}\nhint: {:?}", error.hint()),
        }
    }
}
