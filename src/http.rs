//! HTTP, blocking, with limits that hold. The one door to the network.
//!
//! Proxies come from `https_proxy`, `http_proxy`, `all_proxy` and
//! `no_proxy`, certificates from the system's store. Every request runs in a
//! thread of its own, so that neither name resolution nor a silent server can
//! hold us longer than the [`Patience`] says, and Ctrl-C works meanwhile.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use ureq::config::RedirectAuthHeaders;
use ureq::http::{HeaderMap, Response};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::proc::interrupt;
use crate::report::Fault;

/// How often a wait looks whether it should give up.
const TICK: Duration = Duration::from_millis(50);
/// Bytes handed over at once.
const CHUNK: usize = 128 << 10;
/// The longest small file (signature, key, list) that is taken, in bytes;
/// `sha256sums.asc` of v4.x has about one megabyte.
const SMALL: u64 = 32 << 20;

/// A request that was not answered as it should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A server that can't be connected to, or went silent.
    #[error("can't reach {url}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why.
        source: Box<ureq::Error>,
    },
    /// A server that did not answer in time.
    #[error("can't reach {url}: no answer within {} s", .after.as_secs_f32())]
    NoAnswer {
        /// What was asked for.
        url: String,
        /// How long we waited.
        after: Duration,
    },
    /// A server that answered with an error.
    #[error("{url}: the server answered with status {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// A download that broke off.
    #[error("{url}: the download broke off at {done} bytes")]
    BrokeOff {
        /// What was being fetched.
        url: String,
        /// Bytes there.
        done: u64,
        /// Why.
        source: io::Error,
    },
    /// An answer that can't be understood.
    #[error("{url}: can't be understood: {reason}")]
    Malformed {
        /// What was fetched.
        url: String,
        /// What is wrong in it.
        reason: String,
    },
    /// We were asked to stop.
    #[error("stopped by {0}")]
    Interrupted(interrupt::Signal),
}

impl Error {
    /// What kind of failure this is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Status { status: 404 | 410, .. } => Fault::NotFound,
            Self::Interrupted(signal) => (*signal).into(),
            _ => Fault::Network,
        }
    }

    /// The command or change that mends it, whatever was asked for.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { .. } | Self::NoAnswer { .. } | Self::BrokeOff { .. } => {
                Some("check the network and https_proxy".to_owned())
            }
            Self::Status { status: 404 | 410, .. } | Self::Interrupted(_) => None,
            Self::Status { .. } | Self::Malformed { .. } => Some("try again later".to_owned()),
        }
    }

    /// Whether the server says that it has no such file; some say that it may
    /// not be had.
    #[must_use]
    pub fn says_absent(&self) -> bool {
        matches!(self, Self::Status { status: 403 | 404 | 410, .. })
    }

    /// Whether the same request may do better in a moment.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } => is_passing(source),
            Self::NoAnswer { .. } | Self::BrokeOff { .. } => true,
            Self::Status { status, .. } => is_passing_status(*status),
            Self::Malformed { .. } | Self::Interrupted(_) => false,
        }
    }
}

/// Whether a failed connection may work in a moment.
fn is_passing(source: &ureq::Error) -> bool {
    use ureq::Error::{BadUri, InvalidProxyUrl, TooManyRedirects};
    !matches!(source, BadUri(_) | InvalidProxyUrl | TooManyRedirects)
}

/// Whether a status tells of something that passes.
fn is_passing_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..)
}

/// Tries until it works, the error is none that `passes`, or the attempts are
/// used up. An attempt that `progressed` is not counted; `note` gets each
/// error that is followed by another attempt.
pub(crate) fn retry<T, E: From<Error>>(
    patience: Patience,
    mut act: impl FnMut() -> Result<T, E>,
    progressed: impl Fn() -> bool,
    passes: impl Fn(&E) -> bool,
    note: impl Fn(&E),
) -> Result<T, E> {
    let mut failures = 0;
    loop {
        let error = match act() {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        failures = if progressed() { 1 } else { failures + 1 };
        if !passes(&error) || failures >= patience.attempts {
            return Err(error);
        }
        note(&error);
        pause(patience.backoff * 2u32.saturating_pow(failures - 1))?;
    }
}

/// Waits, unless we are asked to stop.
fn pause(time: Duration) -> Result<(), Error> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if let Some(signal) = interrupt::requested() {
            return Err(Error::Interrupted(signal));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// How long to wait for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// From the request to the first byte of the answer, DNS included; also
    /// what a provider that can't be reached costs in all while resolving.
    pub contact: Duration,
    /// Between two pieces of a download.
    pub stall: Duration,
    /// Before the second attempt; doubled for each further one.
    pub backoff: Duration,
    /// How many attempts without a single new byte a download has.
    pub attempts: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            contact: Duration::from_secs(5),
            stall: Duration::from_secs(30),
            backoff: Duration::from_secs(1),
            attempts: 4,
        }
    }
}

/// Whether a server must prove who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Certificates {
    /// By a certificate that the system trusts.
    #[default]
    Checked,
    /// The user turned it off.
    Any,
}

/// What a request asks for besides its URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// Only whether it is there.
    Head,
    /// The content.
    Get,
}

/// A client; cheap to clone, keeps its connections.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: Agent,
    pub(crate) patience: Patience,
}

impl Client {
    pub(crate) fn new(patience: Patience) -> Self {
        Self::with_certificates(patience, Certificates::Checked)
    }

    pub(crate) fn with_certificates(patience: Patience, certificates: Certificates) -> Self {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .disable_verification(certificates == Certificates::Any)
            .build();
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .tls_config(tls)
            // A server that sends us elsewhere must not send our password there.
            .redirect_auth_headers(RedirectAuthHeaders::Never)
            .user_agent(concat!("stage1-builder/", env!("CARGO_PKG_VERSION")))
            // The thread of a request that we gave up must end, too.
            .timeout_resolve(Some(patience.contact))
            .timeout_connect(Some(patience.contact))
            .timeout_recv_response(Some(patience.stall))
            .timeout_per_read(Some(patience.stall))
            .build()
            .new_agent();
        Self { agent, patience }
    }

    /// Sends a request and waits at most `within` for the answer's head.
    pub(crate) fn open(
        &self,
        method: Method,
        url: &str,
        headers: &[(&'static str, String)],
        within: Duration,
    ) -> Result<Response<Body>, Error> {
        let (send, answer) = channel();
        let (agent, owned, headers) = (self.agent.clone(), url.to_owned(), headers.to_vec());
        thread::spawn(move || {
            let request = match method {
                Method::Head => agent.head(&owned),
                Method::Get => agent.get(&owned),
            };
            let add = |request: ureq::RequestBuilder<_>, (name, value)| request.header(name, value);
            _ = send.send(headers.into_iter().fold(request, add).call());
        });
        let response = wait(&answer, within)?
            .map_err(|_| Error::NoAnswer { url: url.to_owned(), after: within })?;
        response
            .map_err(|source| Error::Unreachable { url: url.to_owned(), source: Box::new(source) })
    }

    /// A small file's content; any status but 200 is an error.
    pub(crate) fn small(&self, url: &str, within: Duration) -> Result<Vec<u8>, Error> {
        let response = self.open(Method::Get, url, &[], within)?;
        if response.status() != 200 {
            return Err(Error::Status { url: url.to_owned(), status: response.status().as_u16() });
        }
        let mut content = Vec::new();
        Pieces::of(response, self.patience.stall)
            .take(SMALL)
            .read_to_end(&mut content)
            .map_err(|source| broke_off(url, content.len() as u64, source))?;
        Ok(content)
    }

    /// As [`Client::small`], as text.
    pub(crate) fn text(&self, url: &str, within: Duration) -> Result<String, Error> {
        String::from_utf8(self.small(url, within)?)
            .map_err(|_| Error::Malformed { url: url.to_owned(), reason: "not UTF-8".to_owned() })
    }
}

/// An error of a body, or the request to stop that caused it.
pub(crate) fn broke_off(url: &str, done: u64, source: io::Error) -> Error {
    match interrupt::requested() {
        Some(signal) => Error::Interrupted(signal),
        None => Error::BrokeOff { url: url.to_owned(), done, source },
    }
}

/// A header's text, if it has one.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Waits for a value; `Ok(Err(()))` when it took too long.
fn wait<T>(receiver: &Receiver<T>, within: Duration) -> Result<Result<T, ()>, Error> {
    let end = Instant::now() + within;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left.min(TICK)) {
            Ok(value) => return Ok(Ok(value)),
            Err(RecvTimeoutError::Timeout) if left.is_zero() => return Ok(Err(())),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(Err(())),
        }
        if let Some(signal) = interrupt::requested() {
            return Err(Error::Interrupted(signal));
        }
    }
}

/// A body as it comes: an error when nothing came for too long, when it ends
/// before its announced length, or when we are asked to stop.
pub(crate) struct Pieces {
    receiver: Receiver<io::Result<Vec<u8>>>,
    stall: Duration,
    piece: io::Cursor<Vec<u8>>,
}

impl Pieces {
    pub(crate) fn of(response: Response<Body>, stall: Duration) -> Self {
        let (send, receiver) = sync_channel(8);
        let reader = response.into_body().into_with_config().limit(u64::MAX).reader();
        thread::spawn(move || pass_on(reader, &send));
        Self { receiver, stall, piece: io::Cursor::default() }
    }

    fn next(&self) -> io::Result<Vec<u8>> {
        match wait(&self.receiver, self.stall) {
            Ok(Ok(piece)) => piece,
            Ok(Err(())) => {
                let text = format!("the server went silent for {} s", self.stall.as_secs_f32());
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            }
            Err(stopped) => Err(io::Error::other(stopped.to_string())),
        }
    }
}

/// Reads until the end, an error, or until nobody listens. An empty piece is
/// the end.
fn pass_on(mut reader: impl Read, send: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut piece = vec![0; CHUNK];
        let result = reader.read(&mut piece).map(|count| {
            piece.truncate(count);
            piece
        });
        let last = result.as_ref().map_or(true, Vec::is_empty);
        if send.send(result).is_err() || last {
            return;
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.position() == self.piece.get_ref().len() as u64 {
            self.piece = io::Cursor::new(self.next()?);
        }
        self.piece.read(buffer)
    }
}
