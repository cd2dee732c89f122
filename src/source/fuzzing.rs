//! What is tried with sources, and with what tells of them. See
//! [`crate::fuzzing`].

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::decompress::{self, Compression};
use super::patch::{Patch, apply_series};
use super::{
    Resolved, answer, crosstool, debian, download, git, gpg, keys, local, patch, record, releases,
    unpack,
};
use crate::fuzzing::{comes_back, files, folder, nothing_leads_out, record, summed, texts};
use crate::report::Silent;
use crate::settings::{KernelRequest, KernelVersion, Series};

pub use debian::fuzzing::{deb, debian};
pub use git::fuzzing::git;

/// The most that an input may unpack to here.
const MOST: u64 = 4 << 20;

/// kernel.org's lists, what gpgv says of them, what servers say of a part of
/// a file, and the version that a Makefile tells.
pub fn releases(bytes: &[u8]) {
    let [json, list, status, range, makefile] = texts(bytes);
    if let Ok(releases) = releases::Releases::parse(&json) {
        let all = releases.fitting(None);
        let words = [KernelRequest::Stable, KernelRequest::Longterm, KernelRequest::Mainline];
        for request in words {
            assert!(releases.fitting(Some(request)).len() <= all.len());
        }
        for listed in &all {
            let series = KernelRequest::Series(listed.version.series());
            let newest = releases.find(series);
            assert!(listed.version.candidate().is_some() || newest >= Some(listed.version));
        }
    }
    let series = Series { major: 6, minor: 12 };
    if let Some(newest) = releases::newest_named(&list, series) {
        assert_eq!(newest.series(), series);
        let names = [newest.tarball(), newest.to_string()];
        assert!(names.iter().any(|name| list.contains(&format!("linux-{name}.tar.xz"))));
    }
    for version in crosstool::versions_listed(&list) {
        assert!(list.contains(&format!("{version}/")));
    }
    if let Some(digest) = releases::checksum_of(&list, "linux-6.12.1.tar.xz") {
        assert!(list.to_ascii_lowercase().contains(digest.hex()));
    }
    if let gpg::Verdict::Good(found) = gpg::parse_status(&status) {
        let good = |key: &String| status.to_ascii_uppercase().contains(key.as_str());
        assert!(!found.is_empty() && found.iter().all(good));
        assert!(!status.lines().any(|line| line.starts_with("[GNUPG:] BADSIG ")));
    }
    if let Some((start, total)) = download::content_range(&range) {
        let total = total.map_or("*".to_owned(), |total| total.to_string());
        let again = download::content_range(&format!("bytes {start}-/{total}"));
        assert_eq!(again.map(|(start, _)| start), Some(start));
    }
    if let Some(version) = local::makefile_version(&makefile) {
        comes_back::<KernelVersion>(&version.to_string());
        assert_eq!(version.to_string().parse(), Ok(version));
    }
}

/// A user's keyring, armored or not.
pub fn keys(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(found) = keys::dearmored(&text) {
        assert!(!found.is_empty() && found.len() <= text.len());
    }
    assert!(!(keys::is_binary_keyring(bytes) && bytes.starts_with(b"-----BEGIN")));
}

/// Every compression: whatever it is, it is the same however it is read, and
/// what is none comes as it is.
pub fn compressed(bytes: &[u8]) {
    let read = |piece: usize| {
        let (compression, reader) = decompress::decoder(std::io::Cursor::new(bytes.to_vec()))?;
        let mut reader = reader.take(MOST);
        let (mut all, mut buffer) = (Vec::new(), vec![0; piece]);
        loop {
            match reader.read(&mut buffer)? {
                0 => return std::io::Result::Ok((compression, all)),
                count => all.extend_from_slice(&buffer[..count]),
            }
        }
    };
    match (read(1 << 16), read(61)) {
        (Ok(one), Ok(other)) => {
            assert!(one == other);
            if one.0 == Compression::None {
                assert_eq!(one.1, bytes);
            }
        }
        (Err(_), Err(_)) => {}
        (one, other) => panic!("{:?} and {:?}", one.map(|one| one.0), other.map(|one| one.0)),
    }
}

/// A source archive: it becomes a tree of which nothing leads out, or
/// nothing is left of it.
pub fn source_archive(bytes: &[u8]) {
    let top = folder();
    let destination = top.path().join("store/tree");
    let archive = summed(bytes);
    let done = unpack::unpack(&archive[..], "linux.tar", &destination, &Silent);
    if let Ok(unpacked) = &done {
        let file = |entry: &walkdir::DirEntry| !entry.file_type().is_dir();
        let found = walkdir::WalkDir::new(&destination).into_iter().flatten().filter(file).count();
        assert_eq!(found as u64, unpacked.files);
        nothing_leads_out(&destination);
    }
    assert_eq!(in_folder(&top.path().join("store")), usize::from(done.is_ok()));
    assert_eq!(in_folder(top.path()), 1);
}

fn in_folder(path: &Path) -> usize {
    fs::read_dir(path).map_or(0, Iterator::count)
}

/// Everything below a folder: what it is, and its bytes.
type Listing = BTreeMap<PathBuf, Vec<u8>>;

fn listing(folder: &Path) -> Listing {
    let entries = walkdir::WalkDir::new(folder).min_depth(1).into_iter().flatten();
    let shown = |entry: walkdir::DirEntry| {
        let kind = entry.file_type();
        let bytes = match kind {
            kind if kind.is_dir() => b"/".to_vec(),
            kind if kind.is_symlink() => fs::read_link(entry.path())
                .map(|to| to.into_os_string().into_encoded_bytes())
                .unwrap_or_default(),
            _ => fs::read(entry.path()).unwrap_or_default(),
        };
        (entry.into_path(), bytes)
    };
    entries.map(shown).collect()
}

/// A patch, a second one, and the file that they are about: nothing but the
/// tree changes, one that fails changes nothing, and without patches the tree
/// is what it was.
pub fn patches(bytes: &[u8]) {
    let [first, second, content] = files(bytes);
    patch::fuzzing::texts(first, content);
    let top = folder();
    let (tree, kept) = (top.path().join("tree"), top.path().join("originals"));
    let write = |path: &str, bytes: &[u8]| {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&tree)).and_then(|()| fs::write(path, bytes))
    };
    let laid = write("f", content)
        .and_then(|()| write("d/g", content))
        .and_then(|()| fs_err::os::unix::fs::symlink("d", tree.join("l")))
        .and_then(|()| fs::create_dir(&kept));
    assert!(laid.is_ok());
    let before = listing(&tree);
    let patch = |name: &str, text: &[u8]| Patch::new(name, text.to_vec());
    let one = [patch("first", first)];
    let both = [patch("first", first), patch("second", second)];
    for series in [&one[..], &both] {
        let had = listing(&tree);
        if apply_series(&tree, &kept, series, &Silent).is_err() {
            assert_eq!(listing(&tree), had);
        }
        nothing_leads_out(&tree);
        let again = listing(&tree);
        if apply_series(&tree, &kept, series, &Silent).is_ok() {
            assert_eq!(listing(&tree), again);
        }
    }
    assert_eq!(in_folder(top.path()), 2);
    let back = apply_series(&tree, &kept, &[], &Silent);
    assert!(back.is_ok(), "{back:?}");
    assert_eq!(listing(&tree), before);
}

/// Records of this room.
pub(crate) fn records(bytes: &[u8]) {
    record::<record::Record>(bytes);
    record::<answer::Remembered<Resolved>>(bytes);
    record::<download::Origin>(bytes);
    record::<local::Known>(bytes);
    record::<debian::prebuilt::Meant>(bytes);
    patch::fuzzing::journal(bytes);
}
