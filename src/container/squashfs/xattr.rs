//! Extended attributes: sets of names and values, each said once.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::metadata::Stream;
use crate::container::tree::Attributes;

/// The namespaces that squashfs knows, with their numbers. It has none for
/// `system.`, so access control lists can't be kept.
const NAMESPACES: [(&[u8], u16); 3] = [(b"user.", 0), (b"trusted.", 1), (b"security.", 2)];

/// How a name is stored: its namespace's number and the rest.
fn split(name: &[u8]) -> Option<(u16, &[u8])> {
    let of = |&(prefix, number): &(&[u8], u16)| Some((number, name.strip_prefix(prefix)?));
    NAMESPACES.iter().find_map(of).filter(|(_, rest)| !rest.is_empty())
}

/// Whether squashfs can keep an attribute of that name.
pub(in crate::container) fn can_keep(name: &[u8]) -> bool {
    split(name).is_some()
}

/// The sets that inodes refer to.
pub(super) struct Xattrs<'a> {
    sets: &'a [Attributes],
    /// Which number in the image a set of the tree has.
    numbers: BTreeMap<u32, u32>,
    /// Names and values.
    pairs: Stream,
    /// Where each set is, how many pairs it has, and how many bytes.
    table: Stream,
}

impl<'a> Xattrs<'a> {
    pub(super) fn new(sets: &'a [Attributes]) -> Self {
        let (pairs, table) = (Stream::default(), Stream::default());
        Self { sets, numbers: BTreeMap::new(), pairs, table }
    }

    /// How an inode says this set of the tree.
    pub(super) fn number(&mut self, set: u32) -> u32 {
        let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        if let Some(&number) = self.numbers.get(&set) {
            return number;
        }
        self.numbers.insert(set, next);
        self.add(&self.sets[set as usize]);
        next
    }

    fn add(&mut self, set: &Attributes) {
        let (place, before) = (self.pairs.place(), self.pairs.len());
        let mut count = 0;
        for (name, value) in set {
            let Some((namespace, rest)) = split(name) else { continue };
            self.pairs.u16(namespace);
            self.pairs.u16(u16::try_from(rest.len()).unwrap_or(u16::MAX));
            self.pairs.put(rest);
            self.pairs.u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
            self.pairs.put(value);
            count += 1;
        }
        self.table.u64(place.reference());
        self.table.u32(count);
        self.table.u32(u32::try_from(self.pairs.len() - before).unwrap_or(u32::MAX));
    }

    /// Writes the tables behind byte `start`; gives where their head is, if
    /// there is any set, and where they end.
    pub(super) fn write(&self, to: &mut impl Write, start: u64) -> io::Result<(Option<u64>, u64)> {
        if self.numbers.is_empty() {
            return Ok((None, start));
        }
        let (_, lookup) = self.pairs.write(to, start)?;
        let (blocks, head) = self.table.write(to, lookup)?;
        to.write_all(&start.to_le_bytes())?;
        to.write_all(&u32::try_from(self.numbers.len()).unwrap_or(u32::MAX).to_le_bytes())?;
        to.write_all(&[0; 4])?;
        for block in &blocks {
            to.write_all(&block.to_le_bytes())?;
        }
        Ok((Some(head), head + 16 + 8 * blocks.len() as u64))
    }
}
