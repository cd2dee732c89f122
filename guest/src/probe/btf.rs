//! The kernel's type information (`Documentation/bpf/btf.rst`).

use std::fs;

use super::{Tried, said};

const PATH: &str = "/sys/kernel/btf/vmlinux";
const MAGIC: u16 = 0xeb9f;
/// Bytes of the header that every version has.
const HEADER: usize = 24;

const STRUCT: u8 = 4;
const TYPEDEF: u8 = 8;
const FUNC: u8 = 12;

pub(super) fn knows(name: &str) -> bool {
    name == "vmlinux"
}

/// Reads all of it: what is cut or of an unknown form has no last type.
pub(super) fn check(_name: &str) -> Tried {
    let types = Types::of_kernel()?;
    match types.function("vfs_read") {
        Some(_) => Ok(format!("{} types, vfs_read among them", types.list.len())),
        None => Err(format!("{} types, and no function vfs_read", types.list.len())),
    }
}

/// One type; its number is its place, from 1.
struct Type {
    kind: u8,
    name: usize,
    /// Where in the file what follows its head begins, and how much there is.
    members: (usize, usize),
}

/// All types of the kernel.
pub(super) struct Types {
    bytes: Vec<u8>,
    strings: usize,
    list: Vec<Type>,
}

impl Types {
    pub(super) fn of_kernel() -> Result<Self, String> {
        let bytes = fs::read(PATH).map_err(said(PATH))?;
        Self::read(bytes).ok_or_else(|| format!("{PATH} is no type information"))
    }

    fn read(bytes: Vec<u8>) -> Option<Self> {
        if bytes.len() < HEADER || half(&bytes, 0)? != MAGIC {
            return None;
        }
        let at = |place| Some(word(&bytes, place)? as usize);
        let head = at(4)?;
        let (from, length) = (head.checked_add(at(8)?)?, at(12)?);
        let strings = head.checked_add(at(16)?)?;
        let end = from.checked_add(length).filter(|end| *end <= bytes.len())?;
        let (mut list, mut next) = (Vec::new(), from);
        while next < end {
            let info = word(&bytes, next + 4)?;
            let (kind, count) = ((info >> 24 & 0x1f) as u8, (info & 0xffff) as usize);
            let (name, members) = (word(&bytes, next)? as usize, (next + 12, count));
            list.push(Type { kind, name, members });
            next += 12 + behind(kind, count)?;
        }
        Some(Self { bytes, strings, list })
    }

    pub(super) fn function(&self, name: &str) -> Option<u32> {
        self.find(FUNC, name).map(|(number, _)| number)
    }

    pub(super) fn typedef(&self, name: &str) -> Option<u32> {
        self.find(TYPEDEF, name).map(|(number, _)| number)
    }

    /// A struct, and the place of a member in it.
    pub(super) fn member(&self, name: &str, member: &str) -> Option<(u32, u32)> {
        let (number, found) = self.find(STRUCT, name)?;
        let (from, count) = found.members;
        let is = |index: &usize| {
            let name = word(&self.bytes, from + 12 * index);
            name.is_some_and(|name| self.named(name as usize, member))
        };
        Some((number, u32::try_from((0..count).find(is)?).ok()?))
    }

    fn find(&self, kind: u8, name: &str) -> Option<(u32, &Type)> {
        let is = |found: &&Type| found.kind == kind && self.named(found.name, name);
        let place = self.list.iter().position(|found| is(&found))?;
        Some((u32::try_from(place + 1).ok()?, &self.list[place]))
    }

    fn named(&self, at: usize, name: &str) -> bool {
        let text = self.bytes.get(self.strings + at..).unwrap_or_default();
        text.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// Bytes behind a type's head; none of a kind that nobody knows.
fn behind(kind: u8, count: usize) -> Option<usize> {
    Some(match kind {
        // INT, VAR, DECL_TAG
        1 | 14 | 17 => 4,
        // ARRAY
        3 => 12,
        // STRUCT, UNION, DATASEC, ENUM64
        4 | 5 | 15 | 19 => 12 * count,
        // ENUM, FUNC_PROTO
        6 | 13 => 8 * count,
        // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Type information of one type: `int`, as storages of sockets want it for
/// their keys and values.
pub(super) fn int() -> Vec<u8> {
    let strings = b"\0int\0";
    let words = [
        // Header: magic, version 1, no flags; lengths of itself and the parts.
        u32::from(MAGIC) | 1 << 16,
        HEADER as u32,
        0,
        16,
        16,
        strings.len() as u32,
        // INT named at 1 of four bytes, signed, 32 bits.
        1,
        1 << 24,
        4,
        1 << 24 | 32,
    ];
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.extend_from_slice(strings);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_type_is_read_back_and_a_cut_is_noticed() {
        let types = Types::read(int()).unwrap();
        assert_eq!(types.list.len(), 1);
        assert_eq!(types.find(1, "int").map(|(number, _)| number), Some(1));
        assert!(types.find(1, "in").is_none() && types.function("int").is_none());
        let bytes = int();
        assert!(Types::read(bytes[..36].to_vec()).is_none(), "cut within the type");
        assert!(Types::read(b"\x7fELF".repeat(9)).is_none());
    }
}
