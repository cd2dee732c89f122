//! Builds that no image is made of.

use fs_err as fs;
use stage1_builder::compile::KernelArtifacts;
use stage1_builder::content::{Error as ContentError, Rootfs, kernel_modules, stage1_kvm};
use stage1_builder::pack::Compression;
use stage1_builder::pack::aci::{self};
use stage1_builder::report::Silent;
use stage1_builder::settings::Vmlinux;

use super::{little_build, manifest, newest, options, pack};

#[test]
fn a_path_of_this_machine_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = little_build(folder.path());
    let here = folder.path().to_str().unwrap();
    let padding = "x".repeat(300_000 - here.len() / 2);
    fs::write(artifacts.tree.join("include/linux/leak.h"), format!("{padding}{here}")).unwrap();
    let mut options = options(Compression::Gzip);
    options.forbidden = vec![Vec::new(), here.as_bytes().to_vec()];
    let image = folder.path().join("image.aci");
    let error = pack(&artifacts, newest(), &options, &image).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("source/include/linux/leak.h") && text.contains(here), "{text}");
    assert!(!image.exists());
}

#[test]
fn what_is_absent_from_a_build_is_named() {
    let cases: [(&str, &str); 5] = [
        ("Module.symvers", "source/Module.symvers"),
        ("scripts/module.lds", "source/scripts/module.lds"),
        ("include/generated/autoconf.h", "source/include/generated/autoconf.h"),
        ("api/include/linux/version.h", "include/linux/version.h"),
        ("scripts/mod/modpost", "source/scripts/mod/modpost"),
    ];
    for (removed, named) in cases {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = little_build(folder.path());
        fs::remove_file(artifacts.build.join(removed)).unwrap();
        let error = kernel_modules(&artifacts, b"{}", Vmlinux::None).unwrap_err();
        assert!(matches!(&error, ContentError::Incomplete { path } if path == named), "{error}");
    }
}

#[test]
fn a_kernel_that_rkt_can_not_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = little_build(folder.path());
    let wrong = KernelArtifacts { release: "6.12-kinvolk-v1".into(), ..artifacts.clone() };
    assert!(matches!(stage1_kvm(&wrong, newest(), b"", false), Err(ContentError::Release { .. })));
    let lacking = |any_config| match stage1_kvm(&artifacts, newest(), b"", any_config) {
        Err(ContentError::NotForRkt { lacks, .. }) => {
            lacks.iter().map(ToString::to_string).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    fs::write(artifacts.build.join("vmlinux"), "no such text").unwrap();
    let told = lacking(false);
    assert!(matches!(&told[..], [one] if one.starts_with("no reboot change")), "{told:?}");

    let config = artifacts.build.join(".config");
    let modular = fs::read_to_string(&config).unwrap().replace("_9P_FS=y", "_9P_FS=m");
    fs::write(config, modular).unwrap();
    let told = lacking(false);
    assert_eq!(told[1], "CONFIG_9P_FS=y is not built in (the root file system)");
    assert_eq!(lacking(true).len(), 1, "whoever insists is not asked for options");
}

#[test]
fn a_file_that_is_no_file_any_more_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = little_build(folder.path());
    let manifest = manifest(&artifacts, newest());
    let mut rootfs = Rootfs::new();
    rootfs.insert_path("usr/file", folder.path(), false).unwrap();
    let result =
        aci::write(&manifest, &rootfs, &options(Compression::None), &mut std::io::sink(), &Silent);
    assert!(result.is_err());
}
