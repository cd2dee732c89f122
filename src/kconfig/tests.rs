//! The room as a whole, on a small tree that has each construct of the
//! Kconfig language, and on real trees where the host has some.

use std::path::Path;

use fs_err as fs;
use proptest::prelude::*;

use super::*;
use crate::proc::Program;
use crate::settings::Arch;

const TOP: &str = r#"# a small kernel
mainmenu "Linux/$(ARCH) $(KERNELVERSION) Kernel Configuration"

source "scripts/Kconfig.include"
source "arch/$(SRCARCH)/Kconfig"
osource "vendor/Kconfig"
config EXPERT
	bool "Expert"
config MODULES
	bool "Modules"
	modules
menu "Bus"
	visible if EXPERT
config BUS
	tristate "Bus" \
		if EXPERT
	default y
config SLOT
	bool "Slot"
	depends on BUS
endmenu
if MODULES
menuconfig PROBES
	bool "Probes"
	---help---
	  config NOT_A_SYMBOL
	  select BUS
	depends on (BUS && SLOT) || CC_HAS_PROBES
endif
comment "drivers"
	depends on BUS
rsource "drivers/Kconfig"
choice
	prompt "Compression"
	default GZIP
	depends on EXPERT
config GZIP
	bool "gzip"
config LZ4
	bool "lz4"
endchoice
config STRICT
	def_bool $(cc-option,-mstrict)
config HARD
	bool "Hard"
	depends on $(cc-option,-mhard)
config COUNT
	int "Count"
	range 2 COUNT_MOST
	default "8"
config COUNT_MOST
	int
	default 16 if 64BIT
	default 4
config WIDE
	bool "Wide"
	depends on COUNT >= 10 && "$(ARCH)" = "x86_64" && SUFFIX != ""
config SUFFIX
	string "Suffix" if EXPERT
config LOCALVERSION
	string "Local version"
config LOCALVERSION_AUTO
	bool "Automatic"
"#;

const DRIVERS: &str = r#"
config CORE
	tristate
config EVENT
	tristate "Event"
	select CORE if SLOT
	imply EXTRA
config EXTRA
	bool "Extra" if BUS
	default y
config NET
	tristate "Net"
config NET_X
	tristate "Net X"
	depends on NET
	depends on NET != n if BUS
config NET_X
	depends on !OLD
config OLD
	bool
"#;

const ARCH: &str = r#"
config 64BIT
	bool "64 bit" if "$(ARCH)" = "x86"
	default "$(ARCH)" != "i386"
config CC_HAS_PROBES
	def_bool $(success,test -n "$(CC)")
config ARCH_VALUE
	string
	option env="ARCH"
config TIED
	bool "Tied"
	depends on ARCH_VALUE = "x86_64" && m
"#;

/// A tree with `files` over those of the small kernel.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let own = [
        ("Kconfig", TOP),
        ("drivers/Kconfig", DRIVERS),
        ("arch/x86/Kconfig", ARCH),
        ("scripts/Kconfig.include", "cc-option = $(shell,x $(1))\nname := $(cc-name)\n"),
    ];
    for (name, text) in own.iter().chain(files) {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn plan(version: &str, text: &str) -> Plan {
    let fragment = Fragment::parse("f", text).unwrap();
    let base = Some(("none", ""));
    fragments(&version.parse().unwrap(), (&[], &[]), base, vec![fragment]).unwrap()
}

/// The findings for a fragment without those on rkt's needs, a line each.
fn check(fragment: &str, result: &str) -> String {
    check_for("6.12", fragment, result)
}

fn check_for(version: &str, fragment: &str, result: &str) -> String {
    let folder = tree(&[]);
    let tree = Tree::read(folder.path(), Arch::X86_64).unwrap();
    assert_eq!((&tree.unread, &tree.odd), (&vec![], &vec![]));
    let result = DotConfig::parse(".config", result).unwrap();
    let findings = plan(version, fragment).findings(&tree, Arch::X86_64, &result);
    let ours = findings.iter().filter(|one| !matches!(one.what, What::MissingForRkt { .. }));
    ours.map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_as_asked_is_not_spoken_of() {
    let fragment = "CONFIG_BUS=y\n# CONFIG_SLOT is not set\n# CONFIG_OLD is not set\nCONFIG_COUNT=\
                    0x0a\nCONFIG_SUFFIX=\"\"\n";
    assert_eq!(check(fragment, "CONFIG_BUS=y\nCONFIG_COUNT=10\n"), "");
}

#[test]
fn dropped_symbols_come_with_their_false_terms() {
    for (asked, result, finding) in [
        ("CONFIG_SLOT=y", "", "SLOT: asked y, got n -- Kconfig:18: BUS"),
        // The block around, and an "or" that is a term of its own.
        (
            "CONFIG_PROBES=y",
            "CONFIG_BUS=y",
            "PROBES: asked y, got n -- Kconfig:23: MODULES; (BUS && SLOT) || CC_HAS_PROBES",
        ),
        // Dependencies hold, but the menu shows its prompts to experts only.
        ("CONFIG_SLOT=y", "CONFIG_BUS=y", "SLOT: asked y, got n -- Kconfig:18: prompt if (EXPERT)"),
        (
            "# CONFIG_BUS is not set",
            "CONFIG_BUS=y",
            "BUS: asked n, got y -- Kconfig:14: prompt if (EXPERT) && (EXPERT)",
        ),
        ("CONFIG_LZ4=y", "", "LZ4: asked y, got n -- Kconfig:39: EXPERT"),
        (
            "CONFIG_LZ4=y",
            "CONFIG_EXPERT=y\nCONFIG_GZIP=y",
            "LZ4: asked y, got n -- Kconfig:33: the choice took GZIP",
        ),
        (
            "# CONFIG_GZIP is not set",
            "CONFIG_EXPERT=y\nCONFIG_GZIP=y",
            "GZIP: asked n, got y -- Kconfig:33: the choice took it, and must take one",
        ),
        ("CONFIG_HARD=y", "", "HARD: asked y, got n -- Kconfig:44: $(cc-option,-mhard) ?"),
        (
            "CONFIG_STRICT=y",
            "",
            "STRICT: asked y, got n -- Kconfig:42: no prompt, set by its default",
        ),
        (
            "CONFIG_WIDE=y",
            "CONFIG_COUNT=9\nCONFIG_SUFFIX=\"\"",
            "WIDE: asked y, got n -- Kconfig:55: COUNT >= 10; SUFFIX != \"\"",
        ),
        (
            "CONFIG_WIDE=y",
            "CONFIG_COUNT=10\nCONFIG_SUFFIX=\"x\"",
            "WIDE: asked y, got n -- Kconfig:55: free to set, but changed after it was asked",
        ),
        // A bare m is n without modules, and the environment has the arch.
        ("CONFIG_TIED=y", "CONFIG_64BIT=y", "TIED: asked y, got n -- arch/x86/Kconfig:10: m"),
    ] {
        assert_eq!(check(asked, result), format!("error: {finding} [f:1]"));
    }
}

#[test]
fn a_module_below_allows_no_yes() {
    assert_eq!(
        check("CONFIG_NET_X=y", "CONFIG_MODULES=y\nCONFIG_NET=m\nCONFIG_NET_X=m"),
        "error: NET_X: asked y, got m -- drivers/Kconfig:13: only m, as NET | drivers/Kconfig:17: \
         no prompt, set by its default [f:1]"
    );
}

#[test]
fn a_conditional_dependency_counts_where_its_condition_holds() {
    let tree = tree(&[]);
    let tree = Tree::read(tree.path(), Arch::X86_64).unwrap();
    let config = DotConfig::parse("", "CONFIG_BUS=y\n").unwrap();
    let text = tree.explain("NET_X", &config).unwrap().to_string();
    assert!(text.contains("depends on [n] !BUS || NET != n  (drivers/Kconfig:16)"), "{text}");
    assert!(text.contains("depends on [y] !OLD  (drivers/Kconfig:18)"), "{text}");
}

#[test]
fn forced_symbols_come_with_what_selects_them() {
    let result = "CONFIG_EVENT=y\nCONFIG_SLOT=y\nCONFIG_CORE=y\n";
    assert_eq!(
        check("# CONFIG_CORE is not set", result),
        "error: CORE: asked n, got y -- drivers/Kconfig:6: selected by EVENT [f:1]"
    );
    assert_eq!(
        check("CONFIG_CORE=y", ""),
        "error: CORE: asked y, got n -- drivers/Kconfig:2: no prompt, selected by EVENT [f:1]"
    );
}

#[test]
fn numbers_and_texts() {
    assert_eq!(
        check("CONFIG_COUNT=99", "CONFIG_COUNT=16\nCONFIG_COUNT_MOST=16"),
        "error: COUNT: asked 99, got 16 -- Kconfig:47: range 2 to COUNT_MOST [f:1]"
    );
    assert_eq!(
        check("CONFIG_SUFFIX=\"x\"", ""),
        "error: SUFFIX: asked \"x\", got nothing -- Kconfig:58: prompt if (EXPERT) [f:1]"
    );
}

#[test]
fn unknown_names_are_errors_unless_a_note_says_otherwise() {
    assert_eq!(
        check("CONFIG_EXPRET=y\n# CONFIG_QUANTUM is not set\n", ""),
        "error: EXPRET: asked y, unknown in this tree -- did you mean EXPERT? [f:1]\n\
         error: QUANTUM: asked n, unknown in this tree [f:2]"
    );
    let noted = "#: since 5.0, until 6.0\nCONFIG_FLUX=y\n";
    assert_eq!(check_for("4.19.108", noted, ""), "");
    assert_eq!(check_for("6.0", noted, ""), "");
    let error = "error: FLUX: asked y, unknown in this tree [f:2]";
    assert_eq!(check_for("5.0-rc1", noted, ""), error);
    assert_eq!(check("#: soft\nCONFIG_FLUX=y", ""), error.replace("error", "warning"));
    // Another architecture's, there or not.
    assert_eq!(check("#: arch arm64\nCONFIG_FLUX=y\nCONFIG_SLOT=y\n", ""), "");
    // There in spite of the note, and dropped.
    assert_eq!(
        check("#: until 5.0\nCONFIG_SLOT=y", ""),
        "warning: SLOT: asked y, got n -- Kconfig:18: BUS [f:2]"
    );
}

#[test]
fn one_of_several_names_is_enough() {
    let asked = "#: any\nCONFIG_OLD_EVENT=y\nCONFIG_EVENT=y\n";
    assert_eq!(check(asked, "CONFIG_EVENT=y\n"), "");
    assert_eq!(
        check(asked, ""),
        "error: OLD_EVENT: asked y, unknown in this tree [f:2]\n\
         error: EVENT: asked y, got n -- drivers/Kconfig:4: free to set, but changed after it was \
         asked [f:3]"
    );
}

#[test]
fn a_users_configuration_is_checked_gently_but_for_rkts_needs() {
    let folder = tree(&[]);
    let text = "CONFIG_SLOT=y\nCONFIG_CORE=y\nCONFIG_GONE=y\n# CONFIG_NEVER is not set\n\
                CONFIG_WORDS=\"\"\n";
    let version = KernelVersion::new(6, 12, 0);
    let plan = fragments(&version, (&[], &[]), Some(("mine", text)), vec![]).unwrap();
    let needs = |without: &str| {
        let names = RKT_BUILT_IN.iter().flat_map(|need| need.any_of);
        let names = names.filter(|name| **name != without);
        names.map(|name| format!("CONFIG_{name}=y\n")).collect::<String>()
    };
    let check = |result: &str| {
        let tree = Tree::read(folder.path(), Arch::X86_64).unwrap();
        plan.check(&tree, Arch::X86_64, &DotConfig::parse("", result).unwrap())
    };
    let warnings = check(&needs("")).unwrap();
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "warning: SLOT: asked y, got n -- Kconfig:18: BUS [mine:1]",
            "warning: mine: unknown in this tree: GONE",
        ]
    );
    let error = check(&needs("SERIO")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the configuration of Linux 6.12.0 did not come out as asked:\n  \
         error: SERIO: rkt needs y (the keyboard controller through which lkvm resets), got \
         nothing\n  \
         warning: SLOT: asked y, got n -- Kconfig:18: BUS [mine:1]\n  \
         warning: mine: unknown in this tree: GONE"
    );
    assert_eq!(error.fault(), crate::report::Fault::Kconfig);
    assert!(error.hint().is_some());
}

#[test]
fn the_base_asks_for_what_rkt_needs() {
    let base = features::base().unwrap();
    for need in RKT_BUILT_IN {
        let asked = |name: &str| {
            let mut requests = base.requests().iter();
            requests.any(|request| request.name == name && request.value == Value::YES)
        };
        assert!(need.any_of.iter().any(|name| asked(name)), "{need:?}");
    }
    // Nothing is a module: there is nothing to load modules from.
    let module = Value::Tristate(Tristate::Module);
    assert!(base.requests().iter().all(|request| request.value != module));
}

#[test]
fn a_symbol_is_explained() {
    let folder = tree(&[]);
    let config = DotConfig::parse("", "CONFIG_BUS=m\nCONFIG_MODULES=y\nCONFIG_EVENT=m\n").unwrap();
    let why = |symbol: &str| {
        explain(folder.path(), Arch::X86_64, symbol, &config).map(|found| found.to_string())
    };
    assert_eq!(
        why("CONFIG_PROBES").unwrap(),
        "PROBES = n\n  Kconfig:23: bool \"Probes\"\n    \
         depends on [y] MODULES  (Kconfig:22)\n    \
         depends on [n] (BUS && SLOT) || CC_HAS_PROBES  (Kconfig:28)"
    );
    assert_eq!(
        why("CORE").unwrap(),
        "CORE = n\n  drivers/Kconfig:2: tristate without a prompt\n  \
         selected by [n] EVENT if SLOT  (drivers/Kconfig:6)"
    );
    assert_eq!(
        why("EXTRA").unwrap(),
        "EXTRA = n\n  drivers/Kconfig:8: bool \"Extra\"\n    \
         asked if [m] BUS  (drivers/Kconfig:8)\n    default y\n  \
         implied by [m] EVENT  (drivers/Kconfig:7)"
    );
    let error = why("PROBE").unwrap_err();
    assert_eq!(error.to_string(), "the tree defines no symbol 'PROBE'");
    assert_eq!(error.hint().unwrap(), "did you mean 'PROBES'?");
}

#[test]
fn no_path_leads_out_of_the_tree_and_no_file_is_read_for_ever() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("Kconfig"), "config SECRET\n\tbool\n").unwrap();
    let sources = format!(
        "source \"../Kconfig\"\nsource \"{}/Kconfig\"\nsource \"link/Kconfig\"\nsource \
         \"$(shell,x)\"\nsource \"gone\"\nosource \"gone\"\nsource \"drivers\"\n\
         source \"loop/Kconfig\"\nconfig LAST\n\tbool\n",
        outside.path().display()
    );
    let folder = tree(&[
        ("Kconfig", &sources),
        ("loop/Kconfig", "rsource \"Kconfig\"\nconfig INSIDE\n\tbool\n"),
    ]);
    std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
    let tree = Tree::read(folder.path(), Arch::X86_64).unwrap();
    assert_eq!(tree.defined(), 2);
    let unread: Vec<_> = tree.unread.iter().map(|(at, why)| format!("{at}: {why}")).collect();
    assert_eq!(unread[0], "Kconfig:1: ../Kconfig leads out of the tree");
    assert!(unread[1].starts_with("Kconfig:2: ") && unread[1].ends_with("out of the tree"));
    assert_eq!(
        unread[2..],
        [
            "Kconfig:3: link/Kconfig leads out of the tree",
            "Kconfig:4: $(shell,x) has an unknown macro",
            "Kconfig:5: gone is not there",
            "Kconfig:7: drivers is no ordinary file of a sane size",
            "loop/Kconfig:1: loop/Kconfig includes itself",
        ]
    );
}

#[test]
fn blocks_without_end_are_survived() {
    let folder = tree(&[("Kconfig", &"if A\n".repeat(100_000))]);
    assert!(!Tree::read(folder.path(), Arch::X86_64).unwrap().unread.is_empty());
    let variables = "A = $(B)$(B)\nB = $(C)$(C)\nC = $(A)$(A)\nsource \"$(A)\"\n";
    let folder = tree(&[("Kconfig", variables)]);
    assert_eq!(Tree::read(folder.path(), Arch::X86_64).unwrap().unread.len(), 1);
}

#[test]
fn macros_that_multiply_are_left_alone() {
    let many = |of: usize| format!("M{}={}\n", of + 1, format!("$(M{of})").repeat(500));
    let macros: String = (0..7).map(many).collect();
    let folder =
        tree(&[("Kconfig", &format!("M0=\n{macros}source \"x$(M6)\"\nsource \"x$(M1)\"\n"))]);
    let tree = Tree::read(folder.path(), Arch::X86_64).unwrap();
    let unread: Vec<_> = tree.unread.iter().map(|(_, why)| why.as_str()).collect();
    assert_eq!(unread, ["x$(M6) has an unknown macro", "x is not there"]);
}

#[test]
fn a_tree_without_a_top_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let error = Tree::read(folder.path(), Arch::X86_64).unwrap_err();
    assert_eq!(error.to_string(), "can't read the tree's Kconfig files");
    assert_eq!(error.fault(), crate::report::Fault::NotFound);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_tree_panics(
        lines in proptest::collection::vec(
            "(if|menu|choice|endif|endmenu|config A|config B|select B|depends on|default|range 1|\
             bool \"x\"|source \"Kconfig\"|visible if|prompt \"x\" if|A =)( (A|B|m|!|&&|=|<|\\$A|\
             \\$\\(A\\)|\"))*",
            0..30,
        ),
        junk: Vec<u8>,
        result in "(CONFIG_[AB]=[ymn1]\n)*",
    ) {
        let folder = tree(&[("Kconfig", &lines.join("\n"))]);
        fs::write(folder.path().join("junk"), &junk).unwrap();
        let tree = Tree::read(folder.path(), Arch::X86_64).unwrap();
        let config = DotConfig::parse("", &result).unwrap();
        _ = plan("6.12", "CONFIG_A=y\nCONFIG_B=1\n").findings(&tree, Arch::X86_64, &config);
        _ = tree.explain("A", &config).map(|found| found.to_string());
        fs::write(folder.path().join("Kconfig"), &junk).unwrap();
        _ = Tree::read(folder.path(), Arch::X86_64).unwrap();
    }
}

/// Real trees, where there are some: `S1B_TEST_TREES` is a list of
/// `VERSION=FOLDER`, separated by colons; `S1B_TEST_FRAGMENT` a file that is
/// laid on top, `S1B_TEST_FEATURES` those turned on besides the default ones,
/// `S1B_TEST_ARCH` the architecture, with `CROSS_COMPILE` as make has it.
/// Everything that the base and the features ask must come out.
#[test]
fn every_request_comes_out_on_real_trees() {
    let Ok(list) = std::env::var("S1B_TEST_TREES") else { return };
    let extra: Vec<_> = std::env::var("S1B_TEST_FRAGMENT")
        .map(|path| Fragment::parse("extra", &fs::read_to_string(path).unwrap()).unwrap())
        .into_iter()
        .collect();
    let on = std::env::var("S1B_TEST_FEATURES").unwrap_or_default();
    let on: Vec<_> = on.split_whitespace().map(ToOwned::to_owned).collect();
    let arch = std::env::var("S1B_TEST_ARCH").map_or(Arch::X86_64, |arch| arch.parse().unwrap());
    let mut refused = Vec::new();
    for (version, tree) in list.split(':').filter_map(|one| one.split_once('=')) {
        let version: KernelVersion = version.parse().unwrap();
        let user = find_user_config(tree.as_ref(), &version).unwrap();
        let user = user.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
        let plan = fragments(&version, (&on, &[]), user, extra.clone()).unwrap();
        let result = olddefconfig(&plan, tree.as_ref(), arch);
        match plan.check(&Tree::read(tree.as_ref(), arch).unwrap(), arch, &result) {
            Ok(warnings) if warnings.is_empty() => {}
            Ok(warnings) => refused.extend(warnings.iter().map(|one| format!("{version}: {one}"))),
            Err(error) => refused.push(error.to_string()),
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

fn olddefconfig(plan: &Plan, tree: &Path, arch: Arch) -> DotConfig {
    let build = tempfile::tempdir().unwrap();
    fs::write(build.path().join(".config"), plan.seed("-test")).unwrap();
    let output = format!("O={}", build.path().display());
    let folder = tree.display().to_string();
    let cross = std::env::var("CROSS_COMPILE").unwrap_or_default();
    let words = [format!("ARCH={}", arch.kernel()), format!("CROSS_COMPILE={cross}")];
    Program::new("make").args(["-C", &folder, &output, "olddefconfig"]).args(words).run().unwrap();
    DotConfig::load(&build.path().join(".config")).unwrap()
}
