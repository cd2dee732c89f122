//! The OpenSSL that the programs of a build are compiled with which sign
//! modules and collect certificates.

use std::path::PathBuf;

use fs_err as fs;
use regex::Regex;

use super::ToolVersion;
use super::toolchain::version_in;

/// The release that brought providers, which do what engines did.
const WITH_PROVIDERS: ToolVersion = ToolVersion { major: 3, minor: 0, patch: 0 };
/// The release from which on there are no engines.
const WITHOUT_ENGINES: ToolVersion = ToolVersion { major: 4, minor: 0, patch: 0 };

/// The version by the header that a compiler for `target` finds. It is read
/// where compilers of distributions look by themselves (the preprocessor's
/// manual, "Search Path"): every build asks, and a file takes no time. What
/// only a compiler or pkg-config knows of is not seen. A 3 without engines, as
/// Fedora's, counts as the first release that has none: it takes the same of a
/// source.
pub(super) fn version(target: &str) -> Option<ToolVersion> {
    let folders = ["/usr/local/include", &format!("/usr/include/{target}"), "/usr/include"];
    version_below(&folders.map(PathBuf::from))
}

fn version_below(folders: &[PathBuf]) -> Option<ToolVersion> {
    let find = |header: &str| {
        folders.iter().map(|folder| folder.join("openssl").join(header)).find(|path| path.is_file())
    };
    let version = version_of(&fs::read_to_string(find("opensslv.h")?).ok()?)?;
    if version < WITH_PROVIDERS {
        return Some(version);
    }
    let without = |&header: &&str| {
        find(header).is_some_and(|path| fs::read_to_string(path).is_ok_and(|text| refuses(&text)))
    };
    let none =
        find("engine.h").is_none() || ["opensslconf.h", "configuration.h"].iter().any(without);
    Some(if none { version.max(WITHOUT_ENGINES) } else { version })
}

/// Whether a header of the build's options says that there are no engines
/// (OpenSSL's `no-engine`).
fn refuses(header: &str) -> bool {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let defines =
        |line: &str| words(line.trim_start_matches(['#', ' '])) == ["define", "OPENSSL_NO_ENGINE"];
    header.lines().any(defines)
}

/// Since 3.0 the numbers are macros of their own, before they are part of the
/// release's text alone.
fn version_of(header: &str) -> Option<ToolVersion> {
    let number = |name: &str| -> Option<u32> {
        let line = Regex::new(&format!(r"(?m)^#\s*define\s+OPENSSL_VERSION_{name}\s+(\d+)\s*$"));
        line.ok()?.captures(header)?.get(1)?.as_str().parse().ok()
    };
    if let (Some(major), Some(minor), Some(patch)) =
        (number("MAJOR"), number("MINOR"), number("PATCH"))
    {
        return Some(ToolVersion { major, minor, patch });
    }
    let text = Regex::new(r#"(?m)^#\s*define\s+OPENSSL_VERSION_TEXT\s+"([^"]*)""#).ok()?;
    version_in(text.captures(header)?.get(1)?.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &str = "# define OPENSSL_VERSION_MAJOR  3\n# define OPENSSL_VERSION_MINOR  0\n\
        # define OPENSSL_VERSION_PATCH  17\n# define OPENSSL_VERSION_TEXT \"OpenSSL 3.0.17 1 Jul\"\n";

    #[test]
    fn the_version_is_what_the_header_says() {
        let old = "# define OPENSSL_VERSION_NUMBER  0x101010efL\n\
            # define OPENSSL_VERSION_TEXT    \"OpenSSL 1.1.1n  15 Mar 2022\"\n";
        let other = "#define LIBRESSL_VERSION_TEXT \"LibreSSL 3.9.2\"\n\
            #define OPENSSL_VERSION_NUMBER 0x20000000L\n\
            #define OPENSSL_VERSION_TEXT LIBRESSL_VERSION_TEXT\n";
        for (header, version) in [(THREE, Some("3.0.17")), (old, Some("1.1.1")), (other, None)] {
            assert_eq!(version_of(header), version.map(|text| text.parse().unwrap()), "{header}");
        }
    }

    #[test]
    fn a_release_without_engines_counts_as_the_first_that_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("local"), folder.path().join("usr"));
        let folders = [first.clone(), second.clone()];
        assert_eq!(version_below(&folders), None);
        fs::create_dir_all(second.join("openssl")).unwrap();
        fs::write(second.join("openssl/opensslv.h"), THREE).unwrap();
        assert_eq!(version_below(&folders), Some("4".parse().unwrap()));
        fs::write(second.join("openssl/engine.h"), "").unwrap();
        assert_eq!(version_below(&folders), Some("3.0.17".parse().unwrap()));
        let options = second.join("openssl/configuration.h");
        fs::write(&options, "#ifndef OPENSSL_NO_ENGINE\n# define OPENSSL_NO_ENGINE\n#endif\n")
            .unwrap();
        assert_eq!(version_below(&folders), Some("4".parse().unwrap()));
        fs::write(&options, "# define OPENSSL_NO_STATIC_ENGINE\n").unwrap();
        assert_eq!(version_below(&folders), Some("3.0.17".parse().unwrap()));

        // Before 3 nothing takes an engine's place.
        let old = THREE.replace("MAJOR  3", "MAJOR  1");
        fs::write(second.join("openssl/opensslv.h"), old).unwrap();
        fs::remove_file(second.join("openssl/engine.h")).unwrap();
        assert_eq!(version_below(&folders), Some("1.0.17".parse().unwrap()));

        // The first folder's is the compiler's.
        fs::create_dir_all(first.join("openssl")).unwrap();
        fs::write(first.join("openssl/opensslv.h"), THREE.replace("MAJOR  3", "MAJOR  5")).unwrap();
        assert_eq!(version_below(&folders), Some("5.0.17".parse().unwrap()));
    }
}
