//! The README's generated parts are what the program says of itself.
//! `S1B_TEST_RENEW=1` (`./test --renew`) writes them anew.

use std::path::Path;

use fs_err as fs;
use stage1_builder::report::Fault;
use stage1_builder::settings::reference_markdown;

#[test]
fn the_settings_and_the_exit_codes_are_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let old = fs::read_to_string(&path).unwrap();
    let new = replaced(&old, "settings", &reference_markdown());
    let new = replaced(&new, "exit codes", &exit_codes());
    if std::env::var_os("S1B_TEST_RENEW").is_some() {
        fs::write(&path, new).unwrap();
    } else {
        assert!(old == new, "README.md is not current: ./test --renew");
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
