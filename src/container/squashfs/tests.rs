use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use fs_err as fs;
use proptest::prelude::*;

use super::*;
use crate::container::tree::{Attributes, Id, Inode, Meta};
use crate::proc::Program;

const META: Meta = Meta { mode: 0o644, uid: 0, gid: 0, mtime: 1_500_000_000 };

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

struct Made {
    folder: tempfile::TempDir,
}

impl Made {
    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn unsquashed(&self) -> PathBuf {
        let target = self.folder.path().join("root");
        Program::new("unsquashfs")
            .args(["-no-progress", "-processors", "1", "-dest"])
            .arg(&target)
            .arg(self.image())
            .run()
            .unwrap();
        target
    }

    fn listed(&self) -> String {
        let output = Program::new("unsquashfs").arg("-llnumeric").arg(self.image()).run();
        String::from_utf8(output.unwrap()).unwrap()
    }
}

/// Writes a tree whose files are made by `fill`.
fn write(fill: impl FnOnce(&mut Tree, &mut Writer)) -> (Made, Tree) {
    let made = Made { folder: tempfile::tempdir().unwrap() };
    let mut tree = Tree::new();
    let mut writer = Writer::new(fs::File::create(made.image()).unwrap().into_parts().0).unwrap();
    fill(&mut tree, &mut writer);
    writer.finish(&tree).unwrap();
    (made, tree)
}

fn file(tree: &mut Tree, writer: &mut Writer, name: &[u8], bytes: &[u8]) -> Id {
    let extent = writer.store(&mut { bytes }).unwrap();
    let id = tree.add(Kind::File(extent), META);
    tree.link(Tree::ROOT, name, id);
    id
}

#[test]
fn an_empty_tree_is_an_image() {
    let (made, _) = write(|_, _| {});
    assert_eq!(fs::metadata(made.image()).unwrap().len() % SECTOR, 0);
    assert_eq!(fs::read_dir(made.unsquashed()).unwrap().count(), 0);
}

#[test]
fn a_hundred_thousand_files_in_a_folder_and_a_deep_path() {
    let (made, _) = write(|tree, writer| {
        for number in 0..100_000u32 {
            file(tree, writer, format!("{number:06}").as_bytes(), &number.to_le_bytes());
        }
        let mut folder = Tree::ROOT;
        for _ in 0..900 {
            let below = tree.add(Kind::Directory(Default::default()), Meta::IMPLIED);
            tree.link(folder, b"d", below);
            folder = below;
        }
    });
    let root = made.unsquashed();
    assert_eq!(fs::read_dir(&root).unwrap().count(), 100_001);
    for number in [0u32, 7, 49_999, 99_999] {
        assert_eq!(fs::read(root.join(format!("{number:06}"))).unwrap(), number.to_le_bytes());
    }
    assert!(root.join("d/".repeat(900)).is_dir());
}

#[test]
fn a_file_of_three_gigabytes_of_nothing_takes_no_space() {
    let (made, _) = write(|tree, writer| {
        let mut bytes = b"start".chain(io::repeat(0).take(3 << 30)).chain(&b"end"[..]);
        let extent = writer.store(&mut bytes).unwrap();
        let id = tree.add(Kind::File(extent), META);
        tree.link(Tree::ROOT, b"big", id);
    });
    assert!(fs::metadata(made.image()).unwrap().len() < 2 << 20);
    assert!(made.listed().contains(&format!(" {} ", (3u64 << 30) + 8)), "{}", made.listed());
    let big = fs::File::open(made.unsquashed().join("big")).unwrap();
    assert_eq!(big.metadata().unwrap().len(), (3 << 30) + 8);
    let mut tail = vec![0; 10];
    std::os::unix::fs::FileExt::read_exact_at(big.file(), &mut tail, (3 << 30) - 2).unwrap();
    assert_eq!(tail, b"\0\0\0\0\0\0\0end");
}

#[test]
fn what_was_removed_is_not_in_the_image() {
    let secret = b"this is gone ".repeat(40_000);
    let (made, _) = write(|tree, writer| {
        file(tree, writer, b"before", b"kept");
        file(tree, writer, b"secret", &secret);
        file(tree, writer, b"after", &[7; 300_000]);
        tree.unlink(Tree::ROOT, b"secret");
    });
    let root = made.unsquashed();
    assert!(!root.join("secret").exists());
    assert_eq!(fs::read(root.join("after")).unwrap(), [7; 300_000]);
    let image = fs::read(made.image()).unwrap();
    let found = image.windows(13).filter(|bytes| *bytes == b"this is gone ").count();
    assert_eq!(found, 0, "the file system of the test's folder must be able to punch holes");
}

#[test]
fn more_owners_than_can_be_said_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let writer = Writer::new(fs::File::create(path).unwrap().into_parts().0).unwrap();
    let mut tree = Tree::new();
    for uid in 0..70_000 {
        let id = tree.add(Kind::Fifo, Meta { uid, ..META });
        tree.link(Tree::ROOT, format!("{uid}").as_bytes(), id);
    }
    assert_eq!(writer.finish(&tree).unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[test]
fn attributes_of_every_kind_of_file_come_back() {
    if !is_root() {
        return;
    }
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\x0a\0\0\0\0\0\0\0".to_vec();
    let set = |name: &[u8], value: &[u8]| Attributes::from([(name.to_vec(), value.to_vec())]);
    let (made, tree) = write(|tree, writer| {
        let one = file(tree, writer, b"file", b"x");
        tree.set_attributes(one, set(b"security.capability", &capability));
        let kinds = [
            (&b"link"[..], Kind::Symlink(b"file"[..].into())),
            (b"null", Kind::Character { major: 1, minor: 3 }),
            (b"disk", Kind::Block { major: 8, minor: 300 }),
            (b"pipe", Kind::Fifo),
            (b"folder", Kind::Directory(Default::default())),
        ];
        for (name, kind) in kinds {
            let id = tree.add(kind, META);
            tree.link(Tree::ROOT, name, id);
            let mut attributes = set(b"trusted.test", name);
            attributes.insert(b"security.other".to_vec(), vec![9; 3000]);
            tree.set_attributes(id, attributes);
        }
        let other = file(tree, writer, b"other", b"y");
        tree.set_attributes(other, set(b"user.long", &[5; 4000]));
        tree.set_attributes(Tree::ROOT, set(b"user.root", b"1"));
    });
    compare(&tree, &made.unsquashed(), &made.image());
}

/// One step of making a tree.
#[derive(Debug, Clone)]
struct Step {
    folder: prop::sample::Index,
    name: Vec<u8>,
    meta: (u16, u32, u32, u32),
    what: What,
    attribute: Option<u8>,
}

#[derive(Debug, Clone)]
enum What {
    Folder,
    File { pieces: Vec<(u8, u32)> },
    Symlink(Vec<u8>),
    Device(u32, u32, bool),
    Fifo,
    Second(prop::sample::Index),
    Remove,
}

fn what() -> impl Strategy<Value = What> {
    let pieces = prop::collection::vec((0u8..3, 0u32..200_000), 0..4);
    prop_oneof![
        4 => Just(What::Folder),
        8 => pieces.prop_map(|pieces| What::File { pieces }),
        2 => prop::collection::vec(1u8..=255, 1..300).prop_map(What::Symlink),
        1 => (0u32..4096, 0u32..1 << 20, any::<bool>()).prop_map(|(a, b, c)| What::Device(a, b, c)),
        1 => Just(What::Fifo),
        3 => any::<prop::sample::Index>().prop_map(What::Second),
        1 => Just(What::Remove),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let letter = prop::sample::select(b"ab.-Z~\xe9\xff\x01".to_vec());
    let name = prop::collection::vec(letter, 1..40)
        .prop_filter("a name", |name| name != b"." && name != b"..");
    let meta = (0u16..0o10000, 0u32..1 << 17, 0u32..3, any::<u32>());
    let attribute = prop::option::weighted(0.2, 0u8..6);
    (any::<prop::sample::Index>(), name, meta, what(), attribute).prop_map(
        |(folder, name, meta, what, attribute)| Step { folder, name, meta, what, attribute },
    )
}

fn play(steps: &[Step], tree: &mut Tree, writer: &mut Writer) {
    let mut folders = vec![Tree::ROOT];
    let mut files: Vec<Id> = Vec::new();
    for step in steps {
        let folder = *step.folder.get(&folders);
        let (mode, uid, gid, mtime) = step.meta;
        // What nobody may enter can't be compared by who is not root.
        let mode = if is_root() { mode } else { mode & 0o777 | 0o700 };
        let meta = Meta { mode, uid, gid, mtime };
        let kind = match &step.what {
            What::Folder => Kind::Directory(Default::default()),
            What::File { pieces } => {
                let bytes: Vec<u8> =
                    pieces.iter().flat_map(|&(byte, n)| vec![byte; n as usize]).collect();
                Kind::File(writer.store(&mut bytes.as_slice()).unwrap())
            }
            What::Symlink(target) => Kind::Symlink(target.as_slice().into()),
            What::Device(..) if !is_root() => continue,
            &What::Device(major, minor, true) => Kind::Character { major, minor },
            &What::Device(major, minor, false) => Kind::Block { major, minor },
            What::Fifo => Kind::Fifo,
            What::Second(of) => {
                let taken = tree.child(folder, &step.name).is_some();
                if !files.is_empty() && !taken {
                    tree.link(folder, &step.name, *of.get(&files));
                }
                continue;
            }
            What::Remove => {
                let there = tree.child(folder, &step.name);
                if there.is_some_and(|id| tree.names(id).is_none()) {
                    tree.unlink(folder, &step.name);
                }
                continue;
            }
        };
        if tree.child(folder, &step.name).is_some() {
            continue;
        }
        let is_folder = matches!(kind, Kind::Directory(_));
        let is_file = matches!(kind, Kind::File(_));
        let id = tree.add(kind, meta);
        tree.link(folder, &step.name, id);
        if is_folder {
            folders.push(id);
        } else {
            files.push(id);
        }
        if let Some(number) = step.attribute.filter(|_| is_root() || is_file) {
            let space = if is_root() { "trusted" } else { "user" };
            let name = format!("{space}.a{number}").into_bytes();
            tree.set_attributes(id, Attributes::from([(name, vec![number; 90])]));
        }
    }
}

/// Compares what unsquashfs made of an image with the tree.
fn compare(tree: &Tree, root: &Path, image: &Path) {
    let image = fs::read(image).unwrap();
    let mut inodes = std::collections::BTreeMap::new();
    let mut paths = vec![(Tree::ROOT, root.to_owned())];
    while let Some((id, path)) = paths.pop() {
        let found = fs::symlink_metadata(&path).unwrap();
        let inode = tree.get(id);
        let first = *inodes.entry(id).or_insert(found.ino());
        assert_eq!(first, found.ino(), "{path:?} is a name of another file");
        compare_one(inode, &found, &path, &image);
        compare_attributes(tree, inode, &path);
        if let Some(names) = tree.names(id) {
            assert_eq!(fs::read_dir(&path).unwrap().count(), names.len(), "{path:?}");
            for (name, &id) in names {
                paths.push((id, path.join(OsStr::from_bytes(name))));
            }
        }
    }
}

fn compare_one(inode: &Inode, found: &std::fs::Metadata, path: &Path, image: &[u8]) {
    let kind = found.file_type();
    match &inode.kind {
        Kind::Directory(_) => assert!(kind.is_dir(), "{path:?}"),
        Kind::File(extent) => {
            assert!(kind.is_file() && found.len() == extent.size, "{path:?}");
            assert!(fs::read(path).unwrap() == content(extent, image), "{path:?}");
        }
        Kind::Symlink(target) => {
            assert_eq!(fs::read_link(path).unwrap().as_os_str().as_bytes(), &target[..]);
        }
        Kind::Character { major, minor } | Kind::Block { major, minor } => {
            let device = found.rdev();
            let (a, b) = (rustix::fs::major(device), rustix::fs::minor(device));
            assert_eq!((a, b), (*major, *minor), "{path:?}");
            let character = matches!(inode.kind, Kind::Character { .. });
            assert_eq!((kind.is_char_device(), kind.is_block_device()), (character, !character));
        }
        Kind::Fifo => assert!(kind.is_fifo(), "{path:?}"),
    }
    let meta = inode.meta;
    if !kind.is_symlink() {
        assert_eq!(found.mode() & 0o7777, u32::from(meta.mode), "{path:?}");
    }
    assert_eq!(found.mtime(), i64::from(meta.mtime), "{path:?}");
    if is_root() {
        assert_eq!((found.uid(), found.gid()), (meta.uid, meta.gid), "{path:?}");
    }
}

fn content(extent: &Extent, image: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut at = extent.start as usize;
    for block in 0..extent.size.div_ceil(BLOCK as u64) {
        let length = (extent.size - block * BLOCK as u64).min(BLOCK as u64) as usize;
        if extent.holes.iter().any(|&(first, count)| (first..first + count).contains(&block)) {
            bytes.extend(vec![0; length]);
        } else {
            bytes.extend(&image[at..at + length]);
            at += length;
        }
    }
    bytes
}

fn compare_attributes(tree: &Tree, inode: &Inode, path: &Path) {
    let mut names = vec![0u8; 1 << 16];
    let count = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let mut found = Attributes::new();
    for name in names[..count].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0u8; 1 << 16];
        let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..]).unwrap();
        found.insert(name.to_vec(), value[..length].to_vec());
    }
    let expected = inode.attributes.map(|set| tree.attributes()[set as usize].clone());
    assert_eq!(found, expected.unwrap_or_default(), "{path:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_tree_comes_back(steps in prop::collection::vec(step(), 0..120)) {
        let (made, tree) = write(|tree, writer| play(&steps, tree, writer));
        compare(&tree, &made.unsquashed(), &made.image());
        let (again, _) = write(|tree, writer| play(&steps, tree, writer));
        prop_assert!(fs::read(made.image()).unwrap() == fs::read(again.image()).unwrap());
    }
}
