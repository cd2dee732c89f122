//! The READMEs' generated parts are what the program says of itself.
//! `S1B_TEST_RENEW=1` (`./test --renew`) writes them anew.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use fs_err as fs;
use stage1_builder::compile;
use stage1_builder::compile::fixes::{Confirmed, Fix};
use stage1_builder::report::Fault;
use stage1_builder::settings::reference_markdown;

#[test]
fn the_generated_parts_are_current() {
    let parts: [(&str, &[(&str, String)]); 2] = [
        ("README.md", &[("settings", reference_markdown()), ("exit codes", exit_codes())]),
        ("fixes/README.md", &[("fixes", fixes())]),
    ];
    for (file, parts) in parts {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let old = fs::read_to_string(&path).unwrap();
        let new = parts.iter().fold(old.clone(), |text, (part, by)| replaced(&text, part, by));
        if std::env::var_os("S1B_TEST_RENEW").is_some() {
            fs::write(&path, new).unwrap();
        } else {
            assert!(old == new, "{file} is not current: ./test --renew");
        }
    }
}

fn replaced(text: &str, part: &str, by: &str) -> String {
    let (begin, end) = (format!("<!-- {part}: begin"), format!("<!-- {part}: end -->"));
    let start = text.find(&begin).expect(part);
    let start = start + text[start..].find('\n').unwrap() + 1;
    let stop = text.find(&end).expect(part);
    format!("{}{}\n{}", &text[..start], by.trim_end(), &text[stop..])
}

fn exit_codes() -> String {
    let row = |fault: &Fault| format!("| {} | {} |\n", fault.exit_code(), fault.describe());
    let rows: String = Fault::ALL.iter().map(row).collect();
    format!("| code | meaning |\n|---|---|\n| 0 | done |\n{rows}")
}

fn fixes() -> String {
    let row = |fix: &Fix| {
        let commit = &fix.upstream[..12];
        let seen = match fix.confirmed {
            Confirmed::Built => "built and booted",
            Confirmed::Commit => "commit looked up",
        };
        format!("| {} | {} | {commit} | {} | {seen} |\n", fix.id, fix.why, fix.released)
    };
    let rows: String = compile::fixes::table().unwrap().iter().map(row).collect();
    format!("| fix | why | upstream | since | seen |\n|---|---|---|---|---|\n{rows}")
}
