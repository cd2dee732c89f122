//! The whole of it, on small trees: what one series does.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fs_err as fs;
use tempfile::TempDir;

use super::*;
use crate::report::{Collected, Event, Fault, Silent};

mod oracles;
mod over_time;

const REBOOT: &[u8] = include_bytes!("../../../fixes/patches/reboot-on-halt.patch");

/// A tree with a folder for its originals.
struct Room {
    folder: TempDir,
}

/// Content and mode of every file, by path; `->` before a link's target.
type Listing = BTreeMap<String, String>;

impl Room {
    fn new(files: &[(&str, &str)]) -> Self {
        let room = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(room.tree()).unwrap();
        for (path, content) in files {
            room.write(path, content.as_bytes());
        }
        room
    }

    fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    fn write(&self, path: &str, content: &[u8]) {
        let path = self.tree().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn link(&self, path: &str, target: &str) {
        fs_err::os::unix::fs::symlink(target, self.tree().join(path)).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.tree().join(path)).unwrap()
    }

    fn apply(&self, patches: &[Patch]) -> Result<Vec<Outcome>, PatchError> {
        let done =
            apply_series(&self.tree(), &self.folder.path().join("originals"), patches, &Silent);
        done.map(|outcomes| outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    }

    /// Applies one patch, which must fail and leave everything as it was.
    fn fails(&self, text: &str) -> PatchError {
        let before = self.listing();
        let error = self.apply(&[patch(text)]).unwrap_err();
        assert_eq!(self.listing(), before);
        assert!(!self.folder.path().join("originals").exists());
        error
    }

    /// With folders, to see empty ones that were left.
    fn listing(&self) -> Listing {
        use std::os::unix::fs::PermissionsExt;
        let tree = self.tree();
        let entries = walkdir::WalkDir::new(&tree).min_depth(1).into_iter().map(Result::unwrap);
        let described = entries.map(|entry| {
            let path = entry.path().strip_prefix(&tree).unwrap().display().to_string();
            let kind = entry.file_type();
            let text = if kind.is_dir() {
                "folder".to_owned()
            } else if kind.is_symlink() {
                format!("->{}", fs::read_link(entry.path()).unwrap().display())
            } else {
                let mode = entry.metadata().unwrap().permissions().mode() & 0o111;
                let content = fs::read(entry.path()).unwrap();
                format!("{mode:o} {}", String::from_utf8_lossy(&content))
            };
            (path, text)
        });
        described.collect()
    }
}

fn patch(text: &str) -> Patch {
    Patch::new("test.patch", text.as_bytes().to_vec())
}

fn lines(range: std::ops::RangeInclusive<u32>) -> String {
    range.map(|line| format!("line {line}\n")).collect()
}

const CHANGE_5: &str =
    "--- a/x\n+++ b/x\n@@ -4,3 +4,3 @@ around\n line 4\n-line 5\n+LINE 5\n line 6\n";

#[test]
fn the_reboot_change_applies_to_every_series() {
    let old =
        "\tcase LINUX_REBOOT_CMD_HALT:\n\t\tkernel_halt();\n\t\tdo_exit(0);\n\t\tpanic(\"no\");\n";
    let new =
        "\tcase LINUX_REBOOT_CMD_HALT:\n\t\tkernel_halt();\n\t\tdo_exit(0);\n\n\tcase NEXT:\n";
    for (lead, excerpt) in [(327, old), (748, new), (775, new), (20, old)] {
        let room = Room::new(&[("kernel/reboot.c", &format!("{}{excerpt}}}\n", lines(1..=lead)))]);
        let reboot = [Patch::new("reboot", REBOOT.to_vec())];
        assert_eq!(room.apply(&reboot).unwrap(), [Outcome::Applied]);
        let text = room.read("kernel/reboot.c");
        let wanted =
            "CMD_HALT:\n\t\tkernel_restart(\"<rkt: obligatory restart>\");\n\t\tdo_exit(0);\n";
        assert!(text.contains(wanted) && !text.contains("kernel_halt"), "{text}");
    }
}

/// `S1B_TEST_TREES` names kernel trees, with colons between; only read.
#[test]
fn the_reboot_change_applies_to_real_trees() {
    let Ok(trees) = std::env::var("S1B_TEST_TREES") else { return };
    for tree in trees.split(':') {
        let source = fs::read(PathBuf::from(tree).join("kernel/reboot.c")).unwrap();
        let room = Room::new(&[]);
        room.write("kernel/reboot.c", &source);
        room.apply(&[Patch::new("reboot", REBOOT.to_vec())]).unwrap();
        let changed = room.read("kernel/reboot.c");
        let halt = "LINUX_REBOOT_CMD_HALT:\n\t\tkernel_halt();";
        let restart = "LINUX_REBOOT_CMD_HALT:\n\t\tkernel_restart(\"<rkt: obligatory restart>\");";
        let source = String::from_utf8(source).unwrap();
        assert_eq!(source.matches(halt).count(), 1, "{tree}");
        assert_eq!(changed, source.replace(halt, restart), "{tree}");
    }
}

#[test]
fn what_is_in_already_is_said_and_passed_over() {
    let room = Room::new(&[("x", &lines(1..=9).replace("line 5", "LINE 5"))]);
    let before = room.listing();
    let collected = Collected::default();
    let originals = room.folder.path().join("originals");
    let done = apply_series(&room.tree(), &originals, &[patch(CHANGE_5)], &collected).unwrap();
    assert_eq!(done, [("test.patch".to_owned(), Outcome::AlreadyIn)]);
    assert!(matches!(&collected.events()[..], [Event::Note(text)] if text.contains("test.patch")));
    assert_eq!(room.listing(), before);
    // Twice in one series is the same case.
    let room = Room::new(&[("x", &lines(1..=9))]);
    let outcomes = room.apply(&[patch(CHANGE_5), patch(CHANGE_5)]).unwrap();
    assert_eq!(outcomes, [Outcome::Applied, Outcome::AlreadyIn]);
}

#[test]
fn a_hunk_that_does_not_fit_says_where_and_what() {
    let room = Room::new(&[("x", &lines(1..=9).replace("line 6", "other"))]);
    let error = room.fails(CHANGE_5);
    assert_eq!(error.fault(), Fault::Patch);
    assert_eq!(
        error.to_string(),
        "test.patch does not apply: hunk 1 (line 3 of the patch) fails at x:6\n    \
         expected: 'line 6'\n    found:    'other'"
    );
    assert!(error.hint().is_some());
    let short = Room::new(&[("x", &lines(1..=5))]);
    assert!(short.fails(CHANGE_5).to_string().ends_with("found:    the end of the file"));
}

#[test]
fn one_failing_patch_of_several_leaves_the_tree_as_it_was() {
    let room = Room::new(&[("x", &lines(1..=9)), ("y", "other\n")]);
    let both = format!("{CHANGE_5}{}", CHANGE_5.replace("/x", "/y"));
    let error = room.fails(&both);
    assert!(error.to_string().contains("y:2"), "{error}");
    let missing = room.fails(&CHANGE_5.replace("/x", "/z"));
    assert!(missing.to_string().contains("z does not exist"), "{missing}");
}

#[test]
fn paths_outside_of_the_tree_are_refused_by_name() {
    let room = Room::new(&[("x", &lines(1..=9)), ("d/y", "")]);
    room.link("out", "..");
    room.link("in", "d");
    let with = |name: &str| {
        CHANGE_5.replace("a/x", &format!("a/{name}")).replace("b/x", &format!("b/{name}"))
    };
    let create = |name: &str| format!("--- /dev/null\n+++ {name}\n@@ -0,0 +1 @@\n+evil\n");
    for (text, named) in [
        (with("../x"), "a/../x"),
        (with("/etc/passwd"), "a//etc/passwd"),
        (with("d/../../x"), "a/d/../../x"),
        (with("out/x"), "out/x"),
        (with("in/y"), "in/y"),
        (create("/etc/s1b"), "/etc/s1b"),
        (create("b/out/evil"), "out/evil"),
        (create("b/.."), "b/.."),
        (create("b/"), "b/"),
        (create("evil"), "evil"),
        ("diff --git a/x b/x\nrename from x\nrename to ../x\n".to_owned(), "../x"),
        (symlink("evil", "/etc"), "evil"),
        (symlink("evil", ".."), "evil"),
        (symlink("d/evil", "../d/../.."), "d/evil"),
        (format!("{}{}", symlink("l", "d"), create("b/l/z")), "l/z"),
    ] {
        let error = room.fails(&text);
        assert_eq!(error.fault(), Fault::Archive, "{error}");
        assert!(error.to_string().contains(&format!("'{named}'")), "{named}: {error}");
    }
}

fn symlink(path: &str, target: &str) -> String {
    format!(
        "diff --git a/{path} b/{path}\nnew file mode 120000\n--- /dev/null\n+++ b/{path}\n\
         @@ -0,0 +1 @@\n+{target}\n\\ No newline at end of file\n"
    )
}

#[test]
fn git_operations() {
    let room = Room::new(&[
        ("x", &lines(1..=9)),
        ("gone", "one\n"),
        ("old", "a\nb\nc\n"),
        ("tool", "t\n"),
    ]);
    let text = format!(
        "From {id} Mon Sep 17 00:00:00 2001\nSubject: all\n---\n x | 2 +-\n\n\
         {CHANGE_5}diff --git a/gone b/gone\ndeleted file mode 100644\nindex 1..0\n--- a/gone\n\
         +++ /dev/null\n@@ -1 +0,0 @@\n-one\n\
         diff --git a/empty b/empty\nnew file mode 100644\nindex 000..e69\n\
         diff --git a/tool b/tool\nold mode 100644\nnew mode 100755\n\
         diff --git a/old b/copy\nsimilarity index 60%\ncopy from old\ncopy to copy\n\
         --- a/old\n+++ b/copy\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n\
         diff --git a/old b/new/name\nsimilarity index 100%\nrename from old\nrename to new/name\n\
         {link}-- \n2.39.0\n\nFrom {id} Mon Sep 17 00:00:00 2001\nSubject: next\n---\n\
         diff --git \"a/t\\303\\244b\\t\" \"b/t\\303\\244b\\t\"\nnew file mode 100755\n--- /dev/null\n\
         +++ \"b/t\\303\\244b\\t\"\n@@ -0,0 +1 @@\n+t\n\\ Kein Zeilenumbruch am Dateiende.\n-- \n2.39.0\n",
        id = "0123456789".repeat(4),
        link = symlink("link", "new/name"),
    );
    assert_eq!(room.apply(&[patch(&text)]).unwrap(), [Outcome::Applied]);
    let wanted = [
        ("copy", "0 a\nB\nc\n"),
        ("empty", "0 "),
        ("link", "->new/name"),
        ("new", "folder"),
        ("new/name", "0 a\nb\nc\n"),
        ("tool", "111 t\n"),
        ("t\u{e4}b\t", "111 t"),
    ];
    let mut listing = room.listing();
    assert!(listing.remove("x").unwrap().contains("LINE 5"));
    assert_eq!(listing, wanted.map(|(path, text)| (path.to_owned(), text.to_owned())).into());
    // And all of it goes again.
    assert_eq!(room.apply(&[]).unwrap(), []);
    assert_eq!(room.read("old"), "a\nb\nc\n");
    assert!(!room.tree().join("new").exists());
}

#[test]
fn every_operation_is_known_when_it_is_in_already() {
    for (text, files) in [
        ("diff --git a/e b/e\nnew file mode 100644\n", &[("e", "")][..]),
        ("diff --git a/e b/e\ndeleted file mode 100644\n", &[][..]),
        ("diff --git a/p b/q\nrename from p\nrename to q\n", &[("q", "1\n")][..]),
        ("diff --git a/p b/q\ncopy from p\ncopy to q\n", &[("p", "1\n"), ("q", "1\n")][..]),
        ("diff --git a/p b/p\nold mode 100755\nnew mode 100644\n", &[("p", "")][..]),
        ("--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+n\n", &[("n", "n\n")][..]),
    ] {
        let room = Room::new(files);
        assert_eq!(room.apply(&[patch(text)]).unwrap(), [Outcome::AlreadyIn], "{text}");
    }
    let differs = Room::new(&[("p", "1\n"), ("q", "2\n")]);
    differs.fails("diff --git a/p b/q\ncopy from p\ncopy to q\n");
}

#[test]
fn names_may_swap_in_one_commit() {
    let room = Room::new(&[("p", "1\n"), ("q", "2\n")]);
    let swap = "diff --git a/p b/q\nrename from p\nrename to q\n\
                diff --git a/q b/p\nrename from q\nrename to p\n";
    room.apply(&[patch(swap)]).unwrap();
    assert_eq!((room.read("p").as_str(), room.read("q").as_str()), ("2\n", "1\n"));
}

#[test]
fn plain_diffs_of_every_spelling() {
    let date = "2024-01-01 10:00:00.000000000 +0100";
    for text in [
        CHANGE_5.replace("a/x", &format!("a/x\t{date}")).replace("b/x", &format!("b/x\t{date}")),
        CHANGE_5.replace("a/x", "linux-6.1.orig/x").replace("b/x", "linux-6.1/x"),
        CHANGE_5.replace("a/x", "a/x.orig"),
        CHANGE_5.replace("a/x", "a/./x").replace("b/x", "\"b/x\""),
        format!("Hello,\n\n--- a note\n\nIndex: x\n=====\n{CHANGE_5}--\nMe\n"),
        CHANGE_5.replace('\n', "\r\n"),
        CHANGE_5.replace(" around", ""),
    ] {
        let room = Room::new(&[("x", &lines(1..=9))]);
        room.apply(&[patch(&text)]).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(room.read("x"), lines(1..=9).replace("line 5", "LINE 5"));
    }
    let epoch = "1970-01-01 00:00:00.000000000 +0000";
    let room = Room::new(&[("gone", "1\n")]);
    let text = format!(
        "--- a/new\t{epoch}\n+++ b/new\t{date}\n@@ -0,0 +1 @@\n+1\n\
         --- a/gone\t{date}\n+++ b/gone\t{epoch}\n@@ -1 +0,0 @@\n-1\n"
    );
    room.apply(&[patch(&text)]).unwrap();
    assert_eq!(room.listing(), [("new".to_owned(), "0 1\n".to_owned())].into());
}

#[test]
fn one_patch_may_touch_a_file_twice_and_bytes_are_bytes() {
    let room = Room::new(&[]);
    room.write("x", b"caf\xe9\nline\r\nlast");
    let text = b"--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n-caf\xe9\n+caf\xe8\n line\r\n last\n\\ No newline at end of file\n\
        --- a/x\n+++ b/x\n@@ -2,2 +2,2 @@\n line\r\n-last\n\\ No newline at end of file\n+LAST\n";
    room.apply(&[Patch::new("bytes", text.to_vec())]).unwrap();
    assert_eq!(fs::read(room.tree().join("x")).unwrap(), b"caf\xe8\nline\r\nLAST\n");
}

#[test]
fn what_is_no_patch_says_on_which_line() {
    let room = Room::new(&[("x", &lines(1..=9))]);
    for (text, line, why) in [
        (String::new(), 1, "no patch"),
        ("Hello\n".to_owned(), 1, "no patch"),
        (CHANGE_5.replace(" line 6\n", ""), 7, "ends within"),
        (CHANGE_5.replace("+LINE 5\n", "LINE 5\n"), 6, "fewer lines"),
        (CHANGE_5.replace("4,3 +4,3", "4,2 +4,2"), 7, "more lines").clone(),
        (CHANGE_5.replace("4,3 +4,3", "4,3 +4,2"), 7, "not those"),
        (CHANGE_5.replace("-4,3 +4,3", "4"), 3, "can't be read"),
        ("@@ -1 +1 @@\n-a\n+b\n".to_owned(), 1, "without the name"),
        ("diff --git a/x b/x\nGIT binary patch\nliteral 1\n".to_owned(), 2, "binary"),
        (
            "diff --git a/x b/x\nindex 1..2\nBinary files a/x and b/x differ\n".to_owned(),
            3,
            "binary",
        ),
        ("Binary files a/x and b/x differ\n".to_owned(), 1, "binary"),
        ("diff --git a/x b/x\nnew file mode 160000\n".to_owned(), 2, "submodules"),
        (CHANGE_5.replace("b/x", "b/other"), 1, "different files"),
        ("--- /dev/null\n+++ /dev/null\n@@ -0,0 +1 @@\n+x\n".to_owned(), 1, "/dev/null"),
        (CHANGE_5.replace("b/x\n", "b/x\r\n").replace("a/x\n", "a/x\r\n"), 1, "fewer"),
    ] {
        match room.apply(&[patch(&text)]) {
            Err(error @ PatchError::Text { .. }) => {
                let shown = error.to_string();
                assert!(shown.starts_with(&format!("test.patch:{line}: ")), "{shown}: {text}");
                assert!(shown.contains(why), "{shown}");
            }
            other => assert!(why == "more lines" || why == "fewer", "{other:?}: {text}"),
        }
    }
}

#[test]
fn a_link_is_not_patched_as_a_file() {
    let room = Room::new(&[("y", &lines(1..=9))]);
    room.link("x", "y");
    assert!(room.fails(CHANGE_5).to_string().contains("link"));
}
