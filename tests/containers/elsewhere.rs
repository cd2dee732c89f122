//! A registry that sends its clients about: for tokens, to other hosts, and on from where a download broke off.

use std::path::Path;

use fs_err as fs;
use serde_json::{Value, json};
use stage1_builder::container::{Error, Options};

use super::{SMALL, files, get, leftovers, options, small};

/// A registry that hands out tokens, keeps its blobs at another place, and
/// breaks off the first answer for each of them.
struct Elsewhere {
    address: String,
    seen: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

impl Elsewhere {
    fn start(layout: &Path, realm_host: &str) -> Self {
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let server = tiny_http::Server::http("127.0.0.1:0").unwrap();
        let store = tiny_http::Server::http("127.0.0.1:0").unwrap();
        let (address, stored) = (server.server_addr().to_string(), store.server_addr().to_string());
        let index = fs::read(layout.join("index.json")).unwrap();
        let index: Value = serde_json::from_slice(&index).unwrap();
        let blobs = layout.join("blobs/sha256");
        let manifest = index["manifests"][0]["digest"].as_str().unwrap()[7..].to_owned();
        let manifest = fs::read(blobs.join(manifest)).unwrap();
        let realm = format!("http://{}/token", realm_host.replace("SELF", &address));
        let log = seen.clone();
        std::thread::spawn(move || {
            for request in server.incoming_requests() {
                answer(request, &realm, &stored, &manifest, &log);
            }
        });
        let log = seen.clone();
        std::thread::spawn(move || {
            for request in store.incoming_requests() {
                stored_blob(request, &blobs, &log);
            }
        });
        Self { address, seen }
    }
}

type Log = std::sync::Arc<std::sync::Mutex<Vec<String>>>;

fn sent(request: &tiny_http::Request, name: &'static str) -> String {
    let found = request.headers().iter().find(|header| header.field.equiv(name));
    found.map(|header| header.value.to_string()).unwrap_or_default()
}

fn line(text: &str) -> tiny_http::Header {
    text.parse().unwrap()
}

fn answer(request: tiny_http::Request, realm: &str, stored: &str, manifest: &[u8], log: &Log) {
    let (url, authorization) = (request.url().to_owned(), sent(&request, "Authorization"));
    log.lock().unwrap().push(format!("{url} [{authorization}]"));
    let response = if url.starts_with("/token") {
        tiny_http::Response::from_data(br#"{"token": "letmein"}"#.to_vec())
    } else if authorization != "Bearer letmein" {
        let challenge = format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"s 1\"");
        tiny_http::Response::from_data(b"{}".to_vec())
            .with_status_code(401)
            .with_header(line(&challenge))
    } else if url.contains("/manifests/") {
        tiny_http::Response::from_data(manifest.to_vec())
    } else {
        let hex = url.rsplit_once(':').unwrap().1;
        let place = format!("Location: http://{stored}/{hex}");
        tiny_http::Response::from_data(Vec::new()).with_status_code(307).with_header(line(&place))
    };
    _ = request.respond(response);
}

/// The first half at the first time, and the rest to who asks for it.
fn stored_blob(request: tiny_http::Request, blobs: &Path, log: &Log) {
    let (url, authorization) = (request.url().to_owned(), sent(&request, "Authorization"));
    let range = sent(&request, "Range");
    let times = {
        let mut log = log.lock().unwrap();
        log.push(format!("stored {url} [{authorization}] {range}"));
        log.iter().filter(|line| line.starts_with(&format!("stored {url} "))).count()
    };
    let bytes = fs::read(blobs.join(&url[1..])).unwrap();
    let start = range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
    let start: usize = start.map_or(0, |start| start.parse().unwrap());
    let mut stream = request.into_writer();
    let status = if start > 0 { "206 Partial Content" } else { "200 OK" };
    let (rest, total) = (bytes.len() - start, bytes.len());
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {rest}\r\nConnection: close\r\n\
         Content-Range: bytes {start}-{}/{total}\r\n\r\n",
        total - 1
    );
    let end = if times == 1 { total / 2 } else { total };
    _ = stream.write_all(head.as_bytes());
    _ = stream.write_all(&bytes[start..end.max(start)]);
    _ = stream.flush();
}

#[test]
fn a_token_is_fetched_downloads_go_on_and_no_password_follows_a_redirect() {
    let folder = tempfile::tempdir().unwrap();
    let layout = small(folder.path());
    let registry = Elsewhere::start(&layout.path, "SELF");
    let file = folder.path().join("config.json");
    let auths = json!({"auths": {registry.address.clone(): {"auth": "bWU6c2VjcmV0"}}});
    fs::write(&file, auths.to_string()).unwrap();
    let store = folder.path().join("store");
    let with = Options { credentials: Some(&file), ..options(&store) };
    let container = get(&format!("docker://{}/a/b:v1", registry.address), &with).unwrap();
    assert_eq!(files(&container, &folder.path().join("out")), SMALL);
    let seen = registry.seen.lock().unwrap().clone();
    let token = "/token?service=s%201&scope=repository%3Aa%2Fb%3Apull [Basic bWU6c2VjcmV0]";
    assert!(seen.contains(&token.to_owned()), "{seen:?}");
    let stored: Vec<_> = seen.iter().filter(|line| line.starts_with("stored")).collect();
    assert!(stored.iter().all(|line| line.contains(" [] ")), "{stored:?}");
    assert!(stored.iter().any(|line| line.contains("bytes=")), "{stored:?}");
    assert_eq!(
        leftovers(&store).iter().filter(|p| p.extension().is_some_and(|e| e == "part")).count(),
        0
    );
}

#[test]
fn a_password_is_not_sent_in_the_open() {
    let folder = tempfile::tempdir().unwrap();
    let layout = small(folder.path());
    let registry = Elsewhere::start(&layout.path, "tokens.example.org");
    let error = get(&format!("docker://{}/a:v1", registry.address), &options(folder.path()));
    let error = error.unwrap_err();
    assert!(matches!(error, Error::PlainHttp { .. }), "{error}");
    assert!(error.to_string().starts_with("http://tokens.example.org/token"), "{error}");
}
