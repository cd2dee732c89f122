//! `git apply` and GNU `patch` as oracles.

use fs_err as fs;
use proptest::prelude::*;

use super::super::{Outcome, hunk, parse};
use super::{CHANGE_5, Room, lines, patch};
use crate::proc::Program;

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
