//! A disk of 20 sizes on which a build has no room: each time one clear error
//! and nothing half-made; with room, the next run ends as any other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;
use stage1_builder::fsutil::TEMPORARY;
use stage1_builder::proc::Program;

use crate::not_run::not_run;
use crate::support::outcome;
use crate::toy::{Given, OPTIONS, Toy, configure, names};

const SIZES: u64 = 20;

/// Runs a build on a disk of a size, and once more when that has grown. What
/// they said and what was there after each is copied to `$seen`.
const SCRIPT: &str = r#"
mount -t tmpfs -o "size=${size}k" tmpfs "$disk" && cd "$disk" || exit 99
cp -r "$seen/config" "$disk"
"$@" >"$seen/1/stdout" 2>"$seen/1/stderr"
echo $? >"$seen/1/code"
find "$disk" -name '.s1b-tmp-*' >"$seen/1/temporary"
cp -r "$disk/aci-files" "$seen/1" 2>/dev/null
df --output=used -k "$disk" | tail -n 1 >"$seen/1/used"
mount -o remount,size=64m "$disk" || exit 99
"$@" >"$seen/2/stdout" 2>"$seen/2/stderr"
echo $? >"$seen/2/code"
find "$disk" -name '.s1b-tmp-*' >"$seen/2/temporary"
cp -r "$disk/aci-files" "$seen/2"
"#;

/// One disk.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// Runs the script on a disk of so many KiB; `None` where nothing can be
    /// mounted.
    fn of(toy: &Toy, size: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (disk, seen) = (folder.path().join("disk"), folder.path().join("seen"));
        for name in ["disk", "seen/1", "seen/2"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        configure(&seen, OPTIONS[0]);
        let own = if rustix::process::geteuid().is_root() { "-m" } else { "-Urm" };
        let run = Program::new("unshare")
            .args([own, "sh", "-c", SCRIPT, "sh", env!("CARGO_BIN_EXE_stage1-builder")])
            .args(["--project-dir".as_ref(), disk.as_os_str()])
            .env("size", size.to_string())
            .env("disk", &disk)
            .env("seen", &seen);
        let (_, _, stderr) = outcome(toy.settled(run, &disk));
        let ran = seen.join("2/code").exists();
        if !ran {
            println!("{stderr}");
        }
        ran.then_some(Self { folder })
    }

    fn seen(&self, run: u8) -> PathBuf {
        self.folder.path().join(format!("seen/{run}"))
    }

    fn text(&self, run: u8, name: &str) -> String {
        fs::read_to_string(self.seen(run).join(name)).unwrap().trim_end().to_owned()
    }

    fn given(&self, run: u8) -> Given {
        let folder = self.seen(run);
        Given::of(&folder, &fs::read_to_string(folder.join("stdout")).unwrap())
    }

    /// What failed, in the words of the one error.
    #[track_caller]
    fn full(&self, wanted: &Given) -> String {
        let stderr = self.text(1, "stderr");
        assert_eq!(self.text(1, "code"), "12", "{stderr}");
        let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error:")).collect();
        assert_eq!(errors.len(), 1, "{stderr}");
        let said = stderr.contains("hint: ") && stderr.to_lowercase().contains("no space left");
        assert!(said && !stderr.contains("panicked"), "{stderr}");
        assert!(self.given(1).is_part_of(wanted), "half-made: {stderr}");
        assert_eq!(self.text(1, "temporary"), "", "{stderr}");
        errors[0].to_owned()
    }

    #[track_caller]
    fn well(&self, wanted: &Given) {
        assert_eq!(self.text(2, "code"), "0", "{}", self.text(2, "stderr"));
        assert!(self.given(2) == *wanted, "other bytes: {}", self.text(2, "stderr"));
        assert_eq!(self.text(2, "temporary"), "");
    }
}

#[test]
fn on_a_full_disk_of_20_sizes_nothing_is_half_made_and_with_room_it_goes_on() {
    let toy = Toy::new();
    let Some(roomy) = Disk::of(&toy, 65_536) else {
        return not_run("full disks", "can't mount a tmpfs (needs root or user namespaces)");
    };
    let wanted = roomy.given(2);
    roomy.well(&wanted);
    assert!(roomy.given(1) == wanted && !names(&roomy.seen(1)).is_empty());
    let used: u64 = roomy.text(1, "used").trim().parse().unwrap();
    let mut places = BTreeMap::<String, usize>::new();
    for step in 0..SIZES {
        let size = used * (step + 1) / (SIZES + 1);
        let disk = Disk::of(&toy, size).unwrap();
        let error = disk.full(&wanted);
        disk.well(&wanted);
        *places.entry(without_names(&error, disk.folder.path())).or_default() += 1;
    }
    println!("{used} KiB are needed; {SIZES} smaller disks: {places:#?}");
    assert!(places.len() >= 4, "the disk was full in too few places: {places:?}");
    assert_eq!(TEMPORARY, ".s1b-tmp-", "what the script looks for");
}

fn without_names(error: &str, folder: &Path) -> String {
    let text = error.replace(&*folder.to_string_lossy(), "");
    text.split(": ").take(2).collect::<Vec<_>>().join(": ")
}
