//! Where a toolchain is shown, and how it goes again.

use serde_json::Value;

use super::stage::{Stage, kept};
use super::support::outcome;

fn json(said: &str) -> Value {
    serde_json::from_str(said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[test]
fn every_verb_that_speaks_of_compilers_speaks_of_it() {
    let stage = Stage::new();
    let project = stage.project("shown");
    let doctor = || {
        let verb = stage.verb(&project, &["doctor", "--no-boot", "--format", "json"]);
        let diagnosis = json(&outcome(verb).1);
        let lines = diagnosis["lines"].as_array().unwrap().clone();
        let line = lines.into_iter().find(|line| line["name"] == "kernel.org:gcc-13.2").unwrap();
        assert_eq!(line["state"], "ok");
        line["detail"].as_str().unwrap().to_owned()
    };
    assert_eq!(doctor(), "not fetched yet; the first build with it does");
    assert_eq!(stage.toy.mirror.requests().len(), 0, "looking fetches nothing");

    let with = ["--toolchain", "kernel.org:gcc-13.2", "--dry-run"];
    let (code, plan, said) = outcome(stage.build(&project, &with));
    assert_eq!(code, 0, "{said}");
    let tools = &json(&plan)["inputs"]["kernel"]["toolchain"];
    assert_eq!(tools["archive"]["name"], "kernel.org:gcc-13.2.0");
    assert_eq!(tools["cc"]["text"], "x86_64-linux-gcc (GCC) 13.2.0");
    assert!(!plan.contains("toolchains-v1"), "{plan}");
    assert_eq!(doctor(), "x86_64-linux-gcc (GCC) 13.2.0");

    let (_, config, _) = outcome(stage.verb(&project, &["config"]));
    let line = config.lines().find(|line| line.contains("S1B_TOOLCHAIN")).unwrap();
    assert!(line.contains("kernel.org:gcc-13.2") && line.contains("environment"), "{line}");
}

#[test]
fn fixes_look_at_the_compiler_and_linker_that_build() {
    // Binutils 2.41 call for a fix in old kernels that 2.35 do without.
    let stage = Stage::new();
    let project = stage.project("fixes");
    stage.toy.mirror.put("/v4.x/sha256sums.asc", "0  linux-4.9.337.tar.xz\n");
    let fixes = |old: bool| {
        let verb = stage.verb(&project, &["kernels", "4.9", "--fixes", "--format", "json"]);
        let (code, said, error) = outcome(verb);
        assert_eq!(code, 0, "{error}");
        assert_eq!(said.contains("elfcore-recordmcount"), !old, "{said}");
    };
    let with = ["--toolchain", "kernel.org:gcc-13.2", "--dry-run"];
    assert_eq!(outcome(stage.build(&project, &with)).0, 0);
    fixes(false);
    let cache = project.join("cache/toolchains-v1");
    let folder = kept(&project).into_iter().find(|name| !name.ends_with(".json")).unwrap();
    let linker = cache.join(folder).join("x86_64-linux/bin/x86_64-linux-ld");
    let older = fs_err::read_to_string(&linker).unwrap().replace("2.41", "2.35");
    fs_err::write(&linker, older).unwrap();
    fixes(true);
}

#[test]
fn what_nobody_uses_is_tidied_up() {
    let stage = Stage::new();
    let project = stage.project("tidied");
    let with = ["--toolchain", "kernel.org:gcc-13.2", "--dry-run"];
    assert_eq!(outcome(stage.build(&project, &with)).0, 0);
    let gc = |arguments: &[&str]| {
        let verb = ["images", "gc", "--format", "json"];
        let (code, said, error) = outcome(stage.verb(&project, &[&verb, arguments].concat()));
        assert_eq!(code, 0, "{error}");
        json(&said)["buckets"]["toolchains"].clone()
    };
    let before = gc(&[]);
    assert_eq!((&before["removed"], &before["left"]), (&0.into(), &1.into()), "{before}");
    // What a killed process left, and what lost its record.
    let folder = project.join("cache/toolchains-v1");
    for left in [".x86_64-gcc-9.5.0-nolibc-x86_64-linux-0123.unpacking", "lost-0123"] {
        fs_err::create_dir_all(folder.join(left)).unwrap();
    }
    let swept = gc(&[]);
    assert_eq!((&swept["removed"], &swept["left"]), (&2.into(), &1.into()), "{swept}");
    let after = gc(&["--keep", "0"]);
    assert_eq!((&after["removed"], &after["left"]), (&1.into(), &0.into()), "{after}");
    assert!(kept(&project).is_empty(), "{:?}", kept(&project));
}
