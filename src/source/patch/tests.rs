//! The whole of it, on small trees; `git apply` and GNU `patch` as oracles.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fs_err as fs;
use proptest::prelude::*;
use tempfile::TempDir;

use super::write::Step;
use super::*;
use crate::proc::Program;
use crate::report::{Collected, Event, Fault, Silent};

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

/// Four series that get in each other's way, and a patch of none.
fn entangled() -> (Vec<(&'static str, &'static str)>, Vec<Vec<Patch>>) {
    let files = vec![("x", "1\n2\n3\n"), ("old/f", "f\n"), ("tool", "t\n")];
    let create = |path: &str, text: &str| {
        patch(&format!("--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+{text}\n"))
    };
    let edit = |from: &str, to: &str| {
        patch(&format!("--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n 1\n-{from}\n+{to}\n 3\n"))
    };
    let rename =
        patch("diff --git a/old/f b/new/deep/f\nrename from old/f\nrename to new/deep/f\n");
    let mode = patch("diff --git a/tool b/tool\nold mode 100644\nnew mode 100755\n");
    let series = vec![
        vec![edit("2", "two"), create("d/e/x", "deep"), rename],
        vec![edit("2", "zwei"), create("d", "now a file"), mode],
        vec![patch(&symlink("d", "old"))],
        vec![],
        vec![create("d/y", "y"), edit("2", "two"), edit("two", "TWO")],
        vec![patch("--- a/old/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-f\n")],
    ];
    (files, series)
}

#[test]
fn any_series_after_any_other_leaves_exactly_its_own() {
    let (files, series) = entangled();
    let fresh = |patches: &[Patch]| {
        let room = Room::new(&files);
        room.apply(patches).unwrap();
        room.listing()
    };
    let wanted: Vec<Listing> = series.iter().map(|patches| fresh(patches)).collect();
    let room = Room::new(&files);
    for first in 0..series.len() {
        for second in 0..series.len() {
            for index in [first, second] {
                room.apply(&series[index]).unwrap();
                assert_eq!(room.listing(), wanted[index], "{first} then {second}");
            }
        }
    }
}

/// Does the first `count` steps towards `patches` and half of the next one.
/// Gives whether there were more.
fn killed_after(room: &Room, patches: &[Patch], count: usize) -> bool {
    let (tree, folder) = (room.tree(), room.folder.path().join("originals"));
    let originals = originals::Originals::load(&tree, &folder).unwrap();
    let (changed, _) = on_paper(&originals, patches).unwrap();
    let steps = write::plan(&originals, &changed).unwrap();
    steps.iter().take(count).for_each(|step| step.act().unwrap());
    steps.get(count).inspect(|step| step.act_half().unwrap()).is_some()
}

#[test]
fn killed_at_any_point_the_next_call_comes_to_the_same_end() {
    let (files, series) = entangled();
    let fresh = |patches: &Vec<Patch>| {
        let room = Room::new(&files);
        room.apply(patches).unwrap();
        room.listing()
    };
    let wanted: Vec<Listing> = series.iter().map(fresh).collect();
    let count = series.len();
    // From each to the next, and to the one three on: the pairs that differ
    // most in kind. All pairs take a minute of fsync.
    for (first, killed) in (0..count).flat_map(|a| [(a, (a + 1) % count), (a, (a + 3) % count)]) {
        // The same again, or another.
        for then in [killed, (killed + 2) % count] {
            for steps in 0.. {
                let room = Room::new(&files);
                room.apply(&series[first]).unwrap();
                let more = killed_after(&room, &series[killed], steps);
                room.apply(&series[then]).unwrap();
                let case = format!("{first}, {killed} up to {steps}, {then}");
                assert_eq!(room.listing(), wanted[then], "{case}");
                if !more {
                    break;
                }
            }
        }
    }
}

#[test]
fn only_what_changes_is_written() {
    let room = Room::new(&[("x", "1\n2\n3\n"), ("y", "1\n2\n3\n")]);
    let edit = |path: &str, to: &str| {
        patch(&format!("--- a/{path}\n+++ b/{path}\n@@ -1,3 +1,3 @@\n 1\n-2\n+{to}\n 3\n"))
    };
    room.apply(&[edit("x", "A"), edit("y", "A")]).unwrap();
    let past = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    for name in ["x", "y"] {
        let file = fs::OpenOptions::new().write(true).open(room.tree().join(name)).unwrap();
        file.set_modified(past).unwrap();
    }
    let untouched =
        |name: &str| fs::metadata(room.tree().join(name)).unwrap().modified().unwrap() == past;
    room.apply(&[edit("x", "A"), edit("y", "A")]).unwrap();
    assert!(untouched("x") && untouched("y"));
    room.apply(&[edit("x", "A"), edit("y", "B")]).unwrap();
    assert!(untouched("x") && !untouched("y"));
}

#[test]
fn damaged_originals_are_not_believed() {
    let room = Room::new(&[("x", &lines(1..=9))]);
    room.apply(&[patch(CHANGE_5)]).unwrap();
    let originals = room.folder.path().join("originals");
    for entry in fs::read_dir(&originals).unwrap() {
        let path = entry.unwrap().path();
        let good = fs::read(&path).unwrap();
        fs::write(&path, "other").unwrap();
        let error = room.apply(&[]).unwrap_err();
        assert!(matches!(error, PatchError::Originals { .. }), "{error}");
        assert!(error.hint().unwrap().contains("originals"));
        fs::write(&path, good).unwrap();
    }
    room.apply(&[]).unwrap();
    assert_eq!(room.read("x"), lines(1..=9));
}

#[test]
fn the_journal_comes_after_the_originals_and_before_the_tree() {
    let room = Room::new(&[("x", &lines(1..=9))]);
    let (tree, folder) = (room.tree(), room.folder.path().join("originals"));
    let originals = originals::Originals::load(&tree, &folder).unwrap();
    let (changed, _) = on_paper(&originals, &[patch(CHANGE_5)]).unwrap();
    let steps = write::plan(&originals, &changed).unwrap();
    let [Step::Keep { content, .. }, Step::Keep { path, .. }, Step::Write { .. }] = &steps[..]
    else {
        panic!("{steps:?}");
    };
    assert_eq!(content, lines(1..=9).as_bytes());
    assert!(path.ends_with("journal.json"));
}

/// A file of few different lines, so that hunks have several places.
fn text() -> impl Strategy<Value = Vec<String>> {
    let line = prop::sample::select(vec![
        "a",
        "b",
        "c",
        "",
        "-",
        "+",
        "-- x",
        "++ y",
        "\\",
        "@@ -1 +1 @@",
        "\u{e4} ",
    ]);
    prop::collection::vec(line.prop_map(str::to_owned), 0..24)
}

fn edits() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), 0..3u8), 0..5)
}

fn with_edits(lines: &[String], edits: &[(prop::sample::Index, u8)]) -> Vec<String> {
    let mut lines = lines.to_vec();
    for (index, kind) in edits {
        let at = index.index(lines.len() + 1);
        match kind {
            0 => lines.insert(at, format!("new {at}")),
            1 if at < lines.len() => drop(lines.remove(at)),
            _ if at < lines.len() => lines[at] = "b".to_owned(),
            _ => {}
        }
    }
    lines
}

fn joined(lines: &[String], last_line_feed: bool) -> String {
    let text = lines.join("\n");
    if last_line_feed && !lines.is_empty() { text + "\n" } else { text }
}

/// `diff -u` between two contents of `x`; `None` if they are equal.
fn diff(old: &str, new: &str, context: usize) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    for (side, content) in [("a", old), ("b", new)] {
        fs::create_dir(folder.path().join(side)).unwrap();
        fs::write(folder.path().join(side).join("x"), content).unwrap();
    }
    let output = Program::new("diff")
        .arg(format!("-U{context}"))
        .args(["a/x", "b/x"])
        .dir(folder.path())
        .output()
        .unwrap();
    Some(String::from_utf8(output.stdout).unwrap()).filter(|text| !text.is_empty())
}

/// What another program makes of it; `None` if it refuses.
fn oracle(program: Program, content: &str, patch: &str) -> Option<String> {
    let room = Room::new(&[("x", content)]);
    let (tree, patch) = (room.tree(), patch.to_owned());
    let output = program
        .env("GIT_CEILING_DIRECTORIES", room.folder.path())
        .dir(tree)
        .output_fed(move |to| to.write_all(patch.as_bytes()))
        .unwrap();
    output.status.success().then(|| room.read("x"))
}

fn git() -> Program {
    Program::new("git").args(["apply", "--whitespace=nowarn", "-"])
}

fn ours(content: &str, text: &str) -> Option<(Outcome, String)> {
    let room = Room::new(&[("x", content)]);
    room.apply(&[patch(text)]).ok().map(|outcomes| (outcomes[0], room.read("x")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_diff_leads_from_old_to_new_as_others_have_it(
        old in text(), edits in edits(), feeds in any::<(bool, bool)>(), context in 1..4usize,
    ) {
        let new = joined(&with_edits(&old, &edits), feeds.1);
        let old = joined(&old, feeds.0);
        if let Some(text) = diff(&old, &new, context) {
            prop_assert_eq!(ours(&old, &text), Some((Outcome::Applied, new.clone())), "{}", text);
            let gnu = Program::new("patch").args(["-p1", "-s", "-f", "--fuzz=0"]);
            prop_assert_eq!(oracle(gnu, &old, &text), Some(new.clone()), "{}", text);
            prop_assert_eq!(oracle(git(), &old, &text), Some(new), "{}", text);
        }
    }

    /// On a file that is another than the diff was made from.
    #[test]
    fn on_a_drifted_file_we_do_as_git_does(
        old in text(), edits1 in edits(), edits2 in edits(), context in 1..4usize,
    ) {
        let new = joined(&with_edits(&old, &edits1), true);
        let drifted = joined(&with_edits(&old, &edits2), true);
        if let Some(text) = diff(&joined(&old, true), &new, context) {
            let git = oracle(git(), &drifted, &text);
            match ours(&drifted, &text) {
                Some((Outcome::Applied, result)) => prop_assert_eq!(Some(result), git, "{}", text),
                Some((Outcome::AlreadyIn, result)) => {
                    prop_assert_eq!(result, drifted);
                    prop_assert_eq!(git, None);
                }
                None => prop_assert_eq!(git, None, "{}", text),
            }
        }
    }

    #[test]
    fn no_text_makes_the_parser_fall(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        _ = parse::parse(&bytes);
        let mut damaged = CHANGE_5.as_bytes().to_vec();
        for (index, byte) in bytes.chunks(3).filter_map(|chunk| Some((*chunk.first()?, *chunk.get(1)?))) {
            let index = usize::from(index) % damaged.len();
            damaged[index] = byte;
        }
        if let Ok(commits) = parse::parse(&damaged) {
            for part in commits.iter().flatten() {
                _ = hunk::apply(lines(1..=9).as_bytes(), &part.hunks);
            }
        }
    }
}
