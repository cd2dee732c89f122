//! A provider that can't be reached.

use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;
use stage1_builder::report;
use stage1_builder::source::Patience;

use super::mirror::Fault;
use super::stage::Stage;

/// A server that takes connections and never says a word.
fn silent_server() -> (std::net::TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[test]
fn a_host_that_can_not_be_reached_costs_no_more_than_its_time() {
    let (_listener, silent) = silent_server();
    // A port that nobody listens on, a name that nobody has, an address that
    // answers nothing, a server that accepts and stays silent.
    let hosts =
        ["http://127.0.0.1:1", "http://no-such-host.invalid", "http://192.0.2.1", silent.as_str()];
    for host in hosts {
        let mut stage = Stage::new();
        stage.base = host.to_owned();
        stage.releases = format!("{host}/releases.json");
        for request in ["6.12.3", "6.12", "stable"] {
            let started = Instant::now();
            let error = stage.resolve(request).unwrap_err();
            let elapsed = started.elapsed();
            assert!(elapsed < Duration::from_millis(3000), "{host} {request}: {elapsed:?}");
            assert_eq!(error.fault(), report::Fault::Network, "{host}: {error:?}");
            assert!(error.to_string().contains(host), "{error}");
            assert!(error.hint().unwrap().contains("debian"), "{host}");
        }
        assert!(!Path::new(&stage.downloads()).join("resolved").exists());
    }
}

#[test]
fn the_default_patience_is_five_seconds() {
    assert_eq!(Patience::default().contact, Duration::from_secs(5));
}

#[test]
fn who_is_offline_works_with_the_last_answer_and_what_is_there() {
    let stage = Stage::new();
    stage.resolve("6.12").unwrap();
    let kept = fs::read_dir(stage.downloads().join("resolved")).unwrap().next().unwrap().unwrap();
    let text = fs::read_to_string(kept.path()).unwrap();
    // Without the digest, which would tell that it was changed.
    let text = &text[..text.rfind('"').and_then(|end| text[..end].rfind('"')).unwrap()];
    let answer: serde_json::Value = serde_json::from_str(text).unwrap();
    let two_days_ago = answer["at"].as_u64().unwrap() - 2 * 24 * 60 * 60;
    let line = format!("\"at\": {}", answer["at"]);
    fs::write(kept.path(), text.replace(&line, &format!("\"at\": {two_days_ago}"))).unwrap();
    stage.mirror.fault("/releases.json", Fault::Status(503));
    assert!(stage.resolve("6.12").is_err(), "the archive is not there");
    stage.fetch().unwrap();
    stage.mirror.remove("/releases.json");
    assert_eq!(stage.resolve("6.12").unwrap(), "6.12.3");
    assert!(stage.said("2 days ago"));
}
