//! Built with, said of, found again, and whole whenever it is there.

use std::path::Path;

use fs_err as fs;
use serde_json::Value;
use stage1_builder::digest::Digest;

use super::stage::{HOST, Stage, file, kept, sums, toolchain};
use super::support::outcome;
use super::toy::Random;

const WITH: [&str; 2] = ["--toolchain", "kernel.org:gcc-13.2"];

/// The provenance in the plain files that a build brought to their place.
fn provenance(project: &Path) -> Value {
    let file = "aci-files/linux-6.12.3/usr/lib/modules/6.12.3-kinvolk-v1/provenance.json";
    serde_json::from_slice(&fs::read(project.join(file)).unwrap()).unwrap()
}

fn kernel(project: &Path) -> Vec<u8> {
    fs::read(project.join("aci-files/linux-6.12.3/boot/vmlinuz")).unwrap()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

#[track_caller]
fn built(stage: &Stage, project: &Path, arguments: &[&str]) -> String {
    let (code, stdout, stderr) = outcome(stage.build(project, arguments));
    assert_eq!(code, 0, "{stderr}");
    stdout
}

#[test]
fn a_kernel_is_built_with_it_and_says_so() {
    let stage = Stage::new();
    let here = stage.project("here");
    let said = built(&stage, &here, &WITH);

    let told = provenance(&here);
    let tools = &told["toolchain"];
    assert_eq!(tools["cc"]["command"], "x86_64-linux-gcc");
    assert_eq!(tools["cc"]["text"], "x86_64-linux-gcc (GCC) 13.2.0");
    assert_eq!(tools["cc"]["version"]["major"], 13);
    assert_eq!(tools["linker"]["text"], "GNU ld (GNU Binutils) 2.41");
    assert_eq!(tools["host_cc"]["command"], "gcc", "programs of the build stay the host's");
    let archive = &tools["archive"];
    assert_eq!(
        (&archive["name"], &archive["file"]),
        (&"kernel.org:gcc-13.2.0".into(), &file("13.2.0").into())
    );
    let digest = Digest::sha256(&toolchain("13.2.0", &[])).to_string();
    assert_eq!(archive["digest"], digest.as_str());
    assert_eq!(archive["verified"]["by"], "signed-checksum");
    assert_eq!(archive["verified"]["fingerprint"], stage.toy.signer.fingerprint.as_str());
    assert!(!told.to_string().contains(here.to_str().unwrap()), "{told:#}");

    let image = kernel(&here);
    assert!(holds(&image, "x86_64-linux-gcc (GCC) 13.2.0") && holds(&image, "Binutils) 2.41"));
    assert!(holds(&image, "/toolchain/"), "its own headers are in debugging information");
    assert!(!holds(&image, here.to_str().unwrap()));

    // Again: nobody is asked. Elsewhere: the same bytes.
    let requests = stage.toy.mirror.requests().len();
    assert_eq!(built(&stage, &here, &WITH), said);
    assert_eq!(stage.toy.mirror.requests().len(), requests);
    let elsewhere = stage.project("quite/elsewhere");
    built(&stage, &elsewhere, &["--toolchain", "kernel.org:gcc-13.2.0"]);
    assert!(kernel(&elsewhere) == image);
    assert_eq!(provenance(&elsewhere), told);

    // The host's own compiler makes another kernel.
    let host = stage.project("host");
    built(&stage, &host, &[]);
    let other = provenance(&host);
    assert_ne!(other["key"], told["key"]);
    assert!(other["toolchain"].get("archive").is_none());
    assert!(!holds(&kernel(&host), "x86_64-linux-gcc"));
}

#[test]
fn the_newest_is_asked_for_once_a_day() {
    let stage = Stage::new();
    stage.publish("13.10.0", &toolchain("13.10.0", &[]));
    let project = stage.project("newest");
    let newest = ["--toolchain", "kernel.org:gcc-13"];
    built(&stage, &project, &newest);
    assert_eq!(provenance(&project)["toolchain"]["archive"]["name"], "kernel.org:gcc-13.2.0");

    stage.index(&["13.2.0", "13.10.0"]);
    built(&stage, &project, &newest);
    let index = format!("{HOST}/");
    assert_eq!(stage.toy.mirror.gets(&index), 1, "the answer is remembered");
    built(&stage, &project, &[newest[0], newest[1], "--refresh"]);
    assert_eq!(provenance(&project)["toolchain"]["archive"]["name"], "kernel.org:gcc-13.10.0");

    // An old one's archive has another name.
    stage.index(&["4.9.0", "4.9.4"]);
    let old = toolchain("4.9.0", &[]);
    let name = "x86_64-gcc-4.9.0-nolibc_x86_64-linux.tar.xz";
    let sum = format!("{}  {name}\n", Digest::sha256(&old).hex());
    stage.toy.mirror.put(&format!("{HOST}/4.9.0/{name}"), old);
    stage.toy.mirror.put(&sums("4.9.0"), stage.toy.signer.clear(&sum));
    built(&stage, &project, &["--toolchain", "kernel.org:gcc-4.9.0"]);
    assert_eq!(provenance(&project)["toolchain"]["archive"]["file"], name);
}

#[test]
fn a_kill_leaves_nothing_that_counts() {
    let stage = Stage::new();
    let mut random = Random::seeded("toolchain");
    let mut hit = 0;
    for round in 0..12 {
        let project = stage.project(&format!("kill{round}"));
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a second")]
        let seconds = 0.05 + random.below(600) as f64 / 1000.0;
        outcome(stage.build_killed(&project, seconds, &WITH));
        let left = kept(&project);
        hit += u32::from(left.iter().any(|name| name.ends_with(".unpacking")));
        for record in left.iter().filter_map(|name| name.strip_suffix(".json")) {
            let tools = project.join("cache/toolchains-v1").join(record);
            assert!(tools.join("x86_64-linux/lib/gcc/299").is_file(), "{left:?}");
        }
        built(&stage, &project, &WITH);
        let left = kept(&project);
        assert_eq!(left.len(), 2, "one toolchain and its record: {left:?}");
        let downloads = project.join("cache/downloads-v1/crosstool");
        let rest = fs::read_dir(downloads).unwrap().map(|entry| entry.unwrap().file_name());
        let rest: Vec<_> = rest.filter(|name| !name.to_string_lossy().ends_with(".lock")).collect();
        assert!(rest.is_empty(), "the archive goes once it is unpacked: {rest:?}");
    }
    println!("hit {hit} times while it was unpacked");
}

#[test]
fn a_flipped_byte_is_found_named_and_fetched_again() {
    let stage = Stage::new();
    let project = stage.project("here");
    let said = built(&stage, &project, &WITH);
    let verify = |arguments: &[&str]| {
        outcome(stage.verb(&project, &[&["images", "verify"], arguments].concat()))
    };
    assert_eq!(verify(&[]).0, 0);
    let record = kept(&project).into_iter().find(|name| name.ends_with(".json")).unwrap();
    let name = record.trim_end_matches(".json");
    let toolchains = project.join("cache/toolchains-v1");
    let (folder, record) = (toolchains.join(name), toolchains.join(&record));
    let gcc = folder.join("x86_64-linux/bin/x86_64-linux-gcc");
    for victim in [&gcc, &record] {
        let mut bytes = fs::read(victim).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(victim, bytes).unwrap();
        let (code, stdout, stderr) = verify(&[]);
        assert_eq!(code, 8, "{}: {stdout}{stderr}", victim.display());
        let damaged = stdout.lines().find(|line| line.starts_with("damaged  ")).unwrap();
        assert_eq!(damaged, format!("damaged  toolchain {name}"), "{stdout}");
        assert_eq!(verify(&["--repair"]).0, 0);
        assert!(!folder.exists() && !record.exists());
        assert_eq!(built(&stage, &project, &WITH), said);
        assert!(folder.is_dir() && verify(&[]).0 == 0);
    }
}
