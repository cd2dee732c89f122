//! The name of a container image, as typed and as meant.

use std::fmt;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use fs_err as fs;

use super::tar::{Archive, Source};
use super::{Error, layout};
use crate::digest::Digest;
use crate::source::decompress;

/// The registry of names that say none.
const DEFAULT_REGISTRY: &str = "docker.io";
/// Where that registry keeps names of one word.
const DEFAULT_OWNER: &str = "library";
const DEFAULT_TAG: &str = "latest";
/// A tag has no more characters (OCI distribution specification).
const MOST_TAG: usize = 128;

/// The root filesystem that was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// A folder, which a guest gets as it is; [`super::provide`] has nothing
    /// to do with it.
    Directory(PathBuf),
    /// An image, which [`super::provide`] makes a root filesystem of.
    Image(Reference),
}

/// A container image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// Of a registry.
    Registry(RegistryName),
    /// A folder in OCI's layout.
    OciLayout {
        /// The folder.
        path: PathBuf,
        /// Which image, if there are several.
        tag: Option<String>,
    },
    /// A tar archive, as `docker save` writes it or of OCI's layout.
    Archive {
        /// The file.
        path: PathBuf,
        /// Which image, if there are several.
        tag: Option<String>,
    },
    /// An App Container Image.
    Aci(PathBuf),
}

/// The name of an image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryName {
    /// The host, with its port if one was given.
    pub registry: String,
    /// The path in the registry, such as `library/busybox`.
    pub repository: String,
    /// The tag; it says nothing when there is a digest.
    pub tag: Option<String>,
    /// The manifest's digest.
    pub digest: Option<Digest>,
}

impl Root {
    /// Understands a name. Of a path it looks what is there.
    ///
    /// # Errors
    /// When it is no name, or there is nothing that is an image.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let image = if let Some(name) = text.strip_prefix("docker://") {
            Reference::Registry(name.parse()?)
        } else if let Some(rest) = text.strip_prefix("oci:") {
            let (path, tag) = path_and_tag(rest);
            Reference::OciLayout { path, tag }
        } else if let Some(rest) =
            text.strip_prefix("oci-archive:").or_else(|| text.strip_prefix("docker-archive:"))
        {
            let (path, tag) = path_and_tag(rest);
            Reference::Archive { path, tag }
        } else {
            return Self::look(Path::new(text));
        };
        Ok(Self::Image(image))
    }

    fn look(path: &Path) -> Result<Self, Error> {
        let Ok(metadata) = fs::metadata(path) else {
            return Err(Error::NotThere { path: path.to_owned() });
        };
        let owned = path.to_owned();
        Ok(match metadata.is_dir() {
            true if path.join(layout::MARK).is_file() => {
                Self::Image(Reference::OciLayout { path: owned, tag: None })
            }
            true => Self::Directory(owned),
            false if is_aci(path)? => Self::Image(Reference::Aci(owned)),
            false => Self::Image(Reference::Archive { path: owned, tag: None }),
        })
    }
}

/// An App Container Image has a `manifest` and a `rootfs` and no more, so its
/// first entry tells.
pub(super) fn is_aci(path: &Path) -> Result<bool, Error> {
    if path.extension().is_some_and(|extension| extension == "aci") {
        return Ok(true);
    }
    let not = |reason: &dyn fmt::Display| {
        let (path, reason) = (path.to_owned(), reason.to_string());
        Error::NotAnImage { path, reason }
    };
    let file = fs::File::open(path)?.into_parts().0;
    let (_, reader) = decompress::reader(file).map_err(|error| not(&error))?;
    let first = Archive::new(Streamed(BufReader::new(reader))).next_entry();
    let first = first.map_err(|error| not(&error))?.ok_or_else(|| not(&"an empty archive"))?;
    let path = String::from_utf8_lossy(&first.path).into_owned();
    let path = path.trim_start_matches("./");
    Ok(path == "manifest" || path == "rootfs" || path.starts_with("rootfs/"))
}

/// Any reader as an archive's source.
pub(super) struct Streamed<R>(pub(super) R);

impl<R: std::io::Read> std::io::Read for Streamed<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(into)
    }
}

impl<R: std::io::Read> Source for Streamed<R> {}

/// `PATH:TAG`, unless there is a file or folder of that whole name.
fn path_and_tag(text: &str) -> (PathBuf, Option<String>) {
    let whole = PathBuf::from(text);
    match text.split_once(':') {
        Some((path, tag)) if !whole.exists() && !tag.is_empty() => {
            (PathBuf::from(path), Some(tag.to_owned()))
        }
        _ => (whole, None),
    }
}

/// `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`, as docker takes it.
impl FromStr for RegistryName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Reference { text: text.to_owned(), reason };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                (rest, Some(digest.parse::<Digest>().map_err(|error| wrong(error.to_string()))?))
            }
            None => (text, None),
        };
        let (registry, rest) = match rest.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
            _ => (DEFAULT_REGISTRY, rest),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        let host = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        if !registry.chars().all(host) {
            return Err(wrong(format!("'{registry}' is no host")));
        }
        if !path.split('/').all(is_component) {
            return Err(wrong(format!(
                "'{path}' is no name (lower case, words joined by - _ . /)"
            )));
        }
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(wrong(format!("'{tag}' is no tag")));
        }
        let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
        let repository = match registry == DEFAULT_REGISTRY && !path.contains('/') {
            true => format!("{DEFAULT_OWNER}/{path}"),
            false => path.to_owned(),
        };
        let tag = match (tag, &digest) {
            (None, None) => Some(DEFAULT_TAG.to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }
}

/// Lower-case words, joined by `.`, `_`, `__` or any number of `-`.
fn is_component(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends = text.starts_with(plain) && text.ends_with(plain);
    let joined = |between: &str| {
        matches!(between, "" | "." | "_" | "__") || between.chars().all(|c| c == '-')
    };
    ends && text.split(plain).all(joined)
}

fn is_tag(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(word)
        && text.len() <= MOST_TAG
        && text.chars().all(|c| word(c) || ".-".contains(c))
}

impl RegistryName {
    /// What stands in the request for the manifest.
    pub(super) fn target(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }
}

impl fmt::Display for RegistryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(name) => name.fmt(f),
            Self::OciLayout { path, tag } | Self::Archive { path, tag } => {
                write!(f, "{}", path.display())?;
                tag.iter().try_for_each(|tag| write!(f, ":{tag}"))
            }
            Self::Aci(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> RegistryName {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_is_left_out_is_docker_s() {
        for (text, whole) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("busybox:1.36", "docker.io/library/busybox:1.36"),
            ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
            ("me/app", "docker.io/me/app:latest"),
            ("quay.io/me/app", "quay.io/me/app:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/a/b/c:x", "localhost:5000/a/b/c:x"),
            ("[::1]:5000/a", "[::1]:5000/a:latest"),
        ] {
            assert_eq!(name(text).to_string(), whole);
        }
        let digest = Digest::sha256(b"");
        let found = name(&format!("ghcr.io/a/b@{digest}"));
        assert_eq!((found.tag.clone(), found.target()), (None, digest.to_string()));
        assert_eq!(name(&format!("a:b@{digest}")).target(), digest.to_string());
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "A",
            "a b",
            "a/",
            "/a",
            "a//b",
            "a:",
            "a:b:c",
            "a@b",
            "a@sha256:12",
            "-a",
            "a-",
            "a..b",
            "a/../b",
            "host.x/",
            "a?b",
            "ho st.x/a",
            "a:.b",
            "x.y/a#b",
        ] {
            let error = text.parse::<RegistryName>().unwrap_err();
            assert_eq!(error.fault(), crate::report::Fault::Usage, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_whole_name_means_itself(text in "[a-z]{1,9}\\.[a-z]{2}(:[0-9]{4})?/[a-z0-9]{1,5}(/[a-z]{1,4}(-[a-z]{1,3})?){0,2}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,9})?") {
            let once = name(&text).to_string();
            prop_assert_eq!(&name(&once).to_string(), &once);
            prop_assert!(once.starts_with(&text));
        }

        #[test]
        fn nothing_panics(text in ".{0,60}") {
            _ = text.parse::<RegistryName>();
        }
    }

    #[test]
    fn paths_are_told_apart_by_looking() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let text = |name: &str| path.join(name).to_str().unwrap().to_owned();
        fs::create_dir_all(path.join("root/etc")).unwrap();
        assert_eq!(Root::parse(&text("root")).unwrap(), Root::Directory(path.join("root")));
        fs::create_dir_all(path.join("image")).unwrap();
        fs::write(path.join("image").join(layout::MARK), "{}").unwrap();
        let found = Root::parse(&text("image")).unwrap();
        let layout = |tag: Option<&str>| {
            let tag = tag.map(str::to_owned);
            Root::Image(Reference::OciLayout { path: path.join("image"), tag })
        };
        assert_eq!(found, layout(None));
        assert_eq!(Root::parse(&format!("oci:{}", text("image"))).unwrap(), layout(None));
        assert_eq!(Root::parse(&format!("oci:{}:v1", text("image"))).unwrap(), layout(Some("v1")));
        assert!(matches!(Root::parse(&text("none")), Err(Error::NotThere { .. })));
        fs::write(path.join("text"), "neither").unwrap();
        assert!(matches!(Root::parse(&text("text")), Err(Error::NotAnImage { .. })));
    }
}
