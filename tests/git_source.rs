//! The `git` provider, against git's own servers on the loopback.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/mirror.rs"]
#[expect(dead_code, reason = "the tests of kernel.org are those where the server misbehaves")]
mod mirror;
mod support;

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;
use mirror::{Mirror, Signer};
use stage1_builder::digest::Digest;
use stage1_builder::proc::{Program, Running};
use stage1_builder::report::{Fault, Silent};
use stage1_builder::settings::{GitSource, OwnSource};
use stage1_builder::source::{self, Error, Options, Patience, Source, Verified};
use support::{builder, outcome};

const MAKEFILE: &str = "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 3\nEXTRAVERSION =\n";

/// A kernel's history: `v6.12.3` is a tag with an object, two commits later
/// there is `main`.
struct History {
    folder: tempfile::TempDir,
}

impl History {
    fn new() -> Self {
        let history = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(history.tree().join("kernel")).unwrap();
        history.git(&["init", "--quiet", "-b", "main", "."]);
        history.write("Makefile", MAKEFILE);
        history.write(".gitignore", "*.o\n");
        history.commit("kernel/fork.c", "int fork;");
        history.git(&["tag", "-a", "-m", "Linux 6.12.3", "v6.12.3"]);
        history.commit("kernel/fork.c", "int fork1;");
        history.commit("kernel/fork.c", "int fork2;");
        history
    }

    fn tree(&self) -> PathBuf {
        self.folder.path().join("linux")
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.tree().join(name), text).unwrap();
    }

    fn commit(&self, name: &str, text: &str) {
        self.write(name, text);
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "-m", name]);
    }

    fn git(&self, args: &[&str]) -> String {
        let name = ["-c", "user.name=T", "-c", "user.email=t@example.org"];
        let program = Program::new("git").arg("-C").arg(self.tree()).args(name);
        let output = program.args(["-c", "tag.gpgSign=false"]).args(args).run().unwrap();
        String::from_utf8(output).unwrap().trim().to_owned()
    }

    fn id(&self, name: &str) -> String {
        self.git(&["rev-parse", &format!("{name}^{{commit}}")])
    }

    /// Puts a tag's object as it is written here, which git itself would not.
    fn tag_object(&self, name: &str, text: &str) {
        fs::write(self.tree().join(".git/tag"), text).unwrap();
        let id = self.git(&["hash-object", "-t", "tag", "-w", ".git/tag"]);
        self.git(&["update-ref", &format!("refs/tags/{name}"), &id]);
    }

    /// A signed tag that says that it is of this name.
    fn signed(&self, name: &str, said: &str, signer: &Signer) {
        let text = format!(
            "object {}\ntype commit\ntag {said}\ntagger T <t@example.org> 0 +0000\n\nLinux\n",
            self.id("v6.12.3")
        );
        let signature = String::from_utf8(signer.detached(text.as_bytes())).unwrap();
        self.tag_object(name, &(text + &signature));
    }
}

/// git-daemon(1), which ends with the test.
struct Server {
    url: String,
    _daemon: Running,
}

impl Server {
    fn of(history: &History) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let daemon = Program::new("git")
            .args(["daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1"])
            .arg(format!("--port={}", free.port()))
            .arg(format!("--base-path={}", history.folder.path().display()));
        let daemon = daemon.start().unwrap();
        let limit = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(free).is_err() {
            assert!(Instant::now() < limit, "git daemon does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { url: format!("git://{free}/linux/.git"), _daemon: daemon }
    }
}

/// What is asked, besides the source.
struct Asked<'a> {
    store: &'a Path,
    keyring: Option<&'a Path>,
    insecure: bool,
    refresh: bool,
    sha256: Option<&'a Digest>,
}

impl<'a> Asked<'a> {
    fn new(store: &'a tempfile::TempDir) -> Self {
        let store = store.path();
        Self { store, keyring: None, insecure: false, refresh: false, sha256: None }
    }

    fn fetch(&self, own: &OwnSource) -> Result<Source, Error> {
        let options = Options {
            sources: &[],
            kernel_org_url: "",
            releases_url: "",
            snapshot_url: "",
            wkd_url: "http://127.0.0.1:9/hu",
            keyring: self.keyring,
            sha256: self.sha256,
            insecure_source: self.insecure,
            downloads: self.store,
            state: self.store,
            own: Some(own),
            refresh: self.refresh,
            ahead: None,
            patience: Patience::default(),
        };
        let resolved = source::resolve("6.12".parse().unwrap(), &options, &Silent)?;
        assert_eq!(resolved.version.to_string(), "6.12.3");
        source::fetch(&resolved, &options, &Silent)
    }

    fn state(&self, repository: &str, reference: &str) -> Result<Source, Error> {
        let (repository, reference) = (repository.to_owned(), reference.to_owned());
        self.fetch(&OwnSource::Git(GitSource { repository, reference }))
    }
}

#[test]
fn the_state_of_a_checkout_is_in_the_release() {
    let (history, store) = (History::new(), tempfile::tempdir().unwrap());
    let own = OwnSource::Path(history.tree());
    let mark = || Asked::new(&store).fetch(&own).unwrap().mark().to_owned();
    let head = history.id("HEAD");
    assert_eq!(mark(), format!("-00002-g{}", &head[..12]));
    history.write("kernel/fork.o", "an object");
    assert_eq!(mark(), format!("-00002-g{}", &head[..12]), "what git ignores changes nothing");
    history.write("kernel/new.c", "int new;");
    assert_eq!(mark(), format!("-00002-g{}-dirty", &head[..12]));
    fs::remove_file(history.tree().join("kernel/new.c")).unwrap();
    history.git(&["checkout", "--quiet", "v6.12.3"]);
    assert_eq!(mark(), "");
    history.write("kernel/fork.c", "int mine;");
    assert_eq!(mark(), "-dirty");
    history.git(&["checkout", "--quiet", "--force", "v6.12.3"]);
    history.git(&["tag", "-d", "v6.12.3"]);
    let revision = Asked::new(&store).fetch(&own).unwrap().provenance().revision.clone().unwrap();
    assert_eq!(revision.commit, history.id("HEAD"));
    assert_eq!(revision.mark, format!("-g{}", &revision.commit[..12]));
}

#[test]
fn a_checkout_that_ignores_its_kernel_is_a_folder_like_any_other() {
    let store = tempfile::tempdir().unwrap();
    let tree = store.path().join("linux");
    fs::create_dir_all(tree.join("kernel")).unwrap();
    for (name, text) in [("Makefile", MAKEFILE), ("kernel/fork.c", "int x;"), (".gitignore", "/*")]
    {
        fs::write(tree.join(name), text).unwrap();
    }
    Program::new("git").args(["init", "--quiet"]).arg(&tree).run().unwrap();
    let Source::Tree(found) = Asked::new(&store).fetch(&OwnSource::Path(tree)).unwrap() else {
        panic!("no tree");
    };
    assert_eq!(found.files.len(), 3);
    assert_eq!(found.provenance.revision, None, "there is no commit");
}

#[test]
fn a_commit_of_a_server_is_taken_by_its_id_and_kept() {
    let (history, store) = (History::new(), tempfile::tempdir().unwrap());
    let (id, asked) = (history.id("main~1"), Asked::new(&store));
    let server = Server::of(&history);
    let found = asked.state(&server.url, &id).unwrap();
    assert_eq!(found.provenance().verified, Verified::Commit);
    assert_eq!(found.mark(), format!("-g{}", &id[..12]));
    let Source::Tarball(archive) = &found else { panic!("no archive") };
    let into = store.path().join("tree");
    source::unpack_source(&found, &into, &Silent).unwrap();
    assert_eq!(fs::read_to_string(into.join("kernel/fork.c")).unwrap(), "int fork1;");
    assert_eq!(*found.digest(), Digest::sha256_of_file(&archive.path).unwrap());
    let url = server.url.clone();
    drop(server);
    assert_eq!(asked.state(&url, &id).unwrap(), found, "nobody is asked");
    let here: Vec<_> = fs::read_dir(store.path().join("git")).unwrap().flatten().collect();
    let hidden = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(".s1b");
    assert!(!here.iter().any(hidden), "the repository is gone");
}

#[test]
fn a_name_needs_somebody_who_vouches_for_it() {
    let (history, store) = (History::new(), tempfile::tempdir().unwrap());
    let (server, asked) = (Server::of(&history), Asked::new(&store));
    for reference in ["main", "HEAD", "v6.12.3"] {
        let error = asked.state(&server.url, reference).unwrap_err();
        assert_eq!(error.fault(), Fault::Verification, "{error}");
        let commit = history.id(reference);
        assert!(error.hint().unwrap().contains(&format!("#{commit}'")), "{:?}", error.hint());
    }
    let trusting = Asked { insecure: true, ..Asked::new(&store) };
    let found = trusting.state(&server.url, "v6.12.3").unwrap();
    assert_eq!((&found.provenance().verified, found.mark()), (&Verified::Unverified, ""));
    let error = asked.state(&server.url, "v6.12.3").unwrap_err();
    assert_eq!(error.fault(), Fault::Verification, "not verified then is not verified now");
    let found = asked.state(&server.url, &history.id("v6.12.3")).unwrap();
    assert_eq!(found.provenance().verified, Verified::Commit);
}

#[test]
fn a_signed_tag_vouches_for_its_own_name_and_by_a_key_that_counts() {
    let (history, store) = (History::new(), tempfile::tempdir().unwrap());
    let (signer, stranger) = (Signer::new(), Signer::new());
    let keyring = store.path().join("keyring.asc");
    fs::write(&keyring, signer.armored_key()).unwrap();
    history.signed("v6.12.3-other", "v6.12.2", &signer);
    history.signed("v6.12.3-strange", "v6.12.3-strange", &stranger);
    history.signed("v6.12.3", "v6.12.3", &signer);
    let server = Server::of(&history);
    let asked = Asked { keyring: Some(&keyring), ..Asked::new(&store) };
    let refused = |reference: &str| {
        let error = asked.state(&server.url, reference).unwrap_err();
        assert_eq!(error.fault(), Fault::Verification);
        error.to_string()
    };
    assert!(refused("v6.12.3-other").contains("of another name"));
    assert!(refused("v6.12.3-strange").contains("no release key"));
    let found = asked.state(&server.url, "v6.12.3").unwrap();
    let fingerprint = signer.fingerprint.clone();
    assert_eq!(found.provenance().verified, Verified::OpenPgp { fingerprint });
    assert_eq!(found.mark(), "");
    let url = server.url.clone();
    drop(server);
    assert_eq!(asked.state(&url, "v6.12.3").unwrap(), found, "nobody is asked");
    let error = Asked { keyring: None, ..asked }.state(&url, "v6.12.3").unwrap_err();
    assert_eq!(error.fault(), Fault::Network, "a key that was trusted then: {error}");
}

#[test]
fn a_branch_is_asked_for_once_a_day_or_when_told() {
    let (history, store) = (History::new(), tempfile::tempdir().unwrap());
    let server = Server::of(&history);
    let asked = Asked { insecure: true, ..Asked::new(&store) };
    let first = asked.state(&server.url, "main").unwrap();
    history.commit("kernel/fork.c", "int fork3;");
    assert_eq!(asked.state(&server.url, "main").unwrap(), first);
    let again = Asked { refresh: true, ..asked }.state(&server.url, "main").unwrap();
    let commit = &again.provenance().revision.as_ref().unwrap().commit;
    assert_eq!(*commit, history.id("main"));
}

#[test]
fn a_server_of_plain_files_gives_a_state_with_its_history() {
    let (history, store) = (History::new(), tempfile::tempdir().unwrap());
    history.git(&["gc", "--quiet"]);
    history.git(&["update-server-info"]);
    let (mirror, git) = (Mirror::start(), history.tree().join(".git"));
    for entry in walkdir::WalkDir::new(&git).into_iter().flatten() {
        if entry.file_type().is_file() {
            let name = entry.path().strip_prefix(&git).unwrap().to_str().unwrap().to_owned();
            mirror.put(&format!("/linux.git/{name}"), fs::read(entry.path()).unwrap());
        }
    }
    let id = history.id("main~1");
    let found = Asked::new(&store).state(&mirror.url("/linux.git"), &id).unwrap();
    assert_eq!(found.provenance().revision.as_ref().unwrap().commit, id);
}

#[test]
fn the_users_own_ways_of_git_change_no_byte() {
    let (history, home) = (History::new(), tempfile::tempdir().unwrap());
    let source = format!("{}#v6.12.3", history.tree().display());
    let plan = |own_ways: &str, cache: &str| {
        fs::write(home.path().join(".gitconfig"), own_ways).unwrap();
        let builder = builder(home.path())
            .env("HOME", home.path())
            .env("S1B_CACHE_DIR", home.path().join(cache))
            .args(["build", "--dry-run", "--source", &source]);
        let (code, stdout, stderr) = outcome(builder);
        assert_eq!(code, 0, "{stderr}");
        stdout
    };
    fs::write(home.path().join("attributes"), "kernel export-ignore\n").unwrap();
    let attributes = home.path().join("attributes").display().to_string();
    let own = format!("[core]\nautocrlf = true\nattributesFile = {attributes}\n[tar]\numask = 0\n");
    assert_eq!(plan("", "one"), plan(&own, "other"));
}

#[test]
fn a_repository_on_this_machine_is_the_users_own() {
    let (history, store) = (History::new(), tempfile::tempdir().unwrap());
    let (asked, tree) = (Asked::new(&store), history.tree().display().to_string());
    let mark = |reference: &str| {
        let found = asked.state(&tree, reference).unwrap();
        assert_eq!(found.provenance().verified, Verified::Local);
        found.mark().to_owned()
    };
    let id = history.id("main");
    for reference in ["main", "HEAD", &id[..10], &id] {
        assert_eq!(mark(reference), format!("-00002-g{}", &id[..12]), "{reference}");
    }
    assert_eq!(mark("v6.12.3"), "");
    assert_eq!(mark("main~2"), "");
    history.write("kernel/fork.c", "changed and not committed");
    assert_eq!(mark("v6.12.3"), "", "the state is the commit's, not the folder's");
}

#[test]
fn what_is_not_there_is_said() {
    let (history, store) = (History::new(), tempfile::tempdir().unwrap());
    let (server, asked) = (Server::of(&history), Asked::new(&store));
    let tree = history.tree().display().to_string();
    for (place, reference, fault) in [
        (server.url.as_str(), "v9.9", Fault::NotFound),
        (server.url.as_str(), &"1".repeat(40), Fault::NotFound),
        (tree.as_str(), "v9.9", Fault::NotFound),
        (store.path().to_str().unwrap(), "main", Fault::NotFound),
        ("git://127.0.0.1:9/linux", "main", Fault::Network),
    ] {
        let error = asked.state(place, reference).unwrap_err();
        assert_eq!(error.fault(), fault, "{place}#{reference}: {error}");
        assert!(error.to_string().contains(place) && error.hint().is_some(), "{error}");
    }
    history.git(&["rm", "--quiet", "Makefile"]);
    history.git(&["commit", "--quiet", "-m", "no kernel"]);
    let error = asked.state(&tree, "main").unwrap_err();
    assert!(matches!(error, Error::NotASource { .. }), "{error}");
}

#[test]
fn a_tarball_of_the_users_has_the_checksum_that_they_gave() {
    let (history, store) = (History::new(), tempfile::tempdir().unwrap());
    let tarball = store.path().join("linux.tar");
    let output = format!("--output={}", tarball.display());
    history.git(&["archive", "--format=tar", "--prefix=linux/", &output, "HEAD"]);
    let (right, wrong) = (Digest::sha256_of_file(&tarball).unwrap(), Digest::sha256(b"other"));
    let own = OwnSource::Path(tarball);
    let asked = |sha256| Asked { sha256: Some(sha256), ..Asked::new(&store) };
    let found = asked(&right).fetch(&own).unwrap();
    assert_eq!(found.provenance().verified, Verified::Checksum);
    let error = asked(&wrong).fetch(&own).unwrap_err();
    assert_eq!(error.fault(), Fault::Verification, "{error}");
    assert!(error.to_string().contains(right.hex()), "{error}");
    let error = asked(&right).fetch(&OwnSource::Path(history.tree())).unwrap_err();
    assert_eq!(error.fault(), Fault::Settings, "{error}");
}

#[test]
fn the_plan_says_which_commit_and_which_release() {
    let (history, project) = (History::new(), tempfile::tempdir().unwrap());
    let source = format!("{}#main", history.tree().display());
    let (code, stdout, stderr) =
        outcome(builder(project.path()).env("S1B_CACHE_DIR", project.path().join("cache")).args([
            "build",
            "--dry-run",
            "--source",
            &source,
        ]));
    assert_eq!(code, 0, "{stderr}");
    let id = history.id("main");
    assert!(stdout.contains(&id), "{stdout}");
    assert!(stdout.contains(&format!("-kinvolk-v1-00002-g{}", &id[..12])), "{stdout}");
}
