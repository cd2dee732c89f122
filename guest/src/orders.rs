//! What init is to do: a file in the initramfs, written by the host.
//!
//! Fields in a fixed order, each with its length before it; the host and the
//! guest of one build of the tool are always of one mind, so there is no
//! room for versions or options in it.

use std::fmt;

/// Where the file lies in the initramfs.
pub const PATH: &str = "/orders";
/// First in the file.
const MAGIC: &[u8] = b"s1b-orders-1\n";

/// All that init needs to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orders {
    /// The root file system.
    pub root: Mount,
    /// Whether the command may write to its root (a throw-away layer).
    pub writable_root: bool,
    /// Kernel modules to load first, as paths in the initramfs, in order.
    pub modules: Vec<String>,
    /// The image's own folder of modules and headers, bound to
    /// `/lib/modules/<release>`.
    pub headers: Option<Mount>,
    /// Where in it the folders of all its kernels are.
    pub modules_folder: String,
    /// Folders of the root below a folder that gets a file system of its own
    /// (`/tmp`, `/run`) which the command shall see all the same.
    pub keep: Vec<String>,
    /// Volumes.
    pub volumes: Vec<Volume>,
    /// The machine's name; none: that of the root file system, or `localhost`.
    pub hostname: String,
    /// Name servers; with none and no network, `/etc/resolv.conf` stays.
    pub dns: Vec<String>,
    /// Whether QEMU's user-mode network is there to be set up.
    pub network: bool,
    /// The command.
    pub command: Command,
}

/// A file system from the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mount {
    /// The kernel's name of its type: `9p`, `virtiofs`, `squashfs`.
    pub kind: String,
    /// The tag, or the device's serial number.
    pub source: String,
    /// Options as `mount -o` takes them.
    pub options: String,
    /// Whether it can be written to.
    pub writable: bool,
}

/// A volume in the container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Volume {
    /// Its name: the same volume may be in several places.
    pub name: String,
    /// Where.
    pub target: String,
    /// Of what; none: an empty folder in memory.
    pub mount: Option<Mount>,
    /// Mode of an empty one.
    pub mode: u32,
    /// Owner of an empty one.
    pub uid: u32,
    /// Group of an empty one.
    pub gid: u32,
    /// Whether it can't be written to at this place.
    pub read_only: bool,
}

/// A program to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments.
    pub args: Vec<Vec<u8>>,
    /// `NAME=value`.
    pub env: Vec<Vec<u8>>,
    /// The folder to run in, made if it is absent.
    pub dir: Vec<u8>,
    /// `user[:group]`, names or numbers; empty: root.
    pub user: String,
    /// Further groups, names or numbers.
    pub groups: Vec<String>,
    /// A terminal of so many rows and columns instead of three pipes.
    pub terminal: Option<(u16, u16)>,
}

/// The bytes are no orders.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed orders")
    }
}

impl std::error::Error for Malformed {}

impl Orders {
    /// As a file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        self.put(&mut bytes);
        bytes
    }

    /// From a file.
    ///
    /// # Errors
    /// When it is another tool's, cut, or too long.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        whole(bytes.strip_prefix(MAGIC).ok_or(Malformed)?)
    }
}

impl Command {
    /// As the bytes of a frame.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.put(&mut bytes);
        bytes
    }

    /// From the bytes of a frame.
    ///
    /// # Errors
    /// When they are no command.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        whole(bytes)
    }
}

fn whole<T: Field>(mut bytes: &[u8]) -> Result<T, Malformed> {
    let value = T::take(&mut bytes)?;
    if bytes.is_empty() { Ok(value) } else { Err(Malformed) }
}

/// What can be a part of orders.
trait Field: Sized {
    fn put(&self, to: &mut Vec<u8>);
    fn take(from: &mut &[u8]) -> Result<Self, Malformed>;
}

impl Field for u32 {
    fn put(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.to_le_bytes());
    }

    fn take(from: &mut &[u8]) -> Result<Self, Malformed> {
        let (number, rest) = from.split_first_chunk().ok_or(Malformed)?;
        *from = rest;
        Ok(Self::from_le_bytes(*number))
    }
}

impl Field for u16 {
    fn put(&self, to: &mut Vec<u8>) {
        u32::from(*self).put(to);
    }

    fn take(from: &mut &[u8]) -> Result<Self, Malformed> {
        u32::take(from)?.try_into().map_err(|_| Malformed)
    }
}

impl Field for bool {
    fn put(&self, to: &mut Vec<u8>) {
        to.push(u8::from(*self));
    }

    fn take(from: &mut &[u8]) -> Result<Self, Malformed> {
        let (byte, rest) = from.split_first().ok_or(Malformed)?;
        *from = rest;
        match byte {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }
}

/// A byte string. (Not `Vec<u8>`, which a list of fields would be, too.)
struct Bytes;

impl Bytes {
    fn put(bytes: &[u8], to: &mut Vec<u8>) {
        u32::try_from(bytes.len()).unwrap_or(u32::MAX).put(to);
        to.extend_from_slice(bytes);
    }

    fn take(from: &mut &[u8]) -> Result<Vec<u8>, Malformed> {
        let length = u32::take(from)? as usize;
        let (bytes, rest) = from.split_at_checked(length).ok_or(Malformed)?;
        *from = rest;
        Ok(bytes.to_vec())
    }
}

impl Field for String {
    fn put(&self, to: &mut Vec<u8>) {
        Bytes::put(self.as_bytes(), to);
    }

    fn take(from: &mut &[u8]) -> Result<Self, Malformed> {
        Self::from_utf8(Bytes::take(from)?).map_err(|_| Malformed)
    }
}

impl Field for Vec<u8> {
    fn put(&self, to: &mut Vec<u8>) {
        Bytes::put(self, to);
    }

    fn take(from: &mut &[u8]) -> Result<Self, Malformed> {
        Bytes::take(from)
    }
}

/// Lists of everything but bytes.
trait Item: Field {}
impl Item for String {}
impl Item for Vec<u8> {}
impl Item for Volume {}

impl<T: Item> Field for Vec<T> {
    fn put(&self, to: &mut Vec<u8>) {
        u32::try_from(self.len()).unwrap_or(u32::MAX).put(to);
        self.iter().for_each(|item| item.put(to));
    }

    fn take(from: &mut &[u8]) -> Result<Self, Malformed> {
        (0..u32::take(from)?).map(|_| T::take(from)).collect()
    }
}

impl<T: Field> Field for Option<T> {
    fn put(&self, to: &mut Vec<u8>) {
        self.is_some().put(to);
        if let Some(value) = self {
            value.put(to);
        }
    }

    fn take(from: &mut &[u8]) -> Result<Self, Malformed> {
        bool::take(from)?.then(|| T::take(from)).transpose()
    }
}

impl<A: Field, B: Field> Field for (A, B) {
    fn put(&self, to: &mut Vec<u8>) {
        self.0.put(to);
        self.1.put(to);
    }

    fn take(from: &mut &[u8]) -> Result<Self, Malformed> {
        Ok((A::take(from)?, B::take(from)?))
    }
}

/// The fields of a struct, in order, for both ways.
macro_rules! fields {
    ($type:ident: $($field:ident),+) => {
        impl Field for $type {
            fn put(&self, to: &mut Vec<u8>) {
                $(self.$field.put(to);)+
            }

            fn take(from: &mut &[u8]) -> Result<Self, Malformed> {
                Ok(Self { $($field: Field::take(from)?),+ })
            }
        }
    };
}

fields!(Mount: kind, source, options, writable);
fields!(Volume: name, target, mount, mode, uid, gid, read_only);
fields!(Command: args, env, dir, user, groups, terminal);
fields!(Orders: root, writable_root, modules, headers, modules_folder, keep, volumes, hostname, dns,
    network, command);

#[cfg(test)]
mod tests {
    use super::*;

    fn orders() -> Orders {
        let share = Mount {
            kind: "9p".to_owned(),
            source: "root".to_owned(),
            options: "trans=virtio".to_owned(),
            writable: false,
        };
        Orders {
            root: share.clone(),
            writable_root: true,
            modules: vec!["/modules/overlay.ko".to_owned()],
            headers: Some(share.clone()),
            modules_folder: "lib".to_owned(),
            keep: vec!["/tmp/x".to_owned()],
            volumes: vec![
                Volume { target: "/src".to_owned(), mount: Some(share), ..Volume::default() },
                Volume { mode: 0o1777, uid: 1, gid: 2, read_only: true, ..Volume::default() },
            ],
            hostname: "guest".to_owned(),
            dns: vec!["10.0.2.3".to_owned()],
            network: true,
            command: Command {
                args: vec![b"sh".to_vec(), b"\xff\n".to_vec(), Vec::new()],
                env: vec![b"A=b".to_vec()],
                dir: b"/".to_vec(),
                user: "nobody:nogroup".to_owned(),
                groups: vec!["10".to_owned()],
                terminal: Some((24, 80)),
            },
        }
    }

    #[test]
    fn orders_come_back() {
        for orders in [Orders::default(), orders()] {
            assert_eq!(Orders::from_bytes(&orders.to_bytes()), Ok(orders));
        }
    }

    #[test]
    fn every_cut_and_every_addition_is_refused() {
        let bytes = orders().to_bytes();
        for end in 0..bytes.len() {
            assert_eq!(Orders::from_bytes(&bytes[..end]), Err(Malformed), "{end}");
        }
        let longer = [bytes.as_slice(), b"\0"].concat();
        assert_eq!(Orders::from_bytes(&longer), Err(Malformed));
    }
}
