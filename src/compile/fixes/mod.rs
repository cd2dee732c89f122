//! What an old source needs on today's tools: the table of `fixes/fixes.toml`
//! and the choice of what applies to a tree.

mod condition;
mod probe;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::condition::Condition;
use self::probe::Probe;
use super::{Error, Toolchain};
use crate::digest::Digest;
use crate::settings::{Arch, Series};
use crate::source::Pristine;

/// The table, as committed.
const TABLE: &str = include_str!("../../../fixes/fixes.toml");

/// How much of a fix somebody has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confirmed {
    /// A tree that needs it was compiled and booted with it.
    Built,
    /// Only its commit was looked up.
    Commit,
}

/// One cure. Serialised, it is what decides over a tree whose tools call for
/// it, and what reaches the output.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fix {
    /// Its name, in messages and in the build key.
    pub id: String,
    /// Why it is needed, in one line.
    #[serde(skip_serializing)]
    pub why: String,
    /// The upstream commit that it stands for, in full.
    pub upstream: String,
    /// The first mainline release that is known to be without the fault.
    #[serde(skip_serializing, deserialize_with = "series")]
    pub released: Series,
    /// The first mainline series that has the fault; 4.4 if absent.
    #[serde(default = "oldest", skip_serializing, deserialize_with = "series")]
    pub begins: Series,
    /// How much of this somebody has seen.
    #[serde(skip_serializing)]
    pub confirmed: Confirmed,
    /// Kernel architectures that it is for; every one if empty.
    #[serde(default, skip_serializing)]
    arch: Vec<String>,
    #[serde(default, skip_serializing)]
    tools: Vec<Condition>,
    probes: Vec<Probe>,
    /// Words to add to make variables.
    #[serde(default)]
    pub make: BTreeMap<String, Vec<String>>,
    /// Lines for the end of the configuration.
    #[serde(default)]
    pub config: Vec<String>,
    /// Arguments for pahole when it writes BTF.
    #[serde(default)]
    pub pahole: Vec<String>,
    /// Names of patches, for [`patch`].
    #[serde(default)]
    pub patches: Vec<String>,
}

impl Fix {
    /// The configuration that it asks for, as a fragment; empty if none.
    #[must_use]
    pub fn fragment(&self) -> String {
        self.config.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Whether a mainline release of this series may need it, as far as its
    /// number, the architecture and the tools tell: a hint, for where there is
    /// no source to probe. Long-term releases may have been mended since.
    /// Without tools, any are taken for those that it is for.
    #[must_use]
    pub fn may_apply(&self, series: Series, tools: Option<&Toolchain>, arch: Arch) -> bool {
        (self.begins..self.released).contains(&series)
            && self.is_for(arch)
            && tools.is_none_or(|tools| self.called_for(tools, arch))
    }

    fn is_for(&self, arch: Arch) -> bool {
        self.arch.is_empty() || self.arch.iter().any(|one| one == arch.kernel())
    }

    /// Whether the architecture and the tools are those that it is for.
    fn called_for(&self, toolchain: &Toolchain, arch: Arch) -> bool {
        self.is_for(arch) && self.tools.iter().all(|condition| condition.holds(toolchain))
    }

    fn applies(
        &self,
        tree: &Pristine<'_>,
        toolchain: &Toolchain,
        arch: Arch,
    ) -> Result<bool, Error> {
        if !self.called_for(toolchain, arch) {
            return Ok(false);
        }
        for probe in &self.probes {
            if !probe.holds(tree)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    fix: Vec<Fix>,
}

/// Every fix that we know.
///
/// # Errors
/// When the table that this program carries is damaged.
pub fn table() -> Result<Vec<Fix>, Error> {
    parse(TABLE)
}

fn parse(text: &str) -> Result<Vec<Fix>, Error> {
    let table: Table =
        toml::from_str(text).map_err(|error| Error::Fixes { text: error.to_string() })?;
    Ok(table.fix)
}

/// The fixes that the tree needs with these tools, in the table's order.
///
/// # Errors
/// When a file of the tree is there but can't be read.
pub fn applicable(
    tree: &Pristine<'_>,
    toolchain: &Toolchain,
    arch: Arch,
) -> Result<Vec<Fix>, Error> {
    let mut applicable = Vec::new();
    for fix in table()? {
        if fix.applies(tree, toolchain, arch)? {
            applicable.push(fix);
        }
    }
    Ok(applicable)
}

fn series<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Series, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

fn oldest() -> Series {
    Series::OLDEST
}

/// What a build's key holds of the fixes: the name and the digest of each that
/// these tools call for, in the table's order. Which of them a source needs,
/// the source's own digest decides.
///
/// # Errors
/// When the table that this program carries is damaged.
pub fn identity(toolchain: &Toolchain, arch: Arch) -> Result<Vec<(String, Digest)>, Error> {
    let called_for = table()?.into_iter().filter(|fix| fix.called_for(toolchain, arch));
    called_for.map(|fix| Ok((fix.id.clone(), digest(&fix)?))).collect()
}

/// The digest of what a fix asks and does, its patches' texts included.
fn digest(fix: &Fix) -> Result<Digest, Error> {
    let own =
        serde_json::to_string(fix).map_err(|error| Error::Fixes { text: error.to_string() })?;
    let patches = fix.patches.iter().filter_map(|name| patch(name));
    let all: Vec<&str> = std::iter::once(own.as_str()).chain(patches).collect();
    Ok(Digest::sha256(all.join("\0").as_bytes()))
}

/// The text of a patch that a fix names.
#[must_use]
pub fn patch(name: &str) -> Option<&'static str> {
    PATCHES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

const PATCHES: &[(&str, &str)] = &[
    ("plt32-modules.patch", include_str!("../../../fixes/plt32-modules.patch")),
    ("plt32-relocs.patch", include_str!("../../../fixes/plt32-relocs.patch")),
    ("ilog2-constant.patch", include_str!("../../../fixes/ilog2-constant.patch")),
    ("objtool-host-compiler.patch", include_str!("../../../fixes/objtool-host-compiler.patch")),
    ("tools-make43.patch", include_str!("../../../fixes/tools-make43.patch")),
    ("make43-hash.patch", include_str!("../../../fixes/make43-hash.patch")),
    ("arm64-reloc-range.patch", include_str!("../../../fixes/arm64-reloc-range.patch")),
    ("arm64-text-init.patch", include_str!("../../../fixes/arm64-text-init.patch")),
    ("no-pie-modules.patch", include_str!("../../../fixes/no-pie-modules.patch")),
    ("overlay-remote.patch", include_str!("../../../fixes/overlay-remote.patch")),
    ("overlay-9p.patch", include_str!("../../../fixes/overlay-9p.patch")),
    ("selinux-genheaders.patch", include_str!("../../../fixes/selinux-genheaders.patch")),
    ("selinux-mdp.patch", include_str!("../../../fixes/selinux-mdp.patch")),
    ("openssl4-sign-file.patch", include_str!("../../../fixes/openssl4-sign-file.patch")),
    ("openssl4-extract-cert.patch", include_str!("../../../fixes/openssl4-extract-cert.patch")),
    ("openssl4-certs.patch", include_str!("../../../fixes/openssl4-certs.patch")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::toolchain::tests::a_toolchain;
    use crate::source::{Patch, apply_series};
    use fs_err as fs;
    use std::path::Path;

    fn ids_for(arch: Arch, tree: &Path, toolchain: &Toolchain) -> Vec<String> {
        let originals = tree.with_extension("pristine");
        let tree = Pristine::of(tree, &originals).unwrap();
        let fixes = applicable(&tree, toolchain, arch).unwrap();
        fixes.into_iter().map(|fix| fix.id).collect()
    }

    fn ids(tree: &Path, toolchain: &Toolchain) -> Vec<String> {
        ids_for(Arch::X86_64, tree, toolchain)
    }

    fn write(tree: &Path, file: &str, text: &str) {
        let path = tree.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_table_is_sound() {
        let table = table().unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for fix in &table {
            assert!(seen.insert(fix.id.clone()), "{} twice", fix.id);
            assert!(!fix.probes.is_empty() && !fix.why.is_empty(), "{}", fix.id);
            let acts = fix.make.len() + fix.config.len() + fix.pahole.len() + fix.patches.len();
            assert!(acts > 0, "{} does nothing", fix.id);
            assert!(fix.patches.iter().all(|name| patch(name).is_some()), "{}", fix.id);
            let known = Arch::ALL.map(Arch::kernel);
            assert!(fix.arch.iter().all(|arch| known.contains(&arch.as_str())), "{}", fix.id);
            let commit = &fix.upstream;
            let hex = commit.bytes().all(|b| b.is_ascii_hexdigit());
            assert!(commit.len() == 40 && hex, "{}", fix.id);
            let line = format!("\nUpstream: {commit}\n");
            let names = |name: &String| patch(name).unwrap().contains(&line);
            assert!(fix.patches.iter().all(names), "{}: a patch names another commit", fix.id);
            assert!(fix.begins < fix.released, "{}", fix.id);
        }
    }

    #[test]
    fn the_source_and_the_tools_decide() {
        let tree = tempfile::tempdir().unwrap();
        write(
            tree.path(),
            "include/linux/elfcore.h",
            "extern Elf_Half elf_core_extra_phdrs(void);",
        );
        write(tree.path(), "tools/lib/subcmd/subcmd-util.h", "\tif (!ret && !size)\n");
        assert_eq!(ids(tree.path(), &a_toolchain()), ["elfcore-recordmcount", "objtool-realloc"]);

        let mut old = a_toolchain();
        old.linker.version = "2.35.2".parse().unwrap();
        old.host_cc.version = "11.4.0".parse().unwrap();
        assert!(ids(tree.path(), &old).is_empty());

        let mended = "static inline Elf_Half elf_core_extra_phdrs(void) { return 0; }";
        write(tree.path(), "include/linux/elfcore.h", mended);
        assert_eq!(ids(tree.path(), &a_toolchain()), ["objtool-realloc"]);
        let arm = ids_for(Arch::Arm64, tree.path(), &a_toolchain());
        assert_eq!(arm.len(), 1, "{arm:?}");
    }

    #[test]
    fn programs_that_ask_engines_are_mended_for_a_library_that_has_none() {
        let tree = tempfile::tempdir().unwrap();
        let mut four = a_toolchain();
        four.openssl = Some("4.0.3".parse().unwrap());
        for (file, id) in [
            ("scripts/sign-file.c", "openssl4-sign-file"),
            ("scripts/extract-cert.c", "openssl4-extract-cert"),
            ("certs/extract-cert.c", "openssl4-certs"),
        ] {
            write(tree.path(), file, "#include <openssl/err.h>\n#include <openssl/engine.h>\n");
            assert!(ids(tree.path(), &a_toolchain()).is_empty(), "{file}");
            assert_eq!(ids(tree.path(), &four), [id]);
            // Upstream's own: only for a library that has them.
            write(
                tree.path(),
                file,
                "# if !defined(OPENSSL_NO_ENGINE)\n#  include <openssl/engine.h>\n",
            );
            assert!(ids(tree.path(), &four).is_empty(), "{file}");
        }
    }

    #[test]
    fn a_tree_that_upstream_mended_is_left_alone() {
        let order = "unsigned long __force_order;\n";
        let strlcpy = "extern size_t strlcpy(char *dest, const char *src, size_t size);\n";
        let quiet = format!("#pragma GCC diagnostic ignored \"-Wredundant-decls\"\n{strlcpy}");
        let string = "tools/include/linux/string.h";
        let kaslr = "arch/x86/boot/compressed/kaslr_64.c";
        let pagetable = "arch/x86/boot/compressed/pagetable.c";
        for (id, file, faulty, mended) in [
            ("objtool-strlcpy", string, strlcpy, quiet.as_str()),
            ("force-order", kaslr, order, ""),
            ("force-order-pagetable", pagetable, order, ""),
            ("gcc10-canary", "init/main.c", "", "\tprevent_tail_call_optimization();\n"),
        ] {
            let tree = tempfile::tempdir().unwrap();
            write(tree.path(), "arch/x86/boot/compressed/pgtable_64.c", order);
            write(tree.path(), file, faulty);
            assert_eq!(ids(tree.path(), &a_toolchain()), [id]);
            write(tree.path(), file, mended);
            assert!(ids(tree.path(), &a_toolchain()).is_empty(), "{id}");
        }
    }

    #[test]
    fn makes_silence_is_mended_where_make_and_makefile_have_it() {
        let tree = tempfile::tempdir().unwrap();
        let mut new = a_toolchain();
        new.make.version = "4.4.1".parse().unwrap();
        write(
            tree.path(),
            "Makefile",
            "# -fno-PIE\nifneq ($(findstring s,$(filter-out --%,$(MAKEFLAGS))),)\n",
        );
        assert!(ids(tree.path(), &a_toolchain()).is_empty());
        assert_eq!(ids(tree.path(), &new), ["make44-silent"]);
        // Upstream's own has the same words for a make before 4.0.
        write(
            tree.path(),
            "Makefile",
            "# -fno-PIE\nsilence:=$(findstring s,$(filter-out --%,$(MAKEFLAGS)))\nifeq ($(silence),s)\n",
        );
        assert!(ids(tree.path(), &new).is_empty());
    }

    #[test]
    fn selinux_is_mended_where_it_asks_the_host() {
        let tree = tempfile::tempdir().unwrap();
        for program in ["genheaders/genheaders.c", "mdp/mdp.c"] {
            let file = format!("scripts/selinux/{program}");
            write(tree.path(), &file, "#include <sys/socket.h>\n");
        }
        let map = "security/selinux/include/classmap.h";
        write(tree.path(), map, "#define COMMON_FILE_PERMS\n");
        assert!(ids(tree.path(), &a_toolchain()).is_empty());
        write(tree.path(), map, "#if PF_MAX > 45\n");
        assert_eq!(ids(tree.path(), &a_toolchain()), ["selinux-families"]);
        write(tree.path(), "scripts/selinux/mdp/mdp.c", "#include <string.h>\n");
        assert!(ids(tree.path(), &a_toolchain()).is_empty());
    }

    #[test]
    fn without_a_source_the_series_and_the_tools_decide() {
        let table = table().unwrap();
        let ids = |series: &str, tools: Option<&Toolchain>| -> Vec<&str> {
            let series = series.parse().unwrap();
            let fits = |fix: &&Fix| fix.may_apply(series, tools, Arch::X86_64);
            table.iter().filter(fits).map(|fix| fix.id.as_str()).collect()
        };
        let tools = a_toolchain();
        let has = |series: &str, id: &str| ids(series, Some(&tools)).contains(&id);
        assert!(has("5.10", "elfcore-recordmcount") && !has("5.11", "elfcore-recordmcount"));
        assert!(has("4.4", "elfcore-recordmcount") && !has("4.4", "objtool-select"));
        assert!(has("4.9", "objtool-select") && has("4.9", "two-meg-pages"));
        assert!(has("5.15", "btf-enum64") && !has("5.15", "elfcore-recordmcount"));
        assert!(ids("6.12", Some(&tools)).is_empty());
        let mut new = a_toolchain();
        new.cc.version = "15.1.0".parse().unwrap();
        assert_eq!(ids("6.12", Some(&new)), ["gcc15-c23"]);
        assert_eq!(ids("6.6", Some(&new)), ["gcc15-c23", "gcc15-c23-realmode"]);
        let mut old = a_toolchain();
        old.linker.version = "2.35.2".parse().unwrap();
        assert!(!ids("5.10", Some(&old)).contains(&"elfcore-recordmcount"));
        assert!(ids("5.10", None).len() > ids("5.10", Some(&old)).len());
    }

    #[test]
    fn what_decides_and_what_reaches_the_output_is_in_the_key_and_nothing_else() {
        let named = |id: &str| table().unwrap().into_iter().find(|fix| fix.id == id).unwrap();
        let fix = named("elfcore-recordmcount");
        let of = |change: &dyn Fn(&mut Fix)| {
            let mut fix = fix.clone();
            change(&mut fix);
            digest(&fix).unwrap()
        };
        let as_it_is = digest(&fix).unwrap();
        for told in [
            of(&|fix| fix.why.push('!')),
            of(&|fix| fix.confirmed = Confirmed::Commit),
            of(&|fix| fix.released = "5.12".parse().unwrap()),
            of(&|fix| fix.begins = "4.5".parse().unwrap()),
        ] {
            assert_eq!(told, as_it_is);
        }
        for done in [
            of(&|fix| fix.upstream.push('0')),
            of(&|fix| fix.probes.clear()),
            of(&|fix| fix.make.clear()),
            of(&|fix| fix.config.push("CONFIG_X=y".to_owned())),
            of(&|fix| fix.pahole.push("--x".to_owned())),
            of(&|fix| fix.patches.push("plt32-relocs.patch".to_owned())),
        ] {
            assert_ne!(done, as_it_is);
        }
    }

    #[test]
    fn a_key_has_the_fixes_that_the_tools_call_for() {
        let ids = |toolchain: &Toolchain, arch| -> Vec<String> {
            identity(toolchain, arch).unwrap().into_iter().map(|(id, _)| id).collect()
        };
        let mut old = a_toolchain();
        old.linker.version = "2.35.2".parse().unwrap();
        let elfcore = "elfcore-recordmcount".to_owned();
        assert!(ids(&a_toolchain(), Arch::X86_64).contains(&elfcore));
        assert!(!ids(&a_toolchain(), Arch::Arm64).contains(&elfcore));
        assert!(!ids(&old, Arch::X86_64).contains(&elfcore));
    }

    #[test]
    fn a_wrong_table_says_where() {
        let error = parse("[[fix]]\nid = 'x'\nprobe = []\n").unwrap_err().to_string();
        assert!(error.contains("fixes.toml") && error.contains("probe"), "{error}");
    }

    #[test]
    fn patches_apply_to_what_they_are_for() {
        for (name, before, after) in [
            (
                "plt32-modules.patch",
                "\t\t\t\tgoto overflow;\n\t\t\tbreak;\n\t\tcase R_X86_64_PC32:\n\t\t\tval -= (u64)loc;\n\t\t\t*(u32 *)loc = val;\n#if 0\n",
                "\t\tcase R_X86_64_PLT32:\n",
            ),
            (
                "plt32-relocs.patch",
                "\t\tbreak;\n\n\tcase R_X86_64_PC32:\n\t\t/*\n",
                "\tcase R_X86_64_PLT32:\n",
            ),
            (
                "ilog2-constant.patch",
                " */\nextern __attribute__((const, noreturn))\nint ____ilog2_NaN(void);\n\n/*\n",
                "\treturn 0;\n",
            ),
            (
                "objtool-host-compiler.patch",
                "endif\n\n# always use the host compiler\nCC = gcc\nLD = ld\n",
                "CC = $(HOSTCC)\nLD = ld\n",
            ),
            (
                "tools-make43.patch",
                "# (needed for the shell)\nmake-cmd = $(call escsq,$(subst \\#,\\\\\\#,$(subst $$,$$$$,$(cmd_$(1)))))\n\n###\n           mv -f $(dot-target).tmp $(dot-target).cmd,                           \\\n           printf '\\# cannot find fixdep (%s)\\n' $(fixdep) > $(dot-target).cmd; \\\n           printf '\\# using basic dep data\\n\\n' >> $(dot-target).cmd;           \\\n           cat $(depfile) >> $(dot-target).cmd;                                 \\\n",
                "printf '$(pound) using basic",
            ),
            (
                "make43-hash.patch",
                "# (needed for the shell)\nmake-cmd = $(call escsq,$(subst \\#,\\\\\\#,$(subst $$,$$$$,$(cmd_$(1)))))\n\n# Find any prerequisites that is newer than target or that does not exist.\n",
                "$(subst $(pound),$$(pound),",
            ),
            (
                "arm64-reloc-range.patch",
                "static int reloc_data(enum aarch64_reloc_op op, void *place, u64 val, int len)\n{\n\tu64 imm_mask = (1 << len) - 1;\n\ts64 sval = do_reloc(op, place, val);\n\n\tswitch (len) {\n\tcase 16:\n\t\t*(s16 *)place = sval;\n\t\tbreak;\n\tcase 32:\n\t\t*(s32 *)place = sval;\n\t\tbreak;\n\tcase 64:\n\t\t*(s64 *)place = sval;\n\t\tbreak;\n\tdefault:\n\t\tpr_err(\"Invalid length (%d) for data relocation\\n\", len);\n\t\treturn 0;\n\t}\n\n\t/*\n\t * Extract the upper value bits (including the sign bit) and\n\t * shift them to bit 0.\n\t */\n\tsval = (s64)(sval & ~(imm_mask >> 1)) >> (len - 1);\n\n\t/*\n\t * Overflow has occurred if the value is not representable in\n\t * len bits (i.e the bottom len bits are not sign-extended and\n\t * the top bits are not all zero).\n\t */\n\tif ((u64)(sval + 1) > 2)\n\t\treturn -ERANGE;\n\n",
                "sval < min || sval > max",
            ),
            (
                "arm64-text-init.patch",
                "ENDPROC(cpu_do_switch_mm)\n\n\t.section \".text.init\", #alloc, #execinstr\n\n/*\n *\t__cpu_setup\n",
                "\n\t.text\n",
            ),
            (
                "selinux-genheaders.patch",
                "#include <errno.h>\n#include <ctype.h>\n#include <sys/socket.h>\n\nstruct security_class_mapping {\n\tconst char *name;\n",
                "#include <ctype.h>\n\nstruct",
            ),
            (
                "selinux-mdp.patch",
                "#include <unistd.h>\n#include <string.h>\n#include <sys/socket.h>\n\nstatic void usage(char *name)\n{\n",
                "#include <string.h>\n\nstatic",
            ),
            (
                "openssl4-sign-file.patch",
                "#include <openssl/err.h>\n#include <openssl/engine.h>\n\n/*\n\n\tif (!strncmp(private_key_name, \"pkcs11:\", 7)) {\n\t\tENGINE *e;\n\n\t\tERR(!private_key, \"%s\", private_key_name);\n\t} else {\n",
                "OSSL_STORE_INFO_get1_PKEY",
            ),
            (
                "openssl4-extract-cert.patch",
                "#include <openssl/err.h>\n#include <openssl/engine.h>\n\n#else\n\t\tENGINE *e;\n\t\tENGINE_ctrl_cmd(e, \"LOAD_CERT_CTRL\", 0, &parms, NULL, 1);\n\t\tERR(!parms.cert, \"Get X.509 from PKCS#11\");\n",
                "OSSL_STORE_INFO_get1_CERT",
            ),
            (
                "openssl4-certs.patch",
                "#include <openssl/err.h>\n#include <openssl/engine.h>\n\n{\n\t\tENGINE *e;\n\t\tENGINE_ctrl_cmd(e, \"LOAD_CERT_CTRL\", 0, &parms, NULL, 1);\n\t\tERR(!parms.cert, \"Get X.509 from PKCS#11\");\n",
                "OSSL_STORE_INFO_get1_CERT",
            ),
        ] {
            let text = patch(name).unwrap();
            let file = text.lines().find_map(|line| line.strip_prefix("--- a/")).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let (tree, pristine) = (folder.path().join("tree"), folder.path().join("pristine"));
            write(&tree, file, before);
            let patches = [Patch::new(name, text.as_bytes().to_vec())];
            apply_series(&tree, &pristine, &patches, &crate::report::Silent).unwrap();
            assert!(fs::read_to_string(tree.join(file)).unwrap().contains(after), "{name}");
            // Applied, it is still needed.
            let untouched = Pristine::of(&tree, &pristine).unwrap();
            let has_it = |fix: &Fix| fix.patches.iter().any(|one| one == name);
            let fix = table().unwrap().into_iter().find(has_it).unwrap();
            let mut asked = fix.probes.iter().filter(|probe| probe.is_of(file));
            assert!(asked.all(|probe| probe.holds(&untouched).unwrap()), "{name}");
        }
    }
}
