//! `config-kernel` on a real kernel's source: what a build has, and why.

use fs_err as fs;
use stage1_builder::proc::Program;

use super::cache::shared_cache;
use super::debian_source::debian_has;
use super::json;
use super::not_run::not_run;
use super::support::{self, outcome};

fn config(args: &[&str]) -> Program {
    let project = std::env::temp_dir();
    support::builder(&project)
        .env("S1B_CACHE_DIR", shared_cache())
        .env("S1B_KERNEL_SOURCES", "debian")
        .args(["config-kernel", "6.12"])
        .args(args)
}

/// Every `kernel.json` of the shared workspaces: which kernels are finished.
fn finished() -> Vec<(String, String)> {
    let roots = fs::read_dir(shared_cache().join("work-v1")).unwrap().flatten();
    let mut keys: Vec<_> = roots
        .filter_map(|root| {
            let path = root.path().join("kernel.json");
            Some((path.display().to_string(), fs::read_to_string(path).ok()?))
        })
        .collect();
    keys.sort_unstable();
    keys
}

#[test]
fn a_configuration_and_its_reasons_are_told_without_touching_what_is_built() {
    if std::env::var("S1B_TEST_KERNELS").is_ok_and(|kernels| kernels == "none") {
        return not_run("config-kernel", "S1B_TEST_KERNELS is none");
    }
    if let Err(reason) = debian_has("6.12") {
        return not_run("config-kernel", &reason);
    }
    let before = finished();
    let (code, text, stderr) = outcome(config(&[]));
    assert_eq!(code, 0, "{stderr}");
    assert!(text.starts_with("#\n# Automatically generated file"), "{text:.80}");
    for line in ["CONFIG_9P_FS=y", "CONFIG_LOCALVERSION=\"-kinvolk-v1\"", "CONFIG_DEBUG_INFO_BTF=y"]
    {
        assert!(text.lines().any(|found| found == line), "{line}");
    }

    // Another configuration of the same source, made beside.
    let (code, off) = json(config(&["--features", "-btf", "--why", "CONFIG_DEBUG_INFO_BTF"]));
    assert_eq!((code, &off["origin"]), (0, &"made".into()));
    let why = &off["why"];
    assert_eq!((&why["symbol"], &why["value"]), (&"DEBUG_INFO_BTF".into(), &"n".into()));
    assert_eq!(why["asked"].as_array().unwrap().len(), 0);
    let definition = &why["definitions"][0];
    assert!(definition["place"].as_str().unwrap().starts_with("lib/Kconfig.debug:"));
    let depends = definition["depends_on"].as_array().unwrap();
    let debug_info = depends.iter().find(|term| term["text"] == "DEBUG_INFO").unwrap();
    assert_eq!(debug_info["value"], "n", "the false term is told");

    // What a build would refuse is told once, and the configuration all the same.
    let (code, text, stderr) = outcome(config(&["--config-item", "CONFIG_GONE_LONG_AGO=y"]));
    assert!((code, text.lines().count() > 1000) == (0, true), "{stderr}");
    let told = "warning: GONE_LONG_AGO: asked y, unknown in this tree";
    assert!(stderr.lines().any(|line| line.starts_with(told)), "{stderr}");

    let (code, told, _) = outcome(config(&["--why", "BPF_SYSCALL"]));
    assert_eq!(code, 0);
    assert!(told.starts_with("Linux 6.12."), "{told}");
    for part in
        [": BPF_SYSCALL = y\n", "asked for y in features/bpf.config:", "kernel/bpf/Kconfig:"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    let (code, _, stderr) = outcome(config(&["--why", "BPF_SYSCAL"]));
    assert_eq!(code, 10);
    assert!(stderr.contains("hint: did you mean 'BPF_SYSCALL'?"), "{stderr}");
    assert_eq!(finished(), before, "what is finished stays so");
}
