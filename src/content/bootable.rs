//! Whether rkt could boot a kernel: what the packer refuses and `verify` tells.

use std::fmt;

use super::{Error, REBOOT_TEXT};
use crate::kconfig::{DotConfig, Need, missing_for_rkt};
use crate::settings::KernelVersion;

/// What is known of a kernel that a stage1 image is to hold, whoever built it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// What the kernel says it is, `uname -r`.
    pub release: &'a str,
    /// The name of its modules folder.
    pub folder: &'a str,
    /// The version that the image's label has.
    pub version: &'a KernelVersion,
    /// Its configuration.
    pub config: Configuration<'a>,
    /// Whether it has the text of rkt's reboot change.
    pub restarts: bool,
}

/// What can be asked of a kernel's configuration.
#[derive(Debug, Clone, Copy)]
pub enum Configuration<'a> {
    /// It is this one.
    Known(&'a DotConfig),
    /// Nobody knows it, so that nothing is known to be built in.
    Unknown,
    /// Nobody asks (`--insecure-options=kconfig`).
    Unasked,
}

impl<'a> From<Option<&'a DotConfig>> for Configuration<'a> {
    /// What was looked for, and found or not.
    fn from(found: Option<&'a DotConfig>) -> Self {
        found.map_or(Self::Unknown, Self::Known)
    }
}

/// Something without which rkt can't boot a kernel, or never sees it end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lack {
    /// The change of `kernel/reboot.c` that restarts where others halt.
    Reboot,
    /// A configuration: nobody knows what is built in.
    Config,
    /// An option that is not built in.
    BuiltIn(&'static Need),
    /// Modules and headers are in a folder for another kernel.
    Folder {
        /// The kernel's release.
        release: String,
        /// The folder's name.
        folder: String,
    },
    /// The release is not that of the version.
    Version {
        /// The kernel's release.
        release: String,
        /// How it must begin.
        wanted: String,
    },
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reboot => {
                write!(f, "no reboot change ('{REBOOT_TEXT}' in kernel/reboot.c): no pod ends")
            }
            Self::Config => {
                write!(
                    f,
                    "its configuration is not known (a kernel can hold its own: CONFIG_IKCONFIG)"
                )
            }
            Self::BuiltIn(need) => {
                let names: Vec<_> =
                    need.any_of.iter().map(|name| format!("CONFIG_{name}=y")).collect();
                write!(f, "{} is not built in ({})", names.join(" or "), need.purpose)
            }
            Self::Folder { release, folder } => {
                write!(f, "the kernel says it is {release}, its modules folder is for {folder}")
            }
            Self::Version { release, wanted } => {
                write!(f, "the kernel says it is {release}, which is not {wanted} and a suffix")
            }
        }
    }
}

impl Candidate<'_> {
    /// All that rkt would miss; empty if it can boot the kernel.
    #[must_use]
    pub fn lacks(&self) -> Vec<Lack> {
        let release = self.release.to_owned();
        let mut lacks = Vec::new();
        if !self.restarts {
            lacks.push(Lack::Reboot);
        }
        if self.folder != self.release {
            let folder = self.folder.to_owned();
            lacks.push(Lack::Folder { release: release.clone(), folder });
        }
        let wanted = self.version.release();
        if !is_of(&release, &wanted) {
            lacks.push(Lack::Version { release, wanted });
        }
        match self.config {
            Configuration::Known(config) => {
                lacks.extend(missing_for_rkt(config).into_iter().map(Lack::BuiltIn));
            }
            Configuration::Unknown => lacks.push(Lack::Config),
            Configuration::Unasked => {}
        }
        lacks
    }

    /// Refuses what rkt could not boot.
    ///
    /// # Errors
    /// [`Error::NotForRkt`] with all that is lacking.
    pub fn check(&self) -> Result<(), Error> {
        match self.lacks() {
            lacks if lacks.is_empty() => Ok(()),
            lacks => Err(Error::NotForRkt { release: self.release.to_owned(), lacks }),
        }
    }
}

/// `6.12.1-x` is of `6.12.1`, `6.12.10` is not.
fn is_of(release: &str, version: &str) -> bool {
    let goes_on = |rest: &str| rest.starts_with(|next: char| next == '.' || next.is_ascii_digit());
    release.strip_prefix(version).is_some_and(|rest| !goes_on(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kconfig::RKT_BUILT_IN;
    use crate::report::Fault;

    fn complete() -> DotConfig {
        let names = RKT_BUILT_IN.iter().map(|need| need.any_of[0]);
        let text: String = names.map(|name| format!("CONFIG_{name}=y\n")).collect();
        DotConfig::parse(".config", &text).unwrap()
    }

    #[test]
    fn a_distributions_kernel_is_refused_with_all_that_it_lacks() {
        let version = KernelVersion::new(6, 1, 192);
        let text = "CONFIG_X86=y\nCONFIG_NET_9P_VIRTIO=m\nCONFIG_VIRTIO_PCI=m\n";
        let config = DotConfig::parse(".config", text).unwrap();
        let debian = Candidate {
            release: "6.1.0-50-amd64",
            folder: "6.1.0-50-amd64",
            version: &version,
            config: Configuration::Known(&config),
            restarts: false,
        };
        let error = debian.check().unwrap_err();
        assert_eq!(error.fault(), Fault::Compile);
        let said = error.to_string();
        for part in ["obligatory restart", "not 6.1.192", "CONFIG_NET_9P_VIRTIO=y is not built in"]
        {
            assert!(said.contains(part), "{said}");
        }
        let unasked = Candidate { config: Configuration::Unasked, ..debian };
        assert_eq!(unasked.lacks().len(), 2, "whoever insists is not asked for options");
        let unknown = Candidate { config: None.into(), ..debian };
        assert_eq!(unknown.lacks().last(), Some(&Lack::Config), "one line, not thirty");
        assert_eq!(unknown.lacks().len(), 3);
    }

    #[test]
    fn ours_is_taken() {
        let (version, config) = (KernelVersion::new(6, 12, 0), complete());
        let ours = Candidate {
            release: "6.12.0-kinvolk-v1",
            folder: "6.12.0-kinvolk-v1",
            version: &version,
            config: Some(&config).into(),
            restarts: true,
        };
        ours.check().unwrap();
        let elsewhere = Candidate { folder: "6.12-kinvolk-v1", ..ours };
        assert!(matches!(elsewhere.lacks()[..], [Lack::Folder { .. }]));
    }

    #[test]
    fn a_longer_number_is_another_version() {
        assert!(is_of("6.12.1", "6.12.1") && is_of("6.12.1-x", "6.12.1") && is_of("6.1+", "6.1"));
        assert!(!is_of("6.12.10-x", "6.12.1") && !is_of("6.1.0-x", "6.1") && !is_of("6", "6.1"));
    }
}
