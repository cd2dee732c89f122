//! The room as a whole.

use super::*;
use crate::settings::Arch;

/// For a look at real trees: `S1B_TEST_TREES` is a list `version=tree=config`
/// separated by colons, `S1B_TEST_SEED` a folder to write the seeds to.
#[test]
fn scratch() {
    let Ok(list) = std::env::var("S1B_TEST_TREES") else { return };
    for one in list.split(':') {
        let parts: Vec<_> = one.split('=').collect();
        let version: KernelVersion = parts[0].parse().unwrap();
        let extra = std::env::var("S1B_TEST_EXTRA")
            .ok()
            .map(|text| Fragment::parse("extra", &text.replace(';', "\n")).unwrap());
        let plan = fragments(&version, (&[], &[]), None, extra.into_iter().collect()).unwrap();
        if let Ok(seed) = std::env::var("S1B_TEST_SEED") {
            fs_err::write(format!("{seed}/{version}.seed"), plan.seed("-kinvolk-v1")).unwrap();
            continue;
        }
        let start = std::time::Instant::now();
        let tree = Tree::read(parts[1].as_ref(), Arch::X86_64).unwrap();
        println!(
            "{version}: {} files {} symbols {:?}; unread {:?}; odd {:?}",
            tree.files,
            tree.defined(),
            start.elapsed(),
            tree.unread,
            tree.odd
        );
        let config = DotConfig::load(parts[2].as_ref()).unwrap();
        let start = std::time::Instant::now();
        let findings = plan.findings(&tree, Arch::X86_64, &config);
        println!("  {} requests, check {:?}", plan.effective().len(), start.elapsed());
        for finding in findings {
            println!("  {finding}");
        }
        if let Ok(why) = std::env::var("S1B_TEST_WHY") {
            for why in why.split(',') {
                println!("{}", tree.explain(why, &config).unwrap());
            }
        }
    }
}
