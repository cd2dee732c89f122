//! What runs the guest's instructions: the processor, or QEMU.
//!
//! A `/dev/kvm` that opens proves nothing: on some hosts QEMU aborts or the
//! guest stands still. Only a guest that spoke is a proof; so the first run
//! on a host tries, and what it finds is remembered until the host boots anew
//! or has another QEMU.

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::kept;
use crate::proc;

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// The processor itself.
    Kvm,
    /// QEMU's translator: works everywhere, and slowly.
    Tcg,
}

impl Accel {
    /// As QEMU names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// How this host stands with KVM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kvm {
    /// A guest spoke.
    Usable,
    /// The device is there and opens; no guest was tried yet.
    Untried,
    /// The device is there, and guests don't run on it; what happened.
    Unusable(String),
    /// The device is there and this user may not open it.
    Denied,
    /// There is no device.
    Absent,
}

/// What earlier runs found out, kept in a folder of the store.
#[derive(Debug, Clone)]
pub struct Finding {
    path: PathBuf,
    host: Host,
}

/// A finding holds for one boot of the host and one QEMU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Host {
    boot: String,
    qemu: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    host: Host,
    /// Whether a guest was tried at all.
    tried: bool,
    /// What happened; none: a guest spoke.
    trouble: Option<String>,
    /// Whether the user has been told that guests run slowly here.
    #[serde(default)]
    told: bool,
}

impl Finding {
    /// For this host and this QEMU.
    #[must_use]
    pub fn new(folder: &Path, qemu: &str) -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let identity = |path: PathBuf| {
            use std::os::unix::fs::MetadataExt;
            let found = fs::metadata(&path).ok()?;
            Some(format!("{} {} {}", path.display(), found.size(), found.mtime()))
        };
        let qemu = proc::find(qemu).and_then(identity).unwrap_or_default();
        let host = Host { boot: boot.trim().to_owned(), qemu };
        Self { path: folder.join("kvm.json"), host }
    }

    /// How this host stands with KVM, as far as it is known.
    #[must_use]
    pub fn get(&self) -> Kvm {
        match std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm") {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Kvm::Denied,
            Err(_) => Kvm::Absent,
            Ok(_) => match self.recall() {
                None => Kvm::Untried,
                Some(None) => Kvm::Usable,
                Some(Some(trouble)) => Kvm::Unusable(trouble),
            },
        }
    }

    fn recall(&self) -> Option<Option<String>> {
        self.record().filter(|record| record.tried).map(|record| record.trouble)
    }

    fn record(&self) -> Option<Record> {
        let record: Record = kept::read(&self.path)?;
        (record.host == self.host).then_some(record)
    }

    /// Whether the user is to be told now that guests run slowly here: once
    /// for each finding.
    #[must_use]
    pub fn tell_once(&self) -> bool {
        let mut record = self.record().unwrap_or_else(|| self.blank());
        let first = !std::mem::replace(&mut record.told, true);
        if first {
            self.write(&record);
        }
        first
    }

    fn blank(&self) -> Record {
        Record { host: self.host.clone(), tried: false, trouble: None, told: false }
    }

    /// Remembers what a run found. A store that can't be written to only
    /// means that the next run tries again.
    pub fn remember(&self, trouble: Option<&str>) {
        self.write(&Record { tried: true, trouble: trouble.map(str::to_owned), ..self.blank() });
    }

    fn write(&self, record: &Record) {
        _ = kept::write(&self.path, record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_holds_for_this_boot_and_this_program() {
        let folder = tempfile::tempdir().unwrap();
        let finding = Finding::new(folder.path(), "sh");
        assert_eq!(finding.recall(), None);
        assert!(finding.tell_once() && !finding.tell_once());
        assert_eq!(finding.recall(), None);
        finding.remember(Some("no life"));
        assert_eq!(finding.recall(), Some(Some("no life".to_owned())));
        assert_eq!(Finding::new(folder.path(), "cat").recall(), None);
        finding.remember(None);
        assert_eq!(finding.recall(), Some(None));
        let other = Finding { host: Host { boot: "other".into(), ..finding.host }, ..finding };
        assert_eq!(other.recall(), None);
    }
}
