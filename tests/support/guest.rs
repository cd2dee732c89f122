//! `stage1-builder run` on kernels that the tests' cache has.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use stage1_builder::proc::Program;

use super::cache::shared_cache;
use super::debian_source::debian_has;
use super::not_run::not_run;
use super::support::{builder, outcome};

/// A kernel to run things on, and a folder of the test's own.
pub(crate) struct Guest {
    series: String,
    folder: tempfile::TempDir,
    image: PathBuf,
}

impl Guest {
    /// Builds the series' kernel unless the cache has it; none where this
    /// host can't, which is said.
    pub(crate) fn on(series: &str, test: &str) -> Option<Self> {
        let wanted = std::env::var("S1B_TEST_KERNELS").unwrap_or_else(|_| "6.1 6.12".into());
        let lacks = match wanted.split_whitespace().any(|word| word == series) {
            false => Err("not in S1B_TEST_KERNELS".to_owned()),
            true => debian_has(series),
        };
        if let Err(reason) = lacks {
            not_run(&format!("{test} on {series}"), &reason);
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let build = builder(folder.path()).args(["build", series]);
        let (code, stdout, stderr) = outcome(from_debian(build));
        assert_eq!(code, 0, "{stderr}");
        let file = stdout.strip_prefix("Successfully built ").unwrap();
        let image = folder.path().join(file.split_once(" with id ").unwrap().0);
        Some(Self { series: series.to_owned(), folder, image })
    }

    /// The test's own folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The kernel's image.
    pub(crate) fn image(&self) -> &Path {
        &self.image
    }

    /// `run` on the kernel, to which options, an image and a command come.
    pub(crate) fn run(&self) -> Program {
        let run = builder(self.folder()).args(["run", "--kernel", &self.series]);
        from_debian(run).args(["--timeout", "5m"])
    }

    /// What a script of the host's own root says; it must end well.
    pub(crate) fn script(&self, options: &[&str], script: &str) -> String {
        let run = self.run().args(options).args(["--", "/bin/sh", "-euc", script]);
        let (code, stdout, stderr) = outcome(run);
        assert_eq!(code, 0, "{} {script}\n{stdout}\n{stderr}", self.series);
        stdout
    }
}

/// With the tests' cache, and without asking kernel.org.
fn from_debian(program: Program) -> Program {
    program.env("S1B_CACHE_DIR", shared_cache()).env("S1B_KERNEL_SOURCES", "debian")
}
