//! From a setting's text to what it means. Pure; knows no layer.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use crate::digest::{Algorithm, Digest};
use crate::nearest::nearest;

/// A text that its setting can't have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) problem: String,
    pub(super) instead: Option<String>,
}

impl Wrong {
    pub(super) fn new(problem: impl Into<String>, instead: impl Into<String>) -> Self {
        Self { problem: problem.into(), instead: Some(instead.into()) }
    }
}

/// Declares a closed set of words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident is $what:literal { $($(#[$word_doc:meta])* $word:ident $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$word_doc])* $word,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$word,)+];

            /// As users write it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$word => $text,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                let known = Self::ALL.iter().find(|word| word.as_str() == text);
                known.copied().ok_or_else(|| UnknownWord {
                    word: text.to_owned(),
                    what: $what,
                    known: Self::ALL.iter().map(|word| word.as_str()).collect(),
                })
            }
        }
    };
}

words! {
    /// The kind of an image's file.
    Format is "an image format" {
        /// App Container Image, a `stage1-kvm` for rkt.
        Aci "aci",
        /// OCI image layout.
        Oci "oci",
        /// Plain files.
        Dir "dir",
    }
}

impl serde::Serialize for Format {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Format {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: std::borrow::Cow<'de, str> = serde::Deserialize::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

words! {
    /// Whether an image has the uncompressed kernel, too.
    Vmlinux is "a form of vmlinux" {
        /// It has not.
        None "none",
        /// Without debug information; its symbols and BTF stay.
        Stripped "stripped",
        /// As the linker left it.
        Debug "debug",
    }
}

words! {
    /// How an image is compressed.
    Compression is "a compression" {
        /// RFC 1952.
        Gzip "gzip",
        /// The xz file format.
        Xz "xz",
        /// Not at all.
        None "none",
    }
}

/// As the built-in default of `S1B_COMPRESSION` has it: every reader of images
/// reads gzip.
impl Default for Compression {
    fn default() -> Self {
        Self::Gzip
    }
}

words! {
    /// Who has kernels.
    ProviderName is "a source of kernels" {
        /// The Linux Kernel Archives.
        KernelOrg "kernel.org",
        /// The Debian archive's source packages.
        Debian "debian",
    }
}

words! {
    /// What need not be verified.
    Insecure is "an insecure option" {
        /// Patches by URL without a checksum.
        Patch "patch",
        /// Sources without a signature or checksum.
        Source "source",
        /// A kernel configuration that did not come out as asked.
        Kconfig "kconfig",
    }
}

/// A word that is none of a closed set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{word}' is not {what}")]
pub struct UnknownWord {
    word: String,
    what: &'static str,
    known: Vec<&'static str>,
}

impl UnknownWord {
    /// The word that may have been meant, or all that there are.
    #[must_use]
    pub fn hint(&self) -> String {
        let word = self.word.to_ascii_lowercase();
        let begun =
            self.known.iter().copied().find(|known| !word.is_empty() && known.starts_with(&word));
        match begun.or_else(|| nearest(&word, self.known.iter().copied())) {
            Some(meant) => format!("did you mean '{meant}'?"),
            None => format!("known: {}", self.known.join(", ")),
        }
    }
}

impl From<UnknownWord> for Wrong {
    fn from(error: UnknownWord) -> Self {
        Self::new(error.to_string(), error.hint())
    }
}

/// Parts of the kernel configuration that are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Features {
    /// To be added to the base.
    pub enable: BTreeSet<String>,
    /// To be left out.
    pub disable: BTreeSet<String>,
}

/// An own type's `FromStr`, its error's text being all there is to say.
pub(super) fn parsed<T: FromStr>(text: &str) -> Result<T, Wrong>
where
    T::Err: fmt::Display,
{
    text.parse().map_err(|error: T::Err| Wrong { problem: error.to_string(), instead: None })
}

/// A word of a closed set.
pub(super) fn word<T: FromStr<Err = UnknownWord>>(text: &str) -> Result<T, Wrong> {
    Ok(text.parse()?)
}

pub(super) fn path(text: &str) -> Result<PathBuf, Wrong> {
    if text.is_empty() {
        return Err(Wrong::new("the path is empty", "leave the setting out to get its default"));
    }
    if text == "~" || text.starts_with("~/") {
        let problem = format!("nothing expands the '~' of '{text}'");
        return Err(Wrong::new(problem, format!("write $HOME{}", &text[1..])));
    }
    Ok(PathBuf::from(text))
}

/// File names separated by white space, as the original split them.
pub(super) fn paths(text: &str) -> Result<Vec<PathBuf>, Wrong> {
    text.split_whitespace().map(path).collect()
}

/// A web address without its last slashes.
pub(super) fn url(text: &str) -> Result<String, Wrong> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let clean = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    match rest {
        Some(rest) if clean && !rest.is_empty() && !rest.starts_with('/') => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err(Wrong::new(
            format!("'{text}' is not a web address"),
            "write it as https://host/folder",
        )),
    }
}

pub(super) fn urls(text: &str) -> Result<Vec<String>, Wrong> {
    text.split_whitespace().map(|item| url(item).map(|_| item.to_owned())).collect()
}

pub(super) fn jobs(text: &str) -> Result<NonZeroUsize, Wrong> {
    text.parse().map_err(|_| {
        Wrong::new(
            format!("'{text}' is not a number of jobs"),
            "write a number from 1, or leave the setting out to use all processors",
        )
    })
}

/// A piece of `LOCALVERSION`. The set of characters is what survives in a
/// path, in a make variable and in an image's label file name.
pub(super) fn suffix(text: &str) -> Result<String, Wrong> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
    match text.chars().find(|&c| !fits(c)) {
        None => Ok(text.to_owned()),
        Some(c) => Err(Wrong::new(
            format!("'{text}' has the character {c:?}"),
            "use letters, digits and . _ + ~ - only",
        )),
    }
}

/// An App Container identifier: `^[a-z0-9]+([-._~/][a-z0-9]+)*$` (appc
/// specification, "AC Identifier Type").
pub(super) fn image_name(text: &str) -> Result<String, Wrong> {
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    if text.split(['-', '.', '_', '~', '/']).all(part) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        format!("'{text}' is not an image name"),
        "use lower case letters and digits, with single - . _ ~ / between them",
    ))
}

pub(super) fn providers(text: &str) -> Result<Vec<ProviderName>, Wrong> {
    each_once(text, "name each source once", "name kernel.org, debian or both")
}

pub(super) fn formats(text: &str) -> Result<Vec<Format>, Wrong> {
    each_once(text, "name each format once", "name aci, oci, dir or several of them")
}

/// Words of a closed set, in the order of the text, each once; at least one.
fn each_once<T>(text: &str, once: &str, some: &str) -> Result<Vec<T>, Wrong>
where
    T: FromStr<Err = UnknownWord> + PartialEq,
{
    let mut words = Vec::new();
    for item in items(text) {
        let word = item.parse()?;
        if words.contains(&word) {
            return Err(Wrong::new(format!("'{item}' is there twice"), once));
        }
        words.push(word);
    }
    if words.is_empty() {
        return Err(Wrong::new("the list is empty", some));
    }
    Ok(words)
}

pub(super) fn insecure(text: &str) -> Result<BTreeSet<Insecure>, Wrong> {
    items(text).map(word).collect()
}

pub(super) fn features(text: &str) -> Result<Features, Wrong> {
    let mut features = Features::default();
    for item in items(text) {
        let name = item.strip_prefix('-').unwrap_or(item);
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.bytes().all(fits) {
            let problem = format!("'{item}' is not the name of a feature");
            return Err(Wrong::new(problem, "write names separated by commas: a,b,-c"));
        }
        let (chosen, other) = match item.len() == name.len() {
            true => (&mut features.enable, &features.disable),
            false => (&mut features.disable, &features.enable),
        };
        if other.contains(name) {
            let problem = format!("'{name}' is both asked for and left out");
            return Err(Wrong::new(problem, format!("write either {name} or -{name}")));
        }
        chosen.insert(name.to_owned());
    }
    Ok(features)
}

/// `CONFIG_NAME=value` items separated by white space, which a quoted value
/// may have inside. What a value can be is Kconfig's business.
pub(super) fn config_items(text: &str) -> Result<Vec<String>, Wrong> {
    let mut quoted = false;
    let mut escaped = false;
    let items = text.split(|c: char| {
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && quoted && !escaped;
        c.is_whitespace() && !quoted
    });
    let items = items.filter(|item| !item.is_empty()).map(config_item).collect::<Result<_, _>>()?;
    if quoted {
        let problem = format!("a quotation mark in '{text}' has no other");
        return Err(Wrong::new(problem, "write CONFIG_NAME=\"text\""));
    }
    Ok(items)
}

fn config_item(item: &str) -> Result<String, Wrong> {
    let name = item.split_once('=').and_then(|(name, _)| name.strip_prefix("CONFIG_"));
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match name {
        Some(name) if !name.is_empty() && name.chars().all(word) => Ok(item.to_owned()),
        _ => {
            let bare = item.strip_prefix("CONFIG_").unwrap_or(item);
            let bare = bare.split('=').next().unwrap_or_default();
            Err(Wrong::new(
                format!("'{item}' is not CONFIG_NAME=VALUE"),
                format!("write CONFIG_{bare}=y, or =n for a symbol that shall be off"),
            ))
        }
    }
}

pub(super) fn sha256(text: &str) -> Result<Digest, Wrong> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    Digest::from_hex(Algorithm::Sha256, hex).ok_or_else(|| {
        Wrong::new(format!("'{text}' is not a SHA-256 checksum"), "write its 64 hex digits")
    })
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hint(wrong: Wrong) -> String {
        wrong.instead.unwrap()
    }

    #[test]
    fn lists_keep_their_order_and_refuse_what_is_unknown_double_or_contrary() {
        let both = vec![ProviderName::Debian, ProviderName::KernelOrg];
        assert_eq!(providers(" debian, kernel.org\n"), Ok(both));
        assert_eq!(hint(providers("debain").unwrap_err()), "did you mean 'debian'?");
        assert!(providers("debian debian").is_err());
        assert!(providers(" ,").is_err());
        assert_eq!(formats("oci,aci"), Ok(vec![Format::Oci, Format::Aci]));
        assert_eq!(hint(formats("aci,ocy").unwrap_err()), "did you mean 'oci'?");
        assert!(formats("dir dir").is_err() && formats("").is_err());

        assert_eq!(insecure(""), Ok(BTreeSet::new()));
        assert_eq!(insecure("patch,source").map(|set| set.len()), Ok(2));
        assert_eq!(hint(insecure("patches").unwrap_err()), "did you mean 'patch'?");
        assert_eq!(hint(insecure("all").unwrap_err()), "known: patch, source, kconfig");

        let chosen = features("btf, -kasan 9p").unwrap();
        assert_eq!(chosen.enable.into_iter().collect::<Vec<_>>(), ["9p", "btf"]);
        assert_eq!(chosen.disable.into_iter().collect::<Vec<_>>(), ["kasan"]);
        for text in ["a,-a", "-a a", "--a", "-", "A", "a=b"] {
            assert!(features(text).is_err(), "{text}");
        }
    }

    #[test]
    fn items_of_a_configuration_are_separated_by_what_is_not_quoted() {
        let text = "CONFIG_A=y  CONFIG_64BIT=n\nCONFIG_C=\"a \\\" b\" CONFIG_D=0x10";
        let wanted = ["CONFIG_A=y", "CONFIG_64BIT=n", "CONFIG_C=\"a \\\" b\"", "CONFIG_D=0x10"];
        assert_eq!(config_items(text).unwrap(), wanted);
        assert_eq!(config_items(" "), Ok(vec![]));
        let wrong = config_items("XFS_FS").unwrap_err();
        assert!(hint(wrong).starts_with("write CONFIG_XFS_FS=y"));
        for text in ["CONFIG_=y", "CONFIG_A", "XFS_FS=y", "CONFIG_A-B=y", "CONFIG_A=\"b c"] {
            assert!(config_items(text).is_err(), "{text}");
        }
    }

    #[test]
    fn single_values() {
        assert_eq!(word("xz"), Ok(Compression::Xz));
        assert_eq!(hint(word::<Compression>("gzp").unwrap_err()), "did you mean 'gzip'?");
        assert_eq!(hint(word::<Compression>("g").unwrap_err()), "did you mean 'gzip'?");
        assert_eq!(hint(word::<Compression>("").unwrap_err()), "known: gzip, xz, none");
        assert_eq!(url("https://a.b/c//"), Ok("https://a.b/c".to_owned()));
        for text in ["", "ftp://a", "https://", "https:///a", "https://a b", "a.b/c"] {
            assert!(url(text).is_err(), "{text}");
        }
        assert_eq!(jobs("4").map(NonZeroUsize::get), Ok(4));
        for text in ["0", "", "-1", "all", "1.5"] {
            assert!(jobs(text).is_err(), "{text}");
        }
        assert!(suffix("").is_ok() && suffix("-a_B.1+~").is_ok());
        assert!(suffix("-a/b").unwrap_err().problem.contains("'/'"));
        assert_eq!(hint(path("~/x").unwrap_err()), "write $HOME/x");
        assert!(path("").is_err() && path("~x").is_ok());
        assert!(sha256(&"0f".repeat(32)).is_ok() && sha256("0f").is_err());
    }

    proptest! {
        #[test]
        fn an_image_name_is_what_the_specification_says(name in "[a-c0A/._~-]{0,8}") {
            let appc = regex::Regex::new("^[a-z0-9]+([-._~/][a-z0-9]+)*$").unwrap();
            prop_assert_eq!(image_name(&name).is_ok(), appc.is_match(&name));
        }
    }
}
