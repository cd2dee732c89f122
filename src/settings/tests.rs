//! The room as a whole: layers in, settings or an error out.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::proc::Program;
use crate::report::Fault;

/// A project folder that is the current one, with a home and nothing else.
fn sources() -> Sources {
    Sources {
        project_dir: "/project".into(),
        current_dir: "/project".into(),
        environment: [("HOME".to_owned(), "/home/me".to_owned())].into(),
        available_parallelism: NonZeroUsize::new(3),
        ..Sources::default()
    }
}

trait With: Sized {
    fn builder_config(self, text: &str) -> Self;
    fn dot_config(self, text: &str) -> Self;
    fn variable(self, name: &str, value: &str) -> Self;
    fn flag(self, key: Key, value: &str) -> Self;
}

impl With for Sources {
    fn builder_config(mut self, text: &str) -> Self {
        self.builder_config = Some(("builder-config".into(), text.to_owned()));
        self
    }

    fn dot_config(mut self, text: &str) -> Self {
        self.dot_config = Some((".config".into(), text.to_owned()));
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    fn flag(mut self, key: Key, value: &str) -> Self {
        self.flags.insert(key, value.to_owned());
        self
    }
}

fn load(sources: &Sources) -> Settings {
    Settings::load(sources).unwrap()
}

/// The text of an error and its hint.
fn refused(sources: &Sources) -> (String, String) {
    let error = Settings::load(sources).unwrap_err();
    (error.to_string(), error.hint().unwrap_or_default())
}

#[test]
fn without_any_layer_there_are_the_built_in_values() {
    let settings = load(&sources());
    assert_eq!(settings.kernel.to_string(), "6.12");
    assert_eq!(settings.suffix, "-kinvolk-v1");
    assert_eq!(settings.upstream.to_string(), "1.30.0");
    assert_eq!(settings.out_dir.to_str(), Some("aci-files/"));
    assert_eq!(settings.cache_dir, Path::new("/home/me/.cache/stage1-builder"));
    assert_eq!(settings.jobs.get(), 3);
    assert_eq!(settings.build_dir, None);
    assert_eq!(settings.kernel_sources, [ProviderName::KernelOrg, ProviderName::Debian]);
    assert_eq!(settings.compression, Compression::Gzip);
    assert!(!settings.debug && settings.insecure.is_empty());
    assert!(settings.origins().iter().all(|given| given.origin == Origin::BuiltIn));
}

#[test]
fn the_committed_defaults_are_the_built_in_ones() {
    let from_file = load(&sources().builder_config(BUILDER_CONFIG));
    let built_in = load(&sources());
    for (ours, file) in built_in.origins().iter().zip(from_file.origins()) {
        assert_eq!(ours.text, file.text, "{}", ours.setting.name);
    }
}

#[test]
fn the_committed_defaults_show_every_setting_once() {
    for setting in SETTINGS {
        let shown = match setting.default {
            BuiltIn::Text(_) => format!("{}=", setting.name),
            BuiltIn::Computed(_) | BuiltIn::Unset(_) => format!("#{}=", setting.name),
        };
        let lines = BUILDER_CONFIG.lines().filter(|line| line.starts_with(&shown));
        assert_eq!(lines.count(), 1, "{shown}");
    }
    assert!(BUILDER_CONFIG.lines().all(|line| line.chars().count() <= 140 && line.is_ascii()));
}

#[test]
fn the_examples_in_the_committed_defaults_work() {
    let example = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_uppercase()) => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    // Two that are for one or the other compiler.
    for left_out in ["#S1B_TOOLCHAIN=", "#S1B_CC="] {
        let lines = BUILDER_CONFIG.lines().filter(|line| !line.starts_with(left_out));
        let text: String = lines.map(example).collect();
        let settings = load(&sources().builder_config(&text));
        let set = |given: &&Given| given.origin != Origin::BuiltIn;
        assert_eq!(settings.origins().iter().filter(set).count(), SETTINGS.len() - 1);
        assert_eq!(settings.build_dir.unwrap(), Path::new("build/6.12"));
        assert_eq!(settings.cache_dir, Path::new("/home/me/.cache/stage1-builder"));
    }
}

#[test]
fn each_layer_goes_before_the_one_below_it() {
    let line = |path: &str, line| Origin::File { path: path.into(), line };
    let mut sources = sources();
    let expect = |sources: &Sources, version: &str, origin: Origin| {
        let settings = load(sources);
        assert_eq!(settings.kernel.to_string(), version);
        assert_eq!(settings.origin(Key::KernelVersion).text, version);
        assert_eq!(settings.origin(Key::KernelVersion).origin, origin);
    };
    sources = sources.builder_config("S1B_KERNEL_VERSION=4.4.1");
    expect(&sources, "4.4.1", line("builder-config", 1));
    sources = sources.dot_config("\nS1B_KERNEL_VERSION=4.4.2\nS1B_KERNEL_VERSION=4.4.3");
    expect(&sources, "4.4.3", line(".config", 3));
    sources = sources.variable("S1B_KERNEL_VERSION", "4.4.4");
    expect(&sources, "4.4.4", Origin::Environment);
    sources = sources.flag(Key::KernelVersion, "4.4.5");
    expect(&sources, "4.4.5", Origin::Flag);
}

#[test]
fn an_empty_variable_is_none_but_an_empty_line_or_flag_is_a_value() {
    let suffix = |sources: Sources| load(&sources).suffix;
    let name = "S1B_KERNEL_VERSION_SUFFIX";
    assert_eq!(suffix(sources().variable(name, "")), "-kinvolk-v1");
    assert_eq!(suffix(sources().dot_config("S1B_KERNEL_VERSION_SUFFIX=")), "");
    assert_eq!(suffix(sources().flag(Key::KernelVersionSuffix, "")), "");
    assert!(!load(&sources().variable("DEBUG", "")).debug);
    assert!(load(&sources().variable("DEBUG", "0")).debug);
}

#[test]
fn the_idiom_of_the_original_means_the_environment_before_the_file() {
    let idiom = r#"S1B_KERNEL_VERSION="${S1B_KERNEL_VERSION:-"4.9.6"}""#;
    let version = |sources: &Sources| load(sources).kernel.to_string();
    let environment = |sources: Sources| sources.variable("S1B_KERNEL_VERSION", "4.9.8");
    for file in [
        sources().builder_config(idiom),
        sources().dot_config(idiom),
        sources().builder_config("S1B_KERNEL_VERSION=6.12").dot_config(idiom),
    ] {
        assert_eq!(version(&file), "4.9.6");
        assert_eq!(version(&file.clone().flag(Key::KernelVersion, "5.4")), "5.4");
        assert_eq!(version(&environment(file.clone())), "4.9.8");
    }
    let above = sources().builder_config(idiom).dot_config("S1B_KERNEL_VERSION=4.9.7");
    assert_eq!(version(&above), "4.9.7");
    let twice = format!("S1B_KERNEL_VERSION=4.9.5\n{idiom}");
    assert_eq!(version(&sources().dot_config(&twice)), "4.9.5");
}

#[test]
fn a_line_can_add_to_the_layer_below() {
    for more in ["${S1B_FEATURES},c", "${S1B_FEATURES:-},c"] {
        let with = sources().builder_config("S1B_FEATURES=a,b");
        let settings = load(&with.dot_config(&format!("S1B_FEATURES=\"{more}\"")));
        assert_eq!(settings.origin(Key::Features).text, "a,b,c");
    }
}

#[test]
fn expansion_knows_what_will_be_built_and_the_project_folder() {
    let text = "name=x\nOUT=\"${DIR}/$name\"\nS1B_OUT_DIR=$OUT-${S1B_KERNEL_VERSION}\nname=y";
    let out = |sources: &Sources| load(sources).out_dir;
    let with = sources().dot_config(text).variable("name", "environment").variable("DIR", "no");
    assert_eq!(out(&with), Path::new("/project/x-6.12"));
    assert_eq!(out(&with.flag(Key::KernelVersion, "4.4.45")), Path::new("/project/x-4.4.45"));
    let settings = load(&sources().builder_config("v=7").dot_config("S1B_JOBS=${v}"));
    assert_eq!(settings.jobs.get(), 7);
    let settings = load(&sources().dot_config("S1B_OUT_DIR=~/x\nS1B_ACI_DIR=${NO:-$HOME/y}"));
    assert_eq!(settings.out_dir, Path::new("/home/me/x"));
    assert_eq!(settings.aci_dir.unwrap(), Path::new("/home/me/y"));
}

#[test]
fn a_path_starts_where_it_was_written_and_stays_short_where_it_can() {
    let mut sources = sources()
        .dot_config("S1B_OUT_DIR=./out/")
        .variable("S1B_BUILD_DIR", "b")
        .flag(Key::ExtraKernelPatchFiles, " a.patch\n/b.patch ");
    let settings = load(&sources);
    assert_eq!(settings.out_dir.to_str(), Some("./out/"));
    assert_eq!(settings.config_dir.to_str(), Some("config"));

    sources.current_dir = "/elsewhere".into();
    sources.dot_config = Some(("/project/.config".into(), "S1B_OUT_DIR=out".into()));
    let settings = load(&sources);
    assert_eq!(settings.out_dir.to_str(), Some("/project/out"));
    assert_eq!(settings.config_dir.to_str(), Some("/project/config"));
    assert_eq!(settings.build_dir.unwrap().to_str(), Some("b"));
    assert_eq!(settings.extra_patch_files, [Path::new("a.patch"), Path::new("/b.patch")]);
}

#[test]
fn an_unknown_name_is_refused_wherever_it_stands() {
    let meant = "did you mean S1B_KERNEL_VERSION?".to_owned();
    let problem = "unknown setting 'S1B_KERNEL_VERSOIN'";
    let of = |sources: Sources| refused(&sources);
    assert_eq!(
        of(sources().variable("S1B_KERNEL_VERSOIN", "4.4")),
        (format!("environment: {problem}"), meant.clone())
    );
    assert_eq!(
        of(sources().dot_config("\n  S1B_KERNEL_VERSOIN=4.4")),
        (format!(".config:2:3: {problem}"), meant.clone())
    );
    assert_eq!(
        of(sources().builder_config("A=\"x ${S1B_KERNEL_VERSOIN:-}\"")),
        (format!("builder-config:1:6: {problem}"), meant)
    );
    let (problem, hint) = of(sources().dot_config("SIB_JOBS=4"));
    assert_eq!(problem, ".config:1:1: unknown setting 'SIB_JOBS'");
    assert_eq!(hint, "did you mean S1B_JOBS?");
    let (_, hint) = of(sources().variable("S1B_QQQQQQ", "4"));
    assert!(hint.contains("stage1-builder config"), "{hint}");
    load(&sources().variable("S1B_TEST_TREES", "/trees").variable("s1b_jobs", "x"));
}

#[test]
fn a_line_that_cannot_be_expanded_is_refused_at_its_place() {
    let (problem, hint) = refused(&sources().dot_config("A=1\nS1B_OUT_DIR=a/${NO}"));
    assert_eq!(problem, ".config:2:15: NO is not set");
    assert_eq!(hint, "write ${NO:-} if it may be empty");
    let (problem, _) = refused(&sources().dot_config("S1B_KEYRING=$S1B_KEYRING"));
    assert_eq!(problem, ".config:1:13: S1B_KEYRING is not set");
    let (problem, hint) = refused(&sources().dot_config("# x\nCONFIG_BPF=y"));
    assert!(problem.starts_with(".config:2:1: 'CONFIG_BPF' is a symbol"), "{problem}");
    assert!(hint.contains("config/linux-X.Y.config"), "{hint}");
    let (problem, hint) = refused(&sources().dot_config("S1B_JOBS=$(nproc)"));
    assert_eq!(problem, ".config:1:10: a command substitution");
    assert!(hint.starts_with("leave the setting out"), "{hint}");
}

#[test]
fn a_file_from_the_original_needs_two_lines_changed() {
    // Its shape: a folder and a number from commands, defaults in the idiom.
    let original = r#"readonly DIR="$(cd "$(dirname "$0")" && pwd)"
S1B_JOBS="${S1B_JOBS:-$(nproc)}"
S1B_KERNEL_VERSION="${S1B_KERNEL_VERSION:-"4.14"}"
S1B_OUT_DIR="${S1B_OUT_DIR:-${DIR}/images}"
S1B_ACI_DIR="${S1B_ACI_DIR:-${DIR}/aci/${S1B_KERNEL_VERSION}}"
S1B_EXTRA_KERNEL_PATCH_URLS="${S1B_EXTRA_KERNEL_PATCH_URLS:-}"
"#;
    let (problem, hint) = refused(&sources().builder_config(original));
    assert_eq!(problem, "builder-config:1:15: a command substitution");
    assert!(hint.starts_with("write ${DIR}"), "{hint}");
    let without_folder = original.replace("readonly DIR=", "# ");
    let (problem, hint) = refused(&sources().builder_config(&without_folder));
    assert_eq!(problem, "builder-config:2:23: a command substitution");
    assert!(hint.starts_with("leave the setting out"), "{hint}");
    let neither = without_folder.replace("S1B_JOBS=", "# ");
    let settings = load(&sources().builder_config(&neither));
    assert_eq!(settings.kernel.to_string(), "4.14");
    assert_eq!(settings.out_dir, Path::new("/project/images"));
    assert_eq!(settings.aci_dir.unwrap(), Path::new("/project/aci/4.14"));
}

#[test]
fn values_that_double_each_other_stay_small() {
    let text = format!("A=xxxxxxxx\n{}", "A=$A$A\n".repeat(100));
    let (problem, _) = refused(&sources().dot_config(&text));
    assert_eq!(problem, ".config:15:1: a value of more than 65536 bytes");
}

#[test]
fn a_wrong_value_names_its_setting_as_its_origin_does() {
    let (problem, hint) = refused(&sources().dot_config("\nS1B_COMPRESSION=gz"));
    assert_eq!(problem, ".config:2: S1B_COMPRESSION: 'gz' is not a compression");
    assert_eq!(hint, "did you mean 'gzip'?");
    let (problem, _) = refused(&sources().variable("S1B_ARCH", "vax"));
    assert!(problem.starts_with("environment: S1B_ARCH: 'vax' is not"), "{problem}");
    let error = Settings::load(&sources().flag(Key::Jobs, "0")).unwrap_err();
    assert_eq!(error.to_string(), "command line: --jobs: '0' is not a number of jobs");
    assert_eq!(error.fault(), Fault::Usage);
    let (problem, _) = refused(&sources().flag(Key::OutDir, ""));
    assert_eq!(problem, "command line: --out-dir: the path is empty");
}

#[test]
fn a_checksum_is_of_a_tarball_that_stays_what_it_is() {
    let with = |name: &str, value: &str| {
        sources().variable("S1B_SOURCE_SHA256", &"0".repeat(64)).variable(name, value)
    };
    let (problem, hint) = refused(&with("S1B_KERNEL_VERSION", "6.12"));
    assert!(problem.ends_with("6.12 is another tarball tomorrow"), "{problem}");
    assert!(hint.contains("S1B_SOURCE"), "{hint}");
    let (problem, hint) = refused(&with("S1B_SOURCE", "https://example.org/linux.git"));
    assert!(problem.ends_with("a git repository has none"), "{problem}");
    assert!(hint.contains("https://example.org/linux.git#"), "{hint}");
    for (name, value) in [("S1B_SOURCE", "x.tar.xz"), ("S1B_KERNEL_VERSION", "6.13-rc4")] {
        assert!(load(&with(name, value)).source_sha256.is_some());
    }
}

#[test]
fn a_source_is_a_path_or_a_state_of_a_repository() {
    let source = |text: &str| load(&sources().variable("S1B_SOURCE", text)).source.unwrap();
    let git = |text: &str| match source(text) {
        OwnSource::Git(GitSource { repository, reference }) => (repository, reference),
        OwnSource::Path(path) => panic!("{text} is {}", path.display()),
    };
    let two = |repository: &str, reference: &str| (repository.to_owned(), reference.to_owned());
    for path in ["linux", "../linux-6.12.3.tar.xz", "/a:b/linux"] {
        assert!(matches!(source(path), OwnSource::Path(_)), "{path}");
    }
    for url in ["https://example.org/linux", "git@example.org:linux.git", "ssh://example.org/x"] {
        assert_eq!(git(url), two(url, "HEAD"));
        assert_eq!(git(&format!("{url}#v6.12")), two(url, "v6.12"));
    }
    assert_eq!(git("/src/linux#main~3"), two("/src/linux", "main~3"));
    assert_eq!(git("file:///src/linux#x"), two("/src/linux", "x"));
    for wrong in ["#x", "linux#", "https://example.org/x#-x", "https://example.org/linux.tar.xz"] {
        refused(&sources().variable("S1B_SOURCE", wrong));
    }
}

#[test]
fn a_release_has_at_most_64_characters() {
    let with = |version: &str, length| {
        let sources = sources().flag(Key::KernelVersion, version);
        Settings::load(&sources.flag(Key::KernelVersionSuffix, &"x".repeat(length)))
    };
    assert!(with("6.12.100", 56).is_ok());
    let error = with("6.12.100", 57).unwrap_err();
    assert!(error.to_string().ends_with("has 65 characters, more than 64"), "{error}");
    let series = with("6.12", 58).unwrap();
    assert!(series.release(KernelVersion::new(6, 12, 9), "").is_ok());
    assert!(series.release(KernelVersion::new(6, 12, 10), "").is_err());
    assert!(with("6.12", 59 + 1).is_err() && with("stable", 59).is_ok());
}

#[test]
fn the_cache_is_where_the_xdg_specification_has_it() {
    let cache = |sources: Sources| load(&sources).cache_dir;
    let xdg = |path| sources().variable("XDG_CACHE_HOME", path);
    assert_eq!(cache(xdg("/cache/")), Path::new("/cache/stage1-builder"));
    assert_eq!(cache(xdg("relative")), Path::new("/home/me/.cache/stage1-builder"));
    let mut homeless = sources();
    homeless.environment = BTreeMap::new();
    assert!(matches!(Settings::load(&homeless), Err(Error::NoCacheFolder)));
    assert_eq!(cache(homeless.flag(Key::CacheDir, "c")), Path::new("c"));
}

#[test]
fn the_files_are_read_from_the_project_folder() {
    let folder = tempfile::tempdir().unwrap();
    let read = || Sources::from_host(folder.path(), BTreeMap::new());
    let found = read().unwrap();
    assert!(found.builder_config.is_none() && found.dot_config.is_none());

    let file = folder.path().join(".config");
    fs_err::write(&file, "\u{feff}S1B_OUT_DIR=out\r\n").unwrap();
    let found = read().unwrap();
    assert_eq!(found.dot_config.as_ref().unwrap().0, file);
    let found = Sources { environment: sources().environment, ..found };
    assert_eq!(load(&found).out_dir, folder.path().join("out"));

    fs_err::write(&file, b"A=1\nB='\xc3\xbc\xff'").unwrap();
    let error = read().unwrap_err();
    assert_eq!(error.to_string(), format!("{}:2:5: not UTF-8", file.display()));
    fs_err::remove_file(&file).unwrap();
    fs_err::create_dir(&file).unwrap();
    assert_eq!(read().unwrap().dot_config, None, "every home folder has one");
    fs_err::write(folder.path().join("builder-config"), "").unwrap();
    assert!(matches!(read(), Err(Error::Read(_))), "a project has none");
}

#[test]
fn what_origins_tell_can_be_written_into_a_file() {
    let with = sources().flag(Key::CompilerLauncher, "a 'b' \"c\" $d").flag(Key::Jobs, "2");
    let first = load(&with);
    let line = |given: &Given| format!("{}={}\n", given.setting.name, quote(&given.text));
    let written: String = first.origins().iter().filter(|g| !g.text.is_empty()).map(line).collect();
    let second = load(&sources().dot_config(&written));
    assert_eq!(first.compiler_launcher, second.compiler_launcher);
    assert_eq!(first.jobs, second.jobs);
}

/// Each text as a shell reads it, and what `S1B_CC` then is.
fn as_a_shell_reads(texts: &[String]) -> Vec<String> {
    let one = |text: &String| {
        format!("(set -u; HOME=/home/me\n{text}\nprintf '=%s' \"${{S1B_CC-}}\"); printf '\\0'\n")
    };
    let script: String = texts.iter().map(one).collect();
    let output = Program::new("bash").args(["-c", &script]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_terminator('\0').map(str::to_owned).collect()
}

/// Some lines of a file, most of them well formed.
fn lines() -> impl Strategy<Value = String> {
    let plain = r"[a/:=*?{}!#~\-]";
    let single = r#"'[a $"`\\;~}\n]{0,3}'"#;
    let escape = r#"\\[\\"$`\n}n]"#;
    // No `$B` in a default: of `"${D:-"$B"a}"` bash makes the name `Ba`.
    let within = format!(r#"([a ~;'#{{(&<:\n]|{escape}|\$\{{B\}})"#);
    let nested = format!(r#"\$\{{(B|D|S1B_CC):-({plain}|{within}|"{within}{{0,2}}"){{0,3}}\}}"#);
    let double = format!(r#""({within}|\$B|{nested}){{0,4}}""#);
    let value = format!("({plain}|{single}|{double}|{nested}|{within}){{0,4}}");
    let file = format!("(((export )?(S1B_CC|B)={value}( #.)?)\n){{1,3}}");
    proptest::string::string_regex(&file).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn whatever_is_accepted_means_what_it_means_to_a_shell(
        texts in proptest::collection::vec(lines(), 100),
    ) {
        let read = |text: &String| Settings::load(&sources().dot_config(text)).ok();
        let (texts, ours): (Vec<_>, Vec<_>) = texts
            .into_iter()
            .filter_map(|text| read(&text).map(|settings| (text, settings)))
            .unzip();
        let shell = as_a_shell_reads(&texts);
        prop_assert_eq!(shell.len(), texts.len());
        for ((text, ours), shell) in texts.iter().zip(ours).zip(shell) {
            prop_assert_eq!(format!("={}", ours.origin(Key::Cc).text), shell, "{}", text);
        }
    }
}

proptest! {
    #[test]
    fn any_file_and_any_value_load_or_are_refused(
        text in r#"((S1B_JOBS|S1B_OUT_DIR|A|DIR)=["'a-c0-9${}A: -]{0,9}\n){0,5}"#,
        value in ".*",
        key in 0..SETTINGS.len(),
    ) {
        let key = SETTINGS[key].key;
        let with = sources().dot_config(&text).flag(key, &value);
        if let Err(error) = Settings::load(&with) {
            prop_assert!(!error.to_string().is_empty());
        }
        let _ = Settings::load(&sources().variable(key.name(), &value));
    }
}
