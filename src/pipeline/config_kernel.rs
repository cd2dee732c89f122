//! `config-kernel`: the configuration that a build has, and why.

use std::path::Path;

use serde::Serialize;

use crate::compile;
use crate::content::MODULES;
use crate::kconfig::{DotConfig, Explanation, Plan, Tree, Value};
use crate::pack::aci;
use crate::report::Reporter;
use crate::settings::{Format, KernelVersion, Settings};
use crate::store::Store;

use super::kernel::{Prepared, prepare};
use super::plan::{BuildPlan, plan_for_work};
use super::{Error, kernel};

/// Where a configuration was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// In the finished image.
    Image,
    /// Beside the finished kernel, in its workspace.
    Build,
    /// Made now, of the source and what is asked of it.
    Made,
}

/// The `.config` that a build with these settings has.
#[derive(Debug, Clone)]
pub struct KernelConfig {
    /// Of which kernel.
    pub version: KernelVersion,
    /// What `uname -r` will say.
    pub release: String,
    /// The `.config`, byte for byte.
    pub text: String,
    /// Where it was found.
    pub origin: Origin,
    /// What did not come out as asked, if that was looked at now: one that
    /// was built has been found right.
    pub findings: Vec<String>,
}

/// A line of a fragment that asks for a symbol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// The fragment's name: `base.config`, `features/btf.config`, the user's
    /// file, or `fix NAME`.
    pub fragment: String,
    /// Its line, counted from 1.
    pub line: usize,
    /// What it asks for.
    pub value: Value,
    /// Whether a later line asks for something else.
    pub overridden: bool,
}

/// Why a symbol is what it is.
#[derive(Debug, Clone, Serialize)]
pub struct Why {
    /// Who asked for it, in order; the last one counts.
    pub asked: Vec<Asked>,
    /// Why it is not as asked, if it is not.
    pub findings: Vec<String>,
    /// What the tree says of it.
    #[serde(flatten)]
    pub explanation: Explanation,
}

/// The configuration, from where it is quickest to be had.
///
/// # Errors
/// As [`super::build`]'s, as far as it goes.
pub fn config_kernel(
    settings: &Settings,
    refresh: bool,
    reporter: &dyn Reporter,
) -> Result<KernelConfig, Error> {
    let store = Store::new(&settings.cache_dir);
    let plan = plan_for_work(settings, &store, refresh, reporter)?;
    let finished =
        plan.of(&[Format::Aci]).into_iter().find_map(|aci| store.images().found(&aci.key));
    if let Some(image) = finished
        && let Some(text) = in_image(&image.file, &plan.release())?
    {
        return Ok(found(&plan, text, Origin::Image, Vec::new()));
    }
    let prepared = prepare(settings, &store, &plan, reporter)?;
    in_workspace(settings, &plan, &prepared, reporter)
}

/// The configuration, and why a symbol (with or without `CONFIG_`) is what it
/// is in it.
///
/// # Errors
/// As [`config_kernel`], and when the tree does not define the symbol.
pub fn why(
    settings: &Settings,
    refresh: bool,
    symbol: &str,
    reporter: &dyn Reporter,
) -> Result<(KernelConfig, Why), Error> {
    let store = Store::new(&settings.cache_dir);
    let plan = plan_for_work(settings, &store, refresh, reporter)?;
    let prepared = prepare(settings, &store, &plan, reporter)?;
    let config = in_workspace(settings, &plan, &prepared, reporter)?;
    let outcome = DotConfig::parse(".config", &config.text)?;
    let tree = prepared.workspace.tree();
    let explanation = crate::kconfig::explain(&tree, settings.arch, symbol, &outcome)?;
    let layers = kernel::asked(&plan, &prepared.fixes)?;
    let name = explanation.symbol.clone();
    let of_it = |finding: &&String| finding.split([' ', ':']).any(|word| word == name);
    let findings = findings(&layers, &tree, settings, &outcome)?;
    let findings = findings.iter().filter(of_it).cloned().collect();
    Ok((config, Why { asked: who_asked(&layers, &name), findings, explanation }))
}

fn found(plan: &BuildPlan, text: String, origin: Origin, findings: Vec<String>) -> KernelConfig {
    let release = plan.release();
    KernelConfig { version: plan.version, release, text, origin, findings }
}

/// The file beside the modules, if the image has it.
fn in_image(image: &Path, release: &str) -> Result<Option<String>, Error> {
    let wanted = format!("{MODULES}/{release}/config");
    let mut text = None;
    aci::read_file(image, |entry, bytes| {
        if entry.path == wanted {
            text = Some(std::io::read_to_string(bytes)?);
        }
        Ok(())
    })
    .map_err(|source| Error::Unreadable { path: image.to_owned(), source })?;
    Ok(text)
}

/// The finished kernel's, or one that is made in a folder of its own: a look
/// must not cost what is built.
fn in_workspace(
    settings: &Settings,
    plan: &BuildPlan,
    prepared: &Prepared,
    reporter: &dyn Reporter,
) -> Result<KernelConfig, Error> {
    let workspace = &prepared.workspace;
    let objects = workspace.tree().join(compile::OBJECT_FOLDER);
    if workspace.kernel_key().as_ref() == Some(&plan.kernel_key)
        && let Ok(text) = fs_err::read_to_string(objects.join(".config"))
    {
        return Ok(found(plan, text, Origin::Build, Vec::new()));
    }
    let (tree, log) = (workspace.tree(), workspace.root().join("config.log"));
    kernel::check_tools(settings, plan, &tree)?;
    let job = compile::Job {
        objects: compile::CONFIG_FOLDER,
        ..prepared.job(settings, plan, &tree, &log)
    };
    let layers = kernel::asked(plan, &prepared.fixes)?;
    let text = job.configure(&layers.seed(&plan.suffix), reporter)?;
    let outcome = DotConfig::parse(".config", &text)?;
    let findings = findings(&layers, &tree, settings, &outcome)?;
    Ok(found(plan, text, Origin::Made, findings))
}

fn findings(
    layers: &Plan,
    tree: &Path,
    settings: &Settings,
    outcome: &DotConfig,
) -> Result<Vec<String>, Error> {
    let tree = Tree::read(tree, settings.arch)?;
    let findings = layers.findings(&tree, settings.arch, outcome);
    Ok(findings.iter().map(ToString::to_string).collect())
}

fn who_asked(layers: &Plan, symbol: &str) -> Vec<Asked> {
    let all = layers.layers().iter().flat_map(|fragment| {
        fragment.requests().iter().map(move |request| (fragment.name(), request))
    });
    let mut asked: Vec<Asked> = all
        .filter(|(_, request)| request.name == symbol)
        .map(|(fragment, request)| Asked {
            fragment: fragment.to_owned(),
            line: request.line,
            value: request.value.clone(),
            overridden: true,
        })
        .collect();
    if let Some(last) = asked.last_mut() {
        last.overridden = false;
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kconfig::{Fragment, fragments};

    #[test]
    fn the_last_who_asks_counts() {
        let version = KernelVersion::new(6, 12, 0);
        let fix = Fragment::parse("fix x", "CONFIG_A=y\n\n# CONFIG_BPF is not set\n").unwrap();
        let own = ("linux-6.12.config", "CONFIG_BPF=y\nCONFIG_B=y\n");
        let plan = fragments(&version, (&[], &[]), Some(own), vec![fix]).unwrap();
        let asked = who_asked(&plan, "BPF");
        let said: Vec<_> = asked
            .iter()
            .map(|one| (one.fragment.as_str(), one.line, one.value.plain(), one.overridden))
            .collect();
        assert_eq!(said, [("linux-6.12.config", 1, "y", true), ("fix x", 3, "n", false)]);
        assert!(who_asked(&plan, "C").is_empty());
    }
}
