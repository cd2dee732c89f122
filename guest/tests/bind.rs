//! The real program making real mounts, in a mount namespace of its own.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// `refused COMMAND` passes when the command fails (`! COMMAND` would not end
/// the script).
const REFUSED: &str = "refused() { if \"$@\"; then return 1; fi; }\n";

/// Runs a script as (mapped) root in new user and mount namespaces. `$BIND`
/// is the program, `$R` the running release; the current folder holds
/// `modules/$R/marker` and `root/`.
fn in_a_namespace(name: &str, script: &str) -> (PathBuf, Output) {
    let folder = std::env::temp_dir().join(format!("s1b-bind-{}-{name}", std::process::id()));
    let release = stage1_builder_guest::bind::running_release();
    let modules = folder.join("modules").join(&release);
    std::fs::create_dir_all(&modules).unwrap();
    std::fs::create_dir_all(folder.join("root")).unwrap();
    std::fs::write(modules.join("marker"), "ours").unwrap();
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "--", "sh", "-euc", &format!("{REFUSED}{script}")])
        .env("BIND", env!("CARGO_BIN_EXE_bind-headers"))
        .env("R", &release)
        .current_dir(&folder)
        .output()
        .unwrap();
    (folder, output)
}

fn passes(name: &str, script: &str) {
    let (folder, output) = in_a_namespace(name, script);
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

const CHECK: &str = r#"
    test "$(cat $AT/marker)" = ours
    refused touch $AT/new 2>/dev/null
    refused rm -f $AT/marker 2>/dev/null
    test "$(cat modules/$R/marker)" = ours
    mount | grep " $(realpath $AT) " | grep -q '[(,]ro[,)]'
"#;

#[test]
fn the_headers_are_there_and_read_only() {
    let script = format!(r#""$BIND" root modules; AT=root/lib/modules/$R; {CHECK}"#);
    passes("plain", &script);
}

#[test]
fn both_kinds_of_lib_symlinks_lead_inside() {
    for (name, target) in [("relative", "usr/lib"), ("absolute", "/usr/lib")] {
        let script = format!(
            r#"ln -s {target} root/lib; before=$(ls -A /usr/lib)
               "$BIND" "$PWD/root" "$PWD/modules"; AT=root/usr/lib/modules/$R; {CHECK}
               test "$before" = "$(ls -A /usr/lib)""#
        );
        passes(name, &script);
    }
}

#[test]
fn a_second_run_changes_nothing_and_mends_a_writable_mount() {
    let script = format!(
        r#"mkdir -p root/lib/modules/$R
           mount --bind modules/$R root/lib/modules/$R
           "$BIND" root modules; "$BIND" root modules
           test $(mount | grep -c " $PWD/root/lib/modules/$R ") = 1
           AT=root/lib/modules/$R; {CHECK}"#
    );
    passes("twice", &script);
}

#[test]
fn programs_in_the_folder_can_be_run_and_set_user_id_is_off() {
    passes(
        "flags",
        r#"cp /bin/true modules/$R/tool
           "$BIND" root modules; root/lib/modules/$R/tool
           mount | grep " $PWD/root/lib/modules/$R " | grep nosuid | grep -q nodev"#,
    );
}

#[test]
fn a_volume_of_the_users_stays() {
    passes(
        "volume",
        r#"mkdir -p root/lib/modules/$R theirs; touch theirs/file
           mount --bind theirs root/lib/modules/$R
           "$BIND" root modules 2>said
           grep -q 'it stays' said
           test -e root/lib/modules/$R/file"#,
    );
}

#[test]
fn absent_headers_and_hostile_links_fail_and_say_so() {
    passes(
        "failing",
        r#"refused "$BIND" root absent 2>said
           grep -q "can't open .*/absent/$R: " said
           ln -s lib root/lib
           refused "$BIND" root modules 2>said
           grep -q "can't resolve /lib/modules/$R in root: more than 40 symlinks" said"#,
    );
}

#[test]
fn a_wrong_call_is_told() {
    let output = Command::new(env!("CARGO_BIN_EXE_bind-headers")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("usage: bind-headers"));
    assert!(Path::new(env!("CARGO_BIN_EXE_bind-headers")).exists());
}
