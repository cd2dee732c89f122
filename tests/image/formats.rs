//! The formats besides the ACI, of the same tree in the same pass, as
//! `skopeo`, `umoci` and plain eyes see them.

use std::num::NonZero;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::Value;
use stage1_builder::compile::KernelArtifacts;
use stage1_builder::content::{Form, Rootfs, Wanted, kernel_tree};
use stage1_builder::pack::{self, Compression, Kind, Packed, Target, oci};
use stage1_builder::proc::Program;
use stage1_builder::report::Silent;
use stage1_builder::settings::{Arch, Format, Vmlinux};

use super::{EPOCH, RELEASE, little_build, manifest, newest, options, pack, run};

pub(crate) fn tree(artifacts: &KernelArtifacts, vmlinux: Vmlinux) -> Rootfs {
    let stage1 = Some(newest());
    let wanted = Wanted { provenance: b"{}\n", stage1, any_config: false, vmlinux };
    kernel_tree(artifacts, &wanted).unwrap()
}

pub(crate) fn kind(artifacts: &KernelArtifacts, format: Format) -> Kind {
    match format {
        Format::Aci => Kind::Aci {
            manifest: manifest(artifacts, newest()),
            form: Form::stage1(newest()).unwrap(),
        },
        Format::Oci => Kind::Oci(oci::About {
            name: "example.com/kernel".to_owned(),
            kernel: artifacts.version,
            release: artifacts.release.clone(),
            arch: Arch::X86_64,
        }),
        Format::Dir => Kind::Dir,
    }
}

/// Writes these formats of a build in one pass; gives their files.
fn write(
    artifacts: &KernelArtifacts,
    formats: &[Format],
    threads: usize,
    into: &Path,
) -> Vec<(Packed, PathBuf)> {
    let tree = tree(artifacts, Vmlinux::None);
    let paths: Vec<PathBuf> = formats.iter().map(|format| into.join(format.as_str())).collect();
    let create = |path: &PathBuf| {
        let options = fs::OpenOptions::new().read(true).write(true).create(true).open(path);
        options.unwrap().into_parts().0
    };
    let mut files: Vec<_> = paths.iter().map(create).collect();
    let target = |(format, to)| Target { kind: kind(artifacts, format), to };
    let mut targets: Vec<_> = formats.iter().copied().zip(&mut files).map(target).collect();
    let mut options = options(Compression::Gzip);
    options.threads = NonZero::new(threads);
    options.forbidden = vec![into.as_os_str().as_encoded_bytes().to_vec()];
    let packed = pack::write_all(&tree, &mut targets, &options, &Silent).unwrap();
    packed.into_iter().zip(paths).collect()
}

const ALL: &[Format] = &[Format::Aci, Format::Oci, Format::Dir];

#[test]
fn together_or_alone_here_or_elsewhere_the_bytes_are_the_same() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let artifacts = little_build(one.path());
    let together = write(&artifacts, ALL, 3, one.path());
    let alone = one.path().join("alone");
    pack(&artifacts, newest(), &options(Compression::Gzip), &alone).unwrap();
    assert!(fs::read(&together[0].1).unwrap() == fs::read(alone).unwrap(), "the ACI differs");
    let elsewhere = little_build(two.path());
    for (format, (packed, path)) in ALL.iter().zip(together) {
        let (again, other) = write(&elsewhere, &[*format], 1, two.path()).remove(0);
        assert_eq!(packed, again, "{format}");
        assert!(fs::read(path).unwrap() == fs::read(other).unwrap(), "{format} differs");
    }
}

#[test]
fn an_oci_image_is_what_skopeo_and_umoci_take() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = little_build(folder.path());
    let written = write(&artifacts, ALL, 2, folder.path());
    let (image, layout) = (&written[1], folder.path().join("layout"));
    oci::unpack(fs::File::open(&image.1).unwrap(), &layout).unwrap();
    let named = format!("oci:{}:6.12.0", layout.display());
    let inspected: Value = serde_json::from_str(&run("skopeo", &["inspect", &named])).unwrap();
    assert_eq!(inspected["Architecture"], "amd64");
    assert_eq!(inspected["Created"], "2023-11-14T22:13:20Z");
    for (name, value) in [
        ("org.opencontainers.image.title", "Linux 6.12.0"),
        ("org.opencontainers.image.version", "6.12.0"),
        ("org.opencontainers.image.licenses", "GPL-2.0-only WITH Linux-syscall-note"),
        ("io.kinvolk.stage1-builder.kernel.release", RELEASE),
        ("io.kinvolk.stage1-builder.name", "example.com/kernel"),
    ] {
        assert_eq!(inspected["Labels"][name], value, "{inspected:#}");
    }
    // skopeo reads every blob and its digest; from the archive, too.
    let copy = folder.path().join("copy");
    let archive = format!("oci-archive:{}:6.12.0", image.1.display());
    for from in [&named, &archive] {
        let to = format!("dir:{}", copy.display());
        run("skopeo", &["--insecure-policy", "copy", "--quiet", from, &to]);
        let config = fs::read(copy.join(image.0.id.hex())).unwrap();
        let config: Value = serde_json::from_slice(&config).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], written[2].0.id.to_string());
        assert_eq!(config["history"].as_array().unwrap().len(), 1);
        fs::remove_dir_all(&copy).unwrap();
    }
    let bundle = folder.path().join("bundle");
    let source = format!("{}:6.12.0", layout.display());
    run("umoci", &["unpack", "--rootless", "--image", &source, bundle.to_str().unwrap()]);
    let files = folder.path().join("files");
    pack::unpack_files(fs::File::open(&written[2].1).unwrap(), &files).unwrap();
    let same = ["-r", "--no-dereference", files.to_str().unwrap()];
    run("diff", &[&same[..], &[bundle.join("rootfs").to_str().unwrap()]].concat());
}

#[test]
fn plain_files_lie_where_programs_look_and_nothing_of_rkt_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = little_build(folder.path());
    let written = write(&artifacts, &[Format::Dir], 1, folder.path());
    let files = folder.path().join("files");
    let unpack = || pack::unpack_files(fs::File::open(&written[0].1).unwrap(), &files);
    unpack().unwrap();
    let mut top: Vec<_> =
        fs::read_dir(&files).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    top.sort();
    assert_eq!(top, ["boot", "usr"]);
    assert!(!files.join("usr/lib64").exists());
    let image = fs::read(&artifacts.image).unwrap();
    for name in ["boot/vmlinuz".to_owned(), format!("boot/vmlinuz-{RELEASE}")] {
        assert!(fs::read(files.join(name)).unwrap() == image);
    }
    let config = fs::read(artifacts.build.join(".config")).unwrap();
    for name in ["boot/config".to_owned(), format!("boot/config-{RELEASE}")] {
        assert!(fs::read(files.join(name)).unwrap() == config);
    }
    let modules = files.join("usr/lib/modules").join(RELEASE);
    let boot_map = fs::read(files.join(format!("boot/System.map-{RELEASE}"))).unwrap();
    assert_eq!(fs::read(modules.join("System.map")).unwrap(), boot_map);
    for path in ["include/linux/version.h", "build/Makefile", "provenance.json", "config"] {
        assert!(modules.join(path).is_file(), "{path}");
    }
    let time = fs::metadata(&modules).unwrap().modified().unwrap();
    let epoch = std::time::UNIX_EPOCH + std::time::Duration::from_secs(EPOCH);
    assert_eq!(time, epoch);
    // Once more over itself, and never over what is somebody's.
    unpack().unwrap();
    fs::write(files.join("thesis.tex"), "years of work").unwrap();
    let error = unpack().unwrap_err().to_string();
    assert!(error.contains("thesis.tex"), "{error}");
}

#[test]
fn vmlinux_comes_along_on_request_and_keeps_its_types() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = little_build(folder.path());
    let source = folder.path().join("kernel.c");
    let text = "char said[] = \"<rkt: obligatory restart>\"; int main(void) { return said[0]; }";
    fs::write(&source, text).unwrap();
    let (linked, types) = (artifacts.build.join("vmlinux"), folder.path().join("types"));
    fs::write(&types, "BTF").unwrap();
    Program::new("gcc").args(["-g", "-o"]).args([&linked, &source]).run().unwrap();
    let section = format!(".BTF={}", types.display());
    Program::new("objcopy").args(["--add-section", &section]).arg(&linked).run().unwrap();
    let path = format!("usr/lib/modules/{RELEASE}/vmlinux");
    let sections = |vmlinux| {
        let files = folder.path().join(format!("{vmlinux}"));
        for (path, node) in tree(&artifacts, vmlinux).iter() {
            if let stage1_builder::content::Node::File { content, .. } = node
                && let stage1_builder::content::Content::Path(from) = content
                && path.ends_with("/vmlinux")
            {
                fs::copy(from, &files).unwrap();
            }
        }
        run("readelf", &["-SW", files.to_str().unwrap()])
    };
    assert!(tree(&artifacts, Vmlinux::None).get(&path).is_none());
    let stripped = sections(Vmlinux::Stripped);
    assert!(stripped.contains(".BTF") && stripped.contains(".symtab"), "{stripped}");
    assert!(!stripped.contains(".debug_info"), "{stripped}");
    assert!(sections(Vmlinux::Debug).contains(".debug_info"));
    // Where libbpf and perf look.
    let tree = tree(&artifacts, Vmlinux::Stripped);
    for link in
        [format!("usr/lib/modules/{RELEASE}/vmlinux-{RELEASE}"), format!("boot/vmlinux-{RELEASE}")]
    {
        assert_eq!(tree.resolve(&link), tree.get(&path), "{link}");
    }
}
