//! Whole images, as other people's programs see them: `actool` (Debian:
//! appc-spec), `tar`, `gzip`, `xz`.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and print")]

use std::num::NonZero;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use stage1_builder::compile::KernelArtifacts;
use stage1_builder::content::{
    Content, Error as ContentError, Node, REBOOT_TEXT, Rootfs, UPSTREAMS, kernel_modules,
    stage1_kvm,
};
use stage1_builder::digest::{Algorithm, DigestReader};
use stage1_builder::fsutil::AtomicFile;
use stage1_builder::pack::aci::{self, DEFAULT_NAME, Entry, Kind, Manifest, WriteOptions};
use stage1_builder::pack::{Compression, Error, Packed, write_dir};
use stage1_builder::proc::Program;
use stage1_builder::report::Silent;
use stage1_builder::settings::{Arch, KernelVersion, RktVersion};

#[path = "support/render.rs"]
mod render;
use render::Rendered;

const RELEASE: &str = "6.12.0-kinvolk-v1";
const EPOCH: u64 = 1_700_000_000;

/// A finished build in little: every kind of file that a real one has, and
/// what must not come along.
fn little_build(folder: &Path) -> KernelArtifacts {
    let tree = folder.join("tree");
    let build = tree.join("objects");
    let leak = format!("cmd := gcc {}", folder.display());
    let mut image = vec![0; 0x400];
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
    let said = format!("{RELEASE} (builder@host) #1");
    image[0x300..0x300 + said.len()].copy_from_slice(said.as_bytes());
    let config = "CONFIG_MODULES=y\n";
    let tool = fs::read("/bin/true").unwrap();
    let long = format!("tree/include/{}/{}.h", "d".repeat(90), "f".repeat(120));
    let files: &[(&str, &[u8])] = &[
        ("tree/Makefile", b"all:"),
        ("tree/Kbuild", b""),
        ("tree/.gitignore", b"x"),
        ("tree/README", b"not wanted"),
        ("tree/include/linux/kconfig.h", b"#define K"),
        ("tree/include/uapi/linux/types.h", b"typedef"),
        ("tree/include/.hidden", leak.as_bytes()),
        (&long, b"long"),
        ("tree/arch/x86/Makefile", b"x86:"),
        ("tree/arch/x86/Makefile_32.cpu", b"x86:"),
        ("tree/arch/x86/include/asm/ptrace.h", b"struct"),
        ("tree/arch/arm64/include/asm/ptrace.h", b"not wanted"),
        ("tree/scripts/Makefile.build", b"build:"),
        ("tree/scripts/module.lds.S", b"SECTIONS"),
        ("tree/scripts/mod/modpost.c", b"main"),
        ("tree/scripts/dtc/dtc.c", b"not wanted"),
        ("tree/objects/Makefile", leak.as_bytes()),
        ("tree/objects/.config", config.as_bytes()),
        ("tree/objects/System.map", b"ffff T start"),
        ("tree/objects/Module.symvers", b"0x0 printk"),
        ("tree/objects/vmlinux", REBOOT_TEXT.as_bytes()),
        ("tree/objects/arch/x86/boot/bzImage", &image),
        ("tree/objects/include/generated/autoconf.h", b"#define"),
        ("tree/objects/include/generated/utsrelease.h", b"#define"),
        ("tree/objects/include/generated/uapi/linux/version.h", b"#define"),
        ("tree/objects/include/generated/.x.h.cmd", leak.as_bytes()),
        ("tree/objects/include/config/auto.conf", b"CONFIG_X=y"),
        ("tree/objects/include/config/auto.conf.cmd", leak.as_bytes()),
        ("tree/objects/include/config/kernel.release", RELEASE.as_bytes()),
        ("tree/objects/include/config/SMP", b""),
        ("tree/objects/arch/x86/include/generated/asm/errno.h", b"#include"),
        ("tree/objects/scripts/module.lds", b"SECTIONS"),
        ("tree/objects/scripts/basic/fixdep", &tool),
        ("tree/objects/scripts/basic/.fixdep.cmd", leak.as_bytes()),
        ("tree/objects/scripts/mod/modpost", &tool),
        ("tree/objects/scripts/mod/modpost.o", leak.as_bytes()),
        ("tree/objects/tools/objtool/objtool", &tool),
        ("tree/objects/api/include/linux/version.h", b"#define"),
        ("tree/objects/api/include/asm/unistd.h", b"#define"),
        ("tree/objects/api/include/linux/.install", leak.as_bytes()),
        ("tree/objects/api/include/linux/..install.cmd", leak.as_bytes()),
    ];
    for (path, bytes) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    fs::os::unix::fs::symlink(&tree, build.join("source")).unwrap();
    fs::os::unix::fs::symlink("../uapi/linux/types.h", tree.join("include/linux/link.h")).unwrap();
    fs::os::unix::fs::symlink("/etc/passwd", tree.join("include/linux/out.h")).unwrap();
    fs::os::unix::fs::symlink("../../arch/sh", tree.join("include/linux/sh")).unwrap();
    artifacts_in(tree, KernelVersion::new(6, 12, 0), RELEASE)
}

fn artifacts_in(tree: PathBuf, version: KernelVersion, release: &str) -> KernelArtifacts {
    let objects = ["stage1-objects", "objects"].map(|name| tree.join(name));
    let build = objects.into_iter().find(|folder| folder.is_dir()).unwrap();
    let headers = ["api-headers/include", "api/include"].map(|name| build.join(name));
    KernelArtifacts {
        version,
        arch: Arch::X86_64,
        release: release.to_owned(),
        image: build.join("arch/x86/boot/bzImage"),
        api_headers: headers.into_iter().find(|folder| folder.is_dir()).unwrap(),
        tree,
        build,
        epoch: EPOCH,
    }
}

fn newest() -> RktVersion {
    UPSTREAMS.last().unwrap().version
}

fn manifest(artifacts: &KernelArtifacts, upstream: RktVersion) -> Manifest {
    Manifest::stage1_kvm(DEFAULT_NAME, upstream, &artifacts.version, Arch::X86_64).unwrap()
}

fn options(compression: Compression) -> WriteOptions {
    WriteOptions { epoch: EPOCH, compression, ..WriteOptions::default() }
}

fn pack(
    artifacts: &KernelArtifacts,
    upstream: RktVersion,
    options: &WriteOptions,
    to: &Path,
) -> Result<Packed, Error> {
    let rootfs = stage1_kvm(artifacts, upstream, b"{}\n").unwrap();
    let mut file = AtomicFile::create(to).unwrap();
    let manifest = manifest(artifacts, upstream);
    let packed = aci::write(&manifest, &rootfs, options, &mut file, &Silent)?;
    file.commit().unwrap();
    Ok(packed)
}

fn run(name: &str, args: &[&str]) -> String {
    let output = Program::new(name).args(args).output().unwrap();
    assert!(output.status.success(), "{name} {args:?}: {}", output.stderr);
    String::from_utf8(output.stdout).unwrap()
}

fn entries(image: &Path) -> Vec<(Entry, Vec<u8>)> {
    let mut entries = Vec::new();
    aci::read_file(image, |entry, bytes| {
        let mut content = Vec::new();
        bytes.read_to_end(&mut content)?;
        entries.push((entry.clone(), content));
        Ok(())
    })
    .unwrap();
    entries
}

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
    let rootfs = stage1_kvm(&artifacts, newest(), b"{}").unwrap();
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
    let rootfs = stage1_kvm(&artifacts, newest(), b"{}\n").unwrap();
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
        let error = kernel_modules(&artifacts, b"{}").unwrap_err();
        assert!(matches!(&error, ContentError::Incomplete { path } if path == named), "{error}");
    }
}

#[test]
fn a_kernel_that_rkt_can_not_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = little_build(folder.path());
    let wrong = KernelArtifacts { release: "6.12-kinvolk-v1".into(), ..artifacts.clone() };
    assert!(matches!(stage1_kvm(&wrong, newest(), b""), Err(ContentError::Release { .. })));
    fs::write(artifacts.build.join("vmlinux"), "no such text").unwrap();
    assert!(matches!(stage1_kvm(&artifacts, newest(), b""), Err(ContentError::NoReboot)));
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

/// What upstream's stage1-kvm has where our image comes to lie: the links at
/// the top, `usr/lib` that leads to `lib64`, and programs and units of its own.
fn stand_in(upstream: RktVersion, to: &Path) {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind, mode, owner: (u64, u64), content: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner.0);
        header.set_gid(owner.1);
        header.set_mtime(EPOCH - 9);
        if kind == tar::EntryType::Symlink {
            header.set_size(0);
            tar.append_link(&mut header, path, content).unwrap();
        } else {
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
    };
    let (file, folder, link) =
        (tar::EntryType::Regular, tar::EntryType::Directory, tar::EntryType::Symlink);
    let parent = Manifest::stage1_kvm(
        "coreos.com/rkt/stage1-kvm",
        upstream,
        &KernelVersion::new(4, 9, 2),
        Arch::X86_64,
    );
    add(
        "manifest",
        file,
        0o644,
        (0, 0),
        std::str::from_utf8(&parent.unwrap().to_json().unwrap()).unwrap(),
    );
    let folders = [
        "",
        "usr/",
        "usr/bin/",
        "usr/lib64/",
        "usr/lib64/systemd/",
        "usr/lib64/systemd/system/",
        "etc/",
    ];
    for path in folders {
        add(&format!("rootfs/{path}"), folder, 0o755, (0, 0), "");
    }
    add("rootfs/etc/private/", folder, 0o700, (0, 7), "");
    for (path, target) in
        [("lib", "usr/lib"), ("lib64", "usr/lib64"), ("bin", "usr/bin"), ("usr/lib", "lib64")]
    {
        add(&format!("rootfs/{path}"), link, 0o777, (0, 0), target);
    }
    let unit = "usr/lib64/systemd/system/prepare-app@.service";
    for (path, mode) in
        [("init", 0o755), ("usr/bin/mount", 0o755), (unit, 0o644), ("etc/group", 0o640)]
    {
        add(&format!("rootfs/{path}"), file, mode, (0, 0), "upstream's");
    }
    for kernel in ["bzImage", "kernel_image"] {
        add(
            &format!("rootfs/{kernel}"),
            file,
            0o644,
            (0, 0),
            &"upstream's kernel, larger ".repeat(99_999),
        );
    }
    fs::write(to, tar.into_inner().unwrap()).unwrap();
}

#[test]
fn rendered_over_its_parent_the_image_changes_nothing_that_is_the_parents() {
    for upstream in [UPSTREAMS.first().unwrap(), UPSTREAMS.last().unwrap()] {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = little_build(folder.path());
        let at = |name: &str| folder.path().join(name);
        pack(&artifacts, upstream.version, &options(Compression::Gzip), &at("image.aci")).unwrap();
        stand_in(upstream.version, &at("parent.aci"));
        let alone = Rendered::new(&[&at("parent.aci")], at("alone"));
        let both = Rendered::new(&[&at("image.aci"), &at("parent.aci")], at("both"));
        // Ours are the kernel and what lies below usr/lib64; all else is as it was.
        let kept: Vec<_> = alone.given_by(0).filter(|path| *path != upstream.kernel_file).collect();
        assert!(["usr", "lib", "lib64", "etc", "init", "usr/lib"].iter().all(|p| kept.contains(p)));
        for path in kept {
            assert_eq!(both.what(path), alone.what(path), "{path}");
            if let Ok(content) = fs::read(both.root.join(path)) {
                assert_eq!(content, fs::read(alone.root.join(path)).unwrap(), "{path}");
            }
        }
        let kernel = fs::read(both.root.join(upstream.kernel_file)).unwrap();
        assert!(kernel == fs::read(&artifacts.image).unwrap(), "the kernel is ours, all of it");
        let modules = both.root.join("lib/modules").join(RELEASE);
        for path in
            ["include/linux/version.h", "source/include/generated/autoconf.h", "build/.config"]
        {
            assert!(modules.join(path).is_file(), "{path}");
        }
        let drop_in = "usr/lib64/systemd/system/prepare-app@.service.d";
        assert!(fs::read_dir(both.root.join(drop_in)).unwrap().next().is_some());
    }
}

/// The rules themselves: what an image with a real `lib/` would do.
#[test]
fn an_image_with_a_folder_lib_would_hide_the_parents_link() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = little_build(folder.path());
    let at = |name: &str| folder.path().join(name);
    let mut rootfs = Rootfs::new();
    rootfs.insert_bytes("lib/modules/x", b"".as_slice(), false).unwrap();
    let mut file = AtomicFile::create(&at("image.aci")).unwrap();
    let manifest = manifest(&artifacts, newest());
    aci::write(&manifest, &rootfs, &options(Compression::None), &mut file, &Silent).unwrap();
    file.commit().unwrap();
    stand_in(newest(), &at("parent.aci"));
    let both = Rendered::new(&[&at("image.aci"), &at("parent.aci")], at("both"));
    assert_eq!(both.what("lib"), "folder 755 0:0");
}

#[test]
fn exported_the_image_is_the_same_tar() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = little_build(folder.path());
    let image = folder.path().join("image.aci");
    let packed = pack(&artifacts, newest(), &options(Compression::Gzip), &image).unwrap();
    let again = |rootfs: &Rootfs, name: &str| {
        let path = folder.path().join(name);
        let mut file = AtomicFile::create(&path).unwrap();
        let manifest = aci::read_file(&image, |_, _| Ok(())).unwrap().manifest;
        let none = options(Compression::None);
        let written = aci::write(&manifest, rootfs, &none, &mut file, &Silent).unwrap();
        file.commit().unwrap();
        assert_eq!(written.id, packed.id, "{name}");
        fs::read(path).unwrap()
    };
    let plain = Program::new("gzip").args(["-dc", image.to_str().unwrap()]).run().unwrap();
    // Out of the file, and out of the rendered root.
    assert!(again(&read_back(&image), "read") == plain);
    let rendered = Rendered::new(&[&image], folder.path().join("alone"));
    assert!(again(&taken_from(&rendered.root), "rendered") == plain);
}

fn read_back(image: &Path) -> Rootfs {
    let mut rootfs = Rootfs::new();
    for (entry, bytes) in entries(image).into_iter().filter(|(entry, _)| !entry.path.is_empty()) {
        let node = match entry.kind {
            Kind::Dir => Node::Dir,
            Kind::Symlink(target) => Node::Symlink { target },
            _ => Node::File {
                content: Content::Bytes(bytes.into()),
                executable: entry.mode & 0o100 != 0,
            },
        };
        rootfs.insert(&entry.path, node).unwrap();
    }
    rootfs
}

fn taken_from(root: &Path) -> Rootfs {
    let mut rootfs = Rootfs::new();
    for entry in walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name() {
        let entry = entry.unwrap();
        let node = match entry.file_type() {
            kind if kind.is_dir() => Node::Dir,
            kind if kind.is_symlink() => {
                let target = fs::read_link(entry.path()).unwrap();
                Node::Symlink { target: target.to_str().unwrap().to_owned() }
            }
            _ => {
                let mode = entry.metadata().unwrap().permissions().mode();
                Node::File {
                    content: Content::Path(entry.path().into()),
                    executable: mode & 0o100 != 0,
                }
            }
        };
        let path = entry.path().strip_prefix(root).unwrap();
        rootfs.insert(path.to_str().unwrap(), node).unwrap();
    }
    rootfs
}

/// `S1B_TEST_TREES` names source trees (separated by `:`) that were compiled
/// into their object folder, with the API headers installed there.
#[test]
fn a_module_compiles_against_real_images_alone() {
    let trees = std::env::var("S1B_TEST_TREES").unwrap_or_default();
    for tree in trees.split(':').filter(|tree| !tree.is_empty()) {
        compile_a_module(Path::new(tree));
    }
}

fn compile_a_module(tree: &Path) {
    let placeholder = artifacts_in(tree.to_owned(), KernelVersion::new(4, 4, 0), "");
    let release = placeholder.build.join("include/config/kernel.release");
    let release = fs::read_to_string(release).unwrap();
    let release = release.trim();
    let version = release.split('-').next().unwrap().parse().unwrap();
    let artifacts = artifacts_in(tree.to_owned(), version, release);
    let rootfs = kernel_modules(&artifacts, b"{}").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("aci");
    write_dir(&manifest(&artifacts, newest()), &rootfs, EPOCH, &into).unwrap();

    let mut packed = AtomicFile::create(&folder.path().join("image.aci")).unwrap();
    let mut options = options(Compression::Gzip);
    options.forbidden = vec![tree.as_os_str().as_encoded_bytes().to_vec()];
    let start = std::time::Instant::now();
    let manifest = manifest(&artifacts, newest());
    let written = aci::write(&manifest, &rootfs, &options, &mut packed, &Silent).unwrap();
    packed.commit().unwrap();
    eprintln!("{release}: {} files in {:?}, {written:?}", rootfs.len(), start.elapsed());

    let module = folder.path().join("module");
    fs::create_dir_all(&module).unwrap();
    fs::write(module.join("Makefile"), "obj-m := hello.o\n").unwrap();
    fs::write(module.join("hello.c"), HELLO).unwrap();
    let build = into.join("rootfs/usr/lib64/modules").join(release).join("build");
    let hidden = format!(
        "mount -t tmpfs none {} && make -C {} M={} modules",
        tree.display(),
        build.display(),
        module.display()
    );
    let output =
        Program::new("unshare").args(["--map-root-user", "--mount", "sh", "-c", &hidden]).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &output.stderr;
    assert!(output.status.success(), "{release}: {said}");
    let info = run("modinfo", &["-F", "vermagic", module.join("hello.ko").to_str().unwrap()]);
    assert!(info.starts_with(release), "{info}");
}

const HELLO: &str = r#"
#include <linux/module.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/version.h>
static int __init hello(void) { pr_info("hello %x\n", LINUX_VERSION_CODE); return 0; }
static void __exit goodbye(void) { pr_info("goodbye\n"); }
module_init(hello);
module_exit(goodbye);
MODULE_LICENSE("GPL");
"#;
