use std::collections::BTreeMap;
use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::container::reference::Streamed;

const LIMITS: Limits = Limits { bytes: 1 << 30, entries: 1000 };

/// An archive, entry by entry.
#[derive(Default)]
struct Layer(Vec<u8>);

impl Layer {
    fn add(mut self, kind: u8, path: &str, target: &str, bytes: &[u8]) -> Self {
        let mut header = ::tar::Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(::tar::EntryType::new(kind));
        header.set_size(bytes.len() as u64);
        header.set_mode(0o755);
        header.set_uid(1);
        header.set_gid(2);
        header.set_mtime(3);
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
        header.set_cksum();
        self.0.write_all(header.as_bytes()).unwrap();
        self.0.write_all(bytes).unwrap();
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn dir(self, path: &str) -> Self {
        self.add(b'5', path, "", b"")
    }

    fn file(self, path: &str, bytes: &str) -> Self {
        self.add(b'0', path, "", bytes.as_bytes())
    }

    fn link(self, path: &str, target: &str) -> Self {
        self.add(b'1', path, target, b"")
    }

    fn symlink(self, path: &str, target: &str) -> Self {
        self.add(b'2', path, target, b"")
    }
}

fn layer() -> Layer {
    Layer::default()
}

fn unpacker(limits: Limits, whiteouts: Whiteouts) -> Unpacker {
    Unpacker::new(Writer::new(tempfile::tempfile().unwrap()).unwrap(), limits, whiteouts)
}

fn apply(unpacker: &mut Unpacker, layer: &Layer) -> Result<(), Error> {
    unpacker.apply(&mut Streamed(layer.0.as_slice()), "test", |_, _| Ok(true))
}

fn laid(layers: &[Layer]) -> Unpacker {
    let mut unpacker = unpacker(LIMITS, Whiteouts::Obeyed);
    for layer in layers {
        apply(&mut unpacker, layer).unwrap();
    }
    unpacker
}

/// Every path with what it is: `dir`, `link target`, or `size #inode`.
fn shown(unpacker: &Unpacker) -> BTreeMap<String, String> {
    let tree = &unpacker.tree;
    let mut all = BTreeMap::new();
    let mut paths = BTreeMap::from([(Tree::ROOT, String::new())]);
    for (folder, _) in tree.folders() {
        for (name, &id) in tree.names(folder).into_iter().flatten() {
            let path = format!("{}/{}", paths[&folder], String::from_utf8_lossy(name));
            let text = match &tree.get(id).kind {
                Kind::Directory(_) => "dir".to_owned(),
                Kind::Symlink(target) => format!("-> {}", String::from_utf8_lossy(target)),
                Kind::File(extent) => format!("{} #{id}", extent.size),
                other => format!("{other:?}"),
            };
            all.insert(path.clone(), text);
            paths.insert(id, path);
        }
    }
    all
}

fn paths(layers: &[Layer]) -> Vec<String> {
    shown(&laid(layers)).into_keys().collect()
}

fn refusal(layer: Layer) -> String {
    apply(&mut unpacker(LIMITS, Whiteouts::Obeyed), &layer).unwrap_err().to_string()
}

#[test]
fn a_whiteout_hides_what_is_below_and_not_what_comes_with_it() {
    let lower = || layer().dir("d/").file("d/a", "1").file("d/b", "2").file("f", "3");
    assert_eq!(paths(&[lower(), layer().file("d/.wh.a", "").file(".wh.f", "")]), ["/d", "/d/b"]);
    assert_eq!(paths(&[lower(), layer().file(".wh.d", "")]), ["/f"]);
    // The same layer brings it back, whatever stands first.
    let after = layer().file(".wh.d", "").dir("d").file("d/new", "");
    let before = layer().dir("d").file("d/new", "").file(".wh.d", "");
    for upper in [after, before] {
        assert_eq!(paths(&[lower(), upper]), ["/d", "/d/new", "/f"]);
    }
    assert_eq!(paths(&[lower(), layer().file("no/.wh.x", "").file(".wh.no", "")]).len(), 4);
}

#[test]
fn an_opaque_folder_hides_all_that_lower_layers_have_in_it() {
    let lower = || layer().dir("d").file("d/a", "1").dir("d/sub").file("d/sub/x", "2");
    let first = layer().file("d/.wh..wh..opq", "").dir("d").file("d/sub/new", "");
    let last = layer().dir("d").file("d/sub/new", "").file("d/.wh..wh..opq", "");
    for upper in [first, last] {
        assert_eq!(paths(&[lower(), upper]), ["/d", "/d/sub", "/d/sub/new"]);
    }
    assert_eq!(paths(&[lower(), layer().file("d/.wh..wh.plnk", "")]).len(), 4, "aufs' own");
}

#[test]
fn a_hard_link_is_a_second_name_across_layers() {
    let lower = layer().file("a", "1").symlink("s", "a");
    let upper = layer().link("d/b", "a").link("t", "s").file("a", "new");
    let shown = shown(&laid(&[lower, upper]));
    assert_eq!(shown["/d/b"], "1 #1");
    assert_eq!(shown["/t"], "-> a", "a link to a symlink is one to the symlink itself");
    assert!(shown["/a"].starts_with("3 "), "the old name is another file now");
    // Absolute, as some builders write it, and through a symlinked folder.
    let lower = layer().dir("usr/lib").symlink("lib", "usr/lib").file("lib/x", "1");
    let shown = self::shown(&laid(&[lower, layer().link("/y", "/lib/x")]));
    assert_eq!(shown["/y"], shown["/usr/lib/x"]);
    // A whiteout of a link that the same layer has made.
    let found = paths(&[layer().file("a", "1"), layer().link("b", "a").file(".wh.b", "")]);
    assert_eq!(found, ["/a", "/b"]);
    for (layer, reason) in [
        (layer().link("x", "gone"), "nothing"),
        (layer().dir("d").link("x", "d"), "folder"),
        (layer().link("x", "../x"), "leaves"),
        (layer().link("x", "/"), "folder"),
    ] {
        let text = refusal(layer);
        assert!(text.contains(reason), "{text}");
    }
}

#[test]
fn files_and_folders_replace_each_other() {
    let lower = || layer().dir("d").file("d/x", "1").file("f", "2");
    assert_eq!(paths(&[lower(), layer().file("d", "")]), ["/d", "/f"]);
    assert_eq!(paths(&[lower(), layer().dir("f").file("f/y", "")]), ["/d", "/d/x", "/f", "/f/y"]);
    assert_eq!(paths(&[lower(), layer().file("f/y", "")]), ["/d", "/d/x", "/f", "/f/y"]);
    assert_eq!(paths(&[lower(), layer().symlink("d", "f")]), ["/d", "/f"]);
    let twice = shown(&laid(&[layer().file("f", "1").file("./f", "last")]));
    assert!(twice["/f"].starts_with("4 "));
    let described = laid(&[lower(), layer().dir("./")]);
    assert_eq!(described.tree.get(Tree::ROOT).meta.gid, 2, "the root's own entry");
}

#[test]
fn symlinks_are_followed_inside_the_image_only() {
    let follow = |target: &str| {
        let layer = layer().dir("in/x").symlink("in/x/l", target).file("in/x/l/f", "");
        paths(&[layer]).into_iter().find(|path| path.ends_with("/f")).unwrap()
    };
    assert_eq!(follow("/"), "/f");
    assert_eq!(follow("../../../../.."), "/f");
    assert_eq!(follow("../y"), "/in/y/f");
    assert_eq!(follow("/in/../z//."), "/z/f");
    assert!(refusal(layer().symlink("l", "l").file("l/f", "")).contains("symlinks"));
    assert!(refusal(layer().symlink("l", "")).contains("nowhere"));
}

#[test]
fn paths_that_leave_are_refused_and_absolute_ones_are_the_image_s() {
    for path in ["../x", "a/../../x", "..", "a/.."] {
        let text = refusal(layer().file(path, ""));
        assert_eq!(text, format!("test: '{path}' leaves its folder"));
    }
    assert_eq!(paths(&[layer().file("/etc/x", "")]), ["/etc", "/etc/x"]);
}

#[test]
fn there_are_limits() {
    let many = (0..1001).fold(layer(), |layer, n| layer.file(&format!("{n}"), ""));
    let text = refusal(many);
    assert_eq!(text, "test: has more than 1000 files");
    let deep = "d/".repeat(45);
    let limits = Limits { entries: 10, ..LIMITS };
    let implied = layer().file(&format!("{deep}f"), "");
    apply(&mut unpacker(limits, Whiteouts::Obeyed), &implied).unwrap_err();
    let limits = Limits { bytes: 10_000, ..LIMITS };
    let mut small = unpacker(limits, Whiteouts::Obeyed);
    apply(&mut small, &layer().file("a", &"x".repeat(5000))).unwrap();
    let text = apply(&mut small, &layer().file("b", &"x".repeat(5000))).unwrap_err().to_string();
    assert_eq!(text, "test: has more than 10.0 kB");
}

#[test]
fn an_archive_that_ends_early_is_damaged() {
    let mut layer = layer().file("a", &"x".repeat(5000));
    layer.0.truncate(2000);
    let error = apply(&mut unpacker(LIMITS, Whiteouts::Obeyed), &layer).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

#[test]
fn outside_of_layers_a_whiteout_is_a_name() {
    let mut plain = unpacker(LIMITS, Whiteouts::Plain);
    apply(&mut plain, &layer().file("a", "").file(".wh.a", "")).unwrap();
    assert_eq!(shown(&plain).len(), 2);
}

#[test]
fn a_whitelist_keeps_its_paths_and_the_folders_above() {
    let layer = layer().file("a/b/c", "").file("a/b/d", "").file("a/x", "").file("y", "");
    let mut plain = unpacker(LIMITS, Whiteouts::Plain);
    apply(&mut plain, &layer).unwrap();
    plain.keep_only(&["/a/b/c".into(), "y".into()]);
    assert_eq!(shown(&plain).into_keys().collect::<Vec<_>>(), ["/a", "/a/b", "/a/b/c", "/y"]);
}

/// What a layer does, in a model where paths are plain text.
#[derive(Debug, Clone)]
enum Act {
    Dir(String),
    File(String),
    Hide(String, String),
    Opaque(String),
}

fn act() -> impl Strategy<Value = Act> {
    let path = "[abc](/[abc]){0,2}";
    prop_oneof![
        path.prop_map(Act::Dir),
        path.prop_map(Act::File),
        ("([abc]/){0,2}", "[abc]").prop_map(|(folder, name)| Act::Hide(folder, name)),
        "([abc]/){0,2}".prop_map(Act::Opaque),
    ]
}

proptest! {
    /// What a layer hides of those below doesn't depend on where in it the
    /// whiteouts stand.
    #[test]
    fn the_order_of_whiteouts_does_not_matter(
        lower in prop::collection::vec(act(), 0..12),
        upper in prop::collection::vec(act(), 0..12),
    ) {
        let entry = |layer: Layer, act: &Act| match act {
            Act::Dir(path) => layer.dir(path),
            Act::File(path) => layer.file(path, "x"),
            Act::Hide(folder, name) => layer.file(&format!("{folder}.wh.{name}"), ""),
            Act::Opaque(folder) => layer.file(&format!("{folder}.wh..wh..opq"), ""),
        };
        let brings = |act: &&Act| matches!(act, Act::Dir(_) | Act::File(_));
        let lower = || lower.iter().filter(brings).fold(layer(), entry);
        let (whiteouts, others): (Vec<_>, Vec<_>) = upper.iter().partition(|act| !brings(act));
        let first = whiteouts.iter().chain(&others).fold(layer(), |layer, act| entry(layer, act));
        let last = others.iter().chain(&whiteouts).fold(layer(), |layer, act| entry(layer, act));
        prop_assert_eq!(paths(&[lower(), first]), paths(&[lower(), last]));
    }
}
