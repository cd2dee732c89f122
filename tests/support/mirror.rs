//! A mirror with kernel.org's layout on the loopback, which can be told to
//! misbehave, and a signer with a key of its own.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stage1_builder::digest::Digest;
use stage1_builder::proc::Program;

/// How one answer to a GET goes wrong.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Announces the whole length and hangs up after so many bytes.
    BreakAt(usize),
    /// Sends so many bytes and then nothing, with the line open.
    StallAt(usize),
    /// Another status than 200.
    Status(u16),
    /// Other content, well sent.
    Instead(Vec<u8>),
    /// Announces so many bytes and sends all of them.
    Announce(usize),
    /// Other content under the validator of the right one: the file was
    /// changed, and the server does not know it.
    Disguised(Vec<u8>),
    /// Says that the part it sends begins so many bytes later.
    RangeLater(usize),
}

#[derive(Default)]
struct Served {
    body: Vec<u8>,
    /// Used up one an answer.
    faults: VecDeque<Fault>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Served>,
    requests: Vec<String>,
}

/// The server; ends with the test's process.
pub(crate) struct Mirror {
    state: Arc<Mutex<State>>,
    address: std::net::SocketAddr,
}

impl Mirror {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || {
                    _ = serve(stream, &state);
                });
            }
        });
        Self { state, address }
    }

    /// The URL of a path, which starts with a slash.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn put(&self, path: &str, body: impl Into<Vec<u8>>) {
        let body = body.into();
        let served = Served { body, faults: VecDeque::new() };
        self.state.lock().unwrap().files.insert(path.to_owned(), served);
    }

    pub(crate) fn remove(&self, path: &str) {
        self.state.lock().unwrap().files.remove(path);
    }

    /// Lets the next answer for `path` go wrong; several add up.
    pub(crate) fn fault(&self, path: &str, fault: Fault) {
        let mut state = self.state.lock().unwrap();
        state.files.get_mut(path).unwrap().faults.push_back(fault);
    }

    /// The requests so far, as `GET /path` or `GET /path bytes=5-`.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.clone()
    }

    /// How often a path was got.
    pub(crate) fn gets(&self, path: &str) -> usize {
        let line = format!("GET {path}");
        self.requests()
            .iter()
            .filter(|found| found.split(" bytes").next() == Some(line.as_str()))
            .count()
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let path = target.split('?').next().unwrap_or("");
    let range = headers.get("range");
    let (body, fault) = {
        let mut state = state.lock().unwrap();
        let suffix = range.map(|range| format!(" {range}")).unwrap_or_default();
        state.requests.push(format!("{method} {path}{suffix}"));
        let Some(file) = state.files.get_mut(path) else {
            return answer(stream, "404 Not Found", &[], b"no such file", method);
        };
        let fault = if method == "GET" { file.faults.pop_front() } else { None };
        (file.body.clone(), fault)
    };
    if let Some(Fault::Status(status)) = fault {
        return answer(stream, &format!("{status} Fault"), &[], b"", method);
    }
    let body = if let Some(Fault::Instead(other)) = &fault { other.clone() } else { body };
    let etag = format!("\"{}\"", &Digest::sha256(&body).hex()[..16]);
    let body = if let Some(Fault::Disguised(other)) = &fault { other.clone() } else { body };
    let start = range
        .filter(|_| headers.get("if-range").is_none_or(|wanted| *wanted == etag))
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok())
        .filter(|start| *start < body.len());
    let limit = match fault {
        Some(Fault::BreakAt(limit) | Fault::StallAt(limit)) => limit,
        _ => usize::MAX,
    };
    let mut more = vec![format!("ETag: {etag}")];
    let (status, part) = match start {
        Some(start) => {
            let later = if let Some(Fault::RangeLater(later)) = fault { later } else { 0 };
            let said = start + later;
            more.push(format!("Content-Range: bytes {said}-{}/{}", body.len() - 1, body.len()));
            ("206 Partial Content", &body[start..])
        }
        None => ("200 OK", &body[..]),
    };
    if let Some(Fault::Announce(length)) = fault {
        let mut stream = stream;
        head(&mut stream, status, &more, length)?;
        return stream.write_all(part);
    }
    if limit >= part.len() {
        return answer(stream, status, &more, part, method);
    }
    let mut stream = stream;
    head(&mut stream, status, &more, part.len())?;
    stream.write_all(&part[..limit])?;
    stream.flush()?;
    if matches!(fault, Some(Fault::StallAt(_))) {
        std::thread::sleep(Duration::from_secs(20));
    }
    Ok(())
}

fn head(
    stream: &mut TcpStream,
    status: &str,
    more: &[String],
    length: usize,
) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n")?;
    for line in more {
        write!(stream, "{line}\r\n")?;
    }
    write!(stream, "\r\n")
}

fn answer(
    mut stream: TcpStream,
    status: &str,
    more: &[String],
    body: &[u8],
    method: &str,
) -> std::io::Result<()> {
    head(&mut stream, status, more, body.len())?;
    if method != "HEAD" {
        stream.write_all(body)?;
    }
    stream.flush()
}

/// A key that was made for the test.
pub(crate) struct Signer {
    home: tempfile::TempDir,
    pub(crate) fingerprint: String,
}

impl Signer {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut signer = Self { home, fingerprint: String::new() };
        let user = "Test <test@example.org>";
        signer.gpg(&["--quick-generate-key", user, "ed25519", "sign", "never"], b"");
        let listed = signer.gpg(&["--with-colons", "--list-keys"], b"");
        let listed = String::from_utf8(listed).unwrap();
        let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
        signer.fingerprint = line.split(':').nth(9).unwrap().to_owned();
        signer
    }

    fn gpg(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        let program = Program::new("gpg").arg("--homedir").arg(self.home.path());
        let batch = ["--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""];
        let output = program.args(batch).args(args).output_fed(|stdin| stdin.write_all(input));
        let output = output.unwrap();
        assert!(output.status.success(), "{}", output.stderr);
        output.stdout
    }

    pub(crate) fn detached(&self, content: &[u8]) -> Vec<u8> {
        self.gpg(&["--armor", "--detach-sign"], content)
    }

    pub(crate) fn clear(&self, text: &str) -> Vec<u8> {
        self.gpg(&["--clear-sign"], text.as_bytes())
    }

    pub(crate) fn armored_key(&self) -> Vec<u8> {
        self.gpg(&["--armor", "--export"], b"")
    }

    pub(crate) fn binary_key(&self) -> Vec<u8> {
        self.gpg(&["--export"], b"")
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        // gpg leaves an agent behind.
        let program = Program::new("gpgconf").arg("--homedir").arg(self.home.path());
        _ = program.args(["--kill", "all"]).run();
    }
}
