//! Completions and manual pages are made of the command line itself.

use std::path::Path;

use fs_err as fs;
use stage1_builder::proc::Program;

use super::builder;
use super::support::outcome;

#[test]
fn each_shell_gets_a_script_that_it_can_read() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = outcome(builder(folder.path()).args(["completions", shell]));
        assert_eq!(code, 0);
        for word in ["config-kernel", "verify", "kernel-version", "message-format"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        if shell == "bash" {
            let script_path = folder.path().join("script");
            fs::write(&script_path, script).unwrap();
            assert_eq!(completed(&script_path, "verif"), ["verify"]);
        }
    }
    let (code, _, stderr) = outcome(builder(folder.path()).args(["completions", "tcsh"]));
    assert_eq!(code, 2, "{stderr}");
}

/// What bash offers behind `stage1-builder <word>`.
fn completed(script: &Path, word: &str) -> Vec<String> {
    let ask = format!(
        "source {}; COMP_WORDS=(stage1-builder {word}); COMP_CWORD=1
         function=$(complete -p stage1-builder | sed -n 's/.*-F \\([^ ]*\\).*/\\1/p')
         $function stage1-builder {word} stage1-builder; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display()
    );
    let said = Program::new("bash").args(["--norc", "-c", &ask]).run().unwrap();
    String::from_utf8(said).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn every_verb_has_a_page_that_man_can_show() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let (code, _, stderr) = outcome(builder(folder.path()).args(["man", "--dir"]).arg(&pages));
    assert_eq!(code, 0, "{stderr}");
    let mut names: Vec<_> = fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    assert!(names.contains(&"stage1-builder.1".to_owned()), "{names:?}");
    for verb in ["build", "run", "verify", "diff", "kernels", "doctor", "config-kernel"] {
        let name = format!("stage1-builder-{verb}.1");
        assert!(names.contains(&name), "{names:?}");
        let page = fs::read_to_string(pages.join(&name)).unwrap();
        assert!(page.contains(".SH NAME") && page.contains(".SH OPTIONS"), "{name}");
        let (_, alone, _) = outcome(builder(folder.path()).args(["man", verb]));
        assert_eq!(alone.trim_end(), page.trim_end());
    }
    // The pages that others refer to are there, and what is below a verb has its options.
    let gc = fs::read_to_string(pages.join("stage1-builder-images-gc.1")).unwrap();
    assert!(gc.contains("older\\-than") && gc.contains("max\\-size"), "{gc}");
    let (_, alone, _) = outcome(builder(folder.path()).args(["man", "images", "gc"]));
    assert_eq!(alone.trim_end(), gc.trim_end());
    for name in &names {
        let page = fs::read_to_string(pages.join(name)).unwrap().replace("\\-", "-");
        for (before, _) in page.match_indices("(1)") {
            let word = page[..before].rsplit(|c: char| c.is_whitespace() || c == 'R').next();
            let word = word.unwrap().trim_start_matches("\\fB").trim_end_matches("\\f");
            let help = word.ends_with("-help");
            assert!(help || names.contains(&format!("{word}.1")), "{name}: {word}");
        }
    }
    let (code, _, stderr) = outcome(builder(folder.path()).args(["man", "biuld"]));
    assert_eq!(code, 2);
    assert!(stderr.contains("there is no verb 'biuld'") && stderr.contains("build"), "{stderr}");
}
