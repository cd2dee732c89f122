//! Which commit a reference means.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::kept;
use crate::report::Reporter;
use crate::settings::GitSource;

use super::super::{Error, Options, Provider, record};
use super::program::{self, git};

/// How long an answer counts.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// What a reference means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Target {
    /// The commit's id.
    pub(super) commit: String,
    /// What the reference names itself: the commit, or a tag's own object.
    pub(super) object: String,
    /// The whole name, `refs/tags/v6.12`; empty if it was named by its id.
    pub(super) name: String,
    /// The tag's name, if it is one with an object of its own, which may be
    /// signed.
    pub(super) tag: Option<String>,
}

impl Target {
    /// Whether it was named by the commit's whole id, which vouches for all
    /// of its content.
    pub(super) fn is_by_id(&self) -> bool {
        self.name.is_empty()
    }

    fn by_id(id: &str) -> Self {
        let id = id.to_ascii_lowercase();
        Self { commit: id.clone(), object: id, name: String::new(), tag: None }
    }
}

/// Asks the repository, unless the id says it all or a repository elsewhere
/// was asked within a day.
pub(super) fn target(
    source: &GitSource,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Target, Error> {
    if is_id(&source.reference) {
        return Ok(Target::by_id(&source.reference));
    }
    if let Some(folder) = source.folder() {
        return match listed(source)? {
            Some(target) => Ok(target),
            None => abbreviated(folder, source),
        };
    }
    let file = record::folder(options, Provider::Git).join(format!("{}.json", key(source)));
    let answer: Option<Answer> = kept::read(&file);
    if let Some(answer) = answer.filter(|answer| !options.refresh && answer.is_fresh(source)) {
        return Ok(answer.target);
    }
    reporter.detail(format!("asking {} for {}", source.repository, source.reference));
    let target = listed(source)?.ok_or_else(|| none(source))?;
    let (question, at) = (source.to_string(), SystemTime::now());
    kept::write(&file, &Answer { question, at, target: target.clone() })?;
    Ok(target)
}

#[derive(Serialize, Deserialize)]
struct Answer {
    question: String,
    at: SystemTime,
    target: Target,
}

impl Answer {
    fn is_fresh(&self, source: &GitSource) -> bool {
        self.question == source.to_string() && self.at.elapsed().is_ok_and(|age| age < REMEMBERED)
    }
}

fn key(source: &GitSource) -> String {
    Digest::sha256(source.to_string().as_bytes()).hex()[..32].to_owned()
}

/// A whole id, of SHA-1 or SHA-256.
fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn listed(source: &GitSource) -> Result<Option<Target>, Error> {
    let GitSource { repository, reference } = source;
    let peeled = format!("{reference}^{{}}");
    let program = git().args(["ls-remote", "--", repository, reference, &peeled]);
    let output = program.run().map_err(|error| program::unreachable(source, error))?;
    Ok(chosen(&String::from_utf8_lossy(&output), reference))
}

/// Of all names that end so, the one that git itself would take
/// (gitrevisions(7), `<refname>`).
fn chosen(listed: &str, reference: &str) -> Option<Target> {
    let lines: Vec<(&str, &str)> = listed
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter(|line| is_id(line.0))
        .collect();
    let id = |name: &str| lines.iter().find(|line| line.1 == name).map(|line| line.0.to_owned());
    ["", "refs/", "refs/tags/", "refs/heads/"].iter().find_map(|start| {
        let name = format!("{start}{reference}");
        let object = id(&name)?;
        let peeled = id(&format!("{name}^{{}}"));
        let tag = peeled
            .as_ref()
            .map(|_| name.strip_prefix("refs/tags/").unwrap_or(reference).to_owned());
        let commit = peeled.unwrap_or_else(|| object.clone());
        Some(Target { commit, object, name, tag })
    })
}

/// What only a repository that is here can say: the rest of an id, or
/// `main~3`.
fn abbreviated(folder: &std::path::Path, source: &GitSource) -> Result<Target, Error> {
    let commit = format!("{}^{{commit}}", source.reference);
    let program = git().arg("-C").arg(folder).args(["rev-parse", "--quiet", "--verify"]);
    let found = program.args(["--end-of-options", &commit]).run().map_err(|_| none(source))?;
    Ok(Target::by_id(String::from_utf8_lossy(&found).trim()))
}

pub(super) fn none(source: &GitSource) -> Error {
    Error::NoReference { state: source.clone() }
}

#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing {
    use super::{chosen, is_id};

    /// What is chosen stands in the list, under the name that was asked for.
    pub(in super::super) fn listed(listed: &str, reference: &str) {
        let Some(target) = chosen(listed, reference) else { return };
        assert!(is_id(&target.commit) && is_id(&target.object));
        assert!(listed.contains(&format!("{}\t{}", target.object, target.name)));
        assert!(target.name.ends_with(reference));
        match &target.tag {
            Some(tag) => {
                assert!(target.name.ends_with(tag.as_str()));
                assert!(listed.contains(&format!("{}\t{}^{{}}", target.commit, target.name)));
            }
            None => assert_eq!(target.commit, target.object),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn a_tag_goes_before_a_branch_and_leads_to_its_commit() {
        let listed = format!(
            "{A}\trefs/heads/v6.12\n{B}\trefs/tags/v6.12\n{A}\trefs/tags/v6.12^{{}}\n\
             {B}\trefs/tags/old/v6.12\n"
        );
        let found = chosen(&listed, "v6.12").unwrap();
        assert_eq!((found.commit.as_str(), found.object.as_str()), (A, B));
        assert_eq!((found.name.as_str(), found.tag.as_deref()), ("refs/tags/v6.12", Some("v6.12")));
        let found = chosen(&listed, "heads/v6.12").unwrap();
        assert_eq!((found.commit.as_str(), found.tag), (A, None));
        assert_eq!(chosen(&listed, "6.12"), None);
        assert_eq!(chosen(&format!("{A}\tHEAD\n"), "HEAD").unwrap().commit, A);
        assert_eq!(chosen("warning: something\tHEAD\n", "HEAD"), None);
    }

    #[test]
    fn only_a_whole_id_is_one() {
        assert!(is_id(A) && is_id(&"0".repeat(64)) && is_id(&A.to_ascii_uppercase()));
        assert!(!is_id(&A[..12]) && !is_id("v6.12") && !is_id(&"g".repeat(40)));
    }
}
