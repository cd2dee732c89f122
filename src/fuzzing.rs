//! What is tried with foreign bytes: a function for each parser or family of
//! them, which takes any bytes and fails where something that must hold does
//! not hold. `fuzz/` drives them by what they cover; an ordinary `cargo test`
//! replays the inputs that were kept. Not in the product.

pub use crate::compile::fuzzing::make_output;
pub use crate::container::fuzzing::{
    aci, container_archive, container_documents, container_names, layers,
};
pub use crate::kconfig::fuzzing::{dotconfig, kconfig};
pub use crate::pack::fuzzing::image_folder;
pub use crate::pipeline::fuzzing::provenance;
pub use crate::settings::fuzzing::{settings, values};
pub use crate::source::fuzzing::{
    compressed, deb, debian, git, keys, patches, releases, source_archive,
};
pub use crate::vm::fuzzing::{console, guest_frames, guest_users, modules};

use std::fmt::{Debug, Display};
use std::path::Path;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kept;
use crate::source::decompress::Compression;

/// What stands between two files in one input, so that people can write them.
const BETWEEN: &[u8] = b"\n%%\n";

/// The `N` files in an input; those that are not there are empty.
pub(crate) fn files<const N: usize>(bytes: &[u8]) -> [&[u8]; N] {
    let mut rest = Some(bytes);
    std::array::from_fn(|_| {
        let here = rest.take().unwrap_or_default();
        match here.windows(BETWEEN.len()).position(|found| found == BETWEEN) {
            Some(at) => {
                rest = Some(&here[at + BETWEEN.len()..]);
                &here[..at]
            }
            None => here,
        }
    })
}

/// The same as texts, as files are read that may hold anything.
pub(crate) fn texts<const N: usize>(bytes: &[u8]) -> [String; N] {
    files(bytes).map(|file| String::from_utf8_lossy(file).into_owned())
}

/// An archive with the checksums that its headers should have, which no
/// change of theirs would keep; what is compressed stays as it is.
pub(crate) fn summed(bytes: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 512;
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while Compression::of(&bytes) == Compression::None
        && let Some(block) = bytes.get_mut(at..at + BLOCK)
    {
        let mut header = tar::Header::from_byte_slice(block).clone();
        if block.iter().any(|&byte| byte != 0) {
            header.set_cksum();
            block.copy_from_slice(header.as_bytes());
        }
        let size = header.entry_size().unwrap_or(0).min(1 << 30) as usize;
        at += BLOCK + size.next_multiple_of(BLOCK);
    }
    bytes
}

/// What was understood is the same when it is written and read again.
pub(crate) fn comes_back<T>(text: &str)
where
    T: FromStr<Err: Debug> + Display + PartialEq + Debug,
{
    if let Ok(value) = text.parse::<T>() {
        let printed = value.to_string();
        let again = printed.parse::<T>();
        assert!(again.as_ref().is_ok_and(|again| *again == value), "{printed:?}: {again:?}");
    }
}

/// Whatever bytes are taken for a record, what is kept of it is that record.
pub(crate) fn record<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    let Ok(value) = kept::from_bytes::<T>(bytes) else { return };
    let written = kept::to_bytes(&value).unwrap_or_else(|error| panic!("{error}"));
    let again = kept::from_bytes::<T>(&written).and_then(|value| kept::to_bytes(&value));
    assert_eq!(again.ok(), Some(written));
}

/// A kernel or program of other people's, as each room looks at it.
pub fn kernel_image(bytes: &[u8]) {
    crate::content::fuzzing::kernel(bytes);
    crate::vm::fuzzing::kernel_proper(bytes);
    crate::pipeline::fuzzing::program(bytes);
}

/// Every kind of record that is kept in the store or beside a run.
pub fn records(bytes: &[u8]) {
    crate::source::fuzzing::records(bytes);
    crate::store::fuzzing::records(bytes);
    crate::container::fuzzing::records(bytes);
    crate::vm::fuzzing::records(bytes);
}

/// A new folder, in memory where the host has that.
pub(crate) fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.unwrap_or_else(|error| panic!("no folder to work in: {error}"))
}

/// Everything that stands in a folder is in it, links followed as the system
/// follows them.
pub(crate) fn nothing_leads_out(folder: &Path) {
    let Ok(folder) = fs_err::canonicalize(folder) else { return };
    for entry in walkdir::WalkDir::new(&folder).into_iter().flatten() {
        if let Ok(place) = fs_err::canonicalize(entry.path()) {
            assert!(
                place.starts_with(&folder),
                "{} is {}",
                entry.path().display(),
                place.display()
            );
        }
    }
}

/// A target: what one of `fuzz/fuzz_targets` does with an input.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 26] = [
    ("aci", aci),
    ("compressed", compressed),
    ("console", console),
    ("container_archive", container_archive),
    ("container_documents", container_documents),
    ("container_names", container_names),
    ("deb", deb),
    ("debian", debian),
    ("dotconfig", dotconfig),
    ("git", git),
    ("guest_frames", guest_frames),
    ("guest_users", guest_users),
    ("image_folder", image_folder),
    ("kconfig", kconfig),
    ("kernel_image", kernel_image),
    ("keys", keys),
    ("layers", layers),
    ("make_output", make_output),
    ("modules", modules),
    ("patches", patches),
    ("provenance", provenance),
    ("records", records),
    ("releases", releases),
    ("settings", settings),
    ("source_archive", source_archive),
    ("values", values),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::*;

    fn fuzz(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
    }

    fn names(folder: &Path) -> BTreeSet<String> {
        let stem = |entry: std::io::Result<fs_err::DirEntry>| {
            entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()
        };
        fs_err::read_dir(folder).unwrap().map(stem).collect()
    }

    /// Also of those that once made one of them fail.
    #[test]
    fn every_kept_input_passes() {
        let mut count = 0;
        for (name, target) in TARGETS {
            for entry in fs_err::read_dir(fuzz("corpus").join(name)).unwrap() {
                let path = entry.unwrap().path();
                let bytes = fs_err::read(&path).unwrap();
                let failed = std::panic::catch_unwind(|| target(&bytes)).is_err();
                assert!(!failed, "{}", path.display());
                count += 1;
            }
        }
        assert!(count > 2 * TARGETS.len());
    }

    #[test]
    fn the_targets_are_those_of_the_package() {
        let wanted: BTreeSet<String> = TARGETS.map(|(name, _)| name.to_owned()).into();
        assert_eq!(names(&fuzz("fuzz_targets")), wanted);
        assert_eq!(names(&fuzz("corpus")), wanted);
        let package = fs_err::read_to_string(fuzz("Cargo.toml")).unwrap();
        for name in wanted {
            assert!(package.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        }
    }

    #[test]
    fn an_input_holds_several_files() {
        assert_eq!(files(b"a\n%%\nb"), [&b"a"[..], b"b", b""]);
        assert_eq!(files(b"a\n%%\n\n%%\nc\n%%\nd"), [&b"a"[..], b""]);
        assert_eq!(files(b""), [&b""[..]]);
    }
}
