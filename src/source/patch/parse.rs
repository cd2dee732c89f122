//! Text of a patch -> what it does to which file.
//!
//! Takes `git diff` and `git format-patch` output (several mails in one file,
//! too) and plain `diff -u`, with text around. Names are taken as by
//! `patch -p1`.

use super::hunk::{Hunk, Line};
use crate::source::tree::relative_path;

/// What kind of file a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    Regular,
    Executable,
    Symlink,
}

/// What happens to the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    Modify(String),
    Create(String),
    Delete(String),
    Rename { from: String, to: String },
    Copy { from: String, to: String },
}

/// One file's part of a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FilePatch<'a> {
    pub(super) operation: Operation,
    pub(super) old_mode: Option<Mode>,
    pub(super) new_mode: Option<Mode>,
    pub(super) hunks: Vec<Hunk<'a>>,
}

/// One commit's part: its files' parts all refer to the state before it.
pub(super) type Commit<'a> = Vec<FilePatch<'a>>;

/// What is wrong, and on which line (from 1).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Text { line: usize, why: String },
    Path { path: String, why: &'static str },
}

type Parsed<T> = Result<T, Wrong>;

/// The commits of a patch, in order.
pub(super) fn parse(text: &[u8]) -> Parsed<Vec<Commit<'_>>> {
    let lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
    let mut parser = Parser { lines, next: 0 };
    let mut commits = vec![Vec::new()];
    while let Some(line) = parser.peek() {
        if is_mail_start(line) {
            commits.push(Vec::new());
            parser.next += 1;
        } else if let (Some(file), Some(commit)) = (parser.file()?, commits.last_mut()) {
            commit.push(file);
        }
    }
    commits.retain(|commit| !commit.is_empty());
    if commits.is_empty() {
        return Err(Wrong::Text { line: 1, why: "there is no patch in this text".into() });
    }
    Ok(commits)
}

/// The text without the carriage returns that a mail program or an editor has
/// put before every line feed; `None` if it is not such a text.
pub(super) fn without_carriage_returns(text: &[u8]) -> Option<Vec<u8>> {
    let lines = text.split_inclusive(|&byte| byte == b'\n');
    let cut = |line: &[u8]| line.strip_suffix(b"\r\n").map(|line| [line, b"\n"].concat());
    lines.map(cut).collect::<Option<Vec<_>>>().map(|lines| lines.concat())
}

/// `From <commit id> <date>`, as `git format-patch` begins a mail.
fn is_mail_start(line: &[u8]) -> bool {
    let id = line.strip_prefix(b"From ").unwrap_or_default();
    id.len() > 40 && id[40] == b' ' && id[..40].iter().all(u8::is_ascii_hexdigit)
}

struct Parser<'a> {
    lines: Vec<&'a [u8]>,
    next: usize,
}

/// What the lines before the hunks say.
#[derive(Default)]
struct Header<'a> {
    /// The line where it begins, from 1.
    line: usize,
    git: Option<&'a [u8]>,
    old: Option<&'a [u8]>,
    new: Option<&'a [u8]>,
    created: bool,
    deleted: bool,
    old_mode: Option<Mode>,
    new_mode: Option<Mode>,
    renamed: (Option<&'a [u8]>, Option<&'a [u8]>),
    copied: (Option<&'a [u8]>, Option<&'a [u8]>),
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a [u8]> {
        self.lines.get(self.next).copied()
    }

    fn starts(&self, ahead: usize, prefix: &[u8]) -> bool {
        self.lines.get(self.next + ahead).is_some_and(|line| line.starts_with(prefix))
    }

    fn wrong(&self, why: impl Into<String>) -> Wrong {
        Wrong::Text { line: self.next + 1, why: why.into() }
    }

    /// The next file's part, or `None` after skipping a line of other text.
    fn file(&mut self) -> Parsed<Option<FilePatch<'a>>> {
        let mut header = Header { line: self.next + 1, ..Header::default() };
        if self.starts(0, b"diff --git ") {
            header.git = self.peek().map(|line| stripped(line, b"diff --git "));
            self.next += 1;
            self.extended(&mut header)?;
        } else if !(self.starts(0, b"--- ") && self.starts(1, b"+++ ")) {
            return self.other_text();
        }
        if self.starts(0, b"--- ") && self.starts(1, b"+++ ") {
            header.old = self.peek().map(|line| stripped(line, b"--- "));
            header.new = self.lines.get(self.next + 1).map(|line| stripped(line, b"+++ "));
            self.next += 2;
        }
        let hunks = self.hunks()?;
        let plain = header.git.is_none();
        if plain && hunks.is_empty() {
            return Ok(None);
        }
        header.file(hunks).map(Some)
    }

    fn other_text(&mut self) -> Parsed<Option<FilePatch<'a>>> {
        let line = self.peek().unwrap_or_default();
        if line.starts_with(b"Binary files ") && line.trim_ascii_end().ends_with(b" differ") {
            return Err(self.wrong("binary patches are not supported"));
        }
        if ranges(line).is_some() {
            return Err(self.wrong("a hunk without the name of its file"));
        }
        self.next += 1;
        Ok(None)
    }

    /// Git's lines between `diff --git` and `---`.
    fn extended(&mut self, header: &mut Header<'a>) -> Parsed<()> {
        while let Some(line) = self.peek() {
            let after =
                |prefix: &str| line.strip_prefix(prefix.as_bytes()).map(<[u8]>::trim_ascii_end);
            let mode = |text| self.mode(text).map(Some);
            if let Some(text) = after("old mode ") {
                header.old_mode = mode(text)?;
            } else if let Some(text) = after("new mode ") {
                header.new_mode = mode(text)?;
            } else if let Some(text) = after("deleted file mode ") {
                (header.deleted, header.old_mode) = (true, mode(text)?);
            } else if let Some(text) = after("new file mode ") {
                (header.created, header.new_mode) = (true, mode(text)?);
            } else if let Some(text) = after("index ") {
                if text.ends_with(b" 120000") {
                    (header.old_mode, header.new_mode) = (Some(Mode::Symlink), Some(Mode::Symlink));
                }
            } else if let Some(name) = after("rename from ") {
                header.renamed.0 = Some(name);
            } else if let Some(name) = after("rename to ") {
                header.renamed.1 = Some(name);
            } else if let Some(name) = after("copy from ") {
                header.copied.0 = Some(name);
            } else if let Some(name) = after("copy to ") {
                header.copied.1 = Some(name);
            } else if after("GIT binary patch").is_some() || after("Binary files ").is_some() {
                return Err(self.wrong("binary patches are not supported"));
            } else if after("similarity index ").is_none()
                && after("dissimilarity index ").is_none()
            {
                break;
            }
            self.next += 1;
        }
        Ok(())
    }

    fn mode(&self, text: &[u8]) -> Parsed<Mode> {
        match text {
            b"100755" => Ok(Mode::Executable),
            b"120000" => Ok(Mode::Symlink),
            b"160000" => Err(self.wrong("submodules are not supported")),
            text if text.starts_with(b"100") => Ok(Mode::Regular),
            text => Err(self.wrong(format!("'{}' is no file mode", String::from_utf8_lossy(text)))),
        }
    }

    fn hunks(&mut self) -> Parsed<Vec<Hunk<'a>>> {
        let mut hunks = Vec::new();
        while let Some((old, new)) = self.peek().and_then(ranges) {
            hunks.push(self.hunk(old, new)?);
        }
        if self.starts(0, b"@@ ") {
            return Err(self.wrong("a hunk's header that can't be read"));
        }
        let more = self.starts(0, b"+") || self.starts(0, b"-") && !self.starts(0, b"--");
        if !hunks.is_empty() && more && !self.starts(0, b"+++ ") {
            return Err(self.wrong("the hunk has more lines than its header says"));
        }
        Ok(hunks)
    }

    fn hunk(&mut self, old: Range, new: Range) -> Parsed<Hunk<'a>> {
        let patch_line = self.next + 1;
        self.next += 1;
        let (mut old_left, mut new_left) = (old.count, new.count);
        let mut lines: Vec<Line<'a>> = Vec::new();
        while old_left > 0 || new_left > 0 {
            let line = self.peek().ok_or_else(|| self.wrong("the patch ends within a hunk"))?;
            let parsed = match line.first() {
                Some(b' ') => Line::Context(&line[1..]),
                // Mail programs take the one space of an empty line away.
                Some(b'\n') => Line::Context(line),
                Some(b'-') => Line::Delete(&line[1..]),
                Some(b'+') => Line::Insert(&line[1..]),
                Some(b'\\') => {
                    self.no_line_feed(&mut lines)?;
                    continue;
                }
                _ => return Err(self.wrong("the hunk has fewer lines than its header says")),
            };
            let (takes_old, takes_new) = match parsed {
                Line::Context(_) => (1, 1),
                Line::Delete(_) => (1, 0),
                Line::Insert(_) => (0, 1),
            };
            let too_many = |_| self.wrong("the hunk's lines are not those that its header counts");
            old_left = old_left.checked_sub(takes_old).ok_or(()).map_err(too_many)?;
            new_left = new_left.checked_sub(takes_new).ok_or(()).map_err(too_many)?;
            lines.push(parsed);
            self.next += 1;
        }
        if self.starts(0, b"\\ ") {
            self.no_line_feed(&mut lines)?;
        }
        Ok(Hunk { old_start: old.start, new_start: new.start, patch_line, lines })
    }

    /// `\ No newline at end of file`, in whatever language: it is about the
    /// line before.
    fn no_line_feed(&mut self, lines: &mut [Line<'a>]) -> Parsed<()> {
        let cut = |text: &'a [u8]| text.strip_suffix(b"\n").unwrap_or(text);
        match lines.last_mut() {
            Some(Line::Context(text) | Line::Delete(text) | Line::Insert(text)) => {
                *text = cut(text)
            }
            None => return Err(self.wrong("nothing stands before this line")),
        }
        self.next += 1;
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    start: usize,
    count: usize,
}

/// The two ranges of an `@@ -1,2 +3,4 @@` line.
fn ranges(line: &[u8]) -> Option<(Range, Range)> {
    let line = std::str::from_utf8(line.strip_prefix(b"@@ -")?.split(|&byte| byte == b'@').next()?);
    let (old, new) = line.ok()?.strip_suffix(' ')?.split_once(" +")?;
    let range = |text: &str| -> Option<Range> {
        let (start, count) = text.split_once(',').unwrap_or((text, "1"));
        // More than any file has, and a sum that can't overflow.
        let number = |text: &str| text.parse::<u32>().ok().map(|number| number as usize);
        Some(Range { start: number(start)?, count: number(count)? })
    };
    Some((range(old)?, range(new)?))
}

fn stripped<'a>(line: &'a [u8], prefix: &[u8]) -> &'a [u8] {
    line.strip_prefix(prefix).unwrap_or(line).trim_ascii_end()
}

impl<'a> Header<'a> {
    fn file(self, hunks: Vec<Hunk<'a>>) -> Parsed<FilePatch<'a>> {
        let operation = self.operation(&hunks)?;
        Ok(FilePatch { operation, old_mode: self.old_mode, new_mode: self.new_mode, hunks })
    }

    fn wrong(&self, why: &str) -> Wrong {
        Wrong::Text { line: self.line, why: why.to_owned() }
    }

    fn operation(&self, hunks: &[Hunk<'_>]) -> Parsed<Operation> {
        if let (Some(from), Some(to)) = self.renamed {
            return Ok(Operation::Rename { from: self.whole(from)?, to: self.whole(to)? });
        }
        if let (Some(from), Some(to)) = self.copied {
            return Ok(Operation::Copy { from: self.whole(from)?, to: self.whole(to)? });
        }
        let (old, new) = match (self.old, self.new, self.git) {
            (Some(old), Some(new), _) => (self.side(old)?, self.side(new)?),
            (_, _, Some(names)) => {
                let name = git_name(names)
                    .ok_or_else(|| self.wrong("the names in this line can't be told apart"))?;
                let side = Side { name: Some(self.checked(&name, 1)?), epoch: false };
                (side.clone(), side)
            }
            _ => return Err(self.wrong("a patch without names")),
        };
        // `diff -N` marks a side that is not there by the date 0 instead of /dev/null.
        let only = |start: fn(&Hunk<'_>) -> usize| hunks.len() == 1 && start(&hunks[0]) == 0;
        let created = self.created || (old.epoch && only(|hunk| hunk.old_start));
        let deleted = self.deleted || (new.epoch && only(|hunk| hunk.new_start));
        match (old.name, new.name) {
            (None, None) => Err(self.wrong("both sides are /dev/null")),
            (None, Some(name)) => Ok(Operation::Create(name)),
            (Some(name), None) => Ok(Operation::Delete(name)),
            (Some(_), Some(name)) if created => Ok(Operation::Create(name)),
            (Some(name), Some(_)) if deleted => Ok(Operation::Delete(name)),
            (Some(old), Some(new)) => self.one_of(old, new).map(Operation::Modify),
        }
    }

    /// Plain diffs may say `x.orig` on one side: the shorter name is meant.
    fn one_of(&self, old: String, new: String) -> Parsed<String> {
        if new.starts_with(&old) {
            Ok(old)
        } else if old.starts_with(&new) {
            Ok(new)
        } else {
            Err(self.wrong("the two sides name different files, and it is no rename"))
        }
    }

    /// A name after `---` or `+++`, perhaps with a date after a tab.
    fn side(&self, text: &[u8]) -> Parsed<Side> {
        let (name, date) = match text.iter().position(|&byte| byte == b'\t') {
            Some(tab) if !text.starts_with(b"\"") => (&text[..tab], &text[tab + 1..]),
            _ => (text, &b""[..]),
        };
        let epoch = date.starts_with(b"1970-01-01 ") || date.starts_with(b"1969-12-31 ");
        if name == b"/dev/null" {
            return Ok(Side { name: None, epoch });
        }
        let (name, _) =
            unquoted(name).ok_or_else(|| self.wrong("a quoted name without its end"))?;
        Ok(Side { name: Some(self.checked(&name, 1)?), epoch })
    }

    /// A name after `rename from` and the like: it has no prefix.
    fn whole(&self, text: &[u8]) -> Parsed<String> {
        let (name, _) =
            unquoted(text).ok_or_else(|| self.wrong("a quoted name without its end"))?;
        self.checked(&name, 0)
    }

    /// The name without its first `strip` folders, if it stays in the tree.
    fn checked(&self, name: &[u8], strip: usize) -> Parsed<String> {
        let path = |why| Wrong::Path { path: String::from_utf8_lossy(name).into_owned(), why };
        if name.contains(&b'\r') {
            return Err(self.wrong("some lines end with a carriage return, others don't"));
        }
        if name.starts_with(b"/") {
            return Err(path("it is absolute"));
        }
        let mut rest = name;
        for _ in 0..strip {
            let slash = rest.iter().position(|&byte| byte == b'/');
            let slash =
                slash.ok_or_else(|| path("it has no first folder (a/, b/) to leave out"))?;
            rest = &rest[slash + 1..];
        }
        let relative = relative_path(rest).map_err(path)?;
        if relative.as_os_str().is_empty() {
            return Err(path("it names no file"));
        }
        relative.into_os_string().into_string().map_err(|_| path("it is not UTF-8"))
    }
}

#[derive(Clone)]
struct Side {
    /// `None` for `/dev/null`.
    name: Option<String>,
    epoch: bool,
}

/// The one name in the rest of a `diff --git` line, with a prefix. Only for
/// parts without `---`: there both names are the same behind their prefixes.
fn git_name(text: &[u8]) -> Option<Vec<u8>> {
    let slash = |name: &[u8]| name.iter().position(|&byte| byte == b'/');
    if text.starts_with(b"\"") {
        let (old, rest) = unquoted(text)?;
        let (new, rest) = unquoted(rest.strip_prefix(b" ")?)?;
        let same = old[slash(&old)?..] == new[slash(&new)?..];
        return (same && rest.is_empty()).then_some(old);
    }
    // What is left of `a/NAME b/NAME` behind the first prefix is `NAME b/NAME`.
    // Its middle is in ` b/`, so that the next slash there is the second prefix's.
    let start = slash(text)? + 1;
    let names = &text[start..];
    let middle = names.len().div_ceil(2);
    let second = middle + slash(&names[middle..])? + 1;
    let end = names.len() - second;
    let same = names[..end] == names[second..] && names[end] == b' ';
    (same && slash(&names[end..second - 1]).is_none()).then(|| text[..start + end].to_vec())
}

/// A name and what follows it. In quotes, it is as a C string; else all is
/// the name.
fn unquoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let Some(mut rest) = text.strip_prefix(b"\"") else { return Some((text.to_vec(), b"")) };
    let mut name = Vec::new();
    loop {
        match rest {
            [b'"', after @ ..] => return Some((name, after)),
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                name.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = after;
            }
            [b'\\', escape, after @ ..] => {
                name.push(match escape {
                    b'a' => 7,
                    b'b' => 8,
                    b't' => b'\t',
                    b'n' => b'\n',
                    b'v' => 11,
                    b'f' => 12,
                    b'r' => b'\r',
                    b'"' | b'\\' => *escape,
                    _ => return None,
                });
                rest = after;
            }
            [byte, after @ ..] => {
                name.push(*byte);
                rest = after;
            }
            [] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Option<String> {
        git_name(text.as_bytes()).map(|name| String::from_utf8(name).unwrap())
    }

    #[test]
    fn both_names_of_a_git_line_are_the_same_behind_their_prefixes() {
        let told = ["a/x b/x", "old/fs/x new/fs/x", "a/x b/x b/x b/x", "a/a b c b/a b c"];
        let names = ["a/x", "old/fs/x", "a/x b/x", "a/a b c"];
        assert_eq!(told.map(name), names.map(|name| Some(name.to_owned())));
        assert_eq!(name(r#""a/\303\244" "b/\303\244""#).as_deref(), Some("a/ä"));
        let not_told =
            ["", "/", "a/x", "a/x b/y", "x x", "a/xb/x", r#""a/x" "b/y""#, r#""a/x" "b/x" "#];
        assert_eq!(not_told.map(name), [const { None }; 8]);
    }

    /// A line of a patch may be as long as the patch.
    #[test]
    fn a_long_line_takes_no_longer_than_its_length() {
        let told = [" ", " /", "x/ ", "\""].map(|part| name(&part.repeat(1 << 20)).is_some());
        assert_eq!(told, [false, true, false, false]);
    }
}
