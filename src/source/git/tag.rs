//! A tag that one of the release keys has signed.

use std::io::Write;

use fs_err as fs;

use crate::http::Client;
use crate::report::{Reporter, Stage};
use crate::settings::GitSource;

use super::super::gpg::{self, Verdict};
use super::super::keys::{self, Keys, RELEASE_SIGNERS};
use super::super::{Error, Options, Verified};
use super::reference::Target;
use super::{Repository, not_vouched};

/// Where the signature begins, which is over everything before it
/// (gitformat-signature(5)).
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";

/// Checks the signature of a target's tag, that it is of this name, and that
/// it leads to the commit.
pub(super) fn verify(
    repository: &Repository,
    source: &GitSource,
    target: &Target,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Verified, Error> {
    reporter.started(Stage::Verify, format!("tag {}", source.reference));
    let text = repository.git().args(["cat-file", "tag", &target.object]).run()?;
    let text = String::from_utf8_lossy(&text);
    let refused = |reason: &str| not_vouched(source, target, reason);
    let Some((signed, signature)) = parts(&text) else {
        return Err(refused("its tag has no OpenPGP signature"));
    };
    // Else a tag that somebody signed for another version passes for it.
    let name = header(signed, "tag");
    if name != target.tag.as_deref() || header(signed, "object") != Some(target.commit.as_str()) {
        return Err(refused("its tag is of another name or commit"));
    }
    let file = repository.folder.join("signature");
    fs::write(&file, signature)?;
    let feed = |stdin: &mut dyn Write| stdin.write_all(signed.as_bytes());
    let ask = |keys: &Keys| Ok((gpg::detached(&keys.files, &file, feed)?, ()));
    let client = Client::new(options.patience);
    let (keys, verdict, ()) = keys::ask(&client, &RELEASE_SIGNERS, options, reporter, ask)?;
    let fingerprint = match verdict {
        Verdict::Good(signers) => keys.accepted(&signers).ok_or(signers.join(", ")),
        Verdict::Unknown(key) => Err(key),
        Verdict::Bad => return Err(refused("its tag's signature is of other bytes")),
        Verdict::Refused(reason) => return Err(refused(&format!("its tag's signature: {reason}"))),
    };
    let verified = match fingerprint {
        Ok(fingerprint) => Verified::OpenPgp { fingerprint },
        Err(key) => return Err(refused(&format!("its tag is signed by {key}, no release key"))),
    };
    reporter.finished(Stage::Verify, verified.to_string());
    Ok(verified)
}

/// What is signed, and the signature.
fn parts(text: &str) -> Option<(&str, &str)> {
    let at = text.find(&format!("\n{SIGNATURE}"))? + 1;
    Some(text.split_at(at))
}

/// A line of the part before the message.
fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let head = text.split("\n\n").next()?;
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
}

#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing {
    use super::{SIGNATURE, header, parts};

    /// What is said of a tag stands in the part that is signed, before the
    /// message.
    pub(in super::super) fn object(text: &str) {
        let Some((signed, signature)) = parts(text) else { return };
        assert_eq!(format!("{signed}{signature}"), text);
        assert!(signature.starts_with(SIGNATURE) && signed.ends_with('\n'));
        for name in ["object", "tag"] {
            if let Some(value) = header(signed, name) {
                let message = signed.find("\n\n").unwrap_or(signed.len());
                assert!(signed[..message].contains(&format!("{name} {value}")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_headers_message_and_signature() {
        let text = "object abc\ntype commit\ntag v6.12\ntagger A <a@example.org> 0 +0000\n\n\
                    Linux 6.12\ntag v9\n-----BEGIN PGP SIGNATURE-----\nx\n";
        let (signed, signature) = parts(text).unwrap();
        assert!(signed.ends_with("tag v9\n") && signature.starts_with(SIGNATURE));
        assert_eq!((header(signed, "tag"), header(signed, "object")), (Some("v6.12"), Some("abc")));
        assert_eq!(header(signed, "tree"), None);
        assert_eq!(parts("object abc\n\nno signature\n"), None);
    }
}
