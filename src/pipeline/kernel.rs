use std::path::{Path, PathBuf};

use crate::compile::{self, Compiled, Fix, Job, KernelArtifacts, Wanted};
use crate::digest::Digest;
use crate::kconfig::{self, DotConfig, Fragment, Severity, Tree};
use crate::report::{Reporter, Stage};
use crate::settings::{Insecure, Settings};
use crate::source::{self, Outcome, Patch, PatchError};
use crate::store::{self, SourceStamp, Store, Workspace};

use super::Error;
use super::plan::{BuildPlan, wanted};
use super::provenance::{Results, provenance};

/// A kernel that is finished, in a workspace that is still ours.
pub(super) struct Kernel {
    pub(super) artifacts: KernelArtifacts,
    pub(super) provenance: Vec<u8>,
    workspace: Workspace,
    /// Where the toolchain is, if it is not the host's.
    tools: Option<PathBuf>,
}

impl Kernel {
    /// Records that the objects are finished, so that the next build with the
    /// same key finds them.
    pub(super) fn record(&self, key: &Digest) -> Result<(), Error> {
        if self.workspace.kernel_key().as_ref() != Some(key) {
            // make syncs nothing, and the record must not outlive the objects.
            self.workspace.sync()?;
            self.workspace.set_kernel_key(Some(key))?;
        }
        Ok(())
    }

    /// Paths of this host that no image may hold.
    pub(super) fn forbidden(&self) -> Vec<Vec<u8>> {
        let tools = self.tools.as_deref();
        let paths = [self.workspace.root()].into_iter().chain(tools);
        paths.map(|path| path.as_os_str().as_encoded_bytes().to_owned()).collect()
    }
}

/// A workspace that is ours, with the source unpacked and patched.
pub(super) struct Prepared {
    pub(super) workspace: Workspace,
    pub(super) fixes: Vec<Fix>,
    patches: Vec<Patch>,
    outcomes: Vec<Outcome>,
    epoch: u64,
}

impl Prepared {
    /// What make is to do in its tree.
    pub(super) fn job<'a>(
        &'a self,
        settings: &'a Settings,
        plan: &'a BuildPlan,
        tree: &'a Path,
        log: &'a Path,
    ) -> Job<'a> {
        Job {
            tree,
            objects: compile::OBJECT_FOLDER,
            arch: settings.arch,
            version: plan.version,
            suffix: &plan.suffix,
            toolchain: &plan.toolchain,
            fixes: &self.fixes,
            launcher: settings.compiler_launcher.as_deref(),
            jobs: settings.jobs,
            epoch: self.epoch,
            btf: plan.btf,
            lock: self.workspace.children(),
            log,
            expected: None,
        }
    }
}

/// The folder that workspaces are in.
pub(super) fn workspaces(settings: &Settings, store: &Store) -> PathBuf {
    settings.build_dir.clone().unwrap_or_else(|| store.workspaces())
}

/// Claims a workspace, and unpacks and patches the source in it. Each step
/// finds what earlier builds left.
pub(super) fn prepare(
    settings: &Settings,
    store: &Store,
    plan: &BuildPlan,
    reporter: &dyn Reporter,
) -> Result<Prepared, Error> {
    let folder = workspaces(settings, store);
    let digest = plan.source.digest();
    let arch = settings.arch.kernel();
    let workspace = Workspace::claim(&folder, digest, arch, &plan.kernel_key, reporter)?;
    reporter.detail(format!("workspace {}", workspace.root().display()));
    let filled = match fill(settings, store, plan, &workspace, reporter) {
        // Which patches are in the tree, nobody knows any more.
        Err(Error::Patch(error @ PatchError::Originals { .. })) => {
            reporter.warning(format!("{error}; unpacking the source again"));
            workspace.clear()?;
            fill(settings, store, plan, &workspace, reporter)?
        }
        other => other?,
    };
    let Filled { fixes, patches, outcomes, epoch } = filled;
    Ok(Prepared { workspace, fixes, patches, outcomes, epoch })
}

/// What came of filling a workspace.
struct Filled {
    fixes: Vec<Fix>,
    patches: Vec<Patch>,
    outcomes: Vec<Outcome>,
    epoch: u64,
}

fn fill(
    settings: &Settings,
    store: &Store,
    plan: &BuildPlan,
    workspace: &Workspace,
    reporter: &dyn Reporter,
) -> Result<Filled, Error> {
    let stamp = unpacked(store, workspace, plan, reporter)?;
    let tree = workspace.tree();
    let pristine = workspace.pristine();
    let untouched = source::Pristine::of(&tree, &pristine)?;
    let fixes = compile::fixes::applicable(&untouched, &plan.toolchain, settings.arch)?;
    for fix in &fixes {
        reporter.detail(format!("fix {}: {}", fix.id, fix.why));
    }
    let patches = patches(plan, &fixes);
    let outcomes = source::apply_series(&tree, &pristine, &patches, reporter)
        .map_err(|error| of_a_fix(error, &fixes))?;
    let outcomes = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    let epoch = settings.source_date_epoch.unwrap_or(stamp.epoch);
    Ok(Filled { fixes, patches, outcomes, epoch })
}

/// Brings a workspace to the finished kernel.
pub(super) fn make(
    settings: &Settings,
    store: &Store,
    plan: &BuildPlan,
    reporter: &dyn Reporter,
) -> Result<Kernel, Error> {
    let prepared = prepare(settings, store, plan, reporter)?;
    let (tree, log) = (prepared.workspace.tree(), prepared.workspace.log());
    let job = prepared.job(settings, plan, &tree, &log);
    let artifacts = finished(settings, plan, &prepared.workspace, &job, reporter)?;
    let results = Results {
        release: &artifacts.release,
        epoch: artifacts.epoch,
        patches: &prepared.patches,
        outcomes: &prepared.outcomes,
        fixes: &prepared.fixes,
    };
    let provenance = provenance(settings, plan, &results)?;
    let tools = plan.toolchain.tools.as_ref().map(|tools| tools.folder.clone());
    Ok(Kernel { artifacts, provenance, workspace: prepared.workspace, tools })
}

/// The unpacked source. Patches that an earlier build applied may be in it:
/// [`source::apply_series`] knows them.
fn unpacked(
    store: &Store,
    workspace: &Workspace,
    plan: &BuildPlan,
    reporter: &dyn Reporter,
) -> Result<SourceStamp, Error> {
    let digest = plan.source.digest();
    if let Some(stamp) = workspace.source().filter(|stamp| stamp.digest == *digest) {
        plan.source.forget_ahead();
        return Ok(stamp);
    }
    workspace.clear()?;
    if let source::Source::Tarball(archive) = &plan.source {
        // The user's own is what it is; ours must be what was verified.
        if archive.path.starts_with(store.downloads()) {
            store::check_archive(&archive.path, digest)?;
        }
    }
    let unpacked = source::unpack_source(&plan.source, &workspace.tree(), reporter)?;
    let stamp = SourceStamp { digest: digest.clone(), epoch: unpacked.epoch };
    workspace.set_source(&stamp)?;
    Ok(stamp)
}

/// What fixes bring comes first: the user's patches are made for a source
/// that can be built.
fn patches(plan: &BuildPlan, fixes: &[Fix]) -> Vec<Patch> {
    let of_fixes = fixes.iter().flat_map(|fix| &fix.patches).filter_map(|name| {
        let text = compile::fixes::patch(name)?;
        Some(Patch::new(in_the_table(name), text.as_bytes().to_vec()))
    });
    of_fixes.chain(plan.patches.iter().cloned()).collect()
}

/// What a fix's patch is called: never as one of the user's, whose names have
/// no folder.
fn in_the_table(patch: &str) -> String {
    format!("fixes/{patch}")
}

/// Why the series does not apply: a patch of the user's is theirs to mend, one
/// of ours is not.
fn of_a_fix(error: PatchError, fixes: &[Fix]) -> Error {
    let is =
        |name| fixes.iter().find(|fix| fix.patches.iter().any(|one| in_the_table(one) == name));
    match error.patch().and_then(is) {
        Some(fix) => {
            Error::Fix { id: fix.id.clone(), why: fix.why.clone(), source: Box::new(error) }
        }
        None => error.into(),
    }
}

/// The finished kernel: what an earlier build left for the same key, or what
/// make makes of it.
fn finished(
    settings: &Settings,
    plan: &BuildPlan,
    workspace: &Workspace,
    job: &Job<'_>,
    reporter: &dyn Reporter,
) -> Result<KernelArtifacts, Error> {
    if workspace.kernel_key().as_ref() == Some(&plan.kernel_key)
        && let Some(artifacts) = job.finished()
    {
        reporter.detail("the kernel is finished already");
        return Ok(artifacts);
    }
    workspace.set_kernel_key(None)?;
    let wanted = wanted_in(settings, plan, job.tree);
    all_there(&wanted)?;
    let config = configure(settings, plan, job, reporter)?;
    if compile::needs_openssl(&config) {
        all_there(&Wanted { openssl: true, ..wanted })?;
    }
    let shape = shape(plan, job, &config);
    let job = Job { expected: workspace.counted(&shape), ..*job };
    let Compiled { artifacts, counted } = job.compile(reporter)?;
    if let Some(objects) = counted {
        workspace.set_counted(&shape, objects)?;
    }
    Ok(artifacts)
}

/// What decides how many objects a source has: patches, fixes and the options
/// that are on, whatever the names and versions.
fn shape(plan: &BuildPlan, job: &Job<'_>, config: &str) -> Digest {
    let patches = plan.patches.iter().map(|patch| patch.digest().to_string());
    let fixes = job.fixes.iter().map(|fix| fix.id.clone());
    let options = config.lines().filter(|line| {
        let (name, _) = line.split_once('=').unwrap_or_default();
        !line.starts_with('#') && !["VERSION", "VERSION_TEXT"].iter().any(|end| name.ends_with(end))
    });
    let parts = patches.chain(fixes).chain(options.map(str::to_owned));
    Digest::sha256(parts.collect::<Vec<_>>().join("\n").as_bytes())
}

/// Whether the host has what making this source takes.
pub(super) fn check_tools(settings: &Settings, plan: &BuildPlan, tree: &Path) -> Result<(), Error> {
    all_there(&wanted_in(settings, plan, tree))
}

/// What making the source in a tree takes.
fn wanted_in<'a>(settings: &'a Settings, plan: &'a BuildPlan, tree: &'a Path) -> Wanted<'a> {
    let tools = plan.toolchain.tools.as_ref();
    Wanted { tree: Some(tree), ..wanted(settings, plan.version, &plan.config, tools) }
}

fn all_there(wanted: &Wanted<'_>) -> Result<(), Error> {
    let missing = compile::missing(wanted);
    if missing.is_empty() { Ok(()) } else { Err(compile::Error::MissingTools(missing).into()) }
}

/// Every layer of the configuration, those of the fixes on top.
pub(super) fn asked(plan: &BuildPlan, fixes: &[Fix]) -> Result<kconfig::Plan, Error> {
    let asking = fixes.iter().filter(|fix| !fix.config.is_empty());
    let fragments = asking.map(|fix| Fragment::parse(&format!("fix {}", fix.id), &fix.fragment()));
    Ok(plan.config.clone().with(fragments.collect::<Result<Vec<_>, _>>()?))
}

/// Writes the `.config`, compares it with what was asked, and gives its text.
fn configure(
    settings: &Settings,
    plan: &BuildPlan,
    job: &Job<'_>,
    reporter: &dyn Reporter,
) -> Result<String, Error> {
    reporter.started(Stage::Configure, plan.version.to_string());
    let config = asked(plan, job.fixes)?;
    for layer in &config.layers()[plan.config.layers().len()..] {
        for taken in plan.config.overridden_by(layer) {
            reporter.warning(taken);
        }
    }
    let seed = config.seed(&plan.suffix);
    // We read the Kconfig files while make does: both take their time.
    let (text, tree) = std::thread::scope(|scope| {
        let tree = scope.spawn(|| Tree::read(job.tree, settings.arch));
        let text = job.configure(&seed, reporter);
        let tree = tree.join();
        // What make says comes first: it knows the files better.
        let text = text?;
        Ok::<_, Error>((text, tree.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?))
    })?;
    let outcome = DotConfig::parse(".config", &text)?;
    let findings = if settings.insecure.contains(&Insecure::Kconfig) {
        let findings = config.findings(&tree, settings.arch, &outcome);
        reporter.warning("findings on the configuration don't count (--insecure-options=kconfig)");
        findings
    } else {
        config.check(&tree, settings.arch, &outcome)?
    };
    for finding in &findings {
        match finding.severity {
            Severity::Warning => reporter.detail(finding.to_string()),
            Severity::Error => reporter.warning(finding.what.to_string()),
        }
    }
    let detail = match findings.len() {
        0 => format!("all of {} symbols as asked", config.requests()),
        1 => format!("{} symbols asked for, 1 finding", config.requests()),
        count => format!("{} symbols asked for, {count} findings", config.requests()),
    };
    reporter.finished(Stage::Configure, detail);
    Ok(text)
}
