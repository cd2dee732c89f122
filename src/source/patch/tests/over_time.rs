//! One series after another, and killed on the way.

use fs_err as fs;

use super::super::write::{self, Step};
use super::super::{Patch, PatchError, on_paper, originals};
use super::{CHANGE_5, Listing, Room, lines, patch, symlink};

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
