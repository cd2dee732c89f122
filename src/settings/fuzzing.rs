//! What is tried with settings. See [`crate::fuzzing`].

use std::fmt::{Debug, Display};
use std::path::PathBuf;

use super::{
    Arch, Compression, GccVersion, Given, KernelRequest, KernelVersion, Origin, RktVersion, Series,
    Settings, Sources, ToolchainRequest, Vmlinux, quote, syntax, value,
};
use crate::digest::Digest;
use crate::fuzzing::{comes_back, texts};

/// A `builder-config` and a `.config`: what is accepted is what it is when
/// each value is written quoted, and is bounded.
pub fn settings(bytes: &[u8]) {
    let [project, user] = texts(bytes);
    for text in [&project, &user] {
        if let Ok(assignments) = syntax::parse(text) {
            assert!(assignments.len() <= text.lines().count());
        }
        let readable = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
        if text.chars().all(readable) && !text.contains('\u{feff}') {
            let quoted = syntax::parse(&format!("X={}\n", quote(text)));
            let pieces = quoted.map(|found| found.into_iter().map(|one| one.value).collect());
            let literal = syntax::Piece::Literal(text.clone());
            let wanted = if text.is_empty() { vec![vec![]] } else { vec![vec![literal]] };
            assert_eq!(pieces, Ok(wanted));
        }
    }
    let sources = |project: String, user: String| Sources {
        project_dir: PathBuf::from("/project"),
        builder_config: Some((PathBuf::from("/project/builder-config"), project)),
        dot_config: Some((PathBuf::from("/project/.config"), user)),
        environment: [("HOME".to_owned(), "/home/user".to_owned())].into(),
        current_dir: PathBuf::from("/project"),
        ..Sources::default()
    };
    let Ok(settings) = Settings::load(&sources(project, user)) else { return };
    let from_a_file = |given: &&Given| matches!(given.origin, Origin::File { .. });
    let line = |given: &Given| format!("{}={}\n", given.setting.name, quote(&given.text));
    let written = settings.origins().iter().filter(from_a_file).map(line).collect();
    let again = Settings::load(&sources(String::new(), written));
    let again = again.unwrap_or_else(|error| panic!("{error}"));
    for (one, other) in settings.origins().iter().zip(again.origins()) {
        assert_eq!(one.text, other.text);
    }
}

/// Versions, digests, names and lists, from wherever: one spelling each.
pub fn values(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    comes_back::<Series>(&text);
    comes_back::<KernelVersion>(&text);
    comes_back::<KernelRequest>(&text);
    comes_back::<RktVersion>(&text);
    comes_back::<GccVersion>(&text);
    comes_back::<ToolchainRequest>(&text);
    comes_back::<Arch>(&text);
    comes_back::<Digest>(&text);
    comes_back::<Compression>(&text);
    comes_back::<Vmlinux>(&text);
    if let Ok(version) = text.parse::<KernelVersion>() {
        assert_eq!(version.tarball().parse(), Ok(version));
        assert!(version.release().starts_with(&version.series().to_string()));
    }
    list(&text, value::providers);
    list(&text, value::formats);
    if let Ok(found) = value::insecure(&text) {
        let joined = found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(value::insecure(&joined), Ok(found));
    }
    if let Ok(items) = value::config_items(&text) {
        assert_eq!(value::config_items(&items.join(" ")), Ok(items));
    }
    if let Ok(features) = value::features(&text) {
        assert!(features.enable.is_disjoint(&features.disable));
    }
    if let Ok(paths) = value::paths(&text) {
        assert!(paths.iter().all(|path| !path.as_os_str().is_empty() && !path.starts_with("~")));
    }
    _ = value::jobs(&text);
    if let Ok(url) = value::url(&text) {
        assert!(!url.ends_with('/') && !url.contains(char::is_whitespace));
    }
    if let Ok(suffix) = value::suffix(&text) {
        assert!(!suffix.contains(['/', '\0', '\n', ' ']));
    }
    if let Ok(name) = value::image_name(&text) {
        assert!(!name.contains("..") && !name.starts_with('/'));
    }
}

/// A list is the same when its words are written with commas between them.
fn list<T, E>(text: &str, parse: impl Fn(&str) -> Result<Vec<T>, E>)
where
    T: Display + Debug + PartialEq,
{
    let Ok(found) = parse(text) else { return };
    let joined = found.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    assert_eq!(parse(&joined).ok(), Some(found));
}
