//! Signatures, through `gpgv`. Only what it says on its status stream counts
//! (GnuPG's doc/DETAILS), never its exit status: that is 0 for any key of the
//! keyring.

use std::io::Write;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::proc::Program;

use super::Error;

/// What gpgv says of a file's signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Good signatures, by these primary keys (full fingerprints).
    Good(Vec<String>),
    /// The content is not what was signed.
    Bad,
    /// The keyring lacks the key; its fingerprint or id.
    Unknown(String),
    /// Expired, revoked, or no signature at all.
    Refused(String),
}

/// Reads gpgv's status lines.
pub(super) fn parse_status(text: &str) -> Verdict {
    let mut state = Status::default();
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("[GNUPG:] ") {
            state.take(&words.split(' ').collect::<Vec<_>>());
        }
    }
    state.verdict()
}

#[derive(Default)]
struct Status {
    /// The current signature is good, not expired and not revoked.
    plain: bool,
    good: Vec<String>,
    bad: bool,
    unknown: Option<String>,
    refused: Option<String>,
}

impl Status {
    fn take(&mut self, words: &[&str]) {
        match words {
            ["NEWSIG", ..] => self.plain = false,
            ["GOODSIG", ..] => self.plain = true,
            ["BADSIG", ..] => self.bad = true,
            // The last field is the fingerprint of the primary key.
            ["VALIDSIG", _, .., primary] if self.plain => {
                self.good.push((*primary).to_ascii_uppercase());
            }
            ["ERRSIG", key, _, _, _, _, "9", rest @ ..] => {
                let fingerprint = rest.first().filter(|text| text.len() >= 40);
                self.unknown = Some((*fingerprint.unwrap_or(key)).to_owned());
            }
            ["ERRSIG", key, ..] => self.refuse(format!("the signature of {key} can't be checked")),
            ["EXPSIG", ..] => self.refuse("the signature has expired".to_owned()),
            ["EXPKEYSIG", key, ..] => self.refuse(format!("the key {key} has expired")),
            ["REVKEYSIG", key, ..] => self.refuse(format!("the key {key} was revoked")),
            ["NODATA", ..] => self.refuse("it holds no signature".to_owned()),
            _ => {}
        }
    }

    fn refuse(&mut self, reason: String) {
        self.plain = false;
        self.refused.get_or_insert(reason);
    }

    fn verdict(self) -> Verdict {
        if self.bad {
            Verdict::Bad
        } else if !self.good.is_empty() {
            Verdict::Good(self.good)
        } else if let Some(reason) = self.refused {
            Verdict::Refused(reason)
        } else if let Some(key) = self.unknown {
            Verdict::Unknown(key)
        } else {
            Verdict::Refused("gpgv found no signature".to_owned())
        }
    }
}

fn gpgv(keyrings: &[PathBuf]) -> Program {
    let keyrings = keyrings.iter().flat_map(|path| ["--keyring".into(), absolute(path)]);
    Program::new("gpgv").args(["--status-fd", "1"]).args(keyrings)
}

/// gpgv looks for a name without a slash in its own folder.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Checks a detached signature over what `feed` writes.
pub(super) fn detached(
    keyrings: &[PathBuf],
    signature: &Path,
    feed: impl FnOnce(&mut dyn Write) -> std::io::Result<()> + Send,
) -> Result<Verdict, Error> {
    let program = gpgv(keyrings).arg("--").arg(absolute(signature)).arg("-");
    let output = program.output_fed(feed)?;
    Ok(parse_status(&String::from_utf8_lossy(&output.stdout)))
}

/// Checks a clear-signed file and gives the text that is really signed:
/// what stands around it in the file does not count.
pub(super) fn clear_signed(
    keyrings: &[PathBuf],
    content: &[u8],
) -> Result<(Verdict, String), Error> {
    let folder = tempfile::tempdir()?;
    let (signed, plain) = (folder.path().join("signed.asc"), folder.path().join("plain"));
    fs::write(&signed, content)?;
    let program = gpgv(keyrings).arg("--output").arg(&plain).arg("--").arg(&signed);
    let output = program.output()?;
    let verdict = parse_status(&String::from_utf8_lossy(&output.stdout));
    let text = match verdict {
        Verdict::Good(_) => String::from_utf8_lossy(&fs::read(&plain)?).into_owned(),
        _ => String::new(),
    };
    Ok((verdict, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIMARY: &str = "647F28654894E3BD457199BE38DBBDC86092693E";
    const SUBKEY: &str = "AAAA28654894E3BD457199BE38DBBDC86092693E";

    fn valid(primary: &str) -> String {
        format!("[GNUPG:] VALIDSIG {SUBKEY} 2024-01-01 1704067200 0 4 0 1 8 00 {primary}\n")
    }

    #[test]
    fn the_primary_key_of_a_good_signature_counts() {
        let text = format!(
            "[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 38DBBDC86092693E Somebody\n{}",
            valid(PRIMARY)
        );
        assert_eq!(parse_status(&text), Verdict::Good(vec![PRIMARY.to_owned()]));
    }

    #[test]
    fn a_valid_signature_by_a_revoked_or_expired_key_is_refused() {
        for word in ["REVKEYSIG", "EXPKEYSIG", "EXPSIG"] {
            let text =
                format!("[GNUPG:] NEWSIG\n[GNUPG:] {word} 38DB Somebody\n{}", valid(PRIMARY));
            assert!(matches!(parse_status(&text), Verdict::Refused(_)), "{word}");
        }
    }

    #[test]
    fn one_bad_signature_spoils_the_good_one() {
        let text = format!(
            "[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 38DB A\n{}[GNUPG:] NEWSIG\n[GNUPG:] BADSIG 1 B\n",
            valid(PRIMARY)
        );
        assert_eq!(parse_status(&text), Verdict::Bad);
    }

    #[test]
    fn a_user_id_can_not_forge_a_status_line() {
        let text = format!("[GNUPG:] BADSIG 38DB x [GNUPG:] GOODSIG 1\ngpgv: {}", valid(PRIMARY));
        assert_eq!(parse_status(&text), Verdict::Bad);
    }

    #[test]
    fn an_unknown_key_is_named() {
        let with_fingerprint = format!(
            "[GNUPG:] NEWSIG\n[GNUPG:] ERRSIG 38DBBDC86092693E 1 8 00 1704067200 9 {PRIMARY}\n\
             [GNUPG:] NO_PUBKEY 38DBBDC86092693E\n"
        );
        assert_eq!(parse_status(&with_fingerprint), Verdict::Unknown(PRIMARY.to_owned()));
        let without = "[GNUPG:] ERRSIG 38DBBDC86092693E 1 8 00 1704067200 9 -\n";
        assert_eq!(parse_status(without), Verdict::Unknown("38DBBDC86092693E".to_owned()));
        assert!(matches!(parse_status("[GNUPG:] NODATA 4\n"), Verdict::Refused(_)));
        assert!(matches!(parse_status(""), Verdict::Refused(_)));
    }
}
