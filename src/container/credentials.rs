//! Passwords for registries, as docker keeps them: in `config.json` of
//! `$DOCKER_CONFIG` or `~/.docker`, or behind a helper that it names.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fs_err as fs;
use serde::Deserialize;

use super::Error;
use crate::proc::Program;

/// What docker calls its own registry there.
const DOCKER_IO: &str = "https://index.docker.io/v1/";
/// The name that goes with an identity token, which is no password.
const TOKEN_NAME: &str = "<token>";

/// A name and a password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    name: String,
    password: String,
}

/// Without the password: this may reach a log.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Credentials {
    /// The value of an `Authorization` header (RFC 7617).
    pub(super) fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.name, self.password)))
    }

    fn decoded(auth: &str) -> Option<Self> {
        let bytes = STANDARD.decode(auth.trim()).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (name, password) = text.split_once(':')?;
        let password = password.trim_end_matches('\0').to_owned();
        Some(Self { name: name.to_owned(), password })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: BTreeMap<String, Auth>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").finish_non_exhaustive()
    }
}

/// What a helper answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// The file that docker keeps them in.
pub(super) fn default_file() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = set("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(set("HOME")?).join(".docker")))?;
    Some(folder.join("config.json"))
}

/// The credentials for a registry, if there are any.
pub(super) fn of(registry: &str, file: &Path) -> Result<Option<Credentials>, Error> {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let unusable = |reason: String| Error::Credentials { path: file.display().to_string(), reason };
    let config: Config =
        serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))?;
    let key = if registry == "docker.io" { DOCKER_IO } else { registry };
    let helper = config.cred_helpers.get(registry).or(config.cred_helpers.get(key));
    if let Some(helper) = helper.or(config.creds_store.as_ref()) {
        // docker looks into the file, too, for what the store has not.
        if let Some(found) = ask(helper, key)? {
            return Ok(Some(found));
        }
    }
    let is_it = |(name, _): &(&String, &Auth)| name.as_str() == key || host(name) == registry;
    let Some((_, auth)) = config.auths.iter().find(is_it) else { return Ok(None) };
    match (&auth.auth, &auth.username, &auth.password) {
        (Some(auth), ..) if !auth.is_empty() => {
            let wrong = || unusable(format!("the 'auth' of {registry} can't be decoded"));
            Credentials::decoded(auth).map(Some).ok_or_else(wrong)
        }
        (_, Some(name), Some(password)) => {
            Ok(Some(Credentials { name: name.clone(), password: password.clone() }))
        }
        _ => Ok(None),
    }
}

/// The host of a key that is written as a URL.
fn host(key: &str) -> &str {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let rest = rest.unwrap_or(key);
    rest.split('/').next().unwrap_or(rest)
}

/// Asks `docker-credential-<helper> get`, which reads the registry from its
/// input and answers with JSON, or fails if it has nothing.
fn ask(helper: &str, registry: &str) -> Result<Option<Credentials>, Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let program = format!("docker-credential-{helper}");
    let unusable =
        |reason: &str| Error::Credentials { path: program.clone(), reason: reason.into() };
    if !helper.chars().all(plain) {
        return Err(unusable("it is not the name of a helper"));
    }
    let asked = registry.to_owned();
    let output =
        Program::new(&program).arg("get").output_fed(move |to| to.write_all(asked.as_bytes()))?;
    if !output.status.success() {
        return Ok(None);
    }
    let answer: Answer = serde_json::from_slice(&output.stdout)
        .map_err(|_| unusable("its answer can't be understood"))?;
    if answer.username == TOKEN_NAME {
        return Err(unusable("it gives an identity token, which is not supported"));
    }
    Ok(Some(Credentials { name: answer.username, password: answer.secret }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: &str, registry: &str) -> Result<Option<String>, Error> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        fs::write(&file, json).unwrap();
        Ok(of(registry, &file)?.map(|found| format!("{}:{}", found.name, found.password)))
    }

    #[test]
    fn keys_are_hosts_or_urls() {
        let auth = STANDARD.encode("me:se:cret");
        for (key, registry) in [
            ("quay.io", "quay.io"),
            ("https://quay.io/v2/", "quay.io"),
            ("localhost:5000", "localhost:5000"),
            (DOCKER_IO, "docker.io"),
        ] {
            let json = format!(r#"{{"auths": {{"{key}": {{"auth": "{auth}"}}}}}}"#);
            assert_eq!(found(&json, registry).unwrap().as_deref(), Some("me:se:cret"), "{key}");
            assert_eq!(found(&json, "other.io").unwrap(), None);
        }
        assert_eq!(found("{}", "quay.io").unwrap(), None);
        assert_eq!(found(r#"{"auths": {"quay.io": {}}}"#, "quay.io").unwrap(), None);
        for wrong in ["3", r#"{"auths": {"quay.io": {"auth": "%"}}}"#, "{"] {
            assert!(matches!(found(wrong, "quay.io"), Err(Error::Credentials { .. })), "{wrong}");
        }
        let json = r#"{"credHelpers": {"quay.io": "../evil"}}"#;
        assert!(matches!(found(json, "quay.io"), Err(Error::Credentials { .. })));
        let json = r#"{"credsStore": "s1b-no-such-helper"}"#;
        assert!(matches!(found(json, "quay.io"), Err(Error::Program(_))));
    }

    #[test]
    fn the_password_is_not_shown() {
        let credentials = Credentials { name: "me".into(), password: "secret".into() };
        assert_eq!(credentials.basic(), "Basic bWU6c2VjcmV0");
        assert!(!format!("{credentials:?}").contains("secret"));
    }
}
