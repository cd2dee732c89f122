//! The numbers of users and groups that occur, each said once.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::metadata::Stream;

/// Users' and groups' numbers, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Owners {
    known: BTreeMap<u32, u16>,
    table: Stream,
}

impl Owners {
    /// How an inode says this owner; `None` when there are too many.
    pub(super) fn number(&mut self, owner: u32) -> Option<u16> {
        if let Some(&number) = self.known.get(&owner) {
            return Some(number);
        }
        // The superblock counts them in 16 bits.
        let number = u16::try_from(self.known.len()).ok().filter(|&number| number < u16::MAX)?;
        self.known.insert(owner, number);
        self.table.u32(owner);
        Some(number)
    }

    pub(super) fn len(&self) -> u16 {
        u16::try_from(self.known.len()).unwrap_or(u16::MAX)
    }

    /// Writes the table behind byte `start`; gives where its index is, and
    /// where it ends.
    pub(super) fn write(&self, to: &mut impl Write, start: u64) -> io::Result<(u64, u64)> {
        let (blocks, index) = self.table.write(to, start)?;
        for block in &blocks {
            to.write_all(&block.to_le_bytes())?;
        }
        Ok((index, index + 8 * blocks.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_than_the_format_counts() {
        let mut owners = Owners::default();
        for owner in 0..65_535 {
            assert_eq!(owners.number(owner * 3), Some(owner as u16));
        }
        assert_eq!(owners.number(3), Some(1));
        assert_eq!(owners.number(1), None);
        assert_eq!(owners.len(), 65_535);
    }
}
