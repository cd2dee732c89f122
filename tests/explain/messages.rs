//! What a build says to programs, and how much to people.

use serde_json::Value;
use stage1_builder::proc::Program;

use super::builder;
use super::mirror::Mirror;
use super::support::outcome;

/// An archive, as far as a plan looks into it.
pub(crate) const XZ: &[u8] = b"\xfd7zXZ\0";

/// A plan of a kernel that the mirror has, which nobody verifies.
struct World {
    mirror: Mirror,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let mirror = Mirror::start();
        mirror.put("/v6.x/linux-6.12.3.tar.xz", XZ);
        Self { mirror, folder: tempfile::tempdir().unwrap() }
    }

    fn plan(&self, version: &str) -> Program {
        builder(self.folder.path())
            .env("S1B_KERNEL_SOURCES", "kernel.org")
            .env("S1B_KERNEL_ORG_URL", self.mirror.url(""))
            .env("S1B_KERNEL_ORG_RELEASES_URL", self.mirror.url("/releases.json"))
            .args(["build", version, "--dry-run", "--insecure-options", "source"])
    }
}

fn lines(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_line_for_programs_is_an_object_and_the_last_is_the_result() {
    let world = World::new();
    let (code, stdout, stderr) = outcome(world.plan("6.12.3").args(["--message-format", "json"]));
    assert_eq!((code, stderr.as_str()), (0, ""));
    let lines = lines(&stdout);
    let of = |kind: &str| lines.iter().filter(|line| line["event"] == kind).count();
    assert!(of("started") >= 3 && of("finished") >= 3 && of("warning") == 1, "{stdout}");
    assert_eq!(lines[0]["stage"], "resolve");
    let plan = lines.last().unwrap();
    assert_eq!((&plan["event"], &plan["version"]), (&"plan".into(), &"6.12.3".into()));
    assert!(plan["kernel_key"].as_str().unwrap().starts_with("sha256:"));
    assert!(plan["inputs"]["kernel"]["toolchain"]["cc"]["text"].is_string());

    // The same plan, and nothing but it, for who asks for no messages.
    let (_, stdout, _) = outcome(world.plan("6.12.3"));
    let alone: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(alone["image_key"], plan["image_key"]);
}

#[test]
fn an_error_is_the_last_line_and_still_told_on_stderr() {
    let world = World::new();
    let plan = world.plan("6.12.9").args(["--message-format", "json"]);
    let (code, stdout, stderr) = outcome(plan);
    assert_eq!(code, 4);
    let lines = lines(&stdout);
    let error = lines.last().unwrap();
    assert_eq!((&error["event"], &error["code"]), (&"error".into(), &4.into()));
    assert!(error["message"].is_string() && error["causes"].is_array());
    assert!(error["hint"].is_string(), "{error}");
    assert!(stderr.starts_with("error: ") && stderr.contains("hint: "), "{stderr}");

    let setting = world.plan("6.12.3").args(["--message-format", "json", "--jobs", "none"]);
    let (code, stdout, _) = outcome(setting);
    assert_eq!((code, self::lines(&stdout)[0]["code"].as_i64()), (2, Some(2)));
}

#[test]
fn quiet_leaves_warnings_and_each_v_says_more() {
    let said = |flags: &[&str]| {
        let (code, _, stderr) = outcome(World::new().plan("6.12.3").args(flags));
        assert_eq!(code, 0, "{stderr}");
        stderr
    };
    let quiet = said(&["-q"]);
    assert!(quiet.lines().all(|line| line.starts_with("warning: ")), "{quiet}");
    assert_eq!(quiet.lines().count(), 1, "{quiet}");
    let normal = said(&[]);
    for part in ["resolve    Linux 6.12.3", "fetch      done in", "note: Linux 6.12.3 is taken"] {
        assert!(normal.contains(part), "{part}: {normal}");
    }
    assert!(!normal.lines().any(|line| line.starts_with("  ")), "{normal}");
    let (code, _, stderr) = outcome(World::new().plan("6.12.3").args(["-q", "-v"]));
    assert_eq!(code, 2, "quiet and verbose at once: {stderr}");
}
