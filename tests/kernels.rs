//! The main job on real kernels: built, packaged, booted.
//!
//! `S1B_TEST_KERNELS` names the series (default `6.1 6.12`, which Debian's
//! archive has); `S1B_TEST_SOURCES` a folder with more tarballs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "measured times are worth a line")]

use std::path::{Path, PathBuf};

use fs_err as fs;
use stage1_builder::content::{Content, Node, Rootfs};
use stage1_builder::kconfig;
use stage1_builder::pack::aci;
use stage1_builder::proc::Program;
use stage1_builder::report::Silent;

#[path = "support/bcc.rs"]
mod bcc;
#[path = "support/cache.rs"]
mod cache;
#[path = "support/debian_source.rs"]
mod debian_source;
#[path = "support/further.rs"]
mod further;
#[path = "support/machine.rs"]
mod machine;
#[path = "support/not_run.rs"]
mod not_run;
mod support;
use cache::shared_cache;
use debian_source::debian_has;
use machine::{after, boot, initramfs};
use not_run::not_run;
use support::{builder, outcome};

/// In the guest, what `verify --boot` does not look at: the headers in apps
/// whose /lib is a folder, a relative link and an absolute one, and the halt
/// that must end in a restart.
const SCRIPT: &str = r#"
release=$(uname -r)
echo "s1b-release: $release"
mkdir -p /usr/lib64/modules/$release/include
echo here >/usr/lib64/modules/$release/include/mark
mkdir -p /plain/lib /relative/usr/lib /absolute/usr/lib
ln -s usr/lib /relative/lib
ln -s /usr/lib /absolute/lib
for app in /plain/lib /relative/usr/lib /absolute/usr/lib; do
    root=/$(echo $app | cut -d/ -f2)
    /bind-headers $root || echo "s1b-wrong: bind-headers $root"
    [ "$(cat $app/modules/$release/include/mark)" = here ] || echo "s1b-wrong: no headers in $root"
    touch $app/modules/$release/include/x 2>/dev/null && echo "s1b-wrong: $root can write"
done
halt -f
sleep 60
"#;

#[test]
fn kernel_6_1_is_built_packaged_and_boots() {
    from_debian("6.1");
}

#[test]
fn kernel_6_12_is_built_packaged_and_boots() {
    from_debian("6.12");
}

#[test]
fn further_sources_are_built_packaged_and_boot() {
    further::each(|tarball| prove("", &["--source".to_owned(), tarball.display().to_string()]));
}

fn from_debian(series: &str) {
    let wanted = std::env::var("S1B_TEST_KERNELS").unwrap_or_else(|_| "6.1 6.12".into());
    if !wanted.split_whitespace().any(|word| word == series) {
        return not_run(&format!("kernel {series}"), "not in S1B_TEST_KERNELS");
    }
    if let Err(reason) = debian_has(series) {
        return not_run(&format!("kernel {series}"), &reason);
    }
    prove(series, &["--kernel-sources".to_owned(), "debian".to_owned()]);
}

fn prove(version: &str, arguments: &[String]) {
    let project = tempfile::tempdir().unwrap();
    let build = || {
        builder(project.path())
            .env("S1B_CACHE_DIR", shared_cache())
            .arg("build")
            .args((!version.is_empty()).then_some(version))
            .args(arguments)
    };
    let (code, stdout, stderr) = outcome(build());
    assert_eq!(code, 0, "{stderr}");
    let (file, id) = success(&stdout);
    assert!(id.starts_with("sha512-") && id.len() == 135, "{id}");

    let file = project.path().join(&file);
    let image = Image::unpack(&file, project.path());
    image.manifest_is_valid(&file);
    image.config_has_what_rkt_needs();
    keeps_its_promises(&file, project.path());
    lies_are_found(&file, &image.release, project.path());
    image.boots(project.path());
    image.bpf_compiles(project.path());

    let start = std::time::Instant::now();
    let (code, again, stderr) = outcome(build());
    assert_eq!((code, &again), (0, &stdout), "{stderr}");
    println!("nothing changed: {:?}", start.elapsed());
}

/// `Successfully built <file> with id <id>`, which must be all of stdout.
fn success(stdout: &str) -> (String, String) {
    let line = stdout.strip_suffix('\n').expect("one line");
    let rest = line.strip_prefix("Successfully built ").expect(line);
    let (file, id) = rest.split_once(" with id ").expect(line);
    (file.to_owned(), id.to_owned())
}

struct Image {
    rootfs: PathBuf,
    release: String,
}

impl Image {
    fn unpack(file: &Path, into: &Path) -> Self {
        let root = into.join("unpacked");
        fs::create_dir_all(&root).unwrap();
        Program::new("tar").arg("-xf").arg(file).arg("-C").arg(&root).run().expect("tar");
        let rootfs = root.join("rootfs");
        let modules: Vec<_> = fs::read_dir(rootfs.join("usr/lib64/modules")).unwrap().collect();
        assert_eq!(modules.len(), 1);
        let release = modules[0].as_ref().unwrap().file_name().into_string().unwrap();
        Self { rootfs, release }
    }

    fn modules(&self) -> PathBuf {
        self.rootfs.join("usr/lib64/modules").join(&self.release)
    }

    fn kernel(&self) -> PathBuf {
        self.rootfs.join("kernel_image")
    }

    fn manifest_is_valid(&self, file: &Path) {
        Program::new("actool").arg("--debug").arg("validate").arg(file).run().expect("actool");
        let manifest = fs::read_to_string(self.rootfs.with_file_name("manifest")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        let labels = manifest["labels"].as_array().unwrap();
        let label =
            |name| labels.iter().find(|label| label["name"] == name).unwrap()["value"].clone();
        let version = label("kernelversion").as_str().unwrap().to_owned();
        assert!(self.release.starts_with(&version) && self.release.ends_with("-kinvolk-v1"));
        assert_eq!(label("version"), "1.30.0");
    }

    fn config_has_what_rkt_needs(&self) {
        let text = fs::read_to_string(self.modules().join("source/.config")).unwrap();
        let config = kconfig::DotConfig::parse(".config", &text).unwrap();
        let missing = kconfig::missing_for_rkt(&config);
        assert!(missing.is_empty(), "{missing:?}");
    }

    fn bpf_compiles(&self, folder: &Path) {
        match bcc::lacks_bcc() {
            Some(reason) => not_run(&format!("BPF programs for {}", self.release), &reason),
            None => bcc::compiles(&self.modules(), &self.release, folder),
        }
    }

    fn boots(&self, folder: &Path) {
        let helper = self.rootfs.join("usr/lib64/stage1-builder/bind-headers");
        let archive = initramfs(folder, SCRIPT, &[("bind-headers", &helper)]);
        let console = boot(&self.kernel(), &archive);
        assert_eq!(after(&console, "s1b-release: "), Some(self.release.as_str()), "{console}");
        assert!(!console.contains("s1b-wrong"), "{console}");
        assert!(console.contains("<rkt: obligatory restart>"), "halt must restart: {console}");
    }
}

/// `verify --boot`: the exit code, and what is told.
fn verify(file: &Path, folder: &Path, more: &[&str]) -> (i32, serde_json::Value) {
    let verify = builder(folder).env("S1B_CACHE_DIR", shared_cache());
    let verify = verify.args(["verify", "--boot", "--format", "json"]).args(more).arg(file);
    let (code, stdout, stderr) = outcome(verify);
    let told = serde_json::from_str(&stdout);
    (code, told.unwrap_or_else(|error| panic!("{error}: {stdout}\n{stderr}")))
}

fn names(told: &serde_json::Value, status: &str) -> Vec<String> {
    let checks = told["checks"].as_array().unwrap().iter();
    let such = checks.filter(|check| check["status"] == status);
    such.map(|check| check["name"].as_str().unwrap().to_owned()).collect()
}

/// Every check, in the image and in the guest. Type information came with 5.4;
/// all else is there from 4.4 on.
fn keeps_its_promises(file: &Path, folder: &Path) {
    let (code, told) = verify(file, folder, &[]);
    assert_eq!((code, &told["ok"]), (0, &true.into()), "{told:#}");
    let skipped = names(&told, "skipped");
    assert!(skipped.iter().all(|name| name == "btf"), "{skipped:?}");
    let checks = told["checks"].as_array().unwrap();
    let items = |name: &str| {
        let check = checks.iter().find(|check| check["name"] == name);
        let items = check.unwrap_or_else(|| panic!("{name}: {told:#}"))["items"].as_array();
        let done = items.unwrap().iter().filter(|item| item["status"] == "ok");
        done.map(|item| item["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // None of these may be left out, whatever the configuration says.
    let filesystems = items("filesystems");
    for name in ["9p", "bpf", "cgroup", "debugfs", "ext4", "overlay", "squashfs", "tracefs"] {
        assert!(filesystems.iter().any(|found| found == name), "{name}: {filesystems:?}");
    }
    assert!(items("bpf-programs").iter().any(|name| name == "kprobe"));
    assert!(items("namespaces").len() >= 6);
}

/// The same image with a configuration of another kernel, and one that has no
/// time to boot.
fn lies_are_found(file: &Path, release: &str, folder: &Path) {
    let whole = aci::Whole::load(file).unwrap();
    let config = format!("usr/lib64/modules/{release}/config");
    let mut rootfs = Rootfs::new();
    for (path, node) in whole.rootfs.iter() {
        match node {
            Node::File { content: Content::Bytes(bytes), .. } if path == config => {
                let text = String::from_utf8(bytes.to_vec()).unwrap();
                let other = text.replace("# CONFIG_XFS_FS is not set", "CONFIG_XFS_FS=y");
                assert_ne!(text, other, "xfs is in a feature that is off");
                rootfs.insert_bytes(path, other.into_bytes(), false).unwrap();
            }
            node => rootfs.insert(path, node.clone()).unwrap(),
        }
    }
    let lying = folder.join("lying.aci");
    let options = aci::WriteOptions { epoch: whole.epoch(), ..aci::WriteOptions::default() };
    let mut to = fs::File::create(&lying).unwrap();
    aci::write(&whole.summary.manifest, &rootfs, &options, &mut to, &Silent).unwrap();
    let (code, told) = verify(&lying, folder, &[]);
    assert_eq!(code, 8);
    assert_eq!(names(&told, "failed"), ["configuration", "proc-config", "filesystems"]);
    let details =
        told["checks"].as_array().unwrap().iter().find(|check| check["name"] == "filesystems");
    let first = &details.unwrap()["details"][0];
    assert_eq!(first, "xfs: /proc/filesystems does not have it (CONFIG_XFS_FS)");

    let (code, told) = verify(file, folder, &["--boot-timeout", "10ms"]);
    assert_eq!((code, names(&told, "failed")), (8, vec!["boot".to_owned()]));
    let details = told["checks"].as_array().unwrap().last().unwrap()["details"].to_string();
    assert!(details.contains("did not boot") && details.contains("hint: "), "{details}");
}
