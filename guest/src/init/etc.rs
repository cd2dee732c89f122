//! The three files by which a container knows its machine.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;

use crate::orders::Orders;

use super::problem::{Explain, Problem};

/// Sets the host's name and writes `/etc/hostname`, `/etc/hosts` and
/// `/etc/resolv.conf`. Each is made anew: what stands there may be a link.
pub(super) fn write(orders: &Orders) -> Result<(), Problem> {
    let own = read("/etc/hostname", 256).unwrap_or_default();
    let own = String::from_utf8_lossy(&own).lines().next().unwrap_or_default().trim().to_owned();
    let name = match (orders.hostname.as_str(), own) {
        ("", own) if own.is_empty() || own.len() > 64 => "localhost".to_owned(),
        ("", own) => own,
        (name, _) => name.to_owned(),
    };
    rustix::system::sethostname(name.as_bytes())
        .or_init(format_args!("can't take the name {name}"))?;
    if fs::create_dir_all("/etc").is_err() {
        return Ok(());
    }
    replace("/etc/hostname", &format!("{name}\n"))?;
    let hosts = format!("127.0.0.1\tlocalhost {name}\n::1\tlocalhost ip6-localhost {name}\n");
    replace("/etc/hosts", &hosts)?;
    if orders.dns.is_empty() {
        return Ok(());
    }
    let servers: String = orders.dns.iter().map(|dns| format!("nameserver {dns}\n")).collect();
    replace("/etc/resolv.conf", &servers)
}

fn replace(path: &str, text: &str) -> Result<(), Problem> {
    let write = || -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // A folder in its place: some image's fancy, and no harm.
            Err(_) if fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) => return Ok(()),
            other => other?,
        }
        let mut options = File::options();
        options.write(true).create_new(true).mode(0o644).open(path)?.write_all(text.as_bytes())
    };
    write().or_init(format_args!("can't write {path}"))
}

/// A regular file of the container, at most so much of it.
pub(super) fn read(path: &str, most: u64) -> io::Result<Vec<u8>> {
    // A named pipe in its place must not hold us.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
