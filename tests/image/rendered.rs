//! An image over the one that it depends on, as rkt lays it out, and exported again.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fs_err as fs;
use stage1_builder::content::{Content, Node, Rootfs, UPSTREAMS};
use stage1_builder::fsutil::AtomicFile;
use stage1_builder::pack::Compression;
use stage1_builder::pack::aci::{self, Kind, Manifest};
use stage1_builder::proc::Program;
use stage1_builder::report::Silent;
use stage1_builder::settings::{Arch, KernelVersion, RktVersion};

use super::{EPOCH, RELEASE, entries, little_build, manifest, newest, options, pack};
use crate::render::Rendered;

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
