use serde::Serialize;

use crate::compile::{Fix, Toolchain};
use crate::digest::Digest;
use crate::settings::Settings;
use crate::source::{self, Outcome, Patch};

use super::Error;
use super::plan::BuildPlan;

/// What an image says of its own making: `provenance.json` in its modules
/// folder. It holds what is in the build's key and what follows from that,
/// and so nothing of the host, the time or the providers that were tried.
#[derive(Debug, Serialize)]
pub struct Provenance<'a> {
    /// Of this file's form.
    format: u32,
    kernel: Kernel<'a>,
    source: &'a source::Provenance,
    patches: Vec<AppliedPatch<'a>>,
    fixes: Vec<AppliedFix<'a>>,
    toolchain: &'a Toolchain,
    /// Checks that were turned off.
    insecure_options: Vec<&'a str>,
    /// The digest of every input together.
    key: &'a Digest,
}

#[derive(Debug, Serialize)]
struct Kernel<'a> {
    version: String,
    release: &'a str,
    arch: &'a str,
    epoch: u64,
}

/// A patch and what became of it.
#[derive(Debug, Serialize)]
struct AppliedPatch<'a> {
    name: &'a str,
    digest: &'a Digest,
    outcome: &'static str,
}

#[derive(Debug, Serialize)]
struct AppliedFix<'a> {
    id: &'a str,
    upstream: &'a str,
}

/// What came out on the way.
pub(super) struct Results<'a> {
    pub(super) release: &'a str,
    pub(super) epoch: u64,
    pub(super) patches: &'a [Patch],
    pub(super) outcomes: &'a [Outcome],
    pub(super) fixes: &'a [Fix],
}

/// The file's bytes.
pub(super) fn provenance(
    settings: &Settings,
    plan: &BuildPlan,
    results: &Results<'_>,
) -> Result<Vec<u8>, Error> {
    let provenance = Provenance {
        format: 1,
        kernel: Kernel {
            version: plan.version.to_string(),
            release: results.release,
            arch: settings.arch.kernel(),
            epoch: results.epoch,
        },
        source: plan.source.provenance(),
        patches: results.patches.iter().zip(results.outcomes).map(applied_patch).collect(),
        fixes: results.fixes.iter().map(applied_fix).collect(),
        toolchain: &plan.toolchain,
        insecure_options: settings.insecure.iter().map(|option| option.as_str()).collect(),
        key: &plan.kernel_key,
    };
    let mut bytes = serde_json::to_vec_pretty(&provenance).map_err(|error| Error::Usage {
        problem: format!("can't write the provenance: {error}"),
        hint: "please report this".to_owned(),
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn applied_patch<'a>((patch, outcome): (&'a Patch, &Outcome)) -> AppliedPatch<'a> {
    let outcome = match outcome {
        Outcome::Applied => "applied",
        Outcome::AlreadyIn => "already in",
    };
    AppliedPatch { name: patch.name(), digest: patch.digest(), outcome }
}

fn applied_fix(fix: &Fix) -> AppliedFix<'_> {
    AppliedFix { id: &fix.id, upstream: &fix.upstream }
}
