//! What is tried with the text of patches. See [`crate::fuzzing`].

use std::path::{Component, Path};

use super::hunk::{self, Line};
use super::originals::Journal;
use super::parse::{self, Operation};

/// What is kept of the originals.
pub(crate) fn journal(bytes: &[u8]) {
    crate::fuzzing::record::<Journal>(bytes);
}

/// A patch is about files in the tree only, what its hunks put in is all that
/// they put in, and hunks that are taken back twice are the same.
pub(crate) fn texts(text: &[u8], content: &[u8]) {
    if let Some(plain) = parse::without_carriage_returns(text) {
        assert!(!plain.windows(2).any(|two| two == b"\r\n") || plain.len() < text.len());
    }
    let Ok(commits) = parse::parse(text) else { return };
    for part in commits.iter().flatten() {
        let names = match &part.operation {
            Operation::Modify(name) | Operation::Create(name) | Operation::Delete(name) => {
                vec![name]
            }
            Operation::Rename { from, to } | Operation::Copy { from, to } => vec![from, to],
        };
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_));
        assert!(
            names.iter().all(|name| !name.is_empty() && Path::new(name).components().all(inside))
        );
        for hunk in &part.hunks {
            assert_eq!(hunk.reversed().reversed(), *hunk);
        }
        let put_in = |line: &&Line<'_>| matches!(line, Line::Insert(_));
        let most: usize = part
            .hunks
            .iter()
            .map(|hunk| {
                hunk.lines
                    .iter()
                    .filter(put_in)
                    .map(|line| match line {
                        Line::Context(text) | Line::Delete(text) | Line::Insert(text) => text.len(),
                    })
                    .sum::<usize>()
            })
            .sum();
        if let Ok(new) = hunk::apply(content, &part.hunks) {
            assert!(new.len() <= content.len() + most);
        }
    }
}
