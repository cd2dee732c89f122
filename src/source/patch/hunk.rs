//! Where a hunk belongs in a file: as strict as `git apply`. A hunk may have
//! moved, but every line of its context must be there; one that touches the
//! file's start or end must still do so; and no hunk may use lines that one
//! before it has written.

/// One line of a hunk, with its line feed if it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Context(&'a [u8]),
    Delete(&'a [u8]),
    Insert(&'a [u8]),
}

/// One `@@` block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hunk<'a> {
    /// Start in the old file, as the header says (from 1; 0 for no lines).
    pub(super) old_start: usize,
    /// Start in the new file.
    pub(super) new_start: usize,
    /// The header's line in the patch, from 1.
    pub(super) patch_line: usize,
    pub(super) lines: Vec<Line<'a>>,
}

impl<'a> Hunk<'a> {
    /// The hunk that takes this one back.
    pub(super) fn reversed(&self) -> Self {
        let swap = |line: &Line<'a>| match *line {
            Line::Context(text) => Line::Context(text),
            Line::Delete(text) => Line::Insert(text),
            Line::Insert(text) => Line::Delete(text),
        };
        Self {
            old_start: self.new_start,
            new_start: self.old_start,
            patch_line: self.patch_line,
            lines: self.lines.iter().map(swap).collect(),
        }
    }

    pub(super) fn old_lines(&self) -> Vec<&'a [u8]> {
        let keep = |line: &Line<'a>| match *line {
            Line::Context(text) | Line::Delete(text) => Some(text),
            Line::Insert(_) => None,
        };
        self.lines.iter().filter_map(keep).collect()
    }

    pub(super) fn new_lines(&self) -> Vec<&'a [u8]> {
        let keep = |line: &Line<'a>| match *line {
            Line::Context(text) | Line::Insert(text) => Some(text),
            Line::Delete(_) => None,
        };
        self.lines.iter().filter_map(keep).collect()
    }

    fn at_start(&self) -> bool {
        self.old_start <= 1
    }

    /// Without context after its last change it was made at the file's end.
    fn at_end(&self) -> bool {
        !matches!(self.lines.last(), Some(Line::Context(_)))
    }
}

/// A hunk that has no place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// Which hunk, from 1.
    pub(super) hunk: usize,
    pub(super) patch_line: usize,
    /// The line in the file, from 1.
    pub(super) line: usize,
    pub(super) expected: String,
    pub(super) found: String,
}

/// A line of the file, and whether a hunk wrote it.
type Image<'a> = Vec<(&'a [u8], bool)>;

/// The file's bytes with all hunks applied.
pub(super) fn apply(content: &[u8], hunks: &[Hunk<'_>]) -> Result<Vec<u8>, Misfit> {
    let mut image: Image<'_> =
        content.split_inclusive(|&byte| byte == b'\n').map(|line| (line, false)).collect();
    for (index, hunk) in hunks.iter().enumerate() {
        let old = hunk.old_lines();
        let place =
            find(&image, hunk, &old).ok_or_else(|| misfit(&image, hunk, &old, index + 1))?;
        let new = hunk.new_lines().into_iter().map(|line| (line, true));
        image.splice(place..place + old.len(), new);
    }
    Ok(image.into_iter().flat_map(|(line, _)| line).copied().collect())
}

/// The place nearest to where the hunk says that it belongs.
fn find(image: &Image<'_>, hunk: &Hunk<'_>, old: &[&[u8]]) -> Option<usize> {
    // Nothing to hold on to: only an empty file is a sure place.
    if old.is_empty() {
        return image.is_empty().then_some(0);
    }
    let last = image.len().checked_sub(old.len())?;
    let fits = |&place: &usize| {
        let anchored = (!hunk.at_start() || place == 0) && (!hunk.at_end() || place == last);
        anchored && old.iter().zip(&image[place..]).all(|(want, have)| !have.1 && *want == have.0)
    };
    let stated = hunk.new_start.saturating_sub(1).min(last);
    let distances = 0..=stated.max(last - stated);
    distances
        .flat_map(|distance| [Some(stated + distance), stated.checked_sub(distance)])
        .flatten()
        .filter(|&place| place <= last)
        .find(fits)
}

/// The first line that differs, at the place that fits best.
fn misfit(image: &Image<'_>, hunk: &Hunk<'_>, old: &[&[u8]], number: usize) -> Misfit {
    let stated = hunk.new_start.saturating_sub(1).min(image.len());
    let score = |place: usize| {
        old.iter().zip(&image[place..]).filter(|(want, have)| !have.1 && **want == have.0).count()
    };
    let place = (0..=image.len())
        .max_by_key(|&place| (score(place), usize::MAX - place.abs_diff(stated)))
        .unwrap_or(stated);
    let at = |index: usize| image.get(place + index);
    let differs = |index: &usize| at(*index).is_none_or(|have| have.1 || have.0 != old[*index]);
    let index = (0..old.len()).find(differs);
    let (line, expected) = match index {
        Some(index) => (place + index, shown(old[index])),
        None if hunk.at_start() && place != 0 => {
            (0, old.first().map_or_else(end, |line| shown(line)))
        }
        None => (place + old.len(), end()),
    };
    let found = match image.get(line) {
        None => end(),
        Some((text, true)) => format!("{} (from the hunk before)", shown(text)),
        Some((text, false)) => shown(text),
    };
    Misfit { hunk: number, patch_line: hunk.patch_line, line: line + 1, expected, found }
}

fn end() -> String {
    "the end of the file".to_owned()
}

fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line.trim_ascii_end());
    let missing = if line.ends_with(b"\n") { "" } else { " (without a line feed)" };
    format!("'{}'{missing}", text.trim_start())
}
