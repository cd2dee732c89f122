//! Whose signature counts.
//!
//! The release keys are fetched over the Web Key Directory (the draft
//! draft-koch-openpgp-webkey-service, direct method) as kernel.org's
//! signature page tells, and kept. Where they come from does not matter: only
//! the full fingerprints below do. A keyring file that the user names takes
//! their place: every primary key in it is then accepted, for it is the
//! user's own, explicit trust; that is how a mirror signed by somebody else
//! is used.

use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::digest::Digest;
use crate::fsutil;
use crate::report::{Reporter, text};

use super::gpg::Verdict;
use super::{Error, Options, Provider, record};
use crate::http::{self, Client};

/// A key that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pin {
    /// The local part of the address at kernel.org.
    pub(super) user: &'static str,
    /// Its SHA-1 in z-base-32, the name in the key directory.
    wkd: &'static str,
    /// The primary key's full fingerprint.
    pub(super) fingerprint: &'static str,
}

/// Who signs releases, by <https://www.kernel.org/signature.html>.
pub(super) const RELEASE_SIGNERS: [Pin; 4] = [
    Pin {
        user: "gregkh",
        wkd: "e3n9xnm94c5apezqnj1pmrfuaoyfm8cf",
        fingerprint: "647F28654894E3BD457199BE38DBBDC86092693E",
    },
    Pin {
        user: "torvalds",
        wkd: "pf113mfnx1f3eb1yiwhsipa91xfc7o4x",
        fingerprint: "ABAF11C65A2970B130ABE3C479BE3E4300411886",
    },
    Pin {
        user: "sashal",
        wkd: "7j1cnb5wfkj3ts7cgy4xz1gwsz9xs5mj",
        fingerprint: "E27E5D8A3403A2EF66873BBCDEA66FF797772CDC",
    },
    // The maintainer of 3.2 and 3.16.
    Pin {
        user: "benh",
        wkd: "whrjzpz87r1omsrki9ayp167cdgjnefs",
        fingerprint: "AC2B29BD34A6AFDDB3F68F35E7BFC8EC95861109",
    },
];

/// Who signs each folder's `sha256sums.asc`.
pub(super) const CHECKSUM_SIGNERS: [Pin; 1] = [Pin {
    user: "autosigner",
    wkd: "ew8uiogxwri7d3fuioqgt7u1d5sngorx",
    fingerprint: "B8868C80BA62A1FFFAF5FDA9632D3A06589DA6B1",
}];

/// Keyring files for gpgv, and whose signatures in them count.
pub(super) struct Keys {
    pub(super) files: Vec<PathBuf>,
    /// `None`: everybody's in the files, which the user named.
    pins: Option<&'static [Pin]>,
    /// Holds the user's keys in binary form, if they were not.
    _converted: Option<tempfile::TempDir>,
}

impl Keys {
    /// The keys of a file that the user names, in any form that `gpg
    /// --export` writes, or a keybox.
    pub(super) fn of_user(path: &Path) -> Result<Self, Error> {
        let content = fs::read(path)?;
        let not_a_keyring = || Error::NotAKeyring { path: path.to_owned() };
        if is_binary_keyring(&content) {
            return Ok(Self { files: vec![path.to_owned()], pins: None, _converted: None });
        }
        let binary = String::from_utf8(content).ok().and_then(|text| dearmored(&text));
        let binary = binary.filter(|bytes| is_binary_keyring(bytes)).ok_or_else(not_a_keyring)?;
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("keyring.gpg");
        fs::write(&file, binary)?;
        Ok(Self { files: vec![file], pins: None, _converted: Some(folder) })
    }

    /// The pinned keys, from `folder` where they are kept, else (or with
    /// `again`) from the key directory.
    pub(super) fn of_directory(
        pins: &'static [Pin],
        client: &Client,
        url: &str,
        folder: &Path,
        again: bool,
        reporter: &dyn Reporter,
    ) -> Result<Self, Error> {
        let mut files = Vec::new();
        let mut failed = None;
        for pin in pins {
            let file = folder.join(format!("{}.gpg", pin.fingerprint));
            match keep(pin, client, url, &file, again) {
                Ok(()) => files.push(file),
                Err(error @ (Error::Io(_) | Error::Interrupted(_))) => return Err(error),
                Err(error) => {
                    reporter.detail(format!("key of {}: {}", pin.user, text::chain(&error)));
                    let silent = matches!(
                        error,
                        Error::Http(http::Error::NoAnswer { .. } | http::Error::Unreachable { .. })
                    );
                    failed = Some(error);
                    // The others are on the same server.
                    if silent {
                        break;
                    }
                }
            }
        }
        match failed {
            Some(source) if files.is_empty() => {
                Err(Error::NoKeys { url: url.to_owned(), source: Box::new(source) })
            }
            _ => Ok(Self { files, pins: Some(pins), _converted: None }),
        }
    }

    /// Whether fetching the keys again can change anything.
    pub(super) fn can_be_renewed(&self) -> bool {
        self.pins.is_some()
    }

    /// The first of these fingerprints that counts.
    pub(super) fn accepted(&self, fingerprints: &[String]) -> Option<String> {
        fingerprints.iter().find(|found| self.accepts(found)).cloned()
    }

    fn accepts(&self, fingerprint: &str) -> bool {
        self.pins.is_none_or(|pins| pins.iter().any(|pin| pin.fingerprint == fingerprint))
    }
}

/// The keys of a role, the user's or the pinned ones.
fn of_role(
    client: &Client,
    pins: &'static [Pin],
    options: &Options,
    again: bool,
    reporter: &dyn Reporter,
) -> Result<Keys, Error> {
    match options.keyring {
        Some(path) => Keys::of_user(path),
        None => {
            let folder = record::folder(options, Provider::KernelOrg).join("keys");
            Keys::of_directory(pins, client, options.wkd_url, &folder, again, reporter)
        }
    }
}

/// Asks with the keys that are kept, and once more with fresh ones if the
/// verdict could be for want of them.
pub(super) fn ask<T>(
    client: &Client,
    pins: &'static [Pin],
    options: &Options,
    reporter: &dyn Reporter,
    ask: impl Fn(&Keys) -> Result<(Verdict, T), Error>,
) -> Result<(Keys, Verdict, T), Error> {
    let held = of_role(client, pins, options, false, reporter)?;
    let (verdict, value) = ask(&held)?;
    let lacking = matches!(verdict, Verdict::Unknown(_) | Verdict::Refused(_));
    if !lacking || !held.can_be_renewed() {
        return Ok((held, verdict, value));
    }
    let renewed = of_role(client, pins, options, true, reporter)?;
    let (verdict, value) = ask(&renewed)?;
    Ok((renewed, verdict, value))
}

fn keep(pin: &Pin, client: &Client, url: &str, file: &Path, again: bool) -> Result<(), Error> {
    if file.exists() && !again {
        return Ok(());
    }
    let url = format!("{}/{}?l={}", url.trim_end_matches('/'), pin.wkd, pin.user);
    let key = match client.small(&url, client.patience.contact) {
        Ok(key) => key,
        // An old key is better than none.
        Err(_) if file.exists() => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    // Some directories serve armor, against the draft.
    let armored = std::str::from_utf8(&key).ok().and_then(dearmored);
    let binary = armored.unwrap_or(key);
    if !is_binary_keyring(&binary) {
        return Err(http::Error::Malformed { url, reason: "no OpenPGP key".to_owned() }.into());
    }
    Ok(fsutil::write_atomic(file, &binary)?)
}

/// What a record of a verified archive keeps of the user's keyring, so that
/// what it vouched for is not taken without it.
pub(super) fn fingerprint_of_file(path: Option<&Path>) -> Result<Option<Digest>, Error> {
    Ok(path.map(Digest::sha256_of_file).transpose()?)
}

/// Whether the bytes start as a public key packet (RFC 9580, section 4.2,
/// tag 6 in old or new form) or as a GnuPG keybox.
pub(super) fn is_binary_keyring(bytes: &[u8]) -> bool {
    match bytes {
        [0x98..=0x9b | 0xc6, ..] => true,
        _ => bytes.get(8..12) == Some(b"KBXf"),
    }
}

/// The bytes in OpenPGP ASCII armor (RFC 9580, section 6.2), all blocks one
/// after the other; `None` if there is none or it is damaged. The checksum is
/// optional there and not looked at: only fingerprints count.
pub(super) fn dearmored(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut lines = text.lines();
    while lines.any(|line| line.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----")) {
        // Headers end with an empty line.
        lines.find(|line| line.trim().is_empty())?;
        let is_data = |line: &&str| !line.starts_with('=') && !line.starts_with("-----");
        let block: String = lines.by_ref().take_while(is_data).map(str::trim).collect();
        bytes.extend(base64(&block)?);
    }
    Some(bytes).filter(|bytes| !bytes.is_empty())
}

/// Decodes base64 (RFC 4648, section 4).
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 3);
    for group in digits.chunks(4) {
        let mut value = 0u32;
        for position in 0..4 {
            let digit = group.get(position).map_or(Some(0), |&byte| base64_digit(byte))?;
            value = value << 6 | digit;
        }
        let whole = match group.len() {
            4 => 3,
            3 => 2,
            2 => 1,
            _ => return None,
        };
        bytes.extend(&value.to_be_bytes()[1..=whole]);
    }
    Some(bytes)
}

fn base64_digit(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_has_the_values_of_its_specification() {
        for (text, expected) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")]
        {
            assert_eq!(base64(text).as_deref(), Some(expected.as_bytes()), "{text}");
        }
        assert_eq!(base64("Z"), None);
        assert_eq!(base64("Zm9*"), None);
    }

    #[test]
    fn armor_with_headers_checksum_and_several_blocks() {
        let block = "-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: x\n\nZm9v\nYmFy\n=abcd\n\
                     -----END PGP PUBLIC KEY BLOCK-----\n";
        assert_eq!(dearmored(&format!("text\n{block}{block}")).unwrap(), b"foobarfoobar");
        assert_eq!(dearmored("-----BEGIN PGP MESSAGE-----\n\nZm9v\n"), None);
        assert_eq!(dearmored(""), None);
    }

    #[test]
    fn pins_are_full_fingerprints() {
        for pin in RELEASE_SIGNERS.iter().chain(&CHECKSUM_SIGNERS) {
            assert_eq!(pin.fingerprint.len(), 40, "{}", pin.user);
            assert!(
                pin.fingerprint.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_lowercase())
            );
            assert_eq!(pin.wkd.len(), 32, "{}", pin.user);
        }
    }

    #[test]
    fn a_checksum_signer_signs_no_releases() {
        let keys = Keys { files: Vec::new(), pins: Some(&RELEASE_SIGNERS), _converted: None };
        assert_eq!(keys.accepted(&[CHECKSUM_SIGNERS[0].fingerprint.to_owned()]), None);
        let greg = RELEASE_SIGNERS[0].fingerprint.to_owned();
        assert_eq!(keys.accepted(&["0".repeat(40), greg.clone()]), Some(greg));
    }

    #[test]
    fn a_file_without_keys_is_no_keyring() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        fs::write(&path, "hello").unwrap();
        assert!(matches!(Keys::of_user(&path), Err(Error::NotAKeyring { .. })));
    }
}
