//! What a provider has, for who wants to choose.

use serde::{Serialize, Serializer};

use crate::digest::Digest;
use crate::report::Reporter;
use crate::settings::{KernelRequest, KernelVersion};

use super::{Error, Options, Package, Provider, debian, kernel_org, record};

/// A kernel that a provider has, or had when its source was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Offer {
    /// Which.
    pub version: KernelVersion,
    /// `mainline`, `stable` or `longterm`, where the provider calls it so.
    pub moniker: Option<String>,
    /// The day of its release, `2026-01-08`, where the provider tells it.
    pub released: Option<String>,
    /// Whether its series has come to its end, where the provider tells it.
    pub end_of_life: Option<bool>,
    /// The package that it is in.
    pub package: Option<Package>,
    /// Whether the provider lists it now.
    pub listed: bool,
    /// The digest of its archive, if that is here and verified; programs read
    /// whether it is.
    #[serde(rename = "source", serialize_with = "is_here")]
    pub here: Option<Digest>,
}

impl Offer {
    /// A source that the user has, of which nobody tells more.
    #[must_use]
    pub fn own(version: KernelVersion) -> Self {
        plain(version)
    }
}

fn is_here<S: Serializer>(here: &Option<Digest>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_bool(here.is_some())
}

/// What a provider has of what is meant (of everything, if nothing is), the
/// newest first. What was fetched before is there even if the provider can't
/// be asked: then the error is the second part.
///
/// # Errors
/// When the records can't be read, or we are asked to stop.
pub fn offers(
    provider: Provider,
    request: Option<KernelRequest>,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<(Vec<Offer>, Option<Error>), Error> {
    let (mut offers, error) = match listed(provider, request, options, reporter) {
        Ok(offers) => (offers, None),
        Err(error) if error.lets_the_next_try() => (Vec::new(), Some(error)),
        Err(error) => return Err(error),
    };
    let means = |version: &KernelVersion| match request {
        None => true,
        Some(request @ (KernelRequest::Exact(_) | KernelRequest::Series(_))) => {
            request.fits(version)
        }
        // What a word means, only the provider can say.
        Some(_) => false,
    };
    for version in record::kept(options, provider).into_iter().filter(means) {
        if offers.iter().all(|offer| offer.version != version) {
            offers.push(Offer { listed: false, ..plain(version) });
        }
    }
    for offer in &mut offers {
        if let Some(archive) = record::find(options, provider, offer.version)? {
            offer.package = offer.package.take().or(Package::of(&archive.provenance.verified));
            offer.here = Some(archive.provenance.digest);
        }
    }
    // What can't be used, an option that was on then is off now, is no offer.
    offers.retain(|offer| offer.listed || offer.here.is_some());
    offers.sort_by_key(|offer| std::cmp::Reverse(offer.version));
    Ok((offers, error))
}

fn plain(version: KernelVersion) -> Offer {
    Offer {
        version,
        moniker: None,
        released: None,
        end_of_life: None,
        package: None,
        listed: true,
        here: None,
    }
}

fn listed(
    provider: Provider,
    request: Option<KernelRequest>,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Vec<Offer>, Error> {
    match provider {
        Provider::KernelOrg => {
            let listed = kernel_org::offers(request, options)?;
            let offer = |listed: super::releases::Listed| Offer {
                moniker: Some(listed.moniker).filter(|moniker| !moniker.is_empty()),
                released: listed.released,
                end_of_life: listed.end_of_life,
                ..plain(listed.version)
            };
            Ok(listed.into_iter().map(offer).collect())
        }
        Provider::Debian => {
            let listed = debian::offers(options, reporter)?.into_iter();
            let fits = |version: &KernelVersion| match request {
                None => true,
                // Which is the newest of all, Debian can't say.
                Some(KernelRequest::Stable | KernelRequest::Longterm | KernelRequest::Mainline) => {
                    false
                }
                Some(request) => request.fits(version),
            };
            let offer = |(version, package)| Offer { package: Some(package), ..plain(version) };
            Ok(listed.filter(|(version, _)| fits(version)).map(offer).collect())
        }
        Provider::Local | Provider::Git => Ok(Vec::new()),
    }
}
