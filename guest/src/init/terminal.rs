//! The command's terminal.

use std::fs::File;
use std::io;

use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
use rustix::termios::Winsize;

use super::users::User;

/// The group `tty`, as devpts is mounted with.
const TTY: u32 = 5;

/// A pair: the master is ours, the slave is the command's.
pub(super) fn open(size: (u16, u16), user: &User) -> io::Result<(File, File)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    unlockpt(&master)?;
    let path = ptsname(&master, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = rustix::fs::open(&path, flags, Mode::empty())?;
    rustix::fs::fchown(&slave, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(TTY)))?;
    let master = File::from(master);
    resize(&master, size)?;
    Ok((master, File::from(slave)))
}

/// Gives the terminal its size; the programs in it hear of it.
pub(super) fn resize(master: &File, (rows, columns): (u16, u16)) -> io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(master, size)?)
}

/// Makes standard input the controlling terminal of this process's session.
pub(super) fn control() -> rustix::io::Result<()> {
    rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())
}
