//! What is refused, with which words and which exit code.

use fs_err as fs;

use super::mirror::{Fault, Signer};
use super::stage::{Archive, HOST, Stage, file, sums, toolchain};
use super::support::outcome;

const WITH: [&str; 2] = ["--toolchain", "kernel.org:gcc-13.2"];

#[test]
fn two_compilers_and_other_names_are_wrong() {
    let stage = Stage::new();
    let (code, said) = stage.fails(&["--cc", "gcc-11", WITH[0], WITH[1]]);
    assert_eq!(code, 2);
    assert!(said.contains("S1B_CC (command line) chooses a compiler, too: 'gcc-11'"), "{said}");
    assert!(said.contains("hint: leave one of them out"), "{said}");

    for (name, hint) in [
        ("gcc-13.2", "hint: write kernel.org:gcc-13.2; a compiler of this host"),
        ("kernel.org:clang-16", "hint: write kernel.org:gcc-13.2.0, "),
    ] {
        let (code, said) = stage.fails(&["--toolchain", name]);
        assert_eq!(code, 2);
        assert!(said.contains(&format!("'{name}' is not a toolchain")), "{said}");
        assert!(said.contains(hint), "{said}");
    }
    assert_eq!(stage.toy.mirror.requests().len(), 0, "known without asking anybody");
}

#[test]
fn a_release_that_is_not_there_is_told_with_those_that_are() {
    let stage = Stage::new();
    for name in ["kernel.org:gcc-13.9", "kernel.org:gcc-12"] {
        let (code, said) = stage.fails(&["--toolchain", name]);
        assert_eq!(code, 4, "{said}");
        let index = stage.toy.mirror.url(&format!("{HOST}/"));
        let shown = if name.ends_with("12") { name } else { "kernel.org:gcc-13.9.0" };
        assert!(said.contains(&format!("{index} has no {shown}")), "{said}");
        assert!(
            said.contains("hint: it has kernel.org:gcc-14.1.0, kernel.org:gcc-13.2.0"),
            "{said}"
        );
    }
    stage.toy.mirror.remove(&format!("{HOST}/"));
    let (code, said) = stage.fails(&["--toolchain", "kernel.org:gcc-13.9"]);
    assert!(code == 4 && said.contains("lists what there is"), "{said}");
}

#[test]
fn what_nobody_vouches_for_is_not_unpacked() {
    let stage = Stage::new();
    let url = format!("{HOST}/13.2.0/{}", file("13.2.0"));
    let other = toolchain("13.2.1", &[]);
    for _ in 0..2 {
        stage.toy.mirror.fault(&url, Fault::Instead(other.clone()));
    }
    let (code, said) = stage.fails(&WITH);
    assert_eq!(code, 6, "{said}");
    assert!(said.contains(&stage.toy.mirror.url(&url)) && said.contains("; it was deleted"));

    stage.publish_as("13.2.0", &other, &Signer::new());
    let (code, said) = stage.fails(&WITH);
    assert!(code == 6 && said.contains("which is not accepted"), "{said}");

    let altered = stage.toy.signer.clear("0  nothing\n");
    let altered = String::from_utf8(altered).unwrap().replace("nothing", "something");
    stage.toy.mirror.put(&sums("13.2.0"), altered);
    let (code, said) = stage.fails(&WITH);
    assert!(code == 6 && said.contains("the checksums were altered"), "{said}");

    stage.toy.mirror.remove(&sums("13.2.0"));
    let (code, said) = stage.fails(&WITH);
    assert!(code == 6 && said.contains("no signed checksum"), "{said}");
    assert!(said.contains("--insecure-options=source"), "{said}");
}

#[test]
fn an_unverified_one_is_taken_by_who_insists_and_by_nobody_else() {
    let stage = Stage::new();
    stage.toy.mirror.remove(&sums("13.2.0"));
    let project = stage.project("insists");
    let insisting = [WITH[0], WITH[1], "--insecure-options", "source,kconfig"];
    let (code, _, said) = outcome(stage.build(&project, &insisting));
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("not verified (--insecure-options=source)"), "{said}");
    let file = "aci-files/linux-6.12.3/usr/lib/modules/6.12.3-kinvolk-v1/provenance.json";
    assert!(fs::read_to_string(project.join(file)).unwrap().contains("\"unverified\""));

    let (code, _, said) = outcome(stage.build(&project, &WITH));
    assert_eq!(code, 6, "{said}");
}

#[test]
fn an_archive_that_is_no_toolchain_is_told_from_one() {
    let stage = Stage::new();
    stage.publish("13.2.0", &toolchain("13.2.0", &["ld"]));
    let (code, said) = stage.fails(&WITH);
    assert_eq!(code, 8, "{said}");
    assert!(said.contains("there is no x86_64-linux/bin/x86_64-linux-ld in it"), "{said}");

    for target in ["/etc/passwd", "../../../etc/passwd", "gcc-13.2.0-nolibc/none", "elsewhere"] {
        let mut archive = Archive::new("13.2.0");
        archive.file("bin/x86_64-linux-gcc", "");
        archive.link(tar::EntryType::Link, "bin/x86_64-linux-ld", target);
        stage.publish("13.2.0", &archive.finish());
        let (code, said) = stage.fails(&WITH);
        assert!(code == 8 && said.contains("refused"), "{target}: {said}");
    }

    // Nothing that this host can run.
    let mut archive = Archive::new("13.2.0");
    for program in ["gcc", "ld", "as", "ar", "nm", "objcopy", "objdump", "strip"] {
        archive.file(&format!("bin/x86_64-linux-{program}"), "\x7fELF of another machine");
    }
    stage.publish("13.2.0", &archive.finish());
    let project = stage.project("machine");
    let (code, _, said) = outcome(stage.build(&project, &WITH));
    assert_eq!(code, 7, "{said}");
    assert!(said.contains("kernel.org:gcc-13.2.0 does not run on this host\n"), "{said}");
    assert!(said.contains("hint: take another release with --toolchain"), "{said}");
}
