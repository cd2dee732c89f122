//! `diff`: what changed, where, by how much.

use super::images::{Parts, module};
use super::support::outcome;
use super::{builder, json};

#[test]
fn the_same_image_is_no_difference_however_it_is_compressed() {
    let parts = Parts::new();
    let image = parts.write("a.aci");
    let plain = parts.folder.path().join("b.aci");
    let mut bytes = Vec::new();
    let file = fs_err::File::open(&image).unwrap();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(file), &mut bytes).unwrap();
    fs_err::write(&plain, bytes).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let diff = || builder(folder.path()).arg("diff").arg(&image).arg(&plain).arg("--exit-code");
    let (code, stdout, _) = outcome(diff());
    assert_eq!(code, 0);
    assert!(stdout.contains("the same image"), "{stdout}");
    let (_, difference) = json(diff());
    assert_eq!(difference["equal"], true);
    assert_eq!(difference["files"]["changed"].as_array().unwrap().len(), 0);
}

#[test]
fn symbols_versions_and_files_are_told_apart() {
    let before = Parts::new();
    let text = String::from_utf8(before.read(&module("config"))).unwrap();
    let config = text.replace("CONFIG_PCI=y\n", "# CONFIG_PCI is not set\n") + "CONFIG_HZ=250\n";
    let makefile = module("source/Makefile");
    let after = Parts::new().with(
        &[&module("System.map")],
        &[(&module("config"), config.as_bytes()), ("etc/new", b"12345"), (&makefile, b"other:")],
    );
    let mut after = after;
    after.manifest.name = "example.com/other".to_owned();
    let (first, second) = (before.write("a.aci"), after.write("b.aci"));
    let folder = tempfile::tempdir().unwrap();
    let diff = || builder(folder.path()).arg("diff").arg(&first).arg(&second);

    let (code, told) = json(diff());
    assert_eq!(code, 0, "a difference is no error");
    assert_eq!(told["equal"], false);
    let one = |value: &serde_json::Value| value.as_array().unwrap().clone();
    assert_eq!(one(&told["config"]["removed"]), [serde_json::json!({"name": "PCI", "value": "y"})]);
    assert_eq!(one(&told["config"]["added"]), [serde_json::json!({"name": "HZ", "value": "250"})]);
    let name = serde_json::json!({
        "name": "name", "before": "kinvolk.io/aci/rkt/stage1-kvm", "after": "example.com/other"
    });
    assert_eq!(one(&told["versions"]["changed"]), [name]);
    let files = &told["files"];
    let names = |kind: &str| -> Vec<String> {
        one(&files[kind]).iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("added"), ["etc", "etc/new"]);
    assert_eq!(files["added"][1]["value"], 5);
    assert_eq!(names("removed"), ["usr/lib64/modules/<release>/System.map"]);
    let changed =
        ["config", "source/Makefile"].map(|name| format!("usr/lib64/modules/<release>/{name}"));
    assert_eq!(names("changed"), changed);
    assert_eq!(
        (&files["changed"][1]["before"], &files["changed"][1]["after"]),
        (&4.into(), &6.into())
    );

    let (code, stdout, _) = outcome(diff().arg("--exit-code"));
    assert_eq!(code, 1);
    for line in ["  - PCI  y", "  + HZ  250", "  + etc/new  5 B", "4 B -> 6 B"] {
        assert!(stdout.contains(line), "{line}: {stdout}");
    }
    let (code, stdout, _) = outcome(diff().args(["--exit-code", "-q"]));
    assert_eq!((code, stdout.as_str()), (1, ""));
}
