//! The first real error in what make and its children said.

use std::collections::VecDeque;
use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

use super::progress::Step;

/// Lines kept before an error, in case they belong to it.
const BEFORE: usize = 8;
/// Lines shown after the error's own.
const AFTER: usize = 5;
/// Errors remembered until make says which target failed.
const CANDIDATES: usize = 20;

/// Why make failed: the first error with the lines that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    kind: Kind,
    /// What make was making (`kernel/fork.o`), if it said so.
    pub target: Option<String>,
    /// The error's lines, as they came.
    pub lines: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Storage,
    Memory,
    Program,
    Unclean,
    Other,
}

impl Failure {
    /// Whether the disk was full.
    #[must_use]
    pub fn is_storage(&self) -> bool {
        self.kind == Kind::Storage
    }

    /// What mends it, if the error tells.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Storage => {
                Some("free some space, or set S1B_BUILD_DIR or S1B_CACHE_DIR elsewhere")
            }
            Kind::Memory => Some("memory ran out: try again with a lower --jobs"),
            Kind::Program => Some("./builder --install-deps"),
            Kind::Unclean => Some("run 'make mrproper' in the source"),
            Kind::Other => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.target.as_deref().unwrap_or("no target named"))?;
        self.lines.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

/// Reads the output of a make as it comes, and knows the failure at the end.
///
/// make runs without `--output-sync`, so that the step in hand is seen while
/// it runs (the last link and BTF take a minute); lines of several jobs may
/// interleave, and the steps that other jobs announce are left out here.
#[derive(Debug, Default)]
pub(super) struct Finder {
    recent: VecDeque<String>,
    candidates: Vec<Candidate>,
    /// Whether the newest candidate still takes the lines that follow.
    open: bool,
    ended: Option<Ended>,
    storage: Option<String>,
}

#[derive(Debug)]
struct Candidate {
    kind: Kind,
    lines: Vec<String>,
    after: usize,
}

/// make's own word that a target failed.
#[derive(Debug)]
struct Ended {
    target: Option<String>,
    lines: Vec<String>,
}

impl Finder {
    pub(super) fn push(&mut self, line: &str) {
        if self.storage.is_none() && line.contains("No space left on device") {
            self.storage = Some(line.to_owned());
        }
        if self.ended.is_some() || Step::parse(line).is_some() {
            return;
        }
        if is_make_failure(line) {
            self.end(line);
        } else if let Some(kind) = error_kind(line) {
            self.begin(kind, line);
        } else if !self.follow(line) {
            self.open = false;
        }
        self.remember(line);
    }

    fn begin(&mut self, kind: Kind, line: &str) {
        self.open = self.candidates.len() < CANDIDATES;
        if self.open {
            let mut lines = self.leading();
            lines.push(line.to_owned());
            self.candidates.push(Candidate { kind, lines, after: 0 });
        }
    }

    /// The newest lines that only make sense together with the next.
    fn leading(&self) -> Vec<String> {
        let leads = |line: &&String| LEADS.is_match(line);
        let count = self.recent.iter().rev().take_while(leads).count();
        self.recent.iter().skip(self.recent.len() - count).cloned().collect()
    }

    /// Takes an indented line (the source, the caret) to the open error.
    fn follow(&mut self, line: &str) -> bool {
        match self.candidates.last_mut() {
            Some(last) if self.open && line.starts_with(' ') && last.after < AFTER => {
                last.lines.push(line.to_owned());
                last.after += 1;
                true
            }
            _ => false,
        }
    }

    fn end(&mut self, line: &str) {
        let target = TARGET.captures(line).map(|found| found[1].to_owned());
        let mut lines: Vec<String> = self.recent.iter().cloned().collect();
        lines.push(line.to_owned());
        self.ended = Some(Ended { target, lines });
    }

    fn remember(&mut self, line: &str) {
        if line.starts_with("make[") && !line.contains("***") {
            return;
        }
        if self.recent.len() == BEFORE {
            self.recent.pop_front();
        }
        self.recent.push_back(line.to_owned());
    }

    /// The failure: of the errors seen, the one that names the target which
    /// failed first, else the first; without any, make's last words.
    pub(super) fn finish(self) -> Failure {
        let target = self.ended.as_ref().and_then(|ended| ended.target.clone());
        if let Some(line) = self.storage {
            return Failure { kind: Kind::Storage, target, lines: vec![line] };
        }
        let named = target.as_deref().and_then(|target| {
            let stem = target.rsplit_once('.').map_or(target, |(stem, _)| stem);
            let names = |one: &Candidate| one.lines.iter().any(|line| line.contains(stem));
            self.candidates.iter().position(names)
        });
        let chosen = self.candidates.into_iter().nth(named.unwrap_or(0));
        match (chosen, self.ended) {
            (Some(Candidate { kind, lines, .. }), _) => Failure { kind, target, lines },
            (None, Some(Ended { lines, .. })) => Failure { kind: Kind::Other, target, lines },
            (None, None) => Failure { kind: Kind::Other, target, lines: self.recent.into() },
        }
    }
}

/// `make[2]: *** [scripts/Makefile.build:278: kernel/fork.o] Error 1`, older
/// makes without file and line; a deleted or interrupted target follows it.
static TARGET: LazyLock<Regex> = LazyLock::new(|| regex(r"\*\*\* \[(?:[^\]]*: )?([^\]: ]+)\] "));

/// What compilers print before an error: where they are.
static LEADS: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"^In file included from |^ +from \S+:\d+|: In function |: in function |^In function |inlined from |: Assembler messages:$",
    )
});

static ERROR: LazyLock<Regex> = LazyLock::new(|| {
    regex(concat!(
        r"(?:^|[\s:])(?:fatal )?error: |:\d+: Error: |^(?:ERROR|FAILED)[: ]|^\S+:\d+: \*\*\* ",
        r"|undefined reference to|multiple definition of|: cannot find -?l?\S+|undefined symbol:",
        r"|Cannot find symbol for section|: failed$|[Ss]egmentation fault|Syntax error",
        r"|No rule to make target|does not support|unrecognized option",
    ))
});

static PROGRAM: LazyLock<Regex> = LazyLock::new(|| {
    regex(concat!(
        r"(?:^|/)(?:ba|da|z)?sh: (?:line )?\d*:? ?.*: (?:command )?not found$",
        r"|(?:^|/)env: .+: No such file or directory$",
    ))
});

static MEMORY: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        "Killed signal terminated program|[Cc]annot allocate memory|virtual memory exhausted|^Killed$",
    )
});

#[expect(clippy::expect_used, reason = "a constant of this file, tried by its tests")]
fn regex(text: &str) -> Regex {
    Regex::new(text).expect("a well-formed expression")
}

/// `make: *** Waiting for unfinished jobs....` is none of its own.
fn is_make_failure(line: &str) -> bool {
    line.starts_with("make")
        && line.contains("*** ")
        && !line.contains("*** Waiting for")
        && !line.contains("No rule to make target")
}

fn error_kind(line: &str) -> Option<Kind> {
    let harmless = ["warning: ", "Warning: ", "note: "].iter().any(|word| line.contains(word))
        && !line.contains("error: ");
    if harmless {
        None
    } else if MEMORY.is_match(line) {
        Some(Kind::Memory)
    } else if PROGRAM.is_match(line) {
        Some(Kind::Program)
    } else if line.contains("is not clean") {
        Some(Kind::Unclean)
    } else {
        ERROR.is_match(line).then_some(Kind::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(log: &str) -> Failure {
        let mut finder = Finder::default();
        log.lines().for_each(|line| finder.push(line));
        finder.finish()
    }

    #[test]
    fn a_compilers_error_comes_with_where_and_what_and_without_other_jobs() {
        let found = failure(
            "  CC      kernel/one.o\n\
             ../kernel/zero.c:7:2: warning: unused variable 'error' [-Wunused-variable]\n\
             \x20   7 |  int error;\n\
             In file included from ../include/linux/a.h:3,\n\
             \x20                from ../kernel/one.c:1:\n\
             ../include/linux/b.h:12:3: error: unknown type name 'u99'\n\
             \x20  12 |   u99 x;\n\
             \x20 CC      kernel/two.o\n\
             \x20     |   ^~~\n\
             make[3]: *** [../scripts/Makefile.build:278: kernel/one.o] Error 1\n\
             make[3]: *** Waiting for unfinished jobs....\n\
             ../kernel/two.c:1:1: error: another\n\
             make[2]: *** [../Makefile:1001: kernel] Error 2\n",
        );
        assert_eq!(found.target.as_deref(), Some("kernel/one.o"));
        assert_eq!(
            found.lines,
            [
                "In file included from ../include/linux/a.h:3,",
                "                 from ../kernel/one.c:1:",
                "../include/linux/b.h:12:3: error: unknown type name 'u99'",
                "   12 |   u99 x;",
                "      |   ^~~",
            ]
        );
        assert_eq!(found.hint(), None);
    }

    #[test]
    fn of_two_errors_the_one_of_the_target_that_failed_first_counts() {
        let found = failure(
            "../fs/slow.c:1:1: error: first seen\n\
             ../mm/fast.c:2:2: error: first failed\n\
             make[2]: *** [../scripts/Makefile.build:243: mm/fast.o] Error 1\n",
        );
        assert_eq!(found.lines, ["../mm/fast.c:2:2: error: first failed"]);
    }

    #[test]
    fn each_kind_of_error_is_found() {
        for (line, target) in [
            ("Cannot find symbol for section 1: .text.", "kernel/elfcore.o"),
            ("arch/x86/entry/thunk_64.o: error: objtool: missing symbol table", "thunk_64.o"),
            ("ld: fork.c:(.text+0x3): undefined reference to `nowhere'", "vmlinux"),
            ("/usr/bin/ld: b.o:(.bss+0x0): multiple definition of `yylloc'; a.o", "dtc"),
            ("../init/main.c:3:10: fatal error: gelf.h: No such file or directory", "init/main.o"),
            ("entry.S:12: Error: no such instruction: `endbr65'", "entry.o"),
            ("FAILED: load BTF from vmlinux: Invalid argument", "vmlinux"),
            ("../Makefile:144: *** source directory cannot contain spaces.  Stop.", "sub-make"),
            ("ERROR: modpost: \"x\" [y.ko] undefined!", "Module.symvers"),
        ] {
            let log = format!(
                "  CC      a.o\nx.c:1:1: warning: harmless\n{line}\n\
                 make[1]: *** [Makefile:5: {target}] Error 1\n"
            );
            let found = failure(&log);
            assert_eq!(found.lines, [line]);
            assert_eq!(found.target.as_deref(), Some(target));
        }
    }

    #[test]
    fn warnings_of_the_assembler_are_none_however_many() {
        let mut log = String::new();
        for line in 1..60 {
            log.push_str("entry.S: Assembler messages:\n");
            log.push_str(&format!(
                "entry.S:{line}: Warning: no instruction mnemonic suffix given\n"
            ));
        }
        log.push_str("last.S: Assembler messages:\nlast.S:4: Error: no such instruction: `x'\n");
        log.push_str("make[1]: *** [Makefile:5: last.o] Error 1\n");
        let wanted = ["last.S: Assembler messages:", "last.S:4: Error: no such instruction: `x'"];
        assert_eq!(failure(&log).lines, wanted);
    }

    #[test]
    fn some_kinds_have_a_remedy() {
        let hint = |line: &str| {
            let log = format!("{line}\nmake: *** [Makefile:1: x] Error 1");
            failure(&log).hint().unwrap_or_default().to_owned()
        };
        assert!(hint("gcc: fatal error: Killed signal terminated program cc1").contains("--jobs"));
        assert!(hint("/bin/sh: 1: lz4c: not found").contains("--install-deps"));
        assert!(hint("/bin/bash: line 1: bc: command not found").contains("--install-deps"));
        let absent = "/usr/bin/env: ‘python3’: No such file or directory";
        assert!(hint(absent).contains("--install-deps"));
        assert!(hint("***   The source tree is not clean, please run").contains("mrproper"));
    }

    #[test]
    fn a_full_disk_counts_whatever_else_was_said() {
        let found = failure(
            "../a.c:1:1: error: strange\n\
             /usr/bin/ld: final link failed: No space left on device\n\
             make: *** [Makefile:1: a.o] Error 1\n",
        );
        assert!(found.is_storage() && found.lines[0].contains("final link failed"));
    }

    #[test]
    fn without_a_known_error_make_has_the_word() {
        let found = failure("something odd\nmake[1]: *** [Makefile:9: all] Error 139\n");
        assert_eq!(found.target.as_deref(), Some("all"));
        assert_eq!(found.lines, ["something odd", "make[1]: *** [Makefile:9: all] Error 139"]);
        assert_eq!(failure("only this").lines, ["only this"]);
        let found = failure("make[1]: *** No rule to make target 'nothing'.  Stop.");
        assert!(found.to_string().contains("'nothing'"), "{found}");
    }

    proptest::proptest! {
        #[test]
        fn no_output_makes_it_panic(lines in proptest::collection::vec(
            "( |make: |\\*\\*\\* |\\[|\\]|error: |[a-z.:/]{0,9}){0,8}", 0..40)) {
            let mut finder = Finder::default();
            lines.iter().for_each(|line| finder.push(line));
            finder.finish();
        }
    }
}
