use super::*;
use crate::report::{Collected, Silent};
use proptest::prelude::*;

type Kind = tar::EntryType;

/// An entry with a header of raw bytes, as no proper tar would write it.
fn entry(kind: Kind, name: &str, link: &str, mode: u32, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    old.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(1_600_000_000);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &str) -> Vec<u8> {
    entry(Kind::Regular, name, "", 0o644, b"text\n")
}

fn link(name: &str, target: &str) -> Vec<u8> {
    entry(Kind::Symlink, name, target, 0o777, b"")
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// Unpacks below a fresh folder, and checks that a failure leaves nothing.
fn unpacked(bytes: &[u8]) -> Result<(tempfile::TempDir, Unpacked), UnpackError> {
    let folder = tempfile::tempdir().unwrap();
    let destination = folder.path().join("store/tree");
    let result = unpack(bytes, "linux.tar", &destination, &Silent);
    let left = fs::read_dir(folder.path().join("store")).unwrap().count();
    assert_eq!(left, usize::from(result.is_ok()));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing beside it");
    result.map(|unpacked| (folder, unpacked))
}

fn refused(entries: &[Vec<u8>]) -> String {
    let error = unpacked(&archive(entries)).unwrap_err();
    assert_eq!(error.fault(), Fault::Archive);
    error.to_string()
}

#[test]
fn a_tree_comes_out_without_its_top_folder() {
    let (folder, unpacked) = unpacked(&archive(&[
        entry(Kind::XGlobalHeader, "pax_global_header", "", 0o666, b"13 comment=ab\n"),
        entry(Kind::Directory, "linux-1/", "", 0o4777, b""),
        entry(Kind::Regular, "linux-1/Makefile", "", 0o664, b"VERSION = 1\n"),
        entry(Kind::Regular, "linux-1/scripts/run", "", 0o6711, b"#!/bin/sh\n"),
        link("linux-1/arch/dts", "../scripts/../nowhere"),
        entry(Kind::Regular, "linux-1/big", "", 0o644, &vec![7; 5 << 20]),
        entry(Kind::Regular, "./linux-1/empty", "", 0o644, b""),
    ]))
    .unwrap();
    assert_eq!(unpacked, Unpacked { epoch: 1_600_000_000, files: 5 });
    let tree = folder.path().join("store/tree");
    assert_eq!(fs::read(tree.join("Makefile")).unwrap(), b"VERSION = 1\n");
    assert_eq!(fs::read(tree.join("big")).unwrap(), vec![7; 5 << 20]);
    let target = fs::read_link(tree.join("arch/dts")).unwrap();
    assert_eq!(target, Path::new("../scripts/../nowhere"));
    let mode = |name: &str| fs::metadata(tree.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!([mode(""), mode("arch"), mode("scripts/run")], [0o755; 3]);
    assert_eq!([mode("Makefile"), mode("empty")], [0o644; 2]);
    let modified = fs::metadata(tree.join("scripts/run")).unwrap().modified().unwrap();
    assert_eq!(modified, UNIX_EPOCH + Duration::from_secs(1_600_000_000));
}

#[test]
fn no_file_comes_from_the_future_but_the_epoch_is_told_as_it_is() {
    let mut header = tar::Header::new_gnu();
    header.set_path("l/Makefile").unwrap();
    header.set_mtime(9_000_000_000);
    header.set_mode(0o644);
    header.set_size(0);
    header.set_cksum();
    let (folder, unpacked) = unpacked(&archive(&[header.as_bytes().to_vec()])).unwrap();
    assert_eq!(unpacked.epoch, 9_000_000_000);
    let makefile = folder.path().join("store/tree/Makefile");
    assert!(fs::metadata(makefile).unwrap().modified().unwrap() <= SystemTime::now());
}

#[test]
fn every_way_out_is_refused_by_name() {
    let make = || file("l/Makefile");
    for (hostile, why) in [
        (file("/etc/s1b"), "absolute"),
        (file("l/../../x"), "'..'"),
        (file("../x"), "'..'"),
        (link("l/x", "/etc"), "absolute path"),
        (link("l/x", "../x"), "leads out"),
        (link("l/a/x", "../../../x"), "leads out"),
        (link("l/x", ""), "target"),
        (entry(Kind::Link, "l/x", "l/Makefile", 0o644, b""), "hard link"),
        (entry(Kind::Link, "l/x", "/etc/passwd", 0o644, b""), "hard link"),
        (entry(Kind::Char, "l/x", "", 0o666, b""), "device"),
        (entry(Kind::Block, "l/x", "", 0o666, b""), "device"),
        (entry(Kind::Fifo, "l/x", "", 0o666, b""), "pipe"),
        (entry(Kind::new(b'V'), "l/x", "", 0o666, b""), "neither"),
    ] {
        let text = refused(&[make(), hostile]);
        assert!(text.contains(why), "{text}");
        assert!(text.contains("x'") || text.contains("'/etc/s1b'"), "{text}");
    }
}

#[test]
fn what_stands_twice_or_below_a_file_is_refused() {
    let make = || file("l/Makefile");
    for (first, second, why) in [
        (file("l/x"), file("l/x"), "twice"),
        (file("l/x"), file("l/./x"), "twice"),
        (link("l/x", "y"), file("l/x"), "twice"),
        (file("l/x/y"), file("l/x"), "twice"),
        (file("l/x"), entry(Kind::Directory, "l/x/", "", 0o755, b""), "twice"),
        (link("l/x", "y"), entry(Kind::Directory, "l/x", "", 0o755, b""), "twice"),
        (link("l/x", "y"), file("l/x/z"), "below"),
        (link("l/x", "y"), file("l/x/y/z"), "below"),
        (file("l/x"), file("l/x/y"), "below"),
    ] {
        let text = refused(&[make(), first, second]);
        assert!(text.contains(why), "{text}");
    }
    let folder = || entry(Kind::Directory, "l/d", "", 0o755, b"");
    assert!(unpacked(&archive(&[make(), folder(), folder(), file("l/d/x"), folder()])).is_ok());
}

#[test]
fn links_that_lead_out_together_are_refused() {
    let text = refused(&[file("l/Makefile"), link("l/a/b/x", "../.."), link("l/y", "a/b/x/../..")]);
    assert!(text.contains("'y'") && text.contains("leads out"), "{text}");
}

#[test]
fn only_one_folder_with_a_makefile_is_a_source() {
    let text = refused(&[file("l/Makefile"), file("m/x")]);
    assert!(text.contains("'l' and 'm'"), "{text}");
    refused(&[file("Makefile")]);
    refused(&[file("l/Makefile"), file("x")]);
    for entries in [&[][..], &[file("l/x")], &[file("l/a/Makefile")], &[link("l/Makefile", "x")]] {
        assert!(refused(entries).contains("no Makefile"));
    }
}

#[test]
fn a_cut_or_damaged_archive_is_an_error() {
    let whole = archive(&[file("l/Makefile"), file("l/x")]);
    for end in [600, 515, 1030, 1540] {
        assert!(unpacked(&whole[..end]).is_err(), "{end}");
    }
    let mut damaged = whole;
    damaged[1024 + 3] ^= 1;
    assert!(matches!(unpacked(&damaged), Err(UnpackError::Read { .. })));
}

#[test]
fn the_reader_is_read_to_its_end() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("checksum of the stream"))
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let bytes = archive(&[file("l/Makefile")]);
    let reader = bytes.as_slice().chain(Failing);
    let error = unpack(reader, "x", &folder.path().join("t"), &Silent).unwrap_err();
    assert!(matches!(error, UnpackError::Read { .. }));
}

#[test]
fn what_a_killed_run_left_goes_and_what_is_there_stays() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    fs::create_dir_all(folder.path().join(".tree.unpacking/half")).unwrap();
    let bytes = archive(&[file("l/Makefile")]);
    let collected = Collected::default();
    unpack(&bytes[..], "x", &tree, &collected).unwrap();
    assert_eq!(collected.events().len(), 2);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(!tree.join("half").exists());
    let again = unpack(&bytes[..], "x", &tree, &Silent).unwrap_err();
    assert!(matches!(&again, UnpackError::Exists { path } if *path == tree));
    assert_eq!(again.fault(), Fault::Storage);
}

#[test]
fn what_an_archive_has_us_remember_is_bounded() {
    let named = |name: &str| entry(Kind::GNULongName, "././@LongLink", "", 0, name.as_bytes());
    let deep = named(&format!("l/{}f\0", "a/".repeat(2048)));
    assert!(refused(&[file("l/Makefile"), deep, file("l/f")]).contains("its name is too long"));
    let endless = named(&"x".repeat(2 << 20));
    let error = unpacked(&archive(&[file("l/Makefile"), endless, file("l/f")])).unwrap_err();
    assert_eq!(error.fault(), Fault::Archive);
    assert!(text::chain(&error).contains("headers without an end"), "{error:?}");
    // As many as one likes, one after the other.
    let many = (0..3).flat_map(|n| [named(&format!("l/{n}\0")), file("l/f")]);
    unpacked(&archive(&[vec![file("l/Makefile")], many.collect()].concat())).unwrap();
}

#[test]
fn an_error_of_a_writer_ends_the_reading() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(90);
    let mut entries = vec![file("l/Makefile")];
    // A name of 300 bytes, by a GNU long name entry: no file system takes it.
    let name = format!("l/{}\0", long.repeat(4));
    entries.push(entry(Kind::GNULongName, "././@LongLink", "", 0, name.as_bytes()));
    entries.push(file("l/short"));
    let bytes = archive(&entries);
    let error = unpack(&bytes[..], "x", &folder.path().join("t"), &Silent).unwrap_err();
    assert!(matches!(error, UnpackError::Write { .. }), "{error:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

fn hostile_entry() -> impl Strategy<Value = Vec<u8>> {
    let part = prop::sample::select(vec!["a", "b", "..", ".", "", "Makefile"]);
    let name = prop::collection::vec(part.clone(), 1..4);
    let target = prop::collection::vec(part, 0..4);
    (0..4u8, name, target).prop_map(|(kind, name, target)| {
        let kind = [Kind::Regular, Kind::Symlink, Kind::Directory, Kind::Link][usize::from(kind)];
        entry(kind, &format!("l/{}", name.join("/")), &target.join("/"), 0o644, b"")
    })
}

proptest! {
    /// Whatever is accepted, every link resolves to a place inside, as the
    /// system itself resolves it.
    #[test]
    fn nothing_leaves_the_folder(entries in prop::collection::vec(hostile_entry(), 0..8)) {
        let mut all = vec![file("l/Makefile")];
        all.extend(entries);
        if let Ok((folder, _)) = unpacked(&archive(&all)) {
            let tree = fs::canonicalize(folder.path().join("store/tree")).unwrap();
            for entry in walkdir::WalkDir::new(&tree).into_iter().map(Result::unwrap) {
                if let Ok(place) = fs::canonicalize(entry.path()) {
                    prop_assert!(place.starts_with(&tree));
                }
            }
        }
    }
}

/// `S1B_TEST_TARBALLS` names uncompressed archives, with colons between.
#[test]
fn real_archives() {
    let Ok(list) = std::env::var("S1B_TEST_TARBALLS") else { return };
    for path in list.split(':') {
        let folder = tempfile::tempdir().unwrap();
        let start = std::time::Instant::now();
        let archive = fs::File::open(path).unwrap();
        let unpacked = unpack(archive, path, &folder.path().join("tree"), &Silent).unwrap();
        println!("{path}: {unpacked:?} in {:?}", start.elapsed());
    }
}

#[test]
fn a_toolchain_may_have_files_of_several_names_and_a_kernel_may_not() {
    let folder = tempfile::tempdir().unwrap();
    let destination = folder.path().join("tools");
    let hard = |name: &str, target: &str| entry(Kind::Link, name, target, 0o755, b"");
    let unpacked = |entries: &[Vec<u8>]| {
        let result = unpack_tools(&archive(entries)[..], "gcc.tar", &destination, &Silent);
        assert_eq!(destination.exists(), result.is_ok());
        result.map_err(|error| error.to_string())
    };
    let gcc = || entry(Kind::Regular, "gcc-1/bin/gcc", "", 0o755, b"text\n");
    for target in ["gcc-1/bin/none", "gcc-1/bin", "bin/gcc", "/bin/sh", "gcc-1/../x", "", "gcc-1"] {
        let error = unpacked(&[gcc(), hard("gcc-1/bin/cc", target)]).unwrap_err();
        assert!(error.contains("refused 'gcc-1/bin/cc'"), "{target}: {error}");
    }
    let through_a_link = [link("gcc-1/etc", "bin"), gcc(), hard("gcc-1/cc", "gcc-1/etc/gcc")];
    assert!(unpacked(&through_a_link).is_err());
    let twice = [gcc(), hard("gcc-1/cc", "gcc-1/bin/gcc"), hard("gcc-1/cc", "gcc-1/bin/gcc")];
    assert!(unpacked(&twice).unwrap_err().contains("twice"));

    let good = [gcc(), hard("gcc-1/cc", "gcc-1/bin/gcc"), hard("gcc-1/lib/cc", "gcc-1/cc")];
    unpacked(&good).unwrap();
    for name in ["bin/gcc", "cc", "lib/cc"] {
        let found = fs::metadata(destination.join(name)).unwrap();
        let links = std::os::unix::fs::MetadataExt::nlink(&found);
        assert_eq!((links, found.permissions().mode() & 0o777), (3, 0o755), "{name}");
    }
    let makefile = file("linux-1/Makefile");
    let error = refused(&[makefile, hard("linux-1/again", "linux-1/Makefile")]);
    assert!(error.contains("it is a hard link"), "{error}");
}
