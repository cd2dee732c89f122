//! What is in an image, and how it is packed.

use std::num::NonZero;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fs_err as fs;
use stage1_builder::content::{UPSTREAMS, stage1_kvm};
use stage1_builder::digest::{Algorithm, DigestReader};
use stage1_builder::pack::aci::{self, Kind, WriteOptions};
use stage1_builder::pack::{Compression, write_dir};
use stage1_builder::proc::Program;

use super::{EPOCH, RELEASE, entries, little_build, manifest, newest, options, pack, run};

#[test]
fn actool_takes_every_upstream_and_every_compression() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = little_build(folder.path());
    for upstream in UPSTREAMS {
        let image = folder.path().join(format!("{}.aci", upstream.version));
        let packed = pack(&artifacts, upstream.version, &options(Compression::Gzip), &image);
        let size = packed.unwrap().file_size;
        assert_eq!(size, fs::metadata(&image).unwrap().len());
        run("actool", &["--debug", "validate", image.to_str().unwrap()]);
        let has = |name: &str| entries(&image).iter().any(|(entry, _)| entry.path == name);
        assert!(has(upstream.kernel_file));
        assert_ne!(has("bzImage"), has("kernel_image"), "{}", upstream.version);
    }
    for compression in Compression::ALL {
        let image = folder.path().join("one.aci");
        pack(&artifacts, newest(), &options(*compression), &image).unwrap();
        run("actool", &["--debug", "validate", image.to_str().unwrap()]);
    }
}

#[test]
fn the_same_build_elsewhere_gives_the_same_bytes() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut all = Vec::new();
    for (folder, threads) in [(&one, 1), (&two, 3)] {
        let artifacts = little_build(folder.path());
        let image = folder.path().join("image.aci");
        let mut options = options(Compression::Gzip);
        options.threads = NonZero::new(threads);
        options.forbidden = vec![folder.path().as_os_str().as_encoded_bytes().to_vec()];
        let packed = pack(&artifacts, newest(), &options, &image).unwrap();
        all.push((packed, fs::read(&image).unwrap()));
    }
    assert!(all[0] == all[1], "{:?} {:?}", all[0].0, all[1].0);
}

#[test]
fn the_id_is_of_the_archive_whatever_it_is_compressed_with() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = little_build(folder.path());
    let mut ids = Vec::new();
    for (compression, unpack) in [
        (Compression::None, ["cat", "--"]),
        (Compression::Gzip, ["gzip", "-dc"]),
        (Compression::Xz, ["xz", "-dc"]),
    ] {
        let image = folder.path().join("image");
        let packed = pack(&artifacts, newest(), &options(compression), &image).unwrap();
        let plain =
            Program::new(unpack[0]).args([unpack[1], image.to_str().unwrap()]).run().unwrap();
        let mut reader = DigestReader::new(Algorithm::Sha512, plain.as_slice());
        std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
        assert_eq!(packed.tar_size, plain.len() as u64);
        assert_eq!(packed.id, reader.finish());
        let summary = aci::read_file(&image, |_, _| Ok(())).unwrap();
        assert_eq!((summary.id, summary.tar_size), (packed.id.clone(), packed.tar_size));
        assert_eq!(summary.manifest, manifest(&artifacts, newest()));
        ids.push(packed.id);
    }
    assert!(ids.iter().all(|id| *id == ids[0]));
    let other = WriteOptions { epoch: EPOCH + 1, ..options(Compression::None) };
    let packed = pack(&artifacts, newest(), &other, &folder.path().join("other")).unwrap();
    assert_ne!(packed.id, ids[0]);
}

#[test]
fn every_entry_is_in_order_and_of_root() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = little_build(folder.path());
    let image = folder.path().join("image.aci");
    pack(&artifacts, newest(), &options(Compression::Gzip), &image).unwrap();
    let entries = entries(&image);
    assert!(entries.windows(2).all(|pair| pair[0].0.path < pair[1].0.path));
    let mut folders = vec![String::new()];
    for (entry, _) in &entries {
        assert_eq!((entry.owner, entry.mtime), ((0, 0), EPOCH), "{}", entry.path);
        let expected: &[u32] = match entry.kind {
            Kind::Dir => &[0o755],
            Kind::Symlink(_) => &[0o777],
            _ => &[0o644, 0o755],
        };
        assert!(expected.contains(&entry.mode), "{} {:o}", entry.path, entry.mode);
        let parent = entry.path.rsplit_once('/').map_or("", |(parent, _)| parent);
        assert!(folders.iter().any(|folder| folder == parent), "{}", entry.path);
        if entry.kind == Kind::Dir {
            folders.push(entry.path.clone());
        }
    }
    // The parent's lib, lib64, etc stay what they are.
    let top: Vec<_> = entries.iter().filter(|(entry, _)| !entry.path.contains('/')).collect();
    let top: Vec<_> = top.iter().map(|(entry, _)| entry.path.as_str()).collect();
    assert_eq!(top, ["", "kernel_image", "usr"]);
    let listing = run("tar", &["--numeric-owner", "-tvzf", image.to_str().unwrap()]);
    assert!(listing.lines().all(|line| line.contains(" 0/0 ")), "{listing}");
    assert_eq!(listing.lines().count(), entries.len() + 1);
}

#[test]
fn what_users_name_is_there_and_nothing_with_a_build_path() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = little_build(folder.path());
    let image = folder.path().join("image.aci");
    pack(&artifacts, newest(), &options(Compression::Gzip), &image).unwrap();
    let out = folder.path().join("out");
    fs::create_dir_all(&out).unwrap();
    run("tar", &["-xzf", image.to_str().unwrap(), "-C", out.to_str().unwrap()]);
    let modules = out.join("rootfs/usr/lib64/modules").join(RELEASE);
    for path in [
        "include/linux/version.h",
        "source/include/arch/x86/include/asm/ptrace.h",
        "source/include/arch/x86/include/generated/asm/errno.h",
        "build/arch/x86/include/asm/ptrace.h",
        "build/include/generated/autoconf.h",
        "source/arch/x86/Makefile_32.cpu",
        "source/scripts/Makefile.build",
        "source/scripts/module.lds",
        "source/include/linux/link.h",
        "source/Module.symvers",
        "source/.config",
        "config",
        "System.map",
        "provenance.json",
    ] {
        assert!(modules.join(path).is_file(), "{path}");
    }
    let long = format!("source/include/{}/{}.h", "d".repeat(90), "f".repeat(120));
    assert_eq!(fs::read(modules.join(long)).unwrap(), b"long");
    for tool in ["scripts/basic/fixdep", "scripts/mod/modpost", "tools/objtool/objtool"] {
        let tool = modules.join("source").join(tool);
        run(tool.to_str().unwrap(), &[]);
        let sections = run("readelf", &["-SW", tool.to_str().unwrap()]);
        assert!(!sections.contains(".symtab") && !sections.contains("build-id"), "{sections}");
    }
    let here = folder.path().as_os_str().as_encoded_bytes();
    for (entry, bytes) in entries(&image) {
        let name = entry.path.rsplit('/').next().unwrap();
        assert!(!name.ends_with(".cmd") && !name.ends_with(".install"), "{}", entry.path);
        assert!(!bytes.windows(here.len()).any(|part| part == here), "{}", entry.path);
        if let Kind::Symlink(target) = &entry.kind {
            assert!(!target.starts_with('/'), "{}", entry.path);
        }
    }
    for absent in ["source/README", "source/scripts/dtc", "source/include/config/SMP"] {
        assert!(!modules.join(absent).exists(), "{absent}");
    }
    for absent in ["source/include/linux/out.h", "source/include/linux/sh", "source/source"] {
        assert!(fs::symlink_metadata(modules.join(absent)).is_err(), "{absent}");
    }
}

#[test]
fn the_drop_in_names_a_program_of_the_image() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = little_build(folder.path());
    let rootfs = stage1_kvm(&artifacts, newest(), b"{}", false).unwrap();
    let into = folder.path().join("aci");
    write_dir(&manifest(&artifacts, newest()), &rootfs, EPOCH, &into).unwrap();
    let units = into.join("rootfs/usr/lib64/systemd/system/prepare-app@.service.d");
    let drop_in = fs::read_dir(units).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(drop_in).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("ExecStartPost=")).unwrap();
    let program = into.join("rootfs").join(line.split(' ').next().unwrap().trim_start_matches('/'));
    assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o111, 0o111);
    let headers = run("readelf", &["-lW", program.to_str().unwrap()]);
    assert!(!headers.contains("INTERP"), "{headers}");
    let output = Program::new(&program).output().unwrap();
    assert!(output.stderr.contains("usage: bind-headers"), "{}", output.stderr);
}

#[test]
fn the_layout_has_what_the_image_has() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = little_build(folder.path());
    let (image, into) = (folder.path().join("image.aci"), folder.path().join("aci"));
    pack(&artifacts, newest(), &options(Compression::Gzip), &image).unwrap();
    let rootfs = stage1_kvm(&artifacts, newest(), b"{}\n", false).unwrap();
    write_dir(&manifest(&artifacts, newest()), &rootfs, EPOCH, &into).unwrap();
    run("actool", &["--debug", "validate", into.to_str().unwrap()]);
    for (entry, bytes) in entries(&image) {
        let path = into.join("rootfs").join(&entry.path);
        let found = fs::symlink_metadata(&path).unwrap();
        match &entry.kind {
            Kind::File => {
                assert_eq!(fs::read(&path).unwrap(), bytes, "{}", entry.path);
                assert_eq!(found.permissions().mode() & 0o7777, entry.mode, "{}", entry.path);
            }
            Kind::Symlink(target) => {
                assert_eq!(fs::read_link(&path).unwrap(), Path::new(target));
            }
            _ => assert!(found.is_dir(), "{}", entry.path),
        }
    }
    let laid_out = run("find", &[into.join("rootfs").to_str().unwrap()]).lines().count();
    assert_eq!(laid_out, entries(&image).len());
}
