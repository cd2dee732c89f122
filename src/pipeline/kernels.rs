//! `kernels`: what there is to choose from.

use serde::Serialize;

use crate::compile::{Fix, Toolchain, fixes};
use crate::digest::Digest;
use crate::report::{Reporter, text};
use crate::settings::{KernelRequest, KernelVersion, Settings};
use crate::source::{self, Offer, Provider};
use crate::store::{self, Store};

use super::Error;
use super::plan::{Places, config, of_resolved, wanted};
use super::{kernel, toolchain};

/// What there is of what is asked for.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// Each provider of the settings, in their order.
    pub providers: Vec<Offered>,
    /// Kernels of which the store has images, and no provider the source.
    pub others: Vec<Other>,
    /// The fixes that a build of the version asked for may apply, by the
    /// version alone; only if they were asked for and nobody has the version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixes: Option<Vec<Needed>>,
}

/// A kernel of which there are images only.
#[derive(Debug, Clone, Serialize)]
pub struct Other {
    /// Which.
    pub version: KernelVersion,
    /// The ids of its images in the store, the newest first.
    pub images: Vec<String>,
}

/// What one provider has.
#[derive(Debug, Clone, Serialize)]
pub struct Offered {
    /// Who.
    pub provider: Provider,
    /// Why it could not be asked, if it could not; what follows is then what
    /// was fetched from it before.
    pub error: Option<String>,
    /// The newest first.
    pub kernels: Vec<Kernel>,
}

/// A kernel, and what the store has of it.
#[derive(Debug, Clone, Serialize)]
pub struct Kernel {
    /// What the provider says of it, and whether its source is here.
    #[serde(flatten)]
    pub offer: Offer,
    /// The ids of its images in the store, the newest first.
    pub images: Vec<String>,
    /// The fixes that a build would apply; only if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixes: Option<Vec<Needed>>,
}

/// A fix that a kernel needs with this host's tools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Needed {
    /// Its name.
    pub id: String,
    /// Why it is needed.
    pub why: String,
    /// The upstream commit that it stands for.
    pub upstream: String,
    /// The first mainline release that is known to be without the fault.
    pub released: String,
    /// How sure that is.
    pub certainty: Certainty,
}

/// How sure it is that a fix will be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// The source was looked at.
    Sure,
    /// Only the version: the series is older than what mended it, and may
    /// have taken that since, or never have had the trouble.
    Possible,
}

/// What each provider of the settings has of what is asked for; with a source
/// of the user's own, only what that is.
///
/// # Errors
/// When the store can't be read, or we are asked to stop. Who can't be
/// reached is part of the answer. Of a source of the user's own, as
/// [`super::build`]'s, as far as it goes.
pub fn kernels(
    settings: &Settings,
    request: Option<KernelRequest>,
    with_fixes: bool,
    refresh: bool,
    reporter: &dyn Reporter,
) -> Result<Answer, Error> {
    let store = Store::new(&settings.cache_dir);
    let places = Places::new(settings, &store);
    let options = places.options(settings, refresh);
    if settings.source.is_some() {
        // Of such a source, this accepts whatever it is.
        let any = request.unwrap_or(KernelRequest::Stable);
        let resolved = source::resolve(any, &options, reporter)?;
        let mut own = own(&store, resolved.version);
        if with_fixes {
            let (digest, fixes) = of_its_tree(settings, &store, &resolved, &options, reporter)?;
            (own.offer.here, own.fixes) = (Some(digest), Some(fixes));
        }
        let offered = Offered { provider: resolved.provider, error: None, kernels: vec![own] };
        return Ok(Answer { providers: vec![offered], others: Vec::new(), fixes: None });
    }
    let mut providers: Vec<Offered> = Vec::new();
    for &provider in options.sources {
        let (offers, error) = source::offers(provider, request, &options, reporter)?;
        let kernel = |offer| kernel(settings, &store, offer, with_fixes);
        let kernels = offers.into_iter().map(kernel).collect::<Result<_, _>>()?;
        let error = error.map(|error| text::chain(&error));
        providers.push(Offered { provider, error, kernels });
    }
    let known: Vec<_> =
        providers.iter().flat_map(|one| &one.kernels).map(|kernel| kernel.offer.version).collect();
    let others = others(&store, request, &known);
    let nobody = known.is_empty() && with_fixes;
    let asked = request.filter(|_| nobody).and_then(version_of);
    let fixes =
        asked.map(|version| by_version(settings, version, tools(settings, &store, version)?));
    Ok(Answer { providers, others, fixes: fixes.transpose()? })
}

/// The user's own source.
fn own(store: &Store, version: KernelVersion) -> Kernel {
    Kernel { images: images(store, &version), offer: Offer::own(version), fixes: None }
}

/// Which fixes the user's own source needs, its tree says: it is unpacked and
/// patched as a build would do it.
fn of_its_tree(
    settings: &Settings,
    store: &Store,
    resolved: &source::Resolved,
    options: &source::Options<'_>,
    reporter: &dyn Reporter,
) -> Result<(Digest, Vec<Needed>), Error> {
    let plan = of_resolved(settings, store, resolved, options, reporter)?;
    let prepared = kernel::prepare(settings, store, &plan, reporter)?;
    let sure = |fix| told(fix, Certainty::Sure);
    let fixes = prepared.fixes.iter().cloned().map(sure).collect();
    Ok((plan.source.digest().clone(), fixes))
}

/// The version that a request names, or the first of the series.
fn version_of(request: KernelRequest) -> Option<KernelVersion> {
    match request {
        KernelRequest::Exact(version) => Some(version),
        KernelRequest::Series(series) => Some(KernelVersion::new(series.major, series.minor, 0)),
        KernelRequest::Stable | KernelRequest::Longterm | KernelRequest::Mainline => None,
    }
}

fn others(store: &Store, request: Option<KernelRequest>, known: &[KernelVersion]) -> Vec<Other> {
    let named = |request: KernelRequest, version: &KernelVersion| {
        version_of(request).is_some() && request.fits(version)
    };
    let means = |version: &KernelVersion| request.is_none_or(|request| named(request, version));
    let all = store.images().all();
    let mut versions: Vec<KernelVersion> =
        all.iter().filter_map(|one| one.record.kernel.parse().ok()).collect();
    versions.retain(|version| means(version) && !known.contains(version));
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.dedup();
    versions.into_iter().map(|version| Other { images: images(store, &version), version }).collect()
}

fn kernel(
    settings: &Settings,
    store: &Store,
    offer: Offer,
    with_fixes: bool,
) -> Result<Kernel, Error> {
    let fixes = with_fixes.then(|| needed(settings, store, &offer)).transpose()?;
    Ok(Kernel { images: images(store, &offer.version), fixes, offer })
}

fn images(store: &Store, version: &KernelVersion) -> Vec<String> {
    let version = version.to_string();
    let mut found: Vec<_> =
        store.images().all().into_iter().filter(|one| one.record.kernel == version).collect();
    found.sort_by_key(|one| std::cmp::Reverse(one.made));
    found.iter().map(|one| one.record.id.appc()).collect()
}

/// By the source if a tree of it is there, else by the version.
fn needed(settings: &Settings, store: &Store, offer: &Offer) -> Result<Vec<Needed>, Error> {
    let version = offer.version;
    let toolchain = tools(settings, store, version)?;
    let folder = kernel::workspaces(settings, store);
    let found = offer.here.as_ref().and_then(|digest| store::source_tree(&folder, digest));
    if let (Some((tree, pristine)), Some(tools)) = (&found, &toolchain) {
        let untouched = source::Pristine::of(tree, pristine)?;
        let fixes = fixes::applicable(&untouched, tools, settings.arch)?;
        return Ok(fixes.into_iter().map(|fix| told(fix, Certainty::Sure)).collect());
    }
    by_version(settings, version, toolchain)
}

/// The tools of a build; without them, or with a toolchain that is not
/// fetched yet, nobody can say which fixes they call for.
fn tools(
    settings: &Settings,
    store: &Store,
    version: KernelVersion,
) -> Result<Option<Toolchain>, Error> {
    let config = config(settings, &version)?;
    let archive = toolchain::here(settings, store)?;
    if settings.toolchain.is_some() && archive.is_none() {
        return Ok(None);
    }
    Ok(Toolchain::detect(&wanted(settings, version, &config, archive.as_ref())).ok())
}

fn by_version(
    settings: &Settings,
    version: KernelVersion,
    tools: Option<Toolchain>,
) -> Result<Vec<Needed>, Error> {
    let (series, arch) = (version.series(), settings.arch);
    let may = |fix: &Fix| fix.may_apply(series, tools.as_ref(), arch);
    let fixes = fixes::table()?.into_iter().filter(may);
    Ok(fixes.map(|fix| told(fix, Certainty::Possible)).collect())
}

fn told(fix: Fix, certainty: Certainty) -> Needed {
    let Fix { id, why, upstream, released, .. } = fix;
    Needed { id, why, upstream, released: released.to_string(), certainty }
}
