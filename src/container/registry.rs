//! A registry (OCI distribution specification 1.1, docker registry HTTP API
//! version 2): its documents, and who may read them.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use std::io::Read;
use ureq::Body;
use ureq::http::Response;

use super::blobs::Blobs;
use super::credentials::{self, Credentials};
use super::manifest::{ACCEPT, Descriptor, Document, Manifest, choose};
use super::parts::{Found, MOST_DOCUMENT, Place, check, only_sha256};
use super::reference::RegistryName;
use super::{Error, Options, PullPolicy};
use crate::digest::Digest;
use crate::http::{self, Certificates, Client, Method, Patience, Pieces, broke_off};
use crate::kept;
use crate::report::{Reporter, Stage, text};

/// Where docker.io really is.
const DOCKER_IO: &str = "registry-1.docker.io";
/// Indexes may list indexes, to no use.
const MOST_NESTED: u32 = 4;

/// What a name was resolved to.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    /// The name, for who looks into the folder.
    name: String,
    /// The manifest for one architecture.
    manifest: Digest,
}

/// Finds an image: in the store if the policy lets us, else at its registry.
pub(super) fn find(
    name: &RegistryName,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Found, Error> {
    let blobs = Blobs::new(options.folder);
    // What a digest names never changes.
    let may_be_old = options.pull != PullPolicy::Update || name.digest.is_some();
    if may_be_old && let Some(found) = known(name, &blobs, options)? {
        return Ok(found);
    }
    if options.pull == PullPolicy::Never {
        return Err(Error::NotHere { name: name.to_string() });
    }
    reporter.started(Stage::Resolve, name.to_string());
    let registry = Registry::connect(name, options, reporter)?;
    let (digest, manifest) = registry.manifest()?;
    blobs.fetch(&registry, &[&manifest.config], &name.to_string(), &crate::report::Silent)?;
    let found = found(name, &manifest, &blobs, options)?
        .ok_or_else(|| Error::NotHere { name: name.to_string() })?;
    remember(name, digest, options)?;
    reporter.finished(Stage::Resolve, format!("{name} is {}", found.id));
    Ok(found)
}

/// Fetches an image's layers that are absent.
pub(super) fn fetch(
    name: &RegistryName,
    wanted: &[&Descriptor],
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    let blobs = Blobs::new(options.folder);
    let absent: Vec<_> = wanted.iter().filter(|layer| !blobs.has(layer)).copied().collect();
    if absent.is_empty() {
        return Ok(());
    }
    if options.pull == PullPolicy::Never {
        return Err(Error::NotHere { name: name.to_string() });
    }
    reporter.started(Stage::Fetch, name.to_string());
    let registry = Registry::connect(name, options, reporter)?;
    blobs.fetch(&registry, &absent, &name.to_string(), reporter)?;
    let bytes = absent.iter().map(|layer| layer.size).sum();
    reporter.finished(Stage::Fetch, format!("{name}, {}", crate::report::text::bytes(bytes)));
    Ok(())
}

/// What the store has under a name, or under a digest that came by another
/// name.
fn known(name: &RegistryName, blobs: &Blobs, options: &Options) -> Result<Option<Found>, Error> {
    let known: Option<Known> = kept::read(&record(name, options));
    let digest = known.map(|known| known.manifest).or_else(|| name.digest.clone());
    let Some(manifest) = digest.and_then(|digest| blobs.document(&digest)) else {
        return Ok(None);
    };
    match Document::parse(&manifest, &name.to_string())? {
        Document::Manifest(manifest) => found(name, &manifest, blobs, options),
        Document::Index(_) => Ok(None),
    }
}

/// The image of a manifest, if its configuration is in the store.
fn found(
    name: &RegistryName,
    manifest: &Manifest,
    blobs: &Blobs,
    options: &Options,
) -> Result<Option<Found>, Error> {
    let Some(config) = blobs.document(&manifest.config.digest) else { return Ok(None) };
    let places = manifest.layers.iter().cloned().map(Place::Remote).collect();
    Found::new(&name.to_string(), &config, places, options.arch).map(Some)
}

fn remember(name: &RegistryName, manifest: Digest, options: &Options) -> Result<(), Error> {
    let known = Known { name: name.to_string(), manifest };
    Ok(kept::write(&record(name, options), &known)?)
}

fn record(name: &RegistryName, options: &Options) -> PathBuf {
    let key = Digest::sha256(format!("{name} {}", options.arch).as_bytes());
    options.folder.join("names").join(format!("{}.json", key.hex()))
}

/// One repository of a registry.
pub(super) struct Registry<'a> {
    name: &'a RegistryName,
    options: &'a Options<'a>,
    reporter: &'a dyn Reporter,
    client: Client,
    /// `https://HOST`.
    base: String,
    /// The `Authorization` header that has worked last.
    authorization: Mutex<Option<String>>,
}

impl<'a> Registry<'a> {
    /// Finds out how the registry speaks.
    fn connect(
        name: &'a RegistryName,
        options: &'a Options,
        reporter: &'a dyn Reporter,
    ) -> Result<Self, Error> {
        let certificates =
            if options.insecure_tls { Certificates::Any } else { Certificates::Checked };
        let client = Client::with_certificates(options.patience, certificates);
        let host = match name.registry.as_str() {
            "docker.io" => DOCKER_IO,
            other => other,
        };
        let base = base(&client, host, options.insecure_http, reporter)?;
        let authorization = Mutex::new(None);
        Ok(Self { name, options, reporter, client, base, authorization })
    }

    pub(super) fn patience(&self) -> Patience {
        self.client.patience
    }

    pub(super) fn blob_url(&self, digest: &Digest) -> String {
        format!("{}/v2/{}/blobs/{digest}", self.base, self.name.repository)
    }

    /// Tries as often as a download is tried.
    pub(super) fn persist<T>(
        &self,
        act: impl FnMut() -> Result<T, Error>,
        progressed: impl Fn() -> bool,
    ) -> Result<T, Error> {
        let passes = |error: &Error| matches!(error, Error::Http(error) if error.is_transient());
        let note =
            |error: &Error| self.reporter.note(format!("{}; trying again", text::chain(error)));
        http::retry(self.patience(), act, progressed, passes, note)
    }

    /// The manifest for our architecture, and its digest.
    fn manifest(&self) -> Result<(Digest, Manifest), Error> {
        let blobs = Blobs::new(self.options.folder);
        let name = self.name.to_string();
        let mut target = self.name.target();
        let mut expected = self.name.digest.clone();
        for _ in 0..MOST_NESTED {
            let bytes = self.persist(|| self.document(&target), || false)?;
            let digest = match &expected {
                Some(expected) => {
                    only_sha256(expected, &name)?;
                    check(expected, &bytes, &format!("{name}: its manifest"))?;
                    expected.clone()
                }
                None => Digest::sha256(&bytes),
            };
            match Document::parse(&bytes, &name)? {
                Document::Manifest(manifest) => {
                    blobs.keep(&digest, &bytes)?;
                    return Ok((digest, manifest));
                }
                Document::Index(list) => {
                    let chosen = choose(&list, self.options.arch, &name)?;
                    target = chosen.digest.to_string();
                    expected = Some(chosen.digest.clone());
                }
            }
        }
        Err(Error::malformed(&name, "its indexes list only indexes"))
    }

    fn document(&self, target: &str) -> Result<Vec<u8>, Error> {
        let url = format!("{}/v2/{}/manifests/{target}", self.base, self.name.repository);
        let response = self.get(&url, &[("accept", ACCEPT.to_owned())])?;
        match response.status().as_u16() {
            200 => self.body(response, &url),
            status => Err(self.refused(&url, status)),
        }
    }

    fn body(&self, response: Response<Body>, url: &str) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let pieces = Pieces::of(response, self.patience().stall);
        let read = pieces.take(MOST_DOCUMENT + 1).read_to_end(&mut bytes);
        read.map_err(|source| broke_off(url, bytes.len() as u64, source))?;
        match bytes.len() as u64 > MOST_DOCUMENT {
            true => Err(Error::too_many_bytes(url, MOST_DOCUMENT)),
            false => Ok(bytes),
        }
    }

    /// Asks, and asks again with what the registry wants to know of us.
    pub(super) fn get(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Response<Body>, Error> {
        let open = |authorization: Option<String>| {
            let authorization = authorization.map(|value| ("authorization", value));
            let headers: Vec<_> = headers.iter().cloned().chain(authorization).collect();
            self.client.open(Method::Get, url, &headers, self.patience().stall)
        };
        let used = self.authorization();
        let response = open(used.clone())?;
        if response.status() != 401 {
            return Ok(response);
        }
        // Another thread may have a newer token than the one that was used.
        let now = self.authorization();
        let value = if now == used { self.authorize(&response)? } else { now };
        Ok(open(value)?)
    }

    fn authorization(&self) -> Option<String> {
        let guard = self.authorization.lock();
        guard.unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn authorize(&self, response: &Response<Body>) -> Result<Option<String>, Error> {
        let values = response.headers().get_all("www-authenticate").iter();
        let challenges: Vec<Challenge> =
            values.filter_map(|value| Challenge::parse(value.to_str().ok()?)).collect();
        let scheme = |name: &str| challenges.iter().find(|c| c.scheme.eq_ignore_ascii_case(name));
        let credentials = self.credentials()?;
        let value = match (scheme("bearer"), scheme("basic"), credentials) {
            (Some(challenge), _, credentials) => self.token(challenge, credentials.as_ref())?,
            (None, Some(_), Some(credentials)) => credentials.basic(),
            (None, Some(_), None) => return Err(self.denied("it wants a name and a password")),
            _ => return Err(self.denied("it does not say how to log in")),
        };
        *self.authorization.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
            Some(value.clone());
        Ok(Some(value))
    }

    fn credentials(&self) -> Result<Option<Credentials>, Error> {
        let file = self.options.credentials.map(Path::to_owned);
        match file.or_else(credentials::default_file) {
            Some(file) => credentials::of(&self.name.registry, &file),
            None => Ok(None),
        }
    }

    /// A token for reading this repository (docker's token authentication
    /// specification).
    fn token(
        &self,
        challenge: &Challenge,
        credentials: Option<&Credentials>,
    ) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(alias = "access_token")]
            token: Option<String>,
        }
        let realm = challenge.get("realm").ok_or_else(|| self.denied("it names no realm"))?;
        let secure = realm.starts_with("https://");
        if !secure && !self.options.insecure_http && !is_local(host_of(realm)) {
            return Err(Error::PlainHttp { url: realm.to_owned() });
        }
        let scope = format!("repository:{}:pull", self.name.repository);
        let join = if realm.contains('?') { '&' } else { '?' };
        let service = challenge.get("service").unwrap_or_default();
        let url = format!("{realm}{join}service={}&scope={}", encoded(service), encoded(&scope));
        let basic = credentials.map(|found| ("authorization", found.basic()));
        let ask = || {
            Ok(self.client.open(
                Method::Get,
                &url,
                &Vec::from_iter(basic.clone()),
                self.patience().stall,
            )?)
        };
        let response = self.persist(ask, || false)?;
        match response.status().as_u16() {
            200 => {}
            401 | 403 => return Err(self.denied("it does not accept the name and password")),
            status => return Err(http::Error::Status { url, status }.into()),
        }
        let bytes = self.body(response, &url)?;
        // The address may hold what only the registry should know.
        let answer: Answer =
            serde_json::from_slice(&bytes).map_err(|error| Error::malformed(realm, error))?;
        match answer.token {
            Some(token) => Ok(format!("Bearer {token}")),
            None => Err(Error::malformed(realm, "it gives no token")),
        }
    }

    fn denied(&self, reason: &str) -> Error {
        let (registry, name) = (self.name.registry.clone(), self.name.repository.clone());
        Error::Denied { registry, name, reason: reason.to_owned() }
    }

    /// What a status means that is no success.
    pub(super) fn refused(&self, url: &str, status: u16) -> Error {
        match status {
            401 | 403 => self.denied(&format!("it answers with status {status}")),
            404 => {
                let target = self.name.target();
                let mark = if self.name.digest.is_some() { '@' } else { ':' };
                let name = format!("{}{mark}{target}", self.name.repository);
                Error::NoImage { registry: self.name.registry.clone(), name }
            }
            status => http::Error::Status { url: url.to_owned(), status }.into(),
        }
    }
}

/// `https://HOST`, or `http://HOST` where that may be and the other is not
/// spoken: on this machine, or anywhere if the user says so.
fn base(
    client: &Client,
    host: &str,
    insecure: bool,
    reporter: &dyn Reporter,
) -> Result<String, Error> {
    let ask = |scheme: &str| {
        let url = format!("{scheme}://{host}/v2/");
        client.open(Method::Get, &url, &[], client.patience.contact).map(drop)
    };
    let (safe, plain) = (format!("https://{host}"), format!("http://{host}"));
    let passes = |error: &http::Error| error.is_transient();
    let note = |error: &http::Error| reporter.note(format!("{}; trying again", text::chain(error)));
    if insecure || is_local(host) {
        return match ask("https") {
            Ok(()) => Ok(safe),
            Err(error @ http::Error::Interrupted(_)) => Err(error.into()),
            Err(_) => Ok(http::retry(client.patience, || ask("http"), || false, passes, note)
                .map(|()| plain)?),
        };
    }
    let Err(error) = ask("https") else { return Ok(safe) };
    // One that answers without encryption is no matter of the network.
    if matches!(error, http::Error::Unreachable { .. }) && ask("http").is_ok() {
        return Err(Error::PlainHttp { url: plain });
    }
    Ok(http::retry(client.patience, || ask("https"), || false, passes, note).map(|()| safe)?)
}

/// The host of a URL.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// Whether a host, with or without a port, is this machine by its name alone.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    let loopback = |address: std::net::IpAddr| address.is_loopback();
    name == "localhost" || name.parse().is_ok_and(loopback)
}

/// A value in a query.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encode = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// How a server wants to be asked (RFC 9110, section 11.6.1).
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// One scheme with its parameters, quoted or not.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, mut rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let mut parameters = Vec::new();
        loop {
            rest = rest.trim_start_matches([' ', ',']);
            if rest.is_empty() {
                return Some(Self { scheme: scheme.to_owned(), parameters });
            }
            let (name, after) = rest.split_once('=')?;
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => after.split_once(',').unwrap_or((after, "")),
            };
            parameters.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            rest = after;
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing {
    //! What is tried with a registry's headers. See [`crate::fuzzing`].

    use super::{Challenge, Known, encoded, host_of, is_local};

    /// `WWW-Authenticate`, and the address that is in it.
    pub(in crate::container) fn headers(text: &str) {
        if let Some(challenge) = Challenge::parse(text) {
            let inside = |(_, value): &(String, String)| text.contains(value.as_str());
            assert!(challenge.parameters.iter().all(inside));
            let realm = challenge.get("realm").unwrap_or_default();
            assert!(realm.contains(host_of(realm)));
        }
        let host = host_of(text);
        assert!(!host.contains(['/', '?', '#', '@']), "{host}");
        _ = is_local(host);
        assert!(encoded(text).bytes().all(|byte| byte.is_ascii_graphic() && byte != b'&'));
    }

    /// What a name was resolved to.
    pub(in crate::container) fn records(bytes: &[u8]) {
        crate::fuzzing::record::<Known>(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_have_quoted_and_plain_parameters() {
        let text = r#"Bearer realm="https://a.b/token?x=1,2",service=a.b, scope="r:x:pull""#;
        let challenge = Challenge::parse(text).unwrap();
        assert_eq!(challenge.scheme, "Bearer");
        assert_eq!(challenge.get("realm"), Some("https://a.b/token?x=1,2"));
        assert_eq!(challenge.get("service"), Some("a.b"));
        assert_eq!(challenge.get("scope"), Some("r:x:pull"));
        assert_eq!(Challenge::parse("Basic").unwrap().parameters, []);
        for wrong in ["Bearer x", "Bearer realm=\"x", "Bearer a=\"b\" c"] {
            assert_eq!(Challenge::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_loopback_is_local() {
        for host in ["localhost", "localhost:5000", "127.0.0.1", "127.9.9.9:1", "[::1]:80"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["localhost.com", "10.0.0.1:5000", "127.0.0.1.nip.io", "[::2]", "example.org"] {
            assert!(!is_local(host), "{host}");
        }
        assert_eq!(host_of("http://127.0.0.1@evil.org/x"), "evil.org");
        assert_eq!(host_of("http://a:1?x=http://b"), "a:1");
    }

    #[test]
    fn values_of_a_query_are_encoded() {
        assert_eq!(encoded("repository:a/b:pull"), "repository%3Aa%2Fb%3Apull");
    }
}
