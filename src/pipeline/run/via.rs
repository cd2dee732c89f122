//! How folders are shared.

use crate::proc;
use crate::report::Reporter;
use crate::vm::{self, Via};

use super::request::{RunRequest, ShareKind};

/// With so many open files virtiofsd serves whatever people have for a root;
/// what systems of today allow is a little more (524,288).
const ENOUGH_FILES: u64 = 500_000;
/// What becomes of it otherwise.
const FEW: &str = "a guest that looks at more of them at once finds none any more";

/// virtiofs where host and guest have it, unless something else is asked for.
pub(super) fn choose(request: &RunRequest, kernel: &vm::Kernel, reporter: &dyn Reporter) -> Via {
    let program = proc::find(&request.virtiofsd)
        .or_else(|| proc::find("/usr/libexec/virtiofsd"))
        .map(|path| path.display().to_string());
    let files = vm::files_of_virtiofsd();
    let few = files < ENOUGH_FILES;
    let virtiofs = |program| Via::Virtiofs { program };
    let (via, why) = match (request.share, program) {
        (Some(ShareKind::NineP), _) => (Via::NineP, "as asked for"),
        (Some(ShareKind::Virtiofs), program) => {
            if few {
                reporter.warning(format!("virtiofsd may open {files} files (ulimit -Hn): {FEW}"));
            }
            (virtiofs(program.unwrap_or_else(|| request.virtiofsd.clone())), "as asked for")
        }
        (None, _) if !kernel.virtiofs => (Via::NineP, "the kernel may not know virtiofs"),
        (None, None) => (Via::NineP, "there is no virtiofsd on this host"),
        (None, Some(_)) if few => (Via::NineP, "virtiofsd may not open enough files (ulimit -Hn)"),
        (None, Some(program)) if vm::virtiofsd_serves(&program) => (virtiofs(program), "quicker"),
        (None, Some(_)) => (Via::NineP, "the host's virtiofsd is not the one in Rust"),
    };
    let name = if via == Via::NineP { "9p" } else { "virtiofs" };
    reporter.detail(format!("folders are shared over {name}: {why}"));
    via
}
