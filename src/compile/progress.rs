//! What make's short lines tell.

use std::path::Path;

use crate::settings::Series;

/// One step that kbuild announces: two blanks, a word in capitals, the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step<'a> {
    /// `CC`, `AS`, `LD`, `HOSTCC`, `CC [M]`, ...
    pub(super) verb: &'a str,
    /// The file in hand, as make says it.
    pub(super) file: &'a str,
}

impl<'a> Step<'a> {
    /// Reads a line such as `  CC      kernel/fork.o`.
    pub(super) fn parse(line: &'a str) -> Option<Self> {
        let text = line.strip_prefix("  ")?.trim_start();
        let end =
            text.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))?;
        let rest = text[end..].trim_start();
        let file = rest.strip_prefix("[M]").unwrap_or(rest).trim();
        let verb = text[..text.len() - rest.len()].trim_end();
        let plausible = end >= 2
            && text.starts_with(|c: char| c.is_ascii_uppercase())
            && text[end..].starts_with(' ')
            && !file.is_empty();
        plausible.then_some(Self { verb, file })
    }

    /// Whether it makes one object file by a compiler or an assembler.
    pub(super) fn is_object(&self) -> bool {
        matches!(self.verb, "CC" | "AS") && self.file.ends_with(".o")
    }
}

/// How far an earlier build in an object folder came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    /// Nothing was compiled.
    No,
    /// Something was.
    Partly,
    /// To the end.
    Finished,
}

/// Looks for what the first and the last step leave: `kernel/bounds.s`, which
/// every object waits for, and `vmlinux`.
pub(super) fn begun(objects: &Path) -> Begun {
    match (objects.join("vmlinux").exists(), objects.join("kernel").exists()) {
        (true, _) => Begun::Finished,
        (false, true) => Begun::Partly,
        (false, false) => Begun::No,
    }
}

/// About how many objects a build of our own configuration has, when nobody
/// counted yet: counted on one release of each series named here.
#[must_use]
pub fn estimated_objects(series: Series, btf: bool) -> u64 {
    const COUNTED: [(u32, u32, u64); 5] =
        [(4, 4, 1_485), (4, 9, 1_510), (4, 14, 1_599), (6, 1, 1_782), (6, 12, 1_897)];
    let older =
        |&&(major, minor, _): &&(u32, u32, u64)| (major, minor) <= (series.major, series.minor);
    let objects = COUNTED.iter().rev().find(older).unwrap_or(&COUNTED[0]).2;
    // BTF brings the tools that resolve its identifiers.
    if btf { objects + 34 } else { objects }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kbuilds_lines_are_read_and_others_are_not() {
        for (line, verb, file, object) in [
            ("  CC      kernel/fork.o", "CC", "kernel/fork.o", true),
            ("  AS      arch/x86/entry/entry_64.o", "AS", "arch/x86/entry/entry_64.o", true),
            ("  HOSTCC  scripts/basic/fixdep", "HOSTCC", "scripts/basic/fixdep", false),
            ("  CC [M]  fs/x.o", "CC", "fs/x.o", true),
            ("  LD      vmlinux", "LD", "vmlinux", false),
            ("  CC      kernel/bounds.s", "CC", "kernel/bounds.s", false),
            ("  BTF     vmlinux", "BTF", "vmlinux", false),
            ("    CC    util/x.o", "CC", "util/x.o", true),
        ] {
            let step = Step::parse(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!((step.verb, step.file, step.is_object()), (verb, file, object), "{line}");
        }
        for line in
            ["", "  ", "  CC", "  12 | int x;", "make[1]: Entering", "  In file", "      |  ^"]
        {
            assert_eq!(Step::parse(line), None, "{line}");
        }
    }

    #[test]
    fn the_estimate_is_the_nearest_older_series() {
        let objects = |major, minor| estimated_objects(Series { major, minor }, false);
        assert_eq!(objects(4, 4), 1_485);
        assert_eq!(objects(5, 4), 1_599);
        assert_eq!(objects(7, 0), 1_897);
        assert_eq!(objects(3, 0), 1_485);
        assert_eq!(estimated_objects(Series { major: 6, minor: 12 }, true), 1_931);
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_it_panic(line in "[ \\[\\]MA-Z0-9_a-zé./]{0,40}") {
            if let Some(step) = Step::parse(&line) {
                proptest::prop_assert!(line.contains(step.file) && line.contains(step.verb));
            }
        }
    }
}
