//! Small records on disk that know whether they are as they were written.
//!
//! A record is a JSON text; after it, on a line of its own and a JSON text,
//! too, is the digest of everything before. One that has another digest
//! counts as absent, so that no flipped bit in a record ever becomes a wrong
//! id, version or date: what it told of is found out or made again. A record
//! without that line is of before there was one, and is taken as it is.

use std::io;
use std::path::Path;

use fs_err as fs;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::Digest;
use crate::fsutil;

/// How the line begins.
const MARK: &[u8] = b"\"sha256:";
/// Its length: the mark, 64 digits, the quote and the end of the line.
const LENGTH: usize = MARK.len() + 64 + 2;

/// Writes a record whole, or not at all.
///
/// # Errors
/// When the file can't be written.
pub fn write<T: Serialize + ?Sized>(path: &Path, value: &T) -> io::Result<()> {
    fsutil::write_atomic(path, &to_bytes(value)?)
}

/// A record as it lies on disk.
///
/// # Errors
/// When the value has no JSON.
pub fn to_bytes<T: Serialize + ?Sized>(value: &T) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    let line = format!("\"sha256:{}\"\n", Digest::sha256(&bytes).hex());
    bytes.extend(line.into_bytes());
    Ok(bytes)
}

/// The record, if it is there and as it was written.
#[must_use]
pub fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    from_bytes(&fs::read(path).ok()?).ok()
}

/// The record in these bytes.
///
/// # Errors
/// When they are not as they were written, or no such record.
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    let (text, line) = bytes.split_at(bytes.len().saturating_sub(LENGTH));
    // A digest alone is an older record, whose value it is.
    if text.is_empty() || !line.starts_with(MARK) {
        // With a line whose mark is damaged, these are two texts, not one.
        return Ok(serde_json::from_slice(bytes)?);
    }
    let digest = &line[MARK.len()..LENGTH - 2];
    if digest != Digest::sha256(text).hex().as_bytes() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its digest is another"));
    }
    Ok(serde_json::from_slice(text)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn one_of_before_there_were_digests_is_taken() {
        assert_eq!(from_bytes::<u8>(b"7").unwrap(), 7);
        let digest = Digest::sha256(b"key");
        let older = serde_json::to_vec(&digest).unwrap();
        for bytes in [older.clone(), [&older[..], b"\n"].concat(), to_bytes(&digest).unwrap()] {
            assert_eq!(from_bytes::<Digest>(&bytes).unwrap(), digest);
        }
        assert!(from_bytes::<u8>(b"").is_err());
    }

    #[test]
    fn no_flipped_bit_makes_another_record() {
        let record = BTreeMap::from([("id", "0123456789abcdef"), ("epoch", "1700000000")]);
        let whole = to_bytes(&record).unwrap();
        let read = |bytes: &[u8]| from_bytes::<BTreeMap<String, String>>(bytes).ok();
        let wanted = read(&whole).unwrap();
        assert_eq!(wanted["epoch"], "1700000000");
        for place in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[place] ^= 1 << bit;
                let found = read(&bytes);
                assert!(found.is_none() || found.as_ref() == Some(&wanted), "{place}: {found:?}");
            }
        }
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_none_or(|found| found == wanted), "{length}");
        }
    }
}
