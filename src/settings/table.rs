//! Every setting there is, once: its name, its flag, its default, its words.
//!
//! The command line's flags, the reference in the README, the search for the
//! nearest name and the test of `builder-config` are all made from it.

use std::fmt::Write as _;

use crate::nearest::nearest;

/// What a setting is without any layer's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltIn {
    /// This text, as if it were in `builder-config`.
    Text(&'static str),
    /// Found out on the host; the text says how.
    Computed(&'static str),
    /// Nothing; the text says what that means.
    Unset(&'static str),
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Its number.
    pub key: Key,
    /// Heading under which it is listed.
    pub group: &'static str,
    /// Its name in files and in the environment.
    pub name: &'static str,
    /// Its flag, without the two hyphens.
    pub flag: &'static str,
    /// What stands for the value in a usage text; none for [`Key::Debug`],
    /// whose flag takes no value.
    pub placeholder: Option<&'static str>,
    /// Its value when no layer gives one.
    pub default: BuiltIn,
    /// One line.
    pub help: &'static str,
    /// What else there is to know; may be empty.
    pub more: &'static str,
}

impl Setting {
    /// Whether a value may begin with a hyphen (`-kinvolk-v1`), which a
    /// command line would otherwise take for a flag.
    #[must_use]
    pub fn allows_leading_hyphen(&self) -> bool {
        matches!(self.key, Key::KernelVersionSuffix | Key::Features)
    }

    /// Whether its flag may be given more than once: the values are joined
    /// with a blank.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        matches!(self.key, Key::ConfigFragment | Key::ConfigItem)
    }
}

/// Declares [`Key`] and [`SETTINGS`] in one go, so that a key is the index of
/// its row.
macro_rules! settings {
    ($($group:literal { $(
        $key:ident: $name:literal $flag:literal $placeholder:expr, $default:expr,
            $help:literal, $more:literal;
    )+ })+) => {
        /// Names a setting in code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Key { $($(#[doc = $help] $key,)+)+ }

        /// Every setting, in the order in which it is shown.
        pub const SETTINGS: &[Setting] = &[$($(Setting {
            key: Key::$key,
            group: $group,
            name: $name,
            flag: $flag,
            placeholder: $placeholder,
            default: $default,
            help: $help,
            more: $more,
        },)+)+];
    };
}

use BuiltIn::{Computed, Text, Unset};

settings! {
    "Kernel" {
        KernelVersion: "S1B_KERNEL_VERSION" "kernel-version" Some("VERSION"), Text("6.12"),
            "The kernel to build",
            "`X.Y` is the newest release of the series, `X.Y.0` its first one; `X.Y.Z` and \
             `X.Y-rcN` are exact; `stable`, `longterm` and `mainline` are what kernel.org \
             calls so today.";
        KernelVersionSuffix: "S1B_KERNEL_VERSION_SUFFIX" "kernel-version-suffix" Some("TEXT"),
            Text("-kinvolk-v1"),
            "What `uname -r` says after the version",
            "Letters, digits and `. _ + ~ -`; version and suffix have at most 64 characters.";
        Arch: "S1B_ARCH" "arch" Some("ARCH"), Text("x86_64"),
            "The architecture to build for",
            "`x86_64`, or `arm64`, which `aarch64-linux-gnu-gcc` compiles.";
        Features: "S1B_FEATURES" "features" Some("LIST"), Unset("none besides the base"),
            "Parts of the kernel configuration to add, or with a `-` before the name to leave out",
            "Separated by commas or blanks: `debug,-netfilter`.";
        ConfigFragment: "S1B_CONFIG_FRAGMENT" "config-fragment" Some("FILE"),
            Unset("no further fragment"),
            "A fragment of a kernel configuration to lay over the features",
            "Separated by blanks, or one flag for each; a later one goes before an earlier one.";
        ConfigItem: "S1B_CONFIG_ITEM" "config-item" Some("CONFIG_NAME=VALUE"),
            Unset("no further symbol"),
            "A symbol of the kernel configuration, over all fragments",
            "Separated by blanks, or one flag for each: `CONFIG_XFS_FS=y CONFIG_VT=n \
             CONFIG_CMDLINE=\"quiet panic=1\"`.";
        ConfigDir: "S1B_CONFIG_DIR" "config-dir" Some("FOLDER"), Text("config"),
            "Where your own `linux-X.Y[.Z].config` files lie",
            "The file of the exact version goes before that of the series.";
        ExtraKernelPatchFiles: "S1B_EXTRA_KERNEL_PATCH_FILES" "extra-kernel-patch-files"
            Some("FILES"), Unset("no patches"),
            "Patches to apply to the source, in this order",
            "Separated by blanks.";
        ExtraKernelPatchUrls: "S1B_EXTRA_KERNEL_PATCH_URLS" "extra-kernel-patch-urls"
            Some("URLS"), Unset("no patches"),
            "Patches to download and apply after those in files, in this order",
            "Separated by blanks; each with its checksum: `https://…/fix.patch#sha256=…`.";
    }
    "Image" {
        UpstreamStage1KvmVersion: "S1B_UPSTREAM_STAGE1_KVM_VERSION" "upstream-stage1-kvm-version"
            Some("VERSION"), Text("1.30.0"),
            "The release of `coreos.com/rkt/stage1-kvm` that the image depends on",
            "";
        ImageName: "S1B_IMAGE_NAME" "image-name" Some("NAME"),
            Text("kinvolk.io/aci/rkt/stage1-kvm"),
            "The name in the image's manifest",
            "Lower case letters and digits, with single `- . _ ~ /` between them.";
        Format: "S1B_FORMAT" "format" Some("LIST"), Text("aci"),
            "The kinds of image to write",
            "`aci`, `oci` (an OCI image layout) and `dir` (plain files), separated by commas or \
             blanks; all from one tree.";
        Vmlinux: "S1B_VMLINUX" "vmlinux" Some("FORM"), Text("none"),
            "Whether the image has the uncompressed kernel, too",
            "`none`, `stripped` (its symbols and BTF stay) or `debug` (with debug information, \
             which needs `--features btf`).";
        Compression: "S1B_COMPRESSION" "compression" Some("METHOD"), Text("gzip"),
            "How the image is compressed",
            "`gzip`, `xz` or `none`. An OCI layer knows no xz: it is gzip then.";
        OutDir: "S1B_OUT_DIR" "out-dir" Some("FOLDER"), Text("aci-files/"),
            "Where the finished images go",
            "";
    }
    "Build" {
        Jobs: "S1B_JOBS" "jobs" Some("NUMBER"),
            Computed("the processors that this process may use"),
            "How many compilers run at once",
            "";
        BuildDir: "S1B_BUILD_DIR" "build-dir" Some("FOLDER"), Unset("a folder in the cache"),
            "Where the kernel is compiled",
            "";
        AciDir: "S1B_ACI_DIR" "aci-dir" Some("FOLDER"), Unset("not laid out"),
            "Where the content of the image is laid out as files",
            "";
        CacheDir: "S1B_CACHE_DIR" "cache-dir" Some("FOLDER"),
            Computed("`$XDG_CACHE_HOME/stage1-builder` or `~/.cache/stage1-builder`"),
            "Where downloads, source trees and builds are kept",
            "";
        Cc: "S1B_CC" "cc" Some("COMMAND"), Unset("the architecture's gcc"),
            "The C compiler for the kernel",
            "";
        Toolchain: "S1B_TOOLCHAIN" "toolchain" Some("NAME"), Unset("the host's compiler"),
            "One of kernel.org's own compilers, with its binutils, fetched and verified like a kernel",
            "`kernel.org:gcc-13.2.0`, `kernel.org:gcc-13.2`, or `kernel.org:gcc-13` for the newest \
             13 that it has. Not together with `S1B_CC`.";
        CompilerLauncher: "S1B_COMPILER_LAUNCHER" "compiler-launcher" Some("COMMAND"),
            Unset("none"),
            "What starts each compiler, for example `ccache`",
            "Never changes the output.";
    }
    "Source" {
        Source: "S1B_SOURCE" "source" Some("PATH|URL#REF"), Unset("download"),
            "A kernel tree, tarball or git repository of your own choice",
            "`REPOSITORY#REFERENCE` is a tag, branch or commit of a repository, a URL or a folder; a \
             checkout's state is in the release that `uname -r` says.";
        SourceSha256: "S1B_SOURCE_SHA256" "source-sha256" Some("HEX"), Unset("no checksum"),
            "The SHA-256 checksum that the tarball must have, of `S1B_SOURCE` or of an exact version",
            "";
        KernelSources: "S1B_KERNEL_SOURCES" "kernel-sources" Some("LIST"),
            Text("kernel.org debian"),
            "Who is asked for a kernel, in this order",
            "`kernel.org` and `debian`, separated by blanks or commas.";
        KernelOrgUrl: "S1B_KERNEL_ORG_URL" "kernel-org-url" Some("URL"),
            Text("https://cdn.kernel.org/pub/linux/kernel"),
            "The folder that holds `v6.x/` and its like, on kernel.org or a mirror",
            "";
        KernelOrgReleasesUrl: "S1B_KERNEL_ORG_RELEASES_URL" "kernel-org-releases-url" Some("URL"),
            Text("https://www.kernel.org/releases.json"),
            "The list of current releases",
            "";
        KernelOrgSnapshotUrl: "S1B_KERNEL_ORG_SNAPSHOT_URL" "kernel-org-snapshot-url" Some("URL"),
            Text("https://git.kernel.org/torvalds/t"),
            "The folder that holds the snapshots of release candidates",
            "";
        KernelOrgWkdUrl: "S1B_KERNEL_ORG_WKD_URL" "kernel-org-wkd-url" Some("URL"),
            Text("https://kernel.org/.well-known/openpgpkey/hu"),
            "The Web Key Directory with the keys of the kernel's signers",
            "The keys are checked against fingerprints that are part of the program.";
        KernelOrgToolsUrl: "S1B_KERNEL_ORG_TOOLS_URL" "kernel-org-tools-url" Some("URL"),
            Text("https://mirrors.edge.kernel.org/pub/tools/crosstool/files/bin"),
            "The folder that holds the toolchains of `S1B_TOOLCHAIN`, on kernel.org or a mirror",
            "";
    }
    "Trust" {
        Keyring: "S1B_KEYRING" "keyring" Some("FILE"), Unset("only the built-in signers"),
            "OpenPGP keys that you trust as signers of sources, too",
            "";
        InsecureOptions: "S1B_INSECURE_OPTIONS" "insecure-options" Some("LIST"),
            Unset("everything is verified"),
            "What need not be verified",
            "`patch` (patches without a checksum), `source` (sources and toolchains without a \
             signature or checksum) and `kconfig` (a configuration that rkt could not boot, or that did not \
             come out as asked), separated by commas or blanks. What was skipped is recorded \
             in the image.";
    }
    "Output" {
        Debug: "DEBUG" "debug" None, Unset("off"),
            "With any value: tell everything, as `-vv` does",
            "";
    }
}

impl Key {
    /// The row of this key.
    #[must_use]
    pub fn setting(self) -> &'static Setting {
        &SETTINGS[self as usize]
    }

    /// Its name in files and in the environment.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.setting().name
    }

    /// The key of the setting with exactly this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        SETTINGS.iter().find(|setting| setting.name == name).map(|setting| setting.key)
    }
}

/// The name of the setting that someone who wrote `name` may have meant.
#[must_use]
pub fn nearest_name(name: &str) -> Option<&'static str> {
    nearest(&name.to_ascii_uppercase(), SETTINGS.iter().map(|setting| setting.name))
}

/// The settings as Markdown tables, one a group.
#[must_use]
pub fn reference_markdown() -> String {
    let mut text = String::new();
    let mut group = "";
    for setting in SETTINGS {
        if setting.group != group {
            let gap = if group.is_empty() { "" } else { "\n" };
            group = setting.group;
            let _ = writeln!(text, "{gap}### {group}\n");
            let _ = writeln!(text, "| setting | flag | default | meaning |\n|---|---|---|---|");
        }
        let _ = writeln!(text, "{}", row(setting));
    }
    text
}

fn row(setting: &Setting) -> String {
    let Setting { name, flag, help, more, .. } = setting;
    let placeholder = setting.placeholder.map(|text| format!(" {text}")).unwrap_or_default();
    let default = match setting.default {
        Text(text) => format!("`{text}`"),
        Computed(text) | Unset(text) => text.to_owned(),
    };
    let gap = if more.is_empty() { "" } else { " " };
    format!("| `{name}` | `--{flag}{placeholder}` | {default} | {help}.{gap}{more} |")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_index_of_its_row_and_names_are_alone() {
        for (index, setting) in SETTINGS.iter().enumerate() {
            assert_eq!(setting.key as usize, index);
            assert_eq!(Key::named(setting.name), Some(setting.key));
        }
    }

    #[test]
    fn name_and_flag_are_one_name() {
        for setting in SETTINGS {
            let bare = setting.name.strip_prefix("S1B_").unwrap_or(setting.name);
            assert_eq!(setting.flag, bare.to_ascii_lowercase().replace('_', "-"));
            assert!(setting.name.starts_with("S1B_") || setting.key == Key::Debug);
        }
    }

    #[test]
    fn words_fit_a_table() {
        for setting in SETTINGS {
            assert!(!setting.help.ends_with('.') && setting.help.len() <= 90, "{}", setting.name);
            assert!(!setting.help.contains('|') && !setting.more.contains('|'));
            assert!(setting.more.is_empty() || setting.more.ends_with('.'), "{}", setting.name);
        }
        let reference = reference_markdown();
        let wanted = "| `S1B_OUT_DIR` | `--out-dir FOLDER` | `aci-files/` | ";
        assert!(reference.contains(wanted), "{reference}");
        assert_eq!(reference.matches("| `").count(), SETTINGS.len() + extra_cells());
    }

    /// Cells besides the first that begin with a code word.
    fn extra_cells() -> usize {
        let code = |setting: &&Setting| match setting.default {
            Text(_) => true,
            Computed(text) | Unset(text) => text.starts_with('`'),
        };
        SETTINGS.len() + SETTINGS.iter().filter(code).count()
    }

    #[test]
    fn a_slip_finds_its_name_and_noise_finds_none() {
        assert_eq!(nearest_name("S1B_KERNEL_VERSOIN"), Some("S1B_KERNEL_VERSION"));
        assert_eq!(nearest_name("S1B_OUTDIR"), Some("S1B_OUT_DIR"));
        assert_eq!(nearest_name("s1b_jobs"), Some("S1B_JOBS"));
        assert_eq!(nearest_name("S1B_ZZZZZZZZZZZZ"), None);
    }
}
