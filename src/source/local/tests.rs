use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;
use crate::report::Silent;

const MAKEFILE: &str = "# SPDX\nVERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 117\n\
                            EXTRAVERSION =\nNAME = Baby Opossum Posse\n";

fn tree() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in [
        ("Makefile", MAKEFILE),
        ("kernel/fork.c", "int x;"),
        ("include/config/auto.conf", "X=y"),
        ("include/generated/autoconf.h", "#define X"),
        ("arch/x86/include/generated/asm/x.h", "x"),
        (".config", "X=y"),
        (".config.old", "X=n"),
        ("kernel/fork.o", "o"),
        ("kernel/.fork.o.cmd", "gcc"),
    ] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn digest(root: &Path) -> Digest {
    tree_digest(root, &files(root, &Silent).unwrap(), &Silent).unwrap()
}

fn names(root: &Path) -> Vec<String> {
    let files = files(root, &Silent).unwrap();
    files.iter().map(|entry| entry.path.display().to_string()).collect()
}

#[test]
fn the_version_is_in_the_makefile() {
    let candidate = "VERSION = 6\nPATCHLEVEL = 13\nSUBLEVEL = 0\nEXTRAVERSION = -rc4\n";
    let custom = "VERSION=4\nPATCHLEVEL=4\nSUBLEVEL=178\nEXTRAVERSION=-mine\n";
    let none = "VERSION = 6\nPATCHLEVEL = 13\nSUBLEVEL = 0\nEXTRAVERSION = -rc0\n";
    for (text, expected) in
        [(MAKEFILE, "6.12.117"), (candidate, "6.13-rc4"), (none, "6.13.0"), (custom, "4.4.178")]
    {
        assert_eq!(makefile_version(text), Some(expected.parse().unwrap()));
    }
    for text in ["", "VERSION = 1.2.3\n", "VERSION = 6\nPATCHLEVEL = 1\n", "all:\n\tcc x.c\n"] {
        assert_eq!(makefile_version(text), None, "{text}");
    }
}

#[test]
fn build_products_are_no_part_of_a_tree() {
    let folder = tree();
    assert_eq!(names(folder.path()), ["Makefile", "kernel/fork.c"]);
}

#[test]
fn the_digest_is_of_names_kinds_and_contents_only() {
    let (one, two) = (tree(), tree());
    fs::remove_file(two.path().join("kernel/fork.o")).unwrap();
    let original = digest(one.path());
    assert_eq!(original, digest(two.path()), "elsewhere, later, without build products");
    let file = two.path().join("kernel/fork.c");
    fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    let executable = digest(two.path());
    fs::write(&file, "int y;").unwrap();
    let changed = digest(two.path());
    fs::remove_file(&file).unwrap();
    fs_err::os::unix::fs::symlink("int y;", &file).unwrap();
    let link = digest(two.path());
    let all = [&original, &executable, &changed, &link];
    for (index, digest) in all.iter().enumerate() {
        assert!(all[..index].iter().all(|other| other != digest), "{index}");
    }
}

#[test]
fn git_lists_a_checkout() {
    let folder = tree();
    let git = |args: &[&str]| Program::new("git").arg("-C").arg(folder.path()).args(args).run();
    git(&["init", "-q"]).unwrap();
    fs::write(folder.path().join(".gitignore"), "*.o\n.*.cmd\n.config*\ngenerated\n").unwrap();
    git(&["add", "-A"]).unwrap();
    fs::write(folder.path().join("new.c"), "").unwrap();
    fs::remove_file(folder.path().join("kernel/fork.c")).unwrap();
    let expected = [".gitignore", "Makefile", "include/config/auto.conf", "new.c"];
    assert_eq!(names(folder.path()), expected);
}

#[test]
fn the_version_is_read_out_of_tarballs_too() {
    let folder = tempfile::tempdir().unwrap();
    let tarball = |top: &str, name: &str| {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, text) in [("kernel/Makefile", "obj-y = x\n"), ("Makefile", MAKEFILE)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, format!("{top}{path}"), text.as_bytes()).unwrap();
        }
        let bytes = zstd::stream::encode_all(builder.into_inner().unwrap().as_slice(), 1);
        let path = folder.path().join(name);
        fs::write(&path, bytes.unwrap()).unwrap();
        path
    };
    // The name says another compression: it does not count.
    let path = tarball("linux-6.12.117/", "x.tar.gz");
    assert_eq!(version(&path).unwrap().to_string(), "6.12.117");
    assert_eq!(version(&tarball("", "bare")).unwrap().to_string(), "6.12.117");
    let deep = tarball("a/b/", "deep");
    assert!(matches!(version(&deep), Err(Error::NotASource { .. })));
    let cut = fs::read(&path).unwrap();
    fs::write(&path, &cut[..40]).unwrap();
    assert!(matches!(version(&path), Err(Error::Damaged { .. })));
}

#[test]
fn another_version_than_asked_for_is_an_error() {
    let found = KernelVersion::new(6, 12, 117);
    let check =
        |request: &str| check_version(Path::new("x"), found, request.parse().unwrap()).is_ok();
    assert!(check("6.12") && check("6.12.117") && check("stable"));
    assert!(!check("6.12.116") && !check("6.1"));
}

proptest! {
    #[test]
    fn any_makefile_is_read(text in "(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION| = |[0-9a-z-]{1,3}|\n){0,30}") {
        _ = makefile_version(&text);
    }
}
