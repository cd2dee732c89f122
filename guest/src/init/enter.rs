//! Further commands in a running guest.
//!
//! They share one port. The first byte of every frame is the number of a
//! session, which the host gives; the second of a [`Kind::Data`] or
//! [`Kind::End`] frame says which stream it belongs to.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use crate::orders::Command;
use crate::wire::{self, Failure, Kind, MOST, stream};

use super::command;
use super::ports::{self, Control};
use super::problem::Problem;
use super::reaper::Reaper;
use super::streams::Ends;

/// Frames that a session's program may leave unread before it holds up the
/// other sessions.
const UNREAD: usize = 256;

/// A command that runs.
struct Session {
    input: SyncSender<Option<Vec<u8>>>,
    listener: command::Listener,
}

/// Serves the port on a thread. What a further command does not say of
/// itself is as with the first.
pub(super) fn serve(first: Command, reaper: Arc<Reaper>) {
    std::thread::spawn(move || {
        let Ok(port) = ports::open(wire::ENTER) else { return };
        let port = Arc::new(Control::new(port));
        let Ok(mut from) = port.reader() else { return };
        let mut sessions = HashMap::new();
        while let Ok(Some(frame)) = wire::read_frame(&mut from) {
            let Some((&number, bytes)) = frame.bytes.split_first() else { continue };
            if frame.kind == Kind::Enter {
                if let Some(session) = open(number, bytes, &first, &reaper, &port) {
                    sessions.insert(number, session);
                }
            } else if let Some(session) = sessions.get(&number) {
                session.take(frame.kind, bytes);
            }
        }
    });
}

fn open(
    number: u8,
    bytes: &[u8],
    first: &Command,
    reaper: &Reaper,
    port: &Arc<Control>,
) -> Option<Session> {
    let fail = |problem: &Problem| {
        port.send(Kind::Failed, &[&[number], problem.to_bytes().as_slice()].concat());
    };
    let mut command = match Command::from_bytes(bytes) {
        Ok(command) => command,
        Err(error) => {
            fail(&Problem::new(Failure::Init, error));
            return None;
        }
    };
    if command.env.is_empty() {
        command.env.clone_from(&first.env);
    }
    if command.dir.is_empty() {
        command.dir.clone_from(&first.dir);
    }
    if command.user.is_empty() {
        command.user.clone_from(&first.user);
        command.groups.clone_from(&first.groups);
    }
    let started = match command::start(&command, reaper) {
        Ok(started) => started,
        Err(problem) => {
            fail(&problem);
            return None;
        }
    };
    let (input, outputs) = match started.ends {
        Ends::Terminal(master) => {
            let output = master.try_clone().ok()?;
            (master, vec![(stream::STDOUT, output)])
        }
        Ends::Pipes { stdin, stdout, stderr } => {
            (stdin, vec![(stream::STDOUT, stdout), (stream::STDERR, stderr)])
        }
    };
    let carriers: Vec<_> = outputs
        .into_iter()
        .map(|(which, from)| {
            let port = Arc::clone(port);
            std::thread::spawn(move || outward(from, &port, [number, which]))
        })
        .collect();
    let (port, ended) = (Arc::clone(port), started.ended);
    std::thread::spawn(move || {
        let Ok(ending) = ended.recv() else { return };
        carriers.into_iter().for_each(|carrier| _ = carrier.join());
        port.send(Kind::Ended, &[&[number], ending.to_bytes().as_slice()].concat());
    });
    Some(Session { input: inward(input), listener: started.listener })
}

/// From a program to the host.
fn outward(mut from: File, port: &Control, head: [u8; 2]) {
    let mut bytes = vec![0; MOST];
    bytes[..2].copy_from_slice(&head);
    // A terminal's master ends with an error, which is an end like any other.
    while let Ok(count) = from.read(&mut bytes[2..])
        && count > 0
    {
        port.send(Kind::Data, &bytes[..2 + count]);
    }
}

/// To a program, on a thread of its own: it reads when it likes.
fn inward(mut to: File) -> SyncSender<Option<Vec<u8>>> {
    let (send, receive) = sync_channel::<Option<Vec<u8>>>(UNREAD);
    std::thread::spawn(move || {
        while let Ok(Some(bytes)) = receive.recv() {
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
    });
    send
}

impl Session {
    fn take(&self, kind: Kind, bytes: &[u8]) {
        match (kind, bytes) {
            (Kind::Data, [_, bytes @ ..]) => _ = self.input.send(Some(bytes.to_vec())),
            (Kind::End, _) => _ = self.input.send(None),
            _ => self.listener.hear(kind, bytes),
        }
    }
}
