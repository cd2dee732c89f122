//! Hearing a program out, and ending it when we are asked to stop.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::{Error, Stream, TICK, interrupt};

/// How long a program has between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// How long a stream may stay open after its program has ended: a daemon
/// that the program left behind can hold it for ever.
const LINGER: Duration = Duration::from_secs(1);

/// In what pieces a stream is handed over.
#[derive(Clone, Copy)]
pub(super) enum Chunks {
    Raw,
    Lines,
}

type Message = (Stream, Vec<u8>);

/// Hands over what a program writes until it has ended, or we are asked to
/// stop.
pub(super) fn pump(
    child: &mut Child,
    command: &str,
    chunks: Chunks,
    mut take: impl FnMut(Stream, &[u8]),
) -> Result<ExitStatus, Error> {
    let (sender, receiver) = channel();
    let mut pipes = Vec::new();
    pipes.extend(child.stdout.as_ref().and_then(|pipe| pipe.as_fd().try_clone_to_owned().ok()));
    pipes.extend(child.stderr.as_ref().and_then(|pipe| pipe.as_fd().try_clone_to_owned().ok()));
    if let Some(stdout) = child.stdout.take() {
        read_on_a_thread(Stream::Stdout, stdout, chunks, sender.clone());
    }
    if let Some(stderr) = child.stderr.take() {
        read_on_a_thread(Stream::Stderr, stderr, chunks, sender);
    }
    let mut ended: Option<Instant> = None;
    loop {
        match receiver.recv_timeout(TICK) {
            Ok((stream, bytes)) => take(stream, &bytes),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                if ended.is_none() && matches!(child.try_wait(), Ok(Some(_))) {
                    ended = Some(Instant::now());
                }
                // On a busy machine, what it wrote last may not have been read.
                let waiting = |pipe| rustix::io::ioctl_fionread(pipe).is_ok_and(|bytes| bytes > 0);
                if ended.is_some_and(|when| when.elapsed() > LINGER) && !pipes.iter().any(waiting) {
                    break;
                }
            }
        }
        stop_if_asked(child, command, &receiver)?;
    }
    wait(child, command, &receiver)
}

fn read_on_a_thread(
    stream: Stream,
    from: impl Read + Send + 'static,
    chunks: Chunks,
    sender: Sender<Message>,
) {
    std::thread::spawn(move || {
        let mut reader = BufReader::with_capacity(64 * 1024, from);
        loop {
            let mut bytes = Vec::new();
            let count = match chunks {
                Chunks::Lines => reader.read_until(b'\n', &mut bytes),
                Chunks::Raw => reader.fill_buf().map(|filled| {
                    bytes.extend_from_slice(filled);
                    filled.len()
                }),
            };
            match count {
                Ok(0) | Err(_) => break,
                Ok(count) if matches!(chunks, Chunks::Raw) => reader.consume(count),
                Ok(_) => {
                    if bytes.last() == Some(&b'\n') {
                        bytes.pop();
                    }
                }
            }
            if sender.send((stream, bytes)).is_err() {
                break;
            }
        }
    });
}

fn wait(child: &mut Child, command: &str, rest: &Receiver<Message>) -> Result<ExitStatus, Error> {
    let mut pause = Duration::from_micros(200);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => std::thread::sleep(pause),
            Err(source) => return Err(Error::Start { command: command.to_owned(), source }),
        }
        pause = (pause * 2).min(TICK);
        stop_if_asked(child, command, rest)?;
    }
}

fn stop_if_asked(child: &mut Child, command: &str, rest: &Receiver<Message>) -> Result<(), Error> {
    let Some(signal) = interrupt::requested() else { return Ok(()) };
    let asked = interrupt::count();
    let group = rustix::process::Pid::from_child(child);
    let send = |signal| rustix::process::kill_process_group(group, signal);
    // The group may be gone already; then there is nothing to stop.
    _ = send(rustix::process::Signal::TERM);
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline && interrupt::count() == asked {
        // Reading on keeps a program that is writing from blocking.
        while rest.try_recv().is_ok() {}
        if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    _ = send(rustix::process::Signal::KILL);
    _ = child.wait();
    Err(Error::Interrupted { command: command.to_owned(), signal })
}
